// Log lines: levels, quoting, JSON, and one whole line a call from many threads.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/logger.h"

static FILE *stream;
static char *written;
static size_t written_length;

static int begin(void **state) {
    (void)state;
    stream = open_memstream(&written, &written_length);
    if (!stream)
        return -1;
    logger_setup(stream, LOGGER_DEBUG, LOGGER_TEXT);
    return 0;
}

static int end(void **state) {
    (void)state;
    logger_setup(NULL, LOGGER_INFO, LOGGER_TEXT);
    fclose(stream);
    free(written);
    return 0;
}

// The one line written so far must be a time and then exactly this.
static void assert_line(const char *wanted) {
    fflush(stream);
    const char *after_time = strchr(written, 'Z');
    assert_non_null(after_time);
    written[written_length] = '\0'; // a longer line may have stood here before
    assert_string_equal(after_time + 1, wanted);
    rewind(stream);
}

static void a_line_tells_time_level_stage_event_and_fields(void **state) {
    (void)state;
    logger_line(LOGGER_INFO, "ingest", "checkpoint", "number=%d took_ms=%d", 12, 8);
    fflush(stream);
    int year, month, day, hour, minute, second, millisecond;
    assert_int_equal(sscanf(written, "time=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ ", &year, &month, &day,
                            &hour, &minute, &second, &millisecond),
                     7);
    assert_true(year >= 2024 && month <= 12 && day <= 31 && hour < 24 && second <= 60);
    assert_line(" level=info stage=ingest event=checkpoint number=12 took_ms=8\n");
}

static void values_are_quoted_where_they_must_be(void **state) {
    (void)state;
    logger_line(LOGGER_WARN, "log", "late", "topic=\"%s\" plain=\"%s\" none=\"%s\" last=1",
                "my clicks", "clicks", "");
    assert_line(" level=warn stage=log event=late topic=\"my clicks\" plain=clicks none=\"\" "
                "last=1\n");
    logger_line(LOGGER_DEBUG, "log", "odd", "a=\"%s\" b=\"%s\" c=\"%s\"", "x=1", "tab\there",
                "back\\slash");
    assert_line(" level=debug stage=log event=odd a=\"x=1\" b=\"tab\\u0009here\" "
                "c=\"back\\\\slash\"\n");
    logger_line(LOGGER_ERROR, "log", "two words", "%s", "");
    assert_line(" level=error stage=log event=\"two words\"\n");
}

static void quotes_and_line_breaks_inside_a_value_stay_inside(void **state) {
    (void)state;
    logger_line(LOGGER_INFO, "cli", "said", "reason=\"%s\" next=2",
                "key \"a.b\": no\nlevel=error stage=forged");
    assert_line(" level=info stage=cli event=said reason=\"key \\\"a.b\\\": no\\nlevel=error "
                "stage=forged\" next=2\n");
}

static void json_has_numbers_bare_and_all_else_as_text(void **state) {
    (void)state;
    logger_setup(stream, LOGGER_INFO, LOGGER_JSON);
    logger_line(LOGGER_INFO, "trainer", "report",
                "auc=%.3f step=%d below=-1 done=true not=false nan=nan code=007 dot=1. exp=1e5 "
                "minus=- empty= text=\"%s\"",
                .725, 9, "a \"b\"\n");
    assert_line("\",\"level\":\"info\",\"stage\":\"trainer\",\"event\":\"report\",\"auc\":0.725,"
                "\"step\":9,\"below\":-1,\"done\":true,\"not\":false,\"nan\":\"nan\","
                "\"code\":\"007\",\"dot\":\"1.\",\"exp\":\"1e5\",\"minus\":\"-\",\"empty\":\"\","
                "\"text\":\"a \\\"b\\\"\\n\"}\n");
}

static void bytes_that_are_no_utf8_are_replaced(void **state) {
    (void)state;
    logger_line(LOGGER_INFO, "log", "key", "a=\"%s\" b=\"%s\" c=\"%s\"", "\xc3\xa9\xe2\x82\xac",
                "x\xff\xfey", "\xc0\xaf\xed\xa0\x80\xc3");
    assert_line(" level=info stage=log event=key a=\xc3\xa9\xe2\x82\xac "
                "b=x\xef\xbf\xbd\xef\xbf\xbdy "
                "c=\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\n");
}

static void lesser_levels_are_left_out(void **state) {
    (void)state;
    logger_setup(stream, LOGGER_WARN, LOGGER_TEXT);
    logger_line(LOGGER_DEBUG, "a", "b", "c=%d", 1);
    logger_line(LOGGER_INFO, "a", "b", "c=%d", 2);
    fflush(stream);
    assert_int_equal(written_length, 0);
    logger_line(LOGGER_WARN, "a", "b", "c=%d", 3);
    assert_line(" level=warn stage=a event=b c=3\n");
}

static void an_error_is_logged_with_its_code_and_reason(void **state) {
    (void)state;
    struct error err = {0};
    (void)error_set(&err, STATUS_NOT_FOUND, "could not open x: no such file");
    logger_error("publisher", "stopped", &err);
    assert_line(" level=error stage=publisher event=stopped status=not-found "
                "reason=\"could not open x: no such file\"\n");
}

static void a_value_that_is_too_long_is_cut_but_the_line_stays_whole(void **state) {
    (void)state;
    static char longest[20000];
    memset(longest, '\x01', sizeof longest - 1); // each becomes six
    logger_setup(stream, LOGGER_INFO, LOGGER_JSON);
    logger_line(LOGGER_INFO, "a", "b", "text=\"%s\"", longest);
    fflush(stream);
    assert_true(written_length > 20000);
    assert_string_equal(written + written_length - 9, "\\u0001\"}\n");
}

enum { THREADS = 4, LINES = 500 };

static void *log_lines(void *self) {
    for (int i = 0; i < LINES; i++)
        logger_line(LOGGER_INFO, "thread", "line", "who=%d number=%d", *(int *)self, i);
    return NULL;
}

static void threads_write_whole_lines(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    int who[THREADS], next[THREADS] = {0};
    for (int i = 0; i < THREADS; i++) {
        who[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, log_lines, &who[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    fflush(stream);
    int lines = 0;
    for (char *line = written, *stop; (stop = strchr(line, '\n')); line = stop + 1, lines++) {
        int thread = -1, number = -1;
        const char *fields = strstr(line, "who=");
        assert_non_null(fields);
        assert_int_equal(sscanf(fields, "who=%d number=%d\n", &thread, &number), 2);
        assert_true(thread >= 0 && thread < THREADS);
        assert_int_equal(number, next[thread]++);
    }
    assert_int_equal(lines, THREADS * LINES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_tells_time_level_stage_event_and_fields, begin, end),
        cmocka_unit_test_setup_teardown(values_are_quoted_where_they_must_be, begin, end),
        cmocka_unit_test_setup_teardown(quotes_and_line_breaks_inside_a_value_stay_inside, begin,
                                        end),
        cmocka_unit_test_setup_teardown(json_has_numbers_bare_and_all_else_as_text, begin, end),
        cmocka_unit_test_setup_teardown(bytes_that_are_no_utf8_are_replaced, begin, end),
        cmocka_unit_test_setup_teardown(lesser_levels_are_left_out, begin, end),
        cmocka_unit_test_setup_teardown(an_error_is_logged_with_its_code_and_reason, begin, end),
        cmocka_unit_test_setup_teardown(a_value_that_is_too_long_is_cut_but_the_line_stays_whole,
                                        begin, end),
        cmocka_unit_test_setup_teardown(threads_write_whole_lines, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
