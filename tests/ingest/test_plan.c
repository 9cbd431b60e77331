// Plans against Avro C: random schemas, random values, every path; and hostile bytes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <avro.h>
#include <cmocka.h>

#include "base/rng.h"
#include "ingest/plan.h"

#define WANTS_MAX 256

struct fixture {
    struct rng rng;
    struct arena arena;
    struct buffer json;
    unsigned names;
    struct schema *schema;
    struct plan_want wants[WANTS_MAX];
    char *paths[WANTS_MAX];
    size_t count;
    struct buffer expected[WANTS_MAX], found[WANTS_MAX]; // renderings of the values, in order
    struct plan_value values[WANTS_MAX];
    size_t events;
};

static unsigned draw(struct fixture *f, unsigned below) {
    return (unsigned)rng_below(&f->rng, below);
}

// A random schema's JSON. Unions hold null, a few scalars of different kinds and perhaps a record.
static void schema_draw(struct fixture *f, int depth) {
    static const char *const scalars[] = {"boolean", "int",   "long",   "float",
                                          "double",  "bytes", "string", "null"};
    unsigned kind = draw(f, depth > 0 ? 14 : 10);
    if (kind < 8) {
        buffer_append_text(&f->json, "\"%s\"", scalars[kind]);
    } else if (kind == 8) {
        buffer_append_text(&f->json,
                           "{\"type\":\"enum\",\"name\":\"E%u\",\"symbols\":[\"A\",\"Bb\"]}",
                           f->names++);
    } else if (kind == 9) {
        buffer_append_text(&f->json, "{\"type\":\"fixed\",\"name\":\"F%u\",\"size\":%u}",
                           f->names++, 1 + draw(f, 5));
    } else if (kind == 10) {
        buffer_append_text(&f->json, "{\"type\":\"array\",\"items\":");
        schema_draw(f, depth - 1);
        buffer_append_text(&f->json, "}");
    } else if (kind == 11) {
        buffer_append_text(&f->json, "{\"type\":\"map\",\"values\":");
        schema_draw(f, depth - 1);
        buffer_append_text(&f->json, "}");
    } else if (kind == 12) {
        buffer_append_text(&f->json,
                           "[\"null\",\"%s\",{\"type\":\"record\",\"name\":\"U%u\","
                           "\"fields\":[{\"name\":\"f0\",\"type\":",
                           scalars[draw(f, 7)], f->names++);
        schema_draw(f, depth - 1);
        buffer_append_text(&f->json, "}]},{\"type\":\"array\",\"items\":\"long\"}]");
    } else {
        unsigned fields = 1 + draw(f, 4);
        buffer_append_text(&f->json, "{\"type\":\"record\",\"name\":\"R%u\",\"fields\":[",
                           f->names++);
        for (unsigned i = 0; i < fields; i++) {
            buffer_append_text(&f->json, "%s{\"name\":\"f%u\",\"type\":", i > 0 ? "," : "", i);
            schema_draw(f, depth - 1);
            buffer_append_text(&f->json, "}");
        }
        buffer_append_text(&f->json, "]}");
    }
}

static size_t path_find(struct fixture *f, const char *path) {
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->paths[i], path) == 0)
            return i;
    return SIZE_MAX;
}

// Wants every path that ends at a scalar; those through arrays as lists.
static void paths_collect(struct fixture *f, const struct schema_type *type, const char *path,
                          bool list) {
    char below[512];
    if (type->kind == SCHEMA_RECORD || type->kind == SCHEMA_MAP) {
        size_t count = type->kind == SCHEMA_MAP ? 3 : type->count;
        for (size_t i = 0; i < count; i++) {
            snprintf(below, sizeof(below), "%s%s%c%zu", path, path[0] != '\0' ? "." : "",
                     type->kind == SCHEMA_MAP ? 'k' : 'f', i);
            paths_collect(f, type->kind == SCHEMA_MAP ? type->items : type->fields[i].type, below,
                          list);
        }
        return;
    }
    if (type->kind == SCHEMA_UNION) {
        for (size_t i = 0; i < type->count; i++)
            paths_collect(f, type->branches[i], path, list);
        return;
    }
    if (type->kind == SCHEMA_ARRAY) {
        paths_collect(f, type->items, path, true);
        return;
    }
    size_t at = path_find(f, path);
    if (at == SIZE_MAX && f->count < WANTS_MAX) {
        at = f->count++;
        f->paths[at] = arena_copy_string(&f->arena, path, strlen(path));
    }
    if (at != SIZE_MAX)
        f->wants[at].list |= list;
}

