// The join made from its settings, and its figures.
#include <string.h>

#include "ingest/join_state.h"

// Tasks.

// The longest window along the chain of `given`. spec_check has seen to it that chains end.
static int64_t task_decided_ms(const struct join *join, size_t task) {
    int64_t longest = 0;
    for (int32_t at = (int32_t)task; at >= 0; at = join->tasks[at].given) {
        longest = join->tasks[at].window_ms > longest ? join->tasks[at].window_ms : longest;
    }
    return longest;
}

static int32_t task_find(const struct spec *spec, const char *name) {
    for (size_t i = 0; name[0] != '\0' && i < spec->tasks.count; i++) {
        if (strcmp(spec_task_at(spec, i)->name, name) == 0) {
            return (int32_t)i;
        }
    }
    return -1;
}

static enum status task_check_input(const struct join_setup *setup, const struct spec_task *task,
                                    struct error *err) {
    for (size_t i = 0; i < setup->settings->inputs.count; i++) {
        const struct ingest_input *input = ingest_input_at(setup->settings, i);
        if (strcmp(input->name, task->input) == 0) {
            return STATUS_OK;
        }
    }
    return error_set(err, STATUS_INVALID,
                     "task `%s`: input `%s` is none of ingest.inputs (leave it empty where the "
                     "impression itself is labelled)",
                     task->name, task->input);
}

static enum status tasks_init(struct join *join, struct error *err) {
    const struct spec *spec = join->setup.spec;
    REQUIRE(spec->tasks.count > 0 && spec->tasks.count <= SPEC_TASKS_MAX);
    bool none = join->setup.settings->join == INGEST_JOIN_NONE;
    join->task_count = spec->tasks.count;
    for (size_t i = 0; i < join->task_count; i++) {
        const struct spec_task *task = spec_task_at(spec, i);
        join->tasks[i] = (struct join_task){.direct = task->input[0] == '\0' || none,
                                            .valued = task->path[0] != '\0',
                                            .given = task_find(spec, task->given),
                                            .window_ms = task->window_ms};
        join->all_tasks |= (uint32_t)1 << i;
        if (!join->tasks[i].direct) {
            enum status status = task_check_input(&join->setup, task, err);
            if (status != STATUS_OK) {
                return status;
            }
        }
    }
    return STATUS_OK;
}

// One lane a distinct decision time, ascending, and a last one that forgets the key.
static void lanes_init(struct join *join) {
    int64_t delays[TIMERS_LANES_MAX];
    for (size_t i = 0; i < join->task_count; i++) {
        join->tasks[i].decided_ms = task_decided_ms(join, i);
        int64_t decided = join->tasks[i].decided_ms;
        join->longest_ms = decided > join->longest_ms ? decided : join->longest_ms;
        size_t at = 0;
        while (at < join->lanes && delays[at] < decided) {
            at++;
        }
        if (at == join->lanes || delays[at] != decided) {
            memmove(delays + at + 1, delays + at, (join->lanes - at) * sizeof(delays[0]));
            delays[at] = decided;
            join->lanes++;
        }
    }
    delays[join->lanes++] = timers_deadline(join->longest_ms, join->longest_ms);
    for (size_t lane = 0; lane + 1 < join->lanes; lane++) {
        for (size_t i = 0; i < join->task_count; i++) {
            if (join->tasks[i].decided_ms == delays[lane]) {
                join->lane_tasks[lane] |= (uint32_t)1 << i;
            }
        }
    }
    timers_init(&join->closing, delays, join->lanes);
    timers_init(&join->waiting, &join->setup.settings->early_wait_ms, 1);
    timers_init(&join->arrivals, &(int64_t){0}, 1);
}

enum status join_new(const struct join_setup *setup, struct join **ret_join, struct error *err) {
    struct join *join = memory_new(1, sizeof(*join));
    if (join == NULL) {
        return error_no_memory(err, sizeof(*join), "the join");
    }
    join->setup = *setup;
    join->shape = example_shape_of(setup->spec);
    join->input_count = setup->settings->inputs.count;
    REQUIRE(join->input_count > 0 && join->input_count <= INGEST_INPUTS_MAX);
    for (size_t i = 0; i < join->input_count; i++) {
        join->inputs[i].newest_ms = STAGE_TIME_NONE;
    }
    join->expires = setup->settings->store_full == INGEST_STORE_EXPIRE;
    join->watermark_ms = STAGE_TIME_NONE;
    join->emitted_ms = STAGE_TIME_NONE;
    join->next_arrival = 1;
    buffer_init(&join->packed);
    enum status status = tasks_init(join, err);
    if (status == STATUS_OK) {
        lanes_init(join);
        status = keys_init(&join->keys, join->task_count, err);
    }
    if (status == STATUS_OK) {
        join->labels = memory_new(join->task_count, sizeof(float));
        if (join->labels == NULL) {
            status = error_no_memory(err, join->task_count * sizeof(float), "labels");
        }
    }
    if (status != STATUS_OK) {
        join_free(join);
        return status;
    }
    *ret_join = join;
    return STATUS_OK;
}

void join_free(struct join *join) {
    if (join == NULL) {
        return;
    }
    keys_deinit(&join->keys);
    timers_deinit(&join->closing);
    timers_deinit(&join->waiting);
    timers_deinit(&join->arrivals);
    buffer_deinit(&join->packed);
    memory_free(join->labels);
    memory_free(join);
}

// Accounts.

void join_drop(struct join *join, uint32_t input, enum event_drop reason) {
    REQUIRE(join->inputs[input].in_flight > 0);
    join->inputs[input].in_flight--;
    join->inputs[input].dropped[reason]++;
}

void join_count_dropped(struct join *join, uint32_t input, enum event_drop reason, uint64_t count) {
    REQUIRE(input < join->input_count && reason > EVENT_USED && reason < EVENT_DROPS);
    join->inputs[input].read += count;
    join->inputs[input].dropped[reason] += count;
}

size_t join_accounts(const struct join *join, struct account *accounts, size_t max) {
    size_t count = join->input_count < max ? join->input_count : max;
    for (size_t i = 0; i < count; i++) {
        const struct join_input *input = &join->inputs[i];
        struct account *account = &accounts[i];
        memset(account, 0, sizeof(*account));
        account->input = ingest_input_at(join->setup.settings, i)->name;
        account->read = input->read;
        account->used = input->used;
        account->in_flight = input->in_flight;
        for (size_t reason = EVENT_USED + 1; reason < EVENT_DROPS; reason++) {
            account->reasons[account->reason_count] = event_drop_names[reason];
            account->dropped[account->reason_count++] = input->dropped[reason];
        }
    }
    return count;
}

size_t join_memory_bytes(const struct join *join) {
    const struct store *store = join->setup.store;
    size_t stored = store == NULL ? 0 : store_memory_bytes(store) + store_fixed_bytes(store);
    return keys_bytes(&join->keys) + timers_bytes(&join->closing) + timers_bytes(&join->waiting) +
           timers_bytes(&join->arrivals) + stored;
}

bool join_wants_checkpoint(const struct join *join) {
    const struct store *store = join->setup.store;
    if (store == NULL || !store_spills(store) || join->expires)
        return false;
    size_t fixed = store_fixed_bytes(store); // the rest is the join's to use
    size_t bound = (size_t)join->setup.settings->store_memory_bytes - fixed;
    return join_memory_bytes(join) - fixed > bound / 4 * 3 && store_memory_bytes(store) > bound / 4;
}

int64_t join_watermark_ms(const struct join *join) {
    return join->watermark_ms;
}

uint64_t join_open_impressions(const struct join *join) {
    return join->open_count;
}
