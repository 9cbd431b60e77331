// All online measures of a trainer: tallies by task, domain and popularity (evaluate.h), AUC within
// users (user_auc.h), drift alarms (drift.h), and the popularity that buckets go by (popularity.h).
//
// What it never does: see a label before it is final, or twice; its caller sees to that.
#ifndef FRESHET_TRAINER_MEASURE_H
#define FRESHET_TRAINER_MEASURE_H

#include "trainer/drift.h"
#include "trainer/evaluate.h"
#include "trainer/popularity.h"
#include "trainer/user_auc.h"

struct measure_settings {
    struct evaluate_settings evaluate;
    struct popularity_settings popularity; // feature "" = no buckets
    struct drift_settings drift;
    size_t user_labels; // kept for AUC within users, a task; 0 = not measured
};

struct measure;

CHECKED enum status measure_new(const struct measure_settings *settings,
                                struct measure **ret_measure, struct error *err);
void measure_free(struct measure *measure); // NULL is fine
// The bucket of what is predicted now, by its popularity so far; counts it.
enum evaluate_bucket measure_see(struct measure *measure, uint64_t id);

struct measure_label {
    size_t task;
    uint32_t domain;
    enum evaluate_bucket bucket; // as measure_see said at the prediction
    uint64_t user;               // 0 = unknown
    int64_t event_time_ms;
    float logit, label, weight; // finite; label within [0, 1], weight >= 0
};
// Fails only for want of memory.
CHECKED enum status measure_add(struct measure *measure, const struct measure_label *label,
                                struct error *err);
struct evaluate *measure_evaluate(const struct measure *measure);
struct user_auc_measures measure_users(const struct measure *measure, size_t task);
const struct drift *measure_drift(const struct measure *measure, size_t task);
void measure_save(const struct measure *measure, struct buffer *into);
// Into a new one of the same settings. STATUS_CORRUPT, STATUS_CHANGED.
CHECKED enum status measure_load(struct measure *measure, struct wire *in, struct error *err);

#endif
