// Reads the feature files of KuaiRand.
#include "simulate/kuairand_table.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/wire.h"
#include "simulate/csv.h"

const struct kuairand_column kuairand_user_columns[] = {
    {"user_active_degree", KUAIRAND_TEXT},    {"is_live_streamer", KUAIRAND_WHOLE},
    {"is_video_author", KUAIRAND_WHOLE},      {"follow_user_num", KUAIRAND_BUCKET},
    {"follow_user_num_range", KUAIRAND_TEXT}, {"fans_user_num_range", KUAIRAND_TEXT},
    {"friend_user_num_range", KUAIRAND_TEXT}, {"register_days", KUAIRAND_BUCKET},
    {"register_days_range", KUAIRAND_TEXT},   {"onehot_feat0", KUAIRAND_WHOLE},
    {"onehot_feat1", KUAIRAND_WHOLE},         {"onehot_feat2", KUAIRAND_WHOLE},
    {"onehot_feat3", KUAIRAND_WHOLE},         {"onehot_feat4", KUAIRAND_WHOLE},
    {"onehot_feat5", KUAIRAND_WHOLE},         {"onehot_feat6", KUAIRAND_WHOLE},
    {"onehot_feat7", KUAIRAND_WHOLE},         {"onehot_feat8", KUAIRAND_WHOLE},
    {"onehot_feat9", KUAIRAND_WHOLE},         {"onehot_feat10", KUAIRAND_WHOLE},
    {"onehot_feat11", KUAIRAND_WHOLE},        {"onehot_feat12", KUAIRAND_WHOLE},
    {"onehot_feat13", KUAIRAND_WHOLE},        {"onehot_feat14", KUAIRAND_WHOLE},
    {"onehot_feat15", KUAIRAND_WHOLE},        {"onehot_feat16", KUAIRAND_WHOLE},
    {"onehot_feat17", KUAIRAND_WHOLE},
};
const size_t kuairand_user_count = sizeof(kuairand_user_columns) / sizeof(kuairand_user_columns[0]);

const struct kuairand_column kuairand_video_columns[] = {
    {"author_id", KUAIRAND_WHOLE}, {"video_type", KUAIRAND_TEXT},
    {"upload_dt", KUAIRAND_TEXT},  {"upload_type", KUAIRAND_TEXT},
    {"music_id", KUAIRAND_WHOLE},  {"music_type", KUAIRAND_WHOLE},
    {"tag", KUAIRAND_TEXT},        {"video_duration", KUAIRAND_BUCKET},
};
const size_t kuairand_video_count =
    sizeof(kuairand_video_columns) / sizeof(kuairand_video_columns[0]);

void kuairand_table_init(struct kuairand_table *table) {
    *table = (struct kuairand_table){0};
    buffer_init(&table->bytes);
}

void kuairand_table_deinit(struct kuairand_table *table) {
    memory_free(table->rows);
    buffer_deinit(&table->bytes);
}

int64_t kuairand_bucket(int64_t count) {
    int64_t octave = 0;
    if (count <= 0)
        return 0;
    while (count >> (octave + 1) > 0)
        octave++;
    int64_t upper = octave > 0 ? count >> (octave - 1) & 1 : 0;
    return octave == 0 ? 1 : 2 * octave + upper;
}

// False when the text is neither empty nor a number; *ret_null for an empty one.
static bool whole_parse(const char *text, bool *ret_null, int64_t *ret_value) {
    char *end;
    *ret_null = text[0] == '\0';
    if (*ret_null)
        return true;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(fabs(value) < 9e15))
        return false;
    *ret_value = (int64_t)value;
    return true;
}

static enum status row_encode(struct kuairand_table *table, const struct csv *csv,
                              const struct kuairand_column *columns, const size_t *at, size_t count,
                              int64_t id, struct error *err) {
    for (size_t i = 0; i < count; i++) {
        const char *text = csv_text(csv, at[i]);
        int64_t value = 0;
        bool null = false;
        if (columns[i].kind == KUAIRAND_TEXT) {
            wire_put_string(&table->bytes, text);
            continue;
        }
        if (!whole_parse(text, &null, &value))
            return error_set(err, STATUS_INVALID,
                             "row with id %lld: column `%s`: expected a number, found `%.64s`",
                             (long long)id, columns[i].name, text);
        wire_put_long(&table->bytes, !null);
        if (!null)
            wire_put_long(&table->bytes,
                          columns[i].kind == KUAIRAND_BUCKET ? kuairand_bucket(value) : value);
    }
    return table->bytes.failed ? error_no_memory(err, table->bytes.length, "features") : STATUS_OK;
}

static int row_compare(const void *left, const void *right) {
    const struct kuairand_row *a = left;
    const struct kuairand_row *b = right;
    return a->id < b->id ? -1 : a->id > b->id;
}

static enum status row_add(struct kuairand_table *table, struct kuairand_row row,
                           struct error *err) {
    if (table->count == table->capacity) {
        size_t capacity = table->capacity > 0 ? 2 * table->capacity : 1024;
        void *rows = memory_resize(table->rows, table->capacity, capacity, sizeof(*table->rows));
        if (rows == NULL)
            return error_no_memory(err, capacity * sizeof(*table->rows), "features");
        table->rows = rows;
        table->capacity = capacity;
    }
    table->rows[table->count++] = row;
    return STATUS_OK;
}

enum status kuairand_table_load(struct kuairand_table *table, const char *path,
                                const char *id_column, const struct kuairand_column *columns,
                                size_t count, struct error *err) {
    struct csv *csv = NULL;
    size_t at[64];
    size_t id_at = 0;
    struct error reason = {0};
    REQUIRE(count <= sizeof(at) / sizeof(at[0]));
    enum status status = csv_open(path, &csv, &reason);
    if (status == STATUS_OK)
        status = csv_column(csv, id_column, &id_at, &reason);
    for (size_t i = 0; status == STATUS_OK && i < count; i++)
        status = csv_column(csv, columns[i].name, &at[i], &reason);
    while (status == STATUS_OK) {
        struct kuairand_row row = {.at = table->bytes.length};
        status = csv_next(csv, &reason);
        if (status == STATUS_OK)
            status = csv_integer(csv, id_at, &row.id, &reason);
        if (status == STATUS_OK) {
            status = row_encode(table, csv, columns, at, count, row.id, &reason);
            if (status != STATUS_OK)
                (void)error_prefix(&reason, "%s", path);
        }
        row.length = table->bytes.length - row.at;
        if (status == STATUS_OK)
            status = row_add(table, row, &reason);
    }
    csv_close(csv);
    if (status != STATUS_END)
        return error_set(err, status, "%s", reason.message);
    if (table->count > 0)
        qsort(table->rows, table->count, sizeof(*table->rows), row_compare);
    return STATUS_OK;
}

const struct kuairand_row *kuairand_table_find(const struct kuairand_table *table, int64_t id) {
    struct kuairand_row key = {.id = id};
    return table->count == 0 ? NULL
                             : bsearch(&key, table->rows, table->count, sizeof(key), row_compare);
}
