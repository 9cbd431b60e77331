// Runs several configurations over one log of examples, each record folded by all of them before
// the next chunk is read: predict, then train. Nothing is written anywhere.
#ifndef FRESHET_COMPARE_RACE_H
#define FRESHET_COMPARE_RACE_H

#include "compare/contest.h"
#include "trainer/trainer.h"

struct race_entry {
    const char *name;
    const struct spec *spec; // all of one fingerprint
    const struct model_settings *model;
    const struct trainer_settings *trainer;
};
struct race_setup {
    struct log *log;
    const char *topic; // of the examples
    const struct race_entry *entries;
    size_t count, seeds; // seed k of an entry is its model.seed + k
    size_t threads;      // runs folded at once; changes no result
    // Told after every chunk; NULL = nobody to tell.
    void (*progress)(void *self, uint64_t records);
    void *self;
};
// Fills the contest, which has a run for every entry and seed, and *ret_seconds[count]: time that
// an entry took to predict and learn, the mean over its seeds. STATUS_INVALID: entries of different
// features or tasks, or an entry's own settings, with its name; errors of the log.
CHECKED enum status race_run(const struct race_setup *setup, struct contest *contest,
                             double *ret_seconds, uint64_t *ret_records, struct error *err);

#endif
