// Writes and reads the settings by section `model`'s own table of options, so that a new option
// needs nothing here.
#include "model/spec_text.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>

enum { FIELDS_MAX = 4096, WORDS_MAX = 64, OPTIONS_MAX = 64 };
static const char heading[] = "freshet-model 1";

static void name_write(const char *name, struct buffer *into) {
    for (const unsigned char *at = (const unsigned char *)name; *at != '\0'; at++) {
        if (*at <= ' ' || *at == '%' || *at == 0x7f)
            buffer_append_text(into, "%%%02X", (unsigned)*at);
        else
            buffer_append_byte(into, *at);
    }
}

static void option_write(const struct option *option, const struct model_settings *settings,
                         struct buffer *into) {
    const unsigned char *at = (const unsigned char *)settings + option->offset;
    buffer_append_text(into, "%s", option->key);
    switch (option->type) {
    case OPTION_BOOL:
        buffer_append_text(into, " %d", *(const bool *)at ? 1 : 0);
        break;
    case OPTION_INT:
        buffer_append_text(into, " %" PRId64, *(const int64_t *)(const void *)at);
        break;
    case OPTION_REAL:
        buffer_append_text(into, " %a", *(const double *)(const void *)at);
        break;
    case OPTION_CHOICE:
        buffer_append_text(into, " %s", option->choices[*(const int *)(const void *)at]);
        break;
    case OPTION_TEXTS: {
        const struct option_texts *texts = (const struct option_texts *)(const void *)at;
        for (size_t i = 0; i < texts->count; i++) {
            buffer_append_byte(into, ' ');
            name_write(texts->items[i], into);
        }
        break;
    }
    default: {
        REQUIRE(option->type == OPTION_INTS);
        const struct option_ints *ints = (const struct option_ints *)(const void *)at;
        for (size_t i = 0; i < ints->count; i++)
            buffer_append_text(into, " %" PRId64, ints->items[i]);
    }
    }
    buffer_append_byte(into, '\n');
}

void spec_text_write(const struct model_spec *spec, struct buffer *into) {
    buffer_append_text(into, "%s\n", heading);
    for (size_t i = 0; i < model_options.count; i++)
        option_write(&model_options.options[i], &spec->settings, into);
    buffer_append_text(into, "numeric %zu\ntasks %zu\ntables %zu\n", spec->numeric_count,
                       spec->task_count, spec->table_count);
    for (size_t k = 0; k < spec->task_count; k++)
        if (spec->given[k] != 0)
            buffer_append_text(into, "given %zu %" PRIu32 "\n", k, spec->given[k] - 1);
    for (size_t k = 0; k < spec->task_count; k++)
        if (spec->labels[k] != MODEL_LABELS_WAIT)
            buffer_append_text(into, "labels %zu %s\n", k, model_labels_names[spec->labels[k]]);
    for (size_t k = 0; k < spec->task_count; k++)
        if (spec->shift[k] < 0 || spec->shift[k] > 0)
            buffer_append_text(into, "shift %zu %a\n", k, spec->shift[k]);
    for (size_t i = 0; i < spec->field_count; i++) {
        const struct model_field *field = &spec->fields[i];
        const char *kind = field->length ? "sequence" : field->multi ? "list" : "one";
        buffer_append_text(into, "field %s %" PRIu32 " %" PRIu32 " ", kind, field->table,
                           field->dimension);
        name_write(field->name, into);
        if (field->length)
            buffer_append_text(into, " %" PRIu32 " %" PRIu32 " %d", field->length, field->target,
                               field->timed);
        buffer_append_byte(into, '\n');
    }
    buffer_append_text(into, "end\n");
}

struct reading {
    struct arena *arena;
    struct model_spec spec;
    struct model_field *fields;
    bool seen[OPTIONS_MAX]; // options
    int64_t counts[3];      // numeric, tasks, tables; -1 = not yet
    bool ended;
};

static bool int_read(const char *word, int64_t minimum, int64_t maximum, int64_t *ret_value) {
    char *end;
    errno = 0;
    long long value = strtoll(word, &end, 10);
    if (end == word || *end != '\0' || errno != 0 || value < minimum || value > maximum)
        return false;
    *ret_value = value;
    return true;
}

