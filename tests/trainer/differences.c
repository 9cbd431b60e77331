#include "tests/trainer/differences.h"

#include "model/relation.h"

enum { CHECKED_MAX = 60 }; // of a tensor, under `only`: of positions those that occur

static const double task_scale[FIXTURE_TASKS] = {1, 0.3, 2};

// Weighted loss of task k, or of all for k = FIXTURE_TASKS; leaves slopes of the logits behind.
static double loss_of(struct bench *bench, size_t k) {
    const struct model *model = bench->model;
    double loss = 0;
    real *slopes =
        activations_slope(&bench->act, model, k == FIXTURE_TASKS ? 0 : k, model->logit_plane);
    model_settle(bench->model);
    for (size_t i = 0; i < 2; i++) {
        struct resolved resolved = {bench->slots, FIXTURE_ROWS, 0, bench->lists};
        inputs_gather(model, &bench->batch, &resolved, &bench->act, &bench->lanes[i],
                      bench->network);
        network_forward(model, &bench->act, &bench->lanes[i], bench->network);
    }
    for (size_t p = 0; p < FIXTURE_ROWS; p++) {
        const real *logits = bench->act.values[model->logit_plane] + p * FIXTURE_TASKS;
        memset(slopes + p * FIXTURE_TASKS, 0, FIXTURE_TASKS * sizeof *slopes);
        for (size_t j = 0; j < FIXTURE_TASKS; j++) {
            size_t row = bench->act.order[p];
            long double probability = 1; // near 1 doubles cancel
            double y = (double)bench->batch.labels[j * FIXTURE_ROWS + row];
            double w = (double)bench->batch.weights[j * FIXTURE_ROWS + row] * task_scale[j];
            for (size_t at = j; at != NETWORK_NONE; at = network_given(model, at))
                probability *= 1 / (1 + expl(-(long double)logits[at]));
            bool wanted = j == k || k == FIXTURE_TASKS;
            if (wanted || !model->related)
                (void)relation_loss(model, j, logits, y, w, slopes + p * FIXTURE_TASKS);
            if (wanted)
                loss -= w * (double)(y * logl(probability) + (1 - y) * logl(1 - probability));
        }
    }
    return loss;
}

void bench_init(struct bench *bench, const struct model_spec *spec) {
    struct error err;
    const struct table_state_shape shapes[3] = {{1, 0}, {1, 0}, {1, 0}};
    *bench = (struct bench){.active = {true, true, true}, .only = ""};
    for (size_t l = 0; l < 3; l++)
        bench->lists[l] = bench->list_slots[l];
    assert_int_equal(network_new(spec, shapes, &bench->model, &err), STATUS_OK);
    struct model *model = bench->model;
    assert_int_equal(minibatch_init(&bench->batch, spec, FIXTURE_ROWS, &err), STATUS_OK);
    fixture_batch(&bench->batch, spec, 3, 4);
    assert_int_equal(activations_init(&bench->act, model, FIXTURE_ROWS, FIXTURE_TASKS, &err),
                     STATUS_OK);
    bench->act.expert_dropout = spec->settings.expert_dropout;
    bench->gradients = memory_new(FIXTURE_TASKS * model->weight_elements, sizeof(real));
    bench->scratch = memory_new(gradient_scratch(model, FIXTURE_ROWS), sizeof(real));
    bench->network = memory_new(network_scratch(model, FIXTURE_ROWS), sizeof(real));
    size_t weights = FIXTURE_TASKS * model->sequences.weights;
    bench->sequence_gradients = memory_new(2 * weights + 1, sizeof(real));
    assert_non_null(bench->sequence_gradients);
    assert_non_null(bench->network);
    assert_non_null(bench->gradients);
    assert_non_null(bench->scratch);
    struct rng rng; // away from 0, 1 and equal moments
    rng_init(&rng, 11);
    for (size_t t = 0; t < model->tensor_count; t++)
        for (size_t i = 0; i < model->tensors[t].rows * model->tensors[t].columns; i++) {
            bool variance = model->traits[t].role == TENSOR_MOMENTS;
            double noise = 0.3 * rng_normal(&rng);
            model->tensors[t].data[i] += (real)(variance ? fabs(noise) : noise);
        }
    size_t counts[8];
    struct id_set set;
    assert_int_equal(id_set_init(&set, FIXTURE_ROWS, &err), STATUS_OK);
    for (size_t i = 0; i < 2; i++) {
        bench->lanes[i] =
            (struct lane){.first = i * FIXTURE_ROWS / 2,
                          .rows = FIXTURE_ROWS / 2,
                          .segments = bench->segments[i],
                          .sequence_gradients = bench->sequence_gradients + i * weights};
        inputs_order(model, bench->batch.domains, bench->lanes[i].first, &bench->act,
                     &bench->lanes[i], counts);
        inputs_look_up(model, &bench->batch, bench->lanes[i].first, &bench->act, &bench->lanes[i],
                       &set, bench->slots + bench->lanes[i].first, FIXTURE_ROWS);
    }
    id_set_deinit(&set);
    for (size_t p = 0; p < FIXTURE_ROWS; p++)
        bench->positions[bench->act.order[p]] = (uint32_t)p;
    struct life unruled = {0};
    struct touched_source source = {.batch = &bench->batch,
                                    .slots = bench->slots,
                                    .stride = FIXTURE_ROWS,
                                    .list_slots = bench->lists,
                                    .positions = bench->positions,
                                    .domains = bench->batch.domains,
                                    .act = &bench->act,
                                    .lanes = bench->lanes,
                                    .lane_count = 2,
                                    .life = &unruled};
    for (size_t t = 0; t < 3; t++) {
        bench->touched[t].table = t;
        assert_int_equal(touched_make_rows(&bench->touched[t], model, &source, FIXTURE_TASKS, &err),
                         STATUS_OK);
        touched_collect(&bench->touched[t], model, &source);
    }
}

