// A checkpoint whose manifest or section is any bytes: read, or refused, and never half of it.
//
// The first byte picks: an even one makes the rest the manifest, an odd one the section of a
// generation whose manifest is good.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stage/checkpoint.h"
#include "tests/fuzz/fuzz.h"

#define CONTENT "what a stage saved"

static char folder[64];
static char generation[128];

static void remove_folder(void) {
    struct error err;
    if (disk_remove_tree(folder, &err) != STATUS_OK)
        fprintf(stderr, "%s\n", err.message);
}

static void file_write(const char *name, const void *bytes, size_t length) {
    char path[256];
    struct error err;
    snprintf(path, sizeof path, "%s/%s", generation, name);
    struct disk_file *file = NULL;
    REQUIRE(disk_open(path, DISK_REPLACE, &file, &err) == STATUS_OK);
    REQUIRE(length == 0 || disk_write(file, bytes, length, &err) == STATUS_OK);
    disk_close(file);
}

static void file_read(const char *name, struct buffer *into) {
    char path[256];
    struct error err;
    snprintf(path, sizeof path, "%s/%s", generation, name);
    REQUIRE(disk_read_all(path, into, &err) == STATUS_OK);
}

// A good generation in a folder of its own, and its manifest.
static const struct buffer *the_manifest(void) {
    static struct buffer manifest;
    struct checkpoint_writer *writer;
    struct sink sink;
    struct error err;
    int64_t oldest;
    if (folder[0])
        return &manifest;
    snprintf(folder, sizeof folder, "/dev/shm/freshet-fuzz-XXXXXX");
    REQUIRE(mkdtemp(folder) && atexit(remove_folder) == 0);
    REQUIRE(checkpoint_writer_open(folder, &writer, &err) == STATUS_OK);
    REQUIRE(checkpoint_section(writer, "state", &sink, &err) == STATUS_OK);
    REQUIRE(sink_put(&sink, CONTENT, sizeof CONTENT, &err) == STATUS_OK);
    snprintf(generation, sizeof generation, "%s/checkpoints/%020llu", folder,
             (unsigned long long)checkpoint_writer_generation(writer));
    REQUIRE(checkpoint_writer_commit(writer, 12, 2, &oldest, &err) == STATUS_OK);
    checkpoint_writer_close(writer);
    buffer_init(&manifest);
    file_read("manifest", &manifest);
    return &manifest;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    const struct buffer *manifest = the_manifest();
    struct checkpoint_reader *reader = NULL;
    struct error err;
    if (length == 0)
        return 0;
    bool section = bytes[0] % 2;
    file_write("manifest", section ? manifest->data : bytes + 1,
               section ? manifest->length : length - 1);
    file_write("state", section ? (const void *)(bytes + 1) : CONTENT,
               section ? length - 1 : sizeof CONTENT);
    uint64_t number = strtoull(strrchr(generation, '/') + 1, NULL, 10), found = 0;
    if (checkpoint_reader_open(folder, number, &reader, &err) == STATUS_OK) {
        struct source source;
        if (checkpoint_open_section(reader, "state", &source, &found, &err) == STATUS_OK) {
            char content[sizeof CONTENT];
            REQUIRE(found == sizeof CONTENT &&
                    source_get(&source, content, sizeof content, &err) == STATUS_OK &&
                    memcmp(content, CONTENT, sizeof content) == 0);
        }
    }
    checkpoint_reader_close(reader);
    return 0;
}

void fuzz_seeds(void (*emit)(const void *bytes, size_t length)) {
    const struct buffer *manifest = the_manifest();
    struct buffer seed;
    buffer_init(&seed);
    buffer_append_byte(&seed, 0);
    buffer_append(&seed, manifest->data, manifest->length);
    emit(seed.data, seed.length);
    buffer_reset(&seed);
    buffer_append_byte(&seed, 1);
    buffer_append(&seed, CONTENT, sizeof CONTENT);
    emit(seed.data, seed.length);
    REQUIRE(!seed.failed);
    buffer_deinit(&seed);
}
