// Streaming rates: smoothing and decay by their formulas, admission, expiry, saving, publishing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "model/rates.h"

#define OK(call) assert_int_equal((call), STATUS_OK)

enum { KEY = 77, NOW = 1000000000, HOUR = 3600000 };

static struct rates_settings settings_of(size_t tasks) {
    return (struct rates_settings){.tasks = tasks,
                                   .half_life_ms = HOUR,
                                   .prior = 10,
                                   .admit = 1,
                                   .expire = .01,
                                   .rows_max = 1000000};
}

static struct rates *rates_made(struct rates_settings settings) {
    struct rates *rates;
    OK(rates_new(&settings, 1, &rates, NULL));
    return rates;
}

static void label(struct rates *rates, uint64_t key, int64_t at, double positive) {
    OK(rates_label(rates, 0, key, 0, at, positive, 1, NULL));
}

// What the network's numeric inputs make of a number.
static double seen(float number) {
    return copysign(log1p(fabs((double)number)), (double)number);
}

static void a_rate_is_the_smoothed_log_odds_of_decayed_counts(void **state) {
    (void)state;
    struct rates *rates = rates_made(settings_of(1));
    label(rates, KEY, NOW, 1);
    label(rates, KEY, NOW + HOUR, 0);
    label(rates, KEY + 1, NOW + HOUR, 1);
    float columns[2];
    rates_read(rates, 0, KEY, NOW + 2 * HOUR, columns);
    // Of the key: a positive of a quarter, a negative of a half; of all: another positive's half.
    double base = (.25 + .5 + .5) / (1.25 + 1), share = (.25 + 10 * base) / (.75 + 10);
    assert_true(fabs(seen(columns[0]) - log(share / (1 - share))) < 1e-6);
    assert_true(fabs(seen(columns[1]) - log1p(.75)) < 1e-6);
    rates_read(rates, 0, 1234, NOW + 2 * HOUR, columns); // never seen: the share of all
    assert_true(fabs(seen(columns[0]) - log(base / (1 - base))) < 1e-6);
    assert_true(columns[1] == 0);
    rates_read(rates, 0, 0, NOW, columns); // a part of the key is missing
    assert_true(isnan(columns[0]) && isnan(columns[1]));
    rates_free(rates);
}

static void a_late_label_counts_for_what_has_become_of_it(void **state) {
    (void)state;
    struct rates *in_order = rates_made(settings_of(1)), *late = rates_made(settings_of(1));
    float a[2], b[2];
    label(in_order, KEY, NOW, 1);
    label(in_order, KEY, NOW + HOUR, 0);
    label(late, KEY, NOW + HOUR, 0);
    label(late, KEY, NOW, 1);
    rates_read(in_order, 0, KEY, NOW + HOUR, a);
    rates_read(late, 0, KEY, NOW + HOUR, b);
    assert_true(a[0] == b[0] && a[1] == b[1]);
    rates_free(in_order);
    rates_free(late);
}

static void tasks_of_a_row_keep_apart(void **state) {
    (void)state;
    struct rates *rates = rates_made(settings_of(2));
    float columns[4];
    OK(rates_label(rates, 0, KEY, 1, NOW, 1, 2, NULL)); // of weight 2
    rates_read(rates, 0, KEY, NOW, columns);
    assert_true(columns[1] == 0);
    assert_true(columns[3] == 2);
    assert_true(columns[2] > columns[0]);
    rates_free(rates);
}

static void a_key_is_admitted_at_its_kth_label(void **state) {
    (void)state;
    struct rates_settings settings = settings_of(1);
    settings.admit = 3;
    settings.rows_max = 3;
    struct rates *rates = rates_made(settings);
    label(rates, KEY, NOW, 1);
    label(rates, KEY, NOW, 1);
    assert_int_equal(rates_rows(rates, 0), 1); // the total's
    label(rates, KEY, NOW, 1);
    assert_int_equal(rates_rows(rates, 0), 2);
    float columns[2];
    rates_read(rates, 0, KEY, NOW, columns);
    assert_true(columns[1] == 1); // what came before admission is not known
    for (int i = 0; i < 9; i++)
        label(rates, (uint64_t)(100 + i % 3), NOW, 0);
    assert_int_equal(rates_rows(rates, 0), 3); // the bound
    assert_true(rates_refused(rates) > 0);
    rates_free(rates);
}

struct told {
    uint64_t rows, gone, keys;
};
static enum status tell(void *self, size_t r, uint64_t key, const float *values,
                        struct error *err) {
    struct told *told = self;
    (void)r;
    (void)err;
    told->rows += values != NULL;
    told->gone += values == NULL;
    told->keys ^= key;
    return STATUS_OK;
}

