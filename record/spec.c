// The option tables of features and tasks, their cross-checks, ids and fingerprint.
#include "record/spec.h"

#include <string.h>

#include "base/hash.h"

static const char *const kind_names[] = {"categorical", "multi", "numeric", NULL};
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
     .choices = kind_names,
     .help = "categorical: one id; multi: a list of ids, pooled by their mean; numeric: a number."},
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
     .help = "Multi-valued: ids beyond this many are left out and counted."},
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

const struct spec_feature *spec_feature_at(const struct spec *spec, size_t i) {
    REQUIRE(i < spec->features.count);
    return (const struct spec_feature *)spec->features.items + i;
}

const struct spec_task *spec_task_at(const struct spec *spec, size_t i) {
    REQUIRE(i < spec->tasks.count);
    return (const struct spec_task *)spec->tasks.items + i;
}

const struct spec_rate *spec_rate_at(const struct spec *spec, size_t i) {
    REQUIRE(i < spec->rates.count);
    return (const struct spec_rate *)spec->rates.items + i;
}

size_t spec_kind_count(const struct spec *spec, enum spec_feature_kind kind) {
    size_t count = 0;
    for (size_t i = 0; i < spec->features.count; i++)
        count += spec_feature_at(spec, i)->kind == (int)kind;
    return count;
}

// An empty path or vocabulary means the feature's own name.
static const char *vocabulary_of(const struct spec_feature *feature) {
    return feature->vocabulary && feature->vocabulary[0] ? feature->vocabulary : feature->name;
}

static void features_complete(struct spec *spec) {
    struct spec_feature *features = spec->features.items;
    for (size_t i = 0; i < spec->features.count; i++) {
        if (!features[i].path || !features[i].path[0])
            features[i].path = features[i].name;
        features[i].vocabulary = vocabulary_of(&features[i]);
        if (features[i].kind == SPEC_NUMERIC)
            features[i].dimension = 0;
    }
}

static enum status check_features(const struct spec *spec, struct error *err) {
    if (spec->features.count == 0 || spec->features.count > SPEC_FEATURES_MAX)
        return error_set(
            err, STATUS_INVALID,
            "data.features: expected 1 to %d entries, found %zu; name the model's inputs",
            SPEC_FEATURES_MAX, spec->features.count);
    for (size_t i = 0; i < spec->features.count; i++) {
        const struct spec_feature *one = spec_feature_at(spec, i);
        if (one->name[0] == '\0')
            return error_set(err, STATUS_INVALID, "data.features[%zu].name: expected a name", i);
        for (size_t k = 0; k < i; k++) {
            const struct spec_feature *other = spec_feature_at(spec, k);
            if (strcmp(one->name, other->name) == 0)
                return error_set(err, STATUS_INVALID,
                                 "data.features[%zu].name: '%s' is taken by data.features[%zu]", i,
                                 one->name, k);
            if (one->kind != SPEC_NUMERIC && other->kind != SPEC_NUMERIC &&
                strcmp(vocabulary_of(one), vocabulary_of(other)) == 0 &&
                one->dimension != other->dimension)
                return error_set(
                    err, STATUS_INVALID,
                    "data.features[%zu].dimension: '%s' has %lld but shares vocabulary "
                    "'%s' with '%s', which has %lld; give both the same",
                    i, one->name, (long long)one->dimension, vocabulary_of(one), other->name,
                    (long long)other->dimension);
        }
    }
    return STATUS_OK;
}

static size_t task_find(const struct spec *spec, const char *name) {
    size_t i = 0;
    while (i < spec->tasks.count && strcmp(spec_task_at(spec, i)->name, name) != 0)
        i++;
    return i;
}

static enum status check_given(const struct spec *spec, size_t task, struct error *err) {
    size_t at = task;
    for (size_t hops = 0; spec_task_at(spec, at)->given[0]; hops++) {
        const char *given = spec_task_at(spec, at)->given;
        at = task_find(spec, given);
        if (at == spec->tasks.count)
            return error_set(err, STATUS_INVALID, "data.tasks[%zu].given: there is no task '%s'",
                             task, given);
        if (hops == spec->tasks.count || at == task)
            return error_set(err, STATUS_INVALID,
                             "data.tasks[%zu].given: '%s' leads back to itself; one task must be "
                             "defined on all impressions",
                             task, given);
    }
    return STATUS_OK;
}

static enum status check_labels(const struct spec_task *task, size_t i, struct error *err) {
    bool waits = task->labels == SPEC_ES_DFM || task->labels == SPEC_DEFER;
    const char *name = spec_labels_names[task->labels];
    if (!waits && task->label_wait_ms != 0)
        return error_set(err, STATUS_INVALID,
                         "data.tasks[%zu].label_wait: `labels: %s` has no wait; only es_dfm and "
                         "defer have",
                         i, name);
    if (task->labels == SPEC_WAIT)
        return STATUS_OK;
    if (task->input[0] == '\0')
        return error_set(err, STATUS_INVALID,
                         "data.tasks[%zu].labels: `%s` is for labels that come late, but the "
                         "impression itself carries that of '%s' (no `input`); use wait",
                         i, name, task->name);
    if (task->label_wait_ms >= task->window_ms)
        return error_set(err, STATUS_INVALID,
                         "data.tasks[%zu].labels: `%s` needs a `window` longer than `label_wait`, "
                         "found %lld and %lld ms",
                         i, name, (long long)task->window_ms, (long long)task->label_wait_ms);
    return STATUS_OK;
}

