// What a replay reads: of every partition of every input, the offsets that two times stand for.
//
// Found once, when the replay begins, and kept beside its tasks' folders (STATE/NAME.plan), so
// that a replay that was stopped or killed reads to the same ends as one that never was.
#ifndef FRESHET_CLI_REPLAY_PLAN_H
#define FRESHET_CLI_REPLAY_PLAN_H

#include "cli/settings.h"
#include "stage/runner.h"

#define REPLAY_OLDEST INT64_MIN
#define REPLAY_NEWEST INT64_MAX

struct replay_plan {
    int64_t from_ms, to_ms;         // times of records, [from, to); or REPLAY_OLDEST, _NEWEST
    bool beside;                    // goes on reading behind the ends, and never finishes
    size_t partitions, inputs;      // of the input topics
    struct runner_stretch *stretch; // [partitions][inputs], from the arena
    int64_t first_sum, end_sum;     // over all of them
};

// True when the replay that `settings` name has begun to be one that goes on beside the live
// deployment; STATUS_NOT_FOUND when there is none, STATUS_CHANGED when it is one that ends.
CHECKED enum status replay_plan_beside(const struct settings *settings, struct error *err);

// The plan of the replay that `settings` name, read or made and kept; `identity` stands for what
// the settings compute, `wanted` gives times and `beside`. STATUS_CHANGED: it was begun with other
// times, inputs or settings, or retention has passed `from`. STATUS_NOT_FOUND: there is no record
// between the times.
CHECKED enum status replay_plan_open(const struct settings *settings, struct log *log,
                                     const struct replay_plan *wanted, uint64_t identity,
                                     struct arena *arena, struct replay_plan *ret_plan,
                                     struct error *err);

#endif
