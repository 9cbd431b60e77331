// A runner's life: commits, checkpoints, ends, stops, rivals, servers that go and come back.
#include "tests/stage/toy.h"

#include "base/disk.h"

#include <pthread.h>
#include <string.h>

#define OK(call) assert_int_equal((call), STATUS_OK)

static uint64_t seed;

static int64_t out_end(struct world *world) {
    struct error err;
    int64_t begin = 0, end = 0, sum = 0;
    for (int32_t p = 0; p < TOY_OUTPUT_PARTITIONS; p++) {
        OK(log_topic_bounds(world->log, "out", p, &begin, &end, &err));
        sum += end;
    }
    return sum;
}

static void outputs_are_seen_when_the_commit_interval_has_passed(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    world_init(&world, seed, 20, true);
    world.setup.settings.commit_interval_ms = 50;
    struct runner *runner = world_open(&world, &toy);
    for (int i = 0; i < 5; i++) {
        OK(runner_step(runner, 0, &err));
        clock_fake_advance(&world.clock, 9);
    }
    assert_true(toy.values.read > 0);
    assert_int_equal(out_end(&world), 0);
    clock_fake_advance(&world.clock, 5);
    OK(runner_step(runner, 0, &err));
    assert_true(out_end(&world) > 0);
    struct runner_status status;
    runner_status(runner, &status);
    assert_int_equal(status.commits, 2); // the genesis and this one
    assert_true(status.lag_records > 0 && status.lag_ms > 0 && !status.finished);
    runner_close(runner);
    world_deinit(&world);
}

static void a_stage_that_others_wait_for_commits_before_it_is_due(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    world_init(&world, seed, 20, true);
    world.setup.settings.commit_interval_ms = 3600000;
    struct runner *runner = world_open(&world, &toy);
    for (int i = 0; i < 5; i++)
        OK(runner_step(runner, 0, &err));
    assert_true(toy.values.read > 0);
    assert_int_equal(out_end(&world), 0);
    toy.hurried = true;
    OK(runner_step(runner, 0, &err));
    assert_true(out_end(&world) > 0);
    runner_close(runner);
    world_deinit(&world);
}

static void what_was_not_committed_is_as_if_it_had_never_been(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    world_init(&world, seed, 20, true);
    struct runner *runner = world_open(&world, &toy);
    for (int i = 0; i < 5; i++)
        OK(runner_step(runner, 0, &err));
    assert_true(toy.values.read > 0);
    runner_close(runner);
    assert_int_equal(out_end(&world), 0);
    runner = world_open(&world, &toy);
    assert_int_equal(toy.values.read, 0);
    runner_close(runner);
    world_deinit(&world);
}

static void a_newer_instance_fences_the_older_for_good(void **state) {
    (void)state;
    struct world world;
    struct toy old_toy = {0}, new_toy = {0};
    struct error err;
    char directory[400];
    world_init(&world, seed, 20, true);
    world.setup.settings.checkpoint_interval_ms = 1000000;
    struct runner *old_runner = world_open(&world, &old_toy);
    for (int i = 0; i < 4; i++)
        OK(runner_step(old_runner, 0, &err));
    OK(runner_commit(old_runner, &err));
    struct toy_values committed = old_toy.values;
    OK(runner_step(old_runner, 0, &err));
    snprintf(directory, sizeof(directory), "%s/elsewhere", world.task);
    world.setup.directory = directory; // as on another machine
    struct runner *new_runner = world_open(&world, &new_toy);
    assert_memory_equal(&new_toy.values, &committed, sizeof(committed));
    assert_int_equal(runner_commit(old_runner, &err), STATUS_FENCED);
    assert_int_equal(runner_step(old_runner, 0, &err), STATUS_FENCED);
    assert_int_equal(runner_checkpoint(old_runner, &err), STATUS_FENCED);
    steps_until(&world, new_runner, STATUS_END, 1000);
    uint64_t hash, count;
    world_outputs(&world, &hash, &count); // asserts that sequences are dense
    runner_close(old_runner);
    runner_close(new_runner);
    world_deinit(&world);
}

static void a_directory_in_use_is_refused(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0}, other = {0};
    struct error err;
    world_init(&world, seed, 5, true);
    struct runner *runner = world_open(&world, &toy);
    struct runner *second = NULL;
    struct runner_setup setup = world.setup;
    setup.task = "test.other";
    setup.state = &other;
    assert_int_equal(runner_open(&setup, &second, &err), STATUS_FENCED);
    runner_close(runner);
    world_deinit(&world);
}

