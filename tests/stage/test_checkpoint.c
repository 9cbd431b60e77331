// Checkpoint folders: sections and files of any size, damage anywhere, disks that fail.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/logger.h"
#include "base/rng.h"
#include "stage/checkpoint.h"

#define OK(call) assert_int_equal((call), STATUS_OK)

static char directory[128];

static int setup(void **state) {
    (void)state;
    snprintf(directory, sizeof(directory), "%s/freshet-checkpoint-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state) {
    struct error err;
    (void)state;
    disk_fault_plant(DISK_FAULT_CRASH, 0);
    return disk_remove_tree(directory, &err) == STATUS_OK ? 0 : -1;
}

static void fill(unsigned char *bytes, size_t length, uint64_t seed) {
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)rng_at(seed, i, 0, 0);
}

// Sections "a" (with `length` bytes, in pieces) and "b" (empty), files rocks/{1,sub/2}.
static enum status save(size_t length, uint64_t seed, int64_t place, size_t kept,
                        int64_t *ret_oldest, struct error *err) {
    static unsigned char bytes[300000];
    struct checkpoint_writer *writer = NULL;
    struct sink sink;
    char path[600];
    enum status status = checkpoint_writer_open(directory, &writer, err);
    fill(bytes, length, seed);
    if (status == STATUS_OK)
        status = checkpoint_section(writer, "a", &sink, err);
    for (size_t at = 0; status == STATUS_OK && at < length; at += 777)
        status = sink_put(&sink, bytes + at, length - at < 777 ? length - at : 777, err);
    if (status == STATUS_OK)
        status = checkpoint_section(writer, "b", &sink, err);
    if (status == STATUS_OK) {
        snprintf(path, sizeof(path), "%s/rocks/sub", checkpoint_writer_path(writer));
        status = disk_make_directory(path, err);
    }
    for (int file = 1; status == STATUS_OK && file <= 2; file++) {
        snprintf(path, sizeof(path), "%s/rocks/%s", checkpoint_writer_path(writer),
                 file == 1 ? "1" : "sub/2");
        status = disk_replace_all(path, bytes, length, err);
    }
    if (status == STATUS_OK)
        status = checkpoint_add_file(writer, "rocks", err);
    if (status == STATUS_OK)
        status = checkpoint_writer_commit(writer, place, kept, ret_oldest, err);
    checkpoint_writer_close(writer);
    return status;
}

static void what_was_saved_is_read_back_at_any_size(void **state) {
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 131072, 300000};
    static unsigned char want[300000], got[300000];
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct error err;
        struct checkpoint_reader *reader;
        struct source source;
        uint64_t length;
        int64_t oldest;
        OK(save(sizes[i], i, 10 + (int64_t)i, 2, &oldest, &err));
        OK(checkpoint_reader_newest(directory, "test", &reader, &err));
        assert_int_equal(checkpoint_reader_generation(reader), i + 1);
        assert_int_equal(checkpoint_reader_place(reader), 10 + i);
        assert_int_equal(oldest, i == 0 ? 10 : 9 + (int64_t)i);
        OK(checkpoint_open_section(reader, "a", &source, &length, &err));
        assert_int_equal(length, sizes[i]);
        size_t first = sizes[i] / 3;
        OK(source_get(&source, got, first, &err));
        OK(source_get(&source, got + first, sizes[i] - first, &err));
        fill(want, sizes[i], i);
        if (sizes[i] > 0)
            assert_memory_equal(want, got, sizes[i]);
        assert_int_equal(source_get(&source, got, 1, &err), STATUS_CORRUPT);
        OK(checkpoint_open_section(reader, "b", &source, &length, &err));
        assert_int_equal(length, 0);
        assert_int_equal(checkpoint_open_section(reader, "c", &source, &length, &err),
                         STATUS_NOT_FOUND);
        checkpoint_reader_close(reader);
    }
}

