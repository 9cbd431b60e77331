// Loops over small matrices; owns nothing, allocates nothing.
#include "model/small.h"

#include <string.h>

#include "model/vector.h"

enum { PARTIAL = 8 }; // partial sums of a dot product: a fixed number on any machine
#define LEAK ((real)0.01)

VECTOR_CLONES
void small_product(const real *a, size_t rows, size_t depth, const real *w, size_t columns,
                   bool add, real *out) {
    for (size_t r = 0; r < rows; r++) {
        real *restrict row = out + r * columns;
        if (!add)
            memset(row, 0, columns * sizeof *row);
        for (size_t k = 0; k < depth; k++) {
            const real *restrict weights = w + k * columns;
            real factor = a[r * depth + k];
            for (size_t c = 0; c < columns; c++)
                row[c] += factor * weights[c];
        }
    }
}

static inline real dot(const real *restrict a, const real *restrict b, size_t count) {
    real sums[PARTIAL] = {0}, rest = 0;
    size_t whole = count - count % PARTIAL;
    for (size_t i = 0; i < whole; i += PARTIAL)
        for (size_t k = 0; k < PARTIAL; k++)
            sums[k] += a[i + k] * b[i + k];
    for (size_t i = whole; i < count; i++)
        rest += a[i] * b[i];
    for (size_t k = 0; k < PARTIAL; k++)
        rest += sums[k];
    return rest;
}

real small_dot(const real *a, const real *b, size_t count) {
    return dot(a, b, count);
}

VECTOR_CLONES
void small_product_back(const real *g, size_t rows, size_t columns, const real *w, size_t depth,
                        bool add, real *da) {
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < depth; k++) {
            real slope = dot(g + r * columns, w + k * columns, columns);
            da[r * depth + k] = add ? da[r * depth + k] + slope : slope;
        }
}

VECTOR_CLONES
void small_product_sums(const real *a, size_t rows, size_t depth, const real *g, size_t columns,
                        real *dw) {
    for (size_t r = 0; r < rows; r++) {
        const real *restrict slope = g + r * columns;
        for (size_t k = 0; k < depth; k++) {
            real *restrict sum = dw + k * columns;
            real factor = a[r * depth + k];
            for (size_t c = 0; c < columns; c++)
                sum[c] += factor * slope[c];
        }
    }
}

void small_add_rows(real *out, size_t rows, size_t columns, const real *row) {
    for (size_t r = 0; r < rows; r++)
        vector_add(out + r * columns, row, columns);
}

void small_sum_rows(const real *in, size_t rows, size_t columns, real *sum) {
    for (size_t r = 0; r < rows; r++)
        vector_add(sum, in + r * columns, columns);
}

void small_leaky(real *x, size_t count) {
    for (size_t i = 0; i < count; i++)
        x[i] = x[i] < (real)0 ? LEAK * x[i] : x[i];
}

void small_leaky_back(real *slope, const real *out, size_t count) {
    for (size_t i = 0; i < count; i++)
        slope[i] = out[i] < (real)0 ? LEAK * slope[i] : slope[i];
}
