// Reads the log, puts impressions and feedback in event-time order and writes them.
#include "simulate/kuairand.h"

#include <string.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/wire.h"
#include "simulate/csv.h"
#include "simulate/feedback.h"
#include "simulate/kuairand_table.h"
#include "simulate/output.h"

#define OPTION(member) offsetof(struct kuairand_settings, member)
static const struct option rows[] = {
    {.key = "directory",
     .type = OPTION_TEXT,
     .offset = OPTION(directory),
     .default_text = "../shared/data/kuairand",
     .help = "Folder of the KuaiRand files, as downloaded from kuairand.com or gzipped."},
    {.key = "impressions",
     .type = OPTION_TEXT,
     .offset = OPTION(impressions),
     .default_text = "impressions",
     .help = "Topic for the impressions."},
    {.key = "clicks",
     .type = OPTION_TEXT,
     .offset = OPTION(clicks),
     .default_text = "clicks",
     .help = "Topic for the clicks."},
    {.key = "conversions",
     .type = OPTION_TEXT,
     .offset = OPTION(conversions),
     .default_text = "conversions",
     .help = "Topic for long views and likes."},
    {.key = "partitions",
     .type = OPTION_INT,
     .offset = OPTION(partitions),
     .default_text = "1",
     .minimum = 1,
     .maximum = 10000,
     .help = "Partitions of topics that are made."},
    {.key = "rows_max",
     .type = OPTION_INT,
     .offset = OPTION(rows_max),
     .default_text = "0",
     .minimum = 0,
     .maximum = 4000000000.0,
     .help = "Only so many rows of the log; 0 = all."},
    {.key = "unique_ids",
     .type = OPTION_BOOL,
     .offset = OPTION(unique_ids),
     .default_text = "false",
     .help =
         "Rows that the data repeats (3 %) get ids of their own, so that they all count, as for "
         "programs that read the table row by row; otherwise ingest drops repeats."},
    {.key = "finish",
     .type = OPTION_BOOL,
     .offset = OPTION(finish),
     .default_text = "true",
     .help = "Mark the topics as ended, so that a run over them finishes by itself."},
};
const struct option_table kuairand_options = {
    .title = "Loading KuaiRand",
    .help = "Turns the CSV files of KuaiRand into topics of impressions, clicks and conversions.",
    .struct_bytes = sizeof(struct kuairand_settings),
    .options = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};

enum moment_kind { MOMENT_IMPRESSION, MOMENT_CLICK, MOMENT_LONG_VIEW, MOMENT_LIKE };

struct row {
    int64_t time_ms, user, video, play_ms, tab;
    bool click, long_view, like;
};
struct moment { // something to be written
    int64_t time_ms;
    uint32_t row;
    enum moment_kind kind;
};
enum { TIME, USER, VIDEO, PLAY, TAB, IS_CLICK, LONG_VIEW, IS_LIKE, COLUMNS };
static const char *const column_names[COLUMNS] = {
    "time_ms", "user_id", "video_id", "play_time_ms", "tab", "is_click", "long_view", "is_like"};

struct loader {
    const struct kuairand_settings *settings;
    struct kuairand_table users, videos;
    struct row *rows;
    size_t row_count, row_capacity;
    struct moment *moments;
    size_t moment_count, moment_capacity;
    struct buffer value;
    struct kuairand_account account;
};

// Room for one more item of an array.
static enum status room_make(void **items, size_t count, size_t *capacity, size_t size,
                             struct error *err) {
    if (count < *capacity)
        return STATUS_OK;
    size_t more = *capacity > 0 ? 2 * *capacity : 4096;
    void *grown = memory_resize(*items, *capacity, more, size);
    if (grown == NULL)
        return error_no_memory(err, more * size, "the rows of KuaiRand");
    *items = grown;
    *capacity = more;
    return STATUS_OK;
}

static enum status moment_add(struct loader *loader, enum moment_kind kind, int64_t time_ms,
                              struct error *err) {
    void *moments = loader->moments;
    enum status status = room_make(&moments, loader->moment_count, &loader->moment_capacity,
                                   sizeof(struct moment), err);
    loader->moments = moments;
    if (status == STATUS_OK)
        loader->moments[loader->moment_count++] =
            (struct moment){.time_ms = time_ms, .row = (uint32_t)loader->row_count, .kind = kind};
    return status;
}

static void id_write(const struct loader *loader, const struct row *row, size_t number,
                     char id[80]) {
    int length = snprintf(id, 80, "%lld-%lld-%lld", (long long)row->user, (long long)row->video,
                          (long long)row->time_ms);
    if (loader->settings->unique_ids && length > 0 && length < 80)
        snprintf(id + length, 80 - (size_t)length, "-%zu", number);
}

