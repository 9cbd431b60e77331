// The decoder on our own schemas and on nested ones: what it takes, and what it makes of bad input.
#include "decode_fixture.h"

#include <math.h>

#include "base/rng.h"
#include "ingest/schema.h"

#define NOW INT64_C(1700000000000)

static const char own_yaml[] =
    "data:\n"
    "  features:\n"
    "    - {name: user_id}\n"
    "    - {name: item_id}\n"
    "    - {name: author, path: categorical.author}\n"
    "    - {name: age, path: numeric.age, kind: numeric}\n"
    "  tasks:\n"
    "    - {name: click, input: clicks}\n"
    "    - {name: buy, input: conversions, when_path: kind, when_equals: buy, path: value}\n"
    "  domain: domain\n"
    "  user: user_id\n"
    "ingest:\n"
    "  inputs:\n"
    "    - {name: impressions, topic: i, role: impression, schema: schemas/impression.avsc, "
    "time: event_time, key: [impression_id]}\n"
    "    - {name: clicks, topic: c, role: feedback, schema: schemas/click.avsc, "
    "time: event_time, key: [impression_id]}\n"
    "    - {name: conversions, topic: v, role: feedback, schema: schemas/conversion.avsc, "
    "time: event_time, key: [impression_id]}\n";

static void impression_put(struct buffer *out, const char *id, int64_t time, double age) {
    buffer_reset(out);
    wire_put_string(out, id);
    wire_put_long(out, time);
    wire_put_string(out, "u7");
    wire_put_string(out, "i9");
    wire_put_string(out, "home");
    wire_put_long(out, 2);
    wire_put_string(out, "colour");
    wire_put_string(out, "red");
    wire_put_string(out, "author");
    wire_put_string(out, "anna");
    wire_put_long(out, 0);
    wire_put_long(out, -1);
    wire_put_long(out, 12);
    wire_put_string(out, "age");
    wire_put_double(out, age);
    wire_put_long(out, 0);
}

static void conversion_put(struct buffer *out, const char *kind, int64_t time, double value) {
    buffer_reset(out);
    wire_put_string(out, "p1");
    wire_put_long(out, time);
    wire_put_string(out, kind);
    wire_put_double(out, value);
}

static void an_impression_becomes_its_columns(void **state) {
    (void)state;
    struct decode_fixture f;
    struct buffer out;
    buffer_init(&out);
    assert_int_equal(decode_start(&f, own_yaml), STATUS_OK);
    impression_put(&out, "p1", NOW, 31.5);
    assert_int_equal(decode_drop(&f, 0, &out, NOW + 5), EVENT_USED);
    const struct seen *seen = &f.seen[0];
    assert_int_equal(seen->event.event_time_ms, NOW);
    assert_int_equal(seen->event.accepted_ms, NOW + 5);
    assert_int_equal(seen->event.columns.event_time_ms, NOW);
    assert_int_equal(seen->event.key_length, 3);
    assert_memory_equal(seen->key, "\4p1", 3);
    assert_true(seen_id(seen, 0) == spec_id("user_id", "u7", 2));
    assert_true(seen_id(seen, 1) == spec_id("item_id", "i9", 2));
    assert_true(seen_id(seen, 2) == spec_id("author", "anna", 4));
    assert_true(seen_number(seen, 0) == 31.5f);
    assert_true(seen->event.columns.user == spec_id("user", "u7", 2));
    assert_int_equal(seen->event.columns.domain_length, 4);
    assert_memory_equal(seen->domain, "home", 4);
    assert_int_equal(seen->event.mask, 0);
    buffer_deinit(&out);
    decode_stop(&f);
}

static void a_feature_that_is_absent_is_missing_and_not_an_error(void **state) {
    (void)state;
    struct decode_fixture f;
    struct buffer out;
    buffer_init(&out);
    assert_int_equal(decode_start(&f, own_yaml), STATUS_OK);
    wire_put_string(&out, "p1");
    wire_put_long(&out, NOW);
    for (int i = 0; i < 3; i++)
        wire_put_string(&out, "x");
    wire_put_long(&out, 0);
    wire_put_long(&out, 0);
    assert_int_equal(decode_drop(&f, 0, &out, NOW), EVENT_USED);
    assert_true(seen_id(&f.seen[0], 2) == 0);
    assert_true(isnan(seen_number(&f.seen[0], 0)));
    buffer_deinit(&out);
    decode_stop(&f);
}