static void a_flipped_bit_anywhere_is_noticed(void **state) {
    static const char *const files[] = {"a", "manifest", "rocks/1", "rocks/sub/2"};
    struct error err;
    int64_t oldest;
    (void)state;
    OK(save(500, 1, 1, 1, &oldest, &err));
    for (size_t f = 0; f < 4; f++) {
        char path[400];
        struct disk_file *file;
        uint64_t size;
        snprintf(path, sizeof(path), "%s/checkpoints/%020d/%s", directory, 1, files[f]);
        OK(disk_open(path, DISK_UPDATE, &file, &err));
        OK(disk_size(file, &size, &err));
        for (uint64_t at = 0; at < size; at += 3) {
            unsigned char byte, flipped;
            size_t got;
            struct checkpoint_reader *reader;
            OK(disk_read_at(file, at, &byte, 1, &got, &err));
            flipped = byte ^ (unsigned char)(1U << at % 7);
            OK(disk_write_at(file, at, &flipped, 1, &err));
            assert_int_equal(checkpoint_reader_open(directory, 1, &reader, &err), STATUS_CORRUPT);
            OK(disk_write_at(file, at, &byte, 1, &err));
        }
        disk_close(file);
    }
    struct checkpoint_reader *reader;
    OK(checkpoint_reader_open(directory, 1, &reader, &err));
    checkpoint_reader_close(reader);
}

static void a_missing_or_cut_file_is_noticed_and_set_aside(void **state) {
    struct error err;
    struct checkpoint_reader *reader;
    int64_t oldest;
    char path[400];
    (void)state;
    OK(save(100, 1, 1, 3, &oldest, &err));
    OK(save(100, 2, 2, 3, &oldest, &err));
    OK(save(100, 3, 3, 3, &oldest, &err));
    snprintf(path, sizeof(path), "%s/checkpoints/%020d/rocks/1", directory, 3);
    OK(disk_remove(path, &err));
    snprintf(path, sizeof(path), "%s/checkpoints/%020d/manifest", directory, 2);
    OK(disk_replace_all(path, "freshet-checkpoint 1\n", 21, &err));
    OK(checkpoint_reader_newest(directory, "test", &reader, &err));
    assert_int_equal(checkpoint_reader_generation(reader), 1);
    checkpoint_reader_close(reader);
    OK(save(100, 4, 4, 1, &oldest, &err)); // a new number, and the old and the bad go
    assert_int_equal(oldest, 4);
    struct arena arena;
    char **names;
    size_t count;
    arena_init(&arena, 1024);
    snprintf(path, sizeof(path), "%s/checkpoints", directory);
    OK(disk_list(path, &arena, &names, &count, &err));
    assert_int_equal(count, 1);
    assert_string_equal(names[0], "00000000000000000004");
    arena_deinit(&arena);
}

static void whatever_the_disk_does_an_older_or_the_new_generation_stands(void **state) {
    (void)state;
    for (int fault = DISK_FAULT_FULL; fault <= DISK_FAULT_CRASH_TORN; fault++) {
        enum status status = STATUS_IO;
        for (uint64_t n = 1; status != STATUS_OK; n++) {
            struct error err;
            struct checkpoint_reader *reader;
            int64_t oldest;
            assert_true(n < 200);
            OK(save(1000, n, 100, 2, &oldest, &err));
            disk_fault_plant((enum disk_fault)fault, n);
            status = save(1000, n + 1, 101, 2, &oldest, &err);
            disk_fault_plant((enum disk_fault)fault, 0);
            if (status != STATUS_OK)
                assert_int_equal(status, fault == DISK_FAULT_FULL ? STATUS_EXHAUSTED : STATUS_IO);
            OK(checkpoint_reader_newest(directory, "test", &reader, &err));
            assert_in_range(checkpoint_reader_place(reader), status == STATUS_OK ? 101 : 100, 101);
            checkpoint_reader_close(reader);
        }
    }
}

// One more generation of blocks: whole, or its base kept and `takes` taken over; 0 = none.
static void chain_save(const char *name, const char *keeps, const char *takes, const char *bytes) {
    struct error err;
    struct checkpoint_writer *writer;
    struct buffer given;
    int64_t oldest;
    buffer_init(&given);
    OK(checkpoint_writer_open(directory, &writer, &err));
    if (keeps)
        OK(checkpoint_keep(writer, keeps, &err));
    OK(checkpoint_blocks(writer, name, &err));
    if (takes)
        OK(checkpoint_take(writer, takes, &err));
    buffer_append(&given, bytes, strlen(bytes));
    OK(checkpoint_give(writer, &given, &err));
    assert_int_equal(given.length, 0);
    OK(checkpoint_writer_commit(writer, 7, 1, &oldest, &err));
    checkpoint_writer_close(writer);
}

