// The optimisers against steps worked by hand, in double.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "trainer/optimise.h"

static void assert_close(real found, double expected) {
    if (!(fabs((double)found - expected) < 1e-12 * (1 + fabs(expected)))) {
        print_message("%.15g, expected %.15g\n", (double)found, expected);
        fail();
    }
}

static void adagrad_divides_by_the_root_of_the_sum_of_squares(void **state) {
    (void)state;
    real w[2] = {1, -1}, a[2] = {0, 5};
    const real first[2] = {3, 2}, second[2] = {4, 0};
    optimise_adagrad(w, a, first, 2, 1, 0.1);
    assert_close(w[0], 1 - 0.1);          // 3 / sqrt(9)
    assert_close(w[1], -1 - 0.1 * 2 / 3); // 2 / sqrt(5 + 4)
    optimise_adagrad(w, a, second, 2, 1, 0.1);
    assert_close(a[0], 25);
    assert_close(w[0], 0.9 - 0.1 * 4 / 5);
    assert_close(w[1], -1 - 0.1 * 2 / 3); // a slope of 0 moves nothing
}

static void a_zero_slope_on_a_zero_accumulator_moves_nothing(void **state) {
    (void)state;
    real w = 2, a = 0;
    const real g = 0;
    optimise_adagrad(&w, &a, &g, 1, 1, 0.1);
    assert_close(w, 2);
    assert_close(a, 0);
}

static void adam_follows_its_paper(void **state) {
    (void)state;
    real w = 1, m = 0, v = 0;
    const real g[2] = {2, -1};
    optimise_adam(&w, &m, &v, &g[0], 1, 1, 0.001, 1);
    assert_close(m, 0.2);
    assert_close(v, 0.004);
    assert_close(w, 1 - 0.001 * 2 / (2 + 1e-8)); // both moments corrected to g and g^2
    optimise_adam(&w, &m, &v, &g[1], 1, 1, 0.001, 2);
    double mean = (0.9 * 0.2 - 0.1) / (1 - 0.81);
    double square = (0.999 * 0.004 + 0.001) / (1 - 0.998001);
    assert_close(w, 1 - 0.001 * 2 / (2 + 1e-8) - 0.001 * mean / (sqrt(square) + 1e-8));
}

static void row_wise_adagrad_takes_the_mean_square_of_the_row(void **state) {
    (void)state;
    real w[4] = {0, 0, 0, 0}, s[3] = {0, 0, 0}; // two dimensions, two wide weights
    const real g[4] = {3, 4, 2, -5};
    assert_int_equal(optimise_row_state(LEARNER_ROW_ADAGRAD, 2, 2), 3);
    optimise_row(LEARNER_ROW_ADAGRAD, w, s, g, 2, 2, 1, 0.5, 0.25);
    assert_close(s[0], 12.5);
    assert_close(w[0], -0.5 * 3 / sqrt(12.5));
    assert_close(w[1], -0.5 * 4 / sqrt(12.5));
    assert_close(w[2], -0.25); // wide weights have an accumulator each, and their own rate
    assert_close(w[3], 0.25);
}

static void every_row_optimiser_steps_the_wide_part_at_its_own_rate(void **state) {
    (void)state;
    for (int optimiser = LEARNER_ROW_ADAGRAD; optimiser <= LEARNER_ROW_ADAM; optimiser++) {
        real w[2] = {0, 0},
             s[5] = {0}; // one dimension, one wide weight: first steps are whole ones
        const real g[2] = {3, 3};
        optimise_row(optimiser, w, s, g, 1, 1, 1, 0.5, 0.125);
        double whole = optimiser == LEARNER_ROW_ADAM ? 3 / (3 + 1e-8) : 1; // Adam's floor
        assert_close(w[0], -0.5 * whole);
        assert_close(w[1], -0.125 * whole);
    }
}

static void a_scale_is_the_same_as_a_smaller_gradient(void **state) {
    (void)state;
    for (int optimiser = LEARNER_ROW_ADAGRAD; optimiser <= LEARNER_ROW_ADAM; optimiser++) {
        real w[2] = {1, 2}, s[8] = {0}, x[2] = {1, 2}, t[8] = {0};
        const real g[2] = {4, -8}, half[2] = {2, -4};
        for (int step = 0; step < 3; step++) {
            optimise_row(optimiser, w, s, g, 2, 0, 0.5, 0.1, 0.1);
            optimise_row(optimiser, x, t, half, 2, 0, 1, 0.1, 0.1);
        }
        assert_close(w[0], (double)x[0]);
        assert_close(w[1], (double)x[1]);
    }
}

static void lazy_adam_is_corrected_by_the_rows_own_steps(void **state) {
    (void)state;
    real w[1] = {0}, s[3] = {0};
    const real g[1] = {7};
    optimise_row(LEARNER_ROW_ADAM, w, s, g, 1, 0, 1, 0.01, 0.01);
    assert_close(s[0], 1);
    assert_close(w[0], -0.01 * 7 / (7 + 1e-8)); // a first step is a whole one, whenever it comes
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adagrad_divides_by_the_root_of_the_sum_of_squares),
        cmocka_unit_test(a_zero_slope_on_a_zero_accumulator_moves_nothing),
        cmocka_unit_test(adam_follows_its_paper),
        cmocka_unit_test(row_wise_adagrad_takes_the_mean_square_of_the_row),
        cmocka_unit_test(every_row_optimiser_steps_the_wide_part_at_its_own_rate),
        cmocka_unit_test(a_scale_is_the_same_as_a_smaller_gradient),
        cmocka_unit_test(lazy_adam_is_corrected_by_the_rows_own_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
