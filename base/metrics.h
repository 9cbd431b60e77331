// The metric registry: counters, gauges and histograms that /metrics renders (Prometheus text
// 0.0.4).
//
// Metrics are registered at start (or when a label value first appears) and live as long as the
// registry. Updates are atomic and lock-free from any thread; a counter only grows.
#ifndef FRESHET_BASE_METRICS_H
#define FRESHET_BASE_METRICS_H

#include "base/memory.h"

struct metrics; // the registry
struct metric;  // one time series

CHECKED enum status metrics_new(struct metrics **ret_metrics, struct error *err);
void metrics_free(struct metrics *metrics);

enum { METRICS_SERIES_MAX = 20000, METRICS_FAMILIES_MAX = 512, METRIC_BUCKETS_MAX = 64 };
enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
// The series of this name and label text (`task="click",domain="1"`, or ""; made with
// metrics_label for values that may need escaping), registered when new; never NULL: when memory or
// the bound on series or names is out, a shared series that is not rendered. Names follow
// Prometheus's conventions: freshet_<stage>_<what>_<unit>[_total]. Thread-safe.
struct metric *metrics_get(struct metrics *metrics, enum metric_type type, const char *name,
                           const char *labels, const char *help);
void metric_add(struct metric *metric, double amount); // amount >= 0 for counters
void metric_set(struct metric *metric, double value);
double metric_value(const struct metric *metric);

struct metric_histogram;
// Buckets: ascending upper bounds, at most METRIC_BUCKETS_MAX; copied.
struct metric_histogram *metrics_histogram(struct metrics *metrics, const char *name,
                                           const char *labels, const char *help,
                                           const double *bounds, size_t count);
void metric_observe(struct metric_histogram *histogram, double value);

// How often a series was asked for that the bounds left no room for.
uint64_t metrics_refused(const struct metrics *metrics);

// One series, as a reader meets it. Texts live as long as the registry.
struct metrics_series {
    uint32_t id; // 0, 1, ... in order of registration; never changes
    enum metric_type type;
    const char *name, *labels, *help;
    double value; // of a counter or gauge
    // Of a histogram: observed[i] counts values up to bounds[i], all smaller buckets left out;
    // observed[bound_count] counts those beyond the last bound.
    size_t bound_count;
    const double *bounds;
    uint64_t observed[METRIC_BUCKETS_MAX + 1];
    double sum;
};
// Every series, all of a name together, names and series in order of registration.
void metrics_each(struct metrics *metrics,
                  void (*visit)(void *self, const struct metrics_series *series), void *self);

// Appends `key="escaped value"` to a label text, with a comma before it when the text is not empty.
void metrics_label(char *labels, size_t size, const char *key, const char *value);
void metrics_render(struct metrics *metrics, struct buffer *into); // # HELP and # TYPE once a name

#endif
