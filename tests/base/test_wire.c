// Avro's primitives: the specification's own examples, round trips, and every way to be malformed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "base/wire.h"

static struct buffer out;

static int begin(void **state) {
    (void)state;
    buffer_init(&out);
    return 0;
}

static int end(void **state) {
    (void)state;
    memory_fail_after(0);
    buffer_deinit(&out);
    return 0;
}

static void assert_written(const char *bytes, size_t length) {
    assert_false(out.failed);
    assert_int_equal(out.length, length);
    assert_memory_equal(out.data, bytes, length);
    buffer_reset(&out);
}

// Avro 1.11, "Binary encoding": the table of zigzag values and the string "foo".
static void the_examples_of_the_specification_hold(void **state) {
    (void)state;
    static const struct {
        int64_t value;
        const char *bytes;
        size_t length;
    } examples[] = {{0, "\x00", 1}, {-1, "\x01", 1},  {1, "\x02", 1},     {-2, "\x03", 1},
                    {2, "\x04", 1}, {-64, "\x7f", 1}, {64, "\x80\x01", 2}};
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        wire_put_long(&out, examples[i].value);
        assert_written(examples[i].bytes, examples[i].length);
    }
    wire_put_string(&out, "foo");
    assert_written("\x06\x66\x6f\x6f", 4);
    wire_put_float(&out, 1.0F);
    assert_written("\x00\x00\x80\x3f", 4);
    wire_put_double(&out, -2.0);
    assert_written("\x00\x00\x00\x00\x00\x00\x00\xc0", 8);
    wire_put_fixed64(&out, 0x0102030405060708U);
    assert_written("\x08\x07\x06\x05\x04\x03\x02\x01", 8);
}

static void longs_of_every_width_come_back(void **state) {
    (void)state;
    for (int bit = 0; bit < 63; bit++) {
        for (int64_t near = -1; near <= 1; near++) {
            int64_t value = (INT64_C(1) << bit) + near;
            wire_put_long(&out, value);
            wire_put_long(&out, -value);
        }
    }
    wire_put_long(&out, INT64_MAX);
    wire_put_long(&out, INT64_MIN);
    struct wire in = wire_over(out.data, out.length);
    for (int bit = 0; bit < 63; bit++) {
        for (int64_t near = -1; near <= 1; near++) {
            int64_t value = (INT64_C(1) << bit) + near;
            assert_true(wire_get_long(&in) == value);
            assert_true(wire_get_long(&in) == -value);
        }
    }
    assert_true(wire_get_long(&in) == INT64_MAX);
    assert_true(wire_get_long(&in) == INT64_MIN);
    assert_true(!in.bad && in.at == in.end);
}

static void floats_come_back_to_the_bit(void **state) {
    (void)state;
    const float floats[] = {0.0F, -0.0F, 1e-45F, 3.4e38F, INFINITY, NAN};
    const double doubles[] = {0.0, -0.0, 5e-324, 1.7e308, -INFINITY, (double)NAN};
    for (size_t i = 0; i < 6; i++) {
        wire_put_float(&out, floats[i]);
        wire_put_double(&out, doubles[i]);
    }
    struct wire in = wire_over(out.data, out.length);
    for (size_t i = 0; i < 6; i++) {
        float narrow = wire_get_float(&in);
        double wide = wire_get_double(&in);
        assert_memory_equal(&narrow, &floats[i], sizeof narrow);
        assert_memory_equal(&wide, &doubles[i], sizeof wide);
    }
    assert_true(!in.bad && in.at == in.end);
}

static void bytes_are_borrowed_from_the_input(void **state) {
    (void)state;
    wire_put_bytes(&out, "a\0b", 3);
    wire_put_bytes(&out, NULL, 0);
    wire_put_fixed64(&out, UINT64_MAX);
    struct wire in = wire_over(out.data, out.length);
    size_t length = 99;
    const unsigned char *bytes = wire_get_bytes(&in, &length);
    assert_int_equal(length, 3);
    assert_ptr_equal(bytes, out.data + 1);
    assert_non_null(wire_get_bytes(&in, &length));
    assert_int_equal(length, 0);
    wire_skip(&in, 4);
    assert_true(!in.bad && in.end - in.at == 4);
    wire_skip(&in, 5);
    assert_true(in.bad);
}

static void assert_bad_long(const char *bytes, size_t length) {
    struct wire in = wire_over(bytes, length);
    assert_int_equal(wire_get_long(&in), 0);
    assert_true(in.bad);
    assert_int_equal(wire_get_double(&in) == 0.0, 1); // and so it stays
    assert_false(wire_get_bool(&in));
    assert_int_equal(wire_get_fixed64(&in), 0);
    size_t left = 5;
    assert_null(wire_get_bytes(&in, &left));
    assert_int_equal(left, 0);
}