static void value_render(struct buffer *into, const struct plan_value *value) {
    switch (value->form) {
    case PLAN_NULL:
        buffer_append_text(into, "N;");
        break;
    case PLAN_BOOLEAN:
        buffer_append_text(into, "B%lld;", (long long)value->whole);
        break;
    case PLAN_WHOLE:
        buffer_append_text(into, "W%lld;", (long long)value->whole);
        break;
    case PLAN_REAL:
        buffer_append_text(into, "R%a;", value->real);
        break;
    case PLAN_TEXT:
        buffer_append_text(into, "T");
        buffer_append(into, value->text, value->length);
        buffer_append_text(into, ";");
        break;
    case PLAN_OTHER:
        buffer_append_text(into, "O;");
        break;
    default:
        break;
    }
}

static void expect(struct fixture *f, const char *path, const struct plan_value *value) {
    size_t at = path_find(f, path);
    // Items without bytes are passed over at once, so that nulls in lists do not count.
    if (at != SIZE_MAX && !(f->wants[at].list && value->form == PLAN_NULL))
        value_render(&f->expected[at], value);
}

static void scalar_fill(struct fixture *f, avro_value_t *into, struct plan_value *value) {
    static const char letters[] = "abcdefghijkl";
    value->form = PLAN_TEXT;
    value->text = (const unsigned char *)letters;
    switch (avro_value_get_type(into)) {
    case AVRO_BOOLEAN:
        value->form = PLAN_BOOLEAN;
        value->whole = draw(f, 2);
        avro_value_set_boolean(into, (int)value->whole);
        break;
    case AVRO_INT32:
        value->form = PLAN_WHOLE;
        value->whole = (int32_t)rng_next(&f->rng);
        avro_value_set_int(into, (int32_t)value->whole);
        break;
    case AVRO_INT64:
        value->form = PLAN_WHOLE;
        value->whole = (int64_t)rng_next(&f->rng) >> draw(f, 64);
        avro_value_set_long(into, value->whole);
        break;
    case AVRO_FLOAT:
        value->form = PLAN_REAL;
        value->real = (double)(float)rng_normal(&f->rng);
        avro_value_set_float(into, (float)value->real);
        break;
    case AVRO_DOUBLE:
        value->form = PLAN_REAL;
        value->real = rng_normal(&f->rng);
        avro_value_set_double(into, value->real);
        break;
    case AVRO_BYTES: {
        char copy[sizeof(letters)];
        memcpy(copy, letters, sizeof(copy));
        value->length = draw(f, 10);
        avro_value_set_bytes(into, copy, value->length);
        break;
    }
    case AVRO_STRING: {
        char copy[16];
        value->length = draw(f, 10);
        memcpy(copy, letters, value->length);
        copy[value->length] = '\0';
        avro_value_set_string(into, copy);
        break;
    }
    case AVRO_ENUM: {
        unsigned symbol = draw(f, 2);
        value->text = (const unsigned char *)(symbol == 0 ? "A" : "Bb");
        value->length = symbol + 1;
        avro_value_set_enum(into, (int)symbol);
        break;
    }
    case AVRO_FIXED: {
        char copy[sizeof(letters)];
        memcpy(copy, letters, sizeof(copy));
        value->length = (size_t)avro_schema_fixed_size(avro_value_get_schema(into));
        avro_value_set_fixed(into, copy, value->length);
        break;
    }
    default:
        value->form = PLAN_NULL;
        avro_value_set_null(into);
    }
}

