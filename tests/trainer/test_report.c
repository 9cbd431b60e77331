// The measures as readers see them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <jansson.h>

#include "trainer/report.h"

static struct spec_task tasks[2] = {{.name = "click"}, {.name = "li\"ke"}};
static const struct spec spec = {.tasks = {tasks, 2}};

static struct report report_made(struct evaluate **ret_evaluate, struct domains **ret_domains) {
    const struct evaluate_settings settings = {
        .tasks = 2, .domains = 3, .window_ms = 1000, .windows = 2};
    uint32_t index;
    bool added;
    assert_int_equal(evaluate_new(&settings, ret_evaluate, NULL), STATUS_OK);
    assert_int_equal(domains_new(5, ret_domains, NULL), STATUS_OK);
    const char *const names[] = {"home", "se\"arch", "third", "fourth"};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(
            domains_index(*ret_domains, names[i], strlen(names[i]), &index, &added, NULL),
            STATUS_OK);
    for (uint32_t i = 0; i < 40; i++) {
        bool positive = i % 4 == 0;
        struct evaluate_label label = {.domain = 1 + i % 3,
                                       .bucket = i % 2 == 0 ? EVALUATE_HEAD : EVALUATE_TAIL,
                                       .event_time_ms = 100 * i,
                                       .of =
                                           tally_label_of(positive ? 1 : -1, positive ? 1 : 0, 1)};
        assert_int_equal(evaluate_add(*ret_evaluate, &label, NULL), STATUS_OK);
    }
    return (struct report){*ret_evaluate, NULL, &spec, *ret_domains, 3, NULL};
}

static void json_tells_tasks_and_domains(void **state) {
    (void)state;
    struct evaluate *evaluate;
    struct domains *domains;
    struct report report = report_made(&evaluate, &domains);
    struct buffer text;
    buffer_init(&text);
    report_json(&report, &text);
    json_t *root = json_loadb((const char *)text.data, text.length, 0, NULL);
    assert_non_null(root);
    const json_t *click = json_array_get(json_object_get(root, "tasks"), 0);
    const json_t *like = json_array_get(json_object_get(root, "tasks"), 1);
    assert_string_equal(json_string_value(json_object_get(like, "task")), "li\"ke");
    const json_t *all = json_object_get(click, "all");
    const json_t *ever = json_object_get(all, "ever"), *recent = json_object_get(all, "recent");
    assert_int_equal(json_integer_value(json_object_get(ever, "count")), 40);
    assert_int_equal(json_integer_value(json_object_get(recent, "count")), 20);
    assert_true(json_number_value(json_object_get(ever, "auc")) == 1);
    const json_t *listed = json_object_get(click, "domains");
    assert_int_equal(json_array_size(listed), 2); // the third has no measures of its own
    assert_string_equal(json_string_value(json_object_get(json_array_get(listed, 1), "domain")),
                        "se\"arch");
    const json_t *none = json_object_get(json_object_get(like, "all"), "ever");
    assert_true(json_is_null(json_object_get(none, "auc")));
    json_decref(root);
    buffer_deinit(&text);
    evaluate_free(evaluate);
    domains_free(domains);
}

static void the_table_has_a_line_for_each_task_and_domain(void **state) {
    (void)state;
    struct evaluate *evaluate;
    struct domains *domains;
    struct report report = report_made(&evaluate, &domains);
    char text[4096] = "";
    FILE *stream = fmemopen(text, sizeof text, "w");
    assert_non_null(stream);
    report_print(&report, stream);
    fclose(stream);
    size_t lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    // Heading; click: all, head, tail and two domains; like: all.
    assert_int_equal(lines, 1 + 5 + 1);
    assert_non_null(strstr(text, "home"));
    assert_non_null(strstr(text, "1.0000"));
    assert_null(strstr(text, "nan"));
    evaluate_free(evaluate);
    domains_free(domains);
}

static void gauges_carry_task_domain_and_window(void **state) {
    (void)state;
    struct evaluate *evaluate;
    struct domains *domains;
    struct metrics *metrics;
    struct report report = report_made(&evaluate, &domains);
    struct buffer text;
    buffer_init(&text);
    assert_int_equal(metrics_new(&metrics, NULL), STATUS_OK);
    report_gauges(&report, metrics);
    report_gauges(&report, metrics);
    metrics_render(metrics, &text);
    buffer_append_byte(&text, 0);
    const char *rendered = (const char *)text.data;
    assert_non_null(strstr(
        rendered,
        "freshet_trainer_measured_labels{task=\"click\",domain=\"all\",window=\"ever\"} 40"));
    assert_non_null(strstr(
        rendered,
        "freshet_trainer_measured_labels{task=\"click\",domain=\"all\",window=\"recent\"} 20"));
    assert_non_null(
        strstr(rendered, "freshet_trainer_auc{task=\"click\",domain=\"home\",window=\"ever\"} 1"));
    assert_non_null(strstr(
        rendered,
        "freshet_trainer_measured_positives{task=\"click\",domain=\"all\",window=\"ever\"} "));
    assert_null(strstr(rendered, "{task=\"li\\\"ke\"")); // no label, no series
    buffer_deinit(&text);
    metrics_free(metrics);
    evaluate_free(evaluate);
    domains_free(domains);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_tells_tasks_and_domains),
        cmocka_unit_test(the_table_has_a_line_for_each_task_and_domain),
        cmocka_unit_test(gauges_carry_task_domain_and_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
