// Checks everything, then takes everything; see warm.h.
#include "cli/warm.h"

#include <math.h>
#include <string.h>

#include <jansson.h>

#include "exchange/safetensors.h"

enum { WIDTH_MAX = 8192 };

struct warming {
    struct trainer *trainer;
    struct model *model;
    struct rates *rates;
    const struct safetensors *file;
    struct warm_report report;
};

static enum status refused(const struct safetensor *tensor, const char *reason, struct error *err) {
    return error_set(err, STATUS_INVALID, "tensor `%s`: %s", tensor->name, reason);
}

static float float_at(const struct safetensor *tensor, size_t i) {
    float value;
    memcpy(&value, tensor->data + i * sizeof value, sizeof value);
    return value;
}

static uint64_t id_at(const struct safetensor *tensor, size_t i) {
    uint64_t id;
    memcpy(&id, tensor->data + i * sizeof id, sizeof id);
    return id;
}

static bool all_finite(const struct safetensor *tensor) {
    for (size_t i = 0; i < tensor->rows * tensor->columns; i++)
        if (!isfinite(float_at(tensor, i)))
            return false;
    return true;
}

// "PREFIX.N.SUFFIX" -> N; false when the name is none such.
static bool numbered(const char *name, const char *prefix, const char *suffix, size_t *ret_number) {
    char made[64];
    size_t length = strlen(prefix);
    if (strncmp(name, prefix, length) != 0 || name[length] != '.')
        return false;
    *ret_number = (size_t)strtoul(name + length + 1, NULL, 10);
    snprintf(made, sizeof made, "%s.%zu.%s", prefix, *ret_number, suffix);
    return strcmp(made, name) == 0;
}

// The ids that belong to a tensor of rows, checked against it.
static enum status rows_check(const struct warming *warming, const struct safetensor *values,
                              const char *prefix, const char *ids_suffix, size_t number,
                              size_t width, struct error *err) {
    char name[64];
    snprintf(name, sizeof name, "%s.%zu.%s", prefix, number, ids_suffix);
    const struct safetensor *ids = safetensors_find(warming->file, name);
    if (!ids || ids->type != SAFETENSORS_U64 || ids->dimensions != 1 || ids->rows != values->rows)
        return error_set(err, STATUS_INVALID,
                         "tensor `%s`: wants `%s` of dtype U64 with one id a row", values->name,
                         name);
    if (values->dimensions != 2 || values->columns != width)
        return error_set(err, STATUS_INVALID, "tensor `%s`: its rows have %zu values, expected %zu",
                         values->name, values->columns, width);
    for (size_t i = 0; i < ids->rows; i++)
        if (id_at(ids, i) == 0)
            return refused(ids, "the id 0 stands for a missing value and has no row", err);
    return STATUS_OK;
}

static enum status dense_check(const struct warming *warming, const struct safetensor *tensor,
                               struct error *err) {
    const struct model_tensor *own = model_tensor_find(warming->model, tensor->name);
    if (!own)
        return refused(tensor, "the model has none of this name", err);
    if (tensor->type != SAFETENSORS_F32)
        return refused(tensor, "expected dtype F32", err);
    if (tensor->rows != own->rows || tensor->columns != own->columns)
        return error_set(err, STATUS_INVALID,
                         "tensor `%s`: its shape is %zu x %zu, the model's is %zu x %zu",
                         tensor->name, tensor->rows, tensor->columns, own->rows, own->columns);
    if (strstr(tensor->name, ".domain.") && !safetensors_noted(warming->file, "freshet"))
        return refused(tensor, "the file's metadata do not name the domains", err);
    return STATUS_OK;
}

static enum status tensor_check(const struct warming *warming, const struct safetensor *tensor,
                                struct error *err) {
    size_t number, tables = model_spec_of(warming->model)->table_count;
    enum status status = STATUS_OK;
    if (strncmp(tensor->name, "examples.", 9) == 0)
        return STATUS_OK;
    if (numbered(tensor->name, "table", "ids", &number) && number < tables)
        return STATUS_OK; // checked with its values
    if (numbered(tensor->name, "rate", "keys", &number) && number < rates_count(warming->rates))
        return STATUS_OK;
    if (numbered(tensor->name, "table", "values", &number) && number < tables)
        status = rows_check(warming, tensor, "table", "ids", number,
                            model_table_width(warming->model, number), err);
    else if (numbered(tensor->name, "rate", "values", &number) &&
             number < rates_count(warming->rates))
        status = rows_check(warming, tensor, "rate", "keys", number,
                            rates_width(warming->rates, number), err);
    else
        status = dense_check(warming, tensor, err);
    if (status == STATUS_OK && tensor->type != SAFETENSORS_F32)
        status = refused(tensor, "expected dtype F32", err);
    if (status == STATUS_OK && !all_finite(tensor))
        status = refused(tensor, "holds NaN or infinity", err);
    return status;
}

