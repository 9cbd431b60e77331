// Methods that look at losses alone: uncertainty, DWA, FAMO. Their weights act on shared gradients
// like all others' do; towers keep their plain loss.
#include "trainer/balance.h"

#define LOSS_FLOOR 1e-8     // under a loss that is divided by, or whose logarithm is taken
#define UNCERTAINTY_STEP 1. // most of a slope: one wild loss must not put a task to sleep

// Kendall et al. 2018, eq. 10 with s = log sigma^2: s falls along the slope of e^-s L + s / 2,
// which ends at e^-s = 1 / (2 L). State: s.
void uncertainty_weigh(const struct learner_settings *settings, const struct balance_view *view,
                       double *state, double *ret_coefficients) {
    for (size_t k = 0; k < view->tasks; k++) {
        if (!view->present[k])
            continue;
        ret_coefficients[k] = exp(-state[k]);
        double slope = 0.5 - ret_coefficients[k] * view->loss[k];
        state[k] -= settings->balance_rate * fmax(slope, -UNCERTAINTY_STEP);
    }
}

// softmax over the tasks present of exponents[k], in place.
static void softmax_present(const struct balance_view *view, double *exponents) {
    double most = -INFINITY, sum = 0;
    for (size_t k = 0; k < view->tasks; k++)
        if (view->present[k])
            most = fmax(most, exponents[k]);
    for (size_t k = 0; k < view->tasks; k++) {
        exponents[k] = view->present[k] ? exp(exponents[k] - most) : 0;
        sum += exponents[k];
    }
    for (size_t k = 0; k < view->tasks; k++)
        exponents[k] /= sum;
}

// Liu et al. 2019, eq. 7: n softmax(r / T), r the ratio of a task's mean loss in the last window of
// its steps to that of the window before; 1 until there are two. A window counts the steps in which
// the task has labels.
void dwa_weigh(const struct learner_settings *settings, const struct balance_view *view,
               double *state, double *ret_coefficients) {
    double ratios[MODEL_TASKS_MAX] = {0}, present = 0;
    for (size_t k = 0; k < view->tasks; k++) {
        const double *mine = state + k * DWA_STATE;
        bool known = mine[DWA_STEPS] >= 2 && mine[DWA_BEFORE] > LOSS_FLOOR;
        ratios[k] = (known ? mine[DWA_LAST] / mine[DWA_BEFORE] : 1) / settings->temperature;
        present += view->present[k];
    }
    softmax_present(view, ratios);
    for (size_t k = 0; k < view->tasks; k++) {
        double *mine = state + k * DWA_STATE;
        if (!view->present[k])
            continue;
        ret_coefficients[k] = present * ratios[k];
        mine[DWA_SUM] += view->loss[k];
        mine[DWA_COUNT] += 1;
        if (mine[DWA_COUNT] < (double)settings->balance_window)
            continue;
        mine[DWA_BEFORE] = mine[DWA_LAST];
        mine[DWA_LAST] = mine[DWA_SUM] / mine[DWA_COUNT];
        mine[DWA_STEPS] += 1;
        mine[DWA_SUM] = mine[DWA_COUNT] = 0;
    }
}

static double floored(double loss) {
    return loss > LOSS_FLOOR ? loss : LOSS_FLOOR;
}

// Liu et al. 2023, algorithm 1: weights z_k / L_k over their sum, z = softmax(w). State: w.
void famo_weigh(const struct learner_settings *settings, const struct balance_view *view,
                double *state, double *ret_coefficients) {
    (void)settings;
    double z[MODEL_TASKS_MAX], sum = 0, present = 0;
    for (size_t k = 0; k < view->tasks; k++)
        z[k] = state[k];
    softmax_present(view, z);
    for (size_t k = 0; k < view->tasks; k++) {
        sum += z[k] / floored(view->loss[k]);
        present += view->present[k];
    }
    for (size_t k = 0; k < view->tasks; k++)
        if (view->present[k])
            ret_coefficients[k] = present * z[k] / floored(view->loss[k]) / sum;
}

// w falls along the softmax's derivative of log L before less log L after, and decays.
void famo_after(const struct learner_settings *settings, const struct balance_view *view,
                const double *losses, double *state) {
    double z[MODEL_TASKS_MAX], gain[MODEL_TASKS_MAX] = {0}, mean = 0;
    for (size_t k = 0; k < view->tasks; k++)
        z[k] = state[k];
    softmax_present(view, z);
    for (size_t k = 0; k < view->tasks; k++) {
        if (!view->present[k])
            continue;
        gain[k] = log(floored(view->loss[k])) - log(floored(losses[k]));
        mean += z[k] * gain[k];
    }
    if (!isfinite(mean))
        return;
    for (size_t k = 0; k < view->tasks; k++)
        if (view->present[k])
            state[k] -= settings->balance_rate *
                        (z[k] * (gain[k] - mean) + settings->balance_decay * state[k]);
}
