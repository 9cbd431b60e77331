// One step: phases over lanes, tables and tensors, each complete before the next begins.
//
//   1  order of each lane's rows by domain; slots of all ids; weights packed
//   2  the rows touched, table by table; new ids get theirs
//   3  lanes: inputs, forward, losses, backward passes
//   4  gradients: of weights piece by piece, of rows by their occurrences
//   5  balancing: scalar products of the tasks' gradients, then coefficients
//   6  balanced sums of dense gradients; rows step
//   7  dense weights step; moments move
//   8  rows leave whose life has ended
#include "trainer/learner_inside.h"

#include <string.h>

#include "base/rng.h"
#include "model/relation.h"

static const uint64_t unknown_stream = 0x756e6b6e6f776e; // apart from other draws of the seed

void learner_lanes_cut(struct learner *learner) {
    size_t rows = learner->batch->rows;
    learner->lane_count = (rows + learner->lane_rows - 1) / learner->lane_rows;
    for (size_t i = 0; i < learner->lane_count; i++) {
        size_t first = i * learner->lane_rows, left = rows - first;
        learner->lane[i].first = first;
        learner->lane[i].rows = left < learner->lane_rows ? left : learner->lane_rows;
    }
}

// Domains as trained: some rows stand in for domains nobody has seen.
static void domains_draw(struct learner *learner) {
    const struct model_settings *settings = &learner->model->spec.settings;
    const struct minibatch *batch = learner->batch;
    for (size_t r = 0; r < batch->rows; r++) {
        size_t domain = network_domain(learner->model, batch->domains[r]);
        if (learner->model->domain_count > 1 && settings->unknown_share > 0 &&
            rng_uniform_at((uint64_t)settings->seed, unknown_stream, learner->step, r) <
                settings->unknown_share)
            domain = MINIBATCH_DOMAIN_UNKNOWN;
        learner->domains[r] = (uint32_t)domain;
        learner_settle_need(learner, domain);
    }
}

static void labels_count(struct learner *learner) {
    const struct minibatch *batch = learner->batch;
    size_t tasks = learner->tasks;
    memset(learner->domain_labelled, 0,
           learner->model->domain_count * tasks * sizeof *learner->domain_labelled);
    for (size_t k = 0; k < tasks; k++) {
        size_t labelled = 0;
        for (size_t r = 0; r < batch->rows; r++) {
            float weight = batch->weights[k * batch->capacity + r];
            if (!(weight < 0) && !(weight > 0) && !isnan(weight))
                continue;
            labelled++;
            learner->domain_labelled[learner->domains[r] * tasks + k] = true;
        }
        learner->active[k] = labelled > 0;
        double share = (double)labelled / (double)batch->rows;
        double *average = &learner->labelled_share[k];
        *average = learner->share_known[k] ? *average + LEARNER_SHARE_MOMENTUM * (share - *average)
                                           : share;
        learner->share_known[k] = true;
        double floored = *average > LEARNER_SHARE_FLOOR ? *average : LEARNER_SHARE_FLOOR;
        learner->alpha[k] = 1 / ((double)learner->settings.batch_rows * floored);
    }
}

// One backward pass serves all tasks when they add with one scale.
static void passes_choose(struct learner *learner) {
    size_t tasks = learner->tasks, some = tasks;
    learner->summed = learner->settings.balance == LEARNER_BALANCE_FIXED;
    for (size_t k = 0; k < tasks; k++) {
        if (!learner->active[k])
            continue;
        if (some < tasks &&
            (learner->alpha[k] < learner->alpha[some] || learner->alpha[k] > learner->alpha[some]))
            learner->summed = false;
        some = k;
    }
    learner->passes = learner->summed ? 1 : tasks;
    for (size_t pass = 0; pass < learner->passes; pass++)
        learner->active_passes[pass] = learner->summed ? some < tasks : learner->active[pass];
    size_t blocks = learner->model->tensor_count + learner->model->spec.table_count;
    for (size_t i = 0; i < blocks * tasks; i++)
        learner->factors[i] = 1;
}

