// Features and tasks: what is refused, what changes the fingerprint, ids, and the JSON form.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "config/config.h"
#include "record/spec.h"

static const char good[] = "features:\n"
                           "  - {name: user, path: user.id, dimension: 8}\n"
                           "  - {name: item, dimension: 4}\n"
                           "  - {name: seen, kind: multi, vocabulary: item, dimension: 4}\n"
                           "  - {name: price, kind: numeric}\n"
                           "tasks:\n"
                           "  - {name: click, input: clicks, window: 5m}\n"
                           "  - {name: buy, input: buys, given: click, weight: .3}\n"
                           "domain: tab\n";

static struct arena run;

static int begin(void **state) {
    (void)state;
    arena_init(&run, 4096);
    return 0;
}

static int end(void **state) {
    (void)state;
    arena_deinit(&run);
    return 0;
}

// The good text with `what` replaced by `with`.
static enum status parse(const char *what, const char *with, struct spec *spec, struct error *err) {
    struct buffer text;
    const char *at = what ? strstr(good, what) : good + strlen(good);
    buffer_init(&text);
    assert_non_null(at);
    buffer_append(&text, good, (size_t)(at - good));
    buffer_append(&text, with, strlen(with));
    at += what ? strlen(what) : 0;
    buffer_append(&text, at, strlen(at));
    *spec = (struct spec){0};
    enum status status =
        config_parse("test", (const char *)text.data, text.length, &spec_options, spec, &run, err);
    if (status == STATUS_OK)
        status = spec_check(spec, err);
    buffer_deinit(&text);
    return status;
}

static void each_mistake_is_named(void **state) {
    (void)state;
    static const struct {
        const char *what, *with, *said;
    } mistakes[] = {
        {"name: item,", "name: user,", "features[1].name"},
        {"name: item,", "name: '',", "features[1].name"},
        {"vocabulary: item, dimension: 4", "vocabulary: item, dimension: 5", "dimension"},
        {"name: buy,", "name: click,", "tasks[1].name"},
        {"given: click", "given: clack", "no task 'clack'"},
        {"given: click", "given: buy", "leads back"},
        {"input: clicks, window", "window", "needs `input`"},
        {"input: clicks,", "input: clicks, when_path: kind,", "when_equals"},
        {"kind: multi", "kind: many", "many"},
        {"kind: multi", "kind: multi, times: t", "only their items have times"},
        {"kind: multi", "kind: sequence, length_max: 1025", "at most 1024 items"},
        {"dimension: 8", "dimension: 0", "dimension"},
        {"weight: .3", "weight: -1", "weight"},
        {"weight: .3", "labels: soon", "soon"},
        {"weight: .3", "labels: fnw, label_wait: 1s", "no wait"},
        {"weight: .3", "label_wait: 1s", "`labels: wait` has no wait"},
        {"weight: .3", "labels: es_dfm, window: 1m, label_wait: 1m", "longer than `label_wait`"},
        {"weight: .3", "labels: fnc, window: 0s", "longer than `label_wait`"},
        {"domain: tab", "sampling: {drop: 1}", "drop"},
        {"domain: tab", "sampling: {drop: .5, correct: log_odds}", "one task only"},
        {"domain: tab", "sampling: {drop: .5, correct: luck}", "luck"},
        {"weight: .3}\n", "labels: fnw}\nsampling: {drop: .5}\n", "use wait"},
        {"input: clicks,", "path: clicked, labels: defer,", "carries that of 'click'"},
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        struct spec spec;
        struct error err;
        if (parse(mistakes[i].what, mistakes[i].with, &spec, &err) != STATUS_INVALID)
            fail_msg("'%s' for '%s' was accepted", mistakes[i].with, mistakes[i].what);
        if (!strstr(err.message, mistakes[i].said))
            fail_msg("'%s' does not say '%s'", err.message, mistakes[i].said);
    }
}

static void what_is_left_out_takes_the_features_name(void **state) {
    (void)state;
    struct spec spec;
    struct error err;
    assert_int_equal(parse(NULL, "", &spec, &err), STATUS_OK);
    assert_string_equal(spec_feature_at(&spec, 0)->path, "user.id");
    assert_string_equal(spec_feature_at(&spec, 0)->vocabulary, "user");
    assert_string_equal(spec_feature_at(&spec, 1)->path, "item");
    assert_string_equal(spec_feature_at(&spec, 2)->vocabulary, "item");
    assert_int_equal(spec_feature_at(&spec, 3)->dimension, 0);
    assert_int_equal(spec_kind_count(&spec, SPEC_CATEGORICAL), 2);
    assert_int_equal(spec_kind_count(&spec, SPEC_MULTI), 1);
    assert_int_equal(spec_kind_count(&spec, SPEC_NUMERIC), 1);
}

