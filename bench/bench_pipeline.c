// How many examples a second go from a Kafka topic into the model: read, checked, decoded,
// predicted, measured and learnt by the trainer's task under the runner, with journal and
// checkpoints.
//
//   bench_pipeline kafka BROKERS [--ids FILE] [--examples N] [--batch N]
//                        [--mode plain|metabalance] [--case NAME] [--rounds N]
//
// The model is that of bench_train: MMoE of 4 experts 128-64, two tasks, towers of 32, row-wise
// Adagrad, 16 dimensions a field; 16 fields of log-uniform ids, or a FILE's rows over and over
// (bench/kuairand_ids.py). Labels come at once: one record an example, four partitions. `NAME-bare`
// is the learner alone on the same examples, already in minibatches; the two are run in turn. No
// version is published.
#include <string.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/logger.h"
#include "bench/join_events.h"
#include "bench/pipeline_ids.h"
#include "trainer/trainer.h"

enum { PARTITIONS = 4, TASKS = 2, FIELDS_MAX = 64, DIMENSION = 16, ROUNDS_MAX = 100 };

struct bench {
    const char *brokers, *ids_path, *name;
    size_t examples, batch, rounds;
    bool metabalance;
    struct pipeline_ids ids;
    struct spec spec;
    struct spec_feature features[FIELDS_MAX];
    struct spec_task tasks[TASKS];
    struct model_settings model;
    struct trainer_settings trainer;
    struct arena arena;
    struct log *log;
    char prefix[64], examples_topic[96], weights_topic[96], directory[64];
};

static int64_t expert_layers[] = {128, 64}, tower_layers[] = {32};

// --- What is learnt.

static void spec_make(struct bench *bench) {
    struct error err;
    for (size_t f = 0; f < bench->ids.fields; f++) {
        char *name = arena_get(&bench->arena, 32, 1);
        REQUIRE(name != NULL);
        (void)snprintf(name, 32, "field_%zu", f);
        bench->features[f] = (struct spec_feature){.name = name,
                                                   .path = "",
                                                   .vocabulary = "id",
                                                   .kind = SPEC_CATEGORICAL,
                                                   .dimension = DIMENSION};
    }
    for (size_t k = 0; k < TASKS; k++)
        bench->tasks[k] = (struct spec_task){.name = k == 0 ? "click" : "buy",
                                             .input = "",
                                             .path = k == 0 ? "click" : "buy",
                                             .when_path = "",
                                             .when_equals = "",
                                             .given = "",
                                             .window_ms = 60000,
                                             .weight = 1};
    bench->spec = (struct spec){.features = {bench->features, bench->ids.fields},
                                .tasks = {bench->tasks, TASKS},
                                .domain_path = "",
                                .user_path = ""};
    bench_must(spec_check(&bench->spec, &err), &err);
    bench->model = (struct model_settings){.sharing = MODEL_MMOE,
                                           .experts = 4,
                                           .expert_layers = {expert_layers, 2},
                                           .tower_layers = {tower_layers, 1},
                                           .embedding_init = 0.01,
                                           .seed = 1};
}

struct root {
    struct trainer_settings trainer;
};
static const struct option root_rows[] = {{.key = "trainer",
                                           .type = OPTION_SECTION,
                                           .offset = offsetof(struct root, trainer),
                                           .table = &trainer_options,
                                           .help = "Trainer."}};
static const struct option_table root_options = {.title = "bench",
                                                 .help = "Bench.",
                                                 .struct_bytes = sizeof(struct root),
                                                 .options = root_rows,
                                                 .count = 1};

