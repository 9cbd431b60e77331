// What is derived from tensors, a domain at a time: fused star weights, scales of inputs.
#include "model/network.h"
#include "model/vector.h"

#include <string.h>

static void fuse(struct model *model, size_t tensor, size_t domain) {
    const struct model_tensor *shared = &model->tensors[tensor];
    const struct model_tensor *own = &model->tensors[model->traits[tensor].star + domain];
    real *fused = model->traits[tensor].fused[domain];
    size_t count = shared->rows * shared->columns;
    if (model->traits[tensor].additive) {
        memcpy(fused, shared->data, count * sizeof *fused);
        vector_add(fused, own->data, count);
    } else {
        vector_multiply(fused, shared->data, own->data, count);
    }
}

// Moments of a domain, shrunk to the shared ones: (n_p m_p + k m) / (n_p + k).
static double shrunk(const struct model *model, size_t domain, size_t row, size_t column) {
    size_t at = row * model->embedded + column;
    double shared = (double)model->tensors[model->norm_moments].data[at];
    if (model->norm_domain_moments == NETWORK_NONE)
        return shared;
    const real *own = model->tensors[model->norm_domain_moments + domain].data;
    double rows = (double)own[2 * model->embedded + column];
    return (rows * (double)own[at] + NETWORK_NORM_SHRINK * shared) / (rows + NETWORK_NORM_SHRINK);
}

static void settle_norm(struct model *model, size_t domain) {
    size_t count = model->embedded;
    real *parts = model->norm_scale + domain * NORM_PARTS * count;
    size_t gamma_own = model->traits[model->norm_gamma].star;
    size_t beta_own = model->traits[model->norm_beta].star;
    for (size_t c = 0; c < count; c++) {
        double mean = shrunk(model, domain, 0, c);
        double inverse = 1 / sqrt(shrunk(model, domain, 1, c) + NETWORK_NORM_FLOOR);
        double gamma = (double)model->tensors[model->norm_gamma].data[c];
        double beta = (double)model->tensors[model->norm_beta].data[c];
        if (gamma_own != NETWORK_NONE) {
            gamma *= (double)model->tensors[gamma_own + domain].data[c];
            beta += (double)model->tensors[beta_own + domain].data[c];
        }
        parts[NORM_SCALE * count + c] = (real)(gamma * inverse);
        parts[NORM_SHIFT * count + c] = (real)(beta - gamma * inverse * mean);
        parts[NORM_MEAN * count + c] = (real)mean;
        parts[NORM_INVERSE * count + c] = (real)inverse;
    }
}

void network_settle(struct model *model, size_t domain) {
    if (model->settled[domain])
        return;
    for (size_t i = 0; i < model->tensor_count; i++)
        if (model->traits[i].fused)
            fuse(model, i, domain);
    if (model->norm_gamma != NETWORK_NONE)
        settle_norm(model, domain);
    for (size_t i = 0; i < model->spec.numeric_count; i++) {
        const real *variances =
            model->tensors[model->numeric_moments].data + model->spec.numeric_count;
        model->numeric_scale[i] = (real)(1 / sqrt((double)variances[i] + NETWORK_NUMBER_FLOOR));
    }
    model->settled[domain] = true;
}

void network_unsettle(struct model *model) {
    memset(model->settled, 0, model->domain_count * sizeof *model->settled);
}

void model_settle(struct model *model) {
    network_unsettle(model);
    for (size_t p = 0; p < model->domain_count; p++)
        network_settle(model, p);
}
