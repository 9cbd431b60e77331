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

static enum status task_init_labels(struct join *join, size_t i, const struct spec_task *task,
                                    struct error *err) {
    struct join_task *rule = &join->tasks[i];
    if (task->labels == SPEC_WAIT) {
        return STATUS_OK;
    }
    if (rule->direct) {
        return error_set(err, STATUS_INVALID,
                         "task `%s`: `labels: %s` is for labels that come late, but the impression "
                         "carries its label (an empty `input`, or ingest.join: none); use wait",
                         task->name, spec_labels_names[task->labels]);
    }
    rule->early = true;
    rule->again = task->labels == SPEC_DEFER;
    rule->wait_ms = task->label_wait_ms;
    join->early_tasks |= (uint32_t)1 << i;
    join->again_tasks |= rule->again ? (uint32_t)1 << i : 0;
    return STATUS_OK;
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
        enum status status = task_init_labels(join, i, task, err);
        if (status != STATUS_OK) {
            return status;
        }
        if (!join->tasks[i].direct) {
            status = task_check_input(&join->setup, task, err);
            if (status != STATUS_OK) {
                return status;
            }
        }
    }
    return STATUS_OK;
}

// A lane of this delay, in ascending order; there is one a distinct delay.
static void lane_add(int64_t *delays, size_t *lanes, int64_t delay_ms) {
    size_t at = 0;
    while (at < *lanes && delays[at] < delay_ms) {
        at++;
    }
    if (at == *lanes || delays[at] != delay_ms) {
        memmove(delays + at + 1, delays + at, (*lanes - at) * sizeof(delays[0]));
        delays[at] = delay_ms;
        *lanes += 1;
    }
}

// One lane a distinct time of decision or of early learning, and a last one that forgets the key.
static void lanes_init(struct join *join) {
    int64_t delays[TIMERS_LANES_MAX];
    for (size_t i = 0; i < join->task_count; i++) {
        struct join_task *task = &join->tasks[i];
        task->decided_ms = task_decided_ms(join, i);
        join->longest_ms =
            task->decided_ms > join->longest_ms ? task->decided_ms : join->longest_ms;
        lane_add(delays, &join->lanes, task->decided_ms);
        if (task->early && task->wait_ms > 0) {
            lane_add(delays, &join->lanes, task->wait_ms);
        }
    }
    delays[join->lanes++] = timers_deadline(join->longest_ms, join->longest_ms);
    for (size_t lane = 0; lane + 1 < join->lanes; lane++) {
        for (size_t i = 0; i < join->task_count; i++) {
            const struct join_task *task = &join->tasks[i];
            uint32_t bit = (uint32_t)1 << i;
            join->lane_tasks[lane] |= task->decided_ms == delays[lane] ? bit : 0;
            join->lane_early[lane] |= task->early && task->wait_ms == delays[lane] ? bit : 0;
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
    enum status status = join_sample_check(setup, err);
    if (status == STATUS_OK) {
        status = tasks_init(join, err);
    }
    if (status == STATUS_OK) {
        lanes_init(join);
        status = keys_init(&join->keys, join->task_count, err);
    }
    if (status == STATUS_OK) {
        join->labels = memory_new(join->task_count, sizeof(float));
        join->heavy = memory_new(join->task_count, sizeof(float));
        if (join->labels == NULL || join->heavy == NULL) {
            status = error_no_memory(err, join->task_count * sizeof(float), "labels");
        }
        for (size_t i = 0; status == STATUS_OK && i < join->task_count; i++) {
            join->heavy[i] = (float)(1 / (1 - setup->spec->sampling.drop));
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
    memory_free(join->heavy);
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
