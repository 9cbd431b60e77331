// Walks tasks x (all, then domains in order of index).
#include "trainer/report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "trainer/json.h"
#include "trainer/report_tables.h"

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

static const char *const bucket_names[EVALUATE_BUCKETS] = {"any", "head", "torso", "tail"};

static void both_json(const struct report *report, size_t task, uint32_t domain,
                      enum evaluate_bucket bucket, struct buffer *into) {
    struct evaluate_measures measures;
    evaluate_measure(report->evaluate, task, domain, bucket, false, &measures);
    buffer_append_text(into, "{\"ever\":");
    measures_json(&measures, into);
    evaluate_measure(report->evaluate, task, domain, bucket, true, &measures);
    buffer_append_text(into, ",\"recent\":");
    measures_json(&measures, into);
    buffer_append_byte(into, '}');
}

// `,"popularity":[...]` of the buckets with labels; nothing where there are none.
static void popularity_json(const struct report *report, size_t task, uint32_t domain,
                            struct buffer *into) {
    bool first = true;
    for (enum evaluate_bucket bucket = EVALUATE_HEAD; bucket < EVALUATE_BUCKETS; bucket++) {
        struct evaluate_measures measures;
        evaluate_measure(report->evaluate, task, domain, bucket, false, &measures);
        if (measures.count == 0)
            continue;
        buffer_append_text(into,
                           "%s{\"bucket\":\"%s\",\"measures\":", first ? ",\"popularity\":[" : ",",
                           bucket_names[bucket]);
        both_json(report, task, domain, bucket, into);
        buffer_append_byte(into, '}');
        first = false;
    }
    if (!first)
        buffer_append_byte(into, ']');
}

static void users_json(const struct report *report, size_t task, struct buffer *into) {
    struct user_auc_measures users = measure_users(report->measure, task);
    const struct drift *drift = measure_drift(report->measure, task);
    buffer_append_text(into, ",\"users\":{\"auc\":");
    json_put_number(into, users.auc);
    buffer_append_text(into, ",\"auc_error\":");
    json_put_number(into, users.error);
    buffer_append_text(into, ",\"users\":%" PRIu64 ",\"labels\":", users.users);
    json_put_number(into, users.labels);
    buffer_append_text(into, "},\"drift\":{");
    for (size_t m = 0; m < DRIFT_MEASURES; m++) {
        buffer_append_text(into, "%s\"%s\":{", m ? "," : "", drift_measure_names[m]);
        for (size_t d = 0; d < DRIFT_DETECTORS; d++)
            buffer_append_text(into, "%s\"%s\":%" PRIu64, d ? "," : "", drift_detector_names[d],
                               drift->alarms[m][d]);
        buffer_append_byte(into, '}');
    }
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
        both_json(report, task, EVALUATE_ALL, EVALUATE_ANY, into);
        popularity_json(report, task, EVALUATE_ALL, into);
        if (report->measure)
            users_json(report, task, into);
        buffer_append_text(into, ",\"domains\":[");
        bool first = true;
        for (uint32_t domain = 0; domain < domains_reported(report); domain++) {
            struct evaluate_measures measures;
            evaluate_measure(report->evaluate, task, domain, EVALUATE_ANY, false, &measures);
            if (measures.count == 0)
                continue;
            const char *text = domains_name(report->domains, domain);
            buffer_append_text(into, "%s{\"domain\":", first ? "" : ",");
            json_put_string(into, text, strlen(text));
            buffer_append_text(into, ",\"measures\":");
            both_json(report, task, domain, EVALUATE_ANY, into);
            popularity_json(report, task, domain, into);
            buffer_append_byte(into, '}');
            first = false;
        }
        buffer_append_text(into, "]}");
    }
    buffer_append_byte(into, ']');
    if (report->learner)
        report_tables_json(report->learner, into);
    buffer_append_byte(into, '}');
}

static void number_print(FILE *stream, int decimals, double value) {
    if (isfinite(value))
        fprintf(stream, "%9.*f", decimals, value);
    else
        fprintf(stream, "%9s", "-");
}

static void line_print(const struct report *report, FILE *stream, size_t task, uint32_t domain,
                       enum evaluate_bucket bucket) {
    struct evaluate_measures measures;
    evaluate_measure(report->evaluate, task, domain, bucket, false, &measures);
    if (measures.count == 0 && (domain != EVALUATE_ALL || bucket != EVALUATE_ANY))
        return;
    const char *name = domain == EVALUATE_ALL ? "all" : domains_name(report->domains, domain);
    fprintf(stream, "%-16s %-16s %10" PRIu64 " %10" PRIu64, spec_task_at(report->spec, task)->name,
            bucket == EVALUATE_ANY ? name : bucket_names[bucket], measures.count,
            measures.positives);
    number_print(stream, 4, measures.auc);
    number_print(stream, 4, measures.auc_error);
    number_print(stream, 4, measures.normalised_entropy);
    number_print(stream, 3, measures.calibration);
    fputc('\n', stream);
}

