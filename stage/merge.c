// Takes the next step's records out of the queues, in order, and the same records again on
// recovery.
//
// Why the journal's ranges alone give the order back. Let a record's key be (running maximum of
// event time within its partition, slot, offset). Within a slot keys ascend strictly: the maximum
// never falls, and offsets rise. A step is taken while nothing is read, so the queues only lose
// records meanwhile. At each turn merge_take takes the least head; a slot with an empty queue is
// either waited for, which ends the step, or left aside for the rest of the step, as its queue
// stays empty. So all records of a step come from the queues as they stood at its beginning, each
// slot gives a prefix of its queue, and whatever is taken is less than every head left: the step is
// the union of its ranges sorted by key. merge_retake merges the same ranges by the same keys (the
// running maxima are in the checkpoint) and so gives the same sequence. Arrival order, by slot then
// offset, is a function of the ranges already.
//
// What is queued of an input aside comes first of all in a step, so the same holds for it.
//
// Across steps the whole sequence does not depend on when polls brought what: a record is taken
// only when every slot that may still bring a lesser one has shown its head. (A slot that had been
// given up as idle is the exception, which the journal records.)
#include "stage/machine.h"

#include "base/hash.h"

#include <string.h>

uint64_t record_checksum(uint64_t checksum, const struct log_record *record) {
    struct {
        int64_t offset, timestamp_ms, sequence;
        uint64_t lengths[2];
        uint64_t flags;
    } head = {
        .offset = record->offset,
        .timestamp_ms = record->timestamp_ms,
        .sequence = record->sequence,
        .lengths = {record->key_length, record->value_length},
        .flags =
            (record->end_of_stream ? 1U : 0U) | (record->key ? 2U : 0U) | (record->value ? 4U : 0U),
    };
    checksum = hash_chain(checksum, &head, sizeof(head));
    if (record->key_length > 0)
        checksum = hash_chain(checksum, record->key, record->key_length);
    if (record->value_length > 0)
        checksum = hash_chain(checksum, record->value, record->value_length);
    return checksum;
}

enum status step_set_init(struct runner *runner, struct error *err) {
    struct step_set *set = &runner->set;
    size_t slots = runner->setup.input_count + 1;
    set->capacity = (size_t)runner->setup.settings.batch_records;
    set->records = memory_new(set->capacity, sizeof(*set->records));
    set->chunks = memory_new(set->capacity, sizeof(*set->chunks));
    set->ranges = memory_new(slots, sizeof(*set->ranges));
    set->by_slot = memory_new(slots, sizeof(*set->by_slot));
    if (!set->records || !set->chunks || !set->ranges || !set->by_slot)
        return error_no_memory(err, set->capacity * sizeof(*set->records), "a step");
    return STATUS_OK;
}

void step_set_release(struct step_set *set) {
    for (size_t i = 0; i < set->count; i++)
        chunk_release(set->chunks[i]);
    set->count = 0;
}

void step_set_deinit(struct step_set *set) {
    step_set_release(set);
    memory_free(set->records);
    memory_free(set->chunks);
    memory_free(set->ranges);
    memory_free(set->by_slot);
}

// Room for a step of `count` records, which an earlier setting of batch_records may have made.
static enum status step_set_grow(struct step_set *set, size_t count, struct error *err) {
    if (count <= set->capacity)
        return STATUS_OK;
    struct log_record *records =
        memory_resize(set->records, set->capacity, count, sizeof(*records));
    if (records)
        set->records = records;
    struct slot_chunk **chunks = memory_resize(set->chunks, set->capacity, count, sizeof(*chunks));
    if (chunks)
        set->chunks = chunks;
    if (!records || !chunks)
        return error_no_memory(err, count * sizeof(*records), "a step");
    set->capacity = count;
    return STATUS_OK;
}

static void step_set_begin(struct runner *runner) {
    struct step_set *set = &runner->set;
    REQUIRE(set->count == 0);
    memset(set->by_slot, 0, (runner->setup.input_count + 1) * sizeof(*set->by_slot));
    set->range_count = 0;
}

static enum status sequence_check(const struct runner *runner, uint32_t index,
                                  const struct log_record *record, struct error *err) {
    struct slot *slot = &runner->slots[index];
    if (record->sequence < 0)
        return STATUS_OK;
    if (slot->next_sequence >= 0 && record->sequence != slot->next_sequence)
        return error_set(
            err, STATUS_CHANGED,
            "could not go on reading topic `%s` partition %d: the record at offset %lld has "
            "sequence number %lld where %lld was expected: records of its producer were lost, "
            "repeated, or written by another producer",
            runner->setup.inputs[index].topic, (int)runner->setup.inputs[index].partition,
            (long long)record->offset, (long long)record->sequence, (long long)slot->next_sequence);
    slot->next_sequence = record->sequence + 1;
    return STATUS_OK;
}