static void when_all_inputs_end_the_stage_finishes_and_says_so_downstream(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    struct log_reader *reader;
    struct log_batch batch;
    world_init(&world, seed, 10, true);
    world.output = (struct stage_output){"out", 0, TOY_OUTPUT_PARTITIONS};
    struct runner *runner = world_open(&world, &toy);
    steps_until(&world, runner, STATUS_END, 1000);
    assert_int_equal(toy.values.finishes, 1);
    assert_int_equal(toy.values.idles, 3);
    assert_int_equal(runner_step(runner, 0, &err), STATUS_END);
    const struct log_position positions[] = {{"out", 0, 0}, {"out", 1, 0}};
    OK(log_reader_open(world.log, positions, 2, &reader, &err));
    OK(log_reader_poll(reader, 1000, 0, &batch, &err));
    bool ended[2] = {false, false};
    for (size_t i = 0; i < batch.count; i++)
        ended[batch.records[i].slot] = batch.records[i].end_of_stream;
    assert_true(ended[0] && ended[1]); // the last record of each
    log_reader_close(reader);
    runner_close(runner);
    world_deinit(&world);
}

static void a_finished_task_goes_on_when_more_comes_and_ends_again(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    world_init(&world, seed, 10, true);
    log_memory_gaps(world.log, false);
    struct runner *runner = world_open(&world, &toy);
    steps_until(&world, runner, STATUS_END, 1000);
    int64_t end = out_end(&world);
    runner_close(runner);
    runner = world_open(&world, &toy); // nothing new: nothing is said twice
    steps_until(&world, runner, STATUS_END, 10);
    assert_int_equal(out_end(&world), end);
    uint64_t read = toy.values.read;
    world_append(&world, "right", 0, 9000, LOG_NO_SEQUENCE, "more");
    steps_until(&world, runner, STATUS_OK, 10);
    clock_fake_advance(&world.clock, 100);
    OK(runner_step(runner, 0, &err));
    assert_int_equal(toy.values.read, read + 1);
    assert_int_equal(toy.values.idles, 4); // right has spoken again
    world_end(&world, "right", 0, LOG_NO_SEQUENCE);
    steps_until(&world, runner, STATUS_END, 10);
    assert_int_equal(toy.values.finishes, 2);
    runner_close(runner);
    world_deinit(&world);
}

static void a_bounded_run_reads_to_the_ends_it_found_and_the_next_goes_on(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    world_init(&world, seed, 10, false);
    log_memory_gaps(world.log, true);
    world_append(&world, "left", 0, 50, LOG_NO_SEQUENCE, "x"); // followed by a gap
    world.setup.bounded = true;
    struct runner *runner = world_open(&world, &toy);
    world_append(&world, "left", 0, 60, LOG_NO_SEQUENCE, "y");
    steps_until(&world, runner, STATUS_END, 1000);
    assert_int_equal(toy.values.read, 31);
    assert_int_equal(toy.values.finishes, 1);
    runner_close(runner);
    runner = world_open(&world, &toy);
    steps_until(&world, runner, STATUS_END, 1000);
    assert_int_equal(toy.values.read, 32);
    assert_int_equal(toy.values.finishes, 2);
    runner_close(runner);
    world_deinit(&world);
}

static void a_task_without_a_past_may_begin_at_the_newest_and_keeps_that_place(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    world_init(&world, seed, 10, false);
    world.setup.start = RUNNER_START_NEWEST;
    world.setup.settings.order = RUNNER_ARRIVAL;
    struct runner *runner = world_open(&world, &toy);
    runner_close(runner);
    world_append(&world, "left", 0, 50, LOG_NO_SEQUENCE, "x");
    runner = world_open(&world, &toy); // newest as it was then
    OK(runner_step(runner, 0, &err));
    assert_int_equal(toy.values.read, 1);
    runner_close(runner);
    world_deinit(&world);
}

