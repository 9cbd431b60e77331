// MetaBalance's factors against numbers worked by hand (He et al., WWW 2022).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "trainer/balance.h"

static const bool both[2] = {true, true};

static struct learner_settings rule_of(int strategy, double relax) {
    return (struct learner_settings){.balance = LEARNER_BALANCE_METABALANCE,
                                     .strategy = strategy,
                                     .relax = relax,
                                     .beta = 0.9,
                                     .balance_limit = INFINITY};
}

static void assert_close(double found, double expected) {
    if (!(fabs(found - expected) < 1e-12 * (1 + fabs(expected)))) {
        print_message("%.15g, expected %.15g\n", found, expected);
        fail();
    }
}

// One block of two tasks with these norms; the target is the first.
static void weigh(const struct learner_settings *rule, double *state, const double *norms,
                  const bool *present, double *factors) {
    const double products[4] = {norms[0] * norms[0], 0, 0, norms[1] * norms[1]};
    struct balance_view view = {
        .tasks = 2, .present = {present[0], present[1]}, .products = products};
    balance_weigh(rule, &view, state, factors);
}

static void the_first_step_brings_the_auxiliary_norm_to_the_targets(void **state) {
    (void)state;
    const double norms[2] = {5, 50}; // (3, 4) and (30, 40)
    double averages[2 * METABALANCE_STATE] = {0}, factors[2];
    struct learner_settings rule = rule_of(LEARNER_STRATEGY_C, 1);
    weigh(&rule, averages, norms, both, factors);
    assert_close(averages[METABALANCE_MEAN], 0.5);
    assert_close(averages[METABALANCE_STATE + METABALANCE_MEAN], 5);
    assert_close(factors[0], 1);
    assert_close(30 * factors[1], 3);
    assert_close(40 * factors[1], 4);
}

static void relaxing_leaves_part_of_the_magnitude(void **state) {
    (void)state;
    const double norms[2] = {5, 50};
    double averages[2 * METABALANCE_STATE] = {0}, again[2 * METABALANCE_STATE] = {0}, factors[2];
    struct learner_settings rule = rule_of(LEARNER_STRATEGY_C, 0.7);
    weigh(&rule, averages, norms, both, factors);
    assert_close(30 * factors[1], 11.1);
    assert_close(40 * factors[1], 14.8);
    rule.relax = 0; // the plain sum
    weigh(&rule, again, norms, both, factors);
    assert_close(factors[1], 1);
}

static void strategies_a_and_b_act_on_one_side_only(void **state) {
    (void)state;
    const double large[2] = {5, 50}, small[2] = {5, 0.5};
    const struct {
        int strategy;
        const double *norms;
        double factor;
    } cases[] = {{LEARNER_STRATEGY_A, large, 0.1}, {LEARNER_STRATEGY_A, small, 1},
                 {LEARNER_STRATEGY_B, large, 1},   {LEARNER_STRATEGY_B, small, 10},
                 {LEARNER_STRATEGY_C, large, 0.1}, {LEARNER_STRATEGY_C, small, 10}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double averages[2 * METABALANCE_STATE] = {0}, factors[2];
        struct learner_settings rule = rule_of(cases[i].strategy, 1);
        weigh(&rule, averages, cases[i].norms, both, factors);
        assert_close(factors[1], cases[i].factor);
    }
}

static void scaling_the_auxiliary_loss_from_the_start_changes_nothing(void **state) {
    (void)state;
    struct learner_settings rule = rule_of(LEARNER_STRATEGY_C, 1);
    double plain[2 * METABALANCE_STATE] = {0}, scaled[2 * METABALANCE_STATE] = {0};
    for (int step = 1; step <= 20; step++) {
        const double norms[2] = {1.0 / step, 3 + step % 4};
        const double larger[2] = {norms[0], 1000 * norms[1]};
        double factors[2], others[2];
        weigh(&rule, plain, norms, both, factors);
        weigh(&rule, scaled, larger, both, others);
        assert_close(others[1] * larger[1], factors[1] * norms[1]);
        // ||G'|| = ||G|| m_target / m_aux, with equal counts
        assert_close(factors[1] * norms[1], norms[1] * plain[METABALANCE_MEAN] /
                                                plain[METABALANCE_STATE + METABALANCE_MEAN]);
    }
}

static void an_absent_task_stands_still_and_is_corrected_by_its_own_count(void **state) {
    (void)state;
    struct learner_settings rule = rule_of(LEARNER_STRATEGY_C, 1);
    double averages[2 * METABALANCE_STATE] = {0}, factors[2];
    const double norms[2] = {5, 50};
    const bool target_only[2] = {true, false};
    for (int step = 0; step < 30; step++)
        weigh(&rule, averages, norms, target_only, factors);
    assert_close(factors[1], 1);
    assert_close(averages[METABALANCE_STATE + METABALANCE_COUNT], 0);
    weigh(&rule, averages, norms, both, factors);
    assert_close(factors[1], 0.1); // not 30 steps' worth of start-up off
}

static void zero_gradients_and_an_unseen_target_divide_by_nothing(void **state) {
    (void)state;
    struct learner_settings rule = rule_of(LEARNER_STRATEGY_C, 1);
    double averages[2 * METABALANCE_STATE] = {0}, fresh[2 * METABALANCE_STATE] = {0}, factors[2];
    const double none[2] = {5, 0}, norms[2] = {5, 50};
    const bool auxiliary_only[2] = {false, true};
    weigh(&rule, averages, none, both, factors);
    assert_close(factors[1], 1);
    weigh(&rule, fresh, norms, auxiliary_only, factors);
    assert_close(factors[1], 1);
}

static void the_limit_bounds_the_scaled_norm(void **state) {
    (void)state;
    struct learner_settings rule = rule_of(LEARNER_STRATEGY_C, 0.7);
    rule.balance_limit = 2;
    double averages[2 * METABALANCE_STATE] = {0}, factors[2];
    const double norms[2] = {5, 50};
    weigh(&rule, averages, norms, both, factors);
    assert_close(50 * factors[1], 10); // 18.5 without
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_step_brings_the_auxiliary_norm_to_the_targets),
        cmocka_unit_test(relaxing_leaves_part_of_the_magnitude),
        cmocka_unit_test(strategies_a_and_b_act_on_one_side_only),
        cmocka_unit_test(scaling_the_auxiliary_loss_from_the_start_changes_nothing),
        cmocka_unit_test(an_absent_task_stands_still_and_is_corrected_by_its_own_count),
        cmocka_unit_test(zero_gradients_and_an_unseen_target_divide_by_nothing),
        cmocka_unit_test(the_limit_bounds_the_scaled_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