static void value_fill(struct fixture *f, avro_value_t *into, const char *path) {
    char below[512];
    avro_value_t child;
    const char *name;
    size_t size = 0;
    struct plan_value value = {.form = PLAN_OTHER};
    size_t want = path_find(f, path);
    switch (avro_value_get_type(into)) {
    case AVRO_RECORD:
        expect(f, path, &value);
        assert_int_equal(avro_value_get_size(into, &size), 0);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(avro_value_get_by_index(into, i, &child, &name), 0);
            snprintf(below, sizeof(below), "%s%s%s", path, path[0] != '\0' ? "." : "", name);
            value_fill(f, &child, below);
        }
        break;
    case AVRO_MAP:
        expect(f, path, &value);
        for (unsigned i = 0; i < 4; i++) { // k3 is in no path
            char key[16];
            snprintf(key, sizeof(key), "k%u", 3 - i);
            if (draw(f, 2) == 0)
                continue;
            assert_int_equal(avro_value_add(into, key, &child, NULL, NULL), 0);
            snprintf(below, sizeof(below), "%s%s%s", path, path[0] != '\0' ? "." : "", key);
            value_fill(f, &child, below);
        }
        break;
    case AVRO_ARRAY:
        if (want != SIZE_MAX && !f->wants[want].list)
            expect(f, path, &value);
        for (unsigned i = draw(f, 4); i > 0; i--) {
            assert_int_equal(avro_value_append(into, &child, NULL), 0);
            value_fill(f, &child, path);
        }
        break;
    case AVRO_UNION:
        size = avro_schema_union_size(avro_value_get_schema(into));
        assert_int_equal(avro_value_set_branch(into, (int)draw(f, (unsigned)size), &child), 0);
        value_fill(f, &child, path);
        break;
    default:
        scalar_fill(f, into, &value);
        expect(f, path, &value);
    }
}

static void listed(void *self, size_t want, const struct plan_value *value) {
    struct fixture *f = self;
    if (value->form != PLAN_NULL)
        value_render(&f->found[want], value);
}
static void begun(void *self, bool outer) {
    (void)self;
    (void)outer;
}
static bool event_seen(void *self) {
    struct fixture *f = self;
    f->events++;
    for (size_t i = 0; i < f->count; i++)
        if (!f->wants[i].list)
            value_render(&f->found[i], &f->values[i]);
    return true;
}

static void start(struct fixture *f, uint64_t seed) {
    memset(f, 0, sizeof(*f));
    rng_init(&f->rng, seed);
    arena_init(&f->arena, 4096);
    buffer_init(&f->json);
    for (size_t i = 0; i < WANTS_MAX; i++) {
        buffer_init(&f->expected[i]);
        buffer_init(&f->found[i]);
    }
}

static void stop(struct fixture *f) {
    for (size_t i = 0; i < WANTS_MAX; i++) {
        buffer_deinit(&f->expected[i]);
        buffer_deinit(&f->found[i]);
    }
    buffer_deinit(&f->json);
    arena_deinit(&f->arena);
    schema_free(f->schema);
}

// Walks copies of the record with cuts and noise: any answer will do, reading beyond will not.
static void damage(struct fixture *f, const struct plan *plan, const struct plan_sink *sink,
                   const unsigned char *bytes, size_t length) {
    for (size_t cut = 0; cut <= length; cut++) {
        unsigned char *copy = memory_new(cut + 1, 1);
        assert_non_null(copy);
        memcpy(copy, bytes, cut);
        (void)plan_walk(plan, copy, cut, sink);
        if (cut > 0) {
            copy[draw(f, (unsigned)cut)] = (unsigned char)rng_next(&f->rng);
            (void)plan_walk(plan, copy, cut, sink);
            (void)plan_peek(plan, copy, cut, f->values);
        }
        memory_free(copy);
    }
}

