// A learner's life, the checks of its settings, and prediction.
#include "trainer/learner_inside.h"

#include <string.h>

#include "trainer/optimise.h"
#include "trainer/schedule.h"

static enum status invalid(struct error *err, const char *key, const char *expected) {
    return error_set(err, STATUS_INVALID, "key `trainer.learner.%s`: expected %s", key, expected);
}

static enum status check_metabalance(const struct learner_settings *settings, size_t tasks,
                                     size_t target, struct error *err) {
    if (!settings->target_task || !settings->target_task[0] || target >= tasks)
        return error_set(err, STATUS_INVALID,
                         "key `trainer.learner.target_task`: MetaBalance needs the name of the "
                         "task that the others serve");
    if (settings->strategy < LEARNER_STRATEGY_A || settings->strategy > LEARNER_STRATEGY_C)
        return invalid(err, "strategy", "`a`, `b` or `c`");
    if (!(settings->relax >= 0 && settings->relax <= 1))
        return invalid(err, "relax", "0 to 1");
    if (!(settings->beta >= 0 && settings->beta < 1))
        return invalid(err, "beta", "0 to less than 1");
    if (!(settings->balance_limit > 0))
        return invalid(err, "balance_limit", "a bound above 0, or `off`");
    return STATUS_OK;
}

static enum status check_balance(const struct learner_settings *settings, size_t tasks,
                                 size_t target, struct error *err) {
    if (settings->balance == LEARNER_BALANCE_FIXED)
        return STATUS_OK;
    if (settings->balance < 0 || settings->balance >= LEARNER_BALANCES)
        return invalid(err, "balance", "a method that exists");
    if (tasks < 2)
        return error_set(err, STATUS_INVALID,
                         "key `trainer.learner.balance`: balancing needs two tasks or more, found "
                         "%zu: use `fixed`",
                         tasks);
    switch (settings->balance) {
    case LEARNER_BALANCE_METABALANCE:
        return check_metabalance(settings, tasks, target, err);
    case LEARNER_BALANCE_CAGRAD:
        if (!(settings->caution >= 0 && settings->caution < 1))
            return invalid(err, "caution", "0 to less than 1");
        return STATUS_OK;
    case LEARNER_BALANCE_DWA:
        if (!(settings->temperature > 0 && isfinite(settings->temperature)))
            return invalid(err, "temperature", "a finite temperature above 0");
        if (settings->balance_window < 1)
            return invalid(err, "balance_window", "1 or more");
        return STATUS_OK;
    case LEARNER_BALANCE_UNCERTAINTY:
    case LEARNER_BALANCE_FAMO:
        if (!(settings->balance_rate >= 0 && isfinite(settings->balance_rate)))
            return invalid(err, "balance_rate", "a finite rate of 0 or more");
        if (!(settings->balance_decay >= 0 && settings->balance_decay <= 1))
            return invalid(err, "balance_decay", "0 to 1");
        return STATUS_OK;
    default:
        return STATUS_OK;
    }
}

static enum status check_settings(const struct model_spec *spec,
                                  const struct learner_settings *settings,
                                  const double *task_weights, size_t target, struct error *err) {
    if (settings->batch_rows < 1 || settings->batch_rows > 65536)
        return invalid(err, "batch_rows", "1 to 65536");
    if (settings->lanes < 1 || settings->lanes > settings->batch_rows ||
        settings->batch_rows % settings->lanes != 0)
        return error_set(err, STATUS_INVALID,
                         "key `trainer.learner.lanes`: %lld does not divide batch_rows %lld",
                         (long long)settings->lanes, (long long)settings->batch_rows);
    if (settings->threads < 1 || settings->threads > 1024)
        return invalid(err, "threads", "1 to 1024");
    if (settings->optimiser < LEARNER_ADAGRAD || settings->optimiser > LEARNER_ADAM)
        return invalid(err, "optimiser", "`adagrad` or `adam`");
    if (settings->row_optimiser < LEARNER_ROW_ADAGRAD || settings->row_optimiser > LEARNER_ROW_FTRL)
        return invalid(err, "row_optimiser", "`row_adagrad`, `adagrad`, `adam` or `ftrl`");
    if (!(settings->learning_rate >= 0 && isfinite(settings->learning_rate)))
        return invalid(err, "learning_rate", "a finite rate of 0 or more");
    if (!(settings->row_learning_rate >= 0 && isfinite(settings->row_learning_rate)))
        return invalid(err, "row_learning_rate", "a finite rate of 0 or more");
    if (!(settings->wide_learning_rate >= 0 && isfinite(settings->wide_learning_rate)))
        return invalid(err, "wide_learning_rate", "a finite rate of 0 or more");
    if (!(settings->late_learning_rate >= 0 && isfinite(settings->late_learning_rate)))
        return invalid(err, "late_learning_rate", "a finite rate of 0 or more");
    if (!(settings->accumulator_init >= 0 && isfinite(settings->accumulator_init)))
        return invalid(err, "accumulator_init", "a finite value of 0 or more");
    if (!(settings->gradient_clip > 0))
        return invalid(err, "gradient_clip", "a bound above 0, or `off`");
    enum status status = schedule_check(settings, err);
    if (status != STATUS_OK)
        return status;
    for (size_t k = 0; k < spec->task_count; k++)
        if (!(task_weights[k] >= 0 && isfinite(task_weights[k])))
            return error_set(err, STATUS_INVALID, "task %zu: expected a finite weight of 0 or more",
                             k);
    return check_balance(settings, spec->task_count, target, err);
}

