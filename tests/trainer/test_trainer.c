// The fold under the runner: what it counts, predicts, measures and learns, and that crashes,
// batches and threads change none of it.
#include <math.h>
#include <string.h>

#include "base/disk.h"
#include "record/example.h"
#include "stage/checkpoint.h"
#include "tests/trainer/bed.h"
#include "trainer/report_tables.h"
#include "trainer/rules.h"

#define OK(call) assert_int_equal((call), STATUS_OK)

enum { COUNT = 600 };

static struct bed_predictions predictions_a, predictions_b;

static void run_filled(void (*change)(struct bed *bed), int64_t batch_records,
                       struct bed_predictions *predictions, struct bed_result *ret_result) {
    struct bed bed;
    bed_init(&bed);
    if (change != NULL)
        change(&bed);
    bed_fill(&bed, COUNT);
    bed_end(&bed);
    if (predictions != NULL)
        predictions->count = 0;
    bed_run(&bed, batch_records, 0, predictions, NULL, ret_result);
    bed_deinit(&bed);
}

static void every_impression_is_predicted_measured_and_learnt_once(void **state) {
    (void)state;
    struct bed_result result;
    run_filled(NULL, 64, &predictions_a, &result);
    const struct account *examples = bed_account(&result, "examples");
    assert_int_equal(examples->read, 2 * COUNT);
    assert_int_equal(examples->used, 2 * COUNT);
    const struct account *predictions = bed_account(&result, "predictions");
    assert_int_equal(predictions->read, 2 * COUNT);
    assert_int_equal(predictions->used, 2 * COUNT - COUNT / 3);
    assert_int_equal(bed_dropped(predictions, "left-out"), COUNT / 3);
    assert_int_equal(predictions->in_flight, 0);
    const struct account *finals = bed_account(&result, "finals");
    assert_int_equal(finals->read, finals->used);
    assert_int_equal(finals->used, predictions->used);
    assert_int_equal(result.status.rows_learnt, COUNT);
    assert_int_equal(result.status.steps, (COUNT + 31) / 32);
    assert_int_equal(result.status.domains, 2);
    assert_int_equal(result.click.count, COUNT);
    assert_int_equal(predictions_a.count, COUNT);
}

static void labels_at_once(struct bed *bed) {
    bed->late_labels = false;
}

static void one_record_with_all_bits_is_predicted_then_measured_then_learnt(void **state) {
    (void)state;
    struct bed_result result;
    run_filled(labels_at_once, 64, &predictions_a, &result);
    assert_int_equal(bed_account(&result, "examples")->used, COUNT);
    assert_int_equal(bed_account(&result, "finals")->used, 2 * COUNT);
    assert_int_equal(result.status.rows_learnt, COUNT);
    assert_int_equal(predictions_a.count, COUNT);
    // The first minibatch of rows was predicted by the model before anything was learnt: items
    // apart, all these logits are the initial model's. The first two rows of one item agree in the
    // bias alone, so the test is that of the flipped label, below, for this kind of record.
    struct bed bed;
    bed_init(&bed);
    bed.late_labels = false;
    bed.flip = 20;
    bed_fill(&bed, COUNT);
    bed_end(&bed);
    predictions_b.count = 0;
    bed_run(&bed, 64, 0, &predictions_b, NULL, &result);
    bed_deinit(&bed);
    for (size_t i = 0; i < 32; i++)
        assert_memory_equal(predictions_a.logits[i], predictions_b.logits[i],
                            sizeof predictions_a.logits[i]);
    assert_memory_not_equal(predictions_a.logits, predictions_b.logits,
                            COUNT * sizeof predictions_a.logits[0]);
}

static void flip_300(struct bed *bed) {
    bed->flip = 300;
}

