// Threads, signals and the end of a daemon; see daemon.h.
#include "cli/daemon.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/disk.h"
#include "base/logger.h"
#include "cli/notify.h"
#include "cli/replay.h"
#include "cli/replay_progress.h"
#include "cli/task.h"
#include "trainer/trainer.h"

enum { TICK_MS = 50 };

struct daemon {
    const struct settings *settings;
    const struct daemon_options *options;
    struct log *log;
    struct metrics *metrics;
    struct monitor *monitor;
    struct task *tasks;
    size_t task_count;
    atomic_size_t tasks_made; // how many of them the monitor's thread may look at
    atomic_bool stop;
    struct notify notify;
    struct replay_progress progress; // of a replay
    bool in_terminal;
};

struct task_start {
    struct task *task;
    const atomic_bool *stop;
};

static void *task_thread(void *argument) {
    struct task_start start = *(struct task_start *)argument;
    memory_free(argument);
    task_run(start.task, start.stop);
    return NULL;
}

// Called from the monitor's thread.
static void daemon_health(void *self, struct monitor_health *ret_health) {
    struct daemon *daemon = self;
    size_t made = atomic_load(&daemon->tasks_made);
    *ret_health = (struct monitor_health){.alive = true, .ready = made > 0};
    if (made == 0)
        snprintf(ret_health->reason, sizeof ret_health->reason, "waiting for the log's servers");
    for (size_t i = 0; i < made; i++) {
        struct task *task = &daemon->tasks[i];
        int phase = atomic_load(&task->phase);
        if (phase == TASK_FAILED) {
            ret_health->alive = ret_health->ready = false;
            snprintf(ret_health->reason, sizeof ret_health->reason, "%s has failed", task->name);
            return;
        }
        bool waiting = phase == TASK_WAITING || (phase == TASK_LIVE && !atomic_load(&task->live));
        if (waiting || phase == TASK_RECOVERING) {
            ret_health->ready = false;
            snprintf(ret_health->reason, sizeof ret_health->reason, "%s is %s", task->name,
                     waiting ? "waiting for servers" : "recovering");
        }
    }
}

// Tells systemd how things stand; called a few times a second.
static void daemon_tick(struct daemon *daemon) {
    struct monitor_health health;
    daemon_health(daemon, &health);
    notify_tick(&daemon->notify, clock_system.monotonic_us(&clock_system), health.alive,
                health.ready, health.reason);
}

// The settings that may change while running, read again; a file that changes any other is refused
// whole.
static void reload(struct daemon *daemon) {
    struct arena run;
    struct settings settings = {0};
    struct error err;
    char key[256];
    arena_init(&run, 65536);
    notify_send("RELOADING=1");
    if (settings_load(daemon->options->config, &run, &settings, &err) != STATUS_OK) {
        logger_error("daemon", "reload-refused", &err);
    } else if (config_unsafe_change(&settings_options, daemon->settings, &settings, key,
                                    sizeof key)) {
        logger_line(LOGGER_ERROR, "daemon", "reload-refused",
                    "setting=\"%s\" reason=\"it cannot change while running: nothing was "
                    "changed; restart, or take it back\"",
                    key);
    } else {
        logger_setup(stderr, (enum logger_level)settings.logging.level,
                     (enum logger_format)settings.logging.format);
        if (daemon->monitor)
            monitor_alarms_set(daemon->monitor, &settings.monitor.alarms);
        logger_line(LOGGER_INFO, "daemon", "reloaded", "config=\"%s\"", daemon->options->config);
    }
    notify_send("READY=1");
    arena_deinit(&run);
}

