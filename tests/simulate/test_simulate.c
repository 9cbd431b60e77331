// The simulator: determinism, its truth, and dirt that is counted exactly.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "config/config.h"
#include "simulate/schedule.h"
#include "simulate/simulate.h"
#include "simulate/truth.h"

struct fixture {
    struct log *log;
    struct arena arena;
    struct simulate_settings settings;
    struct simulate_account account;
    struct error err;
};

static void start(struct fixture *f, const char *yaml) {
    memset(f, 0, sizeof(*f));
    arena_init(&f->arena, 4096);
    assert_int_equal(log_open_memory(&f->log, &f->err), STATUS_OK);
    assert_int_equal(config_parse("test", yaml, strlen(yaml), &simulate_options, &f->settings,
                                  &f->arena, &f->err),
                     STATUS_OK);
    assert_int_equal(simulate_run(f->log, &f->settings, NULL, NULL, NULL, &f->account, &f->err),
                     STATUS_OK);
}

static void stop(struct fixture *f) {
    log_close(f->log);
    arena_deinit(&f->arena);
}

// Counts a topic's records, checks their order, and sums their bytes up.
static uint64_t topic_read(struct fixture *f, const char *topic, uint64_t *checksum) {
    struct log_position position = {topic, 0, 0};
    struct log_reader *reader;
    struct log_batch batch;
    uint64_t count = 0;
    int64_t newest = 0;
    bool end = false;
    assert_int_equal(log_reader_open(f->log, &position, 1, &reader, &f->err), STATUS_OK);
    while (!end) {
        assert_int_equal(log_reader_poll(reader, 1000, 1000, &batch, &f->err), STATUS_OK);
        for (size_t i = 0; i < batch.count; i++) {
            const struct log_record *record = &batch.records[i];
            assert_true(record->timestamp_ms >= newest);
            newest = record->timestamp_ms;
            end |= record->end_of_stream;
            count += !record->end_of_stream;
            *checksum = hash_chain(*checksum, record->value, record->value_length);
        }
    }
    log_reader_close(reader);
    return count;
}

static void the_same_seed_gives_the_same_records(void **state) {
    (void)state;
    uint64_t sums[3] = {0, 0, 0};
    for (int i = 0; i < 3; i++) {
        struct fixture f;
        start(&f, i < 2 ? "{count: 3000, seed: 4, duplicates: 0.1}"
                        : "{count: 3000, seed: 5, duplicates: 0.1}");
        (void)topic_read(&f, "impressions", &sums[i]);
        (void)topic_read(&f, "clicks", &sums[i]);
        (void)topic_read(&f, "conversions", &sums[i]);
        stop(&f);
    }
    assert_true(sums[0] == sums[1]);
    assert_true(sums[0] != sums[2]);
}

static void what_is_written_is_what_the_account_says(void **state) {
    (void)state;
    struct fixture f;
    uint64_t sum = 0;
    start(&f, "{count: 5000, duplicates: 0.05, late: 0.02, orphans: 0.03, undecodable: 0.01, "
              "invalid_number: 0.02, far_future: 0.01}");
    const struct simulate_account *a = &f.account;
    assert_int_equal(a->impressions, 5000);
    assert_true(a->duplicate_impressions > 150 && a->duplicate_impressions < 350);
    assert_true(a->undecodable > 0 && a->invalid_number > 0 && a->far_future > 0);
    assert_true(a->late > 0 && a->orphans > 0 && a->duplicate_clicks > 0);
    assert_int_equal(topic_read(&f, "impressions", &sum),
                     a->impressions + a->duplicate_impressions + a->undecodable +
                         a->invalid_number + a->far_future);
    assert_int_equal(topic_read(&f, "clicks", &sum),
                     a->clicks + a->duplicate_clicks + a->late + a->orphans);
    assert_int_equal(topic_read(&f, "conversions", &sum), a->conversions);
    stop(&f);
}

static void dirt_leaves_the_clean_stream_as_it_is(void **state) {
    (void)state;
    struct fixture clean, dirty;
    start(&clean, "{count: 2000}");
    start(&dirty, "{count: 2000, orphans: 0.5, undecodable: 0.5, duplicates: 0.5}");
    assert_int_equal(clean.account.clicks, dirty.account.clicks);
    assert_int_equal(clean.account.conversions, dirty.account.conversions);
    assert_true(clean.account.click_auc == dirty.account.click_auc);
    stop(&clean);
    stop(&dirty);
}

