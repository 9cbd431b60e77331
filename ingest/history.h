// A sequence of one impression while its record is walked: ids and times come one by one, in two
// arrays or side by side, and are paired at the end.
//
// What is wrong with single items costs those items, each kind counted: null ids or times, times
// after the impression (they would tell the future), more items than the feature holds (the oldest
// go). Items out of order are put in order. What leaves no sense to the whole costs the impression,
// as a list's would: a value of another type or that is no time, or another number of times than of
// ids.
#ifndef FRESHET_INGEST_HISTORY_H
#define FRESHET_INGEST_HISTORY_H

#include "ingest/decoder.h"

#define HISTORY_ITEMS_MAX 4096 // beyond, the first ones are forgotten (counted as cut)

struct history_item {
    uint64_t id;     // 0 = null
    int64_t time_ms; // INT64_MIN = null
};
struct history {
    struct history_item *items; // [capacity]
    size_t capacity, ids, times;
    enum event_drop drop; // of its first bad value
    bool failed;          // memory was out
};
void history_init(struct history *history);
void history_deinit(struct history *history);
void history_reset(struct history *history);
void history_add_id(struct history *history, uint64_t id /* 0 = null */);
void history_add_time(struct history *history, bool known, int64_t time_ms);
// Appends the list as an example has it, newest items last. EVENT_USED, or why the impression
// cannot be used; memory that is out shows in into->failed.
CHECKED enum event_drop history_finish(struct history *history, const struct spec_feature *feature,
                                       int64_t impression_ms, struct decoder_counts *counts,
                                       struct buffer *into);

#endif
