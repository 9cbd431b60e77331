// A model's life, its list of tensors and its rows.
#include "model/blas.h"
#include "model/network.h"

#include <string.h>

#include "base/hash.h"
#include "base/rng.h"

static struct option_ints ints_copy(struct arena *run, struct option_ints ints, bool *made) {
    struct option_ints copy = {arena_get(run, ints.count + 1, sizeof(int64_t)), ints.count};
    *made = *made && copy.items;
    if (copy.items && ints.count)
        memcpy(copy.items, ints.items, ints.count * sizeof *ints.items);
    return copy;
}

static struct option_texts texts_copy(struct arena *run, struct option_texts texts, bool *made) {
    const char **items = arena_get(run, texts.count + 1, sizeof *items);
    *made = *made && items;
    for (size_t i = 0; items && i < texts.count; i++) {
        items[i] = arena_copy_string(run, texts.items[i], strlen(texts.items[i]));
        *made = *made && items[i];
    }
    return (struct option_texts){items, texts.count};
}

static bool spec_copy(struct model *model, const struct model_spec *spec) {
    bool made = true;
    struct arena *run = &model->run;
    model->spec = *spec;
    struct model_settings *settings = &model->spec.settings;
    settings->expert_layers = ints_copy(run, spec->settings.expert_layers, &made);
    settings->tower_layers = ints_copy(run, spec->settings.tower_layers, &made);
    settings->auxiliary_layers = ints_copy(run, spec->settings.auxiliary_layers, &made);
    settings->gate_fields = texts_copy(run, spec->settings.gate_fields, &made);
    struct model_field *fields = arena_get(run, spec->field_count + 1, sizeof *fields);
    for (size_t f = 0; fields && f < spec->field_count; f++) {
        fields[f] = spec->fields[f];
        const char *name = spec->fields[f].name ? spec->fields[f].name : "";
        fields[f].name = arena_copy_string(run, name, strlen(name));
        made = made && fields[f].name;
    }
    model->spec.fields = fields;
    return made && fields;
}

enum status network_new(const struct model_spec *spec, const struct table_state_shape *shapes,
                        struct model **ret_model, struct error *err) {
    enum status status = model_spec_check(spec, err);
    if (status != STATUS_OK)
        return status;
    struct model *model = memory_new(1, sizeof *model);
    if (!model)
        return error_no_memory(err, sizeof *model, "a model");
    blas_setup();
    arena_init(&model->run, 65536);
    model->trained = shapes != NULL;
    if (!spec_copy(model, spec)) {
        status = error_no_memory(err, sizeof *spec, "a model");
        goto done;
    }
    status = network_build(model, err);
    if (status != STATUS_OK)
        goto done;
    model->tables = arena_get(&model->run, spec->table_count + 1, sizeof *model->tables);
    if (!model->tables) {
        status = error_no_memory(err, spec->table_count * sizeof *model->tables, "a model");
        goto done;
    }
    for (size_t t = 0; t < spec->table_count && status == STATUS_OK; t++)
        status = table_init(&model->tables[t], model->table_dimension[t] + model->wide,
                            shapes ? shapes[t].width : 0, shapes ? shapes[t].fill : 0, err);
    if (status != STATUS_OK)
        goto done;
    for (size_t t = 0; t < spec->table_count; t++)
        model->tensors[model->default_row + t].data =
            table_values(&model->tables[t], TABLE_DEFAULT_SLOT);
    network_fill(model);
    model_settle(model);
done:
    if (status == STATUS_OK)
        *ret_model = model;
    else
        model_free(model);
    return status;
}

enum status model_new(const struct model_spec *spec, struct model **ret_model, struct error *err) {
    return network_new(spec, NULL, ret_model, err);
}

