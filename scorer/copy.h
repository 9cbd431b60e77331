// One copy of a published model: read whole from Redis, brought forward by deltas, scored from.
#ifndef FRESHET_SCORER_COPY_H
#define FRESHET_SCORER_COPY_H

#include <pthread.h>

#include "model/model.h"
#include "model/rates.h"
#include "record/rate_keys.h"
#include "record/redis_rows.h"
#include "record/spec.h"
#include "scorer/mirror.h"

struct copy {
    pthread_rwlock_t lock; // readers score; the follower writes
    struct arena run;      // what the manifest described: spec, shape, domains
    struct spec spec;
    uint64_t fingerprint; // of spec
    struct model_spec shape;
    const char **domains; // [domain_count] names of domain 1, 2, ...
    size_t domain_count;
    struct model *model; // NULL = nothing loaded
    struct rate_keys keys;
    struct rates *rates; // their rows come as tables behind the model's
    uint64_t generation; // of the model: another number for each one made in this process
    uint64_t lineage, version;
    enum redis_row_type row_type; // that its rows were read in
    // Told before a model is freed, for memory that was made for it. NULL = nobody to tell.
    void (*leaving)(void *self, uint64_t generation);
    void *self;
    char position[64]; // last entry of the stream of deltas that is in the copy
};
void copy_init(struct copy *copy);
void copy_deinit(struct copy *copy);

// A row as it lies in Redis, or its end (values NULL), of a table of the model or of a rate.
// STATUS_INVALID when the model has no such row.
CHECKED enum status copy_row_put(struct copy *copy, uint32_t table, uint64_t id, const void *values,
                                 size_t bytes, struct error *err);
// The same of a row of a delta, whose floats are rounded as they are in a bucket, so that copies
// that were read and copies that followed are equal. floats NULL = its end.
CHECKED enum status copy_floats_put(struct copy *copy, uint32_t table, uint64_t id,
                                    const void *floats, size_t width, struct error *err);
// Reads the whole model of the newest version that can be had whole. STATUS_UNAVAILABLE: none yet,
// or the publisher is faster than the reading; try again. Called with the lock held for writing.
CHECKED enum status copy_load(struct copy *copy, struct mirror *mirror, struct error *err);
// Brings the copy to the manifest's version by deltas, or loads it whole where they do not reach.
CHECKED enum status copy_advance(struct copy *copy, struct mirror *mirror, struct error *err);

#endif
