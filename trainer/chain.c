// Which files a checkpoint of the learner keeps, takes over and writes.
#include "trainer/chain.h"

#include <inttypes.h>

#include "base/wire.h"

#define ROWS_A_TURN 16384u            // copied between two steps
#define SMALL_BYTES ((uint64_t)65536) // files below are all alike

static void file_name(char *name, size_t size, uint64_t generation) {
    snprintf(name, size, "rows.%" PRIu64, generation);
}

// Must the next cut be whole? Also while nothing but the newest base is there to fall back on.
static bool must_be_whole(const struct chain *chain, const struct learner *learner,
                          const struct checkpoint_writer *writer) {
    uint64_t bytes = learner_cut_bytes(learner);
    if (chain->count == 0 || chain->count == CHAIN_FILES_MAX || learner_cut_complete(learner) ||
        !checkpoint_writer_fallback(writer))
        return true;
    for (size_t i = 1; i < chain->count; i++)
        bytes += chain->files[i].bytes;
    return bytes > chain->files[0].bytes;
}

// Files [0, kept) stay as they are, [kept, count) go into the new one of *ret_bytes.
static size_t files_kept(const struct chain *chain, uint64_t *bytes) {
    size_t kept = chain->count;
    while (kept > 1) {
        uint64_t least = *bytes > SMALL_BYTES ? *bytes : SMALL_BYTES;
        if (chain->files[kept - 1].bytes > 2 * least)
            break;
        *bytes += chain->files[--kept].bytes;
    }
    return kept;
}

static enum status list_save(const struct chain *chain, struct checkpoint_writer *writer,
                             struct error *err) {
    struct sink sink;
    struct buffer list;
    buffer_init(&list);
    wire_put_long(&list, (int64_t)chain->count);
    for (size_t i = 0; i < chain->count; i++) {
        wire_put_long(&list, (int64_t)chain->files[i].generation);
        wire_put_long(&list, (int64_t)chain->files[i].bytes);
    }
    enum status status = list.failed ? error_no_memory(err, list.length, "a checkpoint")
                                     : checkpoint_section(writer, "rows", &sink, err);
    if (status == STATUS_OK)
        status = sink_put(&sink, list.data, list.length, err);
    buffer_deinit(&list);
    return status;
}

enum status chain_save(struct chain *chain, struct learner *learner,
                       struct checkpoint_writer *writer, struct error *err) {
    struct sink sink;
    char name[64];
    const struct chain before = *chain;
    bool whole = must_be_whole(chain, learner, writer);
    uint64_t bytes = learner_cut_bytes(learner);
    size_t kept = whole ? 0 : files_kept(chain, &bytes);
    chain->count = kept;
    chain->files[chain->count++] = (struct chain_file){checkpoint_writer_generation(writer), bytes};
    enum status status = list_save(chain, writer, err);
    if (status == STATUS_OK)
        status = checkpoint_section(writer, "learner-head", &sink, err);
    if (status == STATUS_OK)
        status = learner_cut(learner, whole, &sink, err);
    for (size_t i = 0; status == STATUS_OK && i < kept; i++) {
        file_name(name, sizeof name, before.files[i].generation);
        status = checkpoint_keep(writer, name, err);
    }
    file_name(name, sizeof name, checkpoint_writer_generation(writer));
    if (status == STATUS_OK)
        status = checkpoint_blocks(writer, name, err);
    for (size_t i = kept; status == STATUS_OK && !whole && i < before.count; i++) {
        file_name(name, sizeof name, before.files[i].generation);
        status = checkpoint_take(writer, name, err);
    }
    return status;
}

enum status chain_copy(const struct chain *chain, struct learner *learner,
                       struct checkpoint_writer *writer, bool *ret_done, struct error *err) {
    struct buffer blocks;
    buffer_init(&blocks);
    uint64_t number = chain->files[chain->count - 1].generation;
    enum status status = learner_cut_copy(learner, number, ROWS_A_TURN, &blocks, ret_done, err);
    if (status == STATUS_OK)
        status = checkpoint_give(writer, &blocks, err);
    buffer_deinit(&blocks);
    return status;
}

static enum status list_load(struct chain *chain, struct checkpoint_reader *reader,
                             struct error *err) {
    unsigned char bytes[CHAIN_FILES_MAX * 20 + 10];
    struct source source;
    uint64_t length = 0;
    enum status status = checkpoint_open_section(reader, "rows", &source, &length, err);
    if (status == STATUS_OK && length <= sizeof bytes)
        status = source_get(&source, bytes, (size_t)length, err);
    if (status != STATUS_OK)
        return status;
    struct wire in = wire_over(bytes, length <= sizeof bytes ? (size_t)length : 0);
    int64_t count = wire_get_long(&in);
    if (count < 1 || count > CHAIN_FILES_MAX)
        in.bad = true;
    for (int64_t i = 0; i < count && !in.bad; i++) {
        chain->files[i].generation = (uint64_t)wire_get_long(&in);
        chain->files[i].bytes = (uint64_t)wire_get_long(&in);
    }
    if (in.bad || in.at != in.end)
        return error_set(err, STATUS_CORRUPT, "the list of a checkpoint's rows is malformed");
    chain->count = (size_t)count;
    return STATUS_OK;
}

static enum status file_load(struct chain_file *file, struct learner *learner,
                             struct checkpoint_reader *reader, struct error *err) {
    char name[64];
    struct disk_file *blocks = NULL;
    file_name(name, sizeof name, file->generation);
    enum status status = checkpoint_open_blocks(reader, name, &blocks, &file->bytes, err);
    if (status == STATUS_NOT_FOUND)
        return error_set(err, STATUS_CORRUPT, "checkpoint `%s` lacks `%s`",
                         checkpoint_reader_path(reader), name);
    if (status == STATUS_OK)
        status = learner_restore_blocks(learner, blocks, file->bytes, err);
    disk_close(blocks);
    return status;
}

enum status chain_load(struct chain *chain, struct learner *learner,
                       struct checkpoint_reader *reader, struct error *err) {
    struct source source;
    uint64_t length = 0;
    enum status status = list_load(chain, reader, err);
    if (status == STATUS_OK)
        status = checkpoint_open_section(reader, "learner-head", &source, &length, err);
    if (status == STATUS_OK)
        status = learner_restore(learner, &source, err);
    for (size_t i = 0; status == STATUS_OK && i < chain->count; i++)
        status = file_load(&chain->files[i], learner, reader, err);
    return status == STATUS_OK ? learner_restore_end(learner, err) : status;
}
