// Writes a checkpoint: sections into a temporary folder, each synced, then the manifest, then one
// rename that makes the generation visible. Whatever dies before the rename leaves a .tmp folder,
// which the next generation removes.
#include "stage/folder.h"

#include "base/hash.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

struct checkpoint_writer {
    char root[FOLDER_PATH_MAX];  // DIRECTORY/checkpoints
    char path[FOLDER_PATH_MAX];  // being made
    char final[FOLDER_PATH_MAX]; // where it will stand
    uint64_t generation;
    struct buffer manifest;
    struct disk_file *section; // open one, or NULL
    char name[FOLDER_NAME_MAX];
    uint64_t length, checksum; // of the open section
    unsigned char *block;      // [FOLDER_BLOCK]
    size_t block_length;
};

static enum status block_flush(struct checkpoint_writer *writer, struct error *err) {
    if (writer->block_length == 0)
        return STATUS_OK;
    enum status status = disk_write(writer->section, writer->block, writer->block_length, err);
    if (status != STATUS_OK)
        return status;
    writer->checksum = hash_chain(writer->checksum, writer->block, writer->block_length);
    writer->length += writer->block_length;
    writer->block_length = 0;
    return STATUS_OK;
}

static enum status section_write(void *self, const void *bytes, size_t length, struct error *err) {
    struct checkpoint_writer *writer = self;
    const unsigned char *from = bytes;
    REQUIRE(writer->section);
    while (length > 0) {
        size_t room = FOLDER_BLOCK - writer->block_length;
        size_t part = length < room ? length : room;
        memcpy(writer->block + writer->block_length, from, part);
        writer->block_length += part;
        from += part;
        length -= part;
        if (writer->block_length == FOLDER_BLOCK) {
            enum status status = block_flush(writer, err);
            if (status != STATUS_OK)
                return status;
        }
    }
    return STATUS_OK;
}

static void manifest_line(struct checkpoint_writer *writer, const char *kind, const char *name,
                          uint64_t length, uint64_t checksum) {
    buffer_append_text(&writer->manifest, "%s %s %" PRIu64 " %016" PRIx64 "\n", kind, name, length,
                       checksum);
}

static enum status section_end(struct checkpoint_writer *writer, struct error *err) {
    if (!writer->section)
        return STATUS_OK;
    enum status status = block_flush(writer, err);
    if (status == STATUS_OK)
        status = disk_sync(writer->section, err);
    if (status == STATUS_OK)
        manifest_line(writer, "section", writer->name, writer->length, writer->checksum);
    disk_close(writer->section);
    writer->section = NULL;
    return status;
}

// A name must be one word of the manifest; a section's must also be one plain file.
static bool name_is_sound(const char *name, bool section) {
    size_t length = strlen(name);
    if (length == 0 || length >= FOLDER_NAME_MAX || name[0] == '.' || name[0] == '/')
        return false;
    for (const char *at = name; *at; at++) {
        if (isalnum((unsigned char)*at) || strchr("-_.", *at))
            continue;
        if (section || isspace((unsigned char)*at) || iscntrl((unsigned char)*at))
            return false;
    }
    return !section || strcmp(name, "manifest") != 0;
}

enum status checkpoint_section(struct checkpoint_writer *writer, const char *name,
                               struct sink *ret_sink, struct error *err) {
    char path[FOLDER_PATH_MAX];
    REQUIRE(name_is_sound(name, true));
    enum status status = section_end(writer, err);
    if (status == STATUS_OK)
        status = folder_path(path, writer->path, name, err);
    if (status == STATUS_OK)
        status = disk_open(path, DISK_REPLACE, &writer->section, err);
    if (status != STATUS_OK)
        return status;
    snprintf(writer->name, sizeof(writer->name), "%s", name);
    writer->length = writer->checksum = 0;
    *ret_sink = (struct sink){.write = section_write, .self = writer};
    return STATUS_OK;
}

const char *checkpoint_writer_path(const struct checkpoint_writer *writer) {
    return writer->path;
}

uint64_t checkpoint_writer_generation(const struct checkpoint_writer *writer) {
    return writer->generation;
}

static enum status file_add(struct checkpoint_writer *writer, const char *path,
                            const char *relative, struct error *err) {
    struct disk_file *file = NULL;
    uint64_t length = 0, checksum = 0;
    enum status status = disk_open(path, DISK_READ, &file, err);
    if (status == STATUS_OK)
        status = disk_sync(file, err);
    disk_close(file);
    if (status == STATUS_OK)
        status = folder_checksum(path, false, &length, &checksum, err);
    if (status == STATUS_OK)
        manifest_line(writer, "file", relative, length, checksum);
    return status;
}

enum status checkpoint_add_file(struct checkpoint_writer *writer, const char *relative,
                                struct error *err) {
    char path[FOLDER_PATH_MAX];
    char **names = NULL;
    size_t count = 0;
    struct arena arena;
    if (!name_is_sound(relative, false))
        return error_set(err, STATUS_INVALID, "could not add `%s` to a checkpoint: its name",
                         relative);
    enum status status = folder_path(path, writer->path, relative, err);
    if (status != STATUS_OK)
        return status;
    arena_init(&arena, 4096);
    if (disk_list(path, &arena, &names, &count, NULL) != STATUS_OK) {
        status = file_add(writer, path, relative, err);
    } else {
        for (size_t i = 0; status == STATUS_OK && i < count; i++) {
            char below[FOLDER_PATH_MAX];
            status = folder_path(below, relative, names[i], err);
            if (status == STATUS_OK)
                status = checkpoint_add_file(writer, below, err);
        }
        if (status == STATUS_OK)
            status = disk_sync_directory(path, err);
    }
    arena_deinit(&arena);
    return status;
}

