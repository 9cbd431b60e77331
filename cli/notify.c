// One datagram a message; see sd_notify(3) for the protocol.
#include "cli/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define EXTEND_EVERY_US 10000000

void notify_init(struct notify *notify) {
    *notify = (struct notify){0};
    const char *period = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (period && (!pid || strtoll(pid, NULL, 10) == (long long)getpid()))
        notify->watchdog_us = strtoll(period, NULL, 10);
}

void notify_send(const char *text) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = path ? strlen(path) : 0;
    if (length < 2 || length >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(address.sun_path, path, length);
    if (path[0] == '@')
        address.sun_path[0] = '\0'; // the abstract namespace
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    // Whoever asked to be told may have stopped listening: that must not stop the daemon.
    struct timeval patience = {.tv_usec = 200000};
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
    (void)close(fd);
}

void notify_tick(struct notify *notify, int64_t now_us, bool alive, bool ready, const char *state) {
    char text[400];
    if (ready && alive && !notify->ready) {
        notify->ready = true;
        notify_send("READY=1\nSTATUS=running");
    } else if (!notify->ready &&
               (notify->extend_us == 0 || now_us - notify->extend_us >= EXTEND_EVERY_US)) {
        // Recovery and absent servers may take longer than systemd's patience with a start.
        notify->extend_us = now_us;
        snprintf(text, sizeof text, "STATUS=%s\nEXTEND_TIMEOUT_USEC=%d", state,
                 3 * EXTEND_EVERY_US);
        notify_send(text);
    }
    if (notify->watchdog_us > 0 && alive && now_us - notify->beat_us >= notify->watchdog_us / 3) {
        notify->beat_us = now_us;
        notify_send("WATCHDOG=1");
    }
}
