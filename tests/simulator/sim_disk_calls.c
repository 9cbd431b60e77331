// base/disk.h on the simulated disks, linked in place of base/disk.c; see sim_disk.h.
#include "tests/simulator/sim_disk.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct disk_file {
    struct inode *inode;
    char *path;
    FILE *real; // not simulated
};

static void *must(void *block) {
    REQUIRE(block);
    return block;
}

static bool simulated(const char *path) {
    return strncmp(path, "/sim/", 5) == 0;
}

static enum status dead(struct error *err, const char *path) {
    return error_set(err, STATUS_IO, "could not write %s: the process is dead", path);
}

static enum status missing(struct error *err, const char *verb, const char *path) {
    return error_set(err, STATUS_NOT_FOUND, "could not %s %s: no such file", verb, path);
}

static struct disk_file *handle(const char *path, struct inode *inode, FILE *real) {
    struct disk_file *file = must(memory_new(1, sizeof *file));
    *file = (struct disk_file){inode, must(memory_copy_string(path)), real};
    return file;
}

enum status disk_open(const char *path, enum disk_mode mode, struct disk_file **ret_file,
                      struct error *err) {
    if (!simulated(path)) {
        FILE *real = mode == DISK_READ ? fopen(path, "rb") : NULL;
        if (!real)
            return missing(err, "open", path);
        *ret_file = handle(path, NULL, real);
        return STATUS_OK;
    }
    struct entry *entry = entry_find(path);
    if (entry && !entry->inode)
        return error_set(err, STATUS_IO, "could not open %s: it is a folder", path);
    if (!entry && mode == DISK_READ)
        return missing(err, "open", path);
    struct inode *inode = entry ? entry->inode : NULL;
    if (!inode || mode == DISK_REPLACE) {
        if (sim_gate() != GATE_PASS)
            return dead(err, path);
        if (!inode)
            turn_make(path, inode = inode_make());
        else
            inode_cut(inode, 0);
    }
    *ret_file = handle(path, inode, NULL);
    return STATUS_OK;
}

void disk_close(struct disk_file *file) {
    if (!file)
        return;
    if (file->inode && file->inode->locker == file)
        file->inode->locker = NULL;
    if (file->real)
        (void)fclose(file->real);
    memory_free(file->path);
    memory_free(file);
}

enum status disk_write_at(struct disk_file *file, uint64_t at, const void *bytes, size_t length,
                          struct error *err) {
    enum sim_gate gate = sim_gate();
    if (gate == GATE_TORN)
        inode_write(file->inode, at, bytes, length / 2);
    if (gate != GATE_PASS)
        return dead(err, file->path);
    inode_write(file->inode, at, bytes, length);
    return STATUS_OK;
}

enum status disk_write(struct disk_file *file, const void *bytes, size_t length,
                       struct error *err) {
    return disk_write_at(file, file->inode->size, bytes, length, err);
}

enum status disk_read_at(struct disk_file *file, uint64_t at, void *bytes, size_t length,
                         size_t *ret_read, struct error *err) {
    (void)err;
    if (file->real) {
        REQUIRE(fseek(file->real, (long)at, SEEK_SET) == 0);
        *ret_read = fread(bytes, 1, length, file->real);
        return STATUS_OK;
    }
    size_t left = at < file->inode->size ? file->inode->size - (size_t)at : 0;
    *ret_read = left < length ? left : length;
    if (*ret_read > 0)
        memcpy(bytes, file->inode->bytes + at, *ret_read);
    return STATUS_OK;
}

enum status disk_size(struct disk_file *file, uint64_t *ret_bytes, struct error *err) {
    (void)err;
    if (file->real) {
        REQUIRE(fseek(file->real, 0, SEEK_END) == 0);
        *ret_bytes = (uint64_t)ftell(file->real);
        return STATUS_OK;
    }
    *ret_bytes = file->inode->size;
    return STATUS_OK;
}

enum status disk_truncate(struct disk_file *file, uint64_t bytes, struct error *err) {
    if (sim_gate() != GATE_PASS)
        return dead(err, file->path);
    inode_cut(file->inode, bytes);
    return STATUS_OK;
}

enum status disk_sync(struct disk_file *file, struct error *err) {
    if (sim_gate() != GATE_PASS)
        return dead(err, file->path);
    inode_sync(file->inode);
    return STATUS_OK;
}

enum status disk_lock(struct disk_file *file, struct error *err) {
    if (file->inode->locker && file->inode->locker != file)
        return error_set(err, STATUS_FENCED, "could not lock %s: another process holds it",
                         file->path);
    file->inode->locker = file;
    return STATUS_OK;
}

enum status disk_make_directory(const char *path, struct error *err) {
    REQUIRE(simulated(path));
    if (sim_process->dead)
        return dead(err, path);
    char part[512];
    size_t length = strlen(path);
    REQUIRE(length < sizeof part);
    for (size_t i = 5; i <= length; i++)
        if (path[i] == '/' || path[i] == '\0') {
            memcpy(part, path, i);
            part[i] = '\0';
            if (!entry_find(part))
                entry_set(part, NULL);
        }
    return STATUS_OK;
}

