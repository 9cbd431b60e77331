// What a task may find when it is taken up again, and what it must refuse.
#include "tests/stage/toy.h"

#include "base/disk.h"

#include <string.h>

static uint64_t seed;

// A task that has folded and committed everything, with or without a checkpoint at its end.
static void world_lived(struct world *world, struct toy *toy, bool checkpoint) {
    struct error err;
    world_init(world, seed, 20, true);
    world->setup.settings.checkpoint_interval_ms = 1000000;
    struct runner *runner = world_open(world, toy);
    steps_until(world, runner, STATUS_END, 1000);
    if (checkpoint)
        assert_int_equal(runner_checkpoint(runner, &err), STATUS_OK);
    runner_close(runner);
}

static void assert_refused(struct world *world, struct toy *toy, enum status status,
                           const char *words) {
    struct error err = {0};
    struct runner *runner = NULL;
    world->setup.state = toy;
    toy->values = (struct toy_values){.watermark_ms = STAGE_TIME_NONE};
    enum status got = runner_open(&world->setup, &runner, &err);
    if (got != status)
        fail_msg("%s instead of %s: %s", status_name(got), status_name(status), err.message);
    assert_non_null(strstr(err.message, "test.toy"));
    if (!strstr(err.message, words))
        fail_msg("`%s` does not say `%s`", err.message, words);
}

static void damage(const char *directory, const char *name) {
    char path[600];
    struct error err;
    struct disk_file *file;
    unsigned char byte;
    size_t got;
    snprintf(path, sizeof(path), "%s/checkpoints/%s", directory, name);
    assert_int_equal(disk_open(path, DISK_UPDATE, &file, &err), STATUS_OK);
    assert_int_equal(disk_read_at(file, 9, &byte, 1, &got, &err), STATUS_OK);
    byte ^= 0x10;
    assert_int_equal(disk_write_at(file, 9, &byte, 1, &err), STATUS_OK);
    disk_close(file);
}

static void a_corrupt_checkpoint_is_passed_over_for_the_one_before(void **state) {
    (void)state;
    static const char *const victims[] = {"toy", "runner", "manifest"};
    for (size_t i = 0; i < 3; i++) {
        struct world world;
        struct toy toy = {0};
        struct error err;
        char name[64];
        world_init(&world, seed, 20, true);
        world.setup.settings.checkpoint_interval_ms = 1000000;
        world.setup.settings.batch_records = 8;
        struct runner *runner = world_open(&world, &toy);
        for (int step = 0; step < 3; step++) {
            clock_fake_advance(&world.clock, 10); // a tick, so that there is something to save
            assert_int_equal(runner_step(runner, 0, &err), STATUS_OK);
            assert_int_equal(runner_checkpoint(runner, &err), STATUS_OK);
        }
        steps_until(&world, runner, STATUS_END, 1000);
        struct toy_values values = toy.values;
        runner_close(runner);
        snprintf(name, sizeof(name), "%020d/%s", 3, victims[i]);
        damage(world.task, name);
        runner = world_open(&world, &toy);
        assert_memory_equal(&values, &toy.values, sizeof(values));
        assert_int_equal(runner_checkpoint(runner, &err), STATUS_OK);
        runner_close(runner);
        runner = world_open(&world, &toy);
        assert_memory_equal(&values, &toy.values, sizeof(values));
        runner_close(runner);
        world_deinit(&world);
    }
}

static void a_directory_whose_checkpoints_are_all_lost_is_refused(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    world_lived(&world, &toy, true);
    world_forget_checkpoints(&world);
    assert_refused(&world, &toy, STATUS_CHANGED, "the directory was lost");
    world_deinit(&world);
}

// Dies now and then, and its directory with it.
static void directory_lost_run(uint64_t data_seed, const char *copy, struct outcome *ret_outcome) {
    struct world world;
    struct error err;
    world_init(&world, data_seed, 60, true);
    world_shuffle(&world);
    char path[400];
    snprintf(path, sizeof(path), "%s/plain", world.directory);
    assert_int_equal(disk_replace_all(path, "a file", 6, &err), STATUS_OK);
    snprintf(path, sizeof(path), "%s/%s", world.directory, copy ? copy : "");
    world.setup.copy = copy ? path : NULL;
    world.loses_directory = copy != NULL;
    world.life_steps = copy ? 60 : 0;
    world_run(&world, false, ret_outcome);
    world_deinit(&world);
}

static void a_lost_directory_is_restored_from_its_copy_and_the_journal(void **state) {
    (void)state;
    uint64_t deaths = 0;
    for (uint64_t data = seed; data < seed + 20; data++) {
        struct outcome reference, outcome;
        directory_lost_run(data, NULL, &reference);
        directory_lost_run(data, "copies/toy", &outcome);
        outcome_assert_equal(&outcome, &reference);
        deaths += outcome.crashes;
    }
    assert_true(deaths > 20);
}

