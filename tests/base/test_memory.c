// Blocks, arenas and buffers, and what they do when memory is out.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/memory.h"

static int no_fault_left(void **state) {
    (void)state;
    memory_fail_after(0);
    return 0;
}

static bool is_zero(const void *bytes, size_t length) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < length; i++)
        if (at[i] != 0)
            return false;
    return true;
}

static void a_block_is_zeroed_and_starts_on_a_cache_line(void **state) {
    (void)state;
    for (size_t count = 0; count < 300; count += 37) {
        unsigned char *block = memory_new(count, 3);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 64, 0);
        assert_true(is_zero(block, count * 3));
        memory_free(block);
    }
    memory_free(NULL);
}

static void sizes_that_overflow_give_nothing(void **state) {
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    assert_null(memory_new(SIZE_MAX, 2));
    assert_null(memory_new(SIZE_MAX / 2, 4));
    assert_null(memory_new(2, SIZE_MAX / 2));
    assert_null(memory_resize(NULL, 0, SIZE_MAX / 4, 8));
    assert_null(arena_get(&arena, SIZE_MAX / 8, 16));
    assert_null(arena_get(&arena, 1, SIZE_MAX - 8));
    assert_null(arena_copy_string(&arena, "", SIZE_MAX));
    arena_deinit(&arena);
}

static void resizing_keeps_what_fits_and_zeroes_the_rest(void **state) {
    (void)state;
    uint32_t *block = memory_resize(NULL, 0, 4, sizeof *block);
    assert_non_null(block);
    assert_true(is_zero(block, 4 * sizeof *block));
    for (uint32_t i = 0; i < 4; i++)
        block[i] = i + 1;
    block = memory_resize(block, 4, 1000, sizeof *block);
    assert_non_null(block);
    assert_int_equal(block[3], 4);
    assert_true(is_zero(block + 4, 996 * sizeof *block));
    block = memory_resize(block, 1000, 2, sizeof *block);
    assert_non_null(block);
    assert_int_equal(block[1], 2);
    memory_free(block);
}

static void a_resize_that_fails_leaves_the_old_block(void **state) {
    (void)state;
    uint32_t *block = memory_new(4, sizeof *block);
    assert_non_null(block);
    block[3] = 9;
    memory_fail_after(1);
    assert_null(memory_resize(block, 4, 8, sizeof *block));
    memory_fail_after(0);
    assert_int_equal(block[3], 9);
    memory_free(block);
}

static void the_planted_allocation_and_all_after_it_fail(void **state) {
    (void)state;
    memory_fail_after(3);
    void *first = memory_new(1, 1), *second = memory_copy_string("b");
    void *third = memory_new(1, 1), *fourth = memory_copy_string("d");
    memory_fail_after(0);
    void *fifth = memory_new(1, 1);
    assert_true(first && second && !third && !fourth && fifth);
    memory_free(first);
    memory_free(second);
    memory_free(fifth);
}

static void a_string_is_copied_with_its_end(void **state) {
    (void)state;
    char *copy = memory_copy_string("stream");
    assert_string_equal(copy, "stream");
    memory_free(copy);
}

static void an_arena_gives_zeroed_aligned_places_that_do_not_overlap(void **state) {
    (void)state;
    struct arena arena;
    arena_init(&arena, 512);
    unsigned char *places[100];
    for (size_t i = 0; i < 100; i++) {
        places[i] = arena_get(&arena, i + 1, 1);
        assert_non_null(places[i]);
        assert_int_equal((uintptr_t)places[i] % 16, 0);
        assert_true(is_zero(places[i], i + 1));
        memset(places[i], (int)i + 1, i + 1);
    }
    for (size_t i = 0; i < 100; i++)
        for (size_t k = 0; k <= i; k++)
            assert_int_equal(places[i][k], i + 1);
    assert_true(arena.used_bytes >= 5050);
    unsigned char *wide = arena_get(&arena, 1, 100000); // wider than a block
    assert_non_null(wide);
    assert_true(is_zero(wide, 100000));
    arena_deinit(&arena);
}

