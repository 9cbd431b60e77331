// freshet rewind: the trainer again from a kept checkpoint, without a poisoned stretch.
#include <string.h>

#include "base/hash.h"
#include "cli/command.h"
#include "cli/moment.h"
#include "cli/replay.h"
#include "cli/task.h"
#include "stage/checkpoint.h"
#include "trainer/trainer.h"

struct rewinding {
    const struct settings *settings;
    int64_t to_ms;
    bool skips;
    struct skip skip;
    uint64_t lineage;
    uint64_t generation; // that was taken,
    int64_t stands_ms;   // and its watermark
};

static enum status begin_lineage(void *self, void *state, struct error *err) {
    const struct rewinding *rewinding = self;
    trainer_lineage_begin(state, rewinding->lineage);
    return rewinding->skips ? trainer_skip(state, &rewinding->skip, err) : STATUS_OK;
}

// A watermark, for people.
static void stands_print(int64_t stands_ms, char text[MOMENT_TEXT_MAX]) {
    if (stands_ms == STAGE_TIME_NONE)
        snprintf(text, MOMENT_TEXT_MAX, "the beginning");
    else
        moment_print(stands_ms, text);
}

static enum status too_far(const struct task *task, int64_t to_ms, int64_t oldest_ms,
                           struct error *err) {
    char to[MOMENT_TEXT_MAX], oldest[MOMENT_TEXT_MAX];
    moment_print(to_ms, to);
    stands_print(oldest_ms, oldest);
    return error_set(err, STATUS_NOT_FOUND,
                     "could not rewind `%s` to %s: the oldest checkpoint kept stands at %s; replay "
                     "from further back (`freshet replay --beside`), or keep more "
                     "(`checkpoints_kept`)",
                     task->name, to, oldest);
}

static enum status too_late(const struct task *task, int64_t to_ms, int64_t newest_ms,
                            struct error *err) {
    char to[MOMENT_TEXT_MAX], newest[MOMENT_TEXT_MAX];
    moment_print(to_ms, to);
    stands_print(newest_ms, newest);
    return error_set(err, STATUS_INVALID, "could not rewind `%s` to %s: it has come to %s only",
                     task->name, to, newest);
}

// The newest kept checkpoint whose watermark is not later than `to`.
static enum status checkpoint_find(struct rewinding *rewinding, const struct task *task,
                                   struct checkpoint_reader **ret_reader, struct error *err) {
    struct arena arena;
    uint64_t *generations;
    size_t count = 0;
    int64_t stands_ms = INT64_MAX;
    arena_init(&arena, 4096);
    enum status status = checkpoint_list(task->directory, &arena, &generations, &count, err);
    bool newest = true, found = false;
    for (size_t i = count; status == STATUS_OK && !found && i-- > 0; newest = false) {
        struct checkpoint_reader *reader = NULL;
        status = checkpoint_reader_open(task->directory, generations[i], &reader, err);
        if (status == STATUS_OK)
            status = trainer_stands(reader, &stands_ms, err);
        if (status == STATUS_OK && newest && rewinding->to_ms > stands_ms)
            status = too_late(task, rewinding->to_ms, stands_ms, err);
        found = status == STATUS_OK && stands_ms <= rewinding->to_ms;
        if (!found) {
            checkpoint_reader_close(reader);
            continue;
        }
        *ret_reader = reader;
        rewinding->generation = generations[i];
        rewinding->stands_ms = stands_ms;
    }
    if (status == STATUS_OK && count == 0)
        status = error_set(err, STATUS_NOT_FOUND, "`%s` has no checkpoint in %s", task->name,
                           task->directory);
    else if (status == STATUS_OK && !found)
        status = too_far(task, rewinding->to_ms, stands_ms, err);
    arena_deinit(&arena);
    return status;
}

