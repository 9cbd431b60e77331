// The publisher under the runner, from a memory log into a real Redis: what lies there afterwards,
// to the byte, and what survives a flush, a rewind, a second publisher and a lost connection.
#include "bed.h"

#include <string.h>

#include "base/hash.h"
#include "base/logger.h"

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
    // hash_mix(1) is 0x5692161d100b05e5: bucket 0b01010 = 10 of 32, group 0b0101 = 5 of 16.
    redisReply *reply = ask("HGETALL %s:{5}:b:10", world.name);
    assert_int_equal(reply->elements, 4);
    assert_string_equal(reply->element[0]->str, "v");
    assert_memory_equal(reply->element[1]->str, "\1\0\0\0\0\0\0\0", 8);
    assert_int_equal(reply->element[2]->len, 9);
    assert_memory_equal(reply->element[2]->str, "\x03\xe5\x05\x0b\x10\x1d\x16\x92\x06", 9);
    assert_int_equal(reply->element[3]->len, 8);
    assert_memory_equal(reply->element[3]->str, "\0\0\200\77\0\0\200\77", 8);
    freeReplyObject(reply);
    reply = ask("GET %s:{5}:state", world.name);
    assert_string_equal(reply->str, "0000000000000007 1 done 6 1 clean 5 fp32");
    freeReplyObject(reply);
    reply = ask("GET %s:{m}:state", world.name);
    assert_string_equal(reply->str, "0000000000000007 1 0 6");
    freeReplyObject(reply);
    reply = ask("HGET %s:{m}:t:0000000000000007:1 t", world.name);
    assert_int_equal(reply->len, 16);
    assert_memory_equal(reply->str, "\1\0\0\0\2\0\0\0\0\0\200\77\0\0\0\77", 16);
    freeReplyObject(reply);
    reply = ask("GET %s:{m}:manifest", world.name);
    assert_string_equal(
        strstr(reply->str, "\"lineage\""),
        "\"lineage\":\"0000000000000007\",\"version\":1,\"watermark_ms\":1001,"
        "\"accepted_ms\":5,\"group_bits\":4,\"bucket_bits\":5,\"row_type\":\"fp32\",\"control\":0,"
        "\"model\":{\"domains\":[\"a\"]},\"measures\":{}}");
    freeReplyObject(reply);
    task_close(&task);
}

