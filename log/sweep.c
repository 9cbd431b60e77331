// Polls until the reader has passed the end; see sweep.h.
#include "log/sweep.h"

enum { POLL_RECORDS = 4096, POLL_MS = 100, POLLS_EMPTY_MAX = 50 };

struct sweep {
    const char *topic;
    struct log_reader *reader;
    int64_t end;
    int empty; // polls in a row that brought nothing
};

static enum status turn(struct sweep *sweep,
                        enum status (*each)(void *self, const struct log_record *record,
                                            struct error *err),
                        void *self, struct error *err) {
    struct log_batch batch;
    enum status status = log_reader_poll(sweep->reader, POLL_RECORDS, POLL_MS, &batch, err);
    if (status == STATUS_TIMEOUT && ++sweep->empty < POLLS_EMPTY_MAX)
        return STATUS_OK;
    if (status == STATUS_TIMEOUT)
        return error_set(err, STATUS_UNAVAILABLE,
                         "could not read topic `%s` to its end at offset %lld: nothing more came",
                         sweep->topic, (long long)sweep->end);
    sweep->empty = 0;
    for (size_t i = 0; status == STATUS_OK && i < batch.count; i++)
        if (batch.records[i].offset < sweep->end)
            status = each(self, &batch.records[i], err);
    return status;
}

enum status log_sweep(struct log *log, const char *topic, int32_t partition,
                      enum status (*each)(void *self, const struct log_record *record,
                                          struct error *err),
                      void *self, int64_t *ret_end, struct error *err) {
    struct sweep sweep = {.topic = topic};
    int64_t at = 0;
    enum status status = log_topic_bounds(log, topic, partition, &at, &sweep.end, err);
    if (status != STATUS_OK)
        return status;
    const struct log_position position = {topic, partition, at};
    if (at < sweep.end)
        status = log_reader_open(log, &position, 1, &sweep.reader, err);
    while (status == STATUS_OK && at < sweep.end) {
        status = turn(&sweep, each, self, err);
        if (status == STATUS_OK)
            status = log_reader_position(sweep.reader, 0, &at, err);
    }
    log_reader_close(sweep.reader);
    if (status == STATUS_OK)
        *ret_end = sweep.end;
    return status;
}
