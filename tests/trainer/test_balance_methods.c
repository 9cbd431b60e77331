// PCGrad, CAGrad, MGDA, IMTL-G, uncertainty, DWA and FAMO: published numbers, and what their
// directions promise on random gradients.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "trainer/balance.h"
#include "trainer/simplex.h"

enum { WIDTH = 6 };

struct scene { // gradients of up to 5 tasks in the plane or a little more
    double gradients[5][WIDTH];
    double products[25];
    struct balance_view view;
    double coefficients[5], direction[WIDTH];
};

static struct learner_settings settings_of(int balance) {
    return (struct learner_settings){.balance = balance,
                                     .caution = 0.5,
                                     .temperature = 2,
                                     .balance_window = 2,
                                     .balance_rate = 0.1,
                                     .balance_decay = 0.01};
}

static void assert_close(double found, double expected, double tolerance) {
    if (!(fabs(found - expected) < tolerance * (1 + fabs(expected)))) {
        print_message("%.15g, expected %.15g\n", found, expected);
        fail();
    }
}

static double dot(const double *a, const double *b) {
    double sum = 0;
    for (size_t c = 0; c < WIDTH; c++)
        sum += a[c] * b[c];
    return sum;
}

// Weighs, and takes the direction.
static void scene_run(struct scene *scene, int balance, double *state) {
    size_t tasks = scene->view.tasks;
    struct learner_settings settings = settings_of(balance);
    for (size_t i = 0; i < tasks; i++)
        for (size_t j = 0; j < tasks; j++)
            scene->products[i * tasks + j] = dot(scene->gradients[i], scene->gradients[j]);
    scene->view.products = scene->products;
    balance_weigh(&settings, &scene->view, state, scene->coefficients);
    for (size_t c = 0; c < WIDTH; c++) {
        scene->direction[c] = 0;
        for (size_t k = 0; k < tasks; k++)
            scene->direction[c] += scene->coefficients[k] * scene->gradients[k][c];
    }
}

static struct scene scene_of(double ax, double ay, double bx, double by) {
    return (struct scene){.gradients = {{ax, ay}, {bx, by}},
                          .view = {.tasks = 2, .present = {true, true}}};
}

static void directions_are_the_published_ones(void **state) {
    (void)state;
    // Directions in the papers' conventions; ours are theirs times n where they take means.
    const struct {
        int balance;
        double bx, by, scale, x, y;
    } cases[] = {
        {LEARNER_BALANCE_PCGRAD, -1, 1, 1, 0.5, 1.5},
        {LEARNER_BALANCE_MGDA, -1, 1, 2, 0.2, 0.4},
        {LEARNER_BALANCE_CAGRAD, -1, 1, 2, 0.25, 0.5},
        {LEARNER_BALANCE_IMTL_G, -1, 1, 2, 0.171573, 0.414214},
        {LEARNER_BALANCE_MGDA, 0, 2, 2, 0.8, 0.4},
        {LEARNER_BALANCE_IMTL_G, 0, 2, 2, 2. / 3, 2. / 3},
        {LEARNER_BALANCE_CAGRAD, 0, 2, 2, 1.05902, 1},
        {LEARNER_BALANCE_CAGRAD, -.5, 1, 2, .457889, .686834},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene scene = scene_of(1, 0, cases[i].bx, cases[i].by);
        scene_run(&scene, cases[i].balance, NULL);
        assert_close(scene.direction[0] / cases[i].scale, cases[i].x, 1e-5);
        assert_close(scene.direction[1] / cases[i].scale, cases[i].y, 1e-5);
    }
}

static void gradients_draw(struct scene *scene, struct rng *rng) {
    size_t tasks = 2 + (size_t)rng_below(rng, 4);
    *scene = (struct scene){.view = {.tasks = tasks, .step = rng_next(rng)}};
    for (size_t k = 0; k < tasks; k++) {
        double size = exp(2 * rng_normal(rng));
        scene->view.present[k] = true;
        for (size_t c = 0; c < WIDTH; c++)
            scene->gradients[k][c] = size * rng_normal(rng);
    }
}

static void mgda_is_the_shortest_and_descends_all_tasks(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 3);
    for (int round = 0; round < 200; round++) {
        struct scene scene;
        gradients_draw(&scene, &rng);
        scene_run(&scene, LEARNER_BALANCE_MGDA, NULL);
        double square = dot(scene.direction, scene.direction), n = (double)scene.view.tasks;
        for (size_t k = 0; k < scene.view.tasks; k++) // optimality: <d, n g_k> >= |d|^2
            assert_true(n * dot(scene.direction, scene.gradients[k]) >= square * (1 - 1e-9));
    }
}

