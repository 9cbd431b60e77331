// Log lines for people and machines: one line a record, key=value or JSON.
//
//   time=2026-01-02T03:04:05.678Z level=info stage=ingest event=checkpoint number=12 took_ms=8
//
// Only stage loops and main() call this. A value that holds a space, quote, '=' or control
// character is quoted and escaped. Secrets never come here.
#ifndef FRESHET_BASE_LOGGER_H
#define FRESHET_BASE_LOGGER_H

#include <stdbool.h>
#include <stdio.h>

#include "base/status.h"

enum logger_level { LOGGER_DEBUG, LOGGER_INFO, LOGGER_WARN, LOGGER_ERROR };
enum logger_format { LOGGER_TEXT, LOGGER_JSON };

// Process-wide; called once at start, before other threads. stream stays the caller's.
void logger_setup(FILE *stream, enum logger_level least, enum logger_format format);
// `fields` is a printf format of key=value pairs separated by spaces, where text that may need
// quoting is given as %s inside key=\"...\": logger_line(LOGGER_INFO, "ingest", "late",
// "topic=\"%s\" count=%d", topic, count). Thread-safe; each call writes one whole line.
void logger_line(enum logger_level level, const char *stage, const char *event, const char *fields,
                 ...) PRINTF_LIKE(4, 5);
// level=error event=EVENT status=... reason="err's message"
void logger_error(const char *stage, const char *event, const struct error *err);

#endif
