// Streaming rates through a real Redis: each impression is scored from what Redis serves before the
// trainer meets it, and both must have read the same.
#include "tests/scorer/rig.h"

#include "base/hash.h"
#include "record/example.h"

enum { ROUNDS = 60, A_ROUND = 6, ROUND_MS = 20, WINDOW_MS = 120 }; // the bed's lag is a round

static uint64_t item_of(uint64_t impression) {
    return rig_item(impression, 12);
}
static float click_of(uint64_t impression) {
    return hash_mix(impression + 77) % 12 < item_of(impression) ? 1 : 0;
}

// Impressions of a round, after those whose windows have closed are labelled.
static void put_round(struct rig *rig, uint64_t round) {
    const uint64_t closed = WINDOW_MS / ROUND_MS;
    int64_t now_ms = 100000 + (int64_t)round * ROUND_MS;
    for (uint64_t i = 0; i < A_ROUND; i++) {
        uint64_t impression = 1 + round * A_ROUND + i;
        bed_put(&rig->bed, (int32_t)(i % BED_PARTITIONS), EXAMPLE_SCORE, impression,
                item_of(impression), "a", now_ms, -1, -1);
    }
    for (uint64_t i = 0; i < A_ROUND && round >= closed; i++) {
        uint64_t impression = 1 + (round - closed) * A_ROUND + i;
        float click = click_of(impression);
        bed_put(&rig->bed, (int32_t)(i % BED_PARTITIONS),
                EXAMPLE_LEARN | EXAMPLE_FINAL | EXAMPLE_LAST, impression, item_of(impression), "a",
                now_ms, click, impression % 2 == 0 ? click : 0);
    }
    struct error err;
    rig_must(log_writer_commit(rig->bed.writer, NULL, 0, &err), &err);
}

static void what_redis_serves_is_what_training_read(void **state) {
    (void)state;
    static struct rig rig;
    float served[A_ROUND][BED_TASKS];
    rig_open(&rig, "rates", A_ROUND, NULL);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t first = 1 + round * A_ROUND;
        int64_t now_ms = 100000 + (int64_t)round * ROUND_MS;
        for (uint64_t i = 0; i < A_ROUND && rig.scorer; i++)
            rig_serve(&rig, first + i, item_of(first + i), now_ms, served[i]);
        bool compare = rig.scorer != NULL;
        put_round(&rig, round);
        rig_settle(&rig);
        if (compare)
            rig_compare(&rig, first, A_ROUND, served);
    }
    print_message("%llu predictions compared, largest difference %.2g\n",
                  (unsigned long long)rig.compared, rig.largest);
    assert_true(rig.compared > (uint64_t)ROUNDS * A_ROUND);
    assert_true(rig.largest < 1e-6);
    struct rates *rates = counting_rates(trainer_counting(rig.trainer));
    assert_true(rates_rows(rates, 0) > 10); // there were rates to be read
    rig_close(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_redis_serves_is_what_training_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
