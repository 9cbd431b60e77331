// Alarms when a task's measures move: ADWIN and Page-Hinkley over its labels as they become final.
//
// How it works. Labels gather into blocks that hold as much information on a rare task as on a
// frequent one: a block closes when the sum of min(p, 1 - p) over its predictions reaches
// `block_positives`. A block gives two numbers: its normalised entropy (mean loss over the entropy
// of the base rate of all labels before it; only a rise alarms), and its calibration, the natural
// logarithm of predicted over observed positives, half a positive added to both (either direction
// alarms). Each number goes to
//   Page-Hinkley (as in River): after `ph_min` blocks, S <- max(0, ph_alpha S + x - mean -
//   ph_delta) alarms above ph_lambda blocks' worth; and the same for falls; ADWIN (Bifet and
//   Gavalda, SDM 2007): a window of blocks in exponential buckets is cut where two parts' means
//   differ by more than chance allows at confidence adwin_delta; a cut alarms.
// After an alarm the detector that raised it begins anew. What is compared is the recent past with
// the past before: a drift that the model follows at once raises nothing.
#ifndef FRESHET_TRAINER_DRIFT_H
#define FRESHET_TRAINER_DRIFT_H

#include "base/memory.h"
#include "base/wire.h"
#include "config/option.h"

struct drift_settings {
    double block_positives; // 0 = no alarms
    double adwin_delta;
    int64_t ph_min;
    double ph_delta, ph_lambda, ph_alpha;
};
extern const struct option_table drift_options;

enum drift_measure { DRIFT_ENTROPY, DRIFT_CALIBRATION, DRIFT_MEASURES };
enum drift_detector { DRIFT_ADWIN, DRIFT_PAGE_HINKLEY, DRIFT_DETECTORS };
extern const char *const drift_measure_names[DRIFT_MEASURES];
extern const char *const drift_detector_names[DRIFT_DETECTORS];

#define ADWIN_ROWS 24   // bucket sizes 1, 2, 4, ...
#define ADWIN_BUCKETS 5 // of one size, before two merge

struct adwin {
    double sums[ADWIN_ROWS][ADWIN_BUCKETS + 1], squares[ADWIN_ROWS][ADWIN_BUCKETS + 1];
    uint32_t counts[ADWIN_ROWS]; // buckets of a size, the oldest first
};
struct page_hinkley {
    double mean, rise, fall;
    uint64_t count;
};
// One task's; plain data.
struct drift {
    double sum_loss, sum_predicted, sum_observed, sum_weight, information; // of the open block
    struct adwin adwin[DRIFT_MEASURES];
    struct page_hinkley page_hinkley[DRIFT_MEASURES];
    uint64_t blocks;
    uint64_t alarms[DRIFT_MEASURES][DRIFT_DETECTORS];
};

// A label; entropy: of the base rate of all labels before it, 0 = not known yet (the block's
// entropy measure is then left out). Returns a mask with bit measure x DRIFT_DETECTORS + detector
// set for each alarm that it raised.
unsigned drift_add(struct drift *drift, const struct drift_settings *settings, double probability,
                   double label, double weight, double loss, double entropy);
// True when a change was found: older blocks have left the window. `rise_only`: a fall makes the
// window shorter and is no alarm.
bool adwin_add(struct adwin *adwin, double value, double delta, bool rise_only);
double adwin_mean(const struct adwin *adwin);
uint64_t adwin_width(const struct adwin *adwin); // values in the window
bool page_hinkley_add(struct page_hinkley *state, const struct drift_settings *settings,
                      double value, bool rise_only);

void drift_save(const struct drift *drift, struct buffer *into);
void drift_load(struct drift *drift, struct wire *in); // malformed: in->bad

#endif
