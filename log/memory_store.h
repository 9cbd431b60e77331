// The memory backend's shared state: topics of partitions of records, and the tasks' journals.
//
// Everything below is guarded by `lock`. Topics are never freed before the log, only marked
// deleted, so that a reader's or writer's pointer stays good and finds out.
#ifndef FRESHET_LOG_MEMORY_STORE_H
#define FRESHET_LOG_MEMORY_STORE_H

#include <pthread.h>

#include "log/backend.h"
#include "log/memory.h"

struct memory_partition {
    struct log_record **records; // [count] ascending offsets; each owns its bytes behind itself
    size_t count, capacity;
    int64_t begin, end; // oldest retained offset, offset after the newest
};

struct memory_topic {
    char *name;
    uint64_t identity;
    bool deleted;
    int32_t partition_count;
    struct memory_partition *partitions;
    struct memory_topic *next;
};

struct memory_entry {
    size_t length;
    unsigned char bytes[];
};

struct memory_task {
    char *name;
    uint64_t epoch; // of the newest writer
    int64_t begin;  // place of entries[0]
    struct memory_entry **entries;
    size_t count, capacity;
    struct memory_task *next;
};

struct memory_log {
    struct log head;
    pthread_mutex_t lock;
    pthread_cond_t committed;
    struct memory_topic *topics;
    struct memory_task *tasks;
    uint64_t identities; // last one given
    uint64_t mutations;
    uint64_t fault_at; // mutation that meets the fault; 0 = none
    enum log_memory_fault fault;
    uint64_t crashes; // writers of an earlier count are dead
    bool unavailable;
    bool gaps;
};

// Topic of this name that is not deleted, or NULL. Lock held.
struct memory_topic *memory_topic_find(struct memory_log *log, const char *name);
// First index in the partition whose offset is >= offset. Lock held.
size_t memory_partition_index(const struct memory_partition *partition, int64_t offset);
// Room for `more` further pointers in a growing array; false when memory is out.
bool memory_grow(void **array, size_t count, size_t *capacity, size_t more);

enum status memory_reader_open(struct log *log, const struct log_position *positions, size_t count,
                               struct log_reader **ret_reader, struct error *err);
void memory_reader_close(struct log_reader *reader);
enum status memory_reader_poll(struct log_reader *reader, size_t records_max, int64_t timeout_ms,
                               struct log_batch *ret_batch, struct error *err);
enum status memory_reader_pause(struct log_reader *reader, uint32_t slot, bool paused,
                                struct error *err);
enum status memory_reader_seek(struct log_reader *reader, uint32_t slot, int64_t offset,
                               struct error *err);
enum status memory_reader_end(struct log_reader *reader, uint32_t slot, int64_t *ret_end,
                              struct error *err);
enum status memory_reader_position(struct log_reader *reader, uint32_t slot, int64_t *ret_offset,
                                   struct error *err);

enum status memory_writer_open(struct log *log, const char *task, const char *const *outputs,
                               size_t output_count, struct log_writer **ret_writer,
                               struct error *err);
void memory_writer_close(struct log_writer *writer);
enum status memory_writer_append(struct log_writer *writer, size_t output, int32_t partition,
                                 const struct log_record *record, struct error *err);
enum status memory_writer_commit(struct log_writer *writer, const struct log_journal_entry *entries,
                                 size_t entry_count, struct error *err);
int64_t memory_journal_place(struct log_writer *writer);
enum status memory_journal_trim(struct log_writer *writer, int64_t place, struct error *err);
enum status memory_journal_read(struct log *log, struct log_writer *writer, const char *task,
                                int64_t place, log_journal_visit *each, void *self,
                                struct error *err);

#endif
