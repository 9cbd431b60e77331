// Rings of doubles, one pair a series, under one lock.
#include "monitor/history.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "monitor/select.h"

#define NO_RING UINT32_MAX

struct ring {
    const char *name; // the registry's, or own_name
    const char *labels;
    char *own_name, *own_labels; // of a histogram's bucket
    enum metric_type type;
    double fine[HISTORY_FINE], coarse[HISTORY_COARSE];
};

struct history {
    pthread_mutex_t lock; // guards everything
    size_t series_max, ring_count;
    size_t left_out;                    // series without room, at the last sample
    struct ring **rings;                // [series_max]
    uint32_t first[METRICS_SERIES_MAX]; // a series's first ring + 1; 0 = none yet
    int64_t fine_ms[HISTORY_FINE], coarse_ms[HISTORY_COARSE];
    uint64_t samples; // taken so far
    bool coarse_due;  // the sample under way enters the coarse ring too
};

enum status history_new(size_t series_max, struct history **ret_history, struct error *err) {
    struct history *history = memory_new(1, sizeof *history);
    if (!history)
        return error_no_memory(err, sizeof *history, "the history");
    history->rings = memory_new(series_max + 1, sizeof(struct ring *));
    if (!history->rings) {
        memory_free(history);
        return error_no_memory(err, series_max * sizeof(struct ring *), "the history");
    }
    history->series_max = series_max;
    REQUIRE(pthread_mutex_init(&history->lock, NULL) == 0);
    *ret_history = history;
    return STATUS_OK;
}

static void ring_free(struct ring *ring) {
    if (!ring)
        return;
    memory_free(ring->own_name);
    memory_free(ring->own_labels);
    memory_free(ring);
}

void history_free(struct history *history) {
    if (!history)
        return;
    for (size_t i = 0; i < history->ring_count; i++)
        ring_free(history->rings[i]);
    memory_free(history->rings);
    pthread_mutex_destroy(&history->lock);
    memory_free(history);
}

// --- Sampling.

static bool is_kept(const struct metrics_series *series) {
    if (series->type == METRIC_HISTOGRAM)
        return strstr(series->name, "_freshness_seconds") != NULL;
    return !select_has(series->labels, "window", "ever") ||
           select_has(series->labels, "domain", "all");
}

static struct ring *ring_new(const struct metrics_series *series) {
    struct ring *ring = memory_new(1, sizeof *ring);
    if (!ring)
        return NULL;
    ring->name = series->name;
    ring->labels = series->labels;
    ring->type = series->type;
    for (size_t i = 0; i < HISTORY_FINE; i++)
        ring->fine[i] = (double)NAN;
    for (size_t i = 0; i < HISTORY_COARSE; i++)
        ring->coarse[i] = (double)NAN;
    return ring;
}

static struct ring *bucket_new(const struct metrics_series *series, size_t bucket) {
    struct ring *ring = ring_new(series);
    if (!ring)
        return NULL;
    char name[256], bound[32] = "+Inf", labels[1024] = "";
    snprintf(name, sizeof name, "%s_bucket", series->name);
    if (bucket < series->bound_count)
        snprintf(bound, sizeof bound, "%g", series->bounds[bucket]);
    snprintf(labels, sizeof labels, "%s", series->labels);
    metrics_label(labels, sizeof labels, "le", bound);
    ring->name = ring->own_name = memory_copy_string(name);
    ring->labels = ring->own_labels = memory_copy_string(labels);
    ring->type = METRIC_COUNTER;
    if (ring->name && ring->labels)
        return ring;
    ring_free(ring);
    return NULL;
}

// Makes the rings of a series; NO_RING when there is no room.
static uint32_t rings_make(struct history *history, const struct metrics_series *series) {
    size_t count = series->type == METRIC_HISTOGRAM ? series->bound_count + 1 : 1;
    uint32_t first = (uint32_t)history->ring_count;
    if (history->ring_count + count > history->series_max)
        return NO_RING;
    for (size_t i = 0; i < count; i++) {
        struct ring *ring =
            series->type == METRIC_HISTOGRAM ? bucket_new(series, i) : ring_new(series);
        if (!ring) {
            while (i-- > 0)
                ring_free(history->rings[--history->ring_count]);
            return NO_RING;
        }
        history->rings[history->ring_count++] = ring;
    }
    history->first[series->id] = first + 1;
    return first;
}

static void ring_put(struct history *history, struct ring *ring, double value) {
    ring->fine[history->samples % HISTORY_FINE] = value;
    if (history->coarse_due)
        ring->coarse[history->samples / HISTORY_STRIDE % HISTORY_COARSE] = value;
}

