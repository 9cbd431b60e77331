// Metrics and the periodic line of a task.
#include "stage/machine.h"

#include <math.h>

#include "base/logger.h"

#define LINE_INTERVAL_US 10000000
#define GAUGES_INTERVAL_US 1000000

void metric_count(struct metric *metric, double amount) {
    if (metric)
        metric_add(metric, amount);
}

void report_checkpoint(struct runner *runner, int64_t age_us) {
    if (runner->report.checkpoint_timestamp)
        metric_set(runner->report.checkpoint_timestamp,
                   (double)runner->clock->wall_ms(runner->clock) / 1000 - (double)age_us / 1e6);
}

static struct metric *series(struct runner *runner, enum metric_type type, const char *what,
                             const char *key, const char *value, int32_t partition,
                             const char *help) {
    char name[128];
    char labels[512] = "";
    snprintf(name, sizeof(name), "freshet_%s_%s", runner->setup.operations->name, what);
    metrics_label(labels, sizeof(labels), "task", runner->setup.task);
    if (key)
        metrics_label(labels, sizeof(labels), key, value);
    if (partition >= 0) {
        char number[16];
        snprintf(number, sizeof(number), "%d", (int)partition);
        metrics_label(labels, sizeof(labels), "partition", number);
    }
    return metrics_get(runner->setup.metrics, type, name, labels, help);
}

