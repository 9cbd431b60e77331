// The narrow waist: partitioned, offset-addressed, append-only logs with atomic commits.
//
// Three backends stand behind this interface: Kafka topics (kafka.c), directories of Avro container
// files (avro_files.c) and memory (memory.c); one conformance test runs on all of them. A reader is
// opened at explicit offsets, sees only what was committed, and never chooses where to start. A
// writer belongs to one task: it appends to output partitions and makes all of that and the task's
// journal records durable and visible together, or not at all. A newer writer of the same task
// fences the older, whose next call returns STATUS_FENCED.
//
// Offsets ascend within a partition but may have gaps (Kafka's transaction markers).
#ifndef FRESHET_LOG_LOG_H
#define FRESHET_LOG_LOG_H

#include "base/clock.h"
#include "base/memory.h"
#include "base/metrics.h"

#define LOG_NO_SEQUENCE (-1)

struct log_record {
    uint32_t slot;        // reader: index of the position it came from; unused by writers
    int64_t offset;       // reader only
    int64_t timestamp_ms; // event time where the producer knows it
    int64_t sequence;     // producer's dense number in this partition, or LOG_NO_SEQUENCE
    bool end_of_stream;   // nothing earlier than any later record will follow: producer finished
    const void *key;      // may be NULL
    size_t key_length;
    const void *value; // may be NULL (tombstone)
    size_t value_length;
};

struct log_batch {
    struct log_record *records; // valid until the reader's next poll or close
    size_t count;
};

struct log;        // one backend, shared by readers and writers; thread-safe
struct log_reader; // one owner thread
struct log_writer; // one owner thread

enum log_backend { LOG_FILES, LOG_KAFKA, LOG_MEMORY };

CHECKED enum status log_open_memory(struct log **ret_log, struct error *err);
struct log_files_options {
    const char *directory;
    int64_t segment_bytes; // a partition's file is closed at this size and a new one begun
    bool fsync;            // false only for benches and tests that plant no crash
};
CHECKED enum status log_open_files(const struct log_files_options *options, struct log **ret_log,
                                   struct error *err);
struct log_kafka_options {
    const char *brokers; // bootstrap.servers
    const char *const
        *properties;            // further librdkafka settings, "key=value", NULL-terminated or NULL
    int32_t replication_factor; // of topics made by log_topic_ensure
    int64_t timeout_ms;         // of metadata, admin and transaction calls
    const char *client_id;
};
CHECKED enum status log_open_kafka(const struct log_kafka_options *options, struct log **ret_log,
                                   struct error *err);
void log_close(struct log *log); // after its readers and writers; NULL is fine
enum log_backend log_backend_of(const struct log *log);

// Makes the topic when missing. STATUS_CHANGED when it exists with another partition count.
CHECKED enum status log_topic_ensure(struct log *log, const char *topic, int32_t partitions,
                                     struct error *err);
CHECKED enum status log_topic_partitions(struct log *log, const char *topic,
                                         int32_t *ret_partitions,
                                         struct error *err); // STATUS_NOT_FOUND
// Oldest retained offset, and the offset after the newest committed record.
CHECKED enum status log_topic_bounds(struct log *log, const char *topic, int32_t partition,
                                     int64_t *ret_begin, int64_t *ret_end, struct error *err);
// First offset whose timestamp is >= timestamp_ms, or the end.
CHECKED enum status log_topic_offset_at(struct log *log, const char *topic, int32_t partition,
                                        int64_t timestamp_ms, int64_t *ret_offset,
                                        struct error *err);
// Something that changes when a topic of this name is deleted and made anew (Kafka's topic id where
// the library tells it, else 0; an id file; a counter). Journalled, so that such a change is
// noticed.
CHECKED enum status log_topic_identity(struct log *log, const char *topic, uint64_t *ret_identity,
                                       struct error *err);

struct log_position {
    const char *topic;
    int32_t partition;
    int64_t offset; // first record wanted
};

