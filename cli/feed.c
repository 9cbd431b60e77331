// freshet simulate and freshet load: events into the input topics.
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"

static atomic_bool stop_asked;

static void ask_to_stop(int signal_number) {
    (void)signal_number;
    atomic_store(&stop_asked, true);
}

// The first SIGTERM or SIGINT ends the work at its next commit, a second one at once.
static void watch_signals(void) {
    struct sigaction action = {.sa_handler = ask_to_stop, .sa_flags = (int)SA_RESETHAND};
    REQUIRE(sigaction(SIGTERM, &action, NULL) == 0 && sigaction(SIGINT, &action, NULL) == 0);
}

// A line that writes over itself on a terminal; nothing where output is piped.
static void show_progress(const char *what, uint64_t done, uint64_t total) {
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%s: %" PRIu64 " of %" PRIu64 " (%.0f %%) ", what, done, total,
                total ? 100.0 * (double)done / (double)total : 0.0);
}

static void end_progress(void) {
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

struct simulating {
    const struct settings *settings;
};

static void simulate_progress(void *self, const struct simulate_account *account) {
    const struct simulating *simulating = self;
    show_progress("simulate", account->impressions, (uint64_t)simulating->settings->simulate.count);
}

static int simulate(const struct settings *settings) {
    struct error err;
    struct log *log = NULL;
    struct simulate_account account;
    struct simulating simulating = {settings};
    enum status status = log_open(&settings->log, &log, &err);
    if (status == STATUS_OK)
        status = simulate_run(log, &settings->simulate, simulate_progress, &simulating, &stop_asked,
                              &account, &err);
    log_close(log);
    end_progress();
    if (status != STATUS_OK)
        return command_fail(&err);
    printf("simulated %" PRIu64 " impressions, %" PRIu64 " clicks (%.2f %%), %" PRIu64
           " conversions (%.2f %%)\n",
           account.impressions, account.clicks, 100 * account.click_rate, account.conversions,
           100 * account.conversion_rate);
    printf("dirt: %" PRIu64 " duplicate impressions, %" PRIu64 " duplicate clicks, %" PRIu64
           " late, %" PRIu64 " orphans, %" PRIu64 " undecodable, %" PRIu64
           " with invalid numbers, %" PRIu64 " from the far future\n",
           account.duplicate_impressions, account.duplicate_clicks, account.late, account.orphans,
           account.undecodable, account.invalid_number, account.far_future);
    printf("AUC of the true probabilities: click %.4f, conversion %.4f\n", account.click_auc,
           account.conversion_auc);
    return EXIT_DONE;
}

static int run_simulate(int argc, char **argv) {
    const char *path = NULL, *impressions = NULL, *seed = NULL;
    int64_t count = -1, seed_number = -1;
    const struct command *self = &command_simulate;
    const struct argument arguments[] = {{.name = "--impressions", .value = &impressions},
                                         {.name = "--seed", .value = &seed}};
    if (!arguments_parse(self, argc, argv, arguments, 2, &path, 1, 1) ||
        (impressions &&
         !arguments_number(self, "--impressions", impressions, 1, INT64_C(1) << 40, &count)) ||
        (seed && !arguments_number(self, "--seed", seed, 0, INT64_MAX, &seed_number)))
        return EXIT_USAGE;
    struct arena run_arena;
    struct settings settings;
    int code;
    arena_init(&run_arena, 65536);
    watch_signals();
    if (command_settings(path, &run_arena, &settings, &code)) {
        if (count >= 0)
            settings.simulate.count = count;
        if (seed_number >= 0)
            settings.simulate.seed = seed_number;
        code = simulate(&settings);
    }
    arena_deinit(&run_arena);
    return code;
}

const struct command command_simulate = {
    .name = "simulate",
    .arguments = "CONFIG [--impressions N] [--seed N]",
    .summary = "writes simulated events with known truth into the input topics",
    .help =
        "  --impressions N  instead of simulate.count\n"
        "  --seed N         instead of simulate.seed; one seed gives one stream, byte for byte\n"
        "\n"
        "Rates, domains, delays, drift and dirt are set in section `simulate`. Prints what was\n"
        "written, the dirt that was mixed in, and the AUC of the true probabilities: what no\n"
        "model can be expected to beat.",
    .run = run_simulate,
};

static void load_progress(void *self, const struct kuairand_account *account) {
    (void)self;
    show_progress("load",
                  account->impressions + account->clicks + account->long_views + account->likes,
                  account->events);
}

static int load(const struct settings *settings, bool json) {
    struct error err;
    struct log *log = NULL;
    struct kuairand_account account;
    enum status status = log_open(&settings->log, &log, &err);
    if (status == STATUS_OK)
        status = kuairand_load(log, &settings->kuairand, load_progress, NULL, &stop_asked, &account,
                               &err);
    log_close(log);
    end_progress();
    if (status != STATUS_OK)
        return command_fail(&err);
    if (json)
        printf("{\"rows\": %" PRIu64 ", \"records\": {\"%s\": %" PRIu64 ", \"%s\": %" PRIu64
               ", \"%s\": %" PRIu64 "}}\n",
               account.rows_read, settings->kuairand.impressions, account.impressions,
               settings->kuairand.clicks, account.clicks, settings->kuairand.conversions,
               account.long_views + account.likes);
    else
        printf("loaded %" PRIu64 " rows: %" PRIu64 " impressions, %" PRIu64 " clicks, %" PRIu64
               " long views, %" PRIu64 " likes (%" PRIu64 " rows without user, %" PRIu64
               " without video features)\n",
               account.rows_read, account.impressions, account.clicks, account.long_views,
               account.likes, account.rows_without_user, account.rows_without_video);
    return EXIT_DONE;
}

static int run_load(int argc, char **argv) {
    const char *positional[2] = {NULL, NULL}, *rows = NULL;
    bool json = false;
    int64_t rows_max = -1;
    const struct argument arguments[] = {{.name = "--rows", .value = &rows},
                                         {.name = "--json", .flag = &json}};
    if (!arguments_parse(&command_load, argc, argv, arguments, 2, positional, 1, 2) ||
        (rows && !arguments_number(&command_load, "--rows", rows, 1, INT64_MAX, &rows_max)))
        return EXIT_USAGE;
    struct arena run_arena;
    struct settings settings;
    int code;
    arena_init(&run_arena, 65536);
    watch_signals();
    if (command_settings(positional[0], &run_arena, &settings, &code)) {
        if (positional[1])
            settings.kuairand.directory = positional[1];
        if (rows_max >= 0)
            settings.kuairand.rows_max = rows_max;
        code = load(&settings, json);
    }
    arena_deinit(&run_arena);
    return code;
}

const struct command command_load = {
    .name = "load",
    .arguments = "CONFIG [FOLDER] [--rows N] [--json]",
    .summary = "writes the KuaiRand data into the input topics as three streams of events",
    .help = "  FOLDER    with log_standard*, user_features* and video_features_basic*, .csv or\n"
            "            .csv.gz; by default kuairand.directory. The data is free: kuairand.com\n"
            "  --rows N  only the first N rows of the log\n"
            "  --json    the account as JSON\n"
            "\n"
            "An impression stands at time_ms; its click 1 to 10 s later (the data has no click\n"
            "time: drawn by a hash of the impression); a long view at time_ms + play_time_ms; a\n"
            "like half-way through what was played. The data's own duplicates stay duplicates.",
    .run = run_load,
};
