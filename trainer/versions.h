// Appends a version of the model to the weights log.
//
// OPEN; the rows that changed since the last version, by table, in records of bounded size; all
// dense tensors; SLICE and the rows of the next range of hashes, whole; COMMIT. Version v carries
// slice (v - 1) mod 2^slice_bits, so that any 2^slice_bits versions in a row rebuild everything.
// The learner removes no rows, so there are no tombstones.
#ifndef FRESHET_TRAINER_VERSIONS_H
#define FRESHET_TRAINER_VERSIONS_H

#include "stage/stage.h"
#include "trainer/learner.h"

struct versions_head {
    uint64_t lineage, version;
    int64_t watermark_ms, accepted_ms;
    int64_t timestamp_ms;          // of the records
    const struct buffer *spec;     // JSON (record/weights.h)
    const struct buffer *measures; // JSON
    uint32_t slice_bits;
};

// Emits to output 0, partition 0, and clears the learner's marks of what changed. *ret_rows: rows
// emitted, those of the slice included.
CHECKED enum status versions_emit(struct learner *learner, const struct versions_head *head,
                                  struct stage_outputs *outputs, uint64_t *ret_rows,
                                  struct error *err);

#endif
