// What a backend gives to log.c: one table of functions, and the heads of its own structs.
//
// Private to log/. A backend's struct begins with the head below, so that log.c can check arguments
// once for all three and pass the call on; arguments that reach a backend are in range.
#ifndef FRESHET_LOG_BACKEND_H
#define FRESHET_LOG_BACKEND_H

#include "log/log.h"

#define LOG_NAME_MAX 240 // Kafka allows 249 bytes; ".journal" is added to a task's name

typedef enum status log_journal_visit(void *self, int64_t place, const void *bytes, size_t length,
                                      struct error *err);

struct log_operations {
    enum log_backend backend;
    void (*close)(struct log *log);
    enum status (*topic_ensure)(struct log *log, const char *topic, int32_t partitions,
                                struct error *err);
    enum status (*topic_partitions)(struct log *log, const char *topic, int32_t *ret_partitions,
                                    struct error *err);
    enum status (*topic_bounds)(struct log *log, const char *topic, int32_t partition,
                                int64_t *ret_begin, int64_t *ret_end, struct error *err);
    enum status (*topic_offset_at)(struct log *log, const char *topic, int32_t partition,
                                   int64_t timestamp_ms, int64_t *ret_offset, struct error *err);
    enum status (*topic_identity)(struct log *log, const char *topic, uint64_t *ret_identity,
                                  struct error *err);
    enum status (*reader_open)(struct log *log, const struct log_position *positions, size_t count,
                               struct log_reader **ret_reader, struct error *err);
    void (*reader_close)(struct log_reader *reader);
    enum status (*reader_poll)(struct log_reader *reader, size_t records_max, int64_t timeout_ms,
                               struct log_batch *ret_batch, struct error *err);
    enum status (*reader_pause)(struct log_reader *reader, uint32_t slot, bool paused,
                                struct error *err);
    enum status (*reader_seek)(struct log_reader *reader, uint32_t slot, int64_t offset,
                               struct error *err);
    enum status (*reader_end)(struct log_reader *reader, uint32_t slot, int64_t *ret_end,
                              struct error *err);
    enum status (*reader_position)(struct log_reader *reader, uint32_t slot, int64_t *ret_offset,
                                   struct error *err);
    void (*reader_report)(struct log_reader *reader, const char *group,
                          const int64_t *next_offsets); // may be NULL
    enum status (*writer_open)(struct log *log, const char *task, const char *const *outputs,
                               size_t output_count, struct log_writer **ret_writer,
                               struct error *err);
    void (*writer_close)(struct log_writer *writer);
    enum status (*writer_append)(struct log_writer *writer, size_t output, int32_t partition,
                                 const struct log_record *record, struct error *err);
    enum status (*writer_commit)(struct log_writer *writer, const struct log_journal_entry *entries,
                                 size_t entry_count, struct error *err);
    int64_t (*journal_place)(struct log_writer *writer);
    enum status (*journal_trim)(struct log_writer *writer, int64_t place, struct error *err);
    // writer NULL: a look from outside at the task's journal
    enum status (*journal_read)(struct log *log, struct log_writer *writer, const char *task,
                                int64_t place, log_journal_visit *each, void *self,
                                struct error *err);
};

struct log {
    const struct log_operations *operations;
};

struct log_reader {
    struct log *log;
    size_t slot_count;
};

struct log_writer {
    struct log *log;
    const char *task; // "" = no journal; the backend's memory
    size_t output_count;
    const int32_t *output_partitions; // [output_count]; the backend's memory
    enum status broken;               // status of the append or commit that failed; log.c's
};

// Refuses names that are not a Kafka topic's, begin with '.' or are too long.
CHECKED enum status log_name_check(const char *what, const char *name, struct error *err);
// The first record of offsets [from, end) whose time is >= timestamp_ms, found by reading; else
// end.
CHECKED enum status log_offset_scan(struct log *log, const char *topic, int32_t partition,
                                    int64_t from, int64_t end, int64_t timestamp_ms,
                                    int64_t *ret_offset, struct error *err);
// STATUS_CHANGED with topic, partition, wanted and present range, in the words of all backends.
CHECKED enum status log_offset_refused(const char *topic, int32_t partition, int64_t wanted,
                                       int64_t begin, int64_t end, struct error *err);

#endif
