// The conformance test of topics and readers: what is read, from where, and in what pieces.
#include "tests/log/conformance.h"

static struct error *const err = &conformance_error;

static void a_log_tells_its_backend(void **state) {
    (void)state;
    assert_int_equal(log_backend_of(conformance_log), CONFORMANCE_BACKEND);
}

static void a_topic_is_made_once_and_keeps_its_partition_count(void **state) {
    (void)state;
    const char *topic = fresh_topic("made", 3);
    int32_t partitions = 0;
    assert_good(log_topic_partitions(conformance_log, topic, &partitions, err));
    assert_int_equal(partitions, 3);
    assert_good(log_topic_ensure(conformance_log, topic, 3, err));
    assert_status(log_topic_ensure(conformance_log, topic, 4, err), STATUS_CHANGED);
}

static void an_unknown_topic_is_not_found(void **state) {
    (void)state;
    const char *topic = fresh_name("nowhere");
    int32_t partitions = 0;
    assert_status(log_topic_partitions(conformance_log, topic, &partitions, err), STATUS_NOT_FOUND);
    struct log_reader *reader = NULL;
    struct log_position position = {.topic = topic};
    assert_status(log_reader_open(conformance_log, &position, 1, &reader, err), STATUS_NOT_FOUND);
    struct log_writer *writer = NULL;
    assert_status(log_writer_open(conformance_log, "", &topic, 1, &writer, err), STATUS_NOT_FOUND);
    assert_null(reader);
    assert_null(writer);
}