// How the rows of a table step: by the learner's settings, but for what the table's rule says.
static struct row_optimiser optimiser_of(const struct learner *learner, const struct life *life) {
    const struct learner_settings *settings = &learner->settings;
    struct row_optimiser of = {.optimiser = settings->row_optimiser,
                               .rate = settings->row_learning_rate,
                               .wide_rate = settings->wide_learning_rate,
                               .ftrl = {.beta = 1}};
    if (life->ruled) {
        const struct table_rule *rule = &life->rule;
        if (rule->optimiser != TABLE_DEFAULT)
            of.optimiser = rule->optimiser - TABLE_ROW_ADAGRAD + LEARNER_ROW_ADAGRAD;
        of.wide_ftrl = rule->wide_optimiser == TABLE_WIDE_FTRL;
        of.rate = isfinite(rule->learning_rate) ? rule->learning_rate : of.rate;
        of.wide_rate = isfinite(rule->wide_learning_rate) ? rule->wide_learning_rate : of.wide_rate;
        of.ftrl = rule->ftrl;
    }
    bool sums = of.optimiser == LEARNER_ROW_ADAGRAD || of.optimiser == LEARNER_ROW_ADAGRAD_FULL;
    of.start = sums ? (real)settings->accumulator_init : (real)0;
    return of;
}

static enum status make_model(struct learner *learner, const struct model_spec *spec,
                              struct error *err) {
    size_t tables = spec->table_count, wide = spec->settings.wide ? spec->task_count : 0;
    learner->row_optimisers = memory_new(tables + 1, sizeof *learner->row_optimisers);
    struct table_state_shape *shapes = memory_new(tables + 1, sizeof *shapes);
    if (!shapes || !learner->row_optimisers) {
        memory_free(shapes);
        return error_no_memory(err, tables * sizeof *learner->row_optimisers, "a learner");
    }
    for (size_t f = 0; f < spec->field_count; f++) {
        size_t table = spec->fields[f].table;
        struct life *life = &learner->lives[table];
        struct row_optimiser *of = &learner->row_optimisers[table];
        *of = optimiser_of(learner, life);
        life->at = optimise_row_state(of, spec->fields[f].dimension, wide);
        shapes[table].width = life->at + (life->expires ? LIFE_NUMBERS : 0);
        shapes[table].fill = of->start;
    }
    enum status status = network_new(spec, shapes, &learner->model, err);
    memory_free(shapes);
    return status;
}

// A bound on memory holds the model without rows, and what one minibatch may bring.
static enum status check_memory(const struct learner *learner, struct error *err) {
    const struct model_spec *spec = &learner->model->spec;
    uint64_t most = (uint64_t)learner->settings.memory_max, fixed = learner_fixed_bytes(learner);
    uint64_t rows = 0;
    for (size_t f = 0; f < spec->field_count; f++)
        rows += (uint64_t)learner->settings.batch_rows *
                learner_row_bytes(learner, spec->fields[f].table);
    if (learner->settings.memory_max == 0 || most >= fixed + rows)
        return STATUS_OK;
    return error_set(
        err, STATUS_INVALID,
        "key `trainer.learner.memory_max`: %llu bytes, but the model takes %llu without "
        "rows, and the rows of one minibatch %llu: give more, or a smaller model",
        (unsigned long long)most, (unsigned long long)fixed, (unsigned long long)rows);
}

