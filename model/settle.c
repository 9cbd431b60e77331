// What is derived from tensors, a domain at a time: packed and fused weights, scales of inputs.
#include "model/network.h"
#include "model/product.h"
#include "model/vector.h"

#include <string.h>

enum { ITEM_ELEMENTS = 16384 }; // of a weight, about: what one item packs

static void fuse(struct model *model, size_t tensor, size_t domain) {
    const struct model_tensor *shared = &model->tensors[tensor];
    const struct model_tensor *own = &model->tensors[model->traits[tensor].star + domain];
    real *fused = model->traits[tensor].fused[domain];
    size_t count = shared->rows * shared->columns;
    if (model->traits[tensor].additive) {
        memcpy(fused, shared->data, count * sizeof *fused);
        vector_add(fused, own->data, count);
    } else {
        vector_multiply(fused, shared->data, own->data, count);
    }
}

// Rows of a layer's weight that one item packs.
static size_t item_rows(const struct layer *layer) {
    size_t panels = ITEM_ELEMENTS / (layer->out * PRODUCT_PANEL);
    return (panels ? panels : 1) * PRODUCT_PANEL;
}

static void pack(struct model *model, const struct layer *layer, size_t domain, size_t first) {
    size_t star = model->traits[layer->weight].star,
           columns = model->tensors[layer->weight].columns;
    bool fuses = model->traits[layer->weight].fuses;
    if (fuses == (domain == network_shared(model)))
        return;
    size_t at = fuses ? domain : 0;
    const real *weight = model->tensors[layer->weight].data + layer->weight_offset;
    const real *own = fuses ? model->tensors[star + domain].data + layer->weight_offset : NULL;
    size_t rows = item_rows(layer) < layer->in - first ? item_rows(layer) : layer->in - first;
    product_pack(weight, own, columns, first, rows, layer->in, layer->out, layer->packed[at]);
    if (layer->turned && layer->stopped) {
        if (first == 0) // few rows are left: one item takes them all
            product_pack_turned(weight + layer->stopped * columns, NULL, columns, 0,
                                layer->in - layer->stopped, layer->out, layer->turned[at]);
    } else if (layer->turned) {
        product_pack_turned(weight, own, columns, first, rows, layer->out, layer->turned[at]);
    }
}

// Moments of a domain, shrunk to the shared ones: (n_p m_p + k m) / (n_p + k). Domains that share
// nothing have their own, those of `unknown` before their first row.
static double shrunk(const struct model *model, size_t domain, size_t row, size_t column) {
    size_t at = row * model->embedded + column;
    double shared = (double)model->tensors[model->norm_moments].data[at];
    if (model->norm_domain_moments == NETWORK_NONE)
        return shared;
    const real *own = model->tensors[model->norm_domain_moments + domain].data;
    double rows = (double)own[2 * model->embedded + column];
    if (model->spec.settings.domains == MODEL_DOMAINS_SEPARATE)
        return (double)(rows > 0 ? own : model->tensors[model->norm_domain_moments].data)[at];
    return (rows * (double)own[at] + NETWORK_NORM_SHRINK * shared) / (rows + NETWORK_NORM_SHRINK);
}

static void settle_norm(struct model *model, size_t domain) {
    size_t count = model->embedded;
    real *parts = model->norm_scale + domain * NORM_PARTS * count;
    size_t gamma_own = model->traits[model->norm_gamma].star;
    size_t beta_own = model->traits[model->norm_beta].star;
    for (size_t c = 0; c < count; c++) {
        double mean = shrunk(model, domain, 0, c);
        double inverse = 1 / sqrt(shrunk(model, domain, 1, c) + NETWORK_NORM_FLOOR);
        double gamma = (double)model->tensors[model->norm_gamma].data[c];
        double beta = (double)model->tensors[model->norm_beta].data[c];
        if (gamma_own != NETWORK_NONE) {
            gamma *= (double)model->tensors[gamma_own + domain].data[c];
            beta += (double)model->tensors[beta_own + domain].data[c];
        }
        parts[NORM_SCALE * count + c] = (real)(gamma * inverse);
        parts[NORM_SHIFT * count + c] = (real)(beta - gamma * inverse * mean);
        parts[NORM_MEAN * count + c] = (real)mean;
        parts[NORM_INVERSE * count + c] = (real)inverse;
    }
}

// All but packed weights.
static void settle_rest(struct model *model, size_t domain) {
    if (domain == network_shared(model)) {
        size_t count = model->spec.numeric_count;
        for (size_t i = 0; i < count; i++) {
            real variance = model->tensors[model->numeric_moments].data[count + i];
            model->numeric_scale[i] = (real)(1 / sqrt((double)variance + NETWORK_NUMBER_FLOOR));
        }
        return;
    }
    for (size_t i = 0; i < model->tensor_count; i++)
        if (model->traits[i].fused)
            fuse(model, i, domain);
    if (model->norm_gamma != NETWORK_NONE)
        settle_norm(model, domain);
}

// The first layer's rows of a field, turned.
static void pack_field(struct model *model, size_t field) {
    const struct layer *layer = &model->layers[0];
    size_t columns = model->tensors[layer->weight].columns;
    const real *weight = model->tensors[layer->weight].data + layer->weight_offset +
                         model->field_offset[field] * columns;
    product_pack_turned(weight, NULL, columns, 0, network_field_width(model, field), layer->out,
                        model->field_turned[field]);
}

static size_t field_items(const struct model *model) {
    return model->field_turned ? model->spec.field_count : 0;
}

size_t network_settle_items(const struct model *model) {
    size_t items = 1 + field_items(model);
    for (size_t l = 0; l < model->layer_count; l++)
        if (!model->layers[l].single)
            items += (model->layers[l].in + item_rows(&model->layers[l]) - 1) /
                     item_rows(&model->layers[l]);
    return items;
}

void network_settle_item(struct model *model, size_t domain, size_t item) {
    if (item == 0) {
        settle_rest(model, domain);
        return;
    }
    item--;
    if (item < field_items(model)) {
        if (domain == network_shared(model))
            pack_field(model, item);
        return;
    }
    item -= field_items(model);
    for (size_t l = 0; l < model->layer_count; l++) {
        const struct layer *layer = &model->layers[l];
        if (layer->single)
            continue;
        size_t items = (layer->in + item_rows(layer) - 1) / item_rows(layer);
        if (item < items) {
            pack(model, layer, domain, item * item_rows(layer));
            return;
        }
        item -= items;
    }
}

void network_settle(struct model *model, size_t domain) {
    if (domain != network_shared(model))
        network_settle(model, network_shared(model));
    if (model->settled[domain])
        return;
    for (size_t item = 0; item < network_settle_items(model); item++)
        network_settle_item(model, domain, item);
    network_settled(model, domain);
}

void network_unsettle(struct model *model) {
    memset(model->settled, 0, (model->domain_count + 1) * sizeof *model->settled);
}

void model_settle(struct model *model) {
    network_unsettle(model);
    for (size_t p = 0; p < model->domain_count; p++)
        network_settle(model, p);
}
