// A trainer with many rows: what its checkpoints cost while it learns, and how soon it learns again
// after a restart. 16 categorical fields of 16 dimensions, a table each, MMoE of 4 experts 128-64,
// two tasks; examples, journal and weights are file logs; versions every 5 s.
//
//   bench_recover DIRECTORY [ROWS] [--threads N]
//
// 1  makes the rows: examples of ids never met before, until every table has its share
// 2  learns from examples of ids drawn uniformly over all rows, a checkpoint every second
// 3  stops, and starts a new process on what was left: the time until it has learnt from a
// minibatch
//
// Figures: the time of (3) in s; the longest time that a turn of the loop spent on a checkpoint in
// (1) and (2), in ms; bytes of a whole checkpoint's rows, and of an increment; and that increment's
// bytes over the bytes of the rows that changed.
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/logger.h"
#include "base/rng.h"
#include "record/example.h"
#include "trainer/trainer.h"

enum { FIELDS = 16, DIMENSION = 16, BATCH = 1024 };

struct bench {
    const char *directory;
    char task[3000]; // the task's folder
    uint64_t rows;
    int64_t threads;
    struct spec spec;
    struct spec_feature features[FIELDS];
    struct spec_task tasks[2];
    struct model_settings model;
    struct trainer_settings settings;
    struct log *log;
    struct log_writer *writer; // of the examples
    int64_t sequence;
    struct trainer *trainer;
    struct runner *runner;
    struct stage_input input;
    struct stage_output output;
};

static void end_with(const struct error *err) {
    fprintf(stderr, "bench_recover: %s\n", err->message);
    exit(1);
}

static void must(enum status status, const struct error *err) {
    if (status != STATUS_OK)
        end_with(err);
}

static void settings_fill(struct bench *bench) {
    static char names[FIELDS][8];
    static int64_t experts[] = {128, 64}, towers[] = {32};
    for (size_t i = 0; i < FIELDS; i++) {
        snprintf(names[i], sizeof names[i], "f%zu", i);
        bench->features[i] = (struct spec_feature){.name = names[i],
                                                   .path = "",
                                                   .vocabulary = "",
                                                   .kind = SPEC_CATEGORICAL,
                                                   .dimension = DIMENSION};
    }
    for (size_t i = 0; i < 2; i++)
        bench->tasks[i] = (struct spec_task){.name = i == 0 ? "click" : "like",
                                             .input = "",
                                             .path = "",
                                             .when_path = "",
                                             .when_equals = "",
                                             .given = "",
                                             .window_ms = 1000,
                                             .weight = 1};
    bench->spec = (struct spec){.features = {bench->features, FIELDS},
                                .tasks = {bench->tasks, 2},
                                .domain_path = "",
                                .user_path = ""};
    bench->model = (struct model_settings){.sharing = MODEL_MMOE,
                                           .experts = 4,
                                           .expert_layers = {experts, 2},
                                           .tower_layers = {towers, 1},
                                           .domains_max = 1,
                                           .embedding_init = 0.01,
                                           .seed = 1};
    bench->settings = (struct trainer_settings){
        .examples = "examples",
        .weights = "weights",
        .publish_interval_ms = 5000,
        .slice_bits = 6,
        .predict_rows = BATCH,
        .pending_max = 1000000,
        .measure_domains = 1,
        .measure_window_ms = 3600000,
        .measure_windows = 2,
        .popularity = {.feature = "", .head = .333, .tail = .333, .rate = .05, .slots = 64},
        .drift = {.block_positives = 4,
                  .adwin_delta = .002,
                  .ph_min = 30,
                  .ph_delta = .005,
                  .ph_lambda = 50,
                  .ph_alpha = .9999},
        .learner = {.batch_rows = BATCH,
                    .lanes = 4,
                    .threads = bench->threads,
                    .learning_rate = .01,
                    .accumulator_init = .1,
                    .row_learning_rate = .05,
                    .wide_learning_rate = .05,
                    .gradient_clip = INFINITY,
                    .balance = LEARNER_BALANCE_FIXED,
                    .target_task = "click",
                    .relax = .7,
                    .beta = .9,
                    .balance_limit = INFINITY},
        .runner = {.commit_interval_ms = 50,
                   .checkpoint_interval_ms = 1000,
                   .checkpoints_kept = 2,
                   .tick_interval_ms = 1000,
                   .batch_records = 4096,
                   .order = RUNNER_ARRIVAL,
                   .stop_timeout_ms = 1000},
    };
    bench->input = (struct stage_input){"examples", 0};
    bench->output = (struct stage_output){"weights", 0, 1};
}

