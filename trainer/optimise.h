// Steps of the optimisers, on spans of dense weights and on rows.
//
//   Adagrad   a += g^2;  w -= lr g / sqrt(a)                        (Duchi et al. 2011)
//   Adam      bias-corrected by the count of steps given            (Kingma and Ba 2015, alg. 1)
//   row-wise Adagrad  one accumulator a row, a += mean(g^2)
//   lazy Adam only rows present step; the bias is corrected by the row's own count of steps, so
//   that
//             a row seen for the first time late in the stream steps like any new one
// Wide weights behind a row have an accumulator each under either Adagrad.
#ifndef FRESHET_TRAINER_OPTIMISE_H
#define FRESHET_TRAINER_OPTIMISE_H

#include "trainer/learner.h"

#define ADAM_BETA1 0.9
#define ADAM_BETA2 0.999
#define ADAM_FLOOR 1e-8

// w[count] steps against g times `scale`; a[count] is the accumulator.
void optimise_adagrad(real *w, real *a, const real *g, size_t count, double scale, double rate);
// m[count], v[count]: the moments; steps: this one included.
void optimise_adam(real *w, real *m, real *v, const real *g, size_t count, double scale,
                   double rate, uint64_t steps);

size_t optimise_row_state(int optimiser, size_t dimension, size_t wide); // numbers behind a row
// One row: w[dimension + wide], g likewise, state as optimise_row_state; the wide
// numbers step at a rate of their own.
void optimise_row(int optimiser, real *w, real *state, const real *g, size_t dimension, size_t wide,
                  double scale, double rate, double wide_rate);

#endif