// The slots of a list's ids, row by row of its domain.
static void list_find(struct learner *learner, size_t list) {
    const struct model *model = learner->model;
    const struct minibatch *batch = learner->batch;
    const uint32_t *begin = batch->list_begin + list * (batch->capacity + 1);
    size_t table = model->spec.fields[model->spec.categorical_count + list].table;
    for (size_t r = 0; r < batch->rows; r++)
        for (size_t i = begin[r]; i < begin[r + 1]; i++)
            learner->list_slots[list][i] =
                network_row_find(model, table, batch->list_ids[list][i], learner->domains[r]);
}

static void look_up_work(void *self, size_t item, size_t worker) {
    struct learner *learner = self;
    const struct model *model = learner->model;
    const struct minibatch *batch = learner->batch;
    if (item < learner->lane_count) {
        struct lane *lane = &learner->lane[item];
        inputs_order(model, learner->domains, lane->first, &learner->act, lane,
                     learner->workers[worker].counts);
        for (size_t p = lane->first; p < lane->first + lane->rows; p++)
            learner->positions[learner->act.order[p]] = (uint32_t)p;
        inputs_look_up(model, batch, lane->first, &learner->act, lane,
                       &learner->workers[worker].set, learner->slots + lane->first,
                       (size_t)learner->settings.batch_rows);
        return;
    }
    size_t list = item - learner->lane_count;
    size_t lists = model->spec.field_count - model->spec.categorical_count;
    if (list >= lists) {
        learner_settle_item(learner, list - lists);
        return;
    }
    size_t f = model->spec.categorical_count + list;
    const struct table *table = &model->tables[model->spec.fields[f].table];
    size_t count = batch->list_begin[list * (batch->capacity + 1) + batch->rows];
    if (model->spec.settings.domains == MODEL_DOMAINS_SEPARATE)
        list_find(learner, list);
    else
        table_find_many(table, batch->list_ids[list], count, learner->list_slots[list]);
}

static struct touched_source source_of(struct learner *learner, size_t table) {
    return (struct touched_source){
        .batch = learner->batch,
        .slots = learner->slots,
        .stride = (size_t)learner->settings.batch_rows,
        .list_slots = learner->list_slots,
        .positions = learner->positions,
        .domains = learner->domains,
        .act = &learner->act,
        .lanes = learner->lane,
        .lane_count = learner->lane_count,
        .life = &learner->lives[table],
        .cut = &learner->cuts[table],
        .step = learner->step,
    };
}

static void rows_make_work(void *self, size_t item, size_t worker) {
    (void)worker;
    struct learner *learner = self;
    struct touched_source source = source_of(learner, item);
    struct error *err = &learner->table_error[item];
    enum status status =
        touched_make_rows(&learner->touched[item], learner->model, &source, learner->passes, err);
    if (status == STATUS_OK)
        status = table_cut_reserve(&learner->cuts[item], &learner->model->tables[item], err);
    learner->table_status[item] = status;
}

static void rows_collect(struct learner *learner, size_t item) {
    struct touched_source source = source_of(learner, item);
    struct touched *touched = &learner->touched[item];
    const struct table *table = &learner->model->tables[item];
    uint32_t now_s = life_seconds(learner->batch->time_ms);
    touched_collect(touched, learner->model, &source);
    for (size_t u = 0; u < touched->count; u++) {
        table_cut_change(&learner->cuts[item], table, touched->slots[u]);
        life_use(&learner->lives[item], table, touched->slots[u], now_s);
    }
}

static bool row_usable(const struct learner *learner, size_t row, const real *logits) {
    const struct minibatch *batch = learner->batch;
    for (size_t k = 0; k < learner->tasks; k++) {
        float weight = batch->weights[k * batch->capacity + row];
        float label = batch->labels[k * batch->capacity + row];
        bool labelled = weight < 0 || weight > 0 || isnan(weight);
        if (!isfinite((double)logits[k]) || (labelled && (!isfinite(weight) || !isfinite(label))))
            return false;
    }
    return true;
}

// The slopes of a row's logits for task k's loss, zero to begin with.
static real *row_slopes(const struct learner *learner, size_t k, size_t position) {
    size_t plane = learner->model->logit_plane;
    return activations_slope(&learner->act, learner->model, learner->summed ? 0 : k, plane) +
           position * learner->tasks;
}

