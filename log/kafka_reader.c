// The Kafka backend's reader: a consumer of assigned partitions from explicit offsets.
//
// Messages are handed out where librdkafka keeps them and given back at the next poll. Each slot
// knows the offset it wants next: what comes again after a pause or seek is passed over. librdkafka
// tells where a partition ends for now (its partition-eof event), which is how a position moves
// past transaction markers. While no broker answers, polls say so, and go on by themselves
// afterwards.
#include "log/kafka.h"

#include <pthread.h>
#include <string.h>

#include "base/wire.h"

#define END_AGE_MS 500 // an end older than this is asked for again
#define PROBE_MS 1000
#define CHECK_EVERY_MS 2000 // an idle reader makes sure that its topics are there
#define MISSING_MS 3000     // a broker that has just come up may not know its topics yet

struct kafka_slot {
    char *topic;
    int32_t partition;
    const rd_kafka_topic_t *handle; // of this topic's messages; learnt from the first
    int64_t next;                   // offset of the next record to hand out, at least
    int64_t end;                    // last stable offset as last known
    int64_t end_ms;                 // when that was
    bool paused;
    bool passed; // a message came while paused and was not handed out
};

struct kafka_reader {
    struct log_reader head;
    rd_kafka_t *consumer;
    rd_kafka_queue_t *queue;
    struct kafka_slot *slots;      // [head.slot_count]
    uint32_t slot_last;            // messages come in runs of one partition
    rd_kafka_message_t **messages; // [capacity]; [0, held) are the last poll's
    struct log_record *records;    // [capacity]
    size_t capacity, held;
    bool down;                      // no broker could be reached
    bool gone;                      // a topic was deleted
    int64_t checked_ms, missing_ms; // last look at the topics; since when one is missing, 0 = none
    char reason[KAFKA_REASON_MAX];
    enum status late; // found behind records that were handed out first
    struct error late_error;
    rd_kafka_t *reporter; // commits the group's offsets
    char *group;
};

static void messages_release(struct kafka_reader *reader) {
    for (size_t i = 0; i < reader->held; i++)
        rd_kafka_message_destroy(reader->messages[i]);
    reader->held = 0;
}

static void *reader_free(void *self) {
    struct kafka_reader *reader = self;
    if (reader->queue)
        rd_kafka_queue_destroy(reader->queue);
    if (reader->consumer) {
        rd_kafka_consumer_close(reader->consumer);
        rd_kafka_destroy(reader->consumer);
    }
    if (reader->reporter)
        rd_kafka_destroy(reader->reporter);
    for (size_t i = 0; reader->slots && i < reader->head.slot_count; i++)
        memory_free(reader->slots[i].topic);
    memory_free(reader->slots);
    memory_free(reader->messages);
    memory_free(reader->records);
    memory_free(reader->group);
    memory_free(reader);
    return NULL;
}

void kafka_reader_close(struct log_reader *head) {
    struct kafka_reader *reader = (struct kafka_reader *)head;
    messages_release(reader);
    pthread_t thread;
    // librdkafka may wait for ever when it closes a consumer whose topic was deleted (its issue
    // 4362): nobody waits with it then.
    if (reader->gone && pthread_create(&thread, NULL, reader_free, reader) == 0)
        pthread_detach(thread);
    else
        reader_free(reader);
}

// Called within our own polls.
static void complaint_keep(rd_kafka_t *handle, int code, const char *reason, void *self) {
    (void)handle;
    struct kafka_reader *reader = self;
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || code == RD_KAFKA_RESP_ERR__AUTHENTICATION)
        reader->down = true;
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || reader->reason[0] == '\0')
        snprintf(reader->reason, sizeof(reader->reason), "%s", reason);
}

static void reader_conf(rd_kafka_conf_t *conf) {
    rd_kafka_conf_set_error_cb(conf, complaint_keep);
}

static enum status range_check(struct kafka_log *log, struct kafka_slot *slot, int64_t offset,
                               struct error *err) {
    int64_t begin = 0, end = 0;
    enum status status =
        kafka_bounds(log->client, slot->topic, slot->partition, log->timeout_ms, &begin, &end, err);
    if (status != STATUS_OK)
        return status;
    slot->end = end;
    slot->end_ms = kafka_now_ms();
    if (offset < begin || offset > end)
        return log_offset_refused(slot->topic, slot->partition, offset, begin, end, err);
    return STATUS_OK;
}

