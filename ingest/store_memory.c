// The dispatch of store.h, and the store that keeps everything in memory: tests, and short windows
// without a folder to spill to.
#include "ingest/chunks.h"
#include "ingest/store.h"

struct memory_store {
    struct store store;
    struct chunks chunks;
};

static enum status memory_put(struct store *store, int64_t time_ms, uint64_t number,
                              const void *bytes, size_t length, uint64_t *ret_place,
                              struct error *err) {
    struct memory_store *self = (struct memory_store *)store;
    return chunks_put(&self->chunks, time_ms, number, bytes, length, ret_place, err);
}

static enum status memory_get(struct store *store, const struct store_payload *payload,
                              const unsigned char **ret_bytes, size_t *ret_length,
                              struct error *err) {
    (void)err;
    struct memory_store *self = (struct memory_store *)store;
    struct chunk_payload found;
    REQUIRE(chunks_get(&self->chunks, payload->place, &found));
    *ret_bytes = found.bytes;
    *ret_length = found.length;
    return STATUS_OK;
}

static enum status memory_remove(struct store *store, const struct store_payload *payload,
                                 struct error *err) {
    (void)err;
    struct memory_store *self = (struct memory_store *)store;
    REQUIRE(chunks_remove(&self->chunks, payload->place));
    return STATUS_OK;
}

static size_t memory_bytes(const struct store *store) {
    return ((const struct memory_store *)store)->chunks.bytes;
}

static enum status memory_save(struct store *store, int64_t watermark_ms,
                               struct checkpoint_writer *writer, struct error *err) {
    (void)watermark_ms;
    struct sink sink;
    enum status status = checkpoint_section(writer, "store", &sink, err);
    if (status == STATUS_OK) {
        status = chunks_save(&((struct memory_store *)store)->chunks, &sink, err);
    }
    return status;
}

static enum status memory_load(struct store *store, struct checkpoint_reader *reader,
                               struct error *err) {
    struct source source;
    uint64_t length;
    enum status status = checkpoint_open_section(reader, "store", &source, &length, err);
    if (status == STATUS_OK) {
        status = chunks_load(&((struct memory_store *)store)->chunks, &source, err);
    }
    return status;
}

static void memory_close(struct store *store) {
    struct memory_store *self = (struct memory_store *)store;
    chunks_deinit(&self->chunks);
    memory_free(self);
}

static const struct store_operations memory_operations = {
    .put = memory_put,
    .get = memory_get,
    .remove = memory_remove,
    .memory_bytes = memory_bytes,
    .save = memory_save,
    .load = memory_load,
    .close = memory_close,
    .spills = false,
};

enum status store_open_memory(struct store **ret_store, struct error *err) {
    struct memory_store *self = memory_new(1, sizeof(*self));
    if (self == NULL) {
        return error_no_memory(err, sizeof(*self), "the join's store");
    }
    self->store.operations = &memory_operations;
    chunks_init(&self->chunks, CHUNKS_BYTES_DEFAULT);
    *ret_store = &self->store;
    return STATUS_OK;
}

void store_close(struct store *store) {
    if (store != NULL) {
        store->operations->close(store);
    }
}

enum status store_put(struct store *store, int64_t time_ms, uint64_t number, const void *bytes,
                      size_t length, uint64_t *ret_place, struct error *err) {
    return store->operations->put(store, time_ms, number, bytes, length, ret_place, err);
}

enum status store_get(struct store *store, const struct store_payload *payload,
                      const unsigned char **ret_bytes, size_t *ret_length, struct error *err) {
    return store->operations->get(store, payload, ret_bytes, ret_length, err);
}

enum status store_remove(struct store *store, const struct store_payload *payload,
                         struct error *err) {
    return store->operations->remove(store, payload, err);
}

size_t store_fixed_bytes(const struct store *store) {
    return store->fixed_bytes;
}

size_t store_memory_bytes(const struct store *store) {
    return store->operations->memory_bytes(store);
}

bool store_spills(const struct store *store) {
    return store->operations->spills;
}

enum status store_save(struct store *store, int64_t watermark_ms, struct checkpoint_writer *writer,
                       struct error *err) {
    return store->operations->save(store, watermark_ms, writer, err);
}

enum status store_load(struct store *store, struct checkpoint_reader *reader, struct error *err) {
    return store->operations->load(store, reader, err);
}
