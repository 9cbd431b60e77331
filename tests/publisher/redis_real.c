// The publisher under the runner, from a memory log into a real Redis: what lies there afterwards,
// to the byte, and what survives a flush, a rewind, a second publisher and a lost connection.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include <hiredis/hiredis.h>
#include <jansson.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/logger.h"
#include "log/memory.h"
#include "publisher/publisher.h"
#include "record/redis_layout.h"
#include "record/weights.h"

enum { SLICE_BITS = 1, WIDTH = 2, BUCKET_BITS = 5 };

struct world {
    struct log *log;
    struct log_writer *writer;
    redisContext *redis;
    struct publisher_settings settings;
    char name[64], host[64], directory[128];
    uint64_t version;
};
static struct world world;
static struct error err;
static unsigned names_given;

static void must(enum status status) {
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

// Row `id` of version v holds (id, v).
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

// A version that changes `changed` and sends whole those of 1..rows that fall into its slice.
static void append_version(const uint64_t *changed, uint32_t changed_count, uint64_t rows) {
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
                             .measures = "{}",
                             .measures_length = 2});
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

struct task {
    struct publisher *publisher;
    struct runner *runner;
};

static void task_open(struct task *task) {
    struct publisher_setup setup = {.settings = &world.settings,
                                    .name = world.name,
                                    .weights = "weights",
                                    .log = world.log,
                                    .clock = &clock_system};
    must(publisher_new(&setup, &task->publisher, &err));
    static const struct stage_input input = {"weights", 0};
    static struct runner_setup runner;
    runner = (struct runner_setup){.task = "test.publisher",
                                   .directory = world.directory,
                                   .operations = &publisher_operations,
                                   .state = task->publisher,
                                   .log = world.log,
                                   .inputs = &input,
                                   .input_count = 1,
                                   .settings = world.settings.runner,
                                   .build = "test",
                                   .clock = &clock_system};
    must(runner_open(&runner, &task->runner, &err));
}

static void task_close(struct task *task) {
    runner_close(task->runner);
    publisher_free(task->publisher);
}

static redisReply *ask(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(world.redis, format, arguments);
    va_end(arguments);
    assert_non_null(reply);
    return reply;
}

static json_int_t manifest_version(void) {
    redisReply *reply = ask("GET %s:{m}:manifest", world.name);
    json_int_t version = 0;
    if (reply->type == REDIS_REPLY_STRING) {
        json_t *manifest = json_loads(reply->str, 0, NULL);
        assert_non_null(manifest);
        version = json_integer_value(json_object_get(manifest, "version"));
        json_decref(manifest);
    }
    freeReplyObject(reply);
    return version;
}

// Steps until the manifest names `version`; what is unavailable in between is tried again.
static void step_until(struct task *task, json_int_t version) {
    int64_t end_us = clock_system.monotonic_us(&clock_system) + 20000000;
    while (manifest_version() != version) {
        enum status status = runner_step(task->runner, 10, &err);
        if (status != STATUS_OK && status != STATUS_UNAVAILABLE && status != STATUS_TIMEOUT)
            fail_msg("%s: %s", status_name(status), err.message);
        assert_true(clock_system.monotonic_us(&clock_system) < end_us);
    }
}

// The row's second value (the version that wrote it), or -1 when there is no row.
static float row_version(uint64_t id) {
    uint32_t bucket = redis_layout_bucket(id, BUCKET_BITS);
    unsigned char field[REDIS_LAYOUT_FIELD_BYTES];
    float values[WIDTH] = {0, -1};
    redis_layout_field(field, 3, id);
    redisReply *reply = ask("HGET %s:{%u}:b:%u %b", world.name,
                            redis_layout_group(bucket, BUCKET_BITS), bucket, field, sizeof field);
    if (reply->type == REDIS_REPLY_STRING) {
        assert_int_equal(reply->len, sizeof values);
        memcpy(values, reply->str, sizeof values);
        assert_true((uint64_t)values[0] == id);
    }
    freeReplyObject(reply);
    return values[1];
}

static void rows_are(uint64_t first, uint64_t last, float least_version) {
    for (uint64_t id = first; id <= last; id++)
        if (row_version(id) < least_version)
            fail_msg("row %llu is of version %f", (unsigned long long)id, (double)row_version(id));
}

static int begin(void **state) {
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
    must(log_writer_open(world.log, "", (const char *[]){"weights"}, 1, &world.writer, &err));
    return 0;
}

