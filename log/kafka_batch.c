// Consuming for the Kafka backend's reader: sorts what librdkafka delivers into records, ends of
// partitions and errors.
//
// A slot that is paused gets no more from its partition's queue; what had come through to the
// reader's queue by then is stashed in order and handed out when the slot goes on, so nothing that
// was fetched is thrown away. An end of partition moves a slot's position past what is no record,
// so it keeps its place behind the records, in the stash as well.
#include "log/kafka_reader.h"

#include <string.h>

#include "base/wire.h"

#define CHECK_EVERY_MS 2000 // an idle reader makes sure that its topics are there
#define MISSING_MS 3000     // a broker that has just come up may not know its topics yet

void kafka_messages_release(struct kafka_reader *reader) {
    for (size_t i = 0; i < reader->held; i++)
        rd_kafka_message_destroy(reader->messages[i]);
    reader->held = 0;
}

void kafka_stash_drop(struct kafka_slot *slot) {
    for (size_t i = slot->stash_from; i < slot->stash_count; i++)
        rd_kafka_message_destroy(slot->stash[i]);
    slot->stash_from = slot->stash_count = 0;
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
        status = kafka_slot_check(log, slot, slot->next, err);
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

// Keeps a record for the caller; reads and gives back what is none, or comes again.
static void message_take(struct kafka_reader *reader, struct kafka_slot *slot,
                         rd_kafka_message_t *message) {
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        struct error found;
        enum status status = event_read(reader, message, &found);
        if (status != STATUS_OK && reader->late == STATUS_OK) {
            reader->late = status;
            reader->late_error = found;
        }
    } else if (slot && message->offset >= slot->next) {
        struct log_record *record = &reader->records[reader->held];
        record_fill(record, message);
        record->slot = (uint32_t)(slot - reader->slots);
        slot->next = message->offset + 1;
        reader->messages[reader->held++] = message;
        reader->down = false;
        return;
    }
    rd_kafka_message_destroy(message);
}

static void message_stash(struct kafka_reader *reader, struct kafka_slot *slot,
                          rd_kafka_message_t *message) {
    if (slot->paused) // an assignment that took effect after the pause joins the queues again
        rd_kafka_queue_forward(slot->queue, NULL);
    if (slot->stash_count == slot->stash_capacity) {
        size_t wanted = slot->stash_capacity ? 2 * slot->stash_capacity : 256;
        void *grown =
            memory_resize(slot->stash, slot->stash_capacity, wanted, sizeof(*slot->stash));
        if (!grown) {
            reader->broken = STATUS_EXHAUSTED;
            rd_kafka_message_destroy(message);
            return;
        }
        slot->stash = grown;
        slot->stash_capacity = wanted;
    }
    slot->stash[slot->stash_count++] = message;
}

// Messages [first, first + came) are new. Records are moved down to where the held ones end.
static void messages_take(struct kafka_reader *reader, size_t first, size_t came) {
    for (size_t i = first; i < first + came; i++) {
        rd_kafka_message_t *message = reader->messages[i];
        struct kafka_slot *slot = slot_find(reader, message);
        if (slot && (slot->paused || slot->stash_count > 0))
            message_stash(reader, slot, message);
        else
            message_take(reader, slot, message);
    }
}

// Hands out what was stashed for slots that go on.
static void stashes_take(struct kafka_reader *reader, size_t records_max) {
    for (size_t i = 0; i < reader->head.slot_count; i++) {
        struct kafka_slot *slot = &reader->slots[i];
        if (slot->paused)
            continue;
        while (slot->stash_from < slot->stash_count && reader->held < records_max)
            message_take(reader, slot, slot->stash[slot->stash_from++]);
        if (slot->stash_from == slot->stash_count)
            slot->stash_from = slot->stash_count = 0;
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

// Takes what is there already.
static void ready_consume(struct kafka_reader *reader, size_t records_max) {
    size_t room = records_max - reader->held;
    if (room == 0)
        return;
    ssize_t came =
        rd_kafka_consume_batch_queue(reader->queue, 0, reader->messages + reader->held, room);
    if (came > 0)
        messages_take(reader, reader->held, (size_t)came);
}

// Waits for the first message, then takes what is there already: librdkafka itself would wait until
// the batch is full.
static void batch_consume(struct kafka_reader *reader, size_t records_max, int64_t deadline_ms) {
    stashes_take(reader, records_max);
    if (reader->held > 0)
        ready_consume(reader, records_max);
    while (reader->held == 0 && reader->late == STATUS_OK) {
        int left_ms = kafka_left_ms(deadline_ms);
        if (rd_kafka_consume_batch_queue(reader->queue, left_ms, reader->messages, 1) > 0) {
            messages_take(reader, 0, 1);
            ready_consume(reader, records_max);
        }
        if (left_ms == 0)
            break;
    }
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
        status = kafka_topic_look(log, slot->topic, KAFKA_PROBE_MS, &partitions, &found);
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
    kafka_messages_release(reader);
    if (reader->broken != STATUS_OK)
        return error_set(err, reader->broken, "could not poll: memory ran out before; open again");
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
