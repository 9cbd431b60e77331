// Another state in place of the task's own: how a rewind, a handover and a migration end.
//
// The new lineage's first checkpoint stands at the end of the journal, and a genesis record right
// behind it. The checkpoint alone makes the change, in one rename; the record keeps a recovery that
// must begin from an older checkpoint from going on over the seam (recover.c). Outputs are in their
// logs and stay there, so their numbers go on.
#include "stage/machine.h"

#include "base/logger.h"

static enum status pending_each(void *self, int64_t place, const void *bytes, size_t length,
                                struct error *err) {
    struct runner *runner = self;
    struct journal_record record;
    arena_reset(&runner->scratch);
    enum status status = journal_decode(bytes, length, &runner->scratch, &record, err);
    if (status != STATUS_OK || record.kind == JOURNAL_START || record.kind == JOURNAL_GENESIS)
        return status;
    return error_set(err, STATUS_CHANGED,
                     "steps from place %lld of the journal on are not in its newest checkpoint: "
                     "start it once and stop it in an orderly way first",
                     (long long)place);
}

// What the task has emitted, and the last tick: from its newest checkpoint, with which its journal
// must end.
static enum status own_past(struct runner *runner, struct error *err) {
    struct checkpoint_reader *reader = NULL;
    const char *directory = runner->setup.directory, *stage = runner->setup.operations->name;
    int64_t place = 0;
    enum status status = checkpoint_reader_newest(directory, stage, &reader, err);
    if (status == STATUS_NOT_FOUND && saving_restore(runner, err))
        status = checkpoint_reader_newest(directory, stage, &reader, err);
    if (status == STATUS_NOT_FOUND) {
        state_reset(runner);
        status = newness_check(runner, err);
    } else if (status == STATUS_OK) {
        place = checkpoint_reader_place(reader);
        status = state_load(runner, reader, err);
    }
    checkpoint_reader_close(reader);
    if (status == STATUS_OK)
        status = log_writer_journal_read(runner->writer, place, pending_each, runner, err);
    return status;
}

// Where reading goes on must still be there.
static enum status slots_place(struct runner *runner, const int64_t *offsets, struct error *err) {
    for (size_t i = 0; i < runner->setup.input_count; i++) {
        const struct stage_input *input = &runner->setup.inputs[i];
        struct slot *slot = &runner->slots[i];
        int64_t begin, end;
        enum status status =
            log_topic_bounds(runner->setup.log, input->topic, input->partition, &begin, &end, err);
        if (status != STATUS_OK)
            return status;
        if (offsets) {
            slot->next_offset = offsets[i];
            slot->next_sequence = -1;
            slot->ended = false;
            slot->last = (struct journal_range){0};
        }
        if (slot->next_offset < begin || slot->next_offset > end)
            return error_set(err, STATUS_CHANGED,
                             "topic `%s` partition %d is to be read from offset %lld on, it holds "
                             "%lld to %lld: retention has passed that",
                             input->topic, (int)input->partition, (long long)slot->next_offset,
                             (long long)begin, (long long)end);
    }
    return STATUS_OK;
}

static enum status adopt(struct runner *runner, const struct runner_adoption *adoption,
                         struct error *err) {
    const struct stage_operations *operations = runner->setup.operations;
    enum status status = recover_writer(runner, err);
    if (status == STATUS_OK)
        status = own_past(runner, err);
    if (status == STATUS_OK)
        status = state_adopt(runner, adoption->from, err);
    if (status == STATUS_OK)
        status = slots_place(runner, adoption->offsets, err);
    if (status == STATUS_OK)
        status = operations->load(runner->setup.state, adoption->from, err);
    if (status == STATUS_OK && adoption->change)
        status = adoption->change(adoption->self, runner->setup.state, err);
    if (status == STATUS_OK)
        status = saving_whole(runner, err);
    if (status == STATUS_OK)
        status = genesis_add(runner, err);
    if (status == STATUS_OK)
        status = runner_commit_now(runner, err);
    return status;
}

enum status runner_adopt(const struct runner_setup *setup, const struct runner_adoption *adoption,
                         struct error *err) {
    struct runner *runner = NULL;
    struct error reason = {0};
    REQUIRE(setup->operations->start_offset == NULL);
    enum status status = runner_make(setup, &runner, &reason);
    if (status == STATUS_OK)
        status = adopt(runner, adoption, &reason);
    if (status == STATUS_OK)
        logger_line(LOGGER_INFO, setup->operations->name, "lineage-begun",
                    "task=\"%s\" journal_place=%lld", setup->task,
                    (long long)runner->checkpoint_place);
    runner_close(runner);
    return status == STATUS_OK
               ? STATUS_OK
               : error_set(err, status, "task `%s`: %s", setup->task, reason.message);
}
