// Numbers, durations and sizes with their units; everything is written in the largest unit that
// keeps it whole.
#include "config/scalar.h"

#include <errno.h>
#include <math.h>
#include <string.h>

struct unit {
    const char *suffix;
    int64_t factor;
};
static const struct unit duration_units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000},
                                             {"s", 1000},     {"ms", 1},      {NULL, 0}};
static const struct unit byte_units[] = {
    {"TiB", INT64_C(1) << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20},
    {"KiB", 1 << 10},          {"", 1},          {NULL, 0}};

const char *scalar_type_name(enum option_type type) {
    switch (type) {
    case OPTION_BOOL:
        return "true or false";
    case OPTION_INT:
        return "integer";
    case OPTION_REAL:
        return "number";
    case OPTION_TEXT:
        return "text";
    case OPTION_SECRET:
        return "secret";
    case OPTION_CHOICE:
        return "choice";
    case OPTION_DURATION:
        return "duration";
    case OPTION_BYTES:
        return "size";
    case OPTION_INTS:
        return "list of integers";
    case OPTION_TEXTS:
        return "list of texts";
    case OPTION_SECTION:
        return "section";
    case OPTION_SECTIONS:
        return "list of sections";
    }
    return "";
}

static void print_unit(const struct unit *units, int64_t value, struct buffer *into) {
    while (units[1].suffix && (value == 0 || value % units->factor != 0))
        units++;
    buffer_append_text(into, "%lld%s", (long long)(value / units->factor), units->suffix);
}

static void print_number(const struct option *option, double value, struct buffer *into) {
    if (option->type == OPTION_DURATION)
        print_unit(duration_units, (int64_t)value, into);
    else if (option->type == OPTION_BYTES)
        print_unit(byte_units, (int64_t)value, into);
    else
        buffer_append_text(into, "%.15g", value);
}

static bool has_range(const struct option *option) {
    return option->minimum != 0 || option->maximum != 0;
}

void scalar_print_range(const struct option *option, struct buffer *into) {
    if (!has_range(option) || option->type == OPTION_TEXT || option->type == OPTION_SECRET)
        return;
    if (isinf(option->maximum)) {
        buffer_append_text(into, "at least ");
        print_number(option, option->minimum, into);
        return;
    }
    print_number(option, option->minimum, into);
    buffer_append_text(into, " to ");
    print_number(option, option->maximum, into);
}

static bool in_range(const struct option *option, double value) {
    return !has_range(option) || (value >= option->minimum && value <= option->maximum);
}

// The whole text as a number of at most 64 bits, no spaces, no other base.
static bool parse_whole(const char *text, const char **ret_rest, int64_t *ret_value) {
    if (*text != '-' && (*text < '0' || *text > '9'))
        return false;
    char *rest;
    errno = 0;
    long long value = strtoll(text, &rest, 10);
    if (errno != 0 || rest == text)
        return false;
    *ret_rest = rest;
    *ret_value = value;
    return true;
}

static bool parse_unit(const struct unit *units, const char *text, int64_t *ret_value) {
    const char *rest;
    int64_t value;
    if (!parse_whole(text, &rest, &value) || value < 0)
        return false;
    for (; units->suffix; units++) {
        if (strcmp(rest, units->suffix) == 0) {
            if (value > INT64_MAX / units->factor)
                return false;
            *ret_value = value * units->factor;
            return true;
        }
    }
    // A bare 0 needs no unit.
    *ret_value = 0;
    return value == 0 && *rest == '\0';
}

