// What the join knows of each key: the impression that is open (or closed and remembered) under it,
// or the feedback that waits for one; found by hash, kept in slabs of fixed-size cells.
//
// A key is known by a 128-bit hash of its bytes (two XXH3-64 with different seeds): among 10^9 keys
// the chance that any two meet is below 10^-20, so the bytes are not kept. The table maps the hash
// to an entry's slot by linear probing and removes by shifting back, so it never fills with graves.
// An entry is small: the features of an impression are in the store (store.h), not here, so that
// unknown keys, duplicates and feedback never touch a disk.
//
// Nothing may depend on slots or on the table's order: they differ between two equal states.
#ifndef FRESHET_INGEST_KEYS_H
#define FRESHET_INGEST_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"

#define KEYS_NONE UINT32_MAX

enum key_state {
    KEY_FREE,
    KEY_WAITING, // feedback waits, no impression yet
    KEY_OPEN,    // an impression with at least one open window
    KEY_CLOSED,  // all windows have closed: the key is remembered
};

struct key_entry {
    uint64_t hash[2];
    uint64_t number;        // of the impression
    uint64_t arrival;       // when it came, in events of this task; unique; 0 while waiting
    int64_t event_time_ms;  // of the impression
    int64_t accepted_ms;    // newest record timestamp among the events that counted
    uint64_t place;         // of the features in the store
    uint32_t payload_bytes; // their size
    uint32_t input;         // that brought the impression
    uint32_t labelled;      // tasks that have a label
    uint32_t open;          // tasks whose label has not left
    uint32_t feedback;      // first of the feedback waiting or undecided, in order of arrival
    uint32_t state;         // enum key_state
    uint32_t learnt;        // tasks that were learnt from before their window closed
    uint32_t late;          // of these: as negatives, and then the positive came
    float values[];         // [tasks]
};

struct key_feedback {
    int64_t event_time_ms;
    uint64_t arrival; // when it came, as in the entry; 0 = free
    int64_t accepted_ms;
    uint32_t entry;
    uint32_t next; // KEYS_NONE at the end
    uint32_t input;
    uint32_t mask;  // waiting: the tasks it counts for; undecided: those whose label it has set
    float values[]; // [tasks]
};

struct slab { // cells of one size, in pages that never move
    unsigned char **pages;
    size_t page_count;
    size_t stride;
    uint32_t used; // cells ever handed out
    uint32_t free; // first free cell, or KEYS_NONE
    uint32_t live;
};

struct keys {
    size_t tasks;
    struct slab entries;
    struct slab feedback;
    uint32_t (*table)[2]; // [capacity]: low half of hash[0]; slot + 1, 0 = empty
    size_t capacity;      // a power of two
    size_t count;
};

CHECKED enum status keys_init(struct keys *keys, size_t tasks, struct error *err);
void keys_deinit(struct keys *keys);

void keys_hash(const void *key, size_t length, uint64_t ret_hash[2]);
struct key_entry *keys_entry(const struct keys *keys, uint32_t slot);
struct key_feedback *keys_feedback(const struct keys *keys, uint32_t slot);
uint32_t keys_find(const struct keys *keys, const uint64_t hash[2]); // slot or KEYS_NONE
// A zeroed entry under a hash that is not there yet. STATUS_EXHAUSTED when memory is out.
CHECKED enum status keys_add(struct keys *keys, const uint64_t hash[2], uint32_t *ret_slot,
                             struct error *err);
void keys_remove(struct keys *keys, uint32_t slot); // its feedback must be gone
// A copy of `feedback` (with values) at the end of the entry's list.
CHECKED enum status keys_add_feedback(struct keys *keys, uint32_t entry,
                                      const struct key_feedback *feedback, const float *values,
                                      uint32_t *ret_slot, struct error *err);
void keys_remove_feedback(struct keys *keys, uint32_t slot);
size_t keys_bytes(const struct keys *keys);
// Slots are 0 ... keys_slots - 1; free ones have state KEY_FREE.
uint32_t keys_slots(const struct keys *keys);

#endif
