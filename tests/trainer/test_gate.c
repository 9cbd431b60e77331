// The gate: bounds, support, references, false alarms, and what a checkpoint keeps of it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "trainer/gate.h"

static struct error err;
static struct spec_task tasks[] = {{.name = "click"}, {.name = "buy"}};
static struct spec spec = {.tasks = {tasks, 2}};

// No bounds on click but those that a test sets; none at all on buy.
struct bed {
    struct gate_bounds bounds;
    struct gate_settings settings;
    struct gate *gate;
    struct rng rng;
};

static void bed_init(struct bed *bed, int64_t labels) {
    *bed = (struct bed){.bounds = {.task = "click",
                                   .auc_drop_max = (double)INFINITY,
                                   .normalised_entropy_max = (double)INFINITY,
                                   .normalised_entropy_rise_max = (double)INFINITY,
                                   .calibration_max = (double)INFINITY}};
    bed->settings = (struct gate_settings){.labels = labels, .bounds = {&bed->bounds, 1}};
    rng_init(&bed->rng, 7);
}

static void bed_open(struct bed *bed) {
    assert_int_equal(gate_check(&bed->settings, &spec, &err), STATUS_OK);
    assert_int_equal(gate_new(&bed->settings, &spec, &bed->gate, &err), STATUS_OK);
}

// Labels drawn by the predictions themselves; `flipped`: the other label each time.
static void feed(struct bed *bed, int labels, bool flipped, double shift) {
    for (int i = 0; i < labels; i++) {
        double logit = 1.5 * rng_normal(&bed->rng) - 1;
        bool label = rng_uniform(&bed->rng) < 1 / (1 + exp(-logit));
        assert_int_equal(gate_add(bed->gate, 0, logit + shift, label != flipped, 1, &err),
                         STATUS_OK);
        assert_int_equal(gate_add(bed->gate, 1, logit, label, 1, &err), STATUS_OK);
    }
}

// The verdict on a version of now; the JSON's text stays until the next.
static char text[4096];
static bool passes(struct bed *bed) {
    struct buffer into;
    buffer_init(&into);
    assert_int_equal(gate_judge(bed->gate, &into, &err), STATUS_OK);
    snprintf(text, sizeof text, "%.*s", (int)into.length, (const char *)into.data);
    buffer_deinit(&into);
    assert_true(strstr(text, "{\"verdict\":\"pass\",\"reason\":\"\"") == text ||
                strstr(text, "{\"verdict\":\"hold\",\"reason\":\"") == text);
    return text[12] == 'p';
}

static void without_bounds_there_is_no_gate(void **state) {
    (void)state;
    struct bed bed;
    bed_init(&bed, 400);
    bed.settings.bounds.count = 0;
    bed_open(&bed);
    assert_false(gate_is_set(bed.gate));
    feed(&bed, 1000, true, 0);
    assert_true(passes(&bed));
    gate_free(bed.gate);
}