static enum status check_tasks(const struct spec *spec, struct error *err) {
    if (spec->tasks.count == 0 || spec->tasks.count > SPEC_TASKS_MAX)
        return error_set(err, STATUS_INVALID,
                         "data.tasks: expected 1 to %d entries, found %zu; name what to predict",
                         SPEC_TASKS_MAX, spec->tasks.count);
    for (size_t i = 0; i < spec->tasks.count; i++) {
        const struct spec_task *task = spec_task_at(spec, i);
        if (task->name[0] == '\0')
            return error_set(err, STATUS_INVALID, "data.tasks[%zu].name: expected a name", i);
        if (task_find(spec, task->name) < i)
            return error_set(err, STATUS_INVALID, "data.tasks[%zu].name: '%s' is taken", i,
                             task->name);
        if ((task->when_path[0] == '\0') != (task->when_equals[0] == '\0'))
            return error_set(err, STATUS_INVALID,
                             "data.tasks[%zu]: when_path and when_equals go together", i);
        if (task->input[0] == '\0' && task->path[0] == '\0')
            return error_set(
                err, STATUS_INVALID,
                "data.tasks[%zu]: '%s' needs `input` (events that are its positives) or "
                "`path` (its label in the impression)",
                i, task->name);
        enum status status = check_given(spec, i, err);
        if (status == STATUS_OK)
            status = check_labels(task, i, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status check_sampling(const struct spec *spec, struct error *err) {
    const struct spec_sampling *sampling = &spec->sampling;
    if (!(sampling->drop >= 0 && sampling->drop < 1))
        return error_set(err, STATUS_INVALID, "data.sampling.drop: expected 0 to .9999");
    if (!(sampling->drop > 0))
        return STATUS_OK;
    if (sampling->correct == SPEC_CORRECT_LOG_ODDS && spec->tasks.count > 1)
        return error_set(err, STATUS_INVALID,
                         "data.sampling.correct: `log_odds` is exact for one task only (a negative "
                         "of one task that is a positive of another always stays), found %zu; use "
                         "weights",
                         spec->tasks.count);
    for (size_t i = 0; i < spec->tasks.count; i++)
        if (spec_task_at(spec, i)->labels != SPEC_WAIT)
            return error_set(err, STATUS_INVALID,
                             "data.sampling.drop: negatives can be told when windows have closed, "
                             "but data.tasks[%zu] has `labels: %s`; use wait",
                             i, spec_labels_names[spec_task_at(spec, i)->labels]);
    return STATUS_OK;
}

static bool key_part_exists(const struct spec *spec, const char *name) {
    for (size_t i = 0; i < spec->features.count; i++)
        if (spec_feature_at(spec, i)->kind == SPEC_CATEGORICAL &&
            strcmp(spec_feature_at(spec, i)->name, name) == 0)
            return true;
    return strcmp(name, SPEC_RATE_DOMAIN) == 0;
}

static enum status check_rates(const struct spec *spec, struct error *err) {
    if (spec->rates.count > SPEC_RATES_MAX)
        return error_set(err, STATUS_INVALID, "data.rates: expected at most %d entries, found %zu",
                         SPEC_RATES_MAX, spec->rates.count);
    for (size_t i = 0; i < spec->rates.count; i++) {
        const struct spec_rate *rate = spec_rate_at(spec, i);
        if (rate->by.count == 0)
            return error_set(err, STATUS_INVALID,
                             "data.rates[%zu].by: expected at least one feature", i);
        for (size_t k = 0; k < rate->by.count; k++)
            if (!key_part_exists(spec, rate->by.items[k]))
                return error_set(err, STATUS_INVALID,
                                 "data.rates[%zu].by: '%s' is neither a categorical feature nor "
                                 "`domain`",
                                 i, rate->by.items[k]);
        for (size_t k = 0; k < rate->tasks.count; k++)
            if (task_find(spec, rate->tasks.items[k]) == spec->tasks.count)
                return error_set(err, STATUS_INVALID,
                                 "data.rates[%zu].tasks: there is no task '%s'", i,
                                 rate->tasks.items[k]);
    }
    return STATUS_OK;
}

enum status spec_check(struct spec *spec, struct error *err) {
    enum status status = check_features(spec, err);
    if (status == STATUS_OK)
        status = check_tasks(spec, err);
    if (status == STATUS_OK)
        status = check_sampling(spec, err);
    if (status == STATUS_OK)
        status = check_rates(spec, err);
    if (status == STATUS_OK)
        features_complete(spec);
    return status;
}

uint64_t spec_fingerprint(const struct spec *spec) {
    uint64_t hash = 0;
    for (size_t i = 0; i < spec->features.count; i++) {
        const struct spec_feature *feature = spec_feature_at(spec, i);
        const char *vocabulary = vocabulary_of(feature);
        unsigned char kind = (unsigned char)feature->kind;
        hash = hash_chain(hash, feature->name, strlen(feature->name));
        hash = hash_chain(hash, &kind, 1);
        hash = hash_chain(hash, vocabulary, strlen(vocabulary));
    }
    for (size_t i = 0; i < spec->tasks.count; i++) {
        const char *name = spec_task_at(spec, i)->name;
        hash = hash_chain(hash, name, strlen(name));
    }
    return hash;
}

uint64_t spec_id(const char *vocabulary, const char *text, size_t length) {
    uint64_t id = hash_bytes(text, length, hash_bytes(vocabulary, strlen(vocabulary), 0));
    return id ? id : 1;
}
