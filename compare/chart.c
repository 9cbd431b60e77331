// AUC over event time as SVG: no script, no font but the viewer's own.
#include <math.h>
#include <string.h>
#include <time.h>

#include "compare/output.h"

enum { WIDTH = 820, PANEL = 220, LEFT = 60, RIGHT = 20, TOP = 34, BOTTOM = 34, LEGEND = 22 };

static const char *const colours[] = {"#1b6ca8", "#d1495b", "#2e933c", "#edae49",
                                      "#6a4c93", "#00798c", "#8d6a9f", "#555555"};
enum { COLOURS = sizeof colours / sizeof *colours };

struct panel {
    double low, high; // AUC
    double top;       // pixels
    size_t windows;
};

static void escaped(struct buffer *into, const char *text) {
    for (; *text; text++) {
        if (*text == '<' || *text == '>' || *text == '&')
            buffer_append_text(into, "&#%d;", *text);
        else
            buffer_append_byte(into, (unsigned char)*text);
    }
}

static double x_of(const struct panel *panel, size_t window) {
    double step =
        (double)(WIDTH - LEFT - RIGHT) / (double)(panel->windows > 1 ? panel->windows - 1 : 1);
    return LEFT + step * (double)window;
}

static double y_of(const struct panel *panel, double auc) {
    double share = (auc - panel->low) / (panel->high - panel->low);
    return panel->top + (PANEL - TOP - BOTTOM) * (1 - share);
}

static void range_find(const struct contest *contest, size_t task, struct panel *panel) {
    panel->low = 1;
    panel->high = 0;
    for (size_t config = 0; config < contest_settings_of(contest)->configs; config++) {
        for (size_t i = 0; i < panel->windows; i++) {
            double auc = contest_window_auc(contest, task, config, i);
            panel->low = auc < panel->low ? auc : panel->low; // NaN compares false
            panel->high = auc > panel->high ? auc : panel->high;
        }
    }
    if (panel->low > panel->high)
        panel->low = panel->high = .5;
    panel->low = floor(panel->low * 50 - .01) / 50;
    panel->high = ceil(panel->high * 50 + .01) / 50;
}

static void axes_put(const struct contest *contest, const struct panel *panel, const char *task,
                     struct buffer *into) {
    buffer_append_text(into, "<text x=\"%d\" y=\"%.1f\" font-weight=\"bold\">AUC of ", LEFT,
                       panel->top - 12);
    escaped(into, task);
    buffer_append_text(into, "</text>\n");
    for (int i = 0; i <= 4; i++) {
        double auc = panel->low + (panel->high - panel->low) * i / 4, y = y_of(panel, auc);
        buffer_append_text(into,
                           "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" "
                           "text-anchor=\"end\">%.3f</text>\n",
                           LEFT, y, WIDTH - RIGHT, LEFT - 6, y + 4, auc);
    }
    size_t every = panel->windows / 6 + 1;
    for (size_t i = 0; i < panel->windows; i += every) {
        time_t seconds = (time_t)(contest_window_begin(contest, i) / 1000);
        struct tm utc;
        char label[32] = "";
        if (gmtime_r(&seconds, &utc))
            strftime(label, sizeof label, "%m-%d %H:%M", &utc);
        buffer_append_text(into, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
                           x_of(panel, i), panel->top + PANEL - TOP - BOTTOM + 16, label);
    }
}

static void line_put(const struct contest *contest, const struct panel *panel, size_t task,
                     size_t config, struct buffer *into) {
    buffer_append_text(into, "<path fill=\"none\" stroke-width=\"1.6\" stroke=\"%s\" d=\"",
                       colours[config % COLOURS]);
    bool drawing = false;
    for (size_t i = 0; i < panel->windows; i++) {
        double auc = contest_window_auc(contest, task, config, i);
        if (isfinite(auc))
            buffer_append_text(into, "%c%.1f %.1f", drawing ? 'L' : 'M', x_of(panel, i),
                               y_of(panel, auc));
        drawing = isfinite(auc);
    }
    buffer_append_text(into, "\"/>\n");
}

void output_svg(const struct contest *contest, const struct output_names *names,
                struct buffer *into) {
    const struct contest_settings *settings = contest_settings_of(contest);
    size_t height = settings->tasks * PANEL + settings->configs * LEGEND + 20;
    buffer_append_text(into,
                       "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%zu\" "
                       "font-family=\"sans-serif\" font-size=\"11\">\n"
                       "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
                       WIDTH, height);
    for (size_t task = 0; task < settings->tasks; task++) {
        struct panel panel = {.top = (double)(task * PANEL) + TOP,
                              .windows = contest_window_count(contest)};
        range_find(contest, task, &panel);
        axes_put(contest, &panel, names->tasks[task], into);
        for (size_t config = 0; config < settings->configs; config++)
            line_put(contest, &panel, task, config, into);
    }
    for (size_t config = 0; config < settings->configs; config++) {
        size_t y = settings->tasks * PANEL + 10 + config * LEGEND;
        buffer_append_text(into,
                           "<rect x=\"%d\" y=\"%zu\" width=\"18\" height=\"4\" fill=\"%s\"/>"
                           "<text x=\"%d\" y=\"%zu\">",
                           LEFT, y, colours[config % COLOURS], LEFT + 26, y + 6);
        escaped(into, names->configs[config]);
        buffer_append_text(into, "</text>\n");
    }
    buffer_append_text(into, "</svg>\n");
}
