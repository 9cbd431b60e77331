// Cross-checks of features and tasks, their ids and fingerprint.
#include "record/spec.h"

#include <string.h>

#include "base/hash.h"

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
        if (!features[i].times)
            features[i].times = "";
        if (features[i].kind == SPEC_NUMERIC)
            features[i].dimension = 0;
    }
}

static enum status check_sequence(const struct spec_feature *feature, size_t i, struct error *err) {
    if (feature->kind != SPEC_SEQUENCE && feature->times && feature->times[0])
        return error_set(
            err, STATUS_INVALID,
            "data.features[%zu].times: '%s' is no sequence; only their items have times", i,
            feature->name);
    if (feature->kind == SPEC_SEQUENCE && feature->length_max > SPEC_SEQUENCE_MAX)
        return error_set(err, STATUS_INVALID,
                         "data.features[%zu].length_max: a sequence holds at most %d items, found "
                         "%lld",
                         i, SPEC_SEQUENCE_MAX, (long long)feature->length_max);
    return STATUS_OK;
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
        enum status status = check_sequence(one, i, err);
        if (status != STATUS_OK)
            return status;
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
