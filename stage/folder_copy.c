// A checkpoint elsewhere: copied after it is durable here, and brought back when this directory has
// none. Both ways the same: what the other side holds already of the same name, length and checksum
// is linked there, the rest is copied, and one rename makes the generation stand.
#include "stage/checkpoint_work.h"

#include <inttypes.h>
#include <string.h>

#define PIECE_BYTES ((size_t)1 << 20)

// One copying of a generation.
struct copying {
    char from[FOLDER_PATH_MAX]; // its folder
    struct work_place to;
    struct manifest manifest, there; // of the generation, and of the newest one on the other side
    struct arena arena;
    unsigned char *piece; // [PIECE_BYTES]
};

static enum status bytes_copy(struct copying *copying, const char *from, const char *to,
                              uint64_t length, struct error *err) {
    struct disk_file *in = NULL, *out = NULL;
    enum status status = disk_open(from, DISK_READ, &in, err);
    if (status == STATUS_OK)
        status = disk_open(to, DISK_REPLACE, &out, err);
    for (uint64_t at = 0; status == STATUS_OK && at < length;) {
        size_t wanted = length - at < PIECE_BYTES ? (size_t)(length - at) : PIECE_BYTES, got = 0;
        status = disk_read_at(in, at, copying->piece, wanted, &got, err);
        if (status == STATUS_OK && got != wanted)
            status = error_set(err, STATUS_CORRUPT, "`%s` became shorter", from);
        if (status == STATUS_OK)
            status = disk_write(out, copying->piece, wanted, err);
        at += wanted;
    }
    if (status == STATUS_OK)
        status = disk_sync(out, err);
    disk_close(in);
    disk_close(out);
    return status;
}

// The other side holds the same file: sections are small and may differ under one checksum's luck,
// so they are always copied.
static bool is_there(const struct copying *copying, const struct manifest_item *item) {
    if (item->kind == MANIFEST_SECTION)
        return false;
    for (size_t i = 0; i < copying->there.count; i++) {
        const struct manifest_item *other = &copying->there.items[i];
        if (other->kind == item->kind && other->length == item->length &&
            other->checksum == item->checksum && strcmp(other->name, item->name) == 0)
            return true;
    }
    return false;
}

static enum status item_copy(struct copying *copying, const struct manifest_item *item,
                             struct error *err) {
    char from[FOLDER_PATH_MAX], to[FOLDER_PATH_MAX], near[FOLDER_PATH_MAX];
    enum status status = folder_path(from, copying->from, item->name, err);
    if (status == STATUS_OK)
        status = folder_path(to, copying->to.path, item->name, err);
    if (status == STATUS_OK && strchr(item->name, '/')) {
        memcpy(near, to, sizeof near);
        *strrchr(near, '/') = '\0';
        status = disk_make_directory(near, err);
    }
    if (status == STATUS_OK && is_there(copying, item) &&
        folder_path(near, copying->to.previous, item->name, err) == STATUS_OK &&
        disk_link(near, to, NULL) == STATUS_OK)
        return STATUS_OK;
    return status == STATUS_OK ? bytes_copy(copying, from, to, item->length, err) : status;
}

static enum status items_copy(struct copying *copying, struct error *err) {
    char from[FOLDER_PATH_MAX], to[FOLDER_PATH_MAX];
    uint64_t length = 0;
    enum status status = manifest_read(copying->from, &copying->arena, &copying->manifest, err);
    if (status == STATUS_OK && copying->to.previous[0])
        status = manifest_read(copying->to.previous, &copying->arena, &copying->there, err);
    for (size_t i = 0; status == STATUS_OK && i < copying->manifest.count; i++)
        status = item_copy(copying, &copying->manifest.items[i], err);
    if (status == STATUS_OK)
        status = folder_path(from, copying->from, "manifest", err);
    if (status == STATUS_OK)
        status = folder_path(to, copying->to.path, "manifest", err);
    if (status == STATUS_OK)
        status = folder_length(from, &length, err);
    if (status == STATUS_OK)
        status = bytes_copy(copying, from, to, length, err);
    if (status == STATUS_OK)
        status = disk_sync_directory(copying->to.path, err);
    return status;
}

enum status folder_copy(const char *from, uint64_t generation, const char *to, struct error *err) {
    char name[64], final[FOLDER_PATH_MAX];
    struct copying *copying = memory_new(1, sizeof(*copying));
    unsigned char *piece = memory_new(PIECE_BYTES, 1);
    enum status status = STATUS_OK;
    if (!copying || !piece) {
        memory_free(copying);
        memory_free(piece);
        return error_no_memory(err, PIECE_BYTES, "the copy of a checkpoint");
    }
    copying->piece = piece;
    arena_init(&copying->arena, 4096);
    snprintf(name, sizeof(name), "checkpoints/%020" PRIu64, generation);
    status = folder_path(copying->from, from, name, err);
    if (status == STATUS_OK)
        status = work_place_find(to, &copying->to, err);
    if (status == STATUS_OK)
        status = folder_path(final, to, name, err);
    if (status == STATUS_OK)
        status = disk_make_directory(copying->to.path, err);
    if (status == STATUS_OK)
        status = items_copy(copying, err);
    if (status == STATUS_OK && disk_exists(final)) // of a task's former life
        status = disk_remove_tree(final, err);
    if (status == STATUS_OK)
        status = disk_rename(copying->to.path, final, err);
    arena_deinit(&copying->arena);
    memory_free(piece);
    memory_free(copying);
    return status;
}

enum status folder_restore(const char *directory, const char *copy, uint64_t *ret_generation,
                           struct error *err) {
    struct arena arena;
    uint64_t *generations = NULL;
    size_t count = 0;
    arena_init(&arena, 4096);
    enum status status = checkpoint_list(copy, &arena, &generations, &count, err);
    if (status == STATUS_OK && count == 0)
        status = error_set(err, STATUS_NOT_FOUND, "there is no checkpoint in `%s`", copy);
    if (status == STATUS_OK) {
        *ret_generation = generations[count - 1];
        status = folder_copy(copy, *ret_generation, directory, err);
    }
    arena_deinit(&arena);
    return status;
}
