// The Kafka backend's writer: a transactional producer, whose id is the task, and the task's
// journal.
//
// A transaction begins with the first append or journal record and is committed whole. Opening
// fences the older producer of the id and ends its transaction before it returns. The journal is a
// topic of one partition that is kept for ever (until trimmed); its places are offsets, and the
// place after a commit is known from the delivery report of its last record.
#include "log/kafka.h"

#include <string.h>
#include <unistd.h>

#include "base/wire.h"

#define POLL_EVERY 4096 // appends between two looks at delivery reports
#define CLOSE_MS 5000   // to abort and to see the last commit, when closing

struct kafka_writer {
    struct log_writer head;
    char *name;
    char *journal_topic; // NULL without a task
    rd_kafka_t *producer;
    rd_kafka_topic_t **topics; // [head.output_count]
    rd_kafka_topic_t *journal;
    int32_t *partition_counts;
    int64_t **next;   // [output][partition] offset after the last one delivered; 0 = none
    int64_t place;    // the same of the journal, or where it ended when opened
    bool transaction; // one is open
    bool committed;   // something was, and nothing failed since
    size_t appended;  // since the last poll
};

static void partition_await(struct kafka_log *log, const char *topic, int32_t partition,
                            int64_t next, int64_t deadline_ms) {
    int64_t begin = 0, end = 0;
    struct error ignored;
    while (kafka_left_ms(deadline_ms) > 0) {
        if (kafka_bounds(log->client, topic, partition, CLOSE_MS, &begin, &end, &ignored) !=
                STATUS_OK ||
            end >= next)
            return;
        clock_system.sleep_ms(&clock_system, 5);
    }
}

// Waits until readers can see the last commit. Nothing is lost where that takes too long.
static void commit_await(const struct kafka_writer *writer) {
    struct kafka_log *log = (struct kafka_log *)writer->head.log;
    int64_t deadline_ms = kafka_now_ms() + CLOSE_MS;
    for (size_t i = 0; i < writer->head.output_count; i++)
        for (int32_t p = 0; p < writer->partition_counts[i]; p++)
            if (writer->next[i][p] > 0)
                partition_await(log, rd_kafka_topic_name(writer->topics[i]), p, writer->next[i][p],
                                deadline_ms);
    if (writer->journal && writer->place > 0)
        partition_await(log, writer->journal_topic, 0, writer->place, deadline_ms);
}

void kafka_writer_close(struct log_writer *head) {
    struct kafka_writer *writer = (struct kafka_writer *)head;
    if (writer->committed)
        commit_await(writer);
    if (writer->producer && writer->transaction) {
        // A writer that is gone would hold readers back until the transaction times out.
        rd_kafka_error_t *failure = rd_kafka_abort_transaction(writer->producer, CLOSE_MS);
        if (failure)
            rd_kafka_error_destroy(failure);
    }
    for (size_t i = 0; writer->topics && i < head->output_count; i++)
        if (writer->topics[i])
            rd_kafka_topic_destroy(writer->topics[i]);
    for (size_t i = 0; writer->next && i < head->output_count; i++)
        memory_free(writer->next[i]);
    memory_free(writer->next);
    if (writer->journal)
        rd_kafka_topic_destroy(writer->journal);
    if (writer->producer) {
        rd_kafka_purge(writer->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_destroy(writer->producer);
    }
    memory_free(writer->topics);
    memory_free(writer->partition_counts);
    memory_free(writer->journal_topic);
    memory_free(writer->name);
    memory_free(writer);
}

// Served within our own calls.
static void delivery_note(rd_kafka_t *handle, const rd_kafka_message_t *message, void *self) {
    (void)handle;
    (void)self;
    int64_t *next = message->_private;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR && message->offset >= *next)
        *next = message->offset + 1;
}

static void writer_conf(rd_kafka_conf_t *conf) {
    rd_kafka_conf_set_dr_msg_cb(conf, delivery_note);
}

// Translates a failed transaction call, ends the transaction where librdkafka asks for it, and
// destroys `failure`.
static enum status transaction_failed(struct kafka_writer *writer, rd_kafka_error_t *failure,
                                      const char *doing, struct error *err) {
    rd_kafka_resp_err_t code = rd_kafka_error_code(failure);
    writer->committed = false;
    char reason[KAFKA_REASON_MAX], text[KAFKA_REASON_MAX];
    snprintf(reason, sizeof(reason), "%s", rd_kafka_error_string(failure));
    if (rd_kafka_error_is_fatal(failure) || code == RD_KAFKA_RESP_ERR__FATAL) {
        rd_kafka_resp_err_t first = rd_kafka_fatal_error(writer->producer, text, sizeof(text));
        code = first != RD_KAFKA_RESP_ERR_NO_ERROR ? first : code;
        writer->transaction = false;
    } else if (rd_kafka_error_txn_requires_abort(failure)) {
        rd_kafka_error_t *second = rd_kafka_abort_transaction(
            writer->producer, ((struct kafka_log *)writer->head.log)->timeout_ms);
        if (second)
            rd_kafka_error_destroy(second);
        writer->transaction = false;
    }
    rd_kafka_error_destroy(failure);
    enum status status = kafka_status(code);
    if (status == STATUS_FENCED)
        return error_set(err, status, "task `%s` has a newer writer", writer->name);
    return error_set(err, status, "could not %s of task `%s` on Kafka: %s", doing, writer->name,
                     reason);
}

