// Identities between architectures, and what balancing and scaling must leave alone, in double.
#include "tests/trainer/learner_fixture.h"

#include "model/relation.h"
#include "trainer/learner_inside.h"

static void assert_close(double found, double expected) {
    if (!(fabs(found - expected) < 1e-9 * (1 + fabs(expected)))) {
        print_message("%.15g, expected %.15g\n", found, expected);
        fail();
    }
}

static const struct model_tensor *tensor_of(struct learner *learner, const char *name) {
    const struct model_tensor *tensor = model_tensor_find(learner_model(learner), name);
    assert_non_null(tensor);
    return tensor;
}

static void assert_same_logits(struct learner *a, struct learner *b) {
    model_settle(learner_model(a)); // tests write into tensors
    model_settle(learner_model(b));
    const struct model_spec *spec = model_spec_of(learner_model(a));
    struct minibatch batch;
    struct error err;
    float left[FIXTURE_TASKS * FIXTURE_ROWS], right[FIXTURE_TASKS * FIXTURE_ROWS];
    assert_int_equal(minibatch_init(&batch, spec, FIXTURE_ROWS, &err), STATUS_OK);
    fixture_batch(&batch, spec, 99, 4);
    assert_int_equal(learner_predict(a, &batch, left, &err), STATUS_OK);
    assert_int_equal(learner_predict(b, &batch, right, &err), STATUS_OK);
    for (size_t i = 0; i < FIXTURE_TASKS * FIXTURE_ROWS; i++)
        assert_close((double)left[i], (double)right[i]);
    minibatch_deinit(&batch, spec);
}

// Columns [0, columns) of a tensor from another's columns beginning at `from`.
static void columns_copy(const struct model_tensor *to, size_t column,
                         const struct model_tensor *source, size_t from, size_t columns) {
    for (size_t r = 0; r < to->rows; r++)
        memcpy(to->data + r * to->columns + column, source->data + r * source->columns + from,
               columns * sizeof(real));
}

static void an_mmoe_of_one_expert_is_the_shared_bottom(void **state) {
    (void)state;
    struct learner_settings settings = fixture_settings();
    settings.optimiser = LEARNER_ADAM;
    settings.learning_rate = 0.01;
    struct model_spec spec = fixture_spec();
    spec.settings.experts = 1;
    struct learner *mmoe = fixture_learner(&spec, &settings);
    spec.settings.sharing = MODEL_SHARED_BOTTOM;
    struct learner *bottom = fixture_learner(&spec, &settings);
    const struct model_tensor *weight = tensor_of(mmoe, "trunk.0.weight");
    columns_copy(tensor_of(bottom, "trunk.0.weight"), 0, weight, 0, 6);
    real gates[64];
    for (size_t r = 0; r < weight->rows; r++)
        memcpy(gates + 3 * r, weight->data + r * weight->columns + 6, 3 * sizeof(real));
    fixture_learn(mmoe, 1, 10, 1);
    fixture_learn(bottom, 1, 10, 1);
    for (size_t r = 0; r < weight->rows; r++) // a softmax of one has no slope
        assert_memory_equal(gates + 3 * r, weight->data + r * weight->columns + 6,
                            3 * sizeof(real));
    assert_same_logits(mmoe, bottom);
    learner_free(mmoe);
    learner_free(bottom);
}

static void an_mmoe_of_tied_gates_is_an_omoe(void **state) {
    (void)state;
    struct learner_settings settings = fixture_settings();
    struct model_spec spec = fixture_spec();
    struct learner *mmoe = fixture_learner(&spec, &settings);
    spec.settings.sharing = MODEL_OMOE;
    struct learner *omoe = fixture_learner(&spec, &settings);
    const struct model_tensor *tied = tensor_of(mmoe, "trunk.0.weight");
    const struct model_tensor *one = tensor_of(omoe, "trunk.0.weight");
    columns_copy(tied, 0, one, 0, 18);
    for (size_t k = 0; k < FIXTURE_TASKS; k++)
        columns_copy(tied, 18 + 3 * k, one, 18, 3);
    assert_same_logits(mmoe, omoe);
    learner_free(mmoe);
    learner_free(omoe);
}

