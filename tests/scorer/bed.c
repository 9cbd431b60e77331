// See bed.h.
#include "bed.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/logger.h"
#include "model/spec_text.h"
#include "record/control.h"
#include "record/weights.h"
#include "trainer/shape.h"

enum { SLICE_BITS = 1, MODEL_ROWS_A_RECORD = 20 };

struct bed bed;
struct error err;
static unsigned names_given;

void must(enum status status) {
    if (status != STATUS_OK)
        fail_msg("%s: %s", status_name(status), err.message);
}

redisReply *ask(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(bed.redis, format, arguments);
    va_end(arguments);
    assert_non_null(reply);
    return reply;
}

static struct spec_feature features[] = {
    {.name = "user_id", .kind = SPEC_CATEGORICAL, .dimension = 4, .length_max = 1},
    {.name = "history", .kind = SPEC_MULTI, .dimension = 8, .vocabulary = "item", .length_max = 5},
    {.name = "item_id",
     .kind = SPEC_CATEGORICAL,
     .dimension = 8,
     .vocabulary = "item",
     .length_max = 1},
    {.name = "price", .kind = SPEC_NUMERIC, .length_max = 1},
    {.name = "recent",
     .kind = SPEC_SEQUENCE,
     .dimension = 8,
     .vocabulary = "item",
     .length_max = 4,
     .times = "recent.time"},
};
static struct spec_task tasks[] = {
    {.name = "click",
     .input = "clicks",
     .path = "",
     .when_path = "",
     .when_equals = "",
     .given = "",
     .window_ms = 1000,
     .weight = 1},
    {.name = "buy",
     .input = "buys",
     .path = "",
     .when_path = "",
     .when_equals = "",
     .given = "click",
     .window_ms = 1000,
     .weight = .5},
};
static const char *gate_fields[] = {"item_id", "user_id"};
static int64_t trunk_layers[] = {12, 8}, tower_layers[] = {6}, auxiliary_layers[] = {4};
static const struct model_settings model_settings = {.sharing = MODEL_PLE,
                                                     .sequences = MODEL_SEQUENCES_TRANSFORMER,
                                                     .sequence_heads = 2,
                                                     .sequence_hidden = 6,
                                                     .task_experts = 1,
                                                     .levels = 2,
                                                     .experts = 3,
                                                     .expert_layers = {trunk_layers, 2},
                                                     .tower_layers = {tower_layers, 1},
                                                     .domains = MODEL_DOMAINS_STAR,
                                                     .domains_max = 3,
                                                     .star_towers = true,
                                                     .auxiliary = true,
                                                     .auxiliary_layers = {auxiliary_layers, 1},
                                                     .gate_units = 3,
                                                     .norm = MODEL_NORM_MOVING,
                                                     .wide = true,
                                                     .unknown_share = .05,
                                                     .embedding_init = .1,
                                                     .seed = 3};

static uint64_t item_id(uint64_t number) {
    char text[24];
    int length = snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    return spec_id("item", text, (size_t)length);
}

static uint64_t user_id(uint64_t number) {
    char text[24];
    int length = snprintf(text, sizeof text, "u%llu", (unsigned long long)number);
    return spec_id("user_id", text, (size_t)length);
}

static void append(struct weights weights) {
    struct buffer bytes;
    buffer_init(&bytes);
    weights.lineage = 7;
    weights.version = bed.version;
    weights_encode(&weights, &bytes);
    struct log_record record = {
        .value = bytes.data, .value_length = bytes.length, .sequence = LOG_NO_SEQUENCE};
    must(log_writer_append(bed.writer, 0, 0, &record, &err));
    buffer_deinit(&bytes);
}

