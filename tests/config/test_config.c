// Every kind of mistake in a configuration, and what good ones give.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/disk.h"
#include "config/config.h"

struct inner {
    const char *name;
    double rate;
    struct option_texts tags;
};
struct sample {
    bool flag;
    int64_t count, wait_ms, bytes;
    double limit;
    const char *text, *secret;
    int choice;
    struct option_ints layers;
    struct option_texts words;
    struct inner inner;
    struct option_sections items;
};

static const char *const colours[] = {"red", "green", NULL};
static const struct option inner_list[] = {
    {.key = "name", .type = OPTION_TEXT, .offset = offsetof(struct inner, name), .help = "N."},
    {.key = "rate",
     .type = OPTION_REAL,
     .offset = offsetof(struct inner, rate),
     .default_text = ".5",
     .minimum = 0,
     .maximum = 1,
     .help = "R."},
    {.key = "tags", .type = OPTION_TEXTS, .offset = offsetof(struct inner, tags), .help = "T."},
};
static const struct option_table inner_table = {"inner", "I.", sizeof(struct inner), inner_list, 3};
static const struct option inner_default_list[] = {
    {.key = "name",
     .type = OPTION_TEXT,
     .offset = offsetof(struct inner, name),
     .default_text = "",
     .help = "N."},
};
static const struct option_table inner_default = {"inner", "I.", sizeof(struct inner),
                                                  inner_default_list, 1};
#define AT(member) offsetof(struct sample, member)
static const struct option sample_list[] = {
    {.key = "flag", .type = OPTION_BOOL, .offset = AT(flag), .default_text = "true", .help = "F."},
    {.key = "count",
     .type = OPTION_INT,
     .offset = AT(count),
     .default_text = "3",
     .minimum = 1,
     .maximum = 10,
     .help = "C."},
    {.key = "wait",
     .type = OPTION_DURATION,
     .offset = AT(wait_ms),
     .default_text = "10s",
     .minimum = 1,
     .maximum = 3600000,
     .reloadable = true,
     .help = "W."},
    {.key = "bytes",
     .type = OPTION_BYTES,
     .offset = AT(bytes),
     .default_text = "64KiB",
     .help = "B."},
    {.key = "limit",
     .type = OPTION_REAL,
     .offset = AT(limit),
     .default_text = "off",
     .minimum = 0,
     .maximum = (double)INFINITY,
     .help = "L."},
    {.key = "text", .type = OPTION_TEXT, .offset = AT(text), .default_text = "t", .help = "T."},
    {.key = "secret",
     .type = OPTION_SECRET,
     .offset = AT(secret),
     .default_text = "",
     .help = "S."},
    {.key = "choice",
     .type = OPTION_CHOICE,
     .offset = AT(choice),
     .default_text = "green",
     .choices = colours,
     .help = "C."},
    {.key = "layers",
     .type = OPTION_INTS,
     .offset = AT(layers),
     .default_text = "128, 64",
     .minimum = 1,
     .maximum = 4096,
     .help = "L."},
    {.key = "words", .type = OPTION_TEXTS, .offset = AT(words), .help = "W."},
    {.key = "inner",
     .type = OPTION_SECTION,
     .offset = AT(inner),
     .table = &inner_default,
     .help = "I."},
    {.key = "items",
     .type = OPTION_SECTIONS,
     .offset = AT(items),
     .table = &inner_table,
     .help = "I."},
};
static const struct option_table sample_table = {"sample", "S.", sizeof(struct sample), sample_list,
                                                 sizeof sample_list / sizeof sample_list[0]};

static struct arena run_arena;
static struct sample sample;
static struct error err;

static enum status parse(const char *text) {
    memset(&sample, 0xff, sizeof sample); // nothing of before may stay
    memset(&err, 0, sizeof err);
    return config_parse("f.yaml", text, strlen(text), &sample_table, &sample, &run_arena, &err);
}

static int begin(void **state) {
    (void)state;
    arena_init(&run_arena, 4096);
    return 0;
}
static int end(void **state) {
    (void)state;
    arena_deinit(&run_arena);
    return 0;
}