static void a_stop_commits_and_saves(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    atomic_bool stop;
    atomic_init(&stop, false);
    world_init(&world, seed, 20, true);
    world.setup.settings.batch_records = 4;
    struct runner *runner = world_open(&world, &toy);
    for (int i = 0; i < 6; i++)
        OK(runner_step(runner, 0, &err));
    atomic_store(&stop, true);
    assert_int_equal(runner_run(runner, &stop, &err), STATUS_STOPPED);
    struct toy_values values = toy.values;
    assert_true(values.read > 0);
    runner_close(runner);
    runner = world_open(&world, &toy);
    struct runner_status status;
    runner_status(runner, &status);
    assert_int_equal(status.refolded_steps, 0);
    assert_memory_equal(&values, &toy.values, sizeof(values));
    OK(runner_run(runner, NULL, &err)); // to the end
    assert_int_equal(toy.values.finishes, 1);
    runner_close(runner);
    world_deinit(&world);
}

static void a_stop_ends_in_time_though_servers_are_gone(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    atomic_bool stop;
    atomic_init(&stop, true);
    world_init(&world, seed, 20, true);
    struct runner *runner = world_open(&world, &toy);
    for (int i = 0; i < 4; i++)
        OK(runner_step(runner, 0, &err));
    log_memory_unavailable(world.log, true);
    int64_t begin = world.clock.now_us;
    assert_int_equal(runner_run(runner, &stop, &err), STATUS_UNAVAILABLE);
    assert_in_range(world.clock.now_us - begin, 900000, 1200000); // stop_timeout_ms is 1000
    runner_close(runner);
    world_deinit(&world);
}

// Brings the servers back when the runner sleeps for the third time.
struct clock_rescue {
    struct clock_fake fake;
    struct log *log;
    int sleeps;
};

static void rescue_sleep(const struct clock *clock, int64_t ms) {
    struct clock_rescue *rescue = (struct clock_rescue *)(uintptr_t)clock;
    clock_fake_advance(&rescue->fake, ms);
    if (++rescue->sleeps == 3)
        log_memory_unavailable(rescue->log, false);
}

static void a_run_waits_for_servers_at_the_start_and_half_way(void **state) {
    (void)state;
    for (int lost = 0; lost < 2; lost++) {
        struct world world;
        struct toy toy = {0};
        struct error err;
        world_init(&world, seed, 20, true);
        struct clock_rescue rescue = {.log = world.log};
        clock_fake_init(&rescue.fake, 1700000000000);
        rescue.fake.clock.sleep_ms = rescue_sleep;
        world.setup.clock = &rescue.fake.clock;
        world.setup.settings.batch_records = 4;
        if (lost == 0)
            log_memory_unavailable(world.log, true);
        struct runner *runner = world_open(&world, &toy);
        for (int i = 0; lost == 1 && i < 5; i++)
            OK(runner_step(runner, 0, &err));
        log_memory_unavailable(world.log, true);
        OK(runner_run(runner, NULL, &err));
        assert_int_equal(rescue.sleeps >= 3, 1);
        assert_int_equal(toy.values.finishes, 1);
        assert_int_equal(toy.values.read, 60);
        runner_close(runner);
        world_deinit(&world);
    }
}

static void a_lost_commit_is_recovered_inside_the_process(void **state) {
    (void)state;
    for (int fault = LOG_MEMORY_UNAVAILABLE; fault <= LOG_MEMORY_UNAVAILABLE_AFTER; fault++) {
        struct world world;
        struct toy toy = {0};
        struct error err;
        struct runner_status status;
        world_init(&world, seed, 20, true);
        struct runner *runner = world_open(&world, &toy);
        for (int i = 0; i < 4; i++)
            OK(runner_step(runner, 0, &err));
        uint64_t read = toy.values.read;
        assert_true(read > 0);
        log_memory_fault_plant(world.log, 1, (enum log_memory_fault)fault);
        assert_int_equal(runner_commit(runner, &err), STATUS_UNAVAILABLE);
        OK(runner_commit(runner, &err)); // recovers first
        runner_status(runner, &status);
        assert_int_equal(status.recoveries, 1);
        assert_int_equal(toy.values.read, fault == LOG_MEMORY_UNAVAILABLE_AFTER ? read : 0);
        steps_until(&world, runner, STATUS_END, 1000);
        assert_int_equal(toy.values.read, 60);
        runner_close(runner);
        world_deinit(&world);
    }
}

