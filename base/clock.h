// Time as a parameter: a clock is given to whatever needs one, so that tests own it.
#ifndef FRESHET_BASE_CLOCK_H
#define FRESHET_BASE_CLOCK_H

#include <stdint.h>

struct clock {
    int64_t (*wall_ms)(const struct clock *clock);      // milliseconds since 1970, UTC
    int64_t (*monotonic_us)(const struct clock *clock); // never goes back
    void (*sleep_ms)(const struct clock *clock, int64_t ms);
};
extern const struct clock clock_system;

// A clock that stands still until told to move; sleep_ms moves it. One owner thread.
struct clock_fake {
    struct clock clock; // give &fake.clock
    int64_t now_us;
};
void clock_fake_init(struct clock_fake *fake, int64_t wall_ms);
void clock_fake_advance(struct clock_fake *fake, int64_t ms);

#endif
