#include "bench/generated_log.h"

#include <string.h>

#include "log/backend.h"

struct generated_log {
    struct log head;
    const struct join_config *config;
    struct generated_marks *marks;
};

struct generated_reader {
    struct log_reader head;
    struct join_events events;
    int64_t next[JOIN_INPUTS]; // offsets
    struct log_record *records;
    size_t capacity;
    struct buffer bytes;
};

struct generated_writer {
    struct log_writer head;
    int64_t place;
};

static const int32_t one_partition[INGEST_OUTPUTS] = {1, 1};

static void generated_close(struct log *log) {
    memory_free(log);
}

static enum status topic_ensure(struct log *log, const char *topic, int32_t partitions,
                                struct error *err) {
    (void)log;
    (void)topic;
    (void)partitions;
    (void)err;
    return STATUS_OK;
}

static enum status topic_partitions(struct log *log, const char *topic, int32_t *ret_partitions,
                                    struct error *err) {
    (void)log;
    (void)topic;
    (void)err;
    *ret_partitions = 1;
    return STATUS_OK;
}

static enum status topic_bounds(struct log *log, const char *topic, int32_t partition,
                                int64_t *ret_begin, int64_t *ret_end, struct error *err) {
    (void)log;
    (void)topic;
    (void)partition;
    (void)err;
    *ret_begin = 0;
    *ret_end = INT64_MAX;
    return STATUS_OK;
}

static enum status topic_offset_at(struct log *log, const char *topic, int32_t partition,
                                   int64_t timestamp_ms, int64_t *ret_offset, struct error *err) {
    (void)log;
    (void)topic;
    (void)partition;
    (void)timestamp_ms;
    (void)err;
    *ret_offset = 0;
    return STATUS_OK;
}

static enum status topic_identity(struct log *log, const char *topic, uint64_t *ret_identity,
                                  struct error *err) {
    (void)log;
    (void)topic;
    (void)err;
    *ret_identity = 1;
    return STATUS_OK;
}

// --- Reading.

static void reader_close(struct log_reader *head) {
    struct generated_reader *reader = (struct generated_reader *)head;
    buffer_deinit(&reader->bytes);
    memory_free(reader->records);
    memory_free(reader);
}

static enum status reader_open(struct log *log, const struct log_position *positions, size_t count,
                               struct log_reader **ret_reader, struct error *err) {
    struct generated_log *self = (struct generated_log *)log;
    struct generated_reader *reader = memory_new(1, sizeof(*reader));
    if (!reader)
        return error_no_memory(err, sizeof(*reader), "a reader");
    REQUIRE(count == JOIN_INPUTS);
    for (size_t i = 0; i < count; i++)
        REQUIRE(positions[i].offset == 0 &&
                strcmp(positions[i].topic, join_topic(self->config, (enum join_input)i)) == 0);
    reader->head = (struct log_reader){.log = log, .slot_count = count};
    join_events_init(&reader->events, self->marks->impressions);
    *ret_reader = &reader->head;
    return STATUS_OK;
}

// Notes how far the reading has come.
static void marks_move(struct generated_marks *marks, const struct generated_reader *reader,
                       size_t count) {
    if (reader->events.at >= marks->steady_after) {
        if (!(marks->steady_begin > 0))
            marks->steady_begin = bench_seconds();
        else
            marks->steady_events += count;
    }
    marks->events += count;
    if (count == 0 && !atomic_load(&marks->stop)) {
        marks->end = bench_seconds();
        atomic_store(&marks->stop, true);
    }
}

static enum status reader_poll(struct log_reader *head, size_t records_max, int64_t timeout_ms,
                               struct log_batch *ret_batch, struct error *err) {
    struct generated_reader *reader = (struct generated_reader *)head;
    struct join_event event;
    size_t count = 0, at = 0;
    (void)timeout_ms;
    if (reader->capacity < records_max) {
        void *grown =
            memory_resize(reader->records, reader->capacity, records_max, sizeof(*reader->records));
        if (!grown)
            return error_no_memory(err, records_max * sizeof(*reader->records), "a batch");
        reader->records = grown;
        reader->capacity = records_max;
    }
    buffer_reset(&reader->bytes);
    for (; count < records_max && join_events_next(&reader->events, &event); count++) {
        size_t begin = reader->bytes.length;
        join_event_encode(&event, &reader->bytes);
        reader->records[count] = (struct log_record){.slot = event.input,
                                                     .offset = reader->next[event.input]++,
                                                     .timestamp_ms = event.time_ms,
                                                     .sequence = LOG_NO_SEQUENCE,
                                                     .value_length = reader->bytes.length - begin};
    }
    if (reader->bytes.failed)
        return error_no_memory(err, reader->bytes.capacity, "a batch");
    for (size_t i = 0; i < count; at += reader->records[i++].value_length)
        reader->records[i].value = reader->bytes.data + at;
    marks_move(((struct generated_log *)head->log)->marks, reader, count);
    if (count == 0)
        return error_set(err, STATUS_TIMEOUT, "all events have been given");
    *ret_batch = (struct log_batch){.records = reader->records, .count = count};
    return STATUS_OK;
}

