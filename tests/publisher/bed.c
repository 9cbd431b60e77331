// See bed.h.
#include "bed.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/logger.h"
#include "record/redis_layout.h"
#include "record/control.h"
#include "record/weights.h"

struct world world;
struct error err;
static unsigned names_given;

void must(enum status status) {
    if (status != STATUS_OK)
        fail_msg("%s: %s", status_name(status), err.message);
}

static void append(const struct weights *weights) {
    struct buffer bytes;
    buffer_init(&bytes);
    weights_encode(weights, &bytes);
    struct log_record record = {
        .value = bytes.data, .value_length = bytes.length, .sequence = LOG_NO_SEQUENCE};
    must(log_writer_append(world.writer, 0, 0, &record, &err));
    buffer_deinit(&bytes);
}

static void append_rows(uint64_t version, const uint64_t *ids, uint32_t count, bool whole) {
    float values[64 * WIDTH];
    assert_true(count <= 64);
    for (uint32_t i = 0; i < count; i++) {
        values[i * WIDTH] = (float)ids[i];
        values[i * WIDTH + 1] = (float)version;
    }
    append(&(struct weights){.kind = WEIGHTS_ROWS,
                             .lineage = 7,
                             .version = version,
                             .table = 3,
                             .dimension = WIDTH,
                             .count = count,
                             .whole = whole,
                             .ids = (const unsigned char *)ids,
                             .values = (const unsigned char *)values});
}

static const char head_json[] = "{\"domains\":[\"a\"]}";

void append_version(const uint64_t *changed, uint32_t changed_count, uint64_t rows) {
    uint64_t version = ++world.version, whole[64];
    uint32_t slice = (uint32_t)(version % (1U << SLICE_BITS)), whole_count = 0;
    float tensor[2] = {(float)version, .5F};
    append(&(struct weights){.kind = WEIGHTS_OPEN,
                             .lineage = 7,
                             .version = version,
                             .watermark_ms = 1000 + (int64_t)version,
                             .accepted_ms = 5,
                             .spec = head_json,
                             .spec_length = sizeof head_json - 1,
                             .measures = world.measures,
                             .measures_length = strlen(world.measures)});
    append_rows(version, changed, changed_count, false);
    append(&(struct weights){.kind = WEIGHTS_TENSOR,
                             .lineage = 7,
                             .version = version,
                             .name = "t",
                             .name_length = 1,
                             .rows = 1,
                             .columns = 2,
                             .data = (const unsigned char *)tensor});
    for (uint64_t id = 1; id <= rows; id++)
        if (hash_mix(id) >> (64 - SLICE_BITS) == slice)
            whole[whole_count++] = id;
    append_rows(version, whole, whole_count, true);
    append(&(struct weights){.kind = WEIGHTS_SLICE,
                             .lineage = 7,
                             .version = version,
                             .slice = slice,
                             .slice_bits = SLICE_BITS});
    append(&(struct weights){.kind = WEIGHTS_COMMIT, .lineage = 7, .version = version});
    must(log_writer_commit(world.writer, NULL, 0, &err));
}

void command_bytes(const void *bytes, size_t length) {
    struct log_record record = {
        .value = bytes, .value_length = length, .sequence = LOG_NO_SEQUENCE};
    must(log_writer_append(world.commands, 0, 0, &record, &err));
    must(log_writer_commit(world.commands, NULL, 0, &err));
}

void command_pin(uint64_t version) {
    struct control control = {.kind = version ? CONTROL_PIN : CONTROL_UNPIN,
                              .author = "test",
                              .author_length = 4,
                              .lineage = 7,
                              .version = version};
    struct buffer bytes;
    buffer_init(&bytes);
    control_encode(&control, &bytes);
    command_bytes(bytes.data, bytes.length);
    buffer_deinit(&bytes);
}

enum status task_try(struct task *task) {
    struct publisher_setup setup = {.settings = &world.settings,
                                    .name = world.name,
                                    .weights = "weights",
                                    .control = "control",
                                    .row_floats_max = world.row_floats_max,
                                    .log = world.log,
                                    .clock = &clock_system};
    must(publisher_new(&setup, &task->publisher, &err));
    static const struct stage_input inputs[] = {{"weights", 0}, {"control", 0}};
    static struct runner_setup runner;
    runner = (struct runner_setup){.task = "test.publisher",
                                   .directory = world.directory,
                                   .operations = &publisher_operations,
                                   .state = task->publisher,
                                   .log = world.log,
                                   .inputs = inputs,
                                   .input_count = 2,
                                   .inputs_aside = 1,
                                   .settings = world.settings.runner,
                                   .build = "test",
                                   .clock = &clock_system};
    task->runner = NULL;
    return runner_open(&runner, &task->runner, &err);
}

void task_open(struct task *task) {
    must(task_try(task));
}

