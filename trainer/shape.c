// Fields and tables by vocabulary.
#include "trainer/shape.h"

#include <math.h>
#include <string.h>

#include "record/rate_keys.h"

// The vocabulary's table: that of the first of `count` features so far that has it, else a new one.
static uint32_t table_of(const char *const *vocabularies, const struct model_field *fields,
                         size_t count, const char *vocabulary, size_t *tables) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(vocabularies[i], vocabulary) == 0)
            return fields[i].table;
    return (uint32_t)(*tables)++;
}

// given[task]: 1 + the task that its `given` names, 0 = none.
static void given_find(const struct spec *spec, uint32_t *given) {
    for (size_t k = 0; k < spec->tasks.count; k++) {
        const char *name = spec_task_at(spec, k)->given;
        for (size_t other = 0; name && name[0] && other < spec->tasks.count; other++)
            if (strcmp(spec_task_at(spec, other)->name, name) == 0)
                given[k] = (uint32_t)other + 1;
    }
}

_Static_assert((int)SPEC_FNW == (int)MODEL_LABELS_FNW && (int)SPEC_FNC == (int)MODEL_LABELS_FNC &&
                   (int)SPEC_ES_DFM == (int)MODEL_LABELS_ES_DFM &&
                   (int)SPEC_DEFER == (int)MODEL_LABELS_DEFER,
               "one list of policies");

// Its target is the first categorical field of its table.
static void sequence_fill(const struct spec_feature *feature, const struct model_field *fields,
                          size_t categorical, struct model_field *field) {
    field->length = (uint32_t)feature->length_max;
    field->timed = feature->times[0] != '\0';
    for (size_t f = categorical; f > 0; f--)
        if (fields[f - 1].table == field->table)
            field->target = (uint32_t)f;
}

enum status shape_of_spec(const struct spec *spec, const struct model_settings *settings,
                          struct arena *arena, struct model_spec *ret_shape, struct error *err) {
    static const enum spec_feature_kind kinds[] = {SPEC_CATEGORICAL, SPEC_MULTI, SPEC_SEQUENCE};
    struct model_spec shape = {
        .categorical_count = spec_kind_count(spec, SPEC_CATEGORICAL),
        .numeric_count = spec_kind_count(spec, SPEC_NUMERIC),
        .task_count = spec->tasks.count,
        .settings = *settings,
    };
    size_t count = spec->features.count;
    struct model_field *fields = arena_get(arena, count + 1, sizeof *fields);
    const char **vocabularies = arena_get(arena, count + 1, sizeof *vocabularies);
    if (fields == NULL || vocabularies == NULL)
        return error_no_memory(err, count * sizeof *fields, "the model's fields");
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < count; i++) {
            const struct spec_feature *feature = spec_feature_at(spec, i);
            if (feature->kind != (int)kinds[k])
                continue;
            size_t at = shape.field_count++;
            vocabularies[at] = feature->vocabulary;
            fields[at] = (struct model_field){
                .name = feature->name,
                .table =
                    table_of(vocabularies, fields, at, feature->vocabulary, &shape.table_count),
                .dimension = (uint32_t)feature->dimension,
                .multi = kinds[k] != SPEC_CATEGORICAL,
            };
            if (kinds[k] == SPEC_SEQUENCE)
                sequence_fill(feature, fields, shape.categorical_count, &fields[at]);
        }
    }
    shape.fields = fields;
    given_find(spec, shape.given);
    for (size_t k = 0; k < spec->tasks.count; k++)
        shape.labels[k] = (uint32_t)spec_task_at(spec, k)->labels;
    if (spec->sampling.drop > 0 && spec->sampling.correct == SPEC_CORRECT_LOG_ODDS)
        shape.shift[0] = log1p(-spec->sampling.drop); // of the one task
    struct rate_keys keys;
    enum status status = rate_keys_of(spec, arena, &keys, err);
    if (status != STATUS_OK)
        return status;
    shape.numeric_count += keys.columns; // behind the numeric features
    status = model_spec_check(&shape, err);
    if (status != STATUS_OK)
        return status;
    *ret_shape = shape;
    return STATUS_OK;
}