static enum status slot_init(struct kafka_log *log, struct kafka_reader *reader, size_t index,
                             const struct log_position *position, struct error *err) {
    struct kafka_slot *slot = &reader->slots[index];
    slot->partition = position->partition;
    slot->next = position->offset;
    slot->topic = memory_copy_string(position->topic);
    if (!slot->topic)
        return error_no_memory(err, strlen(position->topic), "a topic's name");
    for (size_t i = 0; i < index; i++)
        if (reader->slots[i].partition == slot->partition &&
            strcmp(reader->slots[i].topic, slot->topic) == 0)
            return error_set(err, STATUS_INVALID,
                             "could not read topic `%s` partition %d in two slots", slot->topic,
                             (int)slot->partition);
    return range_check(log, slot, slot->next, err);
}

static enum status reader_assign(struct kafka_reader *reader, struct error *err) {
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)reader->head.slot_count + 1);
    for (size_t i = 0; i < reader->head.slot_count; i++)
        rd_kafka_topic_partition_list_add(list, reader->slots[i].topic, reader->slots[i].partition)
            ->offset = reader->slots[i].next;
    rd_kafka_resp_err_t code = rd_kafka_assign(reader->consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_failed(code, "assign partitions of topic", reader->slots[0].topic, err);
    reader->queue = rd_kafka_queue_get_consumer(reader->consumer);
    return STATUS_OK;
}

enum status kafka_reader_open(struct log *head, const struct log_position *positions, size_t count,
                              struct log_reader **ret_reader, struct error *err) {
    struct kafka_log *log = (struct kafka_log *)head;
    struct kafka_reader *reader = memory_new(1, sizeof(*reader));
    if (!reader)
        return error_no_memory(err, sizeof(*reader), "a reader");
    reader->head = (struct log_reader){.log = head, .slot_count = count};
    reader->slots = memory_new(count + 1, sizeof(*reader->slots));
    enum status status = STATUS_OK;
    if (!reader->slots)
        status = error_no_memory(err, count * sizeof(*reader->slots), "a reader");
    for (size_t i = 0; status == STATUS_OK && i < count; i++)
        status = slot_init(log, reader, i, &positions[i], err);
    // librdkafka wants a group's name to assign partitions; nothing joins it and nothing is
    // committed.
    static const char *const forced[] = {"group.id",
                                         "freshet-unused",
                                         "isolation.level",
                                         "read_committed",
                                         "enable.auto.commit",
                                         "false",
                                         "enable.auto.offset.store",
                                         "false",
                                         "auto.offset.reset",
                                         "error",
                                         "enable.partition.eof",
                                         "true",
                                         NULL};
    if (status == STATUS_OK)
        status = kafka_handle_new(log, RD_KAFKA_CONSUMER, forced, reader_conf, reader,
                                  &reader->consumer, err);
    reader->checked_ms = kafka_now_ms();
    if (status == STATUS_OK) {
        rd_kafka_poll_set_consumer(reader->consumer);
        status = reader_assign(reader, err);
    }
    if (status == STATUS_OK)
        *ret_reader = &reader->head;
    else
        kafka_reader_close(&reader->head);
    return status;
}

static bool slot_is(const struct kafka_slot *slot, const rd_kafka_message_t *message) {
    return slot->handle == message->rkt && slot->partition == message->partition;
}

// The message's slot, or NULL for one that belongs to none.
static struct kafka_slot *slot_find(struct kafka_reader *reader,
                                    const rd_kafka_message_t *message) {
    if (reader->slot_last < reader->head.slot_count &&
        slot_is(&reader->slots[reader->slot_last], message))
        return &reader->slots[reader->slot_last];
    if (!message->rkt)
        return NULL;
    for (size_t i = 0; i < reader->head.slot_count; i++) {
        struct kafka_slot *slot = &reader->slots[i];
        if (!slot->handle && strcmp(slot->topic, rd_kafka_topic_name(message->rkt)) == 0)
            slot->handle = message->rkt;
        if (slot_is(slot, message)) {
            reader->slot_last = (uint32_t)i;
            return slot;
        }
    }
    return NULL;
}

