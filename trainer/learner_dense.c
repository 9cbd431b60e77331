// Dense tensors after the backward passes: norms, balancing, the combined gradient, the step.
#include "trainer/learner_inside.h"

#include <string.h>

#include "model/vector.h"
#include "trainer/optimise.h"

static bool is_shared(const struct learner *learner, size_t tensor) {
    const struct tensor_traits *traits = &learner->model->traits[tensor];
    return traits->role == TENSOR_WEIGHT && traits->task == NETWORK_NONE;
}

bool learner_pass_present(const struct learner *learner, size_t tensor, size_t pass) {
    size_t domain = learner->model->traits[tensor].domain;
    if (!learner->active_passes[pass] || domain == NETWORK_NONE)
        return learner->active_passes[pass];
    const bool *labelled = learner->domain_labelled + domain * learner->tasks;
    if (!learner->summed)
        return labelled[pass];
    for (size_t k = 0; k < learner->tasks; k++)
        if (labelled[k])
            return true;
    return false;
}

// Whether the tensor has a gradient in this step at all.
static bool tensor_present(const struct learner *learner, size_t tensor) {
    const struct tensor_traits *traits = &learner->model->traits[tensor];
    if (traits->role != TENSOR_WEIGHT)
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

// Squared norms of each pass's gradient of a shared tensor, and dots with the target's.
void learner_dense_norm_work(void *self, size_t item, size_t worker) {
    (void)worker;
    struct learner *learner = self;
    struct dense_piece *piece = &learner->dense[item];
    size_t tensor = piece->tensor, columns = learner->model->tensors[tensor].columns;
    size_t shared = learner->model->traits[tensor].shared_columns;
    if (!is_shared(learner, tensor))
        return;
    bool target = learner_pass_present(learner, tensor, learner->target);
    for (size_t pass = 0; pass < learner->passes; pass++) {
        piece->norm[pass] = piece->dot[pass] = 0;
        if (!learner_pass_present(learner, tensor, pass))
            continue;
        for (size_t r = piece->first; r < piece->first + piece->rows; r++) {
            const real *row = learner_gradient(learner, pass, tensor) + r * columns;
            piece->norm[pass] += vector_dot(row, row, shared);
            if (target && pass != learner->target)
                piece->dot[pass] += vector_dot(
                    row, learner_gradient(learner, learner->target, tensor) + r * columns, shared);
        }
    }
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
    if (is_shared(learner, tensor) && learner->passes > 1)
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
    double scale = learner->scales[piece->tensor], rate = learner->settings.learning_rate;
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

struct totals {
    double square[MODEL_TASKS_MAX], dot[MODEL_TASKS_MAX], applied[MODEL_TASKS_MAX];
    size_t blocks[MODEL_TASKS_MAX];
};

static void balance_one(struct learner *learner, size_t block, const double *squares,
                        const double *dots, const bool *present, struct totals *totals) {
    const struct balance_rule rule = {
        .strategy = learner->settings.strategy,
        .relax = learner->settings.relax,
        .beta = learner->settings.beta,
        .limit = learner->settings.balance_limit,
    };
    double norms[MODEL_TASKS_MAX], *factors = learner->factors + block * learner->tasks;
    bool usable[MODEL_TASKS_MAX];
    for (size_t k = 0; k < learner->tasks; k++) {
        norms[k] = sqrt(squares[k]);
        // An overflowing gradient must not enter an average for good.
        usable[k] = present[k] && squares[k] < LEARNER_SQUARE_MAX;
    }
    balance_block(&rule, learner->averages + block * learner->tasks, norms, usable, learner->tasks,
                  learner->target, factors);
    for (size_t k = 0; k < learner->tasks; k++) {
        if (!usable[k])
            continue;
        totals->square[k] += squares[k];
        totals->dot[k] += k == learner->target ? squares[k] : dots[k];
        totals->applied[k] += factors[k];
        totals->blocks[k]++;
    }
}

static void balance_tensors(struct learner *learner, struct totals *totals) {
    for (size_t i = 0; i < learner->dense_count;) {
        size_t tensor = learner->dense[i].tensor;
        double squares[MODEL_TASKS_MAX] = {0}, dots[MODEL_TASKS_MAX] = {0};
        bool present[MODEL_TASKS_MAX], shared = is_shared(learner, tensor);
        for (; i < learner->dense_count && learner->dense[i].tensor == tensor; i++)
            for (size_t k = 0; shared && k < learner->tasks; k++) {
                squares[k] += learner->dense[i].norm[k];
                dots[k] += learner->dense[i].dot[k];
            }
        for (size_t k = 0; shared && k < learner->tasks; k++)
            present[k] = learner_pass_present(learner, tensor, k);
        if (shared)
            balance_one(learner, tensor, squares, dots, present, totals);
    }
}

static void balance_tables(struct learner *learner, struct totals *totals) {
    for (size_t i = 0; i < learner->row_count;) {
        size_t table = learner->rows[i].table;
        double squares[MODEL_TASKS_MAX] = {0}, dots[MODEL_TASKS_MAX] = {0};
        for (; i < learner->row_count && learner->rows[i].table == table; i++)
            for (size_t k = 0; k < learner->tasks; k++) {
                squares[k] += learner->rows[i].norm[k];
                dots[k] += learner->rows[i].dot[k];
            }
        balance_one(learner, learner_table_block(learner, table), squares, dots, learner->active,
                    totals);
    }
}

void learner_balance(struct learner *learner) {
    struct totals totals = {0};
    balance_tensors(learner, &totals);
    balance_tables(learner, &totals);
    double target = totals.square[learner->target];
    for (size_t k = 0; k < learner->tasks; k++) {
        double both = sqrt(totals.square[k] * target);
        learner->report->norm[k] = sqrt(totals.square[k]);
        learner->report->cosine[k] = both > 0 ? totals.dot[k] / both : 0;
        learner->report->applied[k] =
            totals.blocks[k] ? totals.applied[k] / (double)totals.blocks[k] : 1;
    }
}
