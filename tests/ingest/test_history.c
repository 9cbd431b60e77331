// Behaviour sequences through the mapping: pairs of ids and times, and each thing that can be
// wrong.
#include "tests/ingest/decode_fixture.h"

enum { NOW = 100000000 }; // ms

static const char schema[] =
    "{\"type\":\"record\",\"name\":\"Seen\",\"fields\":["
    "{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"at\",\"type\":\"long\"},"
    "{\"name\":\"before\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":"
    "\"Item\",\"fields\":[{\"name\":\"item\",\"type\":[\"null\",\"string\",\"double\"]},"
    "{\"name\":\"time\",\"type\":[\"null\",\"long\",\"double\"]}]}}},"
    "{\"name\":\"ids\",\"type\":{\"type\":\"array\",\"items\":\"string\"}},"
    "{\"name\":\"times\",\"type\":{\"type\":\"array\",\"items\":\"long\"}}]}";

static const char yaml[] =
    "data:\n"
    "  features:\n"
    "    - {name: item, path: id}\n"
    "    - {name: pairs, path: before.item, times: before.time, kind: sequence, vocabulary: item, "
    "length_max: 3}\n"
    "    - {name: apart, path: ids, times: times, kind: sequence, vocabulary: item, length_max: "
    "3}\n"
    "    - {name: untimed, path: ids, kind: sequence, vocabulary: item, length_max: 2}\n"
    "    - {name: tags, path: ids, kind: multi}\n"
    "  tasks:\n"
    "    - {name: click, path: at}\n"
    "ingest:\n"
    "  join: none\n"
    "  inputs:\n"
    "    - {name: seen, topic: s, role: impression, schema: %s, time: at, key: [id]}\n";

struct item { // NULL and -1: null
    const char *text;
    int64_t time;
};

static void start(struct decode_fixture *f) {
    char path[128], text[2048];
    decode_folder(f);
    decode_write(f, "seen.avsc", schema, path);
    snprintf(text, sizeof text, yaml, path);
    assert_int_equal(decode_start(f, text), STATUS_OK);
    assert_int_equal(disk_remove_tree(f->directory, &f->err), STATUS_OK);
}

// A record with `before` as pairs, and ids and times apart.
static void put(struct buffer *out, const struct item *items, size_t count, size_t ids,
                size_t times) {
    buffer_reset(out);
    wire_put_string(out, "i0");
    wire_put_long(out, NOW);
    for (size_t i = 0; i < count; i++) {
        wire_put_long(out, 1);
        wire_put_long(out, items[i].text ? 1 : 0);
        if (items[i].text)
            wire_put_string(out, items[i].text);
        wire_put_long(out, items[i].time >= 0 ? 1 : 0);
        if (items[i].time >= 0)
            wire_put_long(out, items[i].time);
    }
    wire_put_long(out, 0);
    for (size_t i = 0; i < ids; i++) {
        char text[32];
        snprintf(text, sizeof text, "a%zu", i);
        wire_put_long(out, 1);
        wire_put_string(out, text);
    }
    wire_put_long(out, 0);
    for (size_t i = 0; i < times; i++) {
        wire_put_long(out, 1);
        wire_put_long(out, NOW - 1000 * (int64_t)(times - i));
    }
    wire_put_long(out, 0);
}

