// Entries in a growing array, chained three ways by index: free ones, those of a hash bucket, and
// all in order of arrival. Index 0 is the end of every chain.
#include "trainer/pending.h"

#include <string.h>

#include "base/hash.h"

struct node {
    struct pending_entry entry; // first: an entry's address is its node's
    uint32_t chain;             // next in the bucket, or next free
    uint32_t older, newer;      // in order of arrival
};

struct pending {
    size_t tasks, width, entries_max; // width: logits and rates
    struct node *nodes;               // [capacity]; 0 unused
    float *values;                    // [capacity][width]: logits, then rates
    size_t capacity;
    uint32_t *buckets; // [bucket_count], a power of two, at least capacity
    size_t bucket_count;
    uint32_t unused; // first of the free ones
    uint32_t oldest, newest;
    size_t count;
};

enum { CAPACITY_FIRST = 64 };

enum status pending_new(size_t tasks, size_t rates, size_t entries_max,
                        struct pending **ret_pending, struct error *err) {
    REQUIRE(entries_max > 0 && entries_max < UINT32_MAX / 2);
    struct pending *pending = memory_new(1, sizeof *pending);
    if (pending == NULL)
        return error_no_memory(err, sizeof *pending, "kept predictions");
    pending->tasks = tasks;
    pending->width = tasks + rates;
    pending->entries_max = entries_max;
    *ret_pending = pending;
    return STATUS_OK;
}

void pending_free(struct pending *pending) {
    if (pending == NULL)
        return;
    memory_free(pending->nodes);
    memory_free(pending->values);
    memory_free(pending->buckets);
    memory_free(pending);
}

size_t pending_count(const struct pending *pending) {
    return pending->count;
}

bool pending_full(const struct pending *pending) {
    return pending->count >= pending->entries_max;
}

static uint32_t *bucket_of(const struct pending *pending, uint32_t slot, uint64_t impression) {
    uint64_t hash = hash_mix(impression ^ hash_mix(slot));
    return &pending->buckets[hash & (pending->bucket_count - 1)];
}

struct pending_entry *pending_find(const struct pending *pending, uint32_t slot,
                                   uint64_t impression) {
    if (pending->count == 0)
        return NULL;
    for (uint32_t i = *bucket_of(pending, slot, impression); i != 0; i = pending->nodes[i].chain) {
        struct pending_entry *entry = &pending->nodes[i].entry;
        if (entry->slot == slot && entry->impression == impression)
            return entry;
    }
    return NULL;
}

struct pending_entry *pending_oldest(const struct pending *pending) {
    return pending->oldest == 0 ? NULL : &pending->nodes[pending->oldest].entry;
}

static uint32_t index_of(const struct pending *pending, const struct pending_entry *entry) {
    // The entry is its node's first member.
    return (uint32_t)((const struct node *)(const void *)entry - pending->nodes);
}

float *pending_logits(const struct pending *pending, const struct pending_entry *entry) {
    return &pending->values[index_of(pending, entry) * pending->width];
}

float *pending_rates(const struct pending *pending, const struct pending_entry *entry) {
    return pending_logits(pending, entry) + pending->tasks;
}

// Doubles the arrays and hangs the entries into a table of that size.
static enum status pending_grow(struct pending *pending, struct error *err) {
    size_t old = pending->capacity;
    size_t capacity = old == 0 ? CAPACITY_FIRST : 2 * old;
    struct node *nodes = memory_resize(pending->nodes, old, capacity, sizeof *nodes);
    if (nodes == NULL)
        return error_no_memory(err, capacity * sizeof *nodes, "kept predictions");
    pending->nodes = nodes;
    float *values = memory_resize(pending->values, old * pending->width, capacity * pending->width,
                                  sizeof *values);
    if (values == NULL)
        return error_no_memory(err, capacity * pending->width * sizeof *values, "kept logits");
    pending->values = values;
    uint32_t *buckets = memory_new(capacity, sizeof *buckets);
    if (buckets == NULL)
        return error_no_memory(err, capacity * sizeof *buckets, "kept predictions");
    memory_free(pending->buckets);
    pending->buckets = buckets;
    pending->bucket_count = capacity;
    pending->capacity = capacity;
    for (uint32_t i = pending->oldest; i != 0; i = nodes[i].newer) {
        uint32_t *bucket = bucket_of(pending, nodes[i].entry.slot, nodes[i].entry.impression);
        nodes[i].chain = *bucket;
        *bucket = i;
    }
    for (size_t i = old == 0 ? 1 : old; i < capacity; i++) {
        nodes[i].chain = pending->unused;
        pending->unused = (uint32_t)i;
    }
    return STATUS_OK;
}

