// The registry: one list of series in order of registration, found again through a hash index, and
// chained by name. List and chains only grow and are linked last, so readers need no lock but for
// the number of names; values are atomics.
#include "base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/hash.h"

enum { INDEX_SLOTS = 65536 };

struct metric {
    _Atomic double value;
};

struct metric_histogram {
    size_t count; // bounds; fixed once registered
    double bounds[METRIC_BUCKETS_MAX];
    _Atomic uint64_t observed[METRIC_BUCKETS_MAX + 1]; // one more: beyond the last bound
    _Atomic double sum;
};

struct series {
    const struct family *family;
    char *labels;
    uint32_t id;
    struct metric metric;
    struct metric_histogram *histogram; // NULL for counters and gauges
    _Atomic(struct series *) next;      // of the same name, or NULL
};

struct family { // all series of a name
    char *name, *help;
    enum metric_type type;
    struct series *first, *last; // first never changes
};

struct metrics {
    pthread_mutex_t lock;                      // guards what follows; values aside
    struct series *series[METRICS_SERIES_MAX]; // in order of registration
    size_t count;
    struct family families[METRICS_FAMILIES_MAX]; // in order of registration
    size_t family_count;
    uint16_t index[INDEX_SLOTS]; // place in series + 1, or 0
    _Atomic uint64_t refused;
    struct metric spare; // given out when there is no room: never rendered
    struct metric_histogram spare_histogram;
};
_Static_assert(METRICS_SERIES_MAX < UINT16_MAX && METRICS_SERIES_MAX * 2 < INDEX_SLOTS, "index");

enum status metrics_new(struct metrics **ret_metrics, struct error *err) {
    struct metrics *metrics = memory_new(1, sizeof *metrics);
    if (!metrics)
        return error_no_memory(err, sizeof *metrics, "the metric registry");
    REQUIRE(pthread_mutex_init(&metrics->lock, NULL) == 0);
    *ret_metrics = metrics;
    return STATUS_OK;
}

static void series_free(struct series *series) {
    if (!series)
        return;
    memory_free(series->labels);
    memory_free(series->histogram);
    memory_free(series);
}

void metrics_free(struct metrics *metrics) {
    if (!metrics)
        return;
    for (size_t i = 0; i < metrics->count; i++)
        series_free(metrics->series[i]);
    for (size_t i = 0; i < metrics->family_count; i++) {
        memory_free(metrics->families[i].name);
        memory_free(metrics->families[i].help);
    }
    pthread_mutex_destroy(&metrics->lock);
    memory_free(metrics);
}

// The slot of this name and labels, or the empty one where it belongs.
static size_t index_slot(const struct metrics *metrics, const char *name, const char *labels) {
    uint64_t hash = hash_bytes(labels, strlen(labels), hash_bytes(name, strlen(name), 0));
    for (size_t slot = hash % INDEX_SLOTS;; slot = (slot + 1) % INDEX_SLOTS) {
        if (metrics->index[slot] == 0)
            return slot;
        const struct series *series = metrics->series[metrics->index[slot] - 1];
        if (strcmp(series->family->name, name) == 0 && strcmp(series->labels, labels) == 0)
            return slot;
    }
}

// The family of this name, or a prepared one behind the last; NULL when there is no room for it or
// the name is of another type.
static struct family *family_get(struct metrics *metrics, enum metric_type type, const char *name,
                                 const char *help) {
    for (size_t i = 0; i < metrics->family_count; i++)
        if (strcmp(metrics->families[i].name, name) == 0)
            return metrics->families[i].type == type ? &metrics->families[i] : NULL;
    if (metrics->family_count == METRICS_FAMILIES_MAX)
        return NULL;
    struct family *family = &metrics->families[metrics->family_count];
    *family = (struct family){
        .name = memory_copy_string(name), .help = memory_copy_string(help), .type = type};
    if (family->name && family->help)
        return family;
    memory_free(family->name);
    memory_free(family->help);
    return NULL;
}

static struct series *series_new(const char *labels, const double *bounds, size_t bound_count) {
    struct series *series = memory_new(1, sizeof *series);
    if (!series)
        return NULL;
    series->labels = memory_copy_string(labels);
    if (bounds)
        series->histogram = memory_new(1, sizeof *series->histogram);
    if (!series->labels || (bounds && !series->histogram)) {
        series_free(series);
        return NULL;
    }
    if (bounds) {
        memcpy(series->histogram->bounds, bounds, bound_count * sizeof *bounds);
        series->histogram->count = bound_count;
    }
    return series;
}

