// The conformance test of writers: fencing, the journal, identities, and readers that follow live.
#include "tests/log/conformance.h"

#include <pthread.h>

#include "base/disk.h"
#include "log/memory.h"

static struct error *const err = &conformance_error;

static void a_newer_writer_of_the_task_fences_the_older(void **state) {
    (void)state;
    const char *topic = fresh_topic("fence", 1);
    const char *task = fresh_name("task");
    struct log_writer *older = writer_on(task, topic);
    append_text(older, 0, 0, NULL, "before");
    assert_good(commit_text(older, "one"));
    struct log_writer *newer = writer_on(task, topic);
    struct log_record record = {.value = "stale", .value_length = 5};
    enum status status = log_writer_append(older, 0, 0, &record, err);
    if (status == STATUS_OK)
        status = commit_text(older, "stale");
    assert_status(status, STATUS_FENCED);
    log_writer_close(older);
    append_text(newer, 0, 0, NULL, "after");
    assert_good(commit_text(newer, "two"));
    struct journal_text journal;
    journal_of(newer, 0, &journal);
    assert_string_equal(journal.text, "one|two");
    struct log_reader *reader = reader_at(topic, 0, 0);
    struct kept kept;
    kept_init(&kept);
    read_until(reader, 2, &kept);
    assert_value(&kept.records[0], "before");
    assert_value(&kept.records[1], "after");
    assert_quiet(reader);
    kept_deinit(&kept);
    log_reader_close(reader);
    log_writer_close(newer);
}

static void writers_without_a_task_do_not_fence_one_another(void **state) {
    (void)state;
    const char *topic = fresh_topic("loaders", 2);
    struct log_writer *one = writer_on("", topic), *two = writer_on("", topic);
    append_text(one, 0, 0, NULL, "one");
    append_text(two, 0, 1, NULL, "two");
    assert_good(commit_text(one, NULL));
    assert_good(commit_text(two, NULL));
    assert_status(commit_text(two, "journal"), STATUS_INVALID);
    struct log_reader *reader = reader_at(topic, 1, 0);
    struct kept kept;
    kept_init(&kept);
    read_until(reader, 1, &kept);
    assert_value(&kept.records[0], "two");
    kept_deinit(&kept);
    log_reader_close(reader);
    log_writer_close(one);
    log_writer_close(two);
}

static void the_journal_is_read_from_any_place_after_reopening(void **state) {
    (void)state;
    const char *topic = fresh_topic("journal", 1);
    const char *task = fresh_name("task");
    struct log_writer *writer = writer_on(task, topic);
    struct journal_text journal;
    journal_of(writer, 0, &journal);
    assert_int_equal(journal.count, 0);
    struct log_journal_entry pair[] = {{"a", 1}, {"b", 1}};
    append_text(writer, 0, 0, NULL, "x");
    assert_good(log_writer_commit(writer, pair, 2, err));
    int64_t middle = log_writer_journal_place(writer);
    assert_good(commit_text(writer, "c"));
    append_text(writer, 0, 0, NULL, "y");
    assert_good(commit_text(writer, "d"));
    int64_t end = log_writer_journal_place(writer);
    log_writer_close(writer);

    writer = writer_on(task, topic);
    journal_of(writer, 0, &journal);
    assert_string_equal(journal.text, "a|b|c|d");
    journal_of(writer, middle, &journal);
    assert_string_equal(journal.text, "c|d");
    assert_true(journal.first >= middle);
    journal_of(writer, journal.last, &journal);
    assert_string_equal(journal.text, "d");
    assert_true(log_writer_journal_place(writer) >= end);
    journal_of(writer, log_writer_journal_place(writer), &journal);
    assert_int_equal(journal.count, 0);
    log_writer_close(writer);

    struct journal_text outside = {.first = -1};
    assert_good(log_journal_read(conformance_log, task, 0, journal_collect, &outside, err));
    assert_string_equal(outside.text, "a|b|c|d");
    assert_status(
        log_journal_read(conformance_log, fresh_name("nobody"), 0, journal_collect, &outside, err),
        STATUS_NOT_FOUND);
}

