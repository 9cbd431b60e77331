// Where rows lie in Redis and how their values are stored, against the numbers that
// docs/redis-layout.md works out by hand.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/rng.h"
#include "record/redis_layout.h"
#include "record/redis_rows.h"

static void a_field_is_the_documented_one_to_the_byte(void **state) {
    (void)state;
    unsigned char field[REDIS_LAYOUT_FIELD_MAX];
    // hash_mix(1) is 0x5692161d100b05e5.
    assert_int_equal(redis_layout_bucket(1, 16), 0x5692);
    assert_int_equal(redis_layout_field(field, 3, 1, 16), 7);
    assert_memory_equal(field, "\x03\xe5\x05\x0b\x10\x1d\x16", 7);
    // 0x5692161d100b05e5 without its first 5 bits, 01010.
    assert_int_equal(redis_layout_field(field, 3, 1, 5), 9);
    assert_memory_equal(field, "\x03\xe5\x05\x0b\x10\x1d\x16\x92\x06", 9);
    assert_int_equal(redis_layout_field(field, 300, 1, 16), 8);
    assert_memory_equal(field, "\xac\x02\xe5\x05\x0b\x10\x1d\x16", 8);
}

static void every_id_comes_back_from_its_bucket_and_field(void **state) {
    (void)state;
    static const uint32_t tables[] = {0, 1, 127, 128, 16383, 16384, (1 << 21) - 1};
    struct rng rng;
    rng_init(&rng, 5);
    for (unsigned bits = REDIS_LAYOUT_GROUP_BITS; bits <= 26; bits++) {
        for (int i = 0; i < 200; i++) {
            unsigned char field[REDIS_LAYOUT_FIELD_MAX];
            uint64_t id = i == 0 ? 0 : i == 1 ? UINT64_MAX : rng_next(&rng), found_id;
            uint32_t table = tables[(size_t)i % (sizeof tables / sizeof tables[0])], found_table;
            size_t length = redis_layout_field(field, table, id, bits);
            assert_true(redis_layout_field_read(field, length, redis_layout_bucket(id, bits), bits,
                                                &found_table, &found_id));
            assert_true(found_id == id && found_table == table);
        }
        uint32_t table;
        uint64_t id;
        assert_false(redis_layout_field_read("v", 1, 0, bits, &table, &id));
    }
}

static uint16_t half_of(float value) {
    uint16_t half;
    redis_row_write(REDIS_ROW_FP16, &value, 1, (unsigned char *)&half);
    return half;
}

static float from_half(uint16_t half) {
    float value;
    redis_row_read(REDIS_ROW_FP16, &half, 1, &value);
    return value;
}

static void halves_are_ieee_binary16_rounded_to_nearest_even(void **state) {
    (void)state;
    assert_int_equal(half_of(1), 0x3c00);
    assert_int_equal(half_of(-2), 0xc000);
    assert_int_equal(half_of(-0.0F), 0x8000);
    assert_int_equal(half_of(65504), 0x7bff);
    assert_int_equal(half_of(1e9F), 0x7bff);
    assert_int_equal(half_of(0x1p-24F), 0x0001);
    assert_int_equal(half_of(0x1p-14F), 0x0400);
    assert_int_equal(half_of(0x1p-40F), 0x0000);
    assert_true(isnan(from_half(half_of(NAN))));
    assert_true(from_half(0x7c00) == INFINITY);
    // Each finite half comes back; between it and the next, the middle goes to the even one.
    for (uint32_t h = 0; h < 0x7bff; h++) {
        float here = from_half((uint16_t)h), next = from_half((uint16_t)(h + 1));
        float middle = here + (next - here) / 2;
        assert_int_equal(half_of(here), h);
        assert_int_equal(half_of(-here), h | 0x8000);
        assert_int_equal(half_of(middle), h % 2 ? h + 1 : h);
        assert_int_equal(half_of(nextafterf(middle, INFINITY)), h + 1);
        assert_int_equal(half_of(nextafterf(middle, 0)), h);
    }
}

static void bytes_with_a_scale_are_within_half_a_step(void **state) {
    (void)state;
    enum { WIDTH = 19 };
    struct rng rng;
    rng_init(&rng, 3);
    for (int turn = 0; turn < 500; turn++) {
        float values[WIDTH], read[WIDTH], again[WIDTH], largest = 0;
        unsigned char row[WIDTH + sizeof(float)];
        for (size_t i = 0; i < WIDTH; i++) {
            values[i] = (float)(rng_normal(&rng) * pow(10, turn % 20 - 10));
            largest = fmaxf(largest, fabsf(values[i]));
        }
        assert_int_equal(redis_row_bytes(REDIS_ROW_INT8, WIDTH), sizeof row);
        redis_row_write(REDIS_ROW_INT8, values, WIDTH, row);
        redis_row_read(REDIS_ROW_INT8, row, WIDTH, read);
        for (size_t i = 0; i < WIDTH; i++)
            assert_true(fabsf(read[i] - values[i]) <= largest / 127 * .50001F);
        redis_row_write(REDIS_ROW_INT8, read, WIDTH, row);
        redis_row_read(REDIS_ROW_INT8, row, WIDTH, again);
        for (size_t i = 0; i < WIDTH; i++)
            assert_true(fabsf(again[i] - read[i]) <= largest * 1e-6F);
    }
}

static void rows_that_no_scale_fits_stay_finite(void **state) {
    (void)state;
    const float strange[] = {NAN, INFINITY, -INFINITY, 1e-45F, 0}, zero[5] = {0};
    float read[5];
    unsigned char row[sizeof(float) + 5];
    redis_row_write(REDIS_ROW_INT8, strange, 5, row);
    redis_row_read(REDIS_ROW_INT8, row, 5, read);
    for (size_t i = 0; i < 5; i++)
        assert_true(fabsf(read[i]) <= 1e-44F);
    redis_row_write(REDIS_ROW_INT8, zero, 5, row);
    redis_row_read(REDIS_ROW_INT8, row, 5, read);
    assert_memory_equal(read, zero, sizeof zero);
}

static void row_types_are_found_by_name(void **state) {
    (void)state;
    for (enum redis_row_type type = 0; type < REDIS_ROW_TYPES; type++) {
        enum redis_row_type found;
        assert_true(redis_row_type_find(redis_row_type_name(type), &found));
        assert_int_equal(found, type);
    }
    enum redis_row_type none;
    assert_false(redis_row_type_find("fp8", &none));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_field_is_the_documented_one_to_the_byte),
        cmocka_unit_test(every_id_comes_back_from_its_bucket_and_field),
        cmocka_unit_test(halves_are_ieee_binary16_rounded_to_nearest_even),
        cmocka_unit_test(bytes_with_a_scale_are_within_half_a_step),
        cmocka_unit_test(rows_that_no_scale_fits_stay_finite),
        cmocka_unit_test(row_types_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
