// What only the memory backend promises: planted faults, gaps, retention and deletion.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "log/memory.h"

static struct error error;
static struct error *const err = &error;
static struct log *the_log;

static int setup(void **state) {
    (void)state;
    if (log_open_memory(&the_log, err) != STATUS_OK)
        return -1;
    return log_topic_ensure(the_log, "out", 1, err) == STATUS_OK ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    log_close(the_log);
    return 0;
}

static struct log_writer *writer_open(void) {
    const char *output = "out";
    struct log_writer *writer = NULL;
    assert_int_equal(log_writer_open(the_log, "task", &output, 1, &writer, err), STATUS_OK);
    return writer;
}

static enum status one_commit(struct log_writer *writer) {
    struct log_record record = {.value = "x", .value_length = 1};
    enum status status = log_writer_append(writer, 0, 0, &record, err);
    struct log_journal_entry entry = {.bytes = "step", .length = 4};
    return status == STATUS_OK ? log_writer_commit(writer, &entry, 1, err) : status;
}

static enum status entries_count(void *self, int64_t place, const void *bytes, size_t length,
                                 struct error *unused) {
    (void)place;
    (void)bytes;
    (void)length;
    (void)unused;
    ++*(int64_t *)self;
    return STATUS_OK;
}

// Records in the topic; the journal must hold as many.
static int64_t commits_there(void) {
    int64_t begin = 0, end = 0, entries = 0;
    assert_int_equal(log_topic_bounds(the_log, "out", 0, &begin, &end, err), STATUS_OK);
    assert_int_equal(log_journal_read(the_log, "task", 0, entries_count, &entries, err), STATUS_OK);
    assert_int_equal(entries, end);
    return end;
}

static void fault_check(enum log_memory_fault fault, enum status wanted, int64_t there) {
    struct log_writer *writer = writer_open();
    log_memory_fault_plant(the_log, 2, fault);
    assert_int_equal(one_commit(writer), STATUS_OK);
    assert_int_equal(one_commit(writer), wanted);
    assert_int_equal(one_commit(writer), wanted); // broken from then on
    log_writer_close(writer);
    assert_int_equal(commits_there(), there);
    writer = writer_open();
    assert_int_equal(one_commit(writer), STATUS_OK);
    assert_int_equal(commits_there(), there + 1);
    log_writer_close(writer);
}

static void a_crash_before_the_commit_leaves_nothing(void **state) {
    (void)state;
    fault_check(LOG_MEMORY_CRASH_BEFORE, STATUS_IO, 1);
}

static void a_crash_after_the_commit_leaves_all_of_it(void **state) {
    (void)state;
    fault_check(LOG_MEMORY_CRASH_AFTER, STATUS_IO, 2);
}

static void an_unavailable_log_takes_nothing(void **state) {
    (void)state;
    fault_check(LOG_MEMORY_UNAVAILABLE, STATUS_UNAVAILABLE, 1);
}

static void an_answer_that_was_lost_may_hide_a_commit(void **state) {
    (void)state;
    fault_check(LOG_MEMORY_UNAVAILABLE_AFTER, STATUS_UNAVAILABLE, 2);
}

static void a_crash_ends_all_writers_that_were_open(void **state) {
    (void)state;
    const char *output = "out";
    struct log_writer *other = NULL, *writer = writer_open();
    assert_int_equal(log_writer_open(the_log, "other", &output, 1, &other, err), STATUS_OK);
    log_memory_fault_plant(the_log, 1, LOG_MEMORY_CRASH_BEFORE);
    assert_int_equal(one_commit(writer), STATUS_IO);
    assert_int_equal(one_commit(other), STATUS_IO);
    log_writer_close(writer);
    log_writer_close(other);
}

