// Walks the object's members.
#include "cli/score_row.h"

#include <string.h>

// {"item": "i7", "time_ms": 1700000000000}, an item of a sequence.
static enum freshet_scorer_status add_item(struct freshet_row *row, const char *name,
                                           const json_t *value) {
    const json_t *item = json_object_get(value, "item"), *time = json_object_get(value, "time_ms");
    char digits[24];
    snprintf(digits, sizeof digits, "%" JSON_INTEGER_FORMAT, json_integer_value(item));
    if ((!json_is_string(item) && !json_is_integer(item)) || !json_is_integer(time))
        return FRESHET_SCORER_INVALID;
    return freshet_row_add_item(row, name, json_is_string(item) ? json_string_value(item) : digits,
                                json_integer_value(time));
}

static enum status set_feature(struct freshet_row *row, const char *name, const json_t *value,
                               struct error *err) {
    enum freshet_scorer_status status = FRESHET_SCORER_OK;
    if (json_is_array(value)) {
        enum status inner = STATUS_OK;
        for (size_t i = 0; inner == STATUS_OK && i < json_array_size(value); i++)
            inner = set_feature(row, name, json_array_get(value, i), err);
        return inner;
    }
    if (strcmp(name, "time_ms") == 0 && json_is_integer(value))
        status = freshet_row_set_time(row, json_integer_value(value));
    else if (strcmp(name, "domain") == 0 && json_is_string(value))
        status = freshet_row_set_domain(row, json_string_value(value));
    else if (json_is_object(value))
        status = add_item(row, name, value);
    else if (json_is_string(value))
        status = freshet_row_set_text(row, name, json_string_value(value));
    else if (json_is_boolean(value))
        status = freshet_row_set_text(row, name, json_is_true(value) ? "true" : "false");
    else if (json_is_integer(value) &&
             freshet_row_set_integer(row, name, json_integer_value(value)) == FRESHET_SCORER_OK)
        return STATUS_OK;
    else if (json_is_number(value))
        status = freshet_row_set_number(row, name, json_number_value(value));
    else if (!json_is_null(value))
        status = FRESHET_SCORER_INVALID;
    return status == FRESHET_SCORER_OK
               ? STATUS_OK
               : error_set(err, STATUS_INVALID,
                           "`%.200s` is no feature, or its value is of another type", name);
}

enum status score_row_fill(struct freshet_row *row, json_t *object, struct error *err) {
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        enum status status = set_feature(row, name, value, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}