static bool real_read(const char *word, double *ret_value) {
    char *end;
    double value = strtod(word, &end);
    if (end == word || *end != '\0' || !isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

static bool in_range(const struct option *option, double value) {
    return (option->minimum == 0 && option->maximum == 0) ||
           (value >= option->minimum && value <= option->maximum);
}

static bool ints_read(struct reading *reading, const struct option *option, char *const *words,
                      size_t count, struct option_ints *ret_ints) {
    int64_t *items = arena_get(reading->arena, count + 1, sizeof *items);
    if (items == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!int_read(words[i], INT64_MIN, INT64_MAX, &items[i]) ||
            !in_range(option, (double)items[i]))
            return false;
    *ret_ints = (struct option_ints){items, count};
    return true;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static char *name_read(struct arena *arena, const char *word) {
    char *name = arena_get(arena, strlen(word) + 1, 1);
    size_t length = 0;
    while (name != NULL && *word != '\0') {
        if (*word != '%') {
            name[length++] = *word++;
            continue;
        }
        int high = hex_digit(word[1]), low = high < 0 ? -1 : hex_digit(word[2]);
        if (low < 0 || high + low == 0)
            return NULL;
        name[length++] = (char)(16 * high + low);
        word += 3;
    }
    return name;
}

static bool texts_read(struct reading *reading, char *const *words, size_t count,
                       struct option_texts *ret_texts) {
    const char **items = arena_get(reading->arena, count + 1, sizeof *items);
    for (size_t i = 0; items != NULL && i < count; i++) {
        items[i] = name_read(reading->arena, words[i]);
        if (items[i] == NULL)
            return false;
    }
    *ret_texts = (struct option_texts){items, count};
    return items != NULL;
}

static bool option_read(struct reading *reading, const struct option *option, char *const *words,
                        size_t count) {
    unsigned char *at = (unsigned char *)&reading->spec.settings + option->offset;
    int64_t whole;
    if (option->type == OPTION_INTS)
        return ints_read(reading, option, words, count, (struct option_ints *)(void *)at);
    if (option->type == OPTION_TEXTS)
        return texts_read(reading, words, count, (struct option_texts *)(void *)at);
    if (count != 1)
        return false;
    switch (option->type) {
    case OPTION_BOOL:
        if (!int_read(words[0], 0, 1, &whole))
            return false;
        *(bool *)at = whole == 1;
        return true;
    case OPTION_INT:
        return int_read(words[0], INT64_MIN, INT64_MAX, (int64_t *)(void *)at) &&
               in_range(option, (double)*(int64_t *)(void *)at);
    case OPTION_REAL:
        return real_read(words[0], (double *)(void *)at) && in_range(option, *(double *)(void *)at);
    default:
        REQUIRE(option->type == OPTION_CHOICE);
        for (int i = 0; option->choices[i] != NULL; i++) {
            if (strcmp(option->choices[i], words[0]) == 0) {
                *(int *)(void *)at = i;
                return true;
            }
        }
        return false;
    }
}

static bool field_read(struct reading *reading, char *const *words, size_t count) {
    int64_t table, dimension, length = 0, target = 0, timed = 0;
    struct model_spec *spec = &reading->spec;
    bool sequence = strcmp(words[0], "sequence") == 0;
    if (count != (sequence ? 7 : 4) || spec->field_count == FIELDS_MAX ||
        !int_read(words[1], 0, FIELDS_MAX, &table) || !int_read(words[2], 1, INT32_MAX, &dimension))
        return false;
    if (sequence &&
        (!int_read(words[4], 1, INT32_MAX, &length) ||
         !int_read(words[5], 0, FIELDS_MAX, &target) || !int_read(words[6], 0, 1, &timed)))
        return false;
    bool multi = sequence || strcmp(words[0], "list") == 0;
    char *name = name_read(reading->arena, words[3]);
    if ((!multi && strcmp(words[0], "one") != 0) || name == NULL ||
        (!multi && spec->field_count > spec->categorical_count))
        return false;
    reading->fields[spec->field_count++] = (struct model_field){.name = name,
                                                                .table = (uint32_t)table,
                                                                .dimension = (uint32_t)dimension,
                                                                .multi = multi,
                                                                .length = (uint32_t)length,
                                                                .target = (uint32_t)target,
                                                                .timed = timed == 1};
    spec->categorical_count += multi ? 0 : 1;
    return true;
}

static bool given_read(struct reading *reading, char *const *words, size_t count) {
    int64_t task, given;
    if (count != 2 || !int_read(words[0], 0, MODEL_TASKS_MAX - 1, &task) ||
        !int_read(words[1], 0, MODEL_TASKS_MAX - 1, &given) || reading->spec.given[task] != 0)
        return false;
    reading->spec.given[task] = (uint32_t)given + 1;
    return true;
}

static bool labels_read(struct reading *reading, char *const *words, size_t count) {
    int64_t task;
    if (count != 2 || !int_read(words[0], 0, MODEL_TASKS_MAX - 1, &task) ||
        reading->spec.labels[task] != MODEL_LABELS_WAIT)
        return false;
    for (uint32_t i = MODEL_LABELS_WAIT + 1; i < MODEL_LABELS; i++)
        if (strcmp(words[1], model_labels_names[i]) == 0)
            reading->spec.labels[task] = i;
    return reading->spec.labels[task] != MODEL_LABELS_WAIT;
}

static bool shift_read(struct reading *reading, char *const *words, size_t count) {
    int64_t task;
    return count == 2 && int_read(words[0], 0, MODEL_TASKS_MAX - 1, &task) &&
           !(reading->spec.shift[task] < 0 || reading->spec.shift[task] > 0) &&
           real_read(words[1], &reading->spec.shift[task]);
}

static bool line_read(struct reading *reading, char **words, size_t count) {
    static const char *const counted[] = {"numeric", "tasks", "tables"};
    for (size_t i = 0; i < 3; i++)
        if (strcmp(words[0], counted[i]) == 0)
            return count == 2 && reading->counts[i] < 0 &&
                   int_read(words[1], 0, FIELDS_MAX, &reading->counts[i]);
    if (strcmp(words[0], "given") == 0)
        return given_read(reading, words + 1, count - 1);
    if (strcmp(words[0], "shift") == 0)
        return shift_read(reading, words + 1, count - 1);
    if (strcmp(words[0], "labels") == 0)
        return labels_read(reading, words + 1, count - 1);
    if (strcmp(words[0], "field") == 0)
        return field_read(reading, words + 1, count - 1);
    if (strcmp(words[0], "end") == 0) {
        reading->ended = count == 1;
        return reading->ended;
    }
    for (size_t i = 0; i < model_options.count; i++) {
        if (strcmp(words[0], model_options.options[i].key) != 0 || reading->seen[i])
            continue;
        reading->seen[i] = true;
        return option_read(reading, &model_options.options[i], words + 1, count - 1);
    }
    return false;
}

// Cuts the line at single spaces, in place. 0 words when there are too many or an empty one.
static size_t line_split(char *line, char **words) {
    size_t count = 0;
    for (char *at = line; at != NULL;) {
        char *space = strchr(at, ' ');
        if (space != NULL)
            *space = '\0';
        if (count == WORDS_MAX || *at == '\0')
            return 0;
        words[count++] = at;
        at = space == NULL ? NULL : space + 1;
    }
    return count;
}

static enum status reading_finish(struct reading *reading, struct error *err) {
    for (size_t i = 0; i < model_options.count; i++)
        if (!reading->seen[i])
            return error_set(err, STATUS_INVALID,
                             "could not read the model's shape: `%s` is missing",
                             model_options.options[i].key);
    struct model_spec *spec = &reading->spec;
    bool whole = reading->ended;
    for (size_t i = 0; i < 3; i++)
        whole &= reading->counts[i] >= 0;
    for (size_t i = 0; whole && i < spec->field_count; i++)
        whole = (int64_t)reading->fields[i].table < reading->counts[2];
    if (!whole)
        return error_set(err, STATUS_INVALID,
                         "could not read the model's shape: it is not whole, or a field's table "
                         "is beyond `tables`");
    spec->numeric_count = (size_t)reading->counts[0];
    spec->task_count = (size_t)reading->counts[1];
    spec->table_count = (size_t)reading->counts[2];
    spec->fields = reading->fields;
    return model_spec_check(spec, err);
}

enum status spec_text_read(const char *text, size_t length, struct arena *arena,
                           struct model_spec *ret_spec, struct error *err) {
    REQUIRE(model_options.count <= OPTIONS_MAX);
    struct reading reading = {.arena = arena, .counts = {-1, -1, -1}};
    char *copy = arena_copy_string(arena, text, length);
    reading.fields = arena_get(arena, FIELDS_MAX, sizeof *reading.fields);
    if (copy == NULL || reading.fields == NULL)
        return error_no_memory(err, length, "the model's shape");
    if (strlen(copy) != length)
        return error_set(err, STATUS_INVALID, "could not read the model's shape: it holds a NUL");
    size_t number = 0;
    for (char *line = copy; *line != '\0';) {
        char *end = strchr(line, '\n'), *words[WORDS_MAX];
        number++;
        if (end != NULL)
            *end = '\0';
        bool good = end != NULL && !reading.ended;
        if (good && number == 1) {
            good = strcmp(line, heading) == 0;
        } else if (good) {
            size_t count = line_split(line, words);
            good = count > 0 && line_read(&reading, words, count);
        }
        if (!good)
            return error_set(err, STATUS_INVALID,
                             "could not read the model's shape: line %zu is not understood",
                             number);
        line = end + 1;
    }
    enum status status = reading_finish(&reading, err);
    if (status == STATUS_OK)
        *ret_spec = reading.spec;
    return status;
}
