// Recovery: writer (which fences an older instance), newest valid checkpoint, the journal's steps
// folded again with outputs discarded and compared, then a reader that stands where the last step
// ended.
//
// The same at the start of a process and inside one, after a commit whose fate is unknown: whatever
// was not committed is forgotten, and what was committed is folded again.
#include "stage/machine.h"

#include "base/logger.h"

#include <string.h>

// What the reading of the journal has met so far.
struct refold {
    struct runner *runner;
    bool past;        // a checkpoint or a genesis record has been met
    uint64_t records; // of the journal
    uint64_t steps;
};

static const char *stage_name(const struct runner *runner) {
    return runner->setup.operations->name;
}

static enum status reader_ensure(struct runner *runner, struct error *err) {
    if (runner->reader)
        return STATUS_OK;
    enum status status = verify_identities(runner, err);
    if (status != STATUS_OK)
        return status;
    size_t slots = runner->setup.input_count;
    struct log_position *positions = memory_new(slots + 1, sizeof(*positions));
    if (!positions)
        return error_no_memory(err, slots * sizeof(*positions), "a reader");
    int64_t now_us = runner->clock->monotonic_us(runner->clock);
    for (size_t i = 0; i < slots; i++) {
        positions[i] =
            (struct log_position){runner->setup.inputs[i].topic, runner->setup.inputs[i].partition,
                                  runner->slots[i].next_offset};
        runner->slots[i].heard_us = now_us;
    }
    status = log_reader_open(runner->setup.log, positions, slots, &runner->reader, err);
    memory_free(positions);
    return status;
}

// --- Folding the journal again.

// A genesis behind others begins another lineage (adopt.c). Its first checkpoint stands right
// before it; from an older one there is no way over it.
static bool genesis_follows(const struct refold *refold, const struct journal_record *record) {
    bool follows = refold->records == 1;
    for (size_t i = 0; follows && i < record->input_count; i++)
        follows = refold->runner->slots[i].next_offset == record->inputs[i].offset;
    return follows;
}

static enum status genesis_take(struct refold *refold, const struct journal_record *record,
                                int64_t place, struct error *err) {
    struct runner *runner = refold->runner;
    bool same = record->input_count == runner->setup.input_count;
    for (size_t i = 0; same && i < record->input_count; i++)
        same = strcmp(record->inputs[i].topic, runner->setup.inputs[i].topic) == 0 &&
               record->inputs[i].partition == runner->setup.inputs[i].partition;
    if (!same)
        return error_set(err, STATUS_CHANGED,
                         "the inputs of the configuration are not those that the journal began "
                         "with (%zu then, %zu now)",
                         record->input_count, runner->setup.input_count);
    if (refold->past && !genesis_follows(refold, record))
        return error_set(
            err, STATUS_CHANGED,
            "at place %lld the journal goes on as another lineage (a rewind, a handover "
            "or a migration), of which `%s` holds no valid checkpoint: bring one there "
            "from where checkpoints are copied to",
            (long long)place, runner->setup.directory);
    for (size_t i = 0; i < record->input_count; i++) {
        runner->slots[i].identity = record->inputs[i].identity;
        runner->slots[i].next_offset = record->inputs[i].offset;
    }
    refold->past = true;
    return state_identity(runner, record->config_hash, record->build, err);
}

static enum status identity_check(const struct runner *runner, struct error *err) {
    bool config = runner->recorded_config == runner->setup.config_hash;
    bool build = strcmp(runner->recorded_build, runner->setup.build) == 0;
    if (config && build)
        return STATUS_OK;
    return error_set(err, STATUS_CHANGED,
                     "steps since the newest checkpoint were folded under another %s%s%s "
                     "(configuration %016llx, now %016llx; build `%s`, now `%s`): start the old "
                     "build with the old configuration once and stop it, so that it saves a "
                     "checkpoint, then start the new",
                     config ? "" : "configuration", config || build ? "" : " and ",
                     build ? "" : "build", (unsigned long long)runner->recorded_config,
                     (unsigned long long)runner->setup.config_hash, runner->recorded_build,
                     runner->setup.build);
}

