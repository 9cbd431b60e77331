// With libFuzzer: `TARGET --seeds DIR` writes the target's seeds as files and ends.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/disk.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

static const char *directory;

static void write_seed(const void *bytes, size_t length) {
    static int number;
    char path[4096];
    struct error err;
    snprintf(path, sizeof path, "%s/seed-%03d", directory, number++);
    if (disk_replace_all(path, bytes, length, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
        directory = (*argv)[2];
        fuzz_seeds(write_seed);
        exit(0);
    }
    return 0;
}
