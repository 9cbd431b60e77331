// The manifest: which version of the model Redis holds, and its flip to the next one.
//
// NAME:{m}:state is the manifest's own place in the weights log, the text "LINEAGE VERSION PREVIOUS
// OFFSET": the version that NAME:{m}:manifest names, the one before it (whose tensors are kept for
// readers in the middle of a swap), and the log offset behind its COMMIT. It is compared and set
// together with the manifest. A publisher that died between the last group and the flip finds here
// that the version has still to be brought out, and reads its tensors again.
#ifndef FRESHET_PUBLISHER_MANIFEST_H
#define FRESHET_PUBLISHER_MANIFEST_H

#include "publisher/group.h"
#include "publisher/redis.h"
#include "record/weights.h"

struct manifest {
    const char *name; // of the model; borrowed
    // As Redis has it.
    char text[GROUP_TEXT_MAX]; // "" = no key
    uint64_t lineage, version, previous;
    int64_t offset; // -1 = nothing is out
    // The version that is whole and waits for manifest_flip; json NULL = none.
    struct {
        uint64_t lineage, version;
        int64_t offset, accepted_ms;
        char *json;
    } next;
};
void manifest_init(struct manifest *manifest, const char *name);
void manifest_reset(struct manifest *manifest); // forgets what it read and what waits; also deinit

// Nothing else may be queued on the connection. STATUS_CORRUPT: the text is none of ours.
CHECKED enum status manifest_fetch(struct manifest *manifest, struct redis *redis,
                                   struct error *err);
// Makes `head` (an OPEN with its spec and measures) the version that waits; offset: behind its
// COMMIT; control: how far the control log was followed. STATUS_EXHAUSTED.
CHECKED enum status manifest_prepare(struct manifest *manifest, const struct weights *head,
                                     int64_t offset, unsigned bucket_bits,
                                     enum redis_row_type row_type, int64_t control,
                                     struct error *err);
// Brings out what waits: manifest, state, announcement, tensors of the version before the last
// removed. Every reply before must have been taken. STATUS_UNAVAILABLE: Redis stands elsewhere than
// we thought, or the version's tensors are gone.
CHECKED enum status manifest_flip(struct manifest *manifest, struct redis *redis,
                                  struct error *err);
// The version that the manifest names, asked on a connection of its own; 0 = none is out.
CHECKED enum status manifest_ask(const struct publisher_redis *settings, const char *name,
                                 uint64_t *ret_lineage, uint64_t *ret_version, struct error *err);
// Takes the manifest away, since rows are about to become those of an earlier version; its place is
// then LINEAGE VERSION 0 OFFSET. Tensors stay a while for readers that have begun. Nothing is done
// where it stands there already. STATUS_UNAVAILABLE: Redis stands elsewhere than we thought.
CHECKED enum status manifest_retract(struct manifest *manifest, struct redis *redis,
                                     uint64_t lineage, uint64_t version, int64_t offset,
                                     struct error *err);

#endif
