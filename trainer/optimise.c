// The optimisers' arithmetic; owns nothing.
#include "trainer/optimise.h"

#include "model/vector.h"

VECTOR_CLONES
static void adagrad(real *restrict w, real *restrict a, const real *restrict g, size_t count,
                    real factor, real rate) {
    for (size_t i = 0; i < count; i++) {
        real slope = g[i] * factor;
        real sum = a[i] + slope * slope;
        a[i] = sum;
        // A slope of 0 keeps the weight, even where the accumulator is 0 as well.
        real root = real_sqrt(sum);
        w[i] -= rate * slope / (root > (real)0 ? root : (real)1);
    }
}

void optimise_adagrad(real *w, real *a, const real *g, size_t count, double scale, double rate) {
    adagrad(w, a, g, count, (real)scale, (real)rate);
}

VECTOR_CLONES
static void adam(real *restrict w, real *restrict m, real *restrict v, const real *restrict g,
                 size_t count, real factor, real rate, real first, real second) {
    const real b1 = (real)ADAM_BETA1, b2 = (real)ADAM_BETA2, floor = (real)ADAM_FLOOR;
    const real c1 = (real)(1 - ADAM_BETA1), c2 = (real)(1 - ADAM_BETA2);
    for (size_t i = 0; i < count; i++) {
        real slope = g[i] * factor;
        m[i] = b1 * m[i] + c1 * slope;
        v[i] = b2 * v[i] + c2 * slope * slope;
        w[i] -= rate * (m[i] * first) / (real_sqrt(v[i] * second) + floor);
    }
}

void optimise_adam(real *w, real *m, real *v, const real *g, size_t count, double scale,
                   double rate, uint64_t steps) {
    double first = 1 / (1 - pow(ADAM_BETA1, (double)steps));
    double second = 1 / (1 - pow(ADAM_BETA2, (double)steps));
    adam(w, m, v, g, count, (real)scale, (real)rate, (real)first, (real)second);
}

size_t optimise_row_state(int optimiser, size_t dimension, size_t wide) {
    switch (optimiser) {
    case LEARNER_ROW_ADAGRAD:
        return 1 + wide;
    case LEARNER_ROW_ADAGRAD_FULL:
        return dimension + wide;
    default:
        return 1 + 2 * (dimension + wide);
    }
}

VECTOR_CLONES
static void row_adagrad(real *restrict w, real *restrict a, const real *restrict g,
                        size_t dimension, real factor, real rate) {
    enum { PARTIAL = 16 }; // partial sums, of a fixed number on any machine: they fit registers
    real partial[PARTIAL] = {0}, sum = 0;
    size_t whole = dimension / PARTIAL * PARTIAL;
    for (size_t c = 0; c < whole; c += PARTIAL)
        for (size_t i = 0; i < PARTIAL; i++)
            partial[i] += g[c + i] * factor * (g[c + i] * factor);
    for (size_t c = whole; c < dimension; c++)
        partial[c - whole] += g[c] * factor * (g[c] * factor);
    for (size_t i = 0; i < PARTIAL; i++)
        sum += partial[i];
    a[0] += sum / (real)dimension;
    if (!(a[0] > (real)0))
        return;
    real step = rate * factor / real_sqrt(a[0]);
    for (size_t c = 0; c < dimension; c++)
        w[c] -= step * g[c];
}

void optimise_row(int optimiser, real *w, real *state, const real *g, size_t dimension, size_t wide,
                  double scale, double rate, double wide_rate) {
    size_t count = dimension + wide;
    switch (optimiser) {
    case LEARNER_ROW_ADAGRAD:
        row_adagrad(w, state, g, dimension, (real)scale, (real)rate);
        optimise_adagrad(w + dimension, state + 1, g + dimension, wide, scale, wide_rate);
        return;
    case LEARNER_ROW_ADAGRAD_FULL:
        optimise_adagrad(w, state, g, dimension, scale, rate);
        optimise_adagrad(w + dimension, state + dimension, g + dimension, wide, scale, wide_rate);
        return;
    default: {
        state[0] += (real)1;
        real *m = state + 1, *v = m + count;
        uint64_t steps = (uint64_t)state[0];
        optimise_adam(w, m, v, g, dimension, scale, rate, steps);
        optimise_adam(w + dimension, m + dimension, v + dimension, g + dimension, wide, scale,
                      wide_rate, steps);
    }
    }
}
