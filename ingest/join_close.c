// Windows that close, feedback that waited in vain, state that has to go early.
#include <string.h>

#include "ingest/join_state.h"

bool join_task_positive(const struct join *join, uint32_t labelled, const float *values,
                        size_t task) {
    for (int32_t at = (int32_t)task; at >= 0; at = join->tasks[at].given) {
        if ((labelled >> at & 1) == 0 || !(values[at] > 0)) {
            return false;
        }
    }
    return true;
}

static bool task_settles(const struct join *join, uint32_t labelled, const float *values,
                         size_t task) {
    const struct join_task *rule = &join->tasks[task];
    if (rule->direct && rule->valued && (labelled >> task & 1) == 0) {
        return false;
    }
    return rule->given < 0 || join_task_positive(join, labelled, values, (size_t)rule->given);
}

uint32_t join_settle_labels(struct join *join, uint32_t tasks, uint32_t labelled,
                            const float *values) {
    uint32_t mask = 0;
    for (size_t task = 0; task < join->task_count; task++) {
        uint32_t bit = (uint32_t)1 << task;
        float label = 0;
        if ((tasks & bit) != 0 && task_settles(join, labelled, values, task)) {
            mask |= bit;
            label = (labelled & bit) != 0 ? values[task] : 0;
        }
        memcpy(join->labels + task * sizeof(label), &label, sizeof(label));
    }
    return mask;
}

enum status join_emit(struct join *join, const struct example *example, int64_t instant_ms,
                      struct error *err) {
    join->emitted_ms = instant_ms > join->emitted_ms ? instant_ms : join->emitted_ms;
    return join->setup.emit(join->setup.self, example, join->emitted_ms, err);
}

static struct store_payload payload_name(const struct key_entry *entry) {
    return (struct store_payload){
        .time_ms = entry->event_time_ms, .number = entry->number, .place = entry->place};
}

