// freshet replay: a stretch of the past into a model of its own, as fast as the machine goes.
#include "cli/replay.h"

#include <string.h>

#include "base/hash.h"
#include "cli/daemon.h"
#include "cli/moment.h"
#include "cli/replay_plan.h"
#include "cli/task.h"

#define YEAR_MS (INT64_C(365) * 86400000)

struct replay_options {
    const char *label;
    const char *listen;
    struct replay_plan wanted;
    bool handover;
    struct daemon_options daemon;
};

// "TEXT.LABEL" in the arena; *failed when memory is out.
static const char *labelled(const char *text, const char *label, struct arena *arena,
                            bool *failed) {
    size_t size = strlen(text) + strlen(label) + 2;
    char *name = arena_get(arena, size, 1);
    if (!name) {
        *failed = true;
        return text;
    }
    snprintf(name, size, "%s.%s", text, label);
    return name;
}

bool replay_settings(struct settings *settings, const char *label, const char *listen,
                     struct arena *arena) {
    bool failed = false;
    settings->name = labelled(settings->name, label, arena, &failed);
    settings->ingest.examples = labelled(settings->ingest.examples, label, arena, &failed);
    settings->ingest.dead_letter = labelled(settings->ingest.dead_letter, label, arena, &failed);
    settings->trainer.examples = settings->ingest.examples;
    settings->trainer.weights = labelled(settings->trainer.weights, label, arena, &failed);
    settings->ingest.runner.order = settings->trainer.runner.order = RUNNER_EVENT_TIME;
    settings->ingest.runner.idle_timeout_ms = settings->trainer.runner.idle_timeout_ms = 0;
    settings->trainer.publish_interval_ms = YEAR_MS;
    settings->monitor.listen = listen;
    return !failed;
}

static enum status plan_open(const struct settings *settings, const struct replay_options *options,
                             struct arena *arena, struct replay_plan *ret_plan, struct error *err) {
    struct log *log = NULL;
    uint64_t identities[2] = {task_identity(TASK_INGEST, settings),
                              task_identity(TASK_TRAINER, settings)};
    enum status status = log_open(&settings->log, &log, err);
    if (status == STATUS_OK)
        status =
            replay_plan_open(settings, log, &options->wanted,
                             hash_bytes(identities, sizeof identities, 0), arena, ret_plan, err);
    log_close(log);
    return status;
}

static int hand_over(const struct settings *live, const struct settings *replayed,
                     struct error *err) {
    enum status status = replay_plan_beside(replayed, err);
    if (status == STATUS_OK)
        status = handover_run(live, replayed, err);
    if (status != STATUS_OK)
        return command_fail(err);
    printf("handed over: `%s` goes on from the replay `%s` when it is started\n", live->name,
           replayed->name);
    return EXIT_DONE;
}

static int replay(const struct settings *live, struct replay_options *options,
                  struct arena *arena) {
    struct error err;
    struct replay_plan plan;
    struct settings settings = *live;
    enum status status = STATUS_OK;
    if (!replay_settings(&settings, options->label, options->listen, arena))
        status = error_no_memory(&err, strlen(settings.name), "names");
    if (status == STATUS_OK && options->handover)
        return hand_over(live, &settings, &err);
    if (status == STATUS_OK)
        status = plan_open(&settings, options, arena, &plan, &err);
    if (status != STATUS_OK)
        return command_fail(&err);
    options->daemon.plan = &plan;
    options->daemon.finish = !plan.beside;
    return daemon_run(&settings, &options->daemon);
}

static bool parse_times(const char *from, const char *to, struct replay_options *options) {
    const struct command *self = &command_replay;
    options->wanted.from_ms = REPLAY_OLDEST;
    options->wanted.to_ms = REPLAY_NEWEST;
    if (from && strcmp(from, "oldest") != 0 &&
        !moment_parse(self, "--from", from, strlen(from), &options->wanted.from_ms))
        return false;
    if (to && strcmp(to, "newest") != 0 &&
        !moment_parse(self, "--to", to, strlen(to), &options->wanted.to_ms))
        return false;
    if (options->wanted.beside && options->wanted.to_ms != REPLAY_NEWEST) {
        fprintf(stderr,
                "freshet replay: --beside goes on behind the newest record: --to does not fit\n");
        return false;
    }
    if (options->wanted.from_ms >= options->wanted.to_ms) {
        fprintf(stderr, "freshet replay: --from must be earlier than --to\n");
        return false;
    }
    return true;
}

static int run_replay(int argc, char **argv) {
    const char *path = NULL, *from = NULL, *to = NULL, *threads = NULL;
    struct replay_options options = {
        .label = "replay", .listen = "", .daemon = {.stages = DAEMON_INGEST | DAEMON_TRAINER}};
    const struct argument arguments[] = {{.name = "--from", .value = &from},
                                         {.name = "--to", .value = &to},
                                         {.name = "--as", .value = &options.label},
                                         {.name = "--threads", .value = &threads},
                                         {.name = "--report", .value = &options.daemon.report},
                                         {.name = "--listen", .value = &options.listen},
                                         {.name = "--beside", .flag = &options.wanted.beside},
                                         {.name = "--handover", .flag = &options.handover}};
    if (!arguments_parse(&command_replay, argc, argv, arguments,
                         sizeof arguments / sizeof *arguments, &path, 1, 1) ||
        (threads && !arguments_number(&command_replay, "--threads", threads, 1, 256,
                                      &options.daemon.threads)) ||
        !parse_times(from, to, &options))
        return EXIT_USAGE;
    struct arena run_arena;
    struct settings settings;
    int code;
    arena_init(&run_arena, 65536);
    options.daemon.config = path;
    if (command_settings(path, &run_arena, &settings, &code))
        code = replay(&settings, &options, &run_arena);
    arena_deinit(&run_arena);
    return code;
}

const struct command command_replay = {
    .name = "replay",
    .arguments = "CONFIG [--from TIME] [--to TIME] [--as LABEL] [--threads N] [--report FILE]",
    .summary = "a stretch of the past into a fresh model, as fast as the machine goes",
    .help =
        "Joins and learns the records of all inputs whose time lies in [from, to), in the "
        "canonical\n"
        "event-time order over all of them, under tasks and topics of its own: the live daemons\n"
        "of the same configuration are not touched. Any two replays of a stretch are equal to\n"
        "the bit. Stopped or killed, it goes on when started again with the same arguments, to\n"
        "the same ends. On a terminal it shows how far it is and how long it will take.\n"
        "\n"
        "  --from TIME    a date, or date and time, UTC (2022-04-29T06:00:00), milliseconds since\n"
        "                 1970, or `oldest`, the default; a time that retention has passed is\n"
        "                 refused\n"
        "  --to TIME      the first moment that is left out, or `newest`, the default: what is\n"
        "                 there when the replay begins\n"
        "  --beside       go on reading what comes, without an end; says when it has caught up\n"
        "  --handover     make one that was begun with --beside the deployment itself, as a new\n"
        "                 lineage; neither may be running meanwhile\n"
        "  --as LABEL     sets it apart from other replays: tasks NAME.LABEL.*, topics *.LABEL;\n"
        "                 `replay` by default\n"
        "  --threads N    workers of the trainer; never changes a result\n"
        "  --report FILE  write the final measures as JSON, every bit of each double kept\n"
        "  --listen A     an address for the live page and /metrics; none by default\n"
        "\n"
        "Example: freshet replay config/kuairand.yaml --from 2022-04-22 --to 2022-04-29",
    .run = run_replay,
};
