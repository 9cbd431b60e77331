// A race against the trainer under its runner: the same stream, the same measures.
#include "tests/trainer/bed.h"

#include <math.h>
#include <string.h>

#include "compare/output.h"
#include "compare/race.h"

#define OK(call) assert_int_equal((call), STATUS_OK)

enum { IMPRESSIONS = 1500 };

struct raced {
    struct contest *contest;
    double seconds[2];
    uint64_t records;
};

static enum status race(struct bed *bed, const struct spec *other, size_t seeds, size_t threads,
                        struct raced *raced, struct error *err) {
    static struct trainer_settings fixed; // the second configuration
    fixed = bed->settings;
    fixed.learner.balance = LEARNER_BALANCE_FIXED;
    const struct race_entry entries[] = {{"first", &bed->spec, &bed->model, &bed->settings},
                                         {"second", other, &bed->model, &fixed}};
    const struct contest_settings settings = {.configs = 2,
                                              .seeds = seeds,
                                              .tasks = BED_TASKS,
                                              .replicates = 20,
                                              .split_ms = CONTEST_NO_SPLIT,
                                              .window_ms = 1000};
    const struct race_setup setup = {.log = bed->log,
                                     .topic = "examples",
                                     .entries = entries,
                                     .count = 2,
                                     .seeds = seeds,
                                     .threads = threads};
    OK(contest_new(&settings, &raced->contest, NULL));
    return race_run(&setup, raced->contest, raced->seconds, &raced->records, err);
}

static void a_race_measures_what_the_trainer_does(void **state) {
    (void)state;
    struct bed bed;
    struct bed_result result;
    struct raced raced;
    struct contest_result first, second;
    bed_init(&bed);
    bed_fill(&bed, IMPRESSIONS);
    bed_end(&bed);
    bed_run(&bed, 64, 1, NULL, NULL, &result);
    OK(race(&bed, &bed.spec, 1, 2, &raced, NULL));
    OK(contest_result(raced.contest, 0, 0, 0, &first, NULL));
    OK(contest_result(raced.contest, 0, 0, 1, &second, NULL));
    assert_int_equal(raced.records, 2 * IMPRESSIONS);
    assert_int_equal(first.count, result.click.count);
    assert_int_equal(first.positives, result.click.positives);
    assert_true(first.auc.value == result.click.auc);
    assert_true(first.entropy.value == result.click.normalised_entropy);
    assert_int_equal(second.count, first.count);
    assert_true(second.auc.value != first.auc.value);
    assert_true(raced.seconds[0] > 0 && raced.seconds[1] > 0);
    contest_free(raced.contest);
    bed_deinit(&bed);
}

static void neither_threads_nor_the_number_of_runs_change_a_result(void **state) {
    (void)state;
    struct bed bed;
    struct raced one, two;
    bed_init(&bed);
    bed_fill(&bed, 400);
    bed_end(&bed);
    OK(race(&bed, &bed.spec, 2, 1, &one, NULL));
    OK(race(&bed, &bed.spec, 2, 4, &two, NULL));
    for (size_t config = 0; config < 2; config++) {
        struct contest_result a, b;
        OK(contest_result(one.contest, 0, 0, config, &a, NULL));
        OK(contest_result(two.contest, 0, 0, config, &b, NULL));
        assert_true(a.auc.value == b.auc.value && a.auc_difference.low == b.auc_difference.low);
        assert_true(a.auc_spread > 0);
    }
    contest_free(one.contest);
    contest_free(two.contest);
    bed_deinit(&bed);
}

static void other_features_are_refused(void **state) {
    (void)state;
    struct bed bed;
    struct raced raced;
    struct error err;
    bed_init(&bed);
    bed_end(&bed);
    struct spec other = bed.spec;
    other.features.count--;
    assert_int_equal(race(&bed, &other, 1, 1, &raced, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "second"));
    contest_free(raced.contest);
    bed_deinit(&bed);
}

static size_t occurrences(const struct buffer *text, const char *of) {
    size_t count = 0;
    for (size_t i = 0; i + strlen(of) <= text->length; i++)
        count += memcmp(text->data + i, of, strlen(of)) == 0;
    return count;
}

static void results_are_written_in_three_forms(void **state) {
    (void)state;
    struct bed bed;
    struct raced raced;
    struct buffer text;
    bed_init(&bed);
    bed_fill(&bed, 300);
    bed_end(&bed);
    OK(race(&bed, &bed.spec, 1, 1, &raced, NULL));
    const char *configs[] = {"first", "sec\"ond<"}, *tasks[] = {"click", "like"};
    const struct output_names names = {configs, tasks, raced.seconds, raced.records};
    buffer_init(&text);
    OK(output_csv(raced.contest, &names, &text, NULL));
    assert_int_equal(occurrences(&text, "\n"), 1 + 2 * BED_TASKS);
    assert_int_equal(occurrences(&text, "\"sec\"\"ond<\""), BED_TASKS);
    for (size_t i = 0, commas = 0; i < text.length; i++) {
        commas += text.data[i] == ',';
        if (text.data[i] == '\n') {
            assert_int_equal(commas, 18);
            commas = 0;
        }
    }
    buffer_reset(&text);
    OK(output_json(raced.contest, &names, &text, NULL));
    assert_int_equal(occurrences(&text, "\"auc_difference\":{\"value\":"), 2 * BED_TASKS);
    assert_int_equal(occurrences(&text, "nan"), 0);
    buffer_reset(&text);
    output_svg(raced.contest, &names, &text);
    assert_int_equal(occurrences(&text, "<path fill=\"none\""), 2 * BED_TASKS);
    assert_int_equal(occurrences(&text, "sec\"ond&#60;"), 1);
    assert_int_equal(occurrences(&text, "nan"), 0);
    buffer_deinit(&text);
    contest_free(raced.contest);
    bed_deinit(&bed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_race_measures_what_the_trainer_does),
        cmocka_unit_test(neither_threads_nor_the_number_of_runs_change_a_result),
        cmocka_unit_test(other_features_are_refused),
        cmocka_unit_test(results_are_written_in_three_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