static sigset_t signals_awaited(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

// Waits up to timeout_ms for SIGTERM or SIGINT; true when one came. SIGHUP reloads, but for a
// daemon in a terminal that was closed: there it asks to stop.
static bool signal_came(struct daemon *daemon, int64_t timeout_ms) {
    sigset_t set = signals_awaited();
    for (int64_t left_ms = timeout_ms;; left_ms -= TICK_MS) {
        int64_t wait_ms = left_ms < TICK_MS ? left_ms : TICK_MS;
        struct timespec wait = {.tv_nsec = (long)(wait_ms > 0 ? wait_ms : 0) * 1000000L};
        int number = sigtimedwait(&set, NULL, &wait);
        if (number == SIGHUP && !daemon->in_terminal)
            reload(daemon);
        else if (number > 0)
            return true;
        daemon_tick(daemon);
        if (left_ms <= TICK_MS)
            return false;
    }
}

static void signals_block(void) {
    sigset_t set = signals_awaited();
    REQUIRE(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    REQUIRE(sigaction(SIGPIPE, &ignore, NULL) == 0);
}

// Retries `attempt` while servers cannot be reached, saying so, until it succeeds, fails otherwise,
// or a signal comes (STATUS_STOPPED).
static enum status insist(struct daemon *daemon,
                          enum status (*attempt)(struct daemon *, struct error *),
                          struct error *err) {
    for (int64_t wait_ms = 500;; wait_ms = wait_ms < 10000 ? wait_ms * 2 : wait_ms) {
        enum status status = attempt(daemon, err);
        if (status != STATUS_UNAVAILABLE && status != STATUS_TIMEOUT)
            return status;
        logger_line(LOGGER_WARN, "daemon", "waiting", "retry_in_ms=%lld reason=\"%s\"",
                    (long long)wait_ms, err->message);
        if (signal_came(daemon, wait_ms))
            return error_set(err, STATUS_STOPPED, "stopped while waiting: %s", err->message);
    }
}

static enum status open_log(struct daemon *daemon, struct error *err) {
    return log_open(&daemon->settings->log, &daemon->log, err);
}

static enum status make_tasks(struct daemon *daemon, struct error *err) {
    const struct daemon_options *options = daemon->options;
    struct task_context context = {.settings = daemon->settings,
                                   .log = daemon->log,
                                   .metrics = daemon->metrics,
                                   .finish = options->finish,
                                   .threads = options->threads,
                                   .plan = options->plan};
    enum status status = handover_check(daemon->settings, err);
    if (status == STATUS_OK)
        status = task_input_partitions(daemon->settings, daemon->log, &context.partitions, err);
    if (status == STATUS_OK)
        status = task_topics_ensure(&context, err);
    if (status != STATUS_OK)
        return status;
    int32_t first = options->ingest_first;
    int32_t count = options->ingest_count > 0 ? options->ingest_count : context.partitions - first;
    if (!(options->stages & DAEMON_INGEST))
        count = 0;
    else if (first < 0 || count < 1 || first + count > context.partitions)
        return error_set(
            err, STATUS_INVALID,
            "could not take ingest tasks %d to %d: the input topics have %d partitions", first,
            first + count - 1, context.partitions);
    size_t others = (size_t)((options->stages & DAEMON_TRAINER) != 0) +
                    (size_t)((options->stages & DAEMON_PUBLISHER) != 0);
    daemon->tasks = memory_new((size_t)count + others, sizeof *daemon->tasks);
    if (!daemon->tasks)
        return error_no_memory(err, ((size_t)count + others) * sizeof *daemon->tasks, "tasks");
    for (int32_t i = 0; status == STATUS_OK && i < count; i++)
        status =
            task_init(&daemon->tasks[daemon->task_count++], &context, TASK_INGEST, first + i, err);
    if (status == STATUS_OK && (options->stages & DAEMON_TRAINER))
        status = task_init(&daemon->tasks[daemon->task_count++], &context, TASK_TRAINER, 0, err);
    if (status == STATUS_OK && (options->stages & DAEMON_PUBLISHER))
        status = task_init(&daemon->tasks[daemon->task_count++], &context, TASK_PUBLISHER, 0, err);
    return status;
}

// A failed attempt leaves nothing behind, so that it can be made again.
static enum status prepare_tasks(struct daemon *daemon, struct error *err) {
    enum status status = make_tasks(daemon, err);
    if (status == STATUS_OK)
        return status;
    for (size_t i = 0; i < daemon->task_count; i++)
        task_deinit(&daemon->tasks[i]);
    memory_free(daemon->tasks);
    daemon->tasks = NULL;
    daemon->task_count = 0;
    return status;
}

static enum status start_tasks(struct daemon *daemon, struct error *err) {
    for (size_t i = 0; i < daemon->task_count; i++) {
        struct task_start *start = memory_new(1, sizeof *start);
        if (!start)
            return error_no_memory(err, sizeof *start, "a task's start");
        *start = (struct task_start){&daemon->tasks[i], &daemon->stop};
        int code = pthread_create(&daemon->tasks[i].thread, NULL, task_thread, start);
        if (code != 0) {
            memory_free(start);
            return error_set(err, STATUS_EXHAUSTED, "could not start the thread of %s: %s",
                             daemon->tasks[i].name, strerror(code));
        }
        daemon->tasks[i].started = true;
    }
    return STATUS_OK;
}

// Until all tasks have ended, one has failed, or a signal asks to stop; true when a signal came.
static bool await_tasks(struct daemon *daemon) {
    for (;;) {
        size_t running = 0;
        bool failed = false;
        for (size_t i = 0; i < daemon->task_count; i++) {
            int phase = atomic_load(&daemon->tasks[i].phase);
            failed |= phase == TASK_FAILED;
            running += phase != TASK_FAILED && phase != TASK_ENDED;
        }
        if (failed || running == 0)
            return false;
        if (daemon->options->plan)
            replay_progress_show(&daemon->progress, daemon->tasks, daemon->task_count);
        if (signal_came(daemon, TICK_MS))
            return true;
    }
}

static bool all_ended(const struct daemon *daemon) {
    for (size_t i = 0; i < daemon->task_count; i++) {
        int phase = atomic_load(&daemon->tasks[i].phase);
        if (daemon->tasks[i].started && phase != TASK_FAILED && phase != TASK_ENDED)
            return false;
    }
    return true;
}

// From here on another SIGTERM or SIGINT ends the process as the system does by default. One that
// comes within the first second is the same request twice (`timeout` signals the process and its
// group).
static void signals_unblock(struct daemon *daemon) {
    for (int turn = 0; turn < 20 && !all_ended(daemon); turn++)
        (void)signal_came(daemon, TICK_MS);
    while (signal_came(daemon, 0)) {
    }
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

// The first task that failed of itself decides the exit code.
static int join_tasks(struct daemon *daemon) {
    struct task *failed = NULL;
    for (size_t i = 0; i < daemon->task_count; i++) {
        struct task *task = &daemon->tasks[i];
        if (!task->started)
            continue;
        REQUIRE(pthread_join(task->thread, NULL) == 0);
        if (!failed && task->status != STATUS_OK && task->status != STATUS_STOPPED)
            failed = task;
    }
    return failed ? command_fail(&failed->error) : EXIT_DONE;
}

// {"measures": ..., "fingerprint": "..."}: equal bytes from runs that learnt the same. The
// fingerprint is of the model and its optimiser, not of how often the clock had it published.
static enum status write_report(struct task *task, const char *path, struct error *err) {
    struct buffer text;
    buffer_init(&text);
    struct report measures = trainer_report(task->state);
    buffer_append_text(&text, "{\"measures\":");
    report_json(&measures, &text);
    buffer_append_text(&text, ",\"fingerprint\":\"%016llx\"}\n",
                       (unsigned long long)learner_fingerprint(trainer_learner(task->state)));
    enum status status = text.failed ? error_no_memory(err, text.length, "the report")
                                     : disk_replace_all(path, text.data, text.length, err);
    buffer_deinit(&text);
    return status;
}

static int report(struct daemon *daemon) {
    int code = EXIT_DONE;
    for (size_t i = 0; i < daemon->task_count; i++) {
        struct task *task = &daemon->tasks[i];
        if (!task->started || task->status == STATUS_FENCED)
            continue;
        task_report(task, stdout);
        if (task->kind != TASK_TRAINER)
            continue;
        struct report measures = trainer_report(task->state);
        report_print(&measures, stdout);
        struct error err;
        if (daemon->options->report &&
            write_report(task, daemon->options->report, &err) != STATUS_OK)
            code = command_fail(&err);
    }
    fflush(stdout);
    return code;
}

static void daemon_deinit(struct daemon *daemon) {
    monitor_stop(daemon->monitor);
    for (size_t i = 0; i < daemon->task_count; i++)
        task_deinit(&daemon->tasks[i]);
    memory_free(daemon->tasks);
    log_close(daemon->log);
    metrics_free(daemon->metrics);
}

static struct monitor_setup monitor_setup(struct daemon *daemon) {
    static const char *const stages[] = {"",
                                         "ingest",
                                         "trainer",
                                         "ingest, trainer",
                                         "publisher",
                                         "ingest, publisher",
                                         "trainer, publisher",
                                         "ingest, trainer, publisher"};
    const struct settings *settings = daemon->settings;
    bool files = settings->log.backend == LOG_FILES;
    return (struct monitor_setup){
        .settings = &settings->monitor,
        .metrics = daemon->metrics,
        .name = settings->name,
        .stages = stages[daemon->options->stages & 7],
        .directories = {settings->directory, files ? settings->log.directory : NULL},
        .health = daemon_health,
        .self = daemon};
}

int daemon_run(const struct settings *settings, const struct daemon_options *options) {
    struct daemon daemon = {.settings = settings, .options = options};
    struct error err;
    int code;
    bool stopped = false;
    signals_block();
    notify_init(&daemon.notify);
    daemon.in_terminal = isatty(STDIN_FILENO);
    enum status status = metrics_new(&daemon.metrics, &err);
    if (status == STATUS_OK && settings->monitor.listen[0] != '\0') {
        struct monitor_setup setup = monitor_setup(&daemon);
        status = monitor_start(&setup, &daemon.monitor, &err);
        if (status == STATUS_OK)
            logger_line(LOGGER_INFO, "daemon", "listening", "port=%d",
                        monitor_port(daemon.monitor));
    }
    if (status == STATUS_OK)
        status = insist(&daemon, open_log, &err);
    if (status == STATUS_OK)
        status = insist(&daemon, prepare_tasks, &err);
    if (status != STATUS_OK) {
        code = command_fail(&err);
        daemon_deinit(&daemon);
        return code;
    }
    atomic_store(&daemon.tasks_made, daemon.task_count);
    replay_progress_init(&daemon.progress, options->plan);
    status = start_tasks(&daemon, &err);
    if (status == STATUS_OK)
        stopped = await_tasks(&daemon);
    notify_send("STOPPING=1\nSTATUS=committing and taking checkpoints");
    atomic_store(&daemon.stop, true);
    signals_unblock(&daemon);
    code = join_tasks(&daemon);
    if (status != STATUS_OK)
        code = command_fail(&err);
    if (options->plan)
        replay_progress_end(&daemon.progress, daemon.tasks, daemon.task_count);
    int report_code = report(&daemon);
    if (code == EXIT_DONE)
        code = report_code;
    // A daemon that runs for ever is stopped by a signal: that is its normal end.
    if (code == EXIT_DONE && stopped && options->finish)
        code = EXIT_INTERRUPTED;
    daemon_deinit(&daemon);
    return code;
}
