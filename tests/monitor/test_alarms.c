// Each alarm sounds when it should, ends when it should, and is silent otherwise.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "monitor/alarms.h"

struct state {
    struct metrics *metrics;
    struct alarms *alarms;
    struct monitor_alarms settings;
    int64_t now_ms;
};

static int begin(void **test) {
    static struct state state;
    struct error err;
    memset(&state, 0, sizeof state);
    state.settings = (struct monitor_alarms){.window_ms = 60000,
                                             .lag_records = 1000,
                                             .freshness_ms = 10000,
                                             .freshness_share = .1,
                                             .auc_drop = .02,
                                             .calibration_error = .25,
                                             .drop_share = .01,
                                             .checkpoint_age_ms = 600000,
                                             .disk_free_share = .1};
    state.now_ms = 1700000000000;
    if (metrics_new(&state.metrics, &err) != STATUS_OK ||
        alarms_new(state.metrics, &state.alarms, &err) != STATUS_OK)
        return -1;
    *test = &state;
    return 0;
}

static int end(void **test) {
    struct state *state = *test;
    alarms_free(state->alarms);
    metrics_free(state->metrics);
    return 0;
}

static struct metric *gauge(struct state *state, const char *name, const char *labels) {
    return metrics_get(state->metrics, METRIC_GAUGE, name, labels, "H.");
}

static struct metric *counter(struct state *state, const char *name, const char *labels) {
    return metrics_get(state->metrics, METRIC_COUNTER, name, labels, "H.");
}

static void sample(struct state *state) {
    state->now_ms += 5000;
    alarms_sample(state->alarms, &state->settings, state->now_ms);
}

static bool fires(struct state *state, const char *alarm) {
    char labels[64] = "", wanted[96];
    struct buffer text;
    metrics_label(labels, sizeof labels, "alarm", alarm);
    bool shown = metric_value(gauge(state, "freshet_alarm_firing", labels)) == 1;
    buffer_init(&text);
    alarms_render(state->alarms, &text);
    buffer_append_byte(&text, 0);
    snprintf(wanted, sizeof wanted, "\"name\":\"%s\",\"firing\":true", alarm);
    assert_int_equal(strstr((const char *)text.data, wanted) != NULL, shown);
    buffer_deinit(&text);
    return shown;
}

static void lag_that_grows_sounds_and_lag_that_shrinks_does_not(void **test) {
    struct state *state = *test;
    struct metric *lag = gauge(state, "freshet_trainer_lag_records", "task=\"t\"");
    metric_set(lag, 50000); // as after a start: much waits, and is being read
    for (int i = 0; i < 12; i++) {
        metric_set(lag, 50000 - 1000 * i);
        sample(state);
        assert_false(fires(state, "lag_growing"));
    }
    for (int i = 0; i < 12; i++) {
        metric_set(lag, 39000 + 2000 * i);
        sample(state);
    }
    assert_true(fires(state, "lag_growing"));
    for (int i = 0; i < 14; i++) {
        metric_set(lag, 10 * i); // grows, but is nothing
        sample(state);
    }
    assert_false(fires(state, "lag_growing"));
}

static void late_versions_sound(void **test) {
    struct state *state = *test;
    const double bounds[] = {1, 10, 60};
    struct metric_histogram *freshness = metrics_histogram(
        state->metrics, "freshet_publisher_freshness_seconds", "", "H.", bounds, 3);
    sample(state);
    for (int i = 0; i < 40; i++)
        metric_observe(freshness, 10);
    sample(state);
    assert_false(fires(state, "freshness"));
    for (int i = 0; i < 5; i++)
        metric_observe(freshness, 11);
    sample(state);
    assert_true(fires(state, "freshness"));
}

static void measure(struct state *state, const char *name, const char *window, double value) {
    char labels[96];
    snprintf(labels, sizeof labels, "task=\"click\",domain=\"all\",window=\"%s\"", window);
    metric_set(gauge(state, name, labels), value);
}

static void an_auc_sounds_when_it_fell_by_more_than_its_error(void **test) {
    struct state *state = *test;
    measure(state, "freshet_trainer_auc", "ever", .75);
    measure(state, "freshet_trainer_auc", "recent", .7);
    measure(state, "freshet_trainer_auc_error", "ever", .001);
    measure(state, "freshet_trainer_auc_error", "recent", .03);
    measure(state, "freshet_trainer_calibration", "recent", 1.02);
    measure(state, "freshet_trainer_measured_positives", "recent", 900);
    sample(state);
    assert_false(fires(state, "auc")); // within three standard errors
    measure(state, "freshet_trainer_auc_error", "recent", .003);
    sample(state);
    assert_true(fires(state, "auc"));
    assert_false(fires(state, "calibration"));
    measure(state, "freshet_trainer_measured_positives", "recent", 30);
    sample(state);
    assert_false(fires(state, "auc")); // too few to tell
}