static void settings_make(struct bench *bench) {
    struct error err;
    struct root root = {0};
    char text[1024];
    size_t lanes = bench->batch >= 1024 && bench->batch % 256 == 0 ? bench->batch / 256 : 4;
    int length = snprintf(
        text, sizeof(text),
        "trainer:\n  examples: %s\n  weights: %s\n  publish_interval: 24h\n"
        "  learner: {batch_rows: %zu, lanes: %zu, threads: 2, learning_rate: 0.01,"
        " accumulator_init: 0.1, row_learning_rate: 0.05, balance: %s, target_task: click}\n",
        bench->examples_topic, bench->weights_topic, bench->batch, lanes,
        bench->metabalance ? "metabalance" : "fixed");
    REQUIRE(length > 0 && (size_t)length < sizeof(text));
    bench_must(
        config_parse("bench", text, (size_t)length, &root_options, &root, &bench->arena, &err),
        &err);
    bench->trainer = root.trainer;
}

static float label_of(size_t example, size_t task) {
    return hash_mix(example * TASKS + task) % 10 < (task == 0 ? 3u : 1u) ? 1 : 0;
}

static const uint64_t *ids_of(const struct bench *bench, size_t example) {
    return bench->ids.ids + example % bench->ids.rows * bench->ids.fields;
}

// --- Filling the topic.

static void topic_fill(struct bench *bench) {
    struct error err;
    struct log_writer *writer = NULL;
    struct buffer bytes;
    const struct example_shape shape = example_shape_of(&bench->spec);
    const char *const topics[] = {bench->examples_topic};
    bench_must(log_topic_ensure(bench->log, bench->examples_topic, PARTITIONS, &err), &err);
    bench_must(log_topic_ensure(bench->log, bench->weights_topic, 1, &err), &err);
    bench_must(log_writer_open(bench->log, "", topics, 1, &writer, &err), &err);
    buffer_init(&bytes);
    for (size_t i = 0; i < bench->examples; i++) {
        const float labels[TASKS] = {label_of(i, 0), label_of(i, 1)};
        const int64_t time_ms = JOIN_START_MS + (int64_t)i * JOIN_STEP_MS;
        const struct example example = {.kind = EXAMPLE_SCORE | EXAMPLE_LEARN | EXAMPLE_FINAL |
                                                EXAMPLE_LAST,
                                        .impression = i,
                                        .user = ids_of(bench, i)[0],
                                        .event_time_ms = time_ms,
                                        .accepted_ms = time_ms,
                                        .domain = "home",
                                        .domain_length = 4,
                                        .mask = (1u << TASKS) - 1,
                                        .ids = (const unsigned char *)ids_of(bench, i),
                                        .numbers = (const unsigned char *)"",
                                        .lists = (const unsigned char *)"",
                                        .labels = (const unsigned char *)labels};
        buffer_reset(&bytes);
        example_encode(&shape, &example, &bytes);
        const struct log_record record = {.timestamp_ms = time_ms,
                                          .sequence = (int64_t)(i / PARTITIONS),
                                          .value = bytes.data,
                                          .value_length = bytes.length};
        bench_must(log_writer_append(writer, 0, (int32_t)(i % PARTITIONS), &record, &err), &err);
        if (i % 20000 == 19999)
            bench_must(log_writer_commit(writer, NULL, 0, &err), &err);
    }
    bench_must(log_writer_commit(writer, NULL, 0, &err), &err);
    log_writer_close(writer);
    buffer_deinit(&bytes);
}

// --- From the topic.

