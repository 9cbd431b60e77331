// The stream of deltas: the changed rows of each version, by which a copy is brought forward.
#ifndef FRESHET_SCORER_DELTAS_H
#define FRESHET_SCORER_DELTAS_H

#include "scorer/copy.h"

// The newest entry's ID, and the newest version that is in the stream whole: everything up to there
// was in the buckets before. "" and 0 when the stream is empty.
CHECKED enum status deltas_newest(struct mirror *mirror, char *id, size_t size,
                                  uint64_t *ret_lineage, uint64_t *ret_version, struct error *err);
// Applies the entries behind copy->position up to version `until`, where those up to `whole` are in
// the copy. STATUS_CHANGED: the stream does not hold all of them; the copy may be half brought
// forward.
CHECKED enum status deltas_apply(struct copy *copy, struct mirror *mirror, uint64_t whole,
                                 uint64_t until, struct error *err);

#endif
