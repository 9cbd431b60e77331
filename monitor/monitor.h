// The daemon seen from outside: /metrics, /healthz and /readyz over HTTP.
//
//   /metrics  the metric registry in Prometheus's text format
//   /healthz  200 "ok" while the daemon's tasks run, 503 and the reason once one has failed
//   /readyz   200 "ready" once every task has recovered and reads live, else 503 and what is
//   awaited
//
// Listens on loopback by default. One thread of its own answers; it only reads. Requests are
// bounded in count, size and time; anything but GET or HEAD on these paths is refused.
#ifndef FRESHET_MONITOR_MONITOR_H
#define FRESHET_MONITOR_MONITOR_H

#include "base/metrics.h"
#include "config/option.h"

struct monitor_settings {
    const char *listen;      // "HOST:PORT", port 0 = any free one; "" = off
    int64_t connections_max; // at one time
    int64_t timeout_ms;      // of one connection
};
extern const struct option_table monitor_options;

struct monitor_health {
    bool alive;       // no task has failed
    bool ready;       // every task reads live
    char reason[256]; // why not, one line
};

struct monitor;

// health is called from the monitor's thread. STATUS_INVALID: `listen` cannot be read; STATUS_IO:
// the address cannot be bound.
CHECKED enum status monitor_start(const struct monitor_settings *settings, struct metrics *metrics,
                                  void (*health)(void *self, struct monitor_health *ret_health),
                                  void *self, struct monitor **ret_monitor, struct error *err);
int monitor_port(const struct monitor *monitor); // the port bound
void monitor_stop(struct monitor *monitor);      // NULL is fine

#endif
