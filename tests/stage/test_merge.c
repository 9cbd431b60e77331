// The order of records, and the bounds of what waits for it.
#include "tests/stage/toy.h"

#include <inttypes.h>
#include <string.h>

#define RECORDS_MAX 400

static uint64_t seed;

struct planned {
    uint32_t slot;
    int64_t offset, time_ms, order_ms;
};

static int planned_compare(const void *left, const void *right) {
    const struct planned *a = left, *b = right;
    if (a->order_ms != b->order_ms)
        return a->order_ms < b->order_ms ? -1 : 1;
    if (a->slot != b->slot)
        return a->slot < b->slot ? -1 : 1;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

// Records of the three slots with times that often tie; the canonical order by sorting them all.
static void plan(uint64_t plan_seed, struct planned *plans, struct planned *sorted, size_t count) {
    struct rng rng;
    int64_t next[3] = {0}, latest[3] = {0};
    rng_init(&rng, plan_seed);
    for (size_t i = 0; i < count; i++) {
        uint32_t slot = (uint32_t)rng_below(&rng, 3);
        int64_t time_ms = (int64_t)(i / 3 + rng_below(&rng, 20));
        if (time_ms > latest[slot])
            latest[slot] = time_ms;
        plans[i] = (struct planned){slot, next[slot]++, time_ms, latest[slot]};
        sorted[i] = plans[i];
    }
    qsort(sorted, count, sizeof(*sorted), planned_compare);
}

static void plan_append(struct world *world, const struct planned *planned) {
    const struct stage_input *input = &world->inputs[planned->slot];
    world_append(world, input->topic, input->partition, planned->time_ms, planned->offset, "r");
}

static void
event_time_order_is_the_sorted_order_whatever_polls_batches_and_restarts_bring(void **state) {
    (void)state;
    for (uint64_t run = seed; run < seed + 60; run++) {
        struct planned plans[RECORDS_MAX], sorted[RECORDS_MAX];
        uint64_t seen[RECORDS_MAX];
        struct world world;
        struct toy toy = {.seen = seen, .seen_capacity = RECORDS_MAX};
        struct error err;
        size_t count = 100 + run % 200;
        plan(run / 3, plans, sorted, count); // three timings of each plan
        world_init(&world, run, 0, false);
        log_memory_gaps(world.log, false);
        world_shuffle(&world);
        struct runner *runner = world_open(&world, &toy);
        // Slots advance at their own pace, so that each is far ahead at times.
        size_t at[3] = {0}, left = count;
        while (left > 0) {
            uint32_t slot = (uint32_t)rng_below(&world.rng, 3);
            for (uint64_t n = rng_below(&world.rng, 30); n > 0; n--) {
                while (at[slot] < count && plans[at[slot]].slot != slot)
                    at[slot]++;
                if (at[slot] == count)
                    break;
                plan_append(&world, &plans[at[slot]++]);
                left--;
            }
            for (uint64_t n = rng_below(&world.rng, 4); n > 0; n--)
                assert_int_equal(runner_step(runner, 0, &err), STATUS_OK);
            clock_fake_advance(&world.clock, 7);
            if (rng_below(&world.rng, 3) > 0)
                continue;
            assert_int_equal(runner_checkpoint(runner, &err), STATUS_OK);
            runner_close(runner);
            runner = world_open(&world, &toy); // what was queued is read again
        }
        world_end(&world, "left", 0, -1);
        world_end(&world, "left", 1, -1);
        world_end(&world, "right", 0, -1);
        steps_until(&world, runner, STATUS_END, 1000);
        assert_int_equal(toy.seen_count, count);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(seen[i], (uint64_t)sorted[i].slot << 32 | (uint64_t)sorted[i].offset);
        runner_close(runner);
        world_deinit(&world);
    }
}

static void arrival_order_is_by_slot_then_offset_within_a_step(void **state) {
    (void)state;
    uint64_t seen[9];
    struct world world;
    struct toy toy = {.seen = seen, .seen_capacity = 9};
    struct error err;
    world_init(&world, seed, 0, false);
    log_memory_gaps(world.log, false);
    world.setup.settings.order = RUNNER_ARRIVAL;
    struct runner *runner = world_open(&world, &toy);
    for (int64_t i = 0; i < 9; i++)
        world_append(&world, world.inputs[2 - i % 3].topic, world.inputs[2 - i % 3].partition,
                     100 - i, i / 3, "r");
    assert_int_equal(runner_step(runner, 0, &err), STATUS_OK);
    assert_int_equal(toy.seen_count, 9);
    for (uint64_t i = 0; i < 9; i++)
        assert_int_equal(seen[i], i / 3 << 32 | i % 3);
    runner_close(runner);
    world_deinit(&world);
}

static void a_slot_that_runs_ahead_is_paused_and_memory_stays_bounded(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    struct runner_status status;
    const char *topic = "left";
    struct log_writer *writer;
    world_init(&world, seed, 0, false);
    world.setup.settings.batch_records = 10;
    struct runner *runner = world_open(&world, &toy);
    assert_int_equal(log_writer_open(world.log, "", &topic, 1, &writer, &err), STATUS_OK);
    for (int64_t i = 0; i < 1000; i++) {
        const struct log_record record = {.timestamp_ms = i, .sequence = i};
        assert_int_equal(log_writer_append(writer, 0, 0, &record, &err), STATUS_OK);
    }
    assert_int_equal(log_writer_commit(writer, NULL, 0, &err), STATUS_OK);
    log_writer_close(writer);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(runner_step(runner, 0, &err), STATUS_OK);
        runner_status(runner, &status);
        // 16 steps' worth, and one poll more.
        assert_in_range(status.queued_records, i > 16 ? 160 : 0, 170);
    }
    assert_int_equal(toy.values.read, 0); // the silent slots hold it back
    world_append(&world, "left", 1, 500, 0, "r");
    world_append(&world, "right", 0, 2000, 0, "r");
    for (int i = 0; i < 300; i++) {
        assert_int_equal(runner_step(runner, 0, &err), STATUS_OK);
        runner_status(runner, &status);
        assert_in_range(status.queued_records, 0, 180);
    }
    assert_int_equal(toy.values.per_slot[0], 501);
    assert_int_equal(toy.values.per_slot[2], 1);
    world_end(&world, "left", 1, 1);
    world_end(&world, "right", 0, 1);
    world_end(&world, "left", 0, 1000);
    steps_until(&world, runner, STATUS_END, 1000);
    assert_int_equal(toy.values.read, 1002);
    runner_close(runner);
    world_deinit(&world);
}

