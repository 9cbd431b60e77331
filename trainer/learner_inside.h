// The learner's inside, shared by its files. Private to trainer/learner*.c.
//
//   learner.c          life, options' checks, prediction
//   learner_options.c  the table of options
//   learner_step.c     one step: phases of work over lanes, in order
//   learner_dense.c    sums and updates of dense tensors
//   learner_rows.c     the same of rows
//   learner_balance.c  products of tasks' gradients, what balancing makes of them
//   learner_moments.c  moving moments of inputs
//   learner_late.c     auxiliary classifiers of late labels
//   learner_changes.c  what changed, slices, new domains
//   learner_life.c     rows that leave; the bound on memory
//   learner_save.c     state to bytes and back
//   learner_cut.c      a cut of the state, copied while learning goes on; and its loading
#ifndef FRESHET_TRAINER_LEARNER_INSIDE_H
#define FRESHET_TRAINER_LEARNER_INSIDE_H

#include "model/table_cut.h"
#include "trainer/balance.h"
#include "trainer/lanes.h"
#include "trainer/late.h"
#include "trainer/learner.h"
#include "trainer/optimise.h"
#include "trainer/touched.h"

#define LEARNER_ROWS_PIECE 128     // rows of a table that one item of work takes
#define LEARNER_DENSE_PIECE 8192   // elements of a tensor, about
#define LEARNER_SHARE_MOMENTUM .01 // of a task's moving labelled share
#define LEARNER_SHARE_FLOOR .01
#define LEARNER_SQUARE_MAX 1e36 // a squared norm beyond would overflow accumulators

// One worker's own memory.
struct learner_worker {
    struct model_scratch *predict;
    real *logits;   // [tasks][lane rows]
    real *gradient; // gradient_scratch
    real *row;      // one row's combined gradient
    size_t *counts; // [domains + 1]
    struct id_set set;
    real *network; // network_scratch
};
// Rows [first, first + rows) of a tensor: an item of the phases over dense weights.
struct dense_piece {
    size_t tensor, first, rows;
    double combined; // squared norm after balancing
};
struct row_piece {
    size_t table, first, count; // of touched rows
    uint64_t skipped;
};
// What a lane found.
struct lane_report {
    double loss[MODEL_TASKS_MAX];
    uint64_t labelled[MODEL_TASKS_MAX];
    uint64_t skipped;
};

struct learner {
    struct learner_settings settings; // target_task and tables are not kept
    double task_weights[MODEL_TASKS_MAX];
    size_t target, tasks;
    struct model *model;
    struct lanes *lanes;
    size_t lane_rows;
    struct learner_worker *workers;

    // State that is saved.
    real *state;           // [1 or 2][weight_elements]: accumulators, or Adam's moments
    uint64_t *steps;       // [tensors] taken
    double *balance_state; // [decisions][tasks][state_size]; a decision a block (tensor, then
                           // table), or one in all
    double labelled_share[MODEL_TASKS_MAX];
    bool share_known[MODEL_TASKS_MAX];
    struct late late;        // auxiliary classifiers: weights and accumulators
    uint64_t step;           // steps taken
    bool *domain_known;      // [domains] has parameters of its own
    bool *tensor_changed;    // [tensors]
    struct touched *touched; // [tables]
    struct table_cut *cuts;  // [tables] marks of rows changed since the last cut; its copying
    struct life *lives;      // [life_count: tables] rules, and what they count
    size_t life_count;
    struct row_optimiser *row_optimisers; // [tables]

