// The monitor's listening socket, made here because libmicrohttpd does not say why it could not.
#include "monitor/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static enum status parse(const char *where, struct sockaddr_in *ret_address, struct error *err) {
    const char *colon = strrchr(where, ':');
    char host[64];
    if (!colon || (size_t)(colon - where) >= sizeof host)
        return error_set(err, STATUS_INVALID,
                         "could not read monitor.listen '%s': expected HOST:PORT", where);
    memcpy(host, where, (size_t)(colon - where));
    host[colon - where] = '\0';
    char *rest = NULL;
    errno = 0;
    long port = strtol(colon + 1, &rest, 10);
    if (errno != 0 || rest == colon + 1 || *rest != '\0' || port < 0 || port > 65535)
        return error_set(err, STATUS_INVALID,
                         "could not read monitor.listen '%s': the port is not within 0 to 65535",
                         where);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const char *numeric = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    if (inet_pton(AF_INET, numeric, &address.sin_addr) != 1)
        return error_set(err, STATUS_INVALID,
                         "could not read monitor.listen '%s': the host is not an IPv4 address",
                         where);
    *ret_address = address;
    return STATUS_OK;
}

static bool bind_and_listen(int fd, const struct sockaddr_in *address) {
    const int yes = 1;
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
           bind(fd, (const struct sockaddr *)address, sizeof *address) == 0 &&
           listen(fd, SOMAXCONN) == 0;
}

enum status listen_open(const char *where, int *ret_socket, int *ret_port, struct error *err) {
    struct sockaddr_in address;
    enum status status = parse(where, &address, err);
    if (status != STATUS_OK)
        return status;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t length = sizeof address;
    if (fd < 0 || !bind_and_listen(fd, &address) ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        status = error_set(err, STATUS_IO,
                           "could not listen on %s (monitor.listen): %s; choose another port",
                           where, strerror(errno));
        if (fd >= 0)
            close(fd);
        return status;
    }
    *ret_socket = fd;
    *ret_port = (int)ntohs(address.sin_port);
    return STATUS_OK;
}
