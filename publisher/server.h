// What the publisher asks of the Redis server itself.
#ifndef FRESHET_PUBLISHER_SERVER_H
#define FRESHET_PUBLISHER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "publisher/redis.h"

// STATUS_INVALID: the server may evict rows (its maxmemory-policy is not noeviction). Asks INFO,
// which managed servers allow as well.
CHECKED enum status server_check(struct redis *redis, struct error *err);

// Up to where Redis keeps a hash packed, which is what makes a row cheap.
struct server_packing {
    int64_t value_bytes, entries;   // of a value, of fields; INT64_MAX = the server does not say
    bool row_warned, bucket_warned; // each is warned of once
};
// STATUS_UNAVAILABLE: the connection is lost.
CHECKED enum status server_packing(struct redis *redis, struct server_packing *packing,
                                   struct error *err);
// Each logs a warning with its cost and what to do where rows will not be packed.
void server_check_row(struct server_packing *packing, int64_t bytes);
void server_check_bucket(struct server_packing *packing, int64_t rows, unsigned bucket_bits);

#endif
