// The join's state into a checkpoint and back, and its fingerprint.
//
// Saved form: a head, the inputs, then every entry as it is in memory with its feedback behind it.
// Timers are not saved: they follow from the entries and the watermark. It is read by the same
// build on the same kind of machine, as a checkpoint's identity says.
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "ingest/join_state.h"

#define SAVE_VERSION 2
#define SAVE_PIECE ((size_t)64 * 1024)

struct save_head {
    uint64_t version, entry_stride, feedback_stride, inputs;
    uint64_t entries, feedback;
    uint64_t next_number, next_arrival;
    int64_t watermark_ms, emitted_ms;
};

static enum status put_gathered(struct buffer *gathered, const struct sink *sink, size_t least,
                                struct error *err) {
    enum status status = STATUS_OK;
    if (gathered->failed) {
        return error_no_memory(err, gathered->capacity, "the join's checkpoint");
    }
    if (gathered->length > least) {
        status = sink_put(sink, gathered->data, gathered->length, err);
        buffer_reset(gathered);
    }
    return status;
}

enum status join_save(const struct join *join, const struct sink *sink, struct error *err) {
    struct save_head head = {.version = SAVE_VERSION,
                             .entry_stride = join->keys.entries.stride,
                             .feedback_stride = join->keys.feedback.stride,
                             .inputs = join->input_count,
                             .entries = join->keys.count,
                             .feedback = join->keys.feedback.live,
                             .next_number = join->next_number,
                             .next_arrival = join->next_arrival,
                             .watermark_ms = join->watermark_ms,
                             .emitted_ms = join->emitted_ms};
    struct buffer gathered;
    buffer_init(&gathered);
    buffer_append(&gathered, &head, sizeof(head));
    buffer_append(&gathered, join->inputs, join->input_count * sizeof(join->inputs[0]));
    enum status status = STATUS_OK;
    for (uint32_t slot = 0; status == STATUS_OK && slot < keys_slots(&join->keys); slot++) {
        const struct key_entry *entry = keys_entry(&join->keys, slot);
        if (entry->state == KEY_FREE) {
            continue;
        }
        buffer_append(&gathered, entry, join->keys.entries.stride);
        for (uint32_t at = entry->feedback; at != KEYS_NONE;) {
            const struct key_feedback *feedback = keys_feedback(&join->keys, at);
            buffer_append(&gathered, feedback, join->keys.feedback.stride);
            at = feedback->next;
        }
        status = put_gathered(&gathered, sink, SAVE_PIECE, err);
    }
    if (status == STATUS_OK) {
        status = put_gathered(&gathered, sink, 0, err);
    }
    buffer_deinit(&gathered);
    return status;
}

struct loading {
    struct join *join;
    const struct source *source;
    struct key_entry *entry;       // one saved entry
    struct key_feedback *feedback; // one saved piece of feedback
    uint64_t feedback_max;
};

static enum status load_feedback(struct loading *loading, uint32_t slot, struct error *err) {
    struct join *join = loading->join;
    struct key_feedback *saved = loading->feedback;
    uint32_t next = loading->entry->feedback;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && next != KEYS_NONE) {
        uint32_t added = KEYS_NONE;
        if (join->keys.feedback.live == loading->feedback_max) {
            return error_set(err, STATUS_CORRUPT, "could not load the join: too much feedback");
        }
        status = source_get(loading->source, saved, join->keys.feedback.stride, err);
        if (status == STATUS_OK) {
            status = keys_add_feedback(&join->keys, slot, saved, saved->values, &added, err);
        }
        next = saved->next;
    }
    return status;
}