static void names_that_no_backend_could_store_are_refused(void **state) {
    (void)state;
    const char *names[] = {"", ".", "..", ".hidden", "a/b", "a b", "naïve"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        assert_status(log_topic_ensure(conformance_log, names[i], 1, err), STATUS_INVALID);
    assert_status(log_topic_ensure(conformance_log, "zero", 0, err), STATUS_INVALID);
}

static void an_empty_topic_begins_and_ends_at_zero_and_is_quiet(void **state) {
    (void)state;
    const char *topic = fresh_topic("empty", 1);
    int64_t begin = -1, end = -1;
    assert_good(log_topic_bounds(conformance_log, topic, 0, &begin, &end, err));
    assert_int_equal(begin, 0);
    assert_int_equal(end, 0);
    struct log_reader *reader = reader_at(topic, 0, 0);
    assert_quiet(reader);
    assert_good(log_reader_end(reader, 0, &end, err));
    assert_int_equal(end, 0);
    log_reader_close(reader);
}

static void a_partition_that_is_not_there_is_refused(void **state) {
    (void)state;
    const char *topic = fresh_topic("narrow", 2);
    int64_t begin = 0, end = 0;
    assert_status(log_topic_bounds(conformance_log, topic, 2, &begin, &end, err), STATUS_NOT_FOUND);
    struct log_writer *writer = writer_on("", topic);
    struct log_record record = {.value = "x", .value_length = 1};
    assert_status(log_writer_append(writer, 0, 2, &record, err), STATUS_INVALID);
    log_writer_close(writer);
    writer = writer_on("", topic);
    assert_status(log_writer_append(writer, 1, 0, &record, err), STATUS_INVALID);
    log_writer_close(writer);
}

static void what_is_committed_is_read_back_in_order_with_all_its_fields(void **state) {
    (void)state;
    const char *topic = fresh_topic("fields", 1);
    struct log_writer *writer = writer_on("", topic);
    for (int i = 0; i < 5; i++) {
        char value[32];
        int length = snprintf(value, sizeof(value), "value %d", i);
        struct log_record record = {.timestamp_ms = 1700000000000 + i,
                                    .sequence = 100 + i,
                                    .end_of_stream = i == 4,
                                    .key = "key",
                                    .key_length = 3,
                                    .value = value,
                                    .value_length = (size_t)length};
        assert_good(log_writer_append(writer, 0, 0, &record, err));
    }
    assert_good(commit_text(writer, NULL));
    struct log_reader *reader = reader_at(topic, 0, 0);
    struct kept kept;
    kept_init(&kept);
    read_until(reader, 5, &kept);
    for (int i = 0; i < 5; i++) {
        const struct log_record *record = &kept.records[i];
        char value[32];
        snprintf(value, sizeof(value), "value %d", i);
        assert_int_equal(record->slot, 0);
        assert_int_equal(record->offset, i);
        assert_int_equal(record->timestamp_ms, 1700000000000 + i);
        assert_int_equal(record->sequence, 100 + i);
        assert_int_equal(record->end_of_stream, i == 4);
        assert_int_equal(record->key_length, 3);
        assert_memory_equal(record->key, "key", 3);
        assert_value(record, value);
    }
    kept_deinit(&kept);
    log_reader_close(reader);
    log_writer_close(writer);
}

static void null_and_empty_keys_and_values_stay_apart(void **state) {
    (void)state;
    const char *topic = fresh_topic("nulls", 1);
    struct log_writer *writer = writer_on("", topic);
    append_text(writer, 0, 0, NULL, NULL);
    append_text(writer, 0, 0, "", "");
    append_text(writer, 0, 0, "tombstone", NULL);
    append_text(writer, 0, 0, NULL, "value");
    assert_good(commit_text(writer, NULL));
    struct log_reader *reader = reader_at(topic, 0, 0);
    struct kept kept;
    kept_init(&kept);
    read_until(reader, 4, &kept);
    assert_null(kept.records[0].key);
    assert_null(kept.records[0].value);
    assert_int_equal(kept.records[0].value_length, 0);
    assert_int_equal(kept.records[0].sequence, LOG_NO_SEQUENCE);
    assert_non_null(kept.records[1].key);
    assert_int_equal(kept.records[1].key_length, 0);
    assert_non_null(kept.records[1].value);
    assert_int_equal(kept.records[1].value_length, 0);
    assert_int_equal(kept.records[2].key_length, 9);
    assert_null(kept.records[2].value);
    assert_null(kept.records[3].key);
    assert_value(&kept.records[3], "value");
    kept_deinit(&kept);
    log_reader_close(reader);
    log_writer_close(writer);
}

static void values_of_almost_a_megabyte_pass_whole(void **state) {
    (void)state;
    enum { LENGTH = 1000000 };
    const char *topic = fresh_topic("large", 1);
    struct log_writer *writer = writer_on("", topic);
    unsigned char *bytes = memory_new(LENGTH, 1);
    assert_non_null(bytes);
    for (size_t n = 0; n < 3; n++) {
        for (size_t i = 0; i < LENGTH; i++)
            bytes[i] = (unsigned char)(i * 31 + i / 251 + n);
        struct log_record record = {.value = bytes, .value_length = LENGTH};
        assert_good(log_writer_append(writer, 0, 0, &record, err));
    }
    assert_good(commit_text(writer, NULL));
    struct log_reader *reader = reader_at(topic, 0, 0);
    struct kept kept;
    kept_init(&kept);
    read_until(reader, 3, &kept);
    assert_int_equal(kept.records[2].value_length, LENGTH);
    assert_memory_equal(kept.records[2].value, bytes, LENGTH);
    kept_deinit(&kept);
    memory_free(bytes);
    log_reader_close(reader);
    log_writer_close(writer);
}

static void nothing_is_seen_before_its_commit(void **state) {
    (void)state;
    const char *topic = fresh_topic("hidden", 1);
    struct log_writer *writer = writer_on("", topic);
    struct log_reader *reader = reader_at(topic, 0, 0);
    append_text(writer, 0, 0, "k", "first");
    assert_quiet(reader);
    int64_t begin = -1, end = -1;
    assert_good(log_topic_bounds(conformance_log, topic, 0, &begin, &end, err));
    assert_int_equal(end, 0);
    assert_good(commit_text(writer, NULL));
    struct kept kept;
    kept_init(&kept);
    read_until(reader, 1, &kept);
    assert_value(&kept.records[0], "first");
    kept_deinit(&kept);
    log_reader_close(reader);
    log_writer_close(writer);
}

static void what_a_closed_writer_did_not_commit_is_dropped(void **state) {
    (void)state;
    const char *topic = fresh_topic("dropped", 1);
    const char *task = fresh_name("task");
    struct log_writer *writer = writer_on(task, topic);
    append_text(writer, 0, 0, "k", "lost");
    log_writer_close(writer);
    writer = writer_on(task, topic);
    append_text(writer, 0, 0, "k", "kept");
    assert_good(commit_text(writer, "one"));
    struct log_reader *reader = reader_at(topic, 0, 0);
    struct kept kept;
    kept_init(&kept);
    read_until(reader, 1, &kept);
    assert_value(&kept.records[0], "kept");
    assert_quiet(reader);
    kept_deinit(&kept);
    log_reader_close(reader);
    log_writer_close(writer);
}

static void one_commit_reaches_all_partitions_and_topics_and_the_journal(void **state) {
    (void)state;
    const char *first = fresh_topic("first", 2), *second = fresh_topic("second", 3);
    struct log_writer *writer = writer_on_two(fresh_name("task"), first, second);
    append_text(writer, 0, 0, NULL, "a");
    append_text(writer, 0, 1, NULL, "b");
    append_text(writer, 1, 2, NULL, "c");
    append_text(writer, 1, 2, NULL, "d");
    assert_good(commit_text(writer, "journalled"));
    struct log_position positions[] = {{first, 0, 0}, {first, 1, 0}, {second, 2, 0}};
    struct log_reader *reader = NULL;
    assert_good(log_reader_open(conformance_log, positions, 3, &reader, err));
    struct kept kept;
    kept_init(&kept);
    read_until(reader, 4, &kept);
    size_t seen[3] = {0};
    for (size_t i = 0; i < 4; i++) {
        const char *wanted[3][2] = {{"a", NULL}, {"b", NULL}, {"c", "d"}};
        uint32_t slot = kept.records[i].slot;
        assert_true(slot < 3);
        assert_value(&kept.records[i], wanted[slot][seen[slot]++]);
    }
    struct journal_text journal;
    journal_of(writer, 0, &journal);
    assert_string_equal(journal.text, "journalled");
    kept_deinit(&kept);
    log_reader_close(reader);
    log_writer_close(writer);
}

static void a_reader_goes_on_from_the_offset_it_is_given(void **state) {
    (void)state;
    const char *topic = fresh_topic("resume", 1);
    struct log_writer *writer = writer_on("", topic);
    for (int i = 0; i < 3; i++) {
        append_text(writer, 0, 0, NULL, i == 0 ? "0" : i == 1 ? "1" : "2");
        assert_good(commit_text(writer, NULL));
    }
    struct log_reader *reader = reader_at(topic, 0, 0);
    struct kept kept;
    kept_init(&kept);
    read_until(reader, 3, &kept);
    for (size_t i = 1; i < 3; i++)
        assert_true(kept.records[i].offset > kept.records[i - 1].offset);
    int64_t second = kept.records[1].offset, after = kept.records[2].offset + 1;
    log_reader_close(reader);

    kept.count = 0;
    reader = reader_at(topic, 0, second);
    read_until(reader, 2, &kept);
    assert_value(&kept.records[0], "1");
    assert_int_equal(kept.records[0].offset, second);
    log_reader_close(reader);

    kept.count = 0;
    reader = reader_at(topic, 0, after);
    assert_quiet(reader);
    append_text(writer, 0, 0, NULL, "3");
    assert_good(commit_text(writer, NULL));
    read_until(reader, 1, &kept);
    assert_value(&kept.records[0], "3");
    log_reader_close(reader);
    kept_deinit(&kept);
    log_writer_close(writer);
}

static void a_poll_gives_no_more_records_than_asked_for(void **state) {
    (void)state;
    const char *topic = fresh_topic("bounded", 1);
    struct log_writer *writer = writer_on("", topic);
    for (int i = 0; i < 20; i++)
        append_text(writer, 0, 0, NULL, "x");
    assert_good(commit_text(writer, NULL));
    struct log_reader *reader = reader_at(topic, 0, 0);
    size_t count = 0;
    int64_t deadline = now_ms() + DEADLINE_MS, next = 0;
    while (count < 20 && now_ms() < deadline) {
        struct log_batch batch;
        enum status status = log_reader_poll(reader, 7, 200, &batch, err);
        assert_true(status == STATUS_OK || status == STATUS_TIMEOUT);
        assert_true(batch.count <= 7);
        for (size_t i = 0; i < batch.count; i++)
            assert_int_equal(batch.records[i].offset, next++);
        count += batch.count;
    }
    assert_int_equal(count, 20);
    struct log_batch batch;
    assert_status(log_reader_poll(reader, 0, 0, &batch, err), STATUS_INVALID);
    log_reader_close(reader);
    log_writer_close(writer);
}

static void a_paused_slot_is_silent_and_loses_nothing(void **state) {
    (void)state;
    const char *topic = fresh_topic("pause", 2);
    struct log_writer *writer = writer_on("", topic);
    struct log_position positions[] = {{topic, 0, 0}, {topic, 1, 0}};
    struct log_reader *reader = NULL;
    assert_good(log_reader_open(conformance_log, positions, 2, &reader, err));
    assert_good(log_reader_pause(reader, 0, true, err));
    append_text(writer, 0, 0, NULL, "held");
    append_text(writer, 0, 1, NULL, "flows");
    assert_good(commit_text(writer, NULL));
    struct kept kept;
    kept_init(&kept);
    read_until(reader, 1, &kept);
    assert_value(&kept.records[0], "flows");
    assert_quiet(reader);
    assert_good(log_reader_pause(reader, 0, false, err));
    read_until(reader, 2, &kept);
    assert_int_equal(kept.records[1].slot, 0);
    assert_value(&kept.records[1], "held");
    assert_status(log_reader_pause(reader, 2, true, err), STATUS_INVALID);
    kept_deinit(&kept);
    log_reader_close(reader);
    log_writer_close(writer);
}

static void pausing_after_delivery_repeats_nothing(void **state) {
    (void)state;
    const char *topic = fresh_topic("repause", 1);
    struct log_writer *writer = writer_on("", topic);
    for (int i = 0; i < 50; i++)
        append_text(writer, 0, 0, NULL, "x");
    assert_good(commit_text(writer, NULL));
    struct log_reader *reader = reader_at(topic, 0, 0);
    int64_t next = 0, deadline = now_ms() + DEADLINE_MS;
    while (next < 50 && now_ms() < deadline) {
        struct log_batch batch;
        enum status status = log_reader_poll(reader, 3, 200, &batch, err);
        assert_true(status == STATUS_OK || status == STATUS_TIMEOUT);
        for (size_t i = 0; i < batch.count; i++)
            assert_int_equal(batch.records[i].offset, next++);
        assert_good(log_reader_pause(reader, 0, true, err));
        assert_status(log_reader_poll(reader, 3, 0, &batch, err), STATUS_TIMEOUT);
        assert_good(log_reader_pause(reader, 0, false, err));
    }
    assert_int_equal(next, 50);
    log_reader_close(reader);
    log_writer_close(writer);
}

static void a_seek_moves_one_slot_back_or_forth(void **state) {
    (void)state;
    const char *topic = fresh_topic("seek", 2);
    struct log_writer *writer = writer_on("", topic);
    for (int i = 0; i < 6; i++)
        append_text(writer, 0, i % 2, NULL, "x");
    assert_good(commit_text(writer, NULL));
    struct log_position positions[] = {{topic, 0, 0}, {topic, 1, 0}};
    struct log_reader *reader = NULL;
    assert_good(log_reader_open(conformance_log, positions, 2, &reader, err));
    struct kept kept;
    kept_init(&kept);
    read_until(reader, 6, &kept);
    kept.count = 0;
    assert_good(log_reader_seek(reader, 1, 1, err));
    read_until(reader, 2, &kept);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(kept.records[i].slot, 1);
        assert_int_equal(kept.records[i].offset, 1 + i);
    }
    assert_quiet(reader);
    assert_status(log_reader_seek(reader, 0, 1000, err), STATUS_CHANGED);
    kept_deinit(&kept);
    log_reader_close(reader);
    log_writer_close(writer);
}

