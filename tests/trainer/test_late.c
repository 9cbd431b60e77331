// Late labels in the trainer: repeats are learnt and never measured, classifiers learn from final
// labels, and neither crashes nor batches change anything.
#include <math.h>
#include <string.h>

#include "base/disk.h"
#include "base/rng.h"
#include "record/example.h"
#include "tests/trainer/bed.h"
#include "trainer/learner_inside.h"
#include "trainer/state.h"

enum { COUNT = 300, WAIT = 5, WINDOW = 40 };

struct drawn {
    uint64_t item;
    bool click, late;
    uint64_t comes; // impressions later
};

static struct drawn draw(uint64_t impression) {
    struct drawn drawn = {.item = 1 + rng_at(1, impression, 0, 0) % 40};
    double taste = 2 * rng_normal_at(2, drawn.item, 0, 0);
    drawn.click = rng_uniform_at(3, impression, 0, 0) < 1 / (1 + exp(-taste));
    drawn.comes = 1 + rng_at(5, impression, 0, 0) % (WINDOW - 1);
    drawn.late = drawn.click && drawn.comes > WAIT;
    return drawn;
}

static void put(struct bed *bed, uint64_t now, uint64_t impression, uint32_t kind, float click) {
    struct drawn drawn = draw(impression);
    bed_put(bed, (int32_t)(impression % BED_PARTITIONS), kind, impression, drawn.item,
            impression % 4 == 0 ? "b" : "a", 1000 + (int64_t)now * 3, click, -1);
}

// What ingest sends of clicks under es_dfm or defer.
static void fill(struct bed *bed, int labels) {
    bed->tasks[0].labels = labels;
    for (uint64_t now = 1; now <= COUNT + WINDOW; now++) {
        if (now <= COUNT)
            put(bed, now, now, EXAMPLE_SCORE, -1);
        for (uint64_t i = now > WINDOW ? now - WINDOW : 1; i <= now && i <= COUNT; i++) {
            struct drawn drawn = draw(i);
            if (now == i + WAIT)
                put(bed, now, i, EXAMPLE_LEARN, drawn.click && !drawn.late);
            if (drawn.late && now == i + drawn.comes)
                put(bed, now, i, EXAMPLE_LEARN | EXAMPLE_REPEAT, 1);
            if (now != i + WINDOW)
                continue;
            uint32_t kind = EXAMPLE_FINAL | EXAMPLE_LAST;
            kind |= drawn.late             ? EXAMPLE_LATE
                    : labels == SPEC_DEFER ? EXAMPLE_LEARN | EXAMPLE_REPEAT
                                           : 0U;
            put(bed, now, i, kind, drawn.click);
        }
    }
    bed_end(bed);
}

static void run(int labels, int64_t batch_records, int64_t step_ms, struct trainer **ret_trainer,
                struct bed_result *ret_result) {
    struct bed bed;
    bed_init(&bed);
    fill(&bed, labels);
    bed_run(&bed, batch_records, step_ms, NULL, ret_trainer, ret_result);
    bed_deinit(&bed);
}

static void labels_are_measured_once_and_learnt_as_often_as_they_come(void **state) {
    (void)state;
    uint64_t late = 0, clicks = 0;
    for (uint64_t i = 1; i <= COUNT; i++) {
        late += draw(i).late;
        clicks += draw(i).click;
    }
    for (int labels = SPEC_ES_DFM; labels <= SPEC_DEFER; labels++) {
        struct bed_result result;
        run(labels, 64, 0, NULL, &result);
        const struct account *examples = bed_account(&result, "examples");
        assert_int_equal(examples->read, 3 * COUNT + late);
        assert_int_equal(examples->used, examples->read);
        assert_int_equal(result.status.rows_learnt,
                         labels == SPEC_DEFER ? 2 * COUNT : COUNT + late);
        assert_int_equal(result.click.count, COUNT);
        assert_int_equal(result.click.positives, clicks);
        assert_int_equal(bed_account(&result, "finals")->used, COUNT);
    }
}

// The share of delayed positives that the classifier has settled on, where the network says
// nothing.
static void classifiers_learn_from_final_labels(void **state) {
    (void)state;
    struct bed bed;
    struct bed_result result;
    struct trainer *trainer;
    double late = 0, negative = 0;
    for (uint64_t i = 1; i <= COUNT; i++) {
        late += draw(i).late;
        negative += !draw(i).click;
    }
    bed_init(&bed);
    bed.settings.learner.late_learning_rate = .3;
    bed.settings.learner.learning_rate = bed.settings.learner.row_learning_rate = 0;
    bed.settings.learner.wide_learning_rate = 0;
    fill(&bed, SPEC_ES_DFM);
    bed_run(&bed, 64, 0, NULL, &trainer, &result);
    const struct learner *learner = trainer_learner(trainer);
    assert_int_equal(trainer->late.batch.rows, 0); // all that came was learnt from
    assert_int_equal(learner->late.count, 2);
    double delayed = 0, sure = 0;
    size_t rows = 0;
    for (size_t i = 0; i < learner->lane_count; i++)
        for (size_t p = learner->lane[i].first; p < learner->lane[i].first + learner->lane[i].rows;
             p++, rows++) {
            delayed +=
                1 / (1 + exp(-late_logit(&learner->late, learner->model, &learner->act, 0, p)));
            sure += 1 / (1 + exp(-late_logit(&learner->late, learner->model, &learner->act, 1, p)));
        }
    assert_true(rows > 0);
    assert_true(fabs(delayed / (double)rows - late / COUNT) < .15);
    assert_true(fabs(sure / (double)rows - negative / (negative + late)) < .15);
    assert_true(late / COUNT > .2); // far from where it began
    trainer_free(trainer);
    bed_deinit(&bed);
}

static void batches_change_nothing(void **state) {
    (void)state;
    struct bed_result one, other;
    run(SPEC_ES_DFM, 64, 0, NULL, &one);
    run(SPEC_ES_DFM, 7, 0, NULL, &other);
    assert_true(one.fingerprint == other.fingerprint);
    assert_true(one.outputs == other.outputs);
}

static void crashes_at_writes_to_disk_change_nothing(void **state) {
    (void)state;
    struct bed bed;
    struct bed_result whole, result;
    uint64_t crashes = 0, writes = 0;
    for (uint64_t n = 0; n == 0 || n <= writes; n += 1 + writes / 12) {
        bed_init(&bed);
        fill(&bed, SPEC_ES_DFM);
        bed.settings.runner.checkpoint_interval_ms = 1;
        bed.settings.runner.tick_interval_ms = 1000000;
        uint64_t before = disk_mutations();
        if (n > 0)
            disk_fault_plant(n % 2 == 0 ? DISK_FAULT_CRASH : DISK_FAULT_CRASH_TORN, n);
        bed_run(&bed, 20, 2, NULL, NULL, n == 0 ? &whole : &result);
        disk_fault_plant(DISK_FAULT_CRASH, 0);
        if (n == 0)
            writes = disk_mutations() - before;
        else {
            crashes += result.crashes;
            assert_true(whole.fingerprint == result.fingerprint);
            assert_true(whole.outputs == result.outputs);
        }
        bed_deinit(&bed);
    }
    assert_true(crashes > 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_measured_once_and_learnt_as_often_as_they_come),
        cmocka_unit_test(classifiers_learn_from_final_labels),
        cmocka_unit_test(batches_change_nothing),
        cmocka_unit_test(crashes_at_writes_to_disk_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
