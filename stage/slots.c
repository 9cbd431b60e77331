// A queue per input: records that were read but not yet folded.
//
// A poll's records are copied once, into one chunk per slot, which goes when the last of them has
// been folded. In event-time order a slot may run ahead of the others; over its bound it is paused,
// so that memory is bounded by slots x (bound + one poll). A slot that the merge waits for has an
// empty queue and is never paused.
#include "stage/machine.h"

#include <string.h>

const struct slot_entry *slot_at(const struct slot *slot, size_t index) {
    REQUIRE(index < slot->count);
    return &slot->ring[(slot->head + index) & (slot->capacity - 1)];
}

const struct slot_entry *slot_head(const struct slot *slot) {
    return slot->count > 0 ? slot_at(slot, 0) : NULL;
}

void chunk_release(struct slot_chunk *chunk) {
    REQUIRE(chunk->left > 0);
    if (--chunk->left == 0)
        memory_free(chunk);
}

void slot_pop(struct slot *slot) {
    const struct slot_entry *entry = slot_at(slot, 0);
    slot->bytes -= entry->record.key_length + entry->record.value_length;
    slot->head = (slot->head + 1) & (slot->capacity - 1);
    slot->count--;
}

static void slot_clear(struct slot *slot) {
    while (slot->count > 0) {
        struct slot_chunk *chunk = slot_at(slot, 0)->chunk;
        slot_pop(slot);
        chunk_release(chunk);
    }
    slot->paused = false;
    slot->bound_passed = false;
    slot->queued_ms = slot->order_ms;
}

void slots_clear(struct runner *runner) {
    for (size_t i = 0; i < runner->setup.input_count; i++)
        slot_clear(&runner->slots[i]);
    runner->status.queued_records = 0;
}

void slots_deinit(struct runner *runner) {
    if (!runner->slots)
        return;
    slots_clear(runner);
    for (size_t i = 0; i < runner->setup.input_count; i++)
        memory_free(runner->slots[i].ring);
    memory_free(runner->slots);
    runner->slots = NULL;
}

bool slot_reached(struct runner *runner, uint32_t index) {
    struct slot *slot = &runner->slots[index];
    if (slot->bound < 0 || slot->count > 0)
        return false;
    if (slot->next_offset >= slot->bound || slot->bound_passed)
        return true;
    int64_t position = 0;
    return runner->reader &&
           log_reader_position(runner->reader, index, &position, NULL) == STATUS_OK &&
           position >= slot->bound;
}

static enum status slot_reserve(struct slot *slot, size_t more, struct error *err) {
    size_t wanted = slot->capacity ? slot->capacity : 64;
    while (wanted < slot->count + more)
        wanted *= 2;
    if (wanted == slot->capacity)
        return STATUS_OK;
    struct slot_entry *ring = memory_new(wanted, sizeof(*ring));
    if (!ring)
        return error_no_memory(err, wanted * sizeof(*ring), "an input queue");
    for (size_t i = 0; i < slot->count; i++)
        ring[i] = *slot_at(slot, i);
    memory_free(slot->ring);
    slot->ring = ring;
    slot->head = 0;
    slot->capacity = wanted;
    return STATUS_OK;
}

static const void *chunk_put(struct slot_chunk *chunk, const void *bytes, size_t length) {
    if (!bytes)
        return NULL;
    unsigned char *at = chunk->data + chunk->bytes;
    if (length > 0)
        memcpy(at, bytes, length);
    chunk->bytes += length;
    return at;
}

static int64_t event_time_ms(struct runner *runner, const struct log_record *record) {
    const struct stage_operations *operations = runner->setup.operations;
    return operations->event_time_ms ? operations->event_time_ms(runner->setup.state, record)
                                     : record->timestamp_ms;
}

// An end_of_stream record has no event time of its own: it follows what came before it.
static void slot_append(struct runner *runner, struct slot *slot, const struct log_record *record,
                        struct slot_chunk *chunk) {
    if (!record->end_of_stream) {
        int64_t time_ms = event_time_ms(runner, record);
        if (time_ms > slot->queued_ms)
            slot->queued_ms = time_ms;
    }
    struct slot_entry *entry = &slot->ring[(slot->head + slot->count) & (slot->capacity - 1)];
    *entry = (struct slot_entry){.record = *record, .order_ms = slot->queued_ms, .chunk = chunk};
    entry->record.key = chunk_put(chunk, record->key, record->key_length);
    entry->record.value = chunk_put(chunk, record->value, record->value_length);
    if (!record->key)
        entry->record.key_length = 0;
    if (!record->value)
        entry->record.value_length = 0;
    slot->bytes += entry->record.key_length + entry->record.value_length;
    slot->count++;
    chunk->left++;
    runner->status.queued_records++;
}

// Is this record before the slot's bound? Notes when one is not.
static bool slot_wants(struct slot *slot, const struct log_record *record) {
    if (slot->bound < 0 || record->offset < slot->bound)
        return true;
    slot->bound_passed = true;
    return false;
}

static enum status slot_push(struct runner *runner, uint32_t index, const struct log_batch *batch,
                             struct error *err) {
    struct slot *slot = &runner->slots[index];
    size_t count = 0, bytes = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const struct log_record *record = &batch->records[i];
        if (record->slot != index || !slot_wants(slot, record))
            continue;
        count++;
        bytes +=
            (record->key ? record->key_length : 0) + (record->value ? record->value_length : 0);
    }
    if (count == 0)
        return STATUS_OK;
    enum status status = slot_reserve(slot, count, err);
    if (status != STATUS_OK)
        return status;
    struct slot_chunk *chunk = memory_new(1, sizeof(*chunk) + bytes);
    if (!chunk)
        return error_no_memory(err, bytes, "records of an input");
    for (size_t i = 0; i < batch->count; i++) {
        const struct log_record *record = &batch->records[i];
        if (record->slot == index && slot_wants(slot, record))
            slot_append(runner, slot, record, chunk);
    }
    slot->heard_us = runner->clock->monotonic_us(runner->clock);
    return STATUS_OK;
}

enum status slots_push(struct runner *runner, const struct log_batch *batch, struct error *err) {
    enum status status = STATUS_OK;
    for (size_t i = 0; i < batch->count; i++)
        REQUIRE(batch->records[i].slot < runner->setup.input_count);
    for (uint32_t i = 0; status == STATUS_OK && i < runner->setup.input_count; i++)
        status = slot_push(runner, i, batch, err);
    return status;
}

enum status slots_pace(struct runner *runner, const uint64_t *needed, struct error *err) {
    size_t most = (size_t)runner->setup.settings.batch_records * SLOT_QUEUE_BATCHES_MAX;
    for (uint32_t i = 0; i < runner->setup.input_count; i++) {
        struct slot *slot = &runner->slots[i];
        bool over = slot->count >= most || slot->bytes >= SLOT_QUEUE_BYTES_MAX;
        bool under = slot->count <= most / 2 && slot->bytes <= SLOT_QUEUE_BYTES_MAX / 2;
        bool paused = slot->paused ? !under : over;
        if (needed && slot->count < needed[i])
            paused = false;
        if (slot->count == 0 || slot->bound_passed)
            paused = slot->bound_passed;
        if (paused == slot->paused)
            continue;
        enum status status = log_reader_pause(runner->reader, i, paused, err);
        if (status != STATUS_OK)
            return status;
        slot->paused = paused;
    }
    return STATUS_OK;
}
