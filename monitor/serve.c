// What each path answers.
#include "monitor/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/process.h"
#include "monitor/select.h"

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
    // The page is whole in itself: nothing is loaded from anywhere else, nor may it be framed. The
    // chart library sets styles inline.
    MHD_add_response_header(response, "Content-Security-Policy",
                            "default-src 'self'; style-src 'self' 'unsafe-inline'; "
                            "frame-ancestors 'none'");
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
    process_refresh(monitor->setup.metrics, monitor->setup.directories, 2);
    metrics_render(monitor->setup.metrics, &text);
    enum MHD_Result result =
        text.failed ? answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory")
                    : answer(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
                             text.data ? (const void *)text.data : "", text.length);
    buffer_deinit(&text);
    return result;
}

static int64_t query_number(struct MHD_Connection *connection, const char *key) {
    const char *text = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, key);
    return text ? (int64_t)strtoll(text, NULL, 10) : 0; // what is no number asks for everything
}

static void put_text(struct buffer *into, const char *key, const char *text) {
    char labels[1024] = "";
    metrics_label(labels, sizeof labels, key, text);
    select_labels_json(labels, into);
}

static enum MHD_Result answer_history(struct monitor *monitor, struct MHD_Connection *connection) {
    struct history_query query = {
        .names = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "names"),
        .where = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "where"),
        .since_ms = query_number(connection, "since")};
    struct monitor_health health = {.alive = true, .ready = true};
    struct buffer text;
    buffer_init(&text);
    monitor->setup.health(monitor->setup.self, &health);
    buffer_append_text(&text, "{\"deployment\":");
    put_text(&text, "name", monitor->setup.name);
    buffer_append_text(&text, ",\"stages\":");
    put_text(&text, "names", monitor->setup.stages);
    buffer_append_text(&text, ",\"version\":\"%s\",\"interval_ms\":%lld,\"freshness_ms\":%lld,",
                       FRESHET_VERSION, (long long)monitor->setup.settings->sample_interval_ms,
                       (long long)monitor->setup.settings->alarms.freshness_ms);
    buffer_append_text(&text,
                       "\"alive\":%s,\"ready\":%s,\"state\":", health.alive ? "true" : "false",
                       health.ready ? "true" : "false");
    put_text(&text, "reason", health.reason);
    buffer_append_text(&text, ",\"alarms\":");
    alarms_render(monitor->alarms, &text);
    buffer_append_byte(&text, ',');
    history_render(monitor->history, &query, &text);
    buffer_append_byte(&text, '}');
    enum MHD_Result result =
        text.failed ? answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory")
                    : answer(connection, MHD_HTTP_OK, "application/json", text.data, text.length);
    buffer_deinit(&text);
    return result;
}

static enum MHD_Result answer_health(struct monitor *monitor, struct MHD_Connection *connection,
                                     bool readiness) {
    struct monitor_health health = {.alive = true, .ready = true};
    monitor->setup.health(monitor->setup.self, &health);
    bool good = readiness ? health.ready && health.alive : health.alive;
    if (good)
        return answer_text(connection, MHD_HTTP_OK, readiness ? "ready" : "ok");
    return answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, health.reason);
}

// A POST under way: MHD brings the body in pieces.
struct posting {
    struct buffer body;
    bool too_long;
};

// Called first with nothing, then with pieces, then with nothing again: the answer is due.
static enum MHD_Result take_post(struct monitor *monitor, struct MHD_Connection *connection,
                                 const char *upload, size_t *upload_length, void **request) {
    const struct monitor_post *post = &monitor->setup.post;
    struct posting *posting = *request;
    if (!posting) {
        posting = memory_new(1, sizeof *posting);
        if (!posting)
            return MHD_NO;
        buffer_init(&posting->body);
        *request = posting;
        return MHD_YES;
    }
    if (*upload_length > 0) {
        posting->too_long |= *upload_length > post->body_max - posting->body.length;
        if (!posting->too_long)
            buffer_append(&posting->body, upload, *upload_length);
        *upload_length = 0;
        return MHD_YES;
    }
    if (posting->too_long)
        return answer_text(connection, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too long");
    struct buffer text;
    buffer_init(&text);
    unsigned status = posting->body.failed
                          ? MHD_HTTP_INTERNAL_SERVER_ERROR
                          : post->answer(post->self, (const char *)posting->body.data,
                                         posting->body.length, &text);
    enum MHD_Result result =
        text.failed || posting->body.failed
            ? answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory")
            : answer(connection, status, "application/json", text.data, text.length);
    buffer_deinit(&text);
    return result;
}

void serve_done(void *self, struct MHD_Connection *connection, void **request,
                enum MHD_RequestTerminationCode code) {
    (void)self;
    (void)connection;
    (void)code;
    struct posting *posting = *request;
    if (!posting)
        return;
    buffer_deinit(&posting->body);
    memory_free(posting);
    *request = NULL;
}

enum MHD_Result serve(void *self, struct MHD_Connection *connection, const char *url,
                      const char *method, const char *version, const char *upload,
                      size_t *upload_length, void **request) {
    struct monitor *monitor = self;
    (void)version;
    if (monitor->setup.post.path && strcmp(url, monitor->setup.post.path) == 0 &&
        strcmp(method, "POST") == 0)
        return take_post(monitor, connection, upload, upload_length, request);
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
    if (strcmp(url, "/history") == 0)
        return answer_history(monitor, connection);
    for (size_t i = 0; i < page_file_count; i++)
        if (strcmp(url, page_files[i].path) == 0)
            return answer(connection, MHD_HTTP_OK, page_files[i].type, page_files[i].bytes,
                          page_files[i].length);
    return answer_text(connection, MHD_HTTP_NOT_FOUND, "try /, /metrics, /healthz or /readyz");
}
