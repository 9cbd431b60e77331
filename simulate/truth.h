// The known truth of the simulator: how likely an impression's click and conversion are.
//
// The logit of a task is its bias plus spread x (a weighted sum of standard normal effects: of the
// user, the item, the user's group with the item's category, the item with the domain, the hour).
// The conversion's effects are p x those of the click + sqrt(1 - p^2) x others of their own, so
// that p is the correlation of the two tasks' logits (the construction of MMoE's synthetic data, Ma
// et al., KDD 2018, section 3.2). Drift turns every effect, cos(t) e0 + sin(t) e1: its spread
// stays, its sign goes round once a period. Effects are pure functions of seed and ids: nothing is
// stored.
#ifndef FRESHET_SIMULATE_TRUTH_H
#define FRESHET_SIMULATE_TRUTH_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum truth_task { TRUTH_CLICK, TRUTH_CONVERSION, TRUTH_TASKS };

struct truth_settings {
    uint64_t seed;
    double correlation;          // p, -1 to 1
    double spread;               // standard deviation of the logits
    double bias[TRUTH_TASKS];    // logit at no effects
    int64_t drift_period_ms;     // 0 = none
    uint64_t groups, categories; // of users, of items
};
struct truth_impression {
    uint64_t user, item, domain;
    int64_t event_time_ms;
};
uint64_t truth_group(const struct truth_settings *settings, uint64_t user);
uint64_t truth_category(const struct truth_settings *settings, uint64_t item);
// A number that the impression carries: the item's own effect on clicks, with noise.
double truth_quality(const struct truth_settings *settings, const struct truth_impression *at);
double truth_probability(const struct truth_settings *settings, enum truth_task task,
                         const struct truth_impression *at);

// AUC of the true probabilities over drawn labels: no model can be expected to do better.
struct truth_case {
    float probability;
    uint8_t label;
};
// Sorts the cases. Ties count half (Mann-Whitney). NaN where one class is empty.
double truth_auc(struct truth_case *cases, size_t count);

#endif
