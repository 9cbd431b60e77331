// Reads a checkpoint: the whole of it is verified before any of it is given out.
#include "stage/folder.h"

#include "base/logger.h"

#include <inttypes.h>
#include <string.h>

struct checkpoint_reader {
    char path[FOLDER_PATH_MAX];
    uint64_t generation;
    struct arena arena; // of the manifest
    struct manifest manifest;
    struct disk_file *section; // open one, or NULL
    uint64_t at, length;       // in the open section
    unsigned char *block;      // [FOLDER_BLOCK]
    size_t block_at, block_length;
};

void checkpoint_reader_close(struct checkpoint_reader *reader) {
    if (!reader)
        return;
    disk_close(reader->section);
    arena_deinit(&reader->arena);
    memory_free(reader->block);
    memory_free(reader);
}

static enum status items_verify(const struct checkpoint_reader *reader, struct error *err) {
    for (size_t i = 0; i < reader->manifest.count; i++) {
        const struct manifest_item *item = &reader->manifest.items[i];
        char path[FOLDER_PATH_MAX];
        uint64_t length = 0, checksum = 0;
        enum status status = folder_path(path, reader->path, item->name, err);
        checksum = item->checksum;
        if (status == STATUS_OK && item->kind == MANIFEST_BLOCKS)
            status = folder_length(path, &length, err);
        else if (status == STATUS_OK)
            status = folder_checksum(path, item->kind == MANIFEST_SECTION, &length, &checksum, err);
        if (status == STATUS_NOT_FOUND)
            return error_set(err, STATUS_CORRUPT, "`%s` is missing", path);
        if (status != STATUS_OK)
            return status;
        if (length != item->length || checksum != item->checksum)
            return error_set(err, STATUS_CORRUPT,
                             "`%s` is not what was written: %" PRIu64 " bytes instead of %" PRIu64
                             " or a wrong checksum",
                             path, length, item->length);
    }
    return STATUS_OK;
}

enum status checkpoint_reader_open(const char *directory, uint64_t generation,
                                   struct checkpoint_reader **ret_reader, struct error *err) {
    char name[64];
    struct checkpoint_reader *reader = memory_new(1, sizeof(*reader));
    if (!reader)
        return error_no_memory(err, sizeof(*reader), "a checkpoint");
    arena_init(&reader->arena, 4096);
    reader->generation = generation;
    reader->block = memory_new(FOLDER_BLOCK, 1);
    snprintf(name, sizeof(name), "checkpoints/%020" PRIu64, generation);
    enum status status = reader->block ? folder_path(reader->path, directory, name, err)
                                       : error_no_memory(err, FOLDER_BLOCK, "a checkpoint");
    if (status == STATUS_OK && !disk_exists(reader->path))
        status = error_set(err, STATUS_NOT_FOUND, "there is no checkpoint `%s`", reader->path);
    if (status == STATUS_OK)
        status = manifest_read(reader->path, &reader->arena, &reader->manifest, err);
    if (status == STATUS_OK)
        status = items_verify(reader, err);
    if (status == STATUS_OK)
        *ret_reader = reader;
    else
        checkpoint_reader_close(reader);
    return status;
}

enum status checkpoint_list(const char *directory, struct arena *arena, uint64_t **ret_generations,
                            size_t *ret_count, struct error *err) {
    char **names = NULL;
    size_t count = 0, found = 0;
    enum status status = folder_names(directory, arena, &names, &count, err);
    if (status != STATUS_OK)
        return status;
    uint64_t *generations = arena_get(arena, count + 1, sizeof(*generations));
    if (!generations)
        return error_no_memory(err, count * sizeof(*generations), "a list of checkpoints");
    for (size_t i = 0; i < count; i++) {
        bool whole = false;
        if (folder_generation(names[i], &generations[found], &whole) && whole)
            found++;
    }
    *ret_generations = generations;
    *ret_count = found;
    return STATUS_OK;
}

// Keeps the evidence, but out of the way: it is pruned with the generations of its age.
enum status checkpoint_set_aside(const char *directory, uint64_t generation, const char *stage,
                                 const struct error *reason, struct error *err) {
    char path[FOLDER_PATH_MAX], name[64], aside[FOLDER_PATH_MAX];
    logger_line(LOGGER_WARN, stage, "checkpoint-corrupt",
                "generation=%" PRIu64 " reason=\"%s\" action=\"using the one before\"", generation,
                reason->message);
    snprintf(name, sizeof(name), "checkpoints/%020" PRIu64, generation);
    enum status status = folder_path(path, directory, name, err);
    snprintf(name, sizeof(name), "checkpoints/%020" PRIu64 ".corrupt", generation);
    if (status == STATUS_OK)
        status = folder_path(aside, directory, name, err);
    if (status == STATUS_OK)
        status = disk_remove_tree(aside, err);
    if (status == STATUS_OK)
        status = disk_rename(path, aside, err);
    return status;
}

