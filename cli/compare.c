// freshet compare: several configurations over one log of examples.
#include "cli/command.h"

#include <string.h>

#include "base/disk.h"
#include "cli/moment.h"
#include "compare/output.h"
#include "compare/race.h"
#include "config/scalar.h"

enum { CONFIGS_MAX = 16 };

struct options {
    const char *csv, *json, *svg;
    int64_t seeds, replicates, threads, window_ms, split_ms;
};

static bool parse_window(const char *text, int64_t *ret_ms) {
    static const struct option duration = {
        .key = "--window", .type = OPTION_DURATION, .minimum = 1000, .maximum = 31536000000.0};
    char expected[256];
    struct arena arena;
    arena_init(&arena, 1024);
    enum status status =
        scalar_parse(&duration, text, strlen(text), &arena, ret_ms, expected, sizeof expected);
    arena_deinit(&arena);
    if (status != STATUS_OK)
        fprintf(stderr, "freshet compare: --window: expected %s, found '%s'\n", expected, text);
    return status == STATUS_OK;
}

// The file's name without folder and ending; names that are taken get a number.
static const char *short_name(const char *path, const char *const *taken, size_t count,
                              struct arena *arena) {
    const char *slash = strrchr(path, '/'), *begin = slash ? slash + 1 : path;
    const char *dot = strrchr(begin, '.');
    size_t length = dot && dot > begin ? (size_t)(dot - begin) : strlen(begin);
    const char *name = arena_copy_string(arena, begin, length);
    for (size_t i = 0; name && i < count; i++) {
        char numbered[512];
        if (strcmp(taken[i], name) != 0)
            continue;
        snprintf(numbered, sizeof numbered, "%.480s (%zu)", name, count + 1);
        return arena_copy_string(arena, numbered, strlen(numbered));
    }
    return name;
}

static enum status write_text(const char *path, struct buffer *text, struct error *err) {
    enum status status = text->failed ? error_no_memory(err, text->length, "results")
                                      : disk_replace_all(path, text->data, text->length, err);
    buffer_reset(text);
    return status;
}

static enum status write_all(const struct contest *contest, const struct output_names *names,
                             const struct options *options, struct error *err) {
    struct buffer text;
    buffer_init(&text);
    enum status status = output_table(contest, names, stdout, err);
    if (status == STATUS_OK && options->csv)
        status = output_csv(contest, names, &text, err);
    if (status == STATUS_OK && options->csv)
        status = write_text(options->csv, &text, err);
    if (status == STATUS_OK && options->json)
        status = output_json(contest, names, &text, err);
    if (status == STATUS_OK && options->json)
        status = write_text(options->json, &text, err);
    if (status == STATUS_OK && options->svg) {
        output_svg(contest, names, &text);
        status = write_text(options->svg, &text, err);
    }
    buffer_deinit(&text);
    return status;
}

static enum status compare(const struct settings *settings, const char *const *names, size_t count,
                           const struct options *options, struct error *err) {
    const struct spec *spec = &settings[0].data;
    struct race_entry entries[CONFIGS_MAX];
    const char *tasks[SPEC_TASKS_MAX];
    double seconds[CONFIGS_MAX] = {0};
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct race_entry){names[i], &settings[i].data, &settings[i].model,
                                         &settings[i].trainer};
    for (size_t task = 0; task < spec->tasks.count; task++)
        tasks[task] = spec_task_at(spec, task)->name;
    struct contest_settings contest_settings = {.configs = count,
                                                .seeds = (size_t)options->seeds,
                                                .tasks = spec->tasks.count,
                                                .replicates = (size_t)options->replicates,
                                                .split_ms = options->split_ms,
                                                .window_ms = options->window_ms};
    struct contest *contest = NULL;
    struct log *log = NULL;
    struct output_names output = {.configs = names, .tasks = tasks, .seconds = seconds};
    enum status status = contest_new(&contest_settings, &contest, err);
    if (status == STATUS_OK)
        status = log_open(&settings[0].log, &log, err);
    struct race_setup setup = {.log = log,
                               .topic = settings[0].trainer.examples,
                               .entries = entries,
                               .count = count,
                               .seeds = (size_t)options->seeds,
                               .threads = (size_t)options->threads};
    if (status == STATUS_OK)
        status = race_run(&setup, contest, seconds, &output.records, err);
    if (status == STATUS_OK)
        status = write_all(contest, &output, options, err);
    log_close(log);
    contest_free(contest);
    return status;
}