static void an_empty_file_gives_the_defaults(void **state) {
    (void)state;
    assert_int_equal(parse(""), STATUS_OK);
    assert_true(sample.flag && sample.count == 3 && sample.wait_ms == 10000);
    assert_true(sample.bytes == 65536 && isinf(sample.limit) && sample.choice == 1);
    assert_int_equal(sample.layers.count, 2);
    assert_int_equal(sample.layers.items[0], 128);
    assert_int_equal(sample.layers.items[1], 64);
    assert_int_equal(sample.words.count, 0);
    assert_int_equal(sample.items.count, 0);
}

static void values_are_read_with_their_units(void **state) {
    (void)state;
    assert_int_equal(parse("flag: false\ncount: 7\nwait: 5m\nbytes: 2GiB\nlimit: 1e3\ntext: 'a b'\n"
                           "choice: red\nlayers: [32]\nwords: [x, y]\n"
                           "items:\n  - {name: one}\n  - {name: two, rate: 1}\n"),
                     STATUS_OK);
    assert_true(!sample.flag && sample.count == 7 && sample.wait_ms == 300000);
    assert_true(sample.bytes == INT64_C(2) << 30 && sample.choice == 0);
    assert_true(sample.limit > 999.9 && sample.limit < 1000.1);
    assert_string_equal(sample.words.items[1], "y");
    const struct inner *items = sample.items.items;
    assert_int_equal(sample.items.count, 2);
    assert_string_equal(items[1].name, "two");
    assert_true(items[0].rate > .49 && items[0].rate < .51);
}

static void each_mistake_names_line_key_and_what_was_expected(void **state) {
    (void)state;
    static const struct {
        const char *text, *parts[3];
    } mistakes[] = {
        {"flag: true\ncuont: 3\n", {"f.yaml:2: key `cuont`", "unknown", "did you mean `count`?"}},
        {"count: many", {"key `count`", "an integer within 1 to 10", "'many'"}},
        {"count: 11", {"key `count`", "within 1 to 10", "'11'"}},
        {"count: 3.5", {"key `count`", "an integer", "'3.5'"}},
        {"count: 0x3", {"key `count`", "an integer", "'0x3'"}},
        {"count: 99999999999999999999", {"key `count`", "an integer", "'9999"}},
        {"count: [1]", {"key `count`", "integer", "a list"}},
        {"flag: yes", {"key `flag`", "true or false", "'yes'"}},
        {"wait: 10", {"key `wait`", "a duration within 1ms to 1h", "'10'"}},
        {"wait: 2h", {"key `wait`", "a duration within 1ms to 1h", "'2h'"}},
        {"wait: -1s", {"key `wait`", "a duration", "'-1s'"}},
        {"bytes: 64kb", {"key `bytes`", "a size", "'64kb'"}},
        {"limit: nan", {"key `limit`", "a number", "'nan'"}},
        {"choice: blue", {"key `choice`", "one of red, green", "'blue'"}},
        {"layers: 3", {"key `layers`", "list of integers", "a single value"}},
        {"layers: [3, x]", {"key `layers[1]`", "an integer", "'x'"}},
        {"items:\n- name: a\n  raet: 1", {"f.yaml:3: key `items[0].raet`", "", "`rate`"}},
        {"items:\n- rate: 1", {"key `items[0].name`", "required", ""}},
        {"inner: 3", {"key `inner`", "a section", "a single value"}},
        {"count: 3\ncount: 4", {"f.yaml:2: key `count`", "once", ""}},
        {"text: ${FRESHET_TEST_UNSET}", {"key `text`", "FRESHET_TEST_UNSET", "not set"}},
        {"text: ${broken", {"key `text`", "broken reference", ""}},
        {"secret: {env: FRESHET_TEST_UNSET}", {"key `secret`", "a variable that is set", ""}},
        {"secret: {shout: x}", {"key `secret`", "{file: PATH}", ""}},
        {"flag: true\n  count: [", {"f.yaml:2", "YAML", ""}},
        {"- 1\n- 2", {"f.yaml:1", "a section", "a list"}},
        {"text: \"a\\0b\"", {"key `text`", "", ""}},
        {"wait: 1.5s", {"key `wait`", "a duration", "'1.5s'"}},
        {"wait: 10 s", {"key `wait`", "such as 250ms", "'10 s'"}},
        {"wait: 999999999999999d", {"key `wait`", "a duration", "'9999"}},
        {"bytes: -1", {"key `bytes`", "such as 64KiB", "'-1'"}},
        {"bytes: 9999999TiB", {"key `bytes`", "a size", "'9999999TiB'"}},
        {"limit: -1", {"key `limit`", "at least 0", "'-1'"}},
        {"limit: 0x1p3", {"key `limit`", "a number", "'0x1p3'"}},
        {"limit: 1e999", {"key `limit`", "a number", "'1e999'"}},
        {"limit: inf", {"key `limit`", "a number", "'inf'"}},
        {"count:", {"f.yaml:1: key `count`", "an integer", "''"}},
        {"text: [a]", {"key `text`", "text", "a list"}},
        {"text: {a: b}", {"key `text`", "text", "a section"}},
        {"items: {name: a}", {"key `items`", "list of sections", "a section"}},
        {"items: [3]", {"key `items[0]`", "a section", "a single value"}},
        {"words: [[a]]", {"key `words[0]`", "list of texts", "a list"}},
        {"inner:\n  nmae: x", {"f.yaml:2: key `inner.nmae`", "unknown", "`name`"}},
        {"{[1]: 2}", {"f.yaml:1", "plain names", "a list"}},
        {"<<: {count: 3}", {"key `<<`", "unknown", ""}},
        {"text: ${}", {"key `text`", "broken reference", ""}},
        {"text: ${A:+b}", {"key `text`", "broken reference", ""}},
        {"count: ${FRESHET_TEST_NONE:-x}", {"key `count`", "an integer", "'x'"}},
        {"secret: [a]", {"key `secret`", "{file: PATH}", "a list"}},
        {"secret: {file: [a]}", {"key `secret`", "{file: PATH}", ""}},
        {"count: *nowhere", {"f.yaml:1", "YAML", "undefined alias"}},
        {"count: 3\n---\ncount: 4", {"f.yaml:3", "one YAML document", "a second"}},
        {"count: 3\n---\n\tcount: 4", {"f.yaml:3", "YAML", ""}},
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        assert_int_equal(parse(mistakes[i].text), STATUS_INVALID);
        for (size_t k = 0; k < 3; k++) {
            if (!strstr(err.message, mistakes[i].parts[k]))
                fail_msg("'%s' lacks '%s'", err.message, mistakes[i].parts[k]);
        }
    }
}

