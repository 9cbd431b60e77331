// Comma-separated files through zlib, which reads plain files as they are.
#include "simulate/csv.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

struct csv {
    char *path;
    gzFile file;
    uint64_t line;
    char text[CSV_LINE_MAX];
    char *fields[CSV_COLUMNS_MAX];
    size_t count;
    char header_text[CSV_LINE_MAX];
    char *header[CSV_COLUMNS_MAX];
    size_t columns;
};

// Takes the quotes off the field at *at, in place, and leaves *at on the comma or end behind it.
// False when a quote is not closed.
static bool field_cut(char **at, char **ret_field) {
    char *from = *at;
    char *into = from;
    bool quoted = *from == '"';
    *ret_field = into;
    from += quoted;
    while (*from != '\0' && (quoted || *from != ',')) {
        if (quoted && *from == '"') {
            from++;
            if (*from != '"') {
                quoted = false;
                continue;
            }
        }
        *into++ = *from++;
    }
    bool last = *from == '\0';
    *into = '\0';
    *at = last ? NULL : from + 1;
    return !quoted;
}

static enum status line_split(const struct csv *csv, char *text, char **fields, size_t *ret_count,
                              struct error *err) {
    size_t count = 0;
    for (char *at = text; at != NULL;) {
        if (count == CSV_COLUMNS_MAX)
            return error_set(err, STATUS_INVALID, "%s:%llu: more than %d fields", csv->path,
                             (unsigned long long)csv->line, CSV_COLUMNS_MAX);
        if (!field_cut(&at, &fields[count++]))
            return error_set(err, STATUS_INVALID, "%s:%llu: a quote is not closed", csv->path,
                             (unsigned long long)csv->line);
    }
    *ret_count = count;
    return STATUS_OK;
}

static enum status line_read(struct csv *csv, char *text, struct error *err) {
    int code = 0;
    csv->line++;
    if (gzgets(csv->file, text, CSV_LINE_MAX) == NULL) {
        const char *reason = gzerror(csv->file, &code);
        if (code == Z_OK || code == Z_STREAM_END)
            return error_set(err, STATUS_END, "%s: no more lines", csv->path);
        return error_set(err, STATUS_CORRUPT, "could not read %s: %s", csv->path,
                         code == Z_ERRNO ? strerror(errno) : reason);
    }
    size_t length = strlen(text);
    if (length + 1 == CSV_LINE_MAX)
        return error_set(err, STATUS_INVALID, "%s:%llu: longer than %d bytes", csv->path,
                         (unsigned long long)csv->line, CSV_LINE_MAX - 2);
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
        text[--length] = '\0';
    return STATUS_OK;
}

enum status csv_open(const char *path, struct csv **ret_csv, struct error *err) {
    struct csv *csv = memory_new(1, sizeof(*csv));
    if (csv == NULL)
        return error_no_memory(err, sizeof(*csv), "a file's lines");
    enum status status = STATUS_OK;
    errno = 0;
    csv->path = memory_copy_string(path);
    csv->file = gzopen(path, "rb");
    if (csv->path == NULL)
        status = error_no_memory(err, strlen(path), "a path");
    else if (csv->file == NULL)
        status = error_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO,
                           "could not open %s: %s", path, strerror(errno));
    if (status == STATUS_OK)
        status = line_read(csv, csv->header_text, err);
    if (status == STATUS_END)
        status = error_set(err, STATUS_INVALID, "%s is empty", path);
    if (status == STATUS_OK)
        status = line_split(csv, csv->header_text, csv->header, &csv->columns, err);
    if (status != STATUS_OK) {
        csv_close(csv);
        return status;
    }
    *ret_csv = csv;
    return STATUS_OK;
}

void csv_close(struct csv *csv) {
    if (csv == NULL)
        return;
    if (csv->file != NULL)
        (void)gzclose_r(csv->file); // only read: nothing can be lost
    memory_free(csv->path);
    memory_free(csv);
}

enum status csv_column(const struct csv *csv, const char *name, size_t *ret_column,
                       struct error *err) {
    for (size_t i = 0; i < csv->columns; i++)
        if (strcmp(csv->header[i], name) == 0) {
            *ret_column = i;
            return STATUS_OK;
        }
    return error_set(err, STATUS_INVALID, "%s has no column `%s`", csv->path, name);
}

enum status csv_next(struct csv *csv, struct error *err) {
    enum status status = line_read(csv, csv->text, err);
    if (status == STATUS_OK)
        status = line_split(csv, csv->text, csv->fields, &csv->count, err);
    if (status == STATUS_OK && csv->count != csv->columns)
        status = error_set(err, STATUS_INVALID, "%s:%llu: %zu fields, the header has %zu",
                           csv->path, (unsigned long long)csv->line, csv->count, csv->columns);
    return status;
}

const char *csv_text(const struct csv *csv, size_t column) {
    REQUIRE(column < csv->count);
    return csv->fields[column];
}

enum status csv_integer(const struct csv *csv, size_t column, int64_t *ret_value,
                        struct error *err) {
    const char *text = csv_text(csv, column);
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0')
        return error_set(err, STATUS_INVALID,
                         "%s:%llu: column `%s`: expected an integer, found `%.64s`", csv->path,
                         (unsigned long long)csv->line, csv->header[column], text);
    *ret_value = value;
    return STATUS_OK;
}