static bool parse_real(const struct option *option, const char *text, double *ret_value) {
    if (strcmp(text, "off") == 0 && isinf(option->maximum)) {
        *ret_value = INFINITY;
        return true;
    }
    if (strpbrk(text, "xXnNiI") || *text == ' ' || *text == '\0')
        return false; // hexadecimal, nan, inf
    char *rest;
    errno = 0;
    double value = strtod(text, &rest);
    if (*rest != '\0' || !isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

static bool parse_bool(const char *text, bool *ret_value) {
    *ret_value = strcmp(text, "true") == 0;
    return *ret_value || strcmp(text, "false") == 0;
}

static bool parse_choice(const struct option *option, const char *text, int *ret_value) {
    for (int i = 0; option->choices[i]; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *ret_value = i;
            return true;
        }
    }
    return false;
}

static void say_expected(const struct option *option, char *expected, size_t size) {
    struct buffer text;
    buffer_init(&text);
    if (option->type == OPTION_CHOICE) {
        buffer_append_text(&text, "one of");
        for (int i = 0; option->choices[i]; i++)
            buffer_append_text(&text, "%s %s", i ? "," : "", option->choices[i]);
    } else {
        const char *name = option->type == OPTION_INTS    ? "integer"
                           : option->type == OPTION_TEXTS ? "text"
                                                          : scalar_type_name(option->type);
        buffer_append_text(&text, "%s%s",
                           option->type == OPTION_BOOL ? ""
                           : strchr("aeiou", name[0])  ? "an "
                                                       : "a ",
                           name);
        if (has_range(option)) {
            buffer_append_text(&text, " within ");
            scalar_print_range(option, &text);
        }
        if (option->type == OPTION_DURATION)
            buffer_append_text(&text, ", such as 250ms, 10s, 5m, 2h or 7d");
        if (option->type == OPTION_BYTES)
            buffer_append_text(&text, ", such as 64KiB, 512MiB or 2GiB");
    }
    buffer_append_byte(&text, '\0');
    snprintf(expected, size, "%s",
             text.failed ? scalar_type_name(option->type) : (char *)text.data);
    buffer_deinit(&text);
}

static bool parse(const struct option *option, const char *text, void *field) {
    int64_t whole;
    double real;
    const char *rest;
    switch (option->type) {
    case OPTION_BOOL:
        return parse_bool(text, field);
    case OPTION_CHOICE:
        return parse_choice(option, text, field);
    case OPTION_REAL:
        if (!parse_real(option, text, &real) || !in_range(option, real))
            return false;
        *(double *)field = real;
        return true;
    case OPTION_INT:
    case OPTION_INTS:
        if (!parse_whole(text, &rest, &whole) || *rest != '\0')
            return false;
        break;
    case OPTION_DURATION:
        if (!parse_unit(duration_units, text, &whole))
            return false;
        break;
    case OPTION_BYTES:
        if (!parse_unit(byte_units, text, &whole))
            return false;
        break;
    default:
        return false;
    }
    if (!in_range(option, (double)whole))
        return false;
    *(int64_t *)field = whole;
    return true;
}

enum status scalar_parse(const struct option *option, const char *text, size_t length,
                         struct arena *arena, void *field, char *ret_expected,
                         size_t expected_size) {
    char *copy = arena_copy_string(arena, text, length);
    if (!copy)
        return STATUS_EXHAUSTED;
    bool good;
    if (option->type == OPTION_TEXT || option->type == OPTION_SECRET ||
        option->type == OPTION_TEXTS) {
        *(const char **)field = copy;
        good = strlen(copy) == length; // a NUL inside would cut it
    } else {
        good = strlen(copy) == length && parse(option, copy, field);
    }
    if (good)
        return STATUS_OK;
    say_expected(option, ret_expected, expected_size);
    return STATUS_INVALID;
}

// The shortest text that reads back as the same number.
static void print_real(double value, struct buffer *into) {
    char text[40];
    int digits = 15;
    do
        snprintf(text, sizeof text, "%.*g", digits, value);
    while (strtod(text, NULL) != value && ++digits <= 17);
    buffer_append_text(into, "%s", text);
}

void scalar_print(const struct option *option, const void *field, struct buffer *into) {
    switch (option->type) {
    case OPTION_BOOL:
        buffer_append_text(into, *(const bool *)field ? "true" : "false");
        break;
    case OPTION_CHOICE:
        buffer_append_text(into, "%s", option->choices[*(const int *)field]);
        break;
    case OPTION_REAL:
        if (isinf(*(const double *)field))
            buffer_append_text(into, "off");
        else
            print_real(*(const double *)field, into);
        break;
    case OPTION_INT:
    case OPTION_INTS:
        buffer_append_text(into, "%lld", (long long)*(const int64_t *)field);
        break;
    case OPTION_DURATION:
        print_unit(duration_units, *(const int64_t *)field, into);
        break;
    case OPTION_BYTES:
        print_unit(byte_units, *(const int64_t *)field, into);
        break;
    case OPTION_SECRET:
        buffer_append_text(into, **(const char *const *)field ? "***" : "");
        break;
    case OPTION_TEXT:
    case OPTION_TEXTS:
        buffer_append_text(into, "%s", *(const char *const *)field);
        break;
    case OPTION_SECTION:
    case OPTION_SECTIONS:
        REQUIRE(!"sections are no scalars");
    }
}