enum status join_payload(struct join *join, const struct key_entry *entry,
                         struct example *ret_columns, struct error *err) {
    const unsigned char *bytes = NULL;
    size_t length = 0;
    uint64_t head[3]; // user, length of domain, of lists
    size_t ids = join->shape.categorical * sizeof(uint64_t);
    size_t numbers = join->shape.numeric * sizeof(float);
    struct store_payload payload = payload_name(entry);
    enum status status = store_get(join->setup.store, &payload, &bytes, &length, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (length >= sizeof(head)) {
        memcpy(head, bytes, sizeof(head));
    }
    if (length < sizeof(head) || head[1] > length || head[2] > length ||
        sizeof(head) + ids + numbers + head[2] + head[1] != length) {
        return error_set(err, STATUS_CORRUPT,
                         "could not read the features of impression %llu: %zu bytes do not fit",
                         (unsigned long long)entry->number, length);
    }
    bytes += sizeof(head);
    memset(ret_columns, 0, sizeof(*ret_columns));
    ret_columns->user = head[0];
    ret_columns->domain_length = (size_t)head[1];
    ret_columns->lists_length = (size_t)head[2];
    ret_columns->ids = bytes;
    ret_columns->numbers = bytes + ids;
    ret_columns->lists = bytes + ids + numbers;
    ret_columns->domain = (const char *)bytes + ids + numbers + ret_columns->lists_length;
    return STATUS_OK;
}

enum status join_emit_close(struct join *join, const struct key_entry *entry, uint32_t kind,
                            uint32_t mask, int64_t instant_ms, struct error *err) {
    struct example example;
    enum status status = join_payload(join, entry, &example, err);
    if (status != STATUS_OK) {
        return status;
    }
    example.kind = kind;
    example.impression = entry->number;
    example.event_time_ms = entry->event_time_ms;
    example.accepted_ms = entry->accepted_ms;
    example.mask = mask;
    example.labels = join->labels;
    if (join_sample_of(join, entry, entry->labelled, entry->values) == JOIN_SAMPLE_HEAVY) {
        example.weights = (const unsigned char *)join->heavy;
    }
    return join_emit(join, &example, instant_ms, err);
}

// Feedback whose tasks all depend on another's label: decided with these tasks.
static void close_feedback(struct join *join, const struct key_entry *entry, uint32_t tasks,
                           uint32_t mask) {
    uint32_t slot = entry->feedback;
    while (slot != KEYS_NONE) {
        struct key_feedback *feedback = keys_feedback(&join->keys, slot);
        uint32_t next = feedback->next;
        uint32_t input = feedback->input;
        if ((feedback->mask & mask) != 0) {
            keys_remove_feedback(&join->keys, slot);
            join->inputs[input].in_flight--;
            join->inputs[input].used++;
        } else {
            feedback->mask &= ~tasks;
            if (feedback->mask == 0) {
                keys_remove_feedback(&join->keys, slot);
                join_drop(join, input, EVENT_WITHOUT_CLICK);
            }
        }
        slot = next;
    }
}

// The features go; the key stays, remembered.
static enum status entry_close(struct join *join, struct key_entry *entry, struct error *err) {
    struct store_payload payload = payload_name(entry);
    enum status status = store_remove(join->setup.store, &payload, err);
    entry->state = KEY_CLOSED;
    join->payload_bytes -= entry->payload_bytes;
    entry->payload_bytes = 0;
    join->open_count--;
    return status;
}

// What one close sends: tasks that are learnt and measured together. Tasks that were learnt before
// are learnt again or only measured, as their policy says.
struct closing {
    uint32_t kind, mask;
};
enum { CLOSINGS_MAX = 4 };

static size_t closings_of(const struct join *join, const struct key_entry *entry, uint32_t mask,
                          struct closing *closings) {
    uint32_t learnt = mask & entry->learnt, late = learnt & entry->late;
    uint32_t again = learnt & ~late & join->again_tasks;
    const struct closing all[CLOSINGS_MAX] = {
        {EXAMPLE_LEARN | EXAMPLE_FINAL, mask & ~learnt},
        {EXAMPLE_LEARN | EXAMPLE_FINAL | EXAMPLE_REPEAT, again},
        {EXAMPLE_FINAL | EXAMPLE_LATE, late},
        {EXAMPLE_FINAL, learnt & ~late & ~again},
    };
    size_t count = 0;
    for (size_t i = 0; i < CLOSINGS_MAX; i++)
        if (all[i].mask != 0)
            closings[count++] = all[i];
    if (entry->open == 0 && count == 0)
        closings[count++] = (struct closing){EXAMPLE_FINAL, 0};
    if (entry->open == 0)
        closings[count - 1].kind |= EXAMPLE_LAST;
    return count;
}

static enum status close_window(struct join *join, struct key_entry *entry, size_t lane,
                                int64_t deadline_ms, struct error *err) {
    uint32_t tasks = join->lane_tasks[lane] & entry->open;
    uint32_t mask = join_settle_labels(join, tasks, entry->labelled, entry->values);
    struct closing closings[CLOSINGS_MAX];
    enum status status = STATUS_OK;
    close_feedback(join, entry, tasks, mask);
    entry->open &= ~tasks;
    bool out = join_sample_of(join, entry, entry->labelled, entry->values) == JOIN_SAMPLE_OUT;
    size_t count = out ? 0 : closings_of(join, entry, mask, closings);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        (void)join_settle_labels(join, closings[i].mask, entry->labelled, entry->values);
        status = join_emit_close(join, entry, closings[i].kind, closings[i].mask, deadline_ms, err);
    }
    if (status == STATUS_OK && entry->open == 0) {
        REQUIRE(entry->feedback == KEYS_NONE);
        if (out) {
            join_drop(join, entry->input, EVENT_SAMPLED);
        } else {
            join->inputs[entry->input].in_flight--;
            join->inputs[entry->input].used++;
        }
        status = entry_close(join, entry, err);
    }
    return status;
}

static enum status window_due(struct join *join, struct key_entry *entry, size_t lane,
                              int64_t deadline_ms, struct error *err) {
    enum status status = join_learn_early(join, entry, join->lane_early[lane], 0, deadline_ms, err);
    if (status == STATUS_OK && (join->lane_tasks[lane] & entry->open) != 0)
        status = close_window(join, entry, lane, deadline_ms, err);
    return status;
}

static enum status close_due(struct join *join, struct error *err) {
    struct timer timer;
    size_t lane;
    int64_t deadline_ms;
    enum status status = STATUS_OK;
    while (status == STATUS_OK &&
           timers_take(&join->closing, join->watermark_ms, &timer, &lane, &deadline_ms)) {
        struct key_entry *entry = keys_entry(&join->keys, timer.slot);
        if ((entry->state != KEY_OPEN && entry->state != KEY_CLOSED) ||
            entry->number != timer.number) {
            continue; // expired, or its key has a newer impression
        }
        if (lane + 1 == join->lanes) {
            REQUIRE(entry->state == KEY_CLOSED);
            if (!join->finishing) {
                keys_remove(&join->keys, timer.slot);
            }
        } else if (entry->state == KEY_OPEN) {
            status = window_due(join, entry, lane, deadline_ms, err);
        }
    }
    return status;
}

