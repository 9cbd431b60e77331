// The learner: independence of threads, exact continuation, prediction, bad rows, domains.
#include "tests/trainer/learner_fixture.h"

#include "base/memory.h"
#include "model/network.h"
#include "trainer/learner_inside.h"

static enum status sink_append(void *self, const void *bytes, size_t length, struct error *err) {
    (void)err;
    buffer_append(self, bytes, length);
    return STATUS_OK;
}

struct reading {
    const struct buffer *from;
    size_t at;
};

static enum status source_take(void *self, void *bytes, size_t length, struct error *err) {
    struct reading *reading = self;
    if (reading->from->length - reading->at < length)
        return error_set(err, STATUS_CORRUPT, "bytes end early");
    memcpy(bytes, reading->from->data + reading->at, length);
    reading->at += length;
    return STATUS_OK;
}

static void save(const struct learner *learner, struct buffer *into) {
    struct error err;
    struct sink sink = {sink_append, into};
    assert_int_equal(learner_save(learner, &sink, &err), STATUS_OK);
    assert_false(into->failed);
}

static enum status load(struct learner *learner, const struct buffer *from, struct error *err) {
    struct reading reading = {from, 0};
    struct source source = {source_take, &reading};
    return learner_load(learner, &source, err);
}

// Every way of balancing and stepping, on a model with every part.
static void each_settings(void (*check)(const struct model_spec *spec,
                                        const struct learner_settings *settings)) {
    struct model_spec spec = fixture_spec_whole();
    struct learner_settings settings = fixture_settings();
    check(&spec, &settings);
    for (int balance = LEARNER_BALANCE_PCGRAD; balance < LEARNER_BALANCES; balance++) {
        settings.balance = balance;
        check(&spec, &settings);
    }
    settings.balance = LEARNER_BALANCE_METABALANCE;
    settings.gradient_clip = 0.1;
    check(&spec, &settings);
    settings.optimiser = LEARNER_ADAM;
    settings.row_optimiser = LEARNER_ROW_ADAM;
    settings.learning_rate = 0.001;
    check(&spec, &settings);
    settings.row_optimiser = LEARNER_ROW_ADAGRAD_FULL;
    spec = fixture_spec();
    spec.settings.sharing = MODEL_OMOE;
    check(&spec, &settings);
    spec.settings.sharing = MODEL_PLE;
    spec.settings.levels = 2;
    spec.settings.expert_dropout = 0.1;
    spec.settings.relation = MODEL_ESMM;
    spec.given[1] = spec.given[2] = 1;
    settings.tables = fixture_tables();
    check(&spec, &settings);
    spec = fixture_spec_gated();
    check(&spec, &settings);
    spec.settings.gate_fields.count = 0;
    spec.settings.domains = MODEL_DOMAINS_SEPARATE;
    settings.balance = LEARNER_BALANCE_PCGRAD;
    settings.schedule = LEARNER_SCHEDULE_INVERSE_SQRT;
    settings.schedule_steps = 5;
    settings.learning_rate_floor = 0.0005;
    check(&spec, &settings);
    for (int kind = MODEL_SEQUENCES_MEAN; kind <= MODEL_SEQUENCES_TRANSFORMER; kind++) {
        spec = fixture_spec_sequences((enum model_sequences)kind);
        spec.settings.norm = MODEL_NORM_MOVING;
        settings.balance =
            kind == MODEL_SEQUENCES_MEAN ? LEARNER_BALANCE_FIXED : LEARNER_BALANCE_METABALANCE;
        check(&spec, &settings);
    }
}

static uint64_t learn_with_threads(const struct model_spec *spec, struct learner_settings settings,
                                   int64_t threads) {
    settings.threads = threads;
    struct learner *learner = fixture_learner(spec, &settings);
    fixture_learn(learner, 100, 30, 4);
    uint64_t fingerprint = learner_fingerprint(learner);
    learner_free(learner);
    return fingerprint;
}

