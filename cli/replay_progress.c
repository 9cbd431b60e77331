// Shares, rates and what is left; see replay_progress.h.
#include "cli/replay_progress.h"

#include <unistd.h>

#include "base/logger.h"

enum { SHOW_US = 250000, LINE_US = 10000000, BEHIND_MAX = 10000 };

struct sight {
    double joined;  // share of the stretches that ingest has folded
    double learnt;  // share of them that the trainer has learnt from
    double records; // read by this process's ingest tasks
    double behind;  // records that tasks have yet to fold
};

static int64_t now_us(void) {
    return clock_system.monotonic_us(&clock_system);
}

// False while a task has not said yet where it is.
static bool look(const struct replay_plan *plan, const struct task *tasks, size_t count,
                 struct sight *ret_sight) {
    struct sight sight = {0};
    double next = 0, trained = 0;
    for (size_t i = 0; i < count; i++) {
        const struct runner_progress *progress = &tasks[i].progress;
        double end = (double)atomic_load(&progress->ends);
        bool ended = atomic_load(&tasks[i].phase) == TASK_ENDED;
        if (tasks[i].kind == TASK_INGEST) {
            next += (double)atomic_load(&progress->next);
            sight.records += (double)atomic_load(&progress->records);
        } else {
            trained = ended ? 1 : end > 0 ? (double)atomic_load(&progress->next) / end : 0;
        }
        if (end == 0 && !ended)
            return false;
        sight.behind += end - (double)atomic_load(&progress->next);
    }
    double whole = (double)(plan->end_sum - plan->first_sum);
    sight.joined = whole > 0 ? (next - (double)plan->first_sum) / whole : 1;
    sight.joined = sight.joined < 0 ? 0 : sight.joined > 1 ? 1 : sight.joined;
    sight.learnt = sight.joined * (trained > 1 ? 1 : trained);
    *ret_sight = sight;
    return true;
}

static void duration_print(double seconds, char text[32]) {
    long long left = (long long)(seconds + .5);
    if (left >= 3600)
        snprintf(text, 32, "%lldh%02lldm", left / 3600, left / 60 % 60);
    else
        snprintf(text, 32, "%lldm%02llds", left / 60, left % 60);
}

void replay_progress_init(struct replay_progress *progress, const struct replay_plan *plan) {
    *progress = (struct replay_progress){.plan = plan, .begin = -1};
    progress->begin_us = progress->shown_us = progress->line_us = now_us();
}

void replay_progress_show(struct replay_progress *progress, const struct task *tasks,
                          size_t count) {
    struct sight sight;
    int64_t now = now_us();
    if (now - progress->shown_us < SHOW_US || !look(progress->plan, tasks, count, &sight))
        return;
    progress->shown_us = now;
    if (progress->begin < 0)
        progress->begin = sight.learnt;
    if (progress->plan->beside && !progress->caught_up && sight.joined == 1 &&
        sight.behind <= BEHIND_MAX) {
        progress->caught_up = true;
        logger_line(LOGGER_INFO, "replay", "caught-up", "behind=%.0f", sight.behind);
    }
    double seconds = (double)(now - progress->begin_us) / 1e6;
    double done = sight.learnt - progress->begin;
    char left[32] = "?";
    if (done > 0)
        duration_print(seconds * (1 - sight.learnt) / done, left);
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\rreplay: %.1f %% joined, %.1f %% learnt, %.0f records/s, %s left \033[K",
                100 * sight.joined, 100 * sight.learnt, sight.records / seconds, left);
    } else if (now - progress->line_us >= LINE_US) {
        progress->line_us = now;
        logger_line(LOGGER_INFO, "replay", "progress",
                    "joined=%.4f learnt=%.4f records_per_second=%.0f left=%s", sight.joined,
                    sight.learnt, sight.records / seconds, left);
    }
}

void replay_progress_end(struct replay_progress *progress, const struct task *tasks, size_t count) {
    struct sight sight = {0};
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    (void)look(progress->plan, tasks, count, &sight);
    double seconds = (double)(now_us() - progress->begin_us) / 1e6;
    printf("replayed %.0f records in %.1f s: %.0f a second\n", sight.records, seconds,
           sight.records / seconds);
}