static void while_copying_fails_the_journal_is_kept_whole(void **state) {
    (void)state;
    for (uint64_t data = seed; data < seed + 5; data++) {
        struct outcome reference, outcome;
        directory_lost_run(data, NULL, &reference);
        directory_lost_run(data, "plain/toy", &outcome); // no folder can be made there
        outcome_assert_equal(&outcome, &reference);
    }
}

static void a_topic_made_anew_while_the_servers_were_away_is_noticed(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err = {0};
    world_init(&world, seed, 20, false);
    struct runner *runner = world_open(&world, &toy);
    for (int i = 0; i < 20; i++)
        assert_int_equal(runner_step(runner, 0, &err), STATUS_OK);
    log_memory_unavailable(world.log, true);
    assert_int_equal(runner_step(runner, 0, &err), STATUS_UNAVAILABLE);
    assert_int_equal(log_memory_topic_delete(world.log, "right", &err), STATUS_OK);
    assert_int_equal(log_topic_ensure(world.log, "right", 1, &err), STATUS_OK);
    log_memory_unavailable(world.log, false);
    assert_int_equal(runner_step(runner, 0, &err), STATUS_CHANGED);
    assert_non_null(strstr(err.message, "right"));
    runner_close(runner);
    world_deinit(&world);
}

static void a_topic_made_anew_is_refused_with_and_without_a_tail(void **state) {
    (void)state;
    for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
        struct world world;
        struct toy toy = {0};
        struct error err;
        world_lived(&world, &toy, checkpoint);
        assert_int_equal(log_memory_topic_delete(world.log, "left", &err), STATUS_OK);
        assert_int_equal(log_topic_ensure(world.log, "left", 2, &err), STATUS_OK);
        for (int64_t i = 0; i < 100; i++)
            world_append(&world, "left", 0, i, i, "other");
        assert_refused(&world, &toy, STATUS_CHANGED, "topic `left` was deleted and made anew");
        world_deinit(&world);
    }
}

// Takes the task up `times` times, each of which leaves one record in the journal.
static void world_reopen(struct world *world, struct toy *toy, int times) {
    struct error err;
    for (int i = 0; i < times; i++) {
        struct runner *runner = world_open(world, toy);
        assert_int_equal(runner_commit(runner, &err), STATUS_OK);
        runner_close(runner);
    }
}

static void a_log_that_holds_other_records_at_the_same_offsets_is_refused(void **state) {
    (void)state;
    struct world world, twin;
    struct toy toy = {0};
    struct error err;
    world_lived(&world, &toy, false);
    world_reopen(&world, &toy, 50);
    struct runner *runner = world_open(&world, &toy);
    assert_int_equal(runner_checkpoint(runner, &err), STATUS_OK);
    runner_close(runner);
    // Topics of the same identity, a journal that only starts past the checkpoint, other records.
    world_init_letters(&twin, seed, 20, true, 'A');
    twin.setup.settings.checkpoint_interval_ms = 1000000;
    runner = world_open(&twin, &toy);
    steps_until(&twin, runner, STATUS_END, 1000);
    runner_close(runner);
    world_reopen(&twin, &toy, 100);
    twin.setup.directory = world.task;
    assert_refused(&twin, &toy, STATUS_CHANGED, "no longer holds");
    world_deinit(&twin);
    world_deinit(&world);
}

static void a_gap_in_a_producers_sequence_stops_the_task(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err = {0};
    world_init(&world, seed, 0, false);
    world.setup.settings.order = RUNNER_ARRIVAL;
    world_append(&world, "right", 0, 1, 40, "a"); // the first one met may be any
    world_append(&world, "right", 0, 2, LOG_NO_SEQUENCE, "b");
    world_append(&world, "right", 0, 3, 41, "c");
    struct runner *runner = world_open(&world, &toy);
    assert_int_equal(runner_step(runner, 0, &err), STATUS_OK);
    assert_int_equal(runner_checkpoint(runner, &err), STATUS_OK);
    world_append(&world, "right", 0, 4, 43, "d");
    assert_int_equal(runner_step(runner, 0, &err), STATUS_CHANGED);
    assert_non_null(strstr(err.message, "topic `right` partition 0"));
    assert_non_null(strstr(err.message, "sequence number 43 where 42 was expected"));
    runner_close(runner);
    runner = world_open(&world, &toy); // what was expected is in the checkpoint
    assert_int_equal(runner_step(runner, 0, &err), STATUS_CHANGED);
    runner_close(runner);
    world_deinit(&world);
}

static void another_build_or_configuration_is_refused_while_a_tail_is_pending(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    world_lived(&world, &toy, false);
    world.setup.build = "other";
    assert_refused(&world, &toy, STATUS_CHANGED, "another build");
    world.setup.build = "test";
    world.setup.config_hash = 8;
    assert_refused(&world, &toy, STATUS_CHANGED, "another configuration");
    world.setup.build = "other";
    assert_refused(&world, &toy, STATUS_CHANGED, "another configuration and build");
    world_deinit(&world);
}

