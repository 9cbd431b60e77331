#include "ingest/buckets.h"

#include <string.h>

void buckets_deinit(struct buckets *buckets) {
    memory_free(buckets->items);
    memset(buckets, 0, sizeof(*buckets));
}

// Where the bucket is, or where it would be.
static size_t bucket_place(const struct buckets *buckets, int64_t number) {
    size_t low = 0;
    size_t high = buckets->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (buckets->items[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static enum status buckets_reserve(struct buckets *buckets, size_t capacity, struct error *err) {
    if (capacity <= buckets->capacity)
        return STATUS_OK;
    struct bucket *grown =
        memory_resize(buckets->items, buckets->capacity, capacity, sizeof(*grown));
    if (grown == NULL)
        return error_no_memory(err, capacity * sizeof(*grown), "time buckets");
    buckets->items = grown;
    buckets->capacity = capacity;
    return STATUS_OK;
}

enum status buckets_add(struct buckets *buckets, int64_t number, struct error *err) {
    size_t at = bucket_place(buckets, number);
    if (at == buckets->count || buckets->items[at].number != number) {
        if (buckets->count == buckets->capacity) {
            enum status status = buckets_reserve(buckets, buckets->capacity * 2 + 64, err);
            if (status != STATUS_OK)
                return status;
        }
        memmove(buckets->items + at + 1, buckets->items + at,
                (buckets->count - at) * sizeof(*buckets->items));
        buckets->items[at] = (struct bucket){.number = number};
        buckets->count++;
    }
    buckets->items[at].living++;
    return STATUS_OK;
}

void buckets_remove(struct buckets *buckets, int64_t number) {
    size_t at = bucket_place(buckets, number);
    REQUIRE(at < buckets->count && buckets->items[at].number == number &&
            buckets->items[at].living > 0);
    buckets->items[at].living--;
}

size_t buckets_dead(const struct buckets *buckets) {
    size_t dead = 0;
    while (dead < buckets->count && buckets->items[dead].living == 0)
        dead++;
    return dead;
}

void buckets_drop(struct buckets *buckets, size_t first) {
    if (first > 0)
        memmove(buckets->items, buckets->items + first,
                (buckets->count - first) * sizeof(*buckets->items));
    buckets->count -= first;
}

enum status buckets_save(const struct buckets *buckets, const struct sink *sink,
                         struct error *err) {
    uint64_t count = buckets->count;
    enum status status = sink_put(sink, &count, sizeof(count), err);
    if (status == STATUS_OK && count > 0)
        status = sink_put(sink, buckets->items, buckets->count * sizeof(*buckets->items), err);
    return status;
}

enum status buckets_load(struct buckets *buckets, const struct source *source, struct error *err) {
    uint64_t count = 0;
    buckets->count = 0;
    enum status status = source_get(source, &count, sizeof(count), err);
    if (status == STATUS_OK && count > UINT32_MAX)
        return error_set(err, STATUS_CORRUPT, "could not load %llu time buckets",
                         (unsigned long long)count);
    if (status == STATUS_OK)
        status = buckets_reserve(buckets, (size_t)count, err);
    if (status == STATUS_OK && count > 0)
        status = source_get(source, buckets->items, (size_t)count * sizeof(*buckets->items), err);
    if (status == STATUS_OK)
        buckets->count = (size_t)count;
    return status;
}