// The domains of the file get the indices that its tensors are numbered by.
static enum status domains_take(const struct warming *warming, struct error *err) {
    const char *text = safetensors_noted(warming->file, "freshet");
    json_t *root = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const json_t *names = json_object_get(root, "domains");
    enum status status = STATUS_OK;
    for (size_t i = 0; i < json_array_size(names) && status == STATUS_OK; i++) {
        const json_t *name = json_array_get(names, i);
        status = json_is_string(name)
                     ? trainer_domain_add(warming->trainer, json_string_value(name),
                                          json_string_length(name), err)
                     : error_set(err, STATUS_INVALID, "the file's metadata do not name domain %zu",
                                 i + 1);
    }
    json_decref(root);
    return status;
}

static enum status rows_take(struct warming *warming, const struct safetensor *values, bool rate,
                             size_t number, struct error *err) {
    char name[64];
    float row[WIDTH_MAX];
    snprintf(name, sizeof name, rate ? "rate.%zu.keys" : "table.%zu.ids", number);
    const struct safetensor *ids = safetensors_find(warming->file, name);
    enum status status = STATUS_OK;
    REQUIRE(ids != NULL && values->columns <= WIDTH_MAX);
    for (size_t i = 0; i < ids->rows && status == STATUS_OK; i++) {
        memcpy(row, values->data + i * values->columns * sizeof *row,
               values->columns * sizeof *row);
        uint64_t id = id_at(ids, i);
        status = rate ? rates_row_put(warming->rates, number, id, row, err)
                      : model_row_put(warming->model, number, id, row, err);
        if (status == STATUS_OK && rate)
            status = rates_touch(warming->rates, number, id, err);
    }
    *(rate ? &warming->report.rates : &warming->report.rows) += ids->rows;
    return status;
}

static enum status tensor_take(struct warming *warming, const struct safetensor *tensor,
                               struct error *err) {
    size_t number;
    const struct model_tensor *own = model_tensor_find(warming->model, tensor->name);
    if (own) {
        for (size_t i = 0; i < own->rows * own->columns; i++)
            own->data[i] = (real)float_at(tensor, i);
        warming->report.tensors_taken++;
        return STATUS_OK;
    }
    if (numbered(tensor->name, "table", "values", &number))
        return rows_take(warming, tensor, false, number, err);
    if (numbered(tensor->name, "rate", "values", &number))
        return rows_take(warming, tensor, true, number, err);
    return STATUS_OK;
}

static void new_tell(struct warming *warming, FILE *told) {
    for (size_t i = 0; i < model_tensor_count(warming->model); i++) {
        const char *name = model_tensor_at(warming->model, i)->name;
        if (safetensors_find(warming->file, name))
            continue;
        warming->report.tensors_new++;
        if (told)
            fprintf(told, "begins anew: %s\n", name);
    }
}

enum status warm_start(struct trainer *trainer, const char *path, FILE *told,
                       struct warm_report *ret_report, struct error *err) {
    struct safetensors *file;
    enum status status = safetensors_open(path, &file, err);
    if (status != STATUS_OK)
        return status;
    struct warming warming = {.trainer = trainer,
                              .model = learner_model(trainer_learner(trainer)),
                              .rates = counting_rates(trainer_counting(trainer)),
                              .file = file};
    for (size_t i = 0; i < safetensors_count(file) && status == STATUS_OK; i++)
        status = tensor_check(&warming, safetensors_at(file, i), err);
    if (status != STATUS_OK)
        error_prefix(err, "could not take over %s", path);
    if (status == STATUS_OK)
        status = domains_take(&warming, err);
    for (size_t i = 0; i < safetensors_count(file) && status == STATUS_OK; i++)
        status = tensor_take(&warming, safetensors_at(file, i), err);
    if (status == STATUS_OK)
        status = learner_changed_all(trainer_learner(trainer), err);
    if (status == STATUS_OK) {
        new_tell(&warming, told);
        *ret_report = warming.report;
    }
    safetensors_close(file);
    return status;
}

enum status warm_path(const struct settings *settings, char *path, size_t size, struct error *err) {
    int length =
        snprintf(path, size, "%s/%s.trainer.warm.safetensors", settings->directory, settings->name);
    return length > 0 && (size_t)length < size
               ? STATUS_OK
               : error_set(err, STATUS_INVALID, "`directory` or `name` is too long");
}
