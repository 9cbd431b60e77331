// The HTTP side of monitor.h, on libmicrohttpd with one polling thread.
#include "monitor/monitor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <microhttpd.h>

struct monitor {
    struct MHD_Daemon *daemon;
    struct metrics *metrics;
    void (*health)(void *self, struct monitor_health *ret_health);
    void *self;
    int port;
};

static const struct option monitor_option_list[] = {
    {.key = "listen",
     .type = OPTION_TEXT,
     .offset = offsetof(struct monitor_settings, listen),
     .default_text = "127.0.0.1:9464",
     .help =
         "Address and port of /metrics, /healthz and /readyz; port 0 takes a free one, an empty "
         "text turns them off. There is no authentication: leave it on loopback or behind a "
         "proxy."},
    {.key = "connections_max",
     .type = OPTION_INT,
     .offset = offsetof(struct monitor_settings, connections_max),
     .default_text = "64",
     .minimum = 1,
     .maximum = 10000,
     .help = "Most connections at one time; further ones are refused."},
    {.key = "timeout",
     .type = OPTION_DURATION,
     .offset = offsetof(struct monitor_settings, timeout_ms),
     .default_text = "10s",
     .minimum = 1000,
     .maximum = 600000,
     .help = "A connection that is silent for this long is closed."},
};
const struct option_table monitor_options = {
    .title = "monitor",
    .help = "What a daemon shows of itself over HTTP.",
    .struct_bytes = sizeof(struct monitor_settings),
    .options = monitor_option_list,
    .count = sizeof monitor_option_list / sizeof monitor_option_list[0],
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type,
                              const void *bytes, size_t length) {
    // MHD copies the bytes at once; its signature wants them without const.
    struct MHD_Response *response =
        MHD_create_response_from_buffer(length, (void *)(uintptr_t)bytes, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status,
                                   const char *text) {
    char line[320];
    int length = snprintf(line, sizeof line, "%s\n", text);
    return answer(connection, status, "text/plain; charset=utf-8", line, (size_t)length);
}

static enum MHD_Result answer_metrics(struct monitor *monitor, struct MHD_Connection *connection) {
    struct buffer text;
    buffer_init(&text);
    metrics_render(monitor->metrics, &text);
    enum MHD_Result result =
        text.failed ? answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory")
                    : answer(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
                             text.data ? (const void *)text.data : "", text.length);
    buffer_deinit(&text);
    return result;
}

static enum MHD_Result answer_health(struct monitor *monitor, struct MHD_Connection *connection,
                                     bool readiness) {
    struct monitor_health health = {.alive = true, .ready = true};
    monitor->health(monitor->self, &health);
    bool good = readiness ? health.ready && health.alive : health.alive;
    if (good)
        return answer_text(connection, MHD_HTTP_OK, readiness ? "ready" : "ok");
    return answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, health.reason);
}

static enum MHD_Result handle(void *self, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_length, void **request) {
    struct monitor *monitor = self;
    (void)version;
    (void)upload;
    (void)request;
    if (*upload_length != 0)
        return MHD_NO; // no path takes a body
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD");
    if (strcmp(url, "/metrics") == 0)
        return answer_metrics(monitor, connection);
    if (strcmp(url, "/healthz") == 0)
        return answer_health(monitor, connection, false);
    if (strcmp(url, "/readyz") == 0)
        return answer_health(monitor, connection, true);
    return answer_text(connection, MHD_HTTP_NOT_FOUND, "try /metrics, /healthz or /readyz");
}

// "HOST:PORT" with a numeric IPv4 host or "localhost".
static enum status parse_listen(const char *listen, struct sockaddr_in *ret_address,
                                struct error *err) {
    const char *colon = strrchr(listen, ':');
    char host[64];
    if (!colon || (size_t)(colon - listen) >= sizeof host)
        return error_set(err, STATUS_INVALID,
                         "could not read monitor.listen '%s': expected HOST:PORT", listen);
    memcpy(host, listen, (size_t)(colon - listen));
    host[colon - listen] = '\0';
    char *rest = NULL;
    errno = 0;
    long port = strtol(colon + 1, &rest, 10);
    if (errno != 0 || rest == colon + 1 || *rest != '\0' || port < 0 || port > 65535)
        return error_set(err, STATUS_INVALID,
                         "could not read monitor.listen '%s': the port is not within 0 to 65535",
                         listen);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const char *numeric = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    if (inet_pton(AF_INET, numeric, &address.sin_addr) != 1)
        return error_set(err, STATUS_INVALID,
                         "could not read monitor.listen '%s': the host is not an IPv4 address",
                         listen);
    *ret_address = address;
    return STATUS_OK;
}

enum status monitor_start(const struct monitor_settings *settings, struct metrics *metrics,
                          void (*health)(void *self, struct monitor_health *ret_health), void *self,
                          struct monitor **ret_monitor, struct error *err) {
    struct sockaddr_in address;
    enum status status = parse_listen(settings->listen, &address, err);
    if (status != STATUS_OK)
        return status;
    struct monitor *monitor = memory_new(1, sizeof *monitor);
    if (!monitor)
        return error_no_memory(err, sizeof *monitor, "the monitor");
    monitor->metrics = metrics;
    monitor->health = health;
    monitor->self = self;
    monitor->daemon =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, handle, monitor,
                         MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)settings->connections_max,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(settings->timeout_ms / 1000),
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)32768, MHD_OPTION_END);
    if (!monitor->daemon) {
        status = error_set(err, STATUS_IO,
                           "could not listen on %s (monitor.listen): %s; choose another port",
                           settings->listen, strerror(errno));
        memory_free(monitor);
        return status;
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(monitor->daemon, MHD_DAEMON_INFO_BIND_PORT);
    monitor->port = info && info->port ? (int)info->port : (int)ntohs(address.sin_port);
    *ret_monitor = monitor;
    return STATUS_OK;
}

int monitor_port(const struct monitor *monitor) {
    return monitor->port;
}

void monitor_stop(struct monitor *monitor) {
    if (!monitor)
        return;
    MHD_stop_daemon(monitor->daemon);
    memory_free(monitor);
}