static void append_open(void) {
    struct buffer text, spec, json;
    buffer_init(&text);
    buffer_init(&spec);
    buffer_init(&json);
    spec_text_write(&bed.shape, &text);
    must(spec_to_json(&bed.spec, &spec, &err));
    json_t *root = json_pack("{s:s%, s:o, s:[s,s]}", "model", text.data, text.length, "spec",
                             json_loadb((const char *)spec.data, spec.length, 0, NULL), "domains",
                             "home", "feed");
    char *head = json_dumps(root, 0);
    assert_non_null(head);
    append((struct weights){.kind = WEIGHTS_OPEN,
                            .spec = head,
                            .spec_length = strlen(head),
                            .measures = "{}",
                            .measures_length = 2});
    free(head);
    json_decref(root);
    buffer_deinit(&text);
    buffer_deinit(&spec);
    buffer_deinit(&json);
}

static void append_row(uint32_t table, uint64_t id, const float *values, bool whole) {
    append((struct weights){.kind = WEIGHTS_ROWS,
                            .table = table,
                            .dimension = (uint32_t)model_table_width(bed.model, table),
                            .count = 1,
                            .ids = (const unsigned char *)&id,
                            .values = (const unsigned char *)values,
                            .whole = whole});
}

static void change_row(uint32_t table, uint64_t id) {
    float values[64];
    size_t width = model_table_width(bed.model, table);
    assert_true(width <= 64);
    for (size_t i = 0; i < width; i++)
        values[i] = (float)rng_normal(&bed.rng);
    must(model_row_put(bed.model, table, id, values, &err));
    append_row(table, id, values, false);
}

static void append_whole(uint32_t table, uint64_t id, uint32_t slice) {
    float values[64];
    if (hash_mix(id) >> (64 - SLICE_BITS) == slice && model_row_get(bed.model, table, id, values))
        append_row(table, id, values, true);
}

void bed_version(unsigned rows) {
    bed.version++;
    append_open();
    for (unsigned i = 0; i < rows; i++) {
        change_row(0, user_id(rng_below(&bed.rng, USERS)));
        change_row(1, item_id(rng_below(&bed.rng, ITEMS)));
    }
    for (size_t i = 0; i < model_tensor_count(bed.model); i++) {
        const struct model_tensor *tensor = model_tensor_at(bed.model, i);
        bool moments = strstr(tensor->name, "moments") != NULL; // variances stay positive
        for (size_t k = 0; k < tensor->rows * tensor->columns; k++)
            tensor->data[k] =
                (real)(moments ? .2 + .5 * rng_uniform(&bed.rng) : .4 * rng_normal(&bed.rng));
        append((struct weights){.kind = WEIGHTS_TENSOR,
                                .name = tensor->name,
                                .name_length = strlen(tensor->name),
                                .rows = (uint32_t)tensor->rows,
                                .columns = (uint32_t)tensor->columns,
                                .data = (const unsigned char *)tensor->data});
    }
    model_settle(bed.model);
    uint32_t slice = (uint32_t)(bed.version % (1U << SLICE_BITS));
    append((struct weights){.kind = WEIGHTS_SLICE, .slice = slice, .slice_bits = SLICE_BITS});
    for (uint64_t i = 0; i < USERS; i++)
        append_whole(0, user_id(i), slice);
    for (uint64_t i = 0; i < ITEMS; i++)
        append_whole(1, item_id(i), slice);
    append((struct weights){.kind = WEIGHTS_COMMIT});
    must(log_writer_commit(bed.writer, NULL, 0, &err));
}

static long long manifest_version(void) {
    redisReply *reply = ask("GET %s:{m}:manifest", bed.name);
    long long version = 0;
    if (reply->type == REDIS_REPLY_STRING) {
        json_t *manifest = json_loads(reply->str, 0, NULL);
        version = json_integer_value(json_object_get(manifest, "version"));
        json_decref(manifest);
    }
    freeReplyObject(reply);
    return version;
}

void bed_publish(void) {
    bed_step_until(bed.version);
}

