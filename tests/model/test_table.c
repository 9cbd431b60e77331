// The embedding table: look-ups, growth, order, removal.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/table.h"

static void every_id_keeps_its_row_while_the_table_grows(void **state) {
    (void)state;
    struct table table;
    struct error err;
    assert_int_equal(table_init(&table, 3, 1, 0, &err), STATUS_OK);
    for (uint64_t id = 1; id <= 5000; id++) {
        uint32_t slot;
        assert_int_equal(table_insert(&table, id * 64, &slot, &err), STATUS_OK);
        assert_int_equal(slot, id); // the order of slots is the order of insertion
        table_values(&table, slot)[2] = (real)id;
    }
    uint64_t ids[5001];
    uint32_t slots[5001];
    for (uint64_t id = 1; id <= 5000; id++)
        ids[id] = id * 64;
    ids[0] = 7; // was never inserted
    table_find_many(&table, ids, 5001, slots);
    assert_int_equal(slots[0], TABLE_DEFAULT_SLOT);
    for (uint64_t id = 1; id <= 5000; id++)
        assert_true((uint64_t)table_values(&table, slots[id])[2] == id);
    assert_int_equal(table_find(&table, 0), TABLE_DEFAULT_SLOT);
    table_deinit(&table);
}

static void rows_left_after_removals_keep_their_slots_and_holes_fill_from_below(void **state) {
    (void)state;
    struct table table;
    struct error err;
    uint32_t slot;
    assert_int_equal(table_init(&table, 1, 2, (real)0.5, &err), STATUS_OK);
    for (uint64_t id = 1; id <= 3000; id++) {
        assert_int_equal(table_insert(&table, id, &slot, &err), STATUS_OK);
        table_values(&table, slot)[0] = (real)id;
        table_state(&table, slot)[1] = (real)id;
    }
    for (uint64_t id = 1; id <= 3000; id++)
        if (id % 3 != 0)
            assert_true(table_remove(&table, id));
    assert_false(table_remove(&table, 1));
    assert_int_equal(table_rows(&table), 1000);
    for (uint64_t id = 3; id <= 3000; id += 3) {
        slot = table_find(&table, id);
        assert_int_equal(slot, id);
        assert_true((uint64_t)table_values(&table, slot)[0] == id);
        assert_true((uint64_t)table_state(&table, slot)[1] == id);
    }
    for (uint32_t i = 0, hole = 1; i < 2000; i++, hole += hole % 3 == 2 ? 2 : 1) {
        assert_int_equal(table_next(&table), hole);
        assert_int_equal(table_insert(&table, 10000 + i, &slot, &err), STATUS_OK);
        assert_int_equal(slot, hole);
        assert_true(table_values(&table, slot)[0] == (real)0); // nothing of an old row shows
        assert_true(table_state(&table, slot)[1] == (real)0.5);
    }
    assert_int_equal(table_next(&table), 3001); // no hole is left
    assert_true(table_remove(&table, 2999 + 1));
    assert_true(table_remove(&table, 10000));
    assert_int_equal(table_next(&table), 1);
    table_deinit(&table);
}

static void a_table_filled_in_order_holes_included_goes_on_like_the_first(void **state) {
    (void)state;
    struct table table;
    struct error err;
    uint32_t slot;
    assert_int_equal(table_init(&table, 1, 0, 0, &err), STATUS_OK);
    for (uint64_t id = 1; id <= 2000; id++) {
        assert_int_equal(table_append(&table, id % 5 ? id : 0, &slot, &err), STATUS_OK);
        assert_int_equal(slot, id);
    }
    assert_int_equal(table_rows(&table), 1600);
    assert_int_equal(table_find(&table, 7), 7);
    assert_int_equal(table_insert(&table, 5000, &slot, &err), STATUS_OK);
    assert_int_equal(slot, 5);
    assert_int_equal(table_insert(&table, 5001, &slot, &err), STATUS_OK);
    assert_int_equal(slot, 10);
    table_deinit(&table);
}

static void memory_running_out_leaves_the_table_as_it_was(void **state) {
    (void)state;
    struct table table;
    struct error err;
    uint32_t slot;
    assert_int_equal(table_init(&table, 4, 0, 0, &err), STATUS_OK);
    uint64_t id = 1;
    for (; id < TABLE_BLOCK_ROWS; id++)
        assert_int_equal(table_insert(&table, id, &slot, &err), STATUS_OK);
    memory_fail_after(1);
    assert_int_equal(table_insert(&table, id, &slot, &err), STATUS_EXHAUSTED);
    memory_fail_after(0);
    assert_int_equal(table_rows(&table), TABLE_BLOCK_ROWS - 1);
    assert_int_equal(table_find(&table, id), TABLE_DEFAULT_SLOT);
    assert_int_equal(table_insert(&table, id, &slot, &err), STATUS_OK);
    table_deinit(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_id_keeps_its_row_while_the_table_grows),
        cmocka_unit_test(rows_left_after_removals_keep_their_slots_and_holes_fill_from_below),
        cmocka_unit_test(a_table_filled_in_order_holes_included_goes_on_like_the_first),
        cmocka_unit_test(memory_running_out_leaves_the_table_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
