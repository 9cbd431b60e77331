// Matrix products in the model's number type, on the calling thread alone.
//
// Why not a BLAS alone: what one step multiplies by (weights) is the same for all lanes and
// segments, so it is packed once a step, and small segments then cost what their rows cost; and a
// row's result never depends on the rows beside it, since every sum runs over the inner dimension
// in order. So predicting one row and training on a thousand give the same bits. Kernels for
// several instruction sets are picked at run time; where a set has fused multiply-adds they are
// used, which is part of a task's identity (product_build). Gradients of weights, products of two
// operands that are both new, are OpenBLAS's where it is faster: three times, nearly always, beside
// the set that every processor has; beside the sets with fused multiply-adds from a quarter of a
// million weights on, since pieces of 64 columns (gradient.c) are what those were made for.
//
// All matrices are row-major with a leading dimension in elements.
#ifndef FRESHET_MODEL_PRODUCT_H
#define FRESHET_MODEL_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/real.h"

// Columns of a panel: two registers of the widest set.
#define PRODUCT_PANEL (128 / sizeof(real))
// Rows of which product_sums takes a panel at once.
#define PRODUCT_SLAB 256
#define PRODUCT_SCRATCH (PRODUCT_SLAB * PRODUCT_PANEL) // elements

// How sums are rounded here: "fused" (one rounding a multiply-add) or "plain" (two). All sets of
// one kind give the same bits.
const char *product_build(void);
// For tests: uses the i-th set of this machine (0 = the best, as without a call); false = no more.
bool product_choose(size_t i);

// A right operand packed: panels of PRODUCT_PANEL columns, [depth][PRODUCT_PANEL] each, the last
// one filled up with zeros. 64-byte aligned.
static inline size_t product_packed(size_t depth, size_t columns) { // elements
    return (columns + PRODUCT_PANEL - 1) / PRODUCT_PANEL * PRODUCT_PANEL * depth;
}
// Packs rows [first, first + rows) of w (times `by`, element by element, unless that is NULL) as
// such rows of a right operand that is [depth][columns] in all. w and by: w_columns a row.
void product_pack(const real *w, const real *by, size_t w_columns, size_t first, size_t rows,
                  size_t depth, size_t columns, real *packed);
// The same for the transpose: w's rows become columns of a right operand [columns][w's rows].
// `first` and, but for the last, `first + rows` are multiples of PRODUCT_PANEL.
void product_pack_turned(const real *w, const real *by, size_t w_columns, size_t first, size_t rows,
                         size_t columns, real *packed);

// c[rows][columns] = a[rows][depth] * packed (+ c).
void product_rows(const real *a, size_t a_columns, size_t rows, const real *packed, size_t depth,
                  size_t columns, bool add, real *c, size_t c_columns);
// The same for rows [first, first + depth) of the right operand, which is packed_depth deep.
void product_rows_part(const real *a, size_t a_columns, size_t rows, const real *packed,
                       size_t packed_depth, size_t first, size_t depth, size_t columns, bool add,
                       real *c, size_t c_columns);
// sum[PRODUCT_PANEL] = the sum of the rows named by index[count].
void product_pick(const real *rows, size_t columns, const uint32_t *index, size_t count, real *sum);
// c[m][columns] = alpha * a' panel (+ c), over the rows of a[rows][m] and of one packed panel.
void product_panel_sums(const real *a, size_t a_columns, size_t m, const real *panel,
                        size_t columns, size_t rows, real alpha, bool add, real *c,
                        size_t c_columns);
// c[m][n] = alpha * a' b (+ c), over the rows of a[rows][m] and b[rows][n]; scratch: of the thread.
void product_sums(const real *a, size_t a_columns, size_t m, const real *b, size_t b_columns,
                  size_t n, size_t rows, real alpha, bool add, real *c, size_t c_columns,
                  real *scratch);

#endif
