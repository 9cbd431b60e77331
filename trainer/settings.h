// Section `trainer` of the configuration.
#ifndef FRESHET_TRAINER_SETTINGS_H
#define FRESHET_TRAINER_SETTINGS_H

#include "record/spec.h"
#include "stage/runner.h"
#include "trainer/gate.h"
#include "trainer/learner.h"
#include "trainer/measure.h"

struct trainer_settings {
    const char *examples;        // topic read
    const char *weights;         // topic written, one partition
    int64_t publish_interval_ms; // between versions
    int64_t slice_bits;          // a version carries 1 / 2^slice_bits of all rows whole
    int64_t predict_rows;        // predictions made at once
    int64_t pending_max;         // impressions whose predictions wait for final labels
    int64_t batch_event_ms;      // a minibatch spans at most this much event time; 0 = any
    int64_t shuffle_rows;        // that wait to be learnt in a drawn order; 0 = learnt as they come
    int64_t measure_domains;     // domains with measures of their own
    int64_t measure_window_ms;   // recent measures: length of one window of event time ...
    int64_t measure_windows;     // ... and their number
    int64_t measure_user_labels; // kept for AUC within users, a task; 0 = not measured
    struct popularity_settings popularity;
    struct drift_settings drift;
    struct gate_settings gate;
    struct learner_settings learner;
    struct runner_settings runner;
};
extern const struct option_table trainer_options;

#define TRAINER_NO_COLUMN SIZE_MAX
// Column of the popularity feature among the categorical ones, TRAINER_NO_COLUMN where none is set.
size_t trainer_popularity_column(const struct trainer_settings *settings, const struct spec *spec);
// What the table cannot express. *ret_target: index of the balancer's target task, 0 where there is
// none. STATUS_INVALID naming the key.
CHECKED enum status trainer_settings_check(const struct trainer_settings *settings,
                                           const struct spec *spec, size_t *ret_target,
                                           struct error *err);

#endif
