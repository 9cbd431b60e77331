// Preloaded into a daemon: a disk that begins to fail. fdatasync of files whose path contains
// FRESHET_IO_ERROR_PATH gives EIO from the FRESHET_IO_ERROR_AFTER-th call on.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fdatasync(int fd) {
    static atomic_long calls;
    const char *part = getenv("FRESHET_IO_ERROR_PATH"), *after = getenv("FRESHET_IO_ERROR_AFTER");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    if (part && after && strstr(path, part) &&
        atomic_fetch_add(&calls, 1) + 1 >= strtoll(after, NULL, 10)) {
        errno = EIO;
        return -1;
    }
    int (*next)(int);
    *(void **)&next = dlsym(RTLD_NEXT, "fdatasync");
    return next(fd);
}