static void gaps_are_passed_over(void **state) {
    (void)state;
    log_memory_gaps(the_log, true);
    struct log_writer *writer = writer_open();
    for (int i = 0; i < 3; i++)
        assert_int_equal(one_commit(writer), STATUS_OK);
    struct log_position position = {.topic = "out"};
    struct log_reader *reader = NULL;
    assert_int_equal(log_reader_open(the_log, &position, 1, &reader, err), STATUS_OK);
    struct log_batch batch;
    assert_int_equal(log_reader_poll(reader, 10, 0, &batch, err), STATUS_OK);
    assert_int_equal(batch.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(batch.records[i].offset, 2 * i);
    int64_t end = 0, reached = 0;
    assert_int_equal(log_reader_end(reader, 0, &end, err), STATUS_OK);
    assert_int_equal(log_reader_position(reader, 0, &reached, err), STATUS_OK);
    assert_int_equal(end, 6);
    assert_int_equal(reached, 6);
    log_reader_close(reader);
    log_writer_close(writer);
}

static void what_retention_passed_is_a_change(void **state) {
    (void)state;
    struct log_writer *writer = writer_open();
    for (int i = 0; i < 3; i++)
        assert_int_equal(one_commit(writer), STATUS_OK);
    struct log_position position = {.topic = "out", .offset = 1};
    struct log_reader *reader = NULL, *late = NULL;
    assert_int_equal(log_reader_open(the_log, &position, 1, &reader, err), STATUS_OK);
    assert_int_equal(log_memory_retain(the_log, "out", 0, 2, err), STATUS_OK);
    struct log_batch batch;
    assert_int_equal(log_reader_poll(reader, 10, 0, &batch, err), STATUS_CHANGED);
    assert_int_equal(log_reader_seek(reader, 0, 0, err), STATUS_CHANGED);
    assert_int_equal(log_reader_open(the_log, &position, 1, &late, err), STATUS_CHANGED);
    assert_int_equal(log_reader_seek(reader, 0, 2, err), STATUS_OK);
    assert_int_equal(log_reader_poll(reader, 10, 0, &batch, err), STATUS_OK);
    assert_int_equal(batch.records[0].offset, 2);
    log_reader_close(reader);
    log_writer_close(writer);
}

static void readers_and_writers_of_a_deleted_topic_are_told(void **state) {
    (void)state;
    struct log_writer *writer = writer_open();
    struct log_position position = {.topic = "out"};
    struct log_reader *reader = NULL;
    assert_int_equal(log_reader_open(the_log, &position, 1, &reader, err), STATUS_OK);
    assert_int_equal(log_memory_topic_delete(the_log, "out", err), STATUS_OK);
    assert_int_equal(log_memory_topic_delete(the_log, "out", err), STATUS_NOT_FOUND);
    struct log_batch batch;
    assert_int_equal(log_reader_poll(reader, 1, 0, &batch, err), STATUS_CHANGED);
    assert_int_equal(one_commit(writer), STATUS_CHANGED);
    log_reader_close(reader);
    log_writer_close(writer);
}

static void polls_say_when_the_log_is_unavailable_and_go_on_after(void **state) {
    (void)state;
    struct log_writer *writer = writer_open();
    assert_int_equal(one_commit(writer), STATUS_OK);
    struct log_position position = {.topic = "out"};
    struct log_reader *reader = NULL;
    assert_int_equal(log_reader_open(the_log, &position, 1, &reader, err), STATUS_OK);
    log_memory_unavailable(the_log, true);
    struct log_batch batch;
    assert_int_equal(log_reader_poll(reader, 1, 1000, &batch, err), STATUS_UNAVAILABLE);
    log_memory_unavailable(the_log, false);
    assert_int_equal(log_reader_poll(reader, 1, 0, &batch, err), STATUS_OK);
    log_reader_close(reader);
    log_writer_close(writer);
}

static void memory_that_runs_out_at_any_allocation_is_said_and_commits_nothing_half(void **state) {
    (void)state;
    int64_t before = 0;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct log_writer *writer = writer_open();
        memory_fail_after(n);
        enum status status = one_commit(writer);
        memory_fail_after(0);
        failed = status != STATUS_OK;
        if (failed)
            assert_int_equal(status, STATUS_EXHAUSTED);
        log_writer_close(writer);
        int64_t there = n == 1 ? 0 : commits_there();
        assert_int_equal(there, before + !failed);
        before = there;
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_crash_before_the_commit_leaves_nothing),
        TEST(a_crash_after_the_commit_leaves_all_of_it),
        TEST(an_unavailable_log_takes_nothing),
        TEST(an_answer_that_was_lost_may_hide_a_commit),
        TEST(a_crash_ends_all_writers_that_were_open),
        TEST(gaps_are_passed_over),
        TEST(what_retention_passed_is_a_change),
        TEST(readers_and_writers_of_a_deleted_topic_are_told),
        TEST(polls_say_when_the_log_is_unavailable_and_go_on_after),
        TEST(memory_that_runs_out_at_any_allocation_is_said_and_commits_nothing_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