static void one_schema(struct fixture *f) {
    struct error err;
    avro_schema_t reference;
    avro_value_t value;
    static char bytes[1 << 16];
    struct plan *plan;
    buffer_append_text(&f->json, "{\"type\":\"record\",\"name\":\"Top\",\"fields\":[");
    for (int i = 0; i < 4; i++) {
        buffer_append_text(&f->json, "%s{\"name\":\"f%d\",\"type\":", i > 0 ? "," : "", i);
        schema_draw(f, 4);
        buffer_append_text(&f->json, "}");
    }
    buffer_append_text(&f->json, "]}");
    const char *json = (const char *)f->json.data;
    assert_int_equal(schema_parse(json, f->json.length, &f->schema, &err), STATUS_OK);
    assert_int_equal(avro_schema_from_json_length(json, f->json.length, &reference), 0);
    paths_collect(f, f->schema->root, "", false);
    for (size_t i = 0; i < f->count; i++)
        assert_int_equal(path_parse(f->paths[i], &f->arena, &f->wants[i].path, &err), STATUS_OK);
    assert_int_equal(plan_new(f->schema, NULL, f->wants, f->count, &plan, &err), STATUS_OK);
    avro_value_iface_t *class = avro_generic_class_from_schema(reference);
    struct plan_sink sink = {
        .values = f->values, .listed = listed, .begin = begun, .event = event_seen, .self = f};
    for (int turn = 0; turn < 5; turn++) {
        assert_int_equal(avro_generic_value_new(class, &value), 0);
        value_fill(f, &value, "");
        avro_writer_t writer = avro_writer_memory(bytes, sizeof(bytes));
        assert_int_equal(avro_value_write(writer, &value), 0);
        size_t length = (size_t)avro_writer_tell(writer);
        assert_true(plan_walk(plan, bytes, length, &sink));
        for (size_t i = 0; i < f->count; i++) {
            buffer_append_byte(&f->expected[i], 0);
            buffer_append_byte(&f->found[i], 0);
            if (strcmp((char *)f->expected[i].data, (char *)f->found[i].data) != 0)
                fail_msg("path %s: expected %s, found %s, schema %.*s", f->paths[i],
                         (char *)f->expected[i].data, (char *)f->found[i].data, (int)f->json.length,
                         json);
        }
        damage(f, plan, &sink, (unsigned char *)bytes, length < 400 ? length : 400);
        for (size_t i = 0; i < f->count; i++) {
            buffer_reset(&f->expected[i]);
            buffer_reset(&f->found[i]);
        }
        avro_writer_free(writer);
        avro_value_decref(&value);
    }
    avro_value_iface_decref(class);
    avro_schema_decref(reference);
    plan_free(plan);
}

static void every_path_of_random_records_reads_as_avro_c_wrote_it(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        static struct fixture f;
        start(&f, seed);
        one_schema(&f);
        stop(&f);
    }
}

static void paths_split_at_dots_but_not_at_escaped_ones(void **state) {
    (void)state;
    struct arena arena;
    struct path path;
    struct error err;
    arena_init(&arena, 4096);
    assert_int_equal(path_parse("/a.b\\.c.d\\\\", &arena, &path, &err), STATUS_OK);
    assert_true(path.outer);
    assert_int_equal(path.count, 3);
    assert_int_equal(path.segments[1].length, 3);
    assert_memory_equal(path.segments[1].text, "b.c", 3);
    assert_memory_equal(path.segments[2].text, "d\\", 2);
    assert_int_equal(path_parse(".", &arena, &path, &err), STATUS_OK);
    assert_int_equal(path.count, 0);
    static const char *const bad[] = {"", "/", "a..b", "a.", ".a"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(path_parse(bad[i], &arena, &path, &err), STATUS_INVALID);
    arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_path_of_random_records_reads_as_avro_c_wrote_it),
        cmocka_unit_test(paths_split_at_dots_but_not_at_escaped_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
