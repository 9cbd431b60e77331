// The two detectors, and the blocks of labels that feed them.
#include "trainer/drift.h"

#include <math.h>
#include <string.h>

#define FIELD(name) offsetof(struct drift_settings, name)
static const struct option options[] = {
    {.key = "block_positives",
     .type = OPTION_REAL,
     .offset = FIELD(block_positives),
     .default_text = "16",
     .minimum = 0,
     .maximum = 1e6,
     .help = "A block of labels closes when the sum of min(p, 1 - p) of its predictions reaches "
             "this; 0 = no alarms."},
    {.key = "adwin_delta",
     .type = OPTION_REAL,
     .offset = FIELD(adwin_delta),
     .default_text = "0.002",
     .minimum = 1e-12,
     .maximum = 0.5,
     .help = "ADWIN: the chance that a cut is one of noise."},
    {.key = "ph_min",
     .type = OPTION_INT,
     .offset = FIELD(ph_min),
     .default_text = "30",
     .minimum = 1,
     .maximum = 1000000,
     .help = "Page-Hinkley: blocks before an alarm."},
    {.key = "ph_delta",
     .type = OPTION_REAL,
     .offset = FIELD(ph_delta),
     .default_text = "0.005",
     .minimum = 0,
     .maximum = 10,
     .help = "Page-Hinkley: a change as small as this is tolerated."},
    {.key = "ph_lambda",
     .type = OPTION_REAL,
     .offset = FIELD(ph_lambda),
     .default_text = "50",
     .minimum = 0.001,
     .maximum = 1e6,
     .help = "Page-Hinkley: the sum of deviations above which it alarms."},
    {.key = "ph_alpha",
     .type = OPTION_REAL,
     .offset = FIELD(ph_alpha),
     .default_text = "0.9999",
     .minimum = 0.5,
     .maximum = 1,
     .help = "Page-Hinkley: what is left of the sum after each block."},
};
const struct option_table drift_options = {
    .title = "trainer.drift",
    .help = "Alarms when normalised entropy or calibration move (ADWIN, Page-Hinkley).",
    .struct_bytes = sizeof(struct drift_settings),
    .options = options,
    .count = sizeof options / sizeof *options,
};

const char *const drift_measure_names[DRIFT_MEASURES] = {"normalised_entropy", "calibration"};
const char *const drift_detector_names[DRIFT_DETECTORS] = {"adwin", "page_hinkley"};

bool page_hinkley_add(struct page_hinkley *state, const struct drift_settings *settings,
                      double value, bool rise_only) {
    state->count++;
    state->mean += (value - state->mean) / (double)state->count;
    double rise = settings->ph_alpha * state->rise + value - state->mean - settings->ph_delta;
    double fall = settings->ph_alpha * state->fall + state->mean - value - settings->ph_delta;
    state->rise = rise > 0 ? rise : 0;
    state->fall = fall > 0 ? fall : 0;
    bool alarm =
        state->count >= (uint64_t)settings->ph_min &&
        (state->rise > settings->ph_lambda || (!rise_only && state->fall > settings->ph_lambda));
    if (alarm)
        *state = (struct page_hinkley){0};
    return alarm;
}

// ---- ADWIN --------------------------------------------------------------------------------------

static void row_shift(struct adwin *adwin, size_t row, uint32_t gone) {
    adwin->counts[row] -= gone;
    memmove(adwin->sums[row], adwin->sums[row] + gone, adwin->counts[row] * sizeof(double));
    memmove(adwin->squares[row], adwin->squares[row] + gone, adwin->counts[row] * sizeof(double));
}

static void row_push(struct adwin *adwin, size_t row, double sum, double square) {
    adwin->sums[row][adwin->counts[row]] = sum;
    adwin->squares[row][adwin->counts[row]++] = square;
}