static void an_error_of_the_stage_stops_the_task_and_keeps_what_was_committed(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    world_init(&world, seed, 20, true);
    world.setup.settings.batch_records = 4;
    struct runner *runner = world_open(&world, &toy);
    for (int i = 0; i < 6; i++)
        OK(runner_step(runner, 0, &err));
    OK(runner_commit(runner, &err));
    struct toy_values values = toy.values;
    toy.fail_fold = true;
    assert_int_equal(runner_run(runner, NULL, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "test.toy"));
    runner_close(runner);
    toy.fail_fold = false;
    runner = world_open(&world, &toy);
    assert_memory_equal(&values, &toy.values, sizeof(values));
    runner_close(runner);
    world_deinit(&world);
}

static void an_account_that_does_not_balance_is_an_error_where_that_is_asked_for(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {.unbalanced = true};
    struct error err;
    struct metrics *metrics;
    OK(metrics_new(&metrics, &err));
    world_init(&world, seed, 5, true);
    world.setup.metrics = metrics;
    struct runner *runner = world_open(&world, &toy);
    assert_int_equal(runner_checkpoint(runner, &err), STATUS_CORRUPT);
    runner_close(runner);
    world.setup.accounts_strict = false;
    runner = world_open(&world, &toy);
    OK(runner_checkpoint(runner, &err));
    struct metric *wrong = metrics_get(metrics, METRIC_GAUGE, "freshet_toy_accounts_unbalanced",
                                       "task=\"test.toy\"", "");
    assert_true(metric_value(wrong) == 1);
    runner_close(runner);
    world_deinit(&world);
    metrics_free(metrics);
}

