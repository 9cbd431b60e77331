// Names, checksums and the manifest of checkpoint folders.
#include "stage/folder.h"

#include "base/hash.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#define DIGITS 20

enum status folder_path(char *path, const char *parent, const char *name, struct error *err) {
    int length = snprintf(path, FOLDER_PATH_MAX, "%s/%s", parent, name);
    if (length < 0 || length >= FOLDER_PATH_MAX)
        return error_set(err, STATUS_INVALID, "the path of `%s` below `%s` is too long", name,
                         parent);
    return STATUS_OK;
}

bool folder_generation(const char *name, uint64_t *ret_generation, bool *ret_whole) {
    uint64_t number = 0;
    for (size_t i = 0; i < DIGITS; i++) {
        if (!isdigit((unsigned char)name[i]))
            return false;
        number = number * 10 + (uint64_t)(name[i] - '0');
    }
    if (name[DIGITS] != '\0' && name[DIGITS] != '.')
        return false;
    *ret_generation = number;
    *ret_whole = name[DIGITS] == '\0';
    return true;
}

enum status folder_names(const char *directory, struct arena *arena, char ***ret_names,
                         size_t *ret_count, struct error *err) {
    char path[FOLDER_PATH_MAX];
    enum status status = folder_path(path, directory, "checkpoints", err);
    if (status != STATUS_OK)
        return status;
    if (!disk_exists(path)) {
        *ret_count = 0;
        *ret_names = NULL;
        return STATUS_OK;
    }
    return disk_list(path, arena, ret_names, ret_count, err);
}

// Adds blocks of [from, to) to the checksum.
static enum status blocks_add(struct disk_file *file, unsigned char *block, uint64_t from,
                              uint64_t to, uint64_t *checksum, struct error *err) {
    while (from < to) {
        size_t wanted = to - from < FOLDER_BLOCK ? (size_t)(to - from) : FOLDER_BLOCK;
        size_t got = 0;
        enum status status = disk_read_at(file, from, block, wanted, &got, err);
        if (status != STATUS_OK)
            return status;
        if (got != wanted)
            return error_set(err, STATUS_CORRUPT, "a file became shorter while it was read");
        *checksum = hash_chain(*checksum, block, wanted);
        from += wanted;
    }
    return STATUS_OK;
}

enum status folder_checksum(const char *path, bool whole, uint64_t *ret_length,
                            uint64_t *ret_checksum, struct error *err) {
    struct disk_file *file = NULL;
    uint64_t length = 0, checksum = 0;
    unsigned char *block = memory_new(FOLDER_BLOCK, 1);
    if (!block)
        return error_no_memory(err, FOLDER_BLOCK, "a checksum");
    enum status status = disk_open(path, DISK_READ, &file, err);
    if (status == STATUS_OK)
        status = disk_size(file, &length, err);
    if (status == STATUS_OK && (whole || length <= FOLDER_WHOLE_MAX)) {
        status = blocks_add(file, block, 0, length, &checksum, err);
    } else if (status == STATUS_OK) {
        status = blocks_add(file, block, 0, FOLDER_BLOCK, &checksum, err);
        if (status == STATUS_OK)
            status = blocks_add(file, block, length - FOLDER_BLOCK, length, &checksum, err);
    }
    disk_close(file);
    memory_free(block);
    if (status == STATUS_OK) {
        *ret_length = length;
        *ret_checksum = checksum;
    }
    return status;
}

enum status folder_length(const char *path, uint64_t *ret_length, struct error *err) {
    struct disk_file *file = NULL;
    enum status status = disk_open(path, DISK_READ, &file, err);
    if (status == STATUS_OK)
        status = disk_size(file, ret_length, err);
    disk_close(file);
    return status;
}

static enum status malformed(struct error *err, const char *path) {
    return error_set(err, STATUS_CORRUPT, "the manifest of `%s` is damaged", path);
}

