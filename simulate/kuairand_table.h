// The features of KuaiRand's users or videos by id, each encoded once as an Avro record.
#ifndef FRESHET_SIMULATE_KUAIRAND_TABLE_H
#define FRESHET_SIMULATE_KUAIRAND_TABLE_H

#include "base/memory.h"

enum kuairand_kind {
    KUAIRAND_TEXT,   // string
    KUAIRAND_WHOLE,  // [null, long]; written "3", "3.0" or nothing
    KUAIRAND_BUCKET, // [null, int]: half octaves of a count
};
struct kuairand_column {
    const char *name;
    enum kuairand_kind kind;
};
extern const struct kuairand_column kuairand_user_columns[];
extern const size_t kuairand_user_count;
extern const struct kuairand_column kuairand_video_columns[];
extern const size_t kuairand_video_count;

struct kuairand_row {
    int64_t id;
    size_t at, length; // in bytes
};
struct kuairand_table {
    struct kuairand_row *rows; // sorted by id
    size_t count, capacity;
    struct buffer bytes;
};

void kuairand_table_init(struct kuairand_table *table);
void kuairand_table_deinit(struct kuairand_table *table);
// STATUS_INVALID: file, line and column of a mistake.
CHECKED enum status kuairand_table_load(struct kuairand_table *table, const char *path,
                                        const char *id_column,
                                        const struct kuairand_column *columns, size_t count,
                                        struct error *err);
// NULL when there is none.
const struct kuairand_row *kuairand_table_find(const struct kuairand_table *table, int64_t id);
// 0 for 0 and less; then 1 + the half octave: 1, 2, 3, 4-5, 6-7, 8-11, ...
int64_t kuairand_bucket(int64_t count);

#endif