static enum status transactions_init(struct kafka_writer *writer, struct kafka_log *log,
                                     struct error *err) {
    int64_t deadline_ms = kafka_now_ms() + log->timeout_ms;
    while (true) {
        int left = kafka_left_ms(deadline_ms);
        rd_kafka_error_t *failure = rd_kafka_init_transactions(writer->producer, left ? left : 1);
        if (!failure)
            return STATUS_OK;
        if (!rd_kafka_error_is_retriable(failure) || kafka_left_ms(deadline_ms) == 0)
            return transaction_failed(writer, failure, "begin the transactions", err);
        rd_kafka_error_destroy(failure);
        clock_system.sleep_ms(&clock_system, 50); // the coordinator is loading
    }
}

static enum status producer_make(struct kafka_writer *writer, struct kafka_log *log,
                                 struct error *err) {
    static unsigned counter; // with process and time: an id that nobody else has
    char unique[128];
    snprintf(unique, sizeof(unique), "%s-%lld-%lld-%u", log->client_id, (long long)getpid(),
             (long long)clock_system.wall_ms(&clock_system),
             __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED));
    const char *forced[] = {"transactional.id", *writer->name == '\0' ? unique : writer->name,
                            "enable.idempotence", "true", NULL};
    return kafka_handle_new(log, RD_KAFKA_PRODUCER, forced, writer_conf, writer, &writer->producer,
                            err);
}

static enum status journal_name(const char *task, char **ret_topic, struct error *err) {
    char name[LOG_NAME_MAX + sizeof(KAFKA_JOURNAL_ENDING)];
    snprintf(name, sizeof(name), "%s" KAFKA_JOURNAL_ENDING, task);
    char *topic = memory_copy_string(name);
    if (!topic)
        return error_no_memory(err, sizeof(name), "a journal's name");
    *ret_topic = topic;
    return STATUS_OK;
}

// Makes the journal's topic when it is missing.
static enum status journal_ensure(struct kafka_writer *writer, struct kafka_log *log,
                                  struct error *err) {
    static const char *const kept[] = {
        "retention.ms", "-1", "retention.bytes", "-1", "cleanup.policy", "delete", NULL};
    int32_t partitions = 0;
    enum status status = journal_name(writer->name, &writer->journal_topic, err);
    if (status != STATUS_OK)
        return status;
    status = kafka_topic_partitions(writer->head.log, writer->journal_topic, &partitions, err);
    if (status == STATUS_NOT_FOUND) {
        partitions = 1;
        status = kafka_topic_make(log, writer->journal_topic, 1, kept, err);
        if (status == STATUS_EXISTS)
            status =
                kafka_topic_partitions(writer->head.log, writer->journal_topic, &partitions, err);
    }
    if (status == STATUS_OK && partitions != 1)
        status = error_set(err, STATUS_CHANGED, "topic `%s` is no journal: it has %d partitions",
                           writer->journal_topic, (int)partitions);
    return status;
}

static enum status outputs_bind(struct kafka_writer *writer, const char *const *outputs,
                                struct error *err) {
    for (size_t i = 0; i < writer->head.output_count; i++) {
        enum status status =
            kafka_topic_partitions(writer->head.log, outputs[i], &writer->partition_counts[i], err);
        if (status != STATUS_OK)
            return status;
        writer->next[i] = memory_new((size_t)writer->partition_counts[i], sizeof(int64_t));
        if (!writer->next[i])
            return error_no_memory(err, (size_t)writer->partition_counts[i] * sizeof(int64_t),
                                   "a writer");
    }
    return STATUS_OK;
}

static enum status handles_make(struct kafka_writer *writer, const char *const *outputs,
                                struct error *err) {
    for (size_t i = 0; i < writer->head.output_count; i++) {
        writer->topics[i] = rd_kafka_topic_new(writer->producer, outputs[i], NULL);
        if (!writer->topics[i])
            return kafka_failed(rd_kafka_last_error(), "write topic", outputs[i], err);
    }
    if (!writer->journal_topic)
        return STATUS_OK;
    writer->journal = rd_kafka_topic_new(writer->producer, writer->journal_topic, NULL);
    return writer->journal
               ? STATUS_OK
               : kafka_failed(rd_kafka_last_error(), "write topic", writer->journal_topic, err);
}

