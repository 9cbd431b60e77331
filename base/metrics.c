// The registry: one list of series in order of registration, found again through a hash index. The
// list only grows; values are atomics, so updates never take the lock.
#include "base/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/hash.h"

enum { SERIES_MAX = 10000, INDEX_SLOTS = 32768, BUCKETS_MAX = 64 };

struct metric {
    _Atomic double value;
};

struct metric_histogram {
    size_t count; // bounds
    double bounds[BUCKETS_MAX];
    _Atomic uint64_t observed[BUCKETS_MAX + 1]; // one more: beyond the last bound
    _Atomic double sum;
};

struct series {
    char *name, *labels, *help;
    const char *type;
    struct metric metric;
    struct metric_histogram *histogram; // NULL for counters and gauges
};

struct metrics {
    pthread_mutex_t lock;              // guards what follows; values aside
    struct series *series[SERIES_MAX]; // in order of registration
    size_t count;
    uint16_t index[INDEX_SLOTS]; // place in series + 1, or 0
    struct metric spare;         // given out when there is no room: never rendered
    struct metric_histogram spare_histogram;
};

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
    memory_free(series->name);
    memory_free(series->labels);
    memory_free(series->help);
    memory_free(series->histogram);
    memory_free(series);
}

void metrics_free(struct metrics *metrics) {
    if (!metrics)
        return;
    for (size_t i = 0; i < metrics->count; i++)
        series_free(metrics->series[i]);
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
        if (strcmp(series->name, name) == 0 && strcmp(series->labels, labels) == 0)
            return slot;
    }
}

// Called with the lock held. NULL when memory or the bound is out.
static struct series *series_get(struct metrics *metrics, const char *type, const char *name,
                                 const char *labels, const char *help, bool histogram) {
    size_t slot = index_slot(metrics, name, labels);
    if (metrics->index[slot] != 0)
        return metrics->series[metrics->index[slot] - 1];
    if (metrics->count == SERIES_MAX)
        return NULL;
    struct series *series = memory_new(1, sizeof *series);
    if (!series)
        return NULL;
    series->type = type;
    series->name = memory_copy_string(name);
    series->labels = memory_copy_string(labels);
    series->help = memory_copy_string(help);
    if (histogram)
        series->histogram = memory_new(1, sizeof *series->histogram);
    if (!series->name || !series->labels || !series->help || (histogram && !series->histogram)) {
        series_free(series);
        return NULL;
    }
    metrics->series[metrics->count++] = series;
    metrics->index[slot] = (uint16_t)metrics->count;
    return series;
}

struct metric *metrics_get(struct metrics *metrics, enum metric_type type, const char *name,
                           const char *labels, const char *help) {
    pthread_mutex_lock(&metrics->lock);
    struct series *series = series_get(metrics, type == METRIC_COUNTER ? "counter" : "gauge", name,
                                       labels, help, false);
    pthread_mutex_unlock(&metrics->lock);
    return series && !series->histogram ? &series->metric : &metrics->spare;
}

struct metric_histogram *metrics_histogram(struct metrics *metrics, const char *name,
                                           const char *labels, const char *help,
                                           const double *bounds, size_t count) {
    REQUIRE(count <= BUCKETS_MAX);
    pthread_mutex_lock(&metrics->lock);
    struct series *series = series_get(metrics, "histogram", name, labels, help, true);
    struct metric_histogram *histogram =
        series && series->histogram ? series->histogram : &metrics->spare_histogram;
    if (histogram->count == 0) {
        memcpy(histogram->bounds, bounds, count * sizeof *bounds);
        histogram->count = count;
    }
    pthread_mutex_unlock(&metrics->lock);
    return histogram;
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

void metrics_label(char *labels, size_t size, const char *key, const char *value) {
    size_t length = strlen(labels);
    if (length >= size)
        return;
    int wrote = snprintf(labels + length, size - length, "%s%s=\"", length ? "," : "", key);
    if (wrote < 0 || (size_t)wrote >= size - length) {
        labels[length] = '\0';
        return;
    }
    size_t at = length + (size_t)wrote;
    for (const char *c = value; *c; c++) {
        bool escaped = *c == '"' || *c == '\\' || *c == '\n';
        if (at + (escaped ? 2U : 1U) + 2 > size) { // the quote and the end must still fit
            labels[length] = '\0';
            return;
        }
        if (escaped)
            labels[at++] = '\\';
        labels[at++] = *c == '\n' ? 'n' : *c;
    }
    if (at + 2 > size) {
        labels[length] = '\0';
        return;
    }
    labels[at++] = '"';
    labels[at] = '\0';
}

static void render_number(struct buffer *into, double value) {
    if (isnan(value))
        buffer_append_text(into, "NaN");
    else if (isinf(value))
        buffer_append_text(into, value > 0 ? "+Inf" : "-Inf");
    else
        buffer_append_text(into, "%.17g", value);
}

static void render_line(struct buffer *into, const struct series *series, const char *suffix,
                        const char *bound, double value) {
    buffer_append_text(into, "%s%s", series->name, suffix);
    if (series->labels[0] || bound)
        buffer_append_text(into, "{%s%s%s%s%s}", series->labels,
                           series->labels[0] && bound ? "," : "", bound ? "le=\"" : "",
                           bound ? bound : "", bound ? "\"" : "");
    buffer_append_byte(into, ' ');
    render_number(into, value);
    buffer_append_byte(into, '\n');
}

static void render_histogram(struct buffer *into, const struct series *series) {
    const struct metric_histogram *histogram = series->histogram;
    uint64_t total = 0;
    for (size_t i = 0; i <= histogram->count; i++) {
        char bound[32] = "+Inf";
        if (i < histogram->count)
            snprintf(bound, sizeof bound, "%g", histogram->bounds[i]);
        total += atomic_load_explicit(&histogram->observed[i], memory_order_relaxed);
        render_line(into, series, "_bucket", bound, (double)total);
    }
    render_line(into, series, "_sum", NULL,
                atomic_load_explicit(&histogram->sum, memory_order_relaxed));
    render_line(into, series, "_count", NULL, (double)total);
}

// All series of a name stand together, under one HELP and TYPE, as the format asks.
void metrics_render(struct metrics *metrics, struct buffer *into) {
    pthread_mutex_lock(&metrics->lock);
    for (size_t i = 0; i < metrics->count; i++) {
        const struct series *first = metrics->series[i];
        bool seen = false;
        for (size_t k = 0; k < i && !seen; k++)
            seen = strcmp(metrics->series[k]->name, first->name) == 0;
        if (seen)
            continue;
        buffer_append_text(into, "# HELP %s %s\n# TYPE %s %s\n", first->name, first->help,
                           first->name, first->type);
        for (size_t k = i; k < metrics->count; k++) {
            const struct series *series = metrics->series[k];
            if (strcmp(series->name, first->name) != 0)
                continue;
            if (series->histogram)
                render_histogram(into, series);
            else
                render_line(into, series, "", NULL, metric_value(&series->metric));
        }
    }
    pthread_mutex_unlock(&metrics->lock);
}
