// Sections of lines, cut to the screen. Each section says how many lines it wants; what room there
// is goes round by round to those that want more, so that nothing important is pushed off.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/top.h"

enum { SECTIONS_MAX = 8, LINES_MAX = 400, LINE_BYTES = 512 };

struct section {
    char (*lines)[LINE_BYTES]; // [LINES_MAX]; the first is the heading
    size_t count;
};

struct view {
    const struct top_screen *screen;
    const struct top_daemon *daemon; // under way
    struct section sections[SECTIONS_MAX];
    size_t section_count;
    bool broken;      // memory is out
    const char *task; // whose domains are shown
    size_t task_place;
    double records_rate, lag, lag_before, dropped, version, fresh, versions; // sums over daemons
    double held, pinned; // versions held back; the pinned one, 0 = none
};

static struct section *section_begin(struct view *view, const char *heading) {
    struct section *section = &view->sections[view->section_count];
    section->lines = memory_new(LINES_MAX, LINE_BYTES);
    if (!section->lines) {
        view->broken = true;
        return section;
    }
    view->section_count++;
    snprintf(section->lines[section->count++], LINE_BYTES, "%s", heading);
    return section;
}

// The next line of the section under way; a scratch line once it is full.
static char *line_next(struct view *view) {
    static _Thread_local char scratch[LINE_BYTES];
    struct section *section = &view->sections[view->section_count - 1];
    if (view->broken || section->count == LINES_MAX)
        return scratch;
    return section->lines[section->count++];
}

// "12,345", "1.2 M", or "-" for NaN; ret must hold 24 bytes.
static const char *count_text(double value, char *ret) {
    if (!isfinite(value))
        snprintf(ret, 24, "-");
    else if (fabs(value) >= 1e7)
        snprintf(ret, 24, "%.1f M", value / 1e6);
    else if (fabs(value) >= 1000)
        snprintf(ret, 24, "%.0f,%03.0f", floor(value / 1000), fmod(floor(value), 1000));
    else
        snprintf(ret, 24, "%.*f", value == floor(value) || value >= 100 ? 0 : 1, value);
    return ret;
}

static const char *real_text(double value, int decimals, char *ret) {
    if (isfinite(value))
        snprintf(ret, 24, "%.*f", decimals, value);
    else
        snprintf(ret, 24, "-");
    return ret;
}

// The values of a series as `columns` characters of rising height, oldest first.
static void spark(const struct view *view, const json_t *series, size_t columns, char *ret) {
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const plain[] = {"_", ".", ":", "-", "=", "+", "*", "#"};
    const json_t *values = json_object_get(series, "values");
    size_t count = json_array_size(values);
    double least = (double)INFINITY, most = -(double)INFINITY;
    for (size_t i = 0; i < count; i++) {
        if (!json_is_number(json_array_get(values, i)))
            continue;
        double value = json_number_value(json_array_get(values, i));
        least = fmin(least, value);
        most = fmax(most, value);
    }
    ret[0] = '\0';
    for (size_t i = 0; i < columns && count > 0; i++) {
        const json_t *value =
            json_array_get(values, (i + 1) * count / columns - (count >= columns));
        double share = json_is_number(value) && most > least
                           ? (json_number_value(value) - least) / (most - least)
                           : 0;
        const char *mark = (view->screen->unicode ? blocks : plain)[(int)(share * 7.999)];
        size_t length = strlen(ret);
        snprintf(ret + length, 4 * columns + 1 - length, "%s", json_is_number(value) ? mark : " ");
    }
}

// --- Sections.

static void sum_rate(void *self, const json_t *series) {
    struct view *view = self;
    view->records_rate += top_rate(view->daemon->flow, series);
}

static void sum_lag(void *self, const json_t *series) {
    struct view *view = self;
    view->lag += fmax(top_last(series), 0);
}

static void sum_dropped(void *self, const json_t *series) {
    static const char *const on_purpose[] = {"duplicate", "applied-before", "not-wanted",
                                             "left-out"};
    struct view *view = self;
    for (size_t i = 0; i < sizeof on_purpose / sizeof *on_purpose; i++)
        if (strcmp(top_label(series, "reason"), on_purpose[i]) == 0)
            return;
    view->dropped += top_last(series);
}

