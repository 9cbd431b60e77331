// Which version goes out, through a real Redis: the gate's verdicts, pins, going back, and all of
// it across restarts.
#include "bed.h"

#include <string.h>

static const char held[] = "{\"gate\":{\"verdict\":\"hold\",\"reason\":\"auc of click is 0.4\"}}";
enum { ROWS = 40 };

static const uint64_t all[ROWS] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14,
                                   15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
                                   29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40};

// Every row of every version before it, changed in all of them or in some.
static void append_some(uint64_t row) {
    append_version(&row, 1, ROWS);
}

static void append_first(void) {
    append_version(all, ROWS, ROWS);
}

// Steps on where nothing more is to come out; what is unavailable in between is tried again.
static void step_some(struct task *task) {
    for (int i = 0; i < 60; i++) {
        enum status status = runner_step(task->runner, 1, &err);
        if (status != STATUS_OK && status != STATUS_UNAVAILABLE && status != STATUS_TIMEOUT)
            fail_msg("%s: %s", status_name(status), err.message);
    }
}

// Every field of every key but the stream's ids, in order.
static void snapshot(char *text, size_t size) {
    size_t length = 0;
    for (unsigned bucket = 0; bucket < 1U << BUCKET_BITS; bucket++) {
        redisReply *reply =
            ask("HGETALL %s:{%u}:b:%u", world.name, bucket >> (BUCKET_BITS - 4), bucket);
        uint64_t sum = 0;
        // Fields come in any order, and `v` says only who wrote the bucket last.
        for (size_t i = 0; i + 1 < reply->elements; i += 2) {
            uint64_t hash = 14695981039346656037U;
            if (reply->element[i]->len == 1)
                continue;
            for (size_t part = 0; part < 2; part++)
                for (size_t k = 0; k < reply->element[i + part]->len; k++)
                    hash =
                        (hash ^ (unsigned char)reply->element[i + part]->str[k]) * 1099511628211U;
            sum += hash;
        }
        freeReplyObject(reply);
        length +=
            (size_t)snprintf(text + length, size - length, "%016llx ", (unsigned long long)sum);
        assert_true(length < size);
    }
}

static void a_held_version_stays_out_and_the_next_that_passes_brings_all(void **state) {
    (void)state;
    struct task task;
    append_first();
    task_open(&task);
    step_until(&task, 1);
    world.measures = held;
    append_some(3);
    append_some(4);
    step_some(&task);
    assert_int_equal(manifest_version(), 1);
    for (uint64_t row = 1; row <= ROWS; row++)
        assert_true(row_version(row) == 1); // decided before any row was written
    world.measures = "{}";
    append_some(5);
    step_until(&task, 4);
    rows_are(1, ROWS, 3);
    task_close(&task);
}

static void a_restart_keeps_a_version_held(void **state) {
    (void)state;
    struct task task;
    append_first();
    world.measures = held;
    append_some(3);
    task_open(&task);
    step_until(&task, 1);
    step_some(&task);
    task_close(&task);
    task_open(&task);
    step_some(&task);
    assert_int_equal(manifest_version(), 1);
    assert_true(row_version(3) == 1);
    world.measures = "{}";
    append_some(5);
    task_close(&task);
    task_open(&task); // and another one finds what was held and what passed at once
    step_until(&task, 3);
    rows_are(1, ROWS, 2);
    task_close(&task);
}

static void going_back_restores_every_row_and_forward_again_too(void **state) {
    (void)state;
    struct task task;
    static char third[2048], last[2048], now[2048];
    append_first();
    append_some(2);
    append_some(3);
    task_open(&task);
    step_until(&task, 3);
    snapshot(third, sizeof third);
    const uint64_t new_row = ROWS + 1; // not there in version 3
    append_version(&new_row, 1, ROWS + 1);
    append_version(&new_row, 1, ROWS + 1);
    append_version(all, 1, ROWS + 1);
    step_until(&task, 6);
    snapshot(last, sizeof last);
    assert_true(row_version(new_row) > 0);
    command_pin(3);
    step_until(&task, 3);
    snapshot(now, sizeof now);
    assert_string_equal(now, third);
    assert_true(row_version(new_row) < 0);
    append_some(7); // held, whatever the gate says
    step_some(&task);
    assert_int_equal(manifest_version(), 3);
    task_close(&task);
    task_open(&task); // a restart keeps it
    step_some(&task);
    assert_int_equal(manifest_version(), 3);
    snapshot(now, sizeof now);
    assert_string_equal(now, third);
    command_pin(6);
    step_until(&task, 6);
    snapshot(now, sizeof now);
    assert_string_equal(now, last);
    command_pin(0);
    step_until(&task, 7);
    task_close(&task);
}

