// Domains by name, in order of first appearance.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "trainer/domains.h"

static uint32_t index_of(struct domains *domains, const char *text, bool expect_added) {
    uint32_t index;
    bool added;
    assert_int_equal(domains_index(domains, text, strlen(text), &index, &added, NULL), STATUS_OK);
    assert_int_equal(added, expect_added);
    return index;
}

static void indices_follow_first_appearance(void **state) {
    (void)state;
    struct domains *domains;
    assert_int_equal(domains_new(3, &domains, NULL), STATUS_OK);
    assert_int_equal(index_of(domains, "home", true), 1);
    assert_int_equal(index_of(domains, "search", true), 2);
    assert_int_equal(index_of(domains, "home", false), 1);
    assert_int_equal(index_of(domains, "h\xc3\xb6me", true), 3);
    assert_int_equal(domains_count(domains), 3);
    assert_string_equal(domains_name(domains, 2), "search");
    assert_string_equal(domains_name(domains, 0), "unknown");
    domains_free(domains);
}

static void what_has_no_room_or_no_name_is_unknown(void **state) {
    (void)state;
    struct domains *domains;
    char longest[DOMAINS_NAME_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[DOMAINS_NAME_MAX + 1] = '\0';
    assert_int_equal(domains_new(2, &domains, NULL), STATUS_OK);
    assert_int_equal(index_of(domains, "", false), 0);
    assert_int_equal(domains_refused(domains), 0);
    const char *const unusable[] = {"\xff",      "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                    "a\xe2\x82", longest};
    for (size_t i = 0; i < sizeof unusable / sizeof *unusable; i++)
        assert_int_equal(index_of(domains, unusable[i], false), 0);
    assert_int_equal(domains_refused(domains), 6);
    index_of(domains, "a", true);
    longest[DOMAINS_NAME_MAX] = '\0';
    index_of(domains, longest, true);
    assert_int_equal(index_of(domains, "b", false), 0);
    assert_int_equal(domains_refused(domains), 7);
    domains_free(domains);
}

static void names_come_back_from_bytes_and_stand_in_json(void **state) {
    (void)state;
    struct domains *domains, *loaded;
    struct buffer saved, json;
    buffer_init(&saved);
    buffer_init(&json);
    assert_int_equal(domains_new(40, &domains, NULL), STATUS_OK);
    assert_int_equal(domains_new(40, &loaded, NULL), STATUS_OK);
    index_of(domains, "a\"b\\c", true);
    index_of(domains, "line\nbreak", true);
    domains_save(domains, &saved);
    struct wire in = wire_over(saved.data, saved.length);
    assert_int_equal(domains_load(loaded, &in, NULL), STATUS_OK);
    assert_int_equal(index_of(loaded, "line\nbreak", false), 2);
    domains_json(loaded, &json);
    buffer_append_byte(&json, 0);
    assert_string_equal((const char *)json.data, "[\"a\\\"b\\\\c\",\"line\\u000abreak\"]");
    for (size_t cut = 0; cut < saved.length; cut++) {
        struct domains *broken;
        assert_int_equal(domains_new(40, &broken, NULL), STATUS_OK);
        in = wire_over(saved.data, cut);
        assert_int_equal(domains_load(broken, &in, NULL), STATUS_CORRUPT);
        domains_free(broken);
    }
    domains_free(domains);
    domains_free(loaded);
    buffer_deinit(&saved);
    buffer_deinit(&json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indices_follow_first_appearance),
        cmocka_unit_test(what_has_no_room_or_no_name_is_unknown),
        cmocka_unit_test(names_come_back_from_bytes_and_stand_in_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