// Examples a second from the first step until all are learnt.
static double topic_learn(struct bench *bench, size_t round) {
    struct error err;
    struct trainer *trainer = NULL;
    struct runner *runner = NULL;
    struct trainer_status status = {0};
    struct stage_input inputs[PARTITIONS];
    char task[96], directory[192];
    const struct stage_output output = {.topic = bench->weights_topic, .partition_count = 1};
    const struct trainer_setup trainer_setup = {.spec = &bench->spec,
                                                .model = &bench->model,
                                                .settings = &bench->trainer,
                                                .lineage = 1,
                                                .inputs = PARTITIONS};
    (void)snprintf(task, sizeof(task), "%s.train-%zu", bench->prefix, round);
    (void)snprintf(directory, sizeof(directory), "%s/%s", bench->directory, task);
    bench_must(disk_make_directory(directory, &err), &err);
    for (int32_t p = 0; p < PARTITIONS; p++)
        inputs[p] = (struct stage_input){.topic = bench->examples_topic, .partition = p};
    bench_must(trainer_new(&trainer_setup, &trainer, &err), &err);
    const struct runner_setup setup = {.task = task,
                                       .directory = directory,
                                       .operations = &trainer_operations,
                                       .state = trainer,
                                       .log = bench->log,
                                       .inputs = inputs,
                                       .input_count = PARTITIONS,
                                       .outputs = &output,
                                       .output_count = 1,
                                       .settings = bench->trainer.runner,
                                       .config_hash = 1,
                                       .build = "bench",
                                       .clock = &clock_system};
    bench_must(runner_open(&setup, &runner, &err), &err);
    double begin = bench_seconds();
    while (status.rows_learnt + bench->batch <= bench->examples) {
        bench_must(runner_step(runner, 100, &err), &err);
        trainer_status(trainer, &status);
    }
    double took = bench_seconds() - begin;
    runner_close(runner);
    trainer_free(trainer);
    return (double)status.rows_learnt / took;
}

// --- The learner alone.

static void batch_fill(const struct bench *bench, struct minibatch *batch, size_t first) {
    batch->rows = bench->batch;
    for (size_t r = 0; r < batch->rows; r++) {
        for (size_t f = 0; f < bench->ids.fields; f++)
            batch->ids[f * batch->capacity + r] = ids_of(bench, first + r)[f];
        for (size_t k = 0; k < TASKS; k++) {
            batch->labels[k * batch->capacity + r] = label_of(first + r, k);
            batch->weights[k * batch->capacity + r] = 1;
        }
        batch->domains[r] = MINIBATCH_DOMAIN_UNKNOWN;
    }
}

static double bare_learn(struct bench *bench) {
    struct error err;
    struct trainer *trainer = NULL;
    const struct trainer_setup setup = {.spec = &bench->spec,
                                        .model = &bench->model,
                                        .settings = &bench->trainer,
                                        .lineage = 1,
                                        .inputs = PARTITIONS};
    bench_must(trainer_new(&setup, &trainer, &err), &err); // its learner is the task's own
    struct learner *learner = trainer_learner(trainer);
    size_t batches = bench->examples / bench->batch;
    struct minibatch *pool = memory_new(batches, sizeof(*pool));
    struct learner_report report;
    if (!pool)
        bench_must(error_no_memory(&err, batches * sizeof(*pool), "minibatches"), &err);
    for (size_t b = 0; b < batches; b++) {
        bench_must(
            minibatch_init(&pool[b], model_spec_of(learner_model(learner)), bench->batch, &err),
            &err);
        batch_fill(bench, &pool[b], b * bench->batch);
    }
    double begin = bench_seconds();
    for (size_t b = 0; b < batches; b++)
        bench_must(learner_step(learner, &pool[b], &report, &err), &err);
    double took = bench_seconds() - begin;
    for (size_t b = 0; b < batches; b++)
        minibatch_deinit(&pool[b], model_spec_of(learner_model(learner)));
    memory_free(pool);
    trainer_free(trainer);
    return (double)(batches * bench->batch) / took;
}

// --- The program.

static int rate_compare(const void *left, const void *right) {
    const double *a = left;
    const double *b = right;
    return *a < *b ? -1 : *a > *b;
}

static void figure_print(const struct bench *bench, const char *ending, double *rates) {
    printf(
        "figure bench=pipeline case=%s%s who=freshet unit=examples/s mode=%s batch=%zu fields=%zu "
        "examples=%zu rounds=",
        bench->name, ending, bench->metabalance ? "metabalance" : "plain", bench->batch,
        bench->ids.fields, bench->examples);
    for (size_t round = 0; round < bench->rounds; round++)
        printf("%s%.0f", round > 0 ? "," : "", rates[round]);
    qsort(rates, bench->rounds, sizeof(*rates), rate_compare);
    printf(" value=%.0f\n", rates[bench->rounds / 2]);
}