static struct metric_histogram *histogram(struct runner *runner, const char *what,
                                          const char *help) {
    static const double bounds[] = {.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
    char name[128];
    char labels[256] = "";
    snprintf(name, sizeof(name), "freshet_%s_%s", runner->setup.operations->name, what);
    metrics_label(labels, sizeof(labels), "task", runner->setup.task);
    return metrics_histogram(runner->setup.metrics, name, labels, help, bounds,
                             sizeof(bounds) / sizeof(bounds[0]));
}

static void report_register(struct runner *runner) {
    struct report *report = &runner->report;
    for (size_t i = 0; i < runner->setup.input_count; i++) {
        const struct stage_input *input = &runner->setup.inputs[i];
        report->records[i] = series(runner, METRIC_COUNTER, "records_total", "input", input->topic,
                                    -1, "Records folded, refolded ones included.");
        report->lag[i] = series(runner, METRIC_GAUGE, "lag_records", "topic", input->topic,
                                input->partition, "Committed records not yet folded.");
    }
    for (size_t i = 0; i < runner->setup.output_count; i++)
        runner->outputs.emitted[i] = series(runner, METRIC_COUNTER, "emitted_total", "output",
                                            runner->setup.outputs[i].topic, -1, "Records emitted.");
    report->steps = series(runner, METRIC_COUNTER, "steps_total", NULL, NULL, -1, "Steps folded.");
    report->commits = series(runner, METRIC_COUNTER, "commits_total", NULL, NULL, -1, "Commits.");
    report->checkpoints =
        series(runner, METRIC_COUNTER, "checkpoints_total", NULL, NULL, -1, "Checkpoints saved.");
    report->refolded = series(runner, METRIC_COUNTER, "refolded_steps_total", NULL, NULL, -1,
                              "Steps folded again by recoveries.");
    report->recoveries =
        series(runner, METRIC_COUNTER, "recoveries_total", NULL, NULL, -1,
               "Recoveries inside the running process, after a commit or a server failed.");
    report->lag_seconds = series(runner, METRIC_GAUGE, "lag_seconds", NULL, NULL, -1,
                                 "The clock less the watermark, in seconds of event time; NaN "
                                 "where there is none yet.");
    report->unbalanced = series(runner, METRIC_GAUGE, "accounts_unbalanced", NULL, NULL, -1,
                                "Accounts whose sums do not hold: anything but 0 is a defect.");
    report->checkpoint_timestamp =
        series(runner, METRIC_GAUGE, "checkpoint_timestamp_seconds", NULL, NULL, -1,
               "When a checkpoint last held all that was committed (Unix time); at start, then.");
    report_checkpoint(runner, 0);
    report->commit_seconds =
        histogram(runner, "commit_seconds", "Time that a commit takes, in seconds.");
    report->checkpoint_seconds =
        histogram(runner, "checkpoint_seconds",
                  "Time from a checkpoint's cut until it is durable, in seconds.");
    report->checkpoint_pause =
        histogram(runner, "checkpoint_pause_seconds",
                  "Time that a turn of the loop spends on a checkpoint, in seconds.");
}

enum status report_init(struct runner *runner, struct error *err) {
    struct report *report = &runner->report;
    size_t slots = runner->setup.input_count + 1;
    report->records = memory_new(slots, sizeof(struct metric *));
    report->lag = memory_new(slots, sizeof(struct metric *));
    report->offsets = memory_new(slots, sizeof(*report->offsets));
    if (!report->records || !report->lag || !report->offsets)
        return error_no_memory(err, slots * sizeof(struct metric *), "metrics");
    report->line_us = report->gauges_us = runner->clock->monotonic_us(runner->clock);
    if (runner->setup.metrics)
        report_register(runner);
    return STATUS_OK;
}

void report_deinit(struct report *report) {
    memory_free(report->records);
    memory_free(report->lag);
    memory_free(report->offsets);
}

int64_t runner_lag_records(struct runner *runner, uint32_t index) {
    const struct slot *slot = &runner->slots[index];
    int64_t end = 0, position = 0;
    if (!runner->reader || log_reader_end(runner->reader, index, &end, NULL) != STATUS_OK ||
        log_reader_position(runner->reader, index, &position, NULL) != STATUS_OK)
        return -1;
    if (slot->count == 0 && position >= end)
        return 0;
    return end > slot->next_offset ? end - slot->next_offset : 0;
}

int64_t runner_lag_ms(struct runner *runner) {
    const struct stage_operations *operations = runner->setup.operations;
    if (!operations->watermark_ms)
        return -1;
    int64_t watermark = operations->watermark_ms(runner->setup.state);
    if (watermark == STAGE_TIME_NONE)
        return -1;
    int64_t now = runner->clock->wall_ms(runner->clock);
    return watermark >= now ? 0 : now - watermark;
}

static void progress_report(struct runner *runner) {
    struct runner_progress *progress = runner->setup.progress;
    long long next = 0, ends = 0;
    for (uint32_t i = 0; progress && i < runner->setup.input_count; i++) {
        const struct slot *slot = &runner->slots[i];
        int64_t end = slot->bound;
        if (end < 0 &&
            (!runner->reader || log_reader_end(runner->reader, i, &end, NULL) != STATUS_OK))
            return;
        // All is read once a bound is reached, though markers may stand between.
        bool all = slot->bound >= 0 ? slot_reached(runner, i) : slot->next_offset > end;
        next += all ? end : slot->next_offset;
        ends += end;
    }
    if (progress) {
        atomic_store(&progress->ends, ends);
        atomic_store(&progress->next, next);
        atomic_store(&progress->records, (long long)runner->status.records);
    }
}

// Lag over all inputs, which is also set as a gauge for each.
static int64_t lag_report(struct runner *runner) {
    struct report *report = &runner->report;
    int64_t lag = 0;
    for (uint32_t i = 0; i < runner->setup.input_count; i++) {
        int64_t one = runner_lag_records(runner, i);
        lag += one > 0 ? one : 0;
        report->offsets[i] = runner->slots[i].next_offset;
        if (report->lag[i])
            metric_set(report->lag[i], one < 0 ? NAN : (double)one);
    }
    int64_t late_ms = runner_lag_ms(runner);
    if (report->lag_seconds)
        metric_set(report->lag_seconds, late_ms < 0 ? NAN : (double)late_ms / 1000);
    return lag;
}

static void line_write(struct runner *runner, int64_t lag, int64_t since_us) {
    const struct runner_status *status = &runner->status;
    double rate = (double)(status->records - runner->report.line_records) * 1e6 / (double)since_us;
    logger_line(LOGGER_INFO, runner->setup.operations->name, "status",
                "task=\"%s\" records=%llu records_per_second=%.0f lag_records=%lld lag_ms=%lld "
                "queued=%llu commits=%llu checkpoints=%llu",
                runner->setup.task, (unsigned long long)status->records, rate, (long long)lag,
                (long long)runner_lag_ms(runner), (unsigned long long)status->queued_records,
                (unsigned long long)status->commits, (unsigned long long)status->checkpoints);
}

void report_periodic(struct runner *runner) {
    struct report *report = &runner->report;
    int64_t now_us = runner->clock->monotonic_us(runner->clock);
    if (runner->finished)
        progress_report(runner);
    if (now_us - report->gauges_us < GAUGES_INTERVAL_US)
        return;
    report->gauges_us = now_us;
    int64_t lag = lag_report(runner);
    progress_report(runner);
    accounts_export(runner);
    if (now_us - report->line_us < LINE_INTERVAL_US)
        return;
    line_write(runner, lag, now_us - report->line_us);
    report->line_us = now_us;
    report->line_records = runner->status.records;
    if (runner->reader)
        log_reader_report(runner->reader, runner->setup.task, report->offsets);
}
