// The history that the page plots: the newest samples of the registry, in memory of a bounded size.
//
// What it owns: two rings of times and, for each series, two rings of values. Every sample enters
// the fine ring (HISTORY_FINE samples), each HISTORY_STRIDE-th also the coarse one
// (HISTORY_COARSE), so that a reload of the page shows the last minutes sample by sample and a day
// in outline.
//
// What it leaves out: measures since the beginning of single domains, and histograms other than
// freshness (kept as cumulative buckets). Series beyond the bound have no history.
#ifndef FRESHET_MONITOR_HISTORY_H
#define FRESHET_MONITOR_HISTORY_H

#include "base/metrics.h"

enum { HISTORY_FINE = 300, HISTORY_COARSE = 720, HISTORY_STRIDE = 24 };

struct history;

CHECKED enum status history_new(size_t series_max, struct history **ret_history, struct error *err);
void history_free(struct history *history); // NULL is fine
// Takes one sample of every series. now_ms: Unix time, not before the last sample's. Thread-safe.
void history_sample(struct history *history, struct metrics *metrics, int64_t now_ms);

struct history_query {
    const char *names; // patterns as for fnmatch, separated by commas; NULL = all
    const char *where; // "KEY:VALUE,...": a series that has the label KEY must have this VALUE
    int64_t since_ms;  // samples after it
};
// Appends `"times":[Unix ms,...],"series":[{"name":N,"type":T,"labels":{...},"values":[...]}],
// "left_out":N`: values[i] stands at times[i], null where there was none; left_out counts series
// without room. The newest values have all digits, older ones nine. Thread-safe.
void history_render(struct history *history, const struct history_query *query,
                    struct buffer *into);

#endif