static enum status row_add(struct loader *loader, const int64_t values[COLUMNS],
                           struct error *err) {
    struct row row = {.time_ms = values[TIME],
                      .user = values[USER],
                      .video = values[VIDEO],
                      .play_ms = values[PLAY] > 0 ? values[PLAY] : 0,
                      .tab = values[TAB],
                      .click = values[IS_CLICK] != 0,
                      .long_view = values[LONG_VIEW] != 0,
                      .like = values[IS_LIKE] != 0};
    char id[80];
    id_write(loader, &row, loader->row_count, id);
    int64_t delay_ms = 1000 + (int64_t)(hash_bytes(id, strlen(id), 0) % 9001);
    enum status status = moment_add(loader, MOMENT_IMPRESSION, row.time_ms, err);
    if (status == STATUS_OK && row.click)
        status = moment_add(loader, MOMENT_CLICK, row.time_ms + delay_ms, err);
    if (status == STATUS_OK && row.long_view)
        status = moment_add(loader, MOMENT_LONG_VIEW, row.time_ms + row.play_ms, err);
    if (status == STATUS_OK && row.like)
        status = moment_add(loader, MOMENT_LIKE, row.time_ms + row.play_ms / 2, err);
    void *all = loader->rows;
    if (status == STATUS_OK)
        status = room_make(&all, loader->row_count, &loader->row_capacity, sizeof(row), err);
    loader->rows = all;
    if (status == STATUS_OK)
        loader->rows[loader->row_count++] = row;
    return status;
}

static bool rows_enough(const struct loader *loader) {
    return (loader->settings->rows_max > 0 &&
            loader->row_count == (size_t)loader->settings->rows_max) ||
           loader->row_count == UINT32_MAX;
}

static enum status log_load(struct loader *loader, const char *path, struct error *err) {
    struct csv *csv = NULL;
    size_t at[COLUMNS];
    int64_t values[COLUMNS];
    struct error reason = {0};
    enum status status = csv_open(path, &csv, &reason);
    for (size_t i = 0; status == STATUS_OK && i < COLUMNS; i++)
        status = csv_column(csv, column_names[i], &at[i], &reason);
    while (status == STATUS_OK && !rows_enough(loader)) {
        status = csv_next(csv, &reason);
        for (size_t i = 0; status == STATUS_OK && i < COLUMNS; i++)
            status = csv_integer(csv, at[i], &values[i], &reason);
        if (status == STATUS_OK)
            status = row_add(loader, values, &reason);
    }
    csv_close(csv);
    loader->account.rows_read = loader->row_count;
    if (status == STATUS_END || status == STATUS_OK)
        return STATUS_OK;
    return error_set(err, status, "%s", reason.message);
}

// Calls for every file of the folder that begins with `prefix` and is a CSV.
static enum status files_load(struct loader *loader, const char *prefix,
                              enum status (*load)(struct loader *loader, const char *path,
                                                  struct error *err),
                              struct error *err) {
    struct arena arena;
    char **names = NULL;
    size_t count = 0;
    size_t found = 0;
    arena_init(&arena, 4096);
    enum status status = disk_list(loader->settings->directory, &arena, &names, &count, err);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        char path[4096];
        if (strncmp(names[i], prefix, strlen(prefix)) != 0 || strstr(names[i], ".csv") == NULL)
            continue;
        int length = snprintf(path, sizeof(path), "%s/%s", loader->settings->directory, names[i]);
        if (length < 0 || (size_t)length >= sizeof(path))
            status = error_set(err, STATUS_INVALID, "the path of %s is too long", names[i]);
        else
            status = load(loader, path, err);
        found++;
    }
    if (status == STATUS_OK && found == 0)
        status = error_set(err, STATUS_NOT_FOUND,
                           "%s holds no %s*.csv or .csv.gz; KuaiRand is at kuairand.com",
                           loader->settings->directory, prefix);
    arena_deinit(&arena);
    return status;
}

static enum status users_load(struct loader *loader, const char *path, struct error *err) {
    return kuairand_table_load(&loader->users, path, "user_id", kuairand_user_columns,
                               kuairand_user_count, err);
}

static enum status videos_load(struct loader *loader, const char *path, struct error *err) {
    return kuairand_table_load(&loader->videos, path, "video_id", kuairand_video_columns,
                               kuairand_video_count, err);
}