static void going_back_to_before_every_slice_came_by_removes_what_came_later(void **state) {
    (void)state;
    struct task task;
    static char first[2048], now[2048];
    append_version(all, 20, 20); // rows 21 to 40 are not there yet
    task_open(&task);
    step_until(&task, 1);
    snapshot(first, sizeof first);
    append_version(all + 20, 20, ROWS);
    append_some(1);
    step_until(&task, 3);
    command_pin(1);
    step_until(&task, 1);
    snapshot(now, sizeof now);
    assert_string_equal(now, first);
    task_close(&task);
}

static void a_publisher_that_dies_while_going_back_is_continued(void **state) {
    (void)state;
    struct task task;
    static char third[2048], now[2048];
    append_first();
    append_some(2);
    append_some(3);
    task_open(&task);
    step_until(&task, 3);
    snapshot(third, sizeof third);
    for (uint64_t i = 0; i < 8; i++)
        append_some(1 + i);
    step_until(&task, 11);
    command_pin(3);
    // After each step another process goes on, from whatever the one before has left.
    for (int i = 0; manifest_version() != 3; i++) {
        assert_true(i < 300);
        for (int k = 0; k < 1 + i % 6; k++)
            (void)!runner_step(task.runner, 1, &err);
        task_close(&task);
        task_open(&task);
    }
    snapshot(now, sizeof now);
    assert_string_equal(now, third);
    task_close(&task);
}

static void a_pin_may_name_a_held_version(void **state) {
    (void)state;
    struct task task;
    append_first();
    world.measures = held;
    append_some(3);
    append_some(4);
    task_open(&task);
    step_until(&task, 1);
    command_pin(2);
    step_until(&task, 2);
    for (uint64_t row = 1; row <= ROWS; row++)
        assert_true(row_version(row) <= 2);
    task_close(&task);
}

static void an_emptied_redis_comes_back_to_the_pin(void **state) {
    (void)state;
    struct task task;
    append_first();
    append_some(2);
    append_some(3);
    append_some(4);
    command_pin(3);
    task_open(&task);
    step_until(&task, 3);
    freeReplyObject(ask("FLUSHALL"));
    append_some(5); // makes the publisher look
    task_close(&task);
    task_open(&task);
    step_until(&task, 3);
    for (uint64_t row = 1; row <= ROWS; row++)
        assert_true(row_version(row) <= 3);
    task_close(&task);
}

static void a_pin_that_the_log_does_not_hold_changes_nothing(void **state) {
    (void)state;
    struct task task;
    append_first();
    append_some(2);
    task_open(&task);
    step_until(&task, 2);
    command_pin(99);
    append_some(3);
    step_some(&task);
    assert_int_equal(manifest_version(), 2);
    for (uint64_t row = 1; row <= ROWS; row++)
        assert_true(row_version(row) <= 2);
    command_pin(0);
    step_until(&task, 3);
    task_close(&task);
}

static void a_control_record_that_cannot_be_read_is_counted_and_passed_over(void **state) {
    (void)state;
    struct task task;
    struct account accounts[2];
    append_first();
    append_some(2);
    task_open(&task);
    step_until(&task, 2);
    command_bytes("nonsense", 8);
    command_pin(1);
    step_until(&task, 1);
    assert_int_equal(publisher_operations.accounts(task.publisher, accounts, 2), 2);
    assert_string_equal(accounts[1].input, "control");
    assert_int_equal(accounts[1].read, 2);
    assert_int_equal(accounts[1].dropped[0], 1);
    assert_true(account_balances(&accounts[0]) && account_balances(&accounts[1]));
    task_close(&task);
}

static void a_finished_log_ends_the_task_whatever_the_control_log_does(void **state) {
    (void)state;
    struct task task;
    append_first();
    append_some(2);
    const struct log_record end = {.end_of_stream = true, .sequence = LOG_NO_SEQUENCE};
    must(log_writer_append(world.writer, 0, 0, &end, &err));
    must(log_writer_commit(world.writer, NULL, 0, &err));
    command_pin(1);
    task_open(&task);
    enum status status = STATUS_OK;
    for (int i = 0; i < 200 && status != STATUS_END; i++) {
        status = runner_step(task.runner, 1, &err);
        assert_true(status == STATUS_OK || status == STATUS_END);
    }
    assert_int_equal(status, STATUS_END);
    assert_int_equal(manifest_version(), 1);
    task_close(&task);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_held_version_stays_out_and_the_next_that_passes_brings_all),
        CASE(a_restart_keeps_a_version_held),
        CASE(going_back_restores_every_row_and_forward_again_too),
        CASE(going_back_to_before_every_slice_came_by_removes_what_came_later),
        CASE(a_publisher_that_dies_while_going_back_is_continued),
        CASE(a_pin_may_name_a_held_version),
        CASE(an_emptied_redis_comes_back_to_the_pin),
        CASE(a_pin_that_the_log_does_not_hold_changes_nothing),
        CASE(a_control_record_that_cannot_be_read_is_counted_and_passed_over),
        CASE(a_finished_log_ends_the_task_whatever_the_control_log_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
