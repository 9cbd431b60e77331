// From records of one version to Redis commands: rows gather, are sorted by bucket, and leave as
// chunks of one group each. Where a chunk ends follows from the version's records alone.
#ifndef FRESHET_PUBLISHER_WRITER_H
#define FRESHET_PUBLISHER_WRITER_H

#include "publisher/group.h"
#include "publisher/redis.h"
#include "record/redis_layout.h"
#include "record/weights.h"

struct writer {
    const char *name;
    unsigned bucket_bits;
    enum redis_row_type row_type;
    struct group groups[1 << REDIS_LAYOUT_GROUP_BITS];
    struct redis *redis; // borrowed
    // Scratch of one record: its rows sorted by bucket.
    struct writer_row *rows;
    size_t rows_room;
    struct redis_command command;
    struct buffer text; // what the command's arguments point to
    // Rows of the open version that wait, each {table u32, dimension u32, id u64, values}: changed
    // ones until writer_flush, those of the slice that is sent whole until writer_slice.
    struct buffer pending, whole;
    size_t pending_rows;
    size_t fullest; // rows of the fullest bucket that a slice has replaced
};
void writer_init(struct writer *writer, const char *name, unsigned bucket_bits,
                 enum redis_row_type row_type);
void writer_deinit(struct writer *writer);
void writer_reset(struct writer *writer); // forgets groups and buffered rows

void writer_begin(struct writer *writer); // a version: nothing waits
// Rows that changed: set, at latest by writer_flush. Rows with `whole` are kept for writer_slice.
CHECKED enum status writer_rows(struct writer *writer, const struct weights *rows,
                                struct error *err);
CHECKED enum status writer_flush(struct writer *writer, struct error *err);
CHECKED enum status writer_tombstones(struct writer *writer, const struct weights *tombstones,
                                      struct error *err);
// Replaces every bucket of the slice by the whole rows kept for it.
CHECKED enum status writer_slice(struct writer *writer, const struct weights *slice,
                                 struct error *err);
// Marks the version done in every group that took part; next_offset is behind its COMMIT.
CHECKED enum status writer_commit(struct writer *writer, int64_t next_offset, struct error *err);

#endif
