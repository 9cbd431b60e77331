// One test on both stores: whatever was put is there until it is removed, over any number of
// checkpoints, loads and moves to disk.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/rng.h"
#include "ingest/store.h"

#define PAYLOADS_MAX 6000

struct kept {
    struct store_payload payload;
    size_t length;
    bool living;
};

struct bench {
    bool rocksdb;
    char directory[64];
    struct store *store;
    struct kept *kept; // [PAYLOADS_MAX]
    size_t count;
    struct rng rng;
    int64_t now_ms;
};

// What the payload of a number holds.
static void payload_bytes(uint64_t number, unsigned char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)(rng_at(7, number, i / 8, 0) >> (i % 8 * 8));
}

static void bench_open_store(struct bench *b) {
    struct error err;
    const struct store_rocksdb_options options = {.directory = b->directory,
                                                  .bucket_ms = 1000,
                                                  .young_age_ms = 2000,
                                                  .memory_bytes = 4 << 20};
    store_close(b->store);
    enum status status = b->rocksdb ? store_open_rocksdb(&options, &b->store, &err)
                                    : store_open_memory(&b->store, &err);
    assert_int_equal(status, STATUS_OK);
}

static void bench_init(struct bench *b, bool rocksdb) {
    memset(b, 0, sizeof(*b));
    b->rocksdb = rocksdb;
    (void)snprintf(b->directory, sizeof(b->directory), "%s", "/tmp/freshet-store-XXXXXX");
    assert_non_null(mkdtemp(b->directory));
    b->kept = memory_new(PAYLOADS_MAX, sizeof(*b->kept));
    assert_non_null(b->kept);
    rng_init(&b->rng, 42);
    b->now_ms = 1000000;
    bench_open_store(b);
}

static void bench_deinit(struct bench *b) {
    struct error err;
    store_close(b->store);
    memory_free(b->kept);
    assert_int_equal(disk_remove_tree(b->directory, &err), STATUS_OK);
}

static void bench_put(struct bench *b, size_t length) {
    struct error err;
    unsigned char *bytes = memory_new(length + 1, 1);
    assert_true(b->count < PAYLOADS_MAX);
    struct kept *kept = &b->kept[b->count];
    kept->payload.number = b->count;
    kept->payload.time_ms = b->now_ms - (int64_t)rng_below(&b->rng, 300);
    kept->length = length;
    kept->living = true;
    payload_bytes(kept->payload.number, bytes, length);
    assert_int_equal(store_put(b->store, kept->payload.time_ms, kept->payload.number, bytes, length,
                               &kept->payload.place, &err),
                     STATUS_OK);
    b->count++;
    memory_free(bytes);
}

static void bench_remove(struct bench *b, size_t i) {
    struct error err;
    if (b->kept[i].living)
        assert_int_equal(store_remove(b->store, &b->kept[i].payload, &err), STATUS_OK);
    b->kept[i].living = false;
}

static void bench_check(struct bench *b, size_t i) {
    struct error err;
    unsigned char *wanted = memory_new(b->kept[i].length + 1, 1);
    const unsigned char *bytes = NULL;
    size_t length = 0;
    payload_bytes(i, wanted, b->kept[i].length);
    assert_int_equal(store_get(b->store, &b->kept[i].payload, &bytes, &length, &err), STATUS_OK);
    assert_int_equal(length, b->kept[i].length);
    assert_memory_equal(bytes, wanted, length);
    memory_free(wanted);
}

static void bench_check_all(struct bench *b) {
    for (size_t i = 0; i < b->count; i++) {
        if (b->kept[i].living)
            bench_check(b, i);
    }
}

static uint64_t bench_save(struct bench *b, size_t keep) {
    struct error err;
    struct checkpoint_writer *writer = NULL;
    int64_t oldest = 0;
    assert_int_equal(checkpoint_writer_open(b->directory, &writer, &err), STATUS_OK);
    assert_int_equal(store_save(b->store, b->now_ms, writer, &err), STATUS_OK);
    uint64_t generation = checkpoint_writer_generation(writer);
    assert_int_equal(checkpoint_writer_commit(writer, 0, keep, &oldest, &err), STATUS_OK);
    checkpoint_writer_close(writer);
    return generation;
}

static void bench_load(struct bench *b, uint64_t generation) {
    struct error err;
    struct checkpoint_reader *reader = NULL;
    assert_int_equal(checkpoint_reader_open(b->directory, generation, &reader, &err), STATUS_OK);
    assert_int_equal(store_load(b->store, reader, &err), STATUS_OK);
    checkpoint_reader_close(reader);
}

static void a_payload_is_there_until_it_is_removed(void **state) {
    struct bench b;
    bench_init(&b, *(bool *)*state);
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < 400; i++) {
            bench_put(&b, rng_below(&b.rng, 100) == 0 ? 300000 : rng_below(&b.rng, 500));
            b.now_ms += (int64_t)rng_below(&b.rng, 5);
        }
        for (int i = 0; i < 250; i++)
            bench_remove(&b, rng_below(&b.rng, b.count));
        for (size_t i = 0; i < b.count && b.kept[i].payload.time_ms < b.now_ms - 6000; i++)
            bench_remove(&b, i);
        bench_check_all(&b);
        uint64_t generation = bench_save(&b, 2);
        bench_check_all(&b);
        if (round % 3 == 2) { // in a new process
            bench_open_store(&b);
            bench_load(&b, generation);
            bench_check_all(&b);
        }
    }
    for (size_t i = 0; i < b.count; i++)
        bench_remove(&b, i);
    (void)bench_save(&b, 2);
    assert_true(store_memory_bytes(b.store) == 0);
    bench_deinit(&b);
}

