// Answers of any bytes from a schema registry, over a real socket.
//
// A thread of the target is the registry: it takes the request and sends the input, as it is, as
// the whole HTTP answer.
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ingest/registry.h"
#include "ingest/schema.h"
#include "tests/fuzz/fuzz.h"

// The input while it is the answer; a request that is given up may be answered after that.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const uint8_t *answer;
static size_t answer_length;
static int listening;

static void *serve(void *unused) {
    (void)unused;
    for (;;) {
        char request[4096];
        int fd = accept(listening, NULL, NULL);
        REQUIRE(fd >= 0);
        if (recv(fd, request, sizeof request, 0) > 0) {
            REQUIRE(pthread_mutex_lock(&lock) == 0);
            (void)!send(fd, answer, answer_length, MSG_NOSIGNAL | MSG_DONTWAIT);
            REQUIRE(pthread_mutex_unlock(&lock) == 0);
        }
        shutdown(fd, SHUT_WR);
        while (recv(fd, request, sizeof request, 0) > 0) {
        }
        close(fd);
    }
    return NULL;
}

static void answer_set(const uint8_t *bytes, size_t length) {
    REQUIRE(pthread_mutex_lock(&lock) == 0);
    answer = bytes;
    answer_length = length;
    REQUIRE(pthread_mutex_unlock(&lock) == 0);
}

static const char *the_url(void) {
    static char url[64];
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    pthread_t thread;
    if (url[0])
        return url;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listening = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(bind(listening, (struct sockaddr *)&address, size) == 0 && listen(listening, 8) == 0 &&
            getsockname(listening, (struct sockaddr *)&address, &size) == 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", ntohs(address.sin_port));
    REQUIRE(pthread_create(&thread, NULL, serve, NULL) == 0 && pthread_detach(thread) == 0);
    return url;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    const struct ingest_registry settings = {.url = the_url(),
                                             .user = "",
                                             .password = "",
                                             .timeout_ms = 2000,
                                             .attempts = 1,
                                             .retry_backoff_ms = 1,
                                             .cache_schemas = 4,
                                             .answer_bytes_max = 65536};
    struct registry *registry;
    struct schema *schema = NULL;
    struct error err;
    const char *text;
    size_t text_length;
    answer_set(bytes, length);
    REQUIRE(registry_new(&settings, &clock_system, &registry, &err) == STATUS_OK);
    enum status status = registry_schema(registry, 1, &text, &text_length, &err);
    REQUIRE(status == STATUS_OK || status == STATUS_NOT_FOUND || status == STATUS_UNAVAILABLE ||
            status == STATUS_INVALID);
    REQUIRE((status == STATUS_OK || status == STATUS_NOT_FOUND) == registry_knows(registry, 1));
    if (status == STATUS_OK && schema_parse(text, text_length, &schema, &err) == STATUS_OK)
        schema_free(schema);
    registry_free(registry);
    answer_set(NULL, 0);
    return 0;
}

void fuzz_seeds(void (*emit)(const void *bytes, size_t length)) {
    static const char *const seeds[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{\"schema\":\"\\\"long\\\"\"}",
        "HTTP/1.1 200 "
        "OK\r\n\r\n{\"schema\":\"{\\\"type\\\":\\\"map\\\",\\\"values\\\":\\\"int\\\"}\","
        "\"schemaType\":\"AVRO\",\"references\":[]}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n{\"schema\":\"\\\"int\\\"\"}  "
        "\r\n0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n{\"schema\":\"x\",\"schemaType\":\"PROTOBUF\"}"};
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++)
        emit(seeds[i], strlen(seeds[i]));
}
