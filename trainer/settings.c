// The trainer's table of options and the checks that go across it.
#include "trainer/settings.h"

#include <string.h>

#include "trainer/rules.h"

#define FIELD(name) offsetof(struct trainer_settings, name)

static const struct option options[] = {
    {.key = "examples",
     .type = OPTION_TEXT,
     .offset = FIELD(examples),
     .default_text = "examples",
     .help = "The log of joined examples, all partitions of which this task reads."},
    {.key = "weights",
     .type = OPTION_TEXT,
     .offset = FIELD(weights),
     .default_text = "weights",
     .help = "The log of model versions, of one partition."},
    {.key = "publish_interval",
     .type = OPTION_DURATION,
     .offset = FIELD(publish_interval_ms),
     .default_text = "5s",
     .minimum = 1,
     .maximum = 86400000.0,
     .help = "How often a version of the model is appended to the weights log, if it has learnt "
             "since the last one."},
    {.key = "slice_bits",
     .type = OPTION_INT,
     .offset = FIELD(slice_bits),
     .default_text = "6",
     .minimum = 0,
     .maximum = 16,
     .help =
         "Each version carries, beside what changed, the next 1/2^slice_bits of all rows whole; "
         "so any 2^slice_bits versions in a row rebuild everything."},
    {.key = "predict_rows",
     .type = OPTION_INT,
     .offset = FIELD(predict_rows),
     .default_text = "1024",
     .minimum = 1,
     .maximum = 65536,
     .help = "Impressions that are predicted at once. It changes no result."},
    {.key = "pending_max",
     .type = OPTION_INT,
     .offset = FIELD(pending_max),
     .default_text = "5000000",
     .minimum = 2,
     .maximum = 1000000000,
     .help = "Impressions whose predictions wait in memory for their final labels. Beyond it the "
             "oldest is given up, and counted as `unmeasured`. One takes about 60 bytes, and 4 a "
             "task."},
    {.key = "batch_event_time",
     .type = OPTION_DURATION,
     .offset = FIELD(batch_event_ms),
     .default_text = "0ms",
     .minimum = 0,
     .maximum = 86400000.0,
     .help = "A minibatch is learnt from, though not full, when an example is this much later than "
             "its first row; 0 lets it wait until it is full."},
    {.key = "shuffle_rows",
     .type = OPTION_INT,
     .offset = FIELD(shuffle_rows),
     .default_text = "0",
     .minimum = 0,
     .maximum = 10000000,
     .help =
         "Rows that wait in memory to be learnt in a drawn order, so that minibatches mix domains "
         "and hours (Sheng et al., 2021, section 4.4); a row waits for as many others on average. "
         "0 learns rows as they come. Predictions and measures do not wait."},
    {.key = "measure_domains",
     .type = OPTION_INT,
     .offset = FIELD(measure_domains),
     .default_text = "32",
     .minimum = 1,
     .maximum = 1024,
     .help =
         "Domains, in order of first appearance and with `unknown`, that have measures of their "
         "own; the others count in the total only."},
    {.key = "measure_window",
     .type = OPTION_DURATION,
     .offset = FIELD(measure_window_ms),
     .default_text = "1h",
     .minimum = 1,
     .maximum = 2592000000.0,
     .help = "Event time of one of the windows that the recent measures are made of."},
    {.key = "measure_windows",
     .type = OPTION_INT,
     .offset = FIELD(measure_windows),
     .default_text = "6",
     .minimum = 1,
     .maximum = 48,
     .help = "How many of these windows, the newest ones, make the recent measures."},
    {.key = "measure_user_labels",
     .type = OPTION_INT,
     .offset = FIELD(measure_user_labels),
     .default_text = "30000",
     .minimum = 0,
     .maximum = 100000000,
     .help =
         "Newest labels of each task that are kept for AUC within users, 56 bytes each; 0 = not "
         "measured. Wants `data.user`."},
    {.key = "popularity",
     .type = OPTION_SECTION,
     .offset = FIELD(popularity),
     .table = &popularity_options,
     .help = "Measures by the popularity of what was shown."},
    {.key = "drift",
     .type = OPTION_SECTION,
     .offset = FIELD(drift),
     .table = &drift_options,
     .help = "Alarms when measures move."},
    {.key = "gate",
     .type = OPTION_SECTION,
     .offset = FIELD(gate),
     .table = &gate_options,
     .help = "Which versions may go out."},
    {.key = "learner",
     .type = OPTION_SECTION,
     .offset = FIELD(learner),
     .table = &learner_options,
     .help = "Minibatches, optimisers and the balancing of tasks."},
    {.key = "runner",
     .type = OPTION_SECTION,
     .offset = FIELD(runner),
     .table = &runner_options,
     .help = "Commits, checkpoints and batches of this stage."},
};
const struct option_table trainer_options = {
    .title = "Trainer",
    .help =
        "Reads examples; predicts, measures and learns from them; writes versions of the model.",
    .struct_bytes = sizeof(struct trainer_settings),
    .options = options,
    .count = sizeof options / sizeof *options,
};