static void check_threads(const struct model_spec *spec, const struct learner_settings *settings) {
    uint64_t one = learn_with_threads(spec, *settings, 1);
    assert_true(one == learn_with_threads(spec, *settings, 2));
    assert_true(one == learn_with_threads(spec, *settings, 3));
}

static void one_two_and_three_threads_give_the_same_bits(void **state) {
    (void)state;
    each_settings(check_threads);
}

static void check_continue(const struct model_spec *spec, const struct learner_settings *settings) {
    struct error err;
    struct buffer half, again, straight, resumed;
    buffer_init(&half);
    buffer_init(&again);
    buffer_init(&straight);
    buffer_init(&resumed);
    struct learner *learner = fixture_learner(spec, settings);
    fixture_learn(learner, 1, 10, 4);
    save(learner, &half);
    struct learner *other = fixture_learner(spec, settings);
    fixture_learn(other, 77, 3, 4); // what it held before a load must not show
    assert_int_equal(load(other, &half, &err), STATUS_OK);
    assert_true(learner_fingerprint(other) == learner_fingerprint(learner));
    save(other, &again);
    assert_int_equal(again.length, half.length);
    assert_memory_equal(again.data, half.data, half.length);
    fixture_learn(learner, 11, 10, 4);
    fixture_learn(other, 11, 10, 4);
    save(learner, &straight);
    save(other, &resumed);
    assert_int_equal(straight.length, resumed.length);
    assert_memory_equal(straight.data, resumed.data, resumed.length);
    learner_free(learner);
    learner_free(other);
    buffer_deinit(&half);
    buffer_deinit(&again);
    buffer_deinit(&straight);
    buffer_deinit(&resumed);
}

static void saved_and_loaded_it_continues_to_the_bit(void **state) {
    (void)state;
    each_settings(check_continue);
}

static void damaged_or_foreign_state_is_refused(void **state) {
    (void)state;
    struct error err;
    struct buffer bytes;
    buffer_init(&bytes);
    struct model_spec spec = fixture_spec_whole();
    struct learner_settings settings = fixture_settings();
    struct learner *learner = fixture_learner(&spec, &settings);
    fixture_learn(learner, 1, 3, 4);
    save(learner, &bytes);
    for (size_t at = 16; at < bytes.length; at += 997) {
        bytes.data[at] ^= 4;
        assert_int_equal(load(learner, &bytes, &err), STATUS_CORRUPT);
        bytes.data[at] ^= 4;
    }
    size_t whole = bytes.length;
    bytes.length = whole - 9;
    assert_int_equal(load(learner, &bytes, &err), STATUS_CORRUPT);
    bytes.length = whole;
    assert_int_equal(load(learner, &bytes, &err), STATUS_OK);
    settings.learning_rate = 0.06;
    struct learner *other = fixture_learner(&spec, &settings);
    assert_int_equal(load(other, &bytes, &err), STATUS_CHANGED);
    learner_free(learner);
    learner_free(other);
    buffer_deinit(&bytes);
}

static void check_prediction(struct model_spec spec) {
    struct error err;
    spec.settings.unknown_share = 0;
    struct learner_settings settings = fixture_settings();
    struct learner *learner = fixture_learner(&spec, &settings);
    fixture_learn(learner, 5, 10, 4);
    struct minibatch batch;
    struct learner_report report;
    assert_int_equal(minibatch_init(&batch, &spec, FIXTURE_ROWS, &err), STATUS_OK);
    fixture_batch(&batch, &spec, 5, 4); // ids that have been seen
    float logits[FIXTURE_TASKS * FIXTURE_ROWS];
    assert_int_equal(learner_predict(learner, &batch, logits, &err), STATUS_OK);
    double expected[FIXTURE_TASKS] = {0};
    for (size_t k = 0; k < FIXTURE_TASKS; k++)
        for (size_t r = 0; r < FIXTURE_ROWS; r++) {
            double z = (double)logits[k * FIXTURE_ROWS + r];
            expected[k] += (double)batch.weights[k * FIXTURE_ROWS + r] *
                           (log1p(exp(-fabs(z))) + (z > 0 ? z : 0) -
                            z * (double)batch.labels[k * FIXTURE_ROWS + r]);
        }
    assert_int_equal(learner_step(learner, &batch, &report, &err), STATUS_OK);
    assert_true(learner_step_predicts(learner));
    assert_memory_equal(learner_step_logits(learner), logits, sizeof logits);
    for (size_t k = 0; k < FIXTURE_TASKS; k++)
        assert_true(fabs(report.loss[k] * (double)report.labelled[k] - expected[k]) < 1e-9);
    minibatch_deinit(&batch, &spec);
    learner_free(learner);
}

