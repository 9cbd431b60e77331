// The files backend's reader: whole blocks are read into a slot's window and records are handed out
// of it without copying.
//
// A slot reads up to the partition's committed end, which it looks at again when it has nothing
// more. Windows are refilled only at a poll, so that what the last poll gave stays valid until
// then. An idle poll waits on this process's commits and, for those of other processes, looks again
// after a time that doubles up to 16 ms.
#include "log/avro_files.h"

#include <string.h>
#include <time.h>

#define WINDOW_BYTES ((size_t)512 * 1024)
#define HEAD_BYTES 4096 // a segment's header, or a block's head and first offset
#define WAIT_MS_MAX 16

struct files_slot {
    char *topic;
    int32_t partition;
    uint64_t identity;
    int64_t offset; // next to hand out
    bool paused;
    struct disk_file *end_file;
    struct files_end end; // as last seen
    struct disk_file *segment;
    int64_t segment_first;
    unsigned char sync[FILES_SYNC_BYTES];
    uint64_t at;          // of the window in the segment
    struct buffer window; // length = bytes held
    size_t used;          // of the window: blocks gone through
    struct wire records;  // of the block being handed out
    int64_t records_left;
    bool relocate; // a seek: find segment and block anew
};

struct files_reader {
    struct log_reader head;
    struct files_slot *slots; // [head.slot_count]
    size_t turn;
    struct log_record *records;
    size_t capacity;
};

static char *segment_path(const struct files_log *log, const struct files_slot *slot, int64_t first,
                          char path[PATH_MAX]) {
    return files_path(log, path, "%s/%d/%020lld.avro", slot->topic, (int)slot->partition,
                      (long long)first);
}

static void slot_deinit(struct files_slot *slot) {
    disk_close(slot->segment);
    disk_close(slot->end_file);
    buffer_deinit(&slot->window);
    memory_free(slot->topic);
}

void files_reader_close(struct log_reader *head) {
    struct files_reader *reader = (struct files_reader *)head;
    for (size_t i = 0; reader->slots && i < head->slot_count; i++)
        slot_deinit(&reader->slots[i]);
    memory_free(reader->slots);
    memory_free(reader->records);
    memory_free(reader);
}

static enum status end_look(struct files_log *log, struct files_slot *slot, struct error *err) {
    char path[PATH_MAX];
    files_path(log, path, "%s/%d/end", slot->topic, (int)slot->partition);
    return files_end_read(slot->end_file, path, &slot->end, err);
}

static enum status range_check(struct files_log *log, const struct files_slot *slot, int64_t offset,
                               struct error *err) {
    int64_t begin = 0, end = 0;
    enum status status =
        files_partition_bounds(log, slot->topic, slot->partition, &begin, &end, err);
    if (status == STATUS_OK && (offset < begin || offset > end))
        status = log_offset_refused(slot->topic, slot->partition, offset, begin, end, err);
    return status;
}

static enum status slot_init(struct files_log *log, struct files_slot *slot,
                             const struct log_position *position, struct error *err) {
    buffer_init(&slot->window);
    slot->partition = position->partition;
    slot->offset = position->offset;
    slot->relocate = true;
    slot->topic = memory_copy_string(position->topic);
    if (!slot->topic)
        return error_no_memory(err, strlen(position->topic), "a topic's name");
    struct files_topic topic = {0};
    enum status status = files_topic_read(log, slot->topic, &topic, err);
    slot->identity = topic.identity;
    if (status == STATUS_OK)
        status = range_check(log, slot, slot->offset, err);
    char path[PATH_MAX];
    files_path(log, path, "%s/%d/end", slot->topic, (int)slot->partition);
    if (status == STATUS_OK)
        status = disk_open(path, DISK_READ, &slot->end_file, err);
    return status == STATUS_OK ? end_look(log, slot, err) : status;
}

enum status files_reader_open(struct log *head, const struct log_position *positions, size_t count,
                              struct log_reader **ret_reader, struct error *err) {
    struct files_reader *reader = memory_new(1, sizeof(*reader));
    if (!reader)
        return error_no_memory(err, sizeof(*reader), "a reader");
    reader->head = (struct log_reader){.log = head, .slot_count = count};
    reader->slots = memory_new(count + 1, sizeof(*reader->slots));
    enum status status = STATUS_OK;
    if (!reader->slots)
        status = error_no_memory(err, count * sizeof(*reader->slots), "a reader");
    for (size_t i = 0; status == STATUS_OK && i < count; i++)
        status = slot_init((struct files_log *)head, &reader->slots[i], &positions[i], err);
    if (status == STATUS_OK)
        *ret_reader = &reader->head;
    else
        files_reader_close(&reader->head);
    return status;
}

