// freshet run, ingest, train, publish: the same daemon with other sets of tasks.
#include <string.h>

#include "cli/daemon.h"

// "3" or "0-3".
static bool parse_tasks(const struct command *command, const char *text,
                        struct daemon_options *options) {
    char first_text[16];
    const char *dash = strchr(text, '-');
    size_t length = dash ? (size_t)(dash - text) : strlen(text);
    if (length >= sizeof first_text)
        length = sizeof first_text - 1;
    memcpy(first_text, text, length);
    first_text[length] = '\0';
    int64_t first, last;
    if (!arguments_number(command, "--tasks", first_text, 0, 100000, &first))
        return false;
    last = first;
    if (dash && !arguments_number(command, "--tasks", dash + 1, first, 100000, &last))
        return false;
    options->ingest_first = (int32_t)first;
    options->ingest_count = (int32_t)(last - first + 1);
    return true;
}

// --threads and --report belong to the trainer, --tasks to the ingest daemon.
static int run_daemon(const struct command *command, unsigned stages, int argc, char **argv) {
    struct daemon_options options = {.stages = stages};
    const char *path = NULL, *threads = NULL, *tasks = NULL;
    struct argument arguments[3] = {{.name = "--finish", .flag = &options.finish}};
    size_t count = 1;
    if (stages & DAEMON_TRAINER) {
        arguments[count++] = (struct argument){.name = "--threads", .value = &threads};
        arguments[count++] = (struct argument){.name = "--report", .value = &options.report};
    } else if (stages & DAEMON_INGEST) {
        arguments[count++] = (struct argument){.name = "--tasks", .value = &tasks};
    }
    if (!arguments_parse(command, argc, argv, arguments, count, &path, 1, 1) ||
        (threads && !arguments_number(command, "--threads", threads, 1, 256, &options.threads)) ||
        (tasks && !parse_tasks(command, tasks, &options)))
        return EXIT_USAGE;
    struct arena run_arena;
    struct settings settings;
    int code;
    arena_init(&run_arena, 65536);
    options.config = path;
    if (command_settings(path, &run_arena, &settings, &code))
        code = daemon_run(&settings, &options);
    arena_deinit(&run_arena);
    return code;
}

#define THREADS_HELP "  --threads N    workers of the trainer; never changes a result\n"
#define REPORT_HELP                                                                                \
    "  --report FILE  write the final measures as JSON, every bit of each double kept\n"
#define FINISH_HELP                                                                                \
    "  --finish       read the inputs to the ends they have now, close all windows, end\n"
#define AWAITED_HELP                                                                               \
    "  --finish       its end is awaited: stopped before it, the exit code is 7, not 0\n"
#define STOP_HELP                                                                                  \
    "\n"                                                                                           \
    "Stops on SIGTERM or SIGINT within `runner.stop_timeout` of its stages: commits, takes a\n"    \
    "checkpoint, and prints the conservation account of each task (read = used + in flight +\n"    \
    "dropped by reason). A second signal ends it at once. After any crash the next start\n"        \
    "continues exactly where the last commit was. Waits for servers that are away, and says so\n"  \
    "in the log. SIGHUP reads the settings again that may change while running (`freshet\n"        \
    "check` lists them); a change of any other is refused whole. The live page, /metrics,\n"       \
    "/healthz and /readyz are served on `monitor.listen`.\n"

static int run_run(int argc, char **argv) {
    return run_daemon(&command_run, DAEMON_INGEST | DAEMON_TRAINER | DAEMON_PUBLISHER, argc, argv);
}
const struct command command_run = {
    .name = "run",
    .arguments = "CONFIG [--finish] [--threads N] [--report FILE]",
    .summary = "all stages in one process: ingest, trainer, publisher",
    .help = "Goes on until it is stopped, or until every input has ended (an end is what\n"
            "`simulate` and `load` write behind their last record).\n"
            "\n" FINISH_HELP THREADS_HELP REPORT_HELP STOP_HELP "\n"
            "Example: freshet run config/simulated.yaml --finish --report report.json",
    .run = run_run,
};

static int run_ingest(int argc, char **argv) {
    return run_daemon(&command_ingest, DAEMON_INGEST, argc, argv);
}
const struct command command_ingest = {
    .name = "ingest",
    .arguments = "CONFIG [--tasks FIRST-LAST] [--finish]",
    .summary = "the joining daemon: events in, labelled examples out",
    .help = "One task a partition of the input topics; several daemons may share them.\n"
            "\n"
            "  --tasks A-B    take only partitions A to B (or one: A); all by default\n" FINISH_HELP
                STOP_HELP "\n"
            "Example: freshet ingest config/simulated.yaml --tasks 0-1",
    .run = run_ingest,
};

static int run_train(int argc, char **argv) {
    return run_daemon(&command_train, DAEMON_TRAINER, argc, argv);
}
const struct command command_train = {
    .name = "train",
    .arguments = "CONFIG [--threads N] [--report FILE] [--finish]",
    .summary = "the learning daemon: examples in, weights out",
    .help = "Ends by itself when every ingest task has finished; prints the measures by task and\n"
            "domain at the end.\n"
            "\n" THREADS_HELP REPORT_HELP AWAITED_HELP STOP_HELP "\n"
            "Example: freshet train config/simulated.yaml --threads 2",
    .run = run_train,
};

static int run_publish(int argc, char **argv) {
    return run_daemon(&command_publish, DAEMON_PUBLISHER, argc, argv);
}
const struct command command_publish = {
    .name = "publish",
    .arguments = "CONFIG [--finish]",
    .summary = "the publishing daemon: weights into Redis",
    .help =
        "Ends by itself when the trainer has finished. Its place in the log is in Redis, so it\n"
        "needs no folder, and fills a new or emptied Redis again by itself.\n"
        "\n" AWAITED_HELP STOP_HELP "\n"
        "Example: freshet publish config/simulated.yaml",
    .run = run_publish,
};
