// Label policies that do not wait: which records leave, when, and what they say.
#include "join_fixture.h"

enum { CLICK = 1 };
#define LEARN EXAMPLE_LEARN
#define FINAL EXAMPLE_FINAL
#define REPEAT EXAMPLE_REPEAT
#define LATE EXAMPLE_LATE
#define LAST EXAMPLE_LAST

// One task, click, window 100.
static void start(struct fixture *f, int labels, int64_t wait_ms) {
    fixture_init(f, 1, "");
    f->tasks[0].labels = labels;
    f->tasks[0].label_wait_ms = wait_ms;
    fixture_start(f);
}

static void give(struct fixture *f, uint32_t input, const char *key, int64_t event_time_ms) {
    struct error err;
    assert_int_equal(
        fixture_try(f, input, key, event_time_ms, input == CLICKS ? CLICK : 0, 1, &err), STATUS_OK);
    fixture_balance(f);
}

static void finish(struct fixture *f) {
    struct error err;
    assert_int_equal(join_finish(f->join, &err), STATUS_OK);
    fixture_balance(f);
}

// The records of one impression behind its SCORE: kinds and labels, in order.
static void expect(const struct fixture *f, uint64_t impression, size_t count,
                   const uint32_t *kinds, const float *labels) {
    size_t found = 0;
    for (size_t i = 0; i < f->count; i++) {
        const struct output *out = &f->outputs[i];
        if (out->impression != impression || out->kind == EXAMPLE_SCORE)
            continue;
        assert_true(found < count);
        assert_int_equal(out->kind, kinds[found]);
        assert_int_equal(out->mask, CLICK);
        assert_true(out->labels[0] == labels[found]);
        assert_int_equal(out->id, out->event_time_ms * 7 + 1); // features ride along
        found++;
    }
    assert_int_equal(found, count);
}

static void fnw_learns_a_negative_at_once_and_the_positive_when_it_comes(void **state) {
    (void)state;
    struct fixture f;
    start(&f, SPEC_FNW, 0);
    give(&f, IMPRESSIONS, "a", 1000);
    assert_int_equal(f.count, 2); // SCORE, LEARN
    give(&f, IMPRESSIONS, "b", 1001);
    give(&f, CLICKS, "a", 1050);
    assert_int_equal(f.count, 5);
    assert_int_equal(f.outputs[4].timestamp_ms, 1050);
    give(&f, CLICKS, "a", 1051); // a duplicate: no third time
    finish(&f);
    expect(&f, 0, 3, (uint32_t[]){LEARN, LEARN | REPEAT, FINAL | LATE | LAST}, (float[]){0, 1, 1});
    expect(&f, 1, 2, (uint32_t[]){LEARN, FINAL | LAST}, (float[]){0, 0});
    fixture_stop(&f);
}

static void a_positive_that_waits_for_its_impression_is_learnt_once(void **state) {
    (void)state;
    struct fixture f;
    start(&f, SPEC_FNC, 0);
    give(&f, CLICKS, "a", 1003);
    give(&f, IMPRESSIONS, "a", 1000);
    finish(&f);
    expect(&f, 0, 2, (uint32_t[]){LEARN, FINAL | LAST}, (float[]){1, 1});
    fixture_stop(&f);
}

static void es_dfm_learns_after_its_wait_and_late_positives_again(void **state) {
    (void)state;
    struct fixture f;
    start(&f, SPEC_ES_DFM, 30);
    give(&f, IMPRESSIONS, "soon", 1000);
    give(&f, IMPRESSIONS, "late", 1001);
    give(&f, IMPRESSIONS, "never", 1002);
    give(&f, CLICKS, "soon", 1020);
    assert_int_equal(f.count, 3); // scores only
    give(&f, IMPRESSIONS, "other", 1060);
    give(&f, CLICKS, "late", 1070);
    finish(&f);
    expect(&f, 0, 2, (uint32_t[]){LEARN, FINAL | LAST}, (float[]){1, 1});
    expect(&f, 1, 3, (uint32_t[]){LEARN, LEARN | REPEAT, FINAL | LATE | LAST}, (float[]){0, 1, 1});
    expect(&f, 2, 2, (uint32_t[]){LEARN, FINAL | LAST}, (float[]){0, 0});
    fixture_stop(&f);
}