static void another_build_is_welcome_without_a_tail_and_its_own_tail_too(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    world_lived(&world, &toy, true);
    world.setup.build = "other";
    struct runner *runner = world_open(&world, &toy);
    world_append(&world, "right", 0, 5000, LOG_NO_SEQUENCE, "more");
    assert_int_equal(runner_step(runner, 0, &err), STATUS_OK);
    assert_int_equal(runner_commit(runner, &err), STATUS_OK);
    struct toy_values values = toy.values;
    runner_close(runner);
    runner = world_open(&world, &toy); // loads what "test" saved, folds what "other" read
    assert_memory_equal(&values, &toy.values, sizeof(values));
    runner_close(runner);
    world.setup.build = "test";
    assert_refused(&world, &toy, STATUS_CHANGED, "another build");
    world_deinit(&world);
}

static void a_stage_that_is_not_deterministic_is_found_out(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {.odd = true};
    world_lived(&world, &toy, false);
    assert_refused(&world, &toy, STATUS_CORRUPT, "refold gave other outputs");
    world_deinit(&world);
}

static void retention_that_passed_the_position_is_refused_by_name(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    world_init(&world, seed, 20, true);
    world.setup.settings.batch_records = 4;
    struct runner *runner = world_open(&world, &toy);
    for (int i = 0; i < 3; i++)
        assert_int_equal(runner_step(runner, 0, &err), STATUS_OK);
    assert_int_equal(runner_commit(runner, &err), STATUS_OK);
    runner_close(runner);
    assert_int_equal(log_memory_retain(world.log, "left", 1, 15, &err), STATUS_OK);
    assert_refused(&world, &toy, STATUS_CHANGED, "left");
    world_deinit(&world);
}

static void other_inputs_than_the_journals_are_refused(void **state) {
    (void)state;
    for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
        struct world world;
        struct toy toy = {0};
        world_lived(&world, &toy, checkpoint);
        struct stage_input first = world.inputs[0];
        world.inputs[0] = world.inputs[2];
        world.inputs[2] = first;
        assert_refused(&world, &toy, STATUS_CHANGED, "input");
        world.setup.input_count = 2;
        assert_refused(&world, &toy, STATUS_CHANGED, "inputs");
        world_deinit(&world);
    }
}

static void a_checkpoint_ahead_of_the_journal_is_refused(void **state) {
    (void)state;
    struct world world, empty;
    struct toy toy = {0};
    world_lived(&world, &toy, true);
    world_init(&empty, seed, 20, true);
    empty.setup.directory = world.task;
    assert_refused(&empty, &toy, STATUS_CHANGED, "the journal was lost or cut");
    world_deinit(&empty);
    world_deinit(&world);
}

static void old_generations_go_and_the_journal_keeps_what_the_kept_need(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    struct arena arena;
    char path[600];
    char **names;
    size_t count;
    world_init(&world, seed, 20, true);
    world.setup.settings.batch_records = 2;
    world.setup.settings.checkpoints_kept = 2;
    struct runner *runner = world_open(&world, &toy);
    for (int i = 0; i < 6; i++) {
        clock_fake_advance(&world.clock, 10);
        assert_int_equal(runner_step(runner, 0, &err), STATUS_OK);
        assert_int_equal(runner_checkpoint(runner, &err), STATUS_OK);
        assert_int_equal(runner_checkpoint(runner, &err), STATUS_OK); // nothing new: no generation
    }
    runner_close(runner);
    snprintf(path, sizeof(path), "%s/checkpoints", world.task);
    arena_init(&arena, 4096);
    assert_int_equal(disk_list(path, &arena, &names, &count, &err), STATUS_OK);
    assert_int_equal(count, 2);
    assert_string_equal(names[1], "00000000000000000006");
    arena_deinit(&arena);
    world_deinit(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_corrupt_checkpoint_is_passed_over_for_the_one_before),
        cmocka_unit_test(a_directory_whose_checkpoints_are_all_lost_is_refused),
        cmocka_unit_test(a_lost_directory_is_restored_from_its_copy_and_the_journal),
        cmocka_unit_test(while_copying_fails_the_journal_is_kept_whole),
        cmocka_unit_test(a_topic_made_anew_while_the_servers_were_away_is_noticed),
        cmocka_unit_test(a_topic_made_anew_is_refused_with_and_without_a_tail),
        cmocka_unit_test(a_log_that_holds_other_records_at_the_same_offsets_is_refused),
        cmocka_unit_test(a_gap_in_a_producers_sequence_stops_the_task),
        cmocka_unit_test(another_build_or_configuration_is_refused_while_a_tail_is_pending),
        cmocka_unit_test(another_build_is_welcome_without_a_tail_and_its_own_tail_too),
        cmocka_unit_test(a_stage_that_is_not_deterministic_is_found_out),
        cmocka_unit_test(retention_that_passed_the_position_is_refused_by_name),
        cmocka_unit_test(other_inputs_than_the_journals_are_refused),
        cmocka_unit_test(a_checkpoint_ahead_of_the_journal_is_refused),
        cmocka_unit_test(old_generations_go_and_the_journal_keeps_what_the_kept_need),
    };
    seed = test_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
