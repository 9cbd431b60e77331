// MetaBalance's factors against numbers worked by hand (He et al., WWW 2022).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "trainer/balance.h"

static const bool both[2] = {true, true};

static struct balance_rule rule_of(int strategy, double relax) {
    return (struct balance_rule){
        .strategy = strategy, .relax = relax, .beta = 0.9, .limit = INFINITY};
}

static void assert_close(double found, double expected) {
    if (!(fabs(found - expected) < 1e-12 * (1 + fabs(expected)))) {
        print_message("%.15g, expected %.15g\n", found, expected);
        fail();
    }
}

static void the_first_step_brings_the_auxiliary_norm_to_the_targets(void **state) {
    (void)state;
    const double norms[2] = {5, 50}; // (3, 4) and (30, 40)
    struct balance_average averages[2] = {0};
    double factors[2];
    struct balance_rule rule = rule_of(LEARNER_STRATEGY_C, 1);
    balance_block(&rule, averages, norms, both, 2, 0, factors);
    assert_close(averages[0].mean, 0.5);
    assert_close(averages[1].mean, 5);
    assert_close(factors[0], 1);
    assert_close(30 * factors[1], 3);
    assert_close(40 * factors[1], 4);
}

static void relaxing_leaves_part_of_the_magnitude(void **state) {
    (void)state;
    const double norms[2] = {5, 50};
    struct balance_average averages[2] = {0}, again[2] = {0};
    double factors[2];
    struct balance_rule rule = rule_of(LEARNER_STRATEGY_C, 0.7);
    balance_block(&rule, averages, norms, both, 2, 0, factors);
    assert_close(30 * factors[1], 11.1);
    assert_close(40 * factors[1], 14.8);
    rule.relax = 0; // the plain sum
    balance_block(&rule, again, norms, both, 2, 0, factors);
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
        struct balance_average averages[2] = {0};
        double factors[2];
        struct balance_rule rule = rule_of(cases[i].strategy, 1);
        balance_block(&rule, averages, cases[i].norms, both, 2, 0, factors);
        assert_close(factors[1], cases[i].factor);
    }
}

static void scaling_the_auxiliary_loss_from_the_start_changes_nothing(void **state) {
    (void)state;
    struct balance_rule rule = rule_of(LEARNER_STRATEGY_C, 1);
    struct balance_average plain[2] = {0}, scaled[2] = {0};
    for (int step = 1; step <= 20; step++) {
        const double norms[2] = {1.0 / step, 3 + step % 4};
        const double larger[2] = {norms[0], 1000 * norms[1]};
        double factors[2], others[2];
        balance_block(&rule, plain, norms, both, 2, 0, factors);
        balance_block(&rule, scaled, larger, both, 2, 0, others);
        assert_close(others[1] * larger[1], factors[1] * norms[1]);
        // ||G'|| = ||G|| m_target / m_aux, with equal counts
        assert_close(factors[1] * norms[1], norms[1] * plain[0].mean / plain[1].mean);
    }
}

static void an_absent_task_stands_still_and_is_corrected_by_its_own_count(void **state) {
    (void)state;
    struct balance_rule rule = rule_of(LEARNER_STRATEGY_C, 1);
    struct balance_average averages[2] = {0};
    const double norms[2] = {5, 50};
    const bool target_only[2] = {true, false};
    double factors[2];
    for (int step = 0; step < 30; step++)
        balance_block(&rule, averages, norms, target_only, 2, 0, factors);
    assert_close(factors[1], 1);
    assert_int_equal(averages[1].count, 0);
    balance_block(&rule, averages, norms, both, 2, 0, factors);
    assert_close(factors[1], 0.1); // not 30 steps' worth of start-up off
}

static void zero_gradients_and_an_unseen_target_divide_by_nothing(void **state) {
    (void)state;
    struct balance_rule rule = rule_of(LEARNER_STRATEGY_C, 1);
    struct balance_average averages[2] = {0};
    const double none[2] = {5, 0}, norms[2] = {5, 50};
    const bool auxiliary_only[2] = {false, true};
    double factors[2];
    balance_block(&rule, averages, none, both, 2, 0, factors);
    assert_close(factors[1], 1);
    struct balance_average fresh[2] = {0};
    balance_block(&rule, fresh, norms, auxiliary_only, 2, 0, factors);
    assert_close(factors[1], 1);
}

static void the_limit_bounds_the_scaled_norm(void **state) {
    (void)state;
    struct balance_rule rule = rule_of(LEARNER_STRATEGY_C, 0.7);
    rule.limit = 2;
    struct balance_average averages[2] = {0};
    const double norms[2] = {5, 50};
    double factors[2];
    balance_block(&rule, averages, norms, both, 2, 0, factors);
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
