// The loop: poll, step, commit, checkpoint.
#include "stage/machine.h"

#include "base/logger.h"

#include <stdatomic.h>

#define JOURNAL_INTERVALS 10
#define POLL_MS 100
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000

static int64_t now_us(const struct runner *runner) {
    return runner->clock->monotonic_us(runner->clock);
}

static const char *stage_name(const struct runner *runner) {
    return runner->setup.operations->name;
}

// --- Journal, commit, checkpoint.

static enum status journal_room(struct runner *runner, struct error *err) {
    if (runner->journal_count < runner->journal_capacity)
        return STATUS_OK;
    size_t wanted = runner->journal_capacity ? runner->journal_capacity * 2 : 64;
    size_t *grown =
        memory_resize(runner->journal_ends, runner->journal_capacity, wanted, sizeof(*grown));
    if (!grown)
        return error_no_memory(err, wanted * sizeof(*grown), "the journal");
    runner->journal_ends = grown;
    runner->journal_capacity = wanted;
    return STATUS_OK;
}

enum status journal_add(struct runner *runner, struct journal_record *record, struct error *err) {
    if (runner->positioned) {
        runner->dirty = true;
        return STATUS_OK;
    }
    if (record->kind != JOURNAL_TICK)
        record->clock_ms = runner->clock->wall_ms(runner->clock);
    if (record->kind == JOURNAL_GENESIS || record->kind == JOURNAL_START) {
        runner->taken_ms = record->clock_ms;
    } else {
        record->outputs = runner->outputs.step_records;
        record->outputs_checksum = runner->outputs.step_checksum;
    }
    enum status status = journal_room(runner, err);
    if (status != STATUS_OK)
        return status;
    journal_encode(record, &runner->journal);
    if (runner->journal.failed)
        return error_no_memory(err, runner->journal.length, "the journal");
    runner->journal_ends[runner->journal_count++] = runner->journal.length;
    return STATUS_OK;
}

static bool commit_pending(const struct runner *runner) {
    return runner->positioned ? runner->dirty : runner->journal_count > 0;
}

static enum status journal_commit(struct runner *runner, struct error *err) {
    struct log_journal_entry *entries = memory_new(runner->journal_count + 1, sizeof(*entries));
    if (!entries)
        return error_no_memory(err, runner->journal_count * sizeof(*entries), "a commit");
    size_t begin = 0;
    for (size_t i = 0; i < runner->journal_count; i++) {
        entries[i].bytes = runner->journal.data + begin;
        entries[i].length = runner->journal_ends[i] - begin;
        begin = runner->journal_ends[i];
    }
    enum status status = log_writer_commit(runner->writer, entries, runner->journal_count, err);
    memory_free(entries);
    return status;
}

enum status runner_commit_now(struct runner *runner, struct error *err) {
    if (!commit_pending(runner))
        return STATUS_OK;
    int64_t begin_us = now_us(runner);
    enum status status = STATUS_OK;
    if (runner->setup.operations->committing && !runner->broken) // not for the genesis
        status = runner->setup.operations->committing(runner->setup.state, err);
    if (status == STATUS_OK && !runner->positioned)
        status = journal_commit(runner, err);
    if (status != STATUS_OK)
        return status;
    if (!runner->positioned)
        runner->journal_end = log_writer_journal_place(runner->writer);
    buffer_reset(&runner->journal);
    runner->journal_count = 0;
    runner->outputs.pending_bytes = 0;
    runner->dirty = false;
    runner->commit_us = now_us(runner);
    runner->status.commits++;
    metric_count(runner->report.commits, 1);
    if (runner->report.commit_seconds)
        metric_observe(runner->report.commit_seconds, (double)(runner->commit_us - begin_us) / 1e6);
    return STATUS_OK;
}

// --- Steps.

static enum status step_close(struct runner *runner, struct journal_record *record,
                              struct error *err) {
    runner->status.steps++;
    metric_count(runner->report.steps, 1);
    return journal_add(runner, record, err);
}

static enum status step_batch(struct runner *runner, struct error *err) {
    enum status status = merge_take(runner, err);
    if (status == STATUS_OK && runner->set.count > 0) {
        for (size_t i = 0; i < runner->set.range_count; i++)
            runner->slots[runner->set.ranges[i].slot].heard_us = now_us(runner);
        status = fold_set(runner, err);
        struct journal_record record = {.kind = JOURNAL_BATCH,
                                        .order = runner->setup.settings.order,
                                        .ranges = runner->set.ranges,
                                        .range_count = runner->set.range_count};
        if (status == STATUS_OK)
            status = step_close(runner, &record, err);
    }
    step_set_release(&runner->set);
    return status;
}