static void bytes_that_are_no_utf8_are_refused(void **state) {
    (void)state;
    assert_int_equal(parse("count: 3\ntext: a\xff\xfe"), STATUS_INVALID);
    assert_non_null(strstr(err.message, "f.yaml:2: expected YAML"));
    assert_int_equal(parse("\xc3\xa9: 3"), STATUS_INVALID); // a letter, but no key
    assert_non_null(strstr(err.message, "key `\xc3\xa9`"));
}

static void nested_anchors_do_not_grow(void **state) {
    (void)state;
    assert_int_equal(parse("a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n"
                           "c: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nwords: [*c,*c,*c,*c]\n"),
                     STATUS_INVALID);
}

// Ten thousand sections that share one list of ten thousand texts would be 10^8 of them.
static void aliases_cannot_make_the_settings_huge(void **state) {
    (void)state;
    struct buffer text;
    buffer_init(&text);
    buffer_append_text(&text, "items:\n- &a {name: n, tags: &t [x");
    for (int i = 1; i < 10000; i++)
        buffer_append_text(&text, ",x");
    buffer_append_text(&text, "]}\n");
    for (int i = 1; i < 10000; i++)
        buffer_append_text(&text, "- *a\n");
    buffer_append_byte(&text, 0);
    assert_int_equal(parse((char *)text.data), STATUS_INVALID);
    assert_non_null(strstr(err.message, "at most 64 MiB of settings"));
    buffer_deinit(&text);
}

