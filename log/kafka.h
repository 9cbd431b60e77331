// The Kafka backend's own structs and the functions that its files share. Private to log/; only
// kafka*.c include rdkafka.h.
#ifndef FRESHET_LOG_KAFKA_H
#define FRESHET_LOG_KAFKA_H

#include <librdkafka/rdkafka.h>

#include "log/backend.h"

#define KAFKA_JOURNAL_ENDING ".journal" // after the task's name: its journal's topic
#define KAFKA_HEADER "freshet"          // record header: sequence (Avro long), end of stream (byte)
#define KAFKA_REASON_MAX 512

struct kafka_log {
    struct log head;
    char *brokers;
    char *client_id;
    char **properties; // "key=value", NULL-terminated
    int32_t replication_factor;
    int timeout_ms;
    rd_kafka_t *client;            // a consumer that reads nothing: metadata, bounds, admin calls
    char reason[KAFKA_REASON_MAX]; // what the client last complained of; written while opening
    bool refused;                  // that was a refusal: wrong password, certificate or protocol
};

// A handle with our defaults, then the user's properties, then `forced` (key, value, key, ...,
// NULL), which guarantees rest on. `opaque` goes to the callbacks that `conf_more` (or NULL) sets.
CHECKED enum status kafka_handle_new(const struct kafka_log *log, rd_kafka_type_t type,
                                     const char *const *forced,
                                     void (*conf_more)(rd_kafka_conf_t *conf), void *opaque,
                                     rd_kafka_t **ret_handle, struct error *err);
enum status kafka_status(rd_kafka_resp_err_t code);
// "could not <doing> (<name>): <librdkafka's reason>", with the status of the code.
enum status kafka_failed(rd_kafka_resp_err_t code, const char *doing, const char *name,
                         struct error *err);
int kafka_left_ms(int64_t deadline_ms); // until a monotonic time; at least 0
int64_t kafka_now_ms(void);             // monotonic

// Oldest offset and last stable offset: what a reader of committed records can reach.
CHECKED enum status kafka_bounds(rd_kafka_t *handle, const char *topic, int32_t partition,
                                 int timeout_ms, int64_t *ret_begin, int64_t *ret_end,
                                 struct error *err);
CHECKED enum status kafka_offset_at(struct log *log, const char *topic, int32_t partition,
                                    int64_t timestamp_ms, int64_t *ret_offset, struct error *err);
CHECKED enum status kafka_topic_look(struct kafka_log *log, const char *topic, int timeout_ms,
                                     int32_t *ret_partitions, struct error *err);
CHECKED enum status kafka_topic_partitions(struct log *log, const char *topic,
                                           int32_t *ret_partitions, struct error *err);
// A hash of the topic's id, never 0; or 0 with a librdkafka before 2.3, which does not tell it.
CHECKED enum status kafka_topic_identity(struct log *log, const char *topic, uint64_t *ret_identity,
                                         struct error *err);
// Makes the topic (config: key, value, ..., NULL) and waits until it can be written to.
CHECKED enum status kafka_topic_make(struct kafka_log *log, const char *topic, int32_t partitions,
                                     const char *const *config, struct error *err);
CHECKED enum status kafka_records_delete(struct kafka_log *log, const char *topic, int64_t before,
                                         struct error *err); // of partition 0

enum status kafka_reader_open(struct log *log, const struct log_position *positions, size_t count,
                              struct log_reader **ret_reader, struct error *err);
void kafka_reader_close(struct log_reader *reader);
enum status kafka_reader_poll(struct log_reader *reader, size_t records_max, int64_t timeout_ms,
                              struct log_batch *ret_batch, struct error *err);
enum status kafka_reader_pause(struct log_reader *reader, uint32_t slot, bool paused,
                               struct error *err);
enum status kafka_reader_seek(struct log_reader *reader, uint32_t slot, int64_t offset,
                              struct error *err);
enum status kafka_reader_end(struct log_reader *reader, uint32_t slot, int64_t *ret_end,
                             struct error *err);
enum status kafka_reader_position(struct log_reader *reader, uint32_t slot, int64_t *ret_offset,
                                  struct error *err);
void kafka_reader_report(struct log_reader *reader, const char *group, const int64_t *next_offsets);

enum status kafka_writer_open(struct log *log, const char *task, const char *const *outputs,
                              size_t output_count, struct log_writer **ret_writer,
                              struct error *err);
void kafka_writer_close(struct log_writer *writer);
enum status kafka_writer_append(struct log_writer *writer, size_t output, int32_t partition,
                                const struct log_record *record, struct error *err);
enum status kafka_writer_commit(struct log_writer *writer, const struct log_journal_entry *entries,
                                size_t entry_count, struct error *err);
int64_t kafka_journal_place(struct log_writer *writer);
enum status kafka_journal_trim(struct log_writer *writer, int64_t place, struct error *err);
enum status kafka_journal_read(struct log *log, struct log_writer *writer, const char *task,
                               int64_t place, log_journal_visit *each, void *self,
                               struct error *err);

#endif
