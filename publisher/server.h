// What the publisher wants of a Redis server before it trusts it with a model.
#ifndef FRESHET_PUBLISHER_SERVER_H
#define FRESHET_PUBLISHER_SERVER_H

#include <stdint.h>

#include "publisher/redis.h"

// STATUS_INVALID: the server may evict rows. Asks INFO, which managed servers allow as well.
CHECKED enum status server_check(struct redis *redis, struct error *err);
// Bytes of the longest value that Redis still keeps in a packed hash; a row that is longer makes
// its whole bucket cost about twice the memory. INT64_MAX where the server does not tell.
int64_t server_packed_bytes(struct redis *redis);

#endif
