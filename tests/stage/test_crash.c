// The runner under planted crashes: whatever dies, wherever, the task ends as if nothing had.
#include "tests/stage/toy.h"

#include "base/disk.h"

#include <inttypes.h>
#include <string.h>

static uint64_t seed;
static uint64_t runs, crashes; // of all tests, so that it shows when faults are no longer met

// Every run of a seed has the same data, and settings and timing of its own.
static void crash_world(struct world *world, uint64_t data_seed, uint64_t run_seed) {
    world_init(world, data_seed, 30, data_seed % 3 != 0);
    world->setup.bounded = data_seed % 3 == 0;
    rng_init(&world->rng, run_seed);
    world_shuffle(world);
}

static void reference_run(uint64_t data_seed, struct outcome *ret_outcome) {
    struct world world;
    crash_world(&world, data_seed, data_seed * 31);
    world_run(&world, false, ret_outcome);
    assert_int_equal(ret_outcome->crashes, 0);
    assert_true(ret_outcome->values.read > 0 && ret_outcome->output_records > 0);
    world_deinit(&world);
}

// True when the fault was met.
static bool log_fault_run(uint64_t data_seed, uint64_t run_seed, uint64_t n,
                          enum log_memory_fault fault, const struct outcome *reference) {
    struct world world;
    struct outcome outcome;
    crash_world(&world, data_seed, run_seed);
    uint64_t before = log_memory_mutations(world.log);
    log_memory_fault_plant(world.log, n, fault);
    world_run(&world, false, &outcome);
    outcome_assert_equal(&outcome, reference);
    runs++;
    crashes += outcome.crashes;
    bool met = log_memory_mutations(world.log) - before > n;
    world_deinit(&world);
    return met;
}

static bool disk_fault_run(uint64_t data_seed, uint64_t run_seed, uint64_t n, enum disk_fault fault,
                           const struct outcome *reference) {
    struct world world;
    struct outcome outcome;
    crash_world(&world, data_seed, run_seed);
    disk_fault_plant(fault, n);
    world_run(&world, false, &outcome);
    outcome_assert_equal(&outcome, reference);
    runs++;
    crashes += outcome.crashes;
    world_deinit(&world);
    return outcome.crashes > 0;
}

static void a_crash_at_any_commit_or_trim_changes_nothing(void **state) {
    (void)state;
    for (uint64_t data = seed; data < seed + 6; data++) {
        struct outcome reference;
        reference_run(data, &reference);
        for (int fault = LOG_MEMORY_CRASH_BEFORE; fault <= LOG_MEMORY_UNAVAILABLE_AFTER; fault++)
            for (uint64_t n = 1;
                 log_fault_run(data, data * 7, n, (enum log_memory_fault)fault, &reference); n++)
                assert_true(n < 1000);
    }
}

static void a_crash_at_any_write_to_disk_changes_nothing(void **state) {
    (void)state;
    for (uint64_t data = seed; data < seed + 4; data++) {
        struct outcome reference;
        reference_run(data, &reference);
        for (int fault = DISK_FAULT_FULL; fault <= DISK_FAULT_CRASH_TORN; fault++)
            for (uint64_t n = 1;
                 disk_fault_run(data, data * 7, n, (enum disk_fault)fault, &reference); n++)
                assert_true(n < 5000);
    }
}

static void random_runs_with_random_crashes_all_end_alike(void **state) {
    (void)state;
    for (uint64_t data = seed; data < seed + 150; data++) {
        struct outcome reference;
        struct rng rng;
        rng_init(&rng, data);
        reference_run(data, &reference);
        for (uint64_t run = 1; run <= 3; run++) {
            uint64_t n = 1 + rng_below(&rng, 15);
            log_fault_run(data, data * 1000 + run, n, (enum log_memory_fault)rng_below(&rng, 4),
                          &reference);
            disk_fault_run(data, data * 2000 + run, 1 + rng_below(&rng, 40),
                           (enum disk_fault)rng_below(&rng, 4), &reference);
        }
    }
}

// In arrival order, with ticks and silences, no second run is equal; a run's own journal is its
// truth.
static void a_crashed_run_in_arrival_order_equals_the_refold_of_its_own_journal(void **state) {
    (void)state;
    for (uint64_t data = seed; data < seed + 60; data++) {
        struct world world;
        struct outcome outcome;
        struct error err;
        world_init(&world, data, 20, true);
        world_shuffle(&world);
        world.setup.settings.order = (int)(data % 2);
        world.setup.settings.idle_timeout_ms = 1 + (int64_t)rng_below(&world.rng, 30);
        world.setup.settings.checkpoints_kept = 1000;
        bool checkpoints = data % 3 > 0;
        if (!checkpoints)
            world.setup.settings.checkpoint_interval_ms = 1000000;
        log_memory_fault_plant(world.log, 1 + rng_below(&world.rng, 12),
                               (enum log_memory_fault)rng_below(&world.rng, 4));
        world_run(&world, true, &outcome);
        log_memory_fault_plant(world.log, 0, LOG_MEMORY_CRASH_BEFORE); // it may not have been met
        // Again from the oldest checkpoint, or where there is none from the beginning.
        struct arena arena;
        char **names = NULL;
        size_t count = 0;
        char path[600];
        arena_init(&arena, 4096);
        snprintf(path, sizeof(path), "%s/checkpoints", world.task);
        if (disk_exists(path))
            assert_int_equal(disk_list(path, &arena, &names, &count, &err), STATUS_OK);
        for (size_t i = 1; i < count; i++) {
            snprintf(path, sizeof(path), "%s/checkpoints/%s", world.task, names[i]);
            assert_int_equal(disk_remove_tree(path, &err), STATUS_OK);
        }
        arena_deinit(&arena);
        struct toy toy = {.ticks_matter = true};
        struct runner *runner = world_open(&world, &toy);
        assert_memory_equal(&toy.values, &outcome.values, sizeof(toy.values));
        runner_close(runner);
        world_deinit(&world);
    }
}

// Every allocation fails once, in a task that then goes on in another process.
static void running_out_of_memory_is_said_and_the_next_process_goes_on_exactly(void **state) {
    (void)state;
    struct outcome reference;
    reference_run(seed, &reference);
    uint64_t step = 1;
    for (uint64_t n = 1; n < 20000; n += step) {
        struct world world;
        struct outcome outcome;
        crash_world(&world, seed, seed * 7);
        memory_fail_after(n);
        world_run(&world, false, &outcome);
        outcome_assert_equal(&outcome, &reference);
        world_deinit(&world);
        if (outcome.crashes == 0)
            return;
        step = 1 + n / 60;
    }
    fail_msg("allocations never ceased to fail");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_at_any_commit_or_trim_changes_nothing),
        cmocka_unit_test(a_crash_at_any_write_to_disk_changes_nothing),
        cmocka_unit_test(random_runs_with_random_crashes_all_end_alike),
        cmocka_unit_test(a_crashed_run_in_arrival_order_equals_the_refold_of_its_own_journal),
        cmocka_unit_test(running_out_of_memory_is_said_and_the_next_process_goes_on_exactly),
    };
    seed = test_seed();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    print_message("%" PRIu64 " runs, %" PRIu64 " crashes\n", runs, crashes);
    return failed;
}
