// An array of rows, in which the last takes the place of one that is drawn.
#include "trainer/shuffle.h"

#include <string.h>

#include "base/rng.h"

static const uint64_t shuffle_stream = 0x73687566666c65; // apart from other draws of the seed

struct kept {
    unsigned char *bytes;
    size_t length;
    uint32_t domain;
    bool rated;
};

struct shuffle {
    struct kept *rows; // [rows_max]
    float *rated;      // [rows_max][rates]
    size_t rows_max, rates, count;
    uint64_t seed, draws;
    struct kept drawn;  // lent to the caller
    float *drawn_rates; // [rates]
};

enum status shuffle_new(size_t rows_max, size_t rates, uint64_t seed, struct shuffle **ret_shuffle,
                        struct error *err) {
    struct shuffle *shuffle = memory_new(1, sizeof *shuffle);
    if (shuffle == NULL)
        return error_no_memory(err, sizeof *shuffle, "the shuffle buffer");
    shuffle->rows_max = rows_max;
    shuffle->rates = rates;
    shuffle->seed = seed;
    shuffle->rows = memory_new(rows_max, sizeof *shuffle->rows);
    shuffle->rated = memory_new(rows_max * rates + 1, sizeof *shuffle->rated);
    shuffle->drawn_rates = memory_new(rates + 1, sizeof *shuffle->drawn_rates);
    if (shuffle->rows == NULL || shuffle->rated == NULL || shuffle->drawn_rates == NULL) {
        shuffle_free(shuffle);
        return error_no_memory(err, rows_max * sizeof *shuffle->rows, "the shuffle buffer");
    }
    *ret_shuffle = shuffle;
    return STATUS_OK;
}

void shuffle_free(struct shuffle *shuffle) {
    if (shuffle == NULL)
        return;
    for (size_t i = 0; shuffle->rows != NULL && i < shuffle->count; i++)
        memory_free(shuffle->rows[i].bytes);
    memory_free(shuffle->drawn.bytes);
    memory_free(shuffle->rows);
    memory_free(shuffle->rated);
    memory_free(shuffle->drawn_rates);
    memory_free(shuffle);
}

size_t shuffle_rows(const struct shuffle *shuffle) {
    return shuffle->count;
}

bool shuffle_full(const struct shuffle *shuffle) {
    return shuffle->count == shuffle->rows_max;
}

enum status shuffle_put(struct shuffle *shuffle, const struct shuffle_row *row, struct error *err) {
    REQUIRE(shuffle->count < shuffle->rows_max);
    unsigned char *bytes = memory_new(row->length + 1, 1);
    if (bytes == NULL)
        return error_no_memory(err, row->length, "a row of the shuffle buffer");
    memcpy(bytes, row->bytes, row->length);
    if (row->rates != NULL)
        memcpy(shuffle->rated + shuffle->count * shuffle->rates, row->rates,
               shuffle->rates * sizeof *row->rates);
    shuffle->rows[shuffle->count++] = (struct kept){
        .bytes = bytes, .length = row->length, .domain = row->domain, .rated = row->rates != NULL};
    return STATUS_OK;
}

struct shuffle_row shuffle_draw(struct shuffle *shuffle) {
    REQUIRE(shuffle->count > 0);
    double share = rng_uniform_at(shuffle->seed, shuffle_stream, shuffle->draws++, 0);
    size_t at = (size_t)(share * (double)shuffle->count), last = --shuffle->count;
    at = at < last ? at : last;
    memory_free(shuffle->drawn.bytes);
    shuffle->drawn = shuffle->rows[at];
    memcpy(shuffle->drawn_rates, shuffle->rated + at * shuffle->rates,
           shuffle->rates * sizeof *shuffle->rated);
    shuffle->rows[at] = shuffle->rows[last];
    memmove(shuffle->rated + at * shuffle->rates, shuffle->rated + last * shuffle->rates,
            shuffle->rates * sizeof *shuffle->rated);
    return (struct shuffle_row){.bytes = shuffle->drawn.bytes,
                                .length = shuffle->drawn.length,
                                .domain = shuffle->drawn.domain,
                                .rates = shuffle->drawn.rated ? shuffle->drawn_rates : NULL};
}

void shuffle_save(const struct shuffle *shuffle, struct buffer *into) {
    wire_put_long(into, (int64_t)shuffle->draws);
    wire_put_long(into, (int64_t)shuffle->count);
    for (size_t i = 0; i < shuffle->count; i++) {
        wire_put_bytes(into, shuffle->rows[i].bytes, shuffle->rows[i].length);
        wire_put_long(into, shuffle->rows[i].domain);
        buffer_append_byte(into, shuffle->rows[i].rated ? 1 : 0);
        for (size_t r = 0; shuffle->rows[i].rated && r < shuffle->rates; r++)
            wire_put_float(into, shuffle->rated[i * shuffle->rates + r]);
    }
}

enum status shuffle_load(struct shuffle *shuffle, struct wire *in, struct error *err) {
    REQUIRE(shuffle->count == 0);
    int64_t draws = wire_get_long(in), count = wire_get_long(in);
    if (!in->bad && count > (int64_t)shuffle->rows_max)
        return error_set(err, STATUS_CHANGED,
                         "could not read the shuffle buffer: it was saved with %lld rows, "
                         "`trainer.shuffle_rows` is %zu: raise it, or let the trainer finish first",
                         (long long)count, shuffle->rows_max);
    shuffle->draws = (uint64_t)draws;
    for (int64_t i = 0; i < count && !in->bad; i++) {
        struct shuffle_row row = {.rates = shuffle->drawn_rates};
        row.bytes = wire_get_bytes(in, &row.length);
        row.domain = (uint32_t)wire_get_long(in);
        if (!wire_get_bool(in))
            row.rates = NULL;
        for (size_t r = 0; row.rates != NULL && r < shuffle->rates; r++)
            shuffle->drawn_rates[r] = wire_get_float(in);
        if (in->bad)
            break;
        enum status status = shuffle_put(shuffle, &row, err);
        if (status != STATUS_OK)
            return status;
    }
    if (in->bad || count < 0)
        return error_set(err, STATUS_CORRUPT, "could not read the shuffle buffer: malformed");
    return STATUS_OK;
}
