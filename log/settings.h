// The settings of the logs: which backend, and how it is reached.
#ifndef FRESHET_LOG_SETTINGS_H
#define FRESHET_LOG_SETTINGS_H

#include "config/option.h"
#include "log/log.h"

struct log_kafka_settings {
    const char *brokers;
    struct option_texts properties; // "key=value"
    const char *sasl_password;      // "" = none
    const char *ssl_key_password;   // "" = none
    const char *client_id;
    int64_t replication_factor;
    int64_t timeout_ms;
};

struct log_settings {
    int backend; // enum log_backend
    const char *directory;
    int64_t segment_bytes;
    bool fsync;
    struct log_kafka_settings kafka;
};
extern const struct option_table log_options;

// Opens the log that the settings describe. Errors as log_open_files and log_open_kafka.
CHECKED enum status log_open(const struct log_settings *settings, struct log **ret_log,
                             struct error *err);

#endif