static void imtl_g_projects_equally_on_all_tasks(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 4);
    int solved = 0;
    for (int round = 0; round < 200; round++) {
        struct scene scene;
        gradients_draw(&scene, &rng);
        scene_run(&scene, LEARNER_BALANCE_IMTL_G, NULL);
        double sum = 0, first = 0, spread = 0;
        for (size_t k = 0; k < scene.view.tasks; k++) {
            double length = sqrt(dot(scene.gradients[k], scene.gradients[k]));
            double along = dot(scene.direction, scene.gradients[k]) / length;
            first = k == 0 ? along : first;
            spread = fmax(spread, fabs(along - first));
            sum += scene.coefficients[k];
        }
        assert_close(sum, (double)scene.view.tasks, 1e-9);
        solved += spread < 1e-7 * (1 + fabs(first));
    }
    assert_true(solved > 190); // the rest cancelled: equal weights
}

static void cagrad_is_no_worse_for_the_worst_task_than_any_direction_nearby(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 5);
    for (int round = 0; round < 100; round++) {
        struct scene scene;
        gradients_draw(&scene, &rng);
        scene_run(&scene, LEARNER_BALANCE_CAGRAD, NULL);
        double n = (double)scene.view.tasks, mean[WIDTH] = {0}, off[WIDTH], worst = INFINITY;
        for (size_t k = 0; k < scene.view.tasks; k++)
            for (size_t c = 0; c < WIDTH; c++)
                mean[c] += scene.gradients[k][c] / n;
        for (size_t c = 0; c < WIDTH; c++)
            off[c] = scene.direction[c] / n - mean[c];
        double radius = 0.5 * sqrt(dot(mean, mean));
        assert_close(sqrt(dot(off, off)), radius, 1e-7);
        for (size_t k = 0; k < scene.view.tasks; k++)
            worst = fmin(worst, dot(scene.direction, scene.gradients[k]) / n);
        for (int other = 0; other < 200; other++) {
            double way[WIDTH], least = INFINITY;
            for (size_t c = 0; c < WIDTH; c++)
                way[c] = rng_normal(&rng);
            double length = sqrt(dot(way, way));
            for (size_t c = 0; c < WIDTH; c++)
                way[c] = mean[c] + radius * way[c] / length;
            for (size_t k = 0; k < scene.view.tasks; k++)
                least = fmin(least, dot(way, scene.gradients[k]));
            assert_true(least <= worst + 1e-9 * (1 + fabs(worst)));
        }
    }
}

static void pcgrad_leaves_agreeing_gradients_alone_and_draws_by_step(void **state) {
    (void)state;
    struct scene scene = scene_of(1, 0, 1, 1);
    scene_run(&scene, LEARNER_BALANCE_PCGRAD, NULL);
    assert_close(scene.coefficients[0], 1, 1e-12);
    assert_close(scene.coefficients[1], 1, 1e-12);
    struct rng rng;
    rng_init(&rng, 6);
    bool differs = false;
    for (int round = 0; round < 50; round++) {
        gradients_draw(&scene, &rng);
        scene_run(&scene, LEARNER_BALANCE_PCGRAD, NULL);
        struct scene again = scene;
        scene_run(&again, LEARNER_BALANCE_PCGRAD, NULL);
        assert_memory_equal(again.coefficients, scene.coefficients, sizeof scene.coefficients);
        again.view.step++;
        scene_run(&again, LEARNER_BALANCE_PCGRAD, NULL);
        differs = differs || fabs(again.coefficients[0] - scene.coefficients[0]) > 1e-9;
    }
    assert_true(differs);
}

static void equal_absent_and_opposite_gradients_have_finite_answers(void **state) {
    (void)state;
    const int balances[] = {LEARNER_BALANCE_PCGRAD, LEARNER_BALANCE_CAGRAD, LEARNER_BALANCE_MGDA,
                            LEARNER_BALANCE_IMTL_G};
    for (size_t i = 0; i < 4; i++) {
        struct scene equal = scene_of(3, 4, 3, 4);
        scene_run(&equal, balances[i], NULL);
        double scale = balances[i] == LEARNER_BALANCE_CAGRAD ? 1.5 : 1;
        assert_close(equal.direction[0], 6 * scale, 1e-9);
        assert_close(equal.direction[1], 8 * scale, 1e-9);
        struct scene opposite = scene_of(3, 4, -3, -4);
        scene_run(&opposite, balances[i], NULL);
        assert_close(opposite.direction[0], 0, 1e-9);
        struct scene nothing = scene_of(0, 0, 0, 0);
        scene_run(&nothing, balances[i], NULL);
        struct scene one = scene_of(3, 4, 0, 0);
        scene_run(&one, balances[i], NULL);
        assert_close(one.direction[0], 3 * scale, 1e-9);
        struct scene absent = scene_of(3, 4, NAN, 1);
        absent.view.present[1] = false;
        absent.view.tasks = 2;
        scene_run(&absent, balances[i], NULL);
        assert_close(absent.coefficients[0], scale, 1e-9);
        assert_close(absent.coefficients[1], 1, 1e-12);
    }
}