static void a_cgc_without_own_experts_is_an_mmoe(void **state) {
    (void)state;
    struct learner_settings settings = fixture_settings();
    struct model_spec spec = fixture_spec();
    struct learner *mmoe = fixture_learner(&spec, &settings);
    spec.settings.sharing = MODEL_PLE;
    spec.settings.task_experts = 0;
    struct learner *cgc = fixture_learner(&spec, &settings);
    const struct model_tensor *weight = tensor_of(mmoe, "trunk.0.weight");
    columns_copy(tensor_of(cgc, "trunk.level.0.shared.0.weight"), 0, weight, 0, 18);
    for (size_t k = 0; k < FIXTURE_TASKS; k++) {
        char name[64];
        snprintf(name, sizeof name, "trunk.level.0.task.%zu.0.weight", k);
        columns_copy(tensor_of(cgc, name), 0, weight, 18 + 3 * k, 3);
    }
    const struct model_tensor *further = tensor_of(mmoe, "trunk.1.weight");
    columns_copy(tensor_of(cgc, "trunk.level.0.shared.1.weight"), 0, further, 0, further->columns);
    assert_same_logits(mmoe, cgc);
    fixture_learn(mmoe, 1, 10, 1);
    fixture_learn(cgc, 1, 10, 1);
    assert_same_logits(mmoe, cgc);
    learner_free(mmoe);
    learner_free(cgc);
}

static struct model_spec esmm_spec(void) {
    struct model_spec spec = fixture_spec();
    spec.settings.relation = MODEL_ESMM;
    spec.given[1] = 1; // task 1 is defined on the positives of task 0
    return spec;
}

static void a_product_is_never_above_its_click(void **state) {
    (void)state;
    struct learner_settings settings = fixture_settings();
    struct model_spec spec = esmm_spec();
    struct learner *learner = fixture_learner(&spec, &settings);
    fixture_learn(learner, 1, 20, 1);
    struct minibatch batch;
    struct error err;
    float logits[FIXTURE_TASKS * FIXTURE_ROWS];
    assert_int_equal(minibatch_init(&batch, &spec, FIXTURE_ROWS, &err), STATUS_OK);
    fixture_batch(&batch, &spec, 99, 4);
    assert_int_equal(learner_predict(learner, &batch, logits, &err), STATUS_OK);
    for (size_t r = 0; r < FIXTURE_ROWS; r++)
        assert_true(logits[FIXTURE_ROWS + r] < logits[r]);
    minibatch_deinit(&batch, &spec);
    learner_free(learner);
}

static void a_row_without_a_click_teaches_the_conversion_tower(void **state) {
    (void)state;
    struct error err;
    struct learner_report report;
    struct learner_settings settings = fixture_settings();
    struct model_spec spec = esmm_spec();
    struct learner *learner = fixture_learner(&spec, &settings);
    struct minibatch batch;
    assert_int_equal(minibatch_init(&batch, &spec, FIXTURE_ROWS, &err), STATUS_OK);
    fixture_batch(&batch, &spec, 1, 1);
    memset(batch.labels, 0, FIXTURE_TASKS * FIXTURE_ROWS * sizeof *batch.labels);
    const struct model_tensor *bias = tensor_of(learner, "tower.1.1.bias");
    real before = bias->data[0];
    assert_int_equal(learner_step(learner, &batch, &report, &err), STATUS_OK);
    assert_true(bias->data[0] < before);
    // A conversion whose click is settled as none is no conversion.
    struct learner *other = fixture_learner(&spec, &settings);
    batch.labels[FIXTURE_ROWS] = 1;
    batch.weights[0] = batch.weights[FIXTURE_ROWS] = 1;
    assert_int_equal(learner_step(other, &batch, &report, &err), STATUS_OK);
    assert_true(tensor_of(other, "tower.1.1.bias")->data[0] < before);
    minibatch_deinit(&batch, &spec);
    learner_free(learner);
    learner_free(other);
}

// Where numbers would overflow or cancel, a product keeps its loss and slopes.
static void extreme_logits_have_finite_losses(void **state) {
    (void)state;
    struct learner_settings settings = fixture_settings();
    struct model_spec spec = esmm_spec();
    struct learner *learner = fixture_learner(&spec, &settings);
    const real levels[] = {-1e4, -800, -40, 0, 40, 800, 1e4};
    for (size_t i = 0; i < 49; i++)
        for (int label = 0; label < 2; label++) {
            real logits[FIXTURE_TASKS] = {levels[i / 7], levels[i % 7], 0};
            real slopes[FIXTURE_TASKS] = {0};
            double loss = relation_loss(learner_model(learner), 1, logits, label, 1, slopes);
            assert_true(isfinite(loss) && isfinite(slopes[0]) && isfinite(slopes[1]));
            relation_predict(learner_model(learner), logits);
            assert_true(isfinite(logits[1]));
        }
    learner_free(learner);
}

