// Drift alarms: that they come after a change, and how often they come without one: on streams that
// stand still and on a daily cycle, simulated with known probabilities.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "trainer/drift.h"
#include "trainer/tally.h"

static const struct drift_settings settings = {.block_positives = 16,
                                               .adwin_delta = .002,
                                               .ph_min = 30,
                                               .ph_delta = .005,
                                               .ph_lambda = 50,
                                               .ph_alpha = .9999};
enum { LABELS = 100000, DAY = 20000 };

// A stream of labels with true log-odds `base` + spread x normal; from `change` on the truth's
// log-odds are `shift` higher than what is predicted. With `cycle` the log-odds of both go up and
// down over a day. Counts alarms before and after the change; *ret_first: the first after it.
struct run {
    double base, spread, cycle, shift;
    size_t change;
    uint64_t seed;
    uint64_t before[DRIFT_MEASURES][DRIFT_DETECTORS], after[DRIFT_MEASURES][DRIFT_DETECTORS];
    size_t first;
};

static void run_stream(struct run *run) {
    struct drift drift = {0};
    struct rng rng;
    double observed = 0;
    rng_init(&rng, run->seed);
    for (size_t i = 0; i < LABELS; i++) {
        double phase = run->cycle * sin(6.283185307179586 * (double)i / DAY);
        double logit = run->base + phase + run->spread * rng_normal(&rng);
        double truth = logit + (i >= run->change ? run->shift : 0);
        double label = rng_uniform(&rng) < tally_sigmoid(truth) ? 1 : 0;
        struct tally_label one = tally_label_of(logit, label, 1);
        double entropy = i > 0 ? tally_entropy(observed / (double)i) : 0;
        unsigned mask = drift_add(&drift, &settings, one.probability, label, 1, one.loss, entropy);
        observed += label;
        for (unsigned m = 0; m < DRIFT_MEASURES; m++)
            for (unsigned d = 0; d < DRIFT_DETECTORS; d++)
                if (mask >> (m * DRIFT_DETECTORS + d) & 1)
                    (i < run->change ? run->before : run->after)[m][d]++;
        if (mask != 0 && i >= run->change && run->first == 0)
            run->first = i;
    }
}

// Alarms of a detector per million labels, over streams of several base rates.
static void false_alarms(double cycle, uint64_t alarms[DRIFT_MEASURES][DRIFT_DETECTORS]) {
    static const double bases[] = {-.3, -4};
    memset(alarms, 0, DRIFT_MEASURES * sizeof *alarms);
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct run run = {.base = bases[seed % 2],
                          .spread = 1,
                          .cycle = cycle,
                          .change = LABELS,
                          .seed = seed + 1};
        run_stream(&run);
        for (size_t m = 0; m < DRIFT_MEASURES; m++)
            for (size_t d = 0; d < DRIFT_DETECTORS; d++)
                alarms[m][d] += run.before[m][d];
    }
    print_message("cycle %.1f, alarms in 2 million labels:", cycle);
    for (size_t m = 0; m < DRIFT_MEASURES; m++)
        for (size_t d = 0; d < DRIFT_DETECTORS; d++)
            print_message(" %s %s %llu", drift_measure_names[m], drift_detector_names[d],
                          (unsigned long long)alarms[m][d]);
    print_message("\n");
}

static void without_drift_alarms_are_rare(void **state) {
    (void)state;
    uint64_t alarms[DRIFT_MEASURES][DRIFT_DETECTORS];
    false_alarms(0, alarms);
    for (size_t m = 0; m < DRIFT_MEASURES; m++)
        for (size_t d = 0; d < DRIFT_DETECTORS; d++)
            assert_true(alarms[m][d] <= 4);
}

// A cycle that the model follows leaves calibration as it was, while the entropy of a block against
// that of all labels goes up and down with the base rate.
static void a_daily_cycle_that_is_followed_raises_no_calibration_alarm(void **state) {
    (void)state;
    uint64_t alarms[DRIFT_MEASURES][DRIFT_DETECTORS];
    false_alarms(.5, alarms);
    assert_true(alarms[DRIFT_CALIBRATION][DRIFT_ADWIN] <= 4);
    assert_true(alarms[DRIFT_CALIBRATION][DRIFT_PAGE_HINKLEY] <= 4);
}

