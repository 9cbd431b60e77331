// The schema registry's client, and the decoder on Confluent framing, against a small HTTP server.
#include "decode_fixture.h"

#include <microhttpd.h>

#include "ingest/registry.h"

#define NOW INT64_C(1700000000000)

struct server {
    struct MHD_Daemon *daemon;
    unsigned requests; // written by the server's thread, read when it is quiet
    unsigned failing;  // so many requests get 503
    bool html;         // answers that no registry gives
};

static const char click_answer[] =
    "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"C\\\",\\\"fields\\\":["
    "{\\\"name\\\":\\\"impression_id\\\",\\\"type\\\":\\\"string\\\"},"
    "{\\\"name\\\":\\\"event_time\\\",\\\"type\\\":\\\"long\\\"}]}\"}";

static enum MHD_Result answer(void *self, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state) {
    struct server *server = self;
    unsigned code = MHD_HTTP_OK;
    const char *text = click_answer;
    (void)method, (void)version, (void)upload, (void)upload_size, (void)state;
    server->requests++;
    if (server->failing > 0) {
        server->failing--;
        code = MHD_HTTP_SERVICE_UNAVAILABLE;
        text = "later";
    } else if (server->html) {
        text = "<html>a proxy's page</html>";
    } else if (strcmp(url, "/schemas/ids/2") == 0) {
        text = "{\"schema\":\"syntax = \\\"proto3\\\";\",\"schemaType\":\"PROTOBUF\"}";
    } else if (strcmp(url, "/schemas/ids/3") == 0) {
        text = "{\"schema\":\"{\\\"type\\\":\\\"record\\\"}\"}";
    } else if (strcmp(url, "/schemas/ids/4") == 0) {
        text = "{\"schema\":\"\\\"string\\\"\"}";
    } else if (strcmp(url, "/schemas/ids/5") == 0) {
        static char big[8192];
        memset(big, ' ', sizeof(big) - 1);
        text = big;
    } else if (strcmp(url, "/schemas/ids/6") == 0) {
        code = MHD_HTTP_UNAUTHORIZED;
    } else if (strcmp(url, "/schemas/ids/1") != 0) {
        code = MHD_HTTP_NOT_FOUND;
        text = "{\"error_code\":40403}";
    }
    char *copy = memory_copy_string(text);
    assert_non_null(copy);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(copy), copy, MHD_RESPMEM_MUST_COPY);
    memory_free(copy);
    enum MHD_Result result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

static unsigned server_start(struct server *server) {
    memset(server, 0, sizeof(*server));
    server->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, answer,
                                      server, MHD_OPTION_END);
    assert_non_null(server->daemon);
    return MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
}

struct registry_fixture {
    struct server server;
    struct ingest_registry settings;
    char url[64];
    struct clock_fake fake;
    struct registry *registry;
    struct error err;
};

static void start(struct registry_fixture *f) {
    snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%u/", server_start(&f->server));
    f->settings = (struct ingest_registry){.url = f->url,
                                           .user = "",
                                           .password = "",
                                           .timeout_ms = 5000,
                                           .attempts = 3,
                                           .retry_backoff_ms = 100,
                                           .cache_schemas = 3,
                                           .answer_bytes_max = 4096};
    clock_fake_init(&f->fake, NOW);
    assert_int_equal(registry_new(&f->settings, &f->fake.clock, &f->registry, &f->err), STATUS_OK);
}

static void stop(struct registry_fixture *f) {
    registry_free(f->registry);
    if (f->server.daemon != NULL)
        MHD_stop_daemon(f->server.daemon);
}

static enum status ask(struct registry_fixture *f, uint32_t id) {
    const char *text;
    size_t length;
    enum status status = registry_schema(f->registry, id, &text, &length, &f->err);
    if (status == STATUS_OK)
        assert_true(length == strlen(text) && text[0] != '\0');
    return status;
}

static void every_answer_is_asked_for_once(void **state) {
    (void)state;
    struct registry_fixture f;
    start(&f);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(&f, 1), STATUS_OK);
        assert_int_equal(ask(&f, 99), STATUS_NOT_FOUND);
        assert_int_equal(ask(&f, 2), STATUS_NOT_FOUND);
    }
    assert_int_equal(f.server.requests, 3);
    assert_true(registry_knows(f.registry, 99));
    assert_int_equal(ask(&f, 98), STATUS_NOT_FOUND); // the cache of three is full
    assert_false(registry_knows(f.registry, 1));
    stop(&f);
}

