// The model's shape as text and back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "model/spec_text.h"

static int64_t experts[] = {128, 64}, towers[] = {32}, auxiliary[] = {16, 8};
static const struct model_field fields[] = {
    {.name = "user id", .table = 0, .dimension = 16},
    {.name = "100% odd\n\xc3\xb6", .table = 1, .dimension = 8},
    {.name = "history", .table = 1, .dimension = 8, .multi = true},
    {.name = "before",
     .table = 1,
     .dimension = 8,
     .multi = true,
     .length = 20,
     .target = 2,
     .timed = true},
};
static const char *gates[] = {"100% odd\n\xc3\xb6", "history"};
static const struct model_spec spec = {
    .fields = fields,
    .field_count = 4,
    .categorical_count = 2,
    .numeric_count = 4,
    .task_count = 3,
    .table_count = 2,
    .given = {0, 1},
    .shift = {0, -2.5},
    .labels = {MODEL_LABELS_WAIT, MODEL_LABELS_ES_DFM, MODEL_LABELS_FNC},
    .settings = {.sharing = MODEL_OMOE,
                 .levels = 1,
                 .sequence_heads = 4,
                 .sequence_hidden = 32,
                 .experts = 8,
                 .expert_layers = {experts, 2},
                 .tower_layers = {towers, 1},
                 .domains = MODEL_DOMAINS_PEPNET,
                 .domains_max = 17,
                 .star_towers = true,
                 .auxiliary = true,
                 .auxiliary_layers = {auxiliary, 2},
                 .gate_fields = {gates, 2},
                 .gate_units = 5,
                 .norm = MODEL_NORM_MOVING,
                 .unknown_share = .1,
                 .embedding_init = 1. / 3,
                 .seed = -5},
};

static void text_equals(const struct model_spec *read) {
    struct buffer again, first;
    buffer_init(&again);
    buffer_init(&first);
    spec_text_write(&spec, &first);
    spec_text_write(read, &again);
    assert_int_equal(first.length, again.length);
    assert_memory_equal(first.data, again.data, first.length);
    buffer_deinit(&again);
    buffer_deinit(&first);
}

static enum status read_text(const char *text, size_t length, struct error *err) {
    struct arena arena;
    struct model_spec read;
    arena_init(&arena, 1024);
    enum status status = spec_text_read(text, length, &arena, &read, err);
    arena_deinit(&arena);
    return status;
}