void model_free(struct model *model) {
    if (!model)
        return;
    for (size_t t = 0; model->tables && t < model->spec.table_count; t++)
        table_deinit(&model->tables[t]);
    for (size_t i = 0; model->traits && model->tensors && i < model->tensor_capacity; i++) {
        if (model->traits[i].role != TENSOR_DEFAULT_ROW)
            memory_free(model->tensors[i].data);
        for (size_t p = 0; model->traits[i].fused && p < model->domain_count; p++)
            memory_free(model->traits[i].fused[p]);
    }
    for (size_t l = 0; model->traits && l < model->layer_count; l++) {
        const struct layer *layer = &model->layers[l];
        size_t domains = model->traits[layer->weight].fuses ? model->domain_count : 1;
        for (size_t p = 0; p < domains; p++) {
            if (layer->packed)
                memory_free(layer->packed[p]);
            if (layer->turned)
                memory_free(layer->turned[p]);
        }
    }
    for (size_t f = 0; model->field_turned && f < model->spec.field_count; f++)
        memory_free(model->field_turned[f]);
    memory_free(model->norm_scale);
    arena_deinit(&model->run);
    memory_free(model);
}

// Draws of the name's own.
static void fill_normal(const struct model *model, const struct model_tensor *tensor,
                        const char *name, size_t column, size_t columns, double deviation) {
    uint64_t stream = hash_bytes(name, strlen(name), 0);
    for (size_t r = 0; r < tensor->rows; r++)
        for (size_t c = column; c < column + columns; c++)
            tensor->data[r * tensor->columns + c] =
                (real)(deviation *
                       rng_normal_at((uint64_t)model->spec.settings.seed, stream, r, c));
}

static void fill_value(const struct model_tensor *tensor, size_t row, size_t rows, real value) {
    for (size_t i = row * tensor->columns; i < (row + rows) * tensor->columns; i++)
        tensor->data[i] = value;
}

void network_fill_tensor(struct model *model, size_t tensor, double deviation, real value) {
    const struct model_tensor *of = &model->tensors[tensor];
    if (deviation > 0)
        fill_normal(model, of, of->name, 0, of->columns, deviation);
    else
        fill_value(of, 0, of->rows, value);
}

static void fill_moments(const struct model *model, size_t first, size_t count, double variance) {
    for (size_t i = 0; first != NETWORK_NONE && i < count; i++)
        fill_value(&model->tensors[first + i], 1, 1, (real)variance);
}

// He et al. 2015: deviation sqrt(2 / fan-in) before a relu; 1 / sqrt(fan-in) for gates and logits.
static void fill_layer(const struct model *model, const struct layer *layer,
                       const struct model_tensor *weight, const char *name) {
    double fan_in = (double)layer->in;
    fill_normal(model, weight, name, 0, layer->relu, sqrt(2 / fan_in));
    fill_normal(model, weight, name, layer->relu, weight->columns - layer->relu, sqrt(1 / fan_in));
}

// Star layers begin at W_p = 1, b_p = 0, models of domains that share nothing all alike; embedded
// columns at the variance of new rows.
void network_fill(struct model *model) {
    for (size_t l = 0; l < model->layer_count; l++) {
        const struct layer *layer = &model->layers[l];
        const struct model_tensor *weight = &model->tensors[layer->weight];
        const struct tensor_traits *traits = &model->traits[layer->weight];
        if (layer->weight_offset)
            continue; // all experts of a tensor are filled at once
        if (traits->frozen)
            fill_value(weight, 0, weight->rows, 1);
        else
            fill_layer(model, layer, weight, weight->name);
        for (size_t p = 0; traits->frozen && p < model->domain_count; p++)
            fill_layer(model, layer, &model->tensors[traits->star + p], weight->name);
    }
    sequences_fill(model);
    for (size_t i = 0; i < model->tensor_count; i++) {
        size_t star = model->traits[i].star;
        bool own = model->traits[i].frozen && i != model->norm_gamma; // filled as layers
        if (star == NETWORK_NONE || model->traits[i].additive || own)
            continue;
        for (size_t p = 0; p < model->domain_count; p++)
            fill_value(&model->tensors[star + p], 0, model->tensors[i].rows, 1);
    }
    for (size_t p = 0; model->domain_embedding != NETWORK_NONE && p < model->domain_count; p++)
        fill_normal(model, &model->tensors[model->domain_embedding + p],
                    model->tensors[model->domain_embedding + p].name, 0, NETWORK_DOMAIN_DIMENSION,
                    0.1);
    if (model->norm_gamma != NETWORK_NONE)
        fill_value(&model->tensors[model->norm_gamma], 0, 1, 1);
    double noise = model->spec.settings.embedding_init;
    double variance = noise > 0 ? noise * noise : 1;
    fill_moments(model, model->norm_moments, 1, variance);
    fill_moments(model, model->norm_domain_moments, model->domain_count, variance);
    fill_moments(model, model->numeric_moments, 1, 1);
}

