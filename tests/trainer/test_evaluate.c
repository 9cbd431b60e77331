// The measures against exact counts and the numbers of the papers.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "trainer/evaluate.h"

static const struct evaluate_settings settings = {
    .tasks = 2, .domains = 3, .window_ms = 1000, .windows = 4};

static struct evaluate *evaluate_made(void) {
    struct evaluate *evaluate;
    assert_int_equal(evaluate_new(&settings, &evaluate, NULL), STATUS_OK);
    return evaluate;
}

static void add(struct evaluate *evaluate, uint32_t domain, int64_t at, double logit,
                double label) {
    struct evaluate_label one = {
        .domain = domain, .event_time_ms = at, .of = tally_label_of(logit, label, 1)};
    assert_int_equal(evaluate_add(evaluate, &one, NULL), STATUS_OK);
}

static struct evaluate_measures measured(struct evaluate *evaluate, uint32_t domain,
                                         bool windowed) {
    struct evaluate_measures measures;
    evaluate_measure(evaluate, 0, domain, EVALUATE_ANY, windowed, &measures);
    return measures;
}

static double logit_of(double probability) {
    return log(probability / (1 - probability));
}

static void the_worked_example_gives_its_numbers(void **state) {
    (void)state;
    const double labels[] = {1, 0, 0, 0}, predictions[] = {.4, .2, .1, .1};
    struct evaluate *evaluate = evaluate_made();
    for (size_t i = 0; i < 4; i++)
        add(evaluate, 1, 0, logit_of(predictions[i]), labels[i]);
    struct evaluate_measures measures = measured(evaluate, EVALUATE_ALL, false);
    assert_true(fabs(measures.logloss - .337539) < 1e-6);
    assert_true(fabs(measures.normalised_entropy - .600245) < 1e-6);
    assert_true(fabs(measures.calibration - .8) < 1e-12);
    assert_true(measures.auc == 1);
    assert_int_equal(measures.count, 4);
    assert_int_equal(measures.positives, 1);
    evaluate_free(evaluate);
}

// Share of pairs in order, ties half, over all pairs.
static double auc_exact(const double *logits, const int *labels, size_t count) {
    double pairs = 0, right = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            if (labels[i] != 1 || labels[j] != 0)
                continue;
            pairs += 1;
            right += logits[i] > logits[j] ? 1 : logits[i] == logits[j] ? .5 : 0;
        }
    }
    return right / pairs;
}

static void auc_equals_counted_pairs(void **state) {
    (void)state;
    enum { COUNT = 1500 };
    static double logits[COUNT];
    static int labels[COUNT];
    struct rng rng;
    rng_init(&rng, 7);
    struct evaluate *evaluate = evaluate_made();
    for (size_t i = 0; i < COUNT; i++) {
        // Rare positives, and values on the histogram's grid, so that ties are ties there as well.
        double truth = rng_normal(&rng) * 1.5 - 4;
        logits[i] = floor(truth * 128) / 128;
        labels[i] = rng_uniform(&rng) < 1 / (1 + exp(-truth)) ? 1 : 0;
        add(evaluate, 1, 0, logits[i], labels[i]);
    }
    double exact = auc_exact(logits, labels, COUNT);
    struct evaluate_measures measures = measured(evaluate, 1, false);
    assert_true(fabs(measures.auc - exact) < 1e-12);
    assert_true(measures.auc_error > 0 && measures.auc_error < .2);
    evaluate_free(evaluate);
}

static void off_the_grid_auc_is_right_to_a_bin(void **state) {
    (void)state;
    enum { COUNT = 1500 };
    static double logits[COUNT];
    static int labels[COUNT];
    struct rng rng;
    rng_init(&rng, 8);
    struct evaluate *evaluate = evaluate_made();
    for (size_t i = 0; i < COUNT; i++) {
        logits[i] = rng_normal(&rng) - 5;
        labels[i] = rng_uniform(&rng) < 10 / (1 + exp(-logits[i])) ? 1 : 0;
        add(evaluate, 1, 0, logits[i], labels[i]);
    }
    double exact = auc_exact(logits, labels, COUNT);
    assert_true(fabs(measured(evaluate, 1, false).auc - exact) < 1e-3);
    evaluate_free(evaluate);
}

