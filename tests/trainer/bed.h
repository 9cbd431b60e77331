// What the trainer's tests share: a small spec, a stream of impressions with known truth in a
// memory log, and runs of the trainer under the runner, with or without planted crashes.
#ifndef FRESHET_TESTS_TRAINER_BED_H
#define FRESHET_TESTS_TRAINER_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log/memory.h"
#include "trainer/trainer.h"

enum { BED_PARTITIONS = 2, BED_TASKS = 2 };

// Two tasks (click, like), features user, item (categorical), tags (list), price (number).
struct bed {
    struct spec spec;
    struct spec_feature features[5];
    struct spec_task tasks[BED_TASKS];
    struct spec_rate rates[2]; // by item, of both tasks; by user and domain, of clicks
    struct model_settings model;
    struct trainer_settings settings;
    struct log *log;
    struct clock_fake clock;
    char directory[256];
    struct stage_input inputs[BED_PARTITIONS];
    struct stage_output output;
    struct log_writer *writer; // of the examples
    int64_t sequences[BED_PARTITIONS];
    uint64_t flip;    // the impression whose click label is the other one; 0 = none
    float weight;     // of the labels that bed_put writes; 0 = none is written
    bool late_labels; // LEARN and FINAL come after SCORE, not with it
};

void bed_init(struct bed *bed);
void bed_deinit(struct bed *bed);
// Appends one example; the partition is the slot. label -1 leaves the task out of the mask.
void bed_put(struct bed *bed, int32_t partition, uint32_t kind, uint64_t impression, uint64_t item,
             const char *domain, int64_t time_ms, float click, float like);
void bed_put_bytes(struct bed *bed, int32_t partition, const void *bytes, size_t length,
                   int64_t time_ms);
// Impressions 1 .. count, partitions in turn, domains "a" and "b", clicks by the item's hidden
// taste.
void bed_fill(struct bed *bed, uint64_t count);
void bed_end(struct bed *bed); // end_of_stream on both partitions, and commit

// Every prediction in the order made.
struct bed_predictions {
    uint64_t keys[8192]; // slot << 32 | impression
    float logits[8192][BED_TASKS];
    size_t count;
};

struct bed_result {
    uint64_t fingerprint, outputs; // of the state; of the weights log, bytes and sequences
    uint64_t output_records, crashes, mutations;
    struct account accounts[8];
    size_t account_count;
    struct trainer_status status;
    struct evaluate_measures click; // all domains
};
struct trainer *bed_trainer(struct bed *bed, struct bed_predictions *predictions);
// From the log's beginning, or the checkpoints left, to the end, starting anew after each planted
// crash. Advances the clock by step_ms a step. predictions may be NULL. The trainer is the caller's
// to free when ret_trainer is not NULL.
void bed_run(struct bed *bed, int64_t batch_records, int64_t step_ms,
             struct bed_predictions *predictions, struct trainer **ret_trainer,
             struct bed_result *ret_result);
const struct account *bed_account(const struct bed_result *result, const char *input);
uint64_t bed_dropped(const struct account *account, const char *reason);

#endif