static void header_read(const rd_kafka_message_t *message, struct log_record *record) {
    record->sequence = LOG_NO_SEQUENCE;
    record->end_of_stream = false;
    rd_kafka_headers_t *headers = NULL;
    const void *bytes = NULL;
    size_t length = 0;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, KAFKA_HEADER, &bytes, &length) !=
            RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    struct wire in = wire_over(bytes, length);
    int64_t sequence = wire_get_long(&in);
    bool end_of_stream = wire_get_bool(&in);
    if (in.bad) // another program's header of this name
        return;
    record->sequence = sequence;
    record->end_of_stream = end_of_stream;
}

static void record_fill(struct log_record *record, const rd_kafka_message_t *message) {
    *record = (struct log_record){.offset = message->offset,
                                  .timestamp_ms = rd_kafka_message_timestamp(message, NULL),
                                  .key = message->key,
                                  .key_length = message->key ? message->key_len : 0,
                                  .value = message->payload,
                                  .value_length = message->payload ? message->len : 0};
    header_read(message, record);
}

// What an event that is no record means for the poll.
static enum status event_read(struct kafka_reader *reader, const rd_kafka_message_t *message,
                              struct error *err) {
    struct kafka_log *log = (struct kafka_log *)reader->head.log;
    struct kafka_slot *slot = slot_find(reader, message);
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        reader->down = false;
        if (slot && message->offset > slot->next)
            slot->next = message->offset;
        return STATUS_OK;
    }
    if (!slot)
        return STATUS_OK; // about no partition of ours
    enum status status = kafka_status(message->err);
    if (status == STATUS_CHANGED) {
        status = range_check(log, slot, slot->next, err);
        if (status != STATUS_OK)
            return status;
        return error_set(err, STATUS_CHANGED,
                         "could not read topic `%s` partition %d from offset %lld: %s", slot->topic,
                         (int)slot->partition, (long long)slot->next,
                         rd_kafka_message_errstr(message));
    }
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK; // topics_check finds out
    return error_set(err, status, "could not read topic `%s` partition %d: %s", slot->topic,
                     (int)slot->partition, rd_kafka_message_errstr(message));
}

// Sorts what came: records are kept, the rest is read and given back.
static void messages_take(struct kafka_reader *reader, size_t first, size_t came) {
    for (size_t i = first; i < first + came; i++) {
        rd_kafka_message_t *message = reader->messages[i];
        struct kafka_slot *slot = slot_find(reader, message);
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            struct error found;
            enum status status = event_read(reader, message, &found);
            if (status != STATUS_OK && reader->late == STATUS_OK) {
                reader->late = status;
                reader->late_error = found;
            }
        } else if (slot && slot->paused) {
            slot->passed = true;
        } else if (slot && message->offset >= slot->next && !slot->passed) {
            struct log_record *record = &reader->records[reader->held];
            record_fill(record, message);
            record->slot = (uint32_t)(slot - reader->slots);
            slot->next = message->offset + 1;
            reader->messages[reader->held++] = message;
            reader->down = false;
            continue;
        }
        rd_kafka_message_destroy(message);
    }
}

static enum status capacity_grow(struct kafka_reader *reader, size_t records_max,
                                 struct error *err) {
    if (reader->capacity >= records_max)
        return STATUS_OK;
    void *messages =
        memory_resize(reader->messages, reader->capacity, records_max, sizeof(*reader->messages));
    if (messages)
        reader->messages = messages;
    void *records =
        memory_resize(reader->records, reader->capacity, records_max, sizeof(*reader->records));
    if (records)
        reader->records = records;
    if (!messages || !records)
        return error_no_memory(err, records_max * sizeof(*reader->records), "a batch");
    reader->capacity = records_max;
    return STATUS_OK;
}