// How many of the step's ranges are not yet wholly queued. STATUS_CHANGED when one cannot be.
static enum status ranges_missing(struct runner *runner, const struct journal_record *step,
                                  bool silent, size_t *ret_missing, struct error *err) {
    size_t missing = 0;
    for (size_t i = 0; i < step->range_count; i++) {
        const struct journal_range *range = &step->ranges[i];
        const struct slot *slot = &runner->slots[range->slot];
        const struct stage_input *input = &runner->setup.inputs[range->slot];
        if (slot->count >= range->count)
            continue;
        missing++;
        bool passed =
            slot->count > 0 && slot_at(slot, slot->count - 1)->record.offset >= range->last;
        int64_t begin = 0, end = INT64_MAX;
        if (!passed && silent) {
            enum status status = log_topic_bounds(runner->setup.log, input->topic, input->partition,
                                                  &begin, &end, err);
            if (status != STATUS_OK)
                return status;
        }
        if (passed || end <= range->last)
            return error_set(err, STATUS_CHANGED,
                             "could not fold topic `%s` partition %d again: records of offsets "
                             "%lld to %lld that the journal names are gone: the log was changed "
                             "or made anew",
                             input->topic, (int)input->partition, (long long)range->first,
                             (long long)range->last);
    }
    *ret_missing = missing;
    return STATUS_OK;
}

// Polls until the queues hold the step's records. What comes beyond them waits for later steps.
static enum status ranges_gather(struct runner *runner, const struct journal_record *step,
                                 struct error *err) {
    uint64_t *needed = arena_get(&runner->scratch, runner->setup.input_count + 1, sizeof(*needed));
    if (!needed)
        return error_no_memory(err, runner->setup.input_count * sizeof(*needed), "a step");
    for (size_t i = 0; i < step->range_count; i++) {
        if (step->ranges[i].slot >= runner->setup.input_count)
            return error_set(err, STATUS_CORRUPT, "a journal record names input %u of %zu",
                             step->ranges[i].slot, runner->setup.input_count);
        needed[step->ranges[i].slot] = step->ranges[i].count;
    }
    int timeouts = 0;
    while (true) {
        size_t missing = 0;
        enum status status = ranges_missing(runner, step, timeouts > 0, &missing, err);
        if (status != STATUS_OK || missing == 0)
            return status;
        if (runner->stop && atomic_load(runner->stop))
            return error_set(err, STATUS_STOPPED, "stopped while recovering");
        status = slots_pace(runner, needed, err);
        if (status != STATUS_OK)
            return status;
        struct log_batch batch = {0};
        status = log_reader_poll(runner->reader, (size_t)runner->setup.settings.batch_records, 1000,
                                 &batch, err);
        if (status == STATUS_TIMEOUT && ++timeouts < 60)
            continue;
        if (status == STATUS_TIMEOUT)
            return error_set(err, STATUS_UNAVAILABLE,
                             "could not read what the journal names: nothing came for a minute");
        if (status == STATUS_OK) {
            timeouts = 0;
            status = slots_push(runner, &batch, err);
        }
        if (status != STATUS_OK)
            return status;
    }
}

static enum status step_fold(struct runner *runner, const struct journal_record *step,
                             struct error *err) {
    enum status status = STATUS_OK;
    switch (step->kind) {
    case JOURNAL_BATCH:
        status = ranges_gather(runner, step, err);
        if (status == STATUS_OK)
            status = merge_retake(runner, step, err);
        if (status == STATUS_OK)
            status = fold_set(runner, err);
        step_set_release(&runner->set);
        return status;
    case JOURNAL_TICK:
        return fold_tick(runner, step->clock_ms, err);
    case JOURNAL_IDLE:
        if (step->idle_slot >= runner->setup.input_count)
            return error_set(err, STATUS_CORRUPT, "a journal record names input %u of %zu",
                             step->idle_slot, runner->setup.input_count);
        return fold_idle(runner, step->idle_slot, step->idle, err);
    default:
        return fold_finish(runner, err);
    }
}

static enum status past_lost(const struct runner *runner, struct error *err) {
    return error_set(err, STATUS_CHANGED,
                     "the beginning of the journal is no longer retained, and there is no valid "
                     "checkpoint in `%s`: the directory was lost",
                     runner->setup.directory);
}

static enum status refold_each(void *self, int64_t place, const void *bytes, size_t length,
                               struct error *err) {
    struct refold *refold = self;
    struct runner *runner = refold->runner;
    struct journal_record step;
    arena_reset(&runner->scratch);
    refold->records++;
    enum status status = journal_decode(bytes, length, &runner->scratch, &step, err);
    if (status == STATUS_OK && step.kind == JOURNAL_GENESIS)
        return genesis_take(refold, &step, place, err);
    if (status == STATUS_OK && !refold->past)
        return past_lost(runner, err);
    if (status == STATUS_OK && step.kind == JOURNAL_START)
        return state_identity(runner, step.config_hash, step.build, err);
    if (status == STATUS_OK)
        status = identity_check(runner, err);
    if (status == STATUS_OK)
        status = reader_ensure(runner, err);
    if (status == STATUS_OK)
        status = step_fold(runner, &step, err);
    if (status != STATUS_OK)
        return status;
    if (runner->outputs.step_records != step.outputs ||
        runner->outputs.step_checksum != step.outputs_checksum)
        return error_set(err, STATUS_CORRUPT,
                         "refold gave other outputs: not deterministic (%s at journal place %lld: "
                         "%llu records then, %llu now)",
                         journal_kind_name(step.kind), (long long)place,
                         (unsigned long long)step.outputs,
                         (unsigned long long)runner->outputs.step_records);
    refold->steps++;
    metric_count(runner->report.refolded, 1);
    return STATUS_OK;
}

