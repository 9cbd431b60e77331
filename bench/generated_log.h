// A log whose inputs are made as they are read (join_events.h) and whose outputs are dropped: for
// benches of more events than memory or a broker should hold. One reader at a time, from the
// beginning; nothing can be recovered from it.
#ifndef FRESHET_BENCH_GENERATED_LOG_H
#define FRESHET_BENCH_GENERATED_LOG_H

#include <stdatomic.h>

#include "bench/join_events.h"

struct generated_marks {
    size_t impressions;             // so many are given, then `stop` is set
    size_t steady_after;            // impressions
    double steady_begin;            // bench_seconds() when so many had been given
    double end;                     // when all had been
    uint64_t steady_events, events; // given after that, and in all
    atomic_bool stop;
};

// marks is borrowed until log_close. Ends the program on errors.
struct log *generated_log_open(const struct join_config *config, struct generated_marks *marks);

#endif