static void a_fresh_star_network_is_the_shared_one(void **state) {
    (void)state;
    struct learner_settings settings = fixture_settings();
    struct model_spec spec = fixture_spec();
    struct learner *shared = fixture_learner(&spec, &settings);
    spec.settings.domains = MODEL_DOMAINS_STAR;
    spec.settings.star_trunk = true;
    struct learner *star = fixture_learner(&spec, &settings);
    assert_same_logits(star, shared); // W_p = 1, b_p = 0
    learner_free(shared);
    learner_free(star);
}

// A gate of logits 0 is 1: the network behind it is that of none.
static void gates_of_zero_logits_change_nothing(void **state) {
    (void)state;
    struct model_spec spec = fixture_spec();
    struct learner_settings settings = fixture_settings();
    struct learner *plain = fixture_learner(&spec, &settings);
    spec = fixture_spec_gated();
    spec.settings.norm = MODEL_NORM_NONE;
    struct learner *gated = fixture_learner(&spec, &settings);
    struct model *model = learner_model(gated);
    for (size_t u = 0; u < model->unit_count; u++)
        for (size_t l = 0; l < model->layer_count; l++)
            if (model->layers[l].out_plane == model->units[u].gate_plane)
                for (size_t i = 0; i < model->layers[l].in * model->layers[l].out; i++)
                    model->tensors[model->layers[l].weight].data[i] = 0;
    model_settle(model);
    assert_int_equal(model->unit_count, 1 + FIXTURE_TASKS * 2);
    assert_same_logits(plain, gated);
    learner_free(plain);
    learner_free(gated);
}

static void every_label_of_every_task(struct minibatch *batch, const struct model_spec *spec) {
    for (size_t i = 0; i < spec->task_count * FIXTURE_ROWS; i++)
        batch->weights[i] = 1;
}

static void batch_of_domain(struct minibatch *batch, const struct model_spec *spec, uint64_t seed,
                            uint32_t domain) {
    fixture_batch(batch, spec, seed, 1);
    every_label_of_every_task(batch, spec);
    for (size_t r = 0; r < batch->rows; r++) {
        batch->domains[r] = domain;
        for (size_t f = 0; f < spec->categorical_count; f++)
            batch->ids[f * batch->capacity +
                       r]++; // none is missing: the default row is all domains'
    }
}

static void assert_same_predictions(struct learner *a, struct minibatch *on, struct learner *b,
                                    struct minibatch *as) {
    struct error err;
    float first[FIXTURE_TASKS * FIXTURE_ROWS], second[FIXTURE_TASKS * FIXTURE_ROWS];
    assert_int_equal(learner_predict(a, on, first, &err), STATUS_OK);
    assert_int_equal(learner_predict(b, as, second, &err), STATUS_OK);
    for (size_t i = 0; i < FIXTURE_TASKS * FIXTURE_ROWS; i++)
        assert_close((double)first[i], (double)second[i]);
}

// A model a domain, in one learner, equals learners that each see their domain alone.
static void separate_domains_learn_as_if_alone(void **state) {
    (void)state;
    struct error err;
    struct model_spec plain = fixture_spec();
    struct learner_settings settings = fixture_settings();
    plain.field_count = 3; // without lists and numbers, whose scales are all domains'
    plain.table_count = 2;
    plain.numeric_count = 0;
    plain.settings.norm = MODEL_NORM_MOVING;
    struct model_spec spec = plain;
    spec.settings.domains = MODEL_DOMAINS_SEPARATE;
    struct learner *together = fixture_learner(&spec, &settings), *alone[3];
    struct minibatch batch;
    struct learner_report report;
    assert_int_equal(minibatch_init(&batch, &plain, FIXTURE_ROWS, &err), STATUS_OK);
    for (size_t p = 0; p < 3; p++)
        alone[p] = fixture_learner(&plain, &settings);
    for (uint32_t i = 0; i < 90; i++) {
        batch_of_domain(&batch, &plain, i, 1 + i % 3);
        assert_int_equal(learner_step(together, &batch, &report, &err), STATUS_OK);
        assert_int_equal(learner_step(alone[i % 3], &batch, &report, &err), STATUS_OK);
    }
    for (uint32_t p = 0; p < 3; p++) {
        batch_of_domain(&batch, &plain, 500, 1 + p);
        assert_same_predictions(together, &batch, alone[p], &batch);
        learner_free(alone[p]);
    }
    assert_int_equal(model_table_rows(learner_model(together), 0), 3 * 12);
    minibatch_deinit(&batch, &plain);
    learner_free(together);
}

