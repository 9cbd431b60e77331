// The Transformer over a sequence (BST; Chen et al., DLP-KDD 2019, section 2.2): the target and the
// items before it, each with what stands at its place, through one block:
//
//   X = E + P                      E embeddings; P a row of `position`: time(target) - time(item)
//   M = concat over heads of softmax(Q K' / sqrt(d / heads)) V, times `mix`;  Q, K, V = X times
//   theirs S = norm(X + M)                layer normalisation over the d values of a place F =
//   norm(S + leaky(S W1 + b1) W2 + b2)
//
// One block: the paper's own ablation found further ones no better (.7894, .7885 and .7823 AUC for
// one, two and three). It leaves open how positions enter (added here, as Vaswani et al. 2017 have
// it, rather than put beside), the scale (heads' own width here) and the width of the feed-forward
// network. Dropout is left out: a stream's rows are seen once. Only places whose output is read ask
// (`queries`): under `target` that is one.
#include "model/sequence.h"
#include "model/small.h"
#include "model/vector.h"

#include <string.h>

enum {
    POSITION,
    QUERY,
    KEY,
    VALUE,
    MIX,
    GAMMA_0,
    BETA_0,
    HIDDEN_WEIGHT,
    HIDDEN_BIAS,
    OUTPUT_WEIGHT,
    OUTPUT_BIAS,
    GAMMA_1,
    BETA_1,
    TENSORS
};
_Static_assert((int)TENSORS == (int)SEQUENCE_TENSORS_MAX, "the largest kind");
#define NORM_FLOOR 1e-6 // added to the variance of a place

bool transformer_tensor(const struct model_spec *spec, size_t dimension, size_t i,
                        struct sequence_tensor *ret_tensor) {
    size_t d = dimension, hidden = (size_t)spec->settings.sequence_hidden;
    double square = sqrt(1 / (double)d), noise = spec->settings.embedding_init;
    const struct sequence_tensor tensors[TENSORS] = {
        [POSITION] = {"position", SEQUENCE_POSITIONS, d, noise, 0},
        [QUERY] = {"query", d, d, square, 0},
        [KEY] = {"key", d, d, square, 0},
        [VALUE] = {"value", d, d, square, 0},
        [MIX] = {"mix", d, d, square, 0},
        [GAMMA_0] = {"norm.0.gamma", 1, d, 0, 1},
        [BETA_0] = {"norm.0.beta", 1, d, 0, 0},
        [HIDDEN_WEIGHT] = {"hidden.weight", d, hidden, sqrt(2 / (double)d), 0},
        [HIDDEN_BIAS] = {"hidden.bias", 1, hidden, 0, 0},
        [OUTPUT_WEIGHT] = {"output.weight", hidden, d, sqrt(1 / (double)hidden), 0},
        [OUTPUT_BIAS] = {"output.bias", 1, d, 0, 0},
        [GAMMA_1] = {"norm.1.gamma", 1, d, 0, 1},
        [BETA_1] = {"norm.1.beta", 1, d, 0, 0},
    };
    if (i >= TENSORS)
        return false;
    *ret_tensor = tensors[i];
    return true;
}

// Of n places, m of which ask. Arrays of one row, cut from the scratch.
struct block {
    size_t n, m, d, head, heads, hidden;
    real *x, *k, *v;                   // [n][d]
    real *q, *c, *s, *f;               // [m][d]; c: the heads' outputs side by side
    real *unit_0, *unit_1;             // [m][d] before gamma and beta
    real *inverse_0, *inverse_1;       // [m] 1 / deviation
    real *attention;                   // [heads][m][n]
    real *h;                           // [m][hidden]
    real *d_k, *d_v;                   // [n][d]
    real *d_q, *d_c, *d_s, *d_f, *d_y; // [m][d]
    real *d_h;                         // [m][hidden]
    real *d_attention;                 // [n]
    size_t used;
};

static real *cut(real *scratch, struct block *block, size_t count) {
    real *at = scratch ? scratch + block->used : NULL;
    block->used += count;
    return at;
}

static struct block lay_out(const struct sequence_row *row, real *scratch) {
    struct block b = {.n = row->count,
                      .m = row->readout == MODEL_READOUT_TARGET ? 1 : row->count,
                      .d = row->dimension,
                      .head = row->dimension / row->heads,
                      .heads = row->heads,
                      .hidden = row->hidden};
    real **wide[] = {&b.x, &b.k, &b.v, &b.d_k, &b.d_v};
    real **narrow[] = {&b.q,   &b.c,   &b.s,   &b.f,   &b.unit_0, &b.unit_1,
                       &b.d_q, &b.d_c, &b.d_s, &b.d_f, &b.d_y};
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        *wide[i] = cut(scratch, &b, b.n * b.d);
    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++)
        *narrow[i] = cut(scratch, &b, b.m * b.d);
    b.inverse_0 = cut(scratch, &b, b.m);
    b.inverse_1 = cut(scratch, &b, b.m);
    b.attention = cut(scratch, &b, b.heads * b.m * b.n);
    b.h = cut(scratch, &b, b.m * b.hidden);
    b.d_h = cut(scratch, &b, b.m * b.hidden);
    b.d_attention = cut(scratch, &b, b.n);
    return b;
}