static void an_offset_beyond_the_end_is_refused_by_name_and_range(void **state) {
    (void)state;
    const char *topic = fresh_topic("beyond", 1);
    struct log_writer *writer = writer_on("", topic);
    append_text(writer, 0, 0, NULL, "only");
    assert_good(commit_text(writer, NULL));
    struct log_reader *reader = NULL;
    struct log_position position = {.topic = topic, .offset = 77};
    assert_status(log_reader_open(conformance_log, &position, 1, &reader, err), STATUS_CHANGED);
    assert_null(reader);
    assert_non_null(strstr(err->message, topic));
    assert_non_null(strstr(err->message, "77"));
    log_writer_close(writer);
}

static void bounds_and_end_follow_the_commits(void **state) {
    (void)state;
    const char *topic = fresh_topic("bounds", 1);
    struct log_writer *writer = writer_on("", topic);
    struct log_reader *reader = reader_at(topic, 0, 0);
    struct kept kept;
    kept_init(&kept);
    for (size_t i = 1; i <= 3; i++) {
        append_text(writer, 0, 0, NULL, "x");
        assert_good(commit_text(writer, NULL));
        read_until(reader, i, &kept);
        int64_t seen = -1;
        end_at_least(topic, kept.records[i - 1].offset + 1);
        assert_good(log_reader_end(reader, 0, &seen, err));
        assert_true(seen > kept.records[i - 1].offset);
    }
    kept_deinit(&kept);
    log_reader_close(reader);
    log_writer_close(writer);
}