// --- The whole.

enum status recover_writer(struct runner *runner, struct error *err) {
    size_t count = runner->setup.output_count;
    const char **topics = memory_new(count + 1, sizeof(*topics));
    if (!topics)
        return error_no_memory(err, count * sizeof(*topics), "outputs");
    for (size_t i = 0; i < count; i++)
        topics[i] = runner->setup.outputs[i].topic;
    enum status status =
        log_writer_open(runner->setup.log, runner->setup.task, topics, count, &runner->writer, err);
    memory_free(topics);
    return status;
}

static enum status stage_reset(struct runner *runner, bool fresh, struct error *err) {
    state_reset(runner);
    if (fresh)
        return STATUS_OK;
    if (!runner->setup.operations->reset)
        return error_set(err, STATUS_UNSUPPORTED,
                         "stage `%s` cannot be made as new in a running process: start it again",
                         stage_name(runner));
    return runner->setup.operations->reset(runner->setup.state, err);
}

static enum status checkpoint_load(struct runner *runner, struct checkpoint_reader *reader,
                                   struct error *err) {
    enum status status = state_load(runner, reader, err);
    if (status == STATUS_OK)
        status = runner->setup.operations->load(runner->setup.state, reader, err);
    if (status != STATUS_OK)
        return status;
    runner->checkpoint_place = checkpoint_reader_place(reader);
    logger_line(LOGGER_INFO, stage_name(runner), "checkpoint-loaded",
                "task=\"%s\" generation=%llu journal_place=%lld", runner->setup.task,
                (unsigned long long)checkpoint_reader_generation(reader),
                (long long)runner->checkpoint_place);
    return STATUS_OK;
}

// The newest valid checkpoint, or the state as new. *ret_place: where the journal's tail begins. A
// generation may also show its damage only while it is loaded.
static enum status past_load(struct runner *runner, bool fresh, int64_t *ret_place, bool *ret_past,
                             struct error *err) {
    enum status status = STATUS_CORRUPT;
    bool brought = false;
    runner->checkpoint_place = -1;
    while (status == STATUS_CORRUPT) {
        struct checkpoint_reader *reader = NULL;
        struct error reason;
        status =
            checkpoint_reader_newest(runner->setup.directory, stage_name(runner), &reader, err);
        if (status == STATUS_NOT_FOUND && !brought && saving_restore(runner, err)) {
            brought = true;
            status = STATUS_CORRUPT; // look again
            continue;
        }
        if (status == STATUS_NOT_FOUND) {
            *ret_place = 0;
            *ret_past = false;
            return stage_reset(runner, fresh, err);
        }
        if (status != STATUS_OK)
            return status;
        fresh = false;
        status = checkpoint_load(runner, reader, &reason);
        uint64_t generation = checkpoint_reader_generation(reader);
        checkpoint_reader_close(reader);
        if (status == STATUS_CORRUPT) {
            enum status aside = checkpoint_set_aside(runner->setup.directory, generation,
                                                     stage_name(runner), &reason, err);
            if (aside != STATUS_OK)
                return aside;
        } else if (status != STATUS_OK) {
            return error_set(err, status, "%s", reason.message);
        }
    }
    *ret_place = runner->checkpoint_place;
    *ret_past = true;
    return STATUS_OK;
}

static enum status nothing_each(void *self, int64_t place, const void *bytes, size_t length,
                                struct error *err) {
    (void)self, (void)place, (void)bytes, (void)length, (void)err;
    return STATUS_OK;
}

// A journal without records is a new task's, unless it was trimmed: then a checkpoint has been
// lost. (Its end alone does not tell: on Kafka an aborted genesis moves that too.)
enum status newness_check(struct runner *runner, struct error *err) {
    if (log_writer_journal_place(runner->writer) < 1)
        return STATUS_OK;
    enum status status = log_writer_journal_read(runner->writer, 1, nothing_each, NULL, err);
    return status == STATUS_CHANGED ? past_lost(runner, err) : status;
}

