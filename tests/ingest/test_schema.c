// Reading schemas: canonical forms, fingerprints, limits and mistakes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/disk.h"
#include "ingest/schema.h"

#define SHARED "../shared/data/avro/apache-avro/"

static enum status parse(const char *text, struct schema **schema, struct error *err) {
    return schema_parse(text, strlen(text), schema, err);
}

static void canonical_is(const char *text, size_t length, const char *expected,
                         const char *fingerprint) {
    struct schema *schema;
    struct error err;
    struct buffer canonical;
    uint64_t value;
    char number[32];
    buffer_init(&canonical);
    if (schema_parse(text, length, &schema, &err) != STATUS_OK)
        fail_msg("%s: %.*s", err.message, (int)length, text);
    schema_canonical(schema, &canonical);
    buffer_append_byte(&canonical, 0);
    assert_string_equal((char *)canonical.data, expected);
    assert_int_equal(schema_fingerprint(schema, &value, &err), STATUS_OK);
    snprintf(number, sizeof(number), "%lld", (long long)value);
    assert_string_equal(number, fingerprint);
    buffer_deinit(&canonical);
    schema_free(schema);
}

static void canonical_forms_and_fingerprints_are_the_specifications(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"{\"type\":\"null\"}", "\"null\"", "7195948357588979594"},
        {"\"int\"", "\"int\"", "8247732601305521295"},
        {"{\"doc\":\"x\",\"namespace\":\"x.y\",\"type\":\"fixed\",\"name\":\"Test\",\"size\":1}",
         "{\"name\":\"x.y.Test\",\"type\":\"fixed\",\"size\":1}", NULL},
        {"{\"type\":\"record\",\"name\":\"N\",\"namespace\":\"a\",\"fields\":[{\"type\":[\"null\","
         "\"N\"],\"name\":\"next\",\"default\":null}]}",
         "{\"name\":\"a.N\",\"type\":\"record\",\"fields\":[{\"name\":\"next\",\"type\":[\"null\","
         "\"a.N\"]}]}",
         NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char number[32];
        uint64_t value = schema_rabin(cases[i][1], strlen(cases[i][1]));
        snprintf(number, sizeof(number), "%lld", (long long)value);
        canonical_is(cases[i][0], strlen(cases[i][0]), cases[i][1],
                     cases[i][2] != NULL ? cases[i][2] : number);
    }
}

// The file holds parts: <<INPUT with a schema on the line or on the lines up to INPUT, <<canonical
// and
// <<fingerprint of the input before them.
static void the_apache_test_file_agrees(void **state) {
    (void)state;
    struct buffer text;
    struct error err;
    size_t checked[2] = {0, 0};
    struct schema *schema = NULL;
    buffer_init(&text);
    if (!disk_exists(SHARED "share/test/data/schema-tests.txt"))
        skip();
    assert_int_equal(disk_read_all(SHARED "share/test/data/schema-tests.txt", &text, &err),
                     STATUS_OK);
    buffer_append_byte(&text, 0);
    for (const char *at = (const char *)text.data; (at = strstr(at, "\n<<")) != NULL; at++) {
        const char *word = at + 3;
        const char *body = word + strcspn(word, " \n");
        bool lines = *body == '\n' || body[1 + strspn(body, " ")] == '\n';
        body += strspn(body, " ");
        const char *end = lines ? strstr(body, "\nINPUT\n") : strchr(body, '\n');
        size_t length = (size_t)(end - body);
        if (strncmp(word, "INPUT", 5) == 0) {
            schema_free(schema);
            if (schema_parse(body, length, &schema, &err) != STATUS_OK)
                fail_msg("%s: %.*s", err.message, (int)length, body);
        } else if (strncmp(word, "canonical", 9) == 0) {
            struct buffer canonical;
            buffer_init(&canonical);
            schema_canonical(schema, &canonical);
            if (canonical.length != length || memcmp(canonical.data, body, length) != 0)
                fail_msg("%.*s is not %.*s", (int)canonical.length, (char *)canonical.data,
                         (int)length, body);
            buffer_deinit(&canonical);
            checked[0]++;
        } else if (strncmp(word, "fingerprint", 11) == 0) {
            uint64_t value;
            char number[32];
            assert_int_equal(schema_fingerprint(schema, &value, &err), STATUS_OK);
            snprintf(number, sizeof(number), "%lld", (long long)value);
            assert_memory_equal(number, body, length);
            checked[1]++;
        }
    }
    assert_true(checked[0] > 20 && checked[1] > 5);
    schema_free(schema);
    buffer_deinit(&text);
}

static void folder_parse(const char *folder, enum status expected) {
    struct arena arena;
    struct error err;
    char **names;
    size_t count;
    arena_init(&arena, 4096);
    assert_int_equal(disk_list(folder, &arena, &names, &count, &err), STATUS_OK);
    assert_true(count > 5);
    for (size_t i = 0; i < count; i++) {
        char path[512];
        struct schema *schema = NULL;
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        enum status status = schema_load(path, &schema, &err);
        if (status != expected)
            fail_msg("%s: %s", path, status == STATUS_OK ? "was taken" : err.message);
        if (status == STATUS_OK)
            schema_free(schema);
    }
    arena_deinit(&arena);
}