static void a_change_is_found(void **state) {
    (void)state;
    static const double bases[] = {-.3, -4};
    for (size_t i = 0; i < 2; i++) {
        struct run run = {
            .base = bases[i], .spread = 1, .change = LABELS / 2, .shift = .7, .seed = 100 + i};
        run_stream(&run);
        assert_true(run.first > 0);
        assert_true(run.after[DRIFT_CALIBRATION][DRIFT_ADWIN] > 0);
        // The rare task has too few blocks left for Page-Hinkley's sum to reach its lambda.
        assert_true(i > 0 || run.after[DRIFT_CALIBRATION][DRIFT_PAGE_HINKLEY] > 0);
        print_message("base %.1f: first alarm %zu labels after the change\n", run.base,
                      run.first - run.change);
    }
}

// ADWIN keeps a window of what is alike: its mean moves to the new level.
static void adwin_lets_go_of_the_past(void **state) {
    (void)state;
    struct adwin adwin = {0};
    struct rng rng;
    bool alarm = false;
    rng_init(&rng, 3);
    for (int i = 0; i < 1000; i++)
        alarm |= adwin_add(&adwin, .2 + .1 * rng_normal(&rng), .002, false);
    assert_false(alarm);
    assert_int_equal(adwin_width(&adwin), 1000);
    assert_true(fabs(adwin_mean(&adwin) - .2) < .02);
    for (int i = 0; i < 300; i++)
        alarm |= adwin_add(&adwin, .6 + .1 * rng_normal(&rng), .002, false);
    assert_true(alarm);
    assert_true(adwin_width(&adwin) < 400);
    assert_true(fabs(adwin_mean(&adwin) - .6) < .05);
}

// Page-Hinkley by its recursion, on a step that needs no luck.
static void page_hinkley_alarms_where_its_sum_passes_lambda(void **state) {
    (void)state;
    struct drift_settings small = settings;
    small.ph_lambda = 5;
    struct page_hinkley detector = {0};
    double mean = 0, sum = 0;
    int expected = 0, found = 0;
    for (int i = 1; i <= 200 && found == 0; i++) {
        double value = i <= 100 ? 1 : 1.5;
        mean += (value - mean) / i;
        sum = fmax(0, .9999 * sum + value - mean - .005);
        if (sum > 5 && expected == 0)
            expected = i;
        if (page_hinkley_add(&detector, &small, value, true))
            found = i;
    }
    assert_true(found > 100);
    assert_int_equal(found, expected);
    assert_int_equal(detector.count, 0); // it begins anew
}

static void saved_detectors_go_on_as_they_were(void **state) {
    (void)state;
    struct drift drift = {0}, loaded = {0};
    struct rng rng;
    struct buffer saved;
    rng_init(&rng, 5);
    buffer_init(&saved);
    for (size_t i = 0; i < 20000; i++) {
        double logit = rng_normal(&rng) - 1;
        double label = rng_uniform(&rng) < tally_sigmoid(logit + (i > 15000 ? 1 : 0)) ? 1 : 0;
        struct tally_label one = tally_label_of(logit, label, 1);
        unsigned mask = drift_add(&drift, &settings, one.probability, label, 1, one.loss, .6);
        if (i > 10000)
            assert_int_equal(drift_add(&loaded, &settings, one.probability, label, 1, one.loss, .6),
                             mask);
        if (i == 10000) {
            drift_save(&drift, &saved);
            struct wire in = wire_over(saved.data, saved.length);
            drift_load(&loaded, &in);
            assert_true(!in.bad && in.at == in.end);
        }
    }
    struct wire cut = wire_over(saved.data, 20);
    drift_load(&loaded, &cut);
    assert_true(cut.bad);
    buffer_deinit(&saved);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_drift_alarms_are_rare),
        cmocka_unit_test(a_daily_cycle_that_is_followed_raises_no_calibration_alarm),
        cmocka_unit_test(a_change_is_found),
        cmocka_unit_test(adwin_lets_go_of_the_past),
        cmocka_unit_test(page_hinkley_alarms_where_its_sum_passes_lambda),
        cmocka_unit_test(saved_detectors_go_on_as_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
