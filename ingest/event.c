// Names of the reasons why an event is not used.
#include "ingest/event.h"

const char *const event_drop_names[EVENT_DROPS] = {
    [EVENT_USED] = "used",
    [EVENT_UNDECODABLE] = "undecodable",
    [EVENT_UNKNOWN_SCHEMA] = "unknown-schema",
    [EVENT_MISSING_FIELD] = "missing-field",
    [EVENT_WRONG_TYPE] = "wrong-type",
    [EVENT_INVALID_NUMBER] = "invalid-number",
    [EVENT_INVALID_TIME] = "invalid-time",
    [EVENT_NULL_VALUE] = "null-value",
    [EVENT_NOT_WANTED] = "not-wanted",
    [EVENT_DUPLICATE] = "duplicate",
    [EVENT_LATE] = "late",
    [EVENT_ORPHAN] = "orphan",
    [EVENT_WITHOUT_CLICK] = "without-click",
    [EVENT_EXPIRED] = "expired",
    [EVENT_SAMPLED] = "sampled",
};

bool event_drop_is_letter(enum event_drop drop) {
    return drop >= EVENT_UNDECODABLE && drop <= EVENT_INVALID_TIME;
}