static void what_is_written_is_read_back_exactly(void **state) {
    (void)state;
    struct arena arena;
    struct buffer text;
    struct model_spec read;
    struct error err = {0};
    arena_init(&arena, 1024);
    buffer_init(&text);
    spec_text_write(&spec, &text);
    if (spec_text_read((const char *)text.data, text.length, &arena, &read, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    text_equals(&read);
    assert_int_equal(read.field_count, 4);
    assert_int_equal(read.categorical_count, 2);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(read.fields[i].name, fields[i].name);
        assert_int_equal(read.fields[i].table, fields[i].table);
        assert_int_equal(read.fields[i].dimension, fields[i].dimension);
        assert_int_equal(read.fields[i].multi, fields[i].multi);
        assert_int_equal(read.fields[i].length, fields[i].length);
        assert_int_equal(read.fields[i].target, fields[i].target);
        assert_int_equal(read.fields[i].timed, fields[i].timed);
    }
    assert_int_equal(read.numeric_count, 4);
    assert_int_equal(read.task_count, 3);
    assert_memory_equal(read.given, spec.given, sizeof spec.given);
    assert_int_equal(read.settings.sharing, MODEL_OMOE);
    assert_int_equal(read.settings.expert_layers.items[1], 64);
    assert_true(read.settings.embedding_init == 1. / 3);
    assert_true(read.settings.star_towers && !read.settings.star_trunk);
    assert_int_equal(read.settings.gate_fields.count, 2);
    assert_string_equal(read.settings.gate_fields.items[0], gates[0]);
    assert_int_equal(read.settings.seed, -5);
    arena_deinit(&arena);
    buffer_deinit(&text);
}

static void text_cut_short_anywhere_is_refused(void **state) {
    (void)state;
    struct buffer text;
    buffer_init(&text);
    spec_text_write(&spec, &text);
    for (size_t cut = 0; cut < text.length; cut++)
        assert_int_equal(read_text((const char *)text.data, cut, NULL), STATUS_INVALID);
    buffer_deinit(&text);
}

// The text with the first `from` replaced by `to`.
static enum status read_changed(const char *from, const char *to) {
    struct buffer text, changed;
    struct error err = {0};
    buffer_init(&text);
    buffer_init(&changed);
    spec_text_write(&spec, &text);
    buffer_append_byte(&text, 0);
    const char *whole = (const char *)text.data, *at = strstr(whole, from);
    assert_non_null(at);
    buffer_append(&changed, whole, (size_t)(at - whole));
    buffer_append(&changed, to, strlen(to));
    buffer_append(&changed, at + strlen(from), strlen(at + strlen(from)));
    enum status status = read_text((const char *)changed.data, changed.length, &err);
    if (status != STATUS_OK)
        assert_true(strlen(err.message) > 0);
    buffer_deinit(&text);
    buffer_deinit(&changed);
    return status;
}

static void mistakes_are_refused(void **state) {
    (void)state;
    static const char *const mistakes[][2] = {
        {"freshet-model 1", "freshet-model 2"},
        {"experts 8", "experts 8\nexperts 8"},
        {"experts 8", "experts 0"},
        {"given 1 0", "given 1 7"},
        {"given 1 0", "given 32 0"},
        {"given 1 0", "given 1 1"},
        {"given 1 0", "given 1 0\ngiven 1 0"},
        {"labels 1 es_dfm", "labels 1 soon"},
        {"labels 1 es_dfm", "labels 1 es_dfm\nlabels 1 fnw"},
        {"labels 1 es_dfm", "labels 32 es_dfm"},
        {"shift 1 ", "shift 32 "},
        {"shift 1 -0x1.4p+1", "shift 1 nan"},
        {"shift 1 -0x1.4p+1", "shift 1 -0x1.4p+1\nshift 1 1"},
        {"experts 8", "experts 8.5"},
        {"experts 8", "experts 99999999999999999999"},
        {"experts 8\n", ""},
        {"sharing omoe", "sharing telepathy"},
        {"expert_layers 128 64", "expert_layers 128 -64"},
        {"star_towers 1", "star_towers yes"},
        {"numeric 4", "numeric -1"},
        {"numeric 4", "numeric 4\nnumeric 4"},
        {"tables 2", "tables 1"},
        {"field one 0", "field two 0"},
        {"field one 0 16 ", "field one 0 0 "},
        {"user%20id", "user%2"},
        {"user%20id", "user%00id"},
        {"user%20id", "user id"},
        {"end\n", "end\nend\n"},
        {"end\n", "end"},
        {"seed -5", "seed -5\nflux 3"},
        {"seed -5", "seed  -5"},
    };
    assert_int_equal(read_changed("seed -5", "seed 6"), STATUS_OK);
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++)
        if (read_changed(mistakes[i][0], mistakes[i][1]) != STATUS_INVALID)
            fail_msg("not refused: %s", mistakes[i][1]);
}

static void random_damage_never_crashes(void **state) {
    (void)state;
    struct buffer text;
    uint64_t random = 88172645463325252u;
    buffer_init(&text);
    spec_text_write(&spec, &text);
    for (int i = 0; i < 3000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        unsigned char *byte = &text.data[random % text.length], before = *byte;
        *byte = (unsigned char)(random >> 40);
        enum status status = read_text((const char *)text.data, text.length, NULL);
        assert_true(status == STATUS_OK || status == STATUS_INVALID);
        *byte = before;
    }
    buffer_deinit(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back_exactly),
        cmocka_unit_test(text_cut_short_anywhere_is_refused),
        cmocka_unit_test(mistakes_are_refused),
        cmocka_unit_test(random_damage_never_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
