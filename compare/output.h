// A contest's results for people and programs: a table, CSV, JSON, and a picture of AUC over time.
#ifndef FRESHET_COMPARE_OUTPUT_H
#define FRESHET_COMPARE_OUTPUT_H

#include "compare/contest.h"

struct output_names {
    const char *const *configs, *const *tasks;
    const double *seconds; // [configs] of predicting and learning
    uint64_t records;      // read
};

// One block a part and task, one line a configuration: AUC with its interval, normalised entropy,
// calibration, and the paired differences to the first configuration.
CHECKED enum status output_table(const struct contest *contest, const struct output_names *names,
                                 FILE *stream, struct error *err);
// One line a part, task and configuration, with a header.
CHECKED enum status output_csv(const struct contest *contest, const struct output_names *names,
                               struct buffer *into, struct error *err);
// {"configs":[{"config":..,"seconds":..}],"results":[{"part":..,"task":..,"config":..,
// "auc":{"value":..,"low":..,"high":..},...}],"windows":[{"begin_ms":..,"task":..,"auc":[..]}]}
CHECKED enum status output_json(const struct contest *contest, const struct output_names *names,
                                struct buffer *into, struct error *err);
// SVG: AUC over event time, one panel a task, one line a configuration.
void output_svg(const struct contest *contest, const struct output_names *names,
                struct buffer *into);

#endif