static enum status load_entry(struct loading *loading, struct error *err) {
    struct join *join = loading->join;
    struct key_entry *saved = loading->entry;
    uint32_t slot = KEYS_NONE;
    enum status status = source_get(loading->source, saved, join->keys.entries.stride, err);
    if (status == STATUS_OK &&
        (saved->state == KEY_FREE || saved->state > KEY_CLOSED ||
         saved->input >= join->input_count || keys_find(&join->keys, saved->hash) != KEYS_NONE)) {
        status = error_set(err, STATUS_CORRUPT, "could not load the join: an entry of state %u",
                           (unsigned)saved->state);
    }
    if (status == STATUS_OK) {
        status = keys_add(&join->keys, saved->hash, &slot, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct key_entry *entry = keys_entry(&join->keys, slot);
    memcpy(entry, saved, join->keys.entries.stride);
    entry->feedback = KEYS_NONE;
    if (entry->state == KEY_OPEN) {
        join->payload_bytes += entry->payload_bytes;
        join->open_count++;
    }
    return load_feedback(loading, slot, err);
}

static int timer_compare(const void *left, const void *right) {
    const struct timer *a = left;
    const struct timer *b = right;
    if (a->time_ms != b->time_ms) {
        return a->time_ms < b->time_ms ? -1 : 1;
    }
    return a->number < b->number ? -1 : a->number > b->number;
}

// The list in order, without what has passed.
static enum status timers_fill(struct timers *timers, struct timer *list, size_t count,
                               int64_t passed_ms, struct error *err) {
    struct timers old = *timers;
    enum status status = STATUS_OK;
    timers_deinit(timers);
    timers_init(timers, old.delays_ms, old.lanes);
    if (count > 0) {
        qsort(list, count, sizeof(*list), timer_compare);
    }
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        status = timers_add(timers, &list[i], err);
    }
    if (status == STATUS_OK) {
        timers_skip(timers, passed_ms);
    }
    return status;
}

struct rebuilding {
    struct timer *closing, *waiting, *arrivals;
    size_t closing_count, waiting_count, arrivals_count;
};

static void rebuild_entry(const struct join *join, uint32_t slot, struct rebuilding *lists) {
    const struct key_entry *entry = keys_entry(&join->keys, slot);
    if (entry->state == KEY_OPEN || entry->state == KEY_CLOSED) {
        lists->closing[lists->closing_count++] =
            (struct timer){.time_ms = entry->event_time_ms, .number = entry->number, .slot = slot};
        lists->arrivals[lists->arrivals_count++] =
            (struct timer){.number = entry->arrival, .slot = slot};
        return;
    }
    for (uint32_t at = entry->state == KEY_WAITING ? entry->feedback : KEYS_NONE;
         at != KEYS_NONE;) {
        const struct key_feedback *feedback = keys_feedback(&join->keys, at);
        lists->waiting[lists->waiting_count++] = (struct timer){
            .time_ms = feedback->event_time_ms, .number = feedback->arrival, .slot = at};
        lists->arrivals[lists->arrivals_count++] =
            (struct timer){.number = feedback->arrival, .slot = at | ARRIVAL_FEEDBACK};
        at = feedback->next;
    }
}

enum status join_rebuild_timers(struct join *join, struct error *err) {
    struct rebuilding lists = {0};
    size_t all = join->keys.count + join->keys.feedback.live + 1;
    enum status status = STATUS_OK;
    lists.closing = memory_new(all, sizeof(struct timer));
    lists.waiting = memory_new(all, sizeof(struct timer));
    lists.arrivals = memory_new(all, sizeof(struct timer));
    if (lists.closing == NULL || lists.waiting == NULL || lists.arrivals == NULL) {
        status = error_no_memory(err, all * sizeof(struct timer), "the join's timers");
        goto done;
    }
    for (uint32_t slot = 0; slot < keys_slots(&join->keys); slot++) {
        rebuild_entry(join, slot, &lists);
    }
    status =
        timers_fill(&join->closing, lists.closing, lists.closing_count, join->watermark_ms, err);
    if (status == STATUS_OK) {
        status = timers_fill(&join->waiting, lists.waiting, lists.waiting_count, join->watermark_ms,
                             err);
    }
    if (status == STATUS_OK && join->expires) {
        status = timers_fill(&join->arrivals, lists.arrivals, lists.arrivals_count, INT64_MIN, err);
    }
done:
    memory_free(lists.closing);
    memory_free(lists.waiting);
    memory_free(lists.arrivals);
    return status;
}

// As after join_new.
static enum status join_empty(struct join *join, struct error *err) {
    keys_deinit(&join->keys);
    join->payload_bytes = 0;
    join->open_count = 0;
    return keys_init(&join->keys, join->task_count, err);
}

static enum status load_head(struct join *join, const struct source *source,
                             struct save_head *ret_head, struct error *err) {
    enum status status = source_get(source, ret_head, sizeof(*ret_head), err);
    if (status != STATUS_OK) {
        return status;
    }
    if (ret_head->version != SAVE_VERSION || ret_head->inputs != join->input_count ||
        ret_head->entry_stride != join->keys.entries.stride ||
        ret_head->feedback_stride != join->keys.feedback.stride) {
        return error_set(err, STATUS_CHANGED,
                         "could not load the join: it was saved with other inputs or tasks");
    }
    if (ret_head->entries >= KEYS_NONE || ret_head->feedback >= KEYS_NONE) {
        return error_set(err, STATUS_CORRUPT, "could not load the join: %llu entries",
                         (unsigned long long)ret_head->entries);
    }
    join->next_number = ret_head->next_number;
    join->next_arrival = ret_head->next_arrival;
    join->watermark_ms = ret_head->watermark_ms;
    join->emitted_ms = ret_head->emitted_ms;
    return source_get(source, join->inputs, join->input_count * sizeof(join->inputs[0]), err);
}

enum status join_load(struct join *join, const struct source *source, struct error *err) {
    struct save_head head;
    struct loading loading = {.join = join, .source = source};
    enum status status = join_empty(join, err);
    if (status == STATUS_OK) {
        status = load_head(join, source, &head, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    loading.feedback_max = head.feedback;
    loading.entry = memory_new(1, join->keys.entries.stride);
    loading.feedback = memory_new(1, join->keys.feedback.stride);
    if (loading.entry == NULL || loading.feedback == NULL) {
        status = error_no_memory(err, join->keys.entries.stride, "the join's checkpoint");
    }
    for (uint64_t i = 0; status == STATUS_OK && i < head.entries; i++) {
        status = load_entry(&loading, err);
    }
    if (status == STATUS_OK) {
        status = join_rebuild_timers(join, err);
    }
    memory_free(loading.entry);
    memory_free(loading.feedback);
    return status;
}

// One entry with its feedback and features, without what only tells where things lie.
static enum status entry_fingerprint(struct join *join, const struct key_entry *entry,
                                     struct buffer *scratch, uint64_t *ret_hash,
                                     struct error *err) {
    buffer_reset(scratch);
    const uint64_t fields[] = {entry->hash[0],
                               entry->hash[1],
                               entry->state,
                               entry->number,
                               entry->arrival,
                               (uint64_t)entry->event_time_ms,
                               (uint64_t)entry->accepted_ms,
                               entry->input,
                               entry->labelled,
                               entry->open,
                               entry->payload_bytes,
                               entry->learnt,
                               entry->late};
    buffer_append(scratch, fields, sizeof(fields));
    buffer_append(scratch, entry->values, join->task_count * sizeof(float));
    for (uint32_t at = entry->feedback; at != KEYS_NONE;) {
        const struct key_feedback *feedback = keys_feedback(&join->keys, at);
        const uint64_t piece[] = {(uint64_t)feedback->event_time_ms, feedback->arrival,
                                  (uint64_t)feedback->accepted_ms, feedback->input, feedback->mask};
        buffer_append(scratch, piece, sizeof(piece));
        buffer_append(scratch, feedback->values, join->task_count * sizeof(float));
        at = feedback->next;
    }
    if (entry->state == KEY_OPEN) {
        const unsigned char *bytes = NULL;
        size_t length = 0;
        struct store_payload payload = {
            .time_ms = entry->event_time_ms, .number = entry->number, .place = entry->place};
        enum status status = store_get(join->setup.store, &payload, &bytes, &length, err);
        if (status != STATUS_OK) {
            return status;
        }
        buffer_append(scratch, bytes, length);
    }
    if (scratch->failed) {
        return error_no_memory(err, scratch->capacity, "the join's fingerprint");
    }
    *ret_hash = hash_bytes(scratch->data, scratch->length, 0);
    return STATUS_OK;
}

enum status join_fingerprint(struct join *join, uint64_t *ret_fingerprint, struct error *err) {
    uint64_t sum = 0; // over entries, so that their order does not matter
    struct buffer scratch;
    buffer_init(&scratch);
    enum status status = STATUS_OK;
    for (uint32_t slot = 0; status == STATUS_OK && slot < keys_slots(&join->keys); slot++) {
        const struct key_entry *entry = keys_entry(&join->keys, slot);
        uint64_t hash = 0;
        if (entry->state != KEY_FREE) {
            status = entry_fingerprint(join, entry, &scratch, &hash, err);
        }
        sum += hash;
    }
    buffer_deinit(&scratch);
    if (status == STATUS_OK) {
        const uint64_t rest[] = {sum, join->next_number, join->next_arrival,
                                 (uint64_t)join->watermark_ms, (uint64_t)join->emitted_ms};
        uint64_t hash = hash_chain(0, rest, sizeof(rest));
        for (size_t i = 0; i < join->input_count; i++) {
            const struct join_input *input = &join->inputs[i];
            const uint64_t fields[] = {(uint64_t)input->newest_ms, input->idle,

                                       input->read, input->used, input->in_flight};
            hash = hash_chain(hash, fields, sizeof(fields));
            hash = hash_chain(hash, input->dropped, sizeof(input->dropped));
        }
        *ret_fingerprint = hash;
    }
    return status;
}