void bed_pin(uint64_t version) {
    struct control control = {
        .kind = version ? CONTROL_PIN : CONTROL_UNPIN, .lineage = 7, .version = version};
    struct buffer bytes;
    buffer_init(&bytes);
    control_encode(&control, &bytes);
    struct log_record record = {
        .value = bytes.data, .value_length = bytes.length, .sequence = LOG_NO_SEQUENCE};
    must(log_writer_append(bed.commands, 0, 0, &record, &err));
    must(log_writer_commit(bed.commands, NULL, 0, &err));
    buffer_deinit(&bytes);
}

void bed_step_until(uint64_t version) {
    int64_t end_us = clock_system.monotonic_us(&clock_system) + 30000000;
    while (manifest_version() != (long long)version) {
        enum status status = runner_step(bed.runner, 5, &err);
        if (status != STATUS_OK && status != STATUS_UNAVAILABLE && status != STATUS_TIMEOUT)
            fail_msg("%s: %s", status_name(status), err.message);
        assert_true(clock_system.monotonic_us(&clock_system) < end_us);
    }
}

enum { RECENT = 4, NOW_S = 1700000000 };

// Item k of a row's sequence, 0 the newest, came 10 k^2 + number % 7 s before.
static uint64_t recent_item(uint64_t number, uint64_t k) {
    return hash_mix(number * 8 + k) % (ITEMS + 5);
}

// In no order, and one more than there is room for; the rest may not be said of it.
static void recent_put(uint64_t number, struct freshet_row *row) {
    assert_int_equal(freshet_row_set_time(row, NOW_S * INT64_C(1000) + 500), FRESHET_SCORER_OK);
    for (uint64_t i = 0; i <= RECENT; i++) {
        uint64_t k = (i + number) % (RECENT + 1);
        char text[24];
        snprintf(text, sizeof text, "%llu", (unsigned long long)recent_item(number, k));
        int64_t time_ms = (NOW_S - (int64_t)(10 * k * k + number % 7)) * INT64_C(1000);
        assert_int_equal(freshet_row_add_item(row, "recent", text, time_ms), FRESHET_SCORER_OK);
    }
    assert_int_equal(freshet_row_set_text(row, "recent", "7"), FRESHET_SCORER_INVALID);
    assert_int_equal(freshet_row_add_item(row, "history", "7", 0), FRESHET_SCORER_INVALID);
}

static void recent_append(uint64_t number, struct minibatch *batch) {
    uint64_t ids[RECENT];
    uint32_t ages[RECENT];
    for (uint64_t k = 0; k < RECENT; k++) {
        ids[RECENT - 1 - k] = item_id(recent_item(number, k));
        ages[RECENT - 1 - k] = (uint32_t)(10 * k * k + number % 7);
    }
    must(minibatch_list_append(batch, 1, ids, ages, RECENT, &err));
}

void bed_row(uint64_t number, struct freshet_row *row, struct minibatch *batch) {
    static const char *const domains[] = {"home", "feed", "elsewhere"};
    uint64_t draw = hash_mix(number);
    uint64_t user = draw % (USERS + 5), item = draw / 64 % (ITEMS + 5), domain = draw / 65536 % 3;
    double price = number % 5 == 0 ? NAN : (double)(draw % 1000) / 100;
    uint64_t list[3] = {draw % 7, draw % 11, draw % 13};
    size_t listed = number % 4;
    char text[24];
    snprintf(text, sizeof text, "u%llu", (unsigned long long)user);
    if (row) {
        freshet_row_reset(row);
        assert_int_equal(freshet_row_set_text(row, "user_id", text), FRESHET_SCORER_OK);
        assert_int_equal(freshet_row_set_integer(row, "item_id", (int64_t)item), FRESHET_SCORER_OK);
        for (size_t i = 0; i < listed; i++)
            assert_int_equal(freshet_row_set_integer(row, "history", (int64_t)list[i]),
                             FRESHET_SCORER_OK);
        assert_int_equal(freshet_row_set_number(row, "price", price), FRESHET_SCORER_OK);
        recent_put(number, row);
        assert_int_equal(freshet_row_set_domain(row, domains[domain]), FRESHET_SCORER_OK);
    }
    if (batch) {
        size_t at = batch->rows;
        batch->ids[at] = user_id(user);
        batch->ids[batch->capacity + at] = item_id(item);
        for (size_t i = 0; i < listed; i++)
            list[i] = item_id(list[i]);
        must(minibatch_list_append(batch, 0, list, NULL, listed, &err));
        recent_append(number, batch);
        batch->numbers[at] = (float)price;
        batch->domains[at] = domain == 2 ? MINIBATCH_DOMAIN_UNKNOWN : (uint32_t)domain + 1;
        batch->rows++;
    }
}