// Under ESMM the label is that of the whole chain: a conversion counts with its click.
static double label_of(const struct learner *learner, size_t k, size_t row) {
    const struct minibatch *batch = learner->batch;
    double label = 1;
    for (size_t at = k; at != NETWORK_NONE; at = network_given(learner->model, at)) {
        float weight = batch->weights[at * batch->capacity + row];
        if (weight < 0 || weight > 0)
            label *= (double)batch->labels[at * batch->capacity + row];
    }
    return label;
}

// What a row's logits predict.
static void logits_keep(struct learner *learner, size_t row, const real *logits) {
    real predicted[MODEL_TASKS_MAX];
    memcpy(predicted, logits, learner->tasks * sizeof *predicted);
    relation_predict(learner->model, predicted);
    for (size_t k = 0; k < learner->tasks; k++)
        learner->logits[k * learner->batch->rows + row] = (float)predicted[k];
}

// Losses and slopes of the logits: task weight x row weight x derivative; a row that cannot be used
// leaves no trace.
static void losses_take(struct learner *learner, const struct lane *lane,
                        struct lane_report *report) {
    const struct minibatch *batch = learner->batch;
    size_t tasks = learner->tasks;
    *report = (struct lane_report){0};
    for (size_t p = lane->first; p < lane->first + lane->rows; p++) {
        const real *logits = learner->act.values[learner->model->logit_plane] + p * tasks;
        size_t row = learner->act.order[p];
        logits_keep(learner, row, logits);
        bool usable = row_usable(learner, row, logits);
        if (!usable)
            report->skipped++;
        for (size_t k = 0; k < tasks; k++)
            memset(row_slopes(learner, k, p), 0, tasks * sizeof(real));
        for (size_t k = 0; k < tasks; k++) {
            double weight = (double)batch->weights[k * batch->capacity + row];
            if (!usable || !(weight < 0 || weight > 0))
                continue;
            double label = label_of(learner, k, row);
            late_weigh(&learner->late, learner->model, &learner->act, k, p, logits, &label,
                       &weight);
            report->loss[k] += weight * relation_loss(learner->model, k, logits, label,
                                                      learner->task_weights[k] * weight,
                                                      row_slopes(learner, k, p));
            report->labelled[k]++;
        }
        if (!usable)
            network_drop_row(learner->model, &learner->act, lane, p);
    }
}

void learner_lane_forward(struct learner *learner, size_t item, size_t worker) {
    const struct lane *lane = &learner->lane[item];
    real *scratch = learner->workers[worker].network;
    struct resolved resolved = {
        .slots = learner->slots,
        .stride = (size_t)learner->settings.batch_rows,
        .list_slots = learner->list_slots,
    };
    inputs_gather(learner->model, learner->batch, &resolved, &learner->act, lane, scratch);
    network_forward(learner->model, &learner->act, lane, scratch);
    losses_take(learner, lane, &learner->lane_reports[item]);
}

// Items: tables, whose touched rows nobody needs before the gradients, then lanes.
static void lane_work(void *self, size_t item, size_t worker) {
    struct learner *learner = self;
    size_t tables = learner->model->spec.table_count;
    if (item < tables) {
        rows_collect(learner, item);
        return;
    }
    const struct lane *lane = &learner->lane[item - tables];
    real *scratch = learner->workers[worker].network;
    learner_lane_forward(learner, item - tables, worker);
    factored_wide(learner->model, &learner->act, lane);
    for (size_t pass = 0; pass < learner->passes; pass++)
        if (learner->active_passes[pass])
            network_backward(learner->model, &learner->act, lane, pass, learner->summed ? 0 : pass,
                             learner->summed ? learner->tasks : pass + 1, learner->active, scratch);
}

static double pass_alpha(const struct learner *learner, size_t pass) {
    if (!learner->summed)
        return learner->alpha[pass];
    size_t k = 0; // all that are active share one
    while (!learner->active[k])
        k++;
    return learner->alpha[k];
}

