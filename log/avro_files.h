// The files backend's own structs and the functions that its files share. Private to log/.
//
//   DIRECTORY/TOPIC/topic                     partition count and identity, checksummed
//   DIRECTORY/TOPIC/PARTITION/OFFSET.avro     segments: Avro container files, named by first offset
//   DIRECTORY/TOPIC/PARTITION/end             committed end: the only bytes ever overwritten
//   DIRECTORY/TOPIC/PARTITION/lock            held by the writer of the partition
//   DIRECTORY/.journals/TASK/PLACE.journal    framed commits, named by first place
//   DIRECTORY/.journals/TASK/lock             held by the task's writer
//
// A commit appends blocks to its segments and syncs them, appends one frame to the journal and
// syncs it (from here on it has happened), then publishes each partition's end, which readers never
// pass. The frame names the end of every partition that its writer has touched, so a writer that
// opens publishes again what a crash left unpublished, and cuts away what was never committed.
#ifndef FRESHET_LOG_AVRO_FILES_H
#define FRESHET_LOG_AVRO_FILES_H

#include <limits.h>
#include <pthread.h>

#include "base/disk.h"
#include "base/wire.h"
#include "log/backend.h"

#define FILES_JOURNALS ".journals"
#define FILES_ANONYMOUS ".writer-" // begins the journal of a writer without a task
#define FILES_SYNC_BYTES 16

struct files_writer;

struct files_log {
    struct log head;
    char *directory;
    int64_t segment_bytes;
    bool fsync;
    pthread_mutex_t lock;         // guards all below
    pthread_cond_t committed;     // some writer of this process committed
    uint64_t commits;             // how often
    uint64_t anonymous;           // writers without a task so far
    struct files_writer *writers; // open ones of this process
};

char *files_path(const struct files_log *log, char path[PATH_MAX], const char *format, ...)
    PRINTF_LIKE(3, 4); // DIRECTORY/ before the formatted rest; returns path

struct files_topic {
    int32_t partitions;
    uint64_t identity;
};
CHECKED enum status files_topic_read(struct files_log *log, const char *topic,
                                     struct files_topic *ret_topic, struct error *err);
// Oldest retained offset and committed end of a partition.
CHECKED enum status files_partition_bounds(struct files_log *log, const char *topic,
                                           int32_t partition, int64_t *ret_begin, int64_t *ret_end,
                                           struct error *err);
// First offsets (journals: places) of the segments with this ending in a folder, ascending, from
// the arena.
CHECKED enum status files_segments(const char *folder, const char *ending, struct arena *arena,
                                   int64_t **ret_firsts, size_t *ret_count, struct error *err);

// The committed end of a partition.
struct files_end {
    uint64_t version;    // grows by one with each publication
    int64_t next_offset; // of the record after the last committed one
    int64_t segment;     // first offset of the newest segment
    int64_t bytes;       // of it that are committed; 0 = that file is not there yet
    uint64_t owner;      // hash of the task that published
};
CHECKED enum status files_end_read(struct disk_file *file, const char *path,
                                   struct files_end *ret_end, struct error *err);
// Writes *end with the version after its own, which it then holds.
CHECKED enum status files_end_publish(struct disk_file *file, struct files_end *end,
                                      struct error *err);

// The envelope: container header, blocks and records.
extern const char files_envelope_schema[];
void files_envelope_sync(const char *topic, int32_t partition, int64_t first,
                         unsigned char sync[FILES_SYNC_BYTES]);
void files_envelope_header(struct buffer *into, const unsigned char sync[FILES_SYNC_BYTES]);
// Length and sync marker of the header that these bytes begin with; STATUS_CORRUPT or
// STATUS_UNSUPPORTED (another schema or codec).
CHECKED enum status files_envelope_parse(const char *path, const void *bytes, size_t length,
                                         size_t *ret_length, unsigned char sync[FILES_SYNC_BYTES],
                                         struct error *err);
void files_envelope_put(struct buffer *into, const struct log_record *record);
void files_envelope_get(struct wire *in, struct log_record *record); // in->bad when malformed
// A block's record count and data bytes; the head's own length, or 0 when malformed or cut off.
size_t files_envelope_block(const unsigned char *bytes, size_t length, int64_t *ret_count,
                            int64_t *ret_bytes);