static enum status visit_refuse(void *self, int64_t place, const void *bytes, size_t length,
                                struct error *unused) {
    (void)place;
    (void)bytes;
    (void)length;
    ++*(int *)self;
    return error_set(unused, STATUS_STOPPED, "enough");
}

static void a_visitor_of_the_journal_may_stop_it(void **state) {
    (void)state;
    struct log_writer *writer = writer_on(fresh_name("task"), fresh_topic("stop", 1));
    assert_good(commit_text(writer, "a"));
    assert_good(commit_text(writer, "b"));
    int visits = 0;
    assert_status(log_writer_journal_read(writer, 0, visit_refuse, &visits, err), STATUS_STOPPED);
    assert_int_equal(visits, 1);
    log_writer_close(writer);
}

static void a_trimmed_journal_still_gives_what_was_kept(void **state) {
    (void)state;
    const char *topic = fresh_topic("trim", 1);
    const char *task = fresh_name("task");
    struct log_writer *writer = writer_on(task, topic);
    assert_good(commit_text(writer, "old"));
    int64_t keep = log_writer_journal_place(writer);
    assert_good(commit_text(writer, "new"));
    assert_good(log_writer_journal_trim(writer, keep, err));
    struct journal_text journal;
    journal_of(writer, keep, &journal);
    assert_string_equal(journal.text, "new");
    log_writer_close(writer);
    writer = writer_on(task, topic);
    journal_of(writer, keep, &journal);
    assert_string_equal(journal.text, "new");
    assert_good(commit_text(writer, "newest"));
    journal_of(writer, keep, &journal);
    assert_string_equal(journal.text, "new|newest");
    log_writer_close(writer);
}

static void a_place_beyond_the_journal_is_refused(void **state) {
    (void)state;
    struct log_writer *writer = writer_on(fresh_name("task"), fresh_topic("ahead", 1));
    assert_good(commit_text(writer, "a"));
    struct journal_text journal = {.first = -1};
    assert_status(log_writer_journal_read(writer, 1000, journal_collect, &journal, err),
                  STATUS_CHANGED);
    assert_status(log_writer_journal_read(writer, -1, journal_collect, &journal, err),
                  STATUS_INVALID);
    log_writer_close(writer);
}

static void an_empty_commit_is_fine(void **state) {
    (void)state;
    const char *topic = fresh_topic("nothing", 1);
    struct log_writer *writer = writer_on(fresh_name("task"), topic);
    assert_good(commit_text(writer, NULL));
    assert_good(commit_text(writer, NULL));
    append_text(writer, 0, 0, NULL, "x");
    assert_good(commit_text(writer, NULL));
    struct log_reader *reader = reader_at(topic, 0, 0);
    struct kept kept;
    kept_init(&kept);
    read_until(reader, 1, &kept);
    kept_deinit(&kept);
    log_reader_close(reader);
    log_writer_close(writer);
}

static void the_offset_of_a_time_is_the_first_not_before_it(void **state) {
    (void)state;
    const char *topic = fresh_topic("times", 1);
    struct log_writer *writer = writer_on("", topic);
    for (int i = 0; i < 10; i++) {
        struct log_record record = {
            .timestamp_ms = 1700000000000 + i * 1000, .value = "x", .value_length = 1};
        assert_good(log_writer_append(writer, 0, 0, &record, err));
        if (i == 4) // Kafka's marker stands between, with the time of this very moment
            assert_good(commit_text(writer, NULL));
    }
    assert_good(commit_text(writer, NULL));
    int64_t end = end_at_least(topic, 10), offset = -1;
    struct log *log = conformance_log;
    assert_good(log_topic_offset_at(log, topic, 0, 1700000004000, &offset, err));
    assert_int_equal(offset, 4);
    assert_good(log_topic_offset_at(log, topic, 0, 1700000004001, &offset, err));
    assert_int_equal(offset, log_backend_of(log) == LOG_KAFKA ? 6 : 5);
    assert_good(log_topic_offset_at(log, topic, 0, 0, &offset, err));
    assert_int_equal(offset, 0);
    assert_good(log_topic_offset_at(log, topic, 0, 1800000000000, &offset, err));
    assert_int_equal(offset, end);
    log_writer_close(writer);
}

