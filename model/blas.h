// Matrix products, in the model's number type: the only user of cblas.h.
//
// All matrices are row-major with a leading dimension in elements. Products run on the calling
// thread alone, so that a lane's arithmetic never depends on who else computes.
#ifndef FRESHET_MODEL_BLAS_H
#define FRESHET_MODEL_BLAS_H

#include <stddef.h>

#include "model/real.h"

// One thread a product, process-wide; cheap to call again.
void blas_setup(void);
// The library's version and the kernel that it chose for this processor: another kernel rounds
// otherwise, so this is part of a task's identity.
const char *blas_build(void);

// c[m][n] = alpha * op(a) * op(b) + beta * c, where op(a) is [m][k], op(b) is [k][n]; transposed
// means that the operand is stored the other way round. Beta 0 never reads c.
struct blas_operand {
    const real *data;
    size_t columns; // leading dimension
    int transposed;
};
void blas_product(size_t m, size_t n, size_t k, real alpha, struct blas_operand a,
                  struct blas_operand b, real beta, real *c, size_t c_columns);

#endif
