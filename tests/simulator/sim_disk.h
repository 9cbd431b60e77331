// The simulated disk's inside: what stands on it, and what a power loss would take.
//
// A file remembers each write and truncation since its last sync together with the bytes it
// replaced, so that a power loss can undo them all and do some of them again. Making, renaming,
// linking and removing a file are changes of its folder, turns: they last from the folder's sync
// on. Making a folder lasts at once.
#ifndef FRESHET_TESTS_SIMULATOR_SIM_DISK_H
#define FRESHET_TESTS_SIMULATOR_SIM_DISK_H

#include "base/disk.h"
#include "tests/simulator/sim.h"

struct inode {
    unsigned char *bytes;
    size_t size, room;
    struct change *changes; // since the last sync, newest first
    const struct disk_file *locker;
    struct inode *next; // of all
};
struct entry {
    char *path;
    struct inode *inode; // NULL = a folder
};

struct inode *inode_make(void);
void inode_write(struct inode *inode, uint64_t at, const void *bytes, size_t length);
void inode_cut(struct inode *inode, uint64_t size);
void inode_sync(struct inode *inode);

struct entry *entry_find(const char *path);            // NULL = not there
struct entry *entry_at(size_t i);                      // NULL behind the last; no order
void entry_set(const char *path, struct inode *inode); // at once and for good
void entry_drop(const char *path);                     // likewise
// `path` names `inode` from now on, or nothing; it lasts once the folder has been synced.
void turn_make(const char *path, struct inode *inode);
void turns_sync(const char *folder);
void turns_move(const char *from, const char *to); // a folder got another name

bool lies_in(const char *path, const char *folder);    // directly
bool lies_below(const char *path, const char *folder); // at any depth

#endif