// Items: pieces x passes, then pieces of rows.
static void gradient_work(void *self, size_t item, size_t worker) {
    struct learner *learner = self;
    size_t dense = learner->piece_count * learner->passes;
    if (item >= dense) {
        learner_rows_sum(learner, &learner->rows[item - dense]);
        learner_rows_products(learner, item - dense);
        return;
    }
    const struct piece *piece = &learner->pieces[item / learner->passes];
    size_t pass = item % learner->passes, slopes = pass;
    double alpha;
    if (piece->task != NETWORK_NONE) {
        if (pass != 0 || !learner->active[piece->task])
            return;
        alpha = learner->alpha[piece->task];
        slopes = learner->summed ? 0 : piece->task; // the pass that went through its tower
    } else {
        if (!learner->active_passes[pass] ||
            (!learner->summed && !network_feeds(learner->model, piece->tower, pass)))
            return;
        alpha = pass_alpha(learner, pass);
    }
    gradient_take(learner->model, &learner->act, piece, slopes, learner->lane, learner->lane_count,
                  (real)alpha, learner->gradients + pass * learner->model->weight_elements,
                  learner->workers[worker].gradient);
}

static void combine_work(void *self, size_t item, size_t worker) {
    struct learner *learner = self;
    if (item < learner->dense_count)
        learner_dense_combine_work(self, item, worker);
    else
        learner_rows_step(learner, &learner->rows[item - learner->dense_count], worker);
}

static void step_work(void *self, size_t item, size_t worker) {
    struct learner *learner = self;
    if (item < learner->dense_count)
        learner_dense_step_work(self, item, worker);
    else
        learner_moments_move(learner, item - learner->dense_count);
}

static enum status rows_cut(struct learner *learner, struct error *err) {
    size_t needed = 0, tables = learner->model->spec.table_count;
    for (size_t t = 0; t < tables; t++)
        needed += (learner->touched[t].count + LEARNER_ROWS_PIECE - 1) / LEARNER_ROWS_PIECE;
    if (needed > learner->row_capacity) {
        struct row_piece *grown =
            memory_resize(learner->rows, learner->row_capacity, 2 * needed, sizeof *grown);
        if (!grown)
            return error_no_memory(err, 2 * needed * sizeof *grown, "a step");
        learner->rows = grown;
        learner->row_capacity = 2 * needed;
    }
    learner->row_count = 0;
    for (size_t t = 0; t < tables; t++)
        for (size_t first = 0; first < learner->touched[t].count; first += LEARNER_ROWS_PIECE) {
            size_t left = learner->touched[t].count - first;
            learner->rows[learner->row_count++] =
                (struct row_piece){.table = t,
                                   .first = first,
                                   .count = left < LEARNER_ROWS_PIECE ? left : LEARNER_ROWS_PIECE};
        }
    return STATUS_OK;
}

static enum status lists_reserve(struct learner *learner, struct error *err) {
    const struct minibatch *batch = learner->batch;
    const struct model_spec *spec = &learner->model->spec;
    for (size_t list = 0; list < spec->field_count - spec->categorical_count; list++) {
        size_t needed = batch->list_begin[list * (batch->capacity + 1) + batch->rows];
        if (needed <= learner->list_capacity[list])
            continue;
        uint32_t *grown = memory_resize(learner->list_slots[list], learner->list_capacity[list],
                                        2 * needed, sizeof *grown);
        if (!grown)
            return error_no_memory(err, 2 * needed * sizeof *grown, "a minibatch's lists");
        learner->list_slots[list] = grown;
        learner->list_capacity[list] = 2 * needed;
    }
    return STATUS_OK;
}

static enum status prepare(struct learner *learner, struct error *err) {
    enum status status = lists_reserve(learner, err);
    if (status != STATUS_OK)
        return status;
    size_t tables = learner->model->spec.table_count;
    lanes_run(learner->lanes,
              learner->lane_count + learner->model->spec.field_count -
                  learner->model->spec.categorical_count + learner_settle_items(learner),
              look_up_work, learner);
    learner->settling_count = 0;
    lanes_run(learner->lanes, tables, rows_make_work, learner);
    return learner_tables_status(learner, err);
}

void learner_losses_sum(const struct learner *learner, double *ret_losses, uint64_t *ret_labelled) {
    for (size_t k = 0; k < learner->tasks; k++) {
        ret_losses[k] = 0;
        ret_labelled[k] = 0;
        for (size_t i = 0; i < learner->lane_count; i++) {
            ret_losses[k] += learner->lane_reports[i].loss[k];
            ret_labelled[k] += learner->lane_reports[i].labelled[k];
        }
        ret_losses[k] /= ret_labelled[k] ? (double)ret_labelled[k] : 1;
    }
}

