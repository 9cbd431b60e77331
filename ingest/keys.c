#include "ingest/keys.h"

#include <string.h>

#include "base/hash.h"

#define PAGE_CELLS 4096u

static void *slab_at(const struct slab *slab, uint32_t slot) {
    return slab->pages[slot / PAGE_CELLS] + (size_t)(slot % PAGE_CELLS) * slab->stride;
}

// A cell whose first word then belongs to the caller; while free it names the next free cell.
static enum status slab_take(struct slab *slab, uint32_t *ret_slot, struct error *err) {
    if (slab->free != KEYS_NONE) {
        *ret_slot = slab->free;
        memcpy(&slab->free, slab_at(slab, *ret_slot), sizeof(slab->free));
        slab->live++;
        return STATUS_OK;
    }
    if (slab->used == KEYS_NONE) {
        return error_set(err, STATUS_EXHAUSTED,
                         "could not open another impression: %u are open in this task",
                         (unsigned)slab->used);
    }
    if (slab->used % PAGE_CELLS == 0) {
        unsigned char **pages =
            memory_resize(slab->pages, slab->page_count, slab->page_count + 1, sizeof(*pages));
        if (pages == NULL) {
            return error_no_memory(err, (slab->page_count + 1) * sizeof(*pages), "join state");
        }
        slab->pages = pages;
        slab->pages[slab->page_count] = memory_new(PAGE_CELLS, slab->stride);
        if (slab->pages[slab->page_count] == NULL) {
            return error_no_memory(err, PAGE_CELLS * slab->stride, "join state");
        }
        slab->page_count++;
    }
    *ret_slot = slab->used++;
    slab->live++;
    return STATUS_OK;
}

static void slab_give(struct slab *slab, uint32_t slot) {
    void *cell = slab_at(slab, slot);
    memset(cell, 0, slab->stride);
    memcpy(cell, &slab->free, sizeof(slab->free));
    slab->free = slot;
    slab->live--;
}

static void slab_deinit(struct slab *slab) {
    for (size_t i = 0; i < slab->page_count; i++) {
        memory_free(slab->pages[i]);
    }
    memory_free(slab->pages);
    memset(slab, 0, sizeof(*slab));
}

static size_t round_up_8(size_t bytes) {
    return (bytes + 7) / 8 * 8;
}

enum status keys_init(struct keys *keys, size_t tasks, struct error *err) {
    memset(keys, 0, sizeof(*keys));
    keys->tasks = tasks;
    keys->entries.stride = round_up_8(sizeof(struct key_entry) + tasks * sizeof(float));
    keys->feedback.stride = round_up_8(sizeof(struct key_feedback) + tasks * sizeof(float));
    keys->entries.free = KEYS_NONE;
    keys->feedback.free = KEYS_NONE;
    keys->capacity = 1024;
    keys->table = memory_new(keys->capacity, sizeof(*keys->table));
    if (keys->table == NULL) {
        return error_no_memory(err, keys->capacity * sizeof(*keys->table), "the table of keys");
    }
    return STATUS_OK;
}

void keys_deinit(struct keys *keys) {
    slab_deinit(&keys->entries);
    slab_deinit(&keys->feedback);
    memory_free(keys->table);
    keys->table = NULL;
}

void keys_hash(const void *key, size_t length, uint64_t ret_hash[2]) {
    ret_hash[0] = hash_bytes(key, length, 0x6a6f696e2d6b6579); // "join-key"
    ret_hash[1] = hash_bytes(key, length, 0x7365636f6e642d31); // "second-1"
}

struct key_entry *keys_entry(const struct keys *keys, uint32_t slot) {
    return slab_at(&keys->entries, slot);
}

struct key_feedback *keys_feedback(const struct keys *keys, uint32_t slot) {
    return slab_at(&keys->feedback, slot);
}

static size_t table_home(const struct keys *keys, uint32_t tag) {
    return tag & (keys->capacity - 1);
}

// Where the hash stands in the table, or the empty place that ends its run.
static size_t table_seek(const struct keys *keys, const uint64_t hash[2]) {
    uint32_t tag = (uint32_t)hash[0];
    size_t at = table_home(keys, tag);
    while (keys->table[at][1] != 0) {
        if (keys->table[at][0] == tag) {
            const struct key_entry *entry = keys_entry(keys, keys->table[at][1] - 1);
            if (entry->hash[0] == hash[0] && entry->hash[1] == hash[1]) {
                break;
            }
        }
        at = (at + 1) & (keys->capacity - 1);
    }
    return at;
}

