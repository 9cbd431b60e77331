// The page's history: which samples are kept, which series are found, and what a reader is told.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "monitor/history.h"
#include "monitor/select.h"

struct state {
    struct metrics *metrics;
    struct history *history;
    struct buffer text;
};

static int begin(void **test) {
    static struct state state;
    struct error err;
    memset(&state, 0, sizeof state);
    buffer_init(&state.text);
    if (metrics_new(&state.metrics, &err) != STATUS_OK ||
        history_new(4, &state.history, &err) != STATUS_OK)
        return -1;
    *test = &state;
    return 0;
}

static int end(void **test) {
    struct state *state = *test;
    history_free(state->history);
    metrics_free(state->metrics);
    buffer_deinit(&state->text);
    return 0;
}

static void set(struct state *state, const char *name, const char *labels, double value) {
    metric_set(metrics_get(state->metrics, METRIC_GAUGE, name, labels, "Help."), value);
}

static const char *rendered(struct state *state, const char *names, const char *where,
                            int64_t since_ms) {
    struct history_query query = {names, where, since_ms};
    buffer_reset(&state->text);
    history_render(state->history, &query, &state->text);
    buffer_append_byte(&state->text, 0);
    assert_false(state->text.failed);
    return (const char *)state->text.data;
}

static void samples_are_told_in_order_and_none_twice(void **test) {
    struct state *state = *test;
    for (int i = 1; i <= 3; i++) {
        set(state, "freshet_a", "", i * .5);
        history_sample(state->history, state->metrics, i * 1000);
    }
    assert_string_equal(rendered(state, NULL, NULL, 0),
                        "\"times\":[1000,2000,3000],\"series\":[{\"name\":\"freshet_a\","
                        "\"type\":\"gauge\",\"labels\":{},\"values\":[0.5,1,1.5]}],\"left_out\":0");
    assert_non_null(strstr(rendered(state, NULL, NULL, 2000), "\"times\":[3000]"));
    assert_non_null(strstr(rendered(state, NULL, NULL, 3000), "\"times\":[]"));
}

static void old_samples_stay_in_outline_and_memory_is_bounded(void **test) {
    struct state *state = *test;
    int total = HISTORY_FINE + 10 * HISTORY_STRIDE;
    for (int i = 0; i < total; i++) {
        set(state, "freshet_a", "", i);
        history_sample(state->history, state->metrics, 1000 * (i + 1));
    }
    const char *text = rendered(state, NULL, NULL, 0);
    char expected[128];
    // Every 24th of those that are no longer fine, then all fine ones.
    snprintf(expected, sizeof expected, "\"times\":[1000,%d,%d,", 1000 * (HISTORY_STRIDE + 1),
             1000 * (2 * HISTORY_STRIDE + 1));
    assert_int_equal(strncmp(text, expected, strlen(expected)), 0);
    size_t times = 0;
    for (const char *c = text; *c != ']'; c++)
        times += *c == ',';
    assert_int_equal(times + 1, HISTORY_FINE + 10);
    for (int i = 0; i < HISTORY_STRIDE * (HISTORY_COARSE + 50); i++)
        history_sample(state->history, state->metrics, 1000 * (total + i + 1));
    times = 0;
    for (const char *c = rendered(state, NULL, NULL, 0); *c != ']'; c++)
        times += *c == ',';
    assert_true(times + 1 <= HISTORY_FINE + HISTORY_COARSE);
}

static void a_series_without_room_is_counted(void **test) {
    struct state *state = *test;
    for (int i = 0; i < 6; i++) {
        char name[32];
        snprintf(name, sizeof name, "freshet_%d", i);
        set(state, name, "", i);
    }
    history_sample(state->history, state->metrics, 1);
    const char *text = rendered(state, NULL, NULL, 0);
    assert_non_null(strstr(text, "freshet_3"));
    assert_null(strstr(text, "freshet_4"));
    assert_non_null(strstr(text, "\"left_out\":2"));
}

static void a_series_that_comes_later_has_null_before(void **test) {
    struct state *state = *test;
    set(state, "freshet_a", "", 1);
    history_sample(state->history, state->metrics, 1);
    set(state, "freshet_b", "x=\"y\"", 7);
    history_sample(state->history, state->metrics, 2);
    assert_non_null(strstr(rendered(state, "freshet_b", NULL, 0),
                           "\"labels\":{\"x\":\"y\"},\"values\":[null,7]"));
}

static void freshness_is_kept_bucket_by_bucket(void **test) {
    struct state *state = *test;
    const double bounds[] = {1, 10};
    metric_observe(metrics_histogram(state->metrics, "freshet_publisher_freshness_seconds", "",
                                     "H.", bounds, 2),
                   5);
    metrics_histogram(state->metrics, "freshet_other_seconds", "", "H.", bounds, 2);
    history_sample(state->history, state->metrics, 1);
    const char *text = rendered(state, NULL, NULL, 0);
    assert_non_null(strstr(text, "\"labels\":{\"le\":\"1\"},\"values\":[0]"));
    assert_non_null(strstr(text, "\"labels\":{\"le\":\"+Inf\"},\"values\":[1]"));
    assert_null(strstr(text, "other"));
}

static bool wants(const char *names, const char *where, const char *name, const char *labels) {
    struct select select;
    select_init(&select, names, where);
    return select_wants(&select, name, labels);
}

static void series_are_chosen_by_name_and_label(void **test) {
    (void)test;
    const char *labels = "task=\"a,b\",domain=\"x\\\"y\"";
    assert_true(wants(NULL, NULL, "n", labels));
    assert_true(wants("m,freshet_*_total", NULL, "freshet_a_total", labels));
    assert_false(wants("m,freshet_*_total", NULL, "freshet_a", labels));
    assert_true(wants(NULL, "domain:x\"y", "n", labels));
    assert_false(wants(NULL, "domain:x", "n", labels));
    assert_true(wants(NULL, "window:recent", "n", labels)); // a label that it has not
    assert_false(wants(NULL, "window:recent,domain:z", "n", labels));
    assert_true(wants(NULL, "nothing", "n", labels));
    assert_true(select_has(labels, "domain", "x\"y"));
    assert_false(select_has(labels, "b\"", ""));
}

static void labels_become_json(void **test) {
    struct state *state = *test;
    char labels[64] = "";
    metrics_label(labels, sizeof labels, "k", "a\"b\\c\nd\te");
    buffer_reset(&state->text);
    select_labels_json(labels, &state->text);
    buffer_append_byte(&state->text, 0);
    assert_string_equal((const char *)state->text.data, "{\"k\":\"a\\\"b\\\\c\\nd\\u0009e\"}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(samples_are_told_in_order_and_none_twice, begin, end),
        cmocka_unit_test_setup_teardown(old_samples_stay_in_outline_and_memory_is_bounded, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_series_without_room_is_counted, begin, end),
        cmocka_unit_test_setup_teardown(a_series_that_comes_later_has_null_before, begin, end),
        cmocka_unit_test_setup_teardown(freshness_is_kept_bucket_by_bucket, begin, end),
        cmocka_unit_test_setup_teardown(series_are_chosen_by_name_and_label, begin, end),
        cmocka_unit_test_setup_teardown(labels_become_json, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