static void a_registry_that_fails_is_asked_again_with_growing_waits(void **state) {
    (void)state;
    struct registry_fixture f;
    start(&f);
    f.server.failing = 2;
    int64_t before = f.fake.now_us;
    assert_int_equal(ask(&f, 1), STATUS_OK);
    assert_int_equal(f.server.requests, 3);
    assert_int_equal(f.fake.now_us - before, 300000);
    stop(&f);
}

static void a_registry_that_is_down_or_is_none_is_unavailable(void **state) {
    (void)state;
    struct registry_fixture f;
    start(&f);
    f.server.failing = 3;
    assert_int_equal(ask(&f, 1), STATUS_UNAVAILABLE);
    assert_non_null(strstr(f.err.message, "answered 503"));
    f.server.html = true;
    assert_int_equal(ask(&f, 1), STATUS_UNAVAILABLE);
    f.server.html = false;
    assert_int_equal(ask(&f, 1), STATUS_OK);
    assert_int_equal(ask(&f, 5), STATUS_INVALID);
    assert_non_null(strstr(f.err.message, "answer_bytes_max"));
    assert_int_equal(ask(&f, 6), STATUS_INVALID);
    assert_non_null(strstr(f.err.message, "refused access"));
    MHD_stop_daemon(f.server.daemon);
    f.server.daemon = NULL;
    assert_int_equal(ask(&f, 7), STATUS_UNAVAILABLE);
    assert_non_null(strstr(f.err.message, "could not reach"));
    assert_int_equal(ask(&f, 1), STATUS_OK); // kept
    stop(&f);
}

static enum status buffer_put(void *self, const void *bytes, size_t length, struct error *err) {
    (void)err;
    buffer_append(self, bytes, length);
    return STATUS_OK;
}
struct reader {
    const struct buffer *from;
    size_t at;
};
static enum status buffer_get(void *self, void *bytes, size_t length, struct error *err) {
    struct reader *reader = self;
    if (length > reader->from->length - reader->at)
        return error_set(err, STATUS_CORRUPT, "too short");
    memcpy(bytes, reader->from->data + reader->at, length);
    reader->at += length;
    return STATUS_OK;
}

static void answers_go_with_the_checkpoint(void **state) {
    (void)state;
    struct registry_fixture f;
    struct buffer saved;
    struct sink sink = {.write = buffer_put, .self = &saved};
    buffer_init(&saved);
    start(&f);
    assert_int_equal(ask(&f, 1), STATUS_OK);
    assert_int_equal(ask(&f, 99), STATUS_NOT_FOUND);
    assert_int_equal(registry_save(f.registry, &sink, &f.err), STATUS_OK);
    registry_free(f.registry);
    assert_int_equal(registry_new(&f.settings, &f.fake.clock, &f.registry, &f.err), STATUS_OK);
    size_t whole = saved.length;
    for (saved.length = 0; saved.length < whole; saved.length++) {
        struct reader cut = {&saved, 0};
        struct source source = {.read = buffer_get, .self = &cut};
        assert_int_equal(registry_load(f.registry, &source, &f.err), STATUS_CORRUPT);
    }
    struct reader reader = {&saved, 0};
    struct source source = {.read = buffer_get, .self = &reader};
    assert_int_equal(registry_load(f.registry, &source, &f.err), STATUS_OK);
    assert_int_equal(ask(&f, 1), STATUS_OK);
    assert_int_equal(ask(&f, 99), STATUS_NOT_FOUND);
    assert_int_equal(f.server.requests, 2);
    buffer_deinit(&saved);
    stop(&f);
}

static void confluent_put(struct buffer *out, uint32_t id) {
    buffer_reset(out);
    buffer_append_byte(out, 0);
    for (int i = 24; i >= 0; i -= 8)
        buffer_append_byte(out, (unsigned char)(id >> i));
    wire_put_string(out, "p1");
    wire_put_long(out, NOW);
}

