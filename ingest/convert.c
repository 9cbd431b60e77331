// Conversions of single values.
#include "ingest/convert.h"

#include <math.h>
#include <string.h>

// Integers of this magnitude and less are exact in double.
#define EXACT_MAX 9007199254740992.0

static void text_of_whole(int64_t value, struct convert_text *text) {
    char *end = text->digits + sizeof(text->digits);
    char *at = end;
    uint64_t rest = value < 0 ? UINT64_C(0) - (uint64_t)value : (uint64_t)value;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0)
        *--at = '-';
    text->text = at;
    text->length = (size_t)(end - at);
}

enum event_drop convert_to_text(const struct plan_value *value, struct convert_text *ret_text) {
    switch (value->form) {
    case PLAN_TEXT:
        ret_text->text = (const char *)value->text;
        ret_text->length = value->length;
        return EVENT_USED;
    case PLAN_WHOLE:
        text_of_whole(value->whole, ret_text);
        return EVENT_USED;
    case PLAN_BOOLEAN:
        ret_text->text = value->whole ? "true" : "false";
        ret_text->length = value->whole ? 4 : 5;
        return EVENT_USED;
    case PLAN_REAL:
        if (!isfinite(value->real))
            return EVENT_INVALID_NUMBER;
        if (fabs(value->real) > EXACT_MAX || trunc(value->real) != value->real)
            return EVENT_WRONG_TYPE;
        text_of_whole((int64_t)value->real, ret_text);
        return EVENT_USED;
    case PLAN_OTHER:
        return EVENT_WRONG_TYPE;
    default:
        return EVENT_MISSING_FIELD;
    }
}

enum event_drop convert_to_number(const struct plan_value *value, float *ret_number) {
    float number;
    switch (value->form) {
    case PLAN_BOOLEAN:
    case PLAN_WHOLE:
        *ret_number = (float)value->whole;
        return EVENT_USED;
    case PLAN_REAL:
        number = fabs(value->real) <= (double)3.4028235e38F ? (float)value->real : INFINITY;
        if (!isfinite(number))
            return EVENT_INVALID_NUMBER;
        *ret_number = number;
        return EVENT_USED;
    case PLAN_TEXT:
    case PLAN_OTHER:
        return EVENT_WRONG_TYPE;
    default:
        return EVENT_MISSING_FIELD;
    }
}

// Units per millisecond, or milliseconds per unit where negative.
static int64_t unit_of(const struct plan_value *value, enum ingest_time_unit unit) {
    if (unit == INGEST_TIME_AUTO) {
        switch (value->logical) {
        case SCHEMA_MICROS:
            return 1000;
        case SCHEMA_NANOS:
            return 1000000;
        case SCHEMA_DATE:
            return -86400000;
        default:
            return 1;
        }
    }
    return unit == INGEST_TIME_US ? 1000 : unit == INGEST_TIME_S ? -1000 : 1;
}

enum event_drop convert_to_time(const struct plan_value *value, enum ingest_time_unit unit,
                                int64_t *ret_ms) {
    int64_t per = unit_of(value, unit);
    if (value->form == PLAN_REAL) {
        double ms = per > 0 ? value->real / (double)per : value->real * (double)-per;
        if (!(ms >= 0 && ms <= EXACT_MAX))
            return EVENT_INVALID_TIME;
        *ret_ms = (int64_t)ms;
        return EVENT_USED;
    }
    if (value->form == PLAN_ABSENT || value->form == PLAN_NULL)
        return EVENT_MISSING_FIELD;
    if (value->form != PLAN_WHOLE)
        return EVENT_WRONG_TYPE;
    if (value->whole < 0 || (per < 0 && value->whole > INT64_MAX / -per))
        return EVENT_INVALID_TIME;
    *ret_ms = per > 0 ? value->whole / per : value->whole * -per;
    return EVENT_USED;
}

// Well-formed UTF-8 (Unicode 15, table 3-7): no overlong forms, surrogates or values past U+10FFFF.
bool convert_is_utf8(const char *text, size_t length) {
    const unsigned char *at = (const unsigned char *)text;
    const unsigned char *end = at + length;
    while (at < end) {
        unsigned char lead = *at++;
        if (lead < 0x80)
            continue;
        size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        if (lead < 0xc2 || lead > 0xf4 || (size_t)(end - at) < more)
            return false;
        if ((lead == 0xe0 && at[0] < 0xa0) || (lead == 0xed && at[0] > 0x9f) ||
            (lead == 0xf0 && at[0] < 0x90) || (lead == 0xf4 && at[0] > 0x8f))
            return false;
        for (; more > 0; more--, at++)
            if ((*at & 0xc0) != 0x80)
                return false;
    }
    return true;
}
