// Text of one scalar into one field, and a field back into canonical text.
#ifndef FRESHET_CONFIG_SCALAR_H
#define FRESHET_CONFIG_SCALAR_H

#include "base/memory.h"
#include "config/option.h"

// Writes the field at `field` from the text by the option's type and range; texts are copied into
// the arena. On a mistake returns STATUS_INVALID and *ret_expected says what would have been right,
// e.g. "a duration within 1ms and 1h, such as 250ms, 10s, 5m, 2h or 7d".
CHECKED enum status scalar_parse(const struct option *option, const char *text, size_t length,
                                 struct arena *arena, void *field, char *ret_expected,
                                 size_t expected_size);
// Appends the field's canonical text: what scalar_parse reads back to the same value.
void scalar_print(const struct option *option, const void *field, struct buffer *into);
// Appends "integer", "duration" and so on.
const char *scalar_type_name(enum option_type type);
// Appends the range in the option's own unit, or nothing: "1 to 64", "at least 1ms".
void scalar_print_range(const struct option *option, struct buffer *into);

#endif