// The format's version, of which 1 and 2 are read: 1 had no blocks. 0 = not a manifest's beginning.
static int manifest_version(const struct buffer *text) {
    size_t length = sizeof(FOLDER_MAGIC) - 1; // up to the digit
    if (text->length < length + 2 || memcmp(text->data, FOLDER_MAGIC, length) != 0 ||
        !isdigit(text->data[length]) || text->data[length + 1] != '\n')
        return 0;
    return text->data[length] - '0';
}

// The text up to its last line, whose checksum must be that of all before it.
static bool manifest_whole(struct buffer *text) {
    char last[sizeof("end 0123456789abcdef\n")];
    size_t tail = sizeof(last) - 1;
    if (text->length < tail || manifest_version(text) == 0)
        return false;
    size_t body = text->length - tail;
    snprintf(last, sizeof(last), "end %016" PRIx64 "\n", hash_bytes(text->data, body, 0));
    if (memcmp(text->data + body, last, tail) != 0)
        return false;
    text->data[body] = '\0';
    return true;
}

static bool line_parse(const char *line, struct arena *arena, struct manifest *manifest) {
    char kind[16], name[FOLDER_NAME_MAX];
    struct manifest_item *item = &manifest->items[manifest->count];
    if (sscanf(line, "place %" SCNd64, &manifest->place) == 1)
        return true;
    if (sscanf(line, "%15s %511s %" SCNu64 " %16" SCNx64, kind, name, &item->length,
               &item->checksum) != 4)
        return false;
    static const char *const kinds[] = {"section", "blocks", "file"};
    size_t at = 0;
    while (at < MANIFEST_KINDS && strcmp(kind, kinds[at]) != 0)
        at++;
    if (at == MANIFEST_KINDS)
        return false;
    item->kind = (enum manifest_kind)at;
    item->name = arena_copy_string(arena, name, strlen(name));
    manifest->count++;
    return item->name != NULL;
}

static enum status manifest_parse(const char *path, char *text, struct arena *arena,
                                  struct manifest *manifest, struct error *err) {
    size_t lines = 1;
    for (const char *at = text; *at; at++)
        lines += *at == '\n';
    manifest->items = arena_get(arena, lines, sizeof(*manifest->items));
    if (!manifest->items)
        return error_no_memory(err, lines * sizeof(*manifest->items), "a manifest");
    manifest->place = -1;
    for (char *line = text; *line;) {
        char *end = strchr(line, '\n');
        if (!end)
            return malformed(err, path);
        *end = '\0';
        if (!line_parse(line, arena, manifest))
            return malformed(err, path);
        line = end + 1;
    }
    return manifest->place >= 0 ? STATUS_OK : malformed(err, path);
}

enum status manifest_read(const char *path, struct arena *arena, struct manifest *ret_manifest,
                          struct error *err) {
    char file[FOLDER_PATH_MAX];
    struct buffer text;
    struct manifest manifest = {0};
    buffer_init(&text);
    enum status status = folder_path(file, path, "manifest", err);
    if (status == STATUS_OK)
        status = disk_read_all(file, &text, err);
    if (status == STATUS_NOT_FOUND)
        status = error_set(err, STATUS_CORRUPT, "`%s` has no manifest", path);
    if (status == STATUS_OK && !manifest_whole(&text))
        status = malformed(err, path);
    if (status == STATUS_OK && manifest_version(&text) > FOLDER_VERSION)
        status = error_set(err, STATUS_UNSUPPORTED,
                           "`%s` was written by a newer version of freshet (format %d, this one "
                           "reads up to %d)",
                           path, manifest_version(&text), FOLDER_VERSION);
    if (status == STATUS_OK)
        status = manifest_parse(path, (char *)text.data + sizeof(FOLDER_MAGIC) + 1, arena,
                                &manifest, err);
    buffer_deinit(&text);
    if (status == STATUS_OK)
        *ret_manifest = manifest;
    return status;
}
