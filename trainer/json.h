// Writes the few pieces of JSON that the weights log carries: strings and numbers into a buffer.
#ifndef FRESHET_TRAINER_JSON_H
#define FRESHET_TRAINER_JSON_H

#include "base/memory.h"

// Appends the text as a quoted JSON string; quotes, backslashes and control characters are escaped.
// The text is valid UTF-8. A failure shows in into->failed.
void json_put_string(struct buffer *into, const char *text, size_t length);
// Appends the number so that it reads back to the same double; `null` when it is not finite.
void json_put_number(struct buffer *into, double value);

#endif
