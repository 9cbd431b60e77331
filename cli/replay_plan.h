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
    size_t partitions, inputs;      // of the input topics
    struct runner_stretch *stretch; // [partitions][inputs], from the arena
    int64_t first_sum, end_sum;     // over all of them
};

// The plan of the replay that `settings` name, read or made and kept; `identity` stands for what
// the settings compute. STATUS_CHANGED: it was begun with other times, inputs or settings, or
// retention has passed `from`. STATUS_NOT_FOUND: there is no record between the times.
CHECKED enum status replay_plan_open(const struct settings *settings, struct log *log,
                                     int64_t from_ms, int64_t to_ms, uint64_t identity,
                                     struct arena *arena, struct replay_plan *ret_plan,
                                     struct error *err);

#endif