static void users_print(const struct report *report, FILE *stream, size_t task) {
    struct user_auc_measures users = measure_users(report->measure, task);
    if (users.users == 0)
        return;
    fprintf(stream, "%-16s %-16s %10.0f %10" PRIu64, spec_task_at(report->spec, task)->name,
            "within users", users.labels, users.users);
    number_print(stream, 4, users.auc);
    number_print(stream, 4, users.error);
    fputc('\n', stream);
}

void report_print(const struct report *report, FILE *stream) {
    fprintf(stream, "%-16s %-16s %10s %10s%9s%9s%9s%9s\n", "task", "domain", "labels", "positives",
            "AUC", "+-", "NE", "pred/obs");
    for (size_t task = 0; task < report->spec->tasks.count; task++) {
        for (enum evaluate_bucket bucket = EVALUATE_ANY; bucket < EVALUATE_BUCKETS; bucket++)
            line_print(report, stream, task, EVALUATE_ALL, bucket);
        if (report->measure)
            users_print(report, stream, task);
        for (uint32_t domain = 0; domain < domains_reported(report); domain++)
            line_print(report, stream, task, domain, EVALUATE_ANY);
    }
}

static void gauge_set(struct metrics *metrics, const char *name, const char *labels,
                      const char *help, double value) {
    metric_set(metrics_get(metrics, METRIC_GAUGE, name, labels, help), value);
}

static void gauges_set(const struct report *report, struct metrics *metrics, size_t task,
                       uint32_t domain, enum evaluate_bucket bucket, bool windowed) {
    struct evaluate_measures measures;
    evaluate_measure(report->evaluate, task, domain, bucket, false, &measures);
    if (measures.count == 0)
        return;
    evaluate_measure(report->evaluate, task, domain, bucket, windowed, &measures);
    char labels[4 * DOMAINS_NAME_MAX + 256] = "";
    metrics_label(labels, sizeof labels, "task", spec_task_at(report->spec, task)->name);
    metrics_label(labels, sizeof labels, "domain",
                  domain == EVALUATE_ALL ? "all" : domains_name(report->domains, domain));
    if (bucket != EVALUATE_ANY)
        metrics_label(labels, sizeof labels, "popularity", bucket_names[bucket]);
    metrics_label(labels, sizeof labels, "window", windowed ? "recent" : "ever");
    gauge_set(metrics, "freshet_trainer_auc", labels,
              "Online AUC, predicted before learnt, labels final; NaN without both classes.",
              measures.auc);
    gauge_set(metrics, "freshet_trainer_auc_error", labels,
              "Standard error of the AUC (Hanley and McNeil).", measures.auc_error);
    gauge_set(metrics, "freshet_trainer_normalised_entropy", labels,
              "Log loss over the entropy of the base rate.", measures.normalised_entropy);
    gauge_set(metrics, "freshet_trainer_calibration", labels, "Predicted over observed positives.",
              measures.calibration);
    gauge_set(metrics, "freshet_trainer_measured_labels", labels, "Final labels measured.",
              (double)measures.count);
    gauge_set(metrics, "freshet_trainer_measured_positives", labels,
              "Final labels measured that are positive.", (double)measures.positives);
}

static void users_gauges(const struct report *report, struct metrics *metrics, size_t task) {
    const char *name = spec_task_at(report->spec, task)->name;
    const struct drift *drift = measure_drift(report->measure, task);
    char labels[1024] = "";
    metrics_label(labels, sizeof labels, "task", name);
    gauge_set(metrics, "freshet_trainer_user_auc", labels,
              "AUC within users, weighted by their labels.",
              measure_users(report->measure, task).auc);
    for (size_t m = 0; m < DRIFT_MEASURES; m++) {
        for (size_t d = 0; d < DRIFT_DETECTORS; d++) {
            labels[0] = '\0';
            metrics_label(labels, sizeof labels, "task", name);
            metrics_label(labels, sizeof labels, "measure", drift_measure_names[m]);
            metrics_label(labels, sizeof labels, "detector", drift_detector_names[d]);
            metric_set(metrics_get(metrics, METRIC_COUNTER, "freshet_trainer_drift_alarms_total",
                                   labels, "Alarms that a measure has moved."),
                       (double)drift->alarms[m][d]);
        }
    }
}

void report_gauges(const struct report *report, struct metrics *metrics) {
    for (size_t task = 0; task < report->spec->tasks.count; task++) {
        for (int windowed = 0; windowed < 2; windowed++) {
            for (enum evaluate_bucket b = EVALUATE_ANY; b < EVALUATE_BUCKETS; b++)
                gauges_set(report, metrics, task, EVALUATE_ALL, b, windowed == 1);
            for (uint32_t domain = 0; domain < domains_reported(report); domain++)
                gauges_set(report, metrics, task, domain, EVALUATE_ANY, windowed == 1);
        }
        if (report->measure)
            users_gauges(report, metrics, task);
    }
}
