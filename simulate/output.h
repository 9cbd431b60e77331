// Where generated and loaded events go: three topics, placed by key as Java's producer would,
// written in atomic commits of a bounded number of records.
#ifndef FRESHET_SIMULATE_OUTPUT_H
#define FRESHET_SIMULATE_OUTPUT_H

#include "log/log.h"

enum output_topic { OUTPUT_IMPRESSIONS, OUTPUT_CLICKS, OUTPUT_CONVERSIONS, OUTPUT_TOPICS };

struct output {
    struct log_writer *writer;
    int32_t partitions;
    uint64_t pending;                // records since the last commit
    uint64_t written[OUTPUT_TOPICS]; // committed or pending
    int64_t latest_ms;               // timestamp of the newest record
};

// Makes the topics where they are missing. STATUS_CHANGED when one has another partition count.
CHECKED enum status output_open(struct log *log, const char *const topics[OUTPUT_TOPICS],
                                int32_t partitions, struct output *ret_output, struct error *err);
void output_close(struct output *output); // what was not committed is dropped
CHECKED enum status output_put(struct output *output, enum output_topic topic, int64_t timestamp_ms,
                               const void *key, size_t key_length, const void *value,
                               size_t value_length, struct error *err);
CHECKED enum status output_commit(struct output *output, struct error *err);
// Says on every partition that nothing earlier will follow, so that readers can finish. Commits.
CHECKED enum status output_finish(struct output *output, struct error *err);

#endif
