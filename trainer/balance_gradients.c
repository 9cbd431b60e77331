// Methods that look at the angles between tasks' gradients: PCGrad, CAGrad, MGDA, IMTL-G. All are
// functions of the scalar products alone, because the direction lies in the gradients' span.
#include "trainer/balance.h"

#include "base/rng.h"
#include "trainer/simplex.h"

_Static_assert(MODEL_TASKS_MAX <= SIMPLEX_MAX, "a simplex over tasks");

#define IMTL_RIDGE 1e-13     // on cosines: gradients of one direction share its weight
#define IMTL_BALANCE 1e-3    // of the weights' sum to that of their sizes; less, and they cancel
#define CAGRAD_DOUBLINGS 200 // of the multiplier, before the hull is taken to hold 0

static const uint64_t order_stream = 0x7063677261640001; // apart from other draws of the seed

// The tasks that have a gradient, and their products in units of the largest square.
struct span {
    size_t tasks[MODEL_TASKS_MAX], count;
    double products[MODEL_TASKS_MAX * MODEL_TASKS_MAX]; // [count][count]
};

static void span_take(const struct balance_view *view, struct span *span) {
    double most = 0;
    span->count = 0;
    for (size_t k = 0; k < view->tasks; k++) {
        double square = view->products[k * view->tasks + k];
        if (!view->present[k] || !(square > 0))
            continue;
        span->tasks[span->count++] = k;
        most = square > most ? square : most;
    }
    for (size_t i = 0; i < span->count; i++)
        for (size_t j = 0; j < span->count; j++)
            span->products[i * span->count + j] =
                view->products[span->tasks[i] * view->tasks + span->tasks[j]] / most;
}

// Puts weights of the span's tasks, times `scale`, into coefficients; a gradient of zeroes keeps 1.
static void span_give(const struct span *span, const double *weights, double scale,
                      double *ret_coefficients) {
    for (size_t i = 0; i < span->count; i++)
        ret_coefficients[span->tasks[i]] = scale * weights[i];
}

static double product_of(const struct span *span, const double *weights, size_t j) {
    double sum = 0;
    for (size_t i = 0; i < span->count; i++)
        sum += weights[i] * span->products[i * span->count + j];
    return sum;
}

static double square_of(const struct span *span, const double *weights) {
    double sum = 0;
    for (size_t j = 0; j < span->count; j++)
        sum += weights[j] * product_of(span, weights, j);
    return sum > 0 ? sum : 0;
}

// The order in which task i meets the others: Fisher and Yates, from draws of (step, i).
static void order_draw(const struct balance_view *view, const struct span *span, size_t i,
                       size_t *order) {
    size_t count = 0;
    for (size_t j = 0; j < span->count; j++)
        if (j != i)
            order[count++] = j;
    for (size_t left = count; left > 1; left--) {
        uint64_t draw =
            rng_at(view->seed, order_stream, view->step, span->tasks[i] * MODEL_TASKS_MAX + left);
        size_t chosen = (size_t)(draw % left), last = order[left - 1];
        order[left - 1] = order[chosen];
        order[chosen] = last;
    }
}

void pcgrad_weigh(const struct learner_settings *settings, const struct balance_view *view,
                  double *state, double *ret_coefficients) {
    (void)settings;
    (void)state;
    struct span span;
    double sums[MODEL_TASKS_MAX] = {0};
    span_take(view, &span);
    for (size_t i = 0; i < span.count; i++) {
        size_t order[MODEL_TASKS_MAX];
        double mine[MODEL_TASKS_MAX] = {0}; // g_i as projected so far, in the gradients' terms
        mine[i] = 1;
        order_draw(view, &span, i, order);
        for (size_t at = 0; at + 1 < span.count; at++) {
            size_t j = order[at];
            double product = product_of(&span, mine, j);
            if (product < 0)
                mine[j] -= product / span.products[j * span.count + j];
        }
        for (size_t j = 0; j < span.count; j++)
            sums[j] += mine[j];
    }
    span_give(&span, sums, 1, ret_coefficients);
}