static void faded_rows_expire_and_are_told_once(void **state) {
    (void)state;
    struct rates *rates = rates_made(settings_of(1));
    struct told told = {0}, after = {0};
    label(rates, KEY, NOW, 1);
    rates_changes_clear(rates);
    for (uint64_t i = 0; i < 3000; i++) // 10 half-lives later: 1/1024 is left of KEY's label
        label(rates, 1000 + i % 50, NOW + 10 * HOUR, 0);
    OK(rates_each_changed(rates, tell, &told, NULL));
    assert_int_equal(told.gone, 1);
    assert_int_equal(told.rows, 51); // 50 keys and the total
    assert_int_equal(rates_rows(rates, 0), 51);
    rates_changes_clear(rates);
    OK(rates_each_changed(rates, tell, &after, NULL));
    assert_int_equal(after.rows + after.gone, 0);
    OK(rates_each_in_slice(rates, 0, 0, tell, &after, NULL));
    assert_int_equal(after.rows, 51);
    rates_free(rates);
}

static enum status copy_row(void *self, size_t r, uint64_t key, const float *values,
                            struct error *err) {
    if (values)
        return rates_row_put(self, r, key, values, err);
    rates_row_remove(self, r, key);
    return STATUS_OK;
}

// A scorer that is told of changes reads the very bits.
static void published_rows_read_the_same(void **state) {
    (void)state;
    struct rates *rates = rates_made(settings_of(2)), *served = rates_made(settings_of(2));
    struct rng rng;
    rng_init(&rng, 3);
    for (int64_t i = 0; i < 8000; i++) {
        int64_t at = 1650000000000 + i * 60000;
        OK(rates_label(rates, 0, 2 + rng_below(&rng, 300), rng_below(&rng, 2), at,
                       rng_uniform(&rng) < .3 ? 1 : 0, 1, NULL));
        if (i % 100 != 99)
            continue;
        OK(rates_each_changed(rates, copy_row, served, NULL));
        rates_changes_clear(rates);
        for (uint64_t key = 2; key < 302; key++) {
            float a[4], b[4];
            rates_read(rates, 0, key, at + 12345, a);
            rates_read(served, 0, key, at + 12345, b);
            assert_memory_equal(a, b, sizeof a);
        }
    }
    assert_int_equal(rates_rows(rates, 0), rates_rows(served, 0));
    rates_free(rates);
    rates_free(served);
}

static void saved_rates_go_on_as_if_nothing_had_been(void **state) {
    (void)state;
    struct rates_settings settings = settings_of(1);
    settings.admit = 2;
    struct rates *rates = rates_made(settings), *loaded = NULL;
    struct buffer saved, other;
    struct rng rng;
    rng_init(&rng, 9);
    buffer_init(&saved);
    buffer_init(&other);
    for (int64_t i = 0; i < 20000; i++) {
        int64_t at = NOW + i * 20000;
        uint64_t key = 2 + rng_below(&rng, 50) + (uint64_t)(i / 500) * 10;
        double positive = rng_uniform(&rng) < .3 ? 1 : 0;
        if (i == 7777) {
            rates_save(rates, &saved);
            loaded = rates_made(settings);
            struct wire in = wire_over(saved.data, saved.length);
            OK(rates_load(loaded, &in, NULL));
            assert_true(in.at == in.end);
        }
        if (i == 3000)
            rates_changes_clear(rates);
        label(rates, key, at, positive);
        if (loaded)
            label(loaded, key, at, positive);
    }
    buffer_reset(&saved);
    rates_save(rates, &saved);
    rates_save(loaded, &other);
    assert_int_equal(saved.length, other.length);
    assert_memory_equal(saved.data, other.data, saved.length);
    struct wire cut = wire_over(saved.data, saved.length / 2);
    struct rates *broken = rates_made(settings);
    assert_int_equal(rates_load(broken, &cut, NULL), STATUS_CORRUPT);
    rates_free(broken);
    rates_free(rates);
    rates_free(loaded);
    buffer_deinit(&saved);
    buffer_deinit(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rate_is_the_smoothed_log_odds_of_decayed_counts),
        cmocka_unit_test(a_late_label_counts_for_what_has_become_of_it),
        cmocka_unit_test(tasks_of_a_row_keep_apart),
        cmocka_unit_test(a_key_is_admitted_at_its_kth_label),
        cmocka_unit_test(faded_rows_expire_and_are_told_once),
        cmocka_unit_test(published_rows_read_the_same),
        cmocka_unit_test(saved_rates_go_on_as_if_nothing_had_been),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
