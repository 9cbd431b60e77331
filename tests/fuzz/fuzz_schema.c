// A schema of any text, and a record of any bytes read by it: TEXT, a zero byte, BYTES.
#include <string.h>

#include "ingest/plan.h"
#include "tests/fuzz/fuzz.h"

static void listed(void *self, size_t want, const struct plan_value *value) {
    (void)self;
    (void)want;
    (void)value;
}
static void begin(void *self, bool outer) {
    (void)self;
    (void)outer;
}
static bool event(void *self) {
    return ++*(size_t *)self <= PLAN_ITEMS_MAX;
}

static void read_by(const struct schema *schema, const char *each_text, const uint8_t *bytes,
                    size_t length) {
    static const char *const paths[] = {"id", "t", "items.id", "a.b.c", "m.key", "/outer"};
    enum { WANTS = sizeof paths / sizeof paths[0] };
    struct plan_want wants[WANTS] = {0};
    struct plan_value values[WANTS];
    struct arena arena;
    struct path each;
    struct plan *plan = NULL;
    struct error err;
    size_t events = 0;
    arena_init(&arena, 4096);
    for (size_t i = 0; i < WANTS; i++) {
        REQUIRE(path_parse(paths[i] + (!each_text && paths[i][0] == '/'), &arena, &wants[i].path,
                           &err) == STATUS_OK);
        wants[i].list = i == 2;
    }
    if (each_text)
        REQUIRE(path_parse(each_text, &arena, &each, &err) == STATUS_OK);
    if (plan_new(schema, each_text ? &each : NULL, wants, WANTS, &plan, &err) == STATUS_OK) {
        struct plan_sink sink = {values, listed, begin, event, &events};
        (void)plan_walk(plan, bytes, length, &sink);
        (void)plan_peek(plan, bytes, length, values);
        struct buffer text;
        buffer_init(&text);
        plan_explain(schema, each_text ? &each : NULL, &wants[0].path, &text);
        buffer_deinit(&text);
    }
    plan_free(plan);
    arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    const uint8_t *zero = memchr(bytes, 0, length);
    size_t text_length = zero ? (size_t)(zero - bytes) : length;
    struct schema *schema = NULL, *again = NULL;
    struct error err;
    if (schema_parse((const char *)bytes, text_length, &schema, &err) != STATUS_OK) {
        REQUIRE(err.message[0] != '\0');
        return 0;
    }
    // The canonical form is a schema, and its own canonical form.
    struct buffer canonical, twice;
    buffer_init(&canonical);
    buffer_init(&twice);
    schema_canonical(schema, &canonical);
    if (canonical.length <= SCHEMA_TEXT_MAX) {
        REQUIRE(schema_parse((const char *)canonical.data, canonical.length, &again, &err) ==
                STATUS_OK);
        schema_canonical(again, &twice);
        REQUIRE(twice.length == canonical.length &&
                memcmp(twice.data, canonical.data, twice.length) == 0);
    }
    const uint8_t *record = bytes + text_length + (zero != NULL);
    size_t record_length = length - text_length - (zero != NULL);
    read_by(schema, NULL, record, record_length);
    read_by(schema, "items", record, record_length);
    schema_free(schema);
    schema_free(again);
    buffer_deinit(&canonical);
    buffer_deinit(&twice);
    return 0;
}

void fuzz_seeds(void (*emit)(const void *bytes, size_t length)) {
    static const char *const seeds[] = {
        "\"long\"",
        "[\"null\",{\"type\":\"array\",\"items\":\"string\"}]",
        "{\"type\":\"record\",\"name\":\"a.R\",\"aliases\":[\"x\"],\"fields\":[{\"name\":\"id\","
        "\"type\":\"string\"},{\"name\":\"t\",\"type\":{\"type\":\"int\",\"logicalType\":\"date\"},"
        "\"default\":1},{\"name\":\"next\",\"type\":[\"null\",\"R\"]}]}",
        "{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"n.s\",\"fields\":[{\"name\":\"outer\","
        "\"type\":\"double\"},{\"name\":\"items\",\"type\":{\"type\":\"array\",\"items\":{\"type\":"
        "\"record\",\"name\":\"I\",\"fields\":[{\"name\":\"id\",\"type\":{\"type\":\"fixed\","
        "\"name\":\"F\",\"size\":3}},{\"name\":\"t\",\"type\":{\"type\":\"long\",\"logicalType\":"
        "\"timestamp-millis\"}}]}}}]}",
        "{\"type\":\"map\",\"values\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}}",
    };
    // A record for all: the double, one item, an end; the others read what they can of it.
    static const char bytes[] = "\0\0\0\0\0\0\0\xf8\x3f\2abc\x80\x88\x95\xb6\xf6\x62\0\0";
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        struct buffer seed;
        buffer_init(&seed);
        buffer_append_text(&seed, "%s", seeds[i]);
        buffer_append(&seed, bytes, sizeof bytes - 1);
        REQUIRE(!seed.failed);
        emit(seed.data, seed.length);
        buffer_deinit(&seed);
    }
}