static void the_end_has_reached_a_closed_writers_last_commit(void **state) {
    (void)state;
    const char *topic = fresh_topic("closed", 1);
    struct log_writer *writer = writer_on("", topic);
    append_text(writer, 0, 0, NULL, "x");
    assert_good(commit_text(writer, NULL));
    log_writer_close(writer);
    int64_t begin = -1, end = -1;
    assert_good(log_topic_bounds(conformance_log, topic, 0, &begin, &end, err));
    assert_true(end >= 1);
    struct log_reader *reader = reader_at(topic, 0, 0);
    int64_t position = 0, deadline = now_ms() + DEADLINE_MS;
    while (position < end && now_ms() < deadline) {
        struct log_batch batch;
        enum status status = log_reader_poll(reader, 10, 100, &batch, err);
        assert_true(status == STATUS_OK || status == STATUS_TIMEOUT);
        assert_good(log_reader_position(reader, 0, &position, err));
    }
    assert_int_equal(position, end); // past whatever is no record
    log_reader_close(reader);
}

int conformance_reader_run(CMFixtureFunction setup, CMFixtureFunction teardown) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_tells_its_backend),
        cmocka_unit_test(a_topic_is_made_once_and_keeps_its_partition_count),
        cmocka_unit_test(an_unknown_topic_is_not_found),
        cmocka_unit_test(names_that_no_backend_could_store_are_refused),
        cmocka_unit_test(an_empty_topic_begins_and_ends_at_zero_and_is_quiet),
        cmocka_unit_test(a_partition_that_is_not_there_is_refused),
        cmocka_unit_test(what_is_committed_is_read_back_in_order_with_all_its_fields),
        cmocka_unit_test(null_and_empty_keys_and_values_stay_apart),
        cmocka_unit_test(values_of_almost_a_megabyte_pass_whole),
        cmocka_unit_test(nothing_is_seen_before_its_commit),
        cmocka_unit_test(what_a_closed_writer_did_not_commit_is_dropped),
        cmocka_unit_test(one_commit_reaches_all_partitions_and_topics_and_the_journal),
        cmocka_unit_test(a_reader_goes_on_from_the_offset_it_is_given),
        cmocka_unit_test(a_poll_gives_no_more_records_than_asked_for),
        cmocka_unit_test(a_paused_slot_is_silent_and_loses_nothing),
        cmocka_unit_test(pausing_after_delivery_repeats_nothing),
        cmocka_unit_test(a_seek_moves_one_slot_back_or_forth),
        cmocka_unit_test(an_offset_beyond_the_end_is_refused_by_name_and_range),
        cmocka_unit_test(bounds_and_end_follow_the_commits),
        cmocka_unit_test(the_end_has_reached_a_closed_writers_last_commit),
    };
    return cmocka_run_group_tests_name("reader", tests, setup, teardown);
}
