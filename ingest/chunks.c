#include "ingest/chunks.h"

#include <string.h>

#define OFFSET_BITS 24

struct chunk {
    size_t capacity; // bytes of data
    size_t used;
    uint64_t living; // payloads
    int64_t newest_ms;
    unsigned char *data;
};

struct payload_head { // before each payload, 8-byte aligned
    int64_t time_ms;
    uint64_t number;
    uint32_t length;
    uint32_t living;
};

static size_t payload_stride(size_t length) {
    return (sizeof(struct payload_head) + length + 7) / 8 * 8;
}

void chunks_init(struct chunks *chunks, size_t chunk_bytes) {
    memset(chunks, 0, sizeof(*chunks));
    chunks->chunk_bytes = chunk_bytes;
    chunks->first = 1;
    chunks->next = 1;
}

static void chunk_free(struct chunk *chunk) {
    if (chunk != NULL) {
        memory_free(chunk->data);
        memory_free(chunk);
    }
}

void chunks_deinit(struct chunks *chunks) {
    for (uint64_t i = chunks->first; i < chunks->next; i++) {
        chunk_free(chunks->ring[i & (chunks->capacity - 1)]);
    }
    chunk_free(chunks->spare);
    memory_free(chunks->ring);
    chunks_init(chunks, chunks->chunk_bytes);
}

static struct chunk *chunk_at(const struct chunks *chunks, uint64_t number) {
    if (number < chunks->first || number >= chunks->next) {
        return NULL;
    }
    return chunks->ring[number & (chunks->capacity - 1)];
}

static enum status chunk_new(size_t capacity, struct chunk **ret_chunk, struct error *err) {
    struct chunk *chunk = memory_new(1, sizeof(*chunk));
    if (chunk != NULL) {
        chunk->capacity = capacity;
        chunk->data = memory_new(capacity, 1);
    }
    if (chunk == NULL || chunk->data == NULL) {
        chunk_free(chunk);
        return error_no_memory(err, capacity, "open impressions");
    }
    *ret_chunk = chunk;
    return STATUS_OK;
}

static enum status ring_reserve(struct chunks *chunks, struct error *err) {
    if (chunks->next - chunks->first < chunks->capacity) {
        return STATUS_OK;
    }
    uint64_t capacity = chunks->capacity == 0 ? 64 : chunks->capacity * 2;
    struct chunk **ring = memory_new(capacity, sizeof(*ring));
    if (ring == NULL) {
        return error_no_memory(err, capacity * sizeof(*ring), "open impressions");
    }
    for (uint64_t i = chunks->first; i < chunks->next; i++) {
        ring[i & (capacity - 1)] = chunks->ring[i & (chunks->capacity - 1)];
    }
    memory_free(chunks->ring);
    chunks->ring = ring;
    chunks->capacity = capacity;
    return STATUS_OK;
}

