// The life of rows through a real Redis: what is served is what training read while rows come late
// and leave again, and a row that left is gone from Redis.
#include "tests/scorer/rig.h"

#include <math.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "base/hash.h"
#include "record/example.h"
#include "record/redis_layout.h"
#include "trainer/rules.h"

enum { ROUNDS = 80, A_ROUND = 6, ROUND_MS = 1000, ITEMS = 40, GONE_FROM = 40 };

static struct error err;

// Items are shown in two halves: those of the first are not shown again.
static uint64_t item_of(uint64_t impression) {
    uint64_t item = rig_item(impression, ITEMS / 2);
    return impression <= GONE_FROM * A_ROUND ? item : item + ITEMS / 2;
}

static void put_round(struct rig *rig, uint64_t round) {
    int64_t now_ms = 1700000000000 + (int64_t)round * ROUND_MS;
    for (int labels = 0; labels < 2; labels++) {
        for (uint64_t i = 0; i < A_ROUND && round >= (uint64_t)labels; i++) {
            uint64_t impression = 1 + (round - (uint64_t)labels) * A_ROUND + i;
            float click = hash_mix(impression + 77) % ITEMS < item_of(impression) ? 1 : 0;
            bed_put(&rig->bed, (int32_t)(i % BED_PARTITIONS),
                    labels ? EXAMPLE_LEARN | EXAMPLE_FINAL | EXAMPLE_LAST : EXAMPLE_SCORE,
                    impression, item_of(impression), "a", now_ms, labels ? click : -1,
                    labels ? click : -1);
        }
    }
    rig_must(log_writer_commit(rig->bed.writer, NULL, 0, &err), &err);
}

// Rows of a table in Redis, by its public layout.
static size_t redis_rows(const struct rig *rig, uint32_t table, uint64_t id_most, bool *ret_there) {
    redisContext *redis = redisConnect(rig->options.host, rig->options.port);
    size_t rows = 0;
    unsigned bits = (unsigned)rig->settings.bucket_bits;
    for (uint32_t bucket = 0; bucket < UINT32_C(1) << bits; bucket++) {
        char key[REDIS_LAYOUT_KEY_MAX];
        redis_layout_bucket_key(key, rig->name, redis_layout_group(bucket, bits), bucket);
        redisReply *fields = redisCommand(redis, "HKEYS %s", key);
        assert_non_null(fields);
        for (size_t i = 0; i < fields->elements; i++) {
            uint32_t of;
            uint64_t id;
            if (!redis_layout_field_read(fields->element[i]->str, (size_t)fields->element[i]->len,
                                         bucket, bits, &of, &id) ||
                of != table)
                continue;
            rows++;
            if (id <= id_most)
                ret_there[id] = true;
        }
        freeReplyObject(fields);
    }
    redisFree(redis);
    return rows;
}

static void with_rules(struct bed *bed) {
    static struct table_rule rules[] = {{.feature = "item",
                                         .wide_optimiser = TABLE_WIDE_FTRL,
                                         .ftrl = {1, .1, 0},
                                         .admit = 2,
                                         .admit_share = 1,
                                         .learning_rate = INFINITY,
                                         .wide_learning_rate = INFINITY,
                                         .admit_counters = 256,
                                         .expire_after_ms = 20000,
                                         .half_life_ms = 60000},
                                        {.feature = "",
                                         .admit = 1,
                                         .admit_share = .7,
                                         .learning_rate = INFINITY,
                                         .wide_learning_rate = INFINITY,
                                         .admit_counters = 64,
                                         .half_life_ms = 20000,
                                         .rows_max = 9}};
    bed->settings.learner.tables = (struct option_sections){rules, 2};
    bed->spec.rates.count = 0; // they have their own test
}

static void a_row_that_left_is_gone_from_redis_and_scores_agree(void **state) {
    (void)state;
    static struct rig rig;
    float served[A_ROUND][BED_TASKS];
    bool early[ITEMS + 1] = {false}, there[ITEMS + 1] = {false};
    rig_open(&rig, "life", A_ROUND, with_rules);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t first = 1 + round * A_ROUND;
        int64_t now_ms = 1700000000000 + (int64_t)round * ROUND_MS;
        for (uint64_t i = 0; i < A_ROUND && rig.scorer; i++)
            rig_serve(&rig, first + i, item_of(first + i), now_ms, served[i]);
        bool compare = rig.scorer != NULL;
        put_round(&rig, round);
        rig_settle(&rig);
        if (compare)
            rig_compare(&rig, first, A_ROUND, served);
        if (round == GONE_FROM)
            (void)redis_rows(&rig, 1, ITEMS, early);
    }
    print_message("%llu predictions compared, largest difference %.2g\n",
                  (unsigned long long)rig.compared, rig.largest);
    assert_true(rig.compared > (uint64_t)ROUNDS * A_ROUND);
    assert_true(rig.largest < 1e-6);
    struct learner *learner = trainer_learner(rig.trainer);
    const struct model *model = learner_model(learner);
    assert_int_equal(redis_rows(&rig, 1, ITEMS, there), model_table_rows(model, 1));
    size_t were = 0, still = 0;
    for (uint64_t item = 1; item <= ITEMS / 2; item++) {
        were += early[item];
        still += there[item];
    }
    assert_true(were > 10);
    assert_int_equal(still, 0);
    assert_true(learner_table_life(learner, 1).aged >= were);
    assert_true(learner_table_life(learner, 1).unadmitted > 0);
    bool users[18] = {false};
    assert_int_equal(redis_rows(&rig, 0, 17, users), model_table_rows(model, 0));
    assert_true(model_table_rows(model, 0) <= 9);
    assert_true(learner_table_life(learner, 0).displaced > 10);
    rig_close(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_that_left_is_gone_from_redis_and_scores_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
