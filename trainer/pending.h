// Predictions kept until their labels are final.
//
// What it owns: one entry an impression (slot of the examples' partition, number given by ingest),
// with the logits predicted at SCORE and the rates read for it, or a note that the prediction is
// still queued, and the mask
// of the tasks whose final label has not come. Entries are in order of arrival; when the bound is
// reached the oldest goes. What it never does: depend on its hash table's layout; saved and loaded
// tables behave alike.
#ifndef FRESHET_TRAINER_PENDING_H
#define FRESHET_TRAINER_PENDING_H

#include "base/memory.h"
#include "base/wire.h"

#define PENDING_NOT_QUEUED UINT32_MAX

struct pending;

struct pending_entry {
    uint64_t impression;
    uint64_t user; // spec_id, 0 = unknown
    int64_t event_time_ms;
    uint32_t slot;
    uint32_t domain;
    uint32_t waiting; // tasks whose final label has not come
    uint32_t bucket;  // enum evaluate_bucket, of its popularity when it was predicted
    uint32_t queued;  // row in the predict queue, or PENDING_NOT_QUEUED: the logits are there
};

CHECKED enum status pending_new(size_t tasks, size_t rates, size_t entries_max,
                                struct pending **ret_pending, struct error *err);
void pending_free(struct pending *pending); // NULL is fine
size_t pending_count(const struct pending *pending);
bool pending_full(const struct pending *pending);
// NULL when there is none. Valid until the next pending_add or pending_remove.
struct pending_entry *pending_find(const struct pending *pending, uint32_t slot,
                                   uint64_t impression);
struct pending_entry *pending_oldest(const struct pending *pending); // NULL when empty
// [tasks] logits of an entry; meaningful once it is not queued.
float *pending_logits(const struct pending *pending, const struct pending_entry *entry);
float *pending_rates(const struct pending *pending, const struct pending_entry *entry); // [rates]
// Adds a copy of the entry as the newest, logits and rates zero. There is room, and none of this
// slot and impression yet.
CHECKED enum status pending_add(struct pending *pending, const struct pending_entry *entry,
                                struct error *err);
void pending_remove(struct pending *pending, struct pending_entry *entry);
void pending_save(const struct pending *pending, struct buffer *into);
// Into a new, empty one. STATUS_CORRUPT; STATUS_EXHAUSTED when there are more than its bound.
CHECKED enum status pending_load(struct pending *pending, struct wire *in, struct error *err);

#endif
