// Section `trainer`: its defaults, and what is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "config/config.h"
#include "trainer/settings.h"

static enum status parsed(const char *text, struct trainer_settings *settings, struct arena *arena,
                          struct error *err) {
    *settings = (struct trainer_settings){0};
    return config_parse("test", text, strlen(text), &trainer_options, settings, arena, err);
}

static struct spec_task tasks[2] = {{.name = "click"}, {.name = "like"}};
static const struct spec spec = {.tasks = {tasks, 2}};

static void defaults_hold_together(void **state) {
    (void)state;
    struct arena arena;
    struct trainer_settings settings;
    struct error err = {0};
    size_t target;
    arena_init(&arena, 1024);
    if (parsed("publish_interval: 2s\n", &settings, &arena, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(settings.publish_interval_ms, 2000);
    assert_string_equal(settings.examples, "examples");
    assert_string_equal(settings.weights, "weights");
    assert_true(settings.learner.batch_rows > 0);
    assert_true(settings.runner.batch_records > 0);
    assert_int_equal(trainer_settings_check(&settings, &spec, &target, &err), STATUS_OK);
    arena_deinit(&arena);
}

static void the_target_task_is_found_by_name(void **state) {
    (void)state;
    struct arena arena;
    struct trainer_settings settings;
    struct error err = {0};
    size_t target;
    arena_init(&arena, 1024);
    if (parsed("learner: {balance: metabalance, target_task: like}\n", &settings, &arena, &err) !=
        STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(trainer_settings_check(&settings, &spec, &target, &err), STATUS_OK);
    assert_int_equal(target, 1);
    settings.learner.target_task = "share";
    assert_int_equal(trainer_settings_check(&settings, &spec, &target, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "`trainer.learner.target_task`: `share`"));
    arena_deinit(&arena);
}

static void mistakes_name_their_key(void **state) {
    (void)state;
    static const char *const mistakes[][2] = {
        {"publish_interval: 0s\n", "publish_interval"},
        {"slice_bits: 17\n", "slice_bits"},
        {"predict_row: 5\n", "predict_rows"},
        {"measure_windows: none\n", "measure_windows"},
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        struct arena arena;
        struct trainer_settings settings;
        struct error err = {0};
        arena_init(&arena, 1024);
        assert_int_equal(parsed(mistakes[i][0], &settings, &arena, &err), STATUS_INVALID);
        assert_non_null(strstr(err.message, mistakes[i][1]));
        arena_deinit(&arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_hold_together),
        cmocka_unit_test(the_target_task_is_found_by_name),
        cmocka_unit_test(mistakes_name_their_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
