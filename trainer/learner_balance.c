// From the tasks' gradients of one step to the factors that they are combined with.
//
// Scalar products are taken over fixed blocks, in double, by whoever is free, and added in the
// order of blocks. A dense gradient counts as it is stepped with; rows, which step by sums over
// occurrences, count divided by B: for tasks that are labelled everywhere that is the gradient of
// the mean loss in all its parts.
#include "trainer/learner_inside.h"

#include <string.h>

#include "model/vector.h"

const char *const learner_group_names[LEARNER_GROUPS] = {"all", "trunk", "inputs", "auxiliary",
                                                         "embeddings"};

static size_t block_count(const struct learner *learner) {
    return learner->model->tensor_count + learner->model->spec.table_count;
}

size_t learner_balance_state_count(const struct learner *learner) {
    const struct balance_method *method = balance_method(learner->settings.balance);
    return (method->by_block ? block_count(learner) : 1) * learner->tasks * method->state_size;
}

static bool wants_products(const struct learner *learner) {
    return balance_method(learner->settings.balance)->products != BALANCE_PRODUCTS_NONE;
}

enum status learner_products_reserve(struct learner *learner, struct error *err) {
    size_t needed = learner->dense_count + learner->row_count;
    size_t each = learner->tasks * learner->tasks;
    if (!wants_products(learner) || needed <= learner->products_capacity)
        return STATUS_OK;
    double *grown = memory_resize(learner->products, learner->products_capacity * each,
                                  2 * needed * each, sizeof *grown);
    if (!grown)
        return error_no_memory(err, 2 * needed * each * sizeof *grown, "products of gradients");
    learner->products = grown;
    learner->products_capacity = 2 * needed;
    return STATUS_OK;
}

static double *piece_products(const struct learner *learner, size_t piece) {
    return learner->products + piece * learner->tasks * learner->tasks;
}

// Adds the products of one span; gradients[task] is NULL where there is none.
static void products_add(const struct learner *learner, const real *const *gradients, size_t count,
                         double *products) {
    size_t tasks = learner->tasks, target = learner->target;
    bool all = balance_method(learner->settings.balance)->products == BALANCE_PRODUCTS_ALL;
    for (size_t i = 0; i < tasks; i++)
        for (size_t j = 0; j <= i; j++)
            if (gradients[i] && gradients[j] && (all || i == j || i == target || j == target))
                products[i * tasks + j] += vector_dot(gradients[i], gradients[j], count);
}

static void dense_products_work(void *self, size_t item, size_t worker) {
    (void)worker;
    const struct learner *learner = self;
    const struct dense_piece *piece = &learner->dense[item];
    size_t tensor = piece->tensor, columns = learner->model->tensors[tensor].columns;
    size_t shared = learner->model->traits[tensor].shared_columns;
    double *products = piece_products(learner, item);
    const real *gradients[MODEL_TASKS_MAX] = {NULL};
    memset(products, 0, learner->tasks * learner->tasks * sizeof *products);
    if (!learner_is_shared(learner, tensor))
        return;
    for (size_t r = piece->first; r < piece->first + piece->rows; r++) {
        for (size_t pass = 0; pass < learner->passes; pass++)
            if (learner_pass_present(learner, tensor, pass))
                gradients[pass] = learner_gradient(learner, pass, tensor) + r * columns;
        products_add(learner, gradients, shared, products);
    }
}

void learner_rows_products(struct learner *learner, size_t item) {
    if (!wants_products(learner))
        return;
    const struct row_piece *piece = &learner->rows[item];
    const struct touched *touched = &learner->touched[piece->table];
    size_t dimension = learner->model->table_dimension[piece->table];
    double *products = piece_products(learner, learner->dense_count + item);
    const real *gradients[MODEL_TASKS_MAX] = {NULL};
    memset(products, 0, learner->tasks * learner->tasks * sizeof *products);
    for (size_t u = piece->first; u < piece->first + piece->count; u++) {
        for (size_t pass = 0; pass < learner->passes; pass++)
            if (learner->active_passes[pass])
                gradients[pass] = touched_gradient(touched, u, pass, dimension);
        products_add(learner, gradients, dimension, products);
    }
}