// Inputs come in step, so none is ever far enough ahead to be paused.
static enum status reader_pause(struct log_reader *head, uint32_t slot, bool paused,
                                struct error *err) {
    (void)head;
    (void)slot;
    return paused ? error_set(err, STATUS_INVALID, "a generated input ran ahead") : STATUS_OK;
}

static enum status reader_seek(struct log_reader *head, uint32_t slot, int64_t offset,
                               struct error *err) {
    (void)head;
    (void)slot;
    (void)offset;
    return error_set(err, STATUS_INVALID, "a generated log is read from its beginning, once");
}

static enum status reader_end(struct log_reader *head, uint32_t slot, int64_t *ret_end,
                              struct error *err) {
    (void)err;
    *ret_end = ((struct generated_reader *)head)->next[slot];
    return STATUS_OK;
}

// --- Writing.

static enum status writer_open(struct log *log, const char *task, const char *const *outputs,
                               size_t output_count, struct log_writer **ret_writer,
                               struct error *err) {
    struct generated_writer *writer = memory_new(1, sizeof(*writer));
    (void)outputs;
    if (!writer)
        return error_no_memory(err, sizeof(*writer), "a writer");
    REQUIRE(output_count <= INGEST_OUTPUTS);
    writer->head = (struct log_writer){
        .log = log, .task = task, .output_count = output_count, .output_partitions = one_partition};
    *ret_writer = &writer->head;
    return STATUS_OK;
}

static void writer_close(struct log_writer *writer) {
    memory_free(writer);
}

static enum status writer_append(struct log_writer *writer, size_t output, int32_t partition,
                                 const struct log_record *record, struct error *err) {
    (void)writer;
    (void)output;
    (void)partition;
    (void)record;
    (void)err;
    return STATUS_OK;
}

static enum status writer_commit(struct log_writer *writer, const struct log_journal_entry *entries,
                                 size_t entry_count, struct error *err) {
    (void)entries;
    (void)err;
    ((struct generated_writer *)writer)->place += (int64_t)entry_count;
    return STATUS_OK;
}

static int64_t journal_place(struct log_writer *writer) {
    return ((struct generated_writer *)writer)->place;
}

static enum status journal_trim(struct log_writer *writer, int64_t place, struct error *err) {
    (void)writer;
    (void)place;
    (void)err;
    return STATUS_OK;
}

static enum status journal_read(struct log *log, struct log_writer *writer, const char *task,
                                int64_t place, log_journal_visit *each, void *self,
                                struct error *err) {
    (void)log;
    (void)task;
    (void)each;
    (void)self;
    if (writer && place == ((struct generated_writer *)writer)->place)
        return STATUS_OK;
    return place == 0 ? STATUS_OK : error_set(err, STATUS_CHANGED, "nothing is kept");
}

static const struct log_operations operations = {
    .backend = LOG_MEMORY,
    .close = generated_close,
    .topic_ensure = topic_ensure,
    .topic_partitions = topic_partitions,
    .topic_bounds = topic_bounds,
    .topic_offset_at = topic_offset_at,
    .topic_identity = topic_identity,
    .reader_open = reader_open,
    .reader_close = reader_close,
    .reader_poll = reader_poll,
    .reader_pause = reader_pause,
    .reader_seek = reader_seek,
    .reader_end = reader_end,
    .reader_position = reader_end,
    .writer_open = writer_open,
    .writer_close = writer_close,
    .writer_append = writer_append,
    .writer_commit = writer_commit,
    .journal_place = journal_place,
    .journal_trim = journal_trim,
    .journal_read = journal_read,
};

struct log *generated_log_open(const struct join_config *config, struct generated_marks *marks) {
    struct error err;
    struct generated_log *log = memory_new(1, sizeof(*log));
    if (!log)
        bench_must(error_no_memory(&err, sizeof(*log), "a log"), &err);
    *log = (struct generated_log){.head = {&operations}, .config = config, .marks = marks};
    return &log->head;
}
