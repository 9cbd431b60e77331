// The memory backend's reader: copies committed records out under the log's lock.
//
// Slots are served in turn, beginning one further at each poll, so that a long slot starves no
// other.
#include "log/memory_store.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define BLOCK_BYTES ((size_t)256 * 1024)

struct memory_slot {
    struct memory_topic *topic;
    int32_t partition;
    int64_t offset; // next wanted
    bool paused;
};

struct memory_reader {
    struct log_reader head;
    struct memory_slot *slots; // [head.slot_count]
    size_t turn;               // slot that the next poll begins at
    struct arena batch;        // keys and values of the last poll
    struct log_record *records;
    size_t capacity;
};

void memory_reader_close(struct log_reader *head) {
    struct memory_reader *reader = (struct memory_reader *)head;
    arena_deinit(&reader->batch);
    memory_free(reader->records);
    memory_free(reader->slots);
    memory_free(reader);
}

// Lock held. The topic is there and still holds, or may soon hold, the offset.
static enum status slot_check(const struct memory_slot *slot, int64_t offset, struct error *err) {
    const struct memory_partition *partition = &slot->topic->partitions[slot->partition];
    if (slot->topic->deleted)
        return error_set(err, STATUS_CHANGED, "could not read topic `%s`: it was deleted",
                         slot->topic->name);
    if (offset < partition->begin || offset > partition->end)
        return log_offset_refused(slot->topic->name, slot->partition, offset, partition->begin,
                                  partition->end, err);
    return STATUS_OK;
}

enum status memory_reader_open(struct log *head, const struct log_position *positions, size_t count,
                               struct log_reader **ret_reader, struct error *err) {
    struct memory_log *log = (struct memory_log *)head;
    struct memory_reader *reader = memory_new(1, sizeof(*reader));
    if (!reader)
        return error_no_memory(err, sizeof(*reader), "a reader");
    reader->head = (struct log_reader){.log = head, .slot_count = count};
    arena_init(&reader->batch, BLOCK_BYTES);
    reader->slots = memory_new(count ? count : 1, sizeof(*reader->slots));
    enum status status = STATUS_OK;
    if (!reader->slots)
        status = error_no_memory(err, count * sizeof(*reader->slots), "a reader");
    pthread_mutex_lock(&log->lock);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        struct memory_slot *slot = &reader->slots[i];
        slot->topic = memory_topic_find(log, positions[i].topic);
        slot->partition = positions[i].partition;
        slot->offset = positions[i].offset;
        if (!slot->topic || slot->partition >= slot->topic->partition_count)
            status = error_set(err, STATUS_NOT_FOUND, "could not find topic `%s` partition %d",
                               positions[i].topic, (int)positions[i].partition);
        else
            status = slot_check(slot, slot->offset, err);
    }
    pthread_mutex_unlock(&log->lock);
    if (status == STATUS_OK)
        *ret_reader = &reader->head;
    else
        memory_reader_close(&reader->head);
    return status;
}

static bool bytes_copy(struct arena *arena, const void **bytes, size_t length) {
    if (!*bytes)
        return true;
    void *copy = arena_get(arena, length ? length : 1, 1);
    if (!copy)
        return false;
    if (length > 0)
        memcpy(copy, *bytes, length);
    *bytes = copy;
    return true;
}

// Lock held. Copies what the slot has, up to records_max in all.
static enum status slot_take(struct memory_reader *reader, uint32_t index, size_t records_max,
                             size_t *count, struct error *err) {
    struct memory_slot *slot = &reader->slots[index];
    if (slot->paused)
        return STATUS_OK;
    enum status status = slot_check(slot, slot->offset, err);
    if (status != STATUS_OK)
        return status;
    const struct memory_partition *partition = &slot->topic->partitions[slot->partition];
    size_t i = memory_partition_index(partition, slot->offset);
    for (; i < partition->count && *count < records_max; i++) {
        struct log_record *record = &reader->records[*count];
        *record = *partition->records[i];
        record->slot = index;
        if (!bytes_copy(&reader->batch, &record->key, record->key_length) ||
            !bytes_copy(&reader->batch, &record->value, record->value_length))
            return error_no_memory(err, record->key_length + record->value_length, "a record");
        slot->offset = record->offset + 1;
        ++*count;
    }
    if (i == partition->count)
        slot->offset = partition->end; // past a gap at the end
    return STATUS_OK;
}

