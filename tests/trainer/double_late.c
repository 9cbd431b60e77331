// Importance weights of late labels: published values, expected gradients, and derivatives of the
// weighted loss and of the auxiliary classifiers against central differences, in double.
#include "tests/trainer/learner_fixture.h"

#include "model/relation.h"
#include "trainer/learner_inside.h"

static void assert_close(double found, double expected, double within) {
    if (!(fabs(found - expected) <= within * (1 + fabs(expected)))) {
        print_message("%.15g, expected %.15g\n", found, expected);
        fail();
    }
}

static void weights_are_those_published(void **state) {
    (void)state;
    double p = .2, delayed = .1, sure = .8 / .9; // P(h > e | y = 1) = .5
    struct late_weights es_dfm = late_weights_of(MODEL_LABELS_ES_DFM, p, delayed, sure);
    assert_close(es_dfm.positive, 1.1, 1e-12);
    assert_close(es_dfm.negative, .977778, 1e-6);
    struct late_weights defer = late_weights_of(MODEL_LABELS_DEFER, p, delayed, sure);
    assert_close(defer.positive, 1.333333, 1e-6);
    assert_close(defer.negative, .941176, 1e-6);
    struct late_weights fnw = late_weights_of(MODEL_LABELS_FNW, p, 0, 0);
    assert_close(fnw.positive, 1.2, 1e-12);
    assert_close(fnw.negative, .96, 1e-12);
    struct late_weights fnc = late_weights_of(MODEL_LABELS_FNC, p, 0, 0);
    assert_close(fnc.positive, 1, 0);
    assert_close(fnc.negative, 1, 0);
    // A delay likelier than the positive itself is held to it.
    assert_close(late_weights_of(MODEL_LABELS_DEFER, .1, .9, 0).positive, 2, 1e-12);
    assert_close(late_weights_of(MODEL_LABELS_DEFER, 0, .5, 0).positive, 1, 0);
    assert_close(late_weights_of(MODEL_LABELS_DEFER, 1, 0, 0).negative, 1, 0);
}

// d/dz of w+ (-log f) is w+ (f - 1), of w- (-log(1 - f)) it is w- f.
static void expected_gradients_vanish_where_the_model_is_right(void **state) {
    (void)state;
    for (double p = .01; p < 1; p += .07)
        for (double share = 0; share <= 1; share += .25) {
            double delayed = p * share, sure = (1 - p) / (1 - p + delayed);
            // How many positives and negatives training sees of an impression.
            const double seen[][3] = {
                {MODEL_LABELS_FNW, p, 1},
                {MODEL_LABELS_ES_DFM, p, 1 - p + delayed},
                {MODEL_LABELS_DEFER, 2 * (p - delayed) + delayed, 2 * (1 - p) + delayed}};
            for (size_t i = 0; i < 3; i++) {
                struct late_weights by = late_weights_of((uint32_t)seen[i][0], p, delayed, sure);
                double slope = seen[i][1] * by.positive * (p - 1) + seen[i][2] * by.negative * p;
                assert_close(slope, 0, 1e-12);
            }
        }
}

static struct learner *learner_of(uint32_t first, uint32_t second, uint32_t third, int relation) {
    struct model_spec spec = fixture_spec();
    struct learner_settings settings = fixture_settings();
    spec.labels[0] = first;
    spec.labels[1] = second;
    spec.labels[2] = third;
    spec.settings.relation = relation;
    spec.given[1] = relation == MODEL_ESMM ? 1 : 0;
    settings.late_learning_rate = .1;
    return fixture_learner(&spec, &settings);
}

// Forward over the batch in one lane of the learner's activations.
static void forward(struct learner *learner, const struct minibatch *batch) {
    learner_lanes_cut(learner);
    for (size_t i = 0; i < learner->lane_count; i++) {
        struct lane *lane = &learner->lane[i];
        struct resolved resolved = {.slots = learner->slots, .stride = FIXTURE_ROWS};
        inputs_order(learner->model, batch->domains, lane->first, &learner->act, lane,
                     learner->workers[0].counts);
        inputs_look_up(learner->model, batch, lane->first, &learner->act, lane,
                       &learner->workers[0].set, learner->slots + lane->first, FIXTURE_ROWS);
        inputs_gather(learner->model, batch, &resolved, &learner->act, lane,
                      learner->workers[0].network);
        network_forward(learner->model, &learner->act, lane, learner->workers[0].network);
    }
}

