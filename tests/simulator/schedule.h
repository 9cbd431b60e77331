// How a run goes: whose turn it is, and what befalls whom.
#ifndef FRESHET_TESTS_SIMULATOR_SCHEDULE_H
#define FRESHET_TESTS_SIMULATOR_SCHEDULE_H

#include "tests/simulator/world.h"

enum fault {
    FAULT_DIE_IN_STEP, // at one of the next effects, the write there perhaps torn
    FAULT_KILL,        // between steps
    FAULT_POWER,       // of the task's machine
    FAULT_COMMIT,      // the log does not answer a commit, done or not; then the process may die
    FAULT_LOG_DOWN,
    FAULT_REDIS_CUT,
    FAULT_REDIS_DOWN,
    FAULT_REDIS_FLUSH,
    FAULT_REDIS_REWIND,
    FAULT_ZOMBIE,    // a newer instance starts elsewhere while the older goes on
    FAULT_CLOCK,     // the wall clock jumps, forth or back
    FAULT_SLEEP,     // a slow part
    FAULT_DIRECTORY, // lost altogether; only where the journal is all there
    FAULT_FLIP,      // a bit of a checkpoint at rest
    FAULT_PIN,       // an operator pins one of the first versions, or takes the pin away
    FAULTS
};
extern const char *const fault_names[FAULTS];

// Runs until all tasks have ended. Faults come with `rate` a turn; counts[FAULTS] is added to.
// Violations are noted in the world.
void schedule_run(struct world *world, double rate, uint64_t *counts);

#endif