static void series_link(struct metrics *metrics, struct family *family, struct series *series) {
    series->family = family;
    series->id = (uint32_t)metrics->count;
    metrics->series[metrics->count++] = series;
    if (family->last)
        atomic_store_explicit(&family->last->next, series, memory_order_release);
    else
        family->first = series;
    family->last = series;
    if (family == &metrics->families[metrics->family_count])
        metrics->family_count++;
}

// Called with the lock held. NULL when memory or a bound is out, or the name is of another type.
static struct series *series_get(struct metrics *metrics, enum metric_type type, const char *name,
                                 const char *labels, const char *help, const double *bounds,
                                 size_t bound_count) {
    size_t slot = index_slot(metrics, name, labels);
    if (metrics->index[slot] != 0) {
        struct series *series = metrics->series[metrics->index[slot] - 1];
        return series->family->type == type ? series : NULL;
    }
    struct family *family =
        metrics->count < METRICS_SERIES_MAX ? family_get(metrics, type, name, help) : NULL;
    struct series *series = family ? series_new(labels, bounds, bound_count) : NULL;
    if (!series) {
        if (family && !family->first) {
            memory_free(family->name);
            memory_free(family->help);
        }
        return NULL;
    }
    series_link(metrics, family, series);
    metrics->index[slot] = (uint16_t)metrics->count;
    return series;
}

static struct series *series_locked(struct metrics *metrics, enum metric_type type,
                                    const char *name, const char *labels, const char *help,
                                    const double *bounds, size_t bound_count) {
    pthread_mutex_lock(&metrics->lock);
    struct series *series = series_get(metrics, type, name, labels, help, bounds, bound_count);
    pthread_mutex_unlock(&metrics->lock);
    if (!series)
        atomic_fetch_add_explicit(&metrics->refused, 1, memory_order_relaxed);
    return series;
}

struct metric *metrics_get(struct metrics *metrics, enum metric_type type, const char *name,
                           const char *labels, const char *help) {
    REQUIRE(type != METRIC_HISTOGRAM);
    struct series *series = series_locked(metrics, type, name, labels, help, NULL, 0);
    return series ? &series->metric : &metrics->spare;
}

struct metric_histogram *metrics_histogram(struct metrics *metrics, const char *name,
                                           const char *labels, const char *help,
                                           const double *bounds, size_t count) {
    REQUIRE(count <= METRIC_BUCKETS_MAX);
    struct series *series =
        series_locked(metrics, METRIC_HISTOGRAM, name, labels, help, bounds, count);
    return series ? series->histogram : &metrics->spare_histogram;
}

uint64_t metrics_refused(const struct metrics *metrics) {
    return atomic_load_explicit(&metrics->refused, memory_order_relaxed);
}

static void add_atomically(_Atomic double *value, double amount) {
    double old = atomic_load_explicit(value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(value, &old, old + amount)) {
    }
}

void metric_add(struct metric *metric, double amount) {
    add_atomically(&metric->value, amount);
}

void metric_set(struct metric *metric, double value) {
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

double metric_value(const struct metric *metric) {
    return atomic_load_explicit(&metric->value, memory_order_relaxed);
}

void metric_observe(struct metric_histogram *histogram, double value) {
    size_t bucket = 0;
    while (bucket < histogram->count && value > histogram->bounds[bucket])
        bucket++;
    atomic_fetch_add_explicit(&histogram->observed[bucket], 1, memory_order_relaxed);
    add_atomically(&histogram->sum, value);
}

static void series_read(const struct series *series, struct metrics_series *ret_series) {
    const struct metric_histogram *histogram = series->histogram;
    ret_series->id = series->id;
    ret_series->type = series->family->type;
    ret_series->name = series->family->name;
    ret_series->labels = series->labels;
    ret_series->help = series->family->help;
    ret_series->value = metric_value(&series->metric);
    if (!histogram)
        return;
    ret_series->bound_count = histogram->count;
    ret_series->bounds = histogram->bounds;
    for (size_t i = 0; i <= histogram->count; i++)
        ret_series->observed[i] =
            atomic_load_explicit(&histogram->observed[i], memory_order_relaxed);
    ret_series->sum = atomic_load_explicit(&histogram->sum, memory_order_relaxed);
}

void metrics_each(struct metrics *metrics,
                  void (*visit)(void *self, const struct metrics_series *series), void *self) {
    struct metrics_series one = {0};
    pthread_mutex_lock(&metrics->lock);
    size_t family_count = metrics->family_count;
    pthread_mutex_unlock(&metrics->lock);
    for (size_t i = 0; i < family_count; i++) {
        const struct series *series = metrics->families[i].first;
        for (; series; series = atomic_load_explicit(&series->next, memory_order_acquire)) {
            series_read(series, &one);
            visit(self, &one);
        }
    }
}