// -w+ y log P - w- (1 - y) log(1 - P), weights as constants.
static double loss_of(const struct model *model, size_t k, const real *logits, double y,
                      struct late_weights by) {
    long double product = 1;
    for (size_t at = k; at != NETWORK_NONE; at = network_given(model, at))
        product *= 1 / (1 + expl(-(long double)logits[at]));
    return (double)(-by.positive * y * logl(product) - by.negative * (1 - y) * log1pl(-product));
}

static void slopes_are_those_of_the_weighted_loss(struct learner *learner,
                                                  const struct minibatch *batch) {
    const struct model *model = learner->model;
    for (size_t p = 0; p < FIXTURE_ROWS; p++)
        for (size_t k = 0; k < FIXTURE_TASKS; k++) {
            size_t row = learner->act.order[p];
            real *logits = learner->act.values[model->logit_plane] + p * FIXTURE_TASKS;
            real slopes[FIXTURE_TASKS] = {0};
            double found[2] = {0, 1};
            for (size_t h = 0; h < learner->late.count; h++)
                if (learner->late.heads[h].task == k)
                    found[learner->late.heads[h].kind] =
                        1 / (1 + exp(-late_logit(&learner->late, model, &learner->act, h, p)));
            double y = row % 3 == 0 ? .25 : (double)batch->labels[k * FIXTURE_ROWS + row];
            struct late_weights by =
                late_weights_of(model->spec.labels[k], relation_probability(model, k, logits),
                                found[LATE_DELAYED], found[LATE_REAL]);
            double label = y, weight = 1;
            late_weigh(&learner->late, model, &learner->act, k, p, logits, &label, &weight);
            assert_close(weight * relation_loss(model, k, logits, label, weight, slopes),
                         loss_of(model, k, logits, y, by), 1e-9);
            for (size_t j = 0; j < FIXTURE_TASKS; j++) {
                real before = logits[j];
                logits[j] = before + 1e-5;
                double above = loss_of(model, k, logits, y, by);
                logits[j] = before - 1e-5;
                double below = loss_of(model, k, logits, y, by);
                logits[j] = before;
                assert_close((double)slopes[j], (above - below) / 2e-5, 1e-7);
            }
        }
}

static void weighted_losses_have_the_slopes_of_central_differences(void **state) {
    (void)state;
    const uint32_t policies[][3] = {
        {MODEL_LABELS_FNW, MODEL_LABELS_ES_DFM, MODEL_LABELS_DEFER},
        {MODEL_LABELS_ES_DFM, MODEL_LABELS_DEFER, MODEL_LABELS_FNC},
        {MODEL_LABELS_WAIT, MODEL_LABELS_ES_DFM, MODEL_LABELS_FNW},
    };
    for (size_t i = 0; i < 3; i++)
        for (int relation = MODEL_INDEPENDENT; relation <= MODEL_ESMM; relation++) {
            if (i == 1 && relation == MODEL_ESMM)
                continue; // fnc is refused there
            struct learner *learner =
                learner_of(policies[i][0], policies[i][1], policies[i][2], relation);
            struct minibatch batch;
            struct error err;
            const struct model_spec *spec = model_spec_of(learner->model);
            fixture_learn(learner, 1, 5, 1);
            assert_int_equal(minibatch_init(&batch, spec, FIXTURE_ROWS, &err), STATUS_OK);
            fixture_batch(&batch, spec, 77, 1);
            for (size_t w = 0; w < learner->late.count * learner->late.inputs; w++)
                learner->late.weights[w] += .01 * (double)(w % 7);
            learner->batch = &batch;
            learner_settle_batch(learner);
            forward(learner, &batch);
            slopes_are_those_of_the_weighted_loss(learner, &batch);
            learner->batch = NULL;
            minibatch_deinit(&batch, spec);
            learner_free(learner);
        }
}

static double classifier_loss(struct learner *learner, const struct minibatch *batch, size_t h) {
    double loss = 0;
    for (size_t p = 0; p < FIXTURE_ROWS; p++) {
        size_t at = h * FIXTURE_ROWS + learner->act.order[p];
        double z = late_logit(&learner->late, learner->model, &learner->act, h, p);
        double y = (double)batch->labels[at];
        loss += (double)batch->weights[at] * (log1p(exp(-z)) + (1 - y) * z);
    }
    return loss;
}

