// Effects, probabilities, and the measure that bounds what can be learnt.
#include "simulate/truth.h"

#include <math.h>

#include "base/hash.h"
#include "base/rng.h"

enum effect { OF_USER, OF_ITEM, OF_MATCH, OF_PLACE, OF_HOUR, EFFECTS };

// Shares of the logit's variance; they sum to 1.
static const double shares[EFFECTS] = {
    [OF_USER] = 0.25, [OF_ITEM] = 0.3, [OF_MATCH] = 0.25, [OF_PLACE] = 0.1, [OF_HOUR] = 0.1};

static const double turn = 6.283185307179586;

uint64_t truth_group(const struct truth_settings *settings, uint64_t user) {
    return hash_mix(user + 1) % settings->groups;
}

uint64_t truth_category(const struct truth_settings *settings, uint64_t item) {
    return hash_mix(item + 0x9e3779b97f4a7c15) % settings->categories;
}

// A standard normal that turns with event time. `part` tells the tasks' effects apart.
static double effect_of(const struct truth_settings *settings, uint64_t part, enum effect effect,
                        uint64_t id, int64_t time_ms) {
    uint64_t kind = part * EFFECTS + (uint64_t)effect;
    double first = rng_normal_at(settings->seed, kind, id, 0);
    if (settings->drift_period_ms == 0)
        return first;
    int64_t within = time_ms % settings->drift_period_ms;
    double angle = turn * (double)within / (double)settings->drift_period_ms;
    return cos(angle) * first + sin(angle) * rng_normal_at(settings->seed, kind, id, 1);
}

static double effects_sum(const struct truth_settings *settings, uint64_t part,
                          const struct truth_impression *at) {
    const uint64_t ids[EFFECTS] = {
        [OF_USER] = at->user,
        [OF_ITEM] = at->item,
        [OF_MATCH] = truth_group(settings, at->user) * settings->categories +
                     truth_category(settings, at->item),
        [OF_PLACE] = truth_category(settings, at->item) * 1024 + at->domain,
        [OF_HOUR] = (uint64_t)(at->event_time_ms / 3600000 % 24),
    };
    double sum = 0;
    for (int i = 0; i < EFFECTS; i++)
        sum +=
            sqrt(shares[i]) * effect_of(settings, part, (enum effect)i, ids[i], at->event_time_ms);
    return sum;
}

double truth_quality(const struct truth_settings *settings, const struct truth_impression *at) {
    double noise = rng_normal_at(settings->seed, 100, at->item, (uint64_t)at->event_time_ms);
    return effect_of(settings, 0, OF_ITEM, at->item, at->event_time_ms) + noise;
}

double truth_probability(const struct truth_settings *settings, enum truth_task task,
                         const struct truth_impression *at) {
    double p = task == TRUTH_CLICK ? 1 : settings->correlation;
    double sum = p * effects_sum(settings, 0, at);
    if (task == TRUTH_CONVERSION)
        sum += sqrt(1 - p * p) * effects_sum(settings, 1, at);
    return 1 / (1 + exp(-(settings->bias[task] + settings->spread * sum)));
}

static int case_compare(const void *left, const void *right) {
    const struct truth_case *a = left;
    const struct truth_case *b = right;
    return a->probability < b->probability ? -1 : a->probability > b->probability;
}

double truth_auc(struct truth_case *cases, size_t count) {
    double positives = 0;
    double negatives = 0;
    double below = 0; // pairs in which the positive stands higher
    if (count > 0)
        qsort(cases, count, sizeof(*cases), case_compare);
    for (size_t i = 0; i < count;) {
        double tied[2] = {0, 0};
        size_t j = i;
        for (; j < count && cases[j].probability <= cases[i].probability; j++)
            tied[cases[j].label != 0]++;
        below += tied[1] * (negatives + tied[0] / 2);
        negatives += tied[0];
        positives += tied[1];
        i = j;
    }
    return positives > 0 && negatives > 0 ? below / (positives * negatives) : NAN;
}
