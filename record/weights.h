// The weights log's records: what the trainer appends and publishers fold. Schema:
// schemas/weights.avsc.
//
// A version is OPEN, any number of ROWS, TENSOR, TOMBSTONES and SLICE, COMMIT; records of two
// versions never interleave. SLICE names a range of hash prefixes whose rows, sent in this
// version's ROWS with `whole` set, are all there are in that range: any slice_count versions in a
// row rebuild everything.
#ifndef FRESHET_RECORD_WEIGHTS_H
#define FRESHET_RECORD_WEIGHTS_H

#include "base/memory.h"

enum weights_kind {
    WEIGHTS_OPEN,
    WEIGHTS_ROWS,
    WEIGHTS_TENSOR,
    WEIGHTS_TOMBSTONES,
    WEIGHTS_SLICE,
    WEIGHTS_COMMIT
};

// Tables from here on are those of streaming rates, one a rate; their rows are never rounded.
#define WEIGHTS_RATES_FIRST UINT32_C(8192)

struct weights {
    int kind;         // enum weights_kind
    uint64_t lineage; // changes when a model is begun anew or continued inexactly
    uint64_t version; // dense within a lineage, from 1
    // OPEN
    int64_t watermark_ms; // event time up to which the model has learnt
    int64_t accepted_ms;  // newest example's accepted_ms (freshness)
    const char *spec;     // JSON: {"model": {...}, "spec": {...}, "domains": [...]}
    size_t spec_length;
    const char *measures; // JSON: online measures at this version, by task and domain
    size_t measures_length;
    // ROWS, TOMBSTONES
    uint32_t table;              // index of the embedding table
    uint32_t dimension;          // floats a row
    uint32_t count;              // rows
    const unsigned char *ids;    // [count] little-endian uint64, may be unaligned
    const unsigned char *values; // [count][dimension] little-endian float32, may be unaligned
    bool whole;                  // rows of this version's slice
    // TENSOR
    const char *name; // e.g. "expert.0.weight"
    size_t name_length;
    uint32_t rows, columns;    // of this record
    uint32_t first_row;        // a large tensor comes in records of consecutive rows ...
    uint32_t rows_total;       // ... of so many in all; 0 when encoding = this record has them all
    const unsigned char *data; // [rows][columns] float32
    // SLICE: hash_mix(id) >> (64 - slice_bits) == slice; slice_count = 1 << slice_bits
    uint32_t slice, slice_bits;
};

void weights_encode(const struct weights *weights, struct buffer *into); // appends
CHECKED enum status weights_decode(const void *bytes, size_t length, struct weights *ret_weights,
                                   struct error *err); // borrows; STATUS_INVALID

#endif