// Waits for the first message, then takes what is there already.
static void batch_consume(struct kafka_reader *reader, size_t records_max, int64_t deadline_ms) {
    do {
        ssize_t came = rd_kafka_consume_batch_queue(reader->queue, kafka_left_ms(deadline_ms),
                                                    reader->messages, 1);
        if (came <= 0)
            continue;
        messages_take(reader, 0, 1);
        size_t room = records_max - reader->held;
        came = room == 0 ? 0
                         : rd_kafka_consume_batch_queue(reader->queue, 0,
                                                        reader->messages + reader->held, room);
        if (came > 0)
            messages_take(reader, reader->held, (size_t)came);
    } while (reader->held == 0 && reader->late == STATUS_OK && kafka_left_ms(deadline_ms) > 0);
}

// librdkafka says neither that brokers are there again nor, for minutes, that a topic is gone: an
// idle reader asks now and then.
static enum status topics_check(struct kafka_reader *reader, struct error *err) {
    struct kafka_log *log = (struct kafka_log *)reader->head.log;
    enum status status = STATUS_OK;
    struct error found;
    for (size_t i = 0; status == STATUS_OK && i < reader->head.slot_count; i++) {
        const struct kafka_slot *slot = &reader->slots[i];
        int32_t partitions = 0;
        if (i > 0 && strcmp(slot->topic, reader->slots[i - 1].topic) == 0)
            continue;
        status = kafka_topic_look(log, slot->topic, PROBE_MS, &partitions, &found);
    }
    reader->checked_ms = kafka_now_ms();
    if (status != STATUS_NOT_FOUND)
        reader->missing_ms = 0;
    else if (reader->missing_ms == 0)
        reader->missing_ms = reader->checked_ms;
    reader->down = status != STATUS_OK;
    if (status == STATUS_NOT_FOUND && reader->checked_ms - reader->missing_ms >= MISSING_MS) {
        reader->gone = true;
        return error_set(err, STATUS_CHANGED, "could not read on, a topic was deleted: %s",
                         found.message);
    }
    return status == STATUS_OK
               ? STATUS_OK
               : error_set(err, STATUS_UNAVAILABLE, "could not poll Kafka: %s",
                           reader->reason[0] ? reader->reason : "its brokers do not answer");
}

enum status kafka_reader_poll(struct log_reader *head, size_t records_max, int64_t timeout_ms,
                              struct log_batch *ret_batch, struct error *err) {
    struct kafka_reader *reader = (struct kafka_reader *)head;
    messages_release(reader);
    enum status status = capacity_grow(reader, records_max, err);
    if (status != STATUS_OK)
        return status;
    if (reader->late == STATUS_OK)
        batch_consume(reader, records_max, kafka_now_ms() + timeout_ms);
    if (reader->held > 0) {
        *ret_batch = (struct log_batch){.records = reader->records, .count = reader->held};
        return STATUS_OK;
    }
    if (reader->late != STATUS_OK) {
        status = reader->late;
        reader->late = STATUS_OK;
        return error_set(err, status, "%s", reader->late_error.message);
    }
    if (reader->down || kafka_now_ms() - reader->checked_ms > CHECK_EVERY_MS) {
        status = topics_check(reader, err);
        if (status != STATUS_OK)
            return status;
    }
    return error_set(err, STATUS_TIMEOUT, "no record came within %lld ms", (long long)timeout_ms);
}

static rd_kafka_topic_partition_list_t *slot_list(const struct kafka_slot *slot, int64_t offset) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, slot->topic, slot->partition)->offset = offset;
    return list;
}

