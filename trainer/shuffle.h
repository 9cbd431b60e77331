// Rows that wait to be learnt in another order than they came in.
//
// Minibatches in strict order of arrival follow the shares of domains and hours as they move, which
// made star networks unstable online (Sheng et al. 2021, section 4.4: shuffle a sliding buffer,
// draw from it, add arrivals). The buffer holds up to so many rows; while it is full each arrival
// takes the place of one that is drawn, all alike, by a hash of (seed, draws so far): so a row
// waits for `rows_max` others on average, and the order depends on nothing else.
//
// A row is kept as its record's bytes, with what was known of it when it came: its domain, and the
// rates that it was predicted with.
#ifndef FRESHET_TRAINER_SHUFFLE_H
#define FRESHET_TRAINER_SHUFFLE_H

#include "base/memory.h"
#include "base/wire.h"

struct shuffle;

struct shuffle_row {
    const unsigned char *bytes; // borrowed, as are rates
    size_t length;
    uint32_t domain;
    const float *rates; // [rates]; NULL = not known
};

CHECKED enum status shuffle_new(size_t rows_max, size_t rates, uint64_t seed,
                                struct shuffle **ret_shuffle, struct error *err);
void shuffle_free(struct shuffle *shuffle); // NULL is fine
size_t shuffle_rows(const struct shuffle *shuffle);
bool shuffle_full(const struct shuffle *shuffle);
// Copies the row; there is room. Fails only for want of memory.
CHECKED enum status shuffle_put(struct shuffle *shuffle, const struct shuffle_row *row,
                                struct error *err);
// Takes out a row, which is valid until the next call; there is one.
struct shuffle_row shuffle_draw(struct shuffle *shuffle);
void shuffle_save(const struct shuffle *shuffle, struct buffer *into);
// Into an empty one. STATUS_CORRUPT when malformed, STATUS_CHANGED when there are more rows than
// this one holds.
CHECKED enum status shuffle_load(struct shuffle *shuffle, struct wire *in, struct error *err);

#endif
