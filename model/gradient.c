// Gradients of the weights, from values and slopes of a whole minibatch.
//
// The work is cut by outputs, not by rows: each piece sums over all rows on its own, so no partial
// gradients are kept or added, and the result cannot depend on who computes what.
#include "model/network.h"
#include "model/product.h"
#include "model/vector.h"

#include <string.h>

enum { PIECE_COLUMNS = 2 * PRODUCT_PANEL }; // a few hundred microseconds of a large batch

size_t gradient_pieces(const struct model *model, struct piece *ret_pieces) {
    size_t count = 0;
    for (size_t l = 0; l < model->layer_count; l++) {
        const struct layer *layer = &model->layers[l];
        bool star = model->traits[layer->weight].fuses;
        size_t most = PIECE_COLUMNS;
        for (size_t column = 0; column < layer->out; column += most) {
            size_t left = layer->out - column;
            size_t columns = left <= most + most / 2 ? left : most; // a narrow rest rides along
            if (ret_pieces)
                ret_pieces[count] = (struct piece){.kind = star ? PIECE_STAR : PIECE_LAYER,
                                                   .layer = l,
                                                   .column = column,
                                                   .columns = columns,
                                                   .task = layer->task,
                                                   .tower = layer->tower};
            count++;
            if (columns == left)
                break;
        }
    }
    if (model->norm_gamma != NETWORK_NONE) {
        if (ret_pieces)
            ret_pieces[count] =
                (struct piece){.kind = PIECE_NORM, .task = NETWORK_NONE, .tower = NETWORK_NONE};
        count++;
    }
    if (model->domain_embedding != NETWORK_NONE) {
        if (ret_pieces)
            ret_pieces[count] = (struct piece){
                .kind = PIECE_DOMAIN_EMBEDDING, .task = NETWORK_NONE, .tower = NETWORK_NONE};
        count++;
    }
    if (model->sequences.weights) {
        if (ret_pieces)
            ret_pieces[count] = (struct piece){
                .kind = PIECE_SEQUENCES, .task = NETWORK_NONE, .tower = NETWORK_NONE};
        count++;
    }
    return count;
}

size_t gradient_scratch(const struct model *model, size_t lane_rows) {
    size_t most = 2 * model->embedded;
    for (size_t l = 0; l < model->layer_count; l++) {
        size_t size = (model->layers[l].in + 1) * model->layers[l].out;
        most = size > most ? size : most;
    }
    size_t factored = network_scratch(model, lane_rows);
    return PRODUCT_SCRATCH + (most > factored ? most : factored) + 1;
}

struct gradient {
    const struct model *model;
    const struct activations *act;
    size_t pass;
    real alpha;
    real *gradients, *scratch;
    real *packing; // PRODUCT_SCRATCH
};

// bias += alpha * column sums over rows; NULL = none.
static void bias_sums(const struct gradient *job, const struct piece *piece, size_t first,
                      size_t rows, real *bias) {
    const struct layer *layer = &job->model->layers[piece->layer];
    size_t columns = job->model->planes[layer->out_plane].columns;
    if (!bias || piece->column >= layer->bias_columns)
        return;
    size_t left = layer->bias_columns - piece->column;
    const real *out = activations_slope(job->act, job->model, job->pass, layer->out_plane) +
                      first * columns + layer->out_offset + piece->column;
    vector_column_sums(out, columns, rows, left < piece->columns ? left : piece->columns,
                       job->alpha, bias);
}

// weight[in][columns] = alpha * in' out (+ weight) and bias += alpha * column sums, over rows.
static void layer_sums(const struct gradient *job, const struct piece *piece, size_t first,
                       size_t rows, bool add, real *weight, size_t weight_columns, real *bias) {
    const struct model *model = job->model;
    const struct layer *layer = &model->layers[piece->layer];
    size_t in_columns = model->planes[layer->in_plane].columns;
    size_t out_columns = model->planes[layer->out_plane].columns;
    const real *in = job->act->values[layer->in_plane] + first * in_columns + layer->in_offset;
    const real *out = activations_slope(job->act, model, job->pass, layer->out_plane) +
                      first * out_columns + layer->out_offset + piece->column;
    if (layer->single) {
        if (!add)
            memset(weight, 0, layer->in * sizeof *weight);
        vector_weighted_sums(in, in_columns, rows, layer->in, out, out_columns, job->alpha, weight);
    } else {
        product_sums(in, in_columns, layer->in, out, out_columns, piece->columns, rows, job->alpha,
                     add, weight, weight_columns, job->packing);
    }
    bias_sums(job, piece, first, rows, bias);
}

static real *gradient_of(const struct gradient *job, size_t tensor) {
    return job->gradients + job->model->traits[tensor].offset;
}