static void prediction_equals_the_forward_pass_of_training(void **state) {
    (void)state;
    check_prediction(fixture_spec_whole());
    check_prediction(fixture_spec_sequences(MODEL_SEQUENCES_ATTENTION));
    check_prediction(fixture_spec_sequences(MODEL_SEQUENCES_TRANSFORMER));
}

static void an_id_without_a_row_reads_the_default_row(void **state) {
    (void)state;
    struct error err;
    struct model_spec spec = fixture_spec();
    struct learner_settings settings = fixture_settings();
    struct learner *learner = fixture_learner(&spec, &settings);
    fixture_learn(learner, 5, 5, 1);
    struct minibatch batch;
    assert_int_equal(minibatch_init(&batch, &spec, FIXTURE_ROWS, &err), STATUS_OK);
    fixture_batch(&batch, &spec, 5, 1);
    batch.rows = 2;
    for (size_t r = 0; r < 2; r++) {
        batch.ids[r] = r == 0 ? 0 : 987654321;
        batch.ids[FIXTURE_ROWS + r] = batch.ids[2 * FIXTURE_ROWS + r] = 3;
        batch.numbers[r] = batch.numbers[FIXTURE_ROWS + r] = 1;
        batch.list_begin[r] = batch.list_begin[r + 1] = 0;
    }
    float logits[2 * FIXTURE_TASKS];
    size_t rows = model_table_rows(learner_model(learner), 0);
    assert_int_equal(learner_predict(learner, &batch, logits, &err), STATUS_OK);
    for (size_t k = 0; k < FIXTURE_TASKS; k++)
        assert_true(logits[2 * k] == logits[2 * k + 1]);
    assert_int_equal(model_table_rows(learner_model(learner), 0), rows);
    minibatch_deinit(&batch, &spec);
    learner_free(learner);
}

static void a_row_with_a_bad_label_is_skipped_and_leaves_no_trace(void **state) {
    (void)state;
    struct error err;
    struct model_spec spec = fixture_spec_whole();
    spec.settings.norm = MODEL_NORM_NONE; // moments take the row's features, which are sound
    struct learner_settings settings = fixture_settings();
    settings.balance = LEARNER_BALANCE_METABALANCE;
    struct learner *learner = fixture_learner(&spec, &settings);
    struct learner *other = fixture_learner(&spec, &settings);
    struct minibatch batch;
    struct learner_report report;
    assert_int_equal(minibatch_init(&batch, &spec, FIXTURE_ROWS, &err), STATUS_OK);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (uint64_t i = 0; i < 6; i++) {
        fixture_batch(&batch, &spec, i, 4);
        batch.numbers[7] = batch.numbers[FIXTURE_ROWS + 7] = NAN; // moments take sound numbers
        batch.labels[7] = bad[i % 3];
        batch.weights[7] = 1;
        assert_int_equal(learner_step(learner, &batch, &report, &err), STATUS_OK);
        assert_int_equal(report.skipped_rows, 1);
        assert_int_equal(report.skipped_updates, 0);
        // Whatever else the row held.
        for (size_t f = 0; f < spec.categorical_count; f++)
            batch.ids[f * FIXTURE_ROWS + 7] = batch.ids[f * FIXTURE_ROWS + 8];
        assert_int_equal(learner_step(other, &batch, &report, &err), STATUS_OK);
    }
    const struct model *model = learner_model(learner);
    for (size_t t = 0; t < model_tensor_count(model); t++) {
        const struct model_tensor *tensor = model_tensor_at(model, t);
        const struct model_tensor *same = model_tensor_at(learner_model(other), t);
        for (size_t i = 0; i < tensor->rows * tensor->columns; i++) {
            assert_true(isfinite(tensor->data[i]));
            assert_true(tensor->data[i] == same->data[i]);
        }
    }
    minibatch_deinit(&batch, &spec);
    learner_free(learner);
    learner_free(other);
}

