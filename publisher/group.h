// A group's place in the weights log, as Redis keeps it beside the group's rows.
//
// The text in NAME:{GROUP}:state is "LINEAGE VERSION CHUNKS OFFSET SINCE COVER BITS TYPE": chunks
// of the version applied so far, or "done"; the log offset from which to go on (of the version's
// OPEN record, or behind its COMMIT); the first version applied since the group's rows were last
// known to be whole or empty; and whether it began "clean" or "stale" (old rows may linger until
// every slice has come by); 2^BITS buckets the rows lie in, and their row type. It is compared and
// set together with the rows, so that no crash, failover or second publisher can part them.
#ifndef FRESHET_PUBLISHER_GROUP_H
#define FRESHET_PUBLISHER_GROUP_H

#include "base/status.h"
#include "record/redis_rows.h"
#include <stdbool.h>
#include <stdint.h>

enum { GROUP_TEXT_MAX = 128 };

struct group {
    uint64_t lineage, version;
    uint64_t chunks; // of the version, applied
    bool done;
    int64_t offset;
    uint64_t since;
    bool clean;
    unsigned bucket_bits;
    enum redis_row_type row_type;
    char text[GROUP_TEXT_MAX]; // as it stands in Redis, "" = no key
    // While folding: chunks of the version being read that were met so far, and whether it is to be
    // applied to this group at all.
    uint64_t met;
    bool active;
};

// From Redis; text may be empty (a new group). STATUS_CORRUPT: the text is none of ours.
// STATUS_INVALID: the rows lie in another number of buckets than 2^bucket_bits, are of another
// type, or of an older layout.
CHECKED enum status group_read(struct group *group, const char *text, unsigned bucket_bits,
                               enum redis_row_type row_type, struct error *err);
// The text of the group as its fields now stand.
void group_print(const struct group *group, char text[GROUP_TEXT_MAX]);
// Begins reading a version whose OPEN stands at `offset`: decides whether the group still lacks it.
void group_open(struct group *group, uint64_t lineage, uint64_t version, int64_t offset);
// Whether what the group holds is a whole model once `version` is done.
bool group_covers(const struct group *group, uint64_t slice_count);

#endif
