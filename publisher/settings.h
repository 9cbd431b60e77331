// The publisher's settings: which Redis, and how rows lie in it.
#ifndef FRESHET_PUBLISHER_SETTINGS_H
#define FRESHET_PUBLISHER_SETTINGS_H

#include "config/option.h"
#include "record/redis_rows.h"
#include "stage/runner.h"

struct publisher_redis {
    const char *host;
    int64_t port;
    const char *socket;   // path of a Unix socket; "" = host and port
    const char *user;     // ACL user; "" = the default one
    const char *password; // "" = none
    int64_t database;
    int64_t timeout_ms; // of connecting and of each reply
};

struct publisher_settings {
    struct publisher_redis redis;
    int64_t bucket_bits; // 2^bits buckets over all rows; part of the layout, fixed once published
    int row_type;        // enum redis_row_type; part of the layout as well
    int64_t deltas_max;  // entries kept in the stream of deltas; 0 = none
    struct runner_settings runner;
};
extern const struct option_table publisher_options;
extern const struct option_table publisher_redis_options;

#endif