static void avro_c_s_good_and_bad_schemas_are_told_apart(void **state) {
    (void)state;
    if (!disk_exists(SHARED "lang/c/tests/schema_tests/pass"))
        skip();
    folder_parse(SHARED "lang/c/tests/schema_tests/pass", STATUS_OK);
    folder_parse(SHARED "lang/c/tests/schema_tests/fail", STATUS_INVALID);
}

static void mistakes_are_named(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"{", "line 1"},
        {"\"nothing\"", "`nothing` is not defined"},
        {"{\"type\":\"record\",\"name\":\"R\"}", "has no list of fields"},
        {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"},"
         "{\"name\":\"a\",\"type\":\"int\"}]}",
         "two fields `a`"},
        {"[\"int\",[\"null\"]]", "a union holds a union"},
        {"[\"int\",\"int\"]", "one type twice"},
        {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":-1}", "no valid size"},
        {"{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"a\",\"a\"]}", "two symbols `a`"},
        {"{\"type\":\"enum\",\"name\":\"9\",\"symbols\":[\"a\"]}", "not an Avro name"},
        {"{\"type\":\"array\"}", "a type is missing"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct schema *schema;
        struct error err;
        assert_int_equal(parse(cases[i][0], &schema, &err), STATUS_INVALID);
        if (strstr(err.message, cases[i][1]) == NULL)
            fail_msg("%s lacks %s", err.message, cases[i][1]);
    }
}

static void depth_and_length_are_bounded(void **state) {
    (void)state;
    struct schema *schema;
    struct error err;
    struct buffer text;
    buffer_init(&text);
    for (int i = 0; i < 1500; i++)
        buffer_append_text(&text, "{\"type\":\"array\",\"items\":");
    buffer_append_text(&text, "\"int\"");
    for (int i = 0; i < 1500; i++)
        buffer_append_byte(&text, '}');
    assert_int_equal(schema_parse((char *)text.data, text.length, &schema, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "nested deeper than 64"));
    buffer_reset(&text);
    while (text.length <= SCHEMA_TEXT_MAX)
        buffer_append_text(&text, "                                                              ");
    assert_int_equal(schema_parse((char *)text.data, text.length, &schema, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "longer than"));
    buffer_deinit(&text);
}

static void sizes_that_never_vary_are_known(void **state) {
    (void)state;
    struct schema *schema;
    struct error err;
    assert_int_equal(
        parse("{\"type\":\"record\",\"name\":\"R\",\"fields\":["
              "{\"name\":\"a\",\"type\":\"double\"},{\"name\":\"b\",\"type\":\"null\"},"
              "{\"name\":\"c\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}}"
              "]}",
              &schema, &err),
        STATUS_OK);
    assert_int_equal(schema->root->encoded_bytes, 11);
    schema_free(schema);
    assert_int_equal(parse("{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"r\","
                           "\"type\":\"R\"}]}",
                           &schema, &err),
                     STATUS_OK);
    assert_int_equal(schema->root->encoded_bytes, SCHEMA_SIZE_VARIES);
    schema_free(schema);
}

static void the_apache_single_object_carries_its_schema_s_fingerprint(void **state) {
    (void)state;
    struct schema *schema;
    struct error err;
    struct buffer message;
    uint64_t fingerprint;
    buffer_init(&message);
    if (!disk_exists(SHARED "share/test/data/messageV1/test_message.bin"))
        skip();
    assert_int_equal(
        schema_load(SHARED "share/test/data/messageV1/test_schema.avsc", &schema, &err), STATUS_OK);
    assert_int_equal(schema_fingerprint(schema, &fingerprint, &err), STATUS_OK);
    assert_int_equal(
        disk_read_all(SHARED "share/test/data/messageV1/test_message.bin", &message, &err),
        STATUS_OK);
    assert_memory_equal(message.data, "\xc3\x01", 2);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(message.data[2 + i], fingerprint >> (8 * i) & 0xff);
    buffer_deinit(&message);
    schema_free(schema);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    static const char text[] = "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\","
                               "\"type\":[\"null\",{\"type\":\"enum\",\"name\":\"E\",\"symbols\":["
                               "\"x\"]}]}]}";
    struct schema *schema = NULL;
    struct error err;
    enum status status = STATUS_EXHAUSTED;
    for (uint64_t n = 1; status != STATUS_OK; n++) {
        memory_fail_after(n);
        status = parse(text, &schema, &err);
        memory_fail_after(0);
        assert_true(status == STATUS_OK || status == STATUS_EXHAUSTED);
    }
    schema_free(schema);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_forms_and_fingerprints_are_the_specifications),
        cmocka_unit_test(the_apache_test_file_agrees),
        cmocka_unit_test(avro_c_s_good_and_bad_schemas_are_told_apart),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(depth_and_length_are_bounded),
        cmocka_unit_test(sizes_that_never_vary_are_known),
        cmocka_unit_test(the_apache_single_object_carries_its_schema_s_fingerprint),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
