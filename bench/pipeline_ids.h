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
// The categorical fields of KuaiRand's impressions as config/kuairand.yaml maps them, in the order
// of time; `directory` holds its files. Ends the program on errors.
void pipeline_ids_kuairand(struct pipeline_ids *ids, const char *directory);
void pipeline_ids_deinit(struct pipeline_ids *ids);

#endif
