// Tallies of predictions against final labels, and the measures made of them.
#include "trainer/evaluate.h"

#include <math.h>
#include <string.h>

enum { BINS = 4096 };
static const double LOGIT_MAX = 16.0; // bins span -16 .. 16; what lies beyond falls into the last

struct tally {
    uint64_t count, positives;
    double weight;    // sum w
    double observed;  // sum w y
    double predicted; // sum w p
    double loss;      // sum w l
    double *bins;     // [2][BINS]: weight of negatives, of positives; NULL until the first
};

struct evaluate {
    struct evaluate_settings settings;
    struct tally
        *tallies; // [task][domains + 1][1 + windows]; last domain = all, first tally = ever
    size_t tally_count;
    bool started;          // newest_window means something
    int64_t newest_window; // event time / window_ms, floored
    struct tally merged;   // scratch for windowed measures
};

static size_t tally_at(const struct evaluate *evaluate, size_t task, size_t column, size_t place) {
    const struct evaluate_settings *settings = &evaluate->settings;
    return (task * (settings->domains + 1) + column) * (1 + settings->windows) + place;
}

// The ring's place of a window: 1 .. windows.
static size_t window_place(const struct evaluate *evaluate, int64_t window) {
    int64_t windows = (int64_t)evaluate->settings.windows;
    return 1 + (size_t)(((window % windows) + windows) % windows);
}

// Floored; times beyond any calendar are held back so that differences of windows fit.
static int64_t window_of(const struct evaluate *evaluate, int64_t event_time_ms) {
    const int64_t limit = INT64_C(1) << 60;
    int64_t length = evaluate->settings.window_ms;
    if (event_time_ms > limit || event_time_ms < -limit)
        event_time_ms = event_time_ms > 0 ? limit : -limit;
    return event_time_ms / length - (event_time_ms % length < 0 ? 1 : 0);
}

enum status evaluate_new(const struct evaluate_settings *settings, struct evaluate **ret_evaluate,
                         struct error *err) {
    REQUIRE(settings->window_ms > 0);
    REQUIRE(settings->windows >= 1);
    struct evaluate *evaluate = memory_new(1, sizeof *evaluate);
    if (evaluate == NULL)
        return error_no_memory(err, sizeof *evaluate, "measures");
    evaluate->settings = *settings;
    evaluate->tally_count = settings->tasks * (settings->domains + 1) * (1 + settings->windows);
    evaluate->tallies = memory_new(evaluate->tally_count, sizeof *evaluate->tallies);
    evaluate->merged.bins = memory_new(2 * BINS, sizeof *evaluate->merged.bins);
    if (evaluate->tallies == NULL || evaluate->merged.bins == NULL) {
        evaluate_free(evaluate);
        return error_no_memory(err, settings->tasks * sizeof(struct tally), "measures");
    }
    *ret_evaluate = evaluate;
    return STATUS_OK;
}

void evaluate_free(struct evaluate *evaluate) {
    if (evaluate == NULL)
        return;
    if (evaluate->tallies != NULL)
        for (size_t i = 0; i < evaluate->tally_count; i++)
            memory_free(evaluate->tallies[i].bins);
    memory_free(evaluate->tallies);
    memory_free(evaluate->merged.bins);
    memory_free(evaluate);
}

static void tally_clear(struct tally *tally) {
    double *bins = tally->bins;
    if (bins != NULL)
        memset(bins, 0, 2 * BINS * sizeof *bins);
    *tally = (struct tally){.bins = bins};
}

// Makes `window` the newest, emptying the places that it and the skipped ones take.
static void window_advance(struct evaluate *evaluate, int64_t window) {
    const struct evaluate_settings *settings = &evaluate->settings;
    int64_t windows = (int64_t)settings->windows;
    int64_t first = evaluate->newest_window + 1;
    if (!evaluate->started || window - evaluate->newest_window > windows)
        first = window - windows + 1;
    for (int64_t w = first; w <= window; w++)
        for (size_t task = 0; task < settings->tasks; task++)
            for (size_t column = 0; column <= settings->domains; column++)
                tally_clear(&evaluate->tallies[tally_at(evaluate, task, column,
                                                        window_place(evaluate, w))]);
    evaluate->started = true;
    evaluate->newest_window = window;
}

static size_t bin_of(double logit) {
    double at = (logit + LOGIT_MAX) * (BINS / (2 * LOGIT_MAX));
    if (at < 0)
        return 0;
    return at >= BINS ? BINS - 1 : (size_t)at;
}

