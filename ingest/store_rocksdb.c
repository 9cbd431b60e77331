// The store whose old payloads are in RocksDB. How it works stands in store.h; here is how it is
// kept.
//
// Keys are 16 bytes, big-endian: time bucket, impression number. A removed payload is only counted
// off its bucket; a bucket in which nothing lives is dropped at the next checkpoint, by file where
// a file holds nothing else. Nothing is written without a checkpoint, so there is no write-ahead
// log. The database is opened when the first payload is moved: with short windows it never is.
#include "ingest/store.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <rocksdb/c.h>

#include "base/disk.h"
#include "ingest/buckets.h"
#include "ingest/chunks.h"

#define KEY_BYTES 16
#define STEPS_MAX 8                       // forward in the iterator before a search is cheaper
#define PART_BYTES_MAX ((size_t)16 << 20) // of a write buffer, and of the cache of blocks
#define PART_BYTES_MIN ((size_t)64 << 10)
#define PARTS 3 // two write buffers and the cache
#define FOLDER "store"

struct rocksdb_store {
    struct store store;
    struct store_rocksdb_options options;
    char path[PATH_MAX]; // of the live database
    struct chunks chunks;
    struct buckets buckets; // of what is in the database
    rocksdb_options_t *rocksdb_options;
    rocksdb_readoptions_t *read_options;
    rocksdb_writeoptions_t *write_options;
    rocksdb_t *database;          // NULL until something is moved
    rocksdb_iterator_t *iterator; // NULL after a write
};

static struct rocksdb_store *self_of(struct store *store) {
    return (struct rocksdb_store *)store;
}

// Takes RocksDB's message and gives it back as an error; STATUS_OK when there is none.
static enum status translate(char *message, const char *what, const char *path, struct error *err) {
    if (message == NULL)
        return STATUS_OK;
    enum status status = STATUS_IO;
    if (strncmp(message, "Corruption", strlen("Corruption")) == 0)
        status = STATUS_CORRUPT;
    else if (strstr(message, "No space left") != NULL)
        status = STATUS_EXHAUSTED;
    status = error_set(err, status, "could not %s the join's store %s: %s", what, path, message);
    rocksdb_free(message);
    return status;
}

// --- Keys and buckets.

static int64_t bucket_of(const struct rocksdb_store *self, int64_t time_ms) {
    int64_t bucket = time_ms / self->options.bucket_ms;
    return time_ms % self->options.bucket_ms < 0 ? bucket - 1 : bucket;
}

static void put_big_endian(char *at, uint64_t value) {
    for (int i = 7; i >= 0; i--, value >>= 8)
        at[i] = (char)(value & 0xff);
}

// Ordered as (bucket, number), negative buckets first.
static void key_make(char key[KEY_BYTES], int64_t bucket, uint64_t number) {
    put_big_endian(key, (uint64_t)bucket ^ (UINT64_C(1) << 63));
    put_big_endian(key + 8, number);
}

// --- The database.

static void iterator_drop(struct rocksdb_store *self) {
    if (self->iterator != NULL)
        rocksdb_iter_destroy(self->iterator);
    self->iterator = NULL;
}

static void database_close(struct rocksdb_store *self) {
    iterator_drop(self);
    if (self->database != NULL)
        rocksdb_close(self->database);
    self->database = NULL;
}

static enum status database_open(struct rocksdb_store *self, struct error *err) {
    char *message = NULL;
    if (self->database != NULL)
        return STATUS_OK;
    enum status status = disk_make_directory(self->path, err);
    if (status != STATUS_OK)
        return status;
    rocksdb_t *database = rocksdb_open(self->rocksdb_options, self->path, &message);
    status = translate(message, "open", self->path, err);
    if (status == STATUS_OK)
        self->database = database;
    return status;
}

// The iterator onto this key: forward when it is near, else by search.
static bool iterator_find(struct rocksdb_store *self, const char key[KEY_BYTES]) {
    size_t length = 0;
    if (self->iterator == NULL)
        self->iterator = rocksdb_create_iterator(self->database, self->read_options);
    for (int step = 0; step < STEPS_MAX && rocksdb_iter_valid(self->iterator); step++) {
        const char *at = rocksdb_iter_key(self->iterator, &length);
        int order = memcmp(at, key, KEY_BYTES);
        if (order == 0)
            return true;
        if (order > 0)
            break;
        rocksdb_iter_next(self->iterator);
    }
    rocksdb_iter_seek(self->iterator, key, KEY_BYTES);
    return rocksdb_iter_valid(self->iterator) &&
           memcmp(rocksdb_iter_key(self->iterator, &length), key, KEY_BYTES) == 0;
}

