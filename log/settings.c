// The option tables of the logs, and opening a log by them.
#include "log/settings.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const backend_choices[] = {"files", "kafka", "memory", NULL};
_Static_assert(LOG_FILES == 0 && LOG_KAFKA == 1 && LOG_MEMORY == 2, "the order of backend_choices");

static const struct option kafka_rows[] = {
    {.key = "brokers",
     .type = OPTION_TEXT,
     .offset = offsetof(struct log_kafka_settings, brokers),
     .default_text = "127.0.0.1:9092",
     .help = "Where to find the cluster: host:port, several separated by commas."},
    {.key = "properties",
     .type = OPTION_TEXTS,
     .offset = offsetof(struct log_kafka_settings, properties),
     .help = "Further librdkafka settings, each `key=value`, e.g. `security.protocol=sasl_ssl`. "
             "Those that Freshet's guarantees rest on (isolation, offsets, transactions) stay as "
             "they are. Secrets are refused here: they have options of their own, or files."},
    {.key = "sasl_password",
     .type = OPTION_SECRET,
     .offset = offsetof(struct log_kafka_settings, sasl_password),
     .default_text = "",
     .help = "The property `sasl.password`, kept out of what is printed."},
    {.key = "ssl_key_password",
     .type = OPTION_SECRET,
     .offset = offsetof(struct log_kafka_settings, ssl_key_password),
     .default_text = "",
     .help = "The property `ssl.key.password`, kept out of what is printed."},
    {.key = "client_id",
     .type = OPTION_TEXT,
     .offset = offsetof(struct log_kafka_settings, client_id),
     .default_text = "freshet",
     .help = "What brokers call this program in their logs and quotas."},
    {.key = "replication_factor",
     .type = OPTION_INT,
     .offset = offsetof(struct log_kafka_settings, replication_factor),
     .default_text = "1",
     .minimum = 1,
     .maximum = 15,
     .help =
         "Copies of each partition of the topics that Freshet makes. Use 3 on a cluster of three "
         "brokers or more."},
    {.key = "timeout",
     .type = OPTION_DURATION,
     .offset = offsetof(struct log_kafka_settings, timeout_ms),
     .default_text = "30s",
     .minimum = 100,
     .maximum = 900000,
     .help =
         "How long a call to the cluster (metadata, commit, taking over from an older instance) "
         "may take before it counts as unavailable."},
};

static const struct option_table kafka_table = {
    .title = "Kafka",
    .help = "How to reach Kafka; used only when `backend` is `kafka`.",
    .struct_bytes = sizeof(struct log_kafka_settings),
    .options = kafka_rows,
    .count = COUNT(kafka_rows),
};

static const struct option log_rows[] = {
    {.key = "backend",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct log_settings, backend),
     .default_text = "files",
     .choices = backend_choices,
     .help = "`files`: a directory of Avro container files on this machine, no server needed. "
             "`kafka`: topics. `memory`: lost at exit, for trying out within one process."},
    {.key = "directory",
     .type = OPTION_TEXT,
     .offset = offsetof(struct log_settings, directory),
     .default_text = "freshet-data/logs",
     .help = "Folder of the file logs; made when missing. Processes that share it must run on the "
             "same machine."},
    {.key = "segment_size",
     .type = OPTION_BYTES,
     .offset = offsetof(struct log_settings, segment_bytes),
     .default_text = "256MiB",
     .minimum = 1024,
     .maximum = 1099511627776.0,
     .help = "A partition's file is closed at this size and a new one begun; old files may be "
             "deleted whole."},
    {.key = "fsync",
     .type = OPTION_BOOL,
     .offset = offsetof(struct log_settings, fsync),
     .default_text = "true",
     .help = "Whether each commit of the file logs waits for the disk. Without it a power cut may "
             "lose or damage what was committed; a crash of the program alone does not."},
    {.key = "kafka",
     .type = OPTION_SECTION,
     .offset = offsetof(struct log_settings, kafka),
     .table = &kafka_table,
     .help = "How to reach Kafka."},
};

const struct option_table log_options = {
    .title = "Logs",
    .help = "The logs that connect the stages: inputs, examples, weights, control and journals.",
    .struct_bytes = sizeof(struct log_settings),
    .options = log_rows,
    .count = COUNT(log_rows),
};

// Properties are printed by `check --print`: what must not be seen is not taken there.
static enum status property_check(const char *property, struct error *err) {
    static const struct {
        const char *property, *instead;
    } secrets[] = {
        {"sasl.password=", "set log.kafka.sasl_password"},
        {"ssl.key.password=", "set log.kafka.ssl_key_password"},
        {"ssl.key.pem=", "name a file by ssl.key.location"},
        {"ssl.keystore.password=", "use a PEM file, by ssl.certificate.location and "
                                   "ssl.key.location"},
        {"sasl.oauthbearer.client.secret=", "use SASL/SCRAM, PLAIN or a certificate"},
        {"sasl.oauthbearer.config=", "use SASL/SCRAM, PLAIN or a certificate"},
    };
    for (size_t i = 0; i < COUNT(secrets); i++)
        if (strncmp(property, secrets[i].property, strlen(secrets[i].property)) == 0)
            return error_set(err, STATUS_INVALID,
                             "key `log.kafka.properties`: `%.*s` would be seen there: %s",
                             (int)strlen(secrets[i].property) - 1, property, secrets[i].instead);
    return STATUS_OK;
}

// Appends "NAME=SECRET" to `properties` where there is one; its bytes go into *text.
static void secret_add(const char *name, const char *secret, struct buffer *text,
                       const char **properties, size_t *count) {
    if (!secret || *secret == '\0')
        return;
    buffer_append_text(text, "%s=%s", name, secret);
    buffer_append_byte(text, 0);
    if (!text->failed)
        properties[(*count)++] = (const char *)text->data;
}

static enum status kafka_open(const struct log_kafka_settings *settings, struct log **ret_log,
                              struct error *err) {
    struct buffer password, key_password;
    buffer_init(&password);
    buffer_init(&key_password);
    size_t count = settings->properties.count;
    enum status status = STATUS_OK;
    const char **properties = memory_new(count + 3, sizeof(*properties));
    if (!properties)
        status = error_no_memory(err, count * sizeof(*properties), "Kafka's properties");
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        properties[i] = settings->properties.items[i];
        status = property_check(properties[i], err);
    }
    if (status == STATUS_OK) {
        secret_add("sasl.password", settings->sasl_password, &password, properties, &count);
        secret_add("ssl.key.password", settings->ssl_key_password, &key_password, properties,
                   &count);
        if (password.failed || key_password.failed)
            status = error_no_memory(err, count * sizeof(*properties), "Kafka's properties");
    }
    if (status == STATUS_OK) {
        struct log_kafka_options options = {
            .brokers = settings->brokers,
            .properties = properties,
            .replication_factor = (int32_t)settings->replication_factor,
            .timeout_ms = settings->timeout_ms,
            .client_id = settings->client_id,
        };
        status = log_open_kafka(&options, ret_log, err);
    }
    memory_free(properties);
    buffer_deinit(&password);
    buffer_deinit(&key_password);
    return status;
}

enum status log_open(const struct log_settings *settings, struct log **ret_log, struct error *err) {
    if (settings->backend == LOG_KAFKA)
        return kafka_open(&settings->kafka, ret_log, err);
    if (settings->backend == LOG_MEMORY)
        return log_open_memory(ret_log, err);
    struct log_files_options options = {.directory = settings->directory,
                                        .segment_bytes = settings->segment_bytes,
                                        .fsync = settings->fsync};
    return log_open_files(&options, ret_log, err);
}