enum status kafka_writer_open(struct log *head, const char *task, const char *const *outputs,
                              size_t output_count, struct log_writer **ret_writer,
                              struct error *err) {
    struct kafka_log *log = (struct kafka_log *)head;
    struct kafka_writer *writer = memory_new(1, sizeof(*writer));
    if (!writer)
        return error_no_memory(err, sizeof(*writer), "a writer");
    writer->name = memory_copy_string(task);
    writer->topics = memory_new(output_count + 1, sizeof(void *));
    writer->next = memory_new(output_count + 1, sizeof(void *));
    writer->partition_counts = memory_new(output_count + 1, sizeof(*writer->partition_counts));
    writer->head = (struct log_writer){.log = head,
                                       .task = writer->name,
                                       .output_count = output_count,
                                       .output_partitions = writer->partition_counts};
    enum status status = STATUS_OK;
    if (!writer->name || !writer->topics || !writer->next || !writer->partition_counts)
        status = error_no_memory(err, output_count * sizeof(void *), "a writer");
    if (status == STATUS_OK)
        status = outputs_bind(writer, outputs, err);
    if (status == STATUS_OK && *task != '\0')
        status = journal_ensure(writer, log, err);
    if (status == STATUS_OK)
        status = producer_make(writer, log, err);
    if (status == STATUS_OK)
        status = transactions_init(writer, log, err);
    if (status == STATUS_OK)
        status = handles_make(writer, outputs, err);
    int64_t begin = 0;
    if (status == STATUS_OK && writer->journal)
        status = kafka_bounds(log->client, writer->journal_topic, 0, log->timeout_ms, &begin,
                              &writer->place, err);
    if (status == STATUS_OK)
        *ret_writer = &writer->head;
    else
        kafka_writer_close(&writer->head);
    return status;
}

static enum status transaction_begin(struct kafka_writer *writer, struct error *err) {
    if (writer->transaction)
        return STATUS_OK;
    rd_kafka_error_t *failure = rd_kafka_begin_transaction(writer->producer);
    if (failure)
        return transaction_failed(writer, failure, "begin a commit", err);
    writer->transaction = true;
    return STATUS_OK;
}

// The record's one header, or NULL where it needs none.
static rd_kafka_headers_t *header_make(const struct log_record *record) {
    if (record->sequence == LOG_NO_SEQUENCE && !record->end_of_stream)
        return NULL;
    unsigned char bytes[11];
    size_t length = 0;
    uint64_t bits = ((uint64_t)record->sequence << 1) ^ (uint64_t)(record->sequence >> 63);
    for (; bits >= 0x80; bits >>= 7)
        bytes[length++] = (unsigned char)(bits | 0x80);
    bytes[length++] = (unsigned char)bits;
    bytes[length++] = record->end_of_stream ? 1 : 0;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    rd_kafka_header_add(headers, KAFKA_HEADER, -1, bytes, (ssize_t)length);
    return headers;
}

static void *without_const(const void *bytes) {
    void *plain;
    memcpy(&plain, &bytes, sizeof(plain)); // librdkafka copies and does not write
    return plain;
}

// Produces one record, waiting for room in librdkafka's queue.
static enum status record_produce(struct kafka_writer *writer, rd_kafka_topic_t *topic,
                                  int32_t partition, const struct log_record *record, int64_t *next,
                                  struct error *err) {
    int64_t deadline_ms = 0; // the clock is read only when the queue is full
    rd_kafka_vu_t parts[8] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
        {.vtype = RD_KAFKA_VTYPE_VALUE,
         .u.mem = {.ptr = without_const(record->value), .size = record->value_length}},
        {.vtype = RD_KAFKA_VTYPE_KEY,
         .u.mem = {.ptr = without_const(record->key), .size = record->key_length}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = record->timestamp_ms},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = next},
    };
    size_t count = 7;
    rd_kafka_headers_t *headers = header_make(record);
    if (headers)
        parts[count++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers};
    while (true) {
        rd_kafka_error_t *failure = rd_kafka_produceva(writer->producer, parts, count);
        if (!failure)
            return STATUS_OK;
        rd_kafka_resp_err_t code = rd_kafka_error_code(failure);
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && deadline_ms == 0)
            deadline_ms = kafka_now_ms() + ((struct kafka_log *)writer->head.log)->timeout_ms;
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && kafka_left_ms(deadline_ms) > 0) {
            rd_kafka_error_destroy(failure);
            rd_kafka_flush(writer->producer, 20);
            continue;
        }
        if (headers)
            rd_kafka_headers_destroy(headers);
        if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
            rd_kafka_error_destroy(failure);
            return error_set(err, STATUS_INVALID,
                             "could not write a record of %zu bytes to topic `%s`: larger than "
                             "message.max.bytes",
                             record->key_length + record->value_length, rd_kafka_topic_name(topic));
        }
        return transaction_failed(writer, failure, "write a record", err);
    }
}

