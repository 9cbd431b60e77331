// The dispatch of log.h: checks the arguments once for all backends and passes the call on.
//
// A writer whose append or commit failed is broken from then on: what it holds may be half of a
// commit, so every later call says so until the task opens a new one.
#include "log/backend.h"

#include <string.h>

enum status log_name_check(const char *what, const char *name, struct error *err) {
    size_t length = strlen(name);
    if (length == 0 || length > LOG_NAME_MAX)
        return error_set(err, STATUS_INVALID, "could not use %s name `%.40s`: 1 to %d bytes wanted",
                         what, name, LOG_NAME_MAX);
    bool fits = name[0] != '.';
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        fits = fits && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-');
    }
    if (!fits)
        return error_set(err, STATUS_INVALID,
                         "could not use %s name `%s`: letters, digits, '_', '-' and inner '.' only",
                         what, name);
    return STATUS_OK;
}

enum status log_offset_refused(const char *topic, int32_t partition, int64_t wanted, int64_t begin,
                               int64_t end, struct error *err) {
    return error_set(
        err, STATUS_CHANGED,
        "could not read topic `%s` partition %d from offset %lld: it holds %lld to %lld "
        "now (retention has passed the offset, or the log was cut)",
        topic, (int)partition, (long long)wanted, (long long)begin, (long long)end);
}

void log_close(struct log *log) {
    if (log)
        log->operations->close(log);
}

enum log_backend log_backend_of(const struct log *log) {
    return log->operations->backend;
}

enum status log_topic_ensure(struct log *log, const char *topic, int32_t partitions,
                             struct error *err) {
    enum status status = log_name_check("topic", topic, err);
    if (status != STATUS_OK)
        return status;
    if (partitions < 1)
        return error_set(err, STATUS_INVALID, "could not make topic `%s`: %d partitions asked for",
                         topic, (int)partitions);
    return log->operations->topic_ensure(log, topic, partitions, err);
}

enum status log_topic_partitions(struct log *log, const char *topic, int32_t *ret_partitions,
                                 struct error *err) {
    enum status status = log_name_check("topic", topic, err);
    if (status != STATUS_OK)
        return status;
    return log->operations->topic_partitions(log, topic, ret_partitions, err);
}

// The topic exists and has this partition.
static enum status partition_check(struct log *log, const char *topic, int32_t partition,
                                   struct error *err) {
    int32_t partitions = 0;
    enum status status = log_topic_partitions(log, topic, &partitions, err);
    if (status != STATUS_OK)
        return status;
    if (partition < 0 || partition >= partitions)
        return error_set(err, STATUS_NOT_FOUND,
                         "could not find partition %d of topic `%s`: it has %d partitions",
                         (int)partition, topic, (int)partitions);
    return STATUS_OK;
}

enum status log_topic_bounds(struct log *log, const char *topic, int32_t partition,
                             int64_t *ret_begin, int64_t *ret_end, struct error *err) {
    enum status status = partition_check(log, topic, partition, err);
    if (status != STATUS_OK)
        return status;
    return log->operations->topic_bounds(log, topic, partition, ret_begin, ret_end, err);
}

enum status log_topic_offset_at(struct log *log, const char *topic, int32_t partition,
                                int64_t timestamp_ms, int64_t *ret_offset, struct error *err) {
    enum status status = partition_check(log, topic, partition, err);
    if (status != STATUS_OK)
        return status;
    return log->operations->topic_offset_at(log, topic, partition, timestamp_ms, ret_offset, err);
}

// Where `batch` holds the first record at or after the time and before `end`; false when nowhere.
static bool batch_find_time(const struct log_batch *batch, int64_t end, int64_t timestamp_ms,
                            int64_t *ret_offset) {
    for (size_t i = 0; i < batch->count; i++) {
        const struct log_record *record = &batch->records[i];
        if (record->offset >= end || record->timestamp_ms >= timestamp_ms) {
            *ret_offset = record->offset < end ? record->offset : end;
            return true;
        }
    }
    return false;
}

