// An active-set method (Lawson and Hanson 1974, ch. 23, for the simplex instead of the positive
// orthant): on the face of the positive unknowns the minimum is a linear system; an unknown joins
// where it would lower the value, and leaves where the way to the face's minimum crosses 0.
#include "trainer/simplex.h"

#include <math.h>
#include <string.h>

#define RIDGE 1e-14 // of a diagonal entry: keeps faces of equal gradients solvable
#define SLACK 1e-13 // of the size of what is summed: a smaller gain is rounding

bool simplex_solve(double *a, double *b, size_t n) {
    for (size_t k = 0; k < n; k++) {
        size_t pivot = k;
        for (size_t i = k + 1; i < n; i++)
            if (fabs(a[i * n + k]) > fabs(a[pivot * n + k]))
                pivot = i;
        if (!(fabs(a[pivot * n + k]) > 0) || !isfinite(a[pivot * n + k]))
            return false;
        for (size_t c = 0; c < n && pivot != k; c++) {
            double swapped = a[k * n + c];
            a[k * n + c] = a[pivot * n + c];
            a[pivot * n + c] = swapped;
        }
        double swapped = b[k];
        b[k] = b[pivot];
        b[pivot] = swapped;
        for (size_t i = k + 1; i < n; i++) {
            double factor = a[i * n + k] / a[k * n + k];
            for (size_t c = k; c < n; c++)
                a[i * n + c] -= factor * a[k * n + c];
            b[i] -= factor * b[k];
        }
    }
    for (size_t k = n; k-- > 0;) {
        for (size_t c = k + 1; c < n; c++)
            b[k] -= a[k * n + c] * b[c];
        b[k] /= a[k * n + k];
    }
    return true;
}

struct face {
    const double *q, *b;
    size_t n;
    size_t members[SIMPLEX_MAX], count;
};

// The value's slope along w_i; *ret_size: of the numbers it is the sum of.
static double slope(const struct face *face, const double *w, size_t i, double *ret_size) {
    double sum = face->b ? face->b[i] : 0;
    *ret_size = fabs(sum);
    for (size_t j = 0; j < face->n; j++) {
        sum += face->q[i * face->n + j] * w[j];
        *ret_size += fabs(face->q[i * face->n + j] * w[j]);
    }
    return sum;
}

// The minimum on the face's plane: Q y - multiplier = -b, sum y = 1.
static bool plane_minimum(const struct face *face, double *y) {
    double a[(SIMPLEX_MAX + 1) * (SIMPLEX_MAX + 1)] = {0}, right[SIMPLEX_MAX + 1];
    size_t m = face->count, size = m + 1;
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < m; j++)
            a[i * size + j] = face->q[face->members[i] * face->n + face->members[j]];
        a[i * size + i] *= 1 + RIDGE;
        a[i * size + m] = a[m * size + i] = 1;
        right[i] = face->b ? -face->b[face->members[i]] : 0;
    }
    right[m] = 1;
    if (!simplex_solve(a, right, size))
        return false;
    memcpy(y, right, m * sizeof *y);
    return true;
}

// From w towards the plane's minimum as far as the simplex reaches, dropping what becomes 0, until
// the minimum lies inside. False when it cannot be had: w then stands at the last good place.
static bool face_descend(struct face *face, double *w) {
    double y[SIMPLEX_MAX];
    for (;;) {
        if (!plane_minimum(face, y))
            return false;
        double way = 1;
        size_t out = face->count;
        for (size_t i = 0; i < face->count; i++) {
            double at = w[face->members[i]], share = at > 0 ? at / (at - y[i]) : 0;
            if (y[i] > 0 || share >= way)
                continue;
            way = share;
            out = i;
        }
        for (size_t i = 0; i < face->count; i++)
            w[face->members[i]] += way * (y[i] - w[face->members[i]]);
        if (out == face->count)
            return true;
        w[face->members[out]] = 0;
        face->members[out] = face->members[--face->count];
    }
}

static void face_start(struct face *face, double *w) {
    size_t best = 0;
    double least = INFINITY;
    for (size_t i = 0; i < face->n; i++) {
        double own = face->q[i * face->n + i], linear = face->b ? face->b[i] : 0;
        w[i] = 0;
        if (own / 2 + linear < least) {
            least = own / 2 + linear;
            best = i;
        }
    }
    face->members[0] = best;
    face->count = 1;
    w[best] = 1;
}

void simplex_minimise(const double *q, const double *b, size_t n, double *ret_w) {
    struct face face = {.q = q, .b = b, .n = n};
    face_start(&face, ret_w);
    // Each round lowers the value or ends, so no face comes twice; the bound is for rounding.
    for (size_t round = 0; round < 16 * n; round++) {
        size_t join = n;
        double level = 0, most = 0, size;
        for (size_t i = 0; i < n; i++) {
            level += ret_w[i] * slope(&face, ret_w, i, &size);
            most += ret_w[i] * size;
        }
        double least = level;
        for (size_t i = 0; i < n; i++) {
            double mine = slope(&face, ret_w, i, &size);
            if (ret_w[i] > 0 || mine >= level - SLACK * (most + size) || mine >= least)
                continue;
            least = mine;
            join = i;
        }
        if (join == n)
            return;
        face.members[face.count++] = join;
        if (!face_descend(&face, ret_w))
            return;
    }
}