static enum learner_group group_of(const struct learner *learner, size_t block) {
    if (block >= learner->model->tensor_count)
        return LEARNER_GROUP_EMBEDDINGS;
    const char *name = learner->model->tensors[block].name;
    if (strncmp(name, "trunk.", 6) == 0 || strncmp(name, "tower.", 6) == 0)
        return LEARNER_GROUP_TRUNK;
    return strncmp(name, "norm.", 5) == 0 ? LEARNER_GROUP_INPUTS : LEARNER_GROUP_AUXILIARY;
}

// Sums over the blocks of a group; symmetric.
struct group_sums {
    double products[MODEL_TASKS_MAX * MODEL_TASKS_MAX]; // [tasks][tasks]
    double applied[MODEL_TASKS_MAX];
    size_t blocks[MODEL_TASKS_MAX];
};
struct balancing {
    struct learner *learner;
    const struct balance_method *method;
    struct balance_view view;
    bool labelled[MODEL_TASKS_MAX]; // tasks with rows that were learnt from
    struct group_sums groups[LEARNER_GROUPS];
};

// The products of pieces [first, end), times `scale` twice.
static void block_sum(const struct learner *learner, size_t first, size_t end, double scale,
                      double *sums) {
    size_t tasks = learner->tasks;
    memset(sums, 0, tasks * tasks * sizeof *sums);
    for (size_t piece = first; piece < end; piece++)
        for (size_t i = 0; i < tasks; i++)
            for (size_t j = 0; j <= i; j++)
                sums[i * tasks + j] += piece_products(learner, piece)[i * tasks + j];
    for (size_t i = 0; i < tasks; i++)
        for (size_t j = 0; j <= i; j++)
            sums[j * tasks + i] = sums[i * tasks + j] *= scale * scale;
}

static void present_set(struct balancing *job, const bool *present, const double *products) {
    size_t tasks = job->learner->tasks;
    // An overflowing gradient must not enter an average or a decision.
    for (size_t k = 0; k < tasks; k++)
        job->view.present[k] =
            present[k] && (!products || products[k * tasks + k] < LEARNER_SQUARE_MAX);
    job->view.products = products;
}

static void block_take(struct balancing *job, size_t block, const double *products,
                       const bool *present) {
    struct learner *learner = job->learner;
    size_t tasks = learner->tasks;
    present_set(job, present, products);
    if (job->method->by_block)
        balance_weigh(&learner->settings, &job->view,
                      learner->balance_state + block * tasks * job->method->state_size,
                      learner->factors + block * tasks);
    enum learner_group into[2] = {LEARNER_GROUP_ALL, group_of(learner, block)};
    for (size_t g = 0; g < 2; g++) {
        struct group_sums *sums = &job->groups[into[g]];
        for (size_t i = 0; i < tasks; i++) {
            for (size_t j = 0; j < tasks && products && job->view.present[i]; j++)
                if (job->view.present[j])
                    sums->products[i * tasks + j] += products[i * tasks + j];
            sums->blocks[i] += job->view.present[i];
            sums->applied[i] += job->view.present[i] ? learner->factors[block * tasks + i] : 0;
        }
    }
}

static void tensors_take(struct balancing *job) {
    struct learner *learner = job->learner;
    double products[MODEL_TASKS_MAX * MODEL_TASKS_MAX];
    for (size_t first = 0, end; first < learner->dense_count; first = end) {
        size_t tensor = learner->dense[first].tensor;
        bool present[MODEL_TASKS_MAX];
        for (end = first; end < learner->dense_count && learner->dense[end].tensor == tensor;)
            end++;
        if (!learner_is_shared(learner, tensor))
            continue;
        for (size_t k = 0; k < learner->tasks; k++)
            present[k] = learner_pass_present(learner, tensor, k);
        if (wants_products(learner))
            block_sum(learner, first, end, 1, products);
        block_take(job, tensor, wants_products(learner) ? products : NULL, present);
    }
}

static void tables_take(struct balancing *job) {
    struct learner *learner = job->learner;
    double products[MODEL_TASKS_MAX * MODEL_TASKS_MAX];
    double scale = 1 / (double)learner->settings.batch_rows;
    for (size_t first = 0, end; first < learner->row_count; first = end) {
        size_t table = learner->rows[first].table;
        for (end = first; end < learner->row_count && learner->rows[end].table == table;)
            end++;
        if (wants_products(learner))
            block_sum(learner, learner->dense_count + first, learner->dense_count + end, scale,
                      products);
        block_take(job, learner_table_block(learner, table),
                   wants_products(learner) ? products : NULL, learner->active);
    }
}