// Two oldest buckets of a full size become one of the next; the last size lets its oldest go.
static void buckets_compress(struct adwin *adwin) {
    for (size_t row = 0; row < ADWIN_ROWS && adwin->counts[row] > ADWIN_BUCKETS; row++) {
        if (row + 1 < ADWIN_ROWS)
            row_push(adwin, row + 1, adwin->sums[row][0] + adwin->sums[row][1],
                     adwin->squares[row][0] + adwin->squares[row][1]);
        row_shift(adwin, row, 2);
    }
}

struct part {
    double count, sum, square;
};

static struct part whole_of(const struct adwin *adwin) {
    struct part whole = {0};
    for (size_t row = 0; row < ADWIN_ROWS; row++) {
        for (uint32_t i = 0; i < adwin->counts[row]; i++) {
            whole.count += ldexp(1, (int)row);
            whole.sum += adwin->sums[row][i];
            whole.square += adwin->squares[row][i];
        }
    }
    return whole;
}

// Whether the means of the two parts of the window differ beyond chance (eq. 3.1 of the paper, with
// the variance). *ret_rise: the newer part's is greater.
static bool parts_differ(const struct part *old, const struct part *whole, double delta,
                         bool *ret_rise) {
    double newer = whole->count - old->count;
    if (old->count < 5 || newer < 5)
        return false;
    double mean = whole->sum / whole->count;
    double variance = whole->square / whole->count - mean * mean;
    double harmonic = 1 / (1 / old->count + 1 / newer);
    double confidence = log(2 * log(whole->count) / delta);
    double least = sqrt(2 / harmonic * (variance > 0 ? variance : 0) * confidence) +
                   2 / (3 * harmonic) * confidence;
    double difference = (whole->sum - old->sum) / newer - old->sum / old->count;
    *ret_rise = difference > 0;
    return fabs(difference) > least;
}

// Looks for a cut from the oldest bucket on.
static bool cut_find(const struct adwin *adwin, double delta, bool *ret_rise) {
    struct part whole = whole_of(adwin), old = {0};
    for (size_t row = ADWIN_ROWS; row-- > 0;) {
        for (uint32_t i = 0; i < adwin->counts[row]; i++) {
            old.count += ldexp(1, (int)row);
            old.sum += adwin->sums[row][i];
            old.square += adwin->squares[row][i];
            if (parts_differ(&old, &whole, delta, ret_rise))
                return true;
        }
    }
    return false;
}

static void oldest_drop(struct adwin *adwin) {
    size_t row = ADWIN_ROWS;
    while (row-- > 0 && adwin->counts[row] == 0)
        continue;
    row_shift(adwin, row, 1);
}

bool adwin_add(struct adwin *adwin, double value, double delta, bool rise_only) {
    row_push(adwin, 0, value, value * value);
    buckets_compress(adwin);
    bool alarm = false, rise;
    while (cut_find(adwin, delta, &rise)) {
        alarm |= rise || !rise_only;
        oldest_drop(adwin);
    }
    return alarm;
}

double adwin_mean(const struct adwin *adwin) {
    struct part whole = whole_of(adwin);
    return whole.count > 0 ? whole.sum / whole.count : 0;
}

uint64_t adwin_width(const struct adwin *adwin) {
    return (uint64_t)whole_of(adwin).count;
}

// ---- blocks -------------------------------------------------------------------------------------

static unsigned value_add(struct drift *drift, const struct drift_settings *settings,
                          enum drift_measure measure, double value) {
    bool rise_only = measure == DRIFT_ENTROPY;
    bool alarms[DRIFT_DETECTORS] = {
        adwin_add(&drift->adwin[measure], value, settings->adwin_delta, rise_only),
        page_hinkley_add(&drift->page_hinkley[measure], settings, value, rise_only)};
    unsigned mask = 0;
    for (unsigned i = 0; i < DRIFT_DETECTORS; i++) {
        drift->alarms[measure][i] += alarms[i];
        mask |= alarms[i] ? 1U << ((unsigned)measure * DRIFT_DETECTORS + i) : 0;
    }
    return mask;
}

