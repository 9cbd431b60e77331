#include "bench/pipeline_ids.h"

#include <math.h>

#include "base/disk.h"
#include "base/rng.h"
#include "bench/join_events.h"

#define UNIVERSE 1000000

void pipeline_ids_make(struct pipeline_ids *ids, size_t rows, size_t fields) {
    struct rng rng;
    struct error err;
    *ids = (struct pipeline_ids){.rows = rows, .fields = fields};
    ids->ids = memory_new(rows * fields, sizeof(*ids->ids));
    if (!ids->ids)
        bench_must(error_no_memory(&err, rows * fields * sizeof(*ids->ids), "ids"), &err);
    rng_init(&rng, 1);
    for (size_t i = 0; i < rows * fields; i++)
        ids->ids[i] = (uint64_t)pow(UNIVERSE, rng_uniform(&rng)) * 2654435761u % UNIVERSE + 1;
}

void pipeline_ids_read(struct pipeline_ids *ids, const char *path) {
    struct error err;
    struct buffer bytes;
    uint64_t shape[2] = {0};
    buffer_init(&bytes);
    bench_must(disk_read_all(path, &bytes, &err), &err);
    if (bytes.length >= sizeof(shape))
        memcpy(shape, bytes.data, sizeof(shape));
    size_t values = bytes.length / sizeof(uint64_t);
    if (shape[0] == 0 || shape[1] == 0 || shape[1] > values || shape[0] * shape[1] + 2 != values)
        bench_must(error_set(&err, STATUS_INVALID, "`%s` is no file of ids", path), &err);
    *ids = (struct pipeline_ids){.rows = (size_t)shape[0], .fields = (size_t)shape[1]};
    ids->ids = memory_new(values, sizeof(*ids->ids));
    if (!ids->ids)
        bench_must(error_no_memory(&err, bytes.length, "ids"), &err);
    memcpy(ids->ids, bytes.data + sizeof(shape), bytes.length - sizeof(shape));
    buffer_deinit(&bytes);
}

void pipeline_ids_deinit(struct pipeline_ids *ids) {
    memory_free(ids->ids);
}