size_t transformer_scratch(const struct sequence_row *row) {
    return lay_out(row, NULL).used;
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

static void attend(const struct block *b) {
    real scale = (real)1 / real_sqrt((real)b->head);
    memset(b->c, 0, b->m * b->d * sizeof *b->c);
    for (size_t h = 0; h < b->heads; h++)
        for (size_t r = 0; r < b->m; r++) {
            real *weights = b->attention + (h * b->m + r) * b->n;
            real *restrict out = b->c + r * b->d + h * b->head;
            for (size_t i = 0; i < b->n; i++)
                weights[i] = scale * small_dot(b->q + r * b->d + h * b->head,
                                               b->k + i * b->d + h * b->head, b->head);
            softmax(weights, b->n);
            for (size_t i = 0; i < b->n; i++)
                for (size_t c = 0; c < b->head; c++)
                    out[c] += weights[i] * b->v[i * b->d + h * b->head + c];
        }
}

// unit = (y - mean) / deviation, of each row; out = gamma unit + beta.
static void normalise(const real *y, size_t rows, size_t d, const real *gamma, const real *beta,
                      real *unit, real *inverse, real *out) {
    for (size_t r = 0; r < rows; r++) {
        real mean = 0, square = 0;
        for (size_t c = 0; c < d; c++)
            mean += y[r * d + c];
        mean /= (real)d;
        for (size_t c = 0; c < d; c++)
            square += (y[r * d + c] - mean) * (y[r * d + c] - mean);
        inverse[r] = (real)1 / real_sqrt(square / (real)d + (real)NORM_FLOOR);
        for (size_t c = 0; c < d; c++) {
            unit[r * d + c] = (y[r * d + c] - mean) * inverse[r];
            out[r * d + c] = gamma[c] * unit[r * d + c] + beta[c];
        }
    }
}

// d_y from d_out, and gradients of gamma and beta.
static void normalise_back(const real *d_out, size_t rows, size_t d, const real *gamma,
                           const real *unit, const real *inverse, real *d_gamma, real *d_beta,
                           real *d_y) {
    for (size_t r = 0; r < rows; r++) {
        const real *slope = d_out + r * d, *x = unit + r * d;
        real mean = 0, along = 0;
        for (size_t c = 0; c < d; c++) {
            d_gamma[c] += slope[c] * x[c];
            d_beta[c] += slope[c];
            mean += slope[c] * gamma[c];
            along += slope[c] * gamma[c] * x[c];
        }
        mean /= (real)d;
        along /= (real)d;
        for (size_t c = 0; c < d; c++)
            d_y[r * d + c] = inverse[r] * (slope[c] * gamma[c] - mean - x[c] * along);
    }
}

static void run(const struct sequence_row *row, const struct block *b) {
    const real *const *w = row->weights;
    size_t d = b->d;
    for (size_t i = 0; i < b->n; i++)
        for (size_t c = 0; c < d; c++)
            b->x[i * d + c] = row->items[i * d + c] + w[POSITION][row->positions[i] * d + c];
    small_product(b->x, b->m, d, w[QUERY], d, false, b->q);
    small_product(b->x, b->n, d, w[KEY], d, false, b->k);
    small_product(b->x, b->n, d, w[VALUE], d, false, b->v);
    attend(b);
    memcpy(b->f, b->x, b->m * d * sizeof *b->f);
    small_product(b->c, b->m, d, w[MIX], d, true, b->f);
    normalise(b->f, b->m, d, w[GAMMA_0], w[BETA_0], b->unit_0, b->inverse_0, b->s);
    small_product(b->s, b->m, d, w[HIDDEN_WEIGHT], b->hidden, false, b->h);
    small_add_rows(b->h, b->m, b->hidden, w[HIDDEN_BIAS]);
    small_leaky(b->h, b->m * b->hidden);
    memcpy(b->f, b->s, b->m * d * sizeof *b->f);
    small_product(b->h, b->m, b->hidden, w[OUTPUT_WEIGHT], d, true, b->f);
    small_add_rows(b->f, b->m, d, w[OUTPUT_BIAS]);
    normalise(b->f, b->m, d, w[GAMMA_1], w[BETA_1], b->unit_1, b->inverse_1, b->f);
}

// Where the output of a place goes under `all`: the target's, then items, newest first.
static size_t slot_of(const struct block *b, size_t place) {
    return place == 0 ? 0 : b->n - place;
}

void transformer_forward(const struct sequence_row *row, real *out, real *scratch) {
    struct block b = lay_out(row, scratch);
    run(row, &b);
    if (row->readout == MODEL_READOUT_ALL) {
        memset(out, 0, row->places * b.d * sizeof *out);
        for (size_t i = 0; i < b.n; i++)
            memcpy(out + slot_of(&b, i) * b.d, b.f + i * b.d, b.d * sizeof *out);
        return;
    }
    memset(out, 0, b.d * sizeof *out);
    small_sum_rows(b.f, b.m, b.d, out);
    for (size_t c = 0; c < b.d; c++)
        out[c] /= (real)b.m;
}

static void attend_back(const struct block *b) {
    real scale = (real)1 / real_sqrt((real)b->head);
    memset(b->d_q, 0, b->m * b->d * sizeof *b->d_q);
    memset(b->d_k, 0, b->n * b->d * sizeof *b->d_k);
    memset(b->d_v, 0, b->n * b->d * sizeof *b->d_v);
    for (size_t h = 0; h < b->heads; h++)
        for (size_t r = 0; r < b->m; r++) {
            const real *weights = b->attention + (h * b->m + r) * b->n;
            size_t at = r * b->d + h * b->head;
            real along = 0;
            for (size_t i = 0; i < b->n; i++) {
                size_t of = i * b->d + h * b->head;
                b->d_attention[i] = small_dot(b->d_c + at, b->v + of, b->head);
                along += weights[i] * b->d_attention[i];
            }
            for (size_t i = 0; i < b->n; i++) {
                size_t of = i * b->d + h * b->head;
                real score = scale * weights[i] * (b->d_attention[i] - along);
                for (size_t c = 0; c < b->head; c++) {
                    b->d_v[of + c] += weights[i] * b->d_c[at + c];
                    b->d_q[at + c] += score * b->k[of + c];
                    b->d_k[of + c] += score * b->q[at + c];
                }
            }
        }
}

// Slopes of the block's outputs, from those of what was read.
static void read_back(const struct sequence_row *row, const struct block *b, const real *d_out) {
    for (size_t i = 0; i < b->m; i++)
        for (size_t c = 0; c < b->d; c++)
            b->d_f[i * b->d + c] = row->readout == MODEL_READOUT_ALL
                                       ? d_out[slot_of(b, i) * b->d + c]
                                       : d_out[c] / (real)b->m;
}

static void feed_back(const struct sequence_row *row, const struct block *b) {
    const real *const *w = row->weights;
    real *const *g = row->gradients;
    size_t d = b->d;
    normalise_back(b->d_f, b->m, d, w[GAMMA_1], b->unit_1, b->inverse_1, g[GAMMA_1], g[BETA_1],
                   b->d_s);
    small_product_sums(b->h, b->m, b->hidden, b->d_s, d, g[OUTPUT_WEIGHT]);
    small_sum_rows(b->d_s, b->m, d, g[OUTPUT_BIAS]);
    small_product_back(b->d_s, b->m, d, w[OUTPUT_WEIGHT], b->hidden, false, b->d_h);
    small_leaky_back(b->d_h, b->h, b->m * b->hidden);
    small_product_sums(b->s, b->m, d, b->d_h, b->hidden, g[HIDDEN_WEIGHT]);
    small_sum_rows(b->d_h, b->m, b->hidden, g[HIDDEN_BIAS]);
    small_product_back(b->d_h, b->m, b->hidden, w[HIDDEN_WEIGHT], d, true, b->d_s);
    normalise_back(b->d_s, b->m, d, w[GAMMA_0], b->unit_0, b->inverse_0, g[GAMMA_0], g[BETA_0],
                   b->d_y);
}

void transformer_backward(const struct sequence_row *row, const real *d_out, real *d_items,
                          real *scratch) {
    const real *const *w = row->weights;
    real *const *g = row->gradients;
    struct block b = lay_out(row, scratch);
    size_t d = b.d;
    run(row, &b);
    read_back(row, &b, d_out);
    feed_back(row, &b);
    small_product_sums(b.c, b.m, d, b.d_y, d, g[MIX]);
    small_product_back(b.d_y, b.m, d, w[MIX], d, false, b.d_c);
    attend_back(&b);
    memset(d_items, 0, b.n * d * sizeof *d_items);
    memcpy(d_items, b.d_y, b.m * d * sizeof *d_items);
    const struct {
        int tensor;
        const real *slope;
        size_t rows;
    } parts[] = {{QUERY, b.d_q, b.m}, {KEY, b.d_k, b.n}, {VALUE, b.d_v, b.n}};
    for (size_t i = 0; i < 3; i++) {
        small_product_sums(b.x, parts[i].rows, d, parts[i].slope, d, g[parts[i].tensor]);
        small_product_back(parts[i].slope, parts[i].rows, d, w[parts[i].tensor], d, true, d_items);
    }
    for (size_t i = 0; i < b.n; i++)
        vector_add(g[POSITION] + row->positions[i] * d, d_items + i * d, d);
}
