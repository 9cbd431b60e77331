// OpenBLAS behind two functions: the only user of cblas.h.
//
// For products too large for what product.h does itself to pay. They run on the calling thread
// alone, so that a result never depends on who else computes.
#ifndef FRESHET_MODEL_BLAS_H
#define FRESHET_MODEL_BLAS_H

#include <stdbool.h>
#include <stddef.h>

#include "model/real.h"

void blas_setup(void); // one thread a product, process-wide; cheap to call again
// The library's version and the kernel that it chose for this processor: another kernel rounds
// otherwise, so this is part of a task's identity. Borrowed for ever.
const char *blas_build(void);
// c[m][n] = alpha * a' b (+ c), over the rows of a[rows][m] and b[rows][n], which lie a_columns and
// b_columns elements apart. Without `add` c is not read.
void blas_sums(const real *a, size_t a_columns, size_t m, const real *b, size_t b_columns, size_t n,
               size_t rows, real alpha, bool add, real *c, size_t c_columns);

#endif
