// Products of matrices that are too small to pack: a row's own in a sequence. Sums run in a fixed
// order, whatever the machine. All matrices are row-major and dense.
#ifndef FRESHET_MODEL_SMALL_H
#define FRESHET_MODEL_SMALL_H

#include <stdbool.h>
#include <stddef.h>

#include "model/real.h"

// out[rows][columns] = a[rows][depth] w[depth][columns] (+ out).
void small_product(const real *a, size_t rows, size_t depth, const real *w, size_t columns,
                   bool add, real *out);
// Its slopes: da[rows][depth] = g[rows][columns] w' (+ da), and dw[depth][columns] += a' g.
void small_product_back(const real *g, size_t rows, size_t columns, const real *w, size_t depth,
                        bool add, real *da);
void small_product_sums(const real *a, size_t rows, size_t depth, const real *g, size_t columns,
                        real *dw);
void small_add_rows(real *out, size_t rows, size_t columns, const real *row); // out[r] += row
void small_sum_rows(const real *in, size_t rows, size_t columns, real *sum);  // sum += in[r]
// max(x, x / 100), in place; and its slopes by what came out, which has x's sign.
void small_leaky(real *x, size_t count);
void small_leaky_back(real *slope, const real *out, size_t count);
real small_dot(const real *a, const real *b, size_t count);

#endif