// Whatever is of domains: a new one predicts as `unknown` does, and its rows are read as well.
static void a_new_domain_predicts_as_unknown(void **state) {
    (void)state;
    const int ways[] = {MODEL_DOMAINS_STAR, MODEL_DOMAINS_PEPNET, MODEL_DOMAINS_SEPARATE};
    for (size_t w = 0; w < 3; w++) {
        struct error err;
        struct model_spec spec = fixture_spec_whole();
        struct learner_settings settings = fixture_settings();
        struct minibatch known, added;
        spec.settings.domains = ways[w];
        spec.settings.gate_units = 3;
        spec.settings.norm = MODEL_NORM_NONE; // a new domain's own moments begin empty
        struct learner *learner = fixture_learner(&spec, &settings);
        assert_int_equal(minibatch_init(&known, &spec, FIXTURE_ROWS, &err), STATUS_OK);
        assert_int_equal(minibatch_init(&added, &spec, FIXTURE_ROWS, &err), STATUS_OK);
        fixture_learn(learner, 1, 20, 2);
        batch_of_domain(&known, &spec, 99, 0);
        batch_of_domain(&added, &spec, 99, 2);
        assert_int_equal(learner_domain_add(learner, 2, &err), STATUS_OK);
        assert_same_predictions(learner, &known, learner, &added);
        batch_of_domain(&added, &spec, 99, 77); // beyond what the model has room for
        assert_same_predictions(learner, &known, learner, &added);
        minibatch_deinit(&known, &spec);
        minibatch_deinit(&added, &spec);
        learner_free(learner);
    }
}

static void a_thousandfold_auxiliary_loss_leaves_shared_weights_alone(void **state) {
    (void)state;
    // With r = 1 and strategy C only the direction of an auxiliary gradient counts.
    struct learner_settings settings = fixture_settings();
    settings.balance = LEARNER_BALANCE_METABALANCE;
    settings.relax = 1;
    struct model_spec spec = fixture_spec();
    const double weights[2][FIXTURE_TASKS] = {{1, 1, 1}, {1, 1000, 1}};
    struct learner *learners[2];
    struct error err;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(learner_new(&spec, &settings, weights[i], 0, &learners[i], &err),
                         STATUS_OK);
        fixture_learn(learners[i], 1, 1, 1);
    }
    const char *const names[] = {"trunk.0.bias", "trunk.1.weight", "trunk.1.bias"};
    for (size_t n = 0; n < 3; n++) {
        const struct model_tensor *a = tensor_of(learners[0], names[n]);
        const struct model_tensor *b = tensor_of(learners[1], names[n]);
        for (size_t i = 0; i < a->rows * a->columns; i++)
            assert_close((double)a->data[i], (double)b->data[i]);
    }
    learner_free(learners[0]);
    learner_free(learners[1]);
}

static void without_relaxing_metabalance_is_the_plain_sum(void **state) {
    (void)state;
    struct learner_settings settings = fixture_settings();
    struct model_spec spec = fixture_spec_whole();
    struct learner *fixed = fixture_learner(&spec, &settings);
    settings.balance = LEARNER_BALANCE_METABALANCE;
    settings.relax = 0;
    struct learner *balanced = fixture_learner(&spec, &settings);
    fixture_learn(fixed, 1, 5, 4);
    fixture_learn(balanced, 1, 5, 4);
    assert_same_logits(fixed, balanced);
    learner_free(fixed);
    learner_free(balanced);
}