void mgda_weigh(const struct learner_settings *settings, const struct balance_view *view,
                double *state, double *ret_coefficients) {
    (void)settings;
    (void)state;
    struct span span;
    double weights[MODEL_TASKS_MAX];
    span_take(view, &span);
    if (span.count > 0)
        simplex_minimise(span.products, NULL, span.count, weights);
    span_give(&span, weights, (double)span.count, ret_coefficients);
}

// w of the multiplier t: the minimum of g_w g_0 + t |g_w|^2 / 2; returns t |g_w|, which grows with
// t.
static double cagrad_at(const struct span *span, const double *linear, double t, double *w) {
    double q[MODEL_TASKS_MAX * MODEL_TASKS_MAX];
    for (size_t i = 0; i < span->count * span->count; i++)
        q[i] = t * span->products[i];
    simplex_minimise(q, linear, span->count, w);
    return t * sqrt(square_of(span, w));
}

// The minimum of g_w g_0 + c |g_0| |g_w| over the simplex. Where g_w is not 0, its conditions are
// those of cagrad_at for the t at which t |g_w| = c |g_0|. False where the hull holds 0.
static bool cagrad_search(const struct span *span, const double *linear, double wanted, double *w) {
    double high = 1;
    size_t doublings = 0;
    for (; cagrad_at(span, linear, high, w) < wanted; high *= 2)
        if (++doublings == CAGRAD_DOUBLINGS)
            return false;
    while (cagrad_at(span, linear, high / 2, w) >= wanted)
        high /= 2;
    double low = high / 2;
    for (double middle = (low + high) / 2; middle > low && middle < high;
         middle = (low + high) / 2) {
        if (cagrad_at(span, linear, middle, w) < wanted)
            low = middle;
        else
            high = middle;
    }
    (void)cagrad_at(span, linear, high, w);
    return true;
}

void cagrad_weigh(const struct learner_settings *settings, const struct balance_view *view,
                  double *state, double *ret_coefficients) {
    (void)state;
    struct span span;
    double weights[MODEL_TASKS_MAX], linear[MODEL_TASKS_MAX], w[MODEL_TASKS_MAX];
    span_take(view, &span);
    for (size_t i = 0; i < span.count; i++)
        weights[i] = 1 / (double)span.count;
    for (size_t i = 0; i < span.count; i++)
        linear[i] = product_of(&span, weights, i);
    double wanted = settings->caution * sqrt(square_of(&span, weights));
    if (span.count > 0 && wanted > 0 && cagrad_search(&span, linear, wanted, w)) {
        double length = sqrt(square_of(&span, w));
        for (size_t i = 0; i < span.count; i++)
            weights[i] += wanted / length * w[i];
    }
    span_give(&span, weights, (double)span.count, ret_coefficients);
}

// Equal projections d u_k on unit gradients: with cosines C and beta_k = alpha_k |g_k|, C beta is
// the same for all k, and the alpha sum to 1.
void imtl_g_weigh(const struct learner_settings *settings, const struct balance_view *view,
                  double *state, double *ret_coefficients) {
    (void)settings;
    (void)state;
    struct span span;
    double cosines[MODEL_TASKS_MAX * MODEL_TASKS_MAX], weights[MODEL_TASKS_MAX],
        norms[MODEL_TASKS_MAX];
    span_take(view, &span);
    size_t n = span.count;
    for (size_t i = 0; i < n; i++) {
        norms[i] = sqrt(span.products[i * n + i]);
        weights[i] = 1;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            cosines[i * n + j] =
                i == j ? 1 + IMTL_RIDGE : span.products[i * n + j] / (norms[i] * norms[j]);
    bool solved = simplex_solve(cosines, weights, n);
    double sum = 0, sizes = 0;
    for (size_t i = 0; i < n; i++) {
        weights[i] /= norms[i];
        sum += weights[i];
        sizes += fabs(weights[i]);
    }
    solved = solved && fabs(sum) > IMTL_BALANCE * sizes;
    for (size_t i = 0; i < n; i++)
        weights[i] = solved ? weights[i] / sum : 1 / (double)n;
    span_give(&span, weights, (double)span.count, ret_coefficients);
}
