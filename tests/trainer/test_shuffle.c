// The shuffle buffer: every row once, in an order that is drawn, and goes on after a load.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "trainer/shuffle.h"

enum { ROWS = 50, STREAM = 2000, RATES = 2 };

static struct shuffle *shuffle_made(size_t rows_max) {
    struct shuffle *shuffle;
    assert_int_equal(shuffle_new(rows_max, RATES, 7, &shuffle, NULL), STATUS_OK);
    return shuffle;
}

// Row n of the stream: its number as bytes of a length of its own, every third without rates.
static void put(struct shuffle *shuffle, uint32_t n) {
    unsigned char bytes[64] = {0};
    float rates[RATES] = {(float)n, -(float)n};
    memcpy(bytes, &n, sizeof n);
    struct shuffle_row row = {bytes, sizeof n + n % 50, n % 5, n % 3 ? rates : NULL};
    assert_int_equal(shuffle_put(shuffle, &row, NULL), STATUS_OK);
}

static uint32_t draw(struct shuffle *shuffle) {
    uint32_t n;
    struct shuffle_row row = shuffle_draw(shuffle);
    memcpy(&n, row.bytes, sizeof n);
    assert_int_equal(row.length, sizeof n + n % 50);
    assert_int_equal(row.domain, n % 5);
    assert_true((row.rates != NULL) == (n % 3 != 0));
    if (row.rates)
        assert_true(row.rates[0] >= (float)n && row.rates[1] <= -(float)n);
    return n;
}

static void each_row_is_drawn_once_and_waits_for_as_many_as_the_buffer_holds(void **state) {
    (void)state;
    static bool seen[STREAM];
    struct shuffle *shuffle = shuffle_made(ROWS);
    double waited = 0;
    size_t early = 0, drawn = 0;
    for (uint32_t n = 0; n < STREAM; n++) {
        if (shuffle_full(shuffle)) {
            uint32_t out = draw(shuffle);
            assert_false(seen[out]);
            seen[out] = true;
            waited += (double)(n - out);
            early += n - out < ROWS / 5;
            drawn++;
        }
        put(shuffle, n);
    }
    assert_int_equal(shuffle_rows(shuffle), ROWS);
    while (shuffle_rows(shuffle) > 0) {
        uint32_t out = draw(shuffle);
        assert_false(seen[out]);
        seen[out] = true;
    }
    for (uint32_t n = 0; n < STREAM; n++)
        assert_true(seen[n]);
    // Waiting is geometric with a mean of ROWS: a fifth of it or less for 1 - e^-.2 of the rows.
    assert_true(fabs(waited / (double)drawn - ROWS) < 5);
    assert_true(fabs((double)early / (double)drawn - .18) < .04);
    shuffle_free(shuffle);
}

static void saved_and_loaded_it_draws_as_it_would_have(void **state) {
    (void)state;
    struct buffer saved;
    struct error err;
    buffer_init(&saved);
    struct shuffle *shuffle = shuffle_made(ROWS), *loaded = shuffle_made(ROWS);
    for (uint32_t n = 0; n < 120; n++) {
        if (shuffle_full(shuffle))
            (void)draw(shuffle);
        put(shuffle, n);
    }
    shuffle_save(shuffle, &saved);
    struct wire in = wire_over(saved.data, saved.length);
    assert_int_equal(shuffle_load(loaded, &in, &err), STATUS_OK);
    assert_ptr_equal(in.at, in.end);
    for (size_t i = 0; i < ROWS; i++)
        assert_int_equal(draw(shuffle), draw(loaded));
    struct shuffle *small = shuffle_made(ROWS - 1);
    in = wire_over(saved.data, saved.length);
    assert_int_equal(shuffle_load(small, &in, &err), STATUS_CHANGED);
    assert_non_null(strstr(err.message, "trainer.shuffle_rows"));
    for (size_t cut = 0; cut < saved.length; cut += 7) {
        struct shuffle *other = shuffle_made(ROWS);
        in = wire_over(saved.data, cut);
        assert_int_equal(shuffle_load(other, &in, &err), STATUS_CORRUPT);
        shuffle_free(other);
    }
    shuffle_free(small);
    shuffle_free(shuffle);
    shuffle_free(loaded);
    buffer_deinit(&saved);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_is_drawn_once_and_waits_for_as_many_as_the_buffer_holds),
        cmocka_unit_test(saved_and_loaded_it_draws_as_it_would_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