static void a_future_label_changes_no_earlier_prediction(void **state) {
    (void)state;
    struct bed_result result;
    run_filled(NULL, 64, &predictions_a, &result);
    run_filled(flip_300, 64, &predictions_b, &result);
    assert_int_equal(predictions_a.count, predictions_b.count);
    // The label of impression 300 is read with impression 340's SCORE.
    bool differs = false;
    for (size_t i = 0; i < predictions_a.count; i++) {
        assert_int_equal(predictions_a.keys[i], predictions_b.keys[i]);
        bool same = memcmp(predictions_a.logits[i], predictions_b.logits[i],
                           sizeof predictions_a.logits[i]) == 0;
        if ((predictions_a.keys[i] & 0xffffffff) <= 339)
            assert_true(same);
        differs |= !same;
    }
    assert_true(differs);
}

static void it_learns_the_planted_tastes(void **state) {
    (void)state;
    struct bed bed;
    struct bed_result result;
    bed_init(&bed);
    bed_fill(&bed, 3000);
    bed_end(&bed);
    bed_run(&bed, 200, 0, NULL, NULL, &result);
    bed_deinit(&bed);
    if (!(result.click.auc > .65))
        fail_msg("AUC %f", result.click.auc);
    assert_true(result.click.normalised_entropy < 1);
    assert_true(result.click.calibration > .7 && result.click.calibration < 1.3);
}

static void assert_results_equal(const struct bed_result *a, const struct bed_result *b) {
    assert_int_equal(a->output_records, b->output_records);
    assert_int_equal(a->outputs, b->outputs);
    assert_int_equal(a->fingerprint, b->fingerprint);
    assert_int_equal(a->account_count, b->account_count);
    for (size_t i = 0; i < a->account_count; i++) {
        assert_int_equal(a->accounts[i].read, b->accounts[i].read);
        assert_int_equal(a->accounts[i].used, b->accounts[i].used);
        assert_memory_equal(a->accounts[i].dropped, b->accounts[i].dropped,
                            sizeof a->accounts[i].dropped);
    }
    assert_memory_equal(&a->click, &b->click, sizeof a->click);
}

static void where_batches_end_changes_nothing(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 7, 33, 5000};
    struct bed_result whole;
    run_filled(NULL, 64, &predictions_a, &whole);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct bed_result result;
        run_filled(NULL, sizes[i], &predictions_b, &result);
        assert_results_equal(&whole, &result);
        assert_memory_equal(&predictions_a, &predictions_b, sizeof predictions_a);
    }
}

static void two_threads(struct bed *bed) {
    bed->settings.learner.threads = 2;
}

static void the_number_of_threads_changes_nothing(void **state) {
    (void)state;
    struct bed_result one, two;
    run_filled(NULL, 64, &predictions_a, &one);
    run_filled(two_threads, 64, &predictions_b, &two);
    assert_results_equal(&one, &two);
    assert_memory_equal(&predictions_a, &predictions_b, sizeof predictions_a);
}

static void other_predict_rows(struct bed *bed) {
    bed->settings.predict_rows = 3;
}

static void how_many_are_predicted_at_once_changes_no_prediction(void **state) {
    (void)state;
    struct bed_result a, b;
    run_filled(NULL, 64, &predictions_a, &a);
    run_filled(other_predict_rows, 64, &predictions_b, &b);
    assert_memory_equal(&predictions_a, &predictions_b, sizeof predictions_a);
    assert_int_equal(a.click.count, b.click.count);
    assert_true(a.click.auc == b.click.auc);
}

static void labels_at_once_and_a_long_queue(struct bed *bed) {
    bed->late_labels = false;
    bed->settings.predict_rows = 64;
}

// One record, one forward pass, that of the step: whatever the queue's length.
static void labels_at_once_are_predicted_by_the_step_itself(void **state) {
    (void)state;
    struct bed_result a, b;
    run_filled(labels_at_once_and_a_long_queue, 64, &predictions_a, &a);
    run_filled(labels_at_once, 7, &predictions_b, &b);
    assert_memory_equal(&predictions_a, &predictions_b, sizeof predictions_a);
    assert_results_equal(&a, &b);
}

