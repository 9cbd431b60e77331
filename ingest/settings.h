// Ingest's settings: which topics bring which events, how their fields are found, how long things
// wait.
//
// The table below is the only source of the keys, ranges and defaults; it is the section `ingest`
// of the configuration.
#ifndef FRESHET_INGEST_SETTINGS_H
#define FRESHET_INGEST_SETTINGS_H

#include "config/option.h"
#include "stage/runner.h"

enum ingest_join { INGEST_JOIN_WINDOW, INGEST_JOIN_NONE };
enum ingest_role { INGEST_IMPRESSION, INGEST_FEEDBACK };
enum ingest_framing { INGEST_PLAIN, INGEST_SINGLE_OBJECT, INGEST_CONFLUENT };
enum ingest_time_unit { INGEST_TIME_AUTO, INGEST_TIME_MS, INGEST_TIME_US, INGEST_TIME_S };
enum ingest_store_full { INGEST_STORE_STOP, INGEST_STORE_EXPIRE };

#define INGEST_INPUTS_MAX 32

struct ingest_input {
    const char *name;
    const char *topic;
    int role;                          // enum ingest_role
    const char *schema;                // path of an .avsc; "" only with confluent framing
    struct option_texts older_schemas; // single_object: schemas that writers used before
    int framing;                       // enum ingest_framing
    const char *time;                  // path
    int time_unit;                     // enum ingest_time_unit
    struct option_texts key;           // paths; their values together are the join key
    const char *each;        // path of an array whose items are the events; "" = the record
    int64_t future_limit_ms; // event time may be this far after the record's timestamp
};

struct ingest_registry {
    const char *url; // "" = none
    const char *user;
    const char *password;
    int64_t timeout_ms;       // of one request
    int64_t attempts;         // requests before the registry counts as unavailable
    int64_t retry_backoff_ms; // before the second request, doubled before each further one
    int64_t cache_schemas;    // schemas kept
    int64_t answer_bytes_max;
};

struct ingest_settings {
    int join;                      // enum ingest_join
    struct option_sections inputs; // struct ingest_input
    const char *examples;          // output topic
    const char *dead_letter;       // output topic
    bool check_partitioning;       // compare the inputs' partition counts and partitioners at start
    int64_t lateness_ms;           // the watermark is this far behind the newest event time
    int64_t early_wait_ms;         // how long feedback waits for its impression, in event time
    int64_t store_memory_bytes;    // bound on open impressions and waiting feedback in memory
    int store_full;                // enum ingest_store_full
    int64_t young_age_ms;          // state younger than this (event time) stays in memory
    struct ingest_registry registry;
    struct runner_settings runner;
};
extern const struct option_table ingest_options;

const struct ingest_input *ingest_input_at(const struct ingest_settings *settings, size_t i);
// Cross-checks that the table cannot express: unique names and topics, an impression input, keys
// where events are joined, a schema or a registry for each input. STATUS_INVALID naming the key.
CHECKED enum status ingest_settings_check(const struct ingest_settings *settings,
                                          struct error *err);

#endif