static void check_poisoned_row(struct model_spec spec, int balance) {
    struct error err;
    struct learner_settings settings = fixture_settings();
    settings.balance = balance;
    struct learner *learner = fixture_learner(&spec, &settings);
    fixture_learn(learner, 1, 2, 1);
    const float poison[7] = {INFINITY, NAN, 1, 1, 1, 1, 1};
    assert_int_equal(model_row_put(learner_model(learner), 0, 5, poison, &err), STATUS_OK);
    fixture_learn(learner, 3, 10, 1);
    struct model *model = learner_model(learner);
    for (size_t t = 0; t < model_tensor_count(model); t++)
        for (size_t i = 0; i < model_tensor_at(model, t)->rows * model_tensor_at(model, t)->columns;
             i++)
            assert_true(isfinite(model_tensor_at(model, t)->data[i]));
    for (uint64_t id = 1; id < 12; id++) {
        float values[7];
        if (id == 5 || !model_row_get(model, 0, id, values))
            continue;
        for (size_t c = 0; c < 7; c++)
            assert_true(isfinite(values[c]));
    }
    learner_free(learner);
}

static void a_poisoned_embedding_row_stays_alone(void **state) {
    (void)state;
    for (int balance = 0; balance < LEARNER_BALANCES; balance++)
        check_poisoned_row(fixture_spec(), balance);
    for (int kind = MODEL_SEQUENCES_MEAN; kind <= MODEL_SEQUENCES_TRANSFORMER; kind++)
        check_poisoned_row(fixture_spec_sequences((enum model_sequences)kind),
                           LEARNER_BALANCE_METABALANCE);
}

// Gradients so large that their squares overflow: no method may make a number of them.
static void an_overflowing_gradient_reaches_no_weight_and_no_decision(void **state) {
    (void)state;
    for (int balance = 0; balance < LEARNER_BALANCES; balance++) {
        struct error err;
        struct learner_report report;
        struct model_spec spec = fixture_spec();
        struct learner_settings settings = fixture_settings();
        settings.balance = balance;
        struct learner *learner = fixture_learner(&spec, &settings);
        struct minibatch batch;
        assert_int_equal(minibatch_init(&batch, &spec, FIXTURE_ROWS, &err), STATUS_OK);
        for (uint64_t step = 0; step < 4; step++) {
            fixture_batch(&batch, &spec, step, 1);
            if (step == 1)
                batch.weights[FIXTURE_ROWS] = 1e30f; // of the second task
            assert_int_equal(learner_step(learner, &batch, &report, &err), STATUS_OK);
            assert_true(step != 1 || report.skipped_updates > 0);
        }
        struct model *model = learner_model(learner);
        for (size_t t = 0; t < model_tensor_count(model); t++) {
            const struct model_tensor *tensor = model_tensor_at(model, t);
            for (size_t i = 0; i < tensor->rows * tensor->columns; i++)
                assert_true(isfinite(tensor->data[i]));
        }
        for (size_t k = 0; k < FIXTURE_TASKS; k++)
            assert_true(isfinite(report.groups[LEARNER_GROUP_ALL].applied[k]) &&
                        isfinite(report.groups[LEARNER_GROUP_ALL].norm[k]));
        minibatch_deinit(&batch, &spec);
        learner_free(learner);
    }
}

