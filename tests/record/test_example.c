// The example's codec: round trips, damage, and agreement with Avro C on the schema.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <avro.h>

#include "base/disk.h"
#include "record/example.h"

static const struct example_shape shape = {.fingerprint = 0x1122334455667788u,
                                           .categorical = 2,
                                           .numeric = 1,
                                           .multi = 1,
                                           .sequences = 1,
                                           .tasks = 3};

static struct example sample(void) {
    static const uint64_t ids[2] = {7, UINT64_MAX};
    static const float numbers[1] = {1.5F}, labels[3] = {1, 0, 1}, weights[3] = {1, 2, .5F};
    static unsigned char lists[4 + 2 * 8 + 4 + 3 * EXAMPLE_ITEM_BYTES] = {2, [20] = 3};
    return (struct example){.kind = EXAMPLE_LEARN | EXAMPLE_FINAL,
                            .impression = 42,
                            .user = 43,
                            .event_time_ms = 1650812741436,
                            .accepted_ms = 1650812741500,
                            .domain = "tab-1",
                            .domain_length = 5,
                            .mask = 5,
                            .ids = (const unsigned char *)ids,
                            .numbers = (const unsigned char *)numbers,
                            .lists = lists,
                            .lists_length = sizeof lists,
                            .labels = (const unsigned char *)labels,
                            .weights = (const unsigned char *)weights};
}

static void what_is_encoded_is_decoded(void **state) {
    (void)state;
    struct buffer bytes;
    struct error err;
    struct example in = sample(), out;
    buffer_init(&bytes);
    example_encode(&shape, &in, &bytes);
    assert_false(bytes.failed);
    assert_int_equal(example_decode(&shape, bytes.data, bytes.length, &out, &err), STATUS_OK);
    assert_int_equal(out.kind, in.kind);
    assert_true(out.impression == 42 && out.user == 43 && out.mask == 5);
    assert_true(out.event_time_ms == in.event_time_ms && out.accepted_ms == in.accepted_ms);
    assert_memory_equal(out.domain, "tab-1", 5);
    assert_memory_equal(out.ids, in.ids, 16);
    assert_memory_equal(out.lists, in.lists, in.lists_length);
    assert_memory_equal(out.labels, in.labels, 12);
    assert_memory_equal(out.weights, in.weights, 12);
    buffer_deinit(&bytes);
}

static void every_truncation_is_refused(void **state) {
    (void)state;
    struct buffer bytes;
    struct error err;
    struct example in = sample(), out;
    buffer_init(&bytes);
    example_encode(&shape, &in, &bytes);
    for (size_t length = 0; length < bytes.length; length++) {
        // A copy of exactly that length, so that the address sanitizer sees any read beyond it.
        unsigned char *cut = memory_new(length ? length : 1, 1);
        assert_non_null(cut);
        memcpy(cut, bytes.data, length);
        assert_int_equal(example_decode(&shape, cut, length, &out, &err), STATUS_INVALID);
        memory_free(cut);
    }
    buffer_deinit(&bytes);
}

static void no_flipped_bit_reads_out_of_bounds(void **state) {
    (void)state;
    struct buffer bytes;
    struct error err;
    struct example in = sample(), out;
    buffer_init(&bytes);
    example_encode(&shape, &in, &bytes);
    for (size_t bit = 0; bit < bytes.length * 8; bit++) {
        bytes.data[bit / 8] ^= (unsigned char)(1U << bit % 8);
        enum status status = example_decode(&shape, bytes.data, bytes.length, &out, &err);
        assert_true(status == STATUS_OK || status == STATUS_INVALID || status == STATUS_CHANGED);
        bytes.data[bit / 8] ^= (unsigned char)(1U << bit % 8);
    }
    buffer_deinit(&bytes);
}

static void another_spec_is_refused_by_its_fingerprint(void **state) {
    (void)state;
    struct buffer bytes;
    struct error err;
    struct example in = sample(), out;
    struct example_shape other = shape;
    other.fingerprint++;
    buffer_init(&bytes);
    example_encode(&other, &in, &bytes);
    assert_int_equal(example_decode(&shape, bytes.data, bytes.length, &out, &err), STATUS_CHANGED);
    buffer_deinit(&bytes);
}

static void avro_c_reads_the_same_record(void **state) {
    (void)state;
    struct buffer bytes, text;
    struct error err;
    struct example in = sample();
    avro_schema_t schema;
    avro_value_t value, field;
    buffer_init(&bytes);
    buffer_init(&text);
    example_encode(&shape, &in, &bytes);
    assert_int_equal(disk_read_all("schemas/example.avsc", &text, &err), STATUS_OK);
    assert_int_equal(avro_schema_from_json_length((const char *)text.data, text.length, &schema),
                     0);
    avro_value_iface_t *class = avro_generic_class_from_schema(schema);
    assert_int_equal(avro_generic_value_new(class, &value), 0);
    avro_reader_t reader = avro_reader_memory((const char *)bytes.data, (int64_t)bytes.length);
    assert_int_equal(avro_value_read(reader, &value), 0);
    int64_t number;
    const char *domain;
    size_t size;
    assert_int_equal(avro_value_get_by_name(&value, "mask", &field, NULL), 0);
    assert_int_equal(avro_value_get_long(&field, &number), 0);
    assert_int_equal(number, 5);
    assert_int_equal(avro_value_get_by_name(&value, "domain", &field, NULL), 0);
    assert_int_equal(avro_value_get_string(&field, &domain, &size), 0);
    assert_string_equal(domain, "tab-1");
    // Written again by Avro C it is the same bytes.
    unsigned char *again = memory_new(bytes.length, 1);
    assert_non_null(again);
    avro_writer_t writer = avro_writer_memory((char *)again, (int64_t)bytes.length);
    assert_int_equal(avro_value_write(writer, &value), 0);
    assert_int_equal(avro_writer_tell(writer), (int64_t)bytes.length);
    assert_memory_equal(again, bytes.data, bytes.length);
    memory_free(again);
    avro_writer_free(writer);
    avro_reader_free(reader);
    avro_value_decref(&value);
    avro_value_iface_decref(class);
    avro_schema_decref(schema);
    buffer_deinit(&bytes);
    buffer_deinit(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_is_decoded),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(no_flipped_bit_reads_out_of_bounds),
        cmocka_unit_test(another_spec_is_refused_by_its_fingerprint),
        cmocka_unit_test(avro_c_reads_the_same_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
