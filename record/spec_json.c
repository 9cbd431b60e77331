// The spec as JSON: {"features": [...], "tasks": [...], "domain": "...", "user": "...", "rates":
// [...], "rates_lag_ms": 0}; the last two are left out where there are no rates, and a task's label
// policy where it is to wait.
#include <string.h>

#include <jansson.h>

#include "record/spec.h"

static json_t *feature_to_json(const struct spec_feature *feature) {
    json_t *object = json_pack("{s:s, s:s, s:s, s:I, s:s, s:I}", "name", feature->name, "path",
                               feature->path, "kind", spec_kind_names[feature->kind], "dimension",
                               (json_int_t)feature->dimension, "vocabulary", feature->vocabulary,
                               "length_max", (json_int_t)feature->length_max);
    if (object && feature->kind == SPEC_SEQUENCE &&
        json_object_set_new(object, "times", json_string(feature->times)) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *task_to_json(const struct spec_task *task) {
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:f}", "name", task->name, "input", task->input,
        "path", task->path, "when_path", task->when_path, "when_equals", task->when_equals, "given",
        task->given, "window_ms", (json_int_t)task->window_ms, "weight", task->weight);
    if (!object || task->labels == SPEC_WAIT)
        return object;
    if (json_object_set_new(object, "labels", json_string(spec_labels_names[task->labels])) == 0 &&
        json_object_set_new(object, "label_wait_ms",
                            json_integer((json_int_t)task->label_wait_ms)) == 0)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *texts_to_json(const struct option_texts *texts) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < texts->count; i++)
        if (json_array_append_new(array, json_string(texts->items[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *rate_to_json(const struct spec_rate *rate) {
    return json_pack("{s:o, s:o, s:I, s:f, s:I, s:f, s:I}", "by", texts_to_json(&rate->by), "tasks",
                     texts_to_json(&rate->tasks), "half_life_ms", (json_int_t)rate->half_life_ms,
                     "prior", rate->prior, "admit", (json_int_t)rate->admit, "expire", rate->expire,
                     "rows_max", (json_int_t)rate->rows_max);
}

static bool rates_to_json(const struct spec *spec, json_t *root) {
    json_t *rates = json_array();
    bool good = rates != NULL;
    for (size_t i = 0; good && i < spec->rates.count; i++)
        good = json_array_append_new(rates, rate_to_json(spec_rate_at(spec, i))) == 0;
    good = json_object_set_new(root, "rates", rates) == 0 && good;
    return good && json_object_set_new(root, "rates_lag_ms",
                                       json_integer((json_int_t)spec->rates_lag_ms)) == 0;
}

enum status spec_to_json(const struct spec *spec, struct buffer *into, struct error *err) {
    json_t *features = json_array(), *tasks = json_array(), *root = NULL;
    char *text = NULL;
    enum status status = STATUS_OK;
    bool good = features && tasks;
    for (size_t i = 0; good && i < spec->features.count; i++)
        good = json_array_append_new(features, feature_to_json(spec_feature_at(spec, i))) == 0;
    for (size_t i = 0; good && i < spec->tasks.count; i++)
        good = json_array_append_new(tasks, task_to_json(spec_task_at(spec, i))) == 0;
    if (good)
        root = json_pack("{s:O, s:O, s:s, s:s}", "features", features, "tasks", tasks, "domain",
                         spec->domain_path, "user", spec->user_path);
    if (root && spec->sampling.drop > 0 &&
        json_object_set_new(root, "sampling",
                            json_pack("{s:f, s:i}", "drop", spec->sampling.drop, "correct",
                                      spec->sampling.correct)) != 0) {
        json_decref(root);
        root = NULL;
    }
    if (root && (spec->rates.count == 0 || rates_to_json(spec, root)))
        text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (text)
        buffer_append(into, text, strlen(text));
    if (!text || into->failed)
        status =
            error_set(err, STATUS_INVALID,
                      "could not write the spec as JSON: memory is out, or a name is not UTF-8");
    free(text);
    json_decref(root);
    json_decref(features);
    json_decref(tasks);
    return status;
}

static bool copy_text(const json_t *object, const char *key, struct arena *arena,
                      const char **ret_text) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return false;
    *ret_text = arena_copy_string(arena, json_string_value(value), json_string_length(value));
    return *ret_text != NULL;
}

static bool copy_int(const json_t *object, const char *key, int64_t minimum, int64_t maximum,
                     int64_t *ret_value) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < minimum ||
        json_integer_value(value) > maximum)
        return false;
    *ret_value = json_integer_value(value);
    return true;
}

static bool feature_from_json(const json_t *object, struct arena *arena,
                              struct spec_feature *feature) {
    const char *kind;
    if (!copy_text(object, "name", arena, &feature->name) ||
        !copy_text(object, "path", arena, &feature->path) ||
        !copy_text(object, "kind", arena, &kind) ||
        !copy_text(object, "vocabulary", arena, &feature->vocabulary) ||
        !copy_int(object, "dimension", 0, 1024, &feature->dimension) ||
        !copy_int(object, "length_max", 1, 100000, &feature->length_max))
        return false;
    feature->times = "";
    for (int i = 0; i < SPEC_KINDS; i++) {
        if (strcmp(kind, spec_kind_names[i]) == 0) {
            feature->kind = i;
            return i != SPEC_SEQUENCE || copy_text(object, "times", arena, &feature->times);
        }
    }
    return false;
}

static bool labels_from_json(const json_t *object, struct arena *arena, struct spec_task *task) {
    const char *labels;
    if (json_object_get(object, "labels") == NULL)
        return true; // to wait
    if (!copy_text(object, "labels", arena, &labels) ||
        !copy_int(object, "label_wait_ms", 0, INT64_MAX, &task->label_wait_ms))
        return false;
    while (task->labels < SPEC_LABELS && strcmp(labels, spec_labels_names[task->labels]) != 0)
        task->labels++;
    return task->labels < SPEC_LABELS;
}

static bool task_from_json(const json_t *object, struct arena *arena, struct spec_task *task) {
    const json_t *weight = json_object_get(object, "weight");
    if (!copy_text(object, "name", arena, &task->name) ||
        !copy_text(object, "input", arena, &task->input) ||
        !copy_text(object, "path", arena, &task->path) ||
        !copy_text(object, "when_path", arena, &task->when_path) ||
        !copy_text(object, "when_equals", arena, &task->when_equals) ||
        !copy_text(object, "given", arena, &task->given) ||
        !copy_int(object, "window_ms", 0, INT64_MAX, &task->window_ms) || !json_is_number(weight) ||
        !labels_from_json(object, arena, task))
        return false;
    task->weight = json_number_value(weight);
    return true;
}

static bool copy_texts(const json_t *object, const char *key, struct arena *arena,
                       struct option_texts *ret_texts) {
    const json_t *array = json_object_get(object, key);
    size_t count = json_array_size(array);
    const char **items = arena_get(arena, count + 1, sizeof *items);
    if (!json_is_array(array) || !items)
        return false;
    for (size_t i = 0; i < count; i++) {
        const json_t *text = json_array_get(array, i);
        items[i] = json_is_string(text)
                       ? arena_copy_string(arena, json_string_value(text), json_string_length(text))
                       : NULL;
        if (!items[i])
            return false;
    }
    *ret_texts = (struct option_texts){items, count};
    return true;
}

static bool rate_from_json(const json_t *object, struct arena *arena, struct spec_rate *rate) {
    const json_t *prior = json_object_get(object, "prior");
    const json_t *expire = json_object_get(object, "expire");
    if (!copy_texts(object, "by", arena, &rate->by) ||
        !copy_texts(object, "tasks", arena, &rate->tasks) ||
        !copy_int(object, "half_life_ms", 0, INT64_MAX, &rate->half_life_ms) ||
        !copy_int(object, "admit", 1, 255, &rate->admit) ||
        !copy_int(object, "rows_max", 1, INT64_MAX, &rate->rows_max) || !json_is_number(prior) ||
        !(json_number_value(prior) > 0) || !json_is_number(expire))
        return false;
    rate->prior = json_number_value(prior);
    rate->expire = json_number_value(expire);
    return true;
}

static bool rates_fill(const json_t *root, struct arena *arena, struct spec *spec) {
    const json_t *rates = json_object_get(root, "rates");
    size_t count = json_array_size(rates);
    if (count == 0)
        return true;
    struct spec_rate *items = arena_get(arena, count, sizeof *items);
    if (!items || count > SPEC_RATES_MAX)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!rate_from_json(json_array_get(rates, i), arena, &items[i]))
            return false;
    spec->rates = (struct option_sections){items, count};
    return copy_int(root, "rates_lag_ms", 0, INT64_MAX, &spec->rates_lag_ms);
}

