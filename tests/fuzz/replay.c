// The main of a target without libFuzzer: TARGET [--mutations N] [FILE...]
//
// Runs the seeds and the files, then N mutations of them (by default 2,000), drawn by a fixed seed:
// bits flipped, bytes replaced by borders, pieces cut out, doubled or swapped in from another seed.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/disk.h"
#include "base/rng.h"
#include "tests/fuzz/fuzz.h"

#define CASES_MAX 1000
static struct buffer cases[CASES_MAX];
static size_t case_count;

static void keep(const void *bytes, size_t length) {
    REQUIRE(case_count < CASES_MAX);
    struct buffer *into = &cases[case_count++];
    buffer_init(into);
    buffer_append(into, bytes, length);
    REQUIRE(!into->failed);
}

static size_t drawn(struct rng *rng, size_t below) {
    return below == 0 ? 0 : (size_t)(rng_uniform(rng) * (double)below);
}

static void change(struct rng *rng, struct buffer *text) {
    static const unsigned char borders[] = {0, 1, 2, 3, 0x7f, 0x80, 0xfe, 0xff};
    size_t at = drawn(rng, text->length), length = drawn(rng, text->length - at) % 16 + 1;
    const struct buffer *other = &cases[drawn(rng, case_count)];
    if (text->length == 0)
        return;
    if (length > text->length - at)
        length = text->length - at;
    switch (drawn(rng, 5)) {
    case 0:
        text->data[at] ^= (unsigned char)(1u << drawn(rng, 8));
        break;
    case 1:
        text->data[at] = borders[drawn(rng, sizeof borders)];
        break;
    case 2:
        text->length = at;
        break;
    case 3:
        memmove(text->data + at, text->data + at + length, text->length - at - length);
        text->length -= length;
        break;
    default:
        for (size_t i = 0; i < length && at + i < other->length; i++)
            text->data[at + i] = other->data[at + i];
    }
}

// Each input is a copy of its own size, so that the sanitizer sees any read past its end.
static void run(const struct buffer *input) {
    unsigned char *copy = malloc(input->length + (input->length == 0));
    REQUIRE(copy);
    if (input->length > 0)
        memcpy(copy, input->data, input->length);
    LLVMFuzzerTestOneInput(copy, input->length);
    free(copy);
}

static void files_keep(int count, char **paths) {
    struct error err;
    for (int i = 0; i < count; i++) {
        struct buffer text;
        buffer_init(&text);
        if (disk_read_all(paths[i], &text, &err) != STATUS_OK) {
            fprintf(stderr, "%s\n", err.message);
            exit(1);
        }
        keep(text.data, text.length);
        buffer_deinit(&text);
    }
}

int main(int argc, char **argv) {
    long mutations = 2000;
    int first = 1;
    struct rng rng;
    if (argc > 2 && strcmp(argv[1], "--mutations") == 0) {
        mutations = strtol(argv[2], NULL, 10);
        first = 3;
    }
    fuzz_seeds(keep);
    files_keep(argc - first, argv + first);
    for (size_t i = 0; i < case_count; i++)
        run(&cases[i]);
    rng_init(&rng, 1);
    for (long i = 0; i < mutations; i++) {
        struct buffer text;
        const struct buffer *from = &cases[drawn(&rng, case_count)];
        buffer_init(&text);
        buffer_append(&text, from->data, from->length);
        REQUIRE(!text.failed);
        for (size_t k = drawn(&rng, 4) + 1; k > 0; k--)
            change(&rng, &text);
        run(&text);
        buffer_deinit(&text);
    }
    for (size_t i = 0; i < case_count; i++)
        buffer_deinit(&cases[i]);
    printf("%zu cases, %ld mutations\n", case_count, mutations);
    return 0;
}
