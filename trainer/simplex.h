// Small exact minimisation over the simplex, for balancers: as many unknowns as there are tasks.
#ifndef FRESHET_TRAINER_SIMPLEX_H
#define FRESHET_TRAINER_SIMPLEX_H

#include <stdbool.h>
#include <stddef.h>

#define SIMPLEX_MAX 32 // unknowns

// w minimises w'Qw / 2 + b'w over w >= 0, sum w = 1; Q is symmetric and positive semidefinite.
// Where Q is singular, Qw is unique while w need not be: the same input always gives the same w.
void simplex_minimise(const double *q /* [n][n] */, const double *b /* [n], NULL = 0 */, size_t n,
                      double *ret_w /* [n] */);
// Solves A x = b by elimination with partial pivoting; both are overwritten, b by x. False where A
// is singular to working precision.
bool simplex_solve(double *a /* [n][n] */, double *b /* [n] */, size_t n);

#endif
