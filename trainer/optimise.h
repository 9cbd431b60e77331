// Steps of the optimisers, on spans of dense weights and on rows.
//
//   Adagrad   a += g^2;  w -= lr g / sqrt(a)                        (Duchi et al. 2011)
//   Adam      bias-corrected by the count of steps given            (Kingma and Ba 2015, alg. 1)
//   row-wise Adagrad  one accumulator a row, a += mean(g^2)
//   lazy Adam only rows present step; the bias is corrected by the row's own count of steps, so
//   that
//             a row seen for the first time late in the stream steps like any new one
//   FTRL-Proximal  s = (sqrt(n + g^2) - sqrt(n)) / alpha;  z += g - s w;  n += g^2;
//             w = 0 where |z| <= l1, else -(z - sgn(z) l1) / ((beta + sqrt(n)) / alpha + l2)
//             (McMahan et al., KDD 2013, alg. 1), from wherever a weight stands when it first steps
// Wide weights behind a row have an accumulator each under either Adagrad, and may have FTRL of
// their own.
#ifndef FRESHET_TRAINER_OPTIMISE_H
#define FRESHET_TRAINER_OPTIMISE_H

#include "model/real.h"
#include "trainer/learner.h"
#include "trainer/rules.h"

#define ADAM_BETA1 0.9
#define ADAM_BETA2 0.999
#define ADAM_FLOOR 1e-8

// w[count] steps against g times `scale`; a[count] is the accumulator.
void optimise_adagrad(real *w, real *a, const real *g, size_t count, double scale, double rate);
// m[count], v[count]: the moments; steps: this one included.
void optimise_adam(real *w, real *m, real *v, const real *g, size_t count, double scale,
                   double rate, uint64_t steps);

// z[count], n[count]: the sums. n not above `start` says that the weight has not stepped yet: z is
// then what gives the weight that there is. A slope of 0 changes nothing.
void optimise_ftrl(real *w, real *z, real *n, const real *g, size_t count, double scale,
                   double alpha, const struct ftrl_settings *ftrl, real start);

// How the rows of a table step.
struct row_optimiser {
    int optimiser;  // enum learner_row_optimiser
    bool wide_ftrl; // the wide weights by FTRL, whatever the others
    double rate, wide_rate;
    struct ftrl_settings ftrl;
    real start; // of all numbers behind a row
};
// Numbers behind a row.
size_t optimise_row_state(const struct row_optimiser *of, size_t dimension, size_t wide);
// One row: w[dimension + wide], g likewise, state as optimise_row_state.
void optimise_row(const struct row_optimiser *of, real *w, real *state, const real *g,
                  size_t dimension, size_t wide, double scale);

#endif
