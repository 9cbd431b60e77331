// A contest of several configurations over one stream: what each predicted, measured on the same
// labels, with paired intervals.
//
// What it owns: for each run (a configuration with one seed), task and part of the stream a tally,
// and the same sums under `replicates` Poisson(1) weights, which stand for bootstrap samples. The
// weight of a label depends on hash(user, replicate) alone: all configurations get the same
// samples, so the spread of a difference is that of the difference (the labels of a user go
// together). The stream is cut into two parts at `split_ms`, so that configurations are chosen on
// one and reported on the other. Memory is bounded by the settings: 1.6 MB for each run, task and
// part at 200 replicates, and 64 KiB for each run, task and window.
//
// One thread a run may add at the same time.
#ifndef FRESHET_COMPARE_CONTEST_H
#define FRESHET_COMPARE_CONTEST_H

#include "trainer/tally.h"

#define CONTEST_PARTS 2
#define CONTEST_NO_SPLIT INT64_MAX // everything is in the first part

struct contest_settings {
    size_t configs, seeds, tasks;
    size_t replicates; // 0 = no intervals
    int64_t split_ms;  // event time at which the second part begins, or CONTEST_NO_SPLIT
    int64_t window_ms; // of AUC over time
};

struct contest;

CHECKED enum status contest_new(const struct contest_settings *settings,
                                struct contest **ret_contest, struct error *err);
void contest_free(struct contest *contest); // NULL is fine
const struct contest_settings *contest_settings_of(const struct contest *contest);

struct contest_label {
    size_t task;
    uint64_t unit; // who is drawn: the user
    int64_t event_time_ms;
    struct tally_label of;
};
// run = configuration x seeds + seed. STATUS_EXHAUSTED: memory is out, or there are more than 4,096
// windows.
CHECKED enum status contest_add(struct contest *contest, size_t run,
                                const struct contest_label *label, struct error *err);

// A measure with its 95 % interval (percentiles of the replicates); NaN where there is none.
struct contest_value {
    double value, low, high;
};
struct contest_result {
    uint64_t count, positives;         // of one seed
    struct contest_value auc, entropy; // means over seeds; entropy: normalised
    double calibration;
    double auc_spread; // standard deviation over seeds; NaN with one
    struct contest_value auc_difference, entropy_difference; // to the first configuration, paired
};
// Fails only for want of memory.
CHECKED enum status contest_result(const struct contest *contest, size_t part, size_t task,
                                   size_t config, struct contest_result *ret_result,
                                   struct error *err);
// Windows with labels of any run, in order of time. Index < contest_window_count.
size_t contest_window_count(const struct contest *contest);
int64_t contest_window_begin(const struct contest *contest, size_t index); // ms
// Mean over seeds; NaN without both classes.
double contest_window_auc(const struct contest *contest, size_t task, size_t config, size_t index);
// The configuration with the greatest AUC, mean over tasks, in the first part.
size_t contest_chosen(const struct contest *contest);
// Poisson(1) draw of a unit in a replicate: 0, 1, ... 9.
unsigned contest_draw(uint64_t unit, size_t replicate);

#endif