static void take_version(void *self, const json_t *series) {
    struct view *view = self;
    view->version = top_last(series);
}

static void take_held(void *self, const json_t *series) {
    struct view *view = self;
    view->held = top_last(series);
}

static void take_pinned(void *self, const json_t *series) {
    struct view *view = self;
    view->pinned = top_last(series);
}

static void take_fresh(void *self, const json_t *series) {
    struct view *view = self;
    double bound = 0;
    double objective = json_number_value(json_object_get(view->daemon->flow, "freshness_ms"));
    const char *text = top_label(series, "le");
    if (strcmp(text, "+Inf") == 0)
        view->versions = top_last(series);
    else if (sscanf(text, "%lf", &bound) == 1 && bound * 1000 <= objective)
        view->fresh = top_last(series);
}

static void each_daemon(struct view *view, const struct top_sight *sight,
                        void (*visit)(struct view *view)) {
    for (size_t i = 0; i < sight->count; i++) {
        view->daemon = &sight->daemons[i];
        visit(view);
    }
}

static void head_lines(struct view *view) {
    const struct top_daemon *daemon = view->daemon;
    if (!daemon->flow) {
        snprintf(line_next(view), LINE_BYTES, "!%.500s", daemon->err.message);
        return;
    }
    const json_t *flow = daemon->flow;
    const char *reason =
        json_string_value(json_object_get(json_object_get(flow, "state"), "reason"));
    bool ready = json_is_true(json_object_get(flow, "ready"));
    snprintf(line_next(view), LINE_BYTES, "%s%s:%s  %s %s: %s", ready ? "" : "!",
             daemon->address.host, daemon->address.port,
             json_string_value(json_object_get(json_object_get(flow, "deployment"), "name")),
             json_string_value(json_object_get(json_object_get(flow, "stages"), "names")),
             ready               ? "running"
             : reason && *reason ? reason
                                 : "not ready");
    const json_t *alarms = json_object_get(flow, "alarms");
    for (size_t i = 0; i < json_array_size(alarms); i++) {
        const json_t *alarm = json_array_get(alarms, i);
        if (json_is_true(json_object_get(alarm, "firing")))
            snprintf(line_next(view), LINE_BYTES, "!ALARM %s: %s",
                     json_string_value(json_object_get(alarm, "name")),
                     json_string_value(json_object_get(alarm, "detail")));
    }
    top_each(flow, "freshet_*_records_total", NULL, NULL, sum_rate, view);
    top_each(flow, "freshet_*_lag_records", NULL, NULL, sum_lag, view);
    top_each(flow, "freshet_*_dropped_total", NULL, NULL, sum_dropped, view);
    top_each(flow, "freshet_publisher_version", NULL, NULL, take_version, view);
    top_each(flow, "freshet_publisher_held_versions", NULL, NULL, take_held, view);
    top_each(flow, "freshet_publisher_pinned_version", NULL, NULL, take_pinned, view);
    top_each(flow, "freshet_publisher_freshness_seconds_bucket", NULL, NULL, take_fresh, view);
}

static void sums_line(struct view *view) {
    char rate[24], lag[24], dropped[24], version[24], fresh[24];
    snprintf(
        line_next(view), LINE_BYTES,
        "read %s/s   waiting %s   dropped %s   version %s   in time %s %%",
        count_text(view->records_rate, rate), count_text(view->lag, lag),
        count_text(view->dropped, dropped), count_text(view->version, version),
        real_text(view->versions > 0 ? 100 * view->fresh / view->versions : (double)NAN, 1, fresh));
}

static void held_line(struct view *view) {
    char held[24], version[24];
    if (view->pinned > 0)
        snprintf(line_next(view), LINE_BYTES, "!version %s is pinned, %s newer ones are held back",
                 count_text(view->pinned, version), count_text(view->held, held));
    else if (view->held > 0)
        snprintf(line_next(view), LINE_BYTES, "!%s versions are held back by the gate",
                 count_text(view->held, held));
}

