// What a service tells systemd (or whoever set NOTIFY_SOCKET), by its sd_notify protocol: datagrams
// of VARIABLE=VALUE lines. Does nothing where nobody listens.
#ifndef FRESHET_CLI_NOTIFY_H
#define FRESHET_CLI_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

struct notify {
    bool ready;          // said already
    int64_t extend_us;   // when the start was last said to need longer
    int64_t beat_us;     // when the watchdog was last fed
    int64_t watchdog_us; // 0 = none asked for
};
// Reads WATCHDOG_USEC and WATCHDOG_PID.
void notify_init(struct notify *notify);
void notify_send(const char *text);
// To be called a few times a second. `ready`: all tasks read live; `alive`: none has failed;
// `state`: one line for people. Says READY=1 once, asks for more time until then, and feeds the
// watchdog while all is alive.
void notify_tick(struct notify *notify, int64_t now_us, bool alive, bool ready, const char *state);

#endif