static void layer_take(const struct gradient *job, const struct piece *piece,
                       const struct lane *lanes, size_t lane_count) {
    const struct model *model = job->model;
    const struct layer *layer = &model->layers[piece->layer];
    real *bias = NULL;
    if (layer->bias != NETWORK_NONE && piece->column < layer->bias_columns) {
        bias = gradient_of(job, layer->bias) + layer->bias_offset + piece->column;
        size_t left = layer->bias_columns - piece->column;
        memset(bias, 0, (left < piece->columns ? left : piece->columns) * sizeof *bias);
    }
    size_t columns = model->tensors[layer->weight].columns, factors = 0;
    real *weight = gradient_of(job, layer->weight) + layer->weight_offset + piece->column;
    for (size_t i = 0; piece->layer == 0 && i < lane_count; i++)
        factors += lanes[i].factor_count;
    const struct lane *last = &lanes[lane_count - 1];
    size_t rows = last->first + last->rows - lanes[0].first;
    if (factors == 0) {
        layer_sums(job, piece, lanes[0].first, rows, false, weight, columns, bias);
        return;
    }
    for (size_t r = 0; r < layer->in; r++)
        memset(weight + r * columns, 0, piece->columns * sizeof *weight);
    for (size_t i = 0; i < lane_count; i++)
        factored_gradient(model, job->act, &lanes[i], job->pass, piece->column, piece->columns,
                          job->alpha, weight, columns, job->scratch);
    bias_sums(job, piece, lanes[0].first, rows, bias);
}

// One factor of a star layer for domain p: dW_p = W * dW*_p, and W's sum gets W_p * dW*_p.
VECTOR_CLONES
static void star_spread(real *restrict own_gradient, real *restrict gradient,
                        const real *restrict shared, const real *restrict own,
                        const real *restrict fused_gradient, size_t rows, size_t columns,
                        size_t stride) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            real slope = fused_gradient[r * columns + c];
            own_gradient[r * stride + c] = shared[r * stride + c] * slope;
            gradient[r * stride + c] += own[r * stride + c] * slope;
        }
}

// Rows of a domain over all lanes, in order: calls `each` on every segment, true if there was one.
static bool domain_rows(const struct lane *lanes, size_t lane_count, size_t domain,
                        size_t *ret_rows) {
    size_t rows = 0;
    for (size_t i = 0; i < lane_count; i++)
        for (size_t s = 0; s < lanes[i].segment_count; s++)
            if (lanes[i].segments[s].domain == domain)
                rows += lanes[i].segments[s].rows;
    *ret_rows = rows;
    return rows > 0;
}

// A domain's rows of dW*, in scratch: [in][columns], then the bias. False without rows.
static bool star_sums(const struct gradient *job, const struct piece *piece,
                      const struct lane *lanes, size_t lane_count, size_t domain, real *bias) {
    const struct layer *layer = &job->model->layers[piece->layer];
    bool add = false;
    memset(bias, 0, piece->columns * sizeof *bias);
    for (size_t i = 0; i < lane_count; i++)
        for (size_t s = 0; s < lanes[i].segment_count; s++) {
            const struct segment *segment = &lanes[i].segments[s];
            if (segment->domain != domain)
                continue;
            layer_sums(job, piece, segment->first, segment->rows, add, job->scratch, piece->columns,
                       layer->bias == NETWORK_NONE ? NULL : bias);
            add = true;
        }
    return add;
}

// The shared part and each domain's own part of the piece's columns.
static void star_take(const struct gradient *job, const struct piece *piece,
                      const struct lane *lanes, size_t lane_count) {
    const struct model *model = job->model;
    const struct layer *layer = &model->layers[piece->layer];
    size_t stride = model->tensors[layer->weight].columns,
           first = model->traits[layer->weight].star;
    size_t at = layer->weight_offset + piece->column, biases = 0;
    if (layer->bias != NETWORK_NONE && piece->column < layer->bias_columns)
        biases = layer->bias_columns - piece->column;
    biases = biases < piece->columns ? biases : piece->columns;
    for (size_t r = 0; r < layer->in; r++)
        memset(gradient_of(job, layer->weight) + at + r * stride, 0, piece->columns * sizeof(real));
    if (biases)
        memset(gradient_of(job, layer->bias) + layer->bias_offset + piece->column, 0,
               biases * sizeof(real));
    for (size_t p = 0; p < model->domain_count; p++) {
        real *bias = job->scratch + layer->in * piece->columns;
        if (!star_sums(job, piece, lanes, lane_count, p, bias))
            continue;
        star_spread(gradient_of(job, first + p) + at, gradient_of(job, layer->weight) + at,
                    model->tensors[layer->weight].data + at, model->tensors[first + p].data + at,
                    job->scratch, layer->in, piece->columns, stride);
        if (biases == 0)
            continue;
        // Biases add: b*_p = b_p + b.
        size_t bias_at = layer->bias_offset + piece->column;
        memcpy(gradient_of(job, model->traits[layer->bias].star + p) + bias_at, bias,
               biases * sizeof *bias);
        vector_add(gradient_of(job, layer->bias) + bias_at, bias, biases);
    }
}

