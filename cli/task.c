// Wiring: settings into stage states, topics into slots; see task.h.
#include "cli/task.h"

#include <string.h>

#include "base/hash.h"
#include "base/logger.h"
#include "base/disk.h"
#include "cli/replay_plan.h"
#include "cli/warm.h"
#include "ingest/ingest.h"
#include "ingest/partitioning.h"
#include "model/blas.h"
#include "model/product.h"
#include "publisher/publisher.h"
#include "trainer/trainer.h"

const char *task_kind_name(enum task_kind kind) {
    static const char *const names[] = {"ingest", "trainer", "publisher"};
    return names[kind];
}

enum status task_input_partitions(const struct settings *settings, struct log *log,
                                  int32_t *ret_partitions, struct error *err) {
    struct decoder *decoder = NULL;
    enum status status = STATUS_OK;
    if (settings->ingest.check_partitioning) {
        status = decoder_new(&settings->ingest, &settings->data, &clock_system, &decoder, err);
        if (status == STATUS_OK)
            status = partitioning_check(log, &settings->ingest, decoder, err);
        decoder_free(decoder);
    }
    if (status == STATUS_OK)
        status = log_topic_partitions(log, ingest_input_at(&settings->ingest, 0)->topic,
                                      ret_partitions, err);
    return status;
}

enum status task_topics_ensure(const struct task_context *context, struct error *err) {
    const struct settings *settings = context->settings;
    enum status status =
        log_topic_ensure(context->log, settings->ingest.examples, context->partitions, err);
    if (status == STATUS_OK)
        status =
            log_topic_ensure(context->log, settings->ingest.dead_letter, context->partitions, err);
    if (status == STATUS_OK)
        status = log_topic_ensure(context->log, settings->trainer.weights, 1, err);
    if (status == STATUS_OK && settings->control[0])
        status = log_topic_ensure(context->log, settings->control, 1, err);
    return status;
}

static enum status init_ingest(struct task *task, const struct task_context *context,
                               struct error *err) {
    const struct ingest_settings *settings = &context->settings->ingest;
    struct ingest_task *state;
    struct ingest_task_setup setup = {.settings = settings,
                                      .spec = &context->settings->data,
                                      .partition = task->index,
                                      .directory = task->directory,
                                      .clock = &clock_system,
                                      .metrics = context->metrics};
    enum status status = ingest_settings_check(settings, err);
    if (status == STATUS_OK)
        status = ingest_task_new(&setup, &state, err);
    if (status != STATUS_OK)
        return status;
    task->state = state;
    task->inputs = memory_new(settings->inputs.count, sizeof *task->inputs);
    if (!task->inputs)
        return error_no_memory(err, settings->inputs.count * sizeof *task->inputs, "inputs");
    ingest_task_inputs(settings, task->index, task->inputs);
    ingest_task_outputs(settings, task->index, task->outputs);
    task->setup.operations = &ingest_operations;
    task->setup.settings = settings->runner;
    task->setup.input_count = settings->inputs.count;
    task->setup.output_count = INGEST_OUTPUTS;
    task->setup.bounded = context->finish;
    if (context->plan) // bounded or not, it begins where the plan says
        task->setup.stretch = context->plan->stretch + (size_t)task->index * context->plan->inputs;
    return STATUS_OK;
}

// A model's lineage is that of the weights topic it is written to: another one when the topic is
// made anew, the same one however often the trainer begins again.
static enum status task_lineage(const struct settings *settings, struct log *log,
                                uint64_t *ret_lineage, struct error *err) {
    uint64_t identity;
    enum status status = log_topic_identity(log, settings->trainer.weights, &identity, err);
    if (status == STATUS_OK)
        *ret_lineage = hash_bytes(settings->name, strlen(settings->name), identity);
    return status;
}

static enum status begin_warm(void *self, struct trainer *trainer, struct error *err) {
    struct warm_report report;
    return warm_start(trainer, self, NULL, &report, err);
}

// An imported file is part of what the task computes: a changed one may not continue its journal.
static enum status find_warm(struct task *task, const struct settings *settings,
                             struct error *err) {
    struct buffer bytes;
    enum status status = warm_path(settings, task->warm, sizeof task->warm, err);
    if (status != STATUS_OK || !disk_exists(task->warm)) {
        task->warm[0] = '\0';
        return status;
    }
    buffer_init(&bytes);
    status = disk_read_all(task->warm, &bytes, err);
    if (status == STATUS_OK)
        task->setup.config_hash = hash_bytes(bytes.data, bytes.length, task->setup.config_hash);
    buffer_deinit(&bytes);
    return status;
}

