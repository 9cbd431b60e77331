// A reader of comma-separated files, plain or gzip: RFC 4180 quoting, one record a line.
#ifndef FRESHET_SIMULATE_CSV_H
#define FRESHET_SIMULATE_CSV_H

#include "base/memory.h"

#define CSV_COLUMNS_MAX 256
#define CSV_LINE_MAX 65536

struct csv; // one owner thread

// Reads the header line. STATUS_NOT_FOUND, STATUS_IO, or STATUS_INVALID for an empty file.
CHECKED enum status csv_open(const char *path, struct csv **ret_csv, struct error *err);
void csv_close(struct csv *csv); // NULL is fine
// The column of this name in the header. STATUS_INVALID naming file and column.
CHECKED enum status csv_column(const struct csv *csv, const char *name, size_t *ret_column,
                               struct error *err);
// Next line's fields, valid until the next call. STATUS_END after the last; STATUS_CORRUPT for a
// damaged gzip stream; STATUS_INVALID naming file and line when fields are missing or a line is too
// long.
CHECKED enum status csv_next(struct csv *csv, struct error *err);
const char *csv_text(const struct csv *csv, size_t column); // NUL-terminated
// STATUS_INVALID naming file, line, column and what it holds.
CHECKED enum status csv_integer(const struct csv *csv, size_t column, int64_t *ret_value,
                                struct error *err);

#endif
