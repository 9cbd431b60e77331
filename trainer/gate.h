// The gate: whether a version may go out, by the online measures of its newest labels.
//
// How it works. Each task that has bounds keeps a tally of its newest `labels` final labels (in
// five blocks of a quarter of them; the oldest leaves when a new one begins: so of 1 to 1.25 times
// that many). At a version the measures of these are held against the bounds: absolute
// ones, and how much worse they may be than the reference, which is the newest version that passed
// and shares no label with them. A neighbour would share nearly all, and a slow decline would pass
// between neighbours for ever. A bound counts as overstepped when the measure is beyond it by three
// standard errors (AUC: Hanley and McNeil; calibration: that of a count of positives; normalised
// entropy has none, its bounds want room).
//
// A version is held when any task oversteps a bound. A task without support (fewer labels, or less
// than 50 of either class) keeps the verdict that it had, at first to pass: silence neither opens
// nor closes the gate.
//
// The verdict goes with the version (`gate` in its measures), so that every publisher acts alike.
#ifndef FRESHET_TRAINER_GATE_H
#define FRESHET_TRAINER_GATE_H

#include "base/wire.h"
#include "config/option.h"
#include "record/spec.h"
#include "trainer/tally.h"

struct gate_bounds { // of one task; INFINITY, and 0 for the least ones: no such bound
    const char *task;
    double auc_min, auc_drop_max;
    double normalised_entropy_max, normalised_entropy_rise_max;
    double calibration_min, calibration_max;
};
struct gate_settings {
    int64_t labels;                // a task
    struct option_sections bounds; // struct gate_bounds; none = no gate
};
extern const struct option_table gate_options;

// STATUS_INVALID naming the key: a task that is none, or is named twice.
CHECKED enum status gate_check(const struct gate_settings *settings, const struct spec *spec,
                               struct error *err);

struct gate;
// settings are checked; they and the spec are borrowed.
CHECKED enum status gate_new(const struct gate_settings *settings, const struct spec *spec,
                             struct gate **ret_gate, struct error *err);
void gate_free(struct gate *gate); // NULL is fine
// Whether any task has bounds. Without, all others do nothing.
bool gate_is_set(const struct gate *gate);
// A prediction and its final label. Fails only for want of memory.
CHECKED enum status gate_add(struct gate *gate, size_t task, double logit, double label,
                             double weight, struct error *err);
// The verdict on a version of now, which it is remembered to have got: appends
// {"verdict":"pass"|"hold","reason":"...","tasks":[{"task":..,"closed":..,"labels":..,"auc":..,
// "auc_error":..,"normalised_entropy":..,"calibration":..}]}.
CHECKED enum status gate_judge(struct gate *gate, struct buffer *into, struct error *err);
// Of the newest version judged: whether the task holds it back, and why ("" where it does not).
bool gate_closed(const struct gate *gate, size_t task, const char **ret_reason);
void gate_save(const struct gate *gate, struct buffer *into);
// Into a new one. One that was saved with other tasks or `labels` begins anew. STATUS_CORRUPT.
CHECKED enum status gate_load(struct gate *gate, struct wire *in, struct error *err);

#endif