static void a_calibration_sounds_on_either_side(void **test) {
    struct state *state = *test;
    measure(state, "freshet_trainer_measured_positives", "recent", 900);
    measure(state, "freshet_trainer_calibration", "recent", .7);
    sample(state);
    assert_true(fires(state, "calibration"));
    measure(state, "freshet_trainer_calibration", "recent", 1.4);
    sample(state);
    assert_true(fires(state, "calibration"));
    measure(state, "freshet_trainer_calibration", "recent", (double)NAN);
    sample(state);
    assert_false(fires(state, "calibration"));
}

static void drops_sound_but_for_those_on_purpose_and_restored_totals(void **test) {
    struct state *state = *test;
    struct metric *records = counter(state, "freshet_ingest_records_total", "input=\"clicks\"");
    struct metric *duplicates =
        counter(state, "freshet_ingest_dropped_total", "reason=\"duplicate\"");
    struct metric *late = counter(state, "freshet_ingest_dropped_total", "reason=\"late\"");
    metric_set(late, 1e6); // what a checkpoint brought back
    sample(state);
    metric_add(records, 1000);
    metric_add(duplicates, 500);
    metric_add(late, 5);
    sample(state);
    assert_false(fires(state, "drops"));
    metric_add(late, 50);
    sample(state);
    assert_true(fires(state, "drops"));
    for (int i = 0; i < 14; i++) {
        metric_add(records, 1000);
        sample(state);
    }
    assert_false(fires(state, "drops")); // the window has passed
}

static void upkeep_sounds(void **test) {
    struct state *state = *test;
    struct metric *saved =
        gauge(state, "freshet_trainer_checkpoint_timestamp_seconds", "task=\"t\"");
    struct metric *wrong = gauge(state, "freshet_trainer_accounts_unbalanced", "task=\"t\"");
    metric_set(saved, (double)state->now_ms / 1000);
    metric_set(gauge(state, "freshet_disk_free_bytes", "directory=\"a\""), 50);
    metric_set(gauge(state, "freshet_disk_free_bytes", "directory=\"b\""), 5);
    metric_set(gauge(state, "freshet_disk_size_bytes", "directory=\"a\""), 100);
    sample(state);
    assert_false(fires(state, "disk_full") || fires(state, "checkpoint_old") ||
                 fires(state, "unbalanced"));
    metric_set(gauge(state, "freshet_disk_size_bytes", "directory=\"b\""), 100);
    metric_set(saved, (double)state->now_ms / 1000 - 700);
    metric_set(wrong, 1);
    sample(state);
    assert_true(fires(state, "disk_full") && fires(state, "checkpoint_old") &&
                fires(state, "unbalanced"));
}

static void held_versions_sound_but_for_a_pin(void **test) {
    struct state *state = *test;
    struct metric *held = gauge(state, "freshet_publisher_held_versions", "");
    struct metric *pinned = gauge(state, "freshet_publisher_pinned_version", "");
    struct metric *closed = gauge(state, "freshet_trainer_gate_closed", "task=\"click\"");
    sample(state);
    assert_false(fires(state, "gate_closed"));
    metric_set(held, 3);
    sample(state);
    assert_true(fires(state, "gate_closed"));
    metric_set(pinned, 8);
    sample(state);
    assert_false(fires(state, "gate_closed"));
    metric_set(closed, 1); // where the trainer runs in a daemon of its own
    sample(state);
    assert_true(fires(state, "gate_closed"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lag_that_grows_sounds_and_lag_that_shrinks_does_not, begin,
                                        end),
        cmocka_unit_test_setup_teardown(late_versions_sound, begin, end),
        cmocka_unit_test_setup_teardown(an_auc_sounds_when_it_fell_by_more_than_its_error, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_calibration_sounds_on_either_side, begin, end),
        cmocka_unit_test_setup_teardown(drops_sound_but_for_those_on_purpose_and_restored_totals,
                                        begin, end),
        cmocka_unit_test_setup_teardown(upkeep_sounds, begin, end),
        cmocka_unit_test_setup_teardown(held_versions_sound_but_for_a_pin, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