static void long_lists_and_large_files_are_refused(void **state) {
    (void)state;
    struct buffer text;
    buffer_init(&text);
    buffer_append_text(&text, "words: [x");
    for (int i = 0; i < 10000; i++)
        buffer_append_text(&text, ",x");
    buffer_append_text(&text, "]");
    buffer_append_byte(&text, 0);
    assert_int_equal(parse((char *)text.data), STATUS_INVALID);
    assert_non_null(strstr(err.message, "at most 10000 entries"));
    buffer_reset(&text);
    for (int i = 0; i <= 1 << 20; i++)
        buffer_append_byte(&text, '\n');
    buffer_append_byte(&text, 0);
    assert_int_equal(parse((char *)text.data), STATUS_INVALID);
    assert_non_null(strstr(err.message, "at most 1 MiB"));
    buffer_deinit(&text);
}

static void deep_nesting_ends_in_a_mistake(void **state) {
    (void)state;
    static const char *const opens[] = {"[", "{a: ", "- "};
    for (size_t i = 0; i < 3; i++) {
        struct buffer text;
        buffer_init(&text);
        while (text.length < 1000000)
            buffer_append_text(&text, "%s", opens[i]);
        buffer_append_byte(&text, 0);
        assert_int_equal(parse((char *)text.data), STATUS_INVALID);
        buffer_deinit(&text);
    }
}

static void a_cycle_of_aliases_ends_where_the_tables_end(void **state) {
    (void)state;
    assert_int_equal(parse("words: &w [a, *w]"), STATUS_INVALID);
    assert_non_null(strstr(err.message, "key `words[1]`"));
    assert_int_equal(parse("inner: &i {name: *i}"), STATUS_INVALID);
}

static void a_secret_may_stand_in_a_file(void **state) {
    (void)state;
    char path[] = "/tmp/freshet-secret-XXXXXX";
    int made = mkstemp(path);
    assert_true(made >= 0);
    close(made);
    char text[128];
    snprintf(text, sizeof text, "count: 3\nsecret: {file: %s}", path);
    assert_int_equal(disk_replace_all(path, "hush\r\n", 6, &err), STATUS_OK);
    assert_int_equal(parse(text), STATUS_OK);
    assert_string_equal(sample.secret, "hush");
    assert_int_equal(disk_replace_all(path, "", 0, &err), STATUS_OK);
    assert_int_equal(parse(text), STATUS_OK);
    assert_string_equal(sample.secret, "");
    assert_int_equal(disk_remove(path, &err), STATUS_OK);
    assert_int_equal(parse(text), STATUS_NOT_FOUND);
    assert_non_null(strstr(err.message, "f.yaml:2: key `secret`"));
    assert_non_null(strstr(err.message, path));
}

static void memory_that_is_out_is_told(void **state) {
    (void)state;
    struct arena arena;
    for (uint64_t n = 1;; n++) {
        arena_init(&arena, 256);
        memset(&sample, 0, sizeof sample);
        const char *text = "text: abc\nwords: [x, y]\nitems: [{name: n}]\nlayers: [7]\n";
        memory_fail_after(n);
        enum status status =
            config_parse("f.yaml", text, strlen(text), &sample_table, &sample, &arena, &err);
        memory_fail_after(0);
        arena_deinit(&arena);
        if (status == STATUS_OK) {
            assert_true(n > 3);
            break;
        }
        assert_int_equal(status, STATUS_EXHAUSTED);
    }
}