static enum status init_trainer(struct task *task, const struct task_context *context,
                                struct error *err) {
    const struct settings *settings = context->settings;
    struct trainer *state;
    uint64_t lineage;
    enum status status = task_lineage(settings, context->log, &lineage, err);
    if (status != STATUS_OK)
        return status;
    status = find_warm(task, settings, err);
    if (status != STATUS_OK)
        return status;
    task->trainer = settings->trainer;
    if (context->threads > 0)
        task->trainer.learner.threads = context->threads;
    struct trainer_setup setup = {.settings = &task->trainer,
                                  .model = &settings->model,
                                  .spec = &settings->data,
                                  .lineage = lineage,
                                  .inputs = (size_t)context->partitions,
                                  .metrics = context->metrics,
                                  .warm = task->warm[0] ? begin_warm : NULL,
                                  .warm_self = task->warm};
    status = trainer_new(&setup, &state, err);
    if (status != STATUS_OK)
        return status;
    task->state = state;
    size_t partitions = (size_t)context->partitions;
    task->inputs = memory_new(partitions, sizeof *task->inputs);
    if (!task->inputs)
        return error_no_memory(err, partitions * sizeof *task->inputs, "inputs");
    for (size_t i = 0; i < partitions; i++)
        task->inputs[i] =
            (struct stage_input){.topic = settings->trainer.examples, .partition = (int32_t)i};
    task->outputs[0] = (struct stage_output){settings->trainer.weights, 0, 1};
    task->setup.operations = &trainer_operations;
    task->setup.settings = settings->trainer.runner;
    task->setup.input_count = partitions;
    task->setup.output_count = 1;
    return STATUS_OK;
}

enum status task_check_model(const struct settings *settings, struct error *err) {
    struct trainer *trainer;
    struct trainer_setup setup = {.settings = &settings->trainer,
                                  .model = &settings->model,
                                  .spec = &settings->data,
                                  .lineage = 1,
                                  .inputs = 1};
    enum status status = trainer_new(&setup, &trainer, err);
    if (status == STATUS_OK)
        trainer_free(trainer);
    return status;
}

static enum status init_publisher(struct task *task, const struct task_context *context,
                                  struct error *err) {
    const struct settings *settings = context->settings;
    struct publisher *state;
    size_t widest = 0; // values of the widest row
    for (size_t i = 0; i < settings->data.features.count; i++) {
        const struct spec_feature *feature = spec_feature_at(&settings->data, i);
        if (feature->kind != SPEC_NUMERIC && (size_t)feature->dimension > widest)
            widest = (size_t)feature->dimension;
    }
    if (settings->model.wide)
        widest += settings->data.tasks.count;
    struct publisher_setup setup = {.settings = &settings->publisher,
                                    .name = settings->name,
                                    .weights = settings->trainer.weights,
                                    .control = settings->control[0] ? settings->control : NULL,
                                    .row_floats_max = widest,
                                    .log = context->log,
                                    .metrics = context->metrics,
                                    .clock = &clock_system};
    enum status status = publisher_new(&setup, &state, err);
    if (status != STATUS_OK)
        return status;
    task->state = state;
    task->inputs = memory_new(2, sizeof *task->inputs);
    if (!task->inputs)
        return error_no_memory(err, 2 * sizeof *task->inputs, "inputs");
    task->inputs[0] = (struct stage_input){.topic = settings->trainer.weights};
    task->inputs[1] = (struct stage_input){.topic = settings->control};
    task->setup.operations = &publisher_operations;
    task->setup.settings = settings->publisher.runner;
    task->setup.inputs_aside = settings->control[0] ? 1 : 0;
    task->setup.input_count = 1 + task->setup.inputs_aside;
    return STATUS_OK;
}

uint64_t task_identity(enum task_kind kind, const struct settings *settings) {
    uint64_t hashes[3] = {config_hash(&spec_options, &settings->data)};
    if (kind == TASK_INGEST) {
        hashes[1] = config_hash(&ingest_options, &settings->ingest);
    } else if (kind == TASK_TRAINER) {
        hashes[1] = config_hash(&model_options, &settings->model);
        hashes[2] = config_hash(&trainer_options, &settings->trainer);
    }
    return hash_bytes(hashes, sizeof hashes, 0);
}

