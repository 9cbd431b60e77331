// The scorer against what the model itself predicts, version by version, through a real Redis.
#include "bed.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "scorer/copy.h"

enum { ROWS = 300, SWAPS = 25 }; // more rows than one block of the scorer

static struct freshet_scorer *open_scorer(void) {
    struct freshet_scorer *scorer = NULL;
    char text[256] = "";
    if (freshet_scorer_open(&bed.options, &scorer, text, sizeof text) != FRESHET_SCORER_OK)
        fail_msg("%s", text);
    return scorer;
}

static void scores_are_the_models(struct freshet_scorer *scorer) {
    static float expected[ROWS * TASKS], scored[ROWS * TASKS];
    bed_expect(0, ROWS, expected);
    assert_true(bed_score(scorer, 0, ROWS, scored) == bed.version);
    for (size_t i = 0; i < (size_t)ROWS * TASKS; i++)
        if (!(fabsf(scored[i] - expected[i]) <= 1e-6F))
            fail_msg("value %zu: %.9g instead of %.9g", i, (double)scored[i], (double)expected[i]);
    // Not by all being the same.
    assert_true(fabsf(scored[0] - scored[2]) > 1e-6F);
}

static void scores_equal_the_trainers_for_each_version(void **state) {
    (void)state;
    bed_version(60);
    bed_publish();
    struct freshet_scorer *scorer = open_scorer();
    assert_int_equal(freshet_scorer_tasks(scorer), TASKS);
    assert_string_equal(freshet_scorer_task(scorer, 1), "buy");
    assert_null(freshet_scorer_task(scorer, TASKS));
    scores_are_the_models(scorer);
    for (unsigned rows = 0; rows < 6; rows++) {
        bed_version(rows * 3);
        bed_publish();
        bed_await(scorer, bed.version);
        scores_are_the_models(scorer);
    }
    freshet_scorer_close(scorer);
}

// Near the trainer's scores, and to the bit the same whether rows were read or followed.
static void quantised_rows_score_close_and_alike(void **state) {
    (void)state;
    static float expected[ROWS * TASKS], followed[ROWS * TASKS], read[ROWS * TASKS];
    float tolerance = bed.settings.row_type == REDIS_ROW_FP16 ? 1e-3F : 2e-2F, furthest = 0;
    bed_version(60);
    bed_publish();
    struct freshet_scorer *follower = open_scorer();
    for (int i = 0; i < 3; i++) {
        bed_version(9);
        bed_publish();
        bed_await(follower, bed.version);
        struct freshet_scorer *reader = open_scorer();
        bed_expect(0, ROWS, expected);
        assert_true(bed_score(follower, 0, ROWS, followed) == bed.version);
        assert_true(bed_score(reader, 0, ROWS, read) == bed.version);
        assert_memory_equal(followed, read, sizeof read);
        for (size_t k = 0; k < (size_t)ROWS * TASKS; k++)
            furthest = fmaxf(furthest, fabsf(read[k] - expected[k]));
        freshet_scorer_close(reader);
    }
    assert_true(furthest <= tolerance);
    assert_true(furthest > 1e-6F); // the rows were rounded
    freshet_scorer_close(follower);
}

static void several_versions_at_once_are_followed(void **state) {
    (void)state;
    bed_version(60);
    bed_publish();
    struct freshet_scorer *scorer = open_scorer();
    for (int i = 0; i < 4; i++)
        bed_version(5);
    bed_publish();
    bed_await(scorer, bed.version);
    scores_are_the_models(scorer);
    freshet_scorer_close(scorer);
}

// What a thread that scores all the while compares with: row 0 by each version.
struct watch {
    struct freshet_scorer *scorer;
    float expected[SWAPS + 2][TASKS];
    atomic_uint_fast64_t known; // versions expected so far
    atomic_bool stop;
    atomic_uint_fast64_t scored, torn, swaps;
};

static void *keep_scoring(void *self) {
    struct watch *watch = self;
    struct freshet_row *row = freshet_row_new(watch->scorer);
    uint64_t last = 0;
    bed_row(3, row, NULL);
    while (!atomic_load(&watch->stop)) {
        float scored[TASKS];
        uint64_t version = 0;
        char text[256];
        if (freshet_scorer_score(watch->scorer, &row, 1, scored, &version, text, sizeof text) !=
                FRESHET_SCORER_OK ||
            version > atomic_load(&watch->known) || version < last ||
            fabsf(scored[0] - watch->expected[version][0]) > 1e-6F ||
            fabsf(scored[1] - watch->expected[version][1]) > 1e-6F)
            atomic_fetch_add(&watch->torn, 1);
        if (version != last)
            atomic_fetch_add(&watch->swaps, 1);
        last = version;
        atomic_fetch_add(&watch->scored, 1);
    }
    freshet_row_free(row);
    return NULL;
}