// -y log p - (1 - y) log(1 - p) with p = sigmoid(z), without overflow.
static double cross_entropy(double logit, double label) {
    return log1p(exp(-fabs(logit))) + (logit > 0 ? logit : 0) - label * logit;
}

static double sigmoid(double logit) {
    return logit >= 0 ? 1 / (1 + exp(-logit)) : exp(logit) / (1 + exp(logit));
}

// What one label adds to each of its tallies.
struct addition {
    double weight, label, probability, loss;
    size_t bin; // positives lie behind the negatives
    bool positive;
};

static enum status tally_add(struct tally *tally, const struct addition *addition,
                             struct error *err) {
    if (tally->bins == NULL) {
        tally->bins = memory_new(2 * BINS, sizeof *tally->bins);
        if (tally->bins == NULL)
            return error_no_memory(err, 2 * BINS * sizeof(double), "a histogram");
    }
    tally->count++;
    tally->positives += addition->positive ? 1 : 0;
    tally->weight += addition->weight;
    tally->observed += addition->weight * addition->label;
    tally->predicted += addition->weight * addition->probability;
    tally->loss += addition->weight * addition->loss;
    tally->bins[addition->bin] += addition->weight;
    return STATUS_OK;
}

enum status evaluate_add(struct evaluate *evaluate, size_t task, uint32_t domain,
                         int64_t event_time_ms, double logit, double label, double weight,
                         struct error *err) {
    const struct evaluate_settings *settings = &evaluate->settings;
    REQUIRE(task < settings->tasks);
    int64_t window = window_of(evaluate, event_time_ms);
    if (!evaluate->started || window > evaluate->newest_window)
        window_advance(evaluate, window);
    bool recent = window > evaluate->newest_window - (int64_t)settings->windows;
    struct addition addition = {.weight = weight,
                                .label = label,
                                .probability = sigmoid(logit),
                                .loss = cross_entropy(logit, label),
                                .positive = label > 0.5};
    addition.bin = (addition.positive ? BINS : 0) + bin_of(logit);
    size_t columns[2] = {settings->domains, domain};
    size_t column_count = domain < settings->domains ? 2 : 1;
    for (size_t i = 0; i < column_count; i++) {
        struct tally *ever = &evaluate->tallies[tally_at(evaluate, task, columns[i], 0)];
        enum status status = tally_add(ever, &addition, err);
        if (status != STATUS_OK)
            return status;
        if (!recent)
            continue;
        size_t place = window_place(evaluate, window);
        struct tally *windowed = &evaluate->tallies[tally_at(evaluate, task, columns[i], place)];
        status = tally_add(windowed, &addition, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static void tally_merge(struct tally *into, const struct tally *from) {
    if (from->count == 0)
        return;
    into->count += from->count;
    into->positives += from->positives;
    into->weight += from->weight;
    into->observed += from->observed;
    into->predicted += from->predicted;
    into->loss += from->loss;
    for (size_t i = 0; i < 2 * BINS; i++)
        into->bins[i] += from->bins[i];
}

// The share of pairs in the right order, ties half: over bins from low to high log-odds.
static double tally_auc(const struct tally *tally) {
    double below = 0, positives = 0, pairs = 0;
    for (size_t bin = 0; bin < BINS; bin++) {
        double negative = tally->bins[bin], positive = tally->bins[BINS + bin];
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

void evaluate_measure(struct evaluate *evaluate, size_t task, uint32_t domain, bool windowed,
                      struct evaluate_measures *ret_measures) {
    const struct evaluate_settings *settings = &evaluate->settings;
    REQUIRE(task < settings->tasks);
    size_t column = domain == EVALUATE_ALL ? settings->domains : domain;
    REQUIRE(column <= settings->domains);
    const struct tally *tally = &evaluate->tallies[tally_at(evaluate, task, column, 0)];
    if (windowed) {
        tally_clear(&evaluate->merged);
        for (size_t i = 0; evaluate->started && i < settings->windows; i++) {
            int64_t window = evaluate->newest_window - (int64_t)(settings->windows - 1 - i);
            size_t place = window_place(evaluate, window);
            tally_merge(&evaluate->merged,
                        &evaluate->tallies[tally_at(evaluate, task, column, place)]);
        }
        tally = &evaluate->merged;
    }
    struct evaluate_measures measures = {.count = tally->count,
                                         .positives = tally->positives,
                                         .weight = tally->weight,
                                         .auc = (double)NAN,
                                         .auc_error = (double)NAN,
                                         .logloss = (double)NAN,
                                         .normalised_entropy = (double)NAN,
                                         .calibration = (double)NAN};
    if (tally->count > 0)
        measures.auc = tally_auc(tally);
    if (isfinite(measures.auc))
        measures.auc_error = auc_error(measures.auc, (double)tally->positives,
                                       (double)(tally->count - tally->positives));
    if (tally->weight > 0) {
        double rate = tally->observed / tally->weight;
        measures.logloss = tally->loss / tally->weight;
        if (rate > 0 && rate < 1)
            measures.entropy = -rate * log(rate) - (1 - rate) * log1p(-rate);
        if (measures.entropy > 0)
            measures.normalised_entropy = measures.logloss / measures.entropy;
    }
    if (tally->observed > 0)
        measures.calibration = tally->predicted / tally->observed;
    *ret_measures = measures;
}

static void tally_save(const struct tally *tally, size_t at, struct buffer *into) {
    size_t filled = 0;
    for (size_t i = 0; i < 2 * BINS; i++)
        filled += tally->bins[i] > 0 ? 1 : 0;
    wire_put_long(into, (int64_t)at);
    wire_put_long(into, (int64_t)tally->count);
    wire_put_long(into, (int64_t)tally->positives);
    wire_put_double(into, tally->weight);
    wire_put_double(into, tally->observed);
    wire_put_double(into, tally->predicted);
    wire_put_double(into, tally->loss);
    wire_put_long(into, (int64_t)filled);
    for (size_t i = 0; i < 2 * BINS; i++) {
        if (tally->bins[i] > 0) {
            wire_put_long(into, (int64_t)i);
            wire_put_double(into, tally->bins[i]);
        }
    }
}

void evaluate_save(const struct evaluate *evaluate, struct buffer *into) {
    const struct evaluate_settings *settings = &evaluate->settings;
    wire_put_long(into, (int64_t)settings->tasks);
    wire_put_long(into, (int64_t)settings->domains);
    wire_put_long(into, settings->window_ms);
    wire_put_long(into, (int64_t)settings->windows);
    wire_put_long(into, evaluate->started ? 1 : 0);
    wire_put_long(into, evaluate->newest_window);
    size_t filled = 0;
    for (size_t i = 0; i < evaluate->tally_count; i++)
        filled += evaluate->tallies[i].count > 0 ? 1 : 0;
    wire_put_long(into, (int64_t)filled);
    for (size_t i = 0; i < evaluate->tally_count; i++)
        if (evaluate->tallies[i].count > 0)
            tally_save(&evaluate->tallies[i], i, into);
}

static enum status tally_load(struct evaluate *evaluate, struct wire *in, struct error *err) {
    int64_t at = wire_get_long(in);
    if (in->bad || at < 0 || (size_t)at >= evaluate->tally_count) {
        in->bad = true;
        return STATUS_OK;
    }
    struct tally *tally = &evaluate->tallies[at];
    tally->count = (uint64_t)wire_get_long(in);
    tally->positives = (uint64_t)wire_get_long(in);
    tally->weight = wire_get_double(in);
    tally->observed = wire_get_double(in);
    tally->predicted = wire_get_double(in);
    tally->loss = wire_get_double(in);
    if (tally->bins == NULL)
        tally->bins = memory_new(2 * BINS, sizeof *tally->bins);
    if (tally->bins == NULL)
        return error_no_memory(err, 2 * BINS * sizeof(double), "a histogram");
    int64_t filled = wire_get_long(in);
    for (int64_t i = 0; i < filled && !in->bad; i++) {
        int64_t bin = wire_get_long(in);
        double weight = wire_get_double(in);
        if (bin < 0 || bin >= 2 * BINS)
            in->bad = true;
        else
            tally->bins[bin] = weight;
    }
    return STATUS_OK;
}

enum status evaluate_load(struct evaluate *evaluate, struct wire *in, struct error *err) {
    const struct evaluate_settings *settings = &evaluate->settings;
    bool same = wire_get_long(in) == (int64_t)settings->tasks;
    same &= wire_get_long(in) == (int64_t)settings->domains;
    same &= wire_get_long(in) == settings->window_ms;
    same &= wire_get_long(in) == (int64_t)settings->windows;
    if (!in->bad && !same)
        return error_set(err, STATUS_CHANGED,
                         "could not read the measures: saved with other tasks, domains or windows");
    evaluate->started = wire_get_long(in) != 0;
    evaluate->newest_window = wire_get_long(in);
    int64_t filled = wire_get_long(in);
    for (int64_t i = 0; i < filled && !in->bad; i++) {
        enum status status = tally_load(evaluate, in, err);
        if (status != STATUS_OK)
            return status;
    }
    if (in->bad || filled < 0)
        return error_set(err, STATUS_CORRUPT, "could not read the measures: malformed");
    return STATUS_OK;
}
