// The optimisers against steps worked by hand, in double.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
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
    struct row_optimiser of = {.optimiser = LEARNER_ROW_ADAGRAD, .rate = 0.5, .wide_rate = 0.25};
    assert_int_equal(optimise_row_state(&of, 2, 2), 3);
    optimise_row(&of, w, s, g, 2, 2, 1);
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
        struct row_optimiser of = {.optimiser = optimiser, .rate = 0.5, .wide_rate = 0.125};
        optimise_row(&of, w, s, g, 1, 1, 1);
        double whole = optimiser == LEARNER_ROW_ADAM ? 3 / (3 + 1e-8) : 1; // Adam's floor
        assert_close(w[0], -0.5 * whole);
        assert_close(w[1], -0.125 * whole);
    }
}

static void a_scale_is_the_same_as_a_smaller_gradient(void **state) {
    (void)state;
    for (int optimiser = LEARNER_ROW_ADAGRAD; optimiser <= LEARNER_ROW_FTRL; optimiser++) {
        struct row_optimiser of = {
            .optimiser = optimiser, .rate = 0.1, .wide_rate = 0.1, .ftrl = {1, 0.1, 0.1}};
        real w[2] = {1, 2}, s[8] = {0}, x[2] = {1, 2}, t[8] = {0};
        const real g[2] = {4, -8}, half[2] = {2, -4};
        for (int step = 0; step < 3; step++) {
            optimise_row(&of, w, s, g, 2, 0, 0.5);
            optimise_row(&of, x, t, half, 2, 0, 1);
        }
        assert_close(w[0], (double)x[0]);
        assert_close(w[1], (double)x[1]);
    }
}

static void lazy_adam_is_corrected_by_the_rows_own_steps(void **state) {
    (void)state;
    real w[1] = {0}, s[3] = {0};
    const real g[1] = {7};
    struct row_optimiser of = {.optimiser = LEARNER_ROW_ADAM, .rate = 0.01, .wide_rate = 0.01};
    optimise_row(&of, w, s, g, 1, 0, 1);
    assert_close(s[0], 1);
    assert_close(w[0], -0.01 * 7 / (7 + 1e-8)); // a first step is a whole one, whenever it comes
}

static void ftrl_gives_the_numbers_worked_by_hand(void **state) {
    (void)state;
    const struct ftrl_settings ftrl = {.beta = 1, .l1 = 0.5, .l2 = 0};
    const real g[5] = {1, 1, (real)-0.4, -3, -3};
    const double expected[5] = {-0.025, -0.06642136, -0.05022502, 0, 0.05136447};
    real w = 0, z = 0, n = 0;
    for (int step = 0; step < 5; step++) {
        optimise_ftrl(&w, &z, &n, &g[step], 1, 1, 0.1, &ftrl, 0);
        assert_true(fabs((double)w - expected[step]) < 1e-8);
    }
    const real none = 0;
    optimise_ftrl(&w, &z, &n, &none, 1, 1, 0.1, &ftrl, 0);
    assert_true(fabs((double)w - expected[4]) < 1e-8); // a slope of 0 changes nothing
}

// The paper's definition in place of its algorithm: the weight is where the slope of
// sum(g) w + 1/2 sum(s (w - w_s)^2) + l1 |w| + (beta / alpha + l2) / 2 w^2 changes its sign.
struct past {
    double w[400], s[400], sum; // sum: of gradients
    size_t count;
};
static double slope_at(const struct past *past, double alpha, const struct ftrl_settings *ftrl,
                       double w) {
    double slope = past->sum + (ftrl->beta / alpha + ftrl->l2) * w + (w > 0 ? ftrl->l1 : -ftrl->l1);
    for (size_t i = 0; i < past->count; i++)
        slope += past->s[i] * (w - past->w[i]);
    return slope;
}
static double least_of(const struct past *past, double alpha, const struct ftrl_settings *ftrl) {
    double low = -100, high = 100;
    if (slope_at(past, alpha, ftrl, -1e-300) <= 0 && slope_at(past, alpha, ftrl, 1e-300) >= 0)
        return 0;
    for (int i = 0; i < 200; i++) {
        double middle = (low + high) / 2;
        *(slope_at(past, alpha, ftrl, middle) < 0 ? &low : &high) = middle;
    }
    return low;
}

