// One thread, one connection at a time; see proxy.h.
#include "proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"

struct proxy {
    int listener, to_port, port;
    uint64_t left, passed;
    atomic_bool stop;
    pthread_t thread;
};

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static bool write_all(int to, const unsigned char *bytes, size_t length) {
    while (length > 0) {
        ssize_t wrote = send(to, bytes, length, MSG_NOSIGNAL);
        if (wrote <= 0)
            return false;
        bytes += wrote;
        length -= (size_t)wrote;
    }
    return true;
}

// Passes on what one side has sent; false: the connection is over.
static bool pass(struct proxy *proxy, int from, int to, bool counted) {
    unsigned char bytes[4096];
    ssize_t got = recv(from, bytes, sizeof bytes, 0);
    if (got <= 0)
        return false;
    size_t length = (size_t)got;
    if (counted) {
        length = length < proxy->left ? length : (size_t)proxy->left;
        proxy->left -= length;
        proxy->passed += length;
    }
    return write_all(to, bytes, length) && !(counted && proxy->left == 0);
}

static void serve(struct proxy *proxy, int client) {
    struct sockaddr_in address = loopback(proxy->to_port);
    int server = socket(AF_INET, SOCK_STREAM, 0);
    bool good = server >= 0 && connect(server, (struct sockaddr *)&address, sizeof address) == 0;
    while (good && !atomic_load(&proxy->stop)) {
        struct pollfd both[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
        if (poll(both, 2, 20) <= 0)
            continue;
        if (both[0].revents)
            good = pass(proxy, client, server, true);
        if (good && both[1].revents)
            good = pass(proxy, server, client, false);
    }
    close(server);
    close(client);
}

static void *run(void *self) {
    struct proxy *proxy = self;
    while (!atomic_load(&proxy->stop)) {
        struct pollfd listener = {proxy->listener, POLLIN, 0};
        if (poll(&listener, 1, 20) <= 0)
            continue;
        int client = accept(proxy->listener, NULL, NULL);
        if (client >= 0 && proxy->left > 0)
            serve(proxy, client);
        else if (client >= 0)
            close(client);
    }
    return NULL;
}

struct proxy *proxy_open(int to_port, uint64_t bytes) {
    struct proxy *proxy = memory_new(1, sizeof *proxy);
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    REQUIRE(proxy);
    proxy->to_port = to_port;
    proxy->left = bytes;
    proxy->listener = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(proxy->listener >= 0);
    REQUIRE(bind(proxy->listener, (struct sockaddr *)&address, sizeof address) == 0);
    REQUIRE(listen(proxy->listener, 8) == 0);
    REQUIRE(getsockname(proxy->listener, (struct sockaddr *)&address, &length) == 0);
    proxy->port = ntohs(address.sin_port);
    REQUIRE(pthread_create(&proxy->thread, NULL, run, proxy) == 0);
    return proxy;
}

int proxy_port(const struct proxy *proxy) {
    return proxy->port;
}

uint64_t proxy_close(struct proxy *proxy) {
    atomic_store(&proxy->stop, true);
    REQUIRE(pthread_join(proxy->thread, NULL) == 0);
    close(proxy->listener);
    uint64_t passed = proxy->passed;
    memory_free(proxy);
    return passed;
}