// Tensors cut into pieces of whole rows; *ret_pieces NULL counts.
static size_t dense_cut(const struct model *model, struct dense_piece *ret_pieces) {
    size_t count = 0;
    for (size_t t = 0; t < model->tensor_count; t++) {
        if (model->traits[t].role != TENSOR_WEIGHT)
            continue;
        const struct model_tensor *tensor = &model->tensors[t];
        size_t rows = LEARNER_DENSE_PIECE / tensor->columns;
        rows = rows ? rows : 1;
        for (size_t first = 0; first < tensor->rows; first += rows, count++)
            if (ret_pieces)
                ret_pieces[count] = (struct dense_piece){
                    .tensor = t,
                    .first = first,
                    .rows = tensor->rows - first < rows ? tensor->rows - first : rows};
    }
    return count;
}

static bool make_state(struct learner *learner) {
    const struct model *model = learner->model;
    size_t states = learner->settings.optimiser == LEARNER_ADAM ? 2 : 1;
    learner->state = memory_new(states * model->weight_elements, sizeof *learner->state);
    learner->steps = memory_new(model->tensor_count, sizeof *learner->steps);
    learner->balance_state =
        memory_new(learner_balance_state_count(learner) + 1, sizeof *learner->balance_state);
    learner->domain_known = memory_new(model->domain_count, sizeof *learner->domain_known);
    learner->tensor_changed = memory_new(model->tensor_count, sizeof *learner->tensor_changed);
    learner->touched = memory_new(model->spec.table_count + 1, sizeof *learner->touched);
    learner->cuts = memory_new(model->spec.table_count + 1, sizeof *learner->cuts);
    if (!learner->state || !learner->steps || !learner->balance_state || !learner->domain_known ||
        !learner->tensor_changed || !learner->touched || !learner->cuts)
        return false;
    for (size_t t = 0; t < model->spec.table_count; t++) {
        learner->touched[t].table = t;
        table_cut_init(&learner->cuts[t]);
        if (table_cut_reserve(&learner->cuts[t], &model->tables[t], NULL) != STATUS_OK)
            return false;
    }
    learner->domain_known[MINIBATCH_DOMAIN_UNKNOWN] = true;
    if (learner->settings.optimiser == LEARNER_ADAGRAD)
        for (size_t i = 0; i < model->weight_elements; i++)
            learner->state[i] = (real)learner->settings.accumulator_init;
    for (size_t t = 0; t < model->tensor_count; t++)
        learner->tensor_changed[t] = true; // nobody has been told anything yet
    return true;
}

static bool make_rows(struct learner *learner) {
    const struct model_spec *spec = &learner->model->spec;
    size_t rows = (size_t)learner->settings.batch_rows;
    size_t multi = spec->field_count - spec->categorical_count;
    learner->domains = memory_new(rows, sizeof *learner->domains);
    learner->positions = memory_new(rows, sizeof *learner->positions);
    learner->settling = memory_new(learner->model->domain_count + 1, sizeof *learner->settling);
    learner->slots = memory_new(spec->categorical_count * rows + 1, sizeof *learner->slots);
    learner->list_slots = memory_new(multi + 1, sizeof *learner->list_slots);
    learner->list_capacity = memory_new(multi + 1, sizeof *learner->list_capacity);
    learner->table_status = memory_new(spec->table_count + 1, sizeof *learner->table_status);
    learner->table_error = memory_new(spec->table_count + 1, sizeof *learner->table_error);
    return learner->domains && learner->positions && learner->settling && learner->slots &&
           learner->list_slots && learner->list_capacity && learner->table_status &&
           learner->table_error;
}

static bool make_lanes(struct learner *learner) {
    size_t lanes = (size_t)learner->settings.lanes, domains = learner->model->domain_count;
    size_t segments = domains < learner->lane_rows ? domains : learner->lane_rows;
    learner->lane = memory_new(lanes, sizeof *learner->lane);
    learner->segments = memory_new(lanes * segments, sizeof *learner->segments);
    learner->lane_reports = memory_new(lanes, sizeof *learner->lane_reports);
    learner->logits =
        memory_new(learner->tasks * (size_t)learner->settings.batch_rows, sizeof *learner->logits);
    size_t gradients = learner->tasks * learner->model->sequences.weights;
    learner->sequence_gradients = memory_new(lanes * gradients + 1, sizeof(real));
    if (!learner->lane || !learner->segments || !learner->lane_reports || !learner->logits ||
        !learner->sequence_gradients)
        return false;
    for (size_t i = 0; i < lanes; i++) {
        learner->lane[i].segments = learner->segments + i * segments;
        learner->lane[i].sequence_gradients = learner->sequence_gradients + i * gradients;
    }
    return true;
}

