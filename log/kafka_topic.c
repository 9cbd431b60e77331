// Topics on Kafka: their partitions, their bounds, and the admin calls that make and trim them.
#include "log/kafka.h"

#include <string.h>

#include "base/hash.h"

// Asked with the special times of Kafka's ListOffsets request. Not by librdkafka's
// rd_kafka_query_watermark_offsets, which waits without end for a leader that is down.
static rd_kafka_resp_err_t offset_query(rd_kafka_t *handle, const char *topic, int32_t partition,
                                        int64_t time, int timeout_ms, int64_t *ret_offset) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = time;
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(handle, list, timeout_ms);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = list->elems[0].err;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        *ret_offset = list->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(list);
    return code;
}

enum status kafka_bounds(rd_kafka_t *handle, const char *topic, int32_t partition, int timeout_ms,
                         int64_t *ret_begin, int64_t *ret_end, struct error *err) {
    int64_t begin = 0, end = 0;
    rd_kafka_resp_err_t code =
        offset_query(handle, topic, partition, RD_KAFKA_OFFSET_BEGINNING, timeout_ms, &begin);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = offset_query(handle, topic, partition, RD_KAFKA_OFFSET_END, timeout_ms, &end);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_failed(code, "find the bounds of topic", topic, err);
    if (begin < 0 || end < begin)
        return error_set(err, STATUS_UNAVAILABLE,
                         "could not find the bounds of topic `%s` partition %d on Kafka", topic,
                         (int)partition);
    *ret_begin = begin;
    *ret_end = end;
    return STATUS_OK;
}

enum status kafka_offset_at(struct log *head, const char *topic, int32_t partition,
                            int64_t timestamp_ms, int64_t *ret_offset, struct error *err) {
    struct kafka_log *log = (struct kafka_log *)head;
    int64_t begin = 0, end = 0, found = 0;
    enum status status =
        kafka_bounds(log->client, topic, partition, log->timeout_ms, &begin, &end, err);
    if (status != STATUS_OK)
        return status;
    if (timestamp_ms <= 0) { // negative ones mean something else to Kafka
        *ret_offset = begin;
        return STATUS_OK;
    }
    rd_kafka_resp_err_t code =
        offset_query(log->client, topic, partition, timestamp_ms, log->timeout_ms, &found);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_failed(code, "find a time in topic", topic, err);
    if (found < 0 || found >= end) {
        *ret_offset = end;
        return STATUS_OK;
    }
    // What Kafka finds may be a transaction's marker, whose time is that of the commit, years after
    // the events' own in an archive. No record before it is late enough, so the search goes on
    // there.
    return log_offset_scan(head, topic, partition, found, end, timestamp_ms, ret_offset, err);
}