void bed_expect(uint64_t first, size_t count, float *probabilities) {
    struct minibatch batch;
    struct model_scratch *scratch;
    real *logits = memory_new(count * TASKS, sizeof *logits);
    assert_non_null(logits);
    must(minibatch_init(&batch, &bed.shape, count, &err));
    must(model_scratch_new(bed.model, count, &scratch, &err));
    for (size_t i = 0; i < count; i++)
        bed_row(first + i, NULL, &batch);
    model_predict(bed.model, scratch, &batch, 0, count, logits);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < TASKS; k++)
            probabilities[i * TASKS + k] = (float)(1 / (1 + exp(-(double)logits[k * count + i])));
    model_scratch_free(scratch);
    minibatch_deinit(&batch, &bed.shape);
    memory_free(logits);
}

uint64_t bed_score(struct freshet_scorer *scorer, uint64_t first, size_t count,
                   float *probabilities) {
    struct freshet_row **rows = memory_new(count, sizeof *rows);
    char text[256] = "";
    uint64_t version = 0;
    assert_non_null(rows);
    for (size_t i = 0; i < count; i++) {
        rows[i] = freshet_row_new(scorer);
        assert_non_null(rows[i]);
        bed_row(first + i, rows[i], NULL);
    }
    if (freshet_scorer_score(scorer, rows, count, probabilities, &version, text, sizeof text) !=
        FRESHET_SCORER_OK)
        fail_msg("%s", text);
    for (size_t i = 0; i < count; i++)
        freshet_row_free(rows[i]);
    memory_free(rows);
    return version;
}

void bed_await(struct freshet_scorer *scorer, uint64_t version) {
    int64_t end_us = clock_system.monotonic_us(&clock_system) + 20000000;
    while (freshet_scorer_version(scorer) != version) {
        if (clock_system.monotonic_us(&clock_system) > end_us) {
            char text[256];
            freshet_scorer_trouble(scorer, text, sizeof text);
            fail_msg("still at version %llu: %s",
                     (unsigned long long)freshet_scorer_version(scorer), text);
        }
        clock_system.sleep_ms(&clock_system, 2);
    }
}

static void find_redis(int64_t *ret_port) {
    const char *folder = getenv("FRESHET_TEST_REDIS_DIR");
    char path[256];
    struct buffer address;
    assert_non_null(folder);
    snprintf(path, sizeof path, "%s/address", folder);
    buffer_init(&address);
    must(disk_read_all(path, &address, &err));
    buffer_append_byte(&address, 0);
    char *colon = strchr((char *)address.data, ':');
    assert_non_null(colon);
    *colon = '\0';
    snprintf(bed.host, sizeof bed.host, "%s", (char *)address.data);
    *ret_port = strtol(colon + 1, NULL, 10);
    buffer_deinit(&address);
}