static void a_topic_keeps_its_identity(void **state) {
    (void)state;
    const char *topic = fresh_topic("identity", 1);
    uint64_t first = 1, again = 2;
    assert_good(log_topic_identity(conformance_log, topic, &first, err));
    assert_good(log_topic_ensure(conformance_log, topic, 1, err));
    assert_good(log_topic_identity(conformance_log, topic, &again, err));
    assert_int_equal(first, again);
    assert_status(log_topic_identity(conformance_log, fresh_name("no"), &again, err),
                  STATUS_NOT_FOUND);
}

static void a_topic_made_anew_has_another_identity(void **state) {
    (void)state;
    const char *topic = fresh_topic("anew", 1);
    uint64_t first = 0, second = 0;
    assert_good(log_topic_identity(conformance_log, topic, &first, err));
    if (CONFORMANCE_BACKEND == LOG_MEMORY) {
        assert_good(log_memory_topic_delete(conformance_log, topic, err));
    } else if (CONFORMANCE_BACKEND == LOG_FILES) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", conformance_directory, topic);
        assert_good(disk_remove_tree(path, err));
    } else if (first == 0) {
        skip(); // librdkafka before 2.3 does not tell a topic's id
    } else {
        char command[512];
        snprintf(command, sizeof(command),
                 "scripts/kafka topics '%s' --delete --topic %s >/dev/null",
                 getenv("FRESHET_TEST_KAFKA_DIR"), topic);
        assert_int_equal(system(command), 0);
    }
    // The name may be taken for a moment after the deletion.
    int64_t deadline_us = clock_system.monotonic_us(&clock_system) + 20000000;
    second = first;
    while (second == first && clock_system.monotonic_us(&clock_system) < deadline_us)
        if (log_topic_ensure(conformance_log, topic, 1, err) != STATUS_OK ||
            log_topic_identity(conformance_log, topic, &second, err) != STATUS_OK)
            second = first;
    assert_true(first != second);
}

enum { STREAM_COMMITS = 40, STREAM_RECORDS = 25 };

static void *stream_write(void *self) {
    struct log_writer *writer = self;
    struct error mine;
    int64_t sequence = 0;
    for (int commit = 0; commit < STREAM_COMMITS; commit++) {
        for (int i = 0; i < STREAM_RECORDS; i++) {
            char value[32];
            int length = snprintf(value, sizeof(value), "%d", commit);
            struct log_record record = {.timestamp_ms = 1700000000000 + sequence,
                                        .sequence = sequence / 2,
                                        .value = value,
                                        .value_length = (size_t)length};
            if (log_writer_append(writer, 0, (int32_t)(sequence % 2), &record, &mine) != STATUS_OK)
                return "append";
            sequence++;
        }
        struct log_journal_entry entry = {.bytes = "step", .length = 4};
        if (log_writer_commit(writer, &entry, 1, &mine) != STATUS_OK)
            return "commit";
    }
    return NULL;
}

static void a_reader_follows_a_writer_without_gap_or_repeat(void **state) {
    (void)state;
    const char *topic = fresh_topic("stream", 2);
    struct log_writer *writer = writer_on(fresh_name("task"), topic);
    struct log_position positions[] = {{topic, 0, 0}, {topic, 1, 0}};
    struct log_reader *reader = NULL;
    assert_good(log_reader_open(conformance_log, positions, 2, &reader, err));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stream_write, writer), 0);
    int64_t next[2] = {0}, offset[2] = {-1, -1}, deadline = now_ms() + 2 * DEADLINE_MS;
    while (next[0] + next[1] < STREAM_COMMITS * STREAM_RECORDS && now_ms() < deadline) {
        struct log_batch batch;
        enum status status = log_reader_poll(reader, 64, 100, &batch, err);
        assert_true(status == STATUS_OK || status == STATUS_TIMEOUT);
        for (size_t i = 0; i < batch.count; i++) {
            const struct log_record *record = &batch.records[i];
            assert_true(record->slot < 2);
            assert_int_equal(record->sequence, next[record->slot]++);
            assert_true(record->offset > offset[record->slot]);
            offset[record->slot] = record->offset;
        }
    }
    void *failure = NULL;
    assert_int_equal(pthread_join(thread, &failure), 0);
    assert_null(failure);
    assert_int_equal(next[0] + next[1], STREAM_COMMITS * STREAM_RECORDS);
    log_reader_report(reader, fresh_name("group"), (int64_t[]){offset[0] + 1, offset[1] + 1});
    log_reader_close(reader);
    log_writer_close(writer);
}