// What config_print writes of each scalar is read back as the same value.
static void printed_values_read_back_the_same(void **state) {
    (void)state;
    assert_int_equal(parse("flag: false\ncount: 7\nwait: 90s\nbytes: 1536\nlimit: 0.1\n"
                           "choice: red\nlayers: [32, 8]\nwords: [x, y]\ntext: plain"),
                     STATUS_OK);
    uint64_t hash = config_hash(&sample_table, &sample);
    struct buffer lines, yaml;
    buffer_init(&lines);
    buffer_init(&yaml);
    config_print(&sample_table, &sample, &lines);
    buffer_append_byte(&lines, 0);
    for (char *line = (char *)lines.data, *stop; (stop = strchr(line, '\n')); line = stop + 1) {
        *stop = '\0';
        char *equals = strstr(line, " = ");
        assert_non_null(equals);
        *equals = '\0';
        if (equals[3] != '\0' && !strchr(line, '.'))
            buffer_append_text(&yaml, "%s: %s\n", line, equals + 3);
    }
    buffer_append_byte(&yaml, 0);
    if (parse((char *)yaml.data) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_true(config_hash(&sample_table, &sample) == hash);
    assert_int_equal(sample.wait_ms, 90000);
    assert_int_equal(sample.bytes, 1536);
    buffer_deinit(&lines);
    buffer_deinit(&yaml);
}

static void the_environment_fills_references(void **state) {
    (void)state;
    assert_int_equal(setenv("FRESHET_TEST_COUNT", "4", 1), 0);
    assert_int_equal(parse("count: ${FRESHET_TEST_COUNT}\ntext: a-${FRESHET_TEST_NONE:-b c}-d"),
                     STATUS_OK);
    assert_int_equal(sample.count, 4);
    assert_string_equal(sample.text, "a-b c-d");
    assert_int_equal(parse("secret: {env: FRESHET_TEST_COUNT}"), STATUS_OK);
    assert_string_equal(sample.secret, "4");
    assert_int_equal(unsetenv("FRESHET_TEST_COUNT"), 0);
}

static void secrets_are_never_printed_and_do_not_change_the_identity(void **state) {
    (void)state;
    struct buffer text;
    buffer_init(&text);
    assert_int_equal(parse("secret: hush"), STATUS_OK);
    uint64_t hash = config_hash(&sample_table, &sample);
    config_print(&sample_table, &sample, &text);
    buffer_append_byte(&text, 0);
    assert_null(strstr((char *)text.data, "hush"));
    assert_non_null(strstr((char *)text.data, "secret = ***\n"));
    assert_non_null(strstr((char *)text.data, "layers = [128, 64]\n"));
    assert_int_equal(parse("secret: other\nwait: 20s"), STATUS_OK);
    assert_true(config_hash(&sample_table, &sample) == hash);
    assert_int_equal(parse("count: 4"), STATUS_OK);
    assert_true(config_hash(&sample_table, &sample) != hash);
    buffer_deinit(&text);
}

static void the_documentation_has_each_key_with_range_and_default(void **state) {
    (void)state;
    struct buffer text;
    buffer_init(&text);
    config_document(&sample_table, &text);
    buffer_append_byte(&text, 0);
    assert_non_null(strstr((char *)text.data, "| `count` | integer, 1 to 10 | `3` | C. |"));
    assert_non_null(strstr((char *)text.data, "| `choice` | `red`, `green` | `green` | C. |"));
    assert_non_null(strstr((char *)text.data, "Safe to reload"));
    assert_non_null(strstr((char *)text.data, "## items[]"));
    buffer_deinit(&text);
}

static void a_file_that_is_not_there_is_named(void **state) {
    (void)state;
    assert_int_equal(config_load("no/such.yaml", &sample_table, &sample, &run_arena, &err),
                     STATUS_NOT_FOUND);
    assert_non_null(strstr(err.message, "no/such.yaml"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_gives_the_defaults),
        cmocka_unit_test(values_are_read_with_their_units),
        cmocka_unit_test(each_mistake_names_line_key_and_what_was_expected),
        cmocka_unit_test(bytes_that_are_no_utf8_are_refused),
        cmocka_unit_test(nested_anchors_do_not_grow),
        cmocka_unit_test(aliases_cannot_make_the_settings_huge),
        cmocka_unit_test(long_lists_and_large_files_are_refused),
        cmocka_unit_test(deep_nesting_ends_in_a_mistake),
        cmocka_unit_test(a_cycle_of_aliases_ends_where_the_tables_end),
        cmocka_unit_test(a_secret_may_stand_in_a_file),
        cmocka_unit_test(memory_that_is_out_is_told),
        cmocka_unit_test(printed_values_read_back_the_same),
        cmocka_unit_test(the_environment_fills_references),
        cmocka_unit_test(secrets_are_never_printed_and_do_not_change_the_identity),
        cmocka_unit_test(the_documentation_has_each_key_with_range_and_default),
        cmocka_unit_test(a_file_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
