// A publisher that dies at any byte of what it sends: the next one brings Redis to the very same
// content, and no manifest ever names a version that some group lacks.
#include "bed.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "proxy.h"
#include "record/redis_layout.h"

enum { VERSIONS = 4, ROWS = 40, CUTS = 60 };

static void append_all(void) {
    uint64_t ids[ROWS];
    for (uint32_t i = 0; i < ROWS; i++)
        ids[i] = i + 1;
    append_version(ids, ROWS, ROWS);
    append_version(ids, 7, ROWS);
    append_version(ids + 9, 20, ROWS);
    append_version(ids + 3, 5, ROWS - 4);
}

// What readers of the newest version see of this key: all but the stream of deltas (which may hold
// a version twice, by design) and the versions brought out on the way.
static bool counts(const char *rest) {
    char tensors[64];
    snprintf(tensors, sizeof tensors, ":{m}:t:%016x:%d", 7, VERSIONS);
    return strncmp(rest, ":{m}:", 5) != 0 || strcmp(rest, tensors) == 0 ||
           strcmp(rest, ":{m}:manifest") == 0;
}

static uint64_t content_of(const char *key) {
    redisReply *type = ask("TYPE %s", key);
    bool hash = strcmp(type->str, "hash") == 0;
    redisReply *value = hash ? ask("HGETALL %s", key) : ask("GET %s", key);
    uint64_t sum = hash ? 0 : hash_bytes(value->str, value->len, 0);
    // A hash has no order: its pairs are summed.
    for (size_t i = 0; hash && i + 1 < value->elements; i += 2)
        sum += hash_bytes(value->element[i + 1]->str, value->element[i + 1]->len,
                          hash_bytes(value->element[i]->str, value->element[i]->len, 0));
    freeReplyObject(type);
    freeReplyObject(value);
    return sum;
}

// A hash of the names and contents of all keys that count.
static uint64_t content(void) {
    uint64_t sum = 0;
    redisReply *keys = ask("KEYS %s:*", world.name);
    assert_int_equal(keys->type, REDIS_REPLY_ARRAY);
    for (size_t i = 0; i < keys->elements; i++) {
        const char *key = keys->element[i]->str;
        if (counts(key + strlen(world.name)))
            sum += hash_bytes(key, strlen(key), content_of(key));
    }
    freeReplyObject(keys);
    return sum;
}

static void no_group_lacks_what_the_manifest_names(void) {
    long long named = manifest_version();
    for (uint32_t g = 0; named > 0 && g < 1U << REDIS_LAYOUT_GROUP_BITS; g++) {
        redisReply *reply = ask("GET %s:{%u}:state", world.name, g);
        uint64_t lineage = 0;
        long long version = 0;
        char chunks[24] = "";
        assert_int_equal(reply->type, REDIS_REPLY_STRING);
        assert_int_equal(sscanf(reply->str, "%" SCNx64 " %lld %23s", &lineage, &version, chunks),
                         3);
        assert_true(version > named || (version == named && strcmp(chunks, "done") == 0));
        freeReplyObject(reply);
    }
    if (named > 0) {
        redisReply *reply = ask("EXISTS %s:{m}:t:%016x:%lld", world.name, 7, named);
        assert_int_equal(reply->integer, 1);
        freeReplyObject(reply);
        reply = ask("TTL %s:{m}:t:%016x:%lld", world.name, 7, named);
        assert_int_equal(reply->integer, -1);
        freeReplyObject(reply);
    }
}

// Publishes through a proxy that breaks after `bytes`; returns how many it passed on.
static uint64_t publish_cut(uint64_t bytes) {
    struct task task;
    int64_t port = world.settings.redis.port;
    struct proxy *proxy = proxy_open((int)port, bytes);
    world.settings.redis.port = proxy_port(proxy);
    int64_t end_us = clock_system.monotonic_us(&clock_system) + 20000000;
    enum status status = task_try(&task);
    while (status == STATUS_OK && manifest_version() < VERSIONS) {
        status = runner_step(task.runner, 10, &err);
        if (status == STATUS_TIMEOUT)
            status = STATUS_OK;
        assert_true(clock_system.monotonic_us(&clock_system) < end_us);
    }
    assert_true(status == STATUS_OK || status == STATUS_UNAVAILABLE);
    task_close(&task);
    world.settings.redis.port = port;
    return proxy_close(proxy);
}

static void dying_at_any_byte_leaves_what_the_next_publisher_completes(void **state) {
    (void)state;
    append_all();
    uint64_t bytes = publish_cut(UINT64_MAX);
    uint64_t whole = content();
    no_group_lacks_what_the_manifest_names();
    assert_true(bytes > 2000);
    for (uint64_t cut = 0; cut < CUTS; cut++) {
        freeReplyObject(ask("FLUSHALL"));
        (void)publish_cut(1 + cut * (bytes + 200) / CUTS);
        no_group_lacks_what_the_manifest_names();
        // Dies once more on the way, at another byte.
        (void)publish_cut(1 + (cut * 7 % CUTS) * bytes / CUTS);
        no_group_lacks_what_the_manifest_names();
        struct task task;
        task_open(&task);
        step_until(&task, VERSIONS);
        task_close(&task);
        if (content() != whole)
            fail_msg("another content after a cut at byte %" PRIu64,
                     1 + cut * (bytes + 200) / CUTS);
    }
}

static void a_death_between_the_last_group_and_the_flip_is_made_good(void **state) {
    (void)state;
    struct task task;
    static const uint64_t ids[] = {1, 2, 3};
    append_version(ids, 3, 3);
    append_version(ids, 3, 3);
    task_open(&task);
    step_until(&task, 2);
    task_close(&task);
    // Every group holds version 2, the manifest has never heard of it, and nothing new comes.
    redisReply *reply = ask("DEL %s:{m}:manifest %s:{m}:state %s:{m}:t:%016x:2 %s:{m}:deltas",
                            world.name, world.name, world.name, 7, world.name);
    assert_int_equal(reply->integer, 4);
    freeReplyObject(reply);
    task_open(&task);
    step_until(&task, 2);
    task_close(&task);
    rows_are(1, 3, 2);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        TEST(dying_at_any_byte_leaves_what_the_next_publisher_completes),
        TEST(a_death_between_the_last_group_and_the_flip_is_made_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
