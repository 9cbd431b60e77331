// What watching costs: how long /metrics takes to answer, and what 20 viewers of the live page take
// from the machine.
//
//   bench_monitor [DOMAINS] [TASKS]                                              100 and 8
//
// The registry holds the measures of DOMAINS x TASKS in both windows, as a trainer exports them,
// and a history of 300 samples. A viewer asks as the page does: the newest sample of everything
// over all domains, and of one task's domains, every 5 seconds. Their cost is the processor time
// of the daemon's side alone, over that of both cores of a machine for the same seconds.
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "monitor/monitor.h"

enum { SCRAPES = 200, VIEWERS = 20, POLLS = 100, INTERVAL_S = 5, CORES = 2 };

static void must(bool good, const char *what) {
    if (!good) {
        fprintf(stderr, "bench_monitor: could not %s\n", what);
        exit(1);
    }
}

static double seconds_of(clockid_t clock) {
    struct timespec now;
    must(clock_gettime(clock, &now) == 0, "read a clock");
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void fill(struct metrics *metrics, int domains, int tasks) {
    static const char *const names[] = {"auc",         "auc_error",       "normalised_entropy",
                                        "calibration", "measured_labels", "measured_positives"};
    for (int task = 0; task < tasks; task++)
        for (int domain = 0; domain <= domains; domain++)
            for (int i = 0; i < 12; i++) {
                char name[64], labels[128];
                snprintf(name, sizeof name, "freshet_trainer_%s", names[i / 2]);
                snprintf(labels, sizeof labels,
                         "task=\"task_%d\",domain=\"domain_%d\",window=\"%s\"", task, domain,
                         i % 2 ? "recent" : "ever");
                if (domain == 0)
                    snprintf(labels, sizeof labels, "task=\"task_%d\",domain=\"all\",window=\"%s\"",
                             task, i % 2 ? "recent" : "ever");
                metric_set(metrics_get(metrics, METRIC_GAUGE, name, labels, "A measure."),
                           .5 + 1. / (3 + i + domain + 7 * task));
            }
}

static void tell_health(void *self, struct monitor_health *ret_health) {
    (void)self;
    *ret_health = (struct monitor_health){.alive = true, .ready = true};
}

// One request on a connection of its own; the number of bytes answered.
static size_t ask(int port, const char *path) {
    static char bytes[65536];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    must(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    int length = snprintf(bytes, sizeof bytes,
                          "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    must(write(fd, bytes, (size_t)length) == length, "ask");
    size_t all = 0;
    for (ssize_t got; (got = read(fd, bytes, sizeof bytes)) > 0; all += (size_t)got) {
    }
    (void)close(fd);
    must(all > 0, "read an answer");
    return all;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure_scrapes(int port) {
    static double took_ms[SCRAPES];
    size_t bytes = 0;
    for (int i = 0; i < SCRAPES; i++) {
        double begin = seconds_of(CLOCK_MONOTONIC);
        bytes = ask(port, "/metrics");
        took_ms[i] = (seconds_of(CLOCK_MONOTONIC) - begin) * 1000;
    }
    qsort(took_ms, SCRAPES, sizeof *took_ms, ascending);
    printf(
        "figure bench=monitor case=page who=freshet value=%.2f unit=p99-ms median=%.2f bytes=%zu\n",
        took_ms[SCRAPES * 99 / 100], took_ms[SCRAPES / 2], bytes);
}

// Polls of viewers who have the history already: each asks for what is newer than its last.
static void measure_viewers(int port) {
    char all[256], domains[256];
    long long since = (long long)clock_system.wall_ms(&clock_system) - 1500;
    snprintf(all, sizeof all, "/history?names=freshet_*,process_*&where=domain:all&since=%lld",
             since);
    snprintf(domains, sizeof domains,
             "/history?names=freshet_trainer_*&where=task:task_3,window:recent&since=%lld", since);
    double begin = seconds_of(CLOCK_PROCESS_CPUTIME_ID), own = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < POLLS; i++) {
        (void)ask(port, all);
        (void)ask(port, domains);
    }
    double served =
        seconds_of(CLOCK_PROCESS_CPUTIME_ID) - begin - (seconds_of(CLOCK_THREAD_CPUTIME_ID) - own);
    double share = served / POLLS * VIEWERS / INTERVAL_S / CORES;
    printf("figure bench=monitor case=page who=freshet value=%.3f unit=percent poll_us=%.0f\n",
           100 * share, served / POLLS * 1e6);
}

int main(int argc, char **argv) {
    struct error err;
    struct metrics *metrics;
    struct monitor *monitor;
    struct monitor_settings settings = {.listen = "127.0.0.1:0",
                                        .connections_max = 64,
                                        .timeout_ms = 5000,
                                        .sample_interval_ms = 1000,
                                        .history_series_max = 8192,
                                        .alarms = {.window_ms = 60000, .freshness_ms = 10000}};
    struct monitor_setup setup = {
        .settings = &settings, .name = "bench", .stages = "trainer", .health = tell_health};
    must(metrics_new(&metrics, &err) == STATUS_OK, "make the registry");
    setup.metrics = metrics;
    fill(metrics, argc > 1 ? (int)strtol(argv[1], NULL, 10) : 100,
         argc > 2 ? (int)strtol(argv[2], NULL, 10) : 8);
    must(monitor_start(&setup, &monitor, &err) == STATUS_OK, "start the monitor");
    clock_system.sleep_ms(&clock_system, 3000); // samples are taken
    measure_scrapes(monitor_port(monitor));
    measure_viewers(monitor_port(monitor));
    monitor_stop(monitor);
    metrics_free(metrics);
    return 0;
}
