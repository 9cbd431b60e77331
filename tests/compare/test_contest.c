// A contest's intervals against a bootstrap taken label by label, and its parts and windows.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "compare/contest.h"

#define OK(call) assert_int_equal((call), STATUS_OK)

enum { LABELS = 600, USERS = 40, REPLICATES = 50, CONFIGS = 2 };

// Logits on the grid of the replicates' bins, so that binned ties are ties in truth.
struct stream {
    uint64_t users[LABELS];
    double logits[CONFIGS][LABELS];
    double labels[LABELS];
};
static struct stream stream;

static double on_grid(double value) {
    return round(value * 32) / 32 + 1e-6;
}

static void stream_make(void) {
    struct rng rng;
    rng_init(&rng, 5);
    for (size_t i = 0; i < LABELS; i++) {
        double truth = rng_normal(&rng) - 1;
        stream.users[i] = 1 + rng_below(&rng, USERS);
        stream.labels[i] = rng_uniform(&rng) < 1 / (1 + exp(-truth)) ? 1 : 0;
        stream.logits[0][i] = on_grid(truth + rng_normal(&rng) * 1.5);
        stream.logits[1][i] = on_grid(truth + rng_normal(&rng) * .7);
    }
}

static struct contest *contest_made(size_t replicates, int64_t split_ms) {
    const struct contest_settings settings = {.configs = CONFIGS,
                                              .seeds = 1,
                                              .tasks = 1,
                                              .replicates = replicates,
                                              .split_ms = split_ms,
                                              .window_ms = 100};
    struct contest *contest;
    OK(contest_new(&settings, &contest, NULL));
    for (size_t i = 0; i < LABELS; i++) {
        for (size_t config = 0; config < CONFIGS; config++) {
            struct contest_label label = {
                .unit = stream.users[i],
                .event_time_ms = (int64_t)i,
                .of = tally_label_of(stream.logits[config][i], stream.labels[i], 1)};
            OK(contest_add(contest, config, &label, NULL));
        }
    }
    return contest;
}

static void draws_are_of_the_poisson_distribution(void **state) {
    (void)state;
    enum { COUNT = 200000 };
    double sum = 0, squares = 0, none = 0;
    for (size_t i = 0; i < COUNT; i++) {
        double draw = contest_draw(i / 20 + 7, i % 20);
        sum += draw;
        squares += draw * draw;
        none += draw < .5;
    }
    assert_true(fabs(sum / COUNT - 1) < .01);
    assert_true(fabs(squares / COUNT - 2) < .03); // variance 1
    assert_true(fabs(none / COUNT - exp(-1.)) < .005);
}

static double weighted_auc(size_t config, const double *weights) {
    double right = 0, pairs = 0;
    for (size_t i = 0; i < LABELS; i++) {
        for (size_t j = 0; j < LABELS; j++) {
            if (stream.labels[i] < .5 || stream.labels[j] > .5)
                continue;
            double weight = weights[i] * weights[j];
            double a = stream.logits[config][i], b = stream.logits[config][j];
            pairs += weight;
            right += weight * (a > b ? 1 : a < b ? 0 : .5);
        }
    }
    return right / pairs;
}

static int ascending(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static void intervals_are_those_of_a_paired_bootstrap_over_users(void **state) {
    (void)state;
    double differences[REPLICATES], weights[LABELS];
    for (size_t r = 0; r < REPLICATES; r++) {
        for (size_t i = 0; i < LABELS; i++)
            weights[i] = contest_draw(stream.users[i], r);
        differences[r] = weighted_auc(1, weights) - weighted_auc(0, weights);
    }
    qsort(differences, REPLICATES, sizeof *differences, ascending);
    double at = .025 * (REPLICATES - 1), low = differences[(size_t)at];
    low += (at - floor(at)) * (differences[(size_t)at + 1] - low);
    for (size_t i = 0; i < LABELS; i++)
        weights[i] = 1;
    double exact = weighted_auc(1, weights) - weighted_auc(0, weights);

    struct contest *contest = contest_made(REPLICATES, CONTEST_NO_SPLIT);
    struct contest_result result;
    OK(contest_result(contest, 0, 0, 1, &result, NULL));
    assert_int_equal(result.count, LABELS);
    assert_true(fabs(result.auc_difference.value - exact) < 1e-12);
    assert_true(fabs(result.auc_difference.low - low) < 1e-9);
    assert_true(result.auc_difference.low > 0); // the second is better, beyond doubt
    assert_true(result.auc_difference.high > result.auc_difference.low);
    OK(contest_result(contest, 0, 0, 0, &result, NULL));
    assert_true(result.auc_difference.low == 0 && result.auc_difference.high == 0);
    assert_true(result.auc.low < result.auc.value && result.auc.value < result.auc.high);
    assert_int_equal(contest_chosen(contest), 1);
    contest_free(contest);
}

static void the_split_cuts_the_stream_in_two(void **state) {
    (void)state;
    struct contest *contest = contest_made(0, 450);
    struct contest_result before, after;
    OK(contest_result(contest, 0, 0, 0, &before, NULL));
    OK(contest_result(contest, 1, 0, 0, &after, NULL));
    assert_int_equal(before.count, 450);
    assert_int_equal(after.count, LABELS - 450);
    assert_true(isnan(before.auc.low));
    assert_int_equal(contest_window_count(contest), LABELS / 100);
    assert_int_equal(contest_window_begin(contest, 3), 300);
    struct tally tally = {0};
    for (size_t i = 300; i < 400; i++) {
        struct tally_label label = tally_label_of(stream.logits[1][i], stream.labels[i], 1);
        OK(tally_add(&tally, &label, NULL));
    }
    assert_true(contest_window_auc(contest, 0, 1, 3) == tally_measures(&tally).auc);
    tally_deinit(&tally);
    contest_free(contest);
}

int main(void) {
    stream_make();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_are_of_the_poisson_distribution),
        cmocka_unit_test(intervals_are_those_of_a_paired_bootstrap_over_users),
        cmocka_unit_test(the_split_cuts_the_stream_in_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
