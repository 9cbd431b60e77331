// Sampled negatives in the trainer: measures and predictions are those of the whole stream, within
// error, whichever way they are corrected.
#include <math.h>

#include "base/rng.h"
#include "record/example.h"
#include "tests/trainer/bed.h"

enum { COUNT = 6000 };
#define DROP .7

// One task, click, some 22 % positive, labels at once; of the negatives `drop` are left out.
static void run(double drop, int correct, struct bed_result *ret_result) {
    struct bed bed;
    bed_init(&bed);
    bed.spec.tasks.count = 1;
    bed.spec.sampling = (struct spec_sampling){drop, correct};
    bed.settings.learner.balance = LEARNER_BALANCE_FIXED;
    bed.settings.learner.learning_rate = .01;
    for (uint64_t i = 1; i <= COUNT; i++) {
        uint64_t item = 1 + rng_at(1, i, 0, 0) % 40;
        double taste = 1.5 * rng_normal_at(2, item, 0, 0) - 1.8;
        bool click = rng_uniform_at(3, i, 0, 0) < 1 / (1 + exp(-taste));
        if (!click && rng_uniform_at(4, i, 0, 0) < drop)
            continue;
        bed.weight = click || !(drop > 0) ? 0 : (float)(1 / (1 - drop));
        bed_put(&bed, (int32_t)(i % BED_PARTITIONS),
                EXAMPLE_KINDS & ~(EXAMPLE_REPEAT | EXAMPLE_LATE), i, item, "a",
                1000 + (int64_t)i * 3, click, -1);
    }
    bed_end(&bed);
    bed_run(&bed, 64, 0, NULL, NULL, ret_result);
    bed_deinit(&bed);
}

static void expect_near(double found, double expected, double within, const char *what) {
    if (!(fabs(found - expected) < within))
        fail_msg("%s: %.4f, of the whole stream %.4f", what, found, expected);
}

static void corrected_measures_are_those_of_the_whole_stream(void **state) {
    (void)state;
    struct bed_result whole, sampled;
    run(0, SPEC_CORRECT_WEIGHTS, &whole);
    for (int correct = SPEC_CORRECT_WEIGHTS; correct <= SPEC_CORRECT_LOG_ODDS; correct++) {
        run(DROP, correct, &sampled);
        const struct evaluate_measures *a = &whole.click, *b = &sampled.click;
        assert_int_equal(a->count, COUNT);
        assert_int_equal(b->positives, a->positives); // no positive is lost
        assert_true((double)b->count < .55 * (double)a->count);
        expect_near(b->weight / a->weight, 1, .05, "weight");
        expect_near(b->auc, a->auc, 3 * b->auc_error, "AUC");
        expect_near(b->normalised_entropy, a->normalised_entropy, .05, "NE");
        expect_near(b->calibration, a->calibration, .08, "calibration");
    }
}

// What would be seen without the correction.
static void sampling_matters(void **state) {
    (void)state;
    struct bed_result whole, sampled;
    run(0, SPEC_CORRECT_WEIGHTS, &whole);
    run(DROP, SPEC_CORRECT_LOG_ODDS, &sampled);
    double rate = (double)sampled.click.positives / (double)sampled.click.count;
    double true_rate = (double)whole.click.positives / (double)whole.click.count;
    assert_true(rate > 1.6 * true_rate);
    expect_near(rate / (rate + (1 - rate) / (1 - DROP)), true_rate, .03, "rate");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(corrected_measures_are_those_of_the_whole_stream),
        cmocka_unit_test(sampling_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
