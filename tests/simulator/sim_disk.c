// What stands on the simulated disks; see sim_disk.h.
#include "tests/simulator/sim_disk.h"

#include <string.h>

struct change { // of a file's bytes
    bool cut;   // a truncation to `at`, else a write there
    uint64_t at, old_size;
    size_t length;               // written
    size_t replaced;             // bytes from `at` on that were there before
    unsigned char *now, *before; // [length], [replaced]
    struct change *earlier;
};
// A change of a folder: `path` now names `inode`, or nothing; before it named `before`, or nothing.
struct turn {
    char *path;
    struct inode *inode, *before;
};

static struct entry *entries;
static size_t entry_count, entry_room;
static struct turn *turns; // not yet synced, oldest first
static size_t turn_count, turn_room;
static struct inode *inodes;

static void *must(void *block) {
    REQUIRE(block);
    return block;
}

static char *text_copy(const char *text) {
    return must(memory_copy_string(text));
}

static void changes_forget(struct inode *inode) {
    while (inode->changes) {
        struct change *change = inode->changes;
        inode->changes = change->earlier;
        memory_free(change->now);
        memory_free(change->before);
        memory_free(change);
    }
}

void sim_disk_init(void) {
    for (size_t i = 0; i < entry_count; i++)
        memory_free(entries[i].path);
    for (size_t i = 0; i < turn_count; i++)
        memory_free(turns[i].path);
    while (inodes) {
        struct inode *inode = inodes;
        inodes = inode->next;
        changes_forget(inode);
        memory_free(inode->bytes);
        memory_free(inode);
    }
    entry_count = turn_count = 0;
}

struct entry *entry_at(size_t i) {
    return i < entry_count ? &entries[i] : NULL;
}

struct entry *entry_find(const char *path) {
    for (size_t i = 0; i < entry_count; i++)
        if (strcmp(entries[i].path, path) == 0)
            return &entries[i];
    return NULL;
}

void entry_set(const char *path, struct inode *inode) {
    struct entry *entry = entry_find(path);
    if (entry) {
        entry->inode = inode;
        return;
    }
    if (entry_count == entry_room) {
        size_t room = entry_room ? entry_room * 2 : 64;
        entries = must(memory_resize(entries, entry_room, room, sizeof *entries));
        entry_room = room;
    }
    entries[entry_count++] = (struct entry){text_copy(path), inode};
}

void entry_drop(const char *path) {
    struct entry *entry = entry_find(path);
    if (!entry)
        return;
    memory_free(entry->path);
    *entry = entries[--entry_count];
}

// The folder's change lasts once the folder has been synced.
void turn_make(const char *path, struct inode *inode) {
    struct entry *entry = entry_find(path);
    if (turn_count == turn_room) {
        size_t room = turn_room ? turn_room * 2 : 64;
        turns = must(memory_resize(turns, turn_room, room, sizeof *turns));
        turn_room = room;
    }
    turns[turn_count++] = (struct turn){text_copy(path), inode, entry ? entry->inode : NULL};
    if (inode)
        entry_set(path, inode);
    else
        entry_drop(path);
}

bool lies_in(const char *path, const char *folder) {
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && path[length] == '/' &&
           !strchr(path + length + 1, '/');
}

bool lies_below(const char *path, const char *folder) {
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && path[length] == '/';
}

struct inode *inode_make(void) {
    struct inode *inode = must(memory_new(1, sizeof *inode));
    inode->next = inodes;
    inodes = inode;
    return inode;
}

static void inode_size(struct inode *inode, uint64_t size) {
    if (size > inode->room) {
        size_t room = (size_t)size * 2 + 256;
        inode->bytes = must(memory_resize(inode->bytes, inode->room, room, 1));
        inode->room = room;
    }
    if (size > inode->size)
        memset(inode->bytes + inode->size, 0, (size_t)size - inode->size);
    inode->size = (size_t)size;
}

static struct change *change_note(struct inode *inode, uint64_t at, size_t before) {
    struct change *change = must(memory_new(1, sizeof *change));
    *change = (struct change){
        .at = at, .old_size = inode->size, .replaced = before, .earlier = inode->changes};
    change->before = must(memory_new(before + 1, 1));
    if (before > 0)
        memcpy(change->before, inode->bytes + at, before);
    inode->changes = change;
    return change;
}

void inode_write(struct inode *inode, uint64_t at, const void *bytes, size_t length) {
    size_t overlap = at >= inode->size           ? 0
                     : inode->size - at < length ? inode->size - (size_t)at
                                                 : length;
    struct change *change = change_note(inode, at, overlap);
    change->length = length;
    change->now = must(memory_new(length + 1, 1));
    if (at + length > inode->size)
        inode_size(inode, at + length);
    if (length > 0) {
        memcpy(change->now, bytes, length);
        memcpy(inode->bytes + at, bytes, length);
    }
}

void inode_cut(struct inode *inode, uint64_t size) {
    size_t tail = size < inode->size ? inode->size - (size_t)size : 0;
    change_note(inode, size, tail)->cut = true;
    inode_size(inode, size);
}

void inode_sync(struct inode *inode) {
    changes_forget(inode);
}

// ---- what a power loss leaves

static void change_undo(struct inode *inode, const struct change *change) {
    inode_size(inode, change->old_size);
    if (change->replaced > 0)
        memcpy(inode->bytes + change->at, change->before, change->replaced);
}