enum status log_offset_scan(struct log *log, const char *topic, int32_t partition, int64_t from,
                            int64_t end, int64_t timestamp_ms, int64_t *ret_offset,
                            struct error *err) {
    struct log_position position = {.topic = topic, .partition = partition, .offset = from};
    struct log_reader *reader = NULL;
    enum status status = log_reader_open(log, &position, 1, &reader, err);
    int64_t next = from;
    bool found = false;
    for (int silent = 0; status == STATUS_OK && !found && next < end;) {
        struct log_batch batch = {0};
        status = log_reader_poll(reader, 4096, 1000, &batch, err);
        if (status == STATUS_OK) {
            silent = 0;
            found = batch_find_time(&batch, end, timestamp_ms, ret_offset);
        } else if (status == STATUS_TIMEOUT) {
            status = ++silent < 30 ? STATUS_OK
                                   : error_set(err, STATUS_UNAVAILABLE,
                                               "could not find a time in topic `%s`: nothing came "
                                               "for half a minute",
                                               topic);
        }
        if (status == STATUS_OK)
            status = log_reader_position(reader, 0, &next, err);
    }
    log_reader_close(reader);
    if (status == STATUS_OK && !found)
        *ret_offset = end;
    return status;
}

enum status log_topic_identity(struct log *log, const char *topic, uint64_t *ret_identity,
                               struct error *err) {
    enum status status = log_name_check("topic", topic, err);
    if (status != STATUS_OK)
        return status;
    return log->operations->topic_identity(log, topic, ret_identity, err);
}

enum status log_reader_open(struct log *log, const struct log_position *positions, size_t count,
                            struct log_reader **ret_reader, struct error *err) {
    for (size_t i = 0; i < count; i++) {
        enum status status = partition_check(log, positions[i].topic, positions[i].partition, err);
        if (status != STATUS_OK)
            return status;
        if (positions[i].offset < 0)
            return error_set(err, STATUS_INVALID, "could not read topic `%s` from offset %lld",
                             positions[i].topic, (long long)positions[i].offset);
    }
    return log->operations->reader_open(log, positions, count, ret_reader, err);
}

void log_reader_close(struct log_reader *reader) {
    if (reader)
        reader->log->operations->reader_close(reader);
}

enum status log_reader_poll(struct log_reader *reader, size_t records_max, int64_t timeout_ms,
                            struct log_batch *ret_batch, struct error *err) {
    *ret_batch = (struct log_batch){0};
    if (records_max == 0)
        return error_set(err, STATUS_INVALID, "could not poll: no room for any record");
    return reader->log->operations->reader_poll(reader, records_max,
                                                timeout_ms > 0 ? timeout_ms : 0, ret_batch, err);
}

static enum status slot_check(const struct log_reader *reader, uint32_t slot, struct error *err) {
    if (slot < reader->slot_count)
        return STATUS_OK;
    return error_set(err, STATUS_INVALID, "could not find slot %u: the reader has %zu",
                     (unsigned)slot, reader->slot_count);
}

enum status log_reader_pause(struct log_reader *reader, uint32_t slot, bool paused,
                             struct error *err) {
    enum status status = slot_check(reader, slot, err);
    if (status != STATUS_OK)
        return status;
    return reader->log->operations->reader_pause(reader, slot, paused, err);
}

enum status log_reader_seek(struct log_reader *reader, uint32_t slot, int64_t offset,
                            struct error *err) {
    enum status status = slot_check(reader, slot, err);
    if (status != STATUS_OK)
        return status;
    if (offset < 0)
        return error_set(err, STATUS_INVALID, "could not seek to offset %lld", (long long)offset);
    return reader->log->operations->reader_seek(reader, slot, offset, err);
}

