// Chunks: young payloads in memory, appended in the order they come, freed a chunk at a time.
//
// A place is (chunk number << 24 | offset). Chunk numbers ascend from 1; a chunk is freed when
// nothing in it lives, so with fixed windows memory is given back in the order it was taken. What a
// dead payload leaves behind is at most what its chunk's longest-lived neighbour holds up.
#ifndef FRESHET_INGEST_CHUNKS_H
#define FRESHET_INGEST_CHUNKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/stream.h"

struct chunk;

struct chunks {
    struct chunk **ring; // [capacity], by number; NULL where freed
    uint64_t capacity;   // a power of two
    uint64_t first;      // oldest number that may be there
    uint64_t next;       // number of the next chunk
    struct chunk *spare; // kept for reuse
    size_t chunk_bytes;  // of one; a larger payload has its own
    size_t bytes;        // of all chunks but the spare
};

struct chunk_payload {
    int64_t time_ms;
    uint64_t number;
    const unsigned char *bytes;
    size_t length;
};

#define CHUNKS_BYTES_DEFAULT ((size_t)256 * 1024)
void chunks_init(struct chunks *chunks, size_t chunk_bytes); // allocates nothing yet
void chunks_deinit(struct chunks *chunks);
CHECKED enum status chunks_put(struct chunks *chunks, int64_t time_ms, uint64_t number,
                               const void *bytes, size_t length, uint64_t *ret_place,
                               struct error *err);
// False when the place's chunk is not here (any more).
bool chunks_get(const struct chunks *chunks, uint64_t place, struct chunk_payload *ret_payload);
bool chunks_remove(struct chunks *chunks, uint64_t place);
// Newest event time in the oldest chunk; false when there is no chunk.
bool chunks_oldest(struct chunks *chunks, int64_t *ret_newest_ms);
// Calls `each` for every living payload of the oldest chunk, then frees it.
CHECKED enum status chunks_move_oldest(struct chunks *chunks,
                                       enum status (*each)(void *self,
                                                           const struct chunk_payload *payload,
                                                           struct error *err),
                                       void *self, struct error *err);
CHECKED enum status chunks_save(const struct chunks *chunks, const struct sink *sink,
                                struct error *err);
CHECKED enum status chunks_load(struct chunks *chunks, const struct source *source,
                                struct error *err); // replaces all; STATUS_CORRUPT

#endif
