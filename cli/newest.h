// The newest records of a topic, for commands that look at a sample.
#ifndef FRESHET_CLI_NEWEST_H
#define FRESHET_CLI_NEWEST_H

#include "log/log.h"

// Calls `each` for the newest `count` records of the topic, partition by partition, each in offset
// order (count is shared equally; end_of_stream records are left out). Errors are the log's and
// each's.
CHECKED enum status newest_records(struct log *log, const char *topic, int64_t count,
                                   enum status (*each)(void *self, int32_t partition,
                                                       const struct log_record *record,
                                                       struct error *err),
                                   void *self, struct error *err);

#endif