static enum status rewind_trainer(struct rewinding *rewinding, struct error *err) {
    struct log *log = NULL;
    struct task task = {0};
    struct checkpoint_reader *reader = NULL;
    struct task_context context = {.settings = rewinding->settings};
    bool made = false;
    enum status status = handover_check(rewinding->settings, err);
    if (status == STATUS_OK)
        status = log_open(&rewinding->settings->log, &log, err);
    context.log = log;
    if (status == STATUS_OK)
        status = log_topic_partitions(log, rewinding->settings->trainer.examples,
                                      &context.partitions, err);
    if (status == STATUS_OK) {
        status = task_init(&task, &context, TASK_TRAINER, 0, err);
        made = status == STATUS_OK;
    }
    if (status == STATUS_OK)
        status = checkpoint_find(rewinding, &task, &reader, err);
    if (status == STATUS_OK) {
        struct runner_adoption adoption = {
            .from = reader, .change = begin_lineage, .self = rewinding};
        int64_t now_ms = clock_system.wall_ms(&clock_system);
        rewinding->lineage = hash_bytes(task.name, strlen(task.name), (uint64_t)now_ms);
        status = runner_adopt(&task.setup, &adoption, err);
    }
    checkpoint_reader_close(reader);
    if (made)
        task_deinit(&task);
    log_close(log);
    return status;
}

static int rewind_to(struct rewinding *rewinding) {
    struct error err;
    char stands[MOMENT_TEXT_MAX];
    if (rewind_trainer(rewinding, &err) != STATUS_OK)
        return command_fail(&err);
    stands_print(rewinding->stands_ms, stands);
    printf("rewound: `%s` goes on from its checkpoint %llu, which stands at %s, when it is "
           "started\n",
           rewinding->settings->name, (unsigned long long)rewinding->generation, stands);
    return EXIT_DONE;
}

// "T1..T2"
static bool parse_skip(const char *text, struct rewinding *rewinding) {
    const struct command *self = &command_rewind;
    const char *dots = strstr(text, "..");
    if (!dots) {
        fprintf(stderr, "freshet rewind: --skip: expected TIME..TIME, found '%s'\n", text);
        return false;
    }
    struct skip *skip = &rewinding->skip;
    if (!moment_parse(self, "--skip", text, (size_t)(dots - text), &skip->from_ms) ||
        !moment_parse(self, "--skip", dots + 2, strlen(dots + 2), &skip->to_ms))
        return false;
    if (skip->from_ms >= skip->to_ms || skip->from_ms < rewinding->to_ms) {
        fprintf(stderr, "freshet rewind: --skip must begin before it ends, and not before --to\n");
        return false;
    }
    rewinding->skips = true;
    return true;
}

static int run_rewind(int argc, char **argv) {
    const struct command *self = &command_rewind;
    const char *path = NULL, *to = NULL, *skip = NULL;
    const struct argument arguments[] = {{.name = "--to", .value = &to},
                                         {.name = "--skip", .value = &skip}};
    struct rewinding rewinding = {0};
    if (!arguments_parse(self, argc, argv, arguments, 2, &path, 1, 1))
        return EXIT_USAGE;
    struct arena run_arena;
    struct settings settings;
    int code;
    arena_init(&run_arena, 65536);
    if (!to && command_settings(path, &run_arena, &settings, &code)) {
        fprintf(stderr, "freshet rewind: --to is missing\n");
        code = EXIT_USAGE;
    } else if (to && (!moment_parse(self, "--to", to, strlen(to), &rewinding.to_ms) ||
                      (skip && !parse_skip(skip, &rewinding)))) {
        code = EXIT_USAGE;
    } else if (to && command_settings(path, &run_arena, &settings, &code)) {
        rewinding.settings = &settings;
        code = rewind_to(&rewinding);
    }
    arena_deinit(&run_arena);
    return code;
}

const struct command command_rewind = {
    .name = "rewind",
    .arguments = "CONFIG --to TIME [--skip TIME..TIME]",
    .summary = "the trainer again from a kept checkpoint, without a poisoned stretch",
    .help =
        "The trainer, stopped in an orderly way, begins again as a new lineage from the newest\n"
        "checkpoint kept that had seen nothing after TIME, and learns the examples from there on\n"
        "again. Its first version is whole, and replaces the model in Redis at once.\n"
        "\n"
        "  --to TIME          a date, or date and time, UTC (2022-04-29T06:00:00), or "
        "milliseconds\n"
        "                     since 1970; of events\n"
        "  --skip TIME..TIME  impressions of this stretch, the end left out, and all that is said\n"
        "                     of them later, are counted as `skipped` and not learnt\n"
        "\n"
        "How far back it can go is `checkpoints_kept` times `checkpoint_interval` of the trainer.\n"
        "\n"
        "Example: freshet rewind config/kuairand.yaml --to 2022-04-29T06:00:00 \\\n"
        "             --skip 2022-04-29T06:00:00..2022-04-29T08:30:00",
    .run = run_rewind,
};
