// The Kafka backend when its broker is not there, dies, comes back, or refuses.
//
// Starts a broker of its own (scripts/kafka) in the folder that FRESHET_TEST_KAFKA_FAULTS_DIR
// names, because it kills it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/disk.h"
#include "log/log.h"

#define DEADLINE_MS 60000

static struct error error;
static struct error *const err = &error;
static const char *folder;
static struct log *the_log;

#define assert_good(call)                                                                          \
    do {                                                                                           \
        if ((call) != STATUS_OK)                                                                   \
            fail_msg("%s: %s", #call, error.message);                                              \
    } while (0)

static int64_t now_ms(void) {
    return clock_system.monotonic_us(&clock_system) / 1000;
}

// scripts/kafka with these words around the folder.
static void broker(const char *before, const char *after) {
    char command[1024];
    snprintf(command, sizeof(command), "scripts/kafka %s '%s' %s >/dev/null", before, folder,
             after);
    int result = system(command);
    if (result == -1 || !WIFEXITED(result) || WEXITSTATUS(result) != 0)
        fail_msg("%s failed", command);
}

static struct log *log_start(int64_t timeout_ms) {
    char path[512], address[128];
    snprintf(path, sizeof(path), "%s/address", folder);
    struct buffer bytes;
    buffer_init(&bytes);
    assert_good(disk_read_all(path, &bytes, err));
    snprintf(address, sizeof(address), "%.*s", (int)bytes.length, (const char *)bytes.data);
    address[strcspn(address, "\n")] = '\0';
    buffer_deinit(&bytes);
    struct log_kafka_options options = {.brokers = address,
                                        .replication_factor = 1,
                                        .timeout_ms = timeout_ms,
                                        .client_id = "faults"};
    struct log *log = NULL;
    assert_good(log_open_kafka(&options, &log, err));
    return log;
}

static enum status one_commit(struct log_writer *writer, const char *value) {
    struct log_record record = {
        .timestamp_ms = 1700000000000, .value = value, .value_length = strlen(value)};
    enum status status = log_writer_append(writer, 0, 0, &record, err);
    struct log_journal_entry entry = {.bytes = value, .length = strlen(value)};
    return status == STATUS_OK ? log_writer_commit(writer, &entry, 1, err) : status;
}

static struct log_writer *writer_open(const char *task, const char *topic) {
    struct log_writer *writer = NULL;
    assert_good(log_writer_open(the_log, task, &topic, 1, &writer, err));
    return writer;
}

static struct log_reader *reader_open(const char *topic) {
    struct log_position position = {.topic = topic};
    struct log_reader *reader = NULL;
    assert_good(log_reader_open(the_log, &position, 1, &reader, err));
    return reader;
}

// Polls until this status comes; other statuses but `bearable` fail.
static void poll_until(struct log_reader *reader, enum status wanted, enum status bearable,
                       struct log_batch *batch) {
    int64_t deadline = now_ms() + DEADLINE_MS;
    enum status status;
    while ((status = log_reader_poll(reader, 10, 100, batch, err)) != wanted) {
        if ((status != STATUS_TIMEOUT && status != bearable) || now_ms() > deadline)
            fail_msg("%s came where %s was wanted: %s", status_name(status), status_name(wanted),
                     error.message);
    }
}

static void a_broker_that_is_not_there_is_named_within_the_timeout(void **state) {
    (void)state;
    struct log_kafka_options options = {.brokers = "127.0.0.1:1",
                                        .replication_factor = 1,
                                        .timeout_ms = 1500,
                                        .client_id = "faults"};
    struct log *log = NULL;
    int64_t before = now_ms();
    assert_int_equal(log_open_kafka(&options, &log, err), STATUS_UNAVAILABLE);
    assert_true(now_ms() - before < 10000);
    assert_non_null(strstr(error.message, "127.0.0.1:1"));
    assert_non_null(strstr(error.message, "refused"));
    assert_null(log);
}

static void options_without_brokers_or_time_are_refused(void **state) {
    (void)state;
    struct log *log = NULL;
    struct log_kafka_options options = {.brokers = "", .replication_factor = 1, .timeout_ms = 1};
    assert_int_equal(log_open_kafka(&options, &log, err), STATUS_INVALID);
    options = (struct log_kafka_options){.brokers = "x:1", .replication_factor = 1};
    assert_int_equal(log_open_kafka(&options, &log, err), STATUS_INVALID);
}

static void a_record_too_large_is_refused_with_its_size(void **state) {
    (void)state;
    assert_good(log_topic_ensure(the_log, "large", 1, err));
    struct log_writer *writer = writer_open("large-task", "large");
    char *bytes = memory_new(3000000, 1);
    assert_non_null(bytes);
    struct log_record record = {.value = bytes, .value_length = 3000000};
    assert_int_equal(log_writer_append(writer, 0, 0, &record, err), STATUS_INVALID);
    assert_non_null(strstr(error.message, "3000000"));
    memory_free(bytes);
    log_writer_close(writer);
    writer = writer_open("large-task", "large");
    assert_good(one_commit(writer, "small"));
    log_writer_close(writer);
}

static void a_topic_deleted_under_its_reader_is_a_change(void **state) {
    (void)state;
    assert_good(log_topic_ensure(the_log, "doomed", 1, err));
    struct log_reader *reader = reader_open("doomed");
    struct log_batch batch;
    assert_int_equal(log_reader_poll(reader, 1, 100, &batch, err), STATUS_TIMEOUT);
    broker("topics", "--delete --topic doomed");
    poll_until(reader, STATUS_CHANGED, STATUS_UNAVAILABLE, &batch);
    assert_non_null(strstr(error.message, "doomed"));
    log_reader_close(reader);
}

static void a_journal_whose_start_was_trimmed_is_read_from_what_is_left(void **state) {
    (void)state;
    assert_good(log_topic_ensure(the_log, "trimmed", 1, err));
    struct log_writer *writer = writer_open("trimmed-task", "trimmed");
    assert_good(one_commit(writer, "a"));
    assert_good(one_commit(writer, "b"));
    int64_t place = log_writer_journal_place(writer), begin = 0, end = 0;
    assert_good(one_commit(writer, "c"));
    assert_good(log_writer_journal_trim(writer, place, err));
    assert_good(log_topic_bounds(the_log, "trimmed-task.journal", 0, &begin, &end, err));
    assert_int_equal(begin, place);
    struct log_position position = {.topic = "trimmed-task.journal", .offset = 0};
    struct log_reader *reader = NULL;
    assert_int_equal(log_reader_open(the_log, &position, 1, &reader, err), STATUS_CHANGED);
    log_writer_close(writer);
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

static void a_broker_killed_half_way_is_ridden_out_and_nothing_is_lost_or_doubled(void **state) {
    (void)state;
    struct log *first = the_log;
    the_log = log_start(5000);
    assert_good(log_topic_ensure(the_log, "outage", 1, err));
    struct log_writer *writer = writer_open("outage-task", "outage");
    struct log_reader *reader = reader_open("outage");
    struct log_batch batch;
    assert_good(one_commit(writer, "before"));
    poll_until(reader, STATUS_OK, STATUS_OK, &batch);
    assert_memory_equal(batch.records[0].value, "before", 6);

    broker("kill", "");
    poll_until(reader, STATUS_UNAVAILABLE, STATUS_UNAVAILABLE, &batch);
    int64_t before = now_ms();
    assert_int_equal(one_commit(writer, "lost"), STATUS_UNAVAILABLE);
    assert_true(now_ms() - before < 30000);
    log_writer_close(writer);

    broker("start", "");
    int64_t deadline = now_ms() + DEADLINE_MS;
    const char *output = "outage";
    enum status status;
    while ((status = log_writer_open(the_log, "outage-task", &output, 1, &writer, err)) ==
               STATUS_UNAVAILABLE &&
           now_ms() < deadline)
        clock_system.sleep_ms(&clock_system, 100);
    assert_good(status);
    // The fate of the commit that failed is whatever the journal says; the topic must agree.
    int64_t journalled = 0;
    assert_good(log_writer_journal_read(writer, 0, entries_count, &journalled, err));
    assert_in_range(journalled, 1, 2);
    assert_good(one_commit(writer, "after"));
    for (int64_t wanted = journalled; wanted > 0; wanted--) {
        poll_until(reader, STATUS_OK, STATUS_UNAVAILABLE, &batch);
        wanted -= (int64_t)batch.count - 1;
    }
    assert_memory_equal(batch.records[batch.count - 1].value, "after", 5);
    assert_int_equal(log_reader_poll(reader, 10, 200, &batch, err), STATUS_TIMEOUT);
    log_reader_close(reader);
    log_writer_close(writer);
    log_close(the_log);
    the_log = first;
}

static int setup(void **state) {
    (void)state;
    folder = getenv("FRESHET_TEST_KAFKA_FAULTS_DIR");
    if (!folder)
        return -1;
    broker("start --fresh", "");
    the_log = log_start(20000);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    log_close(the_log);
    broker("stop", "");
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broker_that_is_not_there_is_named_within_the_timeout),
        cmocka_unit_test(options_without_brokers_or_time_are_refused),
        cmocka_unit_test(a_record_too_large_is_refused_with_its_size),
        cmocka_unit_test(a_topic_deleted_under_its_reader_is_a_change),
        cmocka_unit_test(a_journal_whose_start_was_trimmed_is_read_from_what_is_left),
        cmocka_unit_test(a_broker_killed_half_way_is_ridden_out_and_nothing_is_lost_or_doubled),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