static int end(void **state) {
    (void)state;
    freeReplyObject(ask("FLUSHALL"));
    log_writer_close(world.writer);
    log_close(world.log);
    redisFree(world.redis);
    must(disk_remove_tree(world.directory, &err));
    return 0;
}

static void versions_arrive_whole_and_the_manifest_follows(void **state) {
    (void)state;
    struct task task;
    static const uint64_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8};
    append_version(ids, 8, 8);
    append_version((const uint64_t[]){3, 5}, 2, 8);
    task_open(&task);
    step_until(&task, 2);
    rows_are(1, 8, 1);
    assert_true(row_version(3) > 1.5F && row_version(5) > 1.5F);
    assert_true(row_version(9) < 0);
    task_close(&task);
}

static void the_layout_is_the_documented_one_to_the_byte(void **state) {
    (void)state;
    struct task task;
    append_version((const uint64_t[]){1}, 1, 1);
    task_open(&task);
    step_until(&task, 1);
    // hash_mix(1) begins 0x5692...: bucket 0b01010 = 10 of 32, group 0b0101 = 5 of 16.
    redisReply *reply = ask("HGETALL %s:{5}:b:10", world.name);
    assert_int_equal(reply->elements, 4);
    assert_string_equal(reply->element[0]->str, "v");
    assert_memory_equal(reply->element[1]->str, "\1\0\0\0\0\0\0\0", 8);
    assert_int_equal(reply->element[2]->len, 10);
    assert_memory_equal(reply->element[2]->str, "\3\0\1\0\0\0\0\0\0\0", 10);
    assert_int_equal(reply->element[3]->len, 8);
    assert_memory_equal(reply->element[3]->str, "\0\0\200\77\0\0\200\77", 8);
    freeReplyObject(reply);
    reply = ask("GET %s:{5}:state", world.name);
    assert_string_equal(reply->str, "0000000000000007 1 done 6 1 clean");
    freeReplyObject(reply);
    reply = ask("GET %s:{m}:state", world.name);
    assert_string_equal(reply->str, "0000000000000007 1 0");
    freeReplyObject(reply);
    reply = ask("HGET %s:{m}:t:0000000000000007:1 t", world.name);
    assert_int_equal(reply->len, 16);
    assert_memory_equal(reply->str, "\1\0\0\0\2\0\0\0\0\0\200\77\0\0\0\77", 16);
    freeReplyObject(reply);
    reply = ask("GET %s:{m}:manifest", world.name);
    assert_string_equal(
        strstr(reply->str, "\"lineage\""),
        "\"lineage\":\"0000000000000007\",\"version\":1,\"watermark_ms\":1001,"
        "\"accepted_ms\":5,\"group_bits\":4,\"bucket_bits\":5,\"row_type\":\"fp32\","
        "\"model\":{\"domains\":[\"a\"]},\"measures\":{}}");
    freeReplyObject(reply);
    task_close(&task);
}

static void a_flushed_redis_is_filled_again_from_the_log(void **state) {
    (void)state;
    struct task task;
    static const uint64_t ids[] = {1, 2, 3, 4};
    append_version(ids, 4, 4);
    task_open(&task);
    step_until(&task, 1);
    freeReplyObject(ask("FLUSHALL"));
    append_version((const uint64_t[]){2}, 1, 4);
    step_until(&task, 2);
    rows_are(1, 4, 1);
    task_close(&task);
    // And while no publisher ran.
    freeReplyObject(ask("FLUSHALL"));
    task_open(&task);
    step_until(&task, 2);
    rows_are(1, 4, 1);
    task_close(&task);
}

static void a_restart_goes_on_where_redis_stands(void **state) {
    (void)state;
    static const uint64_t ids[] = {1, 2, 3, 4, 5, 6};
    append_version(ids, 6, 6);
    append_version(ids, 6, 6);
    append_version(ids, 6, 6);
    // Stopped dead after one step, then two, ...: also in the middle of a version, which is then
    // read again from its beginning while Redis keeps the chunks that it has.
    for (int turn = 1; turn < 60 && manifest_version() != 3; turn++) {
        struct task task;
        task_open(&task);
        for (int step = 0; step < turn && manifest_version() != 3; step++) {
            assert_int_equal(runner_step(task.runner, 10, &err), STATUS_OK);
            must(runner_commit(task.runner, &err));
        }
        task_close(&task);
    }
    assert_int_equal(manifest_version(), 3);
    rows_are(1, 6, 3);
}