static void a_measure_beyond_its_bound_holds_and_says_which(void **state) {
    (void)state;
    static const struct {
        struct gate_bounds bounds;
        bool flipped;
        double shift;
        const char *reason;
    } cases[] = {
        {{.auc_min = .7}, true, 0, "AUC of click is 0."},
        {{.normalised_entropy_max = 1}, true, 0, "normalised entropy of click is "},
        {{.calibration_max = 1.2}, false, 1, "calibration of click is 1."},
        {{.calibration_min = .8}, false, -1, "calibration of click is 0."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bed bed;
        const char *reason;
        bed_init(&bed, 4000);
        if (cases[i].bounds.auc_min > 0)
            bed.bounds.auc_min = cases[i].bounds.auc_min;
        if (cases[i].bounds.normalised_entropy_max > 0)
            bed.bounds.normalised_entropy_max = cases[i].bounds.normalised_entropy_max;
        if (cases[i].bounds.calibration_min > 0)
            bed.bounds.calibration_min = cases[i].bounds.calibration_min;
        if (cases[i].bounds.calibration_max > 0)
            bed.bounds.calibration_max = cases[i].bounds.calibration_max;
        bed_open(&bed);
        feed(&bed, 6000, false, 0);
        assert_true(passes(&bed));
        feed(&bed, 6000, cases[i].flipped, cases[i].shift);
        assert_false(passes(&bed));
        assert_non_null(strstr(text, cases[i].reason));
        assert_true(gate_closed(bed.gate, 0, &reason));
        assert_true(strstr(reason, cases[i].reason) == reason);
        assert_false(gate_closed(bed.gate, 1, &reason));
        feed(&bed, 6000, false, 0);
        assert_true(passes(&bed));
        gate_free(bed.gate);
    }
}

static void too_few_labels_keep_the_verdict_that_was(void **state) {
    (void)state;
    struct bed bed;
    bed_init(&bed, 4000);
    bed.bounds.auc_min = .6;
    bed_open(&bed);
    feed(&bed, 3999, true, 0);
    assert_true(passes(&bed)); // not enough to tell
    feed(&bed, 1, true, 0);
    assert_false(passes(&bed));
    assert_false(passes(&bed)); // nothing came: nothing opens it
    gate_free(bed.gate);
}

// By steps so small that neighbours are alike.
static void a_slow_decline_is_measured_against_a_version_of_other_labels(void **state) {
    (void)state;
    struct bed bed;
    int versions = 0;
    bed_init(&bed, 8000);
    bed.bounds.auc_drop_max = .05;
    bed_open(&bed);
    for (int i = 0; i < 200; i++) {
        feed(&bed, 400, false, 0);
        assert_true(passes(&bed));
    }
    for (double share = 0; passes(&bed); share += .01, versions++) {
        assert_true(share < .4);
        feed(&bed, (int)(400 * share), true, 0);
        feed(&bed, (int)(400 * (1 - share)), false, 0);
    }
    assert_true(versions > 5);
    assert_non_null(strstr(text, "below what the reference asks for"));
    gate_free(bed.gate);
}

// Bounds far tighter than any that would be set: half a million labels, a thousand versions.
static void a_stream_that_stays_raises_nothing(void **state) {
    (void)state;
    struct bed bed;
    bed_init(&bed, 4000);
    bed.bounds.auc_min = .6;
    bed.bounds.auc_drop_max = .01;
    bed.bounds.normalised_entropy_max = 1;
    bed.bounds.calibration_min = .9;
    bed.bounds.calibration_max = 1.1;
    bed_open(&bed);
    for (int i = 0; i < 1000; i++) {
        feed(&bed, 500, false, 0);
        if (!passes(&bed))
            fail_msg("after %d labels: %s", 500 * (i + 1), text);
    }
    gate_free(bed.gate);
}

static void what_is_saved_judges_the_same_when_loaded(void **state) {
    (void)state;
    struct bed bed;
    char first[sizeof text];
    struct buffer saved;
    buffer_init(&saved);
    bed_init(&bed, 4000);
    bed.bounds.auc_drop_max = .02;
    bed_open(&bed);
    for (int i = 0; i < 30; i++) {
        feed(&bed, 700, false, 0);
        (void)passes(&bed);
    }
    feed(&bed, 2100, true, 0);
    gate_save(bed.gate, &saved);
    assert_false(passes(&bed));
    memcpy(first, text, sizeof text);
    gate_free(bed.gate);
    bed_open(&bed);
    struct wire in = wire_over(saved.data, saved.length);
    assert_int_equal(gate_load(bed.gate, &in, &err), STATUS_OK);
    assert_false(passes(&bed));
    assert_string_equal(text, first);
    gate_free(bed.gate);
    for (size_t length = 17; length < saved.length; length += 997) {
        bed_open(&bed);
        in = wire_over(saved.data, length);
        assert_int_equal(gate_load(bed.gate, &in, &err), STATUS_CORRUPT);
        gate_free(bed.gate);
    }
    bed.settings.labels = 8000; // another gate
    bed_open(&bed);
    in = wire_over(saved.data, saved.length);
    assert_int_equal(gate_load(bed.gate, &in, &err), STATUS_OK);
    assert_true(passes(&bed));
    gate_free(bed.gate);
    buffer_deinit(&saved);
}

static void a_task_that_is_none_or_named_twice_is_refused(void **state) {
    (void)state;
    struct gate_bounds twice[] = {{.task = "buy"}, {.task = "buy"}}, none = {.task = "like"};
    struct gate_settings settings = {.labels = 400, .bounds = {twice, 2}};
    assert_int_equal(gate_check(&settings, &spec, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "`buy` has two entries"));
    settings.bounds = (struct option_sections){&none, 1};
    assert_int_equal(gate_check(&settings, &spec, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "`like` is none of `data.tasks`"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_bounds_there_is_no_gate),
        cmocka_unit_test(a_measure_beyond_its_bound_holds_and_says_which),
        cmocka_unit_test(too_few_labels_keep_the_verdict_that_was),
        cmocka_unit_test(a_slow_decline_is_measured_against_a_version_of_other_labels),
        cmocka_unit_test(a_stream_that_stays_raises_nothing),
        cmocka_unit_test(what_is_saved_judges_the_same_when_loaded),
        cmocka_unit_test(a_task_that_is_none_or_named_twice_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
