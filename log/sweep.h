// One partition, read from its oldest record to the end that it has now.
#ifndef FRESHET_LOG_SWEEP_H
#define FRESHET_LOG_SWEEP_H

#include "log/log.h"

// Calls `each` for every committed record, end_of_stream records included, in order; an error of
// its ends the sweep and is returned. *ret_end: the offset to go on from. STATUS_UNAVAILABLE also
// where the end that the log names is not reached within seconds.
CHECKED enum status log_sweep(struct log *log, const char *topic, int32_t partition,
                              enum status (*each)(void *self, const struct log_record *record,
                                                  struct error *err),
                              void *self, int64_t *ret_end, struct error *err);

#endif
