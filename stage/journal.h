// The journal record: what a step took in and what it gave out, in a few dozen bytes.
//
// Avro binary of schemas/journal.avsc, which says what each field means. A `batch` names per slot
// the range of records it folded; genesis and start carry the identity of the task instead.
#ifndef FRESHET_STAGE_JOURNAL_H
#define FRESHET_STAGE_JOURNAL_H

#include "base/memory.h"

enum journal_kind {
    JOURNAL_GENESIS, // first record: inputs and where reading begins
    JOURNAL_START,   // a process took the task up
    JOURNAL_BATCH,
    JOURNAL_TICK,
    JOURNAL_IDLE,
    JOURNAL_FINISH,
    JOURNAL_KINDS
};

struct journal_range {
    uint32_t slot;
    int64_t first, last; // offsets
    uint64_t count;      // of records; offsets may have gaps
    uint64_t checksum;   // hash_chain over the records, in offset order
};

struct journal_input {
    const char *topic;
    int32_t partition;
    uint64_t identity; // of the topic
    int64_t offset;    // where reading begins
};

struct journal_record {
    enum journal_kind kind;
    int order; // enum runner_order of a batch
    int64_t clock_ms;
    const struct journal_range *ranges; // batch: ascending slots, none empty
    size_t range_count;
    uint32_t idle_slot; // idle
    bool idle;
    uint64_t outputs; // emitted by the step
    uint64_t outputs_checksum;
    uint64_t config_hash; // genesis, start
    const char *build;
    const struct journal_input *inputs; // genesis
    size_t input_count;
};

// Appends the record's bytes; into->failed when memory is out.
void journal_encode(const struct journal_record *record, struct buffer *into);
// Arrays and texts come from the arena. STATUS_CORRUPT for bytes that are not such a record.
CHECKED enum status journal_decode(const void *bytes, size_t length, struct arena *arena,
                                   struct journal_record *ret_record, struct error *err);
const char *journal_kind_name(enum journal_kind kind);

#endif
