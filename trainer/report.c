// Walks tasks x (all, then domains in order of index).
#include "trainer/report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "trainer/json.h"

static void measures_json(const struct evaluate_measures *measures, struct buffer *into) {
    buffer_append_text(into, "{\"count\":%" PRIu64 ",\"positives\":%" PRIu64, measures->count,
                       measures->positives);
    const struct {
        const char *name;
        double value;
    } values[] = {{"auc", measures->auc},
                  {"auc_error", measures->auc_error},
                  {"logloss", measures->logloss},
                  {"normalised_entropy", measures->normalised_entropy},
                  {"calibration", measures->calibration}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        buffer_append_text(into, ",\"%s\":", values[i].name);
        json_put_number(into, values[i].value);
    }
    buffer_append_byte(into, '}');
}

static void both_json(const struct report *report, size_t task, uint32_t domain,
                      struct buffer *into) {
    struct evaluate_measures measures;
    evaluate_measure(report->evaluate, task, domain, false, &measures);
    buffer_append_text(into, "{\"ever\":");
    measures_json(&measures, into);
    evaluate_measure(report->evaluate, task, domain, true, &measures);
    buffer_append_text(into, ",\"recent\":");
    measures_json(&measures, into);
    buffer_append_byte(into, '}');
}

// Domains that have tallies and a name.
static uint32_t domains_reported(const struct report *report) {
    size_t named = domains_count(report->domains) + 1;
    return (uint32_t)(named < report->domain_count ? named : report->domain_count);
}

void report_json(const struct report *report, struct buffer *into) {
    buffer_append_text(into, "{\"tasks\":[");
    for (size_t task = 0; task < report->spec->tasks.count; task++) {
        const char *name = spec_task_at(report->spec, task)->name;
        buffer_append_text(into, "%s{\"task\":", task > 0 ? "," : "");
        json_put_string(into, name, strlen(name));
        buffer_append_text(into, ",\"all\":");
        both_json(report, task, EVALUATE_ALL, into);
        buffer_append_text(into, ",\"domains\":[");
        bool first = true;
        for (uint32_t domain = 0; domain < domains_reported(report); domain++) {
            struct evaluate_measures measures;
            evaluate_measure(report->evaluate, task, domain, false, &measures);
            if (measures.count == 0)
                continue;
            const char *text = domains_name(report->domains, domain);
            buffer_append_text(into, "%s{\"domain\":", first ? "" : ",");
            json_put_string(into, text, strlen(text));
            buffer_append_text(into, ",\"measures\":");
            both_json(report, task, domain, into);
            buffer_append_byte(into, '}');
            first = false;
        }
        buffer_append_text(into, "]}");
    }
    buffer_append_text(into, "]}");
}

static void number_print(FILE *stream, int decimals, double value) {
    if (isfinite(value))
        fprintf(stream, "%9.*f", decimals, value);
    else
        fprintf(stream, "%9s", "-");
}

static void line_print(const struct report *report, FILE *stream, size_t task, uint32_t domain) {
    struct evaluate_measures measures;
    evaluate_measure(report->evaluate, task, domain, false, &measures);
    if (measures.count == 0 && domain != EVALUATE_ALL)
        return;
    fprintf(stream, "%-16s %-16s %10" PRIu64 " %10" PRIu64, spec_task_at(report->spec, task)->name,
            domain == EVALUATE_ALL ? "all" : domains_name(report->domains, domain), measures.count,
            measures.positives);
    number_print(stream, 4, measures.auc);
    number_print(stream, 4, measures.auc_error);
    number_print(stream, 4, measures.normalised_entropy);
    number_print(stream, 3, measures.calibration);
    fputc('\n', stream);
}

void report_print(const struct report *report, FILE *stream) {
    fprintf(stream, "%-16s %-16s %10s %10s%9s%9s%9s%9s\n", "task", "domain", "labels", "positives",
            "AUC", "+-", "NE", "pred/obs");
    for (size_t task = 0; task < report->spec->tasks.count; task++) {
        line_print(report, stream, task, EVALUATE_ALL);
        for (uint32_t domain = 0; domain < domains_reported(report); domain++)
            line_print(report, stream, task, domain);
    }
}

static void gauge_set(struct metrics *metrics, const char *name, const char *labels,
                      const char *help, double value) {
    if (isfinite(value))
        metric_set(metrics_get(metrics, METRIC_GAUGE, name, labels, help), value);
}

static void gauges_set(const struct report *report, struct metrics *metrics, size_t task,
                       uint32_t domain, bool windowed) {
    struct evaluate_measures measures;
    evaluate_measure(report->evaluate, task, domain, windowed, &measures);
    if (measures.count == 0)
        return;
    char labels[4 * DOMAINS_NAME_MAX + 256] = "";
    metrics_label(labels, sizeof labels, "task", spec_task_at(report->spec, task)->name);
    metrics_label(labels, sizeof labels, "domain",
                  domain == EVALUATE_ALL ? "all" : domains_name(report->domains, domain));
    metrics_label(labels, sizeof labels, "window", windowed ? "recent" : "ever");
    gauge_set(metrics, "freshet_trainer_auc", labels,
              "Online AUC, predicted before learnt, labels final.", measures.auc);
    gauge_set(metrics, "freshet_trainer_normalised_entropy", labels,
              "Log loss over the entropy of the base rate.", measures.normalised_entropy);
    gauge_set(metrics, "freshet_trainer_calibration", labels, "Predicted over observed positives.",
              measures.calibration);
    gauge_set(metrics, "freshet_trainer_measured_labels", labels, "Final labels measured.",
              (double)measures.count);
}

void report_gauges(const struct report *report, struct metrics *metrics) {
    for (size_t task = 0; task < report->spec->tasks.count; task++) {
        for (int windowed = 0; windowed < 2; windowed++) {
            gauges_set(report, metrics, task, EVALUATE_ALL, windowed == 1);
            for (uint32_t domain = 0; domain < domains_reported(report); domain++)
                gauges_set(report, metrics, task, domain, windowed == 1);
        }
    }
}