static void no_score_is_ever_of_two_versions(void **state) {
    (void)state;
    static struct watch watch;
    pthread_t threads[2];
    memset(&watch, 0, sizeof watch);
    bed_version(200);
    bed_expect(3, 1, watch.expected[1]);
    atomic_store(&watch.known, 1);
    bed_publish();
    watch.scorer = open_scorer();
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, keep_scoring, &watch), 0);
    for (int i = 0; i < SWAPS; i++) {
        bed_version(30);
        bed_expect(3, 1, watch.expected[bed.version]);
        atomic_store(&watch.known, bed.version);
        bed_publish();
    }
    bed_await(watch.scorer, bed.version);
    atomic_store(&watch.stop, true);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&watch.torn), 0);
    assert_true(atomic_load(&watch.scored) > 0 && atomic_load(&watch.swaps) > 2);
    freshet_scorer_close(watch.scorer);
}

static void without_a_stream_of_deltas_each_version_is_read_whole(void **state) {
    (void)state;
    bed_version(60);
    bed_publish();
    struct freshet_scorer *scorer = open_scorer();
    for (int i = 0; i < 3; i++) {
        bed_version(7);
        bed_publish();
        bed_await(scorer, bed.version);
        scores_are_the_models(scorer);
    }
    redisReply *reply = ask("EXISTS %s:{m}:deltas", bed.name);
    assert_int_equal(reply->integer, 0);
    freeReplyObject(reply);
    freshet_scorer_close(scorer);
}

static void a_redis_that_was_emptied_leaves_the_scorer_serving(void **state) {
    (void)state;
    static float before[TASKS], after[TASKS];
    bed_version(60);
    bed_publish();
    struct freshet_scorer *scorer = open_scorer();
    bed_score(scorer, 0, 1, before);
    freeReplyObject(ask("FLUSHALL"));
    assert_true(bed_score(scorer, 0, 1, after) == 1);
    assert_memory_equal(before, after, sizeof before);
    bed_version(5);
    bed_version(5);
    bed_publish();
    bed_await(scorer, bed.version);
    scores_are_the_models(scorer);
    freshet_scorer_close(scorer);
}

static void repeats_of_older_versions_in_the_stream_change_nothing(void **state) {
    (void)state;
    struct copy copy;
    struct mirror *mirror;
    char older[64] = "";
    bed_version(60);
    bed_publish();
    copy_init(&copy);
    must(mirror_open(&bed.options, &mirror, &err));
    must(copy_load(&copy, mirror, &err));
    bed_version(20);
    bed_publish();
    redisReply *end = ask("XREVRANGE %s:{m}:deltas + - COUNT 1", bed.name);
    snprintf(older, sizeof older, "%s", end->element[0]->element[0]->str);
    bed_version(40);
    bed_publish();
    // A publisher that slept wakes up and appends version 2 once more.
    redisReply *entries = ask("XRANGE %s:{m}:deltas - %s", bed.name, older);
    for (size_t i = 0; i < entries->elements; i++) {
        const redisReply *fields = entries->element[i]->element[1];
        freeReplyObject(ask("XADD %s:{m}:deltas * v %b r %b", bed.name, fields->element[1]->str,
                            fields->element[1]->len, fields->element[3]->str,
                            fields->element[3]->len));
    }
    freeReplyObject(entries);
    freeReplyObject(end);
    must(copy_advance(&copy, mirror, &err));
    assert_true(copy.version == 3 && copy.generation > 0);
    for (uint32_t table = 0; table < 2; table++) {
        float values[64], expected[64];
        assert_true(model_table_rows(copy.model, table) == model_table_rows(bed.model, table));
        for (uint64_t i = 0; i < 60; i++) {
            char text[24];
            snprintf(text, sizeof text, table ? "%llu" : "u%llu", (unsigned long long)i);
            uint64_t id = spec_id(table ? "item" : "user_id", text, strlen(text));
            bool there = model_row_get(bed.model, table, id, expected);
            assert_true(model_row_get(copy.model, table, id, values) == there);
            if (there)
                assert_memory_equal(values, expected,
                                    model_table_width(bed.model, table) * sizeof(float));
        }
    }
    mirror_close(mirror);
    copy_deinit(&copy);
}