static void quantised_rows_are_the_documented_ones_to_the_byte(void **state) {
    (void)state;
    static const struct {
        int type;
        const char *bytes;
        int length;
    } wanted[] = {
        {REDIS_ROW_FP16, "\x00\x3c\x00\x3c", 4},
        // Row 1 of version 1 is (1, 1): the scale is 1 / 127, each value 127 of it.
        {REDIS_ROW_INT8, "\x04\x02\x01\x3c\x7f\x7f", 6},
    };
    for (size_t i = 0; i < 2; i++) {
        struct task task;
        world.settings.row_type = wanted[i].type;
        if (i == 0)
            append_version((const uint64_t[]){1}, 1, 1);
        task_open(&task);
        step_until(&task, 1);
        redisReply *reply = ask("HGETALL %s:{5}:b:10", world.name);
        assert_int_equal(reply->elements, 4);
        assert_int_equal(reply->element[3]->len, wanted[i].length);
        assert_memory_equal(reply->element[3]->str, wanted[i].bytes, (size_t)wanted[i].length);
        freeReplyObject(reply);
        reply = ask("GET %s:{m}:manifest", world.name);
        assert_non_null(
            strstr(reply->str, i == 0 ? "\"row_type\":\"fp16\"" : "\"row_type\":\"int8\""));
        freeReplyObject(reply);
        task_close(&task);
        freeReplyObject(ask("FLUSHALL"));
    }
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
    log_memory_gaps(world.log, true); // as Kafka's transactions leave them
    for (int i = 0; i < 4; i++)
        append_version(ids, 6, 6);
    // Stopped dead after one step, then two, ...: also in the middle of a version, which is then
    // read again from its beginning while Redis keeps the chunks that it has.
    for (int turn = 1; turn < 60 && manifest_version() != 4; turn++) {
        struct task task;
        task_open(&task);
        for (int step = 0; step < turn && manifest_version() != 4; step++) {
            assert_int_equal(runner_step(task.runner, 10, &err), STATUS_OK);
            must(runner_commit(task.runner, &err));
        }
        task_close(&task);
    }
    assert_int_equal(manifest_version(), 4);
    rows_are(1, 6, 4);
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

static void another_row_type_or_layout_is_refused(void **state) {
    (void)state;
    struct task task;
    append_version((const uint64_t[]){1}, 1, 1);
    task_open(&task);
    step_until(&task, 1);
    task_close(&task);
    world.settings.row_type = REDIS_ROW_INT8;
    assert_int_equal(task_try(&task), STATUS_INVALID);
    assert_non_null(strstr(err.message, "row_type int8"));
    assert_non_null(strstr(err.message, "with fp32"));
    task_close(&task);
    world.settings.row_type = REDIS_ROW_FP32;
    freeReplyObject(ask("SET %s:{5}:state %s", world.name, "0000000000000007 1 done 6 1 clean 5"));
    assert_int_equal(task_try(&task), STATUS_INVALID);
    assert_non_null(strstr(err.message, "layout 1"));
    task_close(&task);
}

static FILE *log_lines;

static void log_to_memory(char **text, size_t *length) {
    log_lines = open_memstream(text, length);
    assert_non_null(log_lines);
    logger_setup(log_lines, LOGGER_WARN, LOGGER_TEXT);
}

static void rows_and_buckets_too_large_to_be_packed_are_warned_of(void **state) {
    (void)state;
    struct task task;
    char *text = NULL;
    size_t length;
    freeReplyObject(ask("CONFIG SET hash-max-listpack-value 12"));
    freeReplyObject(ask("CONFIG SET hash-max-listpack-entries 2"));
    log_to_memory(&text, &length);
    world.row_floats_max = 4; // 16 bytes: known before any row is
    append_version((const uint64_t[]){1}, 1, 1);
    task_open(&task);
    fflush(log_lines);
    assert_non_null(strstr(text, "rows-not-packed row_bytes=16 hash_max_listpack_value=12"));
    assert_null(strstr(text, "buckets-not-packed"));
    step_until(&task, 1);
    fflush(log_lines);
    assert_null(strstr(text, "buckets-not-packed")); // a row and the version are two fields
    uint64_t same[2] = {1, 2};
    while (hash_mix(same[1]) >> (64 - BUCKET_BITS) != hash_mix(1) >> (64 - BUCKET_BITS))
        same[1]++;
    append_version(same, 2, same[1]);
    append_version(same, 2, same[1]); // both slices
    step_until(&task, 3);
    fflush(log_lines);
    assert_non_null(strstr(text, "buckets-not-packed"));
    task_close(&task);
    logger_setup(stderr, LOGGER_ERROR, LOGGER_TEXT);
    fclose(log_lines);
    free(text);
    freeReplyObject(ask("CONFIG SET hash-max-listpack-value 512"));
    freeReplyObject(ask("CONFIG SET hash-max-listpack-entries 128"));
}

static void another_number_of_buckets_is_refused(void **state) {
    (void)state;
    struct task task;
    append_version((const uint64_t[]){1}, 1, 1);
    task_open(&task);
    step_until(&task, 1);
    task_close(&task);
    world.settings.bucket_bits = BUCKET_BITS + 1;
    assert_int_equal(task_try(&task), STATUS_INVALID);
    assert_non_null(strstr(err.message, "bucket_bits"));
    task_close(&task);
}

static void retention_that_left_no_whole_model_names_none(void **state) {
    (void)state;
    struct task task;
    static const uint64_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8};
    enum { RECORDS_A_VERSION = 6 };
    append_version(ids, 8, 8);
    append_version(ids, 1, 8);
    append_version(ids, 1, 8);
    // Only version 3 is left: one of two slices.
    must(log_memory_retain(world.log, "weights", 0, 2 * RECORDS_A_VERSION, &err));
    task_open(&task);
    for (int i = 0; i < 20; i++) {
        enum status status = runner_step(task.runner, 1, &err);
        assert_true(status == STATUS_OK || status == STATUS_TIMEOUT);
    }
    assert_int_equal(manifest_version(), 0);
    append_version(ids, 1, 8); // the other slice
    step_until(&task, 4);
    rows_are(1, 8, 1);
    task_close(&task);
}

