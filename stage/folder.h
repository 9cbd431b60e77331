// What the two halves of the checkpoint code share: names, numbers and checksums. Private to
// stage/.
#ifndef FRESHET_STAGE_FOLDER_H
#define FRESHET_STAGE_FOLDER_H

#include "stage/checkpoint.h"

#define FOLDER_PATH_MAX 4096
#define FOLDER_NAME_MAX 512
#define FOLDER_BLOCK ((size_t)65536)
#define FOLDER_WHOLE_MAX ((uint64_t)1 << 20) // larger files are checked by their ends alone
#define FOLDER_MAGIC "freshet-checkpoint "   // then the version's digit and a line's end
#define FOLDER_VERSION 2

// Writes "A/B" into path; STATUS_INVALID when that is too long.
CHECKED enum status folder_path(char *path, const char *parent, const char *name,
                                struct error *err);
// The generation that a name stands for (with or without .tmp, .corrupt); false for other names.
// *ret_whole: the name is of a finished generation.
bool folder_generation(const char *name, uint64_t *ret_generation, bool *ret_whole);
// Names below DIRECTORY/checkpoints, sorted; none when the folder is missing.
CHECKED enum status folder_names(const char *directory, struct arena *arena, char ***ret_names,
                                 size_t *ret_count, struct error *err);
// Length and checksum of a file, by blocks; sections are read whole, files may be judged by their
// ends.
CHECKED enum status folder_checksum(const char *path, bool whole, uint64_t *ret_length,
                                    uint64_t *ret_checksum, struct error *err);
CHECKED enum status folder_length(const char *path, uint64_t *ret_length, struct error *err);

enum manifest_kind { MANIFEST_SECTION, MANIFEST_BLOCKS, MANIFEST_FILE, MANIFEST_KINDS };
struct manifest_item {
    enum manifest_kind kind;
    char *name;
    uint64_t length, checksum;
};
struct manifest {
    int64_t place;
    struct manifest_item *items;
    size_t count;
};
// Reads and parses PATH/manifest; texts and items come from the arena. STATUS_CORRUPT.
CHECKED enum status manifest_read(const char *path, struct arena *arena,
                                  struct manifest *ret_manifest, struct error *err);
// Do two generations share a section? Those of one stage do when their first blocks are one file.
bool manifest_shares(const struct manifest *a, const struct manifest *b);

// Removes generations older than the newest `kept` that are whole, but for the newest that shares
// nothing with them, and what was set aside before those. *ret_oldest_place: of the oldest left.
CHECKED enum status folder_prune(const char *directory, size_t kept, int64_t *ret_oldest_place,
                                 struct error *err);

// Copies a generation of the directory `from` to `to`, under the same number.
CHECKED enum status folder_copy(const char *from, uint64_t generation, const char *to,
                                struct error *err);
// Brings the newest generation of `copy` into the directory. STATUS_NOT_FOUND when it has none.
CHECKED enum status folder_restore(const char *directory, const char *copy,
                                   uint64_t *ret_generation, struct error *err);

#endif
