// The settings of the logs: their defaults, and opening by them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/disk.h"
#include "config/config.h"
#include "log/settings.h"

static struct error error;
static struct error *const err = &error;
static struct arena arena;

static enum status settings_parse(const char *text, struct log_settings *settings) {
    *settings = (struct log_settings){0};
    return config_parse("test", text, strlen(text), &log_options, settings, &arena, err);
}

static int setup(void **state) {
    (void)state;
    arena_init(&arena, 4096);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static void files_in_a_folder_are_the_default(void **state) {
    (void)state;
    struct log_settings settings;
    assert_int_equal(settings_parse("{}", &settings), STATUS_OK);
    assert_int_equal(settings.backend, LOG_FILES);
    assert_string_equal(settings.directory, "freshet-data/logs");
    assert_int_equal(settings.segment_bytes, 256 << 20);
    assert_true(settings.fsync);
    assert_int_equal(settings.kafka.timeout_ms, 30000);
}

static void a_log_of_files_or_memory_is_opened_by_its_settings(void **state) {
    (void)state;
    char directory[] = "/tmp/freshet-settings-XXXXXX";
    assert_non_null(mkdtemp(directory));
    struct log_settings settings;
    assert_int_equal(settings_parse("{}", &settings), STATUS_OK);
    settings.directory = directory;
    struct log *log = NULL;
    assert_int_equal(log_open(&settings, &log, err), STATUS_OK);
    assert_int_equal(log_backend_of(log), LOG_FILES);
    log_close(log);
    assert_int_equal(disk_remove_tree(directory, err), STATUS_OK);
    assert_int_equal(settings_parse("backend: memory\n", &settings), STATUS_OK);
    assert_int_equal(log_open(&settings, &log, err), STATUS_OK);
    assert_int_equal(log_backend_of(log), LOG_MEMORY);
    log_close(log);
}

static void a_property_that_librdkafka_does_not_know_is_refused_by_name(void **state) {
    (void)state;
    struct log_settings settings;
    assert_int_equal(
        settings_parse("backend: kafka\nkafka:\n  properties: [no.such.property=1]\n", &settings),
        STATUS_OK);
    struct log *log = NULL;
    assert_int_equal(log_open(&settings, &log, err), STATUS_INVALID);
    assert_non_null(strstr(err->message, "no.such.property"));
    assert_int_equal(
        settings_parse("backend: kafka\nkafka:\n  properties: [no-equals]\n", &settings),
        STATUS_OK);
    assert_int_equal(log_open(&settings, &log, err), STATUS_INVALID);
    assert_null(log);
}

static void a_secret_among_the_properties_is_refused_and_not_shown(void **state) {
    (void)state;
    struct log_settings settings;
    assert_int_equal(
        settings_parse("backend: kafka\nkafka:\n  properties: [sasl.password=hush]\n", &settings),
        STATUS_OK);
    struct log *log = NULL;
    assert_int_equal(log_open(&settings, &log, err), STATUS_INVALID);
    assert_non_null(strstr(err->message, "log.kafka.sasl_password"));
    assert_null(strstr(err->message, "hush"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_in_a_folder_are_the_default),
        cmocka_unit_test(a_log_of_files_or_memory_is_opened_by_its_settings),
        cmocka_unit_test(a_property_that_librdkafka_does_not_know_is_refused_by_name),
        cmocka_unit_test(a_secret_among_the_properties_is_refused_and_not_shown),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