static void one_class_alone_has_no_auc(void **state) {
    (void)state;
    struct evaluate *evaluate = evaluate_made();
    assert_true(isnan(measured(evaluate, EVALUATE_ALL, false).auc));
    assert_true(isnan(measured(evaluate, EVALUATE_ALL, true).logloss));
    add(evaluate, 0, 0, -1, 0);
    struct evaluate_measures measures = measured(evaluate, EVALUATE_ALL, false);
    assert_true(isnan(measures.auc) && isnan(measures.calibration));
    assert_true(isnan(measures.normalised_entropy) && isfinite(measures.logloss));
    evaluate_free(evaluate);
}

static void domains_are_apart_and_later_ones_only_in_the_total(void **state) {
    (void)state;
    struct evaluate *evaluate = evaluate_made();
    add(evaluate, 0, 0, 1, 1);
    add(evaluate, 2, 0, 1, 1);
    add(evaluate, 3, 0, 1, 0);
    add(evaluate, 900, 0, 1, 0);
    assert_int_equal(measured(evaluate, 0, false).count, 1);
    assert_int_equal(measured(evaluate, 1, false).count, 0);
    assert_int_equal(measured(evaluate, 2, false).count, 1);
    assert_int_equal(measured(evaluate, EVALUATE_ALL, false).count, 4);
    struct evaluate_measures other;
    evaluate_measure(evaluate, 1, EVALUATE_ALL, EVALUATE_ANY, false, &other);
    assert_int_equal(other.count, 0);
    evaluate_free(evaluate);
}

static void recent_measures_forget_old_windows(void **state) {
    (void)state;
    struct evaluate *evaluate = evaluate_made();
    add(evaluate, 1, 500, 1, 1);
    add(evaluate, 1, 3999, 1, 1);
    assert_int_equal(measured(evaluate, 1, true).count, 2);
    add(evaluate, 1, 4000, 1, 0); // window 4: windows 1 to 4 are recent
    assert_int_equal(measured(evaluate, 1, true).count, 2);
    add(evaluate, 1, 1500, 1, 0); // late, but still within
    assert_int_equal(measured(evaluate, 1, true).count, 3);
    add(evaluate, 1, 999, 1, 0); // too late: in the total alone
    assert_int_equal(measured(evaluate, 1, true).count, 3);
    assert_int_equal(measured(evaluate, 1, false).count, 5);
    add(evaluate, 1, 1000000, 1, 0); // a jump over many windows
    assert_int_equal(measured(evaluate, 1, true).count, 1);
    add(evaluate, 1, INT64_MAX, 1, 0);
    add(evaluate, 1, INT64_MIN, 1, 0);
    assert_int_equal(measured(evaluate, 1, true).count, 1);
    assert_int_equal(measured(evaluate, 1, false).count, 8);
    evaluate_free(evaluate);
}

static void windows_before_1970_are_windows_too(void **state) {
    (void)state;
    struct evaluate *evaluate = evaluate_made();
    add(evaluate, 1, -1, 1, 1);
    add(evaluate, 1, -1000, 1, 1);
    add(evaluate, 1, -1001, 1, 0);
    assert_int_equal(measured(evaluate, 1, true).count, 3);
    add(evaluate, 1, 2999, 1, 0); // window 2: windows -1 to 2
    assert_int_equal(measured(evaluate, 1, true).count, 3);
    evaluate_free(evaluate);
}

