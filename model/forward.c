// The forward pass of a lane: layers in order, gates and mixtures between trunk and towers.
#include "model/blas.h"
#include "model/network.h"
#include "model/vector.h"

static void layer_rows(const struct model *model, const struct activations *act,
                       const struct layer *layer, size_t first, size_t rows, size_t domain) {
    size_t in_columns = model->planes[layer->in_plane].columns;
    size_t out_columns = model->planes[layer->out_plane].columns;
    const real *in = act->values[layer->in_plane] + first * in_columns + layer->in_offset;
    real *out = act->values[layer->out_plane] + first * out_columns + layer->out_offset;
    const real *weight = network_weight(model, layer->weight, domain) + layer->weight_offset;
    const real *bias = layer->bias == NETWORK_NONE
                           ? NULL
                           : network_weight(model, layer->bias, domain) + layer->bias_offset;
    if (layer->out == 1 && layer->out_plane == model->logit_plane) {
        vector_rows_dot(in, in_columns, rows, weight, layer->in, bias ? bias[0] : (real)0, out,
                        out_columns);
        return;
    }
    blas_product(rows, layer->out, layer->in, (real)1, (struct blas_operand){in, in_columns, 0},
                 (struct blas_operand){weight, model->tensors[layer->weight].columns, 0}, (real)0,
                 out, out_columns);
    vector_bias_relu(out, out_columns, rows, bias, layer->bias_columns, layer->relu);
}

static void layers_run(const struct model *model, const struct activations *act,
                       const struct lane *lane, size_t begin, size_t end) {
    for (size_t l = begin; l < end; l++) {
        const struct layer *layer = &model->layers[l];
        if (!model->traits[layer->weight].fused) {
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

// Ma et al., KDD 2018, eq. 6-8: g = softmax(W x), the mixture is the sum of g_i f_i(x).
static void mix(const struct model *model, const struct activations *act, const struct lane *lane) {
    size_t columns = model->planes[model->first_plane].columns, n = model->experts;
    real *gates = act->values[model->first_plane] + lane->first * columns + model->gate_offset;
    for (size_t r = 0; r < lane->rows; r++)
        for (size_t g = 0; g < model->gates; g++)
            softmax(gates + r * columns + g * n, n);
    size_t expert_columns = model->planes[model->last_plane].columns;
    const real *experts = act->values[model->last_plane] + lane->first * expert_columns;
    for (size_t g = 0; g < model->gates; g++) {
        size_t plane = model->mix_plane[g];
        vector_mix(experts, expert_columns, gates + g * n, columns, n, model->expert_width,
                   lane->rows, act->values[plane] + lane->first * model->expert_width,
                   model->expert_width);
    }
}

void network_forward(const struct model *model, struct activations *act, const struct lane *lane) {
    layers_run(model, act, lane, 0, model->trunk_end);
    mix(model, act, lane);
    layers_run(model, act, lane, model->trunk_end, model->auxiliary_end);
}
