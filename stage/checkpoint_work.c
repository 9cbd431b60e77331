// The thread behind a checkpoint's writer. Only it opens, writes, syncs and renames; the owner's
// side merely hands it jobs. Its first failure is kept until the owner asks.
#include "stage/checkpoint_work.h"

#include "base/hash.h"
#include "base/logger.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

struct work_thread {
    struct work_place place;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t given, changed;
    // Under the mutex.
    struct work *first, *last;
    size_t backlog;
    bool stop, done;
    enum status status; // first failure
    struct error error;
    int64_t oldest_place;
    // The thread's own.
    struct buffer manifest;
    struct disk_file *section; // open one, or NULL
    char name[FOLDER_NAME_MAX];
    bool blocks;
    uint64_t length, checksum; // of the open section
    unsigned char *block;      // [FOLDER_BLOCK]
    size_t block_length;
    bool previous_known;
    struct arena arena; // of the previous generation's manifest
    struct manifest previous;
};

void work_free(struct work *work) {
    if (!work)
        return;
    memory_free(work->bytes);
    memory_free(work);
}

// --- Sections.

static enum status block_flush(struct work_thread *thread, struct error *err) {
    if (thread->block_length == 0)
        return STATUS_OK;
    enum status status = disk_write(thread->section, thread->block, thread->block_length, err);
    if (status != STATUS_OK)
        return status;
    thread->checksum = hash_chain(thread->checksum, thread->block, thread->block_length);
    thread->length += thread->block_length;
    thread->block_length = 0;
    return STATUS_OK;
}

static enum status bytes_write(struct work_thread *thread, const unsigned char *from, size_t length,
                               struct error *err) {
    REQUIRE(thread->section);
    while (length > 0) {
        size_t room = FOLDER_BLOCK - thread->block_length;
        size_t part = length < room ? length : room;
        memcpy(thread->block + thread->block_length, from, part);
        thread->block_length += part;
        from += part;
        length -= part;
        if (thread->block_length == FOLDER_BLOCK) {
            enum status status = block_flush(thread, err);
            if (status != STATUS_OK)
                return status;
        }
    }
    return STATUS_OK;
}

static void manifest_line(struct work_thread *thread, const char *kind, const char *name,
                          uint64_t length, uint64_t checksum) {
    buffer_append_text(&thread->manifest, "%s %s %" PRIu64 " %016" PRIx64 "\n", kind, name, length,
                       checksum);
}

static enum status section_end(struct work_thread *thread, struct error *err) {
    if (!thread->section)
        return STATUS_OK;
    enum status status = block_flush(thread, err);
    if (status == STATUS_OK)
        status = disk_sync(thread->section, err);
    if (status == STATUS_OK)
        manifest_line(thread, thread->blocks ? "blocks" : "section", thread->name, thread->length,
                      thread->checksum);
    disk_close(thread->section);
    thread->section = NULL;
    return status;
}

static enum status section_begin(struct work_thread *thread, const struct work *work,
                                 struct error *err) {
    char path[FOLDER_PATH_MAX];
    enum status status = section_end(thread, err);
    if (status == STATUS_OK)
        status = folder_path(path, thread->place.path, work->name, err);
    if (status == STATUS_OK)
        status = disk_open(path, DISK_REPLACE, &thread->section, err);
    snprintf(thread->name, sizeof(thread->name), "%s", work->name);
    thread->blocks = work->blocks;
    thread->length = thread->checksum = 0;
    return status;
}

// --- What the previous generation lends.

static enum status previous_find(struct work_thread *thread, const char *name,
                                 const struct manifest_item **ret_item, char *path,
                                 struct error *err) {
    enum status status = STATUS_OK;
    if (!thread->previous_known && thread->place.previous[0])
        status = manifest_read(thread->place.previous, &thread->arena, &thread->previous, err);
    if (status != STATUS_OK)
        return status;
    thread->previous_known = true;
    for (size_t i = 0; i < thread->previous.count; i++) {
        const struct manifest_item *item = &thread->previous.items[i];
        if (item->kind == MANIFEST_FILE || strcmp(item->name, name) != 0)
            continue;
        *ret_item = item;
        return folder_path(path, thread->place.previous, name, err);
    }
    return error_set(err, STATUS_NOT_FOUND,
                     "the checkpoint before generation %" PRIu64
                     " has no section `%s` to go on from",
                     thread->place.generation, name);
}

static enum status section_take(struct work_thread *thread, const struct work *work,
                                struct error *err) {
    char path[FOLDER_PATH_MAX];
    const struct manifest_item *item = NULL;
    struct disk_file *file = NULL;
    unsigned char *piece = memory_new(FOLDER_BLOCK, 1);
    if (!piece)
        return error_no_memory(err, FOLDER_BLOCK, "a checkpoint");
    enum status status = previous_find(thread, work->name, &item, path, err);
    if (status == STATUS_OK)
        status = disk_open(path, DISK_READ, &file, err);
    for (uint64_t at = 0; status == STATUS_OK && at < item->length;) {
        size_t wanted =
            item->length - at < FOLDER_BLOCK ? (size_t)(item->length - at) : FOLDER_BLOCK;
        size_t got = 0;
        status = disk_read_at(file, at, piece, wanted, &got, err);
        if (status == STATUS_OK && got != wanted)
            status = error_set(err, STATUS_CORRUPT, "`%s` became shorter", path);
        if (status == STATUS_OK)
            status = bytes_write(thread, piece, wanted, err);
        at += wanted;
    }
    disk_close(file);
    memory_free(piece);
    return status;
}