// A partition that was just assigned takes no seek until its fetcher runs: tried until it does.
static enum status slot_seek(struct kafka_reader *reader, struct kafka_slot *slot, int64_t offset,
                             struct error *err) {
    struct kafka_log *log = (struct kafka_log *)reader->head.log;
    int64_t deadline_ms = kafka_now_ms() + log->timeout_ms;
    rd_kafka_topic_partition_list_t *list = slot_list(slot, offset);
    rd_kafka_resp_err_t code;
    while (true) {
        list->elems[0].err = RD_KAFKA_RESP_ERR_NO_ERROR;
        rd_kafka_error_t *failure =
            rd_kafka_seek_partitions(reader->consumer, list, log->timeout_ms);
        code = failure ? rd_kafka_error_code(failure) : list->elems[0].err;
        if (failure)
            rd_kafka_error_destroy(failure);
        if (code != RD_KAFKA_RESP_ERR__STATE || kafka_left_ms(deadline_ms) == 0)
            break;
        clock_system.sleep_ms(&clock_system, 5);
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_failed(code, "seek in topic", slot->topic, err);
    slot->next = offset;
    slot->passed = false;
    return STATUS_OK;
}

enum status kafka_reader_pause(struct log_reader *head, uint32_t index, bool paused,
                               struct error *err) {
    struct kafka_reader *reader = (struct kafka_reader *)head;
    struct kafka_slot *slot = &reader->slots[index];
    if (slot->paused == paused)
        return STATUS_OK;
    rd_kafka_topic_partition_list_t *list = slot_list(slot, slot->next);
    rd_kafka_resp_err_t code = paused ? rd_kafka_pause_partitions(reader->consumer, list)
                                      : rd_kafka_resume_partitions(reader->consumer, list);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = list->elems[0].err;
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_failed(code, "pause or resume topic", slot->topic, err);
    slot->paused = paused;
    return !paused && slot->passed ? slot_seek(reader, slot, slot->next, err) : STATUS_OK;
}

enum status kafka_reader_seek(struct log_reader *head, uint32_t index, int64_t offset,
                              struct error *err) {
    struct kafka_reader *reader = (struct kafka_reader *)head;
    struct kafka_slot *slot = &reader->slots[index];
    enum status status = range_check((struct kafka_log *)head->log, slot, offset, err);
    return status == STATUS_OK ? slot_seek(reader, slot, offset, err) : status;
}

enum status kafka_reader_end(struct log_reader *head, uint32_t index, int64_t *ret_end,
                             struct error *err) {
    struct kafka_reader *reader = (struct kafka_reader *)head;
    struct kafka_slot *slot = &reader->slots[index];
    if (kafka_now_ms() - slot->end_ms > END_AGE_MS) {
        int64_t begin = 0, end = 0;
        enum status status = kafka_bounds(reader->consumer, slot->topic, slot->partition, PROBE_MS,
                                          &begin, &end, err);
        if (status != STATUS_OK)
            return status;
        slot->end = end;
        slot->end_ms = kafka_now_ms();
    }
    *ret_end = slot->end > slot->next ? slot->end : slot->next;
    return STATUS_OK;
}

enum status kafka_reader_position(struct log_reader *head, uint32_t slot, int64_t *ret_offset,
                                  struct error *err) {
    (void)err;
    *ret_offset = ((struct kafka_reader *)head)->slots[slot].next;
    return STATUS_OK;
}

// The client that commits for a group; made when first needed. NULL: lag tools see nothing.
static rd_kafka_t *reporter_of(struct kafka_reader *reader, const char *group) {
    if (reader->group && strcmp(reader->group, group) == 0)
        return reader->reporter;
    if (reader->reporter)
        rd_kafka_destroy(reader->reporter);
    memory_free(reader->group);
    reader->reporter = NULL;
    reader->group = memory_copy_string(group);
    const char *forced[] = {"group.id", group, "enable.auto.commit", "false", NULL};
    struct error ignored;
    if (reader->group &&
        kafka_handle_new((struct kafka_log *)reader->head.log, RD_KAFKA_CONSUMER, forced, NULL,
                         NULL, &reader->reporter, &ignored) != STATUS_OK)
        reader->reporter = NULL;
    return reader->reporter;
}

void kafka_reader_report(struct log_reader *head, const char *group, const int64_t *next_offsets) {
    struct kafka_reader *reader = (struct kafka_reader *)head;
    rd_kafka_t *reporter = reporter_of(reader, group);
    if (!reporter || head->slot_count == 0)
        return;
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)head->slot_count);
    for (size_t i = 0; i < head->slot_count; i++)
        rd_kafka_topic_partition_list_add(list, reader->slots[i].topic, reader->slots[i].partition)
            ->offset = next_offsets[i];
    rd_kafka_commit(reporter, list, 1); // a lost one is made up for by the next
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_poll(reporter, 0);
}
