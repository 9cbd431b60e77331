#include "tests/scorer/rig.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "base/disk.h"
#include "base/hash.h"

static struct error err;

void rig_must(enum status status, const struct error *why) {
    if (status != STATUS_OK)
        fail_msg("%s: %s", status_name(status), why->message);
}

static void must(enum status status) {
    rig_must(status, &err);
}

static int64_t redis_port(void) {
    char path[256];
    struct buffer address;
    snprintf(path, sizeof path, "%s/address", getenv("FRESHET_TEST_REDIS_DIR"));
    buffer_init(&address);
    must(disk_read_all(path, &address, &err));
    buffer_append_byte(&address, 0);
    int64_t port = strtol(strchr((char *)address.data, ':') + 1, NULL, 10);
    buffer_deinit(&address);
    return port;
}

void rig_open(struct rig *rig, const char *name, int64_t batch_rows,
              void (*change)(struct bed *bed)) {
    static const struct stage_input weights = {"weights", 0};
    snprintf(rig->name, sizeof rig->name, "%s%ld", name, (long)getpid());
    bed_init(&rig->bed);
    rig->bed.settings.publish_interval_ms = 1;
    rig->bed.settings.predict_rows = 1000; // predictions wait for the next step of the learner
    rig->bed.settings.learner.batch_rows = batch_rows;
    if (change)
        change(&rig->bed);
    rig->bed.settings.runner.order = RUNNER_ARRIVAL; // nothing waits for the next round
    rig->trainer = bed_trainer(&rig->bed, &rig->predictions);
    struct runner_setup training = {.task = "test.trainer",
                                    .directory = rig->bed.directory,
                                    .operations = &trainer_operations,
                                    .state = rig->trainer,
                                    .log = rig->bed.log,
                                    .inputs = rig->bed.inputs,
                                    .input_count = BED_PARTITIONS,
                                    .outputs = &rig->bed.output,
                                    .output_count = 1,
                                    .settings = rig->bed.settings.runner,
                                    .build = "test",
                                    .clock = &rig->bed.clock.clock};
    must(runner_open(&training, &rig->training, &err));
    rig->settings = (struct publisher_settings){.redis = {.host = "127.0.0.1",
                                                          .port = redis_port(),
                                                          .socket = "",
                                                          .user = "",
                                                          .password = "",
                                                          .timeout_ms = 2000},
                                                .bucket_bits = 5,
                                                .deltas_max = 100000,
                                                .runner = {.commit_interval_ms = 1,
                                                           .checkpoint_interval_ms = 1000000,
                                                           .checkpoints_kept = 2,
                                                           .tick_interval_ms = 1000,
                                                           .batch_records = 100,
                                                           .stop_timeout_ms = 1000}};
    struct publisher_setup setup = {.settings = &rig->settings,
                                    .name = rig->name,
                                    .weights = "weights",
                                    .log = rig->bed.log,
                                    .clock = &clock_system};
    must(publisher_new(&setup, &rig->publisher, &err));
    snprintf(rig->directory, sizeof rig->directory, "%s-publisher", rig->bed.directory);
    struct runner_setup publishing = {.task = "test.publisher",
                                      .directory = rig->directory,
                                      .operations = &publisher_operations,
                                      .state = rig->publisher,
                                      .log = rig->bed.log,
                                      .inputs = &weights,
                                      .input_count = 1,
                                      .settings = rig->settings.runner,
                                      .build = "test",
                                      .clock = &clock_system};
    must(runner_open(&publishing, &rig->publishing, &err));
    rig->options = (struct freshet_scorer_options){.host = "127.0.0.1",
                                                   .port = (int)rig->settings.redis.port,
                                                   .name = rig->name,
                                                   .timeout_ms = 2000,
                                                   .poll_ms = 1};
}

void rig_close(struct rig *rig) {
    freshet_scorer_close(rig->scorer);
    runner_close(rig->training);
    runner_close(rig->publishing);
    trainer_free(rig->trainer);
    publisher_free(rig->publisher);
    must(disk_remove_tree(rig->directory, &err));
    bed_deinit(&rig->bed);
}

uint64_t rig_item(uint64_t impression, uint64_t items) {
    return 1 + hash_mix(impression) % items;
}

void rig_settle(struct rig *rig) {
    struct trainer_status status;
    int64_t end_us = clock_system.monotonic_us(&clock_system) + 30000000;
    for (int i = 0; i < 6; i++) {
        clock_fake_advance(&rig->bed.clock, 6);
        enum status stepped = runner_step(rig->training, 0, &err);
        if (stepped != STATUS_OK && stepped != STATUS_TIMEOUT)
            fail_msg("%s: %s", status_name(stepped), err.message);
    }
    trainer_status(rig->trainer, &status);
    if (status.version == 0)
        return;
    for (;;) {
        enum status stepped = runner_step(rig->publishing, 5, &err);
        if (stepped != STATUS_OK && stepped != STATUS_TIMEOUT)
            fail_msg("%s: %s", status_name(stepped), err.message);
        assert_true(clock_system.monotonic_us(&clock_system) < end_us);
        char text[256];
        if (!rig->scorer && freshet_scorer_open(&rig->options, &rig->scorer, text, sizeof text) !=
                                FRESHET_SCORER_OK)
            continue;
        if (freshet_scorer_version(rig->scorer) == status.version)
            return;
    }
}

static unsigned char *put(unsigned char *at, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
    return at + bytes;
}

void rig_serve(struct rig *rig, uint64_t impression, uint64_t item, int64_t time_ms,
               float *probabilities) {
    uint64_t ids[2] = {1 + impression % 17, item};
    float number = impression % 5 == 0 ? NAN : (float)(impression % 7) / 7;
    unsigned char lists[128] = {(unsigned char)(impression % 3)}, *at = lists + 4;
    for (uint64_t i = 0; i < impression % 3; i++)
        at = put(at, 100 + item % 5 + i, 8);
    at = put(at, impression % 4, 4);
    for (uint64_t i = 0; i < impression % 4; i++)
        at = put(at, item + item % 2 * (i % 2), 8);
    for (uint64_t i = impression % 4; i > 0; i--)
        at = put(at, i * i, 4);
    struct freshet_row *row = freshet_row_new(rig->scorer);
    char text[256] = "";
    assert_non_null(row);
    assert_int_equal(freshet_row_set_columns(row, ids, &number, lists, "a", 1), FRESHET_SCORER_OK);
    assert_int_equal(freshet_row_set_time(row, time_ms), FRESHET_SCORER_OK);
    if (freshet_scorer_score(rig->scorer, &row, 1, probabilities, NULL, text, sizeof text) !=
        FRESHET_SCORER_OK)
        fail_msg("%s", text);
    freshet_row_free(row);
}

void rig_compare(struct rig *rig, uint64_t first, uint64_t count, float (*served)[BED_TASKS]) {
    for (size_t p = 0; p < rig->predictions.count; p++) {
        uint64_t impression = rig->predictions.keys[p] & UINT32_MAX;
        if (impression < first || impression >= first + count)
            continue;
        for (size_t task = 0; task < BED_TASKS; task++) {
            double trained = 1 / (1 + exp(-(double)rig->predictions.logits[p][task]));
            double away = fabs(trained - (double)served[impression - first][task]);
            rig->largest = away > rig->largest ? away : rig->largest;
            rig->compared++;
        }
    }
}
