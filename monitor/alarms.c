// Reads all series once a sample, keeps marks of the running sums over the window, and compares.
//
// Counters are summed by their increases from one sample to the next, beginning with the second
// sight of a series: a checkpoint may restore a total that was counted before this process began.
#include "monitor/alarms.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/logger.h"
#include "monitor/select.h"

enum { MARKS = 256, TASKS_MAX = 64, DISKS_MAX = 8, POSITIVES_MIN = 100, VERSIONS_MIN = 5 };

enum alarm_kind {
    ALARM_LAG_GROWING,
    ALARM_FRESHNESS,
    ALARM_AUC,
    ALARM_CALIBRATION,
    ALARM_DROPS,
    ALARM_CHECKPOINT_OLD,
    ALARM_DISK_FULL,
    ALARM_UNBALANCED,
    ALARM_GATE_CLOSED,
    ALARM_KINDS
};
static const char *const alarm_names[] = {"lag_growing", "freshness",  "auc",
                                          "calibration", "drops",      "checkpoint_old",
                                          "disk_full",   "unbalanced", "gate_closed"};
_Static_assert(sizeof alarm_names / sizeof *alarm_names == ALARM_KINDS, "a name for each");

struct alarm {
    int64_t since_ms; // 0 = not firing
    char detail[256];
    struct metric *firing;
};

struct mark { // running sums at a time
    int64_t ms;
    double lag, records, dropped, versions, late;
};

struct task_measures { // of a task over all domains
    const char *labels;
    size_t task_length;      // of the `task="..."` that the labels begin with
    double auc[2], error[2]; // [0] since the beginning, [1] recent
    double calibration, positives;
};

struct disk {
    const char *labels;
    double free_bytes;
};

// What one walk over the registry gathers.
struct sight {
    double lag, checkpoint_ms, unbalanced, disk_free_share;
    double held, pinned, version; // of the publisher: held back, pinned (0 = none), out
    const char *gate_labels;      // of a task that holds versions back; NULL = none
    const char *disk_labels;      // of the fullest
    struct disk disks[DISKS_MAX];
    size_t disk_count;
    struct task_measures tasks[TASKS_MAX];
    size_t task_count;
};

struct alarms {
    pthread_mutex_t lock; // guards everything
    struct metrics *metrics;
    struct monitor_alarms settings;
    struct alarm alarms[ALARM_KINDS];
    struct mark now, marks[MARKS]; // ring
    uint64_t marked;
    struct sight sight;
    double seen[METRICS_SERIES_MAX]; // a counter's last value; NaN = not seen
};

enum status alarms_new(struct metrics *metrics, struct alarms **ret_alarms, struct error *err) {
    struct alarms *alarms = memory_new(1, sizeof *alarms);
    if (!alarms)
        return error_no_memory(err, sizeof *alarms, "the alarms");
    REQUIRE(pthread_mutex_init(&alarms->lock, NULL) == 0);
    alarms->metrics = metrics;
    for (size_t i = 0; i < METRICS_SERIES_MAX; i++)
        alarms->seen[i] = (double)NAN;
    for (size_t i = 0; i < ALARM_KINDS; i++) {
        char labels[64] = "";
        metrics_label(labels, sizeof labels, "alarm", alarm_names[i]);
        alarms->alarms[i].firing =
            metrics_get(metrics, METRIC_GAUGE, "freshet_alarm_firing", labels,
                        "1 while this daemon's own alarm sounds; docs/operations.md has each.");
    }
    *ret_alarms = alarms;
    return STATUS_OK;
}

void alarms_free(struct alarms *alarms) {
    if (!alarms)
        return;
    pthread_mutex_destroy(&alarms->lock);
    memory_free(alarms);
}

// --- Gathering.

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

// The increase since the last sample; 0 at first sight.
static double increase(struct alarms *alarms, uint32_t id, double value) {
    double before = alarms->seen[id];
    alarms->seen[id] = value;
    return value > before ? value - before : 0;
}

static void gather_freshness(struct alarms *alarms, const struct metrics_series *series) {
    double good = 0, all = 0;
    for (size_t i = 0; i <= series->bound_count; i++) {
        all += (double)series->observed[i];
        if (i < series->bound_count &&
            series->bounds[i] * 1000 <= (double)alarms->settings.freshness_ms * (1 + 1e-9))
            good += (double)series->observed[i];
    }
    alarms->now.versions = all; // of this process alone: nothing restores them
    alarms->now.late = all - good;
}