static void change_again(struct inode *inode, const struct change *change) {
    if (change->cut) {
        inode_size(inode, change->at);
        return;
    }
    size_t length = change->length;
    if (length > 0 && sim_chance(.2))
        length = (size_t)rng_below(&sim_rng, length);
    if (change->at + length > inode->size)
        inode_size(inode, change->at + length);
    if (length > 0)
        memcpy(inode->bytes + change->at, change->now, length);
}

static void inode_lose(struct inode *inode) {
    size_t count = 0;
    for (struct change *c = inode->changes; c; c = c->earlier) {
        change_undo(inode, c);
        count++;
    }
    struct change **order = must(memory_new(count + 1, sizeof(struct change *)));
    size_t at = count;
    for (struct change *c = inode->changes; c; c = c->earlier)
        order[--at] = c;
    for (size_t i = 0; i < count; i++)
        if (sim_chance(.5))
            change_again(inode, order[i]);
    memory_free(order);
    changes_forget(inode);
}

void turns_sync(const char *folder) {
    size_t left = 0;
    for (size_t i = 0; i < turn_count; i++)
        if (lies_in(turns[i].path, folder))
            memory_free(turns[i].path);
        else
            turns[left++] = turns[i];
    turn_count = left;
}

static void path_move(char **path, const char *from, const char *to) {
    char moved[512];
    if (strcmp(*path, from) != 0 && !lies_below(*path, from))
        return;
    snprintf(moved, sizeof moved, "%s%s", to, *path + strlen(from));
    memory_free(*path);
    *path = text_copy(moved);
}

void turns_move(const char *from, const char *to) {
    for (size_t i = 0; i < entry_count; i++)
        path_move(&entries[i].path, from, to);
    for (size_t i = 0; i < turn_count; i++)
        path_move(&turns[i].path, from, to);
}

void sim_disk_power_loss(int machine) {
    char disk[32];
    snprintf(disk, sizeof disk, "/sim/%d", machine);
    size_t kept = turn_count == 0 ? 0 : (size_t)rng_below(&sim_rng, turn_count + 1);
    for (size_t i = turn_count; i-- > 0;) {
        struct turn *turn = &turns[i];
        if (!lies_below(turn->path, disk))
            continue;
        if (i >= kept) {
            if (turn->before)
                entry_set(turn->path, turn->before);
            else
                entry_drop(turn->path);
        }
        memory_free(turn->path);
        turn->path = NULL;
    }
    size_t left = 0;
    for (size_t i = 0; i < turn_count; i++)
        if (turns[i].path)
            turns[left++] = turns[i];
    turn_count = left;
    for (size_t i = 0; i < entry_count; i++)
        if (entries[i].inode && lies_below(entries[i].path, disk))
            inode_lose(entries[i].inode);
}

void sim_disk_copy_tree(const char *from, const char *to) {
    size_t count = entry_count;
    for (size_t i = 0; i < count; i++) {
        char path[512];
        if (!lies_below(entries[i].path, from) && strcmp(entries[i].path, from) != 0)
            continue;
        snprintf(path, sizeof path, "%s%s", to, entries[i].path + strlen(from));
        struct inode *copy = NULL;
        if (entries[i].inode) {
            copy = inode_make();
            inode_size(copy, entries[i].inode->size);
            if (copy->size > 0)
                memcpy(copy->bytes, entries[i].inode->bytes, copy->size);
        }
        entry_set(path, copy);
    }
}

void sim_disk_remove_tree(const char *directory) {
    for (size_t i = entry_count; i-- > 0;)
        if (lies_below(entries[i].path, directory))
            entry_drop(entries[i].path);
}

// A generation that is neither set aside nor half removed.
static bool is_generation(const char *path) {
    char manifest[512];
    const char *name = strrchr(path, '/') + 1;
    snprintf(manifest, sizeof manifest, "%s/manifest", path);
    return strspn(name, "0123456789") == strlen(name) && entry_find(manifest);
}

void sim_disk_keep_first(const char *directory) {
    char first[512] = "";
    for (size_t i = 0; i < entry_count; i++)
        if (!entries[i].inode && lies_in(entries[i].path, directory) &&
            is_generation(entries[i].path) && (!first[0] || strcmp(entries[i].path, first) < 0))
            snprintf(first, sizeof first, "%s", entries[i].path);
    for (size_t i = entry_count; i-- > 0;)
        if (lies_below(entries[i].path, directory) && strcmp(entries[i].path, first) != 0 &&
            !lies_below(entries[i].path, first))
            entry_drop(entries[i].path);
}

size_t sim_disk_generations(const char *directory) {
    size_t count = 0;
    for (size_t i = 0; i < entry_count; i++)
        count += !entries[i].inode && lies_in(entries[i].path, directory) &&
                 is_generation(entries[i].path);
    return count;
}

bool sim_disk_flip_bit(const char *part) {
    struct inode *found = NULL;
    uint64_t met = 0;
    for (size_t i = 0; i < entry_count; i++)
        if (entries[i].inode && entries[i].inode->size > 0 && strstr(entries[i].path, part) &&
            rng_below(&sim_rng, ++met) == 0)
            found = entries[i].inode;
    if (!found)
        return false;
    found->bytes[rng_below(&sim_rng, found->size)] ^= (unsigned char)(1U << rng_below(&sim_rng, 8));
    return true;
}
