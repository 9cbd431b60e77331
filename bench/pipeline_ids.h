// The ids of bench_pipeline and its peer: one row of fields an example.
#ifndef FRESHET_BENCH_PIPELINE_IDS_H
#define FRESHET_BENCH_PIPELINE_IDS_H

#include <stddef.h>
#include <stdint.h>

struct pipeline_ids {
    uint64_t *ids; // [rows][fields]
    size_t rows, fields;
};

// Log-uniform over a million, scattered: long-tailed like item ids. Ends the program on errors.
void pipeline_ids_make(struct pipeline_ids *ids, size_t rows, size_t fields);
// A file of bench/kuairand_ids.py: rows, fields, then the ids, all 64-bit numbers. Ends the program
// on errors.
void pipeline_ids_read(struct pipeline_ids *ids, const char *path);
void pipeline_ids_deinit(struct pipeline_ids *ids);

#endif
