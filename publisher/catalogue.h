// The versions that a weights log holds, found by reading it from its oldest record on.
#ifndef FRESHET_PUBLISHER_CATALOGUE_H
#define FRESHET_PUBLISHER_CATALOGUE_H

#include "log/log.h"
#include "publisher/steer.h"

struct catalogue_version {
    uint64_t lineage, version;
    int64_t open;         // offset of its OPEN
    int64_t end;          // offset behind its COMMIT; -1 = it is not whole
    int64_t watermark_ms; // as its OPEN says
    int64_t written_ms;   // timestamp of its OPEN
    uint32_t slice_bits;
    bool passed;                   // the gate
    char reason[STEER_REASON_MAX]; // why not; "" where it passed
    char *measures;                // JSON, ended; owned; NULL where they were not asked for
};

struct catalogue {
    struct catalogue_version *versions; // [count], as they stand in the log
    size_t count, capacity;
};
void catalogue_deinit(struct catalogue *catalogue); // zeroes are fine

// Reads the whole log, which may take a while: about as long as copying it. STATUS_INVALID: a
// record is none of ours.
CHECKED enum status catalogue_read(struct log *log, const char *topic, bool with_measures,
                                   struct catalogue *ret_catalogue, struct error *err);
// NULL = the log does not hold it whole.
const struct catalogue_version *catalogue_find(const struct catalogue *catalogue, uint64_t lineage,
                                               uint64_t version);
// The version from which on the log must be read so that rows, whatever they were, become those of
// `goal`: 2^slice_bits versions in a row, or all there ever were. *ret_clean: these are all, and
// rows must be removed first. NULL where the log does not reach back far enough.
const struct catalogue_version *catalogue_begin(const struct catalogue *catalogue,
                                                const struct catalogue_version *goal,
                                                bool *ret_clean);

#endif