static bool make_gradients(struct learner *learner) {
    const struct model *model = learner->model;
    size_t blocks = model->tensor_count + model->spec.table_count;
    learner->gradients = memory_new(learner->tasks * model->weight_elements, sizeof(real));
    learner->piece_count = gradient_pieces(model, NULL);
    learner->pieces = memory_new(learner->piece_count, sizeof *learner->pieces);
    learner->dense_count = dense_cut(model, NULL);
    learner->dense = memory_new(learner->dense_count, sizeof *learner->dense);
    learner->factors = memory_new(blocks * learner->tasks, sizeof *learner->factors);
    learner->scales = memory_new(model->tensor_count, sizeof *learner->scales);
    learner->domain_labelled =
        memory_new(model->domain_count * learner->tasks, sizeof *learner->domain_labelled);
    if (!learner->gradients || !learner->pieces || !learner->dense || !learner->factors ||
        !learner->scales || !learner->domain_labelled)
        return false;
    gradient_pieces(model, learner->pieces);
    dense_cut(model, learner->dense);
    return true;
}

static enum status make_workers(struct learner *learner, struct error *err) {
    const struct model *model = learner->model;
    size_t threads = (size_t)learner->settings.threads, widest = 1;
    learner->workers = memory_new(threads, sizeof *learner->workers);
    if (!learner->workers)
        return error_no_memory(err, threads * sizeof *learner->workers, "a learner");
    for (size_t t = 0; t < model->spec.table_count; t++)
        widest = model->tables[t].width > widest ? model->tables[t].width : widest;
    for (size_t i = 0; i < threads; i++) {
        struct learner_worker *worker = &learner->workers[i];
        enum status status = model_scratch_new(model, learner->lane_rows, &worker->predict, err);
        if (status != STATUS_OK)
            return status;
        worker->logits = memory_new(learner->tasks * learner->lane_rows, sizeof(real));
        worker->gradient = memory_new(gradient_scratch(model, learner->lane_rows), sizeof(real));
        worker->network = memory_new(network_scratch(model, learner->lane_rows), sizeof(real));
        worker->row = memory_new(widest, sizeof(real));
        worker->counts = memory_new(model->domain_count + 1, sizeof *worker->counts);
        if (!worker->logits || !worker->gradient || !worker->network || !worker->row ||
            !worker->counts)
            return error_no_memory(err, gradient_scratch(model, learner->lane_rows) * sizeof(real),
                                   "a learner");
        status = id_set_init(&worker->set, learner->lane_rows, err);
        if (status != STATUS_OK)
            return status;
    }
    return lanes_new(threads, &learner->lanes, err);
}

enum status learner_new(const struct model_spec *spec, const struct learner_settings *settings,
                        const double *task_weights, size_t target_task,
                        struct learner **ret_learner, struct error *err) {
    enum status status = model_spec_check(spec, err);
    if (status == STATUS_OK)
        status = check_settings(spec, settings, task_weights, target_task, err);
    if (status != STATUS_OK)
        return status;
    struct learner *learner = memory_new(1, sizeof *learner);
    if (!learner)
        return error_no_memory(err, sizeof *learner, "a learner");
    learner->settings = *settings;
    learner->settings.target_task = NULL;
    learner->settings.tables = (struct option_sections){0};
    learner->tasks = spec->task_count;
    learner->target = settings->balance == LEARNER_BALANCE_METABALANCE ? target_task : 0;
    learner->lane_rows = (size_t)(settings->batch_rows / settings->lanes);
    memcpy(learner->task_weights, task_weights, spec->task_count * sizeof *task_weights);
    learner->life_count = spec->table_count;
    status = lives_new(&settings->tables, settings->memory_max > 0, spec, &learner->lives, err);
    if (status == STATUS_OK)
        status = make_model(learner, spec, err);
    if (status == STATUS_OK)
        status = check_memory(learner, err);
    if (status == STATUS_OK && (!make_state(learner) || !make_rows(learner) ||
                                !make_lanes(learner) || !make_gradients(learner)))
        status = error_no_memory(err, learner->model->weight_elements * sizeof(real), "a learner");
    if (status == STATUS_OK)
        status = activations_init(&learner->act, learner->model, (size_t)settings->batch_rows,
                                  learner->tasks, err);
    if (status == STATUS_OK)
        status = late_init(&learner->late, learner->model, (size_t)settings->lanes,
                           settings->accumulator_init, err);
    if (status == STATUS_OK)
        status = make_workers(learner, err);
    if (status == STATUS_OK)
        *ret_learner = learner;
    else
        learner_free(learner);
    return status;
}