static void feedback_give_up(struct join *join, uint32_t slot, enum event_drop reason) {
    const struct key_feedback *feedback = keys_feedback(&join->keys, slot);
    uint32_t entry = feedback->entry;
    uint32_t input = feedback->input;
    keys_remove_feedback(&join->keys, slot);
    join_drop(join, input, reason);
    if (keys_entry(&join->keys, entry)->feedback == KEYS_NONE) {
        keys_remove(&join->keys, entry);
    }
}

// Whether this cell still holds the waiting feedback that the timer was set for.
static bool feedback_waits(const struct join *join, const struct timer *timer, uint32_t slot) {
    const struct key_feedback *feedback = keys_feedback(&join->keys, slot);
    return feedback->arrival == timer->number &&
           keys_entry(&join->keys, feedback->entry)->state == KEY_WAITING;
}

static void orphans_due(struct join *join) {
    struct timer timer;
    size_t lane;
    int64_t deadline_ms;
    while (timers_take(&join->waiting, join->watermark_ms, &timer, &lane, &deadline_ms)) {
        if (feedback_waits(join, &timer, timer.slot)) {
            feedback_give_up(join, timer.slot, EVENT_ORPHAN);
        }
    }
}

// What state takes, as a function of what is open and waiting alone: the same wherever it lies.
static uint64_t state_bytes(const struct join *join) {
    uint64_t entry =
        join->keys.entries.stride + 2 * sizeof(*join->keys.table) + sizeof(struct timer) * 2;
    return join->keys.count * entry + join->payload_bytes +
           join->keys.feedback.live * (uint64_t)(join->keys.feedback.stride + sizeof(struct timer));
}

static enum status impression_expire(struct join *join, uint32_t slot, struct error *err) {
    struct key_entry *entry = keys_entry(&join->keys, slot);
    enum status status = STATUS_OK;
    if (entry->state == KEY_OPEN) {
        while (entry->feedback != KEYS_NONE) {
            uint32_t feedback = entry->feedback;
            uint32_t input = keys_feedback(&join->keys, feedback)->input;
            keys_remove_feedback(&join->keys, feedback);
            join_drop(join, input, EVENT_EXPIRED);
        }
        (void)join_settle_labels(join, 0, 0, entry->values);
        if (join_sample_of(join, entry, entry->labelled, entry->values) != JOIN_SAMPLE_OUT) {
            status = join_emit_close(join, entry, EXAMPLE_FINAL | EXAMPLE_LAST, 0, join->emitted_ms,
                                     err);
        }
        if (status == STATUS_OK) {
            join_drop(join, entry->input, EVENT_EXPIRED);
            status = entry_close(join, entry, err);
        }
    }
    if (status == STATUS_OK) {
        keys_remove(&join->keys, slot);
    }
    return status;
}

static enum status expire_first(struct join *join, const struct timer *timer, struct error *err) {
    uint32_t slot = timer->slot & ~ARRIVAL_FEEDBACK;
    if ((timer->slot & ARRIVAL_FEEDBACK) != 0) {
        if (feedback_waits(join, timer, slot)) {
            feedback_give_up(join, slot, EVENT_EXPIRED);
        }
        return STATUS_OK;
    }
    const struct key_entry *entry = keys_entry(&join->keys, slot);
    bool there =
        (entry->state == KEY_OPEN || entry->state == KEY_CLOSED) && entry->arrival == timer->number;
    return there ? impression_expire(join, slot, err) : STATUS_OK;
}

static enum status keep_within_bound(struct join *join, struct error *err) {
    uint64_t bound = (uint64_t)join->setup.settings->store_memory_bytes;
    enum status status = STATUS_OK;
    if (!join->expires) {
        size_t bytes = join_memory_bytes(join);
        if (bytes > bound) {
            return error_set(err, STATUS_EXHAUSTED,
                             "could not keep the state of %llu open impressions: it takes %zu "
                             "bytes, ingest.store_memory is %llu: raise it, or checkpoint more "
                             "often, or set ingest.store_full to expire",
                             (unsigned long long)join->open_count, bytes,
                             (unsigned long long)bound);
        }
        return STATUS_OK;
    }
    struct timer timer;
    size_t lane;
    int64_t deadline_ms;
    while (status == STATUS_OK && state_bytes(join) > bound &&
           timers_take(&join->arrivals, INT64_MAX, &timer, &lane, &deadline_ms)) {
        status = expire_first(join, &timer, err);
    }
    return status;
}

enum status join_settle(struct join *join, struct error *err) {
    enum status status = close_due(join, err);
    if (status == STATUS_OK) {
        orphans_due(join);
        status = keep_within_bound(join, err);
    }
    return status;
}
