// The option table of settings.h.
#include "publisher/settings.h"

#define REDIS(member) offsetof(struct publisher_redis, member)
static const struct option redis_option_list[] = {
    {.key = "host",
     .type = OPTION_TEXT,
     .offset = REDIS(host),
     .default_text = "127.0.0.1",
     .help = "Name or address of the Redis server."},
    {.key = "port",
     .type = OPTION_INT,
     .offset = REDIS(port),
     .default_text = "6379",
     .minimum = 1,
     .maximum = 65535,
     .help = "Its TCP port."},
    {.key = "socket",
     .type = OPTION_TEXT,
     .offset = REDIS(socket),
     .default_text = "",
     .help = "Path of a Unix socket to use instead of host and port."},
    {.key = "user",
     .type = OPTION_TEXT,
     .offset = REDIS(user),
     .default_text = "",
     .help = "ACL user; empty = the default user."},
    {.key = "password",
     .type = OPTION_SECRET,
     .offset = REDIS(password),
     .default_text = "",
     .help = "Password; empty = none."},
    {.key = "database",
     .type = OPTION_INT,
     .offset = REDIS(database),
     .default_text = "0",
     .minimum = 0,
     .maximum = 100000,
     .help = "Logical database; a cluster has only 0."},
    {.key = "timeout",
     .type = OPTION_DURATION,
     .offset = REDIS(timeout_ms),
     .default_text = "5s",
     .minimum = 10,
     .maximum = 600000,
     .help = "Bound on connecting and on each reply; then the connection is made anew."},
};
const struct option_table publisher_redis_options = {
    .title = "publisher.redis",
    .help =
        "The Redis that serves the model. Set `maxmemory-policy noeviction` there: a server that "
        "evicts rows serves a model with holes.",
    .struct_bytes = sizeof(struct publisher_redis),
    .options = redis_option_list,
    .count = sizeof redis_option_list / sizeof redis_option_list[0],
};

static const char *const row_types[] = {"fp32", "fp16", "int8", NULL}; // enum redis_row_type
#define AT(member) offsetof(struct publisher_settings, member)
static const struct option publisher_option_list[] = {
    {.key = "redis",
     .type = OPTION_SECTION,
     .offset = AT(redis),
     .table = &publisher_redis_options,
     .help = "The server."},
    {.key = "bucket_bits",
     .type = OPTION_INT,
     .offset = AT(bucket_bits),
     .default_text = "12",
     .minimum = 4,
     .maximum = 26,
     .help = "Rows lie in 2^bucket_bits Redis hashes. Choose it so that a hash holds 40 to 90 rows "
             "at the model's full size (13 suits half a million rows, 17 ten million): Redis keeps "
             "hashes of up to hash-max-listpack-entries fields packed (128 unless set otherwise), "
             "larger ones cost twice the memory. Fixed once a model is published."},
    {.key = "row_type",
     .type = OPTION_CHOICE,
     .offset = AT(row_type),
     .default_text = "fp32",
     .choices = row_types,
     .help =
         "How a row's values are stored: as they are (fp32), in half the memory (fp16), or in a "
         "quarter (int8, a scale a row). docs/redis-layout.md says what that does to the "
         "scores. Fixed once a model is published."},
    {.key = "deltas_max",
     .type = OPTION_INT,
     .offset = AT(deltas_max),
     .default_text = "10000",
     .minimum = 0,
     .maximum = 10000000,
     .help = "Entries kept in the stream of deltas for followers; one that falls behind reads the "
             "model anew. 0 = no stream."},
    {.key = "runner",
     .type = OPTION_SECTION,
     .offset = AT(runner),
     .table = &runner_options,
     .help = "How the publisher task runs."},
};
const struct option_table publisher_options = {
    .title = "publisher",
    .help = "Folds the weights log into Redis.",
    .struct_bytes = sizeof(struct publisher_settings),
    .options = publisher_option_list,
    .count = sizeof publisher_option_list / sizeof publisher_option_list[0],
};
