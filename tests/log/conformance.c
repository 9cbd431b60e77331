// One test of every backend: what log.h promises, on memory, on files and on a real Kafka.
//
// Built once for each backend (CONFORMANCE_BACKEND). Nothing here knows which one it runs on, but
// for opening it and for the few things a library cannot tell.
#include "tests/log/conformance.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "base/disk.h"
#include "log/memory.h"

struct error conformance_error;
struct log *conformance_log;
static struct error *const err = &conformance_error;
static char directory[256];

int64_t now_ms(void) {
    return clock_system.monotonic_us(&clock_system) / 1000;
}

const char *fresh_name(const char *what) {
    static char names[16][160];
    static unsigned turn;
    char *name = names[turn++ % 16];
    snprintf(name, sizeof(names[0]), "%s-%lld-%u", what,
             (long long)clock_system.wall_ms(&clock_system), turn);
    return name;
}

const char *fresh_topic(const char *what, int32_t partitions) {
    const char *name = fresh_name(what);
    assert_good(log_topic_ensure(conformance_log, name, partitions, err));
    return name;
}

struct log_writer *writer_on(const char *task, const char *topic) {
    struct log_writer *writer = NULL;
    assert_good(log_writer_open(conformance_log, task, &topic, 1, &writer, err));
    return writer;
}

struct log_writer *writer_on_two(const char *task, const char *first, const char *second) {
    struct log_writer *writer = NULL;
    assert_good(
        log_writer_open(conformance_log, task, (const char *[]){first, second}, 2, &writer, err));
    return writer;
}

struct log_reader *reader_at(const char *topic, int32_t partition, int64_t offset) {
    struct log_reader *reader = NULL;
    struct log_position position = {.topic = topic, .partition = partition, .offset = offset};
    assert_good(log_reader_open(conformance_log, &position, 1, &reader, err));
    return reader;
}

void append_text(struct log_writer *writer, size_t output, int32_t partition, const char *key,
                 const char *value) {
    struct log_record record = {.timestamp_ms = 1700000000000,
                                .sequence = LOG_NO_SEQUENCE,
                                .key = key,
                                .key_length = key ? strlen(key) : 0,
                                .value = value,
                                .value_length = value ? strlen(value) : 0};
    assert_good(log_writer_append(writer, output, partition, &record, err));
}

enum status commit_text(struct log_writer *writer, const char *entry) {
    struct log_journal_entry one = {.bytes = entry, .length = entry ? strlen(entry) : 0};
    return log_writer_commit(writer, &one, entry ? 1 : 0, err);
}

int64_t end_at_least(const char *topic, int64_t least) {
    int64_t begin = -1, end = -1, deadline = now_ms() + DEADLINE_MS;
    do
        assert_good(log_topic_bounds(conformance_log, topic, 0, &begin, &end, err));
    while (end < least && now_ms() < deadline);
    assert_int_equal(begin, 0);
    assert_true(end >= least);
    return end;
}

void kept_init(struct kept *kept) {
    *kept = (struct kept){0};
    arena_init(&kept->arena, 1 << 16);
}

void kept_deinit(struct kept *kept) {
    memory_free(kept->records);
    arena_deinit(&kept->arena);
}

static const void *bytes_keep(struct kept *kept, const void *bytes, size_t length) {
    if (!bytes)
        return NULL;
    return arena_copy_string(&kept->arena, bytes, length);
}

static void batch_keep(struct kept *kept, const struct log_batch *batch) {
    if (kept->count + batch->count > kept->capacity) {
        size_t wanted = 2 * (kept->count + batch->count);
        kept->records =
            memory_resize(kept->records, kept->capacity, wanted, sizeof(*kept->records));
        assert_non_null(kept->records);
        kept->capacity = wanted;
    }
    for (size_t i = 0; i < batch->count; i++) {
        struct log_record *record = &kept->records[kept->count++];
        *record = batch->records[i];
        record->key = bytes_keep(kept, record->key, record->key_length);
        record->value = bytes_keep(kept, record->value, record->value_length);
    }
}