static uint32_t word(const unsigned char *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

// The list at *at holds these texts with these ages; passes it over.
static void expect(const unsigned char **at, const char *const *texts, const uint32_t *ages,
                   size_t count) {
    assert_int_equal(word(*at), count);
    *at += 4;
    for (size_t i = 0; i < count; i++, *at += 8) {
        uint64_t id;
        memcpy(&id, *at, sizeof id);
        assert_true(id == spec_id("item", texts[i], strlen(texts[i])));
    }
    for (size_t i = 0; i < count; i++, *at += 4)
        assert_int_equal(word(*at), ages[i]);
}

static void sequences_come_behind_lists_oldest_first_with_their_ages(void **state) {
    (void)state;
    struct decode_fixture f = {0};
    struct buffer out;
    const struct item items[] = {{"x", NOW - 9999}, {"y", NOW - 5000}, {"z", NOW}};
    buffer_init(&out);
    start(&f);
    put(&out, items, 3, 2, 2);
    assert_int_equal(decode_give(&f, 0, out.data, out.length, NOW), STATUS_OK);
    assert_int_equal(f.count, 1);
    const unsigned char *at = f.seen[0].lists;
    assert_int_equal(word(at), 2); // tags, though configured last
    at += 4 + 2 * 8;
    expect(&at, (const char *const[]){"x", "y", "z"}, (const uint32_t[]){9, 5, 0}, 3);
    expect(&at, (const char *const[]){"a0", "a1"}, (const uint32_t[]){2, 1}, 2);
    expect(&at, (const char *const[]){"a0", "a1"}, (const uint32_t[]){0, 0}, 2);
    assert_true((size_t)(at - f.seen[0].lists) == f.seen[0].event.columns.lists_length);
    struct decoder_counts counts = decoder_counts(f.decoder);
    assert_true(
        counts.values_cut + counts.items_null + counts.items_future + counts.sequences_sorted == 0);
    put(&out, items, 0, 0, 0); // nobody did anything before
    assert_int_equal(decode_give(&f, 0, out.data, out.length, NOW), STATUS_OK);
    assert_int_equal(f.seen[0].event.columns.lists_length, 4 * 4);
    buffer_deinit(&out);
    decode_stop(&f);
}

static void single_items_that_are_wrong_are_left_out_and_counted(void **state) {
    (void)state;
    struct decode_fixture f = {0};
    struct buffer out;
    const struct item items[] = {{"new", NOW - 1000}, {NULL, NOW - 2000},    {"timeless", -1},
                                 {"future", NOW + 1}, {"old", NOW - 60000},  {"b", NOW - 3000},
                                 {"a", NOW - 3000},   {"older", NOW - 90000}};
    buffer_init(&out);
    start(&f);
    put(&out, items, 8, 0, 0);
    assert_int_equal(decode_give(&f, 0, out.data, out.length, NOW), STATUS_OK);
    assert_int_equal(f.count, 1);
    assert_int_equal(f.result.letter, EVENT_USED);
    const unsigned char *at = f.seen[0].lists + 4;
    // The newest three, equal times in the order they came.
    expect(&at, (const char *const[]){"b", "a", "new"}, (const uint32_t[]){3, 3, 1}, 3);
    struct decoder_counts counts = decoder_counts(f.decoder);
    assert_int_equal(counts.items_null, 2);
    assert_int_equal(counts.items_future, 1);
    assert_int_equal(counts.values_cut, 2);
    assert_int_equal(counts.sequences_sorted, 1);
    buffer_deinit(&out);
    decode_stop(&f);
}

static void a_sequence_keeps_its_newest_however_long_it_is(void **state) {
    (void)state;
    struct decode_fixture f = {0};
    struct buffer out;
    buffer_init(&out);
    start(&f);
    put(&out, NULL, 0, 5000, 5000); // more than are held at once
    // The multi-valued feature keeps its first 50.
    assert_int_equal(decode_give(&f, 0, out.data, out.length, NOW + 1000), STATUS_OK);
    const unsigned char *at = f.seen[0].lists + 4 + 50 * 8;
    expect(&at, NULL, NULL, 0);
    expect(&at, (const char *const[]){"a4997", "a4998", "a4999"}, (const uint32_t[]){3, 2, 1}, 3);
    expect(&at, (const char *const[]){"a4998", "a4999"}, (const uint32_t[]){0, 0}, 2);
    assert_int_equal(decoder_counts(f.decoder).values_cut, 4997 + 4998 + 4950);
    buffer_deinit(&out);
    decode_stop(&f);
}

static void what_leaves_no_sense_to_the_whole_is_a_letter(void **state) {
    (void)state;
    struct decode_fixture f = {0};
    struct buffer out;
    buffer_init(&out);
    start(&f);
    put(&out, NULL, 0, 2, 3); // a time too many
    assert_int_equal(decode_give(&f, 0, out.data, out.length, NOW), STATUS_OK);
    assert_int_equal(f.result.letter, EVENT_MISSING_FIELD);
    assert_non_null(strstr(f.result.message, "apart at `ids`"));
    struct buffer bad;
    buffer_init(&bad);
    wire_put_string(&bad, "i0");
    wire_put_long(&bad, NOW);
    wire_put_long(&bad, 1);
    wire_put_long(&bad, 2); // the item is half a number
    wire_put_double(&bad, 1.5);
    wire_put_long(&bad, 1);
    wire_put_long(&bad, NOW);
    for (int i = 0; i < 3; i++)
        wire_put_long(&bad, 0);
    assert_int_equal(decode_give(&f, 0, bad.data, bad.length, NOW), STATUS_OK);
    assert_int_equal(f.result.letter, EVENT_WRONG_TYPE);
    assert_non_null(strstr(f.result.message, "pairs at `before.item`"));
    buffer_reset(&bad);
    wire_put_string(&bad, "i0");
    wire_put_long(&bad, NOW);
    wire_put_long(&bad, 1);
    wire_put_long(&bad, 1);
    wire_put_string(&bad, "x");
    wire_put_long(&bad, 1);
    wire_put_long(&bad, -5); // before 1970
    for (int i = 0; i < 3; i++)
        wire_put_long(&bad, 0);
    assert_int_equal(decode_give(&f, 0, bad.data, bad.length, NOW), STATUS_OK);
    assert_int_equal(f.result.letter, EVENT_INVALID_TIME);
    assert_int_equal(f.count, 0);
    buffer_deinit(&bad);
    buffer_deinit(&out);
    decode_stop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_come_behind_lists_oldest_first_with_their_ages),
        cmocka_unit_test(single_items_that_are_wrong_are_left_out_and_counted),
        cmocka_unit_test(a_sequence_keeps_its_newest_however_long_it_is),
        cmocka_unit_test(what_leaves_no_sense_to_the_whole_is_a_letter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