static enum status corrupt(struct files_log *log, const struct files_slot *slot, const char *what,
                           struct error *err) {
    char path[PATH_MAX];
    return error_set(err, STATUS_CORRUPT, "could not read %s at byte %llu: %s",
                     segment_path(log, slot, slot->segment_first, path),
                     (unsigned long long)(slot->at + slot->used), what);
}

// Committed bytes of the slot's segment.
static enum status segment_limit(const struct files_slot *slot, uint64_t *ret_limit,
                                 struct error *err) {
    *ret_limit = (uint64_t)slot->end.bytes;
    if (slot->segment_first == slot->end.segment)
        return STATUS_OK;
    return disk_size(slot->segment, ret_limit, err);
}

// Opens a segment and stands behind its header.
static enum status segment_open(struct files_log *log, struct files_slot *slot, int64_t first,
                                struct error *err) {
    disk_close(slot->segment);
    slot->segment = NULL;
    char path[PATH_MAX];
    unsigned char head[HEAD_BYTES];
    size_t length = 0, header = 0;
    enum status status =
        disk_open(segment_path(log, slot, first, path), DISK_READ, &slot->segment, err);
    if (status == STATUS_NOT_FOUND) {
        status = range_check(log, slot, slot->offset, err);
        return status != STATUS_OK ? status
                                   : error_set(err, STATUS_CHANGED, "segment %s is gone", path);
    }
    if (status == STATUS_OK)
        status = disk_read_at(slot->segment, 0, head, sizeof(head), &length, err);
    if (status == STATUS_OK)
        status = files_envelope_parse(path, head, length, &header, slot->sync, err);
    slot->segment_first = first;
    slot->at = header;
    slot->used = 0;
    slot->window.length = 0;
    slot->records_left = 0;
    return status;
}

// Hops from block to block, reading heads only, to the one that holds the slot's offset.
static enum status block_find(struct files_log *log, struct files_slot *slot, struct error *err) {
    uint64_t limit = 0;
    enum status status = segment_limit(slot, &limit, err);
    int64_t first = slot->segment_first;
    while (status == STATUS_OK && slot->at < limit && first < slot->offset) {
        unsigned char head[32];
        size_t length = 0;
        int64_t count = 0, bytes = 0;
        status = disk_read_at(slot->segment, slot->at, head, sizeof(head), &length, err);
        if (status != STATUS_OK)
            return status;
        size_t block = files_envelope_block(head, length, &count, &bytes);
        if (block == 0 || (uint64_t)bytes > limit - slot->at)
            return corrupt(log, slot, "a block's head is malformed", err);
        if (first + count > slot->offset)
            return STATUS_OK;
        first += count;
        slot->at += block + (uint64_t)bytes + FILES_SYNC_BYTES;
    }
    return status;
}

static enum status slot_locate(struct files_log *log, struct files_slot *slot, struct error *err) {
    char folder[PATH_MAX];
    files_path(log, folder, "%s/%d", slot->topic, (int)slot->partition);
    struct arena arena;
    arena_init(&arena, 4096);
    int64_t *firsts = NULL, first = -1;
    size_t count = 0;
    enum status status = files_segments(folder, ".avro", &arena, &firsts, &count, err);
    for (size_t i = 0; status == STATUS_OK && i < count && firsts[i] <= slot->offset; i++)
        first = firsts[i];
    arena_deinit(&arena);
    if (status == STATUS_OK && first < 0)
        status = range_check(log, slot, slot->offset, err);
    if (status == STATUS_OK && first < 0)
        status = error_set(err, STATUS_CORRUPT, "could not find offset %lld in %s",
                           (long long)slot->offset, folder);
    if (status == STATUS_OK)
        status = segment_open(log, slot, first, err);
    if (status == STATUS_OK)
        status = block_find(log, slot, err);
    slot->relocate = status != STATUS_OK;
    return status;
}