// One example; the ids' places among the rows of each table.
static void example_put(struct bench *bench, const uint64_t *places, struct buffer *bytes) {
    struct error err;
    struct example_shape shape = example_shape_of(&bench->spec);
    unsigned char ids[FIELDS * 8], numbers[1] = {0};
    float labels[2] = {places[0] % 5 == 0, places[0] % 15 == 0};
    for (size_t f = 0; f < FIELDS; f++) {
        uint64_t id = hash_mix(places[f] * FIELDS + f + 1);
        memcpy(ids + 8 * f, &id, 8);
    }
    struct example example = {.kind = EXAMPLE_LEARN,
                              .impression = (uint64_t)bench->sequence,
                              .event_time_ms = 1000 + bench->sequence / 100,
                              .accepted_ms = 1000,
                              .domain = "",
                              .mask = 3,
                              .ids = ids,
                              .numbers = numbers,
                              .lists = numbers,
                              .labels = (const unsigned char *)labels};
    buffer_reset(bytes);
    example_encode(&shape, &example, bytes);
    const struct log_record record = {.timestamp_ms = example.event_time_ms,
                                      .sequence = bench->sequence++,
                                      .value = bytes->data,
                                      .value_length = bytes->length};
    must(log_writer_append(bench->writer, 0, 0, &record, &err), &err);
}

// `count` examples: of new ids from `first` on, or of ids drawn over all rows.
static void examples_put(struct bench *bench, uint64_t count, bool fresh, uint64_t first) {
    struct error err;
    struct buffer bytes;
    uint64_t each = bench->rows / FIELDS, places[FIELDS];
    buffer_init(&bytes);
    for (uint64_t i = 0; i < count; i++) {
        for (size_t f = 0; f < FIELDS; f++)
            places[f] = fresh ? first + i : rng_at(7, (uint64_t)bench->sequence, f, 0) % each;
        example_put(bench, places, &bytes);
    }
    must(log_writer_commit(bench->writer, NULL, 0, &err), &err);
    buffer_deinit(&bytes);
}

static void bench_open(struct bench *bench) {
    struct error err;
    char path[3000];
    const char *topic = "examples";
    snprintf(path, sizeof path, "%s/log", bench->directory);
    const struct log_files_options options = {
        .directory = path, .segment_bytes = INT64_C(1) << 28, .fsync = true};
    must(log_open_files(&options, &bench->log, &err), &err);
    must(log_topic_ensure(bench->log, "examples", 1, &err), &err);
    must(log_topic_ensure(bench->log, "weights", 1, &err), &err);
    must(log_writer_open(bench->log, "", &topic, 1, &bench->writer, &err), &err);
    const struct trainer_setup setup = {.spec = &bench->spec,
                                        .model = &bench->model,
                                        .settings = &bench->settings,
                                        .lineage = 1,
                                        .inputs = 1};
    must(trainer_new(&setup, &bench->trainer, &err), &err);
    snprintf(bench->task, sizeof bench->task, "%s/task", bench->directory);
    const struct runner_setup runner = {.task = "bench.trainer",
                                        .directory = bench->task,
                                        .operations = &trainer_operations,
                                        .state = bench->trainer,
                                        .log = bench->log,
                                        .inputs = &bench->input,
                                        .input_count = 1,
                                        .outputs = &bench->output,
                                        .output_count = 1,
                                        .settings = bench->settings.runner,
                                        .config_hash = 1,
                                        .build = "bench",
                                        .clock = &clock_system};
    must(runner_open(&runner, &bench->runner, &err), &err);
}

static void bench_close(struct bench *bench) {
    runner_close(bench->runner);
    trainer_free(bench->trainer);
    log_writer_close(bench->writer);
    log_close(bench->log);
}

static uint64_t learnt(const struct bench *bench) {
    struct trainer_status status;
    trainer_status(bench->trainer, &status);
    return status.rows_learnt;
}

static void learn_until(struct bench *bench, uint64_t rows) {
    struct error err;
    while (learnt(bench) < rows) {
        enum status status = runner_step(bench->runner, 100, &err);
        if (status != STATUS_OK)
            end_with(&err);
    }
}

static void figure(const char *name, double value, const char *unit) {
    printf("figure bench=recover case=%s who=freshet value=%.6g unit=%s\n", name, value, unit);
    fflush(stdout);
}

static double pause_ms(struct bench *bench) {
    struct runner_status status;
    runner_status(bench->runner, &status);
    return (double)status.checkpoint_pause_us / 1e3;
}

