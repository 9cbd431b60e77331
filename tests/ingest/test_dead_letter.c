// Dead letters keep a record's bytes as they were.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <avro.h>
#include <cmocka.h>

#include "base/disk.h"
#include "ingest/dead_letter.h"

static const struct dead_letter letter = {
    .reason = "undecodable",
    .reason_length = 11,
    .message = "cut",
    .message_length = 3,
    .topic = "clicks",
    .topic_length = 6,
    .partition = 3,
    .offset = INT64_C(1) << 40,
    .timestamp_ms = -1,
    .key = "k\0y",
    .key_length = 3,
    .value = "\xff\0\x80",
    .value_length = 3,
};

static void a_letter_survives_its_journey(void **state) {
    (void)state;
    struct buffer bytes;
    struct dead_letter back;
    struct error err;
    buffer_init(&bytes);
    dead_letter_encode(&letter, &bytes);
    assert_int_equal(dead_letter_decode(bytes.data, bytes.length, &back, &err), STATUS_OK);
    assert_int_equal(back.reason_length, 11);
    assert_memory_equal(back.reason, "undecodable", 11);
    assert_int_equal(back.partition, 3);
    assert_true(back.offset == letter.offset && back.timestamp_ms == -1);
    assert_int_equal(back.key_length, 3);
    assert_memory_equal(back.key, "k\0y", 3);
    assert_int_equal(back.value_length, 3);
    assert_memory_equal(back.value, "\xff\0\x80", 3);
    for (size_t cut = 0; cut < bytes.length; cut++)
        assert_int_equal(dead_letter_decode(bytes.data, cut, &back, &err), STATUS_INVALID);
    buffer_append_byte(&bytes, 0);
    assert_int_equal(dead_letter_decode(bytes.data, bytes.length, &back, &err), STATUS_INVALID);
    buffer_deinit(&bytes);
}

static void a_record_without_key_or_value_stays_so(void **state) {
    (void)state;
    struct buffer bytes;
    struct dead_letter bare = {.reason = "", .message = "", .topic = "", .value = "", .key = NULL};
    struct dead_letter back;
    struct error err;
    buffer_init(&bytes);
    dead_letter_encode(&bare, &bytes);
    assert_int_equal(dead_letter_decode(bytes.data, bytes.length, &back, &err), STATUS_OK);
    assert_null(back.key);
    assert_non_null(back.value);
    assert_int_equal(back.value_length, 0);
    buffer_deinit(&bytes);
}

static void the_published_schema_reads_it(void **state) {
    (void)state;
    struct buffer bytes, text;
    struct error err;
    avro_schema_t schema;
    avro_value_t value, field, branch;
    size_t length;
    const void *found;
    buffer_init(&bytes);
    buffer_init(&text);
    dead_letter_encode(&letter, &bytes);
    assert_int_equal(disk_read_all("schemas/dead_letter.avsc", &text, &err), STATUS_OK);
    assert_int_equal(avro_schema_from_json_length((char *)text.data, text.length, &schema), 0);
    avro_value_iface_t *class = avro_generic_class_from_schema(schema);
    assert_int_equal(avro_generic_value_new(class, &value), 0);
    avro_reader_t reader = avro_reader_memory((char *)bytes.data, (int64_t)bytes.length);
    assert_int_equal(avro_value_read(reader, &value), 0);
    assert_int_equal(avro_value_get_by_name(&value, "value", &field, NULL), 0);
    assert_int_equal(avro_value_get_current_branch(&field, &branch), 0);
    assert_int_equal(avro_value_get_bytes(&branch, &found, &length), 0);
    assert_int_equal(length, 3);
    assert_memory_equal(found, letter.value, 3);
    avro_reader_free(reader);
    avro_value_decref(&value);
    avro_value_iface_decref(class);
    avro_schema_decref(schema);
    buffer_deinit(&bytes);
    buffer_deinit(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_letter_survives_its_journey),
        cmocka_unit_test(a_record_without_key_or_value_stays_so),
        cmocka_unit_test(the_published_schema_reads_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
