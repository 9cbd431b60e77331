// All file input and output of the project, so that tests can plant faults in one place.
//
// Paths are UTF-8, at most PATH_MAX. Every message names the path and the operating system's
// reason; ENOSPC and EDQUOT give STATUS_EXHAUSTED, ENOENT STATUS_NOT_FOUND, the rest STATUS_IO.
#ifndef FRESHET_BASE_DISK_H
#define FRESHET_BASE_DISK_H

#include "base/memory.h"

struct disk_file; // an open file; one owner thread

enum disk_mode {
    DISK_READ,
    DISK_APPEND /* made if missing */,
    DISK_REPLACE /* made empty */,
    DISK_UPDATE /* read and write at any place, made if missing */
};

CHECKED enum status disk_open(const char *path, enum disk_mode mode, struct disk_file **ret_file,
                              struct error *err);
void disk_close(struct disk_file *file); // NULL is fine; does not sync
CHECKED enum status disk_write(struct disk_file *file, const void *bytes, size_t length,
                               struct error *err); // at the end; all or an error
CHECKED enum status disk_write_at(struct disk_file *file, uint64_t at, const void *bytes,
                                  size_t length, struct error *err);
// Reads up to `length` bytes at `at`; *ret_read < length only at the file's end.
CHECKED enum status disk_read_at(struct disk_file *file, uint64_t at, void *bytes, size_t length,
                                 size_t *ret_read, struct error *err);
CHECKED enum status disk_size(struct disk_file *file, uint64_t *ret_bytes, struct error *err);
CHECKED enum status disk_truncate(struct disk_file *file, uint64_t bytes, struct error *err);
CHECKED enum status disk_sync(struct disk_file *file, struct error *err); // fdatasync
// Exclusive advisory lock on the open file; STATUS_FENCED when another process holds it.
CHECKED enum status disk_lock(struct disk_file *file, struct error *err);

CHECKED enum status disk_make_directory(const char *path,
                                        struct error *err); // with parents; may exist
CHECKED enum status disk_sync_directory(const char *path, struct error *err);
CHECKED enum status disk_rename(const char *from, const char *to,
                                struct error *err); // + syncs the folder
// A second name for the same file; STATUS_EXISTS when `to` is there.
CHECKED enum status disk_link(const char *from, const char *to, struct error *err);
CHECKED enum status disk_remove(const char *path, struct error *err);      // file; missing is fine
CHECKED enum status disk_remove_tree(const char *path, struct error *err); // missing is fine
CHECKED enum status disk_read_all(const char *path, struct buffer *into, struct error *err);
// Written beside, synced and renamed: readers see the old or the new bytes, never a mixture.
CHECKED enum status disk_replace_all(const char *path, const void *bytes, size_t length,
                                     struct error *err);
bool disk_exists(const char *path);
// Names in the folder, sorted by bytes, without "." and ".."; from the arena.
CHECKED enum status disk_list(const char *path, struct arena *arena, char ***ret_names,
                              size_t *ret_count, struct error *err);

// Planted faults, for tests: the n-th mutating call from now on (1 = the next; write, truncate,
// sync, rename, link, remove) does this, and with DISK_FAULT_CRASH all later mutating calls fail as
// well, as if the process had died there. n = 0 takes the plant away. Counted process-wide.
enum disk_fault {
    DISK_FAULT_FULL,
    DISK_FAULT_IO,
    DISK_FAULT_CRASH,
    DISK_FAULT_CRASH_TORN /* half written */
};
void disk_fault_plant(enum disk_fault fault, uint64_t n);
uint64_t disk_mutations(void); // mutating calls so far

#endif