static void one_pass_for_all_tasks_equals_a_pass_each(void **state) {
    (void)state;
    struct error err;
    struct learner_report report;
    struct learner_settings settings = fixture_settings();
    struct model_spec spec = fixture_spec_whole();
    struct learner *summed = fixture_learner(&spec, &settings);
    settings.balance = LEARNER_BALANCE_METABALANCE; // with relax 0: passes kept apart, then added
    settings.relax = 0;
    struct learner *apart = fixture_learner(&spec, &settings);
    struct minibatch batch;
    assert_int_equal(minibatch_init(&batch, &spec, FIXTURE_ROWS, &err), STATUS_OK);
    for (uint64_t i = 0; i < 5; i++) {
        fixture_batch(&batch, &spec, i, 4);
        every_label_of_every_task(&batch, &spec);
        assert_int_equal(learner_step(summed, &batch, &report, &err), STATUS_OK);
        assert_true(summed->summed);
        assert_int_equal(learner_step(apart, &batch, &report, &err), STATUS_OK);
        assert_false(apart->summed);
    }
    assert_same_logits(summed, apart);
    minibatch_deinit(&batch, &spec);
    learner_free(summed);
    learner_free(apart);
}

static void few_labels_of_a_task_do_not_weigh_like_a_whole_batch(void **state) {
    (void)state;
    // Dense gradients are divided by B and the moving labelled share, not by the labels at hand.
    struct error err;
    struct learner_report report;
    struct learner_settings settings = fixture_settings();
    struct model_spec spec = fixture_spec();
    struct learner *learner = fixture_learner(&spec, &settings);
    struct minibatch batch;
    assert_int_equal(minibatch_init(&batch, &spec, FIXTURE_ROWS, &err), STATUS_OK);
    fixture_batch(&batch, &spec, 1, 1);
    every_label_of_every_task(&batch, &spec);
    assert_int_equal(learner_step(learner, &batch, &report, &err), STATUS_OK);
    assert_close(learner->alpha[1], 1.0 / FIXTURE_ROWS);
    for (size_t r = 3; r < FIXTURE_ROWS; r++)
        batch.weights[FIXTURE_ROWS + r] = 0;
    assert_int_equal(learner_step(learner, &batch, &report, &err), STATUS_OK);
    double share = 0.99 + 0.01 * 3 / FIXTURE_ROWS;
    assert_close(learner->alpha[1], 1 / (FIXTURE_ROWS * share));
    assert_int_equal(report.labelled[1], 3);
    minibatch_deinit(&batch, &spec);
    learner_free(learner);
}

static void moments_reach_the_mean_and_variance_of_all_rows(void **state) {
    (void)state;
    struct error err;
    struct learner_report report;
    struct learner_settings settings = fixture_settings();
    struct model_spec spec = fixture_spec_whole();
    spec.settings.unknown_share = 0;
    struct learner *learner = fixture_learner(&spec, &settings);
    struct minibatch batch;
    assert_int_equal(minibatch_init(&batch, &spec, FIXTURE_ROWS, &err), STATUS_OK);
    double sum = 0, squares = 0, rows = 0;
    for (uint64_t i = 0; i < 8; i++) {
        fixture_batch(&batch, &spec, i, 4);
        for (size_t r = 0; r < FIXTURE_ROWS; r++) {
            double number = (double)batch.numbers[FIXTURE_ROWS + r];
            if (isnan(number))
                continue;
            double value = copysign(log1p(fabs(number)), number);
            sum += value;
            squares += value * value;
            rows++;
        }
        assert_int_equal(learner_step(learner, &batch, &report, &err), STATUS_OK);
    }
    const real *moments = tensor_of(learner, "numeric.moments")->data;
    assert_close((double)moments[1], sum / rows);
    assert_close((double)moments[3], squares / rows - sum / rows * (sum / rows));
    assert_close((double)moments[5], rows);
    const real *shared = tensor_of(learner, "norm.moments")->data;
    size_t columns = tensor_of(learner, "norm.moments")->columns;
    assert_close((double)shared[2 * columns], 8 * FIXTURE_ROWS);
    minibatch_deinit(&batch, &spec);
    learner_free(learner);
}