static int run_compare(int argc, char **argv) {
    const struct command *self = &command_compare;
    const char *paths[CONFIGS_MAX] = {NULL}, *names[CONFIGS_MAX];
    const char *seeds = NULL, *replicates = NULL, *threads = NULL, *window = NULL, *split = NULL;
    struct options options = {.seeds = 1,
                              .replicates = 200,
                              .threads = 2,
                              .window_ms = 6 * 3600 * 1000,
                              .split_ms = CONTEST_NO_SPLIT};
    const struct argument arguments[] = {
        {.name = "--csv", .value = &options.csv},       {.name = "--json", .value = &options.json},
        {.name = "--svg", .value = &options.svg},       {.name = "--seeds", .value = &seeds},
        {.name = "--replicates", .value = &replicates}, {.name = "--threads", .value = &threads},
        {.name = "--window", .value = &window},         {.name = "--split", .value = &split}};
    if (!arguments_parse(self, argc, argv, arguments, sizeof arguments / sizeof *arguments, paths,
                         1, CONFIGS_MAX) ||
        (seeds && !arguments_number(self, "--seeds", seeds, 1, 100, &options.seeds)) ||
        (replicates &&
         !arguments_number(self, "--replicates", replicates, 0, 10000, &options.replicates)) ||
        (threads && !arguments_number(self, "--threads", threads, 1, 64, &options.threads)) ||
        (window && !parse_window(window, &options.window_ms)) ||
        (split && !moment_parse(self, "--split", split, strlen(split), &options.split_ms)))
        return EXIT_USAGE;
    static struct settings settings[CONFIGS_MAX];
    struct arena run_arena;
    struct error err;
    size_t count = 0;
    int code = EXIT_DONE;
    arena_init(&run_arena, 65536);
    for (; code == EXIT_DONE && count < CONFIGS_MAX && paths[count]; count++) {
        if (!command_settings(paths[count], &run_arena, &settings[count], &code))
            continue;
        names[count] = short_name(paths[count], names, count, &run_arena);
        if (!names[count])
            code = EXIT_FAILED;
    }
    if (code == EXIT_DONE && compare(settings, names, count, &options, &err) != STATUS_OK)
        code = command_fail(&err);
    arena_deinit(&run_arena);
    return code;
}

const struct command command_compare = {
    .name = "compare",
    .arguments = "CONFIG... [--split TIME] [--seeds N] [--csv FILE] [--json FILE] [--svg FILE]",
    .summary = "several configurations over one log of examples, with paired intervals",
    .help =
        "Reads the examples that the first configuration names, from the oldest to those that are\n"
        "there now, and lets every configuration predict each impression before it learns from\n"
        "it. Differences are to the first configuration; their 95 % intervals come from Poisson\n"
        "bootstrap samples of users, the same for all. The configurations may differ in `model`,\n"
        "`trainer` and `data.rates`; features and tasks must be the same. Writes to no log.\n"
        "\n"
        "  --split TIME     two results: before TIME, on which to choose, and from TIME on, which\n"
        "                   to report; a date, or date and time, UTC: 2022-04-29T06:00:00\n"
        "  --seeds N        runs of each configuration, seeds model.seed, +1, ...; means are "
        "shown\n"
        "  --replicates N   bootstrap samples, 200 by default; 0 = no intervals\n"
        "  --window D       of AUC over time, 6h by default\n"
        "  --threads N      runs at once, 2 by default; changes no result\n"
        "  --csv, --json, --svg FILE   the results; the picture shows AUC over time\n"
        "\n"
        "  freshet compare config/a.yaml config/b.yaml --split 2022-04-29 --seeds 5 --svg auc.svg",
    .run = run_compare,
};