// The next generation's number; what died half-made is removed.
static enum status generation_next(struct checkpoint_writer *writer, const char *directory,
                                   struct error *err) {
    struct arena arena;
    char **names = NULL;
    size_t count = 0;
    arena_init(&arena, 4096);
    enum status status = folder_names(directory, &arena, &names, &count, err);
    writer->generation = 1;
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        uint64_t generation = 0;
        bool whole = false;
        char path[FOLDER_PATH_MAX];
        if (!folder_generation(names[i], &generation, &whole))
            continue;
        if (generation >= writer->generation)
            writer->generation = generation + 1;
        if (whole || !strstr(names[i], ".tmp"))
            continue;
        status = folder_path(path, writer->root, names[i], err);
        if (status == STATUS_OK)
            status = disk_remove_tree(path, err);
    }
    arena_deinit(&arena);
    return status;
}

enum status checkpoint_writer_open(const char *directory, struct checkpoint_writer **ret_writer,
                                   struct error *err) {
    char name[64];
    struct checkpoint_writer *writer = memory_new(1, sizeof(*writer));
    if (!writer)
        return error_no_memory(err, sizeof(*writer), "a checkpoint");
    buffer_init(&writer->manifest);
    writer->block = memory_new(FOLDER_BLOCK, 1);
    enum status status = writer->block ? folder_path(writer->root, directory, "checkpoints", err)
                                       : error_no_memory(err, FOLDER_BLOCK, "a checkpoint");
    if (status == STATUS_OK)
        status = generation_next(writer, directory, err);
    snprintf(name, sizeof(name), "%020" PRIu64, writer->generation);
    if (status == STATUS_OK)
        status = folder_path(writer->final, writer->root, name, err);
    snprintf(name, sizeof(name), "%020" PRIu64 ".tmp", writer->generation);
    if (status == STATUS_OK)
        status = folder_path(writer->path, writer->root, name, err);
    if (status == STATUS_OK)
        status = disk_make_directory(writer->path, err);
    if (status == STATUS_OK)
        *ret_writer = writer;
    else
        checkpoint_writer_close(writer);
    return status;
}

// Removes all generations older than the newest `kept` whole ones, and what was set aside before
// them.
static enum status generations_prune(const struct checkpoint_writer *writer, const char *directory,
                                     size_t kept, int64_t *ret_oldest_place, struct error *err) {
    struct arena arena;
    char **names = NULL;
    size_t count = 0, whole_count = 0;
    uint64_t oldest = 0;
    arena_init(&arena, 4096);
    enum status status = folder_names(directory, &arena, &names, &count, err);
    for (size_t i = count; status == STATUS_OK && i-- > 0;) { // sorted: newest first
        uint64_t generation = 0;
        bool whole = false;
        char path[FOLDER_PATH_MAX];
        if (!folder_generation(names[i], &generation, &whole))
            continue;
        status = folder_path(path, writer->root, names[i], err);
        if (status != STATUS_OK)
            break;
        int64_t place = 0;
        if (whole_count < kept) {
            if (whole && folder_place(path, &place, NULL) == STATUS_OK) {
                whole_count++;
                oldest = generation;
                *ret_oldest_place = place;
            }
        } else if (generation < oldest) {
            status = disk_remove_tree(path, err);
        }
    }
    arena_deinit(&arena);
    return status;
}

enum status checkpoint_writer_commit(struct checkpoint_writer *writer, int64_t place, size_t kept,
                                     int64_t *ret_oldest_place, struct error *err) {
    char path[FOLDER_PATH_MAX];
    char directory[FOLDER_PATH_MAX];
    struct buffer text;
    buffer_init(&text);
    enum status status = section_end(writer, err);
    buffer_append_text(&text, FOLDER_MAGIC "place %" PRId64 "\n", place);
    buffer_append(&text, writer->manifest.data, writer->manifest.length);
    if (!text.failed)
        buffer_append_text(&text, "end %016" PRIx64 "\n", hash_bytes(text.data, text.length, 0));
    if (status == STATUS_OK && (text.failed || writer->manifest.failed))
        status = error_no_memory(err, text.length, "a manifest");
    if (status == STATUS_OK)
        status = folder_path(path, writer->path, "manifest", err);
    if (status == STATUS_OK)
        status = disk_replace_all(path, text.data, text.length, err);
    buffer_deinit(&text);
    if (status == STATUS_OK)
        status = disk_sync_directory(writer->path, err);
    if (status == STATUS_OK)
        status = disk_rename(writer->path, writer->final, err);
    if (status != STATUS_OK)
        return status;
    snprintf(directory, sizeof(directory), "%.*s",
             (int)(strlen(writer->root) - strlen("/checkpoints")), writer->root);
    int64_t oldest_place = place;
    status = generations_prune(writer, directory, kept, &oldest_place, err);
    if (status == STATUS_OK)
        *ret_oldest_place = oldest_place;
    return status;
}

void checkpoint_writer_close(struct checkpoint_writer *writer) {
    if (!writer)
        return;
    disk_close(writer->section);
    buffer_deinit(&writer->manifest);
    memory_free(writer->block);
    memory_free(writer);
}
