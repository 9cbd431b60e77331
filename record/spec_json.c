// The spec as JSON: {"features": [...], "tasks": [...], "domain": "...", "user": "..."}.
#include <string.h>

#include <jansson.h>

#include "record/spec.h"

static const char *const kind_names[] = {"categorical", "multi", "numeric"};

static json_t *feature_to_json(const struct spec_feature *feature) {
    return json_pack("{s:s, s:s, s:s, s:I, s:s, s:I}", "name", feature->name, "path", feature->path,
                     "kind", kind_names[feature->kind], "dimension", (json_int_t)feature->dimension,
                     "vocabulary", feature->vocabulary, "length_max",
                     (json_int_t)feature->length_max);
}

static json_t *task_to_json(const struct spec_task *task) {
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:f}", "name", task->name, "input",
                     task->input, "path", task->path, "when_path", task->when_path, "when_equals",
                     task->when_equals, "given", task->given, "window_ms",
                     (json_int_t)task->window_ms, "weight", task->weight);
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
    if (root)
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
    for (int i = 0; i < 3; i++) {
        if (strcmp(kind, kind_names[i]) == 0) {
            feature->kind = i;
            return true;
        }
    }
    return false;
}

static bool task_from_json(const json_t *object, struct arena *arena, struct spec_task *task) {
    const json_t *weight = json_object_get(object, "weight");
    if (!copy_text(object, "name", arena, &task->name) ||
        !copy_text(object, "input", arena, &task->input) ||
        !copy_text(object, "path", arena, &task->path) ||
        !copy_text(object, "when_path", arena, &task->when_path) ||
        !copy_text(object, "when_equals", arena, &task->when_equals) ||
        !copy_text(object, "given", arena, &task->given) ||
        !copy_int(object, "window_ms", 0, INT64_MAX, &task->window_ms) || !json_is_number(weight))
        return false;
    task->weight = json_number_value(weight);
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
    return copy_text(root, "domain", arena, &spec->domain_path) &&
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
