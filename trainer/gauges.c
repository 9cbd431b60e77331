// What the trainer shows of itself: gauges and counters, refreshed once a tick at a commit.
#include "base/logger.h"
#include "trainer/report_tables.h"
#include "trainer/state.h"

// Of a task's gradient on one group of shared parameters, in the last minibatch.
static void group_gauges(struct metrics *metrics, const char *task_label, const char *group,
                         const struct learner_group_report *report, size_t task) {
    char labels[1024];
    snprintf(labels, sizeof labels, "%s", task_label);
    metrics_label(labels, sizeof labels, "group", group);
    metric_set(metrics_get(metrics, METRIC_GAUGE, "freshet_trainer_gradient_norm", labels,
                           "Norm of the task's gradient on a group of shared parameters, last "
                           "minibatch; 0 where balancing does not look at it."),
               report->norm[task]);
    metric_set(metrics_get(metrics, METRIC_GAUGE, "freshet_trainer_gradient_cosine", labels,
                           "Cosine of the task's gradient to the target task's (metabalance) or to "
                           "the sum of the other tasks'."),
               report->cosine[task]);
    metric_set(metrics_get(metrics, METRIC_GAUGE, "freshet_trainer_gradient_factor", labels,
                           "Factor that balancing applied to the task's gradient, mean over "
                           "blocks."),
               report->applied[task]);
}

static void task_gauges(struct trainer *trainer, struct metrics *metrics, size_t task) {
    const struct learner_report *last = &trainer->last_report;
    char labels[1024] = "";
    metrics_label(labels, sizeof labels, "task", spec_task_at(trainer->setup.spec, task)->name);
    metric_set(metrics_get(metrics, METRIC_GAUGE, "freshet_trainer_loss", labels,
                           "Mean loss of the labelled rows of the last minibatch."),
               last->loss[task]);
    metric_set(
        metrics_get(metrics, METRIC_GAUGE, "freshet_trainer_gate_entropy", labels,
                    "Entropy of the task's gate over that of even use: near 0 it has settled "
                    "on one expert."),
        last->gate_entropy[task]);
    for (size_t g = 0; g < LEARNER_GROUPS; g++)
        group_gauges(metrics, labels, learner_group_names[g], &last->groups[g], task);
}

// Says once what alarms were raised since it last spoke; after a recovery it begins anew.
static void alarms_tell(struct trainer *trainer) {
    uint64_t alarms = 0;
    char text[512] = "";
    size_t length = 0;
    for (size_t task = 0; task < trainer->shape.task_count; task++) {
        const struct drift *drift = measure_drift(trainer->measure, task);
        for (size_t m = 0; m < DRIFT_MEASURES; m++) {
            for (size_t d = 0; d < DRIFT_DETECTORS; d++) {
                alarms += drift->alarms[m][d];
                if (drift->alarms[m][d] > 0 && length < sizeof text)
                    length += (size_t)snprintf(
                        text + length, sizeof text - length, " %s.%s.%s=%llu",
                        spec_task_at(trainer->setup.spec, task)->name, drift_measure_names[m],
                        drift_detector_names[d], (unsigned long long)drift->alarms[m][d]);
            }
        }
    }
    if (alarms > trainer->alarms_told)
        logger_line(LOGGER_WARN, "trainer", "drift", "new=%llu all=\"%s\"",
                    (unsigned long long)(alarms - trainer->alarms_told), text);
    trainer->alarms_told = alarms;
}

// Says once that a task holds versions back, or no longer does; after a recovery it begins anew.
static void gate_tell(struct trainer *trainer) {
    for (size_t task = 0; task < trainer->shape.task_count; task++) {
        const char *name = spec_task_at(trainer->setup.spec, task)->name, *reason;
        bool closed = gate_closed(trainer->gate, task, &reason);
        if (closed != (trainer->gate_told >> task & 1))
            logger_line(closed ? LOGGER_WARN : LOGGER_INFO, "trainer",
                        closed ? "gate-closed" : "gate-open",
                        "task=\"%s\" version=%llu reason=\"%s\"", name,
                        (unsigned long long)trainer->counts.version, reason);
        trainer->gate_told &= ~(UINT32_C(1) << task);
        trainer->gate_told |= (uint32_t)closed << task;
        if (trainer->setup.metrics == NULL || !gate_is_set(trainer->gate))
            continue;
        char labels[1024] = "";
        metrics_label(labels, sizeof labels, "task", name);
        metric_set(metrics_get(trainer->setup.metrics, METRIC_GAUGE, "freshet_trainer_gate_closed",
                               labels, "1 while the task's measures hold versions back."),
                   closed ? 1 : 0);
    }
}

enum status gauges_committing(void *state, struct error *err) {
    struct trainer *trainer = state;
    struct metrics *metrics = trainer->setup.metrics;
    (void)err;
    trainer->version_waits = false;
    if (!trainer->gauges_due)
        return STATUS_OK;
    trainer->gauges_due = false;
    alarms_tell(trainer);
    gate_tell(trainer);
    if (metrics == NULL)
        return STATUS_OK;
    struct report report = trainer_report(trainer);
    report_gauges(&report, metrics);
    for (size_t task = 0; task < trainer->shape.task_count; task++)
        task_gauges(trainer, metrics, task);
    report_tables_gauges(trainer->learner, metrics);
    const struct trainer_counts *counts = &trainer->counts;
    const struct {
        const char *name, *help;
        uint64_t value;
    } totals[] = {
        {"freshet_trainer_learnt_rows_total", "Rows learnt from.", counts->rows_learnt},
        {"freshet_trainer_minibatches_total", "Steps of the learner.", counts->steps},
        {"freshet_trainer_predictions_total", "Predictions, impressions x tasks.",
         counts->predictions},
        {"freshet_trainer_versions_total", "Versions emitted.", counts->version},
        {"freshet_trainer_replaced_values_total", "Infinite numbers taken as missing.",
         counts->values_replaced},
        {"freshet_trainer_dropped_rate_labels_total",
         "Labels that found no room to wait for rates.", counting_dropped(trainer->counting)},
        {"freshet_trainer_refused_rate_keys_total", "Keys that found data.rates.rows_max taken.",
         rates_refused(counting_rates(trainer->counting))},
        {"freshet_trainer_unknown_domains_total", "Examples of domains without an index.",
         domains_refused(trainer->domains)},
    };
    for (size_t i = 0; i < sizeof totals / sizeof *totals; i++)
        metric_set(metrics_get(metrics, METRIC_COUNTER, totals[i].name, "", totals[i].help),
                   (double)totals[i].value);
    metric_set(metrics_get(metrics, METRIC_GAUGE, "freshet_trainer_waiting_rate_labels", "",
                           "Labels that streaming rates may not count yet."),
               (double)counting_waiting(trainer->counting));
    metric_set(metrics_get(metrics, METRIC_GAUGE, "freshet_trainer_pending_impressions", "",
                           "Impressions whose predictions wait for final labels."),
               (double)pending_count(trainer->pending));
    return STATUS_OK;
}