static enum status section_keep(struct work_thread *thread, const struct work *work,
                                struct error *err) {
    char from[FOLDER_PATH_MAX], to[FOLDER_PATH_MAX];
    const struct manifest_item *item = NULL;
    enum status status = section_end(thread, err);
    if (status == STATUS_OK)
        status = previous_find(thread, work->name, &item, from, err);
    if (status == STATUS_OK)
        status = folder_path(to, thread->place.path, work->name, err);
    if (status == STATUS_OK)
        status = disk_link(from, to, err);
    if (status == STATUS_OK)
        manifest_line(thread, item->kind == MANIFEST_BLOCKS ? "blocks" : "section", item->name,
                      item->length, item->checksum);
    return status;
}

// --- Files of the stage's own.

static enum status file_add(struct work_thread *thread, const char *path, const char *relative,
                            struct error *err) {
    struct disk_file *file = NULL;
    uint64_t length = 0, checksum = 0;
    enum status status = disk_open(path, DISK_READ, &file, err);
    if (status == STATUS_OK)
        status = disk_sync(file, err);
    disk_close(file);
    if (status == STATUS_OK)
        status = folder_checksum(path, false, &length, &checksum, err);
    if (status == STATUS_OK)
        manifest_line(thread, "file", relative, length, checksum);
    return status;
}

static enum status files_add(struct work_thread *thread, const char *relative, struct error *err) {
    char path[FOLDER_PATH_MAX];
    char **names = NULL;
    size_t count = 0;
    struct arena arena;
    enum status status = folder_path(path, thread->place.path, relative, err);
    if (status != STATUS_OK)
        return status;
    arena_init(&arena, 4096);
    if (disk_list(path, &arena, &names, &count, NULL) != STATUS_OK) {
        status = file_add(thread, path, relative, err);
    } else {
        for (size_t i = 0; status == STATUS_OK && i < count; i++) {
            char below[FOLDER_PATH_MAX];
            status = folder_path(below, relative, names[i], err);
            if (status == STATUS_OK)
                status = files_add(thread, below, err);
        }
        if (status == STATUS_OK)
            status = disk_sync_directory(path, err);
    }
    arena_deinit(&arena);
    return status;
}

// --- Commit.

// A copy that fails does not stop the task, but the journal is kept from where the newest copy
// stands: only so can a lost directory be restored exactly.
static void copy_elsewhere(struct work_thread *thread, const struct work *work,
                           int64_t *oldest_place) {
    struct error reason;
    int64_t copied_place = 0;
    enum status status =
        folder_copy(thread->place.directory, thread->place.generation, work->copy, &reason);
    if (status != STATUS_OK)
        logger_line(LOGGER_WARN, "checkpoint", "copy-failed",
                    "generation=%" PRIu64 " to=\"%s\" reason=\"%s\"", thread->place.generation,
                    work->copy, reason.message);
    if (folder_prune(work->copy, work->kept, &copied_place, &reason) != STATUS_OK)
        copied_place = 0;
    if (copied_place < *oldest_place)
        *oldest_place = copied_place;
}

static enum status commit(struct work_thread *thread, const struct work *work, struct error *err) {
    char path[FOLDER_PATH_MAX];
    struct buffer text;
    buffer_init(&text);
    enum status status = section_end(thread, err);
    buffer_append_text(&text, FOLDER_MAGIC "%d\nplace %" PRId64 "\n", FOLDER_VERSION, work->place);
    buffer_append(&text, thread->manifest.data, thread->manifest.length);
    if (!text.failed)
        buffer_append_text(&text, "end %016" PRIx64 "\n", hash_bytes(text.data, text.length, 0));
    if (status == STATUS_OK && (text.failed || thread->manifest.failed))
        status = error_no_memory(err, text.length, "a manifest");
    if (status == STATUS_OK)
        status = folder_path(path, thread->place.path, "manifest", err);
    if (status == STATUS_OK)
        status = disk_replace_all(path, text.data, text.length, err);
    buffer_deinit(&text);
    if (status == STATUS_OK)
        status = disk_sync_directory(thread->place.path, err);
    if (status == STATUS_OK)
        status = disk_rename(thread->place.path, thread->place.final, err);
    int64_t oldest_place = work->place;
    if (status == STATUS_OK)
        status = folder_prune(thread->place.directory, work->kept, &oldest_place, err);
    if (status == STATUS_OK && work->copy)
        copy_elsewhere(thread, work, &oldest_place);
    if (status == STATUS_OK) {
        pthread_mutex_lock(&thread->mutex);
        thread->oldest_place = oldest_place;
        thread->done = true;
        pthread_mutex_unlock(&thread->mutex);
    }
    return status;
}