static void metrics_tell_what_was_done(void **state) {
    (void)state;
    struct world world;
    struct toy toy = {0};
    struct error err;
    struct metrics *metrics;
    struct buffer text;
    OK(metrics_new(&metrics, &err));
    world_init(&world, seed, 20, true);
    world.setup.metrics = metrics;
    struct runner *runner = world_open(&world, &toy);
    steps_until(&world, runner, STATUS_END, 1000);
    OK(runner_checkpoint(runner, &err));
    clock_fake_advance(&world.clock, 20000);
    assert_int_equal(runner_step(runner, 0, &err), STATUS_END);
    buffer_init(&text);
    metrics_render(metrics, &text);
    buffer_append_byte(&text, 0);
    char left[100], right[100];
    snprintf(left, sizeof(left), "freshet_toy_records_total{task=\"test.toy\",input=\"left\"} %d\n",
             (int)(toy.values.per_slot[0] + toy.values.per_slot[2]));
    snprintf(right, sizeof(right),
             "freshet_toy_records_total{task=\"test.toy\",input=\"right\"} %d\n",
             (int)toy.values.per_slot[1]);
    const char *const wanted[] = {
        left,
        right,
        "freshet_toy_lag_records{task=\"test.toy\",topic=\"left\",partition=\"1\"} 0",
        "freshet_toy_checkpoints_total{task=\"test.toy\"}",
        "freshet_toy_commit_seconds_bucket",
        "freshet_toy_dropped_total{task=\"test.toy\",input=\"toy\",reason=\"fours\"}",
        "freshet_toy_lag_seconds{task=\"test.toy\"} 17",
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (!strstr((char *)text.data, wanted[i]))
            fail_msg("no `%s` in\n%s", wanted[i], text.data);
    buffer_deinit(&text);
    runner_close(runner);
    world_deinit(&world);
    metrics_free(metrics);
}

// --- A stage that keeps its own position, as the publisher does in Redis.

struct applied {
    int64_t next[2]; // durable
    uint64_t sum;
    int64_t folding[2]; // not yet
    uint64_t folded_sum;
    bool unavailable;
};

static enum status applied_fold(void *state, const struct log_record *records, size_t count,
                                struct stage_outputs *outputs, struct error *err) {
    struct applied *applied = state;
    (void)outputs, (void)err;
    for (size_t i = 0; i < count; i++) {
        applied->folding[records[i].slot] = records[i].offset + 1;
        applied->folded_sum += (uint64_t)records[i].offset + 1;
    }
    return STATUS_OK;
}

static enum status applied_committing(void *state, struct error *err) {
    struct applied *applied = state;
    if (applied->unavailable) {
        applied->unavailable = false;
        return error_set(err, STATUS_UNAVAILABLE, "redis is gone");
    }
    memcpy(applied->next, applied->folding, sizeof(applied->next));
    applied->sum = applied->folded_sum;
    return STATUS_OK;
}

static enum status applied_reset(void *state, struct error *err) {
    struct applied *applied = state;
    (void)err;
    memcpy(applied->folding, applied->next, sizeof(applied->next));
    applied->folded_sum = applied->sum;
    return STATUS_OK;
}

static enum status applied_start(void *state, uint32_t slot, int64_t *ret_offset,
                                 struct error *err) {
    struct applied *applied = state;
    (void)err;
    *ret_offset = applied->next[slot] > 0 ? applied->next[slot] : -1;
    return STATUS_OK;
}

static void a_stage_with_its_own_position_applies_each_record_once(void **state) {
    (void)state;
    static const struct stage_operations operations = {.name = "applied",
                                                       .fold = applied_fold,
                                                       .reset = applied_reset,
                                                       .committing = applied_committing,
                                                       .start_offset = applied_start};
    struct world world;
    struct applied applied = {0};
    struct error err;
    world_init(&world, seed, 20, false);
    struct runner *runner = NULL;
    struct runner_setup setup = world.setup;
    int64_t begin = 0, end[2] = {0};
    for (uint32_t i = 0; i < 2; i++)
        OK(log_topic_bounds(world.log, world.inputs[i].topic, world.inputs[i].partition, &begin,
                            &end[i], &err));
    setup.operations = &operations;
    setup.state = &applied;
    setup.input_count = 2;
    setup.output_count = 0;
    setup.directory = NULL;
    setup.settings.order = RUNNER_ARRIVAL;
    setup.settings.batch_records = 4;
    OK(runner_open(&setup, &runner, &err));
    uint64_t losses = 0;
    for (int i = 0; i < 200; i++) {
        applied.unavailable = i % 7 == 0;
        enum status status = runner_step(runner, 0, &err);
        losses += status == STATUS_UNAVAILABLE;
        assert_true(status == STATUS_OK || status == STATUS_UNAVAILABLE);
        clock_fake_advance(&world.clock, 15);
        if (i == 20) { // a crash
            runner_close(runner);
            OK(applied_reset(&applied, &err));
            OK(runner_open(&setup, &runner, &err));
        }
    }
    OK(runner_commit(runner, &err));
    assert_true(losses > 0);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < 2; i++) {
        struct log_reader *reader;
        struct log_batch batch;
        const struct log_position position = {world.inputs[i].topic, world.inputs[i].partition, 0};
        OK(log_reader_open(world.log, &position, 1, &reader, &err));
        OK(log_reader_poll(reader, 1000, 0, &batch, &err));
        for (size_t r = 0; r < batch.count; r++)
            sum += (uint64_t)batch.records[r].offset + 1;
        log_reader_close(reader);
    }
    assert_int_equal(applied.sum, sum);
    assert_false(disk_exists("checkpoints"));
    runner_close(runner);
    world_deinit(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_are_seen_when_the_commit_interval_has_passed),
        cmocka_unit_test(a_stage_that_others_wait_for_commits_before_it_is_due),
        cmocka_unit_test(what_was_not_committed_is_as_if_it_had_never_been),
        cmocka_unit_test(a_newer_instance_fences_the_older_for_good),
        cmocka_unit_test(a_directory_in_use_is_refused),
        cmocka_unit_test(when_all_inputs_end_the_stage_finishes_and_says_so_downstream),
        cmocka_unit_test(a_finished_task_goes_on_when_more_comes_and_ends_again),
        cmocka_unit_test(a_bounded_run_reads_to_the_ends_it_found_and_the_next_goes_on),
        cmocka_unit_test(a_task_without_a_past_may_begin_at_the_newest_and_keeps_that_place),
        cmocka_unit_test(a_stop_commits_and_saves),
        cmocka_unit_test(a_stop_ends_in_time_though_servers_are_gone),
        cmocka_unit_test(a_run_waits_for_servers_at_the_start_and_half_way),
        cmocka_unit_test(a_lost_commit_is_recovered_inside_the_process),
        cmocka_unit_test(an_error_of_the_stage_stops_the_task_and_keeps_what_was_committed),
        cmocka_unit_test(an_account_that_does_not_balance_is_an_error_where_that_is_asked_for),
        cmocka_unit_test(metrics_tell_what_was_done),
        cmocka_unit_test(a_stage_with_its_own_position_applies_each_record_once),
    };
    seed = test_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
