// Files and folders: every status that disk.h promises, and what planted faults leave behind.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk.h"

static struct error err;
static char home[256];  // a folder of this run
static char where[512]; // the path that at() made last

static const char *at(const char *name) {
    snprintf(where, sizeof where, "%s/%s", home, name);
    return where;
}

static int begin(void **state) {
    (void)state;
    const char *folder = getenv("TMPDIR");
    snprintf(home, sizeof home, "%s/freshet-disk-XXXXXX", folder ? folder : "/tmp");
    memset(&err, 0, sizeof err);
    return mkdtemp(home) ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    disk_fault_plant(DISK_FAULT_IO, 0);
    memory_fail_after(0);
    return disk_remove_tree(home, &err) == STATUS_OK ? 0 : -1;
}

static struct disk_file *file_of(const char *name, enum disk_mode mode) {
    struct disk_file *file = NULL;
    if (disk_open(at(name), mode, &file, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return file;
}

static void assert_holds(const char *name, const char *text) {
    struct buffer bytes;
    buffer_init(&bytes);
    if (disk_read_all(at(name), &bytes, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(bytes.length, strlen(text));
    assert_memory_equal(bytes.data, text, bytes.length);
    buffer_deinit(&bytes);
}

static void put(const char *name, const char *text) {
    struct disk_file *file = file_of(name, DISK_REPLACE);
    assert_int_equal(disk_write(file, text, strlen(text), &err), STATUS_OK);
    disk_close(file);
}

static void writing_appends_and_writing_at_a_place_replaces(void **state) {
    (void)state;
    put("a", "one");
    struct disk_file *file = file_of("a", DISK_APPEND);
    assert_int_equal(disk_write(file, " two", 4, &err), STATUS_OK);
    assert_int_equal(disk_write_at(file, 0, "ONE", 3, &err), STATUS_OK);
    assert_int_equal(disk_write(file, "", 0, &err), STATUS_OK);
    assert_int_equal(disk_sync(file, &err), STATUS_OK);
    uint64_t bytes = 0;
    assert_int_equal(disk_size(file, &bytes, &err), STATUS_OK);
    assert_int_equal(bytes, 7);
    disk_close(file);
    assert_holds("a", "ONE two");
    file = file_of("a", DISK_UPDATE);
    assert_int_equal(disk_truncate(file, 3, &err), STATUS_OK);
    assert_int_equal(disk_write(file, "!", 1, &err), STATUS_OK);
    disk_close(file);
    assert_holds("a", "ONE!");
    disk_close(file_of("a", DISK_REPLACE));
    assert_holds("a", "");
    disk_close(NULL);
}

static void reading_stops_at_the_end_of_the_file(void **state) {
    (void)state;
    put("a", "0123456789");
    struct disk_file *file = file_of("a", DISK_READ);
    char bytes[16] = "";
    size_t length = 99;
    assert_int_equal(disk_read_at(file, 2, bytes, 3, &length, &err), STATUS_OK);
    assert_int_equal(length, 3);
    assert_memory_equal(bytes, "234", 3);
    assert_int_equal(disk_read_at(file, 8, bytes, 16, &length, &err), STATUS_OK);
    assert_int_equal(length, 2);
    assert_int_equal(disk_read_at(file, 50, bytes, 16, &length, &err), STATUS_OK);
    assert_int_equal(length, 0);
    disk_close(file);
}

static void what_is_not_there_is_not_found(void **state) {
    (void)state;
    struct disk_file *file = NULL;
    struct buffer bytes;
    struct arena arena;
    char **names;
    size_t count;
    buffer_init(&bytes);
    arena_init(&arena, 0);
    assert_int_equal(disk_open(at("no"), DISK_READ, &file, &err), STATUS_NOT_FOUND);
    assert_non_null(strstr(err.message, where));
    assert_null(file);
    assert_int_equal(disk_read_all(at("no"), &bytes, &err), STATUS_NOT_FOUND);
    assert_int_equal(disk_list(at("no"), &arena, &names, &count, &err), STATUS_NOT_FOUND);
    assert_int_equal(disk_open(at("no/a"), DISK_APPEND, &file, &err), STATUS_NOT_FOUND);
    assert_int_equal(disk_sync_directory(at("no"), &err), STATUS_NOT_FOUND);
    char target[512];
    snprintf(target, sizeof target, "%s/b", home);
    assert_int_equal(disk_rename(at("no"), target, &err), STATUS_NOT_FOUND);
    assert_int_equal(disk_link(at("no"), target, &err), STATUS_NOT_FOUND);
    assert_false(disk_exists(at("no")));
    assert_int_equal(disk_remove(at("no"), &err), STATUS_OK); // gone already: that is fine
    assert_int_equal(disk_remove_tree(at("no"), &err), STATUS_OK);
    buffer_deinit(&bytes);
    arena_deinit(&arena);
}

static void what_the_system_refuses_is_an_io_error(void **state) {
    (void)state;
    put("a", "text");
    struct disk_file *file = file_of("a", DISK_READ);
    assert_int_equal(disk_write(file, "x", 1, &err), STATUS_IO);
    assert_non_null(strstr(err.message, "could not write"));
    assert_int_equal(disk_truncate(file, 0, &err), STATUS_IO);
    disk_close(file);
    assert_int_equal(disk_make_directory(at("a/below"), &err), STATUS_IO); // a file is in the way
    assert_int_equal(disk_make_directory(at("a"), &err), STATUS_IO);
    file = NULL;
    assert_int_equal(disk_open(home, DISK_UPDATE, &file, &err), STATUS_IO);
    assert_int_equal(disk_remove(home, &err), STATUS_IO); // a folder
    assert_int_equal(disk_open(home, DISK_READ, &file, &err), STATUS_OK);
    char byte;
    size_t length = 0;
    assert_int_equal(disk_read_at(file, 0, &byte, 1, &length, &err), STATUS_IO);
    disk_close(file);
    struct buffer bytes;
    buffer_init(&bytes);
    assert_int_equal(disk_read_all(home, &bytes, &err), STATUS_IO);
    buffer_deinit(&bytes);
    assert_int_equal(disk_make_directory("", &err), STATUS_INVALID);
}

static void a_full_device_is_exhausted(void **state) {
    (void)state;
    struct disk_file *file = NULL;
    assert_int_equal(disk_open("/dev/full", DISK_UPDATE, &file, &err), STATUS_OK);
    assert_int_equal(disk_write(file, "x", 1, &err), STATUS_EXHAUSTED);
    assert_non_null(strstr(err.message, "/dev/full"));
    disk_close(file);
}

static void a_file_without_a_size_is_read_to_its_end(void **state) {
    (void)state;
    struct buffer bytes;
    buffer_init(&bytes);
    assert_int_equal(disk_read_all("/proc/self/status", &bytes, &err), STATUS_OK);
    assert_true(bytes.length > 5);
    assert_memory_equal(bytes.data, "Name:", 5);
    buffer_deinit(&bytes);
}

static void memory_that_is_out_is_exhausted(void **state) {
    (void)state;
    put("a", "text");
    struct disk_file *file = NULL;
    struct buffer bytes;
    struct arena arena;
    char **names = NULL;
    size_t count = 0;
    buffer_init(&bytes);
    arena_init(&arena, 0);
    for (uint64_t n = 1; n <= 2; n++) {
        memory_fail_after(n);
        assert_int_equal(disk_open(at("a"), DISK_READ, &file, &err), STATUS_EXHAUSTED);
    }
    memory_fail_after(3);
    assert_int_equal(disk_read_all(at("a"), &bytes, &err), STATUS_EXHAUSTED);
    memory_fail_after(1);
    assert_int_equal(disk_list(home, &arena, &names, &count, &err), STATUS_EXHAUSTED);
    memory_fail_after(0);
    buffer_deinit(&bytes);
    arena_deinit(&arena);
}

static void a_lock_is_held_by_one(void **state) {
    (void)state;
    struct disk_file *first = file_of("lock", DISK_UPDATE), *second = file_of("lock", DISK_UPDATE);
    assert_int_equal(disk_lock(first, &err), STATUS_OK);
    assert_int_equal(disk_lock(first, &err), STATUS_OK);
    assert_int_equal(disk_lock(second, &err), STATUS_FENCED);
    assert_non_null(strstr(err.message, "lock"));
    disk_close(first);
    assert_int_equal(disk_lock(second, &err), STATUS_OK);
    disk_close(second);
}

static void folders_are_made_with_their_parents_and_removed_with_their_contents(void **state) {
    (void)state;
    assert_int_equal(disk_make_directory(at("x/y//z/"), &err), STATUS_OK);
    assert_int_equal(disk_make_directory(at("x/y/z"), &err), STATUS_OK); // may exist
    put("x/y/z/file", "text");
    put("x/other", "text");
    assert_int_equal(symlink("nowhere", at("x/y/link")), 0);
    assert_int_equal(disk_remove_tree(at("x"), &err), STATUS_OK);
    assert_false(disk_exists(at("x")));
    put("single", "text");
    assert_int_equal(disk_remove_tree(at("single"), &err), STATUS_OK);
    assert_false(disk_exists(at("single")));
}

static void a_list_is_sorted_by_bytes(void **state) {
    (void)state;
    static const char *const wanted[] = {".hidden", "10", "9", "B", "a", "\xc3\xa9"};
    struct arena arena;
    arena_init(&arena, 0);
    char **names = NULL;
    size_t count = 99;
    assert_int_equal(disk_list(home, &arena, &names, &count, &err), STATUS_OK);
    assert_int_equal(count, 0);
    for (size_t i = 6; i-- > 0;)
        put(wanted[i], "");
    assert_int_equal(disk_list(home, &arena, &names, &count, &err), STATUS_OK);
    assert_int_equal(count, 6);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(names[i], wanted[i]);
    arena_deinit(&arena);
}

static void a_link_is_a_second_name_and_never_replaces(void **state) {
    (void)state;
    put("a", "text");
    char second[512];
    snprintf(second, sizeof second, "%s/b", home);
    assert_int_equal(disk_link(at("a"), second, &err), STATUS_OK);
    assert_int_equal(disk_remove(at("a"), &err), STATUS_OK);
    assert_holds("b", "text");
    put("a", "other");
    assert_int_equal(disk_link(at("a"), second, &err), STATUS_EXISTS);
    assert_holds("b", "text");
    assert_int_equal(disk_rename(at("a"), second, &err), STATUS_OK); // a rename does replace
    assert_holds("b", "other");
}

// One round of everything that changes a file; the status of the first call that fails.
static enum status change(void) {
    struct disk_file *file = NULL;
    char target[512];
    snprintf(target, sizeof target, "%s/renamed", home);
    enum status status = disk_open(at("changed"), DISK_UPDATE, &file, &err);
    if (status == STATUS_OK)
        status = disk_write(file, "abcdef", 6, &err);
    if (status == STATUS_OK)
        status = disk_truncate(file, 4, &err);
    if (status == STATUS_OK)
        status = disk_sync(file, &err);
    disk_close(file);
    if (status == STATUS_OK)
        status = disk_rename(at("changed"), target, &err);
    if (status == STATUS_OK)
        status = disk_link(target, at("linked"), &err);
    if (status == STATUS_OK)
        status = disk_remove(at("linked"), &err);
    return status == STATUS_OK ? disk_remove_tree(target, &err) : status;
}

static void each_change_can_be_made_to_fail(void **state) {
    (void)state;
    uint64_t before = disk_mutations();
    assert_int_equal(change(), STATUS_OK);
    uint64_t changes = disk_mutations() - before;
    assert_int_equal(changes, 8); // write, truncate, sync, rename and its sync, link, two removes
    static const enum disk_fault faults[] = {DISK_FAULT_FULL, DISK_FAULT_IO};
    for (uint64_t n = 1; n <= changes; n++) {
        for (size_t i = 0; i < 2; i++) {
            disk_fault_plant(faults[i], n);
            assert_int_equal(change(), i == 0 ? STATUS_EXHAUSTED : STATUS_IO);
            disk_fault_plant(DISK_FAULT_IO, 0);
            assert_int_equal(disk_remove(at("changed"), &err), STATUS_OK);
            assert_int_equal(disk_remove(at("linked"), &err), STATUS_OK);
        }
    }
    disk_fault_plant(DISK_FAULT_IO, changes + 1);
    assert_int_equal(change(), STATUS_OK); // it waits for the next one
    assert_int_equal(change(), STATUS_IO);
    assert_int_equal(disk_remove(at("changed"), &err), STATUS_OK); // and strikes once
}

static void after_a_crash_nothing_changes_any_more(void **state) {
    (void)state;
    put("a", "before");
    struct disk_file *file = file_of("a", DISK_APPEND), *again = NULL;
    disk_fault_plant(DISK_FAULT_CRASH, 2);
    assert_int_equal(disk_write(file, " 1", 2, &err), STATUS_OK);
    assert_int_equal(disk_write(file, " 2", 2, &err), STATUS_IO);
    assert_int_equal(disk_write(file, " 3", 2, &err), STATUS_IO);
    assert_int_equal(disk_truncate(file, 0, &err), STATUS_IO);
    assert_int_equal(disk_sync(file, &err), STATUS_IO);
    assert_int_equal(disk_remove(at("a"), &err), STATUS_IO);
    assert_int_equal(disk_open(at("a"), DISK_REPLACE, &again, &err), STATUS_IO); // nor emptied
    assert_null(again);
    assert_holds("a", "before 1"); // reading goes on
    disk_fault_plant(DISK_FAULT_CRASH, 0);
    assert_int_equal(disk_write(file, "!", 1, &err), STATUS_OK);
    disk_close(file);
    assert_holds("a", "before 1!");
}

static void a_torn_write_leaves_its_first_half(void **state) {
    (void)state;
    struct disk_file *file = file_of("a", DISK_APPEND);
    disk_fault_plant(DISK_FAULT_CRASH_TORN, 1);
    assert_int_equal(disk_write(file, "abcdef", 6, &err), STATUS_IO);
    assert_int_equal(disk_write(file, "ghi", 3, &err), STATUS_IO);
    disk_close(file);
    assert_holds("a", "abc");
}

static void replacing_leaves_the_old_or_the_new_bytes_at_every_fault(void **state) {
    (void)state;
    static const enum disk_fault faults[] = {DISK_FAULT_FULL, DISK_FAULT_IO, DISK_FAULT_CRASH,
                                             DISK_FAULT_CRASH_TORN};
    bool failed = true;
    uint64_t n = 1;
    for (; failed; n++) {
        failed = false;
        for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
            assert_int_equal(disk_replace_all(at("a"), "the old bytes", 13, &err), STATUS_OK);
            disk_fault_plant(faults[i], n);
            enum status status = disk_replace_all(at("a"), "new", 3, &err);
            disk_fault_plant(DISK_FAULT_IO, 0);
            struct buffer bytes;
            buffer_init(&bytes);
            assert_int_equal(disk_read_all(at("a"), &bytes, &err), STATUS_OK);
            bool is_new = bytes.length == 3 && memcmp(bytes.data, "new", 3) == 0;
            bool is_old = bytes.length == 13 && memcmp(bytes.data, "the old bytes", 13) == 0;
            buffer_deinit(&bytes);
            assert_true(is_new || is_old);
            assert_true(is_new || status != STATUS_OK);
            failed = failed || status != STATUS_OK;
        }
    }
    assert_int_equal(n - 1, 5); // write, sync, rename and its sync could fail; a fifth there is not
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writing_appends_and_writing_at_a_place_replaces, begin,
                                        end),
        cmocka_unit_test_setup_teardown(reading_stops_at_the_end_of_the_file, begin, end),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_not_found, begin, end),
        cmocka_unit_test_setup_teardown(what_the_system_refuses_is_an_io_error, begin, end),
        cmocka_unit_test_setup_teardown(a_full_device_is_exhausted, begin, end),
        cmocka_unit_test_setup_teardown(a_file_without_a_size_is_read_to_its_end, begin, end),
        cmocka_unit_test_setup_teardown(memory_that_is_out_is_exhausted, begin, end),
        cmocka_unit_test_setup_teardown(a_lock_is_held_by_one, begin, end),
        cmocka_unit_test_setup_teardown(
            folders_are_made_with_their_parents_and_removed_with_their_contents, begin, end),
        cmocka_unit_test_setup_teardown(a_list_is_sorted_by_bytes, begin, end),
        cmocka_unit_test_setup_teardown(a_link_is_a_second_name_and_never_replaces, begin, end),
        cmocka_unit_test_setup_teardown(each_change_can_be_made_to_fail, begin, end),
        cmocka_unit_test_setup_teardown(after_a_crash_nothing_changes_any_more, begin, end),
        cmocka_unit_test_setup_teardown(a_torn_write_leaves_its_first_half, begin, end),
        cmocka_unit_test_setup_teardown(replacing_leaves_the_old_or_the_new_bytes_at_every_fault,
                                        begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
