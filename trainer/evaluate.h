// Online measures: AUC, normalised entropy and calibration by task, domain and popularity.
//
// What it owns: for each task x domain x popularity, and for all of them together, one tally
// (trainer/tally.h) since the beginning and one for each of the newest `windows` windows of event
// time.
//
// What it never does: see a label before it is final, or count a label twice; its caller sees to
// that.
#ifndef FRESHET_TRAINER_EVALUATE_H
#define FRESHET_TRAINER_EVALUATE_H

#include "trainer/tally.h"

#define EVALUATE_ALL UINT32_MAX // all domains together

struct evaluate_settings {
    size_t tasks;
    size_t
        domains; // domain indices 0 .. domains - 1 get tallies of their own: 64 KiB each, once used
    int64_t window_ms; // > 0
    size_t windows;    // >= 1; the windowed measures span windows x window_ms of event time
};

struct evaluate;

// Popularity of what was shown, as estimated when it was predicted (trainer/popularity.h).
enum evaluate_bucket {
    EVALUATE_ANY, // whatever its popularity
    EVALUATE_HEAD,
    EVALUATE_TORSO,
    EVALUATE_TAIL,
    EVALUATE_BUCKETS
};

struct evaluate_label {
    size_t task;
    uint32_t domain;             // beyond those with own tallies: counts for all domains only
    enum evaluate_bucket bucket; // EVALUATE_ANY = not known
    int64_t event_time_ms;
    struct tally_label of;
};

CHECKED enum status evaluate_new(const struct evaluate_settings *settings,
                                 struct evaluate **ret_evaluate, struct error *err);
void evaluate_free(struct evaluate *evaluate); // NULL is fine
// One prediction and its final label. Fails only for want of memory.
CHECKED enum status evaluate_add(struct evaluate *evaluate, const struct evaluate_label *label,
                                 struct error *err);
// Of a task, domain (or EVALUATE_ALL) and bucket, since the beginning or over the newest windows.
// The buckets of single domains are kept since the beginning only: empty when windowed.
void evaluate_measure(struct evaluate *evaluate, size_t task, uint32_t domain,
                      enum evaluate_bucket bucket, bool windowed,
                      struct evaluate_measures *ret_measures);
// All of a task since the beginning; borrowed.
const struct tally *evaluate_ever(const struct evaluate *evaluate, size_t task);
void evaluate_save(const struct evaluate *evaluate, struct buffer *into);
// Into a new one of the same settings. STATUS_CORRUPT, STATUS_CHANGED (other settings).
CHECKED enum status evaluate_load(struct evaluate *evaluate, struct wire *in, struct error *err);

#endif
