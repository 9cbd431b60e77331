// Stretches of event time that a rewound trainer leaves out: records of impressions in them are
// counted and dropped, unread.
#ifndef FRESHET_TRAINER_SKIPS_H
#define FRESHET_TRAINER_SKIPS_H

#include "stage/checkpoint.h"

enum { SKIPS_MAX = 16 };

struct skip {
    int64_t from_ms, to_ms; // of the impression, [from, to)
};
struct skips {
    struct skip ranges[SKIPS_MAX];
    size_t count;
    uint64_t records; // left out so far
};

// STATUS_EXHAUSTED: there are SKIPS_MAX already.
CHECKED enum status skips_add(struct skips *skips, int64_t from_ms, int64_t to_ms,
                              struct error *err);
// Is a record of an impression at this time left out? Counts it then.
bool skips_take(struct skips *skips, int64_t time_ms);
// Section "skips", when there are any. A checkpoint without it has none.
CHECKED enum status skips_save(const struct skips *skips, struct checkpoint_writer *writer,
                               struct error *err);
CHECKED enum status skips_load(struct skips *skips, struct checkpoint_reader *reader,
                               struct error *err);

#endif
