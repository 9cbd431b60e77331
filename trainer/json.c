// JSON strings and numbers, as RFC 8259 has them.
#include "trainer/json.h"

#include <math.h>

void json_put_string(struct buffer *into, const char *text, size_t length) {
    buffer_append_byte(into, '"');
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '"' || byte == '\\') {
            buffer_append_byte(into, '\\');
            buffer_append_byte(into, byte);
        } else if (byte < 0x20) {
            buffer_append_text(into, "\\u%04x", (unsigned)byte);
        } else {
            buffer_append_byte(into, byte);
        }
    }
    buffer_append_byte(into, '"');
}

void json_put_number(struct buffer *into, double value) {
    if (isfinite(value))
        buffer_append_text(into, "%.17g", value);
    else
        buffer_append_text(into, "null");
}