static enum status database_get(struct rocksdb_store *self, const struct store_payload *payload,
                                const unsigned char **ret_bytes, size_t *ret_length,
                                struct error *err) {
    char key[KEY_BYTES];
    char *message = NULL;
    key_make(key, bucket_of(self, payload->time_ms), payload->number);
    if (self->database != NULL && iterator_find(self, key)) {
        size_t length = 0;
        const char *bytes = rocksdb_iter_value(self->iterator, &length);
        *ret_bytes = (const unsigned char *)bytes;
        *ret_length = length;
        return STATUS_OK;
    }
    if (self->iterator != NULL)
        rocksdb_iter_get_error(self->iterator, &message);
    if (message != NULL)
        return translate(message, "read", self->path, err);
    return error_set(err, STATUS_CORRUPT,
                     "could not read the join's store %s: impression %llu is not in it", self->path,
                     (unsigned long long)payload->number);
}

// --- The interface.

static enum status rocksdb_store_put(struct store *store, int64_t time_ms, uint64_t number,
                                     const void *bytes, size_t length, uint64_t *ret_place,
                                     struct error *err) {
    return chunks_put(&self_of(store)->chunks, time_ms, number, bytes, length, ret_place, err);
}

static enum status rocksdb_store_get(struct store *store, const struct store_payload *payload,
                                     const unsigned char **ret_bytes, size_t *ret_length,
                                     struct error *err) {
    struct rocksdb_store *self = self_of(store);
    struct chunk_payload found;
    if (!chunks_get(&self->chunks, payload->place, &found))
        return database_get(self, payload, ret_bytes, ret_length, err);
    *ret_bytes = found.bytes;
    *ret_length = found.length;
    return STATUS_OK;
}

static enum status rocksdb_store_remove(struct store *store, const struct store_payload *payload,
                                        struct error *err) {
    (void)err;
    struct rocksdb_store *self = self_of(store);
    if (!chunks_remove(&self->chunks, payload->place)) {
        buckets_remove(&self->buckets, bucket_of(self, payload->time_ms));
    }
    return STATUS_OK;
}

// A thirty-second of the memory given for each part of the database.
static size_t part_bytes(int64_t memory_bytes) {
    size_t bytes = (size_t)memory_bytes / 32;
    bytes = bytes > PART_BYTES_MAX ? PART_BYTES_MAX : bytes;
    return bytes < PART_BYTES_MIN ? PART_BYTES_MIN : bytes;
}

static size_t rocksdb_store_memory(const struct store *store) {
    return ((const struct rocksdb_store *)store)->chunks.bytes;
}

// --- Saving.

struct moving {
    struct rocksdb_store *self;
    rocksdb_writebatch_t *batch;
};

static enum status payload_move(void *context, const struct chunk_payload *payload,
                                struct error *err) {
    struct moving *moving = context;
    char key[KEY_BYTES];
    int64_t bucket = bucket_of(moving->self, payload->time_ms);
    key_make(key, bucket, payload->number);
    const void *bytes = payload->bytes;
    rocksdb_writebatch_put(moving->batch, key, KEY_BYTES, bytes, payload->length);
    return buckets_add(&moving->self->buckets, bucket, err);
}

static bool chunk_is_old(struct rocksdb_store *self, int64_t watermark_ms) {
    int64_t newest_ms = 0;
    if (!chunks_oldest(&self->chunks, &newest_ms))
        return false;
    return self->chunks.bytes > (size_t)self->options.memory_bytes / 8 ||
           (watermark_ms > 0 && newest_ms < watermark_ms - self->options.young_age_ms);
}

// The oldest chunk's living payloads in one write; the chunk is gone when it is through.
static enum status chunk_move(struct rocksdb_store *self, struct error *err) {
    char *message = NULL;
    enum status status = database_open(self, err);
    if (status != STATUS_OK)
        return status;
    struct moving moving = {.self = self, .batch = rocksdb_writebatch_create()};
    status = chunks_move_oldest(&self->chunks, payload_move, &moving, err);
    if (status == STATUS_OK) {
        rocksdb_write(self->database, self->write_options, moving.batch, &message);
        status = translate(message, "write", self->path, err);
    }
    rocksdb_writebatch_destroy(moving.batch);
    return status;
}

static enum status range_drop(struct rocksdb_store *self, int64_t bucket, int64_t until,
                              struct error *err) {
    char first[KEY_BYTES];
    char after[KEY_BYTES];
    char *message = NULL;
    key_make(first, bucket, 0);
    key_make(after, until, 0);
    rocksdb_delete_file_in_range(self->database, first, KEY_BYTES, after, KEY_BYTES, &message);
    enum status status = translate(message, "trim", self->path, err);
    if (status != STATUS_OK)
        return status;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writebatch_delete_range(batch, first, KEY_BYTES, after, KEY_BYTES);
    message = NULL;
    rocksdb_write(self->database, self->write_options, batch, &message);
    rocksdb_writebatch_destroy(batch);
    return translate(message, "trim", self->path, err);
}

