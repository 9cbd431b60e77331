// A fuzz target: one function that takes any bytes, and the seeds that mutation begins with.
//
// Built with clang's libFuzzer (preset fuzz) a target explores by coverage; `TARGET --seeds DIR`
// writes its seeds there (seeds.c). Built otherwise (replay.c) it runs the seeds, files that are
// named, and a fixed number of drawn mutations. A target aborts where a promise of the code under
// test is broken; the sanitizers find the rest.
#ifndef FRESHET_TESTS_FUZZ_FUZZ_H
#define FRESHET_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

// libFuzzer's own name; returns 0.
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
// Calls `emit` for every seed.
void fuzz_seeds(void (*emit)(const void *bytes, size_t length));

#endif
