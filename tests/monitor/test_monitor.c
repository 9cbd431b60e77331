// The HTTP answers of a running monitor, asked over a real loopback socket.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/monitor.h"

struct state {
    struct metrics *metrics;
    struct monitor_settings settings;
    struct monitor *monitor;
    struct monitor_health health;
};

static void tell_health(void *self, struct monitor_health *ret_health) {
    *ret_health = ((struct state *)self)->health;
}

static struct monitor_setup setup_of(struct state *state) {
    return (struct monitor_setup){.settings = &state->settings,
                                  .metrics = state->metrics,
                                  .name = "shop",
                                  .stages = "trainer",
                                  .directories = {"/"},
                                  .health = tell_health,
                                  .self = state};
}

static int begin(void **test) {
    static struct state state;
    struct error err;
    memset(&state, 0, sizeof state);
    state.health = (struct monitor_health){.alive = true, .ready = true};
    state.settings = (struct monitor_settings){.listen = "127.0.0.1:0",
                                               .connections_max = 8,
                                               .timeout_ms = 5000,
                                               .sample_interval_ms = 100,
                                               .history_series_max = 100,
                                               .alarms = {.window_ms = 1000, .drop_share = 1}};
    if (metrics_new(&state.metrics, &err) != STATUS_OK)
        return -1;
    metric_add(metrics_get(state.metrics, METRIC_COUNTER, "freshet_test_things_total", "kind=\"a\"",
                           "Things."),
               3);
    struct monitor_setup setup = setup_of(&state);
    if (monitor_start(&setup, &state.monitor, &err) != STATUS_OK)
        return -1;
    *test = &state;
    return 0;
}

static int end(void **test) {
    struct state *state = *test;
    monitor_stop(state->monitor);
    metrics_free(state->metrics);
    return 0;
}

// Sends the request line with an empty body; the answer as text.
static void ask(const struct state *state, const char *method, const char *path, char *answer,
                size_t size) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)monitor_port(state->monitor))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    char request[256];
    int length =
        snprintf(request, sizeof request,
                 "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", method, path);
    assert_int_equal(write(fd, request, (size_t)length), length);
    size_t got = 0;
    ssize_t n;
    while (got + 1 < size && (n = read(fd, answer + got, size - 1 - got)) > 0)
        got += (size_t)n;
    answer[got] = '\0';
    close(fd);
}

static void metrics_are_served_as_prometheus_text(void **test) {
    char answer[4096];
    ask(*test, "GET", "/metrics", answer, sizeof answer);
    assert_non_null(strstr(answer, "200 OK"));
    assert_non_null(strstr(answer, "text/plain; version=0.0.4"));
    assert_non_null(strstr(answer, "# TYPE freshet_test_things_total counter"));
    assert_non_null(strstr(answer, "freshet_test_things_total{kind=\"a\"} 3"));
}

static void health_and_readiness_differ(void **test) {
    struct state *state = *test;
    char answer[4096];
    ask(state, "GET", "/readyz", answer, sizeof answer);
    assert_non_null(strstr(answer, "200 OK"));
    state->health = (struct monitor_health){.alive = true, .reason = "trainer is recovering"};
    ask(state, "GET", "/healthz", answer, sizeof answer);
    assert_non_null(strstr(answer, "200 OK"));
    ask(state, "GET", "/readyz", answer, sizeof answer);
    assert_non_null(strstr(answer, "503"));
    assert_non_null(strstr(answer, "trainer is recovering"));
}

static void other_paths_and_methods_are_refused(void **test) {
    char answer[4096];
    ask(*test, "GET", "/secrets", answer, sizeof answer);
    assert_non_null(strstr(answer, "404"));
    ask(*test, "DELETE", "/metrics", answer, sizeof answer);
    assert_non_null(strstr(answer, "405"));
}

static void an_address_that_cannot_be_used_is_named(void **test) {
    struct state *state = *test;
    static const char *const bad[] = {"nothing", "127.0.0.1:", "127.0.0.1:99999", "example:80"};
    struct monitor *monitor;
    struct error err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        state->settings.listen = bad[i];
        struct monitor_setup setup = setup_of(state);
        assert_int_equal(monitor_start(&setup, &monitor, &err), STATUS_INVALID);
        assert_non_null(strstr(err.message, bad[i]));
    }
    char taken[32];
    snprintf(taken, sizeof taken, "127.0.0.1:%d", monitor_port(state->monitor));
    state->settings.listen = taken;
    struct monitor_setup setup = setup_of(state);
    assert_int_equal(monitor_start(&setup, &monitor, &err), STATUS_IO);
    assert_non_null(strstr(err.message, "Address already in use"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(metrics_are_served_as_prometheus_text, begin, end),
        cmocka_unit_test_setup_teardown(health_and_readiness_differ, begin, end),
        cmocka_unit_test_setup_teardown(other_paths_and_methods_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(an_address_that_cannot_be_used_is_named, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
