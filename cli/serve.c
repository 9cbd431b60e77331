// freshet serve: scoring over HTTP, for services that cannot link the scorer library.
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/logger.h"
#include "cli/command.h"
#include "cli/notify.h"
#include "cli/score_row.h"

enum { ROWS_MAX = 10000, BODY_BYTES_MAX = 16 << 20, FOLLOW_MS = 100 };

struct serving {
    struct freshet_scorer *scorer;
    struct freshet_row *rows[ROWS_MAX]; // made as they are needed
    float *probabilities;               // [ROWS_MAX][tasks]
    struct metric *requests, *refused, *scored, *version;
    struct metric_histogram *seconds;
};

static int append(const char *bytes, size_t length, void *into) {
    buffer_append(into, bytes, length);
    return 0;
}

static void put_json(struct buffer *into, const json_t *value) {
    if (!value ||
        json_dump_callback(value, append, into, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0)
        into->failed = true;
    buffer_append_byte(into, '\n');
}

static unsigned refuse(struct serving *serving, struct buffer *into, unsigned code,
                       const char *reason) {
    json_t *answer = json_pack("{s:s}", "error", reason);
    metric_add(serving->refused, 1);
    put_json(into, answer);
    json_decref(answer);
    return code;
}

static enum status fill_rows(struct serving *serving, json_t *rows, struct error *err) {
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *object = json_array_get(rows, i);
        if (!json_is_object(object))
            return error_set(err, STATUS_INVALID, "row %zu is no JSON object", i);
        if (!serving->rows[i])
            serving->rows[i] = freshet_row_new(serving->scorer);
        if (!serving->rows[i])
            return error_no_memory(err, 0, "a row");
        freshet_row_reset(serving->rows[i]);
        if (score_row_fill(serving->rows[i], object, err) != STATUS_OK)
            return error_prefix(err, "row %zu", i);
    }
    return STATUS_OK;
}

// {"version":12,"tasks":["click"],"scores":[[0.25]]}: one list of probabilities a row.
static void put_scores(const struct serving *serving, size_t count, uint64_t version,
                       struct buffer *into) {
    size_t task_count = freshet_scorer_tasks(serving->scorer);
    json_t *tasks = json_array(), *scores = json_array();
    for (size_t k = 0; k < task_count; k++)
        json_array_append_new(tasks, json_string(freshet_scorer_task(serving->scorer, k)));
    for (size_t i = 0; i < count; i++) {
        json_t *row = json_array();
        for (size_t k = 0; k < task_count; k++)
            json_array_append_new(row,
                                  json_real((double)serving->probabilities[i * task_count + k]));
        json_array_append_new(scores, row);
    }
    json_t *answer = json_pack("{s:I, s:o, s:o}", "version", (json_int_t)version, "tasks", tasks,
                               "scores", scores);
    put_json(into, answer);
    json_decref(answer);
}

static unsigned score(struct serving *serving, json_t *request, struct buffer *into) {
    struct error err;
    char reason[512];
    uint64_t version;
    json_t *rows = json_is_object(request) ? json_object_get(request, "rows") : NULL;
    if (!json_is_array(rows) || json_array_size(rows) > ROWS_MAX)
        return refuse(serving, into, 400,
                      "expected {\"rows\": [{FEATURE: VALUE, ...}, ...]} of at most 10000 rows");
    size_t count = json_array_size(rows);
    if (fill_rows(serving, rows, &err) != STATUS_OK)
        return refuse(serving, into, err.status == STATUS_INVALID ? 400 : 500, err.message);
    version = freshet_scorer_version(serving->scorer);
    if (count > 0 &&
        freshet_scorer_score(serving->scorer, serving->rows, count, serving->probabilities,
                             &version, reason, sizeof reason) != FRESHET_SCORER_OK)
        return refuse(serving, into, 500, reason);
    put_scores(serving, count, version, into);
    metric_add(serving->scored, (double)count);
    metric_set(serving->version, (double)version);
    return 200;
}

// On the one thread that serves, so that rows and probabilities are its own.
static unsigned answer(void *self, const char *body, size_t length, struct buffer *into) {
    struct serving *serving = self;
    json_error_t mistake;
    int64_t begin_us = clock_system.monotonic_us(&clock_system);
    json_t *request = json_loadb(body ? body : "", length, JSON_REJECT_DUPLICATES, &mistake);
    metric_add(serving->requests, 1);
    unsigned code =
        request ? score(serving, request, into) : refuse(serving, into, 400, mistake.text);
    json_decref(request);
    metric_observe(serving->seconds,
                   (double)(clock_system.monotonic_us(&clock_system) - begin_us) / 1e6);
    return code;
}

// Ready while the newest version can be followed; an old one is served on all the same.
static void tell_health(void *self, struct monitor_health *ret_health) {
    struct serving *serving = self;
    char trouble[200];
    freshet_scorer_trouble(serving->scorer, trouble, sizeof trouble);
    *ret_health = (struct monitor_health){.alive = true, .ready = true};
    metric_set(serving->version, (double)freshet_scorer_version(serving->scorer));
    if (trouble[0])
        snprintf(ret_health->reason, sizeof ret_health->reason, "%s", trouble);
}

