#include "ingest/join.h"

#include <string.h>

#include "ingest/join_state.h"

// Feedback.

// Why one task's label cannot be set by this feedback, or EVENT_USED.
static enum event_drop task_refuses(const struct join *join, const struct key_entry *entry,
                                    int64_t event_time_ms, size_t task) {
    uint32_t bit = (uint32_t)1 << task;
    int64_t until_ms = timers_deadline(entry->event_time_ms, join->tasks[task].window_ms);
    if ((entry->labelled & bit) != 0) {
        return EVENT_DUPLICATE;
    }
    if ((entry->open & bit) == 0 || event_time_ms > until_ms || join->watermark_ms > until_ms) {
        return EVENT_LATE;
    }
    if (event_time_ms < entry->event_time_ms - join->setup.settings->lateness_ms) {
        return EVENT_ORPHAN;
    }
    return EVENT_USED;
}

// Sets what labels it can. Returns EVENT_USED with *ret_undecided 0 when the feedback has counted,
// or with the tasks it has set when all of them depend on another's label; else why it did not
// count.
static enum event_drop feedback_apply(const struct join *join, struct key_entry *entry,
                                      const struct key_feedback *feedback, const float *values,
                                      uint32_t *ret_undecided) {
    static const enum event_drop order[] = {EVENT_DUPLICATE, EVENT_LATE, EVENT_ORPHAN};
    bool seen[EVENT_DROPS] = {false};
    uint32_t set = 0;
    bool counted = false;
    for (size_t task = 0; task < join->task_count; task++) {
        uint32_t bit = (uint32_t)1 << task;
        if ((feedback->mask & bit) == 0) {
            continue;
        }
        enum event_drop why = task_refuses(join, entry, feedback->event_time_ms, task);
        seen[why] = true;
        if (why == EVENT_USED) {
            entry->labelled |= bit;
            entry->values[task] = values[task];
            set |= bit;
            counted = counted || join->tasks[task].given < 0;
        }
    }
    if (set != 0) {
        entry->accepted_ms =
            feedback->accepted_ms > entry->accepted_ms ? feedback->accepted_ms : entry->accepted_ms;
        *ret_undecided = counted ? 0 : set;
        return EVENT_USED;
    }
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if (seen[order[i]]) {
            return order[i];
        }
    }
    return EVENT_NOT_WANTED;
}

// Applies the feedback that waits, in the order it came; the entry has just been opened.
static void feedback_apply_waiting(struct join *join, struct key_entry *entry) {
    uint32_t slot = entry->feedback;
    while (slot != KEYS_NONE) {
        struct key_feedback *feedback = keys_feedback(&join->keys, slot);
        uint32_t next = feedback->next;
        uint32_t input = feedback->input;
        uint32_t undecided = 0;
        enum event_drop why = feedback_apply(join, entry, feedback, feedback->values, &undecided);
        if (why == EVENT_USED && undecided != 0) {
            feedback->mask = undecided;
        } else {
            keys_remove_feedback(&join->keys, slot);
            if (why == EVENT_USED) {
                join->inputs[input].in_flight--;
                join->inputs[input].used++;
            } else {
                join_drop(join, input, why);
            }
        }
        slot = next;
    }
}

// Notes what came, for store_full: expire.
static enum status arrival_note(struct join *join, uint64_t arrival, uint32_t slot,
                                struct error *err) {
    if (!join->expires) {
        return STATUS_OK;
    }
    return timers_add(&join->arrivals, &(struct timer){.number = arrival, .slot = slot}, err);
}

static enum status feedback_keep(struct join *join, uint32_t entry, const struct event *event,
                                 uint32_t mask, bool waits, struct error *err) {
    uint32_t slot = KEYS_NONE;
    struct key_feedback feedback = {.arrival = join->next_arrival++,
                                    .event_time_ms = event->event_time_ms,
                                    .accepted_ms = event->accepted_ms,
                                    .input = event->input,
                                    .mask = mask};
    enum status status =
        keys_add_feedback(&join->keys, entry, &feedback, event->values, &slot, err);
    if (status == STATUS_OK && waits) {
        status = timers_add(&join->waiting,
                            &(struct timer){.time_ms = event->event_time_ms,
                                            .number = feedback.arrival,
                                            .slot = slot},
                            err);
        if (status == STATUS_OK) {
            status = arrival_note(join, feedback.arrival, slot | ARRIVAL_FEEDBACK, err);
        }
    }
    join->inputs[event->input].in_flight++;
    return status;
}