static void classifiers_have_the_gradients_of_central_differences(void **state) {
    (void)state;
    struct learner *learner =
        learner_of(MODEL_LABELS_ES_DFM, MODEL_LABELS_WAIT, MODEL_LABELS_DEFER, MODEL_INDEPENDENT);
    const struct model_spec *spec = model_spec_of(learner->model);
    struct late *late = &learner->late;
    struct minibatch batch; // labels and weights of three classifiers, as of three tasks
    struct error err;
    assert_int_equal(late->count, FIXTURE_TASKS);
    fixture_learn(learner, 1, 5, 1);
    assert_int_equal(minibatch_init(&batch, spec, FIXTURE_ROWS, &err), STATUS_OK);
    fixture_batch(&batch, spec, 78, 1);
    learner->batch = &batch;
    learner_settle_batch(learner);
    forward(learner, &batch);
    learner->batch = NULL;
    for (size_t i = 0; i < learner->lane_count; i++)
        late_sum(late, learner->model, &learner->act, &learner->lane[i], i, &batch);
    for (size_t h = 0; h < late->count; h++)
        for (size_t j = 0; j < late->inputs; j++) {
            double *weight = &late->weights[h * late->inputs + j], before = *weight, sum = 0;
            for (size_t i = 0; i < learner->lane_count; i++)
                sum += late->sums[(i * late->count + h) * (late->inputs + 1) + j];
            *weight = before + 1e-5;
            double above = classifier_loss(learner, &batch, h);
            *weight = before - 1e-5;
            double below = classifier_loss(learner, &batch, h);
            *weight = before;
            assert_close(sum, (above - below) / 2e-5, 1e-7);
        }
    minibatch_deinit(&batch, spec);
    learner_free(learner);
}

static void classifiers_learn_and_leave_the_model_alone(void **state) {
    (void)state;
    struct learner *learner =
        learner_of(MODEL_LABELS_ES_DFM, MODEL_LABELS_WAIT, MODEL_LABELS_DEFER, MODEL_INDEPENDENT);
    const struct model_spec *spec = model_spec_of(learner->model);
    struct minibatch batch;
    struct error err;
    float before[FIXTURE_TASKS * FIXTURE_ROWS], after[FIXTURE_TASKS * FIXTURE_ROWS];
    assert_int_equal(minibatch_init(&batch, spec, FIXTURE_ROWS, &err), STATUS_OK);
    fixture_batch(&batch, spec, 79, 1);
    fixture_learn(learner, 1, 5, 1);
    assert_int_equal(learner_predict(learner, &batch, before, &err), STATUS_OK);
    for (size_t i = 0; i < 300; i++)
        assert_int_equal(learner_learn_late(learner, &batch, &err), STATUS_OK);
    assert_int_equal(learner_predict(learner, &batch, after, &err), STATUS_OK);
    assert_memory_equal(before, after, sizeof before);
    for (size_t h = 0; h < learner->late.count; h++) {
        double weight = 0, positive = 0, predicted = 0;
        for (size_t p = 0; p < FIXTURE_ROWS; p++) {
            size_t at = h * FIXTURE_ROWS + learner->act.order[p];
            double z = late_logit(&learner->late, learner->model, &learner->act, h, p);
            weight += (double)batch.weights[at];
            positive += (double)(batch.weights[at] * batch.labels[at]);
            predicted += (double)batch.weights[at] / (1 + exp(-z));
        }
        assert_close(predicted / weight, positive / weight, .05);
    }
    minibatch_deinit(&batch, spec);
    learner_free(learner);
}

static void fnc_serves_the_corrected_probability(void **state) {
    (void)state;
    struct learner *learner =
        learner_of(MODEL_LABELS_FNC, MODEL_LABELS_WAIT, MODEL_LABELS_FNW, MODEL_INDEPENDENT);
    real logits[FIXTURE_TASKS] = {(real)log(.2), .5, .25}; // b = 1/6
    relation_predict(learner->model, logits);
    assert_close((double)logits[0], log(.2 / .8), 1e-12);
    assert_true(logits[1] == .5 && logits[2] == .25);
    logits[0] = 3; // no such share exists: at the bound
    relation_predict(learner->model, logits);
    assert_close(1 / (1 + exp(-(double)logits[0])), RELATION_CORRECTED_MOST, 1e-12);
    // What a step's forward pass keeps is what prediction gives.
    const struct model_spec *spec = model_spec_of(learner->model);
    struct minibatch batch;
    struct error err;
    struct learner_report report;
    float predicted[FIXTURE_TASKS * FIXTURE_ROWS];
    assert_int_equal(minibatch_init(&batch, spec, FIXTURE_ROWS, &err), STATUS_OK);
    fixture_batch(&batch, spec, 1, 1);
    fixture_learn(learner, 1, 1, 1); // its ids are known then
    assert_int_equal(learner_predict(learner, &batch, predicted, &err), STATUS_OK);
    assert_int_equal(learner_step(learner, &batch, &report, &err), STATUS_OK);
    for (size_t i = 0; i < FIXTURE_TASKS * FIXTURE_ROWS; i++)
        assert_close((double)learner_step_logits(learner)[i], (double)predicted[i], 1e-6);
    minibatch_deinit(&batch, spec);
    learner_free(learner);
}