static void feedback_counts_for_the_tasks_whose_condition_it_meets(void **state) {
    (void)state;
    struct decode_fixture f;
    struct buffer out;
    buffer_init(&out);
    assert_int_equal(decode_start(&f, own_yaml), STATUS_OK);
    wire_put_string(&out, "p1");
    wire_put_long(&out, NOW);
    assert_int_equal(decode_drop(&f, 1, &out, NOW), EVENT_USED);
    assert_false(f.seen[0].event.impression);
    assert_int_equal(f.seen[0].event.mask, 1);
    assert_true(f.seen[0].event.values[0] == 1.0f);
    conversion_put(&out, "buy", NOW, 2.5);
    assert_int_equal(decode_drop(&f, 2, &out, NOW), EVENT_USED);
    assert_int_equal(f.seen[0].event.mask, 2);
    assert_true(f.seen[0].event.values[1] == 2.5f);
    conversion_put(&out, "look", NOW, 2.5);
    assert_int_equal(decode_drop(&f, 2, &out, NOW), EVENT_NOT_WANTED);
    buffer_deinit(&out);
    decode_stop(&f);
}

static void bad_numbers_and_times_are_letters_with_a_reason(void **state) {
    (void)state;
    struct decode_fixture f;
    struct buffer out;
    buffer_init(&out);
    assert_int_equal(decode_start(&f, own_yaml), STATUS_OK);
    static const double numbers[] = {NAN, INFINITY, -INFINITY, 1e300};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        impression_put(&out, "p1", NOW, numbers[i]);
        assert_int_equal(decode_drop(&f, 0, &out, NOW), EVENT_INVALID_NUMBER);
        assert_non_null(strstr(f.result.message, "feature age"));
        conversion_put(&out, "buy", NOW, numbers[i]);
        assert_int_equal(decode_drop(&f, 2, &out, NOW), EVENT_INVALID_NUMBER);
    }
    static const int64_t times[] = {-1, INT64_MIN, NOW + 3600001, INT64_MAX};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        impression_put(&out, "p1", times[i], 1);
        assert_int_equal(decode_drop(&f, 0, &out, NOW), EVENT_INVALID_TIME);
        struct log_record record = {
            .timestamp_ms = NOW, .value = out.data, .value_length = out.length};
        assert_true(decoder_event_time(f.decoder, 0, &record) == NOW);
    }
    impression_put(&out, "p1", NOW + 3600000, 1);
    assert_int_equal(decode_drop(&f, 0, &out, NOW), EVENT_USED);
    struct log_record record = {.timestamp_ms = NOW, .value = out.data, .value_length = out.length};
    assert_true(decoder_event_time(f.decoder, 0, &record) == NOW + 3600000);
    buffer_deinit(&out);
    decode_stop(&f);
}

static void a_tombstone_is_skipped_and_an_end_mark_is_nothing(void **state) {
    (void)state;
    struct decode_fixture f;
    assert_int_equal(decode_start(&f, own_yaml), STATUS_OK);
    assert_int_equal(decode_give(&f, 0, NULL, 0, NOW), STATUS_OK);
    assert_int_equal(f.result.dropped[EVENT_NULL_VALUE], 1);
    assert_int_equal(f.result.letter, EVENT_USED);
    struct log_record end = {.end_of_stream = true};
    assert_int_equal(decoder_decode(f.decoder, 0, &end, decode_see, &f, &f.result, &f.err),
                     STATUS_OK);
    assert_int_equal(f.result.dropped[EVENT_NULL_VALUE], 0);
    decode_stop(&f);
}

static void a_record_cut_at_any_byte_is_undecodable(void **state) {
    (void)state;
    struct decode_fixture f;
    struct buffer out;
    buffer_init(&out);
    assert_int_equal(decode_start(&f, own_yaml), STATUS_OK);
    impression_put(&out, "p1", NOW, 31.5);
    size_t whole = out.length;
    for (out.length = 0; out.length < whole; out.length++)
        assert_int_equal(decode_drop(&f, 0, &out, NOW), EVENT_UNDECODABLE);
    buffer_append_byte(&out, 0);
    out.length = whole + 1;
    assert_int_equal(decode_drop(&f, 0, &out, NOW), EVENT_UNDECODABLE); // left over
    buffer_deinit(&out);
    decode_stop(&f);
}