void task_close(struct task *task) {
    if (task->runner)
        runner_close(task->runner);
    publisher_free(task->publisher);
}

redisReply *ask(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(world.redis, format, arguments);
    va_end(arguments);
    assert_non_null(reply);
    return reply;
}

long long manifest_version(void) {
    redisReply *reply = ask("GET %s:{m}:manifest", world.name);
    long long version = 0;
    if (reply->type == REDIS_REPLY_STRING) {
        json_t *manifest = json_loads(reply->str, 0, NULL);
        assert_non_null(manifest);
        version = json_integer_value(json_object_get(manifest, "version"));
        json_decref(manifest);
    }
    freeReplyObject(reply);
    return version;
}

void step_until(struct task *task, long long version) {
    int64_t end_us = clock_system.monotonic_us(&clock_system) + 20000000;
    while (manifest_version() != version) {
        enum status status = runner_step(task->runner, 10, &err);
        if (status != STATUS_OK && status != STATUS_UNAVAILABLE && status != STATUS_TIMEOUT)
            fail_msg("%s: %s", status_name(status), err.message);
        assert_true(clock_system.monotonic_us(&clock_system) < end_us);
    }
}

float row_version(uint64_t id) {
    uint32_t bucket = redis_layout_bucket(id, BUCKET_BITS);
    unsigned char field[REDIS_LAYOUT_FIELD_MAX];
    float values[WIDTH] = {0, -1};
    size_t length = redis_layout_field(field, 3, id, BUCKET_BITS);
    redisReply *reply = ask("HGET %s:{%u}:b:%u %b", world.name,
                            redis_layout_group(bucket, BUCKET_BITS), bucket, field, length);
    if (reply->type == REDIS_REPLY_STRING) {
        enum redis_row_type type = (enum redis_row_type)world.settings.row_type;
        assert_int_equal(reply->len, redis_row_bytes(type, WIDTH));
        redis_row_read(type, reply->str, WIDTH, values);
        assert_true(fabsf(values[0] - (float)id) < .01F * (float)id);
    }
    freeReplyObject(reply);
    return values[1];
}

void rows_are(uint64_t first, uint64_t last, float least_version) {
    for (uint64_t id = first; id <= last; id++)
        if (row_version(id) < least_version)
            fail_msg("row %llu is of version %f", (unsigned long long)id, (double)row_version(id));
}

int world_begin(void **state) {
    (void)state;
    const char *folder = getenv("FRESHET_TEST_REDIS_DIR");
    char path[256];
    struct buffer address;
    if (!folder)
        return -1;
    logger_setup(stderr, LOGGER_ERROR, LOGGER_TEXT);
    memset(&world, 0, sizeof world);
    snprintf(path, sizeof path, "%s/address", folder);
    buffer_init(&address);
    must(disk_read_all(path, &address, &err));
    buffer_append_byte(&address, 0);
    char *colon = strchr((char *)address.data, ':');
    assert_non_null(colon);
    *colon = '\0';
    snprintf(world.host, sizeof world.host, "%s", (char *)address.data);
    world.settings = (struct publisher_settings){.redis = {.host = world.host,
                                                           .port = strtol(colon + 1, NULL, 10),
                                                           .socket = "",
                                                           .user = "",
                                                           .password = "",
                                                           .timeout_ms = 2000},
                                                 .bucket_bits = BUCKET_BITS,
                                                 .deltas_max = 100,
                                                 .runner = {.commit_interval_ms = 1,
                                                            .checkpoint_interval_ms = 1000000,
                                                            .checkpoints_kept = 2,
                                                            .tick_interval_ms = 1000,
                                                            .batch_records = 3,
                                                            .stop_timeout_ms = 1000}};
    buffer_deinit(&address);
    snprintf(world.name, sizeof world.name, "t%ld-%u", (long)getpid(), names_given++);
    snprintf(world.directory, sizeof world.directory, "build/test-publisher-%s", world.name);
    world.redis = redisConnect(world.host, (int)world.settings.redis.port);
    assert_true(world.redis && !world.redis->err);
    must(log_open_memory(&world.log, &err));
    must(log_topic_ensure(world.log, "weights", 1, &err));
    must(log_topic_ensure(world.log, "control", 1, &err));
    must(log_writer_open(world.log, "", (const char *[]){"weights"}, 1, &world.writer, &err));
    must(log_writer_open(world.log, "", (const char *[]){"control"}, 1, &world.commands, &err));
    world.measures = "{}";
    return 0;
}

int world_end(void **state) {
    (void)state;
    freeReplyObject(ask("FLUSHALL"));
    log_writer_close(world.writer);
    log_writer_close(world.commands);
    log_close(world.log);
    redisFree(world.redis);
    must(disk_remove_tree(world.directory, &err));
    return 0;
}