static enum status metadata_read(const struct rd_kafka_metadata *metadata, const char *topic,
                                 int32_t *ret_partitions, struct error *err) {
    for (int i = 0; i < metadata->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *found = &metadata->topics[i];
        if (strcmp(found->topic, topic) != 0)
            continue;
        if (found->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
            break;
        if (found->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            return kafka_failed(found->err, "find topic", topic, err);
        *ret_partitions = found->partition_cnt;
        return STATUS_OK;
    }
    return error_set(err, STATUS_NOT_FOUND, "could not find topic `%s` on Kafka", topic);
}

enum status kafka_topic_look(struct kafka_log *log, const char *topic, int timeout_ms,
                             int32_t *ret_partitions, struct error *err) {
    rd_kafka_topic_t *handle = rd_kafka_topic_new(log->client, topic, NULL);
    if (!handle)
        return kafka_failed(rd_kafka_last_error(), "find topic", topic, err);
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t code = rd_kafka_metadata(log->client, 0, handle, &metadata, timeout_ms);
    enum status status;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        status = kafka_failed(code, "find topic", topic, err);
    else
        status = metadata_read(metadata, topic, ret_partitions, err);
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(handle);
    return status;
}

enum status kafka_topic_partitions(struct log *head, const char *topic, int32_t *ret_partitions,
                                   struct error *err) {
    struct kafka_log *log = (struct kafka_log *)head;
    return kafka_topic_look(log, topic, log->timeout_ms, ret_partitions, err);
}

// Waits for the answer to an admin request that was sent to `queue`.
static rd_kafka_event_t *answer_wait(struct kafka_log *log, rd_kafka_queue_t *queue) {
    return rd_kafka_queue_poll(queue, log->timeout_ms + 1000);
}

static rd_kafka_AdminOptions_t *admin_options(struct kafka_log *log, rd_kafka_admin_op_t call) {
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(log->client, call);
    char reason[KAFKA_REASON_MAX];
    REQUIRE(rd_kafka_AdminOptions_set_request_timeout(
                options, log->timeout_ms, reason, sizeof(reason)) == RD_KAFKA_RESP_ERR_NO_ERROR);
    return options;
}

#if RD_KAFKA_VERSION >= 0x020300ff
static enum status description_read(rd_kafka_event_t *event, const char *topic,
                                    uint64_t *ret_identity, struct error *err) {
    size_t count = 0;
    if (!event)
        return error_set(err, STATUS_UNAVAILABLE, "could not describe topic `%s`: no answer",
                         topic);
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_failed(rd_kafka_event_error(event), "describe topic", topic, err);
    const rd_kafka_TopicDescription_t **found =
        rd_kafka_DescribeTopics_result_topics(rd_kafka_event_DescribeTopics_result(event), &count);
    if (count != 1)
        return error_set(err, STATUS_IO, "could not describe topic `%s`: no result", topic);
    const rd_kafka_error_t *failure = rd_kafka_TopicDescription_error(found[0]);
    if (failure && rd_kafka_error_code(failure) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_failed(rd_kafka_error_code(failure), "describe topic", topic, err);
    const rd_kafka_Uuid_t *id = rd_kafka_TopicDescription_topic_id(found[0]);
    const int64_t halves[2] = {id ? rd_kafka_Uuid_most_significant_bits(id) : 0,
                               id ? rd_kafka_Uuid_least_significant_bits(id) : 0};
    bool told = halves[0] != 0 || halves[1] != 0; // brokers before 2.8 have no ids
    *ret_identity = told ? hash_bytes(halves, sizeof(halves), 0) | 1 : 0;
    return STATUS_OK;
}

enum status kafka_topic_identity(struct log *head, const char *topic, uint64_t *ret_identity,
                                 struct error *err) {
    struct kafka_log *log = (struct kafka_log *)head;
    rd_kafka_TopicCollection_t *topics = rd_kafka_TopicCollection_of_topic_names(&topic, 1);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(log->client);
    rd_kafka_AdminOptions_t *options = admin_options(log, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
    rd_kafka_DescribeTopics(log->client, topics, options, queue);
    rd_kafka_event_t *event = answer_wait(log, queue);
    enum status status = description_read(event, topic, ret_identity, err);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_TopicCollection_destroy(topics);
    return status;
}
#else
enum status kafka_topic_identity(struct log *head, const char *topic, uint64_t *ret_identity,
                                 struct error *err) {
    int32_t partitions = 0;
    enum status status = kafka_topic_partitions(head, topic, &partitions, err);
    if (status == STATUS_OK)
        *ret_identity = 0;
    return status;
}
#endif

static enum status creation_read(rd_kafka_event_t *event, const char *topic, struct error *err) {
    if (!event)
        return error_set(err, STATUS_UNAVAILABLE, "could not make topic `%s`: no answer", topic);
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_failed(rd_kafka_event_error(event), "make topic", topic, err);
    size_t count = 0;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    if (count != 1)
        return error_set(err, STATUS_IO, "could not make topic `%s`: no result", topic);
    rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[0]);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    const char *reason = rd_kafka_topic_result_error_string(results[0]);
    return error_set(err, kafka_status(code), "could not make topic `%s` on Kafka: %s", topic,
                     reason ? reason : rd_kafka_err2str(code));
}

// A topic just made may not be known everywhere yet: waits until all partitions are known to the
// client, then until each tells its bounds.
static enum status topic_await(struct kafka_log *log, const char *topic, int32_t partitions,
                               struct error *err) {
    int64_t deadline_ms = kafka_now_ms() + log->timeout_ms, begin = 0, end = 0;
    int32_t known = 0;
    enum status status = kafka_topic_partitions(&log->head, topic, &known, err);
    while (known < partitions && kafka_left_ms(deadline_ms) > 0) {
        clock_system.sleep_ms(&clock_system, 10);
        status = kafka_topic_partitions(&log->head, topic, &known, err);
    }
    for (int32_t p = 0; status == STATUS_OK && p < partitions; p++)
        while ((status = kafka_bounds(log->client, topic, p, log->timeout_ms, &begin, &end, err)) !=
                   STATUS_OK &&
               kafka_left_ms(deadline_ms) > 0)
            clock_system.sleep_ms(&clock_system, 10);
    return status;
}

enum status kafka_topic_make(struct kafka_log *log, const char *topic, int32_t partitions,
                             const char *const *config, struct error *err) {
    char reason[KAFKA_REASON_MAX];
    rd_kafka_NewTopic_t *wanted =
        rd_kafka_NewTopic_new(topic, partitions, log->replication_factor, reason, sizeof(reason));
    if (!wanted)
        return error_set(err, STATUS_INVALID, "could not make topic `%s`: %s", topic, reason);
    for (size_t i = 0; config[i]; i += 2)
        REQUIRE(rd_kafka_NewTopic_set_config(wanted, config[i], config[i + 1]) ==
                RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(log->client);
    rd_kafka_AdminOptions_t *options = admin_options(log, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_CreateTopics(log->client, &wanted, 1, options, queue);
    rd_kafka_event_t *event = answer_wait(log, queue);
    enum status status = creation_read(event, topic, err);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(wanted);
    return status == STATUS_OK ? topic_await(log, topic, partitions, err) : status;
}

static enum status deletion_read(rd_kafka_event_t *event, const char *topic, struct error *err) {
    if (!event)
        return error_set(err, STATUS_UNAVAILABLE, "could not trim topic `%s`: no answer", topic);
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        const rd_kafka_topic_partition_list_t *offsets =
            rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
        code = offsets->cnt > 0 ? offsets->elems[0].err : RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? STATUS_OK
                                              : kafka_failed(code, "trim topic", topic, err);
}

enum status kafka_records_delete(struct kafka_log *log, const char *topic, int64_t before,
                                 struct error *err) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = before;
    rd_kafka_DeleteRecords_t *wanted = rd_kafka_DeleteRecords_new(list);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(log->client);
    rd_kafka_AdminOptions_t *options = admin_options(log, RD_KAFKA_ADMIN_OP_DELETERECORDS);
    rd_kafka_DeleteRecords(log->client, &wanted, 1, options, queue);
    rd_kafka_event_t *event = answer_wait(log, queue);
    enum status status = deletion_read(event, topic, err);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_DeleteRecords_destroy(wanted);
    rd_kafka_topic_partition_list_destroy(list);
    return status;
}
