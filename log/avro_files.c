// The files backend: a log in a directory, for one machine and no server (avro_files.h: layout and
// protocol). This file has the log itself and its topics.
#include "log/avro_files.h"

#include <string.h>
#include <unistd.h>

#include "base/hash.h"

#define NAMES_MAX 700 // bytes of what comes after the directory in a path, at most

char *files_path(const struct files_log *log, char path[PATH_MAX], const char *format, ...) {
    char rest[NAMES_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(rest, sizeof(rest), format, arguments);
    va_end(arguments);
    REQUIRE(length >= 0 && length < NAMES_MAX); // names are at most LOG_NAME_MAX
    size_t folder = strlen(log->directory);
    REQUIRE(folder + 1 + (size_t)length < PATH_MAX); // log_open_files has seen to it
    memcpy(path, log->directory, folder);
    path[folder] = '/';
    memcpy(path + folder + 1, rest, (size_t)length + 1);
    return path;
}

static void files_close(struct log *head) {
    struct files_log *log = (struct files_log *)head;
    pthread_cond_destroy(&log->committed);
    pthread_mutex_destroy(&log->lock);
    memory_free(log->directory);
    memory_free(log);
}

// magic, partitions, identity, checksum
static const char topic_magic[8] = {'F', 'R', 'S', 'H', 'T', 'P', 'C', '1'};

enum status files_topic_read(struct files_log *log, const char *topic,
                             struct files_topic *ret_topic, struct error *err) {
    char path[PATH_MAX];
    struct buffer bytes;
    buffer_init(&bytes);
    files_path(log, path, "%s/topic", topic);
    enum status status = disk_read_all(path, &bytes, err);
    if (status == STATUS_NOT_FOUND)
        status = error_set(err, STATUS_NOT_FOUND, "could not find topic `%s` in %s", topic,
                           log->directory);
    if (status == STATUS_OK) {
        bool good = bytes.length > 16 && memcmp(bytes.data, topic_magic, 8) == 0;
        size_t body = good ? bytes.length - 8 : 0;
        struct wire in = wire_over(bytes.data, bytes.length);
        wire_skip(&in, good ? 8 : 0);
        struct files_topic found = {.partitions = wire_get_int(&in),
                                    .identity = wire_get_fixed64(&in)};
        uint64_t checksum = wire_get_fixed64(&in);
        if (!good || in.bad || checksum != hash_bytes(bytes.data, body, 0) || found.partitions < 1)
            status = error_set(err, STATUS_CORRUPT, "could not read %s: not a topic's file", path);
        else
            *ret_topic = found;
    }
    buffer_deinit(&bytes);
    return status;
}

static enum status topic_write(struct files_log *log, const char *topic, int32_t partitions,
                               struct error *err) {
    int64_t now_us = clock_system.wall_ms(&clock_system) * 1000 +
                     clock_system.monotonic_us(&clock_system) % 1000;
    uint64_t identity = hash_mix((uint64_t)now_us ^ hash_mix((uint64_t)getpid()));
    char path[PATH_MAX];
    struct buffer bytes;
    buffer_init(&bytes);
    buffer_append(&bytes, topic_magic, 8);
    wire_put_long(&bytes, partitions);
    wire_put_fixed64(&bytes, identity);
    if (!bytes.failed)
        wire_put_fixed64(&bytes, hash_bytes(bytes.data, bytes.length, 0));
    enum status status = STATUS_OK;
    if (bytes.failed)
        status = error_no_memory(err, 32, "a topic's file");
    else
        status = disk_replace_all(files_path(log, path, "%s/topic", topic), bytes.data,
                                  bytes.length, err);
    buffer_deinit(&bytes);
    return status;
}

static enum status partition_make(struct files_log *log, const char *topic, int32_t partition,
                                  struct error *err) {
    char path[PATH_MAX];
    struct disk_file *file = NULL;
    enum status status =
        disk_make_directory(files_path(log, path, "%s/%d", topic, (int)partition), err);
    if (status == STATUS_OK)
        status = disk_open(files_path(log, path, "%s/%d/end", topic, (int)partition), DISK_UPDATE,
                           &file, err);
    struct files_end end = {0};
    if (status == STATUS_OK)
        status = files_end_publish(file, &end, err);
    if (status == STATUS_OK && log->fsync)
        status = disk_sync(file, err);
    disk_close(file);
    if (status == STATUS_OK && log->fsync)
        status = disk_sync_directory(files_path(log, path, "%s/%d", topic, (int)partition), err);
    return status;
}

// The topic's own file is written last: without it there is no topic, and what stands in its folder
// is a half-made one.
static enum status topic_make(struct files_log *log, const char *topic, int32_t partitions,
                              struct error *err) {
    char path[PATH_MAX];
    enum status status = disk_remove_tree(files_path(log, path, "%s", topic), err);
    for (int32_t p = 0; status == STATUS_OK && p < partitions; p++)
        status = partition_make(log, topic, p, err);
    if (status == STATUS_OK && log->fsync)
        status = disk_sync_directory(path, err);
    return status == STATUS_OK ? topic_write(log, topic, partitions, err) : status;
}

// Lets one process at a time make topics; waits for another for up to ten seconds.
static enum status directory_lock(struct files_log *log, struct disk_file **ret_lock,
                                  struct error *err) {
    char path[PATH_MAX];
    struct disk_file *file = NULL;
    enum status status = disk_open(files_path(log, path, ".lock"), DISK_UPDATE, &file, err);
    for (int attempt = 0; status == STATUS_OK && attempt < 1000; attempt++) {
        status = disk_lock(file, err);
        if (status != STATUS_FENCED)
            break;
        clock_system.sleep_ms(&clock_system, 10);
        status = attempt < 999 ? STATUS_OK : STATUS_FENCED;
    }
    if (status == STATUS_OK)
        *ret_lock = file;
    else
        disk_close(file);
    return status;
}

static enum status files_topic_ensure(struct log *head, const char *topic, int32_t partitions,
                                      struct error *err) {
    struct files_log *log = (struct files_log *)head;
    struct disk_file *lock = NULL;
    enum status status = directory_lock(log, &lock, err);
    if (status != STATUS_OK)
        return status;
    struct files_topic found = {0};
    struct error ignored;
    status = files_topic_read(log, topic, &found, &ignored);
    if (status == STATUS_NOT_FOUND)
        status = topic_make(log, topic, partitions, err);
    else if (status != STATUS_OK)
        error_set(err, status, "%s", ignored.message);
    else if (found.partitions != partitions)
        status = error_set(err, STATUS_CHANGED, "topic `%s` has %d partitions, %d wanted", topic,
                           (int)found.partitions, (int)partitions);
    disk_close(lock);
    return status;
}

static enum status files_topic_partitions(struct log *head, const char *topic,
                                          int32_t *ret_partitions, struct error *err) {
    struct files_topic found = {0};
    enum status status = files_topic_read((struct files_log *)head, topic, &found, err);
    if (status == STATUS_OK)
        *ret_partitions = found.partitions;
    return status;
}

static enum status files_topic_identity(struct log *head, const char *topic, uint64_t *ret_identity,
                                        struct error *err) {
    struct files_topic found = {0};
    enum status status = files_topic_read((struct files_log *)head, topic, &found, err);
    if (status == STATUS_OK)
        *ret_identity = found.identity;
    return status;
}

enum status files_segments(const char *folder, const char *ending, struct arena *arena,
                           int64_t **ret_firsts, size_t *ret_count, struct error *err) {
    char **names = NULL;
    size_t count = 0, kept = 0;
    enum status status = disk_list(folder, arena, &names, &count, err);
    if (status != STATUS_OK)
        return status;
    int64_t *firsts = arena_get(arena, count + 1, sizeof(*firsts));
    if (!firsts)
        return error_no_memory(err, count * sizeof(*firsts), "a list of segments");
    for (size_t i = 0; i < count; i++) {
        const char *name = names[i];
        if (strlen(name) != 20 + strlen(ending) || strcmp(name + 20, ending) != 0)
            continue;
        int64_t first = 0;
        bool digits = true;
        for (size_t d = 0; d < 20; d++) {
            digits = digits && name[d] >= '0' && name[d] <= '9' && first < INT64_MAX / 10;
            first = digits ? first * 10 + (name[d] - '0') : 0;
        }
        if (digits)
            firsts[kept++] = first;
    }
    *ret_firsts = firsts;
    *ret_count = kept;
    return STATUS_OK;
}

enum status files_partition_bounds(struct files_log *log, const char *topic, int32_t partition,
                                   int64_t *ret_begin, int64_t *ret_end, struct error *err) {
    char path[PATH_MAX];
    struct disk_file *file = NULL;
    struct files_end end = {0};
    enum status status =
        disk_open(files_path(log, path, "%s/%d/end", topic, (int)partition), DISK_READ, &file, err);
    if (status == STATUS_OK)
        status = files_end_read(file, path, &end, err);
    disk_close(file);
    struct arena arena;
    arena_init(&arena, 4096);
    int64_t *firsts = NULL;
    size_t count = 0;
    if (status == STATUS_OK)
        status = files_segments(files_path(log, path, "%s/%d", topic, (int)partition), ".avro",
                                &arena, &firsts, &count, err);
    if (status == STATUS_OK) {
        // A segment at or after the end holds nothing committed.
        *ret_begin = count > 0 && firsts[0] < end.next_offset ? firsts[0] : end.next_offset;
        *ret_end = end.next_offset;
    }
    arena_deinit(&arena);
    return status;
}

static enum status files_topic_bounds(struct log *head, const char *topic, int32_t partition,
                                      int64_t *ret_begin, int64_t *ret_end, struct error *err) {
    return files_partition_bounds((struct files_log *)head, topic, partition, ret_begin, ret_end,
                                  err);
}

// Reads the partition through: files have no index of time.
static enum status files_topic_offset_at(struct log *head, const char *topic, int32_t partition,
                                         int64_t timestamp_ms, int64_t *ret_offset,
                                         struct error *err) {
    int64_t begin = 0, end = 0;
    enum status status =
        files_partition_bounds((struct files_log *)head, topic, partition, &begin, &end, err);
    if (status != STATUS_OK)
        return status;
    return log_offset_scan(head, topic, partition, begin, end, timestamp_ms, ret_offset, err);
}

static const struct log_operations files_operations = {
    .backend = LOG_FILES,
    .close = files_close,
    .topic_ensure = files_topic_ensure,
    .topic_partitions = files_topic_partitions,
    .topic_bounds = files_topic_bounds,
    .topic_offset_at = files_topic_offset_at,
    .topic_identity = files_topic_identity,
    .reader_open = files_reader_open,
    .reader_close = files_reader_close,
    .reader_poll = files_reader_poll,
    .reader_pause = files_reader_pause,
    .reader_seek = files_reader_seek,
    .reader_end = files_reader_end,
    .reader_position = files_reader_position,
    .writer_open = files_writer_open,
    .writer_close = files_writer_close,
    .writer_append = files_writer_append,
    .writer_commit = files_writer_commit,
    .journal_place = files_writer_place,
    .journal_trim = files_writer_trim,
    .journal_read = files_writer_journal,
};

enum status log_open_files(const struct log_files_options *options, struct log **ret_log,
                           struct error *err) {
    if (!options->directory || *options->directory == '\0' ||
        strlen(options->directory) + NAMES_MAX >= PATH_MAX)
        return error_set(err, STATUS_INVALID,
                         "could not open a file log: its directory's name is empty or too long");
    if (options->segment_bytes < 1)
        return error_set(err, STATUS_INVALID, "could not open a file log: segment_bytes is %lld",
                         (long long)options->segment_bytes);
    struct files_log *log = memory_new(1, sizeof(*log));
    if (!log)
        return error_no_memory(err, sizeof(*log), "a file log");
    log->head.operations = &files_operations;
    log->segment_bytes = options->segment_bytes;
    log->fsync = options->fsync;
    pthread_condattr_t attributes;
    REQUIRE(pthread_condattr_init(&attributes) == 0);
    REQUIRE(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    REQUIRE(pthread_cond_init(&log->committed, &attributes) == 0);
    REQUIRE(pthread_mutex_init(&log->lock, NULL) == 0);
    pthread_condattr_destroy(&attributes);
    log->directory = memory_copy_string(options->directory);
    enum status status = STATUS_OK;
    char path[PATH_MAX];
    if (!log->directory)
        status = error_no_memory(err, strlen(options->directory), "a file log");
    if (status == STATUS_OK)
        status = disk_make_directory(files_path(log, path, FILES_JOURNALS), err);
    if (status == STATUS_OK)
        status = files_writer_restore(log, err);
    if (status == STATUS_OK)
        *ret_log = &log->head;
    else
        files_close(&log->head);
    return status;
}