static struct task_measures *task_of(struct sight *sight, const char *labels, size_t task_length) {
    for (size_t i = 0; i < sight->task_count; i++)
        if (sight->tasks[i].task_length == task_length &&
            memcmp(sight->tasks[i].labels, labels, task_length) == 0)
            return &sight->tasks[i];
    if (sight->task_count == TASKS_MAX)
        return NULL;
    sight->tasks[sight->task_count] = (struct task_measures){
        .labels = labels, .task_length = task_length, .calibration = (double)NAN};
    return &sight->tasks[sight->task_count++];
}

static void gather_measure(struct sight *sight, const struct metrics_series *series) {
    static const char *const ends[] = {",domain=\"all\",window=\"ever\"",
                                       ",domain=\"all\",window=\"recent\""};
    const char *what = series->name + strlen("freshet_trainer_");
    for (int recent = 0; recent < 2; recent++) {
        if (!ends_with(series->labels, ends[recent]))
            continue;
        struct task_measures *task =
            task_of(sight, series->labels, strlen(series->labels) - strlen(ends[recent]));
        if (!task)
            return;
        if (strcmp(what, "auc") == 0)
            task->auc[recent] = series->value;
        else if (strcmp(what, "auc_error") == 0)
            task->error[recent] = series->value;
        else if (recent && strcmp(what, "calibration") == 0)
            task->calibration = series->value;
        else if (recent && strcmp(what, "measured_positives") == 0)
            task->positives = series->value;
    }
}

// Free space of all disks is met before the sizes, as they were registered.
static void gather_disk_free(struct sight *sight, const struct metrics_series *series) {
    if (sight->disk_count == DISKS_MAX)
        return;
    sight->disks[sight->disk_count++] = (struct disk){series->labels, series->value};
}

static void gather_disk_size(struct sight *sight, const struct metrics_series *series) {
    for (size_t i = 0; i < sight->disk_count; i++) {
        const struct disk *disk = &sight->disks[i];
        double share = disk->free_bytes / series->value;
        if (strcmp(disk->labels, series->labels) != 0 || share >= sight->disk_free_share)
            continue;
        sight->disk_free_share = share;
        sight->disk_labels = series->labels;
    }
}

// Reasons that say nothing of a fault: repeats, events that the mapping leaves out, and predictions
// of a task that has no label for the impression.
static bool on_purpose(const char *labels) {
    static const char *const reasons[] = {"duplicate", "applied-before", "not-wanted", "left-out"};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (select_has(labels, "reason", reasons[i]))
            return true;
    return false;
}

static void gather_gate(struct sight *sight, const struct metrics_series *series) {
    if (strcmp(series->name, "freshet_publisher_held_versions") == 0)
        sight->held = series->value;
    else if (strcmp(series->name, "freshet_publisher_pinned_version") == 0)
        sight->pinned = series->value;
    else if (strcmp(series->name, "freshet_publisher_version") == 0)
        sight->version = series->value;
    else if (strcmp(series->name, "freshet_trainer_gate_closed") == 0 && series->value > 0)
        sight->gate_labels = series->labels;
}

static void gather(void *self, const struct metrics_series *series) {
    struct alarms *alarms = self;
    struct sight *sight = &alarms->sight;
    if (strncmp(series->name, "freshet_trainer_", strlen("freshet_trainer_")) == 0)
        gather_measure(sight, series);
    gather_gate(sight, series);
    if (ends_with(series->name, "_lag_records"))
        sight->lag += series->value > 0 ? series->value : 0;
    else if (ends_with(series->name, "_records_total"))
        alarms->now.records += increase(alarms, series->id, series->value);
    else if (ends_with(series->name, "_dropped_total") && !on_purpose(series->labels))
        alarms->now.dropped += increase(alarms, series->id, series->value);
    else if (ends_with(series->name, "_checkpoint_timestamp_seconds"))
        sight->checkpoint_ms = fmin(sight->checkpoint_ms, series->value * 1000);
    else if (ends_with(series->name, "_accounts_unbalanced"))
        sight->unbalanced += series->value;
    else if (strcmp(series->name, "freshet_disk_free_bytes") == 0)
        gather_disk_free(sight, series);
    else if (strcmp(series->name, "freshet_disk_size_bytes") == 0)
        gather_disk_size(sight, series);
    else if (ends_with(series->name, "_freshness_seconds"))
        gather_freshness(alarms, series);
}

