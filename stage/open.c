// A runner's birth and death.
#include "stage/machine.h"

#include "base/logger.h"

#include <string.h>

static enum status setup_check(const struct runner_setup *setup, struct error *err) {
    const struct stage_operations *operations = setup->operations;
    REQUIRE(operations && operations->name && operations->fold && setup->task && setup->log);
    REQUIRE(setup->clock && (setup->input_count == 0 || setup->inputs));
    REQUIRE(operations->start_offset ||
            (operations->save && operations->load && setup->directory && setup->build));
    if (operations->start_offset && setup->output_count > 0)
        return error_set(err, STATUS_INVALID,
                         "task `%s` keeps its own position and so can have no outputs",
                         setup->task);
    if (setup->settings.batch_records < 1 || setup->settings.checkpoints_kept < 1)
        return error_set(err, STATUS_INVALID,
                         "task `%s`: batch_records and checkpoints_kept must be at least 1",
                         setup->task);
    for (size_t i = 0; i < setup->input_count; i++)
        for (size_t j = 0; j < i; j++)
            if (setup->inputs[i].partition == setup->inputs[j].partition &&
                strcmp(setup->inputs[i].topic, setup->inputs[j].topic) == 0)
                return error_set(err, STATUS_INVALID,
                                 "task `%s` reads topic `%s` partition %d twice", setup->task,
                                 setup->inputs[i].topic, (int)setup->inputs[i].partition);
    return STATUS_OK;
}

// Two processes on one directory would overwrite one another's checkpoints.
static enum status directory_lock(struct runner *runner, struct error *err) {
    char path[4096];
    enum status status = disk_make_directory(runner->setup.directory, err);
    if (status != STATUS_OK)
        return status;
    int length = snprintf(path, sizeof(path), "%s/lock", runner->setup.directory);
    if (length < 0 || (size_t)length >= sizeof(path))
        return error_set(err, STATUS_INVALID, "the path of directory `%s` is too long",
                         runner->setup.directory);
    status = disk_open(path, DISK_APPEND, &runner->lock, err);
    if (status == STATUS_OK)
        status = disk_lock(runner->lock, err);
    return status;
}

static enum status parts_init(struct runner *runner, struct error *err) {
    size_t slots = runner->setup.input_count;
    runner->slots = memory_new(slots + 1, sizeof(*runner->slots));
    if (!runner->slots)
        return error_no_memory(err, slots * sizeof(*runner->slots), "inputs");
    for (size_t i = 0; i < slots; i++)
        runner->slots[i].bound = -1;
    enum status status = outputs_init(&runner->outputs, &runner->setup, err);
    if (status == STATUS_OK)
        status = step_set_init(runner, err);
    if (status == STATUS_OK)
        status = report_init(runner, err);
    if (status == STATUS_OK && !runner->positioned)
        status = directory_lock(runner, err);
    return status;
}

enum status runner_make(const struct runner_setup *setup, struct runner **ret_runner,
                        struct error *err) {
    enum status status = setup_check(setup, err);
    if (status != STATUS_OK)
        return status;
    struct runner *runner = memory_new(1, sizeof(*runner));
    if (!runner)
        return error_no_memory(err, sizeof(*runner), "a runner");
    runner->setup = *setup;
    runner->clock = setup->clock;
    runner->positioned = setup->operations->start_offset != NULL;
    runner->checkpoint_place = runner->journal_end = -1;
    runner->tick_ms = STAGE_TIME_NONE;
    runner->broken = true;
    arena_init(&runner->scratch, 16384);
    buffer_init(&runner->journal);
    status = parts_init(runner, err);
    if (status == STATUS_OK)
        *ret_runner = runner;
    else
        runner_close(runner);
    return status;
}

enum status runner_open(const struct runner_setup *setup, struct runner **ret_runner,
                        struct error *err) {
    struct error reason = {0};
    struct runner *runner = NULL;
    enum status status = runner_make(setup, &runner, &reason);
    if (status == STATUS_OK) {
        status = recover(runner, &reason);
        if (status == STATUS_UNAVAILABLE) {
            logger_error(setup->operations->name, "unavailable", &reason);
            status = STATUS_OK;
        }
    }
    if (status == STATUS_OK) {
        *ret_runner = runner;
        return STATUS_OK;
    }
    runner_close(runner);
    return error_set(err, status, "task `%s`: %s", setup->task, reason.message);
}

void runner_close(struct runner *runner) {
    if (!runner)
        return;
    saving_drop(runner);
    log_reader_close(runner->reader);
    log_writer_close(runner->writer);
    step_set_deinit(&runner->set);
    slots_deinit(runner);
    outputs_deinit(&runner->outputs);
    report_deinit(&runner->report);
    buffer_deinit(&runner->journal);
    memory_free(runner->journal_ends);
    memory_free(runner->recorded_build);
    arena_deinit(&runner->scratch);
    disk_close(runner->lock);
    memory_free(runner);
}