// A chunk at the end of the ring, under the next number.
static enum status chunks_extend(struct chunks *chunks, size_t capacity, struct chunk **ret_chunk,
                                 struct error *err) {
    enum status status = ring_reserve(chunks, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct chunk *chunk = chunks->spare;
    if (chunk != NULL && chunk->capacity == capacity) {
        chunks->spare = NULL;
    } else {
        status = chunk_new(capacity, &chunk, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    chunk->used = 0;
    chunk->living = 0;
    chunk->newest_ms = INT64_MIN;
    chunks->ring[chunks->next & (chunks->capacity - 1)] = chunk;
    chunks->next++;
    chunks->bytes += chunk->capacity;
    *ret_chunk = chunk;
    return STATUS_OK;
}

static void chunks_drop(struct chunks *chunks, uint64_t number) {
    struct chunk **at = &chunks->ring[number & (chunks->capacity - 1)];
    chunks->bytes -= (*at)->capacity;
    if (chunks->spare == NULL && (*at)->capacity == chunks->chunk_bytes) {
        chunks->spare = *at;
    } else {
        chunk_free(*at);
    }
    *at = NULL;
    while (chunks->first < chunks->next &&
           chunks->ring[chunks->first & (chunks->capacity - 1)] == NULL) {
        chunks->first++;
    }
}

enum status chunks_put(struct chunks *chunks, int64_t time_ms, uint64_t number, const void *bytes,
                       size_t length, uint64_t *ret_place, struct error *err) {
    size_t stride = payload_stride(length);
    struct chunk *chunk = chunk_at(chunks, chunks->next - 1);
    if (length > UINT32_MAX || stride < length) {
        return error_set(err, STATUS_INVALID, "could not keep an impression of %zu bytes", length);
    }
    if (chunk == NULL || chunk->capacity - chunk->used < stride) {
        enum status status = chunks_extend(
            chunks, stride > chunks->chunk_bytes ? stride : chunks->chunk_bytes, &chunk, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    struct payload_head head = {
        .time_ms = time_ms, .number = number, .length = (uint32_t)length, .living = 1};
    memcpy(chunk->data + chunk->used, &head, sizeof(head));
    memcpy(chunk->data + chunk->used + sizeof(head), bytes, length);
    *ret_place = (chunks->next - 1) << OFFSET_BITS | chunk->used;
    chunk->used += stride;
    chunk->living++;
    chunk->newest_ms = time_ms > chunk->newest_ms ? time_ms : chunk->newest_ms;
    return STATUS_OK;
}

// The payload's head, or NULL when its chunk is not here.
static struct payload_head *payload_at(const struct chunks *chunks, uint64_t place) {
    const struct chunk *chunk = chunk_at(chunks, place >> OFFSET_BITS);
    size_t offset = place & (((uint64_t)1 << OFFSET_BITS) - 1);
    if (chunk == NULL) {
        return NULL;
    }
    REQUIRE(offset + sizeof(struct payload_head) <= chunk->used);
    return (struct payload_head *)(void *)(chunk->data + offset);
}

bool chunks_get(const struct chunks *chunks, uint64_t place, struct chunk_payload *ret_payload) {
    const struct payload_head *head = payload_at(chunks, place);
    if (head == NULL) {
        return false;
    }
    REQUIRE(head->living == 1);
    *ret_payload = (struct chunk_payload){.time_ms = head->time_ms,
                                          .number = head->number,
                                          .bytes = (const unsigned char *)(head + 1),
                                          .length = head->length};
    return true;
}

bool chunks_remove(struct chunks *chunks, uint64_t place) {
    struct payload_head *head = payload_at(chunks, place);
    if (head == NULL) {
        return false;
    }
    REQUIRE(head->living == 1);
    head->living = 0;
    uint64_t number = place >> OFFSET_BITS;
    struct chunk *chunk = chunk_at(chunks, number);
    chunk->living--;
    if (chunk->living == 0) {
        chunks_drop(chunks, number);
    }
    return true;
}

bool chunks_oldest(struct chunks *chunks, int64_t *ret_newest_ms) {
    const struct chunk *chunk = chunk_at(chunks, chunks->first);
    if (chunk == NULL) {
        return false;
    }
    *ret_newest_ms = chunk->newest_ms;
    return true;
}

enum status chunks_move_oldest(struct chunks *chunks,
                               enum status (*each)(void *self, const struct chunk_payload *payload,
                                                   struct error *err),
                               void *self, struct error *err) {
    enum status status = STATUS_OK;
    const struct chunk *chunk = chunk_at(chunks, chunks->first);
    REQUIRE(chunk != NULL);
    for (size_t at = 0; status == STATUS_OK && at < chunk->used;) {
        const struct payload_head *head = (const void *)(chunk->data + at);
        if (head->living != 0) {
            struct chunk_payload payload = {.time_ms = head->time_ms,
                                            .number = head->number,
                                            .bytes = (const unsigned char *)(head + 1),
                                            .length = head->length};
            status = each(self, &payload, err);
        }
        at += payload_stride(head->length);
    }
    if (status == STATUS_OK) {
        chunks_drop(chunks, chunks->first);
    }
    return status;
}

// Saved form: first, next, then for each number between: capacity (0 = freed), used, living,
// newest_ms, the used bytes. Written and read by the same machine, in its own byte order.
enum status chunks_save(const struct chunks *chunks, const struct sink *sink, struct error *err) {
    uint64_t bounds[2] = {chunks->first, chunks->next};
    enum status status = sink_put(sink, bounds, sizeof(bounds), err);
    for (uint64_t i = chunks->first; status == STATUS_OK && i < chunks->next; i++) {
        const struct chunk *chunk = chunk_at(chunks, i);
        uint64_t head[4] = {0};
        if (chunk != NULL) {
            head[0] = chunk->capacity;
            head[1] = chunk->used;
            head[2] = chunk->living;
            head[3] = (uint64_t)chunk->newest_ms;
        }
        status = sink_put(sink, head, sizeof(head), err);
        if (status == STATUS_OK && chunk != NULL) {
            status = sink_put(sink, chunk->data, chunk->used, err);
        }
    }
    return status;
}

// One saved chunk, or a gap, under the next number.
static enum status chunk_load(struct chunks *chunks, const struct source *source,
                              struct error *err) {
    uint64_t head[4];
    struct chunk *chunk = NULL;
    enum status status = source_get(source, head, sizeof(head), err);
    if (status != STATUS_OK) {
        return status;
    }
    if (head[1] > head[0] || head[0] > UINT32_MAX * (uint64_t)2) {
        return error_set(err, STATUS_CORRUPT, "could not load open impressions: a chunk of %llu",
                         (unsigned long long)head[0]);
    }
    if (head[0] == 0) {
        status = ring_reserve(chunks, err);
        if (status == STATUS_OK) {
            chunks->ring[chunks->next & (chunks->capacity - 1)] = NULL;
            chunks->next++;
        }
        return status;
    }
    status = chunks_extend(chunks, (size_t)head[0], &chunk, err);
    if (status == STATUS_OK) {
        chunk->used = (size_t)head[1];
        chunk->living = head[2];
        chunk->newest_ms = (int64_t)head[3];
        status = source_get(source, chunk->data, chunk->used, err);
    }
    return status;
}

enum status chunks_load(struct chunks *chunks, const struct source *source, struct error *err) {
    uint64_t bounds[2];
    chunks_deinit(chunks);
    enum status status = source_get(source, bounds, sizeof(bounds), err);
    if (status == STATUS_OK && (bounds[0] == 0 || bounds[1] < bounds[0])) {
        return error_set(err, STATUS_CORRUPT,
                         "could not load open impressions: chunks %llu to %llu",
                         (unsigned long long)bounds[0], (unsigned long long)bounds[1]);
    }
    if (status == STATUS_OK) {
        chunks->first = bounds[0];
        chunks->next = bounds[0];
    }
    while (status == STATUS_OK && chunks->next < bounds[1]) {
        status = chunk_load(chunks, source, err);
    }
    return status;
}