// Bytes of the rows' files of the newest checkpoint: the first (whole), and the newest.
static void newest_bytes(const struct bench *bench, uint64_t *ret_whole, uint64_t *ret_newest) {
    struct error err;
    struct arena arena;
    char path[3100], **generations, **names;
    size_t count, name_count;
    arena_init(&arena, 4096);
    snprintf(path, sizeof path, "%s/task/checkpoints", bench->directory);
    must(disk_list(path, &arena, &generations, &count, &err), &err);
    snprintf(path, sizeof path, "%s/task/checkpoints/%s", bench->directory, generations[count - 1]);
    must(disk_list(path, &arena, &names, &name_count, &err), &err);
    *ret_whole = *ret_newest = 0;
    for (size_t i = 0; i < name_count; i++) {
        char file[3200];
        struct disk_file *opened;
        uint64_t bytes;
        if (strncmp(names[i], "rows.", 5) != 0)
            continue;
        snprintf(file, sizeof file, "%s/%s", path, names[i]);
        must(disk_open(file, DISK_READ, &opened, &err), &err);
        must(disk_size(opened, &bytes, &err), &err);
        disk_close(opened);
        *ret_whole = bytes > *ret_whole ? bytes : *ret_whole;
        *ret_newest = *ret_newest == 0 || bytes < *ret_newest ? bytes : *ret_newest;
    }
    arena_deinit(&arena);
}

// Phases 1 and 2.
static void make(struct bench *bench) {
    struct error err;
    uint64_t each = bench->rows / FIELDS, whole, newest;
    bench_open(bench);
    for (uint64_t made = 0; made < each;) {
        uint64_t part = each - made < 65536 ? each - made : 65536;
        examples_put(bench, part, true, made);
        made += part;
        learn_until(bench, made / BATCH * BATCH);
    }
    fprintf(stderr, "bench_recover: rows made, longest pause %.1f ms\n", pause_ms(bench));
    must(runner_checkpoint(bench->runner, &err), &err);
    must(runner_checkpoint(bench->runner, &err), &err);
    int64_t begin = clock_system.monotonic_us(&clock_system);
    while (clock_system.monotonic_us(&clock_system) - begin < 12000000) {
        examples_put(bench, 8 * BATCH, false, 0);
        learn_until(bench, (uint64_t)bench->sequence / BATCH * BATCH);
    }
    figure("checkpoint-pause-p100", pause_ms(bench), "ms");
    // One increment by itself: of what 32 minibatches change.
    must(runner_checkpoint(bench->runner, &err), &err);
    examples_put(bench, 32 * BATCH, false, 0);
    learn_until(bench, (uint64_t)bench->sequence / BATCH * BATCH);
    must(runner_checkpoint(bench->runner, &err), &err);
    newest_bytes(bench, &whole, &newest);
    figure("whole-bytes", (double)whole, "bytes");
    figure("increment-bytes", (double)newest, "bytes");
    figure("increment-over-changed", (double)newest / (32.0 * BATCH * FIELDS * 80), "x");
    examples_put(bench, 4 * BATCH, false, 0); // what the next process begins with
    bench_close(bench);
}

static void start(struct bench *bench, int64_t begin_us) {
    struct error err;
    uint64_t before = 0;
    bench_open(bench);
    double opened = (double)(clock_system.monotonic_us(&clock_system) - begin_us) / 1e6;
    before = learnt(bench);
    while (learnt(bench) == before) {
        enum status status = runner_step(bench->runner, 100, &err);
        if (status != STATUS_OK)
            end_with(&err);
    }
    fprintf(stderr, "bench_recover: recovered after %.3f s\n", opened);
    figure(bench->rows == 10000000 ? "first-step-10M" : "first-step",
           (double)(clock_system.monotonic_us(&clock_system) - begin_us) / 1e6, "s");
    bench_close(bench);
}

// A new process, so that its memory is as cold as a restarted trainer's.
static int run_again(char **texts, int64_t begin_us, const char *phase) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)begin_us);
    pid_t child = fork();
    if (child == 0) {
        setenv("FRESHET_BENCH_PHASE", phase, 1);
        setenv("FRESHET_BENCH_BEGIN", text, 1);
        execv("/proc/self/exe", texts);
        _exit(1);
    }
    int status = 1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}

int main(int count, char **texts) {
    struct bench bench = {.rows = 10000000, .threads = 2};
    bool sound = count >= 2;
    if (sound)
        bench.directory = texts[1];
    for (int i = 2; i < count && sound; i++) {
        if (strcmp(texts[i], "--threads") == 0 && i + 1 < count)
            bench.threads = strtoll(texts[++i], NULL, 10);
        else
            bench.rows = strtoull(texts[i], NULL, 10);
        sound = bench.rows >= FIELDS * BATCH && bench.threads > 0;
    }
    if (!sound) {
        fputs("usage: bench_recover DIRECTORY [ROWS] [--threads N]\n", stderr);
        return 2;
    }
    logger_setup(stderr, LOGGER_WARN, LOGGER_TEXT);
    settings_fill(&bench);
    const char *phase = getenv("FRESHET_BENCH_PHASE");
    if (phase && strcmp(phase, "make") == 0) {
        make(&bench);
        return 0;
    }
    if (phase) {
        start(&bench, strtoll(getenv("FRESHET_BENCH_BEGIN"), NULL, 10));
        return 0;
    }
    int failed = run_again(texts, 0, "make");
    return failed ? failed : run_again(texts, clock_system.monotonic_us(&clock_system), "start");
}
