// Worker threads that take numbered pieces of work.
#ifndef FRESHET_TRAINER_LANES_H
#define FRESHET_TRAINER_LANES_H

#include "base/status.h"

struct lanes;

// `threads` workers in all, the caller of lanes_run being one of them. STATUS_EXHAUSTED.
CHECKED enum status lanes_new(size_t threads, struct lanes **ret_lanes, struct error *err);
void lanes_free(struct lanes *lanes);
size_t lanes_threads(const struct lanes *lanes);
// Calls work(self, item, worker) once for each item of [0, count), in any order, on any worker (an
// index below lanes_threads), and returns when all are done. One caller at a time.
void lanes_run(struct lanes *lanes, size_t count,
               void (*work)(void *self, size_t item, size_t worker), void *self);

#endif
