// The daemon seen from outside, over HTTP:
//
//   /         the live page: plots of what follows, for people
//   /history  what the page plots: JSON of the newest samples and the alarms (history.h says how)
//   /metrics  the metric registry in Prometheus's text format
//   /healthz  200 "ok" while the daemon's tasks run, 503 and the reason once one has failed
//   /readyz   200 "ready" once every task has recovered and reads live, else 503 and what is
//             awaited
//
// Listens on loopback by default. One thread of its own answers and another takes samples; both
// only read what the tasks have written into the registry, so that viewers never slow a task down.
// Requests are bounded in count, size and time; anything but GET or HEAD on these paths is refused
// (`freshet serve` adds a POST of its own).
#ifndef FRESHET_MONITOR_MONITOR_H
#define FRESHET_MONITOR_MONITOR_H

#include "base/metrics.h"
#include "config/option.h"

// When an alarm sounds; see alarms.c for what each says.
struct monitor_alarms {
    int64_t window_ms;        // over which growth, drops and freshness are judged
    int64_t lag_records;      // less lag than this is never an alarm
    int64_t freshness_ms;     // a version later than this is late
    double freshness_share;   // of versions that may be late
    double auc_drop;          // recent AUC below the AUC since the beginning
    double calibration_error; // |predicted / observed - 1|
    double drop_share;        // of records dropped
    int64_t checkpoint_age_ms;
    double disk_free_share;
};

struct monitor_settings {
    const char *listen;      // "HOST:PORT", port 0 = any free one; "" = off
    int64_t connections_max; // at one time
    int64_t timeout_ms;      // of one connection
    int64_t sample_interval_ms;
    int64_t history_series_max;
    struct monitor_alarms alarms;
};
extern const struct option_table monitor_options;

struct monitor_health {
    bool alive;       // no task has failed
    bool ready;       // every task reads live
    char reason[256]; // why not, one line
};

// What a daemon does beside being watched: answers to POST on one path, from the thread that
// serves.
struct monitor_post {
    const char *path; // NULL = none
    size_t body_max;  // bytes; a longer body is refused with 413
    // Appends the answer and gives its HTTP status.
    unsigned (*answer)(void *self, const char *body, size_t length, struct buffer *into);
    void *self;
};

struct monitor_setup {
    const struct monitor_settings *settings; // borrowed
    struct metrics *metrics;                 // borrowed
    const char *name;                        // of the deployment; borrowed
    const char *stages;                      // what runs here: "ingest, trainer"; borrowed
    const char *directories[2];              // whose disks are watched; NULL = none; borrowed
    // Called from the monitor's threads.
    void (*health)(void *self, struct monitor_health *ret_health);
    void *self;
    struct monitor_post post;
};

struct monitor;

// STATUS_INVALID: `listen` cannot be read; STATUS_IO: the address cannot be bound.
CHECKED enum status monitor_start(const struct monitor_setup *setup, struct monitor **ret_monitor,
                                  struct error *err);
int monitor_port(const struct monitor *monitor); // the port bound
// Other thresholds from the next sample on. Thread-safe.
void monitor_alarms_set(struct monitor *monitor, const struct monitor_alarms *alarms);
void monitor_stop(struct monitor *monitor); // NULL is fine

#endif
