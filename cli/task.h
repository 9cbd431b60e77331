// A task: one stage's state under one runner, wired to its topics. The only place where stages
// meet.
#ifndef FRESHET_CLI_TASK_H
#define FRESHET_CLI_TASK_H

#include <pthread.h>
#include <stdatomic.h>

#include "cli/settings.h"
#include "stage/runner.h"

struct replay_plan;

enum task_kind { TASK_INGEST, TASK_TRAINER, TASK_PUBLISHER };
enum task_phase { TASK_WAITING, TASK_RECOVERING, TASK_LIVE, TASK_ENDED, TASK_FAILED };

struct task {
    char name[160]; // "NAME.ingest-3", "NAME.trainer", "NAME.publisher"
    char directory[4096];
    char copy[4096];
    char build[256];
    enum task_kind kind;
    int32_t index;                   // of the ingest task
    void *state;                     // owned: freed by task_deinit
    char warm[4096];                 // a trainer's imported file; "" = none
    struct trainer_settings trainer; // a trainer's, with the threads asked for
    struct runner_setup setup;
    struct stage_input *inputs; // owned
    struct stage_output outputs[2];
    pthread_t thread;
    bool started;
    atomic_int phase; // enum task_phase; written by the task's thread
    struct runner_progress progress;
    atomic_bool live;   // while in TASK_LIVE: not waiting for a server; written by the runner
    enum status status; // how it ended; read after the thread has been joined
    struct error error;
};

struct task_context {
    const struct settings *settings;
    struct log *log;
    struct metrics *metrics;
    int32_t partitions; // of the input topics
    bool finish;
    int64_t threads;                // of the trainer, 0 = as set
    const struct replay_plan *plan; // what ingest reads; NULL: all there is
};

// Number of partitions of every input topic. STATUS_INVALID when the topics cannot be joined
// partition by partition (partitioning.h), naming what differs; STATUS_NOT_FOUND when one is
// missing.
CHECKED enum status task_input_partitions(const struct settings *settings, struct log *log,
                                          int32_t *ret_partitions, struct error *err);
// Makes the topics between the stages: examples, dead letters, weights, control.
CHECKED enum status task_topics_ensure(const struct task_context *context, struct error *err);

// What trainer and model settings ask for can be built. STATUS_INVALID naming the key.
CHECKED enum status task_check_model(const struct settings *settings, struct error *err);

// What the journal and the checkpoints carry of the configuration: the sections that decide what
// the task computes. Where things are (servers, folders, ports) may change between two starts.
uint64_t task_identity(enum task_kind kind, const struct settings *settings);

CHECKED enum status task_init(struct task *task, const struct task_context *context,
                              enum task_kind kind, int32_t index, struct error *err);
void task_deinit(struct task *task); // after its thread has ended; NULL members are fine
// Opens the runner (waiting for servers as long as *stop is not set) and runs it; sets phase,
// status and error. The body of the task's thread.
void task_run(struct task *task, const atomic_bool *stop);
// Prints the task's conservation account.
void task_report(struct task *task, FILE *stream);
const char *task_kind_name(enum task_kind kind);

#endif
