// The option tables of features, tasks, rates and sampling: section `data` of the configuration.
#include "record/spec.h"

#include <stddef.h>

const char *const spec_kind_names[] = {"categorical", "multi", "numeric", "sequence", NULL};
const char *const spec_labels_names[SPEC_LABELS + 1] = {"wait",   "fnw",   "fnc",
                                                        "es_dfm", "defer", NULL};

#define FEATURE(member) offsetof(struct spec_feature, member)
static const struct option feature_option_list[] = {
    {.key = "name",
     .type = OPTION_TEXT,
     .offset = FEATURE(name),
     .help = "Unique among the features."},
    {.key = "path",
     .type = OPTION_TEXT,
     .offset = FEATURE(path),
     .default_text = "",
     .help = "Where the value stands in the impression, e.g. `user.id`; by default the name."},
    {.key = "kind",
     .type = OPTION_CHOICE,
     .offset = FEATURE(kind),
     .default_text = "categorical",
     .choices = spec_kind_names,
     .help = "categorical: one id; multi: a list of ids, pooled by their mean; numeric: a number; "
             "sequence: a list of ids in the order of time, which `model.sequences` reads."},
    {.key = "dimension",
     .type = OPTION_INT,
     .offset = FEATURE(dimension),
     .default_text = "16",
     .minimum = 1,
     .maximum = 1024,
     .help = "Width of the embedding; not used by numeric features."},
    {.key = "vocabulary",
     .type = OPTION_TEXT,
     .offset = FEATURE(vocabulary),
     .default_text = "",
     .help = "Features of one vocabulary share ids and one embedding table; by default the name."},
    {.key = "length_max",
     .type = OPTION_INT,
     .offset = FEATURE(length_max),
     .default_text = "50",
     .minimum = 1,
     .maximum = 100000,
     .help =
         "Multi-valued: ids beyond this many are left out and counted. Sequences (1024 at most) "
         "keep their newest."},
    {.key = "times",
     .type = OPTION_TEXT,
     .offset = FEATURE(times),
     .default_text = "",
     .help =
         "Sequences: where the items' times stand, one an item, in the input's `time_unit`, e.g. "
         "`history.time`; items are then put in order, and none after the impression counts. "
         "Empty: items come oldest first and have no times."},
};
static const struct option_table feature_options = {
    .title = "data.features",
    .help = "One entry a feature of the impression.",
    .struct_bytes = sizeof(struct spec_feature),
    .options = feature_option_list,
    .count = sizeof feature_option_list / sizeof feature_option_list[0],
};

#define TASK(member) offsetof(struct spec_task, member)
static const struct option task_option_list[] = {
    {.key = "name", .type = OPTION_TEXT, .offset = TASK(name), .help = "Unique among the tasks."},
    {.key = "input",
     .type = OPTION_TEXT,
     .offset = TASK(input),
     .default_text = "",
     .help = "The ingest input whose events are this task's positives; empty where the impression "
             "carries the label itself."},
    {.key = "path",
     .type = OPTION_TEXT,
     .offset = TASK(path),
     .default_text = "",
     .help = "Where the label stands: in the impression, or a value in the event; empty = the "
             "event's presence is the label."},
    {.key = "when_path",
     .type = OPTION_TEXT,
     .offset = TASK(when_path),
     .default_text = "",
     .help = "Only events with `when_equals` at this path count for the task; empty = all do."},
    {.key = "when_equals",
     .type = OPTION_TEXT,
     .offset = TASK(when_equals),
     .default_text = "",
     .help = "The value, as text, that `when_path` must hold."},
    {.key = "given",
     .type = OPTION_TEXT,
     .offset = TASK(given),
     .default_text = "",
     .help = "Sample space: empty = all impressions, or the task whose positives define it (a "
             "conversion defined on clicks)."},
    {.key = "window",
     .type = OPTION_DURATION,
     .offset = TASK(window_ms),
     .default_text = "10m",
     .minimum = 0,
     .maximum = 7776000000.0,
     .help = "How long after the impression events still count, in event time; the label is final "
             "when it closes."},
    {.key = "labels",
     .type = OPTION_CHOICE,
     .offset = TASK(labels),
     .default_text = "wait",
     .choices = spec_labels_names,
     .help =
         "When training sees them. `wait`: when the window has closed. `fnw`, `fnc`: at once as "
         "a negative, and again as a positive. `es_dfm`: after `label_wait`, and again where "
         "the positive came later. `defer`: the same, and all others again when the window "
         "closes. All are measured on final labels."},
    {.key = "label_wait",
     .type = OPTION_DURATION,
     .offset = TASK(label_wait_ms),
     .default_text = "0ms",
     .minimum = 0,
     .maximum = 7776000000.0,
     .help = "`es_dfm`, `defer`: how long after the impression training first sees its label; less "
             "than `window`."},
    {.key = "weight",
     .type = OPTION_REAL,
     .offset = TASK(weight),
     .default_text = "1",
     .minimum = 0,
     .maximum = 1e6,
     .help = "Fixed weight of the task's loss."},
};
static const struct option_table task_options = {
    .title = "data.tasks",
    .help = "One entry a task that the model learns.",
    .struct_bytes = sizeof(struct spec_task),
    .options = task_option_list,
    .count = sizeof task_option_list / sizeof task_option_list[0],
};