static void dwa_weighs_by_how_slowly_losses_fall(void **state) {
    (void)state;
    double numbers[2 * DWA_STATE] = {0};
    struct scene scene = scene_of(1, 0, 0, 1);
    const double losses[6][2] = {{1, 2}, {3, 2}, {2, 1}, {2, 1}, {9, 9}, {9, 9}};
    for (int step = 0; step < 5; step++) { // windows of two: means (2, 2), (2, 1)
        scene.view.loss[0] = losses[step][0];
        scene.view.loss[1] = losses[step][1];
        scene_run(&scene, LEARNER_BALANCE_DWA, numbers);
        if (step < 4)
            assert_close(scene.coefficients[0], 1, 1e-12);
    }
    assert_close(scene.coefficients[0], 1.124353, 1e-6);
    assert_close(scene.coefficients[1], 0.875647, 1e-6);
}

static void famo_weighs_by_losses_and_learns_from_what_a_step_did(void **state) {
    (void)state;
    double w[2] = {0};
    struct learner_settings settings = settings_of(LEARNER_BALANCE_FAMO);
    struct scene scene = scene_of(1, 0, 0, 1);
    scene.view.loss[0] = 2;
    scene.view.loss[1] = 0.5;
    scene_run(&scene, LEARNER_BALANCE_FAMO, w);
    assert_close(scene.coefficients[0] / 2, 0.2, 1e-12);
    assert_close(scene.coefficients[1] / 2, 0.8, 1e-12);
    const double after[2] = {2 * exp(-0.4), 0.5}; // the first task's log loss fell by .4
    balance_method(LEARNER_BALANCE_FAMO)->after(&settings, &scene.view, after, w);
    assert_close(w[0], -0.1 * 0.5 * 0.2, 1e-12);
    assert_close(w[1], 0.1 * 0.5 * 0.2, 1e-12);
    const double broken[2] = {NAN, 0.5};
    scene.view.loss[0] = NAN;
    balance_method(LEARNER_BALANCE_FAMO)->after(&settings, &scene.view, broken, w);
    assert_true(isfinite(w[0]) && isfinite(w[1]));
}

static void uncertainty_settles_where_twice_the_loss_weighs_one(void **state) {
    (void)state;
    double s[2] = {0};
    struct scene scene = scene_of(1, 0, 0, 1);
    scene.view.loss[0] = 0.25;
    scene.view.loss[1] = 4;
    scene_run(&scene, LEARNER_BALANCE_UNCERTAINTY, s);
    assert_close(scene.coefficients[0], 1, 1e-12); // s begins at 0
    assert_close(s[0], -0.1 * (0.5 - 0.25), 1e-12);
    assert_close(s[1], 0.1, 1e-12); // a slope of -3.5 counts as -1
    for (int step = 0; step < 2000; step++)
        scene_run(&scene, LEARNER_BALANCE_UNCERTAINTY, s);
    assert_close(scene.coefficients[0], 1 / 0.5, 1e-6);
    assert_close(scene.coefficients[1], 1 / 8., 1e-6);
}

static void the_simplex_minimum_meets_its_conditions(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 8);
    for (int round = 0; round < 500; round++) {
        enum { MOST = 12 };
        size_t n = 1 + (size_t)rng_below(&rng, MOST), rank = 1 + (size_t)rng_below(&rng, MOST);
        double g[MOST][MOST] = {{0}}, q[MOST * MOST], b[MOST], w[MOST], sum = 0, level = 0;
        for (size_t i = 0; i < n; i++) {
            for (size_t c = 0; c < rank; c++)
                g[i][c] = rng_normal(&rng);
            b[i] = rng_normal(&rng);
        }
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                q[i * n + j] = 0;
                for (size_t c = 0; c < rank; c++)
                    q[i * n + j] += g[i][c] * g[j][c];
            }
        simplex_minimise(q, round % 2 ? b : NULL, n, w);
        double slopes[MOST];
        for (size_t i = 0; i < n; i++) {
            slopes[i] = round % 2 ? b[i] : 0;
            for (size_t j = 0; j < n; j++)
                slopes[i] += q[i * n + j] * w[j];
            sum += w[i];
            level += w[i] * slopes[i];
            assert_true(w[i] >= 0);
        }
        assert_close(sum, 1, 1e-9);
        for (size_t i = 0; i < n; i++) // no unknown would gain; those in use are level
            assert_true(slopes[i] >= level - 1e-8 && (w[i] < 1e-9 || slopes[i] <= level + 1e-8));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directions_are_the_published_ones),
        cmocka_unit_test(mgda_is_the_shortest_and_descends_all_tasks),
        cmocka_unit_test(imtl_g_projects_equally_on_all_tasks),
        cmocka_unit_test(cagrad_is_no_worse_for_the_worst_task_than_any_direction_nearby),
        cmocka_unit_test(pcgrad_leaves_agreeing_gradients_alone_and_draws_by_step),
        cmocka_unit_test(equal_absent_and_opposite_gradients_have_finite_answers),
        cmocka_unit_test(dwa_weighs_by_how_slowly_losses_fall),
        cmocka_unit_test(famo_weighs_by_losses_and_learns_from_what_a_step_did),
        cmocka_unit_test(uncertainty_settles_where_twice_the_loss_weighs_one),
        cmocka_unit_test(the_simplex_minimum_meets_its_conditions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
