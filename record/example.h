// The example: what ingest emits and the trainer reads. Schema: schemas/example.avsc.
//
// An impression travels as one or more records: SCORE at once, unlabelled; LEARN and FINAL for the
// tasks in `mask` when their labels are settled (one record carries both bits where the policy is
// to wait); all three bits where labels come at once. Policies that do not wait send LEARN earlier,
// and again (REPEAT) when they know better. Features ride on every record, so that the trainer
// keeps none.
#ifndef FRESHET_RECORD_EXAMPLE_H
#define FRESHET_RECORD_EXAMPLE_H

#include "record/spec.h"

// LAST says that nothing of this impression will follow, so that whoever keeps something for it may
// let go. It comes with the close of the last window, whose mask is 0 when every task of that
// window was left out (a task defined on another's positives, without that); kind is then FINAL |
// LAST.
enum {
    EXAMPLE_SCORE = 1,
    EXAMPLE_LEARN = 2,
    EXAMPLE_FINAL = 4,
    EXAMPLE_LAST = 8,
    EXAMPLE_REPEAT = 16, // with LEARN: these tasks of this impression have been learnt before
    EXAMPLE_LATE = 32,   // with FINAL: positives that came after they had been learnt as negatives
    EXAMPLE_KINDS = 63   // all bits
};

struct example {
    uint32_t kind;         // EXAMPLE_ bits
    uint64_t impression;   // dense number given by the ingest task; unique with the partition
    uint64_t user;         // spec_id of the user, 0 = unknown
    int64_t event_time_ms; // of the impression
    int64_t accepted_ms;   // record timestamp of the newest event it rests on (freshness)
    const char *domain;    // text, not NUL-terminated when decoded
    size_t domain_length;
    uint32_t mask; // tasks that this record settles (LEARN, FINAL)
    // Columns of this one row, in spec order within their kind; when decoded they point into the
    // record's bytes and may be unaligned: copy with memcpy.
    const unsigned char *ids;     // [categorical] little-endian uint64, 0 = missing
    const unsigned char *numbers; // [numeric] little-endian float32, NaN = missing
    const unsigned char
        *lists; // [multi] lists, each: uint32 little-endian count, then its uint64 ids; then
                // [sequences]: the same, oldest first, then an age each, uint32: whole seconds
                // before the impression (0 where items have no times)
    size_t lists_length;
    const unsigned char *labels;  // [tasks] float32; meaningful where mask is set
    const unsigned char *weights; // [tasks] float32, or NULL = all 1
};

#define EXAMPLE_ITEM_BYTES 12 // of an item of a sequence: id and age

struct example_shape {
    uint64_t fingerprint;
    size_t categorical, numeric, multi, sequences, tasks;
};
struct example_shape example_shape_of(const struct spec *spec);

void example_encode(const struct example_shape *shape, const struct example *example,
                    struct buffer *into); // appends; check into->failed
// Borrows from bytes. STATUS_INVALID: truncated, malformed or other lengths than the shape's;
// STATUS_CHANGED: the fingerprint is of another spec.
CHECKED enum status example_decode(const struct example_shape *shape, const void *bytes,
                                   size_t length, struct example *ret_example, struct error *err);

#endif
