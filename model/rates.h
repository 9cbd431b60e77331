// Streaming rates: how often a key (a user, an item, a cross of both) had a task's positive lately.
//
// What it owns: for each rate a table of rows, key -> (time of the newest label, then for each of
// its tasks decayed positives and decayed count), all of them floats, so that what is published is
// to the bit what is held. Key RATES_TOTAL is the row of all labels together, which smooths the
// others.
//
// How it works. A row decays by 1/2 every half-life, when it is read or added to, by one function
// that trainer and scorer share. A rate gives two numbers a task: the log-odds of
// (positives + prior x p0) / (count + prior), where p0 is the total's share, and the count; in the
// form that the network's numeric inputs bring back to the log-odds themselves and log(1 + count)
// (they take the signed logarithm of every number). A key gets a row at its `admit`-th label, as a
// counting filter sees it (two keys may share a counter: it admits early, never late); rows whose
// counts have all decayed below `expire` go, looked for once a label a row.
//
// What it never does: look at a clock. Who labels and who reads say the time; nothing here knows
// which labels a reader may see (trainer/counting.h does).
#ifndef FRESHET_MODEL_RATES_H
#define FRESHET_MODEL_RATES_H

#include "base/memory.h"
#include "base/wire.h"

#define RATES_TOTAL UINT64_C(1) // key of all labels; 0 = a part of the key is missing

struct rates_settings {
    size_t tasks;         // of this rate
    int64_t half_life_ms; // 0 = never decays
    double prior;         // labels that the total's share counts for, > 0
    int64_t admit;        // labels of a key before it has a row, >= 1
    double expire;        // counts below which a row goes; 0 = never
    int64_t rows_max;     // further keys get no row
};

struct rates;

CHECKED enum status rates_new(const struct rates_settings *settings, size_t count,
                              struct rates **ret_rates, struct error *err); // settings are copied
void rates_free(struct rates *rates);                                       // NULL is fine
size_t rates_count(const struct rates *rates);
size_t rates_columns(const struct rates *rates); // 2 a rate and task, all rates
// Rate r's numbers as of time_ms: [tasks][2], NaN where the key is 0.
void rates_read(const struct rates *rates, size_t r, uint64_t key, int64_t time_ms, float *columns);
// A label of the rate's task, which became final at time_ms; 0 = negative. Also counts for the
// total; key RATES_TOTAL: for that alone. Fails only for want of memory.
CHECKED enum status rates_label(struct rates *rates, size_t r, uint64_t key, size_t task,
                                int64_t time_ms, double label, double weight, struct error *err);

// Rows as published: [width] floats.
size_t rates_width(const struct rates *rates, size_t r);
size_t rates_rows(const struct rates *rates, size_t r);
uint64_t rates_refused(const struct rates *rates); // keys that found rows_max taken, each time
CHECKED enum status rates_row_put(struct rates *rates, size_t r, uint64_t key, const float *values,
                                  struct error *err);
bool rates_row_get(const struct rates *rates, size_t r, uint64_t key, float *ret_values);
void rates_row_remove(struct rates *rates, size_t r, uint64_t key);

typedef enum status rates_visitor(void *self, size_t r, uint64_t key, const float *values,
                                  struct error *err);
// Rows that changed since rates_changes_clear, in order of first change, a row that went and came
// back twice; values NULL = it is gone.
CHECKED enum status rates_each_changed(const struct rates *rates, rates_visitor *each, void *self,
                                       struct error *err);
// Rows whose hash_mix(key) >> (64 - bits) == slice.
CHECKED enum status rates_each_in_slice(const struct rates *rates, uint32_t slice, uint32_t bits,
                                        rates_visitor *each, void *self, struct error *err);
// Takes a key among the changes though its row did not change, or is not there.
CHECKED enum status rates_touch(struct rates *rates, size_t r, uint64_t key, struct error *err);
void rates_changes_clear(struct rates *rates);

void rates_save(const struct rates *rates, struct buffer *into);
// Into a new one of the same settings. STATUS_CORRUPT.
CHECKED enum status rates_load(struct rates *rates, struct wire *in, struct error *err);

#endif
