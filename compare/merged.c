// One reader a partition: its batch stays valid until that partition is polled again.
#include "compare/merged.h"

enum { BATCH = 4096, POLL_MS = 1000, POLLS_MAX = 60 };

struct source {
    struct log_reader *reader; // NULL = read to its end
    struct log_batch batch;
    size_t at;
    int64_t end;
    int64_t newest_ms; // running maximum over what was taken
};

struct merged {
    const char *topic;
    struct source *sources;
    size_t count;
};

size_t merged_partitions(const struct merged *merged) {
    return merged->count;
}

void merged_close(struct merged *merged) {
    if (!merged)
        return;
    for (size_t i = 0; merged->sources && i < merged->count; i++)
        log_reader_close(merged->sources[i].reader);
    memory_free(merged->sources);
    memory_free(merged);
}

static enum status source_open(struct log *log, const char *topic, int32_t partition,
                               struct source *source, struct error *err) {
    int64_t begin;
    enum status status = log_topic_bounds(log, topic, partition, &begin, &source->end, err);
    struct log_position position = {topic, partition, begin};
    source->newest_ms = INT64_MIN;
    return status == STATUS_OK && begin < source->end
               ? log_reader_open(log, &position, 1, &source->reader, err)
               : status;
}

enum status merged_open(struct log *log, const char *topic, struct merged **ret_merged,
                        struct error *err) {
    int32_t partitions;
    enum status status = log_topic_partitions(log, topic, &partitions, err);
    if (status != STATUS_OK)
        return status;
    struct merged *merged = memory_new(1, sizeof *merged);
    if (!merged)
        return error_no_memory(err, sizeof *merged, "reading a topic");
    merged->topic = topic;
    merged->count = (size_t)partitions;
    merged->sources = memory_new(merged->count, sizeof *merged->sources);
    if (!merged->sources)
        status = error_no_memory(err, merged->count * sizeof *merged->sources, "reading a topic");
    for (int32_t p = 0; status == STATUS_OK && p < partitions; p++)
        status = source_open(log, topic, p, &merged->sources[p], err);
    if (status == STATUS_OK)
        *ret_merged = merged;
    else
        merged_close(merged);
    return status;
}

static void source_end(struct source *source) {
    log_reader_close(source->reader);
    source->reader = NULL;
}

// Makes the source show its next record, or end.
static enum status source_fill(const struct merged *merged, struct source *source,
                               struct error *err) {
    for (int polls = 0; source->reader; polls++) {
        while (source->at < source->batch.count && source->batch.records[source->at].end_of_stream)
            source->at++;
        if (source->at < source->batch.count) {
            if (source->batch.records[source->at].offset >= source->end)
                source_end(source);
            return STATUS_OK;
        }
        int64_t position;
        enum status status = log_reader_position(source->reader, 0, &position, err);
        if (status == STATUS_OK && position >= source->end) {
            source_end(source);
            return STATUS_OK;
        }
        source->at = 0;
        source->batch.count = 0;
        if (status == STATUS_OK)
            status = log_reader_poll(source->reader, BATCH, POLL_MS, &source->batch, err);
        if (status != STATUS_OK && polls >= POLLS_MAX)
            return error_prefix(err, "could not read topic `%s` to its end", merged->topic);
        if (status != STATUS_OK && status != STATUS_TIMEOUT && status != STATUS_UNAVAILABLE)
            return status;
    }
    return STATUS_OK;
}

enum status merged_next(struct merged *merged, struct log_record *ret_record, struct error *err) {
    struct source *least = NULL;
    int64_t least_ms = 0;
    for (size_t i = 0; i < merged->count; i++) {
        struct source *source = &merged->sources[i];
        enum status status = source_fill(merged, source, err);
        if (status != STATUS_OK)
            return status;
        if (!source->reader)
            continue;
        int64_t time_ms = source->batch.records[source->at].timestamp_ms;
        int64_t order_ms = time_ms > source->newest_ms ? time_ms : source->newest_ms;
        if (!least || order_ms < least_ms) {
            least = source;
            least_ms = order_ms;
        }
    }
    if (!least)
        return error_set(err, STATUS_END, "topic `%s` is read to its end", merged->topic);
    *ret_record = least->batch.records[least->at++];
    ret_record->slot = (uint32_t)(least - merged->sources);
    least->newest_ms = least_ms;
    return STATUS_OK;
}
