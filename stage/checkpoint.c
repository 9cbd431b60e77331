// The owner's side of writing a checkpoint: bytes are gathered and handed to the thread of
// checkpoint_work.c, which alone touches the disk. Sections go into a temporary folder, each
// synced, then the manifest, then one rename makes the generation visible. Whatever dies before the
// rename leaves a .tmp folder, which the next generation removes.
#include "stage/checkpoint_work.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#define PIECE_BYTES ((size_t)1 << 18) // handed to the thread at once
#define SECTION_BACKLOG_MAX ((size_t)64 << 20)

struct checkpoint_writer {
    struct work_place place;
    struct work_thread *thread;
    struct buffer piece; // of the open section, not yet handed over
    bool open;           // a section is
    const char *copy;
};

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

static enum status work_give(struct checkpoint_writer *writer, struct work work, const char *name,
                             struct error *err) {
    struct work *copy = memory_new(1, sizeof(*copy));
    if (!copy)
        return error_no_memory(err, sizeof(*copy), "a checkpoint");
    *copy = work;
    snprintf(copy->name, sizeof(copy->name), "%s", name);
    work_thread_add(writer->thread, copy);
    return STATUS_OK;
}

enum status checkpoint_give(struct checkpoint_writer *writer, struct buffer *bytes,
                            struct error *err) {
    REQUIRE(writer->open);
    if (bytes->failed)
        return error_no_memory(err, bytes->length, "a checkpoint");
    if (bytes->length == 0)
        return STATUS_OK;
    enum status status = work_give(
        writer, (struct work){.kind = WORK_BYTES, .bytes = bytes->data, .length = bytes->length},
        "", err);
    if (status == STATUS_OK)
        buffer_init(bytes);
    return status;
}

static enum status section_write(void *self, const void *bytes, size_t length, struct error *err) {
    struct checkpoint_writer *writer = self;
    REQUIRE(writer->open);
    buffer_append(&writer->piece, bytes, length);
    if (!writer->piece.failed && writer->piece.length < PIECE_BYTES)
        return STATUS_OK;
    // A save that copied gigabytes ahead of the disk would hold them in memory.
    checkpoint_writer_wait(writer, SECTION_BACKLOG_MAX);
    return checkpoint_give(writer, &writer->piece, err);
}

static enum status section_end(struct checkpoint_writer *writer, struct error *err) {
    enum status status = STATUS_OK;
    if (writer->open)
        status = checkpoint_give(writer, &writer->piece, err);
    writer->open = false;
    return status;
}

static enum status section_open(struct checkpoint_writer *writer, const char *name, bool blocks,
                                struct error *err) {
    REQUIRE(name_is_sound(name, true));
    enum status status = section_end(writer, err);
    if (status == STATUS_OK)
        status =
            work_give(writer, (struct work){.kind = WORK_SECTION, .blocks = blocks}, name, err);
    writer->open = status == STATUS_OK;
    return status;
}

enum status checkpoint_section(struct checkpoint_writer *writer, const char *name,
                               struct sink *ret_sink, struct error *err) {
    enum status status = section_open(writer, name, false, err);
    if (status == STATUS_OK)
        *ret_sink = (struct sink){.write = section_write, .self = writer};
    return status;
}

enum status checkpoint_blocks(struct checkpoint_writer *writer, const char *name,
                              struct error *err) {
    return section_open(writer, name, true, err);
}

enum status checkpoint_take(struct checkpoint_writer *writer, const char *name, struct error *err) {
    REQUIRE(writer->open && writer->piece.length == 0);
    return work_give(writer, (struct work){.kind = WORK_TAKE}, name, err);
}

enum status checkpoint_keep(struct checkpoint_writer *writer, const char *name, struct error *err) {
    enum status status = section_end(writer, err);
    return status == STATUS_OK ? work_give(writer, (struct work){.kind = WORK_KEEP}, name, err)
                               : status;
}

const char *checkpoint_writer_path(const struct checkpoint_writer *writer) {
    return writer->place.path;
}

uint64_t checkpoint_writer_generation(const struct checkpoint_writer *writer) {
    return writer->place.generation;
}

bool checkpoint_writer_fallback(const struct checkpoint_writer *writer) {
    return writer->place.fallback;
}

size_t checkpoint_writer_backlog(const struct checkpoint_writer *writer) {
    return work_thread_backlog(writer->thread);
}

void checkpoint_writer_wait(const struct checkpoint_writer *writer, size_t bytes) {
    work_thread_wait(writer->thread, bytes);
}

enum status checkpoint_add_file(struct checkpoint_writer *writer, const char *relative,
                                struct error *err) {
    if (!name_is_sound(relative, false))
        return error_set(err, STATUS_INVALID, "could not add `%s` to a checkpoint: its name",
                         relative);
    enum status status = section_end(writer, err);
    return status == STATUS_OK ? work_give(writer, (struct work){.kind = WORK_FILE}, relative, err)
                               : status;
}

enum status checkpoint_writer_open(const char *directory, struct checkpoint_writer **ret_writer,
                                   struct error *err) {
    struct checkpoint_writer *writer = memory_new(1, sizeof(*writer));
    if (!writer)
        return error_no_memory(err, sizeof(*writer), "a checkpoint");
    buffer_init(&writer->piece);
    enum status status = work_place_find(directory, &writer->place, err);
    if (status == STATUS_OK)
        status = disk_make_directory(writer->place.path, err);
    if (status == STATUS_OK)
        status = work_thread_start(&writer->place, &writer->thread, err);
    if (status == STATUS_OK)
        *ret_writer = writer;
    else
        checkpoint_writer_close(writer);
    return status;
}

enum status checkpoint_writer_finish(struct checkpoint_writer *writer, int64_t place, size_t kept,
                                     struct error *err) {
    enum status status = section_end(writer, err);
    if (status != STATUS_OK)
        return status;
    return work_give(
        writer,
        (struct work){.kind = WORK_COMMIT, .place = place, .kept = kept, .copy = writer->copy}, "",
        err);
}

void checkpoint_writer_copy(struct checkpoint_writer *writer, const char *copy) {
    writer->copy = copy;
}

enum status checkpoint_writer_poll(struct checkpoint_writer *writer, bool wait, bool *ret_durable,
                                   int64_t *ret_oldest_place, struct error *err) {
    return work_thread_poll(writer->thread, wait, ret_durable, ret_oldest_place, err);
}

enum status checkpoint_writer_commit(struct checkpoint_writer *writer, int64_t place, size_t kept,
                                     int64_t *ret_oldest_place, struct error *err) {
    bool durable = false;
    enum status status = checkpoint_writer_finish(writer, place, kept, err);
    if (status == STATUS_OK)
        status = checkpoint_writer_poll(writer, true, &durable, ret_oldest_place, err);
    return status;
}

void checkpoint_writer_close(struct checkpoint_writer *writer) {
    if (!writer)
        return;
    work_thread_stop(writer->thread);
    buffer_deinit(&writer->piece);
    memory_free(writer);
}
