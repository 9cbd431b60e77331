// Estimated shares against the true ones, and buckets by shares of impressions.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/rng.h"
#include "trainer/popularity.h"

#define OK(call) assert_int_equal((call), STATUS_OK)

static const struct popularity_settings settings = {
    .feature = "item", .head = .3, .tail = .2, .rate = .05, .slots = 4096};

// Item k of 8 classes: class c has 4^c items that share 1/8 of the impressions.
static uint64_t item_drawn(struct rng *rng, size_t *ret_class) {
    *ret_class = rng_below(rng, 6);
    uint64_t items = UINT64_C(1) << (2 * *ret_class);
    return 1 + items + rng_below(rng, items);
}

static void shares_and_buckets_are_those_of_the_stream(void **state) {
    (void)state;
    enum { COUNT = 60000 };
    struct popularity *popularity;
    struct rng rng;
    rng_init(&rng, 1);
    OK(popularity_new(&settings, &popularity, NULL));
    size_t buckets[EVALUATE_BUCKETS] = {0}, wrong = 0;
    for (size_t i = 0; i < COUNT; i++) {
        size_t class;
        uint64_t item = item_drawn(&rng, &class);
        enum evaluate_bucket bucket = popularity_see(popularity, item);
        if (i < COUNT / 2)
            continue;
        buckets[bucket]++;
        // The most frequent class is within the head, the rarest within the tail, whatever noise.
        wrong += class == 0 && bucket != EVALUATE_HEAD;
        wrong += class == 5 && bucket == EVALUATE_HEAD;
    }
    assert_int_equal(wrong, 0);
    assert_true(fabs((double)buckets[EVALUATE_HEAD] / (COUNT / 2) - .3) < .05);
    assert_true(fabs((double)buckets[EVALUATE_TAIL] / (COUNT / 2) - .2) < .05);
    assert_true(fabs(popularity_share(popularity, 2) - 1. / 6) < .06); // the one item of class 0
    assert_true(popularity_share(popularity, 999999) < 1e-9);          // never seen
    popularity_free(popularity);
}

static void an_id_is_judged_before_it_is_counted(void **state) {
    (void)state;
    struct popularity *popularity;
    OK(popularity_new(&settings, &popularity, NULL));
    assert_int_equal(popularity_see(popularity, 5), EVALUATE_TAIL); // new
    assert_int_equal(popularity_see(popularity, 0), EVALUATE_ANY);  // missing
    assert_int_not_equal(popularity_see(popularity, 5), EVALUATE_ANY);
    popularity_free(popularity);
}

static void saved_popularity_goes_on_as_it_was(void **state) {
    (void)state;
    struct popularity *popularity, *loaded;
    struct buffer saved;
    struct rng rng;
    size_t class;
    rng_init(&rng, 4);
    buffer_init(&saved);
    OK(popularity_new(&settings, &popularity, NULL));
    OK(popularity_new(&settings, &loaded, NULL));
    for (size_t i = 0; i < 3000; i++)
        popularity_see(popularity, item_drawn(&rng, &class));
    popularity_save(popularity, &saved);
    struct wire in = wire_over(saved.data, saved.length);
    OK(popularity_load(loaded, &in, NULL));
    assert_true(in.at == in.end);
    for (size_t i = 0; i < 3000; i++) {
        uint64_t item = item_drawn(&rng, &class);
        assert_int_equal(popularity_see(popularity, item), popularity_see(loaded, item));
    }
    struct wire cut = wire_over(saved.data, saved.length / 2);
    assert_int_equal(popularity_load(loaded, &cut, NULL), STATUS_CORRUPT);
    popularity_free(popularity);
    popularity_free(loaded);
    buffer_deinit(&saved);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_and_buckets_are_those_of_the_stream),
        cmocka_unit_test(an_id_is_judged_before_it_is_counted),
        cmocka_unit_test(saved_popularity_goes_on_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