enum status checkpoint_reader_newest(const char *directory, const char *stage,
                                     struct checkpoint_reader **ret_reader, struct error *err) {
    struct arena arena;
    uint64_t *generations = NULL;
    size_t count = 0;
    arena_init(&arena, 4096);
    enum status status = checkpoint_list(directory, &arena, &generations, &count, err);
    bool found = false;
    while (status == STATUS_OK && count > 0 && !found) {
        struct error reason;
        uint64_t generation = generations[--count];
        status = checkpoint_reader_open(directory, generation, ret_reader, &reason);
        found = status == STATUS_OK;
        if (status == STATUS_CORRUPT)
            status = checkpoint_set_aside(directory, generation, stage, &reason, err);
        else if (status != STATUS_OK)
            status = error_set(err, status, "%s", reason.message);
    }
    arena_deinit(&arena);
    if (status == STATUS_OK && !found)
        return error_set(err, STATUS_NOT_FOUND, "there is no checkpoint in `%s`", directory);
    return status;
}

static enum status section_read(void *self, void *bytes, size_t length, struct error *err) {
    struct checkpoint_reader *reader = self;
    unsigned char *to = bytes;
    if (length > reader->length - reader->at)
        return error_set(err, STATUS_CORRUPT, "a section of checkpoint `%s` ends too early",
                         reader->path);
    reader->at += length;
    while (length > 0) {
        if (reader->block_length == 0) {
            enum status status = disk_read_at(reader->section, reader->block_at, reader->block,
                                              FOLDER_BLOCK, &reader->block_length, err);
            if (status != STATUS_OK)
                return status;
            if (reader->block_length == 0)
                return error_set(err, STATUS_CORRUPT, "a section of `%s` became shorter",
                                 reader->path);
            reader->block_at += reader->block_length;
        }
        // The unread part of the block is its last block_length bytes before block_at.
        size_t filled = (reader->block_at - 1) % FOLDER_BLOCK + 1;
        size_t part = length < reader->block_length ? length : reader->block_length;
        memcpy(to, reader->block + filled - reader->block_length, part);
        to += part;
        length -= part;
        reader->block_length -= part;
    }
    return STATUS_OK;
}

enum status checkpoint_open_section(struct checkpoint_reader *reader, const char *name,
                                    struct source *ret_source, uint64_t *ret_length,
                                    struct error *err) {
    char path[FOLDER_PATH_MAX];
    for (size_t i = 0; i < reader->manifest.count; i++) {
        const struct manifest_item *item = &reader->manifest.items[i];
        if (item->kind != MANIFEST_SECTION || strcmp(item->name, name) != 0)
            continue;
        disk_close(reader->section);
        reader->section = NULL;
        enum status status = folder_path(path, reader->path, name, err);
        if (status == STATUS_OK)
            status = disk_open(path, DISK_READ, &reader->section, err);
        if (status != STATUS_OK)
            return status;
        reader->at = 0;
        reader->length = item->length;
        reader->block_at = reader->block_length = 0;
        *ret_source = (struct source){.read = section_read, .self = reader};
        *ret_length = item->length;
        return STATUS_OK;
    }
    return error_set(err, STATUS_NOT_FOUND, "checkpoint `%s` has no section `%s`", reader->path,
                     name);
}

enum status checkpoint_open_blocks(struct checkpoint_reader *reader, const char *name,
                                   struct disk_file **ret_file, uint64_t *ret_length,
                                   struct error *err) {
    char path[FOLDER_PATH_MAX];
    for (size_t i = 0; i < reader->manifest.count; i++) {
        const struct manifest_item *item = &reader->manifest.items[i];
        if (item->kind != MANIFEST_BLOCKS || strcmp(item->name, name) != 0)
            continue;
        enum status status = folder_path(path, reader->path, name, err);
        if (status == STATUS_OK)
            status = disk_open(path, DISK_READ, ret_file, err);
        if (status == STATUS_OK)
            *ret_length = item->length;
        return status;
    }
    return error_set(err, STATUS_NOT_FOUND, "checkpoint `%s` has no section `%s`", reader->path,
                     name);
}

const char *checkpoint_reader_path(const struct checkpoint_reader *reader) {
    return reader->path;
}

uint64_t checkpoint_reader_generation(const struct checkpoint_reader *reader) {
    return reader->generation;
}

int64_t checkpoint_reader_place(const struct checkpoint_reader *reader) {
    return reader->manifest.place;
}

const char *checkpoint_reader_item(const struct checkpoint_reader *reader, size_t i,
                                   uint64_t *ret_length) {
    if (i >= reader->manifest.count)
        return NULL;
    *ret_length = reader->manifest.items[i].length;
    return reader->manifest.items[i].name;
}