static void ftrl_is_the_least_of_what_its_paper_minimises(void **state) {
    (void)state;
    const struct ftrl_settings ftrl = {.beta = 0.7, .l1 = 0.3, .l2 = 0.05};
    const double alpha = 0.2;
    size_t zeroes = 0, above = 0, below = 0;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct past past = {.count = 0};
        real w = 0, z = 0, n = 0;
        double squares = 0;
        for (uint64_t step = 0; step < 400; step++) {
            real g = (real)(rng_normal_at(seed, 1, step, 0) * 0.3 + 0.3 * cos((double)step / 25));
            double more = squares + (double)g * (double)g;
            past.s[past.count] = (sqrt(more) - sqrt(squares)) / alpha;
            past.w[past.count++] = (double)w;
            past.sum += (double)g;
            squares = more;
            optimise_ftrl(&w, &z, &n, &g, 1, 1, alpha, &ftrl, 0);
            double expected = least_of(&past, alpha, &ftrl);
            assert_true(fabs((double)w - expected) < 1e-10);
            zeroes += expected == 0;
            above += expected > 0;
            below += expected < 0;
        }
    }
    assert_true(zeroes > 10 && above > 100 && below > 100);
}

static void ftrl_goes_on_from_where_a_weight_stands(void **state) {
    (void)state;
    const struct ftrl_settings ftrl = {.beta = 1, .l1 = 0.5, .l2 = 0.1};
    const real start = (real)1e-8;
    real w[3] = {2, -2, 0}, z[3], n[3];
    for (size_t i = 0; i < 3; i++)
        z[i] = n[i] = start; // as a table fills a new row's numbers
    const real g[3] = {(real)1e-9, (real)1e-9, (real)1e-9};
    optimise_ftrl(w, z, n, g, 3, 1, 0.1, &ftrl, start);
    assert_true(fabs((double)w[0] - 2) < 1e-7);
    assert_true(fabs((double)w[1] + 2) < 1e-7);
    assert_true(w[2] >= 0 && w[2] <= 0);
    const real pull[3] = {5, -5, 5};
    optimise_ftrl(w, z, n, pull, 3, 1, 0.1, &ftrl, start);
    assert_true(w[0] < 2 && w[1] > -2 && w[2] < 0);
}

static void wide_weights_may_step_by_ftrl_beside_any_row(void **state) {
    (void)state;
    for (int optimiser = LEARNER_ROW_ADAGRAD; optimiser <= LEARNER_ROW_FTRL; optimiser++) {
        struct row_optimiser plain = {.optimiser = optimiser, .rate = 0.1, .wide_rate = 0.2};
        struct row_optimiser mixed = plain;
        mixed.wide_ftrl = true;
        mixed.ftrl = plain.ftrl = (struct ftrl_settings){1, 0.5, 0};
        real w[3] = {1, 2, 0}, s[16] = {0}, x[3] = {1, 2, 0}, t[16] = {0}, y = 0, z = 0, n = 0;
        const real g[3] = {1, -2, 3};
        assert_true(optimise_row_state(&mixed, 2, 1) <= 16);
        for (int step = 0; step < 4; step++) {
            optimise_row(&plain, x, t, g, 2, 1, 1);
            optimise_row(&mixed, w, s, g, 2, 1, 1);
            optimise_ftrl(&y, &z, &n, &g[2], 1, 1, 0.2, &mixed.ftrl, 0);
        }
        assert_close(w[0], (double)x[0]);
        assert_close(w[1], (double)x[1]);
        assert_close(w[2], (double)y);
    }
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
        cmocka_unit_test(ftrl_gives_the_numbers_worked_by_hand),
        cmocka_unit_test(ftrl_is_the_least_of_what_its_paper_minimises),
        cmocka_unit_test(ftrl_goes_on_from_where_a_weight_stands),
        cmocka_unit_test(wide_weights_may_step_by_ftrl_beside_any_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