static bool names_domain(const char *name, const char *domain) {
    const char *at = strstr(name, "domain.");
    return at && strncmp(at + 7, domain, strlen(domain)) == 0;
}

static void a_batch_of_one_domain_leaves_the_others_alone(void **state) {
    (void)state;
    struct model_spec spec = fixture_spec_whole();
    spec.settings.unknown_share = 0;
    struct learner_settings settings = fixture_settings();
    settings.optimiser = LEARNER_ADAM; // whose momentum would move absent domains
    struct learner *learner = fixture_learner(&spec, &settings);
    fixture_learn(learner, 1, 5, 4);
    const struct model *model = learner_model(learner);
    real *before[512];
    assert_true(model_tensor_count(model) <= 512);
    for (size_t t = 0; t < model_tensor_count(model); t++) {
        const struct model_tensor *tensor = model_tensor_at(model, t);
        before[t] = memory_new(tensor->rows * tensor->columns, sizeof(real));
        assert_non_null(before[t]);
        memcpy(before[t], tensor->data, tensor->rows * tensor->columns * sizeof(real));
    }
    learner_changes_clear(learner);
    fixture_learn(learner, 50, 3, 1); // all rows in domain 0
    bool moved = false;
    for (size_t t = 0; t < model_tensor_count(model); t++) {
        const struct model_tensor *tensor = model_tensor_at(model, t);
        size_t bytes = tensor->rows * tensor->columns * sizeof(real);
        bool own = strstr(tensor->name, "domain.") != NULL;
        if (own && !names_domain(tensor->name, "0")) {
            assert_memory_equal(before[t], tensor->data, bytes);
            assert_false(learner_tensor_changed(learner, t));
        } else if (own) {
            moved = moved || memcmp(before[t], tensor->data, bytes) != 0;
            assert_true(learner_tensor_changed(learner, t));
        }
        memory_free(before[t]);
    }
    assert_true(moved);
    learner_free(learner);
}

static void a_new_domain_starts_from_unknown(void **state) {
    (void)state;
    struct error err;
    struct model_spec spec = fixture_spec_whole();
    struct learner_settings settings = fixture_settings();
    struct learner *learner = fixture_learner(&spec, &settings);
    fixture_learn(learner, 1, 5, 1);
    learner_changes_clear(learner);
    assert_int_equal(learner_domain_add(learner, 2, &err), STATUS_OK);
    const struct model *model = learner_model(learner);
    const struct model_tensor *unknown = model_tensor_find(model, "tower.1.0.weight.domain.0");
    const struct model_tensor *added = model_tensor_find(model, "tower.1.0.weight.domain.2");
    assert_non_null(unknown);
    assert_non_null(added);
    assert_memory_equal(unknown->data, added->data,
                        unknown->rows * unknown->columns * sizeof(real));
    for (size_t t = 0; t < model_tensor_count(model); t++)
        if (model_tensor_at(model, t) == added)
            assert_true(learner_tensor_changed(learner, t));
    fixture_learn(learner, 20, 3, 3);
    uint64_t fingerprint = learner_fingerprint(learner);
    assert_int_equal(learner_domain_add(learner, 2, &err), STATUS_OK); // has them already
    assert_true(fingerprint == learner_fingerprint(learner));
    assert_int_equal(learner_domain_add(learner, 4, &err), STATUS_INVALID);
    learner_free(learner);
}

struct seen {
    uint64_t ids[64];
    size_t tables[64], count;
};

static enum status row_seen(void *self, size_t table, uint64_t id, const float *values,
                            struct error *err) {
    (void)err;
    struct seen *seen = self;
    assert_true(isfinite(values[0]));
    assert_true(seen->count < 64);
    seen->tables[seen->count] = table;
    seen->ids[seen->count++] = id;
    return STATUS_OK;
}