static enum status journal_refold(struct runner *runner, bool fresh, struct error *err) {
    struct refold refold = {.runner = runner};
    int64_t place = 0;
    enum status status = past_load(runner, fresh, &place, &refold.past, err);
    if (status == STATUS_OK && place > log_writer_journal_place(runner->writer))
        return error_set(err, STATUS_CHANGED,
                         "the checkpoint stands at place %lld of the journal, which ends at %lld: "
                         "the journal was lost or cut",
                         (long long)place, (long long)log_writer_journal_place(runner->writer));
    if (status == STATUS_OK)
        status = log_writer_journal_read(runner->writer, place, refold_each, &refold, err);
    if (status != STATUS_OK)
        return status;
    runner->status.refolded_steps = refold.steps;
    if (refold.past) {
        struct journal_record start = {.kind = JOURNAL_START,
                                       .config_hash = runner->setup.config_hash,
                                       .build = runner->setup.build};
        return journal_add(runner, &start, err);
    }
    status = newness_check(runner, err);
    return status == STATUS_OK ? genesis_write(runner, err) : status;
}

static enum status positions_ask(struct runner *runner, bool fresh, struct error *err) {
    enum status status = stage_reset(runner, fresh, err);
    for (uint32_t i = 0; status == STATUS_OK && i < runner->setup.input_count; i++) {
        int64_t offset = -1;
        status = runner->setup.operations->start_offset(runner->setup.state, i, &offset, err);
        if (status == STATUS_OK && offset < 0)
            status = begin_offset(runner, i, &offset, err);
        runner->slots[i].next_offset = offset;
    }
    return status;
}

static void recover_begin(struct runner *runner) {
    saving_drop(runner);
    log_reader_close(runner->reader);
    runner->reader = NULL;
    log_writer_close(runner->writer);
    runner->writer = NULL;
    runner->outputs.writer = NULL;
    runner->outputs.pending_bytes = 0;
    step_set_release(&runner->set);
    slots_clear(runner);
    buffer_reset(&runner->journal);
    runner->journal_count = 0;
    runner->dirty = false;
    runner->broken = true;
}

static enum status taken_over(struct runner *runner, struct error *err) {
    runner->fenced = true;
    return error_set(err, STATUS_FENCED, "a newer instance has taken it over");
}

static enum status taken_each(void *self, int64_t place, const void *bytes, size_t length,
                              struct error *err) {
    struct runner *runner = self;
    struct journal_record record;
    (void)place;
    arena_reset(&runner->scratch);
    enum status status = journal_decode(bytes, length, &runner->scratch, &record, err);
    bool takes =
        status == STATUS_OK && (record.kind == JOURNAL_GENESIS || record.kind == JOURNAL_START);
    return takes && record.clock_ms != runner->taken_ms ? taken_over(runner, err) : status;
}

// Opening the writer again would fence a newer instance, if there is one by now: its first record
// stands in the journal behind our own, or it has trimmed those.
static enum status taken_check(struct runner *runner, struct error *err) {
    if (runner->positioned || runner->journal_end < 0)
        return STATUS_OK;
    enum status status = log_journal_read(runner->setup.log, runner->setup.task,
                                          runner->journal_end, taken_each, runner, err);
    return status == STATUS_CHANGED ? taken_over(runner, err) : status;
}

enum status recover(struct runner *runner, struct error *err) {
    bool fresh = !runner->touched;
    int64_t begin_us = runner->clock->monotonic_us(runner->clock);
    recover_begin(runner);
    enum status status = STATUS_OK;
    if (runner->setup.bounded && !runner->bounds_known)
        status = bounds_capture(runner, err);
    if (status == STATUS_OK)
        status = taken_check(runner, err);
    if (status == STATUS_OK && !runner->positioned)
        status = recover_writer(runner, err);
    if (status != STATUS_OK)
        return status;
    if (!runner->positioned)
        runner->journal_end = log_writer_journal_place(runner->writer);
    runner->touched = true;
    status =
        runner->positioned ? positions_ask(runner, fresh, err) : journal_refold(runner, fresh, err);
    if (status == STATUS_OK)
        status = reader_ensure(runner, err);
    if (status == STATUS_OK)
        status = verify_ranges(runner, err);
    if (status == STATUS_OK) // at once, so that an older instance finds who has taken over
        status = runner_commit_now(runner, err);
    if (status != STATUS_OK)
        return status;
    runner->outputs.writer = runner->writer;
    runner->broken = false;
    runner->commit_us = runner->checkpoint_us = runner->clock->monotonic_us(runner->clock);
    logger_line(LOGGER_INFO, stage_name(runner), "recovered",
                "task=\"%s\" refolded_steps=%llu records=%llu took_ms=%lld", runner->setup.task,
                (unsigned long long)runner->status.refolded_steps,
                (unsigned long long)runner->status.records,
                (long long)((runner->commit_us - begin_us) / 1000));
    return STATUS_OK;
}
