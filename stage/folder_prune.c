// Which generations stay: numbering, sharing of files, pruning.
#include "stage/checkpoint_work.h"

#include <inttypes.h>
#include <string.h>

static const char *first_blocks(const struct manifest *manifest) {
    for (size_t i = 0; i < manifest->count; i++)
        if (manifest->items[i].kind == MANIFEST_BLOCKS)
            return manifest->items[i].name;
    return NULL;
}

bool manifest_shares(const struct manifest *a, const struct manifest *b) {
    const char *first = first_blocks(a), *second = first_blocks(b);
    return first && second && strcmp(first, second) == 0;
}

// What a walk over the generations, newest first, has met.
struct walk {
    size_t whole;           // generations whose manifest is sound
    struct manifest newest; // of the first of them
    bool other;             // one was met that shares nothing with the newest
    uint64_t oldest;        // the last one to stay
    int64_t oldest_place;
};

// Is this generation one to stay? Its manifest is sound.
static bool generation_stays(struct walk *walk, const struct manifest *manifest, size_t kept) {
    bool first = walk->whole++ == 0;
    if (first)
        walk->newest = *manifest;
    bool other = !first && !manifest_shares(&walk->newest, manifest);
    // A stage whose generations share nothing needs no further one.
    bool stays = walk->whole <= kept || (other && !walk->other && first_blocks(&walk->newest));
    walk->other |= other;
    return stays;
}

// A name below DIRECTORY/checkpoints; newest first.
static enum status name_prune(const char *root, const char *name, size_t kept, struct arena *arena,
                              struct walk *walk, struct error *err) {
    char path[FOLDER_PATH_MAX];
    uint64_t generation = 0;
    bool whole = false;
    struct manifest manifest;
    if (!folder_generation(name, &generation, &whole))
        return STATUS_OK;
    enum status status = folder_path(path, root, name, err);
    if (status != STATUS_OK)
        return status;
    if (whole && manifest_read(path, arena, &manifest, NULL) == STATUS_OK &&
        generation_stays(walk, &manifest, kept)) {
        walk->oldest = generation;
        walk->oldest_place = manifest.place;
        return STATUS_OK;
    }
    if (walk->whole < kept || !(whole || generation < walk->oldest))
        return STATUS_OK;
    // The manifest goes first, so that a generation half removed is none.
    char file[FOLDER_PATH_MAX];
    status = folder_path(file, path, "manifest", err);
    if (status == STATUS_OK)
        status = disk_remove(file, err);
    return status == STATUS_OK ? disk_remove_tree(path, err) : status;
}

enum status folder_prune(const char *directory, size_t kept, int64_t *ret_oldest_place,
                         struct error *err) {
    char root[FOLDER_PATH_MAX];
    struct arena arena;
    struct walk walk = {.oldest_place = *ret_oldest_place};
    char **names = NULL;
    size_t count = 0;
    arena_init(&arena, 4096);
    enum status status = folder_path(root, directory, "checkpoints", err);
    if (status == STATUS_OK)
        status = folder_names(directory, &arena, &names, &count, err);
    for (size_t i = count; status == STATUS_OK && i-- > 0;)
        status = name_prune(root, names[i], kept, &arena, &walk, err);
    arena_deinit(&arena);
    *ret_oldest_place = walk.oldest_place;
    return status;
}

static enum status name_meet(struct work_place *place, const char *name, struct arena *arena,
                             struct walk *walk, struct error *err) {
    char path[FOLDER_PATH_MAX];
    uint64_t generation = 0;
    bool whole = false;
    struct manifest manifest;
    if (!folder_generation(name, &generation, &whole))
        return STATUS_OK;
    if (generation >= place->generation)
        place->generation = generation + 1;
    enum status status = folder_path(path, place->root, name, err);
    if (status != STATUS_OK)
        return status;
    if (!whole)
        return strstr(name, ".tmp") ? disk_remove_tree(path, err) : STATUS_OK;
    if (manifest_read(path, arena, &manifest, NULL) != STATUS_OK)
        return STATUS_OK;
    if (walk->whole == 0)
        memcpy(place->previous, path, sizeof(path));
    (void)generation_stays(walk, &manifest, 1);
    return STATUS_OK;
}

enum status work_place_find(const char *directory, struct work_place *ret_place,
                            struct error *err) {
    struct work_place *place = ret_place;
    char name[64];
    struct arena arena;
    struct walk walk = {0};
    char **names = NULL;
    size_t count = 0;
    *place = (struct work_place){.generation = 1};
    arena_init(&arena, 4096);
    enum status status = folder_path(place->root, directory, "checkpoints", err);
    snprintf(place->directory, sizeof(place->directory), "%s", directory);
    if (status == STATUS_OK)
        status = folder_names(directory, &arena, &names, &count, err);
    for (size_t i = count; status == STATUS_OK && i-- > 0;)
        status = name_meet(place, names[i], &arena, &walk, err);
    place->fallback = walk.other;
    snprintf(name, sizeof(name), "%020" PRIu64, place->generation);
    if (status == STATUS_OK)
        status = folder_path(place->final, place->root, name, err);
    snprintf(name, sizeof(name), "%020" PRIu64 ".tmp", place->generation);
    if (status == STATUS_OK)
        status = folder_path(place->path, place->root, name, err);
    arena_deinit(&arena);
    return status;
}