static void a_server_that_would_evict_rows_is_named(void **state) {
    (void)state;
    freeReplyObject(ask("CONFIG SET maxmemory-policy allkeys-lru"));
    enum status status = publisher_check(&world.settings, &err);
    freeReplyObject(ask("CONFIG SET maxmemory-policy noeviction"));
    assert_int_equal(status, STATUS_INVALID);
    assert_non_null(strstr(err.message, "allkeys-lru"));
}

static void the_documented_rights_suffice_and_fewer_are_named(void **state) {
    (void)state;
    struct task task;
    redisReply *reply =
        ask("ACL SETUSER publisher on >secret resetkeys ~%s:{* resetchannels &%s:versions -@all "
            "+info +config|get +script|load +evalsha +get +set +del +hset +hdel +expire +persist "
            "+exists +xadd +publish",
            world.name, world.name);
    assert_int_equal(reply->type, REDIS_REPLY_STATUS);
    freeReplyObject(reply);
    world.settings.redis.user = "publisher";
    world.settings.redis.password = "secret";
    append_version((const uint64_t[]){1, 2}, 2, 2);
    task_open(&task);
    step_until(&task, 1);
    rows_are(1, 2, 1);
    task_close(&task);
    world.settings.redis.password = "wrong";
    assert_int_equal(task_try(&task), STATUS_INVALID);
    assert_non_null(strstr(err.message, "password"));
    assert_null(strstr(err.message, "wrong\""));
    task_close(&task);
    freeReplyObject(ask("ACL SETUSER publisher -evalsha"));
    world.settings.redis.password = "secret";
    append_version((const uint64_t[]){1, 2}, 2, 2);
    task_open(&task);
    enum status status = STATUS_OK;
    for (int i = 0; i < 50 && (status == STATUS_OK || status == STATUS_TIMEOUT); i++)
        status = runner_step(task.runner, 10, &err);
    assert_int_equal(status, STATUS_INVALID);
    assert_non_null(strstr(err.message, "ACL"));
    task_close(&task);
    freeReplyObject(ask("ACL DELUSER publisher"));
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        TEST(versions_arrive_whole_and_the_manifest_follows),
        TEST(the_layout_is_the_documented_one_to_the_byte),
        TEST(quantised_rows_are_the_documented_ones_to_the_byte),
        TEST(a_flushed_redis_is_filled_again_from_the_log),
        TEST(a_restart_goes_on_where_redis_stands),
        TEST(a_rewound_group_is_read_again),
        TEST(a_publisher_that_wakes_up_late_changes_nothing),
        TEST(rows_that_are_gone_are_removed),
        TEST(a_lost_connection_is_made_anew),
        TEST(a_redis_out_of_memory_is_said_and_waited_for),
        TEST(another_row_type_or_layout_is_refused),
        TEST(rows_and_buckets_too_large_to_be_packed_are_warned_of),
        TEST(another_number_of_buckets_is_refused),
        TEST(retention_that_left_no_whole_model_names_none),
        TEST(a_server_that_would_evict_rows_is_named),
        TEST(the_documented_rights_suffice_and_fewer_are_named),
        TEST(a_server_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