enum status log_reader_end(struct log_reader *reader, uint32_t slot, int64_t *ret_end,
                           struct error *err) {
    enum status status = slot_check(reader, slot, err);
    if (status != STATUS_OK)
        return status;
    return reader->log->operations->reader_end(reader, slot, ret_end, err);
}

enum status log_reader_position(struct log_reader *reader, uint32_t slot, int64_t *ret_offset,
                                struct error *err) {
    enum status status = slot_check(reader, slot, err);
    if (status != STATUS_OK)
        return status;
    return reader->log->operations->reader_position(reader, slot, ret_offset, err);
}

void log_reader_report(struct log_reader *reader, const char *group, const int64_t *next_offsets) {
    if (reader->log->operations->reader_report)
        reader->log->operations->reader_report(reader, group, next_offsets);
}

enum status log_writer_open(struct log *log, const char *task, const char *const *outputs,
                            size_t output_count, struct log_writer **ret_writer,
                            struct error *err) {
    enum status status = *task == '\0' ? STATUS_OK : log_name_check("task", task, err);
    for (size_t i = 0; status == STATUS_OK && i < output_count; i++)
        status = log_name_check("topic", outputs[i], err);
    if (status != STATUS_OK)
        return status;
    return log->operations->writer_open(log, task, outputs, output_count, ret_writer, err);
}

void log_writer_close(struct log_writer *writer) {
    if (writer)
        writer->log->operations->writer_close(writer);
}

static enum status writer_check(const struct log_writer *writer, struct error *err) {
    if (writer->broken == STATUS_OK)
        return STATUS_OK;
    return error_set(err, writer->broken,
                     "could not use the writer of task `%s`: it failed before (%s); open it again",
                     writer->task, status_name(writer->broken));
}

enum status log_writer_append(struct log_writer *writer, size_t output, int32_t partition,
                              const struct log_record *record, struct error *err) {
    enum status status = writer_check(writer, err);
    if (status != STATUS_OK)
        return status;
    if (output >= writer->output_count || partition < 0 ||
        partition >= writer->output_partitions[output])
        return error_set(err, STATUS_INVALID,
                         "could not append to output %zu partition %d: no such output or partition",
                         output, (int)partition);
    status = writer->log->operations->writer_append(writer, output, partition, record, err);
    writer->broken = status;
    return status;
}

enum status log_writer_commit(struct log_writer *writer, const struct log_journal_entry *entries,
                              size_t entry_count, struct error *err) {
    enum status status = writer_check(writer, err);
    if (status != STATUS_OK)
        return status;
    if (entry_count > 0 && *writer->task == '\0')
        return error_set(err, STATUS_INVALID,
                         "could not journal: this writer was opened without a task");
    status = writer->log->operations->writer_commit(writer, entries, entry_count, err);
    writer->broken = status;
    return status;
}

int64_t log_writer_journal_place(struct log_writer *writer) {
    return *writer->task == '\0' ? 0 : writer->log->operations->journal_place(writer);
}

enum status log_writer_journal_read(struct log_writer *writer, int64_t place,
                                    log_journal_visit *each, void *self, struct error *err) {
    if (*writer->task == '\0' || place < 0)
        return error_set(err, STATUS_INVALID, "could not read the journal of task `%s` from %lld",
                         writer->task, (long long)place);
    return writer->log->operations->journal_read(writer->log, writer, writer->task, place, each,
                                                 self, err);
}

enum status log_writer_journal_trim(struct log_writer *writer, int64_t place, struct error *err) {
    if (*writer->task == '\0')
        return STATUS_OK;
    return writer->log->operations->journal_trim(writer, place, err);
}

enum status log_journal_read(struct log *log, const char *task, int64_t place,
                             log_journal_visit *each, void *self, struct error *err) {
    enum status status = log_name_check("task", task, err);
    if (status != STATUS_OK)
        return status;
    if (place < 0)
        return error_set(err, STATUS_INVALID, "could not read the journal of task `%s` from %lld",
                         task, (long long)place);
    return log->operations->journal_read(log, NULL, task, place, each, self, err);
}