static void filled_again(struct bed *bed) {
    bed_init(bed);
    bed_fill(bed, 200);
    bed_end(bed);
}

// Rows come at their second sighting, and leave for room, by age and by use.
static void with_rules(struct bed *bed) {
    static struct table_rule rules[] = {{.feature = "item",
                                         .admit = 2,
                                         .admit_share = .8,
                                         .learning_rate = INFINITY,
                                         .wide_learning_rate = INFINITY,
                                         .admit_counters = 64,
                                         .expire_after_ms = 1000,
                                         .half_life_ms = 2000,
                                         .rows_max = 20},
                                        {.feature = "",
                                         .admit = 1,
                                         .admit_share = 1,
                                         .learning_rate = INFINITY,
                                         .wide_learning_rate = INFINITY,
                                         .admit_counters = 64,
                                         .expire_uses = 2,
                                         .half_life_ms = 1000}};
    bed->settings.learner.tables = (struct option_sections){rules, 2};
}

static void ruled_again(struct bed *bed) {
    bed_init(bed);
    with_rules(bed);
    bed->settings.runner.checkpoint_interval_ms = 1;
    bed->settings.runner.tick_interval_ms = 1000000;
    bed_fill(bed, COUNT);
    bed_end(bed);
}

static void batches_and_crashes_change_nothing_of_the_life_of_rows(void **state) {
    (void)state;
    struct bed bed;
    struct bed_result whole, result;
    struct trainer *trainer;
    uint64_t left = 0, crashes = 0;
    run_filled(with_rules, 64, NULL, &whole);
    run_filled(with_rules, 7, NULL, &result);
    assert_results_equal(&whole, &result);
    ruled_again(&bed);
    uint64_t before = disk_mutations();
    bed_run(&bed, 20, 2, NULL, &trainer, &whole);
    uint64_t writes = disk_mutations() - before;
    for (size_t table = 0; table < 3; table++) {
        struct learner_table_life life = learner_table_life(trainer_learner(trainer), table);
        assert_true(life.admitted > 0);
        left += life.aged + life.unused + life.displaced;
    }
    assert_true(left > 50);
    trainer_free(trainer);
    bed_deinit(&bed);
    for (uint64_t at = 3; at < writes; at += 1 + writes / 6) {
        ruled_again(&bed);
        disk_fault_plant(DISK_FAULT_CRASH, at);
        bed_run(&bed, 20, 2, NULL, NULL, &result);
        disk_fault_plant(DISK_FAULT_CRASH, 0);
        assert_results_equal(&whole, &result);
        crashes += result.crashes;
        bed_deinit(&bed);
    }
    assert_true(crashes > 1);
}

// `before`, then the value.
static void assert_says(const struct buffer *text, const char *before, uint64_t value) {
    char wanted[256];
    snprintf(wanted, sizeof wanted, "%s%llu", before, (unsigned long long)value);
    if (strstr((const char *)text->data, wanted) == NULL)
        fail_msg("expected `%s` in: %s", wanted, (const char *)text->data);
}

