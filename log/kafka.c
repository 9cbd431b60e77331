// The Kafka backend: the log itself, its settings and the translation of librdkafka's errors.
//
// Partitions are assigned, never subscribed to; start offsets are explicit; readers see committed
// records only; a commit is one Kafka transaction over outputs and journal. librdkafka prints
// nothing: what it complains of becomes part of the errors that are returned.
#include "log/kafka.h"

#include <string.h>

int64_t kafka_now_ms(void) {
    return clock_system.monotonic_us(&clock_system) / 1000;
}

int kafka_left_ms(int64_t deadline_ms) {
    int64_t left = deadline_ms - kafka_now_ms();
    return left > 0 ? (int)left : 0;
}

enum status kafka_status(rd_kafka_resp_err_t code) {
    switch (code) {
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
        return STATUS_FENCED;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        return STATUS_NOT_FOUND;
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS:
        return STATUS_EXISTS;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return STATUS_INVALID;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        return STATUS_CHANGED;
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
        return STATUS_CORRUPT;
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
        return STATUS_IO;
    default:
        return STATUS_UNAVAILABLE;
    }
}

enum status kafka_failed(rd_kafka_resp_err_t code, const char *doing, const char *name,
                         struct error *err) {
    return error_set(err, kafka_status(code), "could not %s `%s` on Kafka: %s", doing, name,
                     rd_kafka_err2str(code));
}

static void log_ignore(const rd_kafka_t *handle, int level, const char *facility,
                       const char *text) {
    (void)handle;
    (void)level;
    (void)facility;
    (void)text;
}

static enum status conf_put(rd_kafka_conf_t *conf, const char *key, const char *value,
                            struct error *err) {
    char reason[KAFKA_REASON_MAX];
    if (rd_kafka_conf_set(conf, key, value, reason, sizeof(reason)) == RD_KAFKA_CONF_OK)
        return STATUS_OK;
    return error_set(err, STATUS_INVALID, "could not set Kafka property `%s`: %s", key, reason);
}

static enum status conf_put_property(rd_kafka_conf_t *conf, const char *property,
                                     struct error *err) {
    char key[256];
    const char *equals = strchr(property, '=');
    size_t length = equals ? (size_t)(equals - property) : 0;
    if (length == 0 || length >= sizeof(key))
        return error_set(err, STATUS_INVALID,
                         "could not set Kafka property `%.40s`: expected key=value", property);
    memcpy(key, property, length);
    key[length] = '\0';
    return conf_put(conf, key, equals + 1, err);
}

static enum status conf_fill(const struct kafka_log *log, rd_kafka_type_t type,
                             const char *const *forced, rd_kafka_conf_t *conf, struct error *err) {
    static const char *const common[] = {"reconnect.backoff.max.ms", "1000", NULL};
    static const char *const producer[] = {"compression.codec", "lz4", "linger.ms", "5",
                                           "queue.buffering.max.messages", "1000000",
                                           "queue.buffering.max.kbytes", "262144",
                                           // A broker takes batches up to 1048588 bytes unless told
                                           // otherwise; leave room for their head.
                                           "message.max.bytes", "1040000", NULL};
    // A broker holds back the answer to a fetch that finds nothing, and there is one fetch at a
    // time: a partition that is resumed meanwhile would wait for it, by default half a second.
    // A full prefetch queue is looked at again only after a second (librdkafka 2.0): it has room
    // for one.
    static const char *const consumer[] = {"fetch.wait.max.ms",
                                           "50",
                                           "queued.min.messages",
                                           "1000000",
                                           "queued.max.messages.kbytes",
                                           "131072",
                                           NULL};
    enum status status = conf_put(conf, "bootstrap.servers", log->brokers, err);
    if (status == STATUS_OK)
        status = conf_put(conf, "client.id", log->client_id, err);
    for (size_t i = 0; status == STATUS_OK && common[i]; i += 2)
        status = conf_put(conf, common[i], common[i + 1], err);
    for (size_t i = 0; status == STATUS_OK && type == RD_KAFKA_PRODUCER && producer[i]; i += 2)
        status = conf_put(conf, producer[i], producer[i + 1], err);
    for (size_t i = 0; status == STATUS_OK && type == RD_KAFKA_CONSUMER && consumer[i]; i += 2)
        status = conf_put(conf, consumer[i], consumer[i + 1], err);
    for (size_t i = 0; status == STATUS_OK && log->properties && log->properties[i]; i++)
        status = conf_put_property(conf, log->properties[i], err);
    for (size_t i = 0; status == STATUS_OK && forced[i]; i += 2)
        status = conf_put(conf, forced[i], forced[i + 1], err);
    return status;
}