static void changed_rows_and_slices_tell_all_there_is(void **state) {
    (void)state;
    struct error err;
    struct model_spec spec = fixture_spec();
    struct learner_settings settings = fixture_settings();
    struct learner *learner = fixture_learner(&spec, &settings);
    const struct model *model = learner_model(learner);
    fixture_learn(learner, 1, 10, 1);
    size_t rows = 0;
    for (size_t t = 0; t < spec.table_count; t++)
        rows += model_table_rows(model, t);
    struct seen changed = {0}, sliced = {0}, none = {0};
    assert_int_equal(learner_each_changed_row(learner, row_seen, &changed, &err), STATUS_OK);
    assert_int_equal(changed.count, rows);
    for (uint32_t slice = 0; slice < 4; slice++)
        assert_int_equal(learner_each_row_in_slice(learner, slice, 2, row_seen, &sliced, &err),
                         STATUS_OK);
    assert_int_equal(sliced.count, rows);
    learner_changes_clear(learner);
    assert_int_equal(learner_each_changed_row(learner, row_seen, &none, &err), STATUS_OK);
    assert_int_equal(none.count, 0);
    for (size_t t = 0; t < model_tensor_count(model); t++)
        assert_false(learner_tensor_changed(learner, t));
    learner_free(learner);
}

static void a_batch_too_large_is_refused_and_an_empty_one_changes_nothing(void **state) {
    (void)state;
    struct error err;
    struct model_spec spec = fixture_spec();
    struct learner_settings settings = fixture_settings();
    struct learner *learner = fixture_learner(&spec, &settings);
    struct minibatch batch;
    struct learner_report report;
    assert_int_equal(minibatch_init(&batch, &spec, 2 * FIXTURE_ROWS, &err), STATUS_OK);
    uint64_t fingerprint = learner_fingerprint(learner);
    assert_int_equal(learner_step(learner, &batch, &report, &err), STATUS_OK);
    batch.rows = FIXTURE_ROWS + 1;
    assert_int_equal(learner_step(learner, &batch, &report, &err), STATUS_INVALID);
    assert_true(fingerprint == learner_fingerprint(learner));
    minibatch_deinit(&batch, &spec);
    learner_free(learner);
}

static void every_failed_allocation_is_reported_and_nothing_leaks(void **state) {
    (void)state;
    struct model_spec spec = fixture_spec_whole();
    struct learner_settings settings = fixture_settings();
    bool made = false;
    for (uint64_t n = 1; !made; n++) {
        struct error err;
        struct learner *learner = NULL;
        memory_fail_after(n);
        enum status status = learner_new(&spec, &settings, fixture_weights, 0, &learner, &err);
        memory_fail_after(0);
        made = status == STATUS_OK;
        assert_true(made || status == STATUS_EXHAUSTED);
        learner_free(learner);
        n += n / 8;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_two_and_three_threads_give_the_same_bits),
        cmocka_unit_test(saved_and_loaded_it_continues_to_the_bit),
        cmocka_unit_test(damaged_or_foreign_state_is_refused),
        cmocka_unit_test(prediction_equals_the_forward_pass_of_training),
        cmocka_unit_test(an_id_without_a_row_reads_the_default_row),
        cmocka_unit_test(a_row_with_a_bad_label_is_skipped_and_leaves_no_trace),
        cmocka_unit_test(a_poisoned_embedding_row_stays_alone),
        cmocka_unit_test(an_overflowing_gradient_reaches_no_weight_and_no_decision),
        cmocka_unit_test(a_batch_of_one_domain_leaves_the_others_alone),
        cmocka_unit_test(a_new_domain_starts_from_unknown),
        cmocka_unit_test(changed_rows_and_slices_tell_all_there_is),
        cmocka_unit_test(a_batch_too_large_is_refused_and_an_empty_one_changes_nothing),
        cmocka_unit_test(every_failed_allocation_is_reported_and_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
