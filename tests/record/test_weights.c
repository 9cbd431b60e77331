// The weights log's codec: round trips, damage, and agreement with Avro C on the schema.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <avro.h>

#include "base/disk.h"
#include "record/weights.h"

enum { KINDS = WEIGHTS_COMMIT + 1 };

// One record of each kind.
static struct weights sample(int kind) {
    static const uint64_t ids[3] = {1, UINT64_MAX, 77};
    static const float values[6] = {1, -2, 3.5F, 0, 1e-30F, -1e30F};
    struct weights weights = {.kind = kind, .lineage = 0xfedcba9876543210U, .version = 42};
    switch (kind) {
    case WEIGHTS_OPEN:
        weights.watermark_ms = -5;
        weights.accepted_ms = 1650812741436;
        weights.spec = "{\"model\":{}}";
        weights.spec_length = strlen(weights.spec);
        weights.measures = "{}";
        weights.measures_length = 2;
        break;
    case WEIGHTS_ROWS:
        weights.dimension = 2;
        weights.values = (const unsigned char *)values;
        weights.whole = true;
        // fall through
    case WEIGHTS_TOMBSTONES:
        weights.table = 9;
        weights.count = 3;
        weights.ids = (const unsigned char *)ids;
        break;
    case WEIGHTS_TENSOR:
        weights.name = "trunk.0.weight";
        weights.name_length = strlen(weights.name);
        weights.rows = 2;
        weights.columns = 3;
        weights.data = (const unsigned char *)values;
        break;
    case WEIGHTS_SLICE:
        weights.slice = 5;
        weights.slice_bits = 3;
        break;
    default:
        break;
    }
    return weights;
}

static void encode(const struct weights *weights, struct buffer *bytes) {
    buffer_reset(bytes);
    weights_encode(weights, bytes);
    assert_false(bytes->failed);
}

static void what_is_encoded_is_decoded(void **state) {
    (void)state;
    struct buffer bytes;
    buffer_init(&bytes);
    for (int kind = 0; kind < KINDS; kind++) {
        struct weights in = sample(kind), out;
        struct error err;
        encode(&in, &bytes);
        assert_int_equal(weights_decode(bytes.data, bytes.length, &out, &err), STATUS_OK);
        assert_int_equal(out.kind, kind);
        assert_true(out.lineage == in.lineage && out.version == 42);
        assert_true(out.watermark_ms == in.watermark_ms && out.accepted_ms == in.accepted_ms);
        assert_true(out.spec_length == in.spec_length && out.measures_length == in.measures_length);
        if (in.spec)
            assert_memory_equal(out.spec, in.spec, in.spec_length);
        assert_true(out.table == in.table && out.count == in.count);
        assert_true(out.dimension == in.dimension && out.whole == in.whole);
        if (in.ids)
            assert_memory_equal(out.ids, in.ids, 24);
        if (in.values)
            assert_memory_equal(out.values, in.values, 24);
        assert_true(out.rows == in.rows && out.columns == in.columns);
        assert_true(out.name_length == in.name_length);
        if (in.data)
            assert_memory_equal(out.data, in.data, 24);
        assert_true(out.slice == in.slice && out.slice_bits == in.slice_bits);
    }
    buffer_deinit(&bytes);
}

static void every_truncation_and_every_byte_behind_is_refused(void **state) {
    (void)state;
    struct buffer bytes;
    struct error err;
    buffer_init(&bytes);
    for (int kind = 0; kind < KINDS; kind++) {
        struct weights in = sample(kind), out;
        encode(&in, &bytes);
        for (size_t length = 0; length < bytes.length; length++) {
            // A copy of exactly that length, so that the address sanitizer sees any read beyond it.
            unsigned char *cut = memory_new(length ? length : 1, 1);
            assert_non_null(cut);
            memcpy(cut, bytes.data, length);
            assert_int_equal(weights_decode(cut, length, &out, &err), STATUS_INVALID);
            memory_free(cut);
        }
        buffer_append_byte(&bytes, 0);
        assert_int_equal(weights_decode(bytes.data, bytes.length, &out, &err), STATUS_INVALID);
    }
    buffer_deinit(&bytes);
}

