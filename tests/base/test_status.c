// Errors: codes, messages, prefixes, and the end of a program whose invariant broke.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/status.h"

static void a_failure_carries_its_code_and_reason(void **state) {
    (void)state;
    struct error err = {0};
    assert_int_equal(error_set(&err, STATUS_IO, "could not read %s: %d", "x", 7), STATUS_IO);
    assert_int_equal(err.status, STATUS_IO);
    assert_string_equal(err.message, "could not read x: 7");
}

static void without_a_place_for_the_reason_the_code_is_enough(void **state) {
    (void)state;
    assert_int_equal(error_set(NULL, STATUS_FENCED, "unused %d", 1), STATUS_FENCED);
    assert_int_equal(error_no_memory(NULL, 10, "a test"), STATUS_EXHAUSTED);
}

static void an_error_may_quote_its_own_message(void **state) {
    (void)state;
    struct error err = {0};
    assert_int_equal(error_set(&err, STATUS_IO, "first"), STATUS_IO);
    assert_int_equal(error_set(&err, STATUS_CORRUPT, "%s, second", err.message), STATUS_CORRUPT);
    assert_string_equal(err.message, "first, second");
}

static void a_prefix_goes_before_and_keeps_the_code(void **state) {
    (void)state;
    struct error err = {0};
    assert_int_equal(error_set(&err, STATUS_NOT_FOUND, "no such topic"), STATUS_NOT_FOUND);
    assert_int_equal(error_prefix(&err, "could not open %s", "clicks"), STATUS_NOT_FOUND);
    assert_string_equal(err.message, "could not open clicks: no such topic");
}

static void a_message_that_is_too_long_loses_its_end_only(void **state) {
    (void)state;
    struct error err = {0};
    char longest[2 * ERROR_MESSAGE_MAX];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(error_set(&err, STATUS_IO, "begin %s", longest), STATUS_IO);
    assert_int_equal(strlen(err.message), ERROR_MESSAGE_MAX - 1);
    assert_memory_equal(err.message, "begin xxx", 9);
    assert_int_equal(error_prefix(&err, "before"), STATUS_IO);
    assert_int_equal(strlen(err.message), ERROR_MESSAGE_MAX - 1);
    assert_memory_equal(err.message, "before: begin xxx", 17);
    assert_int_equal(error_prefix(&err, "%s", longest), STATUS_IO);
    assert_int_equal(strlen(err.message), ERROR_MESSAGE_MAX - 1);
}

static void out_of_memory_says_how_much_and_for_what(void **state) {
    (void)state;
    struct error err = {0};
    assert_int_equal(error_no_memory(&err, 4096, "a batch"), STATUS_EXHAUSTED);
    assert_string_equal(err.message, "out of memory: could not get 4096 bytes for a batch");
}

static void each_code_has_a_name_of_its_own(void **state) {
    (void)state;
    for (int code = STATUS_OK; code <= STATUS_UNSUPPORTED; code++) {
        assert_string_not_equal(status_name((enum status)code), "unknown");
        for (int other = STATUS_OK; other < code; other++)
            assert_string_not_equal(status_name((enum status)code),
                                    status_name((enum status)other));
    }
    assert_string_equal(status_name(STATUS_NOT_FOUND), "not-found");
    assert_string_equal(status_name((enum status)(STATUS_UNSUPPORTED + 1)), "unknown");
}

static void a_broken_invariant_stops_the_program_and_says_where(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        int one = 1;
        REQUIRE(one == 2);
        _exit(0);
    }
    close(ends[1]);
    char said[512] = "";
    size_t length = 0;
    for (ssize_t got; length + 1 < sizeof said &&
                      (got = read(ends[0], said + length, sizeof said - 1 - length)) > 0;)
        length += (size_t)got;
    close(ends[0]);
    int ended = 0;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGABRT);
    assert_non_null(strstr(said, "test_status.c:"));
    assert_non_null(strstr(said, "broken invariant: one == 2"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_carries_its_code_and_reason),
        cmocka_unit_test(without_a_place_for_the_reason_the_code_is_enough),
        cmocka_unit_test(an_error_may_quote_its_own_message),
        cmocka_unit_test(a_prefix_goes_before_and_keeps_the_code),
        cmocka_unit_test(a_message_that_is_too_long_loses_its_end_only),
        cmocka_unit_test(out_of_memory_says_how_much_and_for_what),
        cmocka_unit_test(each_code_has_a_name_of_its_own),
        cmocka_unit_test(a_broken_invariant_stops_the_program_and_says_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