// How evenly a task's gate uses its experts: 1 = all alike, 0 = one alone.
static double gate_entropy(const struct learner *learner, size_t task) {
    const struct model *model = learner->model;
    if (model->mix_of[task] == NETWORK_NONE)
        return 0;
    const struct mixture *mixture = &model->mixtures[model->mix_of[task]];
    size_t columns = model->planes[mixture->gate_plane].columns;
    double sum = 0, most = log((double)mixture->gates) * (double)learner->lane[0].rows;
    for (size_t p = 0; p < learner->lane[0].rows; p++) {
        const real *gate =
            learner->act.values[mixture->gate_plane] + p * columns + mixture->gate_offset;
        for (size_t e = 0; e < mixture->gates; e++)
            sum -= gate[e] > (real)0 ? (double)gate[e] * log((double)gate[e]) : 0;
    }
    return most > 0 ? sum / most : 0;
}

static void report_take(struct learner *learner) {
    struct learner_report *report = learner->report;
    learner_losses_sum(learner, report->loss, report->labelled);
    for (size_t i = 0; i < learner->lane_count; i++)
        report->skipped_rows += learner->lane_reports[i].skipped;
    for (size_t k = 0; k < learner->tasks; k++)
        report->gate_entropy[k] = gate_entropy(learner, k);
    for (size_t group = 0; group < LEARNER_GROUPS; group++)
        for (size_t k = 0; k < learner->tasks; k++)
            report->groups[group].applied[k] = 1;
}

// Which moments moved: those of all rows, and of the domains that had rows.
static void moments_mark(struct learner *learner) {
    const struct model *model = learner->model;
    if (model->numeric_moments != NETWORK_NONE)
        learner->tensor_changed[model->numeric_moments] = true;
    if (model->norm_moments != NETWORK_NONE)
        learner->tensor_changed[model->norm_moments] = true;
    for (size_t i = 0; i < learner->lane_count && model->norm_domain_moments != NETWORK_NONE; i++)
        for (size_t s = 0; s < learner->lane[i].segment_count; s++)
            learner
                ->tensor_changed[model->norm_domain_moments + learner->lane[i].segments[s].domain] =
                true;
}

static enum status learn(struct learner *learner, struct error *err) {
    struct lanes *lanes = learner->lanes;
    lanes_run(lanes, learner->model->spec.table_count + learner->lane_count, lane_work, learner);
    enum status status = rows_cut(learner, err);
    if (status == STATUS_OK)
        status = learner_products_reserve(learner, err);
    if (status != STATUS_OK)
        return status;
    report_take(learner);
    lanes_run(lanes, learner->piece_count * learner->passes + learner->row_count, gradient_work,
              learner);
    learner_balance(learner);
    lanes_run(lanes, learner->dense_count + learner->row_count, combine_work, learner);
    for (size_t i = 0; i < learner->row_count; i++)
        learner->report->skipped_updates += learner->rows[i].skipped;
    learner_dense_decide(learner);
    lanes_run(lanes, learner->dense_count + learner_moment_items(learner), step_work, learner);
    moments_mark(learner);
    network_unsettle(learner->model);
    learner_look_again(learner);
    learner->step++;
    return learner_look(learner, err);
}

enum status learner_step(struct learner *learner, const struct minibatch *batch,
                         struct learner_report *ret_report, struct error *err) {
    struct learner_report report = {0};
    if (batch->rows > (size_t)learner->settings.batch_rows)
        return error_set(err, STATUS_INVALID,
                         "could not learn a minibatch: %zu rows, more than batch_rows %lld",
                         batch->rows, (long long)learner->settings.batch_rows);
    enum status status = STATUS_OK;
    struct error reason;
    learner->batch = batch;
    learner->report = &report;
    learner->act.expert_dropout = learner->model->spec.settings.expert_dropout;
    learner->act.dropout_step = learner->step;
    if (batch->rows > 0) {
        learner_lanes_cut(learner);
        domains_draw(learner);
        labels_count(learner);
        passes_choose(learner);
        status = prepare(learner, &reason);
        if (status == STATUS_OK)
            status = learn(learner, &reason);
        if (status != STATUS_OK && err)
            *err = reason;
    }
    learner->batch = NULL;
    learner->report = NULL;
    if (status == STATUS_OK)
        *ret_report = report;
    return status;
}