// --- Judging.

// Sets one alarm; `detail` says what is wrong while it is.
static void judge(struct alarms *alarms, enum alarm_kind kind, int64_t now_ms, bool wrong,
                  const char *detail) {
    struct alarm *alarm = &alarms->alarms[kind];
    bool was = alarm->since_ms > 0;
    if (wrong)
        snprintf(alarm->detail, sizeof alarm->detail, "%s", detail);
    metric_set(alarm->firing, wrong ? 1 : 0);
    if (wrong && !was) {
        alarm->since_ms = now_ms;
        logger_line(LOGGER_WARN, "monitor", "alarm", "alarm=\"%s\" detail=\"%s\"",
                    alarm_names[kind], detail);
    } else if (!wrong && was) {
        logger_line(LOGGER_INFO, "monitor", "alarm-over", "alarm=\"%s\" lasted_ms=%lld",
                    alarm_names[kind], (long long)(now_ms - alarm->since_ms));
        alarm->since_ms = 0;
        alarm->detail[0] = '\0';
    }
}

// The oldest mark inside the window.
static const struct mark *mark_before(const struct alarms *alarms) {
    int64_t begin_ms = alarms->now.ms - alarms->settings.window_ms;
    uint64_t first = alarms->marked > MARKS ? alarms->marked - MARKS : 0;
    for (uint64_t i = first; i < alarms->marked; i++)
        if (alarms->marks[i % MARKS].ms >= begin_ms)
            return &alarms->marks[i % MARKS];
    return &alarms->now;
}

static void mark_put(struct alarms *alarms) {
    const struct mark *last = &alarms->marks[(alarms->marked + MARKS - 1) % MARKS];
    if (alarms->marked == 0 ||
        alarms->now.ms - last->ms >= alarms->settings.window_ms / (MARKS - 1))
        alarms->marks[alarms->marked++ % MARKS] = alarms->now;
}

static void judge_flow(struct alarms *alarms) {
    const struct monitor_alarms *settings = &alarms->settings;
    const struct mark *now = &alarms->now, *before = mark_before(alarms);
    char detail[256];
    // Lag is judged once half of the window has been seen: a start always finds some.
    bool seen = now->ms - before->ms >= settings->window_ms / 2;
    snprintf(detail, sizeof detail, "%.0f records wait, %.0f more than %lld s ago", now->lag,
             now->lag - before->lag, (long long)(now->ms - before->ms) / 1000);
    judge(alarms, ALARM_LAG_GROWING, now->ms,
          seen && now->lag >= (double)settings->lag_records && now->lag > before->lag, detail);
    double versions = now->versions - before->versions, late = now->late - before->late;
    snprintf(detail, sizeof detail, "%.0f of %.0f versions were later than %g s", late, versions,
             (double)settings->freshness_ms / 1000);
    judge(alarms, ALARM_FRESHNESS, now->ms,
          versions >= VERSIONS_MIN && late > versions * settings->freshness_share, detail);
    double records = now->records - before->records, dropped = now->dropped - before->dropped;
    snprintf(detail, sizeof detail, "%.0f records were dropped while %.0f were read", dropped,
             records);
    judge(alarms, ALARM_DROPS, now->ms, dropped > fmax(records, 1) * settings->drop_share, detail);
}