static void what_became_of_rows_is_told_to_versions_and_metrics(void **state) {
    (void)state;
    struct bed bed;
    struct bed_result result;
    struct trainer *trainer;
    struct metrics *metrics;
    struct buffer text;
    struct error err;
    ruled_again(&bed);
    bed_run(&bed, 64, 0, NULL, &trainer, &result);
    struct learner_table_life life = learner_table_life(trainer_learner(trainer), 1);
    assert_true(life.displaced > 0 && life.unadmitted > 0);
    struct report report = trainer_report(trainer);
    buffer_init(&text);
    report_json(&report, &text);
    buffer_append_byte(&text, 0);
    assert_says(&text, "\"tables\":[{\"feature\":\"user\",\"rows\":", 17);
    assert_says(&text, "\"rows_max\":20,\"admitted\":", life.admitted);
    assert_says(&text, "\"displaced\":", life.displaced);
    OK(metrics_new(&metrics, &err));
    report_tables_gauges(trainer_learner(trainer), metrics);
    buffer_reset(&text);
    metrics_render(metrics, &text);
    buffer_append_byte(&text, 0);
    assert_says(&text, "freshet_trainer_table_rows{feature=\"item\"} ", life.rows);
    assert_says(&text, "freshet_trainer_table_bytes{feature=\"item\"} ",
                life.rows * life.row_bytes);
    assert_says(&text,
                "freshet_trainer_table_changes_total{feature=\"item\",change=\"displaced\"} ",
                life.displaced);
    assert_says(&text, "freshet_trainer_unadmitted_sightings_total{feature=\"item\"} ",
                life.unadmitted);
    metrics_free(metrics);
    buffer_deinit(&text);
    trainer_free(trainer);
    bed_deinit(&bed);
}

static void a_crash_at_any_commit_changes_nothing(void **state) {
    (void)state;
    struct bed bed;
    struct bed_result whole, result;
    filled_again(&bed);
    uint64_t before = log_memory_mutations(bed.log);
    bed_run(&bed, 20, 0, NULL, NULL, &whole);
    bed_deinit(&bed);
    uint64_t commits = whole.mutations - before;
    assert_true(commits > 10);
    for (uint64_t n = 1; n <= commits; n++) {
        enum log_memory_fault fault = n % 2 == 0 ? LOG_MEMORY_CRASH_BEFORE : LOG_MEMORY_CRASH_AFTER;
        filled_again(&bed);
        log_memory_fault_plant(bed.log, n, fault);
        bed_run(&bed, 20, 0, NULL, NULL, &result);
        assert_int_equal(result.crashes, 1);
        assert_results_equal(&whole, &result);
        bed_deinit(&bed);
    }
}

// With checkpoints: crashes at writes to disk, so that what is loaded is what was saved.
static void a_crash_at_any_write_to_disk_changes_nothing(void **state) {
    (void)state;
    struct bed bed;
    struct bed_result whole, result;
    filled_again(&bed);
    bed.settings.runner.checkpoint_interval_ms = 1;
    bed.settings.runner.tick_interval_ms = 1000000;
    uint64_t before = disk_mutations();
    bed_run(&bed, 20, 2, NULL, NULL, &whole);
    uint64_t writes = disk_mutations() - before;
    bed_deinit(&bed);
    assert_true(writes > 50);
    uint64_t crashes = 0, runs = 0;
    for (uint64_t n = 1; n <= writes; n += 1 + writes / 60, runs++) {
        filled_again(&bed);
        bed.settings.runner.checkpoint_interval_ms = 1;
        bed.settings.runner.tick_interval_ms = 1000000;
        disk_fault_plant(n % 2 == 0 ? DISK_FAULT_CRASH : DISK_FAULT_CRASH_TORN, n);
        bed_run(&bed, 20, 2, NULL, NULL, &result);
        disk_fault_plant(DISK_FAULT_CRASH, 0);
        crashes += result.crashes;
        assert_results_equal(&whole, &result);
        bed_deinit(&bed);
    }
    // How many checkpoints a run takes is the writing thread's business: some faults are never met.
    assert_true(runs >= 25 && 3 * crashes > 2 * runs);
}

// Rows that minibatch and queue share are saved as if they did not.
static void a_checkpoint_amid_shared_rows_changes_nothing(void **state) {
    (void)state;
    struct bed bed;
    struct bed_result results[2];
    for (int i = 0; i < 2; i++) {
        bed_init(&bed);
        labels_at_once_and_a_long_queue(&bed);
        bed_fill(&bed, 200);
        bed_end(&bed);
        bed.settings.runner.checkpoint_interval_ms = i == 0 ? 1000000 : 1;
        if (i == 1)
            log_memory_fault_plant(bed.log, 7, LOG_MEMORY_CRASH_AFTER);
        bed_run(&bed, 20, 2, NULL, NULL, &results[i]);
        bed_deinit(&bed);
    }
    assert_int_equal(results[1].crashes, 1);
    assert_results_equal(&results[0], &results[1]);
}

