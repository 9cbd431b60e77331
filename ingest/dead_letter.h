// The dead letter: a record that could not be used, with why and where from. Schema:
// schemas/dead_letter.avsc, whose fields stand here in its order.
#ifndef FRESHET_INGEST_DEAD_LETTER_H
#define FRESHET_INGEST_DEAD_LETTER_H

#include "base/memory.h"

struct dead_letter {
    const char *reason; // an event_drop_names entry; text, not NUL-terminated when decoded
    size_t reason_length;
    const char *message; // what was wrong, for people
    size_t message_length;
    const char *topic;
    size_t topic_length;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms; // of the record
    const void *key;      // the record's own bytes; NULL where it had none
    size_t key_length;
    const void *value;
    size_t value_length;
};

void dead_letter_encode(const struct dead_letter *letter, struct buffer *into); // appends
// Borrows from bytes. STATUS_INVALID: truncated, malformed, or bytes left over.
CHECKED enum status dead_letter_decode(const void *bytes, size_t length,
                                       struct dead_letter *ret_letter, struct error *err);

#endif
