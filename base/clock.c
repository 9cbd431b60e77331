// The system's clock and the tests' clock that stands still; nothing else reads time.
#include "base/clock.h"

#include <errno.h>
#include <time.h>

static int64_t clock_read_us(clockid_t id) {
    struct timespec now;
    if (clock_gettime(id, &now) != 0) {
        return 0;
    }
    return (int64_t)now.tv_sec * 1000000 + (int64_t)now.tv_nsec / 1000;
}

static int64_t system_wall_ms(const struct clock *clock) {
    (void)clock;
    return clock_read_us(CLOCK_REALTIME) / 1000;
}

static int64_t system_monotonic_us(const struct clock *clock) {
    (void)clock;
    return clock_read_us(CLOCK_MONOTONIC);
}

static void system_sleep_ms(const struct clock *clock, int64_t ms) {
    (void)clock;
    if (ms <= 0) {
        return;
    }
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

const struct clock clock_system = {
    .wall_ms = system_wall_ms,
    .monotonic_us = system_monotonic_us,
    .sleep_ms = system_sleep_ms,
};

// `clock` is a fake's first member, so its address is the fake's; the fake itself is never const.
static struct clock_fake *fake_of(const struct clock *clock) {
    return (struct clock_fake *)(uintptr_t)clock;
}

static int64_t fake_wall_ms(const struct clock *clock) {
    return fake_of(clock)->now_us / 1000;
}

static int64_t fake_monotonic_us(const struct clock *clock) {
    return fake_of(clock)->now_us;
}

static void fake_sleep_ms(const struct clock *clock, int64_t ms) {
    clock_fake_advance(fake_of(clock), ms > 0 ? ms : 0);
}

void clock_fake_init(struct clock_fake *fake, int64_t wall_ms) {
    *fake = (struct clock_fake){
        .clock = {.wall_ms = fake_wall_ms,
                  .monotonic_us = fake_monotonic_us,
                  .sleep_ms = fake_sleep_ms},
        .now_us = wall_ms * 1000,
    };
}

void clock_fake_advance(struct clock_fake *fake, int64_t ms) {
    fake->now_us += ms * 1000;
}
