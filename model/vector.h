// Loops over rows and columns that are not matrix products.
//
// Element-wise work is compiled for several instruction sets and picked at load time; since
// products and sums are never contracted, all of them give the same bits. Sums run over fixed
// partial sums.
#ifndef FRESHET_MODEL_VECTOR_H
#define FRESHET_MODEL_VECTOR_H

#include <stddef.h>
#include <stdint.h>

#include "model/real.h"

// Clones need the loader's indirect functions, which sanitizers do not survive.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__) &&    \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__linux__)
#define VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VECTOR_CLONES
#endif

#define VECTOR_PASSES_MAX 32 // gradients that one call combines: as many as tasks

// z[rows][columns] += bias[c] (bias may be NULL), then negative values of the first `relu` columns
// become 0 (Inf and NaN pass).
void vector_bias_relu(real *z, size_t columns, size_t rows, const real *bias, size_t bias_count,
                      size_t relu);
// d[rows][...] = 0 where h[rows][...] <= 0, on the first `count` columns.
void vector_mask(real *d, size_t d_columns, const real *h, size_t h_columns, size_t rows,
                 size_t count);
// sums[count] (+)= alpha * sum over rows of d[rows][count].
void vector_column_sums(const real *d, size_t d_columns, size_t rows, size_t count, real alpha,
                        real *sums);
// Gates of one mixture: s[rows][width] (+)= sum over e of gate[row][e] * f[row][e * width ...].
void vector_mix(const real *f, size_t f_columns, const real *gate, size_t gate_columns,
                size_t experts, size_t width, size_t rows, int accumulate, real *s,
                size_t s_columns);
// Its backward pass: df[row][e] += gate_e * ds[row]; dgate[row][e] = <ds[row], f[row][e]>.
void vector_unmix(const real *f, size_t f_columns, const real *gate, size_t gate_columns,
                  size_t experts, size_t width, size_t rows, const real *ds, size_t s_columns,
                  real *df, size_t df_columns, real *dgate, size_t dgate_columns);
// out[rows] += <in[row], w> + bias.
void vector_rows_dot(const real *in, size_t in_columns, size_t rows, const real *w, size_t count,
                     real bias, real *out, size_t out_columns);
// d[rows][count] (+)= slope[row] * w[count].
void vector_rows_outer(const real *slope, size_t slope_columns, size_t rows, const real *w,
                       size_t count, int accumulate, real *d, size_t d_columns);
// out[count] += alpha * sum over rows of slope[row] * in[row][count].
void vector_weighted_sums(const real *in, size_t in_columns, size_t rows, size_t count,
                          const real *slope, size_t slope_columns, real alpha, real *out);
void vector_multiply(real *out, const real *a, const real *b, size_t count);     // out = a * b
void vector_multiply_add(real *out, const real *a, const real *b, size_t count); // out += a * b
void vector_add(real *out, const real *a, size_t count);                         // out += a
// z[rows][count] = z * scale + shift; and z = z * scale where shift is NULL.
void vector_scale_shift(real *z, size_t columns, size_t rows, size_t count, const real *scale,
                        const real *shift);
double vector_dot(const real *a, const real *b, size_t count); // in double, fixed partial sums

#endif