static void register_metrics(struct serving *serving, struct metrics *metrics) {
    static const double bounds[] = {.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1};
    serving->requests =
        metrics_get(metrics, METRIC_COUNTER, "freshet_serve_requests_total", "", "POSTs answered.");
    serving->refused = metrics_get(metrics, METRIC_COUNTER, "freshet_serve_refused_total", "",
                                   "POSTs answered with an error.");
    serving->scored =
        metrics_get(metrics, METRIC_COUNTER, "freshet_serve_rows_total", "", "Rows scored.");
    serving->version = metrics_get(metrics, METRIC_GAUGE, "freshet_serve_version", "",
                                   "Version of the model that scores.");
    serving->seconds = metrics_histogram(metrics, "freshet_serve_request_seconds", "",
                                         "Time from a whole request to its answer, in seconds.",
                                         bounds, sizeof bounds / sizeof *bounds);
}

static void await_stop(struct serving *serving) {
    struct notify notify;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    notify_init(&notify);
    struct timespec wait = {.tv_nsec = FOLLOW_MS * 1000000L};
    while (sigtimedwait(&set, NULL, &wait) < 0) {
        struct monitor_health health;
        tell_health(serving, &health);
        notify_tick(&notify, clock_system.monotonic_us(&clock_system), true, true, "serving");
    }
    notify_send("STOPPING=1");
}

static int serve_until_stopped(const struct settings *settings, const char *listen,
                               struct serving *serving) {
    struct error err;
    struct metrics *metrics = NULL;
    struct monitor *monitor = NULL;
    struct monitor_settings watched = settings->monitor;
    watched.listen = listen;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    REQUIRE(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    enum status status = metrics_new(&metrics, &err);
    if (status == STATUS_OK) {
        struct monitor_setup setup = {
            .settings = &watched,
            .metrics = metrics,
            .name = settings->name,
            .stages = "serve",
            .health = tell_health,
            .self = serving,
            .post = {"/score", BODY_BYTES_MAX, answer, serving},
        };
        register_metrics(serving, metrics);
        status = monitor_start(&setup, &monitor, &err);
    }
    if (status == STATUS_OK) {
        logger_line(LOGGER_INFO, "serve", "listening", "port=%d version=%llu",
                    monitor_port(monitor),
                    (unsigned long long)freshet_scorer_version(serving->scorer));
        await_stop(serving);
    }
    monitor_stop(monitor);
    metrics_free(metrics);
    return status == STATUS_OK ? EXIT_DONE : command_fail(&err);
}

static int serve(const struct settings *settings, const char *listen) {
    static struct serving serving;
    char reason[512];
    struct freshet_scorer_options options = settings_scorer_options(settings);
    enum freshet_scorer_status opened =
        freshet_scorer_open(&options, &serving.scorer, reason, sizeof reason);
    if (opened != FRESHET_SCORER_OK) {
        fprintf(stderr, "freshet: %s\n", reason);
        return opened == FRESHET_SCORER_UNAVAILABLE ? EXIT_UNREACHABLE : EXIT_FAILED;
    }
    serving.probabilities =
        memory_new(ROWS_MAX * freshet_scorer_tasks(serving.scorer), sizeof(float));
    struct error err;
    int code = serving.probabilities
                   ? serve_until_stopped(settings, listen, &serving)
                   : (error_no_memory(&err, ROWS_MAX, "scores"), command_fail(&err));
    for (size_t i = 0; i < ROWS_MAX; i++)
        freshet_row_free(serving.rows[i]);
    memory_free(serving.probabilities);
    freshet_scorer_close(serving.scorer);
    return code;
}

static int run_serve(int argc, char **argv) {
    const char *path = NULL, *listen = "127.0.0.1:9465";
    const struct argument arguments[] = {{.name = "--listen", .value = &listen}};
    if (!arguments_parse(&command_serve, argc, argv, arguments, 1, &path, 1, 1))
        return EXIT_USAGE;
    struct arena run_arena;
    struct settings settings;
    int code;
    arena_init(&run_arena, 65536);
    if (command_settings(path, &run_arena, &settings, &code))
        code = serve(&settings, listen);
    arena_deinit(&run_arena);
    return code;
}

const struct command command_serve = {
    .name = "serve",
    .arguments = "CONFIG [--listen HOST:PORT]",
    .summary = "scores over HTTP with the model in Redis",
    .help =
        "POST /score takes {\"rows\": [{FEATURE: VALUE, ...}, ...]}, at most 10000 rows, values "
        "as\n"
        "`freshet score` takes them, and answers {\"version\": N, \"tasks\": [NAME, ...],\n"
        "\"scores\": [[PROBABILITY, ...], ...]}: a list for each row, all by one version. A "
        "mistake\n"
        "is answered with 400 and {\"error\": REASON}. Follows new versions by itself. /metrics,\n"
        "/healthz and /readyz are there too. There is no authentication.\n"
        "\n"
        "  --listen A  where; 127.0.0.1:9465 by default\n"
        "\n"
        "Example: curl -d '{\"rows\": [{\"user_id\": 712, \"domain\": \"1\"}]}' "
        "localhost:9465/score",
    .run = run_serve,
};
