// What a mapping wants of a record, and whether a schema can give it.
#include "ingest/mapping_inside.h"

#include <string.h>

#include "ingest/convert.h"

static enum status want_add(struct mapping *mapping, const char *text, bool list,
                            enum purpose purpose, size_t item, size_t *ret_slot,
                            struct error *err) {
    struct plan_want *want = &mapping->wants[mapping->count];
    enum status status = path_parse(text, &mapping->arena, &want->path, err);
    if (status != STATUS_OK)
        return status;
    want->list = list;
    mapping->uses[mapping->count] = (struct use){.purpose = purpose, .item = item};
    *ret_slot = mapping->count++;
    return STATUS_OK;
}

static enum status features_want(struct mapping *mapping, struct error *err) {
    const struct spec *spec = mapping->spec;
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < spec->features.count; i++) {
        const struct spec_feature *feature = spec_feature_at(spec, i);
        status = want_add(mapping, feature->path[0] != '\0' ? feature->path : feature->name,
                          feature->kind == SPEC_MULTI || feature->kind == SPEC_SEQUENCE,
                          FOR_FEATURE, i, &mapping->features[i], err);
        mapping->times[i] = NO_SLOT;
        history_init(&mapping->histories[i]);
        if (status == STATUS_OK && feature->kind == SPEC_SEQUENCE && feature->times[0] != '\0')
            status = want_add(mapping, feature->times, true, FOR_TIMES, i, &mapping->times[i], err);
        if (status != STATUS_OK || feature->kind != SPEC_MULTI)
            continue;
        mapping->lists[i].ids = arena_get(&mapping->arena, (size_t)feature->length_max + 1, 8);
        if (mapping->lists[i].ids == NULL)
            status = error_no_memory(err, (size_t)feature->length_max * 8, "a list");
    }
    if (status == STATUS_OK && spec->domain_path[0] != '\0')
        status = want_add(mapping, spec->domain_path, false, FOR_DOMAIN, 0, &mapping->domain, err);
    if (status == STATUS_OK && spec->user_path[0] != '\0')
        status = want_add(mapping, spec->user_path, false, FOR_USER, 0, &mapping->user, err);
    return status;
}

static enum status tasks_want(struct mapping *mapping, struct error *err) {
    const struct spec *spec = mapping->spec;
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < spec->tasks.count; i++) {
        const struct spec_task *task = spec_task_at(spec, i);
        bool here = mapping->impression ? task->input[0] == '\0'
                                        : strcmp(task->input, mapping->input->name) == 0;
        mapping->label[i] = mapping->when[i] = NO_SLOT;
        mapping->brought[i] = here;
        if (here && mapping->impression && task->path[0] == '\0')
            return error_set(err, STATUS_INVALID,
                             "task `%s` names neither the input that brings its positives nor the "
                             "path of its label in the impression",
                             task->name);
        if (here && task->path[0] != '\0')
            status = want_add(mapping, task->path, false, FOR_VALUE, i, &mapping->label[i], err);
        if (status == STATUS_OK && here && task->when_path[0] != '\0')
            status = want_add(mapping, task->when_path, false, FOR_WHEN, i, &mapping->when[i], err);
    }
    return status;
}

enum status mapping_wants_make(struct mapping *mapping, struct error *err) {
    size_t features = mapping->spec->features.count;
    size_t most = mapping->input->key.count + 2 * features + 3 + 2 * SPEC_TASKS_MAX;
    enum status status = STATUS_OK;
    size_t slot;
    mapping->wants = arena_get(&mapping->arena, most, sizeof(*mapping->wants));
    mapping->uses = arena_get(&mapping->arena, most, sizeof(*mapping->uses));
    mapping->values = arena_get(&mapping->arena, most, sizeof(*mapping->values));
    mapping->features = arena_get(&mapping->arena, features + 1, sizeof(*mapping->features));
    mapping->lists = arena_get(&mapping->arena, features + 1, sizeof(*mapping->lists));
    mapping->histories = arena_get(&mapping->arena, features + 1, sizeof(*mapping->histories));
    mapping->times = arena_get(&mapping->arena, features + 1, sizeof(*mapping->times));
    mapping->ids = arena_get(&mapping->arena, features + 1, 8);
    mapping->numbers = arena_get(&mapping->arena, features + 1, 4);
    if (mapping->wants == NULL || mapping->uses == NULL || mapping->values == NULL ||
        mapping->features == NULL || mapping->lists == NULL || mapping->histories == NULL ||
        mapping->times == NULL || mapping->ids == NULL || mapping->numbers == NULL)
        return error_no_memory(err, most * sizeof(*mapping->wants), "a mapping");
    // The key's parts are the first slots, in their order.
    for (size_t i = 0; status == STATUS_OK && i < mapping->input->key.count; i++)
        status = want_add(mapping, mapping->input->key.items[i], false, FOR_KEY, i, &slot, err);
    if (status == STATUS_OK)
        status = want_add(mapping, mapping->input->time, false, FOR_TIME, 0, &mapping->time, err);
    if (status == STATUS_OK && mapping->impression)
        status = features_want(mapping, err);
    return status == STATUS_OK ? tasks_want(mapping, err) : status;
}