// To the bit, for one that follows and for one that reads anew; and on again from there.
static void going_back_restores_the_scores(void **state) {
    (void)state;
    static float third[ROWS * TASKS], followed[ROWS * TASKS], read[ROWS * TASKS];
    for (int i = 0; i < 3; i++)
        bed_version(i == 0 ? 60 : 9);
    bed_publish();
    struct freshet_scorer *follower = open_scorer();
    assert_true(bed_score(follower, 0, ROWS, third) == 3);
    for (int i = 0; i < 9; i++)
        bed_version(9);
    bed_publish();
    bed_await(follower, bed.version);
    assert_true(bed_score(follower, 0, ROWS, followed) == bed.version);
    assert_memory_not_equal(followed, third, sizeof third);
    bed_pin(3);
    bed_step_until(3);
    bed_await(follower, 3);
    struct freshet_scorer *reader = open_scorer();
    assert_true(bed_score(follower, 0, ROWS, followed) == 3);
    assert_true(bed_score(reader, 0, ROWS, read) == 3);
    assert_memory_equal(followed, third, sizeof third);
    assert_memory_equal(read, third, sizeof third);
    bed_pin(0);
    bed_version(5);
    bed_publish();
    bed_await(follower, bed.version);
    bed_await(reader, bed.version);
    scores_are_the_models(follower);
    scores_are_the_models(reader);
    freshet_scorer_close(reader);
    freshet_scorer_close(follower);
}

static void what_is_not_there_is_said(void **state) {
    (void)state;
    struct freshet_scorer *scorer = NULL;
    char text[256] = "";
    bed.options.timeout_ms = 100;
    assert_int_equal(freshet_scorer_open(&bed.options, &scorer, text, sizeof text),
                     FRESHET_SCORER_UNAVAILABLE);
    assert_non_null(strstr(text, "none has been published"));
    bed.options.port = 1;
    assert_int_equal(freshet_scorer_open(&bed.options, &scorer, text, sizeof text),
                     FRESHET_SCORER_UNAVAILABLE);
    assert_non_null(strstr(text, ":1"));
    bed.options.name = "";
    assert_int_equal(freshet_scorer_open(&bed.options, &scorer, text, sizeof text),
                     FRESHET_SCORER_INVALID);
}

// A request as services should build it: what is shared once, the item's ids made before.
static void copied_rows_and_ids_made_before_score_the_same(void **state) {
    (void)state;
    bed_version(60);
    bed_publish();
    struct freshet_scorer *scorer = open_scorer();
    int item = freshet_scorer_feature(scorer, "item_id");
    int history = freshet_scorer_feature(scorer, "history");
    assert_true(item >= 0 && history >= 0);
    assert_int_equal(freshet_scorer_feature(scorer, "price"), -1);
    assert_int_equal(freshet_scorer_feature(scorer, "no_such"), -1);
    struct freshet_row *rows[6];
    float scored[6 * TASKS];
    for (int i = 0; i < 6; i++) {
        char text[8];
        rows[i] = freshet_row_new(scorer);
        assert_non_null(rows[i]);
        snprintf(text, sizeof text, "%d", i % 3);
        // Every second row's own values were another's before: copying leaves none of them.
        assert_int_equal(freshet_row_set_text(rows[i], "history", "9"), FRESHET_SCORER_OK);
        freshet_row_reset(rows[i]);
        if (i < 3) {
            freshet_row_set_text(rows[i], "user_id", "u3");
            freshet_row_set_integer(rows[i], "history", 4);
            freshet_row_set_number(rows[i], "price", 2.5);
            freshet_row_set_domain(rows[i], i == 1 ? "feed" : "home");
            freshet_row_set_text(rows[i], "item_id", text);
            freshet_row_set_integer(rows[i], "history", 6);
            continue;
        }
        assert_int_equal(freshet_row_set_text(rows[i], "history", "9"), FRESHET_SCORER_OK);
        freshet_row_copy(rows[i], rows[0]);
        freshet_row_set_domain(rows[i], i == 4 ? "feed" : "home");
        assert_int_equal(freshet_row_set_id(rows[i], item, freshet_scorer_id(scorer, item, text)),
                         FRESHET_SCORER_OK);
    }
    assert_int_equal(freshet_row_set_id(rows[0], -1, 1), FRESHET_SCORER_INVALID);
    assert_int_equal(freshet_row_set_id(rows[0], 3, 1), FRESHET_SCORER_INVALID); // price
    assert_int_equal(freshet_scorer_score(scorer, rows, 6, scored, NULL, NULL, 0),
                     FRESHET_SCORER_OK);
    assert_memory_equal(scored, scored + 3 * TASKS, 3 * TASKS * sizeof(float));
    assert_true(fabsf(scored[0] - scored[TASKS]) > 1e-6F);
    for (int i = 0; i < 6; i++)
        freshet_row_free(rows[i]);
    freshet_scorer_close(scorer);
}

