// The registry as Prometheus's text, and the text of labels.
#include "base/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

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
    else if (value == floor(value) && fabs(value) < 1e15)
        buffer_append_text(into, "%" PRId64, (int64_t)value);
    else
        buffer_append_text(into, "%.17g", value);
}

static void put(struct buffer *into, const char *text) {
    buffer_append(into, text, strlen(text));
}

static void render_line(struct buffer *into, const struct metrics_series *series,
                        const char *suffix, const char *bound, double value) {
    put(into, series->name);
    put(into, suffix);
    if (series->labels[0] || bound) {
        buffer_append_byte(into, '{');
        put(into, series->labels);
        if (bound) {
            put(into, series->labels[0] ? ",le=\"" : "le=\"");
            put(into, bound);
            buffer_append_byte(into, '"');
        }
        buffer_append_byte(into, '}');
    }
    buffer_append_byte(into, ' ');
    render_number(into, value);
    buffer_append_byte(into, '\n');
}

static void render_histogram(struct buffer *into, const struct metrics_series *series) {
    uint64_t total = 0;
    for (size_t i = 0; i <= series->bound_count; i++) {
        char bound[32] = "+Inf";
        if (i < series->bound_count)
            snprintf(bound, sizeof bound, "%g", series->bounds[i]);
        total += series->observed[i];
        render_line(into, series, "_bucket", bound, (double)total);
    }
    render_line(into, series, "_sum", NULL, series->sum);
    render_line(into, series, "_count", NULL, (double)total);
}

struct rendering {
    struct buffer *into;
    const char *name; // of the series before
};

// All series of a name stand together, under one HELP and TYPE, as the format asks.
static void render_series(void *self, const struct metrics_series *series) {
    static const char *const types[] = {"counter", "gauge", "histogram"};
    struct rendering *rendering = self;
    if (rendering->name != series->name)
        buffer_append_text(rendering->into, "# HELP %s %s\n# TYPE %s %s\n", series->name,
                           series->help, series->name, types[series->type]);
    rendering->name = series->name;
    if (series->type == METRIC_HISTOGRAM)
        render_histogram(rendering->into, series);
    else
        render_line(rendering->into, series, "", NULL, series->value);
}

void metrics_render(struct metrics *metrics, struct buffer *into) {
    struct rendering rendering = {into, NULL};
    metrics_each(metrics, render_series, &rendering);
}