static enum status work_do(struct work_thread *thread, const struct work *work, struct error *err) {
    switch (work->kind) {
    case WORK_SECTION:
        return section_begin(thread, work, err);
    case WORK_BYTES:
        return bytes_write(thread, work->bytes, work->length, err);
    case WORK_TAKE:
        return section_take(thread, work, err);
    case WORK_KEEP:
        return section_keep(thread, work, err);
    case WORK_FILE: {
        enum status status = section_end(thread, err);
        return status == STATUS_OK ? files_add(thread, work->name, err) : status;
    }
    default:
        return commit(thread, work, err);
    }
}

// --- The thread's life.

static struct work *work_wait(struct work_thread *thread) {
    pthread_mutex_lock(&thread->mutex);
    while (!thread->first && !thread->stop)
        pthread_cond_wait(&thread->given, &thread->mutex);
    struct work *work = thread->stop ? NULL : thread->first;
    if (work) {
        thread->first = work->next;
        if (!thread->first)
            thread->last = NULL;
    }
    pthread_mutex_unlock(&thread->mutex);
    return work;
}

static void *thread_main(void *argument) {
    struct work_thread *thread = argument;
    struct work *work;
    while ((work = work_wait(thread)) != NULL) {
        struct error error = {0};
        enum status status = thread->status; // written by this thread alone
        bool failed = status != STATUS_OK;
        if (!failed)
            status = work_do(thread, work, &error);
        pthread_mutex_lock(&thread->mutex);
        if (!failed && status != STATUS_OK) {
            thread->status = status;
            thread->error = error;
        }
        thread->backlog -= work->length;
        pthread_cond_broadcast(&thread->changed);
        pthread_mutex_unlock(&thread->mutex);
        work_free(work);
    }
    return NULL;
}

enum status work_thread_start(const struct work_place *place, struct work_thread **ret_thread,
                              struct error *err) {
    struct work_thread *thread = memory_new(1, sizeof(*thread));
    unsigned char *block = memory_new(FOLDER_BLOCK, 1);
    if (!thread || !block) {
        memory_free(thread);
        memory_free(block);
        return error_no_memory(err, FOLDER_BLOCK, "a checkpoint");
    }
    thread->place = *place;
    thread->block = block;
    buffer_init(&thread->manifest);
    arena_init(&thread->arena, 4096);
    pthread_mutex_init(&thread->mutex, NULL);
    pthread_cond_init(&thread->given, NULL);
    pthread_cond_init(&thread->changed, NULL);
    if (pthread_create(&thread->thread, NULL, thread_main, thread) != 0) {
        thread->stop = true;
        memory_free(block);
        memory_free(thread);
        return error_set(err, STATUS_EXHAUSTED,
                         "could not start the thread that writes "
                         "checkpoints");
    }
    *ret_thread = thread;
    return STATUS_OK;
}

void work_thread_add(struct work_thread *thread, struct work *work) {
    work->next = NULL;
    pthread_mutex_lock(&thread->mutex);
    if (thread->last)
        thread->last->next = work;
    else
        thread->first = work;
    thread->last = work;
    thread->backlog += work->length;
    pthread_cond_signal(&thread->given);
    pthread_mutex_unlock(&thread->mutex);
}

size_t work_thread_backlog(struct work_thread *thread) {
    pthread_mutex_lock(&thread->mutex);
    size_t backlog = thread->backlog;
    pthread_mutex_unlock(&thread->mutex);
    return backlog;
}

void work_thread_wait(struct work_thread *thread, size_t backlog) {
    pthread_mutex_lock(&thread->mutex);
    while (thread->backlog > backlog && thread->status == STATUS_OK)
        pthread_cond_wait(&thread->changed, &thread->mutex);
    pthread_mutex_unlock(&thread->mutex);
}

enum status work_thread_poll(struct work_thread *thread, bool wait, bool *ret_done,
                             int64_t *ret_oldest_place, struct error *err) {
    pthread_mutex_lock(&thread->mutex);
    while (wait && !thread->done && thread->status == STATUS_OK)
        pthread_cond_wait(&thread->changed, &thread->mutex);
    enum status status = thread->status;
    if (status != STATUS_OK && err)
        *err = thread->error;
    *ret_done = thread->done;
    *ret_oldest_place = thread->oldest_place;
    pthread_mutex_unlock(&thread->mutex);
    return status;
}

void work_thread_stop(struct work_thread *thread) {
    if (!thread)
        return;
    pthread_mutex_lock(&thread->mutex);
    thread->stop = true;
    pthread_cond_signal(&thread->given);
    pthread_mutex_unlock(&thread->mutex);
    pthread_join(thread->thread, NULL);
    while (thread->first) {
        struct work *work = thread->first;
        thread->first = work->next;
        work_free(work);
    }
    disk_close(thread->section);
    buffer_deinit(&thread->manifest);
    arena_deinit(&thread->arena);
    pthread_cond_destroy(&thread->given);
    pthread_cond_destroy(&thread->changed);
    pthread_mutex_destroy(&thread->mutex);
    memory_free(thread->block);
    memory_free(thread);
}