void read_until(struct log_reader *reader, size_t count, struct kept *kept) {
    int64_t deadline = now_ms() + DEADLINE_MS;
    while (kept->count < count) {
        struct log_batch batch;
        enum status status = log_reader_poll(reader, 100, 200, &batch, err);
        if (status != STATUS_TIMEOUT)
            assert_status(status, STATUS_OK);
        batch_keep(kept, &batch);
        if (now_ms() > deadline)
            fail_msg("%zu of %zu records came within %d ms", kept->count, count, DEADLINE_MS);
    }
}

void assert_quiet(struct log_reader *reader) {
    struct log_batch batch;
    int64_t before = now_ms();
    assert_status(log_reader_poll(reader, 10, QUIET_MS, &batch, err), STATUS_TIMEOUT);
    assert_int_equal(batch.count, 0);
    assert_true(now_ms() - before < QUIET_MS + 5000);
}

void assert_value(const struct log_record *record, const char *value) {
    assert_non_null(record->value);
    assert_int_equal(record->value_length, strlen(value));
    assert_memory_equal(record->value, value, record->value_length);
}

enum status journal_collect(void *self, int64_t place, const void *bytes, size_t length,
                            struct error *unused) {
    (void)unused;
    struct journal_text *into = self;
    size_t used = strlen(into->text);
    snprintf(into->text + used, sizeof(into->text) - used, "%s%.*s", into->count ? "|" : "",
             (int)length, (const char *)bytes);
    if (into->count++ == 0)
        into->first = place;
    into->last = place;
    return STATUS_OK;
}

void journal_of(struct log_writer *writer, int64_t place, struct journal_text *into) {
    *into = (struct journal_text){.first = -1, .last = -1};
    assert_good(log_writer_journal_read(writer, place, journal_collect, into, err));
}

static int setup(void **state) {
    (void)state;
    enum status status = STATUS_OK;
    if (CONFORMANCE_BACKEND == LOG_MEMORY) {
        status = log_open_memory(&conformance_log, err);
    } else if (CONFORMANCE_BACKEND == LOG_FILES) {
        snprintf(directory, sizeof(directory), "%s/freshet-log-XXXXXX",
                 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
        if (!mkdtemp(directory))
            return -1;
        struct log_files_options options = {
            .directory = directory, .segment_bytes = 4 << 20, .fsync = true};
        status = log_open_files(&options, &conformance_log, err);
    } else {
        const char *folder = getenv("FRESHET_TEST_KAFKA_DIR");
        char path[512];
        snprintf(path, sizeof(path), "%s/address", folder ? folder : ".");
        struct buffer address;
        buffer_init(&address);
        status = disk_read_all(path, &address, err);
        char brokers[128];
        snprintf(brokers, sizeof(brokers), "%.*s", (int)address.length,
                 address.data ? (const char *)address.data : "");
        brokers[strcspn(brokers, "\n")] = '\0';
        buffer_deinit(&address);
        struct log_kafka_options options = {.brokers = brokers,
                                            .replication_factor = 1,
                                            .timeout_ms = 20000,
                                            .client_id = "conformance"};
        if (status == STATUS_OK)
            status = log_open_kafka(&options, &conformance_log, err);
    }
    if (status != STATUS_OK)
        fprintf(stderr, "could not open the log: %s\n", err->message);
    return status == STATUS_OK ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    log_close(conformance_log);
    if (directory[0] == '\0')
        return 0;
    return disk_remove_tree(directory, err) == STATUS_OK ? 0 : -1;
}

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
    }
    assert_good(commit_text(writer, NULL));
    int64_t end = end_at_least(topic, 10), offset = -1;
    struct log *log = conformance_log;
    assert_good(log_topic_offset_at(log, topic, 0, 1700000004000, &offset, err));
    assert_int_equal(offset, 4);
    assert_good(log_topic_offset_at(log, topic, 0, 1700000004001, &offset, err));
    assert_int_equal(offset, 5);
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
        snprintf(path, sizeof(path), "%s/%s", directory, topic);
        assert_good(disk_remove_tree(path, err));
    } else {
        skip(); // librdkafka before 2.3 does not tell a topic's id
    }
    assert_good(log_topic_ensure(conformance_log, topic, 1, err));
    assert_good(log_topic_identity(conformance_log, topic, &second, err));
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

int main(void) {
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
    return cmocka_run_group_tests(tests, setup, teardown);
}
