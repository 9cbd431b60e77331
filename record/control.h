// The control log's records: what an operator decides, for every task that reads the log to follow
// alike. Schema: schemas/control.avsc.
//
// The log has one partition and is kept for ever; a task folds all of it, from the beginning.
#ifndef FRESHET_RECORD_CONTROL_H
#define FRESHET_RECORD_CONTROL_H

#include "base/memory.h"

enum control_kind {
    CONTROL_PIN,   // this version is the one that is out, and stays so
    CONTROL_UNPIN, // versions go out as the gate lets them
    CONTROL_KINDS
};

struct control {
    int kind;           // enum control_kind
    int64_t time_ms;    // when it was commanded; for people
    const char *author; // who, "" = not known; not ended
    size_t author_length;
    const char *note; // why, "" = not said; not ended
    size_t note_length;
    uint64_t lineage, version; // PIN; version from 1
};

void control_encode(const struct control *control, struct buffer *into); // appends
// Borrows. STATUS_INVALID: malformed, or of a kind that this build does not know.
CHECKED enum status control_decode(const void *bytes, size_t length, struct control *ret_control,
                                   struct error *err);

#endif