static void workers_free(struct learner *learner) {
    for (size_t i = 0; learner->workers && i < (size_t)learner->settings.threads; i++) {
        model_scratch_free(learner->workers[i].predict);
        memory_free(learner->workers[i].logits);
        memory_free(learner->workers[i].gradient);
        memory_free(learner->workers[i].network);
        id_set_deinit(&learner->workers[i].set);
        memory_free(learner->workers[i].row);
        memory_free(learner->workers[i].counts);
    }
    memory_free(learner->workers);
}

void learner_free(struct learner *learner) {
    if (!learner)
        return;
    lanes_free(learner->lanes);
    workers_free(learner);
    memory_free(learner->logits);
    lives_free(learner->lives, learner->life_count);
    late_deinit(&learner->late);
    if (learner->model) {
        const struct model_spec *spec = &learner->model->spec;
        activations_deinit(&learner->act, learner->model);
        for (size_t t = 0; learner->touched && t < spec->table_count; t++)
            touched_deinit(&learner->touched[t]);
        for (size_t t = 0; learner->cuts && t < spec->table_count; t++)
            table_cut_deinit(&learner->cuts[t]);
        for (size_t l = 0; learner->list_slots && l < spec->field_count - spec->categorical_count;
             l++)
            memory_free(learner->list_slots[l]);
    }
    void *blocks[] = {learner->state,         learner->steps,          learner->balance_state,
                      learner->domain_known,  learner->tensor_changed, learner->touched,
                      learner->lane,          learner->segments,       learner->lane_reports,
                      learner->domains,       learner->positions,      learner->slots,
                      learner->list_slots,    learner->list_capacity,  learner->gradients,
                      learner->pieces,        learner->products,       learner->dense,
                      learner->rows,          learner->factors,        learner->scales,
                      learner->table_status,  learner->table_error,    learner->domain_labelled,
                      learner->cuts,          learner->settling,       learner->sequence_gradients,
                      learner->row_optimisers};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        memory_free(blocks[i]);
    model_free(learner->model);
    memory_free(learner);
}

struct model *learner_model(struct learner *learner) {
    return learner->model;
}

static void settling_add(struct learner *learner, size_t domain) {
    if (learner->model->settled[domain])
        return;
    learner->settling[learner->settling_count++] = domain;
    network_settled(learner->model, domain); // by the items, before anybody reads
}

void learner_settle_need(struct learner *learner, size_t domain) {
    settling_add(learner, network_shared(learner->model));
    settling_add(learner, domain);
}

size_t learner_settle_items(const struct learner *learner) {
    return learner->settling_count * network_settle_items(learner->model);
}

void learner_settle_item(struct learner *learner, size_t item) {
    size_t items = network_settle_items(learner->model);
    network_settle_item(learner->model, learner->settling[item / items], item % items);
}

static void settle_work(void *self, size_t item, size_t worker) {
    (void)worker;
    learner_settle_item(self, item);
}

void learner_settle_batch(struct learner *learner) {
    const struct minibatch *batch = learner->batch;
    for (size_t r = 0; r < batch->rows; r++)
        learner_settle_need(learner, network_domain(learner->model, batch->domains[r]));
    lanes_run(learner->lanes, learner_settle_items(learner), settle_work, learner);
    learner->settling_count = 0;
}

bool learner_step_predicts(const struct learner *learner) {
    return learner->model->domain_count <= 1 || !(learner->model->spec.settings.unknown_share > 0);
}

const float *learner_step_logits(const struct learner *learner) {
    return learner->logits;
}

struct prediction {
    struct learner *learner;
    const struct minibatch *batch;
    float *logits;
};

static void predict_work(void *self, size_t item, size_t worker) {
    struct prediction *job = self;
    struct learner *learner = job->learner;
    size_t first = item * learner->lane_rows, rows = job->batch->rows - first;
    rows = rows < learner->lane_rows ? rows : learner->lane_rows;
    real *logits = learner->workers[worker].logits;
    model_predict(learner->model, learner->workers[worker].predict, job->batch, first, rows,
                  logits);
    for (size_t k = 0; k < learner->tasks; k++)
        for (size_t r = 0; r < rows; r++)
            job->logits[k * job->batch->rows + first + r] = (float)logits[k * rows + r];
}

enum status learner_predict(struct learner *learner, const struct minibatch *batch, float *logits,
                            struct error *err) {
    if (batch->rows > batch->capacity)
        return error_set(err, STATUS_INVALID, "could not predict: %zu rows in room for %zu",
                         batch->rows, batch->capacity);
    learner->batch = batch;
    learner_settle_batch(learner);
    learner->batch = NULL;
    struct prediction job = {learner, batch, logits};
    lanes_run(learner->lanes, (batch->rows + learner->lane_rows - 1) / learner->lane_rows,
              predict_work, &job);
    return STATUS_OK;
}
