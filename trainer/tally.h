// A tally of predictions against final labels: counts, sums in double, and a histogram of the
// log-odds of positives and negatives, of which the measures are made.
//
// AUC comes from the histogram by the trapezoid rule (ties, and predictions within one bin of 1/128
// in log-odds, count half). Bins are even in log-odds, not in probability: on rare tasks all
// probabilities fall into the first linear bins and the AUC is wrong by up to .2. All additions
// happen in the order of the calls, so equal streams give equal bits. The histogram takes 64 KiB,
// from the first addition on.
#ifndef FRESHET_TRAINER_TALLY_H
#define FRESHET_TRAINER_TALLY_H

#include "base/memory.h"
#include "base/wire.h"

#define TALLY_BINS 4096     // even steps of log-odds ...
#define TALLY_LOGIT_MAX 16. // ... within -16 .. 16; what lies beyond falls into the last

struct tally {
    uint64_t count, positives;
    double weight;    // sum w
    double observed;  // sum w y
    double predicted; // sum w p
    double loss;      // sum w l
    double *bins;     // [2][TALLY_BINS]: weight of negatives, of positives; NULL until the first
};

// One prediction and its final label, with what every tally adds of it.
struct tally_label {
    double logit, label, weight;
    double probability, loss; // natural logarithm
    bool positive;            // label above one half
};
// logit finite, label in [0, 1], weight finite and >= 0.
struct tally_label tally_label_of(double logit, double label, double weight);
double tally_sigmoid(double logit);

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

void tally_deinit(struct tally *tally);
void tally_clear(struct tally *tally); // keeps the histogram's memory
// Fails only for want of memory; never for a tally that was added to before.
CHECKED enum status tally_add(struct tally *tally, const struct tally_label *label,
                              struct error *err);
CHECKED enum status tally_reserve(struct tally *tally, struct error *err); // its histogram
void tally_merge(struct tally *into /* reserved */, const struct tally *from);
struct evaluate_measures tally_measures(const struct tally *tally);
// The log-odds at or above which this share of the weight lies, to one bin; -inf when empty.
double tally_top_logit(const struct tally *tally, double share);
// Natural logarithm; 0 for a rate outside (0, 1).
double tally_entropy(double rate);
void tally_save(const struct tally *tally, struct buffer *into);
// Into a cleared one; what is malformed sets in->bad. Fails only for want of memory.
CHECKED enum status tally_load(struct tally *tally, struct wire *in, struct error *err);

#endif
