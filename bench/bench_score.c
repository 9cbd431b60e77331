// How long the scorer takes to load a published model, and how fast one thread scores requests
// while versions swap.
//
//   bench_score PORT [ROWS] [SECONDS]                      Redis on 127.0.0.1:PORT is FLUSHED
//
// The model: 26 categorical fields of 16 floats (one table each, ROWS rows over all), 7 numbers,
// MMoE of 4 experts of 128-64, towers of 32, 3 tasks. Ids are all in the model, drawn evenly: no
// caching of hot rows helps. Meanwhile a publisher brings a version with a hundredth of the rows
// changed each 200 ms, and the scorer follows. Building the rows is part of what is timed.
//   case=200           200 candidates a request that share the first 13 fields and 4 numbers; ids
//                      of the other 13 were made before, as a catalogue keeps them
//   case=200-distinct  200 rows that share nothing, every value given by name as text
//   case=1             one row, given as the 200 are
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>
#include <jansson.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/logger.h"
#include "base/rng.h"
#include "config/config.h"
#include "model/model.h"
#include "model/spec_text.h"
#include "publisher/publisher.h"
#include "record/weights.h"
#include "scorer/freshet_scorer.h"
#include "trainer/shape.h"

enum {
    CATEGORICAL = 26,
    NUMERIC = 7,
    WIDTH = 16,
    TASKS = 3,
    SHARED = 13, // fields of the user and the context
    SHARED_NUMERIC = 4,
    ROWS_A_RECORD = 4000,
    BATCH_MAX = 200,
    CALLS_MAX = 1 << 20,
    SLICE_BITS = 4,
    CHANGED = 100, // a version changes one row in so many
    VERSION_MS = 200
};

static struct error err;
static struct arena run;
static struct log *log_;
static struct log_writer *writer;
static redisContext *redis;
static size_t rows_a_field;
static uint64_t *ids; // [CATEGORICAL][rows_a_field]
static float *values; // [CATEGORICAL][rows_a_field][WIDTH]
static uint64_t version;

static void must(enum status status) {
    if (status != STATUS_OK) {
        fprintf(stderr, "bench_score: %s\n", err.message);
        exit(1);
    }
}

static double now_s(void) {
    return (double)clock_system.monotonic_us(&clock_system) / 1e6;
}

static void append(struct weights weights) {
    struct buffer bytes;
    buffer_init(&bytes);
    weights.lineage = 1;
    weights.version = version;
    weights_encode(&weights, &bytes);
    struct log_record record = {
        .value = bytes.data, .value_length = bytes.length, .sequence = LOG_NO_SEQUENCE};
    must(log_writer_append(writer, 0, 0, &record, &err));
    buffer_deinit(&bytes);
}

static void make_spec(struct spec *spec, struct model_spec *shape) {
    struct buffer yaml;
    static const struct option model_section[] = {
        {.key = "model", .type = OPTION_SECTION, .table = &model_options, .help = "The network."}};
    static const struct option_table root = {.title = "bench",
                                             .help = "Bench.",
                                             .struct_bytes = sizeof(struct model_settings),
                                             .options = model_section,
                                             .count = 1};
    static const char network[] = "model: {sharing: mmoe, experts: 4, expert_layers: [128, 64],"
                                  " tower_layers: [32], domains: none, wide: false}\n";
    static struct model_settings settings;
    buffer_init(&yaml);
    buffer_append_text(&yaml, "features:\n");
    for (int i = 0; i < CATEGORICAL; i++)
        buffer_append_text(&yaml, "  - {name: c%d, dimension: %d}\n", i, WIDTH);
    for (int i = 0; i < NUMERIC; i++)
        buffer_append_text(&yaml, "  - {name: n%d, kind: numeric}\n", i);
    buffer_append_text(&yaml, "tasks:\n");
    for (int i = 0; i < TASKS; i++)
        buffer_append_text(&yaml, "  - {name: t%d, path: t%d}\n", i, i);
    REQUIRE(!yaml.failed);
    must(config_parse("bench", (const char *)yaml.data, yaml.length, &spec_options, spec, &run,
                      &err));
    must(spec_check(spec, &err));
    must(config_parse("bench", network, strlen(network), &root, &settings, &run, &err));
    must(shape_of_spec(spec, &settings, &run, shape, &err));
    buffer_deinit(&yaml);
}

