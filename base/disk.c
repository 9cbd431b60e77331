// File input and output over POSIX calls, with one gate for planted faults: every mutating call
// passes fault_strikes() first.
#include "base/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct disk_file {
    int fd;
    char *path; // for messages
};

static struct {
    pthread_mutex_t lock;
    enum disk_fault fault;
    uint64_t left; // calls until it strikes; 0 = nothing planted
    bool crashed;  // a crash fault has struck: nothing mutates any more
    uint64_t mutations;
} plant = {.lock = PTHREAD_MUTEX_INITIALIZER};

void disk_fault_plant(enum disk_fault fault, uint64_t n) {
    pthread_mutex_lock(&plant.lock);
    plant.fault = fault;
    plant.left = n;
    plant.crashed = false;
    pthread_mutex_unlock(&plant.lock);
}

uint64_t disk_mutations(void) {
    pthread_mutex_lock(&plant.lock);
    uint64_t mutations = plant.mutations;
    pthread_mutex_unlock(&plant.lock);
    return mutations;
}

// 0 = go on; else the errno that the call shall fail with. *ret_torn: write half first.
static int fault_strikes(bool *ret_torn) {
    int code = 0;
    *ret_torn = false;
    pthread_mutex_lock(&plant.lock);
    plant.mutations++;
    if (plant.crashed) {
        code = EIO;
    } else if (plant.left > 0 && --plant.left == 0) {
        code = plant.fault == DISK_FAULT_FULL ? ENOSPC : EIO;
        plant.crashed = plant.fault == DISK_FAULT_CRASH || plant.fault == DISK_FAULT_CRASH_TORN;
        *ret_torn = plant.fault == DISK_FAULT_CRASH_TORN;
    }
    pthread_mutex_unlock(&plant.lock);
    return code;
}

static enum status fail(struct error *err, const char *verb, const char *path, int code) {
    enum status status = code == ENOSPC || code == EDQUOT ? STATUS_EXHAUSTED
                         : code == ENOENT                 ? STATUS_NOT_FOUND
                                                          : STATUS_IO;
    return error_set(err, status, "could not %s %s: %s", verb, path, strerror(code));
}

static bool has_crashed(void) {
    pthread_mutex_lock(&plant.lock);
    bool crashed = plant.crashed;
    pthread_mutex_unlock(&plant.lock);
    return crashed;
}

// For mutating calls without bytes.
static enum status gate(struct error *err, const char *verb, const char *path) {
    bool torn;
    int code = fault_strikes(&torn);
    return code ? fail(err, verb, path, code) : STATUS_OK;
}

enum status disk_open(const char *path, enum disk_mode mode, struct disk_file **ret_file,
                      struct error *err) {
    static const int flags[] = {[DISK_READ] = O_RDONLY,
                                [DISK_APPEND] = O_RDWR | O_CREAT,
                                [DISK_REPLACE] = O_RDWR | O_CREAT | O_TRUNC,
                                [DISK_UPDATE] = O_RDWR | O_CREAT};
    if (mode == DISK_REPLACE && has_crashed())
        return fail(err, "open", path, EIO); // a dead process empties no file
    int fd = open(path, flags[mode] | O_CLOEXEC, 0640);
    if (fd < 0)
        return fail(err, "open", path, errno);
    struct disk_file *file = memory_new(1, sizeof *file);
    char *copy = memory_copy_string(path);
    if (!file || !copy) {
        memory_free(file);
        memory_free(copy);
        close(fd);
        return error_no_memory(err, sizeof *file, path);
    }
    *file = (struct disk_file){fd, copy};
    *ret_file = file;
    return STATUS_OK;
}

void disk_close(struct disk_file *file) {
    if (!file)
        return;
    close(file->fd);
    memory_free(file->path);
    memory_free(file);
}

