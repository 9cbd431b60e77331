// The writing end of one partition: fills blocks, begins segments, publishes the committed end.
//
// Blocks that fill up before the commit are written at once, beyond the committed end, where no
// reader looks; a writer that opens the partition after a crash cuts them off. The partition's lock
// is held from the first append to the close of the writer.
#include "log/avro_files.h"

#include <string.h>

#define BLOCK_BYTES ((size_t)256 * 1024)
#define HEADER_BYTES_MAX 4096

void files_partition_close(struct files_partition *partition) {
    if (!partition)
        return;
    disk_close(partition->segment);
    disk_close(partition->end_file);
    disk_close(partition->lock);
    buffer_deinit(&partition->block);
    buffer_deinit(&partition->frame);
    memory_free(partition->topic);
    memory_free(partition);
}

static char *segment_path(const struct files_partition *partition, int64_t first,
                          char path[PATH_MAX]) {
    return files_path(partition->log, path, "%s/%d/%020lld.avro", partition->topic,
                      (int)partition->number, (long long)first);
}

// Removes the segments that begin after the committed end, the newest first.
static enum status tail_remove(struct files_partition *partition, struct error *err) {
    char folder[PATH_MAX], path[PATH_MAX];
    files_path(partition->log, folder, "%s/%d", partition->topic, (int)partition->number);
    struct arena arena;
    arena_init(&arena, 4096);
    int64_t *firsts = NULL;
    size_t count = 0;
    enum status status = files_segments(folder, ".avro", &arena, &firsts, &count, err);
    while (status == STATUS_OK && count-- > 0) {
        if (firsts[count] < partition->end.segment ||
            (firsts[count] == partition->end.segment && partition->end.bytes > 0))
            break;
        status = disk_remove(segment_path(partition, firsts[count], path), err);
    }
    arena_deinit(&arena);
    return status;
}

// Cuts the newest committed segment back to its committed bytes and opens it for more.
static enum status segment_resume(struct files_partition *partition, struct error *err) {
    char path[PATH_MAX];
    segment_path(partition, partition->end.segment, path);
    if (!disk_exists(path))
        return error_set(err, STATUS_CORRUPT, "could not continue %s: the file is gone", path);
    uint64_t bytes = 0, committed = (uint64_t)partition->end.bytes;
    enum status status = disk_open(path, DISK_UPDATE, &partition->segment, err);
    if (status == STATUS_OK)
        status = disk_size(partition->segment, &bytes, err);
    if (status == STATUS_OK && bytes < committed)
        status = error_set(err, STATUS_CORRUPT,
                           "could not continue %s: %llu bytes are committed, it has %llu", path,
                           (unsigned long long)committed, (unsigned long long)bytes);
    if (status == STATUS_OK && bytes > committed)
        status = disk_truncate(partition->segment, committed, err);
    if (status != STATUS_OK)
        return status;
    unsigned char head[HEADER_BYTES_MAX];
    size_t length = 0, header = 0;
    status = disk_read_at(partition->segment, 0, head, sizeof(head), &length, err);
    if (status == STATUS_OK)
        status = files_envelope_parse(path, head, length, &header, partition->sync, err);
    partition->segment_first = partition->end.segment;
    partition->segment_bytes = partition->end.bytes;
    return status;
}

enum status files_partition_open(struct files_log *log, const char *topic, int32_t number,
                                 uint64_t owner, struct files_partition **ret_partition,
                                 struct error *err) {
    struct files_partition *partition = memory_new(1, sizeof(*partition));
    if (!partition)
        return error_no_memory(err, sizeof(*partition), "a partition");
    *partition = (struct files_partition){.log = log, .number = number};
    buffer_init(&partition->block);
    buffer_init(&partition->frame);
    enum status status = STATUS_OK;
    char path[PATH_MAX];
    partition->topic = memory_copy_string(topic);
    if (!partition->topic)
        status = error_no_memory(err, strlen(topic), "a partition");
    if (status == STATUS_OK)
        status = disk_open(files_path(log, path, "%s/%d/lock", topic, (int)number), DISK_UPDATE,
                           &partition->lock, err);
    if (status == STATUS_OK && disk_lock(partition->lock, err) != STATUS_OK)
        status = error_prefix(err, "could not write topic `%s` partition %d", topic, (int)number);
    if (status == STATUS_OK)
        status = files_writer_adopt(log, err);
    struct files_topic info = {0};
    if (status == STATUS_OK)
        status = files_topic_read(log, topic, &info, err);
    partition->identity = info.identity;
    if (status == STATUS_OK)
        status = disk_open(files_path(log, path, "%s/%d/end", topic, (int)number), DISK_UPDATE,
                           &partition->end_file, err);
    if (status == STATUS_OK)
        status = files_end_read(partition->end_file, path, &partition->end, err);
    if (status == STATUS_OK)
        status = tail_remove(partition, err);
    if (status == STATUS_OK && partition->end.bytes > 0)
        status = segment_resume(partition, err);
    partition->next_offset = partition->end.next_offset;
    partition->end.owner = owner;
    if (status == STATUS_OK)
        *ret_partition = partition;
    else
        files_partition_close(partition);
    return status;
}

