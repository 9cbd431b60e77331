// Element-wise loops and sums in a fixed order; owns nothing, allocates nothing.
#include "model/vector.h"

#include <string.h>

enum { PARTIAL = 16 }; // partial sums of a dot product: a fixed number on any machine

VECTOR_CLONES
void vector_bias_relu(real *z, size_t columns, size_t rows, const real *bias, size_t bias_count,
                      size_t relu) {
    for (size_t r = 0; r < rows; r++) {
        real *restrict row = z + r * columns;
        if (bias)
            for (size_t c = 0; c < bias_count; c++)
                row[c] += bias[c];
        for (size_t c = 0; c < relu; c++)
            row[c] = row[c] < (real)0 ? (real)0 : row[c];
    }
}

VECTOR_CLONES
void vector_mask(real *d, size_t d_columns, const real *h, size_t h_columns, size_t rows,
                 size_t count) {
    for (size_t r = 0; r < rows; r++) {
        real *restrict slope = d + r * d_columns;
        const real *restrict value = h + r * h_columns;
        for (size_t c = 0; c < count; c++)
            slope[c] = value[c] > (real)0 ? slope[c] : (real)0;
    }
}

VECTOR_CLONES
void vector_column_sums(const real *d, size_t d_columns, size_t rows, size_t count, real alpha,
                        real *sums) {
    enum { STRIP = 64 };
    for (size_t c0 = 0; c0 < count; c0 += STRIP) {
        size_t strip = count - c0 < STRIP ? count - c0 : STRIP;
        real partial[STRIP] = {0};
        for (size_t r = 0; r < rows; r++) {
            const real *restrict row = d + r * d_columns + c0;
            for (size_t c = 0; c < strip; c++)
                partial[c] += row[c];
        }
        for (size_t c = 0; c < strip; c++)
            sums[c0 + c] += alpha * partial[c];
    }
}

VECTOR_CLONES
void vector_mix(const real *f, size_t f_columns, const real *gate, size_t gate_columns,
                size_t experts, size_t width, size_t rows, int accumulate, real *s,
                size_t s_columns) {
    for (size_t r = 0; r < rows; r++) {
        real *restrict out = s + r * s_columns;
        if (!accumulate)
            memset(out, 0, width * sizeof *out);
        for (size_t e = 0; e < experts; e++) {
            const real *restrict expert = f + r * f_columns + e * width;
            real weight = gate[r * gate_columns + e];
            for (size_t c = 0; c < width; c++)
                out[c] += weight * expert[c];
        }
    }
}

static inline real fold(const real *partial) {
    real sum = 0;
    for (size_t i = 0; i < PARTIAL; i++)
        sum += partial[i];
    return sum;
}

VECTOR_CLONES
void vector_unmix(const real *f, size_t f_columns, const real *gate, size_t gate_columns,
                  size_t experts, size_t width, size_t rows, const real *ds, size_t s_columns,
                  real *df, size_t df_columns, real *dgate, size_t dgate_columns) {
    for (size_t r = 0; r < rows; r++) {
        const real *restrict slope = ds + r * s_columns;
        for (size_t e = 0; e < experts; e++) {
            const real *restrict expert = f + r * f_columns + e * width;
            real *restrict out = df + r * df_columns + e * width;
            real weight = gate[r * gate_columns + e];
            real partial[PARTIAL] = {0};
            size_t whole = width / PARTIAL * PARTIAL;
            for (size_t c = 0; c < whole; c += PARTIAL)
                for (size_t i = 0; i < PARTIAL; i++) {
                    out[c + i] += weight * slope[c + i];
                    partial[i] += slope[c + i] * expert[c + i];
                }
            for (size_t c = whole; c < width; c++) {
                out[c] += weight * slope[c];
                partial[c - whole] += slope[c] * expert[c];
            }
            dgate[r * dgate_columns + e] = fold(partial);
        }
    }
}

VECTOR_CLONES
void vector_rows_dot(const real *in, size_t in_columns, size_t rows, const real *w, size_t count,
                     real bias, real *out, size_t out_columns) {
    size_t whole = count / PARTIAL * PARTIAL;
    for (size_t r = 0; r < rows; r++) {
        const real *restrict row = in + r * in_columns;
        real partial[PARTIAL] = {0};
        for (size_t c = 0; c < whole; c += PARTIAL)
            for (size_t i = 0; i < PARTIAL; i++)
                partial[i] += row[c + i] * w[c + i];
        for (size_t c = whole; c < count; c++)
            partial[c - whole] += row[c] * w[c];
        out[r * out_columns] += fold(partial) + bias;
    }
}

VECTOR_CLONES
void vector_rows_outer(const real *slope, size_t slope_columns, size_t rows, const real *w,
                       size_t count, int accumulate, real *d, size_t d_columns) {
    for (size_t r = 0; r < rows; r++) {
        real *restrict out = d + r * d_columns;
        real scale = slope[r * slope_columns];
        if (accumulate)
            for (size_t c = 0; c < count; c++)
                out[c] += scale * w[c];
        else
            for (size_t c = 0; c < count; c++)
                out[c] = scale * w[c];
    }
}

VECTOR_CLONES
void vector_weighted_sums(const real *in, size_t in_columns, size_t rows, size_t count,
                          const real *slope, size_t slope_columns, real alpha, real *out) {
    for (size_t r = 0; r < rows; r++) {
        const real *restrict row = in + r * in_columns;
        real scale = alpha * slope[r * slope_columns];
        for (size_t c = 0; c < count; c++)
            out[c] += scale * row[c];
    }
}

VECTOR_CLONES
void vector_multiply(real *out, const real *a, const real *b, size_t count) {
    for (size_t i = 0; i < count; i++)
        out[i] = a[i] * b[i];
}

VECTOR_CLONES
void vector_multiply_add(real *out, const real *a, const real *b, size_t count) {
    for (size_t i = 0; i < count; i++)
        out[i] += a[i] * b[i];
}

VECTOR_CLONES
void vector_add(real *out, const real *a, size_t count) {
    for (size_t i = 0; i < count; i++)
        out[i] += a[i];
}

VECTOR_CLONES
void vector_scale_shift(real *z, size_t columns, size_t rows, size_t count, const real *scale,
                        const real *shift) {
    for (size_t r = 0; r < rows; r++) {
        real *restrict row = z + r * columns;
        if (shift)
            for (size_t c = 0; c < count; c++)
                row[c] = row[c] * scale[c] + shift[c];
        else
            for (size_t c = 0; c < count; c++)
                row[c] *= scale[c];
    }
}

VECTOR_CLONES
double vector_dot(const real *a, const real *b, size_t count) {
    double partial[PARTIAL] = {0};
    size_t whole = count / PARTIAL * PARTIAL;
    for (size_t c = 0; c < whole; c += PARTIAL)
        for (size_t i = 0; i < PARTIAL; i++)
            partial[i] += (double)a[c + i] * (double)b[c + i];
    for (size_t c = whole; c < count; c++)
        partial[c - whole] += (double)a[c] * (double)b[c];
    double sum = 0;
    for (size_t i = 0; i < PARTIAL; i++)
        sum += partial[i];
    return sum;
}