static enum status name_task(struct task *task, const struct settings *settings,
                             struct error *err) {
    char index[16] = "";
    if (task->kind == TASK_INGEST)
        snprintf(index, sizeof index, "-%d", task->index);
    int name = snprintf(task->name, sizeof task->name, "%s.%s%s", settings->name,
                        task_kind_name(task->kind), index);
    int directory =
        snprintf(task->directory, sizeof task->directory, "%s/%s", settings->directory, task->name);
    int copy = snprintf(task->copy, sizeof task->copy, "%s/%s", settings->copies, task->name);
    if (name < 0 || (size_t)name >= sizeof task->name || directory < 0 ||
        (size_t)directory >= sizeof task->directory || copy < 0 ||
        (size_t)copy >= sizeof task->copy)
        return error_set(err, STATUS_INVALID,
                         "could not name a task: `name` or `directory` is too "
                         "long");
    snprintf(task->build, sizeof task->build, "freshet %s, %s, %s products, %s", FRESHET_VERSION,
             __VERSION__, product_build(), blas_build());
    return STATUS_OK;
}

enum status task_init(struct task *task, const struct task_context *context, enum task_kind kind,
                      int32_t index, struct error *err) {
    memset(task, 0, sizeof *task);
    task->kind = kind;
    task->index = index;
    enum status status = name_task(task, context->settings, err);
    if (status != STATUS_OK)
        return status;
    task->setup = (struct runner_setup){.task = task->name,
                                        .directory = task->directory,
                                        .copy = context->settings->copies[0] ? task->copy : NULL,
                                        .log = context->log,
                                        .start = RUNNER_START_OLDEST,
                                        .config_hash = task_identity(kind, context->settings),
                                        .build = task->build,
                                        .clock = &clock_system,
                                        .metrics = context->metrics,
                                        .live = &task->live,
                                        .progress = &task->progress};
    if (kind == TASK_INGEST)
        status = init_ingest(task, context, err);
    else if (kind == TASK_TRAINER)
        status = init_trainer(task, context, err);
    else
        status = init_publisher(task, context, err);
    if (status != STATUS_OK) {
        task_deinit(task);
        return error_prefix(err, "%s", task->name);
    }
    task->setup.state = task->state;
    task->setup.inputs = task->inputs;
    task->setup.outputs = task->outputs;
    return STATUS_OK;
}

void task_deinit(struct task *task) {
    if (task->kind == TASK_INGEST)
        ingest_task_free(task->state);
    else if (task->kind == TASK_TRAINER)
        trainer_free(task->state);
    else
        publisher_free(task->state);
    memory_free(task->inputs);
    task->state = NULL;
    task->inputs = NULL;
}

void task_run(struct task *task, const atomic_bool *stop) {
    struct runner *runner = NULL;
    atomic_store(&task->phase, TASK_RECOVERING);
    enum status status = runner_open(&task->setup, &runner, &task->error);
    if (status == STATUS_OK) {
        atomic_store(&task->phase, TASK_LIVE);
        status = runner_run(runner, stop, &task->error);
    }
    runner_close(runner);
    task->status = status;
    if (status != STATUS_OK && status != STATUS_STOPPED)
        logger_error(task_kind_name(task->kind), "failed", &task->error);
    atomic_store(&task->phase,
                 status == STATUS_OK || status == STATUS_STOPPED ? TASK_ENDED : TASK_FAILED);
}

void task_report(struct task *task, FILE *stream) {
    struct account accounts[INGEST_INPUTS_MAX];
    size_t count = task->setup.operations->accounts(task->state, accounts, INGEST_INPUTS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct account *account = &accounts[i];
        fprintf(stream, "account %s %s read=%llu used=%llu in_flight=%llu", task->name,
                account->input, (unsigned long long)account->read,
                (unsigned long long)account->used, (unsigned long long)account->in_flight);
        for (size_t k = 0; k < account->reason_count; k++)
            if (account->dropped[k] > 0)
                fprintf(stream, " dropped.%s=%llu", account->reasons[k],
                        (unsigned long long)account->dropped[k]);
        fprintf(stream, "%s\n", account_balances(account) ? "" : " DOES NOT BALANCE");
    }
}
