// A task that begins again as another lineage, from a checkpoint that is not where its journal
// ends.
#include "tests/stage/toy.h"

#include "base/disk.h"
#include "stage/checkpoint.h"

#include <string.h>

static uint64_t seed;

// Folds three steps, takes a checkpoint (generation 1), folds the rest, takes another (2) if asked.
static void world_lived(struct world *world, struct toy *toy, bool orderly,
                        struct toy_values *ret_early) {
    struct error err;
    world_init(world, seed, 20, true);
    world->setup.settings.checkpoint_interval_ms = 1000000;
    world->setup.settings.checkpoints_kept = 5;
    world->setup.settings.batch_records = 4;
    struct runner *runner = world_open(world, toy);
    for (int step = 0; step < 3; step++)
        assert_int_equal(runner_step(runner, 0, &err), STATUS_OK);
    assert_int_equal(runner_checkpoint(runner, &err), STATUS_OK);
    *ret_early = toy->values;
    steps_until(world, runner, STATUS_END, 1000);
    if (orderly)
        assert_int_equal(runner_checkpoint(runner, &err), STATUS_OK);
    runner_close(runner);
}

static enum status add_one(void *self, void *state, struct error *err) {
    struct toy *toy = state;
    (void)err;
    toy->values.chain += *(uint64_t *)self;
    return STATUS_OK;
}

static enum status adopt(struct world *world, const int64_t *offsets, uint64_t change,
                         struct error *err) {
    struct checkpoint_reader *reader = NULL;
    struct toy toy = {0};
    assert_int_equal(checkpoint_reader_open(world->task, 1, &reader, err), STATUS_OK);
    struct runner_adoption adoption = {
        .from = reader, .offsets = offsets, .change = add_one, .self = &change};
    world->setup.state = &toy;
    enum status status = runner_adopt(&world->setup, &adoption, err);
    checkpoint_reader_close(reader);
    return status;
}

static void
it_goes_on_from_the_older_checkpoint_and_its_outputs_numbers_from_their_end(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    struct toy_values early;
    uint64_t hash, before, after;
    world_lived(&world, &toy, true, &early);
    struct toy_values late = toy.values;
    world_outputs(&world, &hash, &before);
    assert_int_equal(adopt(&world, NULL, 0, &err), STATUS_OK);
    struct runner *runner = world_open(&world, &toy);
    assert_memory_equal(&toy.values, &early, sizeof early);
    steps_until(&world, runner, STATUS_END, 1000);
    assert_memory_equal(&toy.values, &late, sizeof late);
    assert_int_equal(runner_checkpoint(runner, &err), STATUS_OK);
    runner_close(runner);
    world_outputs(&world, &hash, &after); // asserts that their numbers have no gap
    assert_true(after > before);
    runner = world_open(&world, &toy);
    assert_memory_equal(&toy.values, &late, sizeof late);
    runner_close(runner);
    world_deinit(&world);
}

static void the_state_may_be_changed_on_the_way(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    struct toy_values early;
    world_lived(&world, &toy, true, &early);
    assert_int_equal(adopt(&world, NULL, 7, &err), STATUS_OK);
    struct runner *runner = world_open(&world, &toy);
    assert_int_equal(toy.values.chain, early.chain + 7);
    runner_close(runner);
    world_deinit(&world);
}

static void without_a_checkpoint_of_the_new_lineage_the_seam_is_not_passed(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    struct runner *runner = NULL;
    struct toy_values early;
    char path[600];
    world_lived(&world, &toy, true, &early);
    assert_int_equal(adopt(&world, NULL, 7, &err), STATUS_OK);
    snprintf(path, sizeof path, "%s/checkpoints/%020d", world.task, 3);
    assert_int_equal(disk_remove_tree(path, &err), STATUS_OK);
    world.setup.state = &toy;
    toy.values = (struct toy_values){.watermark_ms = STAGE_TIME_NONE};
    assert_int_equal(runner_open(&world.setup, &runner, &err), STATUS_CHANGED);
    assert_non_null(strstr(err.message, "the journal goes on as another lineage"));
    world_deinit(&world);
}

static void a_task_that_was_not_stopped_in_order_is_refused(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    struct toy_values early;
    world_lived(&world, &toy, false, &early);
    assert_int_equal(adopt(&world, NULL, 0, &err), STATUS_CHANGED);
    assert_non_null(strstr(err.message, "stop it in an orderly way first"));
    world_deinit(&world);
}

static void offsets_that_are_not_there_are_refused_by_name(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    struct toy_values early;
    int64_t offsets[TOY_SLOTS_MAX] = {0};
    world_lived(&world, &toy, true, &early);
    offsets[1] = 1000000;
    assert_int_equal(adopt(&world, offsets, 0, &err), STATUS_CHANGED);
    assert_non_null(strstr(err.message, "is to be read from offset 1000000 on"));
    assert_non_null(strstr(err.message, world.inputs[1].topic));
    world_deinit(&world);
}

int main(void) {
    seed = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            it_goes_on_from_the_older_checkpoint_and_its_outputs_numbers_from_their_end),
        cmocka_unit_test(the_state_may_be_changed_on_the_way),
        cmocka_unit_test(without_a_checkpoint_of_the_new_lineage_the_seam_is_not_passed),
        cmocka_unit_test(a_task_that_was_not_stopped_in_order_is_refused),
        cmocka_unit_test(offsets_that_are_not_there_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
