// Kept predictions against a plain list that does the same the slow way.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "trainer/pending.h"

enum { TASKS = 3 };

static struct pending *pending_made(size_t entries_max) {
    struct pending *pending;
    assert_int_equal(pending_new(TASKS, 0, entries_max, &pending, NULL), STATUS_OK);
    return pending;
}

static void add(struct pending *pending, uint32_t slot, uint64_t impression) {
    struct pending_entry entry = {.impression = impression,
                                  .slot = slot,
                                  .event_time_ms = (int64_t)impression * 10,
                                  .waiting = 7,
                                  .queued = PENDING_NOT_QUEUED};
    assert_int_equal(pending_add(pending, &entry, NULL), STATUS_OK);
    float *logits = pending_logits(pending, pending_find(pending, slot, impression));
    for (size_t task = 0; task < TASKS; task++)
        logits[task] = (float)impression + (float)task;
}

static void an_entry_is_found_by_slot_and_impression(void **state) {
    (void)state;
    struct pending *pending = pending_made(10);
    assert_null(pending_find(pending, 0, 1));
    assert_null(pending_oldest(pending));
    add(pending, 0, 1);
    add(pending, 1, 1);
    assert_int_equal(pending_count(pending), 2);
    struct pending_entry *entry = pending_find(pending, 1, 1);
    assert_non_null(entry);
    assert_int_equal(entry->slot, 1);
    assert_true(pending_logits(pending, entry)[2] == 3);
    assert_null(pending_find(pending, 2, 1));
    pending_remove(pending, entry);
    assert_null(pending_find(pending, 1, 1));
    assert_non_null(pending_find(pending, 0, 1));
    pending_free(pending);
}

static void the_oldest_is_the_first_to_go_when_full(void **state) {
    (void)state;
    struct pending *pending = pending_made(3);
    for (uint64_t i = 1; i <= 3; i++)
        add(pending, 0, i);
    assert_true(pending_full(pending));
    pending_remove(pending, pending_find(pending, 0, 1));
    assert_false(pending_full(pending));
    assert_int_equal(pending_oldest(pending)->impression, 2);
    add(pending, 0, 4);
    pending_remove(pending, pending_oldest(pending));
    assert_int_equal(pending_oldest(pending)->impression, 3);
    pending_free(pending);
}

// Entries in order of arrival: what the table must behave like.
struct list {
    uint64_t keys[4096]; // slot << 32 | impression
    size_t count;
};

static size_t list_find(const struct list *list, uint64_t key) {
    for (size_t i = 0; i < list->count; i++)
        if (list->keys[i] == key)
            return i;
    return SIZE_MAX;
}

static void list_remove(struct list *list, size_t at) {
    for (size_t i = at; i + 1 < list->count; i++)
        list->keys[i] = list->keys[i + 1];
    list->count--;
}

static struct pending *saved_and_loaded(struct pending *pending, size_t entries_max) {
    struct buffer saved;
    buffer_init(&saved);
    pending_save(pending, &saved);
    struct pending *loaded = pending_made(entries_max);
    struct wire in = wire_over(saved.data, saved.length);
    assert_int_equal(pending_load(loaded, &in, NULL), STATUS_OK);
    assert_ptr_equal(in.at, in.end);
    pending_free(pending);
    buffer_deinit(&saved);
    return loaded;
}

static void any_sequence_behaves_as_a_list_also_across_saving(void **state) {
    (void)state;
    enum { BOUND = 700, TURNS = 20000 };
    struct list list = {.count = 0};
    struct pending *pending = pending_made(BOUND);
    struct rng rng;
    rng_init(&rng, 11);
    for (size_t turn = 0; turn < TURNS; turn++) {
        uint32_t slot = (uint32_t)rng_below(&rng, 3);
        uint64_t impression = rng_below(&rng, 400);
        uint64_t key = (uint64_t)slot << 32 | impression;
        size_t at = list_find(&list, key);
        struct pending_entry *entry = pending_find(pending, slot, impression);
        assert_int_equal(entry != NULL, at != SIZE_MAX);
        if (entry == NULL) {
            if (pending_full(pending)) {
                assert_int_equal(list.count, BOUND);
                pending_remove(pending, pending_oldest(pending));
                list_remove(&list, 0);
            }
            add(pending, slot, impression);
            list.keys[list.count++] = key;
        } else {
            assert_true(pending_logits(pending, entry)[1] == (float)impression + 1);
            if (rng_below(&rng, 3) == 0) {
                pending_remove(pending, entry);
                list_remove(&list, at);
            }
        }
        if (list.count > 0)
            assert_int_equal(pending_oldest(pending)->impression, list.keys[0] & 0xffffffff);
        assert_int_equal(pending_count(pending), list.count);
        if (turn % 1000 == 999)
            pending = saved_and_loaded(pending, BOUND);
    }
    pending_free(pending);
}

static void damaged_bytes_are_refused(void **state) {
    (void)state;
    struct pending *pending = pending_made(10);
    for (uint64_t i = 1; i <= 5; i++)
        add(pending, 0, i);
    struct buffer saved;
    buffer_init(&saved);
    pending_save(pending, &saved);
    for (size_t cut = 0; cut < saved.length; cut++) {
        struct pending *broken = pending_made(10);
        struct wire in = wire_over(saved.data, cut);
        assert_int_equal(pending_load(broken, &in, NULL), STATUS_CORRUPT);
        pending_free(broken);
    }
    struct pending *small = pending_made(4);
    struct wire in = wire_over(saved.data, saved.length);
    assert_int_equal(pending_load(small, &in, NULL), STATUS_EXHAUSTED);
    pending_free(small);
    pending_free(pending);
    buffer_deinit(&saved);
}

static void want_of_memory_is_an_error_and_loses_nothing(void **state) {
    (void)state;
    struct pending *pending = pending_made(1000);
    for (uint64_t i = 1; i < 64; i++)
        add(pending, 0, i);
    struct pending_entry entry = {.impression = 64, .queued = PENDING_NOT_QUEUED};
    for (uint64_t n = 1; n <= 3; n++) {
        memory_fail_after(n);
        assert_int_equal(pending_add(pending, &entry, NULL), STATUS_EXHAUSTED);
        memory_fail_after(0);
        assert_int_equal(pending_count(pending), 63);
    }
    add(pending, 0, 64);
    for (uint64_t i = 1; i <= 64; i++)
        assert_non_null(pending_find(pending, 0, i));
    pending_free(pending);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_is_found_by_slot_and_impression),
        cmocka_unit_test(the_oldest_is_the_first_to_go_when_full),
        cmocka_unit_test(any_sequence_behaves_as_a_list_also_across_saving),
        cmocka_unit_test(damaged_bytes_are_refused),
        cmocka_unit_test(want_of_memory_is_an_error_and_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