static void weights_weigh(void **state) {
    (void)state;
    struct evaluate *once = evaluate_made(), *weighted = evaluate_made();
    for (int i = 0; i < 3; i++)
        add(once, 1, 0, -.5, 1);
    add(once, 1, 0, .25, 0);
    struct evaluate_label heavy = {.domain = 1, .of = tally_label_of(-.5, 1, 3)};
    assert_int_equal(evaluate_add(weighted, &heavy, NULL), STATUS_OK);
    add(weighted, 1, 0, .25, 0);
    struct evaluate_measures a = measured(once, 1, false), b = measured(weighted, 1, false);
    assert_true(fabs(a.logloss - b.logloss) < 1e-12);
    assert_true(fabs(a.calibration - b.calibration) < 1e-12);
    assert_true(a.auc == b.auc);
    assert_int_equal(b.count, 2);
    evaluate_free(once);
    evaluate_free(weighted);
}

static void saved_and_loaded_measures_are_equal(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 9);
    struct evaluate *before = evaluate_made(), *after = evaluate_made();
    for (size_t i = 0; i < 300; i++)
        add(before, (uint32_t)rng_below(&rng, 5), (int64_t)rng_below(&rng, 9000),
            20 * rng_normal(&rng), rng_below(&rng, 2) == 1 ? 1 : 0);
    struct buffer saved, again;
    buffer_init(&saved);
    buffer_init(&again);
    evaluate_save(before, &saved);
    struct wire in = wire_over(saved.data, saved.length);
    assert_int_equal(evaluate_load(after, &in, NULL), STATUS_OK);
    assert_ptr_equal(in.at, in.end);
    evaluate_save(after, &again);
    assert_int_equal(saved.length, again.length);
    assert_memory_equal(saved.data, again.data, saved.length);
    struct evaluate_measures a = measured(before, 2, true), b = measured(after, 2, true);
    assert_memory_equal(&a, &b, sizeof a);
    // What is cut short, or of other settings, is refused.
    for (size_t cut = 0; cut < saved.length; cut += 97) {
        struct evaluate *broken = evaluate_made();
        in = wire_over(saved.data, cut);
        assert_int_not_equal(evaluate_load(broken, &in, NULL), STATUS_OK);
        evaluate_free(broken);
    }
    struct evaluate_settings others = settings;
    others.windows++;
    struct evaluate *other;
    assert_int_equal(evaluate_new(&others, &other, NULL), STATUS_OK);
    in = wire_over(saved.data, saved.length);
    assert_int_equal(evaluate_load(other, &in, NULL), STATUS_CHANGED);
    evaluate_free(other);
    evaluate_free(before);
    evaluate_free(after);
    buffer_deinit(&saved);
    buffer_deinit(&again);
}

static void extreme_logits_have_finite_losses(void **state) {
    (void)state;
    struct evaluate *evaluate = evaluate_made();
    add(evaluate, 1, 0, 1e30, 1);
    add(evaluate, 1, 0, -1e30, 0);
    add(evaluate, 1, 0, -800, 1);
    add(evaluate, 1, 0, 800, 0);
    struct evaluate_measures measures = measured(evaluate, 1, false);
    assert_true(isfinite(measures.logloss) && isfinite(measures.calibration));
    assert_true(fabs(measures.logloss - 400) < 1e-9);
    evaluate_free(evaluate);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worked_example_gives_its_numbers),
        cmocka_unit_test(auc_equals_counted_pairs),
        cmocka_unit_test(off_the_grid_auc_is_right_to_a_bin),
        cmocka_unit_test(one_class_alone_has_no_auc),
        cmocka_unit_test(domains_are_apart_and_later_ones_only_in_the_total),
        cmocka_unit_test(recent_measures_forget_old_windows),
        cmocka_unit_test(windows_before_1970_are_windows_too),
        cmocka_unit_test(weights_weigh),
        cmocka_unit_test(saved_and_loaded_measures_are_equal),
        cmocka_unit_test(extreme_logits_have_finite_losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
