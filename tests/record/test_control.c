// The control log's codec: round trips, damage, and agreement with Avro C on the schema.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <avro.h>

#include "base/disk.h"
#include "record/control.h"

static struct error err;

// One record of each kind.
static struct control sample(int kind) {
    struct control control = {.kind = kind,
                              .time_ms = 1650812741436,
                              .author = "anna",
                              .author_length = 4,
                              .note = "a poisoned stream",
                              .note_length = 17};
    if (kind == CONTROL_PIN) {
        control.lineage = 0xfedcba9876543210U;
        control.version = 42;
    }
    return control;
}

static void encode(int kind, struct buffer *bytes) {
    struct control control = sample(kind);
    buffer_reset(bytes);
    control_encode(&control, bytes);
    assert_false(bytes->failed);
}

static void what_is_encoded_is_decoded(void **state) {
    (void)state;
    struct buffer bytes;
    buffer_init(&bytes);
    for (int kind = 0; kind < CONTROL_KINDS; kind++) {
        struct control in = sample(kind), out;
        encode(kind, &bytes);
        assert_int_equal(control_decode(bytes.data, bytes.length, &out, &err), STATUS_OK);
        assert_int_equal(out.kind, kind);
        assert_true(out.time_ms == in.time_ms);
        assert_int_equal(out.author_length, 4);
        assert_memory_equal(out.author, "anna", 4);
        assert_int_equal(out.note_length, 17);
        assert_memory_equal(out.note, in.note, 17);
        assert_true(out.lineage == in.lineage && out.version == in.version);
    }
    buffer_deinit(&bytes);
}

static void every_truncation_and_every_byte_behind_is_refused(void **state) {
    (void)state;
    struct buffer bytes;
    buffer_init(&bytes);
    for (int kind = 0; kind < CONTROL_KINDS; kind++) {
        struct control out;
        encode(kind, &bytes);
        for (size_t length = 0; length < bytes.length; length++) {
            // A copy of exactly that length, so that the address sanitizer sees any read beyond it.
            unsigned char *cut = memory_new(length ? length : 1, 1);
            assert_non_null(cut);
            memcpy(cut, bytes.data, length);
            assert_int_equal(control_decode(cut, length, &out, &err), STATUS_INVALID);
            memory_free(cut);
        }
        buffer_append_byte(&bytes, 0);
        assert_int_equal(control_decode(bytes.data, bytes.length, &out, &err), STATUS_INVALID);
    }
    buffer_deinit(&bytes);
}

static void a_kind_of_a_newer_build_is_refused_by_its_number(void **state) {
    (void)state;
    static const unsigned char newer[] = {0, 0, 0, 2 * 99 % 128 + 128, 2 * 99 / 128, 1, 2, 3};
    struct control out;
    assert_int_equal(control_decode(newer, sizeof newer, &out, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "kind 99"));
}

static void version_0_cannot_be_pinned(void **state) {
    (void)state;
    struct buffer bytes;
    struct control in = sample(CONTROL_PIN), out;
    buffer_init(&bytes);
    in.version = 0;
    control_encode(&in, &bytes);
    assert_int_equal(control_decode(bytes.data, bytes.length, &out, &err), STATUS_INVALID);
    buffer_deinit(&bytes);
}

static void avro_c_reads_and_writes_the_same_records(void **state) {
    (void)state;
    struct buffer bytes, text;
    avro_schema_t schema;
    avro_value_t value, body;
    buffer_init(&bytes);
    buffer_init(&text);
    assert_int_equal(disk_read_all("schemas/control.avsc", &text, &err), STATUS_OK);
    assert_int_equal(avro_schema_from_json_length((const char *)text.data, text.length, &schema),
                     0);
    avro_value_iface_t *class = avro_generic_class_from_schema(schema);
    assert_int_equal(avro_generic_value_new(class, &value), 0);
    for (int kind = 0; kind < CONTROL_KINDS; kind++) {
        unsigned char again[256];
        int chosen;
        encode(kind, &bytes);
        avro_reader_t reader = avro_reader_memory((const char *)bytes.data, (int64_t)bytes.length);
        assert_int_equal(avro_value_reset(&value), 0);
        assert_int_equal(avro_value_read(reader, &value), 0);
        assert_int_equal(avro_value_get_by_name(&value, "body", &body, NULL), 0);
        assert_int_equal(avro_value_get_discriminant(&body, &chosen), 0);
        assert_int_equal(chosen, kind);
        avro_writer_t writer = avro_writer_memory((char *)again, sizeof again);
        assert_int_equal(avro_value_write(writer, &value), 0);
        assert_int_equal(avro_writer_tell(writer), (int64_t)bytes.length);
        assert_memory_equal(again, bytes.data, bytes.length);
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
        cmocka_unit_test(a_kind_of_a_newer_build_is_refused_by_its_number),
        cmocka_unit_test(version_0_cannot_be_pinned),
        cmocka_unit_test(avro_c_reads_and_writes_the_same_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