void bench_deinit(struct bench *bench) {
    for (size_t t = 0; t < 3; t++)
        touched_deinit(&bench->touched[t]);
    minibatch_deinit(&bench->batch, model_spec_of(bench->model));
    activations_deinit(&bench->act, bench->model);
    memory_free(bench->gradients);
    memory_free(bench->scratch);
    memory_free(bench->network);
    memory_free(bench->sequence_gradients);
    model_free(bench->model);
}

static double difference(struct bench *bench, real *value, size_t k) {
    const real before = *value, step = (real)1e-6;
    *value = before + step;
    double above = loss_of(bench, k);
    *value = before - step;
    double below = loss_of(bench, k);
    *value = before;
    return (above - below) / (2 * (double)step);
}

static void assert_near(const char *what, size_t at, double found, double expected) {
    if (fabs(found - expected) > 2e-7 * (1 + fabs(expected))) {
        print_message("%s[%zu]: %.12g, differences say %.12g\n", what, at, found, expected);
        fail();
    }
}

// Whether row 0.. of the batch holds the domain.
static bool domain_present(const struct bench *bench, size_t domain) {
    for (size_t r = 0; r < FIXTURE_ROWS; r++)
        if (network_domain(bench->model, bench->batch.domains[r]) == domain)
            return true;
    return false;
}

static void check_tensors(struct bench *bench, size_t pass, size_t k) {
    const struct model *model = bench->model;
    for (size_t t = 0; t < model->tensor_count; t++) {
        const struct model_tensor *tensor = &model->tensors[t];
        const struct tensor_traits *traits = &model->traits[t];
        if (traits->role != TENSOR_WEIGHT ||
            (traits->domain != NETWORK_NONE && !domain_present(bench, traits->domain)))
            continue;
        if (bench->gates_stop &&
            (strncmp(tensor->name, "epnet.", 6) == 0 || strncmp(tensor->name, "domain.", 7) == 0 ||
             strncmp(tensor->name, "norm.", 5) == 0))
            continue;
        if (traits->task != NETWORK_NONE && k != traits->task && k != FIXTURE_TASKS)
            continue;
        if (strncmp(tensor->name, bench->only, strlen(bench->only)) != 0)
            continue;
        if (k != FIXTURE_TASKS && !network_feeds(model, traits->tower, k))
            continue;
        size_t from = traits->task == NETWORK_NONE ? pass : 0;
        const real *gradient = bench->gradients + from * model->weight_elements + traits->offset;
        size_t count = tensor->rows * tensor->columns;
        if (bench->only[0] && count > CHECKED_MAX)
            count = CHECKED_MAX;
        for (size_t i = 0; i < count; i++)
            assert_near(tensor->name, i, (double)gradient[i],
                        difference(bench, &tensor->data[i], k));
    }
}

static void check_rows(struct bench *bench, size_t pass, size_t k) {
    const struct model *model = bench->model;
    for (size_t t = 0; t < 3; t++) {
        const struct touched *touched = &bench->touched[t];
        size_t dimension = model->table_dimension[t];
        for (size_t u = 0; u < touched->count; u++) {
            real *values = table_values(&model->tables[t], touched->slots[u]);
            for (size_t c = 0; c < dimension; c++)
                assert_near("row", u, (double)touched_gradient(touched, u, pass, dimension)[c],
                            difference(bench, &values[c], k));
            const real *wide = touched_gradient(touched, u, touched->passes, dimension);
            for (size_t j = 0; j < model->wide; j++)
                if (j == k || k == FIXTURE_TASKS || model->related)
                    assert_near("wide", u, (double)wide[j],
                                difference(bench, &values[dimension + j], k));
        }
    }
}

// k < FIXTURE_TASKS: the pass of one task; else one pass for all.
void check_pass(struct bench *bench, size_t pass, size_t k) {
    const struct model *model = bench->model;
    struct piece pieces[256];
    bool passes[FIXTURE_TASKS] = {false};
    passes[pass] = true;
    assert_true(loss_of(bench, k) > 0);
    for (size_t i = 0; i < 2; i++)
        network_backward(model, &bench->act, &bench->lanes[i], pass, k == FIXTURE_TASKS ? 0 : k,
                         k == FIXTURE_TASKS ? k : k + 1, bench->active, bench->network);
    for (size_t i = 0; i < 2; i++)
        factored_wide(model, &bench->act, &bench->lanes[i]);
    size_t count = gradient_pieces(model, NULL);
    assert_true(count <= 256);
    gradient_pieces(model, pieces);
    for (size_t i = 0; i < count; i++) {
        size_t from = pieces[i].task == NETWORK_NONE ? pass : 0;
        gradient_take(model, &bench->act, &pieces[i], pass, bench->lanes, 2, 1,
                      bench->gradients + from * model->weight_elements, bench->scratch);
    }
    for (size_t t = 0; t < 3; t++)
        touched_sum(&bench->touched[t], model, &bench->act, passes, 0, bench->touched[t].count);
    check_tensors(bench, pass, k);
    if (!bench->gates_stop)
        check_rows(bench, pass, k);
}

void check_tensors_of(const struct model_spec *spec, const char *only) {
    struct bench bench;
    bench_init(&bench, spec);
    bench.only = only;
    for (size_t k = 0; k < (only[0] ? 1 : FIXTURE_TASKS); k++)
        check_pass(&bench, k, k);
    check_pass(&bench, 0, FIXTURE_TASKS);
    bench_deinit(&bench);
}

void check_spec(const struct model_spec *spec) {
    check_tensors_of(spec, "");
}