// Logits of a batch, its sequences as they are or the other way round.
static void logits_of(struct learner *learner, bool reversed, float *logits) {
    const struct model_spec *spec = model_spec_of(learner_model(learner));
    struct minibatch batch;
    struct error err;
    assert_int_equal(minibatch_init(&batch, spec, FIXTURE_ROWS, &err), STATUS_OK);
    fixture_batch(&batch, spec, 99, 4);
    for (size_t list = 1; list < 3 && reversed; list++)
        for (size_t r = 0; r < FIXTURE_ROWS; r++) {
            const uint32_t *begin = batch.list_begin + list * (batch.capacity + 1) + r;
            for (uint32_t low = begin[0], high = begin[1]; low + 1 < high; low++, high--) {
                uint64_t id = batch.list_ids[list][low];
                batch.list_ids[list][low] = batch.list_ids[list][high - 1];
                batch.list_ids[list][high - 1] = id;
            }
        }
    assert_int_equal(learner_predict(learner, &batch, logits, &err), STATUS_OK);
    minibatch_deinit(&batch, spec);
}

static double apart(const float *logits, const float *other) {
    double most = 0;
    for (size_t i = 0; i < FIXTURE_TASKS * FIXTURE_ROWS; i++)
        most = fmax(most, fabs((double)logits[i] - (double)other[i]));
    return most;
}

static void check_order_and_padding(enum model_readout readout) {
    struct learner_settings settings = fixture_settings();
    struct model_spec spec = fixture_spec_sequences(MODEL_SEQUENCES_TRANSFORMER);
    struct model_field fields[6];
    float logits[FIXTURE_TASKS * FIXTURE_ROWS], other[FIXTURE_TASKS * FIXTURE_ROWS];
    memcpy(fields, fixture_sequence_fields, sizeof fields);
    fields[4].timed = false;
    fields[4].length = fields[5].length = 3; // of all lists that come
    spec.fields = fields;
    spec.settings.sequence_readout = readout;
    struct learner *learner = fixture_learner(&spec, &settings);
    fields[4].length = fields[5].length = 17;
    struct learner *roomy = fixture_learner(&spec, &settings);
    fixture_learn(learner, 1, 20, 1);
    fixture_learn(roomy, 1, 20, 1);
    logits_of(learner, false, logits);
    logits_of(roomy, false, other);
    assert_true(apart(logits, other) <= 0);
    logits_of(learner, true, other);
    assert_true(apart(logits, other) > 1e-4);
    const char *const names[] = {"sequence.0.position", "sequence.1.position"};
    for (size_t s = 0; s < 2; s++) {
        const struct model_tensor *position = tensor_of(learner, names[s]);
        memset(position->data, 0, position->rows * position->columns * sizeof(real));
    }
    model_settle(learner_model(learner));
    logits_of(learner, false, logits);
    logits_of(learner, true, other);
    assert_true(apart(logits, other) < 1e-5); // floats
    learner_free(learner);
    learner_free(roomy);
}

static void a_transformer_knows_order_by_positions_alone_and_padding_not_at_all(void **state) {
    (void)state;
    check_order_and_padding(MODEL_READOUT_TARGET);
    check_order_and_padding(MODEL_READOUT_MEAN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_mmoe_of_one_expert_is_the_shared_bottom),
        cmocka_unit_test(an_mmoe_of_tied_gates_is_an_omoe),
        cmocka_unit_test(a_cgc_without_own_experts_is_an_mmoe),
        cmocka_unit_test(a_product_is_never_above_its_click),
        cmocka_unit_test(a_row_without_a_click_teaches_the_conversion_tower),
        cmocka_unit_test(extreme_logits_have_finite_losses),
        cmocka_unit_test(a_fresh_star_network_is_the_shared_one),
        cmocka_unit_test(gates_of_zero_logits_change_nothing),
        cmocka_unit_test(separate_domains_learn_as_if_alone),
        cmocka_unit_test(a_new_domain_predicts_as_unknown),
        cmocka_unit_test(a_thousandfold_auxiliary_loss_leaves_shared_weights_alone),
        cmocka_unit_test(without_relaxing_metabalance_is_the_plain_sum),
        cmocka_unit_test(one_pass_for_all_tasks_equals_a_pass_each),
        cmocka_unit_test(few_labels_of_a_task_do_not_weigh_like_a_whole_batch),
        cmocka_unit_test(a_transformer_knows_order_by_positions_alone_and_padding_not_at_all),
        cmocka_unit_test(moments_reach_the_mean_and_variance_of_all_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
