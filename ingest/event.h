// The event: one impression or one piece of feedback, taken from the user's own record by the
// mapping.
//
// decoder.h makes events of records; join.h consumes them. Nothing here knows Avro.
#ifndef FRESHET_INGEST_EVENT_H
#define FRESHET_INGEST_EVENT_H

#include "log/log.h"
#include "record/example.h"

// Why a record or event is not used: one rule, one counter, one test each. Those marked [letter] go
// to the dead-letter log with their bytes untouched.
enum event_drop {
    EVENT_USED = 0,
    EVENT_UNDECODABLE,    // [letter] truncated or malformed bytes
    EVENT_UNKNOWN_SCHEMA, // [letter] framing names a schema that the registry does not have
    EVENT_MISSING_FIELD,  // [letter] a mapped path is absent or null where it must not be
    EVENT_WRONG_TYPE,     // [letter] a mapped path holds another type
    EVENT_INVALID_NUMBER, // [letter] NaN, infinite or out of range
    EVENT_INVALID_TIME,   // [letter] negative, or absurdly far beyond the record's own timestamp
    EVENT_NULL_VALUE,     // a tombstone: skipped
    EVENT_NOT_WANTED,     // an event that no task's `when` counts
    EVENT_DUPLICATE,      // the same impression, or the same task's feedback, again
    EVENT_LATE,           // its windows had closed
    EVENT_ORPHAN,         // feedback whose impression never came within the wait
    EVENT_WITHOUT_CLICK,  // feedback of a task defined on another task's positives, without that
    EVENT_EXPIRED,        // state was full and expired it early
    EVENT_SAMPLED,        // an impression without positives, left out by data.sampling
    EVENT_DROPS
};
extern const char *const event_drop_names[EVENT_DROPS]; // kebab-case
bool event_drop_is_letter(enum event_drop drop);

struct event {
    uint32_t input; // index into the ingest inputs
    bool impression;
    const unsigned char *key; // canonical join key: its parts length-prefixed
    size_t key_length;
    int64_t event_time_ms;
    int64_t accepted_ms; // the log record's timestamp
    // Impressions: the columns in the form of struct example (ids, numbers, lists), user, domain.
    struct example columns;
    // Feedback: the tasks that this event counts for and their values. Impressions with join: none
    // (or tasks with an empty input): labels that came along.
    uint32_t mask;
    float values[SPEC_TASKS_MAX];
};

#endif