static bool sampling_fill(const json_t *root, struct spec *spec) {
    const json_t *sampling = json_object_get(root, "sampling");
    const json_t *drop = json_object_get(sampling, "drop");
    int64_t correct;
    if (sampling == NULL)
        return true; // nothing is left out
    if (!json_is_number(drop) ||
        !copy_int(sampling, "correct", SPEC_CORRECT_WEIGHTS, SPEC_CORRECT_LOG_ODDS, &correct))
        return false;
    spec->sampling = (struct spec_sampling){json_number_value(drop), (int)correct};
    return true;
}

static bool spec_fill(const json_t *root, struct arena *arena, struct spec *spec) {
    const json_t *features = json_object_get(root, "features");
    const json_t *tasks = json_object_get(root, "tasks");
    size_t feature_count = json_array_size(features), task_count = json_array_size(tasks);
    if (feature_count > SPEC_FEATURES_MAX || task_count > SPEC_TASKS_MAX)
        return false;
    struct spec_feature *feature_items = arena_get(arena, feature_count + 1, sizeof *feature_items);
    struct spec_task *task_items = arena_get(arena, task_count + 1, sizeof *task_items);
    if (!feature_items || !task_items)
        return false;
    for (size_t i = 0; i < feature_count; i++)
        if (!feature_from_json(json_array_get(features, i), arena, &feature_items[i]))
            return false;
    for (size_t i = 0; i < task_count; i++)
        if (!task_from_json(json_array_get(tasks, i), arena, &task_items[i]))
            return false;
    spec->features = (struct option_sections){feature_items, feature_count};
    spec->tasks = (struct option_sections){task_items, task_count};
    return sampling_fill(root, spec) && rates_fill(root, arena, spec) &&
           copy_text(root, "domain", arena, &spec->domain_path) &&
           copy_text(root, "user", arena, &spec->user_path);
}

enum status spec_from_json(const char *text, size_t length, struct arena *arena,
                           struct spec *ret_spec, struct error *err) {
    json_error_t reason;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &reason);
    if (!root)
        return error_set(err, STATUS_INVALID, "could not read the spec: %s at byte %d", reason.text,
                         reason.position);
    struct spec spec = {0};
    bool good = spec_fill(root, arena, &spec);
    json_decref(root);
    if (!good)
        return error_set(err, STATUS_INVALID,
                         "could not read the spec: a key is missing or of another type");
    enum status status = spec_check(&spec, err);
    if (status == STATUS_OK)
        *ret_spec = spec;
    return status;
}