static enum status segment_sync(struct files_partition *partition, struct error *err) {
    enum status status = STATUS_OK;
    if (partition->unsynced && partition->log->fsync)
        status = disk_sync(partition->segment, err);
    if (status == STATUS_OK)
        partition->unsynced = false;
    return status;
}

// Ends the present segment, if any, and begins one whose first record is `first`.
static enum status segment_begin(struct files_partition *partition, int64_t first,
                                 struct error *err) {
    enum status status = segment_sync(partition, err);
    if (status != STATUS_OK)
        return status;
    disk_close(partition->segment);
    partition->segment = NULL;
    char path[PATH_MAX];
    status =
        disk_open(segment_path(partition, first, path), DISK_REPLACE, &partition->segment, err);
    if (status != STATUS_OK)
        return status;
    files_envelope_sync(partition->topic, partition->number, first, partition->sync);
    buffer_reset(&partition->frame);
    files_envelope_header(&partition->frame, partition->sync);
    if (partition->frame.failed)
        return error_no_memory(err, HEADER_BYTES_MAX, "a segment's header");
    partition->segment_first = first;
    partition->segment_bytes = (int64_t)partition->frame.length;
    partition->unsynced = true;
    status =
        disk_write_at(partition->segment, 0, partition->frame.data, partition->frame.length, err);
    if (status == STATUS_OK && partition->log->fsync) {
        files_path(partition->log, path, "%s/%d", partition->topic, (int)partition->number);
        status = disk_sync_directory(path, err);
    }
    return status;
}

static enum status block_write(struct files_partition *partition, struct error *err) {
    if (partition->block_count == 0)
        return STATUS_OK;
    enum status status = STATUS_OK;
    if (!partition->segment || partition->segment_bytes >= partition->log->segment_bytes)
        status = segment_begin(partition, partition->next_offset - partition->block_count, err);
    if (status != STATUS_OK)
        return status;
    struct buffer *frame = &partition->frame;
    buffer_reset(frame);
    wire_put_long(frame, partition->block_count);
    wire_put_bytes(frame, partition->block.data, partition->block.length);
    buffer_append(frame, partition->sync, FILES_SYNC_BYTES);
    if (frame->failed)
        return error_no_memory(err, partition->block.length, "a block");
    status = disk_write_at(partition->segment, (uint64_t)partition->segment_bytes, frame->data,
                           frame->length, err);
    if (status != STATUS_OK)
        return status;
    partition->unsynced = true;
    partition->segment_bytes += (int64_t)frame->length;
    partition->block_count = 0;
    buffer_reset(&partition->block);
    return STATUS_OK;
}

enum status files_partition_append(struct files_partition *partition,
                                   const struct log_record *record, struct error *err) {
    struct log_record numbered = *record;
    numbered.offset = partition->next_offset;
    partition->touched = true;
    files_envelope_put(&partition->block, &numbered);
    if (partition->block.failed)
        return error_no_memory(err, record->value_length, "a record");
    partition->next_offset++;
    partition->block_count++;
    return partition->block.length < BLOCK_BYTES ? STATUS_OK : block_write(partition, err);
}

enum status files_partition_settle(struct files_partition *partition, struct error *err) {
    enum status status = block_write(partition, err);
    return status == STATUS_OK ? segment_sync(partition, err) : status;
}

struct files_end files_partition_next(const struct files_partition *partition) {
    struct files_end end = partition->end;
    if (partition->touched) {
        end.next_offset = partition->next_offset;
        end.segment = partition->segment_first;
        end.bytes = partition->segment_bytes;
    }
    return end;
}

enum status files_partition_publish(struct files_partition *partition, struct error *err) {
    partition->end = files_partition_next(partition);
    partition->touched = false;
    return files_end_publish(partition->end_file, &partition->end, err);
}

// `found` is behind `wanted`: has another task written since, or was it only not published?
static enum status end_restore(struct disk_file *file, const struct files_named_end *wanted,
                               struct files_end found, struct error *err) {
    if (found.owner != wanted->end.owner && found.version > wanted->end.version)
        return error_set(
            err, STATUS_CHANGED,
            "could not recover topic `%s` partition %d: another task wrote to it before "
            "this one was recovered",
            wanted->topic, (int)wanted->partition);
    struct files_end end = wanted->end;
    end.version = found.version;
    return files_end_publish(file, &end, err);
}

enum status files_partition_recover(struct files_log *log, const struct files_named_end *wanted,
                                    struct error *err) {
    struct files_topic topic = {0};
    enum status status = files_topic_read(log, wanted->topic, &topic, err);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    if (status != STATUS_OK || topic.identity != wanted->identity)
        return status;
    char path[PATH_MAX];
    struct disk_file *file = NULL;
    struct files_end found = {0};
    files_path(log, path, "%s/%d/end", wanted->topic, (int)wanted->partition);
    status = disk_open(path, DISK_UPDATE, &file, err);
    if (status == STATUS_OK)
        status = files_end_read(file, path, &found, err);
    if (status == STATUS_CORRUPT) { // both slots were being written when the power went
        found = (struct files_end){.version = wanted->end.version, .owner = wanted->end.owner};
        status = STATUS_OK;
    }
    if (status == STATUS_OK && found.next_offset < wanted->end.next_offset)
        status = end_restore(file, wanted, found, err);
    if (status == STATUS_OK && log->fsync)
        status = disk_sync(file, err);
    disk_close(file);
    return status;
}
