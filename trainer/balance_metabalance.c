// MetaBalance (He et al., WWW 2022): scales the gradients of auxiliary tasks on one shared block.
//
// For each block and task a moving average m of the gradient's norm, corrected for its start by its
// own count of updates: m <- beta m + (1 - beta) |G|. An auxiliary gradient is multiplied by
// r m_target / m_aux + 1 - r and added to the target's. A task without labels in a minibatch is
// left out: its averages stand still.
#include "trainer/balance.h"

static double average(const struct learner_settings *settings, const double *state) {
    return state[METABALANCE_MEAN] / (1 - pow(settings->beta, state[METABALANCE_COUNT]));
}

static double factor(const struct learner_settings *settings, double target, double auxiliary,
                     double norm) {
    if (settings->strategy == LEARNER_STRATEGY_A && !(auxiliary > target))
        return 1;
    if (settings->strategy == LEARNER_STRATEGY_B && !(auxiliary < target))
        return 1;
    double scale = settings->relax * (target / auxiliary) + (1 - settings->relax);
    double most = settings->balance_limit * target;
    if (target > 0 && norm > 0 && scale * norm > most)
        scale = most / norm;
    return scale;
}

void metabalance_weigh(const struct learner_settings *settings, const struct balance_view *view,
                       double *state, double *ret_coefficients) {
    const double *target = state + view->target * METABALANCE_STATE;
    for (size_t k = 0; k < view->tasks; k++) {
        double *mine = state + k * METABALANCE_STATE;
        if (!view->present[k])
            continue;
        double norm = sqrt(view->products[k * view->tasks + k]);
        mine[METABALANCE_MEAN] =
            settings->beta * mine[METABALANCE_MEAN] + (1 - settings->beta) * norm;
        mine[METABALANCE_COUNT] += 1;
    }
    if (!(target[METABALANCE_COUNT] > 0))
        return;
    for (size_t k = 0; k < view->tasks; k++) {
        const double *mine = state + k * METABALANCE_STATE;
        if (k == view->target || !view->present[k] || !(mine[METABALANCE_MEAN] > 0))
            continue;
        ret_coefficients[k] = factor(settings, average(settings, target), average(settings, mine),
                                     sqrt(view->products[k * view->tasks + k]));
    }
}
