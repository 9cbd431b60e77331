// Moments on a command line: a date, or date and time, in UTC.
#ifndef FRESHET_CLI_MOMENT_H
#define FRESHET_CLI_MOMENT_H

#include "cli/command.h"

enum { MOMENT_TEXT_MAX = 40 };

// "2022-04-29", "2022-04-29T06:00:00" with a fraction and a Z or without, or milliseconds since
// 1970, of the first `length` bytes. Prints what is wrong with the option `name` and returns false.
bool moment_parse(const struct command *command, const char *name, const char *text, size_t length,
                  int64_t *ret_ms);
// The moment as moment_parse reads it back.
void moment_print(int64_t ms, char text[MOMENT_TEXT_MAX]);

#endif
