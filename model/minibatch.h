// Columns of a batch of rows: what the network reads.
#ifndef FRESHET_MODEL_MINIBATCH_H
#define FRESHET_MODEL_MINIBATCH_H

#include "model/spec.h"

#define MINIBATCH_DOMAIN_UNKNOWN 0 // domain indices: 0 = unknown, 1.. = first seen first

struct minibatch {
    size_t rows, capacity;
    int64_t time_ms; // event time at which it is learnt from, for the life of rows; 0 = not known
    uint64_t *ids;   // [categorical][capacity]; 0 = missing
    // Multi-valued field or sequence f, row r: list_ids[list_begin[f][r] .. list_begin[f][r + 1]),
    // a sequence's oldest first
    uint32_t *list_begin;  // [multi][capacity + 1]
    uint64_t **list_ids;   // [multi] growing arrays
    uint32_t **list_ages;  // [multi] beside list_ids: seconds before the impression, of sequences
    size_t *list_capacity; // [multi]
    float *numbers;        // [numeric][capacity]; NaN = missing
    uint32_t *domains;     // [capacity]
    float *labels;         // [tasks][capacity]
    float *weights;        // [tasks][capacity]; 0 = the task is not settled on this row
    bool *repeats;         // [capacity] these inputs were learnt from before: statistics skip them
};
// Makes room for `capacity` rows (lists grow on their own), empty. STATUS_EXHAUSTED.
CHECKED enum status minibatch_init(struct minibatch *batch, const struct model_spec *spec,
                                   size_t capacity, struct error *err);
void minibatch_deinit(struct minibatch *batch, const struct model_spec *spec);
void minibatch_reset(struct minibatch *batch); // rows 0; whoever adds rows writes all columns
// Makes room for `count` more ids (and ages) in list column f (counted from the first multi-valued
// field) of row batch->rows; then ends that row's list behind them. STATUS_EXHAUSTED.
CHECKED enum status minibatch_list_reserve(struct minibatch *batch, size_t f, size_t count,
                                           struct error *err);
// The same, and copies ids and ages (NULL: 0) there.
CHECKED enum status minibatch_list_append(struct minibatch *batch, size_t f, const uint64_t *ids,
                                          const uint32_t *ages, size_t count, struct error *err);

#endif