static void a_rewound_group_is_read_again(void **state) {
    (void)state;
    struct task task;
    static const uint64_t ids[] = {1, 2, 3, 4, 5, 6};
    append_version(ids, 6, 6);
    task_open(&task);
    step_until(&task, 1);
    redisReply *old = ask("DUMP %s:{5}:b:10", world.name);
    redisReply *old_state = ask("GET %s:{5}:state", world.name);
    append_version((const uint64_t[]){1}, 1, 6);
    step_until(&task, 2);
    // A failover that lost its last seconds: one group stands at version 1 again.
    freeReplyObject(
        ask("RESTORE %s:{5}:b:10 0 %b REPLACE", world.name, old->str, (size_t)old->len));
    freeReplyObject(ask("SET %s:{5}:state %s", world.name, old_state->str));
    freeReplyObject(old);
    freeReplyObject(old_state);
    assert_true(row_version(1) < 1.5F);
    append_version((const uint64_t[]){2}, 1, 6);
    step_until(&task, 3);
    assert_true(row_version(1) > 1.5F);
    task_close(&task);
}

static void a_publisher_that_wakes_up_late_changes_nothing(void **state) {
    (void)state;
    struct task zombie, task;
    static const uint64_t ids[] = {1, 2, 3};
    append_version(ids, 3, 3);
    task_open(&zombie);
    step_until(&zombie, 1);
    task_open(&task);
    append_version(ids, 3, 3);
    append_version(ids, 3, 3);
    step_until(&task, 3);
    for (int i = 0; i < 20; i++) {
        enum status status = runner_step(zombie.runner, 1, &err);
        assert_true(status == STATUS_OK || status == STATUS_UNAVAILABLE);
    }
    assert_int_equal(manifest_version(), 3);
    rows_are(1, 3, 3);
    task_close(&zombie);
    task_close(&task);
}

static void rows_that_are_gone_are_removed(void **state) {
    (void)state;
    struct task task;
    static const uint64_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8};
    append_version(ids, 8, 8);
    task_open(&task);
    step_until(&task, 1);
    // Two slices later only 1 to 4 are left, though no tombstone said so.
    append_version(ids, 1, 4);
    append_version(ids, 1, 4);
    step_until(&task, 3);
    rows_are(1, 4, 1);
    for (uint64_t id = 5; id <= 8; id++)
        assert_true(row_version(id) < 0);
    task_close(&task);
}

static void a_lost_connection_is_made_anew(void **state) {
    (void)state;
    struct task task;
    static const uint64_t ids[] = {1, 2, 3};
    append_version(ids, 3, 3);
    task_open(&task);
    step_until(&task, 1);
    freeReplyObject(ask("CLIENT KILL TYPE normal SKIPME yes"));
    append_version(ids, 3, 3);
    step_until(&task, 2);
    rows_are(1, 3, 2);
    task_close(&task);
}

static void a_redis_out_of_memory_is_said_and_waited_for(void **state) {
    (void)state;
    struct task task;
    static const uint64_t ids[] = {1, 2, 3};
    append_version(ids, 3, 3);
    freeReplyObject(ask("CONFIG SET maxmemory 1"));
    task_open(&task);
    enum status status = STATUS_OK;
    for (int i = 0; i < 50 && status != STATUS_UNAVAILABLE; i++)
        status = runner_step(task.runner, 10, &err);
    assert_int_equal(status, STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.message, "out of memory"));
    freeReplyObject(ask("CONFIG SET maxmemory 0"));
    step_until(&task, 1);
    rows_are(1, 3, 1);
    task_close(&task);
}

static void a_server_that_is_not_there_is_named(void **state) {
    (void)state;
    struct publisher_settings settings = world.settings;
    settings.redis.port = 1;
    assert_int_equal(publisher_check(&settings, &err), STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.message, ":1"));
    must(publisher_check(&world.settings, &err));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(versions_arrive_whole_and_the_manifest_follows),
        TEST(the_layout_is_the_documented_one_to_the_byte),
        TEST(a_flushed_redis_is_filled_again_from_the_log),
        TEST(a_restart_goes_on_where_redis_stands),
        TEST(a_rewound_group_is_read_again),
        TEST(a_publisher_that_wakes_up_late_changes_nothing),
        TEST(rows_that_are_gone_are_removed),
        TEST(a_lost_connection_is_made_anew),
        TEST(a_redis_out_of_memory_is_said_and_waited_for),
        TEST(a_server_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
