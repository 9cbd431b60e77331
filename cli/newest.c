// Reads the ends of a topic's partitions.
//
// Offsets have gaps (Kafka's transaction markers), so how far back the newest N records begin shows
// only by counting: once from further and further back, then again to hand them out.
#include "cli/newest.h"

struct pass {
    int64_t skip; // records not handed out
    enum status (*each)(void *self, int32_t partition, const struct log_record *record,
                        struct error *err); // NULL: only count
    void *self;
};

static enum status read_range(struct log_reader *reader, int32_t partition, int64_t end,
                              const struct pass *pass, int64_t *ret_records, struct error *err) {
    int64_t records = 0, at = 0;
    enum status status = log_reader_position(reader, 0, &at, err);
    while (status == STATUS_OK && at < end) {
        struct log_batch batch;
        status = log_reader_poll(reader, 1000, 1000, &batch, err);
        if (status == STATUS_TIMEOUT) {
            batch.count = 0;
            status = STATUS_OK;
        }
        for (size_t i = 0; status == STATUS_OK && i < batch.count; i++) {
            const struct log_record *record = &batch.records[i];
            if (record->end_of_stream || record->offset >= end)
                continue;
            if (records++ >= pass->skip && pass->each)
                status = pass->each(pass->self, partition, record, err);
        }
        if (status == STATUS_OK)
            status = log_reader_position(reader, 0, &at, err);
    }
    *ret_records = records;
    return status;
}

static enum status newest_of(struct log *log, const char *topic, int32_t partition, int64_t count,
                             struct pass *pass, struct error *err) {
    int64_t begin, end, found = 0, from;
    enum status status = log_topic_bounds(log, topic, partition, &begin, &end, err);
    if (status != STATUS_OK)
        return status;
    struct log_position position = {topic, partition, end};
    struct log_reader *reader = NULL;
    status = log_reader_open(log, &position, 1, &reader, err);
    for (int64_t back = count + 8; status == STATUS_OK; back *= 2) {
        struct pass counting = {0};
        from = end - back > begin ? end - back : begin;
        status = log_reader_seek(reader, 0, from, err);
        if (status == STATUS_OK)
            status = read_range(reader, partition, end, &counting, &found, err);
        if (found >= count || from == begin)
            break;
    }
    if (status == STATUS_OK)
        status = log_reader_seek(reader, 0, from, err);
    pass->skip = found > count ? found - count : 0;
    if (status == STATUS_OK)
        status = read_range(reader, partition, end, pass, &found, err);
    log_reader_close(reader);
    return status;
}

enum status newest_records(struct log *log, const char *topic, int64_t count,
                           enum status (*each)(void *self, int32_t partition,
                                               const struct log_record *record, struct error *err),
                           void *self, struct error *err) {
    int32_t partitions;
    struct pass pass = {.each = each, .self = self};
    enum status status = log_topic_partitions(log, topic, &partitions, err);
    if (status != STATUS_OK)
        return status;
    int64_t share = (count + partitions - 1) / partitions;
    for (int32_t p = 0; status == STATUS_OK && p < partitions; p++)
        status = newest_of(log, topic, p, share, &pass, err);
    return status;
}
