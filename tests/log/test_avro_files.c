// What only the files backend promises: real Avro files, and all or nothing under planted faults.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <avro.h>

#include "base/disk.h"
#include "log/log.h"

enum { COMMITS = 6, PARTITIONS = 2, PER_COMMIT = 3 };

static struct error error;
static struct error *const err = &error;
static char directory[256];
static struct log *the_log;

#define assert_good(call)                                                                          \
    do {                                                                                           \
        if ((call) != STATUS_OK)                                                                   \
            fail_msg("%s: %s", #call, error.message);                                              \
    } while (0)

static void log_start(int64_t segment_bytes) {
    struct log_files_options options = {
        .directory = directory, .segment_bytes = segment_bytes, .fsync = true};
    assert_good(log_open_files(&options, &the_log, err));
}

static void log_stop(void) {
    log_close(the_log);
    the_log = NULL;
}

static int setup(void **state) {
    (void)state;
    const char *folder = getenv("TMPDIR");
    snprintf(directory, sizeof(directory), "%s/freshet-files-XXXXXX", folder ? folder : "/tmp");
    return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    disk_fault_plant(DISK_FAULT_CRASH, 0);
    log_stop();
    return disk_remove_tree(directory, err) == STATUS_OK ? 0 : -1;
}

// One commit of the sequence: PER_COMMIT records to every partition of "out", and its number in the
// journal when the writer has a task.
static enum status commit_number(struct log_writer *writer, int64_t number, bool journal) {
    for (int32_t p = 0; p < PARTITIONS; p++)
        for (int64_t i = 0; i < PER_COMMIT; i++) {
            char value[64];
            int length = snprintf(value, sizeof(value), "commit %lld of partition %d",
                                  (long long)number, (int)p);
            struct log_record record = {.timestamp_ms = number,
                                        .sequence = number * PER_COMMIT + i,
                                        .value = value,
                                        .value_length = (size_t)length};
            enum status status = log_writer_append(writer, 0, p, &record, err);
            if (status != STATUS_OK)
                return status;
        }
    char text[32];
    int length = snprintf(text, sizeof(text), "%lld", (long long)number);
    struct log_journal_entry entry = {.bytes = text, .length = (size_t)length};
    return log_writer_commit(writer, &entry, journal ? 1 : 0, err);
}

// Number of commits that are whole in a partition; fails on anything else.
static int64_t commits_in(int32_t partition) {
    int64_t begin = 0, end = 0;
    assert_good(log_topic_bounds(the_log, "out", partition, &begin, &end, err));
    assert_int_equal(begin, 0);
    assert_int_equal(end % PER_COMMIT, 0);
    struct log_position position = {.topic = "out", .partition = partition};
    struct log_reader *reader = NULL;
    assert_good(log_reader_open(the_log, &position, 1, &reader, err));
    int64_t count = 0;
    struct log_batch batch;
    enum status status;
    while ((status = log_reader_poll(reader, 5, 0, &batch, err)) == STATUS_OK)
        for (size_t i = 0; i < batch.count; i++, count++) {
            assert_int_equal(batch.records[i].offset, count);
            assert_int_equal(batch.records[i].sequence, count);
            assert_int_equal(batch.records[i].timestamp_ms, count / PER_COMMIT);
        }
    assert_int_equal(status, STATUS_TIMEOUT);
    assert_int_equal(count, end);
    log_reader_close(reader);
    return end / PER_COMMIT;
}

static enum status journal_count(void *self, int64_t place, const void *bytes, size_t length,
                                 struct error *unused) {
    (void)unused;
    int64_t *count = self;
    char text[32];
    int wanted = snprintf(text, sizeof(text), "%lld", (long long)*count);
    assert_int_equal(place, *count);
    assert_int_equal(length, wanted);
    assert_memory_equal(bytes, text, length);
    ++*count;
    return STATUS_OK;
}

static struct log_writer *writer_open(const char *task) {
    const char *output = "out";
    struct log_writer *writer = NULL;
    assert_good(log_writer_open(the_log, task, &output, 1, &writer, err));
    return writer;
}

// Commits until COMMITS or the planted fault. *done: commits that returned.
static enum status sequence_run(const char *task, int64_t from, int64_t *done) {
    const char *output = "out";
    struct log_writer *writer = NULL;
    enum status status = log_writer_open(the_log, task, &output, 1, &writer, err);
    *done = from;
    while (status == STATUS_OK && *done < COMMITS) {
        status = commit_number(writer, *done, *task != '\0');
        *done += status == STATUS_OK;
    }
    log_writer_close(writer);
    return status;
}

static void fault_survive(const char *task, enum disk_fault fault, uint64_t n, bool *ret_met) {
    log_start(700);
    assert_good(log_topic_ensure(the_log, "out", PARTITIONS, err));
    disk_fault_plant(fault, n);
    int64_t done = 0;
    enum status status = sequence_run(task, 0, &done);
    disk_fault_plant(fault, 0);
    *ret_met = status != STATUS_OK;
    if (*ret_met && fault == DISK_FAULT_FULL)
        assert_int_equal(status, STATUS_EXHAUSTED);
    log_stop();

    log_start(700);
    int64_t journalled = 0;
    if (*task != '\0') {
        struct log_writer *writer = writer_open(task);
        assert_good(log_writer_journal_read(writer, 0, journal_count, &journalled, err));
        log_writer_close(writer);
    } else {
        journalled = commits_in(0);
    }
    if (journalled != done && journalled != done + 1)
        fail_msg("fault %d at mutation %llu: %lld commits returned, %lld are there", (int)fault,
                 (unsigned long long)n, (long long)done, (long long)journalled);
    for (int32_t p = 0; p < PARTITIONS; p++)
        assert_int_equal(commits_in(p), journalled);
    assert_good(sequence_run(task, journalled, &done));
    for (int32_t p = 0; p < PARTITIONS; p++)
        assert_int_equal(commits_in(p), COMMITS);
    log_stop();
    assert_good(disk_remove_tree(directory, err));
    assert_good(disk_make_directory(directory, err));
}

static void faults_survive(const char *task, enum disk_fault fault) {
    bool met = true;
    uint64_t n = 0;
    while (met)
        fault_survive(task, fault, ++n, &met);
    assert_true(n > 2 * COMMITS); // the plant was met at every mutation before
}

static void a_crash_at_any_write_leaves_whole_commits_that_the_journal_names(void **state) {
    (void)state;
    faults_survive("task", DISK_FAULT_CRASH);
}

static void a_crash_in_the_midst_of_any_write_leaves_whole_commits(void **state) {
    (void)state;
    faults_survive("task", DISK_FAULT_CRASH_TORN);
}

static void a_full_disk_is_said_and_shows_nothing_half(void **state) {
    (void)state;
    faults_survive("task", DISK_FAULT_FULL);
}

static void a_writer_without_a_task_commits_all_partitions_or_none_at_any_crash(void **state) {
    (void)state;
    faults_survive("", DISK_FAULT_CRASH);
    faults_survive("", DISK_FAULT_CRASH_TORN);
}

static void another_process_finds_the_task_and_its_partitions_locked(void **state) {
    (void)state;
    log_start(1 << 20);
    assert_good(log_topic_ensure(the_log, "out", PARTITIONS, err));
    struct log_writer *writer = writer_open("task");
    assert_good(commit_number(writer, 0, true));
    // A second log on the same directory shares nothing with the first but the files.
    struct log *first = the_log;
    log_start(1 << 20);
    const char *output = "out";
    struct log_writer *other = NULL;
    assert_int_equal(log_writer_open(the_log, "task", &output, 1, &other, err), STATUS_FENCED);
    assert_good(log_writer_open(the_log, "other", &output, 1, &other, err));
    struct log_record record = {.value = "x", .value_length = 1};
    assert_int_equal(log_writer_append(other, 0, 0, &record, err), STATUS_FENCED);
    log_writer_close(other);
    assert_int_equal(commits_in(0), 1); // reading needs no lock
    log_stop();
    the_log = first;
    assert_good(commit_number(writer, 1, true));
    assert_int_equal(commits_in(1), 2);
    log_writer_close(writer);
}

static void commits_write(int64_t count) {
    struct log_writer *writer = writer_open("task");
    for (int64_t i = 0; i < count; i++)
        assert_good(commit_number(writer, i, true));
    log_writer_close(writer);
}

static void the_segments_are_avro_container_files(void **state) {
    (void)state;
    log_start(1);
    assert_good(log_topic_ensure(the_log, "out", PARTITIONS, err));
    commits_write(2);
    char path[512];
    for (int64_t segment = 0; segment < 2; segment++) {
        snprintf(path, sizeof(path), "%s/out/1/%020lld.avro", directory,
                 (long long)segment * PER_COMMIT);
        avro_file_reader_t file;
        assert_int_equal(avro_file_reader(path, &file), 0);
        avro_schema_t schema = avro_file_reader_get_writer_schema(file);
        avro_value_iface_t *class = avro_generic_class_from_schema(schema);
        avro_value_t value, field, branch;
        avro_generic_value_new(class, &value);
        int64_t count = 0, offset = 0;
        while (avro_file_reader_read_value(file, &value) == 0) {
            avro_value_get_by_name(&value, "offset", &field, NULL);
            assert_int_equal(avro_value_get_long(&field, &offset), 0);
            assert_int_equal(offset, segment * PER_COMMIT + count++);
            avro_value_get_by_name(&value, "value", &field, NULL);
            assert_int_equal(avro_value_get_current_branch(&field, &branch), 0);
            const void *bytes = NULL;
            size_t size = 0;
            assert_int_equal(avro_value_get_bytes(&branch, &bytes, &size), 0);
            assert_memory_equal(bytes, "commit ", 7);
        }
        assert_int_equal(count, PER_COMMIT);
        avro_value_decref(&value);
        avro_value_iface_decref(class);
        avro_schema_decref(schema);
        avro_file_reader_close(file);
    }
}

static void the_schema_in_the_files_is_the_one_in_schemas(void **state) {
    (void)state;
    log_start(1 << 20);
    assert_good(log_topic_ensure(the_log, "out", PARTITIONS, err));
    commits_write(1);
    char path[512];
    snprintf(path, sizeof(path), "%s/out/0/%020d.avro", directory, 0);
    avro_file_reader_t file;
    assert_int_equal(avro_file_reader(path, &file), 0);
    avro_schema_t written = avro_file_reader_get_writer_schema(file), documented;
    struct buffer text;
    buffer_init(&text);
    assert_good(disk_read_all("schemas/envelope.avsc", &text, err));
    assert_int_equal(
        avro_schema_from_json_length((const char *)text.data, text.length, &documented), 0);
    assert_true(avro_schema_equal(written, documented));
    buffer_deinit(&text);
    avro_schema_decref(documented);
    avro_schema_decref(written);
    avro_file_reader_close(file);
}

static void byte_flip(const char *path, uint64_t at) {
    struct disk_file *file = NULL;
    unsigned char byte = 0;
    size_t length = 0;
    assert_good(disk_open(path, DISK_UPDATE, &file, err));
    assert_good(disk_read_at(file, at, &byte, 1, &length, err));
    assert_int_equal(length, 1);
    byte ^= 0x55;
    assert_good(disk_write_at(file, at, &byte, 1, err));
    disk_close(file);
}

static void a_damaged_block_is_corrupt_and_named(void **state) {
    (void)state;
    log_start(1 << 20);
    assert_good(log_topic_ensure(the_log, "out", PARTITIONS, err));
    commits_write(3);
    char path[512];
    snprintf(path, sizeof(path), "%s/out/0/%020d.avro", directory, 0);
    struct disk_file *file = NULL;
    uint64_t bytes = 0;
    assert_good(disk_open(path, DISK_READ, &file, err));
    assert_good(disk_size(file, &bytes, err));
    disk_close(file);
    byte_flip(path, bytes - 3); // in the last sync marker
    struct log_position position = {.topic = "out"};
    struct log_reader *reader = NULL;
    assert_good(log_reader_open(the_log, &position, 1, &reader, err));
    struct log_batch batch;
    size_t count = 0;
    enum status status;
    while ((status = log_reader_poll(reader, 100, 0, &batch, err)) == STATUS_OK)
        count += batch.count;
    assert_int_equal(status, STATUS_CORRUPT);
    assert_non_null(strstr(err->message, path));
    assert_int_equal(count, 2 * PER_COMMIT); // what stands before is given
    log_reader_close(reader);
}

static void a_torn_last_journal_record_is_cut_and_its_commit_never_was(void **state) {
    (void)state;
    log_start(1 << 20);
    assert_good(log_topic_ensure(the_log, "out", PARTITIONS, err));
    commits_write(2);
    char path[512];
    snprintf(path, sizeof(path), "%s/.journals/task/%020d.journal", directory, 0);
    struct disk_file *file = NULL;
    assert_good(disk_open(path, DISK_APPEND, &file, err));
    assert_good(disk_write(file, "FRSHJNL1 half of a frame", 24, err));
    disk_close(file);
    struct log_writer *writer = writer_open("task");
    int64_t count = 0;
    assert_good(log_writer_journal_read(writer, 0, journal_count, &count, err));
    assert_int_equal(count, 2);
    assert_good(commit_number(writer, 2, true));
    count = 0;
    assert_good(log_writer_journal_read(writer, 0, journal_count, &count, err));
    assert_int_equal(count, 3);
    log_writer_close(writer);
}

static void a_bad_journal_record_before_good_ones_is_corrupt(void **state) {
    (void)state;
    log_start(1 << 20);
    assert_good(log_topic_ensure(the_log, "out", PARTITIONS, err));
    commits_write(3);
    char path[512];
    snprintf(path, sizeof(path), "%s/.journals/task/%020d.journal", directory, 0);
    byte_flip(path, 40);
    const char *output = "out";
    struct log_writer *writer = NULL;
    assert_int_equal(log_writer_open(the_log, "task", &output, 1, &writer, err), STATUS_CORRUPT);
    int64_t count = 0;
    assert_int_equal(log_journal_read(the_log, "task", 0, journal_count, &count, err),
                     STATUS_CORRUPT);
}

static void a_segment_that_retention_removed_is_a_change(void **state) {
    (void)state;
    log_start(1);
    assert_good(log_topic_ensure(the_log, "out", PARTITIONS, err));
    commits_write(4);
    char path[512];
    snprintf(path, sizeof(path), "%s/out/0/%020d.avro", directory, 0);
    assert_good(disk_remove(path, err));
    int64_t begin = 0, end = 0;
    assert_good(log_topic_bounds(the_log, "out", 0, &begin, &end, err));
    assert_int_equal(begin, PER_COMMIT);
    struct log_position position = {.topic = "out", .offset = 1};
    struct log_reader *reader = NULL;
    assert_int_equal(log_reader_open(the_log, &position, 1, &reader, err), STATUS_CHANGED);
    position.offset = PER_COMMIT;
    assert_good(log_reader_open(the_log, &position, 1, &reader, err));
    struct log_batch batch;
    assert_good(log_reader_poll(reader, 100, 0, &batch, err));
    assert_int_equal(batch.records[0].offset, PER_COMMIT);
    log_reader_close(reader);
}

static void a_reader_of_a_topic_made_anew_is_told(void **state) {
    (void)state;
    log_start(1 << 20);
    assert_good(log_topic_ensure(the_log, "out", PARTITIONS, err));
    struct log_position position = {.topic = "out"};
    struct log_reader *reader = NULL;
    assert_good(log_reader_open(the_log, &position, 1, &reader, err));
    char path[512];
    snprintf(path, sizeof(path), "%s/out", directory);
    assert_good(disk_remove_tree(path, err));
    struct log_batch batch;
    assert_int_equal(log_reader_poll(reader, 1, 0, &batch, err), STATUS_CHANGED);
    assert_good(log_topic_ensure(the_log, "out", PARTITIONS, err));
    assert_int_equal(log_reader_poll(reader, 1, 0, &batch, err), STATUS_CHANGED);
    log_reader_close(reader);
}

static void options_that_cannot_work_are_refused(void **state) {
    (void)state;
    struct log *log = NULL;
    struct log_files_options options = {.directory = "", .segment_bytes = 1};
    assert_int_equal(log_open_files(&options, &log, err), STATUS_INVALID);
    options = (struct log_files_options){.directory = directory, .segment_bytes = 0};
    assert_int_equal(log_open_files(&options, &log, err), STATUS_INVALID);
    assert_null(log);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_crash_at_any_write_leaves_whole_commits_that_the_journal_names),
        TEST(a_crash_in_the_midst_of_any_write_leaves_whole_commits),
        TEST(a_full_disk_is_said_and_shows_nothing_half),
        TEST(a_writer_without_a_task_commits_all_partitions_or_none_at_any_crash),
        TEST(another_process_finds_the_task_and_its_partitions_locked),
        TEST(the_segments_are_avro_container_files),
        TEST(the_schema_in_the_files_is_the_one_in_schemas),
        TEST(a_damaged_block_is_corrupt_and_named),
        TEST(a_torn_last_journal_record_is_cut_and_its_commit_never_was),
        TEST(a_bad_journal_record_before_good_ones_is_corrupt),
        TEST(a_segment_that_retention_removed_is_a_change),
        TEST(a_reader_of_a_topic_made_anew_is_told),
        TEST(options_that_cannot_work_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
