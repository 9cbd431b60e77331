// Dense tensors after the backward passes: the combined gradient, the step.
#include "trainer/learner_inside.h"

#include <string.h>

#include "model/vector.h"
#include "trainer/optimise.h"
#include "trainer/schedule.h"

bool learner_pass_present(const struct learner *learner, size_t tensor, size_t pass) {
    const struct tensor_traits *traits = &learner->model->traits[tensor];
    const bool *labelled = traits->domain == NETWORK_NONE
                               ? learner->active
                               : learner->domain_labelled + traits->domain * learner->tasks;
    for (size_t k = 0; k < learner->tasks && learner->active_passes[pass]; k++)
        if ((learner->summed || k == pass) && labelled[k] &&
            network_feeds(learner->model, traits->tower, k))
            return true;
    return false;
}

// Whether the tensor has a gradient in this step at all.
static bool tensor_present(const struct learner *learner, size_t tensor) {
    const struct tensor_traits *traits = &learner->model->traits[tensor];
    if (traits->role != TENSOR_WEIGHT || traits->frozen)
        return false;
    if (traits->task != NETWORK_NONE)
        return learner->active[traits->task] &&
               (traits->domain == NETWORK_NONE ||
                learner->domain_labelled[traits->domain * learner->tasks + traits->task]);
    for (size_t pass = 0; pass < learner->passes; pass++)
        if (learner_pass_present(learner, tensor, pass))
            return true;
    return false;
}

VECTOR_CLONES
static void accumulate(real *out, const real *in, size_t count, real factor, bool first) {
    if (first)
        for (size_t i = 0; i < count; i++)
            out[i] = in[i] * factor;
    else
        for (size_t i = 0; i < count; i++)
            out[i] += in[i] * factor;
}

static void combine_row(struct learner *learner, size_t tensor, size_t row) {
    size_t columns = learner->model->tensors[tensor].columns;
    size_t shared = learner->model->traits[tensor].shared_columns;
    real *out = learner_gradient(learner, 0, tensor) + row * columns;
    bool first = true;
    for (size_t pass = 0; pass < learner->passes; pass++) {
        if (!learner_pass_present(learner, tensor, pass))
            continue;
        const real *in = learner_gradient(learner, pass, tensor) + row * columns;
        double factor = learner->factors[tensor * learner->tasks + pass];
        accumulate(out, in, shared, (real)factor, first);
        accumulate(out + shared, in + shared, columns - shared, (real)1, first);
        first = false;
    }
}

// The balanced sum over passes, into the first pass's place, and its squared norm.
void learner_dense_combine_work(void *self, size_t item, size_t worker) {
    (void)worker;
    struct learner *learner = self;
    struct dense_piece *piece = &learner->dense[item];
    size_t tensor = piece->tensor, columns = learner->model->tensors[tensor].columns;
    piece->combined = 0;
    if (!tensor_present(learner, tensor))
        return;
    if (learner_is_shared(learner, tensor) && learner->passes > 1)
        for (size_t r = piece->first; r < piece->first + piece->rows; r++)
            combine_row(learner, tensor, r);
    const real *sum = learner_gradient(learner, 0, tensor) + piece->first * columns;
    piece->combined = vector_dot(sum, sum, piece->rows * columns);
}

void learner_dense_decide(struct learner *learner) {
    size_t tensors = learner->model->tensor_count;
    memset(learner->scales, 0, tensors * sizeof *learner->scales);
    for (size_t i = 0; i < learner->dense_count; i++)
        learner->scales[learner->dense[i].tensor] += learner->dense[i].combined;
    for (size_t t = 0; t < tensors; t++) {
        double square = learner->scales[t], clip = learner->settings.gradient_clip;
        learner->scales[t] = 0;
        if (!tensor_present(learner, t))
            continue;
        if (!(square < LEARNER_SQUARE_MAX)) {
            learner->report->skipped_updates++;
            continue;
        }
        learner->scales[t] = sqrt(square) > clip ? clip / sqrt(square) : 1;
        learner->steps[t]++;
        learner->tensor_changed[t] = true;
    }
}

void learner_dense_step_work(void *self, size_t item, size_t worker) {
    (void)worker;
    struct learner *learner = self;
    const struct dense_piece *piece = &learner->dense[item];
    const struct model_tensor *tensor = &learner->model->tensors[piece->tensor];
    double scale = learner->scales[piece->tensor],
           rate = schedule_rate(&learner->settings, learner->settings.learning_rate, learner->step);
    if (!(scale > 0))
        return;
    size_t at = piece->first * tensor->columns, count = piece->rows * tensor->columns;
    size_t offset = learner->model->traits[piece->tensor].offset + at;
    const real *gradient = learner->gradients + offset;
    real *state = learner->state + offset;
    if (learner->settings.optimiser == LEARNER_ADAGRAD)
        optimise_adagrad(tensor->data + at, state, gradient, count, scale, rate);
    else
        optimise_adam(tensor->data + at, state, state + learner->model->weight_elements, gradient,
                      count, scale, rate, learner->steps[piece->tensor]);
}