static int64_t auxiliary[] = {3};

static void star_with_adam(struct bed *bed) {
    bed->model.domains = MODEL_DOMAINS_STAR;
    bed->model.star_towers = bed->model.star_trunk = bed->model.auxiliary = true;
    bed->model.auxiliary_layers = (struct option_ints){auxiliary, 1};
    bed->model.norm = MODEL_NORM_MOVING;
    bed->settings.learner.optimiser = LEARNER_ADAM;
    bed->settings.learner.row_optimiser = LEARNER_ROW_ADAM;
    bed->settings.runner.checkpoint_interval_ms = 1;
    bed->settings.runner.tick_interval_ms = 1000000;
}

// In the newest generation, the file of all rows, which some of the generations before share.
static void newest_base(const struct bed *bed, char *path, size_t size) {
    struct error err;
    struct arena arena;
    uint64_t *generations, base = UINT64_MAX;
    char **names, folder[600];
    size_t count;
    arena_init(&arena, 1024);
    OK(checkpoint_list(bed->directory, &arena, &generations, &count, &err));
    assert_true(count > 1);
    snprintf(folder, sizeof folder, "%s/checkpoints/%020llu", bed->directory,
             (unsigned long long)generations[count - 1]);
    OK(disk_list(folder, &arena, &names, &count, &err));
    for (size_t i = 0; i < count; i++) {
        uint64_t number =
            strncmp(names[i], "rows.", 5) == 0 ? strtoull(names[i] + 5, NULL, 10) : UINT64_MAX;
        base = number < base ? number : base;
    }
    snprintf(path, size, "%s/rows.%llu", folder, (unsigned long long)base);
    arena_deinit(&arena);
}

static void rows_damaged_on_disk_are_passed_over_for_a_generation_with_others(void **state) {
    (void)state;
    struct bed bed;
    struct bed_result whole, result;
    struct error err;
    struct disk_file *file;
    char path[900];
    unsigned char byte;
    size_t got;
    filled_again(&bed);
    bed.settings.runner.checkpoint_interval_ms = 1;
    bed_run(&bed, 20, 2, NULL, NULL, &whole);
    newest_base(&bed, path, sizeof path);
    assert_int_equal(disk_open(path, DISK_UPDATE, &file, &err), STATUS_OK);
    assert_int_equal(disk_read_at(file, 70, &byte, 1, &got, &err), STATUS_OK);
    assert_int_equal(got, 1);
    byte ^= 1;
    assert_int_equal(disk_write_at(file, 70, &byte, 1, &err), STATUS_OK);
    disk_close(file);
    struct trainer *trainer = bed_trainer(&bed, NULL);
    struct checkpoint_reader *reader;
    OK(checkpoint_reader_newest(bed.directory, "trainer", &reader, &err));
    assert_int_equal(trainer_operations.load(trainer, reader, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.message, "checksum does not agree"));
    checkpoint_reader_close(reader);
    trainer_free(trainer);
    bed_run(&bed, 20, 2, NULL, NULL, &result);
    assert_true(whole.fingerprint == result.fingerprint);
    assert_true(whole.outputs == result.outputs);
    bed_deinit(&bed);
}

