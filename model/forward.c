// The forward pass of a lane: layers in order, gates and mixtures between trunk and towers.
#include "model/network.h"
#include "model/product.h"
#include "model/vector.h"

#include "base/rng.h"

static const uint64_t dropout_stream = 0x65787064726f7000; // apart from other draws of the seed

static void layer_rows(const struct model *model, const struct activations *act,
                       const struct layer *layer, size_t first, size_t rows, size_t domain) {
    size_t in_columns = model->planes[layer->in_plane].columns;
    size_t out_columns = model->planes[layer->out_plane].columns;
    const real *in = act->values[layer->in_plane] + first * in_columns + layer->in_offset;
    real *out = act->values[layer->out_plane] + first * out_columns + layer->out_offset;
    const real *bias = layer->bias == NETWORK_NONE
                           ? NULL
                           : network_weight(model, layer->bias, domain) + layer->bias_offset;
    if (layer->single) {
        vector_rows_dot(in, in_columns, rows, network_weight(model, layer->weight, domain),
                        layer->in, bias ? bias[0] : (real)0, out, out_columns);
        return;
    }
    size_t at = model->traits[layer->weight].fuses ? domain : 0;
    product_rows(in, in_columns, rows, layer->packed[at], layer->in, layer->out, false, out,
                 out_columns);
    vector_bias_relu(out, out_columns, rows, bias, layer->bias_columns, layer->relu);
}

static void bias_add(const struct model *model, const struct activations *act,
                     const struct layer *layer, const struct lane *lane) {
    size_t columns = model->planes[layer->out_plane].columns;
    vector_bias_relu(act->values[layer->out_plane] + lane->first * columns + layer->out_offset,
                     columns, lane->rows, model->tensors[layer->bias].data + layer->bias_offset,
                     layer->bias_columns, layer->relu);
}

static void layers_run(const struct model *model, const struct activations *act,
                       const struct lane *lane, size_t begin, size_t end, real *scratch) {
    for (size_t l = begin; l < end; l++) {
        const struct layer *layer = &model->layers[l];
        if (layer->unit)
            gate_forward(model, act, lane, &model->units[layer->unit - 1]);
        if (l == 0 && lane->factor_count) {
            factored_forward(model, act, lane, scratch);
            bias_add(model, act, layer, lane);
            continue;
        }
        if (!model->traits[layer->weight].fuses) {
            layer_rows(model, act, layer, lane->first, lane->rows, 0);
            continue;
        }
        for (size_t s = 0; s < lane->segment_count; s++)
            layer_rows(model, act, layer, lane->segments[s].first, lane->segments[s].rows,
                       lane->segments[s].domain);
    }
}

static void softmax(real *z, size_t count) {
    real most = z[0], sum = 0;
    for (size_t i = 1; i < count; i++)
        most = z[i] > most ? z[i] : most;
    for (size_t i = 0; i < count; i++) {
        z[i] = real_exp(z[i] - most);
        sum += z[i];
    }
    for (size_t i = 0; i < count; i++)
        z[i] /= sum;
}

// Whether training hides expert e of a gate from a row.
static bool hidden(const struct model *model, const struct activations *act, size_t mixture,
                   size_t row, size_t e) {
    uint64_t unit = mixture * NETWORK_EXPERTS_MAX + e;
    return rng_uniform_at((uint64_t)model->spec.settings.seed + dropout_stream, act->dropout_step,
                          row, unit) < act->expert_dropout;
}

// A hidden expert's gate is 0 and the others' sum is 1 again, as if the softmax had been taken over
// those alone; so the softmax's backward pass needs to know of nothing.
static void gate_hide(const struct model *model, const struct activations *act, size_t mixture,
                      size_t row, real *z, size_t count) {
    size_t left = count;
    for (size_t e = 0; e < count; e++)
        left -= hidden(model, act, mixture, row, e);
    for (size_t e = 0; e < count && left > 0; e++)
        if (hidden(model, act, mixture, row, e))
            z[e] = -(real)INFINITY;
}

// Ma et al., KDD 2018, eq. 6-8: g = softmax(W x), the mixture is the sum of g_i f_i(x).
static void mix(const struct model *model, const struct activations *act, const struct lane *lane,
                size_t at) {
    const struct mixture *mixture = &model->mixtures[at];
    size_t columns = model->planes[mixture->gate_plane].columns, first = lane->first;
    real *gates = act->values[mixture->gate_plane] + first * columns + mixture->gate_offset;
    real *out = act->values[mixture->out_plane] + first * mixture->width;
    for (size_t r = 0; r < lane->rows; r++) {
        if (act->expert_dropout > 0)
            gate_hide(model, act, at, act->order[first + r], gates + r * columns, mixture->gates);
        softmax(gates + r * columns, mixture->gates);
    }
    for (size_t i = 0; i < mixture->parts; i++) {
        const struct mixture_part *part = &model->parts[mixture->part + i];
        size_t part_columns = model->planes[part->plane].columns;
        vector_mix(act->values[part->plane] + first * part_columns + part->offset, part_columns,
                   gates, columns, part->experts, mixture->width, lane->rows, i > 0, out,
                   mixture->width);
        gates += part->experts;
    }
}

void network_forward(const struct model *model, struct activations *act, const struct lane *lane,
                     real *scratch) {
    size_t layer = model->trunk_begin;
    layers_run(model, act, lane, 0, layer, scratch);
    if (model->unit_count)
        gate_forward(model, act, lane, &model->units[0]);
    for (size_t i = 0; i < model->mixture_count; i++) {
        layers_run(model, act, lane, layer, model->mixtures[i].after, scratch);
        layer = model->mixtures[i].after;
        mix(model, act, lane, i);
    }
    layers_run(model, act, lane, layer, model->auxiliary_end, scratch);
}
