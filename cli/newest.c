// Reads the ends of a topic's partitions.
#include "cli/newest.h"

// Transaction markers and end_of_stream take offsets too: a few more are read than asked for.
enum { MARGIN = 8 };

static enum status newest_of(struct log *log, const char *topic, int32_t partition, int64_t count,
                             enum status (*each)(void *, int32_t, const struct log_record *,
                                                 struct error *),
                             void *self, struct error *err) {
    int64_t begin, end;
    enum status status = log_topic_bounds(log, topic, partition, &begin, &end, err);
    if (status != STATUS_OK)
        return status;
    int64_t from = end - count - MARGIN > begin ? end - count - MARGIN : begin;
    struct log_position position = {topic, partition, from};
    struct log_reader *reader = NULL;
    status = log_reader_open(log, &position, 1, &reader, err);
    while (status == STATUS_OK && count > 0) {
        struct log_batch batch;
        int64_t at;
        status = log_reader_position(reader, 0, &at, err);
        if (status != STATUS_OK || at >= end)
            break;
        status = log_reader_poll(reader, 1000, 1000, &batch, err);
        if (status == STATUS_TIMEOUT)
            status = STATUS_OK;
        else
            for (size_t i = 0; status == STATUS_OK && i < batch.count && count > 0; i++) {
                if (batch.records[i].end_of_stream)
                    continue;
                status = each(self, partition, &batch.records[i], err);
                count--;
            }
    }
    log_reader_close(reader);
    return status;
}

enum status newest_records(struct log *log, const char *topic, int64_t count,
                           enum status (*each)(void *self, int32_t partition,
                                               const struct log_record *record, struct error *err),
                           void *self, struct error *err) {
    int32_t partitions;
    enum status status = log_topic_partitions(log, topic, &partitions, err);
    if (status != STATUS_OK)
        return status;
    int64_t share = (count + partitions - 1) / partitions;
    for (int32_t p = 0; status == STATUS_OK && p < partitions; p++)
        status = newest_of(log, topic, p, share, each, self, err);
    return status == STATUS_END ? STATUS_OK : status;
}