static void run(struct bench *bench) {
    static const char *const properties[] = {"linger.ms=20", NULL};
    const struct log_kafka_options options = {.brokers = bench->brokers,
                                              .properties = properties,
                                              .replication_factor = 1,
                                              .timeout_ms = 30000,
                                              .client_id = "bench-pipeline"};
    struct error err;
    double rates[ROUNDS_MAX], bare[ROUNDS_MAX];
    (void)snprintf(bench->prefix, sizeof(bench->prefix), "bench-%lld",
                   (long long)clock_system.wall_ms(&clock_system));
    (void)snprintf(bench->examples_topic, sizeof(bench->examples_topic), "%s.examples",
                   bench->prefix);
    (void)snprintf(bench->weights_topic, sizeof(bench->weights_topic), "%s.weights", bench->prefix);
    (void)snprintf(bench->directory, sizeof(bench->directory), "/tmp/bench-pipeline-XXXXXX");
    if (mkdtemp(bench->directory) == NULL)
        bench_must(error_set(&err, STATUS_IO, "could not make a folder in /tmp"), &err);
    spec_make(bench);
    settings_make(bench);
    bench_must(log_open_kafka(&options, &bench->log, &err), &err);
    topic_fill(bench);
    for (size_t round = 0; round < bench->rounds; round++) {
        rates[round] = topic_learn(bench, round);
        bare[round] = bare_learn(bench);
    }
    figure_print(bench, "", rates);
    figure_print(bench, "-bare", bare);
    log_close(bench->log);
    bench_must(disk_remove_tree(bench->directory, &err), &err);
}

static bool arguments_read(int count, char **texts, struct bench *bench) {
    const struct {
        const char *name;
        size_t *value;
    } numbers[] = {
        {"--examples", &bench->examples}, {"--batch", &bench->batch}, {"--rounds", &bench->rounds}};
    for (int i = 3; i + 1 < count; i += 2) {
        bool known = true;
        if (strcmp(texts[i], "--ids") == 0)
            bench->ids_path = texts[i + 1];
        else if (strcmp(texts[i], "--case") == 0)
            bench->name = texts[i + 1];
        else if (strcmp(texts[i], "--mode") == 0)
            bench->metabalance = strcmp(texts[i + 1], "metabalance") == 0;
        else
            known = false;
        for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++)
            if (strcmp(texts[i], numbers[n].name) == 0) {
                *numbers[n].value = (size_t)strtoull(texts[i + 1], NULL, 10);
                known = true;
            }
        if (!known)
            return false;
    }
    return count % 2 == 1 && bench->batch > 0 && bench->examples >= bench->batch &&
           bench->rounds > 0 && bench->rounds <= ROUNDS_MAX;
}

int main(int count, char **texts) {
    static struct bench bench = {
        .examples = 307200, .batch = 1024, .rounds = 3, .metabalance = true, .name = "custom"};
    memory_keep();
    logger_setup(stderr, LOGGER_WARN, LOGGER_TEXT);
    if (count < 3 || strcmp(texts[1], "kafka") != 0 || !arguments_read(count, texts, &bench)) {
        fprintf(stderr, "usage: bench_pipeline kafka BROKERS [--ids FILE] [--examples N] "
                        "[--batch N] [--mode plain|metabalance] [--case NAME] [--rounds N]\n"
                        "       bench_pipeline ids DIRECTORY FILE\n");
        return 2;
    }
    bench.brokers = texts[2];
    arena_init(&bench.arena, 4096);
    if (bench.ids_path)
        pipeline_ids_read(&bench.ids, bench.ids_path);
    else
        pipeline_ids_make(&bench.ids, bench.examples, 16);
    run(&bench);
    pipeline_ids_deinit(&bench.ids);
    arena_deinit(&bench.arena);
    return 0;
}
