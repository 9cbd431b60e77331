// The arithmetic of schedules; owns nothing.
#include "trainer/schedule.h"

#include <math.h>

double schedule_rate(const struct learner_settings *settings, double rate, uint64_t t) {
    double steps = (double)settings->schedule_steps, floor_rate = settings->learning_rate_floor;
    double factor = 1;
    switch (settings->schedule) {
    case LEARNER_SCHEDULE_INVERSE_SQRT:
        factor = (double)t > steps ? sqrt(steps / (double)t) : 1;
        break;
    case LEARNER_SCHEDULE_STEP:
        factor = pow(settings->schedule_decay, floor((double)t / steps));
        break;
    default:
        return rate;
    }
    floor_rate = floor_rate < rate ? floor_rate : rate;
    return rate * factor > floor_rate ? rate * factor : floor_rate;
}

enum status schedule_check(const struct learner_settings *settings, struct error *err) {
    const struct {
        const char *key;
        double rate;
    } rates[] = {{"learning_rate", settings->learning_rate},
                 {"row_learning_rate", settings->row_learning_rate},
                 {"wide_learning_rate", settings->wide_learning_rate}};
    if (settings->schedule == LEARNER_SCHEDULE_CONSTANT)
        return STATUS_OK;
    if (settings->schedule < 0 || settings->schedule > LEARNER_SCHEDULE_STEP)
        return error_set(err, STATUS_INVALID,
                         "key `trainer.learner.schedule`: no such schedule of learning rates");
    if (settings->schedule_steps < 1)
        return error_set(
            err, STATUS_INVALID,
            "key `trainer.learner.schedule_steps`: expected 1 step or more, found %lld",
            (long long)settings->schedule_steps);
    if (settings->schedule == LEARNER_SCHEDULE_STEP &&
        !(settings->schedule_decay > 0 && settings->schedule_decay <= 1))
        return error_set(err, STATUS_INVALID,
                         "key `trainer.learner.schedule_decay`: expected more than 0, 1 at most");
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        if (!(settings->learning_rate_floor >= 0 && settings->learning_rate_floor <= rates[i].rate))
            return error_set(err, STATUS_INVALID,
                             "key `trainer.learner.learning_rate_floor`: %g is above "
                             "`trainer.learner.%s`, which is %g: lower the floor",
                             settings->learning_rate_floor, rates[i].key, rates[i].rate);
    return STATUS_OK;
}
