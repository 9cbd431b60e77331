// The Kafka backend's reader: a consumer of assigned partitions from explicit offsets.
//
// Messages are handed out where librdkafka keeps them and given back at the next poll
// (kafka_batch.c). Each slot knows the offset it wants next: what comes again after a seek is
// passed over. librdkafka tells where a partition ends for now (its partition-eof event), which is
// how a position moves past transaction markers. While no broker answers, polls say so, and go on
// by themselves afterwards.
#include "log/kafka_reader.h"

#include <pthread.h>
#include <string.h>

#define END_AGE_MS 500 // an end older than this is asked for again

static void *reader_free(void *self) {
    struct kafka_reader *reader = self;
    for (size_t i = 0; reader->slots && i < reader->head.slot_count; i++) {
        kafka_stash_drop(&reader->slots[i]);
        if (reader->slots[i].queue)
            rd_kafka_queue_destroy(reader->slots[i].queue);
    }
    if (reader->queue)
        rd_kafka_queue_destroy(reader->queue);
    if (reader->consumer) {
        rd_kafka_consumer_close(reader->consumer);
        rd_kafka_destroy(reader->consumer);
    }
    if (reader->reporter)
        rd_kafka_destroy(reader->reporter);
    for (size_t i = 0; reader->slots && i < reader->head.slot_count; i++) {
        memory_free(reader->slots[i].topic);
        memory_free(reader->slots[i].stash);
    }
    memory_free(reader->slots);
    memory_free(reader->messages);
    memory_free(reader->records);
    memory_free(reader->group);
    memory_free(reader);
    return NULL;
}

void kafka_reader_close(struct log_reader *head) {
    struct kafka_reader *reader = (struct kafka_reader *)head;
    kafka_messages_release(reader);
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

enum status kafka_slot_check(struct kafka_log *log, struct kafka_slot *slot, int64_t offset,
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
    return kafka_slot_check(log, slot, slot->next, err);
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
    for (size_t i = 0; i < reader->head.slot_count; i++) {
        struct kafka_slot *slot = &reader->slots[i];
        slot->queue = rd_kafka_queue_get_partition(reader->consumer, slot->topic, slot->partition);
        if (!slot->queue)
            return error_set(err, STATUS_UNAVAILABLE, "could not assign topic `%s` partition %d",
                             slot->topic, (int)slot->partition);
    }
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
    kafka_stash_drop(slot);
    return STATUS_OK;
}

enum status kafka_reader_pause(struct log_reader *head, uint32_t index, bool paused,
                               struct error *err) {
    (void)err;
    struct kafka_reader *reader = (struct kafka_reader *)head;
    struct kafka_slot *slot = &reader->slots[index];
    if (slot->paused != paused)
        rd_kafka_queue_forward(slot->queue, paused ? NULL : reader->queue);
    slot->paused = paused;
    return STATUS_OK;
}

enum status kafka_reader_seek(struct log_reader *head, uint32_t index, int64_t offset,
                              struct error *err) {
    struct kafka_reader *reader = (struct kafka_reader *)head;
    struct kafka_slot *slot = &reader->slots[index];
    enum status status = kafka_slot_check((struct kafka_log *)head->log, slot, offset, err);
    return status == STATUS_OK ? slot_seek(reader, slot, offset, err) : status;
}

enum status kafka_reader_end(struct log_reader *head, uint32_t index, int64_t *ret_end,
                             struct error *err) {
    struct kafka_reader *reader = (struct kafka_reader *)head;
    struct kafka_slot *slot = &reader->slots[index];
    if (kafka_now_ms() - slot->end_ms > END_AGE_MS) {
        int64_t begin = 0, end = 0;
        // Not by the consumer, whose connection a fetch that waits for records holds up.
        rd_kafka_t *client = ((struct kafka_log *)head->log)->client;
        enum status status =
            kafka_bounds(client, slot->topic, slot->partition, KAFKA_PROBE_MS, &begin, &end, err);
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