static bool is_small(const json_t *answer, const json_t *series) {
    double positives = top_twin(answer, series, "freshet_trainer_measured_positives");
    double labels = top_twin(answer, series, "freshet_trainer_measured_labels");
    return !(positives >= TOP_SMALL && labels - positives >= TOP_SMALL);
}

static void measure_line(struct view *view, const json_t *answer, const json_t *series,
                         const char *name, bool with_spark) {
    char auc[24], error[24], calibration[24], entropy[24], labels[24], trend[4 * 20 + 1] = "";
    count_text(top_twin(answer, series, "freshet_trainer_measured_labels"), labels);
    if (is_small(answer, series)) {
        snprintf(line_next(view), LINE_BYTES, "%-16.16s %9s  too small to tell", name, labels);
        return;
    }
    if (with_spark)
        spark(view, series, 20, trend);
    snprintf(line_next(view), LINE_BYTES, "%-16.16s %9s %7s %7s %8s %7s  %s", name, labels,
             real_text(top_last(series), 4, auc),
             real_text(2 * top_twin(answer, series, "freshet_trainer_auc_error"), 4, error),
             real_text(top_twin(answer, series, "freshet_trainer_calibration"), 3, calibration),
             real_text(top_twin(answer, series, "freshet_trainer_normalised_entropy"), 4, entropy),
             trend);
}

static void task_line(void *self, const json_t *series) {
    struct view *view = self;
    if (strcmp(top_label(series, "domain"), "all") != 0 || *top_label(series, "popularity"))
        return;
    if (view->task_place++ <= view->screen->task || !view->task)
        view->task = top_label(series, "task");
    measure_line(view, view->daemon->flow, series, top_label(series, "task"), true);
}

static void task_lines(struct view *view) {
    top_each(view->daemon->flow, "freshet_trainer_auc", "window", "recent", task_line, view);
}

static void domain_line(void *self, const json_t *series) {
    struct view *view = self;
    if (strcmp(top_label(series, "domain"), "all") == 0 || *top_label(series, "popularity") ||
        strcmp(top_label(series, "window"), "recent") != 0)
        return;
    measure_line(view, view->daemon->domains, series, top_label(series, "domain"), false);
}

static void domain_lines(struct view *view) {
    if (view->task)
        top_each(view->daemon->domains, "freshet_trainer_auc", "task", view->task, domain_line,
                 view);
}

struct input {
    const char *task, *topic;
    double lag;
};

static void input_lag(void *self, const json_t *series) {
    struct input *input = self;
    if (strcmp(top_label(series, "topic"), input->topic) == 0)
        input->lag += fmax(top_last(series), 0);
}

static void input_line(void *self, const json_t *series) {
    struct view *view = self;
    struct input input = {top_label(series, "task"), top_label(series, "input"), 0};
    char rate[24], lag[24];
    top_each(view->daemon->flow, "freshet_*_lag_records", "task", input.task, input_lag, &input);
    snprintf(line_next(view), LINE_BYTES, "%-24.24s %-24.24s %11s %11s", input.task, input.topic,
             count_text(top_rate(view->daemon->flow, series), rate), count_text(input.lag, lag));
}

static void input_lines(struct view *view) {
    top_each(view->daemon->flow, "freshet_*_records_total", NULL, NULL, input_line, view);
}

static void drop_line(void *self, const json_t *series) {
    struct view *view = self;
    char all[24], rate[24];
    if (!(top_last(series) > 0))
        return;
    snprintf(line_next(view), LINE_BYTES, "%-24.24s %-24.24s %11s %11s", top_label(series, "input"),
             top_label(series, "reason"), count_text(top_last(series), all),
             real_text(top_rate(view->daemon->flow, series), 2, rate));
}

static void drop_lines(struct view *view) {
    top_each(view->daemon->flow, "freshet_*_dropped_total", NULL, NULL, drop_line, view);
}

static void balance_line(void *self, const json_t *series) {
    struct view *view = self;
    const json_t *flow = view->daemon->flow;
    char norm[24], cosine[24], factor[24];
    snprintf(line_next(view), LINE_BYTES, "%-16.16s %-12.12s %11s %9s %9s",
             top_label(series, "task"), top_label(series, "group"),
             real_text(top_twin(flow, series, "freshet_trainer_gradient_norm"), 5, norm),
             real_text(top_twin(flow, series, "freshet_trainer_gradient_cosine"), 3, cosine),
             real_text(top_last(series), 3, factor));
}

