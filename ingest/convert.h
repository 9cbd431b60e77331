// From values of a plan to what an event holds: canonical text, numbers and times.
#ifndef FRESHET_INGEST_CONVERT_H
#define FRESHET_INGEST_CONVERT_H

#include "ingest/event.h"
#include "ingest/plan.h"
#include "ingest/settings.h"

#define CONVERT_TEXT_FORMS (PLAN_BOOLEAN | PLAN_WHOLE | PLAN_REAL | PLAN_TEXT)
#define CONVERT_NUMBER_FORMS (PLAN_BOOLEAN | PLAN_WHOLE | PLAN_REAL)

struct convert_text {
    const char *text; // borrows from the value or points to `digits`
    size_t length;
    char digits[24];
};
// Each returns EVENT_USED and writes its result, or why not: EVENT_MISSING_FIELD for absent and
// null, EVENT_WRONG_TYPE, EVENT_INVALID_NUMBER, EVENT_INVALID_TIME.

// Integers in decimal, booleans true or false, text as it is; reals only where they are integers.
enum event_drop convert_to_text(const struct plan_value *value, struct convert_text *ret_text);
enum event_drop convert_to_number(const struct plan_value *value, float *ret_number);
// Milliseconds since 1970. Negative ones are invalid.
enum event_drop convert_to_time(const struct plan_value *value, enum ingest_time_unit unit,
                                int64_t *ret_ms);
bool convert_is_utf8(const char *text, size_t length);

#endif