static void malformed_varints_are_bad_for_good(void **state) {
    (void)state;
    assert_bad_long("", 0);
    assert_bad_long("\x80", 1);
    assert_bad_long("\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9);
    assert_bad_long("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10);                 // 65 bits
    assert_bad_long("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00\x00\x00\x00", 14); // 11 bytes
    struct wire in = wire_over("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
    assert_true(wire_get_long(&in) == INT64_MIN);
    assert_false(in.bad);
}

static void ints_and_bools_outside_their_range_are_bad(void **state) {
    (void)state;
    wire_put_long(&out, INT32_MAX);
    wire_put_long(&out, INT32_MIN);
    wire_put_long(&out, (int64_t)INT32_MAX + 1);
    struct wire in = wire_over(out.data, out.length);
    assert_true(wire_get_int(&in) == INT32_MAX);
    assert_true(wire_get_int(&in) == INT32_MIN);
    assert_false(in.bad);
    assert_int_equal(wire_get_int(&in), 0);
    assert_true(in.bad);
    buffer_reset(&out);
    wire_put_long(&out, (int64_t)INT32_MIN - 1);
    in = wire_over(out.data, out.length);
    assert_int_equal(wire_get_int(&in), 0);
    assert_true(in.bad);
    in = wire_over("\x00\x01\x02", 3);
    assert_false(wire_get_bool(&in));
    assert_true(wire_get_bool(&in));
    assert_false(in.bad);
    assert_false(wire_get_bool(&in));
    assert_true(in.bad);
}

static void lengths_that_the_input_cannot_hold_are_bad(void **state) {
    (void)state;
    const int64_t lengths[] = {-1, 4, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < 4; i++) {
        buffer_reset(&out);
        wire_put_long(&out, lengths[i]);
        buffer_append(&out, "abc", 3);
        struct wire in = wire_over(out.data, out.length);
        size_t length = 99;
        assert_null(wire_get_bytes(&in, &length));
        assert_int_equal(length, 0);
        assert_true(in.bad);
    }
    struct wire in = wire_over(NULL, 0);
    assert_false(in.bad);
    wire_skip(&in, 1);
    assert_true(in.bad);
    assert_true(wire_over(NULL, 3).bad);
}

static void every_cut_of_a_record_is_noticed(void **state) {
    (void)state;
    wire_put_long(&out, 123456789);
    wire_put_string(&out, "impression");
    wire_put_float(&out, 2.5F);
    wire_put_fixed64(&out, 77);
    for (size_t length = 0; length <= out.length; length++) {
        // A copy of exactly this length, so that the sanitizer sees a read beyond it.
        unsigned char *cut = memory_new(length, 1);
        assert_non_null(cut);
        memcpy(cut, out.data, length);
        struct wire in = wire_over(cut, length);
        size_t ignored;
        (void)wire_get_long(&in);
        (void)wire_get_bytes(&in, &ignored);
        (void)wire_get_float(&in);
        (void)wire_get_fixed64(&in);
        assert_int_equal(in.bad, length < out.length);
        memory_free(cut);
    }
}

static void random_bytes_never_move_the_cursor_past_the_end(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 11);
    for (int round = 0; round < 20000; round++) {
        unsigned char bytes[24];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (unsigned char)rng_next(&rng);
        struct wire in = wire_over(bytes, rng_below(&rng, sizeof bytes + 1));
        for (int step = 0; step < 6; step++) {
            size_t length;
            switch (rng_below(&rng, 4)) {
            case 0:
                (void)wire_get_long(&in);
                break;
            case 1:
                (void)wire_get_bytes(&in, &length);
                break;
            case 2:
                (void)wire_get_double(&in);
                break;
            default:
                wire_skip(&in, rng_below(&rng, 5));
            }
            assert_true(in.at <= in.end);
        }
    }
}

static void memory_that_is_out_shows_in_the_buffer(void **state) {
    (void)state;
    memory_fail_after(1);
    wire_put_string(&out, "x");
    memory_fail_after(0);
    assert_true(out.failed);
    assert_int_equal(out.length, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_examples_of_the_specification_hold, begin, end),
        cmocka_unit_test_setup_teardown(longs_of_every_width_come_back, begin, end),
        cmocka_unit_test_setup_teardown(floats_come_back_to_the_bit, begin, end),
        cmocka_unit_test_setup_teardown(bytes_are_borrowed_from_the_input, begin, end),
        cmocka_unit_test_setup_teardown(malformed_varints_are_bad_for_good, begin, end),
        cmocka_unit_test_setup_teardown(ints_and_bools_outside_their_range_are_bad, begin, end),
        cmocka_unit_test_setup_teardown(lengths_that_the_input_cannot_hold_are_bad, begin, end),
        cmocka_unit_test_setup_teardown(every_cut_of_a_record_is_noticed, begin, end),
        cmocka_unit_test_setup_teardown(random_bytes_never_move_the_cursor_past_the_end, begin,
                                        end),
        cmocka_unit_test_setup_teardown(memory_that_is_out_shows_in_the_buffer, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