static void confluent_records_are_read_by_the_schema_they_name(void **state) {
    (void)state;
    static struct decode_fixture f;
    struct server server;
    struct buffer out;
    char yaml[1024];
    buffer_init(&out);
    unsigned port = server_start(&server);
    snprintf(
        yaml, sizeof(yaml),
        "data:\n  features: [{name: impression_id}, {name: later, path: not.yet}]\n"
        "  tasks: [{name: y, path: event_time}]\n"
        "ingest:\n  join: none\n  registry: {url: \"http://127.0.0.1:%u\", retry_backoff: 1ms}\n"
        "  inputs:\n    - {name: c, topic: c, role: impression, framing: confluent, "
        "time: event_time, key: [impression_id]}\n",
        port);
    assert_int_equal(decode_start(&f, yaml), STATUS_OK);
    confluent_put(&out, 1);
    assert_int_equal(decode_drop(&f, 0, &out, NOW), EVENT_USED);
    assert_true(seen_id(&f.seen[0], 0) == spec_id("impression_id", "p1", 2));
    assert_true(seen_id(&f.seen[0], 1) == 0); // the schema has no such field: missing
    static const struct {
        uint32_t id;
        enum event_drop drop;
        const char *message;
    } cases[] = {{99, EVENT_UNKNOWN_SCHEMA, "has no schema 99"},
                 {2, EVENT_UNKNOWN_SCHEMA, "is not an Avro schema"},
                 {3, EVENT_UNKNOWN_SCHEMA, "has no name"},
                 {4, EVENT_MISSING_FIELD, "key: path `impression_id` is not in the schema"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        confluent_put(&out, cases[i].id);
        assert_int_equal(decode_drop(&f, 0, &out, NOW), cases[i].drop);
        if (strstr(f.result.message, cases[i].message) == NULL)
            fail_msg("%s", f.result.message);
    }
    buffer_reset(&out);
    buffer_append(&out, "\1\0\0\0\1", 5);
    assert_int_equal(decode_drop(&f, 0, &out, NOW), EVENT_UNDECODABLE);
    assert_int_equal(server.requests, 5);
    buffer_deinit(&out);
    decode_stop(&f);
    MHD_stop_daemon(server.daemon);
}

static void a_registry_that_is_down_loses_nothing(void **state) {
    (void)state;
    static struct decode_fixture f;
    struct server server;
    struct buffer out;
    char yaml[1024];
    uint32_t inputs[] = {0};
    buffer_init(&out);
    unsigned port = server_start(&server);
    snprintf(yaml, sizeof(yaml),
             "data:\n  features: [{name: impression_id}]\n  tasks: [{name: y, path: event_time}]\n"
             "ingest:\n  join: none\n  registry: {url: \"http://127.0.0.1:%u\", attempts: 1}\n"
             "  inputs:\n    - {name: c, topic: c, role: impression, framing: confluent, "
             "time: event_time, key: [impression_id]}\n",
             port);
    assert_int_equal(decode_start(&f, yaml), STATUS_OK);
    confluent_put(&out, 1);
    struct log_record record = {
        .timestamp_ms = NOW + 7, .value = out.data, .value_length = out.length};
    server.failing = 1;
    assert_int_equal(decoder_prepare(f.decoder, inputs, &record, 1, &f.err), STATUS_UNAVAILABLE);
    server.failing = 1; // a time that could not be read is told of before anything is built on it
    assert_int_equal(decoder_event_time(f.decoder, 0, &record), NOW + 7);
    assert_int_equal(decoder_prepare(f.decoder, inputs, &record, 1, &f.err), STATUS_UNAVAILABLE);
    assert_int_equal(decoder_prepare(f.decoder, inputs, &record, 1, &f.err), STATUS_OK);
    assert_int_equal(decoder_event_time(f.decoder, 0, &record), NOW);
    assert_int_equal(decode_drop(&f, 0, &out, NOW), EVENT_USED);
    buffer_deinit(&out);
    decode_stop(&f);
    MHD_stop_daemon(server.daemon);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_is_asked_for_once),
        cmocka_unit_test(a_registry_that_fails_is_asked_again_with_growing_waits),
        cmocka_unit_test(a_registry_that_is_down_or_is_none_is_unavailable),
        cmocka_unit_test(answers_go_with_the_checkpoint),
        cmocka_unit_test(confluent_records_are_read_by_the_schema_they_name),
        cmocka_unit_test(a_registry_that_is_down_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