enum status kafka_writer_append(struct log_writer *head, size_t output, int32_t partition,
                                const struct log_record *record, struct error *err) {
    struct kafka_writer *writer = (struct kafka_writer *)head;
    enum status status = transaction_begin(writer, err);
    if (status == STATUS_OK)
        status = record_produce(writer, writer->topics[output], partition, record,
                                &writer->next[output][partition], err);
    if (++writer->appended >= POLL_EVERY) {
        rd_kafka_poll(writer->producer, 0);
        writer->appended = 0;
    }
    return status;
}

enum status kafka_writer_commit(struct log_writer *head, const struct log_journal_entry *entries,
                                size_t entry_count, struct error *err) {
    struct kafka_writer *writer = (struct kafka_writer *)head;
    if (!writer->transaction && entry_count == 0)
        return STATUS_OK;
    enum status status = transaction_begin(writer, err);
    int64_t now_ms = clock_system.wall_ms(&clock_system);
    for (size_t i = 0; status == STATUS_OK && i < entry_count; i++) {
        struct log_record record = {.timestamp_ms = now_ms,
                                    .sequence = LOG_NO_SEQUENCE,
                                    .value = entries[i].length > 0 ? entries[i].bytes : "",
                                    .value_length = entries[i].length};
        status = record_produce(writer, writer->journal, 0, &record, &writer->place, err);
    }
    if (status != STATUS_OK)
        return status;
    rd_kafka_error_t *failure =
        rd_kafka_commit_transaction(writer->producer, ((struct kafka_log *)head->log)->timeout_ms);
    if (failure)
        return transaction_failed(writer, failure, "commit", err);
    writer->transaction = false;
    writer->committed = true;
    return STATUS_OK;
}

int64_t kafka_journal_place(struct log_writer *head) {
    return ((struct kafka_writer *)head)->place;
}

enum status kafka_journal_trim(struct log_writer *head, int64_t place, struct error *err) {
    struct kafka_writer *writer = (struct kafka_writer *)head;
    struct kafka_log *log = (struct kafka_log *)head->log;
    int64_t begin = 0, end = 0;
    enum status status =
        kafka_bounds(log->client, writer->journal_topic, 0, log->timeout_ms, &begin, &end, err);
    if (status != STATUS_OK || place <= begin)
        return status;
    return kafka_records_delete(log, writer->journal_topic, place < end ? place : end, err);
}

// Reads with a reader of its own, up to the last stable offset of this moment.
static enum status journal_walk(struct kafka_log *log, const char *topic, int64_t place,
                                log_journal_visit *each, void *self, struct error *err) {
    int64_t begin = 0, end = 0, next = 0;
    enum status status = kafka_bounds(log->client, topic, 0, log->timeout_ms, &begin, &end, err);
    if (status != STATUS_OK)
        return status;
    struct log_position position = {.topic = topic, .offset = place == 0 ? begin : place};
    struct log_reader *reader = NULL;
    status = kafka_reader_open(&log->head, &position, 1, &reader, err);
    if (status != STATUS_OK)
        return status;
    int64_t deadline_ms = kafka_now_ms() + log->timeout_ms;
    while (status == STATUS_OK) {
        status = kafka_reader_position(reader, 0, &next, err);
        if (status != STATUS_OK || next >= end)
            break;
        struct log_batch batch = {0};
        status = kafka_reader_poll(reader, 1024, 100, &batch, err);
        bool waits = status == STATUS_TIMEOUT || status == STATUS_UNAVAILABLE;
        if (waits && kafka_left_ms(deadline_ms) > 0)
            status = STATUS_OK;
        else if (waits)
            status =
                error_set(err, STATUS_UNAVAILABLE, "could not read journal `%s` to its end", topic);
        else if (status == STATUS_OK)
            deadline_ms = kafka_now_ms() + log->timeout_ms;
        for (size_t i = 0; status == STATUS_OK && i < batch.count; i++)
            status = each(self, batch.records[i].offset, batch.records[i].value,
                          batch.records[i].value_length, err);
    }
    kafka_reader_close(reader);
    return status;
}

enum status kafka_journal_read(struct log *head, struct log_writer *writer, const char *task,
                               int64_t place, log_journal_visit *each, void *self,
                               struct error *err) {
    (void)writer;
    char *topic = NULL;
    int32_t partitions = 0;
    enum status status = journal_name(task, &topic, err);
    if (status == STATUS_OK)
        status = kafka_topic_partitions(head, topic, &partitions, err);
    if (status == STATUS_OK)
        status = journal_walk((struct kafka_log *)head, topic, place, each, self, err);
    memory_free(topic);
    return status;
}