    // Memory of a step.
    struct activations act;
    struct lane *lane; // [lanes]
    struct segment *segments;
    real *sequence_gradients; // [lanes][tasks][weights of sequences]
    size_t lane_count;        // in use by this batch
    struct lane_report *lane_reports;
    float *logits; // [tasks][batch_rows], row r of task k at k * rows of the batch + r
    uint32_t *domains, *positions; // [batch_rows]
    size_t *settling; // [settling_count] of [domains + 1]: to be brought up to date before use
    size_t settling_count;
    uint32_t *slots;       // [categorical][batch_rows]
    uint32_t **list_slots; // [multi]
    size_t *list_capacity;
    real *gradients; // [passes][weight_elements]
    struct piece *pieces;
    size_t piece_count;
    struct dense_piece *dense;
    size_t dense_count;
    struct row_piece *rows;
    size_t row_count, row_capacity;
    double *factors;  // [blocks][tasks] of gradients, by balancing
    double *products; // [pieces: dense, then rows][tasks][tasks] of tasks' gradients, i >= j
    size_t products_capacity; // pieces
    double *scales; // [tensors] of the combined gradient: 0 = no step, less than 1 = clipped
    enum status *table_status; // [tables]
    struct error *table_error; // [tables]
    bool *domain_labelled;     // [domains][tasks]

    // Of the step under way.
    const struct minibatch *batch;
    struct learner_report *report;
    bool active[MODEL_TASKS_MAX]; // has labels
    bool active_passes[MODEL_TASKS_MAX];
    size_t passes; // 1: all tasks at once; else one a task
    bool summed;
    double alpha[MODEL_TASKS_MAX]; // of a task's dense gradients
};

static inline real *learner_gradient(const struct learner *learner, size_t pass, size_t tensor) {
    return learner->gradients + pass * learner->model->weight_elements +
           learner->model->traits[tensor].offset;
}
static inline size_t learner_table_block(const struct learner *learner, size_t table) {
    return learner->model->tensor_count + table;
}
// A weight of the trunk and what else tasks share; never a tower's.
static inline bool learner_is_shared(const struct learner *learner, size_t tensor) {
    const struct tensor_traits *traits = &learner->model->traits[tensor];
    return traits->role == TENSOR_WEIGHT && !traits->frozen && traits->task == NETWORK_NONE;
}
// Whether pass's gradient of a tensor's shared columns exists.
bool learner_pass_present(const struct learner *learner, size_t tensor, size_t pass);

// A domain and what all share join `settling` unless they are up to date.
void learner_settle_need(struct learner *learner, size_t domain);
void learner_settle_batch(struct learner *learner); // all domains of learner->batch, at once
size_t learner_settle_items(const struct learner *learner); // then settling_count is set to 0
void learner_settle_item(struct learner *learner, size_t item);

void learner_lanes_cut(struct learner *learner); // learner->batch into lanes

// Phases; those named _work are items for lanes_run.
void learner_dense_combine_work(void *self, size_t item, size_t worker);
void learner_dense_step_work(void *self, size_t item, size_t worker);
void learner_rows_sum(struct learner *learner, struct row_piece *piece);
void learner_rows_step(struct learner *learner, struct row_piece *piece, size_t worker);
void learner_dense_decide(struct learner *learner); // which tensors step, how far; marks changes

// A lane's inputs, forward pass, losses and slopes of the logits, into its report.
void learner_lane_forward(struct learner *learner, size_t item, size_t worker);
// Sums the lanes' reports: mean losses of the labelled rows.
void learner_losses_sum(const struct learner *learner, double *ret_losses, uint64_t *ret_labelled);

size_t learner_balance_state_count(const struct learner *learner); // numbers
CHECKED enum status learner_products_reserve(struct learner *learner, struct error *err);
void learner_rows_products(struct learner *learner, size_t item);
void learner_balance(struct learner *learner);    // factors of all blocks, and the report
void learner_look_again(struct learner *learner); // the method's `after`, once all has stepped

// learner_save.c: all of a cut but its rows; the tables' slots are in learner->cuts.
CHECKED enum status learner_head_save(const struct learner *learner, const struct sink *sink,
                                      struct error *err);
CHECKED enum status learner_head_load(struct learner *learner, const struct source *source,
                                      struct error *err);

// learner_life.c
size_t learner_fixed_bytes(const struct learner *learner); // all but rows
size_t learner_row_bytes(const struct learner *learner, size_t table);
CHECKED enum status learner_look(struct learner *learner, struct error *err); // after a step
// What the tables' items of work came to: the first failure.
CHECKED enum status learner_tables_status(const struct learner *learner, struct error *err);

size_t learner_moment_items(const struct learner *learner);
void learner_moments_move(struct learner *learner, size_t item);

#endif