static void sample_series(void *self, const struct metrics_series *series) {
    struct history *history = self;
    if (!is_kept(series))
        return;
    uint32_t first = history->first[series->id];
    first = first > 0 ? first - 1 : rings_make(history, series);
    if (first == NO_RING) {
        history->left_out++;
        return;
    }
    if (series->type != METRIC_HISTOGRAM) {
        ring_put(history, history->rings[first], series->value);
        return;
    }
    uint64_t total = 0;
    for (size_t i = 0; i <= series->bound_count; i++) {
        total += series->observed[i];
        ring_put(history, history->rings[first + i], (double)total);
    }
}

void history_sample(struct history *history, struct metrics *metrics, int64_t now_ms) {
    pthread_mutex_lock(&history->lock);
    history->coarse_due = history->samples % HISTORY_STRIDE == 0;
    history->left_out = 0;
    history->fine_ms[history->samples % HISTORY_FINE] = now_ms;
    if (history->coarse_due)
        history->coarse_ms[history->samples / HISTORY_STRIDE % HISTORY_COARSE] = now_ms;
    metrics_each(metrics, sample_series, history);
    history->samples++;
    pthread_mutex_unlock(&history->lock);
}

// --- Reading.

// Samples in order of time: coarse ones older than all fine ones, then fine ones.
struct span {
    uint64_t coarse_begin, coarse_end; // numbers of coarse samples
    uint64_t fine_begin, fine_end;     // numbers of samples
};

static struct span span_since(const struct history *history, int64_t since_ms) {
    uint64_t samples = history->samples;
    uint64_t coarse = (samples + HISTORY_STRIDE - 1) / HISTORY_STRIDE;
    struct span span = {.coarse_begin = coarse > HISTORY_COARSE ? coarse - HISTORY_COARSE : 0,
                        .fine_begin = samples > HISTORY_FINE ? samples - HISTORY_FINE : 0,
                        .fine_end = samples};
    span.coarse_end = (span.fine_begin + HISTORY_STRIDE - 1) / HISTORY_STRIDE;
    while (span.coarse_begin < span.coarse_end &&
           history->coarse_ms[span.coarse_begin % HISTORY_COARSE] <= since_ms)
        span.coarse_begin++;
    if (span.coarse_begin > span.coarse_end)
        span.coarse_end = span.coarse_begin;
    while (span.fine_begin < span.fine_end &&
           history->fine_ms[span.fine_begin % HISTORY_FINE] <= since_ms)
        span.fine_begin++;
    return span;
}

static void render_times(const struct history *history, const struct span *span,
                         struct buffer *into) {
    const char *comma = "";
    buffer_append_text(into, "\"times\":[");
    for (uint64_t i = span->coarse_begin; i < span->coarse_end; i++, comma = ",")
        buffer_append_text(into, "%s%lld", comma,
                           (long long)history->coarse_ms[i % HISTORY_COARSE]);
    for (uint64_t i = span->fine_begin; i < span->fine_end; i++, comma = ",")
        buffer_append_text(into, "%s%lld", comma, (long long)history->fine_ms[i % HISTORY_FINE]);
    buffer_append_byte(into, ']');
}

static void render_value(struct buffer *into, double value, bool exact) {
    if (!isfinite(value))
        buffer_append_text(into, "null");
    else if (fabs(value) < 1e15 && value == floor(value))
        buffer_append_text(into, "%.0f", value);
    else
        buffer_append_text(into, exact ? "%.17g" : "%.9g", value);
}

static void render_ring(const struct ring *ring, const struct span *span, struct buffer *into) {
    static const char *const types[] = {"counter", "gauge", "histogram"};
    const char *comma = "";
    buffer_append_text(into, "{\"name\":\"%s\",\"type\":\"%s\",\"labels\":", ring->name,
                       types[ring->type]);
    select_labels_json(ring->labels, into);
    buffer_append_text(into, ",\"values\":[");
    for (uint64_t i = span->coarse_begin; i < span->coarse_end; i++, comma = ",") {
        buffer_append_text(into, "%s", comma);
        render_value(into, ring->coarse[i % HISTORY_COARSE], false);
    }
    for (uint64_t i = span->fine_begin; i < span->fine_end; i++, comma = ",") {
        buffer_append_text(into, "%s", comma);
        render_value(into, ring->fine[i % HISTORY_FINE], i + 1 == span->fine_end);
    }
    buffer_append_text(into, "]}");
}

void history_render(struct history *history, const struct history_query *query,
                    struct buffer *into) {
    pthread_mutex_lock(&history->lock);
    struct span span = span_since(history, query->since_ms);
    struct select select;
    select_init(&select, query->names, query->where);
    const char *comma = "";
    render_times(history, &span, into);
    buffer_append_text(into, ",\"series\":[");
    for (size_t i = 0; i < history->ring_count; i++) {
        const struct ring *ring = history->rings[i];
        if (!select_wants(&select, ring->name, ring->labels))
            continue;
        buffer_append_text(into, "%s", comma);
        render_ring(ring, &span, into);
        comma = ",";
    }
    buffer_append_text(into, "],\"left_out\":%zu", history->left_out);
    pthread_mutex_unlock(&history->lock);
}
