// `freshet top`: what daemons show of themselves, in a terminal. top.c is the command and the
// terminal, top_sight.c what was fetched, top_view.c what is drawn.
#ifndef FRESHET_CLI_TOP_H
#define FRESHET_CLI_TOP_H

#include <jansson.h>

#include "cli/http.h"

enum { TOP_DAEMONS_MAX = 16, TOP_MINUTES = 5, TOP_SMALL = 50 };

// One daemon as it answered last.
struct top_daemon {
    struct http_address address;
    json_t *flow;     // /history of the last minutes, domains aside; owned; NULL = no answer
    json_t *domains;  // the newest sample of every domain's recent measures; owned
    struct error err; // why there was no answer
};

struct top_sight {
    struct top_daemon daemons[TOP_DAEMONS_MAX];
    size_t count;
};

// Asks every daemon again. A daemon without an answer has flow NULL and says why in err.
void top_fetch(struct top_sight *sight);
void top_release(struct top_sight *sight);
// Walks the series that match a pattern (fnmatch) and have the label (NULL = any).
void top_each(const json_t *answer, const char *pattern, const char *key, const char *value,
              void (*visit)(void *self, const json_t *series), void *self);
const char *top_label(const json_t *series, const char *key); // "" when it has none
double top_last(const json_t *series);                        // NaN when it has none
double top_rate(const json_t *answer, const json_t *series);  // increase a second over all samples
// The last value of another series with the same labels; NaN.
double top_twin(const json_t *answer, const json_t *series, const char *name);
json_t *top_json(const struct top_sight *sight); // everything, the newest values; NULL = no memory

struct top_screen {
    int width, height; // height 0 = as many lines as there are
    bool colour, unicode;
    size_t task; // whose domains are shown
};
// Draws lines of at most `width` columns, `height` of them, each ended by a newline.
void top_draw(const struct top_sight *sight, const struct top_screen *screen, struct buffer *into);

#endif