static enum status join_feedback(struct join *join, const struct event *event, struct error *err) {
    uint64_t hash[2];
    keys_hash(event->key, event->key_length, hash);
    struct join_input *input = &join->inputs[event->input];
    uint32_t slot = keys_find(&join->keys, hash);
    if (slot == KEYS_NONE) {
        enum status status = keys_add(&join->keys, hash, &slot, err);
        if (status != STATUS_OK) {
            return status;
        }
        keys_entry(&join->keys, slot)->state = KEY_WAITING;
    }
    struct key_entry *entry = keys_entry(&join->keys, slot);
    if (entry->state == KEY_WAITING) {
        return feedback_keep(join, slot, event, event->mask, true, err);
    }
    uint32_t undecided = 0, labelled = entry->labelled;
    struct key_feedback feedback = {.event_time_ms = event->event_time_ms,
                                    .accepted_ms = event->accepted_ms,
                                    .mask = event->mask};
    enum event_drop why = feedback_apply(join, entry, &feedback, event->values, &undecided);
    enum status status = STATUS_OK;
    if (why != EVENT_USED) {
        input->dropped[why]++;
    } else if (undecided == 0) {
        input->used++;
    } else {
        status = feedback_keep(join, slot, event, undecided, false, err);
    }
    if (status == STATUS_OK && why == EVENT_USED) {
        status = join_score_late(join, entry, labelled, event->event_time_ms, err);
    }
    if (status == STATUS_OK && why == EVENT_USED) {
        status = join_learn_early(join, entry, join->all_tasks, entry->labelled & ~labelled,
                                  event->event_time_ms, err);
    }
    return status;
}

// Impressions.

// Payload of the store: user, lengths of domain and lists, then ids, numbers, lists, domain.
static enum status payload_pack(struct join *join, const struct example *columns,
                                struct error *err) {
    uint64_t head[3] = {columns->user, columns->domain_length, columns->lists_length};
    buffer_reset(&join->packed);
    buffer_append(&join->packed, head, sizeof(head));
    buffer_append(&join->packed, columns->ids, join->shape.categorical * sizeof(uint64_t));
    buffer_append(&join->packed, columns->numbers, join->shape.numeric * sizeof(float));
    buffer_append(&join->packed, columns->lists, columns->lists_length);
    buffer_append(&join->packed, columns->domain, columns->domain_length);
    return join->packed.failed ? error_no_memory(err, join->packed.capacity, "an impression")
                               : STATUS_OK;
}

static enum status impression_emit(struct join *join, const struct event *event, uint32_t kind,
                                   uint32_t mask, const float *weights, struct error *err) {
    struct example example = event->columns;
    example.kind = kind;
    example.impression = join->next_number;
    example.event_time_ms = event->event_time_ms;
    example.accepted_ms = event->accepted_ms;
    example.mask = mask;
    example.labels = join->labels;
    example.weights = (const unsigned char *)weights;
    return join_emit(join, &example, event->event_time_ms, err);
}

// What came along for tasks whose label the impression itself carries.
static uint32_t impression_labels(const struct join *join, const struct event *event) {
    uint32_t direct = 0;
    for (size_t i = 0; i < join->task_count; i++)
        direct |= join->tasks[i].direct ? (uint32_t)1 << i : 0;
    return event->mask & direct;
}

