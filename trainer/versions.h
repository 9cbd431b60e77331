// Appends a version of the model to the weights log.
//
// OPEN; the rows that changed since the last version, by table, in records of bounded size; all
// dense tensors; SLICE and the rows of the next range of hashes, whole; COMMIT. Version v carries
// slice (v - 1) mod 2^slice_bits, so that any 2^slice_bits versions in a row rebuild everything;
// the first of a lineage has slice_bits 0 and so is whole (trainer.c). Tables from
// WEIGHTS_RATES_FIRST on are those of the rates, in the order of the spec. Rows that left since the
// last version, and are not back, go out as TOMBSTONES.
#ifndef FRESHET_TRAINER_VERSIONS_H
#define FRESHET_TRAINER_VERSIONS_H

#include "model/rates.h"
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

// Emits to output 0, partition 0, and clears the learner's and the rates' marks of what changed.
// *ret_rows: rows emitted, those of the slice included.
// `ahead`: rows of rates that go out in place of theirs (counting_ahead).
CHECKED enum status versions_emit(struct learner *learner, struct rates *rates,
                                  const struct rates *ahead, const struct versions_head *head,
                                  struct stage_outputs *outputs, uint64_t *ret_rows,
                                  struct error *err);

#endif
