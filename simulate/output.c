// Writes events to their three topics.
#include "simulate/output.h"

#include "log/partitioner.h"

enum { COMMIT_RECORDS = 20000 };

enum status output_open(struct log *log, const char *const topics[OUTPUT_TOPICS],
                        int32_t partitions, struct output *ret_output, struct error *err) {
    struct output output = {.partitions = partitions, .latest_ms = 0};
    for (int i = 0; i < OUTPUT_TOPICS; i++) {
        enum status status = log_topic_ensure(log, topics[i], partitions, err);
        if (status != STATUS_OK)
            return status;
    }
    enum status status = log_writer_open(log, "", topics, OUTPUT_TOPICS, &output.writer, err);
    if (status == STATUS_OK)
        *ret_output = output;
    return status;
}

void output_close(struct output *output) {
    if (output->writer != NULL)
        log_writer_close(output->writer);
    output->writer = NULL;
}

enum status output_commit(struct output *output, struct error *err) {
    output->pending = 0;
    return log_writer_commit(output->writer, NULL, 0, err);
}

enum status output_put(struct output *output, enum output_topic topic, int64_t timestamp_ms,
                       const void *key, size_t key_length, const void *value, size_t value_length,
                       struct error *err) {
    struct log_record record = {.timestamp_ms = timestamp_ms,
                                .sequence = LOG_NO_SEQUENCE,
                                .key = key,
                                .key_length = key_length,
                                .value = value,
                                .value_length = value_length};
    int32_t partition = partitioner_place(PARTITIONER_MURMUR2, key, key_length, output->partitions);
    enum status status = log_writer_append(output->writer, (size_t)topic, partition, &record, err);
    if (status != STATUS_OK)
        return status;
    output->written[topic]++;
    if (timestamp_ms > output->latest_ms)
        output->latest_ms = timestamp_ms;
    return ++output->pending < COMMIT_RECORDS ? STATUS_OK : output_commit(output, err);
}

enum status output_finish(struct output *output, struct error *err) {
    struct log_record end = {
        .timestamp_ms = output->latest_ms, .sequence = LOG_NO_SEQUENCE, .end_of_stream = true};
    for (size_t topic = 0; topic < OUTPUT_TOPICS; topic++)
        for (int32_t partition = 0; partition < output->partitions; partition++) {
            enum status status = log_writer_append(output->writer, topic, partition, &end, err);
            if (status != STATUS_OK)
                return status;
        }
    return output_commit(output, err);
}
