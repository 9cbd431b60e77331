// How long the scorer takes to load a published model, and how many rows a second one thread
// scores.
//
//   bench_score PORT [ROWS] [SECONDS]                      Redis on 127.0.0.1:PORT is FLUSHED
//
// The model: 26 categorical fields of 16 floats (one table each, ROWS rows over all), 7 numbers,
// MMoE of 4 experts of 128-64, towers of 32, 3 tasks. Requests are of 1, 100 and 1,000 rows whose
// ids are all in the model, drawn evenly: no caching of hot rows helps. Building the rows is part
// of it.
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
    ROWS_A_RECORD = 4000,
    BATCH_MAX = 1000
};

static struct error err;
static struct arena run;
static struct log *log_;
static struct log_writer *writer;
static redisContext *redis;
static size_t rows_a_field;

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
    weights.lineage = weights.version = 1;
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

static void append_rows(void) {
    static uint64_t ids[ROWS_A_RECORD];
    static float values[ROWS_A_RECORD * WIDTH];
    struct rng rng;
    rng_init(&rng, 1);
    for (size_t field = 0; field < CATEGORICAL; field++) {
        for (size_t at = 0; at < rows_a_field; at += ROWS_A_RECORD) {
            size_t count = rows_a_field - at < ROWS_A_RECORD ? rows_a_field - at : ROWS_A_RECORD;
            for (size_t i = 0; i < count; i++)
                ids[i] = id_of(field, at + i);
            for (size_t i = 0; i < count * WIDTH; i++)
                values[i] = (float)(.1 * rng_normal(&rng));
            append((struct weights){.kind = WEIGHTS_ROWS,
                                    .table = (uint32_t)field,
                                    .dimension = WIDTH,
                                    .count = (uint32_t)count,
                                    .ids = (const unsigned char *)ids,
                                    .values = (const unsigned char *)values});
        }
    }
}

static void append_model(void) {
    struct spec spec = {0};
    struct model_spec shape;
    struct model *model;
    make_spec(&spec, &shape);
    must(model_new(&shape, &model, &err));
    append_open(&spec, &shape);
    append_rows();
    for (size_t i = 0; i < model_tensor_count(model); i++) {
        const struct model_tensor *tensor = model_tensor_at(model, i);
        append((struct weights){.kind = WEIGHTS_TENSOR,
                                .name = tensor->name,
                                .name_length = strlen(tensor->name),
                                .rows = (uint32_t)tensor->rows,
                                .columns = (uint32_t)tensor->columns,
                                .data = (const unsigned char *)tensor->data});
    }
    append((struct weights){.kind = WEIGHTS_SLICE, .slice = 15, .slice_bits = 4});
    append((struct weights){.kind = WEIGHTS_COMMIT});
    must(log_writer_commit(writer, NULL, 0, &err));
    model_free(model);
}

static void publish(int port) {
    struct publisher_settings settings = {.redis = {.host = "127.0.0.1",
                                                    .port = port,
                                                    .socket = "",
                                                    .user = "",
                                                    .password = "",
                                                    .timeout_ms = 30000},
                                          .bucket_bits = 12,
                                          .runner = {.commit_interval_ms = 50,
                                                     .checkpoint_interval_ms = 1000000,
                                                     .checkpoints_kept = 1,
                                                     .tick_interval_ms = 1000,
                                                     .batch_records = 8,
                                                     .stop_timeout_ms = 1000}};
    struct publisher_setup setup = {.settings = &settings,
                                    .name = "bench",
                                    .weights = "weights",
                                    .log = log_,
                                    .clock = &clock_system};
    struct publisher *publisher;
    struct runner *runner;
    static const struct stage_input input = {"weights", 0};
    must(publisher_new(&setup, &publisher, &err));
    struct runner_setup steps = {.task = "bench.publisher",
                                 .directory = "build/bench-score",
                                 .operations = &publisher_operations,
                                 .state = publisher,
                                 .log = log_,
                                 .inputs = &input,
                                 .input_count = 1,
                                 .settings = settings.runner,
                                 .build = "bench",
                                 .clock = &clock_system};
    must(runner_open(&steps, &runner, &err));
    for (bool there = false; !there;) {
        must(runner_step(runner, 10, &err));
        redisReply *reply = redisCommand(redis, "EXISTS bench:{m}:manifest");
        REQUIRE(reply);
        there = reply->integer == 1;
        freeReplyObject(reply);
    }
    runner_close(runner);
    publisher_free(publisher);
    must(disk_remove_tree("build/bench-score", &err));
}

static void fill(struct freshet_row *row, struct rng *rng) {
    freshet_row_reset(row);
    for (int i = 0; i < CATEGORICAL; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        REQUIRE(freshet_row_set_integer(row, name, (int64_t)rng_below(rng, rows_a_field)) ==
                FRESHET_SCORER_OK);
    }
    for (int i = 0; i < NUMERIC; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        REQUIRE(freshet_row_set_number(row, name, rng_uniform(rng)) == FRESHET_SCORER_OK);
    }
}

static void bench_batch(struct freshet_scorer *scorer, size_t batch, double seconds) {
    static struct freshet_row *rows[BATCH_MAX];
    static float probabilities[BATCH_MAX * TASKS];
    struct rng rng;
    size_t calls = 0;
    double start = now_s(), filling = 0;
    rng_init(&rng, batch);
    for (size_t i = 0; i < batch; i++)
        REQUIRE((rows[i] = freshet_row_new(scorer)) != NULL);
    while (now_s() - start < seconds) {
        double before = now_s();
        for (size_t i = 0; i < batch; i++)
            fill(rows[i], &rng);
        filling += now_s() - before;
        REQUIRE(freshet_scorer_score(scorer, rows, batch, probabilities, NULL, NULL, 0) ==
                FRESHET_SCORER_OK);
        calls++;
    }
    double took = now_s() - start;
    printf("figure bench=score case=%zu who=freshet value=%.0f unit=predictions/s us_per_call=%.1f "
           "filling_rows=%.0f%%\n",
           batch, (double)(calls * batch) / took, took / (double)calls * 1e6, 100 * filling / took);
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
    rows_a_field = rows / CATEGORICAL + 1;
    logger_setup(stderr, LOGGER_WARN, LOGGER_TEXT);
    arena_init(&run, 65536);
    redis = redisConnect("127.0.0.1", port);
    REQUIRE(redis && !redis->err);
    freeReplyObject(redisCommand(redis, "FLUSHALL"));
    must(log_open_memory(&log_, &err));
    must(log_topic_ensure(log_, "weights", 1, &err));
    must(log_writer_open(log_, "", (const char *[]){"weights"}, 1, &writer, &err));
    append_model();
    publish(port);
    struct freshet_scorer_options options = {
        .port = port, .name = "bench", .poll_ms = -1, .timeout_ms = 60000};
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
    static const size_t batches[] = {1, 200, 1000};
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++)
        bench_batch(scorer, batches[i], seconds);
    freshet_scorer_close(scorer);
    freeReplyObject(redisCommand(redis, "FLUSHALL"));
    redisFree(redis);
    log_writer_close(writer);
    log_close(log_);
    arena_deinit(&run);
    return 0;
}
