// Sends one request with "Connection: close" and reads to the end.
#include "cli/http.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_MAX (64U << 20)

enum status http_address_parse(const char *text, struct http_address *ret_address,
                               struct error *err) {
    const char *host = strncmp(text, "http://", 7) == 0 ? text + 7 : text;
    size_t length = strcspn(host, "/");
    const char *colon = memchr(host, ':', length);
    size_t host_length = colon ? (size_t)(colon - host) : length;
    const char *port = colon ? colon + 1 : "9464";
    size_t port_length = colon ? length - host_length - 1 : 4;
    if (host_length == 0 || host_length >= sizeof ret_address->host || port_length == 0 ||
        port_length > 5 || strspn(port, "0123456789") < port_length)
        return error_set(err, STATUS_INVALID,
                         "could not read the address '%.200s': expected HOST:PORT", text);
    memcpy(ret_address->host, host, host_length);
    ret_address->host[host_length] = '\0';
    memcpy(ret_address->port, port, port_length);
    ret_address->port[port_length] = '\0';
    return STATUS_OK;
}

static enum status unreachable(const struct http_address *address, const char *reason,
                               struct error *err) {
    return error_set(err, STATUS_UNAVAILABLE,
                     "could not reach a daemon at %s:%s: %s; is it running, and is this its "
                     "monitor.listen?",
                     address->host, address->port, reason);
}

static enum status dial(const struct http_address *address, int timeout_ms, int *ret_fd,
                        struct error *err) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int code = getaddrinfo(address->host, address->port, &hints, &found);
    if (code != 0)
        return unreachable(address, gai_strerror(code), err);
    struct timeval limit = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    int fd = -1;
    for (const struct addrinfo *one = found; one && fd < 0; one = one->ai_next) {
        fd = socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);
        if (fd < 0)
            continue;
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (connect(fd, one->ai_addr, one->ai_addrlen) != 0) {
            int kept = errno;
            (void)close(fd);
            errno = kept;
            fd = -1;
        }
    }
    freeaddrinfo(found);
    if (fd < 0)
        return unreachable(address, strerror(errno), err);
    *ret_fd = fd;
    return STATUS_OK;
}

static enum status read_all(int fd, const struct http_address *address, struct buffer *into,
                            struct error *err) {
    for (;;) {
        unsigned char bytes[16384];
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got == 0)
            return STATUS_OK;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return unreachable(address, strerror(errno), err);
        buffer_append(into, bytes, (size_t)got);
        if (into->failed)
            return error_no_memory(err, into->length, "an answer");
        if (into->length > BODY_MAX)
            return error_set(err, STATUS_IO, "could not read %s:%s: the answer does not end",
                             address->host, address->port);
    }
}

// Cuts the head off; the server answers HTTP/1.0 and /1.1 alike with a known length.
static enum status take_body(const struct http_address *address, struct buffer *answer,
                             struct error *err) {
    buffer_append_byte(answer, 0);
    if (answer->failed)
        return error_no_memory(err, answer->length, "an answer");
    const char *text = (const char *)answer->data;
    const char *end = strstr(text, "\r\n\r\n");
    if (strncmp(text, "HTTP/1.", 7) != 0 || !end || strncmp(text + 8, " 200", 4) != 0)
        return error_set(err, STATUS_IO,
                         "could not read %s:%s: it answers '%.60s', not as a "
                         "daemon of Freshet would",
                         address->host, address->port, text);
    size_t head = (size_t)(end + 4 - text);
    memmove(answer->data, answer->data + head, answer->length - head);
    answer->length -= head + 1;
    return STATUS_OK;
}

enum status http_get(const struct http_address *address, const char *path, int timeout_ms,
                     struct buffer *ret_body, struct error *err) {
    char request[1024];
    int fd = -1;
    int length =
        snprintf(request, sizeof request,
                 "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, address->host);
    REQUIRE(length > 0 && (size_t)length < sizeof request);
    enum status status = dial(address, timeout_ms, &fd, err);
    if (status != STATUS_OK)
        return status;
    buffer_reset(ret_body);
    if (send(fd, request, (size_t)length, MSG_NOSIGNAL) != length)
        status = unreachable(address, strerror(errno), err);
    if (status == STATUS_OK)
        status = read_all(fd, address, ret_body, err);
    (void)close(fd);
    return status == STATUS_OK ? take_body(address, ret_body, err) : status;
}