static int moment_compare(const void *left, const void *right) {
    const struct moment *a = left;
    const struct moment *b = right;
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms ? -1 : 1;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

static uint64_t features_put(struct buffer *into, const struct kuairand_table *table, int64_t id) {
    const struct kuairand_row *row = kuairand_table_find(table, id);
    wire_put_long(into, row != NULL);
    if (row != NULL)
        buffer_append(into, table->bytes.data + row->at, row->length);
    return row == NULL;
}

static void impression_put(struct loader *loader, const struct row *row, const char *id) {
    struct buffer *into = &loader->value;
    buffer_reset(into);
    wire_put_string(into, id);
    wire_put_long(into, row->time_ms);
    wire_put_long(into, row->user);
    wire_put_long(into, row->video);
    wire_put_long(into, row->tab);
    wire_put_long(into, (row->time_ms / 3600000 + 8) % 24); // the data is of UTC+8
    loader->account.rows_without_user += features_put(into, &loader->users, row->user);
    loader->account.rows_without_video += features_put(into, &loader->videos, row->video);
    wire_put_long(into, row->click);
    wire_put_long(into, row->long_view);
    wire_put_long(into, row->like);
}

static enum status moment_write(struct loader *loader, const struct moment *moment,
                                struct output *output, struct error *err) {
    const struct row *row = &loader->rows[moment->row];
    enum output_topic topic = OUTPUT_CONVERSIONS;
    char id[80];
    id_write(loader, row, moment->row, id);
    switch (moment->kind) {
    case MOMENT_IMPRESSION:
        topic = OUTPUT_IMPRESSIONS;
        impression_put(loader, row, id);
        loader->account.impressions++;
        break;
    case MOMENT_CLICK:
        topic = OUTPUT_CLICKS;
        feedback_click(&loader->value, id, moment->time_ms);
        loader->account.clicks++;
        break;
    case MOMENT_LONG_VIEW:
        feedback_conversion(&loader->value, id, moment->time_ms, "long_view", 1);
        loader->account.long_views++;
        break;
    case MOMENT_LIKE:
        feedback_conversion(&loader->value, id, moment->time_ms, "like", 1);
        loader->account.likes++;
        break;
    }
    if (loader->value.failed)
        return error_no_memory(err, loader->value.length, "an event");
    return output_put(output, topic, moment->time_ms, id, strlen(id), loader->value.data,
                      loader->value.length, err);
}

static enum status moments_write(struct loader *loader, struct output *output,
                                 void (*progress)(void *self,
                                                  const struct kuairand_account *account),
                                 void *self, const atomic_bool *stop, struct error *err) {
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < loader->moment_count; i++) {
        status = moment_write(loader, &loader->moments[i], output, err);
        if (status != STATUS_OK || i % 4096 != 0)
            continue;
        if (progress != NULL)
            progress(self, &loader->account);
        if (stop != NULL && atomic_load(stop)) {
            status = output_commit(output, err);
            return status == STATUS_OK ? error_set(err, STATUS_STOPPED, "stopped while loading")
                                       : status;
        }
    }
    if (status == STATUS_OK)
        status = loader->settings->finish ? output_finish(output, err) : output_commit(output, err);
    if (status == STATUS_OK && progress != NULL)
        progress(self, &loader->account);
    return status;
}

enum status kuairand_load(struct log *log, const struct kuairand_settings *settings,
                          void (*progress)(void *self, const struct kuairand_account *account),
                          void *self, const atomic_bool *stop, struct kuairand_account *ret_account,
                          struct error *err) {
    struct loader loader = {.settings = settings};
    struct output output = {0};
    const char *const topics[OUTPUT_TOPICS] = {settings->impressions, settings->clicks,
                                               settings->conversions};
    kuairand_table_init(&loader.users);
    kuairand_table_init(&loader.videos);
    buffer_init(&loader.value);
    enum status status = files_load(&loader, "log_standard", log_load, err);
    if (status == STATUS_OK)
        status = files_load(&loader, "user_features", users_load, err);
    if (status == STATUS_OK)
        status = files_load(&loader, "video_features_basic", videos_load, err);
    loader.account.users = loader.users.count;
    loader.account.videos = loader.videos.count;
    loader.account.events = loader.moment_count;
    if (status == STATUS_OK && loader.moment_count > 0)
        qsort(loader.moments, loader.moment_count, sizeof(struct moment), moment_compare);
    if (status == STATUS_OK)
        status = output_open(log, topics, (int32_t)settings->partitions, &output, err);
    if (status == STATUS_OK)
        status = moments_write(&loader, &output, progress, self, stop, err);
    output_close(&output);
    if (status == STATUS_OK || status == STATUS_STOPPED)
        *ret_account = loader.account;
    buffer_deinit(&loader.value);
    kuairand_table_deinit(&loader.users);
    kuairand_table_deinit(&loader.videos);
    memory_free(loader.rows);
    memory_free(loader.moments);
    return status;
}
