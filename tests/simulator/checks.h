// What must hold during and after every run.
#ifndef FRESHET_TESTS_SIMULATOR_CHECKS_H
#define FRESHET_TESTS_SIMULATOR_CHECKS_H

#include "tests/simulator/world.h"

// What two runs of the same events have in common, whatever befell them.
struct outcome {
    uint64_t examples, dead_letters; // hashes over all records, in order
    uint64_t model;                  // the trainer's whole state
    char accounts[4096];             // of ingest and trainer
};

// The manifest names a version only when all of it is there; with `whole`, also row by row and
// tensor by tensor against the weights log.
void check_manifest(struct world *world, bool whole);
// All tasks have ended: accounts balance, nothing lags, no label twice, the model in Redis equals
// the trainer's, and a replay of the trainer's journal gives its state again where it is all there.
void check_end(struct world *world, struct outcome *ret_outcome);
void check_equal(struct world *world, const struct outcome *found, const struct outcome *wanted);

#endif