unsigned drift_add(struct drift *drift, const struct drift_settings *settings, double probability,
                   double label, double weight, double loss, double entropy) {
    if (settings->block_positives <= 0)
        return 0;
    drift->sum_loss += weight * loss;
    drift->sum_predicted += weight * probability;
    drift->sum_observed += weight * label;
    drift->sum_weight += weight;
    drift->information += weight * (probability < .5 ? probability : 1 - probability);
    if (drift->information < settings->block_positives)
        return 0;
    double ratio = log((drift->sum_predicted + .5) / (drift->sum_observed + .5));
    unsigned mask = value_add(drift, settings, DRIFT_CALIBRATION, ratio);
    if (entropy > 0)
        mask |= value_add(drift, settings, DRIFT_ENTROPY,
                          drift->sum_loss / drift->sum_weight / entropy);
    drift->blocks++;
    drift->sum_loss = drift->sum_predicted = drift->sum_observed = 0;
    drift->sum_weight = drift->information = 0;
    return mask;
}

// ---- saving -------------------------------------------------------------------------------------

static void adwin_save(const struct adwin *adwin, struct buffer *into) {
    for (size_t row = 0; row < ADWIN_ROWS; row++) {
        wire_put_long(into, adwin->counts[row]);
        for (uint32_t i = 0; i < adwin->counts[row]; i++) {
            wire_put_double(into, adwin->sums[row][i]);
            wire_put_double(into, adwin->squares[row][i]);
        }
    }
}

static void adwin_load(struct adwin *adwin, struct wire *in) {
    for (size_t row = 0; row < ADWIN_ROWS; row++) {
        int64_t count = wire_get_long(in);
        in->bad |= count < 0 || count > ADWIN_BUCKETS;
        adwin->counts[row] = in->bad ? 0 : (uint32_t)count;
        for (uint32_t i = 0; i < adwin->counts[row]; i++) {
            adwin->sums[row][i] = wire_get_double(in);
            adwin->squares[row][i] = wire_get_double(in);
        }
    }
}

void drift_save(const struct drift *drift, struct buffer *into) {
    const double open[] = {drift->sum_loss, drift->sum_predicted, drift->sum_observed,
                           drift->sum_weight, drift->information};
    for (size_t i = 0; i < 5; i++)
        wire_put_double(into, open[i]);
    wire_put_long(into, (int64_t)drift->blocks);
    for (size_t m = 0; m < DRIFT_MEASURES; m++) {
        const struct page_hinkley *state = &drift->page_hinkley[m];
        adwin_save(&drift->adwin[m], into);
        wire_put_double(into, state->mean);
        wire_put_double(into, state->rise);
        wire_put_double(into, state->fall);
        wire_put_long(into, (int64_t)state->count);
        for (size_t d = 0; d < DRIFT_DETECTORS; d++)
            wire_put_long(into, (int64_t)drift->alarms[m][d]);
    }
}

void drift_load(struct drift *drift, struct wire *in) {
    drift->sum_loss = wire_get_double(in);
    drift->sum_predicted = wire_get_double(in);
    drift->sum_observed = wire_get_double(in);
    drift->sum_weight = wire_get_double(in);
    drift->information = wire_get_double(in);
    drift->blocks = (uint64_t)wire_get_long(in);
    for (size_t m = 0; m < DRIFT_MEASURES; m++) {
        struct page_hinkley *state = &drift->page_hinkley[m];
        adwin_load(&drift->adwin[m], in);
        state->mean = wire_get_double(in);
        state->rise = wire_get_double(in);
        state->fall = wire_get_double(in);
        state->count = (uint64_t)wire_get_long(in);
        for (size_t d = 0; d < DRIFT_DETECTORS; d++)
            drift->alarms[m][d] = (uint64_t)wire_get_long(in);
    }
}