static void blocks_expect(const char *name, const char *want) {
    struct error err;
    struct checkpoint_reader *reader;
    struct disk_file *file;
    uint64_t length;
    size_t got;
    char bytes[100] = "";
    OK(checkpoint_reader_newest(directory, "test", &reader, &err));
    OK(checkpoint_open_blocks(reader, name, &file, &length, &err));
    OK(disk_read_at(file, 0, bytes, sizeof(bytes) - 1, &got, &err));
    assert_int_equal(got, length);
    assert_string_equal(bytes, want);
    disk_close(file);
    checkpoint_reader_close(reader);
}

static void generations_share_blocks_and_one_of_another_base_stays(void **state) {
    (void)state;
    struct error err;
    struct arena arena;
    struct checkpoint_writer *writer;
    uint64_t *generations;
    size_t count;
    chain_save("a", NULL, NULL, "base");
    OK(checkpoint_writer_open(directory, &writer, &err));
    assert_false(checkpoint_writer_fallback(writer));
    checkpoint_writer_close(writer);
    chain_save("b", NULL, NULL, "other base");
    chain_save("c", "b", NULL, "first");
    OK(checkpoint_writer_open(directory, &writer, &err));
    assert_true(checkpoint_writer_fallback(writer));
    checkpoint_writer_close(writer);
    chain_save("d", "b", "c", " second");
    blocks_expect("b", "other base");
    blocks_expect("d", "first second");
    arena_init(&arena, 1024);
    OK(checkpoint_list(directory, &arena, &generations, &count, &err));
    assert_int_equal(count, 2); // the newest, and the one before `b`
    assert_int_equal(generations[0], 1);
    assert_int_equal(generations[1], 6); // writers that came to nothing took numbers too
    arena_deinit(&arena);
    // What is not there cannot be kept: it shows when the generation is to become durable.
    int64_t oldest;
    OK(checkpoint_writer_open(directory, &writer, &err));
    OK(checkpoint_keep(writer, "a", &err));
    assert_int_equal(checkpoint_writer_commit(writer, 8, 1, &oldest, &err), STATUS_NOT_FOUND);
    checkpoint_writer_close(writer);
    blocks_expect("d", "first second");
}

// Makes the manifest of generation 1 one of another version.
static void version_set(char digit) {
    char path[300], last[32];
    struct error err;
    struct buffer text;
    buffer_init(&text);
    snprintf(path, sizeof(path), "%s/checkpoints/%020d/manifest", directory, 1);
    OK(disk_read_all(path, &text, &err));
    size_t tail = strlen("end 0123456789abcdef\n"), body = text.length - tail;
    text.data[strlen("freshet-checkpoint ")] = (unsigned char)digit;
    snprintf(last, sizeof(last), "end %016llx\n",
             (unsigned long long)hash_bytes(text.data, body, 0));
    memcpy(text.data + body, last, tail);
    OK(disk_replace_all(path, text.data, text.length, &err));
    buffer_deinit(&text);
}

static void the_former_format_is_read_and_a_newer_one_refused_by_name(void **state) {
    (void)state;
    struct error err;
    struct checkpoint_reader *reader;
    int64_t oldest;
    OK(save(500, 1, 1, 1, &oldest, &err));
    version_set('1');
    OK(checkpoint_reader_newest(directory, "test", &reader, &err));
    checkpoint_reader_close(reader);
    version_set('9');
    assert_int_equal(checkpoint_reader_newest(directory, "test", &reader, &err),
                     STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.message, "newer version"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_saved_is_read_back_at_any_size, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flipped_bit_anywhere_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_or_cut_file_is_noticed_and_set_aside, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            whatever_the_disk_does_an_older_or_the_new_generation_stands, setup, teardown),
        cmocka_unit_test_setup_teardown(generations_share_blocks_and_one_of_another_base_stays,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(the_former_format_is_read_and_a_newer_one_refused_by_name,
                                        setup, teardown),
    };
    FILE *quiet = fopen("/dev/null", "w");
    assert_non_null(quiet);
    logger_setup(quiet, LOGGER_ERROR, LOGGER_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
