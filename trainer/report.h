// The online measures for readers: JSON in the weights log, a table for people, gauges for
// Prometheus.
#ifndef FRESHET_TRAINER_REPORT_H
#define FRESHET_TRAINER_REPORT_H

#include "base/metrics.h"
#include "record/spec.h"
#include "trainer/domains.h"
#include "trainer/evaluate.h"

struct report {
    struct evaluate *evaluate;
    const struct spec *spec;       // names of tasks
    const struct domains *domains; // names of domains
    size_t domain_count;           // domains with measures of their own, `unknown` included
};

// {"tasks":[{"task":"click","all":M,"domains":[{"domain":"1","measures":M}]}]} with
// M = {"ever":{"count":..,"positives":..,"auc":..,"auc_error":..,"logloss":..,
// "normalised_entropy":..,"calibration":..},"recent":{...}}; null where a measure has no value.
void report_json(const struct report *report, struct buffer *into);
// One line a task and domain: labels measured, positives, AUC with its standard error, NE,
// calibration.
void report_print(const struct report *report, FILE *stream);
// freshet_trainer_auc, _normalised_entropy, _calibration, _measured_labels by task, domain and
// window
// ("ever", "recent"). Domains without a label have no series.
void report_gauges(const struct report *report, struct metrics *metrics);

#endif
