// Label policies that do not wait for the window: what is learnt early, and again.
//
// fnw, fnc (Ktena et al., RecSys 2019): a negative at once, a positive when it comes. es_dfm (Yang
// et al., AAAI 2021): the label as it stands after a wait, and positives that come later again.
// defer (Gu et al., KDD 2021): the same, and all others again when final (join_close.c). A positive
// that is there when a task is first learnt comes once, as a positive. A task defined on another's
// positives (`given`) is learnt when that is positive, and never where it stays negative: its
// sample space is the same as under `wait`.
#include "ingest/join_state.h"

static bool wait_is_over(const struct join *join, const struct key_entry *entry, size_t task) {
    int64_t wait_ms = join->tasks[task].wait_ms;
    return wait_ms == 0 || timers_deadline(entry->event_time_ms, wait_ms) < join->watermark_ms;
}

static bool sample_is_known(const struct join *join, const struct key_entry *entry, size_t task) {
    int32_t given = join->tasks[task].given;
    return given < 0 || join_task_positive(join, entry->labelled, entry->values, (size_t)given);
}

enum status join_learn_early(struct join *join, struct key_entry *entry, uint32_t tasks,
                             uint32_t set, int64_t instant_ms, struct error *err) {
    uint32_t early = tasks & join->early_tasks & entry->open, first = 0, late = 0;
    for (size_t task = 0; task < join->task_count; task++) {
        uint32_t bit = (uint32_t)1 << task;
        if ((early & bit) == 0)
            continue;
        if ((entry->learnt & bit) == 0)
            first |=
                wait_is_over(join, entry, task) && sample_is_known(join, entry, task) ? bit : 0;
        else if ((set & bit) != 0 && join_task_positive(join, entry->labelled, entry->values, task))
            late |= bit;
    }
    entry->learnt |= first;
    entry->late |= late;
    enum status status = STATUS_OK;
    if (first != 0) {
        (void)join_settle_labels(join, first, entry->labelled, entry->values);
        status = join_emit_close(join, entry, EXAMPLE_LEARN, first, instant_ms, err);
    }
    if (status == STATUS_OK && late != 0) {
        (void)join_settle_labels(join, late, entry->labelled, entry->values);
        status =
            join_emit_close(join, entry, EXAMPLE_LEARN | EXAMPLE_REPEAT, late, instant_ms, err);
    }
    return status;
}
