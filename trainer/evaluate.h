// Online measures: AUC, normalised entropy and calibration by task and domain.
//
// What it owns: for each task x domain, and for all domains together, one tally since the beginning
// and one for each of the newest `windows` windows of event time. A tally holds counts, sums in
// double and a histogram of the log-odds of positives and negatives.
//
// How it works: AUC comes from the histogram by the trapezoid rule (ties, and predictions within
// one bin of 1/128 in log-odds, count half). Bins are even in log-odds, not in probability: on rare
// tasks all probabilities fall into the first linear bins and the AUC is wrong by up to .2. All
// additions happen in the order of the calls, so equal streams give equal bits.
//
// What it never does: see a label before it is final, or count a label twice; its caller sees to
// that.
#ifndef FRESHET_TRAINER_EVALUATE_H
#define FRESHET_TRAINER_EVALUATE_H

#include "base/memory.h"
#include "base/wire.h"

#define EVALUATE_ALL UINT32_MAX // all domains together

struct evaluate_settings {
    size_t tasks;
    size_t domains;    // domain indices 0 .. domains - 1 get tallies of their own
    int64_t window_ms; // > 0
    size_t windows;    // >= 1; the windowed measures span windows x window_ms of event time
};

struct evaluate;

struct evaluate_measures {
    uint64_t count, positives; // measured labels; those above one half
    double weight;             // sum of the weights
    double auc;                // NaN without both classes
    double auc_error;          // standard error (Hanley and McNeil 1982), NaN with it
    double logloss;            // weighted mean, natural logarithm; NaN when empty
    double entropy;            // of the base rate, natural logarithm
    double normalised_entropy; // logloss / entropy (He et al. 2014); NaN where the entropy is 0
    double calibration;        // predicted / observed positives; NaN without positives
};

CHECKED enum status evaluate_new(const struct evaluate_settings *settings,
                                 struct evaluate **ret_evaluate, struct error *err);
void evaluate_free(struct evaluate *evaluate); // NULL is fine
// One prediction and its final label in [0, 1]. logit and weight are finite, weight >= 0. A domain
// index beyond those with own tallies counts for all domains only. Fails only for want of memory.
CHECKED enum status evaluate_add(struct evaluate *evaluate, size_t task, uint32_t domain,
                                 int64_t event_time_ms, double logit, double label, double weight,
                                 struct error *err);
// Of a task and domain (or EVALUATE_ALL), since the beginning or over the newest windows.
void evaluate_measure(struct evaluate *evaluate, size_t task, uint32_t domain, bool windowed,
                      struct evaluate_measures *ret_measures);
void evaluate_save(const struct evaluate *evaluate, struct buffer *into);
// Into a new one of the same settings. STATUS_CORRUPT, STATUS_CHANGED (other settings).
CHECKED enum status evaluate_load(struct evaluate *evaluate, struct wire *in, struct error *err);

#endif