static void the_fingerprint_follows_what_examples_depend_on(void **state) {
    (void)state;
    static const struct {
        const char *what, *with;
        bool changes;
    } cases[] = {
        {"name: item,", "name: thing,", true},   {"kind: multi", "kind: categorical", true},
        {"kind: multi", "kind: sequence", true}, {"vocabulary: item,", "vocabulary: other,", true},
        {"name: buy,", "name: purchase,", true}, {"path: user.id", "path: u", false},
        {"window: 5m", "window: 6m", false},     {"weight: .3", "weight: .4", false},
        {"weight: .3", "labels: fnw", false},    {"domain: tab", "domain: page", false},
    };
    struct spec spec;
    struct error err;
    assert_int_equal(parse(NULL, "", &spec, &err), STATUS_OK);
    uint64_t before = spec_fingerprint(&spec);
    assert_true(before == spec_fingerprint(&spec));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse(cases[i].what, cases[i].with, &spec, &err), STATUS_OK);
        if ((spec_fingerprint(&spec) != before) != cases[i].changes)
            fail_msg("'%s' for '%s'", cases[i].with, cases[i].what);
    }
}

static void ids_depend_on_text_and_vocabulary_alone(void **state) {
    (void)state;
    assert_true(spec_id("item", "12", 2) == spec_id("item", "12x", 2));
    assert_true(spec_id("item", "12", 2) != spec_id("user", "12", 2));
    assert_true(spec_id("item", "12", 2) != spec_id("item", "13", 2));
    // Pinned: rows in logs and in Redis are found by it.
    assert_true(spec_id("item", "12", 2) == UINT64_C(0xffd341157a421300));
    assert_true(spec_id("", "", 0) != 0);
}

static void the_json_form_keeps_a_sequence(void **state) {
    (void)state;
    struct spec spec, again;
    struct error err;
    struct buffer json;
    buffer_init(&json);
    assert_int_equal(parse("kind: multi", "kind: sequence, times: history.at", &spec, &err),
                     STATUS_OK);
    assert_int_equal(spec_kind_count(&spec, SPEC_SEQUENCE), 1);
    assert_int_equal(spec_to_json(&spec, &json, &err), STATUS_OK);
    assert_int_equal(spec_from_json((const char *)json.data, json.length, &run, &again, &err),
                     STATUS_OK);
    assert_true(spec_fingerprint(&again) == spec_fingerprint(&spec));
    assert_int_equal(spec_feature_at(&again, 2)->kind, SPEC_SEQUENCE);
    assert_string_equal(spec_feature_at(&again, 2)->times, "history.at");
    buffer_deinit(&json);
}

static void the_json_form_gives_the_same_spec(void **state) {
    (void)state;
    struct spec spec, again;
    struct error err;
    struct buffer json, twice;
    buffer_init(&json);
    buffer_init(&twice);
    assert_int_equal(parse("weight: .3", "weight: .1, labels: es_dfm, label_wait: 7s", &spec, &err),
                     STATUS_OK);
    assert_int_equal(spec_to_json(&spec, &json, &err), STATUS_OK);
    assert_int_equal(spec_from_json((const char *)json.data, json.length, &run, &again, &err),
                     STATUS_OK);
    assert_true(spec_fingerprint(&again) == spec_fingerprint(&spec));
    assert_true(spec_task_at(&again, 1)->weight == .1);
    assert_int_equal(spec_task_at(&again, 0)->labels, SPEC_WAIT);
    assert_int_equal(spec_task_at(&again, 1)->labels, SPEC_ES_DFM);
    assert_int_equal(spec_task_at(&again, 1)->label_wait_ms, 7000);
    assert_int_equal(spec_task_at(&again, 0)->window_ms, 300000);
    assert_string_equal(spec_feature_at(&again, 0)->path, "user.id");
    assert_string_equal(again.domain_path, "tab");
    assert_int_equal(spec_to_json(&again, &twice, &err), STATUS_OK);
    assert_int_equal(json.length, twice.length);
    assert_memory_equal(json.data, twice.data, json.length);
    // Cut or damaged, it is refused or is a spec that passes its checks; it never crashes.
    for (size_t length = 0; length < json.length; length++)
        assert_int_equal(spec_from_json((const char *)json.data, length, &run, &again, &err),
                         STATUS_INVALID);
    for (size_t i = 0; i < json.length; i++) {
        json.data[i] ^= 4;
        enum status status =
            spec_from_json((const char *)json.data, json.length, &run, &again, &err);
        assert_true(status == STATUS_OK || status == STATUS_INVALID);
        json.data[i] ^= 4;
    }
    buffer_deinit(&json);
    buffer_deinit(&twice);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(each_mistake_is_named),
        TEST(what_is_left_out_takes_the_features_name),
        TEST(the_fingerprint_follows_what_examples_depend_on),
        TEST(ids_depend_on_text_and_vocabulary_alone),
        TEST(the_json_form_keeps_a_sequence),
        TEST(the_json_form_gives_the_same_spec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