#define RATE(member) offsetof(struct spec_rate, member)
static const struct option rate_option_list[] = {
    {.key = "by",
     .type = OPTION_TEXTS,
     .offset = RATE(by),
     .help = "The key: categorical features, or `domain`. Several are crossed: `[user_id, tab]`."},
    {.key = "tasks",
     .type = OPTION_TEXTS,
     .offset = RATE(tasks),
     .default_text = "",
     .help = "Of which tasks; empty = of all."},
    {.key = "half_life",
     .type = OPTION_DURATION,
     .offset = RATE(half_life_ms),
     .default_text = "7d",
     .minimum = 0,
     .maximum = 31536000000.0,
     .help = "After so long, in event time, a label counts half; 0 = it never fades."},
    {.key = "prior",
     .type = OPTION_REAL,
     .offset = RATE(prior),
     .default_text = "10",
     .minimum = 0.001,
     .maximum = 1e6,
     .help = "The overall share counts for so many labels of every key: rates of rare keys are "
             "drawn to it."},
    {.key = "admit",
     .type = OPTION_INT,
     .offset = RATE(admit),
     .default_text = "1",
     .minimum = 1,
     .maximum = 255,
     .help =
         "A key gets a row at its so many-th label: for crosses, most of whose keys come once."},
    {.key = "expire",
     .type = OPTION_REAL,
     .offset = RATE(expire),
     .default_text = "0.01",
     .minimum = 0,
     .maximum = 1000,
     .help = "A row goes when its counts have faded below this; 0 = never."},
    {.key = "rows_max",
     .type = OPTION_INT,
     .offset = RATE(rows_max),
     .default_text = "10000000",
     .minimum = 1,
     .maximum = 1000000000,
     .help = "Rows at most; further keys get none, and are counted."},
};
static const struct option_table rate_options = {
    .title = "data.rates",
    .help =
        "One entry a streaming rate: the smoothed share of a task's positives and the number "
        "of its labels, by a key, as numeric inputs. A label counts once its window has closed, "
        "whatever the label policy; training uses the values that were read for the prediction, "
        "and a scorer reads the same rows from Redis.",
    .struct_bytes = sizeof(struct spec_rate),
    .options = rate_option_list,
    .count = sizeof rate_option_list / sizeof rate_option_list[0],
};

static const char *const correct_names[] = {"weights", "log_odds", NULL};
static const struct option sampling_option_list[] = {
    {.key = "drop",
     .type = OPTION_REAL,
     .offset = offsetof(struct spec_sampling, drop),
     .default_text = "0",
     .minimum = 0,
     .maximum = 0.9999,
     .help = "Share of the impressions without any positive that ingest leaves out. 0 = none."},
    {.key = "correct",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct spec_sampling, correct),
     .default_text = "weights",
     .choices = correct_names,
     .help = "`weights`: negatives that stay weigh 1 / (1 - drop) in losses, so that nothing needs "
             "correcting. `log_odds`: predictions move by log(1 - drop) instead; for one task."},
};
static const struct option_table sampling_options = {
    .title = "data.sampling",
    .help = "Fewer negatives, where one trainer cannot keep up with all.",
    .struct_bytes = sizeof(struct spec_sampling),
    .options = sampling_option_list,
    .count = sizeof sampling_option_list / sizeof sampling_option_list[0],
};

#define SPEC(member) offsetof(struct spec, member)
static const struct option spec_option_list[] = {
    {.key = "features",
     .type = OPTION_SECTIONS,
     .offset = SPEC(features),
     .table = &feature_options,
     .help = "The model's inputs."},
    {.key = "tasks",
     .type = OPTION_SECTIONS,
     .offset = SPEC(tasks),
     .table = &task_options,
     .help = "What the model predicts."},
    {.key = "sampling",
     .type = OPTION_SECTION,
     .offset = SPEC(sampling),
     .table = &sampling_options,
     .help = "Leaving out negatives."},
    {.key = "domain",
     .type = OPTION_TEXT,
     .offset = SPEC(domain_path),
     .default_text = "",
     .help =
         "Path of the domain (scenario, tab, placement) in the impression; empty = one domain."},
    {.key = "user",
     .type = OPTION_TEXT,
     .offset = SPEC(user_path),
     .default_text = "",
     .help = "Path of the user in the impression, for measures by user; empty = none."},
    {.key = "rates",
     .type = OPTION_SECTIONS,
     .offset = SPEC(rates),
     .table = &rate_options,
     .help =
         "Streaming rates; computed by the trainer, so examples are the same with and without."},
    {.key = "rates_lag",
     .type = OPTION_DURATION,
     .offset = SPEC(rates_lag_ms),
     .default_text = "0ms",
     .minimum = 0,
     .maximum = 2592000000.0,
     .help = "Rates are read as they were so long before the impression: at least what a label "
             "takes from its window's close to Redis, so that training sees what serving will."},
};
const struct option_table spec_options = {
    .title = "data",
    .help =
        "What an example is made of. Ingest, trainer and scorer share this section; examples of "
        "another set of features or tasks are refused.",
    .struct_bytes = sizeof(struct spec),
    .options = spec_option_list,
    .count = sizeof spec_option_list / sizeof spec_option_list[0],
};