uint32_t keys_find(const struct keys *keys, const uint64_t hash[2]) {
    size_t at = table_seek(keys, hash);
    return keys->table[at][1] == 0 ? KEYS_NONE : keys->table[at][1] - 1;
}

static enum status table_grow(struct keys *keys, struct error *err) {
    size_t old_capacity = keys->capacity;
    uint32_t(*old)[2] = keys->table;
    uint32_t(*table)[2] = memory_new(old_capacity * 2, sizeof(*table));
    if (table == NULL) {
        return error_no_memory(err, old_capacity * 2 * sizeof(*table), "the table of keys");
    }
    keys->table = table;
    keys->capacity = old_capacity * 2;
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i][1] != 0) {
            size_t at = table_home(keys, old[i][0]);
            while (table[at][1] != 0) {
                at = (at + 1) & (keys->capacity - 1);
            }
            table[at][0] = old[i][0];
            table[at][1] = old[i][1];
        }
    }
    memory_free(old);
    return STATUS_OK;
}

enum status keys_add(struct keys *keys, const uint64_t hash[2], uint32_t *ret_slot,
                     struct error *err) {
    if ((keys->count + 1) * 8 > keys->capacity * 5) {
        enum status status = table_grow(keys, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    uint32_t slot;
    enum status status = slab_take(&keys->entries, &slot, err);
    if (status != STATUS_OK) {
        return status;
    }
    size_t at = table_seek(keys, hash);
    REQUIRE(keys->table[at][1] == 0);
    struct key_entry *entry = keys_entry(keys, slot);
    memset(entry, 0, keys->entries.stride);
    entry->hash[0] = hash[0];
    entry->hash[1] = hash[1];
    entry->feedback = KEYS_NONE;
    keys->table[at][0] = (uint32_t)hash[0];
    keys->table[at][1] = slot + 1;
    keys->count++;
    *ret_slot = slot;
    return STATUS_OK;
}

void keys_remove(struct keys *keys, uint32_t slot) {
    struct key_entry *entry = keys_entry(keys, slot);
    REQUIRE(entry->feedback == KEYS_NONE);
    size_t mask = keys->capacity - 1;
    size_t hole = table_seek(keys, entry->hash);
    REQUIRE(keys->table[hole][1] == slot + 1);
    // Whatever follows in the run moves back, unless its home lies behind the hole.
    for (size_t at = (hole + 1) & mask; keys->table[at][1] != 0; at = (at + 1) & mask) {
        size_t home = table_home(keys, keys->table[at][0]);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            keys->table[hole][0] = keys->table[at][0];
            keys->table[hole][1] = keys->table[at][1];
            hole = at;
        }
    }
    keys->table[hole][0] = 0;
    keys->table[hole][1] = 0;
    keys->count--;
    slab_give(&keys->entries, slot);
}

enum status keys_add_feedback(struct keys *keys, uint32_t entry,
                              const struct key_feedback *feedback, const float *values,
                              uint32_t *ret_slot, struct error *err) {
    uint32_t slot;
    enum status status = slab_take(&keys->feedback, &slot, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct key_feedback *added = keys_feedback(keys, slot);
    memcpy(added, feedback, sizeof(*added));
    memcpy(added->values, values, keys->tasks * sizeof(float));
    added->entry = entry;
    added->next = KEYS_NONE;
    uint32_t *link = &keys_entry(keys, entry)->feedback;
    while (*link != KEYS_NONE) {
        link = &keys_feedback(keys, *link)->next;
    }
    *link = slot;
    *ret_slot = slot;
    return STATUS_OK;
}

void keys_remove_feedback(struct keys *keys, uint32_t slot) {
    struct key_feedback *feedback = keys_feedback(keys, slot);
    uint32_t *link = &keys_entry(keys, feedback->entry)->feedback;
    while (*link != slot) {
        REQUIRE(*link != KEYS_NONE);
        link = &keys_feedback(keys, *link)->next;
    }
    *link = feedback->next;
    slab_give(&keys->feedback, slot);
}

size_t keys_bytes(const struct keys *keys) {
    return keys->capacity * sizeof(*keys->table) +
           keys->entries.page_count * PAGE_CELLS * keys->entries.stride +
           keys->feedback.page_count * PAGE_CELLS * keys->feedback.stride;
}

uint32_t keys_slots(const struct keys *keys) {
    return keys->entries.used;
}