static void open_publisher(void) {
    static struct runner_setup runner;
    static const struct stage_input inputs[] = {{"weights", 0}, {"control", 0}};
    struct publisher_setup setup = {.settings = &bed.settings,
                                    .name = bed.name,
                                    .weights = "weights",
                                    .control = "control",
                                    .log = bed.log,
                                    .clock = &clock_system};
    must(publisher_new(&setup, &bed.publisher, &err));
    runner = (struct runner_setup){.task = "test.publisher",
                                   .directory = bed.directory,
                                   .operations = &publisher_operations,
                                   .state = bed.publisher,
                                   .log = bed.log,
                                   .inputs = inputs,
                                   .input_count = 2,
                                   .inputs_aside = 1,
                                   .settings = bed.settings.runner,
                                   .build = "test",
                                   .clock = &clock_system};
    must(runner_open(&runner, &bed.runner, &err));
}

int bed_begin(void **state) {
    int64_t port;
    const struct bed_variant *variant = *state;
    memset(&bed, 0, sizeof bed);
    logger_setup(stderr, LOGGER_ERROR, LOGGER_TEXT);
    arena_init(&bed.run, 65536);
    rng_init(&bed.rng, 11);
    find_redis(&port);
    bed.spec = (struct spec){.features = {features, sizeof features / sizeof features[0]},
                             .tasks = {tasks, TASKS},
                             .domain_path = "tab",
                             .user_path = ""};
    must(spec_check(&bed.spec, &err));
    struct model_settings model = model_settings;
    if (variant && variant->domains != MODEL_DOMAINS_NONE)
        model.domains = variant->domains;
    if (model.domains == MODEL_DOMAINS_SEPARATE)
        model.sequences = MODEL_SEQUENCES_MEAN; // a Transformer has weights that are shared
    if (model.domains == MODEL_DOMAINS_PEPNET)
        model.gate_fields = (struct option_texts){gate_fields, 2};
    must(shape_of_spec(&bed.spec, &model, &bed.run, &bed.shape, &err));
    must(model_new(&bed.shape, &bed.model, &err));
    bed.settings =
        (struct publisher_settings){.redis = {.host = bed.host,
                                              .port = port,
                                              .socket = "",
                                              .user = "",
                                              .password = "",
                                              .timeout_ms = 2000},
                                    .bucket_bits = 5,
                                    .row_type = variant ? variant->row_type : REDIS_ROW_FP32,
                                    .deltas_max = variant ? variant->deltas_max : 10000,
                                    .runner = {.commit_interval_ms = 1,
                                               .checkpoint_interval_ms = 1000000,
                                               .checkpoints_kept = 2,
                                               .tick_interval_ms = 1000,
                                               .batch_records = 7,
                                               .stop_timeout_ms = 1000}};
    snprintf(bed.name, sizeof bed.name, "s%ld-%u", (long)getpid(), names_given++);
    snprintf(bed.directory, sizeof bed.directory, "build/test-scorer-%s", bed.name);
    bed.redis = redisConnect(bed.host, (int)port);
    assert_true(bed.redis && !bed.redis->err);
    must(log_open_memory(&bed.log, &err));
    must(log_topic_ensure(bed.log, "weights", 1, &err));
    must(log_topic_ensure(bed.log, "control", 1, &err));
    must(log_writer_open(bed.log, "", (const char *[]){"weights"}, 1, &bed.writer, &err));
    must(log_writer_open(bed.log, "", (const char *[]){"control"}, 1, &bed.commands, &err));
    open_publisher();
    bed.options = (struct freshet_scorer_options){
        .host = bed.host, .port = (int)port, .name = bed.name, .timeout_ms = 2000, .poll_ms = 1};
    return 0;
}

int bed_end(void **state) {
    (void)state;
    runner_close(bed.runner);
    publisher_free(bed.publisher);
    freeReplyObject(ask("FLUSHALL"));
    log_writer_close(bed.writer);
    log_writer_close(bed.commands);
    log_close(bed.log);
    redisFree(bed.redis);
    model_free(bed.model);
    arena_deinit(&bed.run);
    must(disk_remove_tree(bed.directory, &err));
    return 0;
}
