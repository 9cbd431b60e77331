// The model: dense tensors, embedding tables, moving statistics; prediction from them.
//
// The trainer's learner updates one; a scorer fills one from Redis. Both predict by model_predict.
#ifndef FRESHET_MODEL_MODEL_H
#define FRESHET_MODEL_MODEL_H

#include "base/stream.h"
#include "model/minibatch.h"
#include "model/real.h"

struct model;

CHECKED enum status model_new(const struct model_spec *spec, struct model **ret_model,
                              struct error *err); // spec is copied; initialised from settings.seed
void model_free(struct model *model);
const struct model_spec *model_spec_of(const struct model *model);

// Every named dense array that serving needs: weights, biases, default rows ("default.TABLE"),
// moving moments, domain parameters. The one list of tensors: saving, publishing and loading go
// through it.
struct model_tensor {
    const char *name; // e.g. "trunk.0.weight", "tower.1.2.bias.domain.3": model/build.c lists them
    size_t rows, columns;
    real *data; // [rows][columns]
};
size_t model_tensor_count(const struct model *model);
const struct model_tensor *model_tensor_at(const struct model *model, size_t i);
const struct model_tensor *model_tensor_find(const struct model *model, const char *name);

// Embedding tables: id -> row of `dimension` values (plus, with a wide part, one weight a task
// behind them: `width` values in all are stored, published and loaded as one row).
size_t model_table_width(const struct model *model, size_t table);
size_t model_table_rows(const struct model *model, size_t table);
// Sets a row (inserted when new). STATUS_EXHAUSTED when memory is out.
CHECKED enum status model_row_put(struct model *model, size_t table, uint64_t id,
                                  const float *values, struct error *err);
bool model_row_get(const struct model *model, size_t table, uint64_t id, float *ret_values);
bool model_row_remove(struct model *model, size_t table, uint64_t id);

// Brings what is derived from tensors (fused weights of each domain, scales of the normalisation)
// up to date: called by whoever wrote into tensors, before predicting again. Cheap without domains.
void model_settle(struct model *model);

// Scratch memory of one thread for up to rows_max rows a call; nothing is allocated while
// predicting.
struct model_scratch;
CHECKED enum status model_scratch_new(const struct model *model, size_t rows_max,
                                      struct model_scratch **ret_scratch, struct error *err);
void model_scratch_free(struct model_scratch *scratch);
// logits[task * rows + i] for row first + i of the batch (rows <= rows_max), from moving
// statistics. Missing rows read their table's default row. Any thread, model settled and unchanged
// meanwhile.
void model_predict(const struct model *model, struct model_scratch *scratch,
                   const struct minibatch *batch, size_t first, size_t rows, real *logits);

#endif
