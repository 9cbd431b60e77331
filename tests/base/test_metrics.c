// The metric registry and its text: families, escaping, bounds, threads.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/metrics.h"

static struct metrics *metrics;
static struct buffer text;

static int begin(void **state) {
    (void)state;
    struct error err;
    buffer_init(&text);
    return metrics_new(&metrics, &err) == STATUS_OK ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    memory_fail_after(0);
    metrics_free(metrics);
    buffer_deinit(&text);
    return 0;
}

static void assert_rendered(const char *wanted) {
    buffer_reset(&text);
    metrics_render(metrics, &text);
    buffer_append_byte(&text, '\0');
    assert_false(text.failed);
    assert_string_equal((const char *)text.data, wanted);
}

static struct metric *counter(const char *name, const char *labels) {
    return metrics_get(metrics, METRIC_COUNTER, name, labels, "Help.");
}

static void an_empty_registry_renders_nothing(void **state) {
    (void)state;
    assert_rendered("");
}

static void series_of_a_name_stand_under_one_help_and_type(void **state) {
    (void)state;
    metric_add(counter("freshet_read_total", "topic=\"a\""), 2);
    metric_set(metrics_get(metrics, METRIC_GAUGE, "freshet_lag_seconds", "", "How far behind."),
               .5);
    metric_add(counter("freshet_read_total", "topic=\"b\""), 1);
    assert_rendered("# HELP freshet_read_total Help.\n# TYPE freshet_read_total counter\n"
                    "freshet_read_total{topic=\"a\"} 2\nfreshet_read_total{topic=\"b\"} 1\n"
                    "# HELP freshet_lag_seconds How far behind.\n"
                    "# TYPE freshet_lag_seconds gauge\nfreshet_lag_seconds 0.5\n");
}

static void the_same_name_and_labels_give_the_same_series(void **state) {
    (void)state;
    struct metric *metric = counter("freshet_a_total", "x=\"1\"");
    assert_ptr_equal(counter("freshet_a_total", "x=\"1\""), metric);
    assert_ptr_not_equal(counter("freshet_a_total", "x=\"2\""), metric);
    assert_ptr_not_equal(counter("freshet_b_total", "x=\"1\""), metric);
    metric_add(metric, 1.5);
    metric_add(metric, 2);
    assert_true(metric_value(metric) == 3.5);
    metric_set(metric, -1);
    assert_true(metric_value(metric) == -1);
}

static void numbers_that_are_not_finite_have_prometheus_names(void **state) {
    (void)state;
    struct metric *metric = metrics_get(metrics, METRIC_GAUGE, "g", "", "H.");
    metric_set(metric, (double)NAN);
    assert_rendered("# HELP g H.\n# TYPE g gauge\ng NaN\n");
    metric_set(metric, (double)INFINITY);
    assert_rendered("# HELP g H.\n# TYPE g gauge\ng +Inf\n");
    metric_set(metric, -(double)INFINITY);
    assert_rendered("# HELP g H.\n# TYPE g gauge\ng -Inf\n");
    metric_set(metric, 9007199254740993.0); // counts beyond a float's digits stay exact
    assert_rendered("# HELP g H.\n# TYPE g gauge\ng 9007199254740992\n");
}

static void a_histogram_counts_up_to_each_bound(void **state) {
    (void)state;
    const double bounds[] = {.5, 1, 10};
    struct metric_histogram *histogram =
        metrics_histogram(metrics, "h_seconds", "stage=\"log\"", "H.", bounds, 3);
    assert_ptr_equal(metrics_histogram(metrics, "h_seconds", "stage=\"log\"", "H.", bounds, 3),
                     histogram);
    const double observed[] = {0, .5, .75, 10, 11, 100};
    for (size_t i = 0; i < 6; i++)
        metric_observe(histogram, observed[i]);
    assert_rendered("# HELP h_seconds H.\n# TYPE h_seconds histogram\n"
                    "h_seconds_bucket{stage=\"log\",le=\"0.5\"} 2\n"
                    "h_seconds_bucket{stage=\"log\",le=\"1\"} 3\n"
                    "h_seconds_bucket{stage=\"log\",le=\"10\"} 4\n"
                    "h_seconds_bucket{stage=\"log\",le=\"+Inf\"} 6\n"
                    "h_seconds_sum{stage=\"log\"} 122.25\nh_seconds_count{stage=\"log\"} 6\n");
}

static void a_histogram_without_labels_has_its_bounds_alone(void **state) {
    (void)state;
    const double bound = 2;
    metric_observe(metrics_histogram(metrics, "h", "", "H.", &bound, 1), 1);
    assert_rendered("# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"2\"} 1\n"
                    "h_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n");
}

static void labels_are_joined_and_escaped(void **state) {
    (void)state;
    char labels[64] = "";
    metrics_label(labels, sizeof labels, "topic", "clicks");
    metrics_label(labels, sizeof labels, "odd", "a\"b\\c\nd");
    assert_string_equal(labels, "topic=\"clicks\",odd=\"a\\\"b\\\\c\\nd\"");
}

