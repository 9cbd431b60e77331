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

static int run_daemon(const struct command *command, unsigned stages, int argc, char **argv) {
    struct daemon_options options = {.stages = stages};
    const char *path = NULL, *threads = NULL, *tasks = NULL;
    const struct argument arguments[] = {
        {.name = "--finish", .flag = &options.finish},
        {.name = "--threads", .value = &threads},
        {.name = "--report", .value = &options.report},
        {.name = "--tasks", .value = &tasks},
    };
    if (!arguments_parse(command, argc, argv, arguments, sizeof arguments / sizeof arguments[0],
                         &path, 1, 1) ||
        (threads && !arguments_number(command, "--threads", threads, 1, 256, &options.threads)) ||
        (tasks && !parse_tasks(command, tasks, &options)))
        return EXIT_USAGE;
    struct arena run_arena;
    struct settings settings;
    int code;
    arena_init(&run_arena, 65536);
    if (command_settings(path, &run_arena, &settings, &code))
        code = daemon_run(&settings, &options);
    arena_deinit(&run_arena);
    return code;
}

#define DAEMON_HELP                                                                                \
    "  --finish        read the inputs to the ends they have at start, close all windows, end\n"   \
    "\n"                                                                                           \
    "Stops on SIGTERM or SIGINT: commits, takes a checkpoint, prints the conservation account "    \
    "of\n"                                                                                         \
    "each task (read = used + in flight + dropped by reason). After any crash the next start\n"    \
    "continues exactly where the last commit was. /metrics, /healthz and /readyz are served on\n"  \
    "monitor.listen."

static int run_run(int argc, char **argv) {
    return run_daemon(&command_run, DAEMON_INGEST | DAEMON_TRAINER | DAEMON_PUBLISHER, argc, argv);
}
const struct command command_run = {
    .name = "run",
    .arguments = "CONFIG [--finish] [--threads N] [--report FILE]",
    .summary = "all stages in one process: ingest, trainer, publisher",
    .help = "  --threads N     workers of the trainer; never changes a result\n"
            "  --report FILE   write the final measures as JSON, every bit of each double "
            "kept\n" DAEMON_HELP,
    .run = run_run,
};

static int run_ingest(int argc, char **argv) {
    return run_daemon(&command_ingest, DAEMON_INGEST, argc, argv);
}
const struct command command_ingest = {
    .name = "ingest",
    .arguments = "CONFIG [--tasks FIRST-LAST] [--finish]",
    .summary = "the joining daemon: events in, labelled examples out",
    .help = "  --tasks A-B     take only these partitions of the input topics; all by "
            "default\n" DAEMON_HELP,
    .run = run_ingest,
};

static int run_train(int argc, char **argv) {
    return run_daemon(&command_train, DAEMON_TRAINER, argc, argv);
}
const struct command command_train = {
    .name = "train",
    .arguments = "CONFIG [--threads N] [--report FILE] [--finish]",
    .summary = "the learning daemon: examples in, weights out",
    .help = "  --threads N     workers; never changes a result\n"
            "  --report FILE   write the final measures as JSON, every bit of each double kept\n"
            "Ends by itself when every ingest task has finished.\n" DAEMON_HELP,
    .run = run_train,
};

static int run_publish(int argc, char **argv) {
    return run_daemon(&command_publish, DAEMON_PUBLISHER, argc, argv);
}
const struct command command_publish = {
    .name = "publish",
    .arguments = "CONFIG [--finish]",
    .summary = "the publishing daemon: weights into Redis",
    .help = "Ends by itself when the trainer has finished.\n" DAEMON_HELP,
    .run = run_publish,
};
