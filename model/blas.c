// See blas.h; owns nothing.
#include "model/blas.h"

#include <cblas.h>

void blas_setup(void) {
    openblas_set_num_threads(1);
}

const char *blas_build(void) {
    return openblas_get_config();
}

void blas_sums(const real *a, size_t a_columns, size_t m, const real *b, size_t b_columns, size_t n,
               size_t rows, real alpha, bool add, real *c, size_t c_columns) {
#ifdef FRESHET_REAL_DOUBLE
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)m, (blasint)n, (blasint)rows,
                alpha, a, (blasint)a_columns, b, (blasint)b_columns, add ? 1 : 0, c,
                (blasint)c_columns);
#else
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)m, (blasint)n, (blasint)rows,
                alpha, a, (blasint)a_columns, b, (blasint)b_columns, add ? 1 : 0, c,
                (blasint)c_columns);
#endif
}