static void an_older_checkpoint_still_holds_what_it_held(void **state) {
    struct bench b;
    bench_init(&b, *(bool *)*state);
    for (int i = 0; i < 1500; i++, b.now_ms += 5)
        bench_put(&b, 200);
    uint64_t first = bench_save(&b, 3);
    struct bench then = b;
    then.kept = memory_new(PAYLOADS_MAX, sizeof(*b.kept));
    memcpy(then.kept, b.kept, PAYLOADS_MAX * sizeof(*b.kept));
    for (size_t i = 0; i < 1200; i++)
        bench_remove(&b, i);
    for (int i = 0; i < 1500; i++, b.now_ms += 5)
        bench_put(&b, 200);
    uint64_t second = bench_save(&b, 3);
    bench_load(&b, second);
    bench_check_all(&b);
    bench_load(&b, first);
    then.store = b.store;
    bench_check_all(&then);
    bench_load(&b, second);
    bench_check_all(&b);
    memory_free(then.kept);
    bench_deinit(&b);
}

static uint64_t folder_bytes(const char *path) {
    struct error err;
    struct arena arena;
    char **names = NULL;
    size_t count = 0;
    uint64_t sum = 0;
    arena_init(&arena, 4096);
    assert_int_equal(disk_list(path, &arena, &names, &count, &err), STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        char file[512];
        struct disk_file *open = NULL;
        uint64_t bytes = 0;
        if (strstr(names[i], ".sst") == NULL)
            continue;
        (void)snprintf(file, sizeof(file), "%s/%s", path, names[i]);
        assert_int_equal(disk_open(file, DISK_READ, &open, &err), STATUS_OK);
        assert_int_equal(disk_size(open, &bytes, &err), STATUS_OK);
        disk_close(open);
        sum += bytes;
    }
    arena_deinit(&arena);
    return sum;
}

static void a_budget_below_the_fixed_part_is_refused(void **state) {
    (void)state;
    struct error err;
    struct store *store = NULL;
    struct store_rocksdb_options options = {
        .directory = "/tmp", .bucket_ms = 1000, .young_age_ms = 1000, .memory_bytes = 200 << 10};
    assert_int_equal(store_open_rocksdb(&options, &store, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "ingest.store_memory"));
    options.directory = "/tmp/freshet-store-none";
    options.memory_bytes = 1 << 20; // the least that the option takes
    assert_int_equal(store_open_rocksdb(&options, &store, &err), STATUS_OK);
    assert_true(store_fixed_bytes(store) * 2 < 1 << 20);
    store_close(store);
}

static void old_payloads_leave_memory_and_expired_ones_the_disk(void **state) {
    (void)state;
    struct bench b;
    char path[256];
    bench_init(&b, true);
    for (int i = 0; i < 3000; i++, b.now_ms += 5)
        bench_put(&b, 1000);
    size_t before = store_memory_bytes(b.store);
    uint64_t generation = bench_save(&b, 1);
    assert_true(store_memory_bytes(b.store) * 2 < before);
    (void)snprintf(path, sizeof(path), "%s/checkpoints/%020llu/store", b.directory,
                   (unsigned long long)generation);
    assert_true(folder_bytes(path) > 2000000);
    bench_check_all(&b);
    for (size_t i = b.count; i-- > 0;) // against the order of the keys as well
        bench_check(&b, i);
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < 200; i++, b.now_ms += 5)
            bench_put(&b, 1000);
        for (size_t i = 0; b.kept[i].payload.time_ms < b.now_ms - 3500; i++)
            bench_remove(&b, i);
        generation = bench_save(&b, 1);
    }
    bench_check_all(&b);
    (void)snprintf(path, sizeof(path), "%s/checkpoints/%020llu/store", b.directory,
                   (unsigned long long)generation);
    assert_in_range(folder_bytes(path), 100000, 2000000); // of 5.4 MB that were put
    for (size_t i = 0; i < b.count; i++)
        bench_remove(&b, i);
    generation = bench_save(&b, 1);
    (void)snprintf(path, sizeof(path), "%s/checkpoints/%020llu/store", b.directory,
                   (unsigned long long)generation);
    assert_false(disk_exists(path));
    bench_deinit(&b);
}

static void a_live_folder_left_by_a_crash_is_not_read(void **state) {
    (void)state;
    struct bench b;
    struct error err;
    bench_init(&b, true);
    for (int i = 0; i < 1500; i++, b.now_ms += 5)
        bench_put(&b, 1000);
    (void)bench_save(&b, 1);
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/store", b.directory);
    assert_true(disk_exists(path));
    bench_open_store(&b);
    assert_false(disk_exists(path));
    const unsigned char *bytes = NULL;
    size_t length = 0;
    assert_int_equal(store_get(b.store, &b.kept[0].payload, &bytes, &length, &err), STATUS_CORRUPT);
    bench_deinit(&b);
}

int main(void) {
    bool memory = false;
    bool rocksdb = true;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(a_payload_is_there_until_it_is_removed, &memory),
        cmocka_unit_test_prestate(a_payload_is_there_until_it_is_removed, &rocksdb),
        cmocka_unit_test_prestate(an_older_checkpoint_still_holds_what_it_held, &memory),
        cmocka_unit_test_prestate(an_older_checkpoint_still_holds_what_it_held, &rocksdb),
        cmocka_unit_test(a_budget_below_the_fixed_part_is_refused),
        cmocka_unit_test(old_payloads_leave_memory_and_expired_ones_the_disk),
        cmocka_unit_test(a_live_folder_left_by_a_crash_is_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