static void defer_learns_every_impression_twice(void **state) {
    (void)state;
    struct fixture f;
    start(&f, SPEC_DEFER, 30);
    give(&f, IMPRESSIONS, "soon", 1000);
    give(&f, IMPRESSIONS, "late", 1001);
    give(&f, IMPRESSIONS, "never", 1002);
    give(&f, CLICKS, "soon", 1020);
    give(&f, IMPRESSIONS, "other", 1060);
    give(&f, CLICKS, "late", 1070);
    finish(&f);
    expect(&f, 0, 2, (uint32_t[]){LEARN, LEARN | FINAL | REPEAT | LAST}, (float[]){1, 1});
    expect(&f, 1, 3, (uint32_t[]){LEARN, LEARN | REPEAT, FINAL | LATE | LAST}, (float[]){0, 1, 1});
    expect(&f, 2, 2, (uint32_t[]){LEARN, LEARN | FINAL | REPEAT | LAST}, (float[]){0, 0});
    fixture_stop(&f);
}

static void feedback_beyond_the_window_teaches_nothing(void **state) {
    (void)state;
    struct fixture f;
    start(&f, SPEC_FNW, 0);
    give(&f, IMPRESSIONS, "a", 1000);
    give(&f, CLICKS, "a", 1101);
    finish(&f);
    expect(&f, 0, 2, (uint32_t[]){LEARN, FINAL | LAST}, (float[]){0, 0});
    fixture_stop(&f);
}

static void a_task_given_another_is_learnt_when_that_is_positive(void **state) {
    (void)state;
    struct fixture f;
    struct error err;
    fixture_init(&f, 2, "click");
    f.tasks[1].labels = SPEC_FNW;
    fixture_start(&f);
    give(&f, IMPRESSIONS, "a", 1000);
    give(&f, IMPRESSIONS, "b", 1001); // never clicked: no sample of the purchase
    give(&f, CLICKS, "a", 1050);
    assert_int_equal(f.count, 3);
    assert_int_equal(f.outputs[2].kind, LEARN);
    assert_int_equal(f.outputs[2].mask, 2);
    assert_true(f.outputs[2].labels[1] == 0);
    assert_int_equal(fixture_try(&f, BUYS, "a", 1300, 2, 1, &err), STATUS_OK);
    finish(&f);
    size_t repeats = 0, learnt = 0;
    for (size_t i = 0; i < f.count; i++) {
        bool buys = (f.outputs[i].mask & 2) != 0 && (f.outputs[i].kind & LEARN) != 0;
        repeats += (f.outputs[i].kind & REPEAT) != 0;
        learnt += buys;
        assert_true(!buys || f.outputs[i].impression == 0);
    }
    assert_int_equal(repeats, 1);
    assert_int_equal(learnt, 2);
    fixture_stop(&f);
}

static void a_policy_for_labels_that_come_along_is_refused(void **state) {
    (void)state;
    struct fixture f;
    struct error err;
    fixture_init(&f, 1, "");
    f.tasks[0].labels = SPEC_DEFER;
    f.settings.join = INGEST_JOIN_NONE;
    struct join_setup setup = {
        .settings = &f.settings, .spec = &f.spec, .emit = fixture_emit, .self = &f};
    assert_int_equal(join_new(&setup, &f.join, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "labels: defer"));
    assert_non_null(strstr(err.message, "use wait"));
    f.join = NULL;
    fixture_stop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fnw_learns_a_negative_at_once_and_the_positive_when_it_comes),
        cmocka_unit_test(a_positive_that_waits_for_its_impression_is_learnt_once),
        cmocka_unit_test(es_dfm_learns_after_its_wait_and_late_positives_again),
        cmocka_unit_test(defer_learns_every_impression_twice),
        cmocka_unit_test(feedback_beyond_the_window_teaches_nothing),
        cmocka_unit_test(a_task_given_another_is_learnt_when_that_is_positive),
        cmocka_unit_test(a_policy_for_labels_that_come_along_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
