// Requests of any bytes over a real socket to a running monitor, which must answer the next one.
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/monitor.h"
#include "tests/fuzz/fuzz.h"

static void well(void *self, struct monitor_health *ret_health) {
    (void)self;
    *ret_health = (struct monitor_health){.alive = true, .ready = true};
}

static struct monitor *the_monitor(void) {
    static struct monitor *monitor;
    static const struct monitor_settings settings = {.listen = "127.0.0.1:0",
                                                     .connections_max = 16,
                                                     .timeout_ms = 2000,
                                                     .sample_interval_ms = 60000,
                                                     .history_series_max = 16};
    struct metrics *metrics;
    struct error err;
    if (!monitor) {
        REQUIRE(metrics_new(&metrics, &err) == STATUS_OK);
        metric_add(metrics_get(metrics, METRIC_COUNTER, "freshet_fuzz_total", "", "Things."), 1);
        const struct monitor_setup setup = {.settings = &settings,
                                            .metrics = metrics,
                                            .name = "fuzz",
                                            .stages = "none",
                                            .health = well};
        REQUIRE(monitor_start(&setup, &monitor, &err) == STATUS_OK);
    }
    return monitor;
}

// Sends the bytes, says that no more will come, and reads to the end of the answer.
static size_t ask(const void *bytes, size_t length, char *answer, size_t size) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)monitor_port(the_monitor()))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    size_t taken = 0;
    ssize_t got = send(fd, bytes, length, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    while (got >= 0 && taken < size && (got = recv(fd, answer + taken, size - taken, 0)) > 0)
        taken += (size_t)got;
    close(fd);
    return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    static const char good[] = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    static unsigned turn;
    char answer[4096];
    (void)ask(bytes, length, answer, sizeof answer);
    if (turn++ % 16 == 0) {
        size_t taken = ask(good, sizeof good - 1, answer, sizeof answer);
        REQUIRE(taken > 12 && memcmp(answer, "HTTP/1.1 200", 12) == 0);
    }
    return 0;
}

void fuzz_seeds(void (*emit)(const void *bytes, size_t length)) {
    static const char *const seeds[] = {
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "HEAD /readyz HTTP/1.0\r\n\r\n",
        "GET /healthz?a=%00&b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"};
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++)
        emit(seeds[i], strlen(seeds[i]));
}
