// OpenBLAS behind two functions; owns nothing.
#include "model/blas.h"

#include <cblas.h>

#include "base/status.h"

void blas_setup(void) {
    openblas_set_num_threads(1);
}

void blas_product(size_t m, size_t n, size_t k, real alpha, struct blas_operand a,
                  struct blas_operand b, real beta, real *c, size_t c_columns) {
    if (m == 0 || n == 0)
        return;
    enum CBLAS_TRANSPOSE ta = a.transposed ? CblasTrans : CblasNoTrans;
    enum CBLAS_TRANSPOSE tb = b.transposed ? CblasTrans : CblasNoTrans;
#ifdef FRESHET_REAL_DOUBLE
    cblas_dgemm(CblasRowMajor, ta, tb, (blasint)m, (blasint)n, (blasint)k, alpha, a.data,
                (blasint)a.columns, b.data, (blasint)b.columns, beta, c, (blasint)c_columns);
#else
    cblas_sgemm(CblasRowMajor, ta, tb, (blasint)m, (blasint)n, (blasint)k, alpha, a.data,
                (blasint)a.columns, b.data, (blasint)b.columns, beta, c, (blasint)c_columns);
#endif
}

const char *blas_build(void) {
    return openblas_get_config();
}
