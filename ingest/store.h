// The store: the features of open impressions, written once, read when a window closes, removed
// whole.
//
// Two stores stand behind this interface, and one test runs on both. Both keep what is young in
// chunks of memory (chunks.h). The memory store keeps all of it there. The RocksDB store moves what
// is old to disk, in bulk and only at a checkpoint:
//
//   put     appends to the newest chunk
//   save    moves the oldest chunks (those of impressions older than `young_age_ms`, and further
//   ones
//           while chunks take more than an eighth of `memory_bytes`) into RocksDB in one sorted
//           write, drops whole time buckets in which nothing lives, hard-links the database's files
//           into the checkpoint's folder, and writes the remaining chunks into a section
//   get     from the chunk, or from RocksDB, where keys are (time bucket, impression number):
//   windows
//           close in nearly that order, so an iterator mostly just steps forward
//   load    makes the live folder anew from the checkpoint's files and never opens the checkpoint's
//           own; so no checkpoint is ever written to again
//
// Where a payload lies is never visible in a result. Payloads never change, so RocksDB is read-only
// between checkpoints. One owner thread.
#ifndef FRESHET_INGEST_STORE_H
#define FRESHET_INGEST_STORE_H

#include <stdint.h>

#include "base/memory.h"
#include "stage/checkpoint.h"

struct store;
struct store_operations; // of one kind of store

struct store_payload {
    int64_t time_ms; // event time of the impression
    uint64_t number; // unique
    uint64_t place;  // as store_put told
};

CHECKED enum status store_open_memory(struct store **ret_store, struct error *err);

struct store_rocksdb_options {
    const char *directory; // of the task; the live database is its folder "store", made anew
    int64_t bucket_ms; // time buckets that expire whole; of the order of the longest window / 32
    int64_t young_age_ms;
    int64_t memory_bytes;
};
// STATUS_INVALID: memory_bytes is less than twice what RocksDB takes by itself.
CHECKED enum status store_open_rocksdb(const struct store_rocksdb_options *options,
                                       struct store **ret_store, struct error *err);
void store_close(struct store *store); // NULL is fine; keeps nothing that is not in a checkpoint

// Keeps a copy and tells its place. Numbers ascend. STATUS_EXHAUSTED when memory is out.
CHECKED enum status store_put(struct store *store, int64_t time_ms, uint64_t number,
                              const void *bytes, size_t length, uint64_t *ret_place,
                              struct error *err);
// Borrowed until the next call. STATUS_CORRUPT or STATUS_IO when the disk fails: a payload that was
// put and not removed is always there otherwise.
CHECKED enum status store_get(struct store *store, const struct store_payload *payload,
                              const unsigned char **ret_bytes, size_t *ret_length,
                              struct error *err);
CHECKED enum status store_remove(struct store *store, const struct store_payload *payload,
                                 struct error *err);
size_t store_memory_bytes(const struct store *store); // chunks held in memory
size_t store_fixed_bytes(const struct store *store);  // RocksDB's buffers and cache; 0 without it
bool store_spills(const struct store *store);         // a checkpoint can make memory free
// Sections of their own and, for RocksDB, the folder "store" of the checkpoint. watermark_ms tells
// what is old.
CHECKED enum status store_save(struct store *store, int64_t watermark_ms,
                               struct checkpoint_writer *writer, struct error *err);
// Replaces everything. Places told before the save are good after the load.
CHECKED enum status store_load(struct store *store, struct checkpoint_reader *reader,
                               struct error *err);

// For the implementations only.
struct store_operations {
    enum status (*put)(struct store *store, int64_t time_ms, uint64_t number, const void *bytes,
                       size_t length, uint64_t *ret_place, struct error *err);
    enum status (*get)(struct store *store, const struct store_payload *payload,
                       const unsigned char **ret_bytes, size_t *ret_length, struct error *err);
    enum status (*remove)(struct store *store, const struct store_payload *payload,
                          struct error *err);
    size_t (*memory_bytes)(const struct store *store);
    enum status (*save)(struct store *store, int64_t watermark_ms, struct checkpoint_writer *writer,
                        struct error *err);
    enum status (*load)(struct store *store, struct checkpoint_reader *reader, struct error *err);
    void (*close)(struct store *store);
    bool spills;
};
struct store {
    const struct store_operations *operations;
    size_t fixed_bytes;
};

#endif