static enum status step_tick(struct runner *runner, struct error *err) {
    int64_t interval = runner->setup.settings.tick_interval_ms;
    int64_t now = runner->clock->wall_ms(runner->clock);
    if (interval == 0 || !runner->setup.operations->tick)
        return STATUS_OK;
    if (runner->tick_ms != STAGE_TIME_NONE && now < runner->tick_ms + interval)
        return STATUS_OK;
    enum status status = fold_tick(runner, now, err);
    struct journal_record record = {.kind = JOURNAL_TICK, .clock_ms = now};
    return status == STATUS_OK ? step_close(runner, &record, err) : status;
}

// Slots that have nothing more to give: their bound is reached, or they were silent for too long.
static enum status step_silence(struct runner *runner, struct error *err) {
    int64_t timeout_us = runner->setup.settings.idle_timeout_ms * 1000;
    int64_t now = now_us(runner);
    for (uint32_t i = 0; i < runner->setup.input_count; i++) {
        struct slot *slot = &runner->slots[i];
        if (slot->silent || slot->count > 0 || slot_is_aside(runner, i))
            continue;
        bool late = slot->bound < 0 && timeout_us > 0 && now - slot->heard_us >= timeout_us &&
                    runner_lag_records(runner, i) <= 0; // what is there but unread is not silence
        if (!late && !slot_reached(runner, i))
            continue;
        if (late)
            logger_line(LOGGER_INFO, stage_name(runner), "idle",
                        "task=\"%s\" topic=\"%s\" partition=%d", runner->setup.task,
                        runner->setup.inputs[i].topic, (int)runner->setup.inputs[i].partition);
        enum status status = fold_idle(runner, i, true, err);
        struct journal_record record = {.kind = JOURNAL_IDLE, .idle_slot = i, .idle = true};
        if (status == STATUS_OK)
            status = step_close(runner, &record, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static bool all_ended(struct runner *runner) {
    for (uint32_t i = 0; i < runner->setup.input_count; i++) {
        const struct slot *slot = &runner->slots[i];
        bool ended = slot->bound >= 0 ? slot_reached(runner, i) : slot->ended;
        if (slot->count > 0 || !(ended || slot_is_aside(runner, i)))
            return false;
    }
    return runner->setup.input_count > 0;
}

static enum status step_finish(struct runner *runner, struct error *err) {
    enum status status = step_silence(runner, err); // of the slot that reached its bound last
    struct journal_record record = {.kind = JOURNAL_FINISH};
    if (status == STATUS_OK && !runner->setup.halts) {
        status = fold_finish(runner, err);
        if (status == STATUS_OK)
            status = step_close(runner, &record, err);
    }
    if (status == STATUS_OK)
        status = runner_commit_now(runner, err);
    return status;
}

// A finished task has ended for good only when nothing more is there to be read.
static bool drained(struct runner *runner) {
    if (!all_ended(runner))
        return false;
    for (uint32_t i = 0; i < runner->setup.input_count; i++)
        if (runner->slots[i].bound < 0 && runner_lag_records(runner, i) != 0)
            return false;
    return true;
}

static int64_t lesser(int64_t a, int64_t b) {
    return a < b ? a : b;
}

// Nobody waits for journal records alone: after a crash, what they cover is folded as if read for
// the first time. A commit takes milliseconds in which nothing is folded, so these come more
// seldom.
static int64_t commit_interval_ms(const struct runner *runner) {
    int64_t interval = runner->setup.settings.commit_interval_ms;
    bool waited_for = runner->positioned || runner->outputs.pending_bytes > 0;
    return waited_for ? interval : interval * JOURNAL_INTERVALS;
}

// How long to wait for records: not at all when some can be folded, else until something is due.
static int64_t wait_ms(struct runner *runner, int64_t timeout_ms) {
    const struct runner_settings *settings = &runner->setup.settings;
    if (merge_ready(runner))
        return 0;
    int64_t wait = saving_hurries(runner) ? lesser(timeout_ms, 1) : timeout_ms;
    if (commit_pending(runner))
        wait =
            lesser(wait, commit_interval_ms(runner) - (now_us(runner) - runner->commit_us) / 1000);
    if (settings->tick_interval_ms > 0 && runner->tick_ms != STAGE_TIME_NONE)
        wait = lesser(wait, runner->tick_ms + settings->tick_interval_ms -
                                runner->clock->wall_ms(runner->clock));
    return wait > 0 ? wait : 0;
}

static void heard_all(struct runner *runner) {
    for (size_t i = 0; i < runner->setup.input_count; i++)
        runner->slots[i].heard_us = now_us(runner);
}

// *ret_quiet: nothing came, though the servers answer.
static enum status step_poll(struct runner *runner, int64_t timeout_ms, bool *ret_quiet,
                             struct error *err) {
    struct log_batch batch = {0};
    enum status status =
        log_reader_poll(runner->reader, (size_t)runner->setup.settings.batch_records,
                        wait_ms(runner, timeout_ms), &batch, err);
    *ret_quiet = status == STATUS_TIMEOUT;
    if (status == STATUS_UNAVAILABLE) {
        heard_all(runner); // silence of the servers is not silence of the inputs
        runner->doubt = true;
    }
    if (status == STATUS_OK)
        status = slots_push(runner, &batch, err);
    if (status == STATUS_TIMEOUT)
        status = STATUS_OK;
    // What was read waits in its queue until what was read before it is known to be there still.
    if (status == STATUS_OK && runner->doubt && !runner->positioned)
        status = verify_again(runner, err);
    if (status == STATUS_OK)
        runner->doubt = false;
    return status;
}

static bool commit_due(const struct runner *runner) {
    const struct stage_operations *operations = runner->setup.operations;
    return now_us(runner) - runner->commit_us >= commit_interval_ms(runner) * 1000 ||
           (operations->wants_commit && operations->wants_commit(runner->setup.state)) ||
           runner->journal_count >= PENDING_STEPS_MAX ||
           runner->outputs.pending_bytes + runner->journal.length >= PENDING_BYTES_MAX;
}

static enum status step_commit(struct runner *runner, struct error *err) {
    enum status status = STATUS_OK;
    if (commit_pending(runner) && commit_due(runner))
        status = runner_commit_now(runner, err);
    if (status == STATUS_OK)
        status = saving_turn(runner, err);
    return status;
}

// The next step begins with asking the stage where to read on.
static bool positions_wanted(const struct runner *runner) {
    const struct stage_operations *operations = runner->setup.operations;
    return runner->positioned && operations->wants_positions &&
           operations->wants_positions(runner->setup.state);
}

static enum status step_turn(struct runner *runner, bool quiet, struct error *err) {
    enum status status = step_tick(runner, err);
    if (status == STATUS_OK)
        status = step_silence(runner, err);
    if (status == STATUS_OK)
        status = step_batch(runner, err);
    if (status == STATUS_OK)
        status = slots_pace(runner, NULL, err);
    if (status == STATUS_OK && positions_wanted(runner)) {
        status = runner_commit_now(runner, err);
        runner->broken = true;
        return status;
    }
    if (status == STATUS_OK && !runner->finished && all_ended(runner))
        status = step_finish(runner, err);
    else if (status == STATUS_OK && runner->finished && quiet && drained(runner))
        status = runner_commit_now(runner, err);
    else if (status == STATUS_OK)
        return step_commit(runner, err);
    if (status != STATUS_OK)
        return status;
    return error_set(err, STATUS_END, "all inputs have ended");
}

// After an error in the middle of a step or a commit, memory and log may differ.
static enum status spoil(struct runner *runner, enum status status) {
    if (status != STATUS_OK && status != STATUS_END)
        runner->broken = true;
    if (status == STATUS_FENCED)
        runner->fenced = true;
    return status;
}

static enum status runner_ready(struct runner *runner, struct error *err) {
    if (runner->fenced)
        return error_set(err, STATUS_FENCED, "task `%s` was taken over by a newer instance",
                         runner->setup.task);
    if (!runner->broken)
        return STATUS_OK;
    if (runner->touched) {
        runner->status.recoveries++;
        metric_count(runner->report.recoveries, 1);
    }
    return spoil(runner, recover(runner, err));
}

static enum status name_task(const struct runner *runner, enum status status, struct error *err) {
    if (status == STATUS_OK || status == STATUS_END || !err)
        return status;
    return error_prefix(err, "task `%s`", runner->setup.task);
}

enum status runner_step(struct runner *runner, int64_t timeout_ms, struct error *err) {
    bool quiet = false;
    enum status status = runner_ready(runner, err);
    if (status == STATUS_OK) {
        status = step_poll(runner, timeout_ms, &quiet, err);
        if (status != STATUS_OK && status != STATUS_UNAVAILABLE)
            spoil(runner, status);
    }
    if (status == STATUS_OK)
        status = spoil(runner, step_turn(runner, quiet, err));
    if (status == STATUS_OK || status == STATUS_END)
        report_periodic(runner);
    return name_task(runner, status, err);
}

enum status runner_commit(struct runner *runner, struct error *err) {
    enum status status = runner_ready(runner, err);
    if (status == STATUS_OK)
        status = spoil(runner, runner_commit_now(runner, err));
    return name_task(runner, status, err);
}

enum status runner_checkpoint(struct runner *runner, struct error *err) {
    enum status status = runner_ready(runner, err);
    if (status == STATUS_OK)
        status = spoil(runner, saving_whole(runner, err));
    return name_task(runner, status, err);
}

// --- The loop that daemons run.

static bool stop_asked(const struct runner *runner) {
    return runner->stop && atomic_load(runner->stop);
}

static void back_off(struct runner *runner, int64_t *backoff_ms, const struct error *err) {
    if (*backoff_ms == 0) {
        logger_error(stage_name(runner), "unavailable", err);
        *backoff_ms = BACKOFF_MIN_MS;
    }
    int64_t left = *backoff_ms;
    while (left > 0 && !stop_asked(runner)) {
        int64_t slice = lesser(left, POLL_MS);
        runner->clock->sleep_ms(runner->clock, slice);
        left -= slice;
    }
    *backoff_ms = lesser(*backoff_ms * 2, BACKOFF_MAX_MS);
}

// What was folded but not committed is folded again at the next start, so a runner that cannot
// reach its servers may stop all the same; it only tries for as long as it was given.
static enum status run_stop(struct runner *runner, struct error *err) {
    int64_t deadline_us = now_us(runner) + runner->setup.settings.stop_timeout_ms * 1000;
    int64_t backoff_ms = BACKOFF_MIN_MS;
    runner->stop = NULL;
    if (runner->broken)
        return error_set(err, STATUS_STOPPED, "task `%s` stopped as asked, before it could recover",
                         runner->setup.task);
    while (true) {
        enum status status = runner_checkpoint(runner, err);
        if (status == STATUS_UNAVAILABLE && now_us(runner) < deadline_us) {
            runner->clock->sleep_ms(runner->clock, backoff_ms);
            continue;
        }
        accounts_print(runner);
        if (status != STATUS_OK)
            return status;
        return error_set(err, STATUS_STOPPED, "task `%s` stopped as asked", runner->setup.task);
    }
}

static enum status run_turn(struct runner *runner, struct error *err) {
    enum status status = runner_step(runner, POLL_MS, err);
    if (status != STATUS_END)
        return status;
    status = runner_checkpoint(runner, err);
    return status == STATUS_OK ? STATUS_END : status;
}

enum status runner_run(struct runner *runner, const atomic_bool *stop, struct error *err) {
    int64_t backoff_ms = 0;
    enum status status = STATUS_OK;
    runner->stop = stop;
    while (status == STATUS_OK || status == STATUS_UNAVAILABLE) {
        if (stop_asked(runner))
            return run_stop(runner, err);
        status = run_turn(runner, err);
        if (runner->setup.live)
            atomic_store(runner->setup.live, status == STATUS_OK && !runner->broken);
        if (status == STATUS_OK && backoff_ms > 0) {
            logger_line(LOGGER_INFO, stage_name(runner), "available", "task=\"%s\"",
                        runner->setup.task);
            backoff_ms = 0;
        }
        if (status == STATUS_UNAVAILABLE)
            back_off(runner, &backoff_ms, err);
    }
    runner->stop = NULL;
    if (status == STATUS_STOPPED)
        return run_stop(runner, err);
    accounts_print(runner);
    return status == STATUS_END ? STATUS_OK : status;
}

void runner_status(struct runner *runner, struct runner_status *ret_status) {
    *ret_status = runner->status;
    ret_status->finished = runner->finished;
    ret_status->lag_ms = runner_lag_ms(runner);
    ret_status->lag_records = 0;
    for (uint32_t i = 0; i < runner->setup.input_count; i++) {
        int64_t lag = runner_lag_records(runner, i);
        ret_status->lag_records =
            lag < 0 || ret_status->lag_records < 0 ? -1 : ret_status->lag_records + lag;
    }
}