size_t trainer_popularity_column(const struct trainer_settings *settings, const struct spec *spec) {
    size_t column = 0;
    for (size_t i = 0; i < spec->features.count; i++) {
        const struct spec_feature *feature = spec_feature_at(spec, i);
        if (feature->kind != SPEC_CATEGORICAL)
            continue;
        if (strcmp(feature->name, settings->popularity.feature) == 0)
            return column;
        column++;
    }
    return TRAINER_NO_COLUMN;
}

// Rows of impressions that wait for labels stay: they will be learnt from within the window.
static enum status check_expiry(const struct trainer_settings *settings, const struct spec *spec,
                                struct error *err) {
    const struct table_rule *rules = settings->learner.tables.items;
    for (size_t i = 0; i < settings->learner.tables.count; i++)
        for (size_t task = 0; task < spec->tasks.count; task++)
            if (rules[i].expire_after_ms > 0 &&
                rules[i].expire_after_ms < spec_task_at(spec, task)->window_ms)
                return error_set(err, STATUS_INVALID,
                                 "key `trainer.learner.tables[%zu].expire_after`: %lld ms is "
                                 "shorter than the window of task `%s`, %lld ms: rows would leave "
                                 "while their labels are awaited",
                                 i, (long long)rules[i].expire_after_ms,
                                 spec_task_at(spec, task)->name,
                                 (long long)spec_task_at(spec, task)->window_ms);
    return STATUS_OK;
}

enum status trainer_settings_check(const struct trainer_settings *settings, const struct spec *spec,
                                   size_t *ret_target, struct error *err) {
    if (settings->pending_max <= settings->predict_rows ||
        settings->pending_max <= settings->learner.batch_rows)
        return error_set(err, STATUS_INVALID,
                         "key `trainer.pending_max`: must be more than `trainer.predict_rows` and "
                         "`trainer.learner.batch_rows`, which are %lld and %lld",
                         (long long)settings->predict_rows,
                         (long long)settings->learner.batch_rows);
    if (settings->popularity.feature[0] &&
        trainer_popularity_column(settings, spec) == TRAINER_NO_COLUMN)
        return error_set(err, STATUS_INVALID,
                         "key `trainer.popularity.feature`: `%s` is none of the categorical "
                         "`data.features`",
                         settings->popularity.feature);
    if (spec->tasks.count == 0)
        return error_set(err, STATUS_INVALID, "key `data.tasks`: the trainer needs a task");
    enum status status = check_expiry(settings, spec, err);
    if (status == STATUS_OK)
        status = gate_check(&settings->gate, spec, err);
    if (status != STATUS_OK)
        return status;
    size_t target = 0;
    if (settings->learner.balance == LEARNER_BALANCE_METABALANCE) {
        const char *name = settings->learner.target_task;
        while (target < spec->tasks.count && strcmp(spec_task_at(spec, target)->name, name) != 0)
            target++;
        if (target == spec->tasks.count)
            return error_set(err, STATUS_INVALID,
                             "key `trainer.learner.target_task`: `%s` is none of `data.tasks`",
                             name);
    }
    *ret_target = target;
    return STATUS_OK;
}
