// A checkpoint on its way to the disk.
//
//   cut       at a commit's boundary: the stage's save gives what is small, and remembers the rest
//   copy      between steps, a few milliseconds each: save_more gives the rest as it was at the cut
//   write     by the writer's own thread, all the while
//   durable   the generation stands under its name: it counts, and the journal before the oldest
//             generation may go
//
// One checkpoint is under way at a time. A failure anywhere is the step's, as if writing had been
// part of it.
#include "stage/machine.h"

#include "base/logger.h"
#include "stage/folder.h"

#define BACKLOG_BYTES_MAX ((size_t)32 << 20) // waits for the disk beyond

static int64_t now_us(const struct runner *runner) {
    return runner->clock->monotonic_us(runner->clock);
}

void saving_drop(struct runner *runner) {
    checkpoint_writer_close(runner->saving);
    runner->saving = NULL;
}

bool saving_hurries(const struct runner *runner) {
    return runner->saving && !runner->saving_cut_done;
}

static enum status cut(struct runner *runner, struct error *err) {
    const struct stage_operations *operations = runner->setup.operations;
    enum status status = checkpoint_writer_open(runner->setup.directory, &runner->saving, err);
    if (status == STATUS_OK)
        status = state_save(runner, runner->saving, err);
    if (status == STATUS_OK)
        status = operations->save(runner->setup.state, runner->saving, err);
    if (status == STATUS_OK)
        checkpoint_writer_copy(runner->saving, runner->setup.copy);
    runner->saving_cut_done = operations->save_more == NULL;
    runner->saving_place = log_writer_journal_place(runner->writer);
    if (status == STATUS_OK && runner->saving_cut_done)
        status = checkpoint_writer_finish(runner->saving, runner->saving_place,
                                          (size_t)runner->setup.settings.checkpoints_kept, err);
    return status;
}

static enum status copy(struct runner *runner, struct error *err) {
    if (runner->saving_cut_done || checkpoint_writer_backlog(runner->saving) > BACKLOG_BYTES_MAX)
        return STATUS_OK;
    enum status status = runner->setup.operations->save_more(runner->setup.state, runner->saving,
                                                             &runner->saving_cut_done, err);
    if (status == STATUS_OK && runner->saving_cut_done)
        status = checkpoint_writer_finish(runner->saving, runner->saving_place,
                                          (size_t)runner->setup.settings.checkpoints_kept, err);
    return status;
}

static enum status durable(struct runner *runner, int64_t oldest_place, struct error *err) {
    enum status status = log_writer_journal_trim(runner->writer, oldest_place, err);
    if (status != STATUS_OK)
        return status;
    runner->checkpoint_place = runner->saving_place;
    logger_line(LOGGER_DEBUG, runner->setup.operations->name, "checkpoint",
                "task=\"%s\" generation=%llu journal_place=%lld", runner->setup.task,
                (unsigned long long)checkpoint_writer_generation(runner->saving),
                (long long)runner->saving_place);
    saving_drop(runner);
    runner->status.checkpoints++;
    metric_count(runner->report.checkpoints, 1);
    report_checkpoint(runner, now_us(runner) - runner->saving_us);
    if (runner->report.checkpoint_seconds)
        metric_observe(runner->report.checkpoint_seconds,
                       (double)(now_us(runner) - runner->saving_us) / 1e6);
    return STATUS_OK;
}

// Brings the checkpoint under way further; to its end when `wait`.
static enum status advance(struct runner *runner, bool wait, struct error *err) {
    bool is_durable = false;
    int64_t oldest_place = 0;
    enum status status = copy(runner, err);
    while (status == STATUS_OK && wait && !runner->saving_cut_done) {
        checkpoint_writer_wait(runner->saving, BACKLOG_BYTES_MAX);
        status = copy(runner, err);
    }
    if (status == STATUS_OK)
        status = checkpoint_writer_poll(runner->saving, wait, &is_durable, &oldest_place, err);
    if (status == STATUS_OK && is_durable)
        status = durable(runner, oldest_place, err);
    return status;
}

// Nothing to do for a stage that keeps its own position, or when nothing happened since the newest.
static enum status begin(struct runner *runner, struct error *err) {
    enum status status = runner_commit_now(runner, err);
    if (status == STATUS_OK)
        status = accounts_check(runner, err);
    if (status != STATUS_OK)
        return status;
    runner->checkpoint_us = runner->saving_us = now_us(runner);
    if (runner->positioned ||
        runner->checkpoint_place == log_writer_journal_place(runner->writer)) {
        report_checkpoint(runner, 0);
        return STATUS_OK;
    }
    return cut(runner, err);
}

static bool due(const struct runner *runner) {
    const struct stage_operations *operations = runner->setup.operations;
    return now_us(runner) - runner->checkpoint_us >=
               runner->setup.settings.checkpoint_interval_ms * 1000 ||
           (operations->wants_checkpoint && operations->wants_checkpoint(runner->setup.state));
}

// What a turn of the loop spends on a checkpoint is what its records wait for: the pause. The
// commit before the cut would have come in any case.
enum status saving_turn(struct runner *runner, struct error *err) {
    if (!runner->saving && !due(runner))
        return STATUS_OK;
    int64_t begin_us = now_us(runner);
    enum status status = runner->saving ? advance(runner, false, err) : begin(runner, err);
    if (runner->checkpoint_us > begin_us)
        begin_us = runner->checkpoint_us; // of the cut
    int64_t pause_us = now_us(runner) - begin_us;
    if (pause_us > runner->status.checkpoint_pause_us)
        runner->status.checkpoint_pause_us = pause_us;
    if (runner->report.checkpoint_pause)
        metric_observe(runner->report.checkpoint_pause, (double)pause_us / 1e6);
    return status;
}

enum status saving_whole(struct runner *runner, struct error *err) {
    enum status status = STATUS_OK;
    if (runner->saving)
        status = advance(runner, true, err);
    if (status == STATUS_OK)
        status = begin(runner, err);
    if (status == STATUS_OK && runner->saving)
        status = advance(runner, true, err);
    return status;
}

// From the copy elsewhere, when the directory has none. Its past is then whole again: what followed
// that checkpoint is in the journal.
bool saving_restore(struct runner *runner, struct error *err) {
    uint64_t generation = 0;
    if (!runner->setup.copy)
        return false;
    enum status status =
        folder_restore(runner->setup.directory, runner->setup.copy, &generation, err);
    if (status == STATUS_OK)
        logger_line(LOGGER_WARN, runner->setup.operations->name, "checkpoint-restored",
                    "task=\"%s\" generation=%llu from=\"%s\" reason=\"the directory had none\"",
                    runner->setup.task, (unsigned long long)generation, runner->setup.copy);
    else if (status != STATUS_NOT_FOUND)
        logger_error(runner->setup.operations->name, "copy-not-restored", err);
    return status == STATUS_OK;
}