static void an_input_silent_for_the_timeout_is_given_up_until_it_speaks(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    world_init(&world, seed, 0, false);
    world.setup.settings.idle_timeout_ms = 50;
    world.setup.settings.tick_interval_ms = 0;
    struct runner *runner = world_open(&world, &toy);
    world_append(&world, "left", 0, 100, 0, "a");
    world_append(&world, "left", 1, 100, 0, "a");
    assert_int_equal(runner_step(runner, 0, &err), STATUS_OK);
    assert_int_equal(toy.values.read, 0);
    clock_fake_advance(&world.clock, 49);
    assert_int_equal(runner_step(runner, 0, &err), STATUS_OK);
    assert_int_equal(toy.values.idles, 0);
    clock_fake_advance(&world.clock, 1);
    assert_int_equal(runner_step(runner, 0, &err), STATUS_OK);
    assert_int_equal(toy.values.idles, 1); // right is given up; left/0 goes first
    assert_int_equal(toy.values.read, 1);
    world_append(&world, "right", 0, 7, 0, "late");
    assert_int_equal(runner_step(runner, 0, &err), STATUS_OK);
    assert_int_equal(toy.values.per_slot[1], 0); // left/0 is waited for now
    for (int i = 0; i < 10; i++) {
        clock_fake_advance(&world.clock, 50);
        assert_int_equal(runner_step(runner, 0, &err), STATUS_OK);
    }
    assert_int_equal(toy.values.read, 3);
    struct toy_values values = toy.values;
    assert_int_equal(runner_commit(runner, &err), STATUS_OK);
    runner_close(runner);
    runner = world_open(&world, &toy); // the decisions are in the journal
    assert_memory_equal(&values, &toy.values, sizeof(values));
    runner_close(runner);
    world_deinit(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            event_time_order_is_the_sorted_order_whatever_polls_batches_and_restarts_bring),
        cmocka_unit_test(arrival_order_is_by_slot_then_offset_within_a_step),
        cmocka_unit_test(a_slot_that_runs_ahead_is_paused_and_memory_stays_bounded),
        cmocka_unit_test(an_input_silent_for_the_timeout_is_given_up_until_it_speaks),
    };
    seed = test_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