static void a_crash_changes_nothing_under_star_and_adam_on_other_threads(void **state) {
    (void)state;
    struct bed bed;
    struct bed_result whole, result;
    filled_again(&bed);
    star_with_adam(&bed);
    bed_run(&bed, 20, 2, NULL, NULL, &whole);
    assert_int_equal(whole.status.domains, 2);
    bed_deinit(&bed);
    for (uint64_t n = 4; n < 20; n += 5) {
        filled_again(&bed);
        star_with_adam(&bed);
        bed.settings.learner.threads = 3;
        log_memory_fault_plant(bed.log, n, LOG_MEMORY_CRASH_AFTER);
        bed_run(&bed, 20, 2, NULL, NULL, &result);
        assert_int_equal(result.crashes, 1);
        assert_results_equal(&whole, &result);
        bed_deinit(&bed);
    }
}

static void bad_records_are_dropped_with_a_reason(void **state) {
    (void)state;
    struct bed bed;
    struct bed_result result;
    bed_init(&bed);
    bed_put_bytes(&bed, 0, "junk", 4, 1000);
    bed_put_bytes(&bed, 0, "more junk, that is long enough for a fingerprint", 48, 1000);
    bed_put_bytes(&bed, 1, NULL, 0, 1000);
    bed_put(&bed, 0, EXAMPLE_SCORE, 1, 5, "a", 1001, -1, -1);
    bed_put(&bed, 0, EXAMPLE_SCORE, 1, 5, "a", 1002, -1, -1);
    bed_put(&bed, 0, EXAMPLE_LEARN, 1, 5, "a", 1003, -1, -1);
    bed_put(&bed, 0, EXAMPLE_LEARN | EXAMPLE_FINAL, 1, 5, "a", 1004, 2, -1);
    bed_put(&bed, 0, EXAMPLE_FINAL, 1, 5, "a", 1005, 1, 1);
    bed_put(&bed, 0, EXAMPLE_FINAL, 9, 5, "a", 1006, 1, -1);
    bed_end(&bed);
    bed_run(&bed, 64, 0, NULL, NULL, &result);
    const struct account *examples = bed_account(&result, "examples");
    assert_int_equal(examples->read, 9);
    assert_int_equal(bed_dropped(examples, "undecodable"), 2);
    assert_int_equal(bed_dropped(examples, "other-spec"), 1);
    assert_int_equal(bed_dropped(examples, "repeated"), 1);
    assert_int_equal(bed_dropped(examples, "nothing-settled"), 1);
    assert_int_equal(bed_dropped(examples, "invalid-label"), 1);
    assert_int_equal(examples->used, 3);
    const struct account *finals = bed_account(&result, "finals");
    assert_int_equal(finals->read, 4);
    assert_int_equal(finals->used, 1);
    assert_int_equal(bed_dropped(finals, "invalid-label"), 1);
    assert_int_equal(bed_dropped(finals, "repeated"), 1);
    assert_int_equal(bed_dropped(finals, "no-prediction"), 1);
    const struct account *predictions = bed_account(&result, "predictions");
    assert_int_equal(predictions->used, 1);
    assert_int_equal(bed_dropped(predictions, "invalid-label"), 1);
    bed_deinit(&bed);
}

static void beyond_the_bound_the_oldest_prediction_is_given_up(void **state) {
    (void)state;
    struct bed bed;
    struct bed_result result;
    bed_init(&bed);
    bed.settings.predict_rows = 2;
    bed.settings.learner.batch_rows = 4;
    bed.settings.pending_max = 5;
    for (uint64_t i = 1; i <= 12; i++)
        bed_put(&bed, 0, EXAMPLE_SCORE, i, 5, "a", 1000 + (int64_t)i, -1, -1);
    for (uint64_t i = 1; i <= 12; i++)
        bed_put(&bed, 0, EXAMPLE_FINAL, i, 5, "a", 1100 + (int64_t)i, 1, i % 2 == 0 ? 1 : -1);
    bed_end(&bed);
    bed_run(&bed, 64, 0, NULL, NULL, &result);
    const struct account *predictions = bed_account(&result, "predictions");
    assert_int_equal(predictions->read, 24);
    assert_int_equal(bed_dropped(predictions, "unmeasured"), 14);
    assert_int_equal(predictions->used, 5 + 3);
    assert_int_equal(predictions->in_flight, 2);
    assert_int_equal(bed_dropped(bed_account(&result, "finals"), "no-prediction"), 7 + 3);
    bed_deinit(&bed);
}

