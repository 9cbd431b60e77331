// How learning rates fall with the steps taken.
//
//   constant       rate
//   inverse_sqrt   rate sqrt(S / max(S, t)): the first S steps at the full rate, then as stochastic
//                  gradient descent wants it (Bottou 2012, section 5.2)
//   step           rate decay^floor(t / S)
//
// A stream has no end, so no rate falls below a floor (He et al., ADKDD 2014, keep one of 1e-5): a
// model that no longer steps no longer follows its stream. t counts the learner's steps, so a
// replay repeats the rates.
#ifndef FRESHET_TRAINER_SCHEDULE_H
#define FRESHET_TRAINER_SCHEDULE_H

#include "trainer/learner.h"

// The rate of step t, 0 for the first; never below the floor, but where it begins there.
double schedule_rate(const struct learner_settings *settings, double rate, uint64_t t);
// STATUS_INVALID naming the key.
CHECKED enum status schedule_check(const struct learner_settings *settings, struct error *err);

#endif