static void judge_measures(struct alarms *alarms) {
    const struct monitor_alarms *settings = &alarms->settings;
    char auc[256] = "", calibration[256] = "";
    for (size_t i = 0; i < alarms->sight.task_count; i++) {
        const struct task_measures *task = &alarms->sight.tasks[i];
        if (task->positives < POSITIVES_MIN)
            continue;
        // The name without task="".
        int length = (int)task->task_length - 7;
        const char *name = task->labels + 6;
        double drop = task->auc[0] - task->auc[1];
        if (drop > settings->auc_drop && drop > 3 * hypot(task->error[0], task->error[1]))
            snprintf(auc, sizeof auc, "%.*s has %.4f recently, %.4f since the beginning", length,
                     name, task->auc[1], task->auc[0]);
        double off = fabs(task->calibration - 1);
        if (off > settings->calibration_error &&
            off > 3 * task->calibration / sqrt(task->positives))
            snprintf(calibration, sizeof calibration, "predicted / observed of %.*s is %.3f",
                     length, name, task->calibration);
    }
    judge(alarms, ALARM_AUC, alarms->now.ms, auc[0] != '\0', auc);
    judge(alarms, ALARM_CALIBRATION, alarms->now.ms, calibration[0] != '\0', calibration);
}

static void judge_upkeep(struct alarms *alarms) {
    const struct monitor_alarms *settings = &alarms->settings;
    const struct sight *sight = &alarms->sight;
    int64_t now_ms = alarms->now.ms;
    char detail[256];
    double age_ms = (double)now_ms - sight->checkpoint_ms;
    snprintf(detail, sizeof detail, "the oldest checkpoint is from %.0f s ago", age_ms / 1000);
    judge(alarms, ALARM_CHECKPOINT_OLD, now_ms,
          isfinite(age_ms) && age_ms > (double)settings->checkpoint_age_ms, detail);
    snprintf(detail, sizeof detail, "%.1f %% free: %s", 100 * sight->disk_free_share,
             sight->disk_labels ? sight->disk_labels : "");
    judge(alarms, ALARM_DISK_FULL, now_ms, sight->disk_free_share < settings->disk_free_share,
          detail);
    snprintf(detail, sizeof detail, "%.0f accounts: read is not used + in flight + dropped",
             sight->unbalanced);
    judge(alarms, ALARM_UNBALANCED, now_ms, sight->unbalanced > 0, detail);
}

// Pins hold versions on purpose.
static void judge_gate(struct alarms *alarms) {
    const struct sight *sight = &alarms->sight;
    char detail[256];
    bool held = sight->held > 0 && sight->pinned == 0;
    if (held)
        snprintf(detail, sizeof detail,
                 "%.0f versions are held back, version %.0f is out; `freshet versions` says why",
                 sight->held, sight->version);
    else
        snprintf(detail, sizeof detail, "the measures of %s hold versions back",
                 sight->gate_labels ? sight->gate_labels : "");
    judge(alarms, ALARM_GATE_CLOSED, alarms->now.ms, held || sight->gate_labels, detail);
}

void alarms_sample(struct alarms *alarms, const struct monitor_alarms *settings, int64_t now_ms) {
    pthread_mutex_lock(&alarms->lock);
    alarms->settings = *settings;
    alarms->sight =
        (struct sight){.checkpoint_ms = (double)INFINITY, .disk_free_share = (double)INFINITY};
    metrics_each(alarms->metrics, gather, alarms);
    alarms->now.ms = now_ms;
    alarms->now.lag = alarms->sight.lag;
    judge_flow(alarms);
    judge_measures(alarms);
    judge_upkeep(alarms);
    judge_gate(alarms);
    mark_put(alarms);
    pthread_mutex_unlock(&alarms->lock);
}

static void put_text(struct buffer *into, const char *text) {
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buffer_append_byte(into, '\\');
        buffer_append_byte(into, (unsigned char)(*text >= 0 && *text < 0x20 ? ' ' : *text));
    }
}

void alarms_render(struct alarms *alarms, struct buffer *into) {
    pthread_mutex_lock(&alarms->lock);
    buffer_append_byte(into, '[');
    for (size_t i = 0; i < ALARM_KINDS; i++) {
        const struct alarm *alarm = &alarms->alarms[i];
        buffer_append_text(into, "%s{\"name\":\"%s\",\"firing\":%s,\"since_ms\":%lld,\"detail\":\"",
                           i > 0 ? "," : "", alarm_names[i], alarm->since_ms > 0 ? "true" : "false",
                           (long long)alarm->since_ms);
        put_text(into, alarm->detail);
        buffer_append_text(into, "\"}");
    }
    buffer_append_byte(into, ']');
    pthread_mutex_unlock(&alarms->lock);
}