static void a_minibatch_closes_by_event_time(void **state) {
    (void)state;
    struct bed bed;
    struct bed_result result;
    bed_init(&bed);
    bed.settings.batch_event_ms = 100;
    bed_put(&bed, 0, EXAMPLE_KINDS, 1, 5, "a", 1000, 1, 0);
    bed_put(&bed, 0, EXAMPLE_KINDS, 2, 5, "a", 1099, 1, 0);
    bed_put(&bed, 0, EXAMPLE_SCORE, 3, 5, "a", 1100, -1, -1);
    bed_put(&bed, 0, EXAMPLE_KINDS, 4, 5, "a", 1101, 1, 0);
    bed_put(&bed, 0, EXAMPLE_KINDS, 5, 5, "a", 5000, 1, 0);
    bed_end(&bed);
    bed_run(&bed, 64, 0, NULL, NULL, &result);
    assert_int_equal(result.status.steps, 3);
    assert_int_equal(result.status.rows_learnt, 4);
    bed_deinit(&bed);
}

static void settings_that_do_not_fit_name_their_key(void **state) {
    (void)state;
    struct bed bed;
    struct error err;
    struct trainer *trainer;
    bed_init(&bed);
    struct trainer_setup setup = {
        .spec = &bed.spec, .model = &bed.model, .settings = &bed.settings, .inputs = 1};
    bed.settings.pending_max = bed.settings.predict_rows;
    assert_int_equal(trainer_new(&setup, &trainer, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "trainer.pending_max"));
    bed.settings.pending_max = 1000;
    bed.settings.learner.target_task = "nope";
    assert_int_equal(trainer_new(&setup, &trainer, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "trainer.learner.target_task"));
    with_rules(&bed);
    bed.tasks[1].window_ms = 1001; // a row would leave while a label is awaited
    assert_int_equal(trainer_new(&setup, &trainer, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "tables[0].expire_after`: 1000 ms is shorter"));
    bed_deinit(&bed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_impression_is_predicted_measured_and_learnt_once),
        cmocka_unit_test(one_record_with_all_bits_is_predicted_then_measured_then_learnt),
        cmocka_unit_test(a_future_label_changes_no_earlier_prediction),
        cmocka_unit_test(it_learns_the_planted_tastes),
        cmocka_unit_test(where_batches_end_changes_nothing),
        cmocka_unit_test(the_number_of_threads_changes_nothing),
        cmocka_unit_test(how_many_are_predicted_at_once_changes_no_prediction),
        cmocka_unit_test(labels_at_once_are_predicted_by_the_step_itself),
        cmocka_unit_test(a_crash_at_any_commit_changes_nothing),
        cmocka_unit_test(batches_and_crashes_change_nothing_of_the_life_of_rows),
        cmocka_unit_test(what_became_of_rows_is_told_to_versions_and_metrics),
        cmocka_unit_test(a_checkpoint_amid_shared_rows_changes_nothing),
        cmocka_unit_test(a_crash_at_any_write_to_disk_changes_nothing),
        cmocka_unit_test(rows_damaged_on_disk_are_passed_over_for_a_generation_with_others),
        cmocka_unit_test(a_crash_changes_nothing_under_star_and_adam_on_other_threads),
        cmocka_unit_test(bad_records_are_dropped_with_a_reason),
        cmocka_unit_test(beyond_the_bound_the_oldest_prediction_is_given_up),
        cmocka_unit_test(a_minibatch_closes_by_event_time),
        cmocka_unit_test(settings_that_do_not_fit_name_their_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