// The oldest buckets, up to the first in which something lives; the whole database when nothing
// does.
static enum status database_trim(struct rocksdb_store *self, struct error *err) {
    const struct buckets *buckets = &self->buckets;
    size_t dead = buckets_dead(buckets);
    enum status status = STATUS_OK;
    if (dead == buckets->count) {
        database_close(self);
        status = disk_remove_tree(self->path, err);
    } else if (dead > 0) {
        status = range_drop(self, buckets->items[0].number, buckets->items[dead].number, err);
    }
    if (status == STATUS_OK)
        buckets_drop(&self->buckets, dead);
    return status;
}

// Hard links of the database's files, flushed, in the checkpoint's folder.
static enum status database_link(struct rocksdb_store *self, struct checkpoint_writer *writer,
                                 struct error *err) {
    char path[PATH_MAX + sizeof(FOLDER) + 1];
    char *message = NULL;
    (void)snprintf(path, sizeof(path), "%s/" FOLDER, checkpoint_writer_path(writer));
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(self->database, &message);
    enum status status = translate(message, "checkpoint", self->path, err);
    if (status != STATUS_OK)
        return status;
    rocksdb_checkpoint_create(checkpoint, path, 0, &message);
    rocksdb_checkpoint_object_destroy(checkpoint);
    status = translate(message, "checkpoint", self->path, err);
    return status == STATUS_OK ? checkpoint_add_file(writer, FOLDER, err) : status;
}

struct saved_head {
    uint64_t database; // there is one
    int64_t bucket_ms;
};

static enum status rocksdb_store_save(struct store *store, int64_t watermark_ms,
                                      struct checkpoint_writer *writer, struct error *err) {
    struct rocksdb_store *self = self_of(store);
    struct sink sink;
    enum status status = STATUS_OK;
    iterator_drop(self);
    while (status == STATUS_OK && chunk_is_old(self, watermark_ms))
        status = chunk_move(self, err);
    if (status == STATUS_OK && self->database != NULL)
        status = database_trim(self, err);
    if (status == STATUS_OK && self->database != NULL)
        status = database_link(self, writer, err);
    if (status == STATUS_OK)
        status = checkpoint_section(writer, FOLDER ".young", &sink, err);
    const struct saved_head head = {.database = self->database != NULL,
                                    .bucket_ms = self->options.bucket_ms};
    if (status == STATUS_OK)
        status = sink_put(&sink, &head, sizeof(head), err);
    if (status == STATUS_OK)
        status = buckets_save(&self->buckets, &sink, err);
    if (status == STATUS_OK)
        status = chunks_save(&self->chunks, &sink, err);
    return status;
}

// --- Loading.

// Table files, which never change, by a second name; the few small files that do by a copy.
static enum status file_bring(const char *from, const char *to, const char *name,
                              struct error *err) {
    size_t length = strlen(name);
    if (length > 4 && strcmp(name + length - 4, ".sst") == 0)
        return disk_link(from, to, err);
    struct buffer bytes;
    buffer_init(&bytes);
    enum status status = disk_read_all(from, &bytes, err);
    if (status == STATUS_OK)
        status = disk_replace_all(to, bytes.data, bytes.length, err);
    buffer_deinit(&bytes);
    return status;
}

static enum status database_bring(struct rocksdb_store *self, const char *checkpoint,
                                  struct error *err) {
    char folder[PATH_MAX + sizeof(FOLDER) + 1];
    char **names = NULL;
    size_t count = 0;
    struct arena arena;
    arena_init(&arena, 4096);
    (void)snprintf(folder, sizeof(folder), "%s/" FOLDER, checkpoint);
    enum status status = disk_make_directory(self->path, err);
    if (status == STATUS_OK)
        status = disk_list(folder, &arena, &names, &count, err);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        char from[PATH_MAX * 2];
        char to[PATH_MAX * 2];
        int written = snprintf(from, sizeof(from), "%s/%s", folder, names[i]);
        int wrote = snprintf(to, sizeof(to), "%s/%s", self->path, names[i]);
        if (written >= (int)sizeof(from) || wrote >= (int)sizeof(to))
            status =
                error_set(err, STATUS_INVALID, "could not open %s: its path is too long", folder);
        else
            status = file_bring(from, to, names[i], err);
    }
    arena_deinit(&arena);
    return status == STATUS_OK ? database_open(self, err) : status;
}