enum status pending_add(struct pending *pending, const struct pending_entry *entry,
                        struct error *err) {
    REQUIRE(!pending_full(pending));
    if (pending->unused == 0) {
        enum status status = pending_grow(pending, err);
        if (status != STATUS_OK)
            return status;
    }
    uint32_t at = pending->unused;
    struct node *node = &pending->nodes[at];
    pending->unused = node->chain;
    uint32_t *bucket = bucket_of(pending, entry->slot, entry->impression);
    *node = (struct node){.entry = *entry, .chain = *bucket, .older = pending->newest};
    *bucket = at;
    if (pending->newest != 0)
        pending->nodes[pending->newest].newer = at;
    else
        pending->oldest = at;
    pending->newest = at;
    pending->count++;
    memset(&pending->values[at * pending->width], 0, pending->width * sizeof(float));
    return STATUS_OK;
}

void pending_remove(struct pending *pending, struct pending_entry *entry) {
    uint32_t at = index_of(pending, entry);
    struct node *node = &pending->nodes[at];
    uint32_t *link = bucket_of(pending, entry->slot, entry->impression);
    while (*link != at)
        link = &pending->nodes[*link].chain;
    *link = node->chain;
    if (node->older != 0)
        pending->nodes[node->older].newer = node->newer;
    else
        pending->oldest = node->newer;
    if (node->newer != 0)
        pending->nodes[node->newer].older = node->older;
    else
        pending->newest = node->older;
    *node = (struct node){.chain = pending->unused};
    pending->unused = at;
    pending->count--;
}

void pending_save(const struct pending *pending, struct buffer *into) {
    wire_put_long(into, (int64_t)pending->count);
    for (uint32_t i = pending->oldest; i != 0; i = pending->nodes[i].newer) {
        const struct pending_entry *entry = &pending->nodes[i].entry;
        wire_put_fixed64(into, entry->impression);
        wire_put_fixed64(into, entry->user);
        wire_put_long(into, entry->event_time_ms);
        wire_put_long(into, entry->slot);
        wire_put_long(into, entry->domain);
        wire_put_long(into, entry->waiting);
        wire_put_long(into, entry->bucket);
        wire_put_long(into, entry->queued);
        for (size_t k = 0; k < pending->width; k++)
            wire_put_float(into, pending->values[i * pending->width + k]);
    }
}

enum status pending_load(struct pending *pending, struct wire *in, struct error *err) {
    REQUIRE(pending->count == 0);
    int64_t count = wire_get_long(in);
    for (int64_t i = 0; i < count && !in->bad; i++) {
        struct pending_entry entry = {.impression = wire_get_fixed64(in)};
        entry.user = wire_get_fixed64(in);
        entry.event_time_ms = wire_get_long(in);
        entry.slot = (uint32_t)wire_get_long(in);
        entry.domain = (uint32_t)wire_get_long(in);
        entry.waiting = (uint32_t)wire_get_long(in);
        entry.bucket = (uint32_t)wire_get_long(in);
        entry.queued = (uint32_t)wire_get_long(in);
        if (pending_full(pending))
            return error_set(err, STATUS_EXHAUSTED,
                             "could not read the kept predictions: there are more than the limit "
                             "of %zu (`trainer.pending_max`)",
                             pending->entries_max);
        if (in->bad || pending_find(pending, entry.slot, entry.impression) != NULL)
            break;
        enum status status = pending_add(pending, &entry, err);
        if (status != STATUS_OK)
            return status;
        float *values = &pending->values[pending->newest * pending->width];
        for (size_t k = 0; k < pending->width; k++)
            values[k] = wire_get_float(in);
    }
    if (in->bad || count < 0 || pending->count != (size_t)count)
        return error_set(err, STATUS_CORRUPT, "could not read the kept predictions: malformed");
    return STATUS_OK;
}
