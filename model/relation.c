// Everything is a function of u = -log P, the sum of log(1 + e^-z) over a chain: the loss is
// y u - (1 - y) log(1 - e^-u), without overflow or cancellation.
#include "model/relation.h"

#define LEAST 1e-30 // of u: beyond, P is 1 in any number type

// log(1 + e^-z)
static double softplus_of_minus(double z) {
    return (z < 0 ? -z : 0) + log1p(exp(-fabs(z)));
}

static double minus_log_product(const struct model *model, size_t task, const real *logits) {
    double u = 0;
    for (size_t k = task; k != NETWORK_NONE; k = network_given(model, k))
        u += softplus_of_minus((double)logits[k]);
    return u > LEAST ? u : LEAST;
}

// log(p / (1 - p)) of p = b / (1 - b) = e^z.
static double corrected(double z) {
    double most = log(RELATION_CORRECTED_MOST);
    z = z < most ? z : most;
    return z - log(-expm1(z));
}

void relation_predict(const struct model *model, real *logits) {
    double products[MODEL_TASKS_MAX];
    for (size_t k = 0; model->related && k < model->spec.task_count; k++)
        products[k] = minus_log_product(model, k, logits);
    for (size_t k = 0; k < model->spec.task_count; k++) {
        if (network_given(model, k) != NETWORK_NONE)
            logits[k] = (real)(-products[k] - log(-expm1(-products[k])));
        else if (model->spec.labels[k] == MODEL_LABELS_FNC)
            logits[k] = (real)corrected((double)logits[k]);
        if (model->spec.shift[k] < 0 || model->spec.shift[k] > 0)
            logits[k] = (real)((double)logits[k] + model->spec.shift[k]);
    }
}

double relation_probability(const struct model *model, size_t task, const real *logits) {
    return exp(-minus_log_product(model, task, logits));
}

double relation_loss(const struct model *model, size_t task, const real *logits, double label,
                     double factor, real *slopes) {
    if (network_given(model, task) == NETWORK_NONE) {
        double z = (double)logits[task];
        slopes[task] += (real)(factor * (1 / (1 + exp(-z)) - label));
        return (z > 0 ? z : 0) - z * label + log1p(exp(-fabs(z)));
    }
    double u = minus_log_product(model, task, logits);
    double along = label - (1 - label) / expm1(u); // d loss / d u
    for (size_t k = task; k != NETWORK_NONE; k = network_given(model, k))
        slopes[k] -= (real)(factor * along / (1 + exp((double)logits[k])));
    return label * u - (1 - label) * log(-expm1(-u));
}
