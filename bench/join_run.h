// One ingest task under the runner, from the beginning of its inputs to their end.
#ifndef FRESHET_BENCH_JOIN_RUN_H
#define FRESHET_BENCH_JOIN_RUN_H

#include <stdatomic.h>

#include "bench/join_events.h"

struct join_run {
    struct join_config *config;
    struct log *log;
    const char *name;      // of the task
    const char *directory; // a new folder below which the task keeps its state
    int32_t partition;
    const atomic_bool *stop; // set: the task stops as a daemon does; NULL = at the inputs' end
    uint64_t read, used;     // filled in
};

// With journal and checkpoints as configured. Ends the program on errors.
void join_run(struct join_run *run);

#endif