// Sheng et al. 2021, eq. 2: z' = (gamma gamma_p) x^ + (beta + beta_p), x^ by constant moments.
static void norm_domain(const struct gradient *job, size_t domain, const struct lane *lanes,
                        size_t lane_count, real *scale_sum, real *shift_sum) {
    const struct model *model = job->model;
    const real *mean = network_norm(model, domain, NORM_MEAN);
    const real *inverse = network_norm(model, domain, NORM_INVERSE);
    const real *slopes = activations_slope(job->act, model, job->pass, 0);
    memset(scale_sum, 0, model->embedded * sizeof *scale_sum);
    memset(shift_sum, 0, model->embedded * sizeof *shift_sum);
    for (size_t i = 0; i < lane_count; i++)
        for (size_t s = 0; s < lanes[i].segment_count; s++) {
            struct segment segment = lanes[i].segments[s];
            for (size_t p = segment.first;
                 segment.domain == domain && p < segment.first + segment.rows; p++) {
                const real *slope = slopes + p * model->columns;
                const real *raw = job->act->raw + p * model->embedded;
                for (size_t c = 0; c < model->embedded; c++) {
                    scale_sum[c] += job->alpha * slope[c] * (raw[c] - mean[c]) * inverse[c];
                    shift_sum[c] += job->alpha * slope[c];
                }
            }
        }
}

static void norm_take(const struct gradient *job, const struct lane *lanes, size_t lane_count) {
    const struct model *model = job->model;
    size_t count = model->embedded, present;
    real *gamma = gradient_of(job, model->norm_gamma), *beta = gradient_of(job, model->norm_beta);
    memset(gamma, 0, count * sizeof *gamma);
    memset(beta, 0, count * sizeof *beta);
    size_t star = model->traits[model->norm_gamma].star;
    for (size_t p = 0; p < model->domain_count; p++) {
        if (!domain_rows(lanes, lane_count, p, &present))
            continue;
        real *scale = job->scratch, *shift = job->scratch + count;
        norm_domain(job, p, lanes, lane_count, scale, shift);
        vector_add(beta, shift, count);
        if (star == NETWORK_NONE) {
            vector_add(gamma, scale, count);
            continue;
        }
        vector_multiply_add(gamma, model->tensors[star + p].data, scale, count);
        vector_multiply(gradient_of(job, star + p), model->tensors[model->norm_gamma].data, scale,
                        count);
        memcpy(gradient_of(job, model->traits[model->norm_beta].star + p), shift,
               count * sizeof *shift);
    }
}

static void embedding_take(const struct gradient *job, const struct lane *lanes,
                           size_t lane_count) {
    const struct model *model = job->model;
    size_t present;
    const real *slopes = activations_slope(job->act, model, job->pass, 0) + model->features;
    for (size_t p = 0; p < model->domain_count; p++) {
        if (!domain_rows(lanes, lane_count, p, &present))
            continue;
        real *sums = gradient_of(job, model->domain_embedding + p);
        memset(sums, 0, NETWORK_DOMAIN_DIMENSION * sizeof *sums);
        for (size_t i = 0; i < lane_count; i++)
            for (size_t s = 0; s < lanes[i].segment_count; s++)
                if (lanes[i].segments[s].domain == p)
                    vector_column_sums(slopes + lanes[i].segments[s].first * model->columns,
                                       model->columns, lanes[i].segments[s].rows,
                                       NETWORK_DOMAIN_DIMENSION, job->alpha, sums);
    }
}

void gradient_take(const struct model *model, const struct activations *act,
                   const struct piece *piece, size_t pass, const struct lane *lanes,
                   size_t lane_count, real alpha, real *gradients, real *scratch) {
    struct gradient job = {model, act, pass, alpha, gradients, scratch + PRODUCT_SCRATCH, scratch};
    switch (piece->kind) {
    case PIECE_LAYER:
        layer_take(&job, piece, lanes, lane_count);
        break;
    case PIECE_STAR:
        star_take(&job, piece, lanes, lane_count);
        break;
    case PIECE_NORM:
        norm_take(&job, lanes, lane_count);
        break;
    case PIECE_DOMAIN_EMBEDDING:
        embedding_take(&job, lanes, lane_count);
        break;
    case PIECE_SEQUENCES:
        sequences_sum(model, lanes, lane_count, pass, alpha, gradients);
        break;
    }
}