static void append_open(const struct spec *spec, const struct model_spec *shape) {
    struct buffer text, json;
    buffer_init(&text);
    buffer_init(&json);
    spec_text_write(shape, &text);
    must(spec_to_json(spec, &json, &err));
    json_t *root = json_pack("{s:s%, s:o, s:[]}", "model", text.data, text.length, "spec",
                             json_loadb((const char *)json.data, json.length, 0, NULL), "domains");
    char *head = json_dumps(root, 0);
    REQUIRE(head);
    append((struct weights){.kind = WEIGHTS_OPEN,
                            .spec = head,
                            .spec_length = strlen(head),
                            .measures = "{}",
                            .measures_length = 2});
    free(head);
    json_decref(root);
    buffer_deinit(&text);
    buffer_deinit(&json);
}

static uint64_t id_of(size_t field, uint64_t number) {
    char name[24], text[24];
    snprintf(name, sizeof name, "c%zu", field);
    int length = snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    return spec_id(name, text, (size_t)length);
}

static void make_rows(void) {
    struct rng rng;
    rng_init(&rng, 1);
    ids = memory_new(CATEGORICAL * rows_a_field, sizeof *ids);
    values = memory_new(CATEGORICAL * rows_a_field * WIDTH, sizeof *values);
    REQUIRE(ids && values);
    for (size_t i = 0; i < CATEGORICAL * rows_a_field; i++)
        ids[i] = id_of(i / rows_a_field, i % rows_a_field);
    for (size_t i = 0; i < CATEGORICAL * rows_a_field * WIDTH; i++)
        values[i] = (float)(.1 * rng_normal(&rng));
}

// Of the rows i with i % step == version % step, or of those in the slice.
static void append_rows(size_t step, bool whole) {
    static uint64_t some[ROWS_A_RECORD];
    static float theirs[ROWS_A_RECORD * WIDTH];
    uint64_t slice = version % (1 << SLICE_BITS);
    for (size_t field = 0; field < CATEGORICAL; field++) {
        uint32_t count = 0;
        for (size_t i = 0; i <= rows_a_field; i++) {
            size_t at = field * rows_a_field + i;
            if (i < rows_a_field && (whole ? hash_mix(ids[at]) >> (64 - SLICE_BITS) == slice
                                           : i % step == version % step)) {
                some[count] = ids[at];
                memcpy(theirs + count++ * (size_t)WIDTH, values + at * WIDTH,
                       WIDTH * sizeof *values);
            }
            if (count == ROWS_A_RECORD || (i == rows_a_field && count > 0)) {
                append((struct weights){.kind = WEIGHTS_ROWS,
                                        .table = (uint32_t)field,
                                        .dimension = WIDTH,
                                        .count = count,
                                        .whole = whole,
                                        .ids = (const unsigned char *)some,
                                        .values = (const unsigned char *)theirs});
                count = 0;
            }
        }
    }
}

// A version in which one row of `step` has other values.
static void append_version(const struct spec *spec, const struct model *model, size_t step) {
    version++;
    for (size_t i = version % step; i < CATEGORICAL * rows_a_field; i += step)
        values[i * WIDTH] += .001F;
    append_open(spec, model_spec_of(model));
    append_rows(step, false);
    for (size_t i = 0; i < model_tensor_count(model); i++) {
        const struct model_tensor *tensor = model_tensor_at(model, i);
        append((struct weights){.kind = WEIGHTS_TENSOR,
                                .name = tensor->name,
                                .name_length = strlen(tensor->name),
                                .rows = (uint32_t)tensor->rows,
                                .columns = (uint32_t)tensor->columns,
                                .data = (const unsigned char *)tensor->data});
    }
    append_rows(1, true);
    append((struct weights){.kind = WEIGHTS_SLICE,
                            .slice = (uint32_t)(version % (1 << SLICE_BITS)),
                            .slice_bits = SLICE_BITS});
    append((struct weights){.kind = WEIGHTS_COMMIT});
    must(log_writer_commit(writer, NULL, 0, &err));
}

// The publisher, and the thread that gives it versions.
struct feeder {
    struct publisher *publisher;
    struct runner *runner;
    struct spec spec;
    struct model *model;
    pthread_t thread;
    atomic_bool stop;
};

