// Scheduled learning rates: their values, their floor, and what is refused.
#include "tests/trainer/learner_fixture.h"

#include "trainer/schedule.h"

static struct learner_settings of(int schedule, int64_t steps, double decay, double least) {
    struct learner_settings settings = fixture_settings();
    settings.schedule = schedule;
    settings.schedule_steps = steps;
    settings.schedule_decay = decay;
    settings.learning_rate_floor = least;
    return settings;
}

static void assert_rate(const struct learner_settings *settings, uint64_t step, double expected) {
    double found = schedule_rate(settings, .1, step);
    if (fabs(found - expected) > 1e-15)
        fail_msg("step %llu: %.17g, expected %.17g", (unsigned long long)step, found, expected);
}

static void rates_fall_as_told_and_not_below_the_floor(void **state) {
    (void)state;
    struct learner_settings constant = of(LEARNER_SCHEDULE_CONSTANT, 0, 0, 5);
    assert_true(schedule_rate(&constant, .1, 1000000) == .1); // to the bit
    struct learner_settings root = of(LEARNER_SCHEDULE_INVERSE_SQRT, 100, 0, .02);
    assert_rate(&root, 0, .1);
    assert_rate(&root, 100, .1);
    assert_rate(&root, 400, .05);
    assert_rate(&root, 2499, .1 * sqrt(100. / 2499));
    assert_rate(&root, 2501, .02);
    assert_rate(&root, UINT64_MAX, .02);
    struct learner_settings step = of(LEARNER_SCHEDULE_STEP, 100, .5, .001);
    assert_rate(&step, 99, .1);
    assert_rate(&step, 100, .05);
    assert_rate(&step, 299, .025);
    assert_rate(&step, 100000, .001);
    assert_true(schedule_rate(&step, .0005, 0) == .0005); // a rule's own rate below the floor
}

// With a decay so strong that the floor comes at once, learning is that at the floor from then on.
static void dense_weights_rows_and_wide_part_follow(void **state) {
    (void)state;
    struct model_spec spec = fixture_spec();
    struct learner_settings settings = of(LEARNER_SCHEDULE_STEP, 1, .001, 0);
    struct learner *learner = fixture_learner(&spec, &settings);
    fixture_learn(learner, 1, 5, 1);
    uint64_t before = learner_fingerprint(learner);
    struct model *model = learner_model(learner);
    float rows[2][8];
    real *weight = model_tensor_find(model, "trunk.0.weight")->data, kept = weight[3];
    assert_true(model_row_get(model, 0, 3, rows[0]));
    fixture_learn(learner, 6, 20, 1); // rates of 1e-17 and less
    assert_true(model_row_get(model, 0, 3, rows[1]));
    assert_memory_equal(rows[0], rows[1], sizeof(float) * model_table_width(model, 0));
    assert_true(weight[3] >= kept && weight[3] <= kept);
    assert_true(before != learner_fingerprint(learner)); // accumulators and moments go on
    learner_free(learner);
}

static void refused(struct learner_settings settings, const char *key) {
    struct error err;
    struct model_spec spec = fixture_spec();
    struct learner *learner = NULL;
    assert_int_equal(learner_new(&spec, &settings, fixture_weights, 0, &learner, &err),
                     STATUS_INVALID);
    assert_non_null(strstr(err.message, key));
}

static void schedules_that_cannot_work_are_refused(void **state) {
    (void)state;
    refused(of(LEARNER_SCHEDULE_STEP, 0, .5, 0), "schedule_steps");
    refused(of(LEARNER_SCHEDULE_STEP, 10, 0, 0), "schedule_decay");
    refused(of(LEARNER_SCHEDULE_STEP, 10, 1.5, 0), "schedule_decay");
    refused(of(LEARNER_SCHEDULE_INVERSE_SQRT, 10, 1, .06), "learning_rate_floor");
    refused(of(7, 10, 1, .01), "schedule`");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_fall_as_told_and_not_below_the_floor),
        cmocka_unit_test(dense_weights_rows_and_wide_part_follow),
        cmocka_unit_test(schedules_that_cannot_work_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