static enum status write_whole(struct disk_file *file, uint64_t at, const unsigned char *bytes,
                               size_t length, struct error *err) {
    while (length > 0) {
        ssize_t wrote = pwrite(file->fd, bytes, length, (off_t)at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return fail(err, "write", file->path, errno);
        bytes += wrote;
        at += (uint64_t)wrote;
        length -= (size_t)wrote;
    }
    return STATUS_OK;
}

enum status disk_write_at(struct disk_file *file, uint64_t at, const void *bytes, size_t length,
                          struct error *err) {
    bool torn;
    int code = fault_strikes(&torn);
    if (code == 0)
        return write_whole(file, at, bytes, length, err);
    if (torn) {
        enum status status = write_whole(file, at, bytes, length / 2, err);
        if (status != STATUS_OK)
            return status;
    }
    return fail(err, "write", file->path, code);
}

enum status disk_write(struct disk_file *file, const void *bytes, size_t length,
                       struct error *err) {
    uint64_t end;
    enum status status = disk_size(file, &end, err);
    return status == STATUS_OK ? disk_write_at(file, end, bytes, length, err) : status;
}

enum status disk_read_at(struct disk_file *file, uint64_t at, void *bytes, size_t length,
                         size_t *ret_read, struct error *err) {
    size_t done = 0;
    while (done < length) {
        ssize_t got =
            pread(file->fd, (unsigned char *)bytes + done, length - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(err, "read", file->path, errno);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *ret_read = done;
    return STATUS_OK;
}

enum status disk_size(struct disk_file *file, uint64_t *ret_bytes, struct error *err) {
    struct stat stat;
    if (fstat(file->fd, &stat) != 0)
        return fail(err, "look at", file->path, errno);
    *ret_bytes = (uint64_t)stat.st_size;
    return STATUS_OK;
}

enum status disk_truncate(struct disk_file *file, uint64_t bytes, struct error *err) {
    enum status status = gate(err, "truncate", file->path);
    if (status == STATUS_OK && ftruncate(file->fd, (off_t)bytes) != 0)
        status = fail(err, "truncate", file->path, errno);
    return status;
}

enum status disk_sync(struct disk_file *file, struct error *err) {
    enum status status = gate(err, "sync", file->path);
    if (status == STATUS_OK && fdatasync(file->fd) != 0)
        status = fail(err, "sync", file->path, errno);
    return status;
}

enum status disk_lock(struct disk_file *file, struct error *err) {
    if (flock(file->fd, LOCK_EX | LOCK_NB) == 0)
        return STATUS_OK;
    if (errno == EWOULDBLOCK)
        return error_set(err, STATUS_FENCED,
                         "could not lock %s: another process holds it; stop that one first",
                         file->path);
    return fail(err, "lock", file->path, errno);
}

enum status disk_make_directory(const char *path, struct error *err) {
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part)
        return error_set(err, STATUS_INVALID, "could not make a directory: its path is %s",
                         length ? "too long" : "empty");
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0750) == 0)
            continue;
        int code = errno;
        struct stat stat_of_part;
        if (stat(part, &stat_of_part) != 0)
            return fail(err, "make directory", part, code);
        if (!S_ISDIR(stat_of_part.st_mode))
            return fail(err, "make directory", part, ENOTDIR);
    }
    return STATUS_OK;
}

enum status disk_sync_directory(const char *path, struct error *err) {
    enum status status = gate(err, "sync", path);
    if (status != STATUS_OK)
        return status;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(err, "open", path, errno);
    if (fsync(fd) != 0)
        status = fail(err, "sync", path, errno);
    close(fd);
    return status;
}

