// Reads all partitions of a topic to the ends they had at the opening, merged into the canonical
// order: running maximum of the records' timestamps within a partition, then partition, then
// offset: the order in which `order: event_time` folds them. Writes nothing, needs no journal.
#ifndef FRESHET_COMPARE_MERGED_H
#define FRESHET_COMPARE_MERGED_H

#include "log/log.h"

struct merged;

// STATUS_NOT_FOUND when there is no such topic; errors of the log.
CHECKED enum status merged_open(struct log *log, const char *topic, struct merged **ret_merged,
                                struct error *err);
void merged_close(struct merged *merged); // NULL is fine
size_t merged_partitions(const struct merged *merged);
// The next record, its slot the partition; valid until the next call. end_of_stream records are
// passed over. STATUS_END when all is read; errors of the log.
CHECKED enum status merged_next(struct merged *merged, struct log_record *ret_record,
                                struct error *err);

#endif