void network_row_init(const struct model *model, size_t table, uint64_t id, real *values) {
    const struct table *rows = &model->tables[table];
    memcpy(values, table_values(rows, TABLE_DEFAULT_SLOT), rows->width * sizeof *values);
    double noise = model->spec.settings.embedding_init;
    for (size_t c = 0; noise > 0 && c < model->table_dimension[table]; c++)
        values[c] +=
            (real)(noise * rng_normal_at((uint64_t)model->spec.settings.seed, table, id, c));
}

uint32_t network_row_find(const struct model *model, size_t table, uint64_t id, size_t domain) {
    uint64_t own = network_row_id(model, id, domain);
    uint32_t slot = table_find(&model->tables[table], own);
    return slot == TABLE_DEFAULT_SLOT && own != id ? table_find(&model->tables[table], id) : slot;
}

const struct model_spec *model_spec_of(const struct model *model) {
    return &model->spec;
}

size_t model_tensor_count(const struct model *model) {
    return model->tensor_count;
}

const struct model_tensor *model_tensor_at(const struct model *model, size_t i) {
    REQUIRE(i < model->tensor_count);
    return &model->tensors[i];
}

const struct model_tensor *model_tensor_find(const struct model *model, const char *name) {
    for (size_t i = 0; i < model->tensor_count; i++)
        if (strcmp(model->tensors[i].name, name) == 0)
            return &model->tensors[i];
    return NULL;
}

size_t model_table_width(const struct model *model, size_t table) {
    REQUIRE(table < model->spec.table_count);
    return model->tables[table].width;
}

size_t model_table_rows(const struct model *model, size_t table) {
    REQUIRE(table < model->spec.table_count);
    return table_rows(&model->tables[table]);
}

enum status model_row_put(struct model *model, size_t table, uint64_t id, const float *values,
                          struct error *err) {
    REQUIRE(table < model->spec.table_count);
    if (id == 0)
        return error_set(err, STATUS_INVALID,
                         "could not set a row: id 0 is the default row, which is a tensor");
    struct table *rows = &model->tables[table];
    uint32_t slot = table_find(rows, id);
    enum status status =
        slot == TABLE_DEFAULT_SLOT ? table_insert(rows, id, &slot, err) : STATUS_OK;
    if (status != STATUS_OK)
        return status;
    for (size_t c = 0; c < rows->width; c++)
        table_values(rows, slot)[c] = values[c];
    return STATUS_OK;
}

bool model_row_get(const struct model *model, size_t table, uint64_t id, float *ret_values) {
    REQUIRE(table < model->spec.table_count);
    const struct table *rows = &model->tables[table];
    uint32_t slot = table_find(rows, id);
    if (slot == TABLE_DEFAULT_SLOT)
        return false;
    for (size_t c = 0; c < rows->width; c++)
        ret_values[c] = (float)table_values(rows, slot)[c];
    return true;
}

bool model_row_remove(struct model *model, size_t table, uint64_t id) {
    REQUIRE(table < model->spec.table_count);
    return table_remove(&model->tables[table], id);
}