// One decision for all blocks.
static void decide_once(struct balancing *job) {
    struct learner *learner = job->learner;
    size_t tasks = learner->tasks;
    double coefficients[MODEL_TASKS_MAX];
    present_set(job, job->labelled,
                wants_products(learner) ? job->groups[LEARNER_GROUP_ALL].products : NULL);
    balance_weigh(&learner->settings, &job->view, learner->balance_state, coefficients);
    for (size_t block = 0; block < block_count(learner); block++)
        memcpy(learner->factors + block * tasks, coefficients, tasks * sizeof *coefficients);
    for (size_t g = 0; g < LEARNER_GROUPS; g++)
        for (size_t k = 0; k < tasks; k++)
            job->groups[g].applied[k] = (double)job->groups[g].blocks[k] * coefficients[k];
}

static double cosine_of(const struct balancing *job, const struct group_sums *sums, size_t k) {
    size_t tasks = job->learner->tasks;
    const double *products = sums->products;
    double dot = 0, square = 0;
    if (job->method->products == BALANCE_PRODUCTS_TARGET) {
        size_t target = job->learner->target;
        dot = products[k * tasks + target];
        square = products[target * tasks + target];
    } else {
        for (size_t i = 0; i < tasks; i++) {
            dot += i == k ? 0 : products[k * tasks + i];
            for (size_t j = 0; j < tasks; j++)
                square += i == k || j == k ? 0 : products[i * tasks + j];
        }
    }
    double both = sqrt(products[k * tasks + k]) * sqrt(square > 0 ? square : 0);
    return both > 0 ? dot / both : 0;
}

static void report_groups(const struct balancing *job) {
    size_t tasks = job->learner->tasks;
    for (size_t g = 0; g < LEARNER_GROUPS; g++) {
        struct learner_group_report *report = &job->learner->report->groups[g];
        const struct group_sums *sums = &job->groups[g];
        for (size_t k = 0; k < tasks; k++) {
            report->norm[k] = sqrt(sums->products[k * tasks + k]);
            report->cosine[k] = cosine_of(job, sums, k);
            report->applied[k] = sums->blocks[k] ? sums->applied[k] / (double)sums->blocks[k] : 1;
        }
    }
}

static void losses_weighted(const struct learner *learner, const double *losses, double *ret) {
    for (size_t k = 0; k < learner->tasks; k++)
        ret[k] = losses[k] * learner->task_weights[k];
}

static struct balance_view view_of(const struct learner *learner) {
    struct balance_view view = {.tasks = learner->tasks,
                                .target = learner->target,
                                .seed = (uint64_t)learner->model->spec.settings.seed,
                                .step = learner->step};
    for (size_t k = 0; k < learner->tasks; k++)
        view.present[k] = learner->active[k] && learner->report->labelled[k] > 0;
    losses_weighted(learner, learner->report->loss, view.loss);
    return view;
}

void learner_balance(struct learner *learner) {
    if (learner->settings.balance == LEARNER_BALANCE_FIXED)
        return;
    if (wants_products(learner))
        lanes_run(learner->lanes, learner->dense_count, dense_products_work, learner);
    struct balancing job = {.learner = learner,
                            .method = balance_method(learner->settings.balance),
                            .view = view_of(learner)};
    memcpy(job.labelled, job.view.present, sizeof job.labelled);
    tensors_take(&job);
    tables_take(&job);
    if (!job.method->by_block)
        decide_once(&job);
    report_groups(&job);
}

static void look_again_work(void *self, size_t item, size_t worker) {
    learner_lane_forward(self, item, worker);
}

void learner_look_again(struct learner *learner) {
    const struct balance_method *method = balance_method(learner->settings.balance);
    if (!method->after)
        return;
    double losses[MODEL_TASKS_MAX];
    uint64_t labelled[MODEL_TASKS_MAX];
    struct balance_view view = view_of(learner);
    for (size_t r = 0; r < learner->batch->rows; r++)
        network_settle(learner->model, learner->domains[r]);
    lanes_run(learner->lanes, learner->lane_count, look_again_work, learner);
    learner_losses_sum(learner, losses, labelled);
    losses_weighted(learner, losses, losses);
    for (size_t k = 0; k < learner->tasks; k++)
        if (labelled[k] != learner->report->labelled[k])
            return; // a logit is no longer finite: nothing can be compared
    method->after(&learner->settings, &view, losses, learner->balance_state);
}
