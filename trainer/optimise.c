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

VECTOR_CLONES
static void ftrl_step(real *restrict w, real *restrict z, real *restrict n, const real *restrict g,
                      size_t count, real factor, real alpha, real beta, real l1, real l2,
                      real start) {
    for (size_t i = 0; i < count; i++) {
        real slope = g[i] * factor;
        if (!(slope > (real)0 || slope < (real)0))
            continue;
        real root = real_sqrt(n[i]), sum = n[i] + slope * slope, grown = real_sqrt(sum);
        if (!(n[i] > start)) // -sgn(w) l1 is sgn(z) l1
            z[i] = w[i] > (real)0   ? -w[i] * ((beta + root) / alpha + l2) - l1
                   : w[i] < (real)0 ? -w[i] * ((beta + root) / alpha + l2) + l1
                                    : (real)0;
        z[i] += slope - (grown - root) / alpha * w[i];
        n[i] = sum;
        real beyond = z[i] > l1 ? z[i] - l1 : z[i] < -l1 ? z[i] + l1 : (real)0;
        w[i] = -beyond / ((beta + grown) / alpha + l2);
    }
}

void optimise_ftrl(real *w, real *z, real *n, const real *g, size_t count, double scale,
                   double alpha, const struct ftrl_settings *ftrl, real start) {
    if (alpha > 0)
        ftrl_step(w, z, n, g, count, (real)scale, (real)alpha, (real)ftrl->beta, (real)ftrl->l1,
                  (real)ftrl->l2, start);
}

size_t optimise_row_state(const struct row_optimiser *of, size_t dimension, size_t wide) {
    size_t wide_state = of->wide_ftrl ? 2 * wide : wide;
    switch (of->optimiser) {
    case LEARNER_ROW_ADAGRAD:
        return 1 + wide_state;
    case LEARNER_ROW_ADAGRAD_FULL:
        return dimension + wide_state;
    case LEARNER_ROW_FTRL:
        return 2 * (dimension + wide);
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

// The wide weights where they do not step like the row: state [2][wide] behind the row's, or
// accumulators [wide].
static void wide_step(const struct row_optimiser *of, real *w, real *state, const real *g,
                      size_t wide, double scale) {
    if (of->wide_ftrl)
        optimise_ftrl(w, state, state + wide, g, wide, scale, of->wide_rate, &of->ftrl, of->start);
    else
        optimise_adagrad(w, state, g, wide, scale, of->wide_rate);
}

static void row_adam(const struct row_optimiser *of, real *w, real *state, const real *g,
                     size_t dimension, size_t wide, double scale) {
    state[0] += (real)1;
    uint64_t steps = (uint64_t)state[0];
    size_t count = of->wide_ftrl ? dimension : dimension + wide;
    real *m = state + 1, *v = m + count;
    optimise_adam(w, m, v, g, dimension, scale, of->rate, steps);
    if (of->wide_ftrl)
        wide_step(of, w + dimension, v + count, g + dimension, wide, scale);
    else
        optimise_adam(w + dimension, m + dimension, v + dimension, g + dimension, wide, scale,
                      of->wide_rate, steps);
}

void optimise_row(const struct row_optimiser *of, real *w, real *state, const real *g,
                  size_t dimension, size_t wide, double scale) {
    switch (of->optimiser) {
    case LEARNER_ROW_ADAGRAD:
        row_adagrad(w, state, g, dimension, (real)scale, (real)of->rate);
        wide_step(of, w + dimension, state + 1, g + dimension, wide, scale);
        return;
    case LEARNER_ROW_ADAGRAD_FULL:
        optimise_adagrad(w, state, g, dimension, scale, of->rate);
        wide_step(of, w + dimension, state + dimension, g + dimension, wide, scale);
        return;
    case LEARNER_ROW_FTRL:
        optimise_ftrl(w, state, state + dimension, g, dimension, scale, of->rate, &of->ftrl,
                      of->start);
        state += 2 * dimension;
        optimise_ftrl(w + dimension, state, state + wide, g + dimension, wide, scale, of->wide_rate,
                      &of->ftrl, of->start);
        return;
    default:
        row_adam(of, w, state, g, dimension, wide, scale);
    }
}
