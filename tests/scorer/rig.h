// The trainer of tests/trainer/bed.h and a publisher behind it, a real Redis and a scorer before
// it: what is served at each moment beside what training read.
#ifndef FRESHET_TESTS_SCORER_RIG_H
#define FRESHET_TESTS_SCORER_RIG_H

#include "publisher/publisher.h"
#include "scorer/freshet_scorer.h"
#include "tests/trainer/bed.h"

struct rig {
    struct bed bed;
    struct bed_predictions predictions;
    struct trainer *trainer;
    struct publisher *publisher;
    struct publisher_settings settings;
    struct runner *training, *publishing;
    struct freshet_scorer *scorer;
    struct freshet_scorer_options options;
    char name[64], directory[300];
    uint64_t compared;
    double largest;
};

// A version is published after each step of `batch_rows`. `change`: what the bed is to have another
// way, or NULL.
void rig_open(struct rig *rig, const char *name, int64_t batch_rows,
              void (*change)(struct bed *bed));
void rig_close(struct rig *rig);
void rig_must(enum status status, const struct error *err);
// An impression's item, always the same, of `items`.
uint64_t rig_item(uint64_t impression, uint64_t items);
// Steps the trainer until it has read all there is, then the publisher until Redis and the scorer
// have it.
void rig_settle(struct rig *rig);
// What Redis serves for an impression, in the columns that the bed gives it.
void rig_serve(struct rig *rig, uint64_t impression, uint64_t item, int64_t time_ms,
               float *probabilities);
// Compares what was served for impressions [first, first + count) with what training predicted.
void rig_compare(struct rig *rig, uint64_t first, uint64_t count, float (*served)[BED_TASKS]);

#endif
