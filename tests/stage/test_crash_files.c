// The runner on logs of files: the process dies at any write to disk, of log or checkpoint alike.
#include "tests/stage/toy.h"

#include "base/disk.h"

#include <inttypes.h>

static uint64_t seed;
static uint64_t runs, crashes;

static void files_world(struct world *world, uint64_t data_seed, uint64_t run_seed) {
    world_init_files(world, data_seed, 12, data_seed % 2 == 0);
    world->setup.bounded = data_seed % 2 != 0;
    rng_init(&world->rng, run_seed);
    world_shuffle(world);
}

// True when the fault was met.
static bool fault_run(uint64_t data_seed, uint64_t run_seed, uint64_t n, enum disk_fault fault,
                      const struct outcome *reference) {
    struct world world;
    struct outcome outcome;
    files_world(&world, data_seed, run_seed);
    disk_fault_plant(fault, n);
    world_run(&world, false, &outcome);
    outcome_assert_equal(&outcome, reference);
    world_deinit(&world);
    runs++;
    crashes += outcome.crashes;
    return outcome.crashes > 0;
}

static void reference_run(uint64_t data_seed, struct outcome *ret_outcome) {
    struct world world, memory;
    struct outcome outcome;
    files_world(&world, data_seed, data_seed * 31);
    world_run(&world, false, ret_outcome);
    assert_int_equal(ret_outcome->crashes, 0);
    assert_true(ret_outcome->output_records > 0);
    world_deinit(&world);
    if (data_seed % 2 == 0) // where the memory log leaves no gaps, it gives the same to the bit
        return;
    world_init(&memory, data_seed, 12, false);
    memory.setup.bounded = true;
    world_run(&memory, false, &outcome);
    outcome_assert_equal(&outcome, ret_outcome);
    world_deinit(&memory);
}

static void a_death_at_any_write_changes_nothing(void **state) {
    (void)state;
    for (uint64_t data = seed; data < seed + 2; data++) {
        struct outcome reference;
        reference_run(data, &reference);
        for (int fault = DISK_FAULT_FULL; fault <= DISK_FAULT_CRASH_TORN; fault++)
            for (uint64_t n = 1; fault_run(data, data * 7, n, (enum disk_fault)fault, &reference);
                 n++)
                assert_true(n < 5000);
    }
}

static void random_deaths_change_nothing(void **state) {
    (void)state;
    for (uint64_t data = seed + 100; data < seed + 140; data++) {
        struct outcome reference;
        struct rng rng;
        rng_init(&rng, data);
        reference_run(data, &reference);
        for (uint64_t run = 1; run <= 3; run++)
            fault_run(data, data * 1000 + run, 1 + rng_below(&rng, 120),
                      (enum disk_fault)rng_below(&rng, 4), &reference);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_death_at_any_write_changes_nothing),
        cmocka_unit_test(random_deaths_change_nothing),
    };
    seed = test_seed();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    print_message("%" PRIu64 " runs, %" PRIu64 " crashes\n", runs, crashes);
    return failed;
}
