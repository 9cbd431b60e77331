// Feedback that waits for its time: a heap ordered by when it is received, then by when it was
// made.
#ifndef FRESHET_SIMULATE_SCHEDULE_H
#define FRESHET_SIMULATE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum schedule_kind { SCHEDULE_CLICK, SCHEDULE_CONVERSION, SCHEDULE_LATE_CLICK, SCHEDULE_ORPHAN };

struct scheduled {
    int64_t received_ms;
    int64_t event_time_ms;
    uint64_t impression; // its number
    uint64_t order;      // given by schedule_add
    enum schedule_kind kind;
    bool twice;
};
struct schedule {
    struct scheduled *items;
    size_t count, capacity;
    uint64_t added;
};
void schedule_init(struct schedule *schedule);
void schedule_deinit(struct schedule *schedule);
CHECKED enum status schedule_add(struct schedule *schedule, struct scheduled item,
                                 struct error *err);
// Takes the first that is received at or before `until_ms`; false when there is none.
bool schedule_take(struct schedule *schedule, int64_t until_ms, struct scheduled *ret_item);

#endif