// Enters the block at window+used when it is there as a whole; *ret_wanted tells how many bytes it
// needs otherwise (0 = it is entered).
static enum status block_enter(struct files_log *log, struct files_slot *slot, size_t *ret_wanted,
                               struct error *err) {
    const unsigned char *bytes = slot->window.data + slot->used;
    size_t length = slot->window.length - slot->used;
    int64_t count = 0, data = 0;
    size_t head = length > 0 ? files_envelope_block(bytes, length, &count, &data) : 0;
    if (head == 0 && length >= 20) // two varints of at most 10 bytes
        return corrupt(log, slot, "a block's head is malformed", err);
    *ret_wanted = head == 0 ? 20 : head + (size_t)data + FILES_SYNC_BYTES;
    if (head == 0 || *ret_wanted > length)
        return STATUS_OK;
    if (memcmp(bytes + head + data, slot->sync, FILES_SYNC_BYTES) != 0)
        return corrupt(log, slot, "a block does not end in the file's sync marker", err);
    slot->records = wire_over(bytes + head, (size_t)data);
    slot->records_left = count;
    slot->used += *ret_wanted;
    *ret_wanted = 0;
    return STATUS_OK;
}

// Reads a window of whole blocks from the segment's committed bytes; STATUS_END when there are
// none.
static enum status window_load(struct files_log *log, struct files_slot *slot, struct error *err) {
    slot->at += slot->used;
    slot->used = 0;
    slot->window.length = 0;
    uint64_t limit = 0;
    enum status status = segment_limit(slot, &limit, err);
    if (status != STATUS_OK)
        return status;
    if (slot->at >= limit)
        return STATUS_END;
    size_t wanted = WINDOW_BYTES, block = 0;
    while (true) {
        if (wanted > limit - slot->at)
            wanted = (size_t)(limit - slot->at);
        slot->window.length = 0;
        void *into = buffer_reserve(&slot->window, wanted);
        if (!into)
            return error_no_memory(err, wanted, "a block");
        size_t length = 0;
        status = disk_read_at(slot->segment, slot->at, into, wanted, &length, err);
        if (status != STATUS_OK)
            return status;
        slot->window.length = length;
        status = block_enter(log, slot, &block, err);
        if (status != STATUS_OK || block == 0)
            return status;
        if (length < wanted || block > limit - slot->at)
            return corrupt(log, slot, "a block is cut off", err);
        wanted = block;
    }
}

// Makes the next record readable. STATUS_END: nothing more is committed. A window that gave records
// in this poll is not replaced (`fixed`): STATUS_END as well.
static enum status slot_advance(struct files_log *log, struct files_slot *slot, bool fixed,
                                struct error *err) {
    size_t wanted = 0;
    enum status status = STATUS_OK;
    if (!slot->relocate && slot->used < slot->window.length) {
        status = block_enter(log, slot, &wanted, err);
        if (status != STATUS_OK || wanted == 0)
            return status;
    }
    if (fixed)
        return STATUS_END;
    if (slot->offset >= slot->end.next_offset) {
        status = end_look(log, slot, err);
        if (status == STATUS_OK && slot->offset >= slot->end.next_offset)
            return STATUS_END;
    }
    if (status == STATUS_OK && (slot->relocate || !slot->segment))
        status = slot_locate(log, slot, err);
    if (status != STATUS_OK)
        return status;
    status = window_load(log, slot, err);
    if (status == STATUS_END && slot->segment_first < slot->end.segment) {
        status = segment_open(log, slot, slot->offset, err);
        if (status == STATUS_OK)
            status = window_load(log, slot, err);
    }
    if (status == STATUS_END)
        return corrupt(log, slot, "committed records are missing", err);
    return status;
}

// Hands out records of one slot until its window ends or the batch is full.
static enum status slot_take(struct files_reader *reader, uint32_t index, size_t records_max,
                             size_t *count, struct error *err) {
    struct files_log *log = (struct files_log *)reader->head.log;
    struct files_slot *slot = &reader->slots[index];
    size_t before = *count;
    while (*count < records_max) {
        if (slot->records_left == 0 || slot->relocate) {
            enum status status = slot_advance(log, slot, *count > before, err);
            if (status != STATUS_OK)
                return status == STATUS_END ? STATUS_OK : status;
        }
        struct log_record *record = &reader->records[*count];
        files_envelope_get(&slot->records, record);
        slot->records_left--;
        if (slot->records.bad || record->offset > slot->offset ||
            (slot->records_left == 0 && slot->records.at != slot->records.end))
            return corrupt(log, slot, "the block before holds a malformed record", err);
        if (record->offset < slot->offset)
            continue;
        record->slot = index;
        slot->offset++;
        ++*count;
    }
    return STATUS_OK;
}

