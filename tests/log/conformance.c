// One test of every backend: what log.h promises, on memory, on files and on a real Kafka.
//
// Built once for each backend (CONFORMANCE_BACKEND). Nothing here knows which one it runs on, but
// for opening it and for the few things a library cannot tell.
#include "tests/log/conformance.h"

#include <unistd.h>

#include "base/disk.h"

struct error conformance_error;
struct log *conformance_log;
static struct error *const err = &conformance_error;
char conformance_directory[256];

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
        snprintf(conformance_directory, sizeof(conformance_directory), "%s/freshet-log-XXXXXX",
                 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
        if (!mkdtemp(conformance_directory))
            return -1;
        struct log_files_options options = {
            .directory = conformance_directory, .segment_bytes = 4 << 20, .fsync = true};
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
    if (conformance_directory[0] == '\0')
        return 0;
    return disk_remove_tree(conformance_directory, err) == STATUS_OK ? 0 : -1;
}

int main(void) {
    int failed = conformance_reader_run(setup, teardown);
    return failed + conformance_writer_run(setup, teardown);
}