static void rows_take_only_what_the_model_knows(void **state) {
    (void)state;
    bed_version(30);
    bed_publish();
    struct freshet_scorer *scorer = open_scorer();
    struct freshet_row *rows[2] = {freshet_row_new(scorer), freshet_row_new(scorer)};
    float scored[2 * TASKS];
    assert_int_equal(freshet_row_set_text(rows[0], "no_such", "1"), FRESHET_SCORER_INVALID);
    assert_int_equal(freshet_row_set_text(rows[0], "price", "1"), FRESHET_SCORER_INVALID);
    assert_int_equal(freshet_row_set_number(rows[0], "user_id", 1), FRESHET_SCORER_INVALID);
    // A number and its digits are one item; lists beyond their longest are cut.
    assert_int_equal(freshet_row_set_integer(rows[0], "item_id", 5), FRESHET_SCORER_OK);
    assert_int_equal(freshet_row_set_text(rows[1], "item_id", "5"), FRESHET_SCORER_OK);
    for (int i = 0; i < 9; i++)
        for (int k = 0; k < 2; k++)
            assert_int_equal(freshet_row_set_integer(rows[k], "history", i < 5 ? i : i + k),
                             FRESHET_SCORER_OK);
    assert_int_equal(freshet_scorer_score(scorer, rows, 2, scored, NULL, NULL, 0),
                     FRESHET_SCORER_OK);
    assert_memory_equal(scored, scored + TASKS, TASKS * sizeof(float));
    assert_int_equal(freshet_scorer_score(scorer, rows, 0, scored, NULL, NULL, 0),
                     FRESHET_SCORER_OK);
    freshet_row_free(rows[0]);
    freshet_row_free(rows[1]);
    freshet_scorer_close(scorer);
}

static void the_documented_rights_suffice(void **state) {
    (void)state;
    redisReply *reply = ask("ACL SETUSER scorer on >secret resetkeys %%R~%s:{* -@all +get +hgetall "
                            "+xrange +xrevrange",
                            bed.name);
    assert_int_equal(reply->type, REDIS_REPLY_STATUS);
    freeReplyObject(reply);
    bed.options.user = "scorer";
    bed.options.password = "secret";
    bed_version(30);
    bed_publish();
    struct freshet_scorer *scorer = open_scorer();
    bed_version(10);
    bed_publish();
    bed_await(scorer, bed.version);
    scores_are_the_models(scorer);
    freshet_scorer_close(scorer);
    freeReplyObject(ask("ACL DELUSER scorer"));
}

static void another_layout_is_refused(void **state) {
    (void)state;
    struct freshet_scorer *scorer = NULL;
    char text[256] = "";
    freeReplyObject(ask("SET %s:{m}:manifest {\"layout\":1,\"lineage\":\"07\"}", bed.name));
    assert_int_equal(freshet_scorer_open(&bed.options, &scorer, text, sizeof text),
                     FRESHET_SCORER_INVALID);
    assert_non_null(strstr(text, "layout"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_begin, bed_end)
    static struct bed_variant no_deltas = {0}, few_deltas = {.deltas_max = 3},
                              fp16 = {10000, REDIS_ROW_FP16, 0}, int8 = {10000, REDIS_ROW_INT8, 0},
                              gated = {10000, REDIS_ROW_FP32, MODEL_DOMAINS_PEPNET},
                              separate = {10000, REDIS_ROW_FP32, MODEL_DOMAINS_SEPARATE};
    const struct CMUnitTest tests[] = {
        TEST(scores_equal_the_trainers_for_each_version),
        TEST(several_versions_at_once_are_followed),
        cmocka_unit_test_prestate_setup_teardown(scores_equal_the_trainers_for_each_version,
                                                 bed_begin, bed_end, &gated),
        cmocka_unit_test_prestate_setup_teardown(scores_equal_the_trainers_for_each_version,
                                                 bed_begin, bed_end, &separate),
        TEST(no_score_is_ever_of_two_versions),
        cmocka_unit_test_prestate_setup_teardown(
            without_a_stream_of_deltas_each_version_is_read_whole, bed_begin, bed_end, &no_deltas),
        cmocka_unit_test_prestate_setup_teardown(several_versions_at_once_are_followed, bed_begin,
                                                 bed_end, &few_deltas),
        cmocka_unit_test_prestate_setup_teardown(quantised_rows_score_close_and_alike, bed_begin,
                                                 bed_end, &fp16),
        cmocka_unit_test_prestate_setup_teardown(quantised_rows_score_close_and_alike, bed_begin,
                                                 bed_end, &int8),
        TEST(a_redis_that_was_emptied_leaves_the_scorer_serving),
        TEST(repeats_of_older_versions_in_the_stream_change_nothing),
        TEST(going_back_restores_the_scores),
        TEST(what_is_not_there_is_said),
        TEST(copied_rows_and_ids_made_before_score_the_same),
        TEST(rows_take_only_what_the_model_knows),
        TEST(the_documented_rights_suffice),
        TEST(another_layout_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