static void pausing_now_and_then_loses_and_repeats_nothing(void **state) {
    (void)state;
    const char *topic = fresh_topic("toggle", 2);
    struct log_writer *writer = writer_on(fresh_name("task"), topic);
    struct log_position positions[] = {{topic, 0, 0}, {topic, 1, 0}};
    struct log_reader *reader = NULL;
    assert_good(log_reader_open(conformance_log, positions, 2, &reader, err));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stream_write, writer), 0);
    int64_t next[2] = {0}, deadline = now_ms() + 2 * DEADLINE_MS;
    bool paused[2] = {false};
    for (unsigned poll = 0;
         next[0] + next[1] < STREAM_COMMITS * STREAM_RECORDS && now_ms() < deadline; poll++) {
        struct log_batch batch;
        enum status status = log_reader_poll(reader, 7, 5, &batch, err);
        assert_true(status == STATUS_OK || status == STATUS_TIMEOUT);
        for (size_t i = 0; i < batch.count; i++) {
            assert_false(paused[batch.records[i].slot]);
            assert_int_equal(batch.records[i].sequence, next[batch.records[i].slot]++);
        }
        uint32_t slot = poll / 3 % 2;
        paused[slot] = !paused[slot];
        assert_good(log_reader_pause(reader, slot, paused[slot], err));
    }
    void *failure = NULL;
    assert_int_equal(pthread_join(thread, &failure), 0);
    assert_null(failure);
    assert_int_equal(next[0] + next[1], STREAM_COMMITS * STREAM_RECORDS);
    log_reader_close(reader);
    log_writer_close(writer);
}

static void tasks_share_a_topic_by_partition(void **state) {
    (void)state;
    const char *topic = fresh_topic("shared", 2);
    struct log_writer *one = writer_on(fresh_name("task-0"), topic);
    struct log_writer *two = writer_on(fresh_name("task-1"), topic);
    for (int i = 0; i < 3; i++) {
        append_text(one, 0, 0, NULL, "one");
        append_text(two, 0, 1, NULL, "two");
        assert_good(commit_text(two, "2"));
        assert_good(commit_text(one, "1"));
    }
    struct log_position positions[] = {{topic, 0, 0}, {topic, 1, 0}};
    struct log_reader *reader = NULL;
    assert_good(log_reader_open(conformance_log, positions, 2, &reader, err));
    struct kept kept;
    kept_init(&kept);
    read_until(reader, 6, &kept);
    for (size_t i = 0; i < 6; i++)
        assert_value(&kept.records[i], kept.records[i].slot == 0 ? "one" : "two");
    kept_deinit(&kept);
    log_reader_close(reader);
    log_writer_close(one);
    log_writer_close(two);
}

int conformance_writer_run(CMFixtureFunction setup, CMFixtureFunction teardown) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_newer_writer_of_the_task_fences_the_older),
        cmocka_unit_test(writers_without_a_task_do_not_fence_one_another),
        cmocka_unit_test(the_journal_is_read_from_any_place_after_reopening),
        cmocka_unit_test(a_visitor_of_the_journal_may_stop_it),
        cmocka_unit_test(a_trimmed_journal_still_gives_what_was_kept),
        cmocka_unit_test(a_place_beyond_the_journal_is_refused),
        cmocka_unit_test(an_empty_commit_is_fine),
        cmocka_unit_test(the_offset_of_a_time_is_the_first_not_before_it),
        cmocka_unit_test(a_topic_keeps_its_identity),
        cmocka_unit_test(a_topic_made_anew_has_another_identity),
        cmocka_unit_test(a_reader_follows_a_writer_without_gap_or_repeat),
        cmocka_unit_test(pausing_now_and_then_loses_and_repeats_nothing),
        cmocka_unit_test(tasks_share_a_topic_by_partition),
    };
    return cmocka_run_group_tests_name("writer", tests, setup, teardown);
}
