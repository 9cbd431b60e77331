// The trainer with a shuffle buffer: every row is learnt once, and crashes change nothing.
#include "tests/trainer/bed.h"

static void run(bool shuffled, int64_t threads, uint64_t crash_at, int64_t batch_records,
                struct bed_result *ret_result) {
    struct bed bed;
    bed_init(&bed);
    bed_fill(&bed, 200);
    bed_end(&bed);
    bed.settings.shuffle_rows = shuffled ? 100 : 0;
    bed.settings.learner.threads = threads;
    bed.settings.runner.checkpoint_interval_ms = 1;
    bed.settings.runner.tick_interval_ms = 1000000;
    if (crash_at)
        log_memory_fault_plant(bed.log, crash_at,
                               crash_at % 4 == 1 ? LOG_MEMORY_CRASH_BEFORE
                                                 : LOG_MEMORY_CRASH_AFTER);
    bed_run(&bed, batch_records, 2, NULL, NULL, ret_result);
    bed_deinit(&bed);
}

static void shuffled_rows_are_learnt_once_in_another_order(void **state) {
    (void)state;
    struct bed_result shuffled, in_order;
    run(true, 1, 0, 20, &shuffled);
    run(false, 1, 0, 20, &in_order);
    assert_true(shuffled.fingerprint != in_order.fingerprint);
    assert_int_equal(shuffled.status.rows_learnt, in_order.status.rows_learnt);
    assert_int_equal(shuffled.status.steps, in_order.status.steps);
    const struct account *examples = bed_account(&shuffled, "examples");
    assert_int_equal(examples->used, bed_account(&in_order, "examples")->used);
    assert_int_equal(examples->in_flight, 0);
}

static void crashes_threads_and_batches_change_nothing(void **state) {
    (void)state;
    struct bed_result whole, result;
    run(true, 1, 0, 20, &whole);
    for (uint64_t n = 3; n < 20; n += 2) {
        run(true, n % 4 == 3 ? 1 : 2, n, n < 10 ? 20 : 7, &result);
        assert_int_equal(result.crashes, 1);
        assert_int_equal(whole.fingerprint, result.fingerprint);
        assert_int_equal(whole.outputs, result.outputs);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shuffled_rows_are_learnt_once_in_another_order),
        cmocka_unit_test(crashes_threads_and_batches_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