static void the_truth_bounds_what_can_be_learnt(void **state) {
    (void)state;
    struct fixture f;
    start(&f, "{count: 20000, spread: 0}");
    assert_true(f.account.click_auc > 0.49 && f.account.click_auc < 0.51);
    double base = 1 / (1 + exp(1.0));
    assert_true(fabs(f.account.click_rate - base) < 0.015);
    stop(&f);
    start(&f, "{count: 20000, spread: 2}");
    assert_true(f.account.click_auc > 0.8 && f.account.click_auc < 0.95);
    assert_true(f.account.conversion_auc > 0.75);
    stop(&f);
}

static void the_logits_of_the_tasks_have_the_chosen_correlation(void **state) {
    (void)state;
    static const double chosen[] = {-1, 0, 0.6, 1};
    for (size_t k = 0; k < 4; k++) {
        struct truth_settings truth = {.seed = 9,
                                       .correlation = chosen[k],
                                       .spread = 1,
                                       .groups = 1000,
                                       .categories = 1000,
                                       .drift_period_ms = k == 2 ? 86400000 : 0};
        enum { COUNT = 20000 };
        double sums[5] = {0};
        for (uint64_t i = 0; i < COUNT; i++) {
            struct truth_impression at = {.user = i,
                                          .item = COUNT + i,
                                          .domain = i % 7,
                                          .event_time_ms = (int64_t)i * 3600000};
            double p = truth_probability(&truth, TRUTH_CLICK, &at);
            double q = truth_probability(&truth, TRUTH_CONVERSION, &at);
            double x = log(p / (1 - p));
            double y = log(q / (1 - q));
            sums[0] += x, sums[1] += y, sums[2] += x * x, sums[3] += y * y, sums[4] += x * y;
        }
        double vx = sums[2] / COUNT - sums[0] * sums[0] / COUNT / COUNT;
        double vy = sums[3] / COUNT - sums[1] * sums[1] / COUNT / COUNT;
        double covariance = sums[4] / COUNT - sums[0] * sums[1] / COUNT / COUNT;
        assert_true(fabs(covariance / sqrt(vx * vy) - chosen[k]) < 0.05);
        assert_true(vx > 0.8 && vx < 1.2);
    }
}

static void auc_counts_pairs_and_halves_ties(void **state) {
    (void)state;
    struct truth_case cases[] = {{0.9f, 1}, {0.1f, 0}, {0.5f, 1}, {0.5f, 0}, {0.6f, 0}};
    // Pairs: .9 beats all three; .5 beats .1, ties with .5, loses to .6.
    assert_true(fabs(truth_auc(cases, 5) - 4.5 / 6) < 1e-12);
    assert_true(isnan(truth_auc(cases, 0)));
}

static void feedback_leaves_the_schedule_in_order(void **state) {
    (void)state;
    struct schedule schedule;
    struct scheduled item;
    struct error err;
    schedule_init(&schedule);
    for (uint64_t i = 0; i < 500; i++)
        assert_int_equal(schedule_add(&schedule,
                                      (struct scheduled){.received_ms = (int64_t)(i * 7919 % 100)},
                                      &err),
                         STATUS_OK);
    assert_false(schedule_take(&schedule, -1, &item));
    struct scheduled last = {.received_ms = -1};
    for (int i = 0; i < 500; i++) {
        assert_true(schedule_take(&schedule, INT64_MAX, &item));
        assert_true(item.received_ms > last.received_ms ||
                    (item.received_ms == last.received_ms && item.order > last.order));
        last = item;
    }
    assert_false(schedule_take(&schedule, INT64_MAX, &item));
    schedule_deinit(&schedule);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_records),
        cmocka_unit_test(what_is_written_is_what_the_account_says),
        cmocka_unit_test(dirt_leaves_the_clean_stream_as_it_is),
        cmocka_unit_test(the_truth_bounds_what_can_be_learnt),
        cmocka_unit_test(the_logits_of_the_tasks_have_the_chosen_correlation),
        cmocka_unit_test(auc_counts_pairs_and_halves_ties),
        cmocka_unit_test(feedback_leaves_the_schedule_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
