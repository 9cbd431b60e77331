// Hashes and draws against the reference vectors of their authors, and the shapes of distributions.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/hash.h"
#include "base/rng.h"

// Check values of xxHash itself: XXH3-64 and XXH64 of nothing and of "abc", seed 0.
static void hashes_are_those_of_xxhash(void **state) {
    (void)state;
    assert_true(hash_bytes("", 0, 0) == 0x2d06800538d394c2U);
    assert_true(hash_bytes("abc", 3, 0) == 0x78af5f94892f3950U);
    assert_true(hash_chain(0, "", 0) == 0xef46db3751d8e999U);
    assert_true(hash_chain(0, "abc", 3) == 0x44bc2cf5ad770999U);
    assert_true(hash_bytes("abc", 3, 1) != hash_bytes("abc", 3, 2));
}

static void a_chain_tells_where_its_pieces_end(void **state) {
    (void)state;
    uint64_t whole = hash_chain(7, "offset", 6);
    assert_true(hash_chain(hash_chain(7, "off", 3), "set", 3) != whole);
    assert_true(hash_chain(hash_chain(7, "set", 3), "off", 3) !=
                hash_chain(hash_chain(7, "off", 3), "set", 3));
    assert_true(hash_chain(hash_chain(7, "offset", 6), "", 0) != whole);
}

static void mixing_loses_nothing_and_spreads_each_bit(void **state) {
    (void)state;
    double flipped = 0;
    for (int bit = 0; bit < 64; bit++)
        for (uint64_t value = 1; value <= 64; value++)
            flipped +=
                __builtin_popcountll(hash_mix(value) ^ hash_mix(value ^ (UINT64_C(1) << bit)));
    flipped /= 64 * 64;
    assert_true(flipped > 31 && flipped < 33); // half of the bits for one
    for (uint64_t a = 0; a < 200; a++)
        for (uint64_t b = 0; b < a; b++)
            assert_true(hash_mix(a) != hash_mix(b));
}

// splitmix64.c of Steele and Vigna from seed 1234567: the four words of the first state.
static void seeding_is_splitmix64(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 1234567);
    assert_true(rng.s[0] == 6457827717110365317U);
    assert_true(rng.s[1] == 3203168211198807973U);
    assert_true(rng.s[2] == 9817491932198370423U);
    assert_true(rng.s[3] == 4593380528125082431U);
}