static enum status rocksdb_store_load(struct store *store, struct checkpoint_reader *reader,
                                      struct error *err) {
    struct rocksdb_store *self = self_of(store);
    struct source source;
    struct saved_head head;
    uint64_t length = 0;
    database_close(self);
    enum status status = disk_remove_tree(self->path, err);
    if (status == STATUS_OK)
        status = checkpoint_open_section(reader, FOLDER ".young", &source, &length, err);
    if (status == STATUS_OK)
        status = source_get(&source, &head, sizeof(head), err);
    if (status == STATUS_OK && head.bucket_ms <= 0)
        status =
            error_set(err, STATUS_CORRUPT, "could not load the join's store: its time buckets");
    if (status == STATUS_OK) {
        self->options.bucket_ms = head.bucket_ms;
        status = buckets_load(&self->buckets, &source, err);
    }
    if (status == STATUS_OK)
        status = chunks_load(&self->chunks, &source, err);
    if (status == STATUS_OK && head.database != 0)
        status = database_bring(self, checkpoint_reader_path(reader), err);
    return status;
}

// --- Life.

static void rocksdb_store_close(struct store *store) {
    struct rocksdb_store *self = self_of(store);
    database_close(self);
    rocksdb_options_destroy(self->rocksdb_options);
    rocksdb_readoptions_destroy(self->read_options);
    rocksdb_writeoptions_destroy(self->write_options);
    chunks_deinit(&self->chunks);
    buckets_deinit(&self->buckets);
    memory_free(self);
}

static const struct store_operations rocksdb_operations = {
    .put = rocksdb_store_put,
    .get = rocksdb_store_get,
    .remove = rocksdb_store_remove,
    .memory_bytes = rocksdb_store_memory,
    .save = rocksdb_store_save,
    .load = rocksdb_store_load,
    .close = rocksdb_store_close,
    .spills = true,
};

static void rocksdb_configure(struct rocksdb_store *self) {
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(part_bytes(self->options.memory_bytes));
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_block_size(table, (size_t)16 << 10);
    self->rocksdb_options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(self->rocksdb_options, 1);
    rocksdb_options_set_block_based_table_factory(self->rocksdb_options, table);
    rocksdb_options_set_write_buffer_size(self->rocksdb_options,
                                          part_bytes(self->options.memory_bytes));
    rocksdb_options_set_max_background_jobs(self->rocksdb_options, 2);
    rocksdb_options_set_max_open_files(self->rocksdb_options, 256);
    rocksdb_options_set_keep_log_file_num(self->rocksdb_options, 1);
    rocksdb_options_set_max_log_file_size(self->rocksdb_options, (size_t)1 << 20);
    rocksdb_options_set_info_log_level(self->rocksdb_options, 3); // errors only
    rocksdb_block_based_options_destroy(table);
    rocksdb_cache_destroy(cache);
    self->read_options = rocksdb_readoptions_create();
    self->write_options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(self->write_options, 1);
}

// Small enough that moving one is a small part of the memory given.
static size_t chunk_bytes(int64_t memory_bytes) {
    int64_t bytes = memory_bytes / 256;
    int64_t most = (int64_t)CHUNKS_BYTES_DEFAULT;
    return (size_t)(bytes < 4096 ? 4096 : bytes > most ? most : bytes);
}

enum status store_open_rocksdb(const struct store_rocksdb_options *options,
                               struct store **ret_store, struct error *err) {
    REQUIRE(options->bucket_ms > 0);
    size_t fixed = PARTS * part_bytes(options->memory_bytes);
    if (options->memory_bytes < 0 || (size_t)options->memory_bytes < 2 * fixed)
        return error_set(err, STATUS_INVALID,
                         "key `ingest.store_memory`: %lld bytes leave nothing for impressions: "
                         "RocksDB alone takes %zu, give at least twice that",
                         (long long)options->memory_bytes, fixed);
    struct rocksdb_store *self = memory_new(1, sizeof(*self));
    if (self == NULL)
        return error_no_memory(err, sizeof(*self), "the join's store");
    self->store = (struct store){.operations = &rocksdb_operations, .fixed_bytes = fixed};
    self->options = *options;
    chunks_init(&self->chunks, chunk_bytes(options->memory_bytes));
    int length = snprintf(self->path, sizeof(self->path), "%s/" FOLDER, options->directory);
    enum status status = STATUS_OK;
    if (length < 0 || (size_t)length >= sizeof(self->path))
        status = error_set(err, STATUS_INVALID, "could not open the join's store: path too long");
    if (status == STATUS_OK)
        status = disk_remove_tree(self->path, err);
    if (status != STATUS_OK) {
        memory_free(self);
        return status;
    }
    rocksdb_configure(self);
    *ret_store = &self->store;
    return STATUS_OK;
}
