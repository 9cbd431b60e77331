// Streaming rates through a real Redis: each impression is scored from what Redis serves before the
// trainer meets it, and both must have read the same.
#include "tests/trainer/bed.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/logger.h"
#include "publisher/publisher.h"
#include "record/example.h"
#include "scorer/freshet_scorer.h"

enum { ROUNDS = 60, A_ROUND = 6, ROUND_MS = 20, WINDOW_MS = 120 }; // the bed's lag is a round

static struct error err;

static void must(enum status status) {
    if (status != STATUS_OK)
        fail_msg("%s: %s", status_name(status), err.message);
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

struct rig {
    struct bed bed;
    struct bed_predictions predictions;
    struct trainer *trainer;
    struct publisher *publisher;
    struct publisher_settings settings;
    struct runner *training, *publishing;
    struct freshet_scorer *scorer;
    struct freshet_scorer_options options;
    char name[64], directory[300];
    uint64_t compared;
    double largest;
};

static void rig_open(struct rig *rig) {
    static const struct stage_input weights = {"weights", 0};
    snprintf(rig->name, sizeof rig->name, "rates%ld", (long)getpid());
    bed_init(&rig->bed);
    rig->bed.settings.publish_interval_ms = 1;
    rig->bed.settings.predict_rows = 1000; // predictions wait for the next step of the learner
    rig->bed.settings.learner.batch_rows = A_ROUND;
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

static void rig_close(struct rig *rig) {
    freshet_scorer_close(rig->scorer);
    runner_close(rig->training);
    runner_close(rig->publishing);
    trainer_free(rig->trainer);
    publisher_free(rig->publisher);
    must(disk_remove_tree(rig->directory, &err));
    bed_deinit(&rig->bed);
}

static uint64_t item_of(uint64_t impression) {
    return 1 + hash_mix(impression) % 12;
}
static float click_of(uint64_t impression) {
    return hash_mix(impression + 77) % 12 < item_of(impression) ? 1 : 0;
}

// Steps the trainer until it has read all there is, then the publisher until Redis has it.
static void settle(struct rig *rig) {
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

// What Redis serves for an impression, in the columns that the bed gives it.
static void serve(struct rig *rig, uint64_t impression, int64_t time_ms, float *probabilities) {
    uint64_t ids[2] = {1 + impression % 17, item_of(impression)}, list[3];
    float number = impression % 5 == 0 ? NAN : (float)(impression % 7) / 7;
    unsigned char lists[4 + sizeof list] = {(unsigned char)(impression % 3)};
    for (uint64_t i = 0; i < impression % 3; i++)
        list[i] = 100 + item_of(impression) % 5 + i;
    memcpy(lists + 4, list, impression % 3 * sizeof *list);
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

// Impressions of a round, after those whose windows have closed are labelled.
static void put_round(struct rig *rig, uint64_t round) {
    const uint64_t closed = WINDOW_MS / ROUND_MS;
    int64_t now_ms = 100000 + (int64_t)round * ROUND_MS;
    for (uint64_t i = 0; i < A_ROUND; i++) {
        uint64_t impression = 1 + round * A_ROUND + i;
        bed_put(&rig->bed, (int32_t)(i % BED_PARTITIONS), EXAMPLE_SCORE, impression,
                item_of(impression), "a", now_ms, -1, -1);
    }
    for (uint64_t i = 0; i < A_ROUND && round >= closed; i++) {
        uint64_t impression = 1 + (round - closed) * A_ROUND + i;
        float click = click_of(impression);
        bed_put(&rig->bed, (int32_t)(i % BED_PARTITIONS),
                EXAMPLE_LEARN | EXAMPLE_FINAL | EXAMPLE_LAST, impression, item_of(impression), "a",
                now_ms, click, impression % 2 == 0 ? click : 0);
    }
    must(log_writer_commit(rig->bed.writer, NULL, 0, &err));
}

static void what_redis_serves_is_what_training_read(void **state) {
    (void)state;
    static struct rig rig;
    float served[A_ROUND][BED_TASKS];
    rig_open(&rig);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        int64_t now_ms = 100000 + (int64_t)round * ROUND_MS;
        for (uint64_t i = 0; i < A_ROUND && rig.scorer; i++)
            serve(&rig, 1 + round * A_ROUND + i, now_ms, served[i]);
        bool compare = rig.scorer != NULL;
        put_round(&rig, round);
        settle(&rig);
        for (size_t p = 0; p < rig.predictions.count && compare; p++) {
            uint64_t impression = rig.predictions.keys[p] & UINT32_MAX;
            if (impression <= round * A_ROUND)
                continue;
            for (size_t task = 0; task < BED_TASKS; task++) {
                double trained = 1 / (1 + exp(-(double)rig.predictions.logits[p][task]));
                double away =
                    fabs(trained - (double)served[impression - 1 - round * A_ROUND][task]);
                rig.largest = away > rig.largest ? away : rig.largest;
                rig.compared++;
            }
        }
    }
    print_message("%llu predictions compared, largest difference %.2g\n",
                  (unsigned long long)rig.compared, rig.largest);
    assert_true(rig.compared > (uint64_t)ROUNDS * A_ROUND);
    assert_true(rig.largest < 1e-6);
    struct rates *rates = counting_rates(trainer_counting(rig.trainer));
    assert_true(rates_rows(rates, 0) > 10); // there were rates to be read
    rig_close(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_redis_serves_is_what_training_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