static void feeder_open(struct feeder *feeder, int port) {
    static struct publisher_settings settings;
    settings = (struct publisher_settings){.redis = {.host = "127.0.0.1",
                                                     .port = port,
                                                     .socket = "",
                                                     .user = "",
                                                     .password = "",
                                                     .timeout_ms = 30000},
                                           .bucket_bits = 12,
                                           .deltas_max = 10000,
                                           .runner = {.commit_interval_ms = 20,
                                                      .checkpoint_interval_ms = 1000000,
                                                      .checkpoints_kept = 1,
                                                      .tick_interval_ms = 1000,
                                                      .batch_records = 256,
                                                      .stop_timeout_ms = 1000}};
    struct publisher_setup setup = {.settings = &settings,
                                    .name = "bench",
                                    .weights = "weights",
                                    .log = log_,
                                    .clock = &clock_system};
    static const struct stage_input input = {"weights", 0};
    static struct model_spec shape;
    make_spec(&feeder->spec, &shape);
    must(model_new(&shape, &feeder->model, &err));
    must(publisher_new(&setup, &feeder->publisher, &err));
    struct runner_setup steps = {.task = "bench.publisher",
                                 .directory = "build/bench-score",
                                 .operations = &publisher_operations,
                                 .state = feeder->publisher,
                                 .log = log_,
                                 .inputs = &input,
                                 .input_count = 1,
                                 .settings = settings.runner,
                                 .build = "bench",
                                 .clock = &clock_system};
    must(runner_open(&steps, &feeder->runner, &err));
    append_version(&feeder->spec, feeder->model, 1);
    for (bool there = false; !there;) {
        must(runner_step(feeder->runner, 10, &err));
        redisReply *reply = redisCommand(redis, "EXISTS bench:{m}:manifest");
        REQUIRE(reply);
        there = reply->integer == 1;
        freeReplyObject(reply);
    }
}

static void *feed(void *self) {
    struct feeder *feeder = self;
    double next = now_s();
    while (!atomic_load(&feeder->stop)) {
        if (now_s() >= next) {
            append_version(&feeder->spec, feeder->model, CHANGED);
            next += VERSION_MS / 1000.;
        }
        must(runner_step(feeder->runner, 10, &err));
    }
    return NULL;
}

static void feeder_close(struct feeder *feeder) {
    runner_close(feeder->runner);
    publisher_free(feeder->publisher);
    model_free(feeder->model);
    must(disk_remove_tree("build/bench-score", &err));
}

// ---- requests -----------------------------------------------------------------------------------

static const char *name_of(char kind, size_t number) {
    static char names[2][32][8];
    char *name = names[kind == 'n'][number];
    if (!name[0])
        snprintf(name, 8, "%c%zu", kind, number);
    return name;
}

static void set_text(struct freshet_row *row, size_t field, struct rng *rng) {
    REQUIRE(freshet_row_set_integer(row, name_of('c', field),
                                    (int64_t)rng_below(rng, rows_a_field)) == FRESHET_SCORER_OK);
}

static void set_numbers(struct freshet_row *row, size_t first, size_t last, struct rng *rng) {
    for (size_t i = first; i < last; i++)
        REQUIRE(freshet_row_set_number(row, name_of('n', i), rng_uniform(rng)) ==
                FRESHET_SCORER_OK);
}

static void fill_distinct(struct freshet_row *const *rows, size_t count, struct rng *rng) {
    for (size_t i = 0; i < count; i++) {
        freshet_row_reset(rows[i]);
        for (size_t field = 0; field < CATEGORICAL; field++)
            set_text(rows[i], field, rng);
        set_numbers(rows[i], 0, NUMERIC, rng);
    }
}

static void fill_shared(struct freshet_row *const *rows, size_t count, struct rng *rng) {
    freshet_row_reset(rows[0]);
    for (size_t field = 0; field < SHARED; field++)
        set_text(rows[0], field, rng);
    set_numbers(rows[0], 0, SHARED_NUMERIC, rng);
    for (size_t i = count; i-- > 0;) { // the first last: it is what the others begin as
        if (i > 0)
            freshet_row_copy(rows[i], rows[0]);
        for (size_t field = SHARED; field < CATEGORICAL; field++)
            REQUIRE(freshet_row_set_id(rows[i], (int)field,
                                       ids[field * rows_a_field + rng_below(rng, rows_a_field)]) ==
                    FRESHET_SCORER_OK);
        set_numbers(rows[i], SHARED_NUMERIC, NUMERIC, rng);
    }
}