static void a_label_without_room_is_left_out_whole(void **state) {
    (void)state;
    for (size_t size = 1; size < 20; size++) {
        char labels[20] = "";
        metrics_label(labels, size, "ab", "x\"yz"); // ab="x\"yz" takes 10 and its end
        if (size < 11)
            assert_string_equal(labels, "");
        else
            assert_string_equal(labels, "ab=\"x\\\"yz\"");
        size_t length = strlen(labels);
        metrics_label(labels, size, "c", "d"); // ,c="d" takes 6 more
        assert_int_equal(strlen(labels),
                         size > length + (length ? 6 : 5) ? length + (length ? 6 : 5) : length);
    }
}

static void beyond_the_bound_a_shared_series_is_given_and_not_rendered(void **state) {
    (void)state;
    char labels[32];
    for (int i = 0; i < METRICS_SERIES_MAX; i++) {
        snprintf(labels, sizeof labels, "i=\"%d\"", i);
        metric_set(counter("many_total", labels), i);
    }
    struct metric *spare = counter("many_total", "i=\"20000\"");
    assert_non_null(spare);
    assert_ptr_equal(counter("more_total", ""), spare);
    metric_add(spare, 1);
    const double bound = 1;
    struct metric_histogram *histogram = metrics_histogram(metrics, "h", "", "H.", &bound, 1);
    assert_non_null(histogram);
    metric_observe(histogram, 5);
    assert_true(metric_value(counter("many_total", "i=\"777\"")) == 777);
    assert_int_equal(metrics_refused(metrics), 3);
    metrics_render(metrics, &text);
    buffer_append_byte(&text, '\0');
    assert_non_null(strstr((const char *)text.data, "many_total{i=\"19999\"} 19999\n"));
    assert_null(strstr((const char *)text.data, "20000"));
    assert_null(strstr((const char *)text.data, "more_total"));
}

static void memory_that_is_out_gives_the_shared_series(void **state) {
    (void)state;
    struct metrics *other = NULL;
    struct error err = {0};
    memory_fail_after(1);
    assert_int_equal(metrics_new(&other, &err), STATUS_EXHAUSTED);
    assert_null(other);
    struct metric *spare = counter("a_total", "");
    const double bound = 1;
    assert_non_null(spare);
    assert_non_null(metrics_histogram(metrics, "h", "", "H.", &bound, 1));
    for (uint64_t n = 2; n <= 4; n++) {
        memory_fail_after(n);
        assert_ptr_equal(counter("a_total", ""), spare);
    }
    memory_fail_after(0);
    assert_rendered("");
    assert_ptr_not_equal(counter("a_total", ""), spare); // memory is back, and so is the series
    metrics_free(NULL);
}

static void a_name_of_another_kind_gives_the_shared_series(void **state) {
    (void)state;
    const double bound = 1;
    struct metric_histogram *histogram = metrics_histogram(metrics, "h", "", "H.", &bound, 1);
    struct metric *plain = counter("c", "");
    metric_set(counter("h", ""), 5); // a histogram's name: harmless, and not seen
    metric_observe(metrics_histogram(metrics, "c", "", "H.", &bound, 1), 5);
    metric_observe(histogram, 1);
    assert_true(metric_value(plain) == 0);
    assert_rendered("# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\n"
                    "h_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n"
                    "# HELP c Help.\n# TYPE c counter\nc 0\n");
}

enum { THREADS = 4, ROUNDS = 20000 };

static void *update(void *self) {
    struct metric_histogram *histogram = self;
    struct metric *metric = counter("shared_total", "");
    for (int i = 0; i < ROUNDS; i++) {
        metric_add(metric, 1);
        metric_observe(histogram, 1);
        if (i % 5000 == 0) {
            struct buffer own;
            buffer_init(&own);
            metrics_render(metrics, &own);
            buffer_deinit(&own);
        }
    }
    return NULL;
}

static void threads_lose_no_update(void **state) {
    (void)state;
    const double bound = 2;
    struct metric_histogram *histogram = metrics_histogram(metrics, "h", "", "H.", &bound, 1);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, update, histogram), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(metric_value(counter("shared_total", "")) == THREADS * ROUNDS);
    assert_rendered("# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"2\"} 80000\n"
                    "h_bucket{le=\"+Inf\"} 80000\nh_sum 80000\nh_count 80000\n"
                    "# HELP shared_total Help.\n# TYPE shared_total counter\n"
                    "shared_total 80000\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_registry_renders_nothing, begin, end),
        cmocka_unit_test_setup_teardown(series_of_a_name_stand_under_one_help_and_type, begin, end),
        cmocka_unit_test_setup_teardown(the_same_name_and_labels_give_the_same_series, begin, end),
        cmocka_unit_test_setup_teardown(numbers_that_are_not_finite_have_prometheus_names, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_histogram_counts_up_to_each_bound, begin, end),
        cmocka_unit_test_setup_teardown(a_histogram_without_labels_has_its_bounds_alone, begin,
                                        end),
        cmocka_unit_test_setup_teardown(labels_are_joined_and_escaped, begin, end),
        cmocka_unit_test_setup_teardown(a_label_without_room_is_left_out_whole, begin, end),
        cmocka_unit_test_setup_teardown(beyond_the_bound_a_shared_series_is_given_and_not_rendered,
                                        begin, end),
        cmocka_unit_test_setup_teardown(memory_that_is_out_gives_the_shared_series, begin, end),
        cmocka_unit_test_setup_teardown(a_name_of_another_kind_gives_the_shared_series, begin, end),
        cmocka_unit_test_setup_teardown(threads_lose_no_update, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
