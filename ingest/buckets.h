// Time buckets of the payloads on disk, and how many live in each: what may be dropped whole.
#ifndef FRESHET_INGEST_BUCKETS_H
#define FRESHET_INGEST_BUCKETS_H

#include <stdint.h>

#include "base/memory.h"
#include "base/stream.h"

struct bucket {
    int64_t number; // event time / width, rounded down
    uint64_t living;
};

struct buckets {          // zeroed is empty
    struct bucket *items; // ascending
    size_t count, capacity;
};

void buckets_deinit(struct buckets *buckets);
CHECKED enum status buckets_add(struct buckets *buckets, int64_t number, struct error *err);
void buckets_remove(struct buckets *buckets, int64_t number); // one that was added
// How many buckets lie before the first in which something lives.
size_t buckets_dead(const struct buckets *buckets);
void buckets_drop(struct buckets *buckets, size_t first); // forgets the first so many
CHECKED enum status buckets_save(const struct buckets *buckets, const struct sink *sink,
                                 struct error *err);
CHECKED enum status buckets_load(struct buckets *buckets, const struct source *source,
                                 struct error *err); // replaces all; STATUS_CORRUPT

#endif
