// The online measures for readers: JSON in the weights log, a table for people, gauges for
// Prometheus.
#ifndef FRESHET_TRAINER_REPORT_H
#define FRESHET_TRAINER_REPORT_H

#include "base/metrics.h"
#include "record/spec.h"
#include "trainer/domains.h"
#include "trainer/measure.h"

struct learner;
struct report {
    struct evaluate *evaluate;
    const struct measure *measure; // AUC within users and drift; NULL = without
    const struct spec *spec;       // names of tasks
    const struct domains *domains; // names of domains
    size_t domain_count;           // domains with measures of their own, `unknown` included
    struct learner *learner;       // what has become of its rows; NULL = without
};

// {"tasks":[{"task":"click","all":M,"popularity":[{"bucket":"head","measures":M}],
// "users":{"auc":..,"auc_error":..,"users":..,"labels":..},
// "drift":{"normalised_entropy":{"adwin":ALARMS,"page_hinkley":ALARMS},"calibration":{..}},
// "domains":[{"domain":"1","measures":M,"popularity":[..]}]}],
// "tables":[..] as report_tables.h says} with
// M = {"ever":{"count":..,"positives":..,"auc":..,"auc_error":..,"logloss":..,
// "normalised_entropy":..,"calibration":..},"recent":{...}}; null where a measure has no value.
void report_json(const struct report *report, struct buffer *into);
// One line a task and domain, and by popularity: labels measured, positives, AUC with its standard
// error, NE, calibration.
void report_print(const struct report *report, FILE *stream);
// freshet_trainer_auc, _auc_error, _normalised_entropy, _calibration, _measured_labels and
// _measured_positives by task, domain and window ("ever", "recent"), those of head, torso and tail
// with a label `popularity`, NaN where a measure has no value; _user_auc and _drift_alarms_total.
// What has no label has no series.
void report_gauges(const struct report *report, struct metrics *metrics);

#endif
