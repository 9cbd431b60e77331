// What the runner's tests share: a small stage whose state depends on the order of everything it is
// given, a world (memory log, fake clock, directory) made from a seed, and a driver that goes on
// after planted crashes.
#ifndef FRESHET_TESTS_STAGE_TOY_H
#define FRESHET_TESTS_STAGE_TOY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/rng.h"
#include "log/memory.h"
#include "stage/runner.h"

#define TOY_SLOTS_MAX 8
#define TOY_OUTPUT_PARTITIONS 2

// Its values, all of which are saved.
struct toy_values {
    uint64_t chain; // of every record, silence and end, in order
    uint64_t read, used, dropped;
    uint64_t per_slot[TOY_SLOTS_MAX];
    uint64_t ticks, idles, finishes;
    int64_t watermark_ms;
};

struct toy {
    struct toy_values values;
    bool ticks_matter;
    bool odd;        // emits what no replay can know
    bool unbalanced; // its account is wrong
    bool fail_fold;  // the next fold fails
    bool hurried;    // a commit is wanted before it is due
    uint64_t odd_counter;
    uint64_t folds; // calls, of this process
    uint64_t *seen; // may be NULL: hash of every record folded, in order
    size_t seen_count, seen_capacity;
};
extern const struct stage_operations toy_operations;

struct world {
    uint64_t seed;
    struct rng rng; // of how a run goes; the data has one of its own
    struct log *log;
    enum log_backend backend;
    const char *brokers; // Kafka
    char names[3][64];   // topics left, right, out
    char task_name[64];
    uint64_t life_steps;  // 0, or: a process dies unprepared after at most this many steps
    bool loses_directory; // with each death everything that the task keeps on its own disk goes
    struct clock_fake clock;
    char directory[256]; // of the world
    char task[300];      // of the task, below it
    char log_files[300];
    struct stage_input inputs[TOY_SLOTS_MAX];
    size_t input_count;
    struct stage_output output;
    struct runner_setup setup;
};

uint64_t test_seed(void); // FRESHET_TEST_SEED, or 1; printed
// Two topics of two and one partitions, `records` each in random event-time order, written by
// several commits, with or without closing end_of_stream records.
void world_init(struct world *world, uint64_t seed, size_t records, bool ends);
// The same on a log of files below the world's directory, which is opened again after a crash.
void world_init_files(struct world *world, uint64_t seed, size_t records, bool ends);
// The same on Kafka, in topics of its own.
void world_init_kafka(struct world *world, const char *brokers, uint64_t seed, size_t records,
                      bool ends);
// The same offsets, times and lengths, but values of letters from `first` on.
void world_init_letters(struct world *world, uint64_t seed, size_t records, bool ends, char first);
void world_deinit(struct world *world);
// Settings of a run at random: batches, intervals.
void world_shuffle(struct world *world);
// Appends one record to a topic by a producer of its own.
void world_append(struct world *world, const char *topic, int32_t partition, int64_t time_ms,
                  int64_t sequence, const char *text);
void world_end(struct world *world, const char *topic, int32_t partition, int64_t sequence);
void world_forget_checkpoints(struct world *world);

struct outcome {
    struct toy_values values;
    uint64_t outputs; // hash of all output records but their offsets
    uint64_t output_records;
    uint64_t crashes;
    uint64_t steps;
};
// Runs to the end, opening the task again after every error that a planted fault may give (the
// plant is taken away then). Fails the test on any other error.
void world_run(struct world *world, bool ticks_matter, struct outcome *ret_outcome);
void outcome_assert_equal(const struct outcome *a, const struct outcome *b);
void world_outputs(struct world *world, uint64_t *ret_hash, uint64_t *ret_count);
// Opens a runner on a new toy and asserts that it opens.
struct runner *world_open(struct world *world, struct toy *toy);
// Steps until `status`, at most `most` steps; asserts that it comes.
void steps_until(struct world *world, struct runner *runner, enum status status, size_t most);

#endif