static void a_step_under_esmm_keeps_what_prediction_gives(void **state) {
    (void)state;
    struct learner *learner = learner_of(0, 0, 0, MODEL_ESMM);
    const struct model_spec *spec = model_spec_of(learner->model);
    struct minibatch batch;
    struct error err;
    struct learner_report report;
    float predicted[FIXTURE_TASKS * FIXTURE_ROWS];
    assert_int_equal(minibatch_init(&batch, spec, FIXTURE_ROWS, &err), STATUS_OK);
    fixture_batch(&batch, spec, 1, 1);
    fixture_learn(learner, 1, 1, 1);
    assert_int_equal(learner_predict(learner, &batch, predicted, &err), STATUS_OK);
    assert_int_equal(learner_step(learner, &batch, &report, &err), STATUS_OK);
    for (size_t i = 0; i < FIXTURE_TASKS * FIXTURE_ROWS; i++)
        assert_close((double)learner_step_logits(learner)[i], (double)predicted[i], 1e-6);
    minibatch_deinit(&batch, spec);
    learner_free(learner);
}

static void a_shift_moves_what_is_predicted_and_no_gradient(void **state) {
    (void)state;
    struct model_spec spec = fixture_spec();
    struct learner_settings settings = fixture_settings();
    struct learner *plain = fixture_learner(&spec, &settings);
    spec.shift[0] = log(.1);
    struct learner *shifted = fixture_learner(&spec, &settings);
    struct minibatch batch;
    struct error err;
    float a[FIXTURE_TASKS * FIXTURE_ROWS], b[FIXTURE_TASKS * FIXTURE_ROWS];
    fixture_learn(plain, 1, 5, 1);
    fixture_learn(shifted, 1, 5, 1);
    assert_int_equal(minibatch_init(&batch, &spec, FIXTURE_ROWS, &err), STATUS_OK);
    fixture_batch(&batch, &spec, 9, 1);
    assert_int_equal(learner_predict(plain, &batch, a, &err), STATUS_OK);
    assert_int_equal(learner_predict(shifted, &batch, b, &err), STATUS_OK);
    for (size_t i = 0; i < FIXTURE_TASKS * FIXTURE_ROWS; i++)
        assert_close((double)b[i], (double)a[i] + (i < FIXTURE_ROWS ? log(.1) : 0), 1e-6);
    // He et al. 2014, section 6.3: p = .5 of a tenth of the negatives is .090909.
    real logits[FIXTURE_TASKS] = {0};
    relation_predict(shifted->model, logits);
    assert_close(1 / (1 + exp(-(double)logits[0])), .0909090909, 1e-9);
    spec.shift[1] = (double)NAN;
    assert_int_equal(model_spec_check(&spec, &err), STATUS_INVALID);
    minibatch_deinit(&batch, &spec);
    learner_free(plain);
    learner_free(shifted);
}

static void fnc_under_esmm_is_refused(void **state) {
    (void)state;
    struct model_spec spec = fixture_spec();
    struct error err;
    spec.given[1] = 1;
    spec.settings.relation = MODEL_ESMM;
    spec.labels[1] = MODEL_LABELS_FNC;
    assert_int_equal(model_spec_check(&spec, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "fnc"));
    spec.labels[1] = MODEL_LABELS;
    assert_int_equal(model_spec_check(&spec, &err), STATUS_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_those_published),
        cmocka_unit_test(expected_gradients_vanish_where_the_model_is_right),
        cmocka_unit_test(weighted_losses_have_the_slopes_of_central_differences),
        cmocka_unit_test(classifiers_have_the_gradients_of_central_differences),
        cmocka_unit_test(classifiers_learn_and_leave_the_model_alone),
        cmocka_unit_test(fnc_serves_the_corrected_probability),
        cmocka_unit_test(a_step_under_esmm_keeps_what_prediction_gives),
        cmocka_unit_test(a_shift_moves_what_is_predicted_and_no_gradient),
        cmocka_unit_test(fnc_under_esmm_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