// What the use is called in messages.
const char *mapping_use_name(const struct mapping *mapping, const struct use *use,
                             const char **ret_item) {
    static const char *const names[] = {[FOR_KEY] = "key",
                                        [FOR_TIME] = "time",
                                        [FOR_FEATURE] = "feature",
                                        [FOR_TIMES] = "times of feature",
                                        [FOR_DOMAIN] = "domain",
                                        [FOR_USER] = "user",
                                        [FOR_VALUE] = "value of task",
                                        [FOR_WHEN] = "condition of task"};
    bool feature = use->purpose == FOR_FEATURE || use->purpose == FOR_TIMES;
    *ret_item = feature ? spec_feature_at(mapping->spec, use->item)->name
                : use->purpose == FOR_VALUE || use->purpose == FOR_WHEN
                    ? spec_task_at(mapping->spec, use->item)->name
                    : "";
    return names[use->purpose];
}

static unsigned use_forms(const struct mapping *mapping, const struct use *use) {
    if (use->purpose == FOR_TIME || use->purpose == FOR_TIMES)
        return PLAN_WHOLE | PLAN_REAL;
    if (use->purpose == FOR_VALUE)
        return CONVERT_NUMBER_FORMS;
    if (use->purpose == FOR_FEATURE &&
        spec_feature_at(mapping->spec, use->item)->kind == SPEC_NUMERIC)
        return CONVERT_NUMBER_FORMS;
    return CONVERT_TEXT_FORMS;
}

enum status mapping_check(const struct mapping *mapping, const struct plan *plan,
                          const struct schema *schema, bool strict, enum event_drop *ret_drop,
                          struct error *err) {
    for (size_t i = 0; i < mapping->count; i++) {
        const struct use *use = &mapping->uses[i];
        unsigned forms = plan_forms(plan, i);
        bool needed = strict || use->purpose == FOR_KEY || use->purpose == FOR_TIME;
        if ((forms & use_forms(mapping, use)) != 0 || (forms == PLAN_ABSENT && !needed))
            continue;
        struct buffer what;
        const char *item;
        const char *name = mapping_use_name(mapping, use, &item);
        buffer_init(&what);
        plan_explain(schema, mapping_each(mapping), &mapping->wants[i].path, &what);
        enum status status = error_set(
            err, STATUS_INVALID, "input `%s`: %s%s%s: path `%s` %s; %.*s", mapping->input->name,
            name, item[0] != '\0' ? " " : "", item, mapping->wants[i].path.text,
            forms == PLAN_ABSENT ? "is not in the schema" : "has a type that cannot be used for it",
            (int)what.length, what.failed ? "" : (const char *)what.data);
        buffer_deinit(&what);
        *ret_drop = forms == PLAN_ABSENT ? EVENT_MISSING_FIELD : EVENT_WRONG_TYPE;
        return status;
    }
    return STATUS_OK;
}

int64_t mapping_time(const struct mapping *mapping, const struct plan_value *value,
                     int64_t timestamp_ms) {
    int64_t ms;
    if (convert_to_time(value, (enum ingest_time_unit)mapping->input->time_unit, &ms) != EVENT_USED)
        return -1;
    // Written so that it cannot overflow; a record without a timestamp bounds nothing.
    if (timestamp_ms >= 0 && ms - timestamp_ms > mapping->input->future_limit_ms)
        return -1;
    return ms;
}