enum status kafka_handle_new(const struct kafka_log *log, rd_kafka_type_t type,
                             const char *const *forced, void (*conf_more)(rd_kafka_conf_t *conf),
                             void *opaque, rd_kafka_t **ret_handle, struct error *err) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (!conf)
        return error_no_memory(err, 4096, "a Kafka client");
    enum status status = conf_fill(log, type, forced, conf, err);
    rd_kafka_conf_set_log_cb(conf, log_ignore);
    rd_kafka_conf_set_opaque(conf, opaque);
    if (conf_more)
        conf_more(conf);
    char reason[KAFKA_REASON_MAX];
    rd_kafka_t *handle = NULL;
    if (status == STATUS_OK) {
        handle = rd_kafka_new(type, conf, reason, sizeof(reason));
        if (!handle)
            status = error_set(err, STATUS_INVALID, "could not make a Kafka client: %s", reason);
    }
    if (status == STATUS_OK)
        *ret_handle = handle;
    else
        rd_kafka_conf_destroy(conf);
    return status;
}

static void properties_free(char **properties) {
    for (size_t i = 0; properties && properties[i]; i++)
        memory_free(properties[i]);
    memory_free(properties);
}

static void kafka_close(struct log *head) {
    struct kafka_log *log = (struct kafka_log *)head;
    if (log->client)
        rd_kafka_destroy(log->client);
    properties_free(log->properties);
    memory_free(log->brokers);
    memory_free(log->client_id);
    memory_free(log);
}

static enum status options_copy(struct kafka_log *log, const struct log_kafka_options *options,
                                struct error *err) {
    size_t count = 0;
    while (options->properties && options->properties[count])
        count++;
    log->brokers = memory_copy_string(options->brokers);
    log->client_id = memory_copy_string(options->client_id ? options->client_id : "freshet");
    log->properties = memory_new(count + 1, sizeof(*log->properties));
    bool good = log->brokers && log->client_id && log->properties;
    for (size_t i = 0; good && i < count; i++) {
        log->properties[i] = memory_copy_string(options->properties[i]);
        good = log->properties[i] != NULL;
    }
    return good ? STATUS_OK : error_no_memory(err, count * sizeof(char *), "Kafka's options");
}

static void complaint_keep(rd_kafka_t *handle, int code, const char *reason, void *self) {
    (void)handle;
    struct kafka_log *log = self;
    // A broker that does not take our certificate says so by an alert, which counts as a transport
    // error.
    log->refused |= code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL ||
                    strstr(reason, "SSL alert") != NULL;
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || log->reason[0] == '\0')
        snprintf(log->reason, sizeof(log->reason), "%s", reason);
}

static void client_conf(rd_kafka_conf_t *conf) {
    rd_kafka_conf_set_error_cb(conf, complaint_keep);
}

// Any answer at all, within the timeout. A refusal (a wrong password does not become right) ends
// the waiting at once.
static enum status brokers_reach(struct kafka_log *log, struct error *err) {
    int64_t deadline_ms = kafka_now_ms() + log->timeout_ms;
    rd_kafka_resp_err_t code;
    do {
        const struct rd_kafka_metadata *metadata = NULL;
        int left_ms = kafka_left_ms(deadline_ms);
        code = rd_kafka_metadata(log->client, 0, NULL, &metadata, left_ms < 500 ? left_ms : 500);
        if (metadata)
            rd_kafka_metadata_destroy(metadata);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            return STATUS_OK;
        rd_kafka_poll(log->client, 0); // brings the complaints
    } while (!log->refused && kafka_left_ms(deadline_ms) > 0);
    // Before 2.6.1 librdkafka sends a SCRAM nonce that brokers of Kafka 4 do not take.
    bool scram = strstr(log->reason, "SCRAM") && rd_kafka_version() < 0x020601ff;
    if (log->refused)
        return error_set(err, STATUS_INVALID, "Kafka at %s refuses this client: %s%s", log->brokers,
                         log->reason,
                         scram ? "; this librdkafka is older than 2.6.1 and cannot do SCRAM with "
                                 "Kafka 4: use PLAIN or a certificate there"
                               : "");
    return error_set(err, STATUS_UNAVAILABLE, "could not reach Kafka at %s within %d ms: %s",
                     log->brokers, log->timeout_ms,
                     log->reason[0] ? log->reason : rd_kafka_err2str(code));
}

