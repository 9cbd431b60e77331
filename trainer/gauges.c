// What the trainer shows of itself: gauges and counters, refreshed once a tick at a commit.
#include "trainer/state.h"

static void task_gauges(struct trainer *trainer, struct metrics *metrics, size_t task) {
    const struct learner_report *last = &trainer->last_report;
    char labels[1024] = "";
    metrics_label(labels, sizeof labels, "task", spec_task_at(trainer->setup.spec, task)->name);
    metric_set(metrics_get(metrics, METRIC_GAUGE, "freshet_trainer_loss", labels,
                           "Mean loss of the labelled rows of the last minibatch."),
               last->loss[task]);
    metric_set(metrics_get(metrics, METRIC_GAUGE, "freshet_trainer_gradient_norm", labels,
                           "Norm of the task's gradient on shared parameters, last minibatch."),
               last->norm[task]);
    metric_set(metrics_get(metrics, METRIC_GAUGE, "freshet_trainer_gradient_cosine", labels,
                           "Cosine of the task's shared gradient to the target task's."),
               last->cosine[task]);
    metric_set(metrics_get(metrics, METRIC_GAUGE, "freshet_trainer_gradient_factor", labels,
                           "Mean factor that balancing applied to the task's shared gradient."),
               last->applied[task]);
}

enum status gauges_committing(void *state, struct error *err) {
    struct trainer *trainer = state;
    struct metrics *metrics = trainer->setup.metrics;
    (void)err;
    if (metrics == NULL || !trainer->gauges_due)
        return STATUS_OK;
    trainer->gauges_due = false;
    struct report report = trainer_report(trainer);
    report_gauges(&report, metrics);
    for (size_t task = 0; task < trainer->shape.task_count; task++)
        task_gauges(trainer, metrics, task);
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
        {"freshet_trainer_unknown_domains_total", "Examples of domains without an index.",
         domains_refused(trainer->domains)},
    };
    for (size_t i = 0; i < sizeof totals / sizeof *totals; i++)
        metric_set(metrics_get(metrics, METRIC_COUNTER, totals[i].name, "", totals[i].help),
                   (double)totals[i].value);
    metric_set(metrics_get(metrics, METRIC_GAUGE, "freshet_trainer_pending_impressions", "",
                           "Impressions whose predictions wait for final labels."),
               (double)pending_count(trainer->pending));
    return STATUS_OK;
}