// xoshiro256starstar.c of Blackman and Vigna from the state 1, 2, 3, 4.
static void the_generator_is_xoshiro256_star_star(void **state) {
    (void)state;
    static const uint64_t wanted[] = {11520U,
                                      0U,
                                      1509978240U,
                                      1215971899390074240U,
                                      1216172134540287360U,
                                      607988272756665600U,
                                      16172922978634559625U,
                                      8476171486693032832U,
                                      10595114339597558777U,
                                      2904607092377533576U};
    struct rng rng = {{1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        assert_true(rng_next(&rng) == wanted[i]);
}

static void uniforms_lie_in_the_half_open_interval(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 1);
    double sum = 0, squares = 0;
    enum { DRAWS = 100000 };
    for (int i = 0; i < DRAWS; i++) {
        double draw = rng_uniform(&rng);
        assert_true(draw >= 0 && draw < 1);
        sum += draw;
        squares += draw * draw;
    }
    assert_true(fabs(sum / DRAWS - .5) < .005);
    assert_true(fabs(squares / DRAWS - 1. / 3) < .005);
}

static void draws_below_a_bound_are_equally_likely(void **state) {
    (void)state;
    enum { BOUND = 7, DRAWS = 70000 };
    struct rng rng;
    rng_init(&rng, 2);
    double seen[BOUND] = {0}, chi_square = 0;
    for (int i = 0; i < DRAWS; i++) {
        uint64_t draw = rng_below(&rng, BOUND);
        assert_true(draw < BOUND);
        seen[draw]++;
    }
    for (int i = 0; i < BOUND; i++)
        chi_square += (seen[i] - DRAWS / BOUND) * (seen[i] - DRAWS / BOUND) / (DRAWS / BOUND);
    assert_true(chi_square < 22.5); // 6 degrees of freedom: exceeded once in a thousand seeds
    for (int i = 0; i < 100; i++)
        assert_int_equal(rng_below(&rng, 1), 0);
    // Just above 2^63, half of the draws must be refused for the rest to be equally likely.
    uint64_t bound = (UINT64_C(1) << 63) + 1, high = 0;
    for (int i = 0; i < 10000; i++) {
        uint64_t draw = rng_below(&rng, bound);
        assert_true(draw < bound);
        high += draw >= bound / 2;
    }
    assert_true(high > 4800 && high < 5200);
}

static void assert_standard_normal(const double *draws, int count) {
    double sum = 0, squares = 0, fourth = 0, within = 0;
    for (int i = 0; i < count; i++) {
        assert_true(isfinite(draws[i]));
        sum += draws[i];
        squares += draws[i] * draws[i];
        fourth += draws[i] * draws[i] * draws[i] * draws[i];
        within += fabs(draws[i]) < 1;
    }
    assert_true(fabs(sum / count) < .015);
    assert_true(fabs(squares / count - 1) < .02);
    assert_true(fabs(fourth / count - 3) < .2);
    assert_true(fabs(within / count - .682689) < .006);
}

static void normals_have_the_normals_moments(void **state) {
    (void)state;
    enum { DRAWS = 100000 };
    static double draws[DRAWS];
    struct rng rng;
    rng_init(&rng, 3);
    for (int i = 0; i < DRAWS; i++)
        draws[i] = rng_normal(&rng);
    assert_standard_normal(draws, DRAWS);
    for (int i = 0; i < DRAWS; i++)
        draws[i] = rng_normal_at(9, 1, (uint64_t)i, 4);
    assert_standard_normal(draws, DRAWS);
}

static void exponentials_have_mean_one_and_no_memory(void **state) {
    (void)state;
    enum { DRAWS = 100000 };
    struct rng rng;
    rng_init(&rng, 4);
    double sum = 0, beyond = 0;
    for (int i = 0; i < DRAWS; i++) {
        double draw = rng_exponential(&rng);
        assert_true(draw >= 0 && isfinite(draw));
        sum += draw;
        beyond += draw > 2;
    }
    assert_true(fabs(sum / DRAWS - 1) < .015);
    assert_true(fabs(beyond / DRAWS - exp(-2)) < .005);
}

static void draws_at_a_place_depend_on_the_place_alone(void **state) {
    (void)state;
    assert_true(rng_at(1, 2, 3, 4) == rng_at(1, 2, 3, 4));
    const uint64_t others[] = {rng_at(2, 2, 3, 4), rng_at(1, 3, 3, 4), rng_at(1, 2, 4, 4),
                               rng_at(1, 2, 3, 5), rng_at(1, 3, 2, 4), rng_at(1, 2, 4, 3),
                               rng_at(2, 1, 3, 4)};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_true(others[i] != rng_at(1, 2, 3, 4));
    double sum = 0, product = 0;
    enum { DRAWS = 100000 };
    for (uint64_t i = 0; i < DRAWS; i++) {
        double draw = rng_uniform_at(5, i, 0, 0);
        assert_true(draw >= 0 && draw < 1);
        sum += draw;
        product += (draw - .5) * (rng_uniform_at(5, i + 1, 0, 0) - .5);
    }
    assert_true(fabs(sum / DRAWS - .5) < .005);
    assert_true(fabs(product / DRAWS) < .0015); // neighbours are uncorrelated
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_those_of_xxhash),
        cmocka_unit_test(a_chain_tells_where_its_pieces_end),
        cmocka_unit_test(mixing_loses_nothing_and_spreads_each_bit),
        cmocka_unit_test(seeding_is_splitmix64),
        cmocka_unit_test(the_generator_is_xoshiro256_star_star),
        cmocka_unit_test(uniforms_lie_in_the_half_open_interval),
        cmocka_unit_test(draws_below_a_bound_are_equally_likely),
        cmocka_unit_test(normals_have_the_normals_moments),
        cmocka_unit_test(exponentials_have_mean_one_and_no_memory),
        cmocka_unit_test(draws_at_a_place_depend_on_the_place_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