// Slots are the indices of `positions`. STATUS_CHANGED: an offset that is out of range (retention
// has passed it, or the log was cut), named with topic, partition, wanted and present range.
CHECKED enum status log_reader_open(struct log *log, const struct log_position *positions,
                                    size_t count, struct log_reader **ret_reader,
                                    struct error *err);
void log_reader_close(struct log_reader *reader);
// Up to records_max records, each slot's in offset order, waiting up to timeout_ms for the first.
// STATUS_TIMEOUT with an empty batch when none came. STATUS_UNAVAILABLE while servers are down: the
// reader stays good, poll again. STATUS_CHANGED as above, or the topic is gone.
CHECKED enum status log_reader_poll(struct log_reader *reader, size_t records_max,
                                    int64_t timeout_ms, struct log_batch *ret_batch,
                                    struct error *err);
CHECKED enum status log_reader_pause(struct log_reader *reader, uint32_t slot, bool paused,
                                     struct error *err);
// Next poll of that slot continues at this offset.
CHECKED enum status log_reader_seek(struct log_reader *reader, uint32_t slot, int64_t offset,
                                    struct error *err);
// The offset after the newest committed record, as last known (may be a little old).
CHECKED enum status log_reader_end(struct log_reader *reader, uint32_t slot, int64_t *ret_end,
                                   struct error *err);
// Every committed record before *ret_offset has been handed out by polls of this slot. Passes gaps:
// once all is read it reaches log_reader_end, though the last records may be transaction markers.
CHECKED enum status log_reader_position(struct log_reader *reader, uint32_t slot,
                                        int64_t *ret_offset, struct error *err);
// Kafka: commits the group's offsets for lag tools (Freshet never reads them). Others: nothing.
void log_reader_report(struct log_reader *reader, const char *group, const int64_t *next_offsets);

// `task` names the journal and, on Kafka, the transactional id; "" = a producer without a journal
// (load, simulate), which still commits atomically. outputs: topics that exist. Fences the older
// instance before it returns; waits for that up to the log's timeout.
CHECKED enum status log_writer_open(struct log *log, const char *task, const char *const *outputs,
                                    size_t output_count, struct log_writer **ret_writer,
                                    struct error *err);
void log_writer_close(struct log_writer *writer); // what was not committed is dropped
// Queues one record for the next commit; bytes are copied. record->slot, offset are not used.
CHECKED enum status log_writer_append(struct log_writer *writer, size_t output, int32_t partition,
                                      const struct log_record *record, struct error *err);
struct log_journal_entry {
    const void *bytes;
    size_t length;
};
// All appended records and these journal records, together or not at all. On any error the commit's
// fate is unknown: close, open again and recover from the journal. STATUS_FENCED: stop the task.
// On Kafka readers and bounds show it some milliseconds later; log_writer_close waits for that.
CHECKED enum status log_writer_commit(struct log_writer *writer,
                                      const struct log_journal_entry *entries, size_t entry_count,
                                      struct error *err);
// Where the next journal record will stand; a checkpoint names it. Valid between commits.
int64_t log_writer_journal_place(struct log_writer *writer);
// Calls `each` for every committed journal record from `place` (0 = the oldest) on, in order, with
// the record's own place. STATUS_CHANGED when `place` is no longer retained; a torn last record is
// cut at log_writer_open; STATUS_CORRUPT for a bad one before good ones.
CHECKED enum status log_writer_journal_read(struct log_writer *writer, int64_t place,
                                            enum status (*each)(void *self, int64_t place,
                                                                const void *bytes, size_t length,
                                                                struct error *err),
                                            void *self, struct error *err);
// Journal records before `place` are needed no longer (all kept checkpoints are later). A hint.
CHECKED enum status log_writer_journal_trim(struct log_writer *writer, int64_t place,
                                            struct error *err);
// A read-only look at a task's journal, without fencing (inspect, replay --verify).
CHECKED enum status log_journal_read(struct log *log, const char *task, int64_t place,
                                     enum status (*each)(void *self, int64_t place,
                                                         const void *bytes, size_t length,
                                                         struct error *err),
                                     void *self, struct error *err);

#endif
