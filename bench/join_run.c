#include "bench/join_run.h"

#include <stdio.h>

#include "base/disk.h"

void join_run(struct join_run *run) {
    struct error err;
    struct ingest_task *task = NULL;
    struct runner *runner = NULL;
    const struct ingest_settings *settings = &run->config->ingest;
    struct stage_input inputs[JOIN_INPUTS];
    struct stage_output outputs[INGEST_OUTPUTS];
    struct account accounts[JOIN_INPUTS];
    char name[96], directory[160];
    (void)snprintf(name, sizeof(name), "%s-%d", run->name, (int)run->partition);
    (void)snprintf(directory, sizeof(directory), "%s/%s", run->directory, name);
    bench_must(disk_make_directory(directory, &err), &err);
    const struct ingest_task_setup task_setup = {.settings = settings,
                                                 .spec = &run->config->data,
                                                 .partition = run->partition,
                                                 .directory = directory,
                                                 .clock = &clock_system};
    bench_must(ingest_task_new(&task_setup, &task, &err), &err);
    ingest_task_inputs(settings, run->partition, inputs);
    ingest_task_outputs(settings, run->partition, outputs);
    const struct runner_setup setup = {.task = name,
                                       .directory = directory,
                                       .operations = &ingest_operations,
                                       .state = task,
                                       .log = run->log,
                                       .inputs = inputs,
                                       .input_count = JOIN_INPUTS,
                                       .outputs = outputs,
                                       .output_count = INGEST_OUTPUTS,
                                       .settings = settings->runner,
                                       .config_hash = 1,
                                       .build = "bench",
                                       .clock = &clock_system};
    bench_must(runner_open(&setup, &runner, &err), &err);
    enum status status = runner_run(runner, run->stop, &err);
    bench_must(status == STATUS_STOPPED ? STATUS_OK : status, &err);
    (void)ingest_operations.accounts(task, accounts, JOIN_INPUTS);
    run->read = run->used = 0;
    for (size_t i = 0; i < JOIN_INPUTS; i++) {
        run->read += accounts[i].read;
        run->used += accounts[i].used;
    }
    runner_close(runner);
    ingest_task_free(task);
}