// The writing end of one partition.
struct files_partition {
    struct files_log *log;
    char *topic;
    int32_t number;
    uint64_t identity; // the topic's when opened
    struct disk_file *lock, *end_file, *segment;
    unsigned char sync[FILES_SYNC_BYTES];
    struct files_end end; // committed
    int64_t next_offset;  // of the next append
    int64_t segment_first;
    int64_t segment_bytes; // written, committed or not
    struct buffer block;   // records of the block being filled
    int64_t block_count;
    struct buffer frame; // reused for a block's bytes
    bool unsynced;       // segment has bytes that are not synced
    bool touched;        // since the last commit
};
// Takes the partition's lock (STATUS_FENCED when another writer holds it) and cuts it back to its
// committed end.
CHECKED enum status files_partition_open(struct files_log *log, const char *topic, int32_t number,
                                         uint64_t owner, struct files_partition **ret_partition,
                                         struct error *err);
void files_partition_close(struct files_partition *partition); // NULL is fine
CHECKED enum status files_partition_append(struct files_partition *partition,
                                           const struct log_record *record, struct error *err);
// Writes the block being filled and makes all bytes durable.
CHECKED enum status files_partition_settle(struct files_partition *partition, struct error *err);
// What `end` will be once the settled bytes are committed.
struct files_end files_partition_next(const struct files_partition *partition);
CHECKED enum status files_partition_publish(struct files_partition *partition, struct error *err);
// A task's journal.
struct files_journal {
    struct files_log *log;
    char *task;
    struct disk_file *lock, *segment;
    int64_t segment_first; // place that names the segment
    int64_t segment_bytes;
    int64_t place; // of the next record
    struct buffer frame;
};
struct files_named_end {
    const char *topic;
    int32_t partition;
    uint64_t identity; // of the topic
    struct files_end end;
};
// Publishes an end that a journal names and a crash left unpublished; nothing for a topic that was
// deleted or made anew since.
CHECKED enum status files_partition_recover(struct files_log *log,
                                            const struct files_named_end *wanted,
                                            struct error *err);
// Locks and opens, cuts a torn last frame, and calls `each` for every end that the last good frame
// names.
CHECKED enum status files_journal_open(
    struct files_log *log, const char *task, struct files_journal **ret_journal,
    enum status (*each)(void *self, const struct files_named_end *end, struct error *err),
    void *self, struct error *err);
void files_journal_close(struct files_journal *journal); // NULL is fine
CHECKED enum status files_journal_write(struct files_journal *journal,
                                        const struct files_named_end *ends, size_t end_count,
                                        const struct log_journal_entry *entries, size_t entry_count,
                                        struct error *err);
CHECKED enum status files_journal_drop(struct files_journal *journal, int64_t place,
                                       struct error *err);
CHECKED enum status files_journal_visit(struct files_log *log, const char *task, int64_t place,
                                        log_journal_visit *each, void *self, struct error *err);

enum status files_reader_open(struct log *log, const struct log_position *positions, size_t count,
                              struct log_reader **ret_reader, struct error *err);
void files_reader_close(struct log_reader *reader);
enum status files_reader_poll(struct log_reader *reader, size_t records_max, int64_t timeout_ms,
                              struct log_batch *ret_batch, struct error *err);
enum status files_reader_pause(struct log_reader *reader, uint32_t slot, bool paused,
                               struct error *err);
enum status files_reader_seek(struct log_reader *reader, uint32_t slot, int64_t offset,
                              struct error *err);
enum status files_reader_end(struct log_reader *reader, uint32_t slot, int64_t *ret_end,
                             struct error *err);
enum status files_reader_position(struct log_reader *reader, uint32_t slot, int64_t *ret_offset,
                                  struct error *err);

enum status files_writer_open(struct log *log, const char *task, const char *const *outputs,
                              size_t output_count, struct log_writer **ret_writer,
                              struct error *err);
void files_writer_close(struct log_writer *writer);
enum status files_writer_append(struct log_writer *writer, size_t output, int32_t partition,
                                const struct log_record *record, struct error *err);
enum status files_writer_commit(struct log_writer *writer, const struct log_journal_entry *entries,
                                size_t entry_count, struct error *err);
int64_t files_writer_place(struct log_writer *writer);
enum status files_writer_trim(struct log_writer *writer, int64_t place, struct error *err);
enum status files_writer_journal(struct log *log, struct log_writer *writer, const char *task,
                                 int64_t place, log_journal_visit *each, void *self,
                                 struct error *err);
// Finishes what writers without a task left when they died.
CHECKED enum status files_writer_adopt(struct files_log *log, struct error *err);
// That, and publishes the ends that tasks' journals name where the task has no writer now: after a
// loss of power a reader may be back before the writer, and miss what it had read.
CHECKED enum status files_writer_restore(struct files_log *log, struct error *err);

#endif