static enum status impression_open(struct join *join, const struct event *event, uint32_t slot,
                                   struct error *err) {
    struct key_entry *entry = keys_entry(&join->keys, slot);
    enum status status = payload_pack(join, &event->columns, err);
    if (status == STATUS_OK) {
        status = store_put(join->setup.store, event->event_time_ms, join->next_number,
                           join->packed.data, join->packed.length, &entry->place, err);
    }
    if (status == STATUS_OK && join_sample_of(join, entry, 0, NULL) != JOIN_SAMPLE_OUT) {
        (void)join_settle_labels(join, 0, 0, entry->values);
        status = impression_emit(join, event, EXAMPLE_SCORE, 0, NULL, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    entry->payload_bytes = (uint32_t)join->packed.length;
    entry->labelled = impression_labels(join, event);
    entry->open = join->all_tasks;
    entry->learnt = 0;
    entry->late = 0;
    entry->state = KEY_OPEN;
    memcpy(entry->values, event->values, join->task_count * sizeof(float));
    join->payload_bytes += entry->payload_bytes;
    join->open_count++;
    join->inputs[event->input].in_flight++;
    return STATUS_OK;
}

// One record at once, with the labels that came along.
static enum status impression_pass(struct join *join, const struct event *event, uint32_t slot,
                                   struct error *err) {
    uint32_t labelled = impression_labels(join, event);
    uint32_t mask = join_settle_labels(join, join->all_tasks, labelled, event->values);
    enum join_sample sample = JOIN_SAMPLE_PLAIN;
    enum status status = STATUS_OK;
    if (slot != KEYS_NONE) {
        sample = join_sample_of(join, keys_entry(&join->keys, slot), labelled, event->values);
    }
    if (sample == JOIN_SAMPLE_OUT) {
        join->inputs[event->input].dropped[EVENT_SAMPLED]++;
    } else {
        status = impression_emit(join, event, EXAMPLE_SCORE | EXAMPLE_LEARN | EXAMPLE_FINAL, mask,
                                 sample == JOIN_SAMPLE_HEAVY ? join->heavy : NULL, err);
        join->inputs[event->input].used += status == STATUS_OK ? 1 : 0;
    }
    if (slot != KEYS_NONE) {
        keys_entry(&join->keys, slot)->state = KEY_CLOSED;
    }
    return status;
}

// The entry that this impression may take: a new one, one where feedback waits, or one that is
// remembered from windows that have all passed. Says EVENT_DUPLICATE or EVENT_LATE otherwise.
static enum status impression_entry(struct join *join, const struct event *event,
                                    uint32_t *ret_slot, enum event_drop *ret_why,
                                    struct error *err) {
    uint64_t hash[2];
    keys_hash(event->key, event->key_length, hash);
    uint32_t slot = keys_find(&join->keys, hash);
    int64_t last_ms = timers_deadline(event->event_time_ms, join->longest_ms);
    if (slot != KEYS_NONE) {
        const struct key_entry *entry = keys_entry(&join->keys, slot);
        bool remembered =
            entry->state == KEY_CLOSED &&
            event->event_time_ms > timers_deadline(entry->event_time_ms, join->longest_ms);
        if (entry->state != KEY_WAITING && !remembered) {
            *ret_why = EVENT_DUPLICATE;
            return STATUS_OK;
        }
    }
    if (last_ms < join->watermark_ms && join->setup.settings->join != INGEST_JOIN_NONE) {
        *ret_why = EVENT_LATE;
        return STATUS_OK;
    }
    *ret_why = EVENT_USED;
    *ret_slot = slot;
    return slot == KEYS_NONE ? keys_add(&join->keys, hash, ret_slot, err) : STATUS_OK;
}

static enum status join_impression(struct join *join, const struct event *event,
                                   struct error *err) {
    bool none = join->setup.settings->join == INGEST_JOIN_NONE;
    uint32_t slot = KEYS_NONE;
    enum event_drop why = EVENT_USED;
    enum status status = STATUS_OK;
    if (!none || event->key_length > 0) {
        status = impression_entry(join, event, &slot, &why, err);
    }
    if (status == STATUS_OK && why != EVENT_USED) {
        join->inputs[event->input].dropped[why]++;
        return STATUS_OK;
    }
    if (status == STATUS_OK && slot != KEYS_NONE) {
        struct key_entry *entry = keys_entry(&join->keys, slot);
        entry->number = join->next_number;
        entry->arrival = join->next_arrival++;
        entry->event_time_ms = event->event_time_ms;
        entry->accepted_ms = event->accepted_ms;
        entry->input = event->input;
        status = timers_add(&join->closing,
                            &(struct timer){.time_ms = event->event_time_ms,
                                            .number = join->next_number,
                                            .slot = slot},
                            err);
        if (status == STATUS_OK) {
            status = arrival_note(join, entry->arrival, slot, err);
        }
    }
    if (status == STATUS_OK) {
        status = none ? impression_pass(join, event, slot, err)
                      : impression_open(join, event, slot, err);
    }
    if (status == STATUS_OK) {
        join->next_number++;
        if (!none) {
            struct key_entry *entry = keys_entry(&join->keys, slot);
            feedback_apply_waiting(join, entry);
            status = join_score_late(join, entry, 0, event->event_time_ms, err);
        }
        if (status == STATUS_OK && !none) {
            struct key_entry *entry = keys_entry(&join->keys, slot);
            status = join_learn_early(join, entry, join->all_tasks, 0, event->event_time_ms, err);
        }
    }
    return status;
}

// The watermark.

static void watermark_advance(struct join *join) {
    int64_t newest = STAGE_TIME_NONE;
    if (join->setup.settings->runner.order == RUNNER_EVENT_TIME) {
        for (size_t i = 0; i < join->input_count; i++) {
            newest = join->inputs[i].newest_ms > newest ? join->inputs[i].newest_ms : newest;
        }
    } else {
        bool any = false;
        int64_t least = STAGE_TIME_END;
        for (size_t i = 0; i < join->input_count; i++) {
            if (!join->inputs[i].idle) {
                any = true;
                least = join->inputs[i].newest_ms < least ? join->inputs[i].newest_ms : least;
            }
        }
        newest = any ? least : STAGE_TIME_NONE;
    }
    if (newest != STAGE_TIME_NONE) {
        int64_t watermark = newest - join->setup.settings->lateness_ms;
        join->watermark_ms = watermark > join->watermark_ms ? watermark : join->watermark_ms;
    }
}

enum status join_event(struct join *join, const struct event *event, struct error *err) {
    REQUIRE(event->input < join->input_count);
    struct join_input *input = &join->inputs[event->input];
    input->read++;
    enum status status =
        event->impression ? join_impression(join, event, err) : join_feedback(join, event, err);
    if (status == STATUS_OK && event->event_time_ms > input->newest_ms) {
        input->newest_ms = event->event_time_ms;
        watermark_advance(join);
    }
    return status == STATUS_OK ? join_settle(join, err) : status;
}

enum status join_idle(struct join *join, uint32_t input, bool idle, struct error *err) {
    REQUIRE(input < join->input_count);
    join->inputs[input].idle = idle;
    watermark_advance(join);
    return join_settle(join, err);
}

enum status join_finish(struct join *join, struct error *err) {
    int64_t watermark_ms = join->watermark_ms;
    join->watermark_ms = STAGE_TIME_END;
    join->finishing = true;
    enum status status = join_settle(join, err);
    join->finishing = false;
    join->watermark_ms = watermark_ms;
    return status == STATUS_OK ? join_rebuild_timers(join, err) : status;
}