static void no_flipped_bit_reads_out_of_bounds(void **state) {
    (void)state;
    struct buffer bytes;
    struct error err;
    buffer_init(&bytes);
    for (int kind = 0; kind < KINDS; kind++) {
        struct weights in = sample(kind), out;
        encode(&in, &bytes);
        for (size_t bit = 0; bit < bytes.length * 8; bit++) {
            bytes.data[bit / 8] ^= (unsigned char)(1U << bit % 8);
            if (weights_decode(bytes.data, bytes.length, &out, &err) == STATUS_OK) {
                // What it says is there is there.
                const unsigned char *end = bytes.data + bytes.length;
                if (out.kind == WEIGHTS_ROWS)
                    assert_true(out.values + (size_t)out.count * out.dimension * 4 <= end);
                if (out.kind == WEIGHTS_TENSOR)
                    assert_true(out.data + (size_t)out.rows * out.columns * 4 <= end);
            }
            bytes.data[bit / 8] ^= (unsigned char)(1U << bit % 8);
        }
    }
    buffer_deinit(&bytes);
}

static void hostile_counts_are_refused(void **state) {
    (void)state;
    // A tensor of 2^31 x 2^31 values (product overflows 64 bits of bytes) with no data at all.
    static const unsigned char huge[] = {0,    0,    0,    0,    0,    0, 0, 0,
                                         0,    0,    0,    0,    0,    0, 0, 0, // head
                                         4,    0,                               // tensor, ""
                                         0x80, 0x80, 0x80, 0x80, 0x10,          // 2^31
                                         0x80, 0x80, 0x80, 0x80, 0x10, 0};      // 2^31, no bytes
    // Bytes of length 2^62.
    static const unsigned char length[] = {0,    0,    0,    0,    0,    0,    0,    0, 0,    0,
                                           0,    0,    0,    0,    0,    0,    6,    0, 0x80, 0x80,
                                           0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1};
    struct weights out;
    struct error err;
    assert_int_equal(weights_decode(huge, sizeof huge, &out, &err), STATUS_INVALID);
    assert_int_equal(weights_decode(length, sizeof length, &out, &err), STATUS_INVALID);
}

static void avro_c_reads_and_writes_the_same_records(void **state) {
    (void)state;
    struct buffer bytes, text;
    struct error err;
    avro_schema_t schema;
    avro_value_t value, field, branch;
    buffer_init(&bytes);
    buffer_init(&text);
    assert_int_equal(disk_read_all("schemas/weights.avsc", &text, &err), STATUS_OK);
    assert_int_equal(avro_schema_from_json_length((const char *)text.data, text.length, &schema),
                     0);
    avro_value_iface_t *class = avro_generic_class_from_schema(schema);
    assert_int_equal(avro_generic_value_new(class, &value), 0);
    for (int kind = 0; kind < KINDS; kind++) {
        struct weights in = sample(kind);
        int chosen;
        encode(&in, &bytes);
        avro_reader_t reader = avro_reader_memory((const char *)bytes.data, (int64_t)bytes.length);
        assert_int_equal(avro_value_reset(&value), 0);
        assert_int_equal(avro_value_read(reader, &value), 0);
        assert_int_equal(avro_value_get_by_name(&value, "body", &field, NULL), 0);
        assert_int_equal(avro_value_get_discriminant(&field, &chosen), 0);
        assert_int_equal(chosen, kind);
        if (kind == WEIGHTS_TENSOR) {
            int64_t columns;
            assert_int_equal(avro_value_get_current_branch(&field, &branch), 0);
            assert_int_equal(avro_value_get_by_name(&branch, "columns", &field, NULL), 0);
            assert_int_equal(avro_value_get_long(&field, &columns), 0);
            assert_int_equal(columns, 3);
        }
        unsigned char *again = memory_new(bytes.length, 1);
        assert_non_null(again);
        avro_writer_t writer = avro_writer_memory((char *)again, (int64_t)bytes.length);
        assert_int_equal(avro_value_write(writer, &value), 0);
        assert_int_equal(avro_writer_tell(writer), (int64_t)bytes.length);
        assert_memory_equal(again, bytes.data, bytes.length);
        memory_free(again);
        avro_writer_free(writer);
        avro_reader_free(reader);
    }
    avro_value_decref(&value);
    avro_value_iface_decref(class);
    avro_schema_decref(schema);
    buffer_deinit(&bytes);
    buffer_deinit(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_is_decoded),
        cmocka_unit_test(every_truncation_and_every_byte_behind_is_refused),
        cmocka_unit_test(no_flipped_bit_reads_out_of_bounds),
        cmocka_unit_test(hostile_counts_are_refused),
        cmocka_unit_test(avro_c_reads_and_writes_the_same_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