static void an_arena_that_is_reset_gives_zeroed_places_again(void **state) {
    (void)state;
    struct arena arena;
    arena_init(&arena, 4096);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 50; i++) {
            unsigned char *place = arena_get(&arena, 200, 1);
            assert_non_null(place);
            assert_true(is_zero(place, 200));
            memset(place, 0xff, 200);
        }
        arena_reset(&arena);
        assert_int_equal(arena.used_bytes, 0);
    }
    memory_fail_after(1); // the block that reset keeps is enough
    assert_non_null(arena_get(&arena, 200, 1));
    assert_null(arena_get(&arena, 100000, 1));
    memory_fail_after(0);
    arena_deinit(&arena);
    arena_deinit(&arena); // twice is fine
}

static void an_arena_ends_its_strings(void **state) {
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    assert_string_equal(arena_copy_string(&arena, "watermark", 5), "water");
    assert_string_equal(arena_copy_string(&arena, "", 0), "");
    arena_deinit(&arena);
}

static void a_buffer_grows_and_keeps_its_bytes(void **state) {
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer);
    for (int i = 0; i < 10000; i++)
        buffer_append_byte(&buffer, (unsigned char)i);
    buffer_append(&buffer, "end", 3);
    buffer_append(&buffer, NULL, 0);
    buffer_append_text(&buffer, " %d-%s", 42, "x");
    assert_false(buffer.failed);
    assert_int_equal(buffer.length, 10008);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buffer.data[i], (unsigned char)i);
    assert_memory_equal(buffer.data + 10000, "end 42-x", 8);
    size_t capacity = buffer.capacity;
    buffer_reset(&buffer);
    assert_true(buffer.length == 0 && buffer.capacity == capacity);
    buffer_deinit(&buffer);
}

static void a_reserved_place_is_filled_by_the_caller(void **state) {
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer);
    buffer_append(&buffer, "ab", 2);
    char *place = buffer_reserve(&buffer, 1000);
    assert_non_null(place);
    assert_int_equal(buffer.length, 2);
    memset(place, 'c', 1000);
    buffer.length += 1000;
    assert_memory_equal(buffer.data, "abcc", 4);
    buffer_deinit(&buffer);
}

static void a_failed_append_is_remembered_until_reset(void **state) {
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer);
    buffer_append(&buffer, "kept", 4);
    memory_fail_after(1);
    char piece[1000] = {0};
    buffer_append(&buffer, piece, sizeof piece);
    memory_fail_after(0);
    assert_true(buffer.failed);
    buffer_append(&buffer, "x", 1); // does nothing
    buffer_append_text(&buffer, "%d", 1);
    assert_null(buffer_reserve(&buffer, 1));
    assert_int_equal(buffer.length, 4);
    assert_memory_equal(buffer.data, "kept", 4);
    buffer_reset(&buffer);
    assert_null(buffer_reserve(&buffer, SIZE_MAX - 1));
    assert_true(buffer.failed);
    buffer_deinit(&buffer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_is_zeroed_and_starts_on_a_cache_line),
        cmocka_unit_test(sizes_that_overflow_give_nothing),
        cmocka_unit_test(resizing_keeps_what_fits_and_zeroes_the_rest),
        cmocka_unit_test_teardown(a_resize_that_fails_leaves_the_old_block, no_fault_left),
        cmocka_unit_test_teardown(the_planted_allocation_and_all_after_it_fail, no_fault_left),
        cmocka_unit_test(a_string_is_copied_with_its_end),
        cmocka_unit_test(an_arena_gives_zeroed_aligned_places_that_do_not_overlap),
        cmocka_unit_test_teardown(an_arena_that_is_reset_gives_zeroed_places_again, no_fault_left),
        cmocka_unit_test(an_arena_ends_its_strings),
        cmocka_unit_test(a_buffer_grows_and_keeps_its_bytes),
        cmocka_unit_test(a_reserved_place_is_filled_by_the_caller),
        cmocka_unit_test_teardown(a_failed_append_is_remembered_until_reset, no_fault_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