static enum status kafka_topic_ensure(struct log *head, const char *topic, int32_t partitions,
                                      struct error *err) {
    static const char *const none[] = {NULL};
    int32_t found = 0;
    struct error first;
    enum status status = kafka_topic_partitions(head, topic, &found, &first);
    if (status == STATUS_NOT_FOUND) {
        status = kafka_topic_make((struct kafka_log *)head, topic, partitions, none, err);
        if (status != STATUS_EXISTS)
            return status;
        status = kafka_topic_partitions(head, topic, &found, &first);
    }
    if (status != STATUS_OK)
        return error_set(err, status, "%s", first.message);
    if (found != partitions)
        return error_set(err, STATUS_CHANGED, "topic `%s` has %d partitions, %d wanted", topic,
                         (int)found, (int)partitions);
    return STATUS_OK;
}

static enum status kafka_topic_bounds(struct log *head, const char *topic, int32_t partition,
                                      int64_t *ret_begin, int64_t *ret_end, struct error *err) {
    struct kafka_log *log = (struct kafka_log *)head;
    return kafka_bounds(log->client, topic, partition, log->timeout_ms, ret_begin, ret_end, err);
}

static const struct log_operations kafka_operations = {
    .backend = LOG_KAFKA,
    .close = kafka_close,
    .topic_ensure = kafka_topic_ensure,
    .topic_partitions = kafka_topic_partitions,
    .topic_bounds = kafka_topic_bounds,
    .topic_offset_at = kafka_offset_at,
    .topic_identity = kafka_topic_identity,
    .reader_open = kafka_reader_open,
    .reader_close = kafka_reader_close,
    .reader_poll = kafka_reader_poll,
    .reader_pause = kafka_reader_pause,
    .reader_seek = kafka_reader_seek,
    .reader_end = kafka_reader_end,
    .reader_position = kafka_reader_position,
    .reader_report = kafka_reader_report,
    .writer_open = kafka_writer_open,
    .writer_close = kafka_writer_close,
    .writer_append = kafka_writer_append,
    .writer_commit = kafka_writer_commit,
    .journal_place = kafka_journal_place,
    .journal_trim = kafka_journal_trim,
    .journal_read = kafka_journal_read,
};

enum status log_open_kafka(const struct log_kafka_options *options, struct log **ret_log,
                           struct error *err) {
    if (!options->brokers || *options->brokers == '\0')
        return error_set(err, STATUS_INVALID, "could not open a Kafka log: no brokers are named");
    if (options->timeout_ms < 1 || options->timeout_ms > INT32_MAX ||
        options->replication_factor < 1)
        return error_set(err, STATUS_INVALID,
                         "could not open a Kafka log: timeout %lld ms, replication factor %d",
                         (long long)options->timeout_ms, (int)options->replication_factor);
    struct kafka_log *log = memory_new(1, sizeof(*log));
    if (!log)
        return error_no_memory(err, sizeof(*log), "a Kafka log");
    log->head.operations = &kafka_operations;
    log->replication_factor = options->replication_factor;
    log->timeout_ms = (int)options->timeout_ms;
    static const char *const forced[] = {"isolation.level", "read_committed", "enable.auto.commit",
                                         "false", NULL};
    enum status status = options_copy(log, options, err);
    if (status == STATUS_OK)
        status =
            kafka_handle_new(log, RD_KAFKA_CONSUMER, forced, client_conf, log, &log->client, err);
    if (status == STATUS_OK)
        status = brokers_reach(log, err);
    if (status == STATUS_OK)
        *ret_log = &log->head;
    else
        kafka_close(&log->head);
    return status;
}
