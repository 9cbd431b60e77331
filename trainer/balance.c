// MetaBalance's averages and factors of one block.
#include "trainer/balance.h"

static double average(const struct balance_rule *rule, const struct balance_average *average) {
    return average->mean / (1 - pow(rule->beta, (double)average->count));
}

static double factor(const struct balance_rule *rule, double target, double auxiliary,
                     double norm) {
    if (rule->strategy == LEARNER_STRATEGY_A && !(auxiliary > target))
        return 1;
    if (rule->strategy == LEARNER_STRATEGY_B && !(auxiliary < target))
        return 1;
    double scale = rule->relax * (target / auxiliary) + (1 - rule->relax);
    double most = rule->limit * target;
    if (target > 0 && norm > 0 && scale * norm > most)
        scale = most / norm;
    return scale;
}

void balance_block(const struct balance_rule *rule, struct balance_average *averages,
                   const double *norms, const bool *present, size_t tasks, size_t target,
                   double *ret_factors) {
    for (size_t k = 0; k < tasks; k++) {
        if (!present[k])
            continue;
        averages[k].mean = rule->beta * averages[k].mean + (1 - rule->beta) * norms[k];
        averages[k].count++;
    }
    for (size_t k = 0; k < tasks; k++) {
        ret_factors[k] = 1;
        if (k == target || !present[k] || averages[target].count == 0)
            continue;
        double auxiliary = average(rule, &averages[k]);
        if (auxiliary > 0)
            ret_factors[k] = factor(rule, average(rule, &averages[target]), auxiliary, norms[k]);
    }
}
