// A weights log in memory, a publisher on it, a real Redis behind it: what the publisher's tests
// share.
#ifndef FRESHET_TESTS_PUBLISHER_BED_H
#define FRESHET_TESTS_PUBLISHER_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <hiredis/hiredis.h>

#include "log/memory.h"
#include "publisher/publisher.h"

enum { SLICE_BITS = 1, WIDTH = 2, BUCKET_BITS = 5 };

struct world {
    struct log *log;
    struct log_writer *writer;
    redisContext *redis;
    struct publisher_settings settings;
    char name[64], host[64], directory[128];
    uint64_t version; // newest appended
    size_t row_floats_max;
    const char *measures; // JSON of the versions appended from now on
    struct log_writer *commands;
};
extern struct world world;
extern struct error err;

int world_begin(void **state); // cmocka's setup and teardown
int world_end(void **state);
void must(enum status status); // fails the test with err's message
redisReply *ask(const char *format, ...);

// A version that changes `changed` and sends whole those of 1..rows that fall into its slice. Row
// `id` of version v holds (id, v).
void append_version(const uint64_t *changed, uint32_t changed_count, uint64_t rows);

// Onto the control log; version of lineage 7, 0 = unpin.
void command_pin(uint64_t version);
void command_bytes(const void *bytes, size_t length);

struct task {
    struct publisher *publisher;
    struct runner *runner;
};
void task_open(struct task *task);
enum status
task_try(struct task *task);        // task_open where Redis may not be there; close it either way
void task_close(struct task *task); // as a crash would leave it

long long manifest_version(void); // 0 = none
// Steps until the manifest names `version`; what is unavailable in between is tried again.
void step_until(struct task *task, long long version);
// The row's second value (the version that wrote it), or -1 when there is no row.
float row_version(uint64_t id);
void rows_are(uint64_t first, uint64_t last, float least_version);

#endif
