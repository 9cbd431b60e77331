// A warm start: a trainer that begins anew takes over tensors, rows and rates from a safetensors
// file, as `freshet export` or another program wrote it.
#ifndef FRESHET_CLI_WARM_H
#define FRESHET_CLI_WARM_H

#include "cli/settings.h"
#include "trainer/trainer.h"

struct warm_report {
    size_t tensors_taken, tensors_new; // of the model's
    uint64_t rows, rates;              // taken
};

// Everything that the file holds must be part of this trainer's model, with its shape and dtype,
// and finite; anything else refuses the file whole, before the trainer is touched (STATUS_INVALID,
// naming the tensor). Tensors that the file does not hold begin as always; each of their names goes
// to `told`, unless that is NULL. Tensors of domains want the file's metadata to name the domains.
CHECKED enum status warm_start(struct trainer *trainer, const char *path, FILE *told,
                               struct warm_report *ret_report, struct error *err);

// Where `freshet import` puts the file for the trainer to begin from.
CHECKED enum status warm_path(const struct settings *settings, char *path, size_t size,
                              struct error *err);

#endif
