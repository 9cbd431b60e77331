// How far a replay is and how long it will take: a line on a terminal, else one in the log now and
// then.
#ifndef FRESHET_CLI_REPLAY_PROGRESS_H
#define FRESHET_CLI_REPLAY_PROGRESS_H

#include "cli/replay_plan.h"
#include "cli/task.h"

struct replay_progress {
    const struct replay_plan *plan;
    int64_t begin_us; // monotonic clock
    int64_t shown_us, line_us;
    bool caught_up; // a replay beside: said already
    double begin;   // share that was done when this process began, < 0 = not known yet
};

void replay_progress_init(struct replay_progress *progress, const struct replay_plan *plan);
// To be called a few times a second.
void replay_progress_show(struct replay_progress *progress, const struct task *tasks, size_t count);
// Takes the line away and prints what this process has read and how fast.
void replay_progress_end(struct replay_progress *progress, const struct task *tasks, size_t count);

#endif
