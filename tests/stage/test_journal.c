// The journal record's codec: both ways, against its schema, and on malformed bytes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <avro.h>
#include <string.h>

#include "base/disk.h"
#include "base/rng.h"
#include "stage/journal.h"

static const struct journal_range ranges[] = {{0, 5, 9, 4, 0x0123456789abcdef},
                                              {3, 1000000, 1000000, 1, 7}};
static const struct journal_input inputs[] = {{"left", 0, 42, 0}, {"right", 3, 0, 99}};
static const struct journal_record samples[] = {
    {.kind = JOURNAL_GENESIS, .config_hash = 9, .build = "b", .inputs = inputs, .input_count = 2},
    {.kind = JOURNAL_START, .clock_ms = 1700000000000, .config_hash = UINT64_MAX, .build = ""},
    {.kind = JOURNAL_BATCH,
     .order = 1,
     .clock_ms = 1700000000000,
     .ranges = ranges,
     .range_count = 2,
     .outputs = 12,
     .outputs_checksum = UINT64_MAX},
    {.kind = JOURNAL_TICK, .clock_ms = -5},
    {.kind = JOURNAL_IDLE, .idle_slot = 3, .idle = true},
    {.kind = JOURNAL_FINISH, .outputs = 1, .outputs_checksum = 1},
};
#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

static void records_come_back_as_they_were(void **state) {
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        struct buffer bytes;
        struct arena arena;
        struct journal_record back;
        struct error err;
        buffer_init(&bytes);
        arena_init(&arena, 1024);
        journal_encode(&samples[i], &bytes);
        assert_false(bytes.failed);
        assert_int_equal(journal_decode(bytes.data, bytes.length, &arena, &back, &err), STATUS_OK);
        assert_int_equal(back.kind, samples[i].kind);
        assert_int_equal(back.order, samples[i].order);
        assert_int_equal(back.clock_ms, samples[i].clock_ms);
        assert_int_equal(back.range_count, samples[i].range_count);
        for (size_t r = 0; r < back.range_count; r++)
            assert_memory_equal(&back.ranges[r], &ranges[r], sizeof(ranges[r]));
        assert_int_equal(back.idle_slot, samples[i].idle_slot);
        assert_int_equal(back.idle, samples[i].idle);
        assert_int_equal(back.outputs, samples[i].outputs);
        assert_int_equal(back.outputs_checksum, samples[i].outputs_checksum);
        assert_int_equal(back.config_hash, samples[i].config_hash);
        assert_int_equal(back.input_count, samples[i].input_count);
        for (size_t n = 0; n < back.input_count; n++) {
            assert_string_equal(back.inputs[n].topic, inputs[n].topic);
            assert_int_equal(back.inputs[n].partition, inputs[n].partition);
            assert_int_equal(back.inputs[n].identity, inputs[n].identity);
            assert_int_equal(back.inputs[n].offset, inputs[n].offset);
        }
        if (samples[i].build)
            assert_string_equal(back.build, samples[i].build);
        arena_deinit(&arena);
        buffer_deinit(&bytes);
    }
}

static void a_batch_takes_a_few_dozen_bytes(void **state) {
    (void)state;
    struct buffer bytes;
    buffer_init(&bytes);
    journal_encode(&samples[2], &bytes);
    assert_in_range(bytes.length, 40, 64);
    buffer_deinit(&bytes);
}

static void truncated_or_flipped_bytes_are_refused_or_another_sound_record(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 1);
    for (size_t i = 0; i < SAMPLES; i++) {
        struct buffer bytes;
        struct arena arena;
        struct journal_record back;
        struct error err;
        buffer_init(&bytes);
        arena_init(&arena, 1024);
        journal_encode(&samples[i], &bytes);
        for (size_t length = 0; length < bytes.length; length++)
            assert_int_equal(journal_decode(bytes.data, length, &arena, &back, &err),
                             STATUS_CORRUPT);
        for (int flip = 0; flip < 2000; flip++) {
            unsigned char *victim = bytes.data + rng_below(&rng, bytes.length);
            unsigned char bit = (unsigned char)(1U << rng_below(&rng, 8));
            *victim ^= bit;
            enum status status = journal_decode(bytes.data, bytes.length, &arena, &back, &err);
            assert_true(status == STATUS_OK || status == STATUS_CORRUPT);
            for (size_t r = 0; status == STATUS_OK && r < back.range_count; r++)
                assert_true(back.ranges[r].last >= back.ranges[r].first && back.ranges[r].count);
            *victim ^= bit;
            arena_reset(&arena);
        }
        arena_deinit(&arena);
        buffer_deinit(&bytes);
    }
}

static int64_t field_long(avro_value_t *record, const char *name) {
    avro_value_t field;
    int64_t value = 0;
    assert_int_equal(avro_value_get_by_name(record, name, &field, NULL), 0);
    assert_int_equal(avro_value_get_long(&field, &value), 0);
    return value;
}

static void the_bytes_are_those_of_the_schema(void **state) {
    (void)state;
    struct buffer text;
    struct error err;
    avro_schema_t schema;
    buffer_init(&text);
    assert_int_equal(disk_read_all("schemas/journal.avsc", &text, &err), STATUS_OK);
    assert_int_equal(avro_schema_from_json_length((char *)text.data, text.length, &schema), 0);
    avro_value_iface_t *class = avro_generic_class_from_schema(schema);
    for (size_t i = 0; i < SAMPLES; i++) {
        struct buffer bytes;
        avro_value_t value, field;
        size_t size = 0;
        int kind = 0;
        buffer_init(&bytes);
        journal_encode(&samples[i], &bytes);
        avro_generic_value_new(class, &value);
        avro_reader_t reader = avro_reader_memory((char *)bytes.data, (int64_t)bytes.length);
        assert_int_equal(avro_value_read(reader, &value), 0);
        char more;
        assert_int_not_equal(avro_read(reader, &more, 1), 0); // and nothing is left over
        assert_int_equal(avro_value_get_by_name(&value, "kind", &field, NULL), 0);
        assert_int_equal(avro_value_get_enum(&field, &kind), 0);
        assert_string_equal(avro_schema_enum_get(avro_value_get_schema(&field), kind),
                            journal_kind_name(samples[i].kind));
        assert_int_equal(field_long(&value, "clock_ms"), samples[i].clock_ms);
        assert_int_equal(field_long(&value, "outputs"), samples[i].outputs);
        assert_int_equal(avro_value_get_by_name(&value, "ranges", &field, NULL), 0);
        assert_int_equal(avro_value_get_size(&field, &size), 0);
        assert_int_equal(size, samples[i].range_count);
        if (size > 0) {
            avro_value_t item;
            assert_int_equal(avro_value_get_by_index(&field, 0, &item, NULL), 0);
            assert_int_equal(field_long(&item, "first"), 5);
            assert_int_equal(field_long(&item, "span"), 4);
            assert_int_equal(field_long(&item, "count"), 4);
        }
        avro_reader_free(reader);
        avro_value_decref(&value);
        buffer_deinit(&bytes);
    }
    avro_value_iface_decref(class);
    avro_schema_decref(schema);
    buffer_deinit(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_back_as_they_were),
        cmocka_unit_test(a_batch_takes_a_few_dozen_bytes),
        cmocka_unit_test(truncated_or_flipped_bytes_are_refused_or_another_sound_record),
        cmocka_unit_test(the_bytes_are_those_of_the_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