static void every_flipped_bit_is_survived_and_accounted_for(void **state) {
    (void)state;
    struct decode_fixture f;
    struct buffer out;
    buffer_init(&out);
    assert_int_equal(decode_start(&f, own_yaml), STATUS_OK);
    impression_put(&out, "p1", NOW, 31.5);
    for (size_t bit = 0; bit < 8 * out.length; bit++) {
        out.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        (void)decode_drop(&f, 0, &out, NOW); // asserts that exactly one thing came of it
        out.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    struct rng rng;
    rng_init(&rng, 7);
    for (int turn = 0; turn < 20000; turn++) {
        unsigned char noise[64];
        struct buffer bytes = {.data = noise, .length = rng_below(&rng, sizeof(noise))};
        for (size_t i = 0; i < bytes.length; i++)
            noise[i] = (unsigned char)rng_next(&rng);
        (void)decode_drop(&f, (uint32_t)rng_below(&rng, 3), &bytes, NOW);
    }
    buffer_deinit(&out);
    decode_stop(&f);
}

static const char nested_schema[] =
    "{\"type\":\"record\",\"name\":\"Page\",\"fields\":["
    "{\"name\":\"shown\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":"
    "\"Item\",\"fields\":["
    "{\"name\":\"id\",\"type\":[\"null\",\"long\",\"string\",{\"type\":\"record\",\"name\":\"Bad\","
    "\"fields\":[]}]},"
    "{\"name\":\"tags\",\"type\":{\"type\":\"array\",\"items\":[\"null\",\"string\"]}},"
    "{\"name\":\"price\",\"type\":[\"null\",\"float\",\"int\"]},"
    "{\"name\":\"clicked\",\"type\":\"boolean\"}]}}},"
    "{\"name\":\"user\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"User\",\"fields\":["
    "{\"name\":\"pad\",\"type\":{\"type\":\"fixed\",\"name\":\"Pad\",\"size\":3}},"
    "{\"name\":\"kind\",\"type\":{\"type\":\"enum\",\"name\":\"Kind\",\"symbols\":[\"new\",\"old\"]"
    "}}]}]},"
    "{\"name\":\"at\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}}]}";

static const char nested_yaml[] =
    "data:\n"
    "  features:\n"
    "    - {name: item, path: id}\n"
    "    - {name: kind, path: /user.kind}\n"
    "    - {name: tags, kind: multi, length_max: 2}\n"
    "    - {name: price, kind: numeric}\n"
    "  tasks:\n"
    "    - {name: click, path: clicked}\n"
    "ingest:\n"
    "  join: none\n"
    "  inputs:\n"
    "    - {name: pages, topic: p, role: impression, schema: %s, time: /at, key: [id, /user.kind], "
    "each: shown%s}\n";

static void item_put(struct buffer *out, int branch, const char *text, int tags, bool clicked) {
    wire_put_long(out, branch);
    if (branch == 1)
        wire_put_long(out, 42);
    if (branch == 2)
        wire_put_string(out, text);
    for (int i = 0; i < tags; i++) {
        wire_put_long(out, 1);
        wire_put_long(out, i % 2);
        if (i % 2 == 1)
            wire_put_string(out, "t");
    }
    wire_put_long(out, 0);
    wire_put_long(out, 2);
    wire_put_long(out, 5);
    buffer_append_byte(out, clicked);
}

static void nested_start(struct decode_fixture *f, const char *more) {
    char path[128], yaml[2048];
    decode_folder(f);
    decode_write(f, "page.avsc", nested_schema, path);
    snprintf(yaml, sizeof(yaml), nested_yaml, path, more);
    assert_int_equal(decode_start(f, yaml), STATUS_OK);
    assert_int_equal(disk_remove_tree(f->directory, &f->err), STATUS_OK);
}

static void a_record_of_many_events_gives_the_good_and_counts_the_bad(void **state) {
    (void)state;
    struct decode_fixture f;
    struct buffer out;
    buffer_init(&out);
    nested_start(&f, "");
    wire_put_long(&out, 4);
    item_put(&out, 1, NULL, 7, true);
    item_put(&out, 3, NULL, 0, false); // the union's branch that is no id
    item_put(&out, 2, "a", 1, false);
    item_put(&out, 0, NULL, 0, false); // null where a key must be
    wire_put_long(&out, 0);
    wire_put_long(&out, 1);
    buffer_append(&out, "pad", 3);
    wire_put_long(&out, 1);
    wire_put_long(&out, NOW * 1000 + 999);
    assert_int_equal(decode_give(&f, 0, out.data, out.length, NOW), STATUS_OK);
    assert_int_equal(f.count, 2);
    assert_int_equal(f.result.dropped[EVENT_WRONG_TYPE], 1);
    assert_int_equal(f.result.dropped[EVENT_MISSING_FIELD], 1);
    assert_int_equal(f.result.letter, EVENT_WRONG_TYPE);
    assert_non_null(strstr(f.result.message, "`id`"));
    assert_memory_equal(f.seen[0].key, "\00442\6old", 7);
    assert_true(seen_id(&f.seen[0], 0) == spec_id("item", "42", 2));
    assert_true(seen_id(&f.seen[0], 1) == spec_id("kind", "old", 3));
    assert_true(seen_number(&f.seen[0], 0) == 5.0f);
    assert_int_equal(f.seen[0].event.columns.lists_length, 4 + 16);
    assert_int_equal(f.seen[0].lists[0], 2);
    assert_int_equal(decoder_counts(f.decoder).values_cut, 1);
    assert_int_equal(f.seen[0].event.mask, 1);
    assert_true(f.seen[0].event.values[0] == 1 && f.seen[1].event.values[0] == 0);
    assert_int_equal(f.seen[1].event.columns.lists_length, 4);
    assert_true(f.seen[1].event.event_time_ms == NOW);
    struct log_record record = {.timestamp_ms = 1, .value = out.data, .value_length = out.length};
    assert_true(decoder_event_time(f.decoder, 0, &record) == 1); // absurdly late for timestamp 1
    record.timestamp_ms = NOW;
    assert_true(decoder_event_time(f.decoder, 0, &record) == NOW);
    buffer_deinit(&out);
    decode_stop(&f);
}

static void an_explicit_unit_overrides_the_logical_type(void **state) {
    (void)state;
    struct decode_fixture f;
    struct buffer out;
    buffer_init(&out);
    nested_start(&f, ", time_unit: s");
    wire_put_long(&out, 1);
    item_put(&out, 1, NULL, 0, true);
    wire_put_long(&out, 0);
    wire_put_long(&out, 1);
    buffer_append(&out, "pad", 3);
    wire_put_long(&out, 0);
    wire_put_long(&out, NOW / 1000);
    assert_int_equal(decode_drop(&f, 0, &out, NOW), EVENT_USED);
    assert_true(f.seen[0].event.event_time_ms == NOW);
    buffer_deinit(&out);
    decode_stop(&f);
}

static void hostile_counts_cost_nothing(void **state) {
    (void)state;
    static const char *const schema =
        "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"t\",\"type\":\"long\"},"
        "{\"name\":\"z\",\"type\":{\"type\":\"array\",\"items\":\"null\"}},"
        "{\"name\":\"f\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"fixed\",\"name\":\"F\","
        "\"size\":0}}},"
        "{\"name\":\"l\",\"type\":[\"null\",\"R\"]},"
        "{\"name\":\"d\",\"type\":{\"type\":\"array\",\"items\":\"double\"}}]}";
    struct decode_fixture f;
    struct buffer out;
    char path[128], yaml[1024];
    buffer_init(&out);
    decode_folder(&f);
    decode_write(&f, "r.avsc", schema, path);
    snprintf(yaml, sizeof(yaml),
             "data:\n  features: [{name: f, kind: multi}]\n"
             "  tasks: [{name: y, path: t}]\n"
             "ingest:\n  join: none\n  inputs:\n"
             "    - {name: r, topic: r, role: impression, schema: %s, time: t, key: []}\n",
             path);
    assert_int_equal(decode_start(&f, yaml), STATUS_OK);
    for (int kind = 0; kind < 3; kind++) {
        buffer_reset(&out);
        wire_put_long(&out, NOW);
        wire_put_long(&out, kind == 0 ? INT64_MAX : 0); // nulls without end
        if (kind == 0)
            wire_put_long(&out, 0);
        wire_put_long(&out, kind == 1 ? INT64_MAX : 0); // fixeds of no bytes
        if (kind == 1)
            wire_put_long(&out, 0);
        wire_put_long(&out, 0);
        wire_put_long(&out, kind == 2 ? INT64_MAX / 4 : 0); // more doubles than there are bytes
        if (kind == 2)
            wire_put_long(&out, 0);
        assert_int_equal(decode_drop(&f, 0, &out, NOW), kind == 2 ? EVENT_UNDECODABLE : EVENT_USED);
    }
    buffer_reset(&out);
    for (int i = 0; i < 100000; i++) { // a list linked a hundred thousand deep
        wire_put_long(&out, NOW);
        wire_put_long(&out, 0);
        wire_put_long(&out, 0);
        wire_put_long(&out, 1);
    }
    assert_int_equal(decode_drop(&f, 0, &out, NOW), EVENT_UNDECODABLE);
    assert_int_equal(disk_remove_tree(f.directory, &f.err), STATUS_OK);
    buffer_deinit(&out);
    decode_stop(&f);
}

static void expect_refusal(const char *from, const char *to, const char *message) {
    struct decode_fixture f;
    char yaml[4096];
    const char *at = strstr(own_yaml, from);
    assert_non_null(at);
    snprintf(yaml, sizeof(yaml), "%.*s%s%s", (int)(at - own_yaml), own_yaml, to, at + strlen(from));
    assert_int_equal(decode_start(&f, yaml), STATUS_INVALID);
    if (strstr(f.err.message, message) == NULL)
        fail_msg("`%s` lacks `%s`", f.err.message, message);
    decode_stop(&f);
}

static void paths_that_the_schema_lacks_are_refused_at_start_and_named(void **state) {
    (void)state;
    expect_refusal("{name: item_id}", "{name: item_id, path: item.id}", "feature item_id: path");
    expect_refusal("{name: item_id}", "{name: itemid}", "impression_id, event_time, user_id");
    expect_refusal("time: event_time", "time: domain", "has a type that cannot be used for it");
    expect_refusal("numeric.age, kind", "categorical.age, kind", "feature age");
    expect_refusal("key: [impression_id]", "key: [categorical]", "cannot be used");
    expect_refusal("input: clicks}", "input: click}", "`click` is not an input");
    expect_refusal("domain: domain", "domain: a..b", "empty segment");
    expect_refusal("name: clicks,", "name: impressions,", "is taken by");
    expect_refusal("role: impression", "each: categorical, role: impression", "is not an array");
}

static void single_objects_are_known_by_their_fingerprint(void **state) {
    (void)state;
    struct decode_fixture f;
    struct buffer out;
    struct schema *schema;
    uint64_t fingerprint;
    buffer_init(&out);
    static const char yaml[] =
        "data:\n  features: [{name: impression_id}]\n  tasks: [{name: y, path: event_time}]\n"
        "ingest:\n  join: none\n  inputs:\n"
        "    - {name: c, topic: c, role: impression, framing: single_object, time: event_time, "
        "schema: schemas/click.avsc, older_schemas: [schemas/conversion.avsc]}\n";
    assert_int_equal(decode_start(&f, yaml), STATUS_OK);
    static const char *const files[] = {"schemas/click.avsc", "schemas/conversion.avsc",
                                        "schemas/impression.avsc"};
    static const enum event_drop drops[] = {EVENT_USED, EVENT_USED, EVENT_UNKNOWN_SCHEMA};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(schema_load(files[i], &schema, &f.err), STATUS_OK);
        assert_int_equal(schema_fingerprint(schema, &fingerprint, &f.err), STATUS_OK);
        schema_free(schema);
        buffer_reset(&out);
        buffer_append(&out, "\xc3\x01", 2);
        wire_put_fixed64(&out, fingerprint);
        wire_put_string(&out, "p1");
        wire_put_long(&out, NOW);
        if (i == 1) {
            wire_put_string(&out, "k");
            wire_put_double(&out, 1);
        }
        assert_int_equal(decode_drop(&f, 0, &out, NOW), drops[i]);
    }
    out.data[1] = 2;
    assert_int_equal(decode_drop(&f, 0, &out, NOW), EVENT_UNDECODABLE);
    out.length = 9;
    assert_int_equal(decode_drop(&f, 0, &out, NOW), EVENT_UNDECODABLE);
    buffer_deinit(&out);
    decode_stop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_impression_becomes_its_columns),
        cmocka_unit_test(a_feature_that_is_absent_is_missing_and_not_an_error),
        cmocka_unit_test(feedback_counts_for_the_tasks_whose_condition_it_meets),
        cmocka_unit_test(bad_numbers_and_times_are_letters_with_a_reason),
        cmocka_unit_test(a_tombstone_is_skipped_and_an_end_mark_is_nothing),
        cmocka_unit_test(a_record_cut_at_any_byte_is_undecodable),
        cmocka_unit_test(every_flipped_bit_is_survived_and_accounted_for),
        cmocka_unit_test(a_record_of_many_events_gives_the_good_and_counts_the_bad),
        cmocka_unit_test(an_explicit_unit_overrides_the_logical_type),
        cmocka_unit_test(hostile_counts_cost_nothing),
        cmocka_unit_test(paths_that_the_schema_lacks_are_refused_at_start_and_named),
        cmocka_unit_test(single_objects_are_known_by_their_fingerprint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
