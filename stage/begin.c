// Where a task without a past begins, and where a bounded one ends.
#include "stage/machine.h"

enum status begin_offset(struct runner *runner, size_t index, int64_t *ret_offset,
                         struct error *err) {
    const struct stage_input *input = &runner->setup.inputs[index];
    int64_t begin = 0, end = 0;
    if (runner->setup.stretch) {
        *ret_offset = runner->setup.stretch[index].first;
        return STATUS_OK;
    }
    enum status status =
        log_topic_bounds(runner->setup.log, input->topic, input->partition, &begin, &end, err);
    if (status == STATUS_OK)
        *ret_offset = runner->setup.start == RUNNER_START_OLDEST ? begin : end;
    return status;
}

enum status genesis_add(struct runner *runner, struct error *err) {
    size_t slots = runner->setup.input_count;
    arena_reset(&runner->scratch);
    struct journal_input *inputs = arena_get(&runner->scratch, slots + 1, sizeof(*inputs));
    if (!inputs)
        return error_no_memory(err, slots * sizeof(*inputs), "a journal record");
    for (size_t i = 0; i < slots; i++) {
        struct slot *slot = &runner->slots[i];
        enum status status = log_topic_identity(runner->setup.log, runner->setup.inputs[i].topic,
                                                &slot->identity, err);
        if (status != STATUS_OK)
            return status;
        inputs[i] = (struct journal_input){.topic = runner->setup.inputs[i].topic,
                                           .partition = runner->setup.inputs[i].partition,
                                           .identity = slot->identity,
                                           .offset = slot->next_offset};
    }
    struct journal_record record = {.kind = JOURNAL_GENESIS,
                                    .config_hash = runner->setup.config_hash,
                                    .build = runner->setup.build,
                                    .inputs = inputs,
                                    .input_count = slots};
    return journal_add(runner, &record, err);
}

enum status genesis_write(struct runner *runner, struct error *err) {
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < runner->setup.input_count; i++)
        status = begin_offset(runner, i, &runner->slots[i].next_offset, err);
    if (status == STATUS_OK)
        status = genesis_add(runner, err);
    if (status == STATUS_OK)
        status = runner_commit_now(runner, err);
    return status;
}

enum status bounds_capture(struct runner *runner, struct error *err) {
    for (size_t i = 0; i < runner->setup.input_count; i++) {
        const struct stage_input *input = &runner->setup.inputs[i];
        int64_t begin = 0, end = 0;
        if (runner->setup.stretch) {
            runner->slots[i].bound = runner->setup.stretch[i].end;
            continue;
        }
        enum status status =
            log_topic_bounds(runner->setup.log, input->topic, input->partition, &begin, &end, err);
        if (status != STATUS_OK)
            return status;
        runner->slots[i].bound = end;
    }
    runner->bounds_known = true;
    return STATUS_OK;
}
