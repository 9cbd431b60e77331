// The number type of the model, and the one place that names its functions.
//
// The same sources are compiled twice: float for use, double for the tests that hold formulas
// against finite differences and against an independent reference.
#ifndef FRESHET_MODEL_REAL_H
#define FRESHET_MODEL_REAL_H

#include <math.h>

#ifdef FRESHET_REAL_DOUBLE
typedef double real;
#else
typedef float real;
#endif

static inline real real_exp(real x) {
#ifdef FRESHET_REAL_DOUBLE
    return exp(x);
#else
    return expf(x);
#endif
}

static inline real real_sqrt(real x) {
#ifdef FRESHET_REAL_DOUBLE
    return sqrt(x);
#else
    return sqrtf(x);
#endif
}

#endif
