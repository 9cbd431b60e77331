// Sums and a histogram, and what follows from them.
#include "trainer/tally.h"

#include <math.h>
#include <string.h>

void tally_deinit(struct tally *tally) {
    memory_free(tally->bins);
    *tally = (struct tally){0};
}

void tally_clear(struct tally *tally) {
    double *bins = tally->bins;
    if (bins != NULL && tally->count > 0)
        memset(bins, 0, 2 * TALLY_BINS * sizeof *bins);
    *tally = (struct tally){.bins = bins};
}

enum status tally_reserve(struct tally *tally, struct error *err) {
    if (tally->bins == NULL)
        tally->bins = memory_new(2 * TALLY_BINS, sizeof *tally->bins);
    return tally->bins != NULL
               ? STATUS_OK
               : error_no_memory(err, 2 * TALLY_BINS * sizeof(double), "a histogram");
}

static size_t bin_of(double logit) {
    double at = (logit + TALLY_LOGIT_MAX) * (TALLY_BINS / (2 * TALLY_LOGIT_MAX));
    if (at < 0)
        return 0;
    return at >= TALLY_BINS ? TALLY_BINS - 1 : (size_t)at;
}

// -y log p - (1 - y) log(1 - p) with p = sigmoid(z), without overflow.
static double cross_entropy(double logit, double label) {
    return log1p(exp(-fabs(logit))) + (logit > 0 ? logit : 0) - label * logit;
}

double tally_sigmoid(double logit) {
    return logit >= 0 ? 1 / (1 + exp(-logit)) : exp(logit) / (1 + exp(logit));
}

struct tally_label tally_label_of(double logit, double label, double weight) {
    return (struct tally_label){.logit = logit,
                                .label = label,
                                .weight = weight,
                                .probability = tally_sigmoid(logit),
                                .loss = cross_entropy(logit, label),
                                .positive = label > 0.5};
}

enum status tally_add(struct tally *tally, const struct tally_label *label, struct error *err) {
    enum status status = tally_reserve(tally, err);
    if (status != STATUS_OK)
        return status;
    tally->count++;
    tally->positives += label->positive ? 1 : 0;
    tally->weight += label->weight;
    tally->observed += label->weight * label->label;
    tally->predicted += label->weight * label->probability;
    tally->loss += label->weight * label->loss;
    tally->bins[(label->positive ? TALLY_BINS : 0) + bin_of(label->logit)] += label->weight;
    return STATUS_OK;
}

void tally_merge(struct tally *into, const struct tally *from) {
    if (from->count == 0)
        return;
    into->count += from->count;
    into->positives += from->positives;
    into->weight += from->weight;
    into->observed += from->observed;
    into->predicted += from->predicted;
    into->loss += from->loss;
    for (size_t i = 0; i < 2 * TALLY_BINS; i++)
        into->bins[i] += from->bins[i];
}

// The share of pairs in the right order, ties half: over bins from low to high log-odds.
static double auc_of(const struct tally *tally) {
    double below = 0, positives = 0, pairs = 0;
    for (size_t bin = 0; bin < TALLY_BINS; bin++) {
        double negative = tally->bins[bin], positive = tally->bins[TALLY_BINS + bin];
        pairs += positive * (below + negative / 2);
        below += negative;
        positives += positive;
    }
    return below > 0 && positives > 0 ? pairs / (below * positives) : (double)NAN;
}

// Standard error of an AUC (Hanley and McNeil, Radiology 143:29, 1982, eq. 1).
static double auc_error(double auc, double positives, double negatives) {
    double q1 = auc / (2 - auc), q2 = 2 * auc * auc / (1 + auc);
    double variance = (auc * (1 - auc) + (positives - 1) * (q1 - auc * auc) +
                       (negatives - 1) * (q2 - auc * auc)) /
                      (positives * negatives);
    return sqrt(variance > 0 ? variance : 0);
}

double tally_entropy(double rate) {
    return rate > 0 && rate < 1 ? -rate * log(rate) - (1 - rate) * log1p(-rate) : 0;
}

struct evaluate_measures tally_measures(const struct tally *tally) {
    struct evaluate_measures measures = {.count = tally->count,
                                         .positives = tally->positives,
                                         .weight = tally->weight,
                                         .auc = (double)NAN,
                                         .auc_error = (double)NAN,
                                         .logloss = (double)NAN,
                                         .normalised_entropy = (double)NAN,
                                         .calibration = (double)NAN};
    if (tally->count > 0)
        measures.auc = auc_of(tally);
    if (isfinite(measures.auc))
        measures.auc_error = auc_error(measures.auc, (double)tally->positives,
                                       (double)(tally->count - tally->positives));
    if (tally->weight > 0) {
        measures.logloss = tally->loss / tally->weight;
        measures.entropy = tally_entropy(tally->observed / tally->weight);
        if (measures.entropy > 0)
            measures.normalised_entropy = measures.logloss / measures.entropy;
    }
    if (tally->observed > 0)
        measures.calibration = tally->predicted / tally->observed;
    return measures;
}

double tally_top_logit(const struct tally *tally, double share) {
    double above = 0;
    for (size_t bin = tally->count > 0 ? TALLY_BINS : 0; bin-- > 0;) {
        above += tally->bins[bin] + tally->bins[TALLY_BINS + bin];
        if (above >= share * tally->weight)
            return (double)bin * (2 * TALLY_LOGIT_MAX / TALLY_BINS) - TALLY_LOGIT_MAX;
    }
    return -(double)INFINITY;
}

void tally_save(const struct tally *tally, struct buffer *into) {
    size_t filled = 0;
    for (size_t i = 0; tally->bins != NULL && i < 2 * TALLY_BINS; i++)
        filled += tally->bins[i] > 0 ? 1 : 0;
    wire_put_long(into, (int64_t)tally->count);
    wire_put_long(into, (int64_t)tally->positives);
    wire_put_double(into, tally->weight);
    wire_put_double(into, tally->observed);
    wire_put_double(into, tally->predicted);
    wire_put_double(into, tally->loss);
    wire_put_long(into, (int64_t)filled);
    for (size_t i = 0; filled > 0 && i < 2 * TALLY_BINS; i++) {
        if (tally->bins[i] > 0) {
            wire_put_long(into, (int64_t)i);
            wire_put_double(into, tally->bins[i]);
        }
    }
}

enum status tally_load(struct tally *tally, struct wire *in, struct error *err) {
    enum status status = tally_reserve(tally, err);
    if (status != STATUS_OK)
        return status;
    tally->count = (uint64_t)wire_get_long(in);
    tally->positives = (uint64_t)wire_get_long(in);
    tally->weight = wire_get_double(in);
    tally->observed = wire_get_double(in);
    tally->predicted = wire_get_double(in);
    tally->loss = wire_get_double(in);
    int64_t filled = wire_get_long(in);
    for (int64_t i = 0; i < filled && !in->bad; i++) {
        int64_t bin = wire_get_long(in);
        double weight = wire_get_double(in);
        if (bin < 0 || bin >= 2 * TALLY_BINS)
            in->bad = true;
        else
            tally->bins[bin] = weight;
    }
    return STATUS_OK;
}