static void balance_lines(struct view *view) {
    top_each(view->daemon->flow, "freshet_trainer_gradient_factor", NULL, NULL, balance_line, view);
}

// --- The screen.

// Appends a line cut to the screen's columns; a "!" before it means that something is wrong.
static void put_line(const struct top_screen *screen, const char *line, bool heading,
                     struct buffer *into) {
    bool wrong = line[0] == '!';
    const char *at = line + wrong;
    const char *before = wrong ? "\033[1;31m" : heading ? "\033[1m" : "";
    if (screen->colour)
        buffer_append_text(into, "%s", before);
    for (int columns = 0; *at && (screen->width == 0 || columns < screen->width); columns++)
        do { // a code point is a column here
            unsigned char c = (unsigned char)*at++;
            buffer_append_byte(into, c < 0x20 || c == 0x7f ? '?' : c);
        } while (((unsigned char)*at & 0xC0) == 0x80);
    if (screen->colour && *before)
        buffer_append_text(into, "\033[0m");
    buffer_append_byte(into, '\n');
}

// How many lines each section gets: two each at first, then one by one in turn.
static void share_lines(const struct view *view, size_t *ret_lines) {
    size_t room = view->screen->height > 0 ? (size_t)view->screen->height : SIZE_MAX;
    for (size_t i = 0; i < view->section_count; i++)
        ret_lines[i] = 0;
    for (bool moved = true; moved && room > 0;) {
        moved = false;
        for (size_t i = 0; i < view->section_count && room > 0; i++) {
            size_t wanted = view->sections[i].count > 1 ? view->sections[i].count : 0;
            size_t step = i == 0 ? wanted : 1; // the head is whole
            if (ret_lines[i] >= wanted)
                continue;
            step = step < room ? step : room;
            ret_lines[i] += step;
            room -= step;
            moved = true;
        }
    }
}

static void put_sections(struct view *view, struct buffer *into) {
    size_t lines[SECTIONS_MAX];
    share_lines(view, lines);
    for (size_t i = 0; i < view->section_count; i++) {
        const struct section *section = &view->sections[i];
        for (size_t k = 0; k < lines[i]; k++) {
            char more[LINE_BYTES];
            const char *line = section->lines[k];
            if (k > 0 && k + 1 == lines[i] && lines[i] < section->count) {
                snprintf(more, sizeof more, "... and %zu more", section->count - k);
                line = more;
            }
            put_line(view->screen, line, k == 0, into);
        }
    }
}

void top_draw(const struct top_sight *sight, const struct top_screen *screen, struct buffer *into) {
    static const struct {
        const char *heading;
        void (*lines)(struct view *view);
    } parts[] = {
        {"TASK                LABELS     AUC   +-2se pred/obs      NE  AUC, last 5 min",
         task_lines},
        {"INPUT                    TOPIC                        READ/S     WAITING", input_lines},
        {NULL, domain_lines},
        {"DROPPED BY               REASON                       IN ALL    A SECOND", drop_lines},
        {"TASK             GRADIENT OF         NORM    COSINE    FACTOR", balance_lines},
    };
    struct view view = {.screen = screen, .version = (double)NAN};
    (void)section_begin(&view, "Freshet top: q ends, t shows the domains of the next task");
    if (!view.broken) {
        each_daemon(&view, sight, head_lines);
        sums_line(&view);
        held_line(&view);
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !view.broken; i++) {
        char heading[LINE_BYTES];
        snprintf(heading, sizeof heading,
                 "DOMAIN OF %-6.20s    LABELS     AUC   +-2se pred/obs      NE",
                 view.task ? view.task : "");
        (void)section_begin(&view, parts[i].heading ? parts[i].heading : heading);
        if (!view.broken)
            each_daemon(&view, sight, parts[i].lines);
    }
    if (view.broken)
        into->failed = true;
    else
        put_sections(&view, into);
    for (size_t i = 0; i < SECTIONS_MAX; i++)
        memory_free(view.sections[i].lines);
}
