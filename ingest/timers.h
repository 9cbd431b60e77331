// Timers of the join: what is due when the watermark moves, in exactly the order of (deadline,
// number).
//
// Every timer belongs to an item (an impression, a piece of waiting feedback) with an event time,
// and its deadline is that time plus one of a few fixed delays, the lanes (one a distinct window).
// So one queue of items ordered by (time, number) serves all lanes, each with a cursor of its own;
// an item leaves when the last lane has passed it. An item that arrives out of order goes to a
// binary heap of single timers instead. Events come nearly in order, so nearly all take the queue,
// at O(lanes) each.
//
// Timers are never taken back: whoever takes one checks that the item is still the one meant.
#ifndef FRESHET_INGEST_TIMERS_H
#define FRESHET_INGEST_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"

#define TIMERS_LANES_MAX 72

struct timer {
    int64_t time_ms; // of the item
    uint64_t number; // unique
    uint32_t slot;   // the caller's
};

struct timers_late; // one lane of one item that came out of order

struct timers {
    int64_t delays_ms[TIMERS_LANES_MAX]; // ascending
    uint64_t cursors[TIMERS_LANES_MAX]; // next item of each lane, counted from the first ever added
    size_t lanes;
    struct timer *queue; // ring
    uint64_t capacity;   // a power of two
    uint64_t head, tail; // items ever dropped, ever added
    struct timers_late *heap;
    size_t heap_count, heap_capacity;
    int64_t next_ms; // no deadline is earlier
};

// delays_ms[lanes]: >= 0, ascending. Allocates nothing yet.
void timers_init(struct timers *timers, const int64_t *delays_ms, size_t lanes);
void timers_deinit(struct timers *timers);
// A timer in every lane. STATUS_EXHAUSTED when memory is out.
CHECKED enum status timers_add(struct timers *timers, const struct timer *timer, struct error *err);
// Takes the first timer whose deadline lies before `before_ms`; false when there is none.
bool timers_take(struct timers *timers, int64_t before_ms, struct timer *ret_timer,
                 size_t *ret_lane, int64_t *ret_deadline_ms);
// Drops all timers whose deadline lies before `before_ms`, after the items were added in order.
void timers_skip(struct timers *timers, int64_t before_ms);
size_t timers_bytes(const struct timers *timers);

// Deadlines end here, before STAGE_TIME_END, so that everything is due at the end of time.
int64_t timers_deadline(int64_t time_ms, int64_t delay_ms);

#endif