static enum status sync_parent(const char *path, struct error *err) {
    char parent[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    if (slash) {
        size_t length = slash == path ? 1 : (size_t)(slash - path);
        REQUIRE(length < sizeof parent);
        memcpy(parent, path, length);
        parent[length] = '\0';
    }
    return disk_sync_directory(parent, err);
}

enum status disk_rename(const char *from, const char *to, struct error *err) {
    enum status status = gate(err, "rename", from);
    if (status == STATUS_OK && rename(from, to) != 0)
        status = fail(err, "rename", from, errno);
    return status == STATUS_OK ? sync_parent(to, err) : status;
}

enum status disk_link(const char *from, const char *to, struct error *err) {
    enum status status = gate(err, "link", from);
    if (status == STATUS_OK && link(from, to) != 0) {
        if (errno == EEXIST)
            return error_set(err, STATUS_EXISTS, "could not link %s: %s is there already", from,
                             to);
        status = fail(err, "link", from, errno);
    }
    return status;
}

enum status disk_remove(const char *path, struct error *err) {
    enum status status = gate(err, "remove", path);
    if (status == STATUS_OK && unlink(path) != 0 && errno != ENOENT)
        status = fail(err, "remove", path, errno);
    return status;
}

enum status disk_remove_tree(const char *path, struct error *err) {
    struct stat stat_of_path;
    if (lstat(path, &stat_of_path) != 0)
        return errno == ENOENT ? STATUS_OK : fail(err, "look at", path, errno);
    if (!S_ISDIR(stat_of_path.st_mode))
        return disk_remove(path, err);
    struct arena names_arena;
    arena_init(&names_arena, 4096);
    char **names;
    size_t count;
    enum status status = disk_list(path, &names_arena, &names, &count, err);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        char child[PATH_MAX];
        int length = snprintf(child, sizeof child, "%s/%s", path, names[i]);
        status = length < 0 || (size_t)length >= sizeof child
                     ? fail(err, "remove", path, ENAMETOOLONG)
                     : disk_remove_tree(child, err);
    }
    arena_deinit(&names_arena);
    if (status == STATUS_OK)
        status = gate(err, "remove", path);
    if (status == STATUS_OK && rmdir(path) != 0 && errno != ENOENT)
        status = fail(err, "remove", path, errno);
    return status;
}

enum status disk_read_all(const char *path, struct buffer *into, struct error *err) {
    struct disk_file *file;
    uint64_t bytes = 0;
    enum status status = disk_open(path, DISK_READ, &file, err);
    if (status != STATUS_OK)
        return status;
    status = disk_size(file, &bytes, err);
    // A pipe or a /proc file has no size: those are read in pieces to their end.
    size_t piece = bytes > 0 ? (size_t)bytes + 1 : 65536;
    while (status == STATUS_OK) {
        void *room = buffer_reserve(into, piece);
        if (!room) {
            status = error_no_memory(err, piece, path);
            break;
        }
        ssize_t read_bytes = read(file->fd, room, piece);
        if (read_bytes < 0 && errno == EINTR)
            continue;
        if (read_bytes < 0)
            status = fail(err, "read", path, errno);
        else if (read_bytes == 0)
            break;
        else
            into->length += (size_t)read_bytes;
    }
    disk_close(file);
    return status;
}

enum status disk_replace_all(const char *path, const void *bytes, size_t length,
                             struct error *err) {
    char beside[PATH_MAX];
    int wrote = snprintf(beside, sizeof beside, "%s.new", path);
    if (wrote < 0 || (size_t)wrote >= sizeof beside)
        return fail(err, "write", path, ENAMETOOLONG);
    struct disk_file *file;
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
    struct stat stat_of_path;
    return stat(path, &stat_of_path) == 0;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum status disk_list(const char *path, struct arena *arena, char ***ret_names, size_t *ret_count,
                      struct error *err) {
    DIR *folder = opendir(path);
    if (!folder)
        return fail(err, "list", path, errno);
    char **names = NULL;
    size_t count = 0, room = 0;
    enum status status = STATUS_OK;
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (count == room) {
            size_t wider = room ? room * 2 : 16;
            char **grown = arena_get(arena, wider, sizeof *grown);
            if (!grown) {
                status = error_no_memory(err, wider * sizeof *grown, path);
                break;
            }
            if (count > 0)
                memcpy(grown, names, count * sizeof *grown);
            names = grown;
            room = wider;
        }
        names[count] = arena_copy_string(arena, entry->d_name, strlen(entry->d_name));
        if (!names[count++])
            status = error_no_memory(err, strlen(entry->d_name), path);
    }
    closedir(folder);
    if (status != STATUS_OK)
        return status;
    if (count > 0)
        qsort(names, count, sizeof *names, compare_names);
    *ret_names = names;
    *ret_count = count;
    return STATUS_OK;
}