// Every slot once. An error comes only with the next poll when there are records to give.
static enum status reader_take(struct files_reader *reader, size_t records_max, size_t *count,
                               struct error *err) {
    size_t slots = reader->head.slot_count;
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < slots; i++) {
        size_t index = (reader->turn + i) % slots;
        if (!reader->slots[index].paused)
            status = slot_take(reader, (uint32_t)index, records_max, count, err);
    }
    if (slots > 0)
        reader->turn = (reader->turn + 1) % slots;
    return *count > 0 ? STATUS_OK : status;
}

// Waits for a commit of this process after `seen`, at most wait_ms.
static void commit_wait(struct files_log *log, uint64_t seen, int64_t wait_ms) {
    struct timespec until;
    REQUIRE(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += (time_t)(wait_ms / 1000);
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&log->lock);
    while (log->commits == seen)
        if (pthread_cond_timedwait(&log->committed, &log->lock, &until) != 0)
            break;
    pthread_mutex_unlock(&log->lock);
}

static uint64_t commits_seen(struct files_log *log) {
    pthread_mutex_lock(&log->lock);
    uint64_t commits = log->commits;
    pthread_mutex_unlock(&log->lock);
    return commits;
}

// An idle reader makes sure that its topics are still those it opened.
static enum status topics_check(struct files_reader *reader, struct error *err) {
    for (size_t i = 0; i < reader->head.slot_count; i++) {
        struct files_topic topic = {0};
        const struct files_slot *slot = &reader->slots[i];
        enum status status =
            files_topic_read((struct files_log *)reader->head.log, slot->topic, &topic, err);
        if (status == STATUS_NOT_FOUND || (status == STATUS_OK && topic.identity != slot->identity))
            return error_set(err, STATUS_CHANGED,
                             "could not read topic `%s`: it was deleted or made anew", slot->topic);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

enum status files_reader_poll(struct log_reader *head, size_t records_max, int64_t timeout_ms,
                              struct log_batch *ret_batch, struct error *err) {
    struct files_reader *reader = (struct files_reader *)head;
    struct files_log *log = (struct files_log *)head->log;
    if (reader->capacity < records_max) {
        struct log_record *grown =
            memory_resize(reader->records, reader->capacity, records_max, sizeof(*grown));
        if (!grown)
            return error_no_memory(err, records_max * sizeof(*grown), "a batch");
        reader->records = grown;
        reader->capacity = records_max;
    }
    int64_t deadline_us = clock_system.monotonic_us(&clock_system) + timeout_ms * 1000, wait_ms = 1;
    size_t count = 0;
    while (true) {
        uint64_t seen = commits_seen(log);
        enum status status = reader_take(reader, records_max, &count, err);
        if (status != STATUS_OK)
            return status;
        int64_t left_ms = (deadline_us - clock_system.monotonic_us(&clock_system)) / 1000;
        if (count > 0 || left_ms <= 0)
            break;
        commit_wait(log, seen, wait_ms < left_ms ? wait_ms : left_ms);
        wait_ms = wait_ms < WAIT_MS_MAX ? wait_ms * 2 : WAIT_MS_MAX;
    }
    if (count == 0) {
        enum status status = topics_check(reader, err);
        return status != STATUS_OK ? status
                                   : error_set(err, STATUS_TIMEOUT, "no record came within %lld ms",
                                               (long long)timeout_ms);
    }
    *ret_batch = (struct log_batch){.records = reader->records, .count = count};
    return STATUS_OK;
}

enum status files_reader_pause(struct log_reader *head, uint32_t slot, bool paused,
                               struct error *err) {
    (void)err;
    ((struct files_reader *)head)->slots[slot].paused = paused;
    return STATUS_OK;
}

enum status files_reader_seek(struct log_reader *head, uint32_t index, int64_t offset,
                              struct error *err) {
    struct files_slot *slot = &((struct files_reader *)head)->slots[index];
    enum status status = range_check((struct files_log *)head->log, slot, offset, err);
    if (status != STATUS_OK)
        return status;
    slot->offset = offset;
    slot->relocate = true;
    return STATUS_OK;
}

enum status files_reader_end(struct log_reader *head, uint32_t index, int64_t *ret_end,
                             struct error *err) {
    struct files_slot *slot = &((struct files_reader *)head)->slots[index];
    enum status status = end_look((struct files_log *)head->log, slot, err);
    if (status == STATUS_OK)
        *ret_end = slot->end.next_offset;
    return status;
}

enum status files_reader_position(struct log_reader *head, uint32_t slot, int64_t *ret_offset,
                                  struct error *err) {
    (void)err;
    *ret_offset = ((struct files_reader *)head)->slots[slot].offset;
    return STATUS_OK;
}