// Lock held. Every slot once; an error is kept for the next poll when there are records to give.
static enum status reader_take(struct memory_reader *reader, size_t records_max, size_t *count,
                               struct error *err) {
    size_t slots = reader->head.slot_count;
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < slots; i++)
        status = slot_take(reader, (uint32_t)((reader->turn + i) % slots), records_max, count, err);
    if (slots > 0)
        reader->turn = (reader->turn + 1) % slots;
    return *count > 0 ? STATUS_OK : status;
}

static struct timespec deadline_after(int64_t ms) {
    struct timespec at;
    REQUIRE(clock_gettime(CLOCK_MONOTONIC, &at) == 0);
    at.tv_sec += (time_t)(ms / 1000);
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_nsec -= 1000000000;
        at.tv_sec++;
    }
    return at;
}

enum status memory_reader_poll(struct log_reader *head, size_t records_max, int64_t timeout_ms,
                               struct log_batch *ret_batch, struct error *err) {
    struct memory_reader *reader = (struct memory_reader *)head;
    struct memory_log *log = (struct memory_log *)head->log;
    if (reader->capacity < records_max) {
        struct log_record *grown =
            memory_resize(reader->records, reader->capacity, records_max, sizeof(*grown));
        if (!grown)
            return error_no_memory(err, records_max * sizeof(*grown), "a batch");
        reader->records = grown;
        reader->capacity = records_max;
    }
    arena_reset(&reader->batch);
    struct timespec deadline = deadline_after(timeout_ms);
    size_t count = 0;
    bool late = false;
    pthread_mutex_lock(&log->lock);
    enum status status = STATUS_OK;
    while (true) {
        if (log->unavailable)
            status = error_set(err, STATUS_UNAVAILABLE, "could not poll: the log is unavailable");
        else
            status = reader_take(reader, records_max, &count, err);
        if (status != STATUS_OK || count > 0 || late)
            break;
        late = pthread_cond_timedwait(&log->committed, &log->lock, &deadline) == ETIMEDOUT;
    }
    pthread_mutex_unlock(&log->lock);
    if (status == STATUS_OK && count == 0)
        return error_set(err, STATUS_TIMEOUT, "no record came within %lld ms",
                         (long long)timeout_ms);
    if (status == STATUS_OK)
        *ret_batch = (struct log_batch){.records = reader->records, .count = count};
    return status;
}

enum status memory_reader_pause(struct log_reader *head, uint32_t slot, bool paused,
                                struct error *err) {
    (void)err;
    ((struct memory_reader *)head)->slots[slot].paused = paused;
    return STATUS_OK;
}

enum status memory_reader_seek(struct log_reader *head, uint32_t slot, int64_t offset,
                               struct error *err) {
    struct memory_reader *reader = (struct memory_reader *)head;
    struct memory_log *log = (struct memory_log *)head->log;
    pthread_mutex_lock(&log->lock);
    enum status status = slot_check(&reader->slots[slot], offset, err);
    if (status == STATUS_OK)
        reader->slots[slot].offset = offset;
    pthread_mutex_unlock(&log->lock);
    return status;
}

enum status memory_reader_end(struct log_reader *head, uint32_t slot, int64_t *ret_end,
                              struct error *err) {
    (void)err;
    struct memory_reader *reader = (struct memory_reader *)head;
    struct memory_log *log = (struct memory_log *)head->log;
    pthread_mutex_lock(&log->lock);
    *ret_end = reader->slots[slot].topic->partitions[reader->slots[slot].partition].end;
    pthread_mutex_unlock(&log->lock);
    return STATUS_OK;
}

enum status memory_reader_position(struct log_reader *head, uint32_t slot, int64_t *ret_offset,
                                   struct error *err) {
    (void)err;
    *ret_offset = ((struct memory_reader *)head)->slots[slot].offset;
    return STATUS_OK;
}