static int compare_times(const void *left, const void *right) {
    const float *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

static void bench_requests(struct freshet_scorer *scorer, const char *name, bool shared,
                           size_t batch, double seconds) {
    static struct freshet_row *rows[BATCH_MAX];
    static float probabilities[BATCH_MAX * TASKS], times[CALLS_MAX];
    struct rng rng;
    size_t calls = 0, swaps = 0;
    double start = now_s(), filling = 0, last = start;
    uint64_t before = freshet_scorer_version(scorer);
    rng_init(&rng, batch);
    for (size_t i = 0; i < batch; i++)
        REQUIRE((rows[i] = freshet_row_new(scorer)) != NULL);
    while (last - start < seconds && calls < CALLS_MAX) {
        uint64_t served;
        (shared ? fill_shared : fill_distinct)(rows, batch, &rng);
        double filled = now_s();
        REQUIRE(freshet_scorer_score(scorer, rows, batch, probabilities, &served, NULL, 0) ==
                FRESHET_SCORER_OK);
        double now = now_s();
        filling += filled - last;
        times[calls++] = (float)((now - last) * 1e3);
        last = now;
        swaps += served != before;
        before = served;
    }
    qsort(times, calls, sizeof *times, compare_times);
    printf("figure bench=score case=%s who=freshet value=%.0f unit=predictions/s filling=%.0f%% "
           "swaps=%zu\n",
           name, (double)(calls * batch) / (last - start), 100 * filling / (last - start), swaps);
    printf("figure bench=score case=%s who=freshet value=%.3f unit=p99-ms p50_ms=%.3f "
           "longest_ms=%.3f\n",
           name, (double)times[calls * 99 / 100], (double)times[calls / 2],
           (double)times[calls - 1]);
    for (size_t i = 0; i < batch; i++)
        freshet_row_free(rows[i]);
}

int main(int count, char **arguments) {
    if (count < 2) {
        fprintf(stderr, "usage: bench_score PORT [ROWS] [SECONDS]\n");
        return 2;
    }
    int port = (int)strtol(arguments[1], NULL, 10);
    size_t rows = count > 2 ? strtoull(arguments[2], NULL, 10) : 260000;
    double seconds = count > 3 ? strtod(arguments[3], NULL) : 2;
    char text[256] = "";
    static struct feeder feeder;
    rows_a_field = rows / CATEGORICAL + 1;
    logger_setup(stderr, LOGGER_WARN, LOGGER_TEXT);
    arena_init(&run, 65536);
    redis = redisConnect("127.0.0.1", port);
    REQUIRE(redis && !redis->err);
    freeReplyObject(redisCommand(redis, "FLUSHALL"));
    must(log_open_memory(&log_, &err));
    must(log_topic_ensure(log_, "weights", 1, &err));
    must(log_writer_open(log_, "", (const char *[]){"weights"}, 1, &writer, &err));
    make_rows();
    feeder_open(&feeder, port);
    struct freshet_scorer_options options = {
        .port = port, .name = "bench", .poll_ms = 20, .timeout_ms = 60000};
    struct freshet_scorer *scorer;
    double start = now_s();
    if (freshet_scorer_open(&options, &scorer, text, sizeof text) != FRESHET_SCORER_OK) {
        fprintf(stderr, "bench_score: %s\n", text);
        return 1;
    }
    double took = now_s() - start;
    printf(
        "figure bench=score case=load who=freshet value=%.0f unit=rows/s rows=%zu seconds=%.2f\n",
        (double)(rows_a_field * CATEGORICAL) / took, rows_a_field * CATEGORICAL, took);
    REQUIRE(pthread_create(&feeder.thread, NULL, feed, &feeder) == 0);
    bench_requests(scorer, "200", true, BATCH_MAX, seconds);
    bench_requests(scorer, "200-distinct", false, BATCH_MAX, seconds);
    bench_requests(scorer, "1", true, 1, seconds / 2);
    freshet_scorer_trouble(scorer, text, sizeof text);
    if (text[0])
        fprintf(stderr, "bench_score: the scorer could not follow: %s\n", text);
    atomic_store(&feeder.stop, true);
    REQUIRE(pthread_join(feeder.thread, NULL) == 0);
    freshet_scorer_close(scorer);
    feeder_close(&feeder);
    freeReplyObject(redisCommand(redis, "FLUSHALL"));
    redisFree(redis);
    log_writer_close(writer);
    log_close(log_);
    memory_free(ids);
    memory_free(values);
    arena_deinit(&run);
    return text[0] != '\0';
}