enum status disk_sync_directory(const char *path, struct error *err) {
    if (sim_gate() != GATE_PASS)
        return dead(err, path);
    turns_sync(path);
    return STATUS_OK;
}

static void parent_of(const char *path, char parent[512]) {
    size_t length = (size_t)(strrchr(path, '/') - path);
    REQUIRE(length < 512);
    memcpy(parent, path, length);
    parent[length] = '\0';
}

enum status disk_rename(const char *from, const char *to, struct error *err) {
    char parent[512];
    if (sim_gate() != GATE_PASS)
        return dead(err, from);
    struct entry *entry = entry_find(from);
    if (!entry)
        return missing(err, "rename", from);
    if (entry->inode) {
        struct inode *inode = entry->inode;
        turn_make(from, NULL);
        turn_make(to, inode);
    } else { // a folder moves with all below it, at once and for good
        turns_move(from, to);
    }
    parent_of(to, parent);
    return disk_sync_directory(parent, err);
}

enum status disk_link(const char *from, const char *to, struct error *err) {
    if (sim_gate() != GATE_PASS)
        return dead(err, from);
    struct entry *entry = entry_find(from);
    if (!entry || !entry->inode)
        return missing(err, "link", from);
    if (entry_find(to))
        return error_set(err, STATUS_EXISTS, "could not link %s: %s is there already", from, to);
    turn_make(to, entry->inode);
    return STATUS_OK;
}

enum status disk_remove(const char *path, struct error *err) {
    if (sim_gate() != GATE_PASS)
        return dead(err, path);
    struct entry *entry = entry_find(path);
    if (entry && entry->inode)
        turn_make(path, NULL);
    return STATUS_OK;
}

enum status disk_remove_tree(const char *path, struct error *err) {
    size_t i = 0;
    for (struct entry *entry; (entry = entry_at(i));) {
        if (!lies_below(entry->path, path)) {
            i++;
            continue;
        }
        if (sim_gate() != GATE_PASS)
            return dead(err, path);
        // Another entry may have taken the place meanwhile, while this one rested.
        if ((entry = entry_at(i)) && lies_below(entry->path, path)) {
            char *name = must(memory_copy_string(entry->path));
            if (entry->inode)
                turn_make(name, NULL);
            else
                entry_drop(name);
            memory_free(name);
        }
        i = 0;
    }
    if (sim_gate() != GATE_PASS)
        return dead(err, path);
    entry_drop(path);
    return STATUS_OK;
}

enum status disk_read_all(const char *path, struct buffer *into, struct error *err) {
    struct disk_file *file = NULL;
    uint64_t bytes;
    size_t got = 0;
    enum status status = disk_open(path, DISK_READ, &file, err);
    if (status != STATUS_OK)
        return status;
    status = disk_size(file, &bytes, err);
    void *room = buffer_reserve(into, (size_t)bytes + 1);
    REQUIRE(room);
    if (status == STATUS_OK)
        status = disk_read_at(file, 0, room, (size_t)bytes, &got, err);
    into->length += got;
    disk_close(file);
    return status;
}

enum status disk_replace_all(const char *path, const void *bytes, size_t length,
                             struct error *err) {
    char beside[512];
    struct disk_file *file = NULL;
    snprintf(beside, sizeof beside, "%s.new", path);
    enum status status = disk_open(beside, DISK_REPLACE, &file, err);
    if (status != STATUS_OK)
        return status;
    status = disk_write_at(file, 0, bytes, length, err);
    if (status == STATUS_OK)
        status = disk_sync(file, err);
    disk_close(file);
    return status == STATUS_OK ? disk_rename(beside, path, err) : status;
}

bool disk_exists(const char *path) {
    return simulated(path) ? entry_find(path) != NULL : access(path, F_OK) == 0;
}

static int names_compare(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum status disk_list(const char *path, struct arena *arena, char ***ret_names, size_t *ret_count,
                      struct error *err) {
    if (!entry_find(path))
        return missing(err, "list", path);
    size_t count = 0, room = 1, skip = strlen(path) + 1;
    while (entry_at(room))
        room++;
    char **names = must(arena_get(arena, room, sizeof *names));
    for (size_t i = 0; entry_at(i); i++) {
        const char *name = entry_at(i)->path;
        if (lies_in(name, path))
            names[count++] = must(arena_copy_string(arena, name + skip, strlen(name + skip)));
    }
    if (count > 0)
        qsort(names, count, sizeof *names, names_compare);
    *ret_names = names;
    *ret_count = count;
    return STATUS_OK;
}

void disk_fault_plant(enum disk_fault fault, uint64_t n) {
    (void)fault;
    (void)n;
}

uint64_t disk_mutations(void) {
    return sim_effects;
}