// Moves the slot's head into the step.
static enum status take_head(struct runner *runner, uint32_t index, struct error *err) {
    struct slot *slot = &runner->slots[index];
    struct step_set *set = &runner->set;
    const struct slot_entry *entry = slot_head(slot);
    enum status status = sequence_check(runner, index, &entry->record, err);
    if (status != STATUS_OK)
        return status;
    struct journal_range *range = &set->by_slot[index];
    if (range->count == 0)
        *range = (struct journal_range){.slot = index, .first = entry->record.offset};
    range->last = entry->record.offset;
    range->count++;
    range->checksum = record_checksum(range->checksum, &entry->record);
    slot->next_offset = entry->record.offset + 1;
    slot->order_ms = entry->order_ms;
    set->records[set->count] = entry->record;
    set->chunks[set->count] = entry->chunk;
    set->count++;
    slot_pop(slot);
    runner->status.queued_records--;
    return STATUS_OK;
}

// After the last record: the ranges in order, which are also each slot's newest.
static void step_set_close(struct runner *runner) {
    struct step_set *set = &runner->set;
    for (size_t i = 0; i < runner->setup.input_count; i++) {
        if (set->by_slot[i].count == 0)
            continue;
        set->ranges[set->range_count++] = set->by_slot[i];
        runner->slots[i].last = set->by_slot[i];
        runner->slots[i].verified = true;
    }
}

// May a lesser record than those at hand still come from this slot?
static bool slot_blocks(struct runner *runner, uint32_t index) {
    const struct slot *slot = &runner->slots[index];
    if (slot->count > 0 || slot_is_aside(runner, index))
        return false;
    return slot->bound >= 0 ? !slot_reached(runner, index) : !slot->silent;
}

// The slot with the least head, one that is aside before all others; `limits` (may be NULL) is how
// many records each slot has yet to give.
static bool least_head(const struct runner *runner, int order, const uint64_t *limits,
                       uint32_t *ret_slot) {
    const struct slot_entry *least = NULL;
    for (uint32_t i = 0; i < runner->setup.input_count; i++) {
        const struct slot_entry *head = slot_head(&runner->slots[i]);
        if (!head || (limits && limits[i] == 0))
            continue;
        if (slot_is_aside(runner, i)) {
            *ret_slot = i;
            return true;
        }
        if (!least || (order == RUNNER_EVENT_TIME && head->order_ms < least->order_ms)) {
            least = head;
            *ret_slot = i;
        }
    }
    return least != NULL;
}

static bool any_blocks(struct runner *runner) {
    for (uint32_t i = 0; i < runner->setup.input_count; i++)
        if (slot_blocks(runner, i))
            return true;
    return false;
}

bool merge_ready(struct runner *runner) {
    if (runner->status.queued_records == 0)
        return false;
    return runner->setup.settings.order == RUNNER_ARRIVAL || !any_blocks(runner);
}

enum status merge_take(struct runner *runner, struct error *err) {
    struct step_set *set = &runner->set;
    int order = runner->setup.settings.order;
    size_t most = (size_t)runner->setup.settings.batch_records;
    uint32_t slot = 0;
    step_set_begin(runner);
    bool open = merge_ready(runner);
    while (open && set->count < most && least_head(runner, order, NULL, &slot)) {
        enum status status = take_head(runner, slot, err);
        if (status != STATUS_OK)
            return status;
        // A slot that reached its bound is told to the stage at this very place.
        if (runner->slots[slot].count == 0)
            open = runner->slots[slot].bound >= 0
                       ? !slot_reached(runner, slot) && order == RUNNER_ARRIVAL
                       : order == RUNNER_ARRIVAL || !slot_blocks(runner, slot);
    }
    step_set_close(runner);
    return STATUS_OK;
}

static enum status range_refused(const struct runner *runner, const struct journal_range *range,
                                 const char *what, struct error *err) {
    const struct stage_input *input = &runner->setup.inputs[range->slot];
    return error_set(err, STATUS_CHANGED,
                     "could not fold topic `%s` partition %d again: offsets %lld to %lld do not "
                     "hold what the journal says was read there (%s): the log was changed or made "
                     "anew",
                     input->topic, (int)input->partition, (long long)range->first,
                     (long long)range->last, what);
}

enum status merge_retake(struct runner *runner, const struct journal_record *step,
                         struct error *err) {
    struct step_set *set = &runner->set;
    size_t total = 0;
    step_set_begin(runner);
    uint64_t *limits = arena_get(&runner->scratch, runner->setup.input_count + 1, sizeof(*limits));
    if (!limits)
        return error_no_memory(err, runner->setup.input_count * sizeof(*limits), "a step");
    for (size_t i = 0; i < step->range_count; i++) {
        const struct journal_range *range = &step->ranges[i];
        REQUIRE(range->slot < runner->setup.input_count);
        REQUIRE(runner->slots[range->slot].count >= range->count);
        limits[range->slot] = range->count;
        total += range->count;
    }
    enum status status = step_set_grow(set, total, err);
    uint32_t slot = 0;
    while (status == STATUS_OK && least_head(runner, step->order, limits, &slot)) {
        status = take_head(runner, slot, err);
        limits[slot]--;
    }
    if (status != STATUS_OK)
        return status;
    step_set_close(runner);
    for (size_t i = 0; i < step->range_count; i++) {
        const struct journal_range *want = &step->ranges[i];
        const struct journal_range *got = &set->by_slot[want->slot];
        if (got->first != want->first || got->last != want->last)
            return range_refused(runner, want, "other offsets", err);
        if (got->checksum != want->checksum)
            return range_refused(runner, want, "other bytes", err);
    }
    return STATUS_OK;
}
