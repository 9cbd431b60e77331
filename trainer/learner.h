// The learner: a model with its optimisers, lanes and balancer. Takes minibatches, knows no
// records.
//
// A minibatch is cut into a fixed number of lanes, part of the model's identity; worker threads
// take lanes; every reduction runs over fixed blocks in a fixed order. So results never depend on
// the number of threads. Prediction is cut into blocks of a lane's rows the same way, so it gives
// the very logits that training on the same batch would start from. One owner thread; workers are
// the learner's own.
#ifndef FRESHET_TRAINER_LEARNER_H
#define FRESHET_TRAINER_LEARNER_H

#include "base/disk.h"
#include "model/model.h"

enum learner_balance { // trainer/balance.h says what each does
    LEARNER_BALANCE_FIXED,
    LEARNER_BALANCE_METABALANCE,
    LEARNER_BALANCE_PCGRAD,
    LEARNER_BALANCE_CAGRAD,
    LEARNER_BALANCE_MGDA,
    LEARNER_BALANCE_IMTL_G,
    LEARNER_BALANCE_UNCERTAINTY,
    LEARNER_BALANCE_DWA,
    LEARNER_BALANCE_FAMO,
    LEARNER_BALANCES
};
enum learner_strategy { LEARNER_STRATEGY_A, LEARNER_STRATEGY_B, LEARNER_STRATEGY_C };
enum learner_optimiser { LEARNER_ADAGRAD, LEARNER_ADAM };
enum learner_schedule { // trainer/schedule.h
    LEARNER_SCHEDULE_CONSTANT,
    LEARNER_SCHEDULE_INVERSE_SQRT,
    LEARNER_SCHEDULE_STEP
};
enum learner_row_optimiser {
    LEARNER_ROW_ADAGRAD /* one accumulator a row */,
    LEARNER_ROW_ADAGRAD_FULL,
    LEARNER_ROW_ADAM,
    LEARNER_ROW_FTRL
};

struct learner_settings {
    int64_t batch_rows; // minibatch size B
    int64_t lanes;      // divides batch_rows
    int64_t threads;    // workers; never changes a result
    int optimiser;      // dense
    double learning_rate;
    double accumulator_init;
    int row_optimiser;
    double row_learning_rate;
    double wide_learning_rate;
    double late_learning_rate;  // of the auxiliary classifiers of late labels (late.h)
    int schedule;               // of the rates of dense weights, rows and wide part
    int64_t schedule_steps;     // S
    double schedule_decay;      // under `step`
    double learning_rate_floor; // no scheduled rate falls below
    double gradient_clip;       // on the norm of a row's or tensor's gradient; infinite = off
    int balance;
    int strategy;                  // MetaBalance
    const char *target_task;       // MetaBalance; required there
    double relax;                  // MetaBalance's r
    double beta;                   // MetaBalance's beta
    double balance_limit;          // MetaBalance: ||G'_aux|| <= limit * m_target; infinite = off
    double caution;                // CAGrad's c
    double temperature;            // DWA's T
    int64_t balance_window;        // DWA: labelled steps of a window
    double balance_rate;           // uncertainty, FAMO: learning rate of their weights
    double balance_decay;          // FAMO: weight decay of its weights
    int64_t memory_max;            // bytes of weights, optimisers' state and rows; 0 = no bound
    struct option_sections tables; // struct table_rule (trainer/rules.h)
};
extern const struct option_table learner_options;

struct learner;

// task_weights: factors of the losses, >= 0. target_task: index of settings->target_task (used
// under MetaBalance only). Borrows nothing. STATUS_INVALID: the spec does not hold together, lanes
// do not divide batch_rows, balancing with one task, MetaBalance without a target, a rule of a
// table that does not fit, a value out of range.
CHECKED enum status learner_new(const struct model_spec *spec,
                                const struct learner_settings *settings,
                                const double *task_weights /* [tasks] */, size_t target_task,
                                struct learner **ret_learner, struct error *err);
void learner_free(struct learner *learner);
struct model *learner_model(struct learner *learner);

// logits[task * batch->rows + row], by the model as it stands. Threads share the blocks.
CHECKED enum status learner_predict(struct learner *learner, const struct minibatch *batch,
                                    float *logits, struct error *err);

// Shared parameters in groups, for readers of a step's report.
enum learner_group {
    LEARNER_GROUP_ALL,
    LEARNER_GROUP_TRUNK,      // experts, shared gates, under ESMM the towers that are given
    LEARNER_GROUP_INPUTS,     // normalisation
    LEARNER_GROUP_AUXILIARY,  // STAR's auxiliary network and the domains' embeddings
    LEARNER_GROUP_EMBEDDINGS, // touched rows
    LEARNER_GROUPS
};
extern const char *const learner_group_names[LEARNER_GROUPS];

// Of the tasks' gradients on one group. Zeroes, and 1 for `applied`, where nothing was computed:
// under fixed weights, and norms and cosines under methods that read losses only.
struct learner_group_report {
    double norm[MODEL_TASKS_MAX];
    double cosine[MODEL_TASKS_MAX];  // to the target's (MetaBalance), or to the sum of the others'
    double applied[MODEL_TASKS_MAX]; // coefficient of balancing, mean over blocks
};
struct learner_report {
    double loss[MODEL_TASKS_MAX];       // sum of weight x logloss / labelled rows, 0 without any
    uint64_t labelled[MODEL_TASKS_MAX]; // rows with a weight other than 0, skipped ones left out
    struct learner_group_report groups[LEARNER_GROUPS];
    // Entropy of a task's gate over that of even use, mean over the first lane's rows; 0 without.
    double gate_entropy[MODEL_TASKS_MAX];
    uint64_t skipped_rows;    // rows dropped for a NaN or infinite label, weight or logit
    uint64_t skipped_updates; // tensors and table rows that kept still: their gradient overflowed
};
// One step on all rows of the batch (at most batch_rows; 0 rows change nothing): forward, a
// backward pass for each task (one for all where fixed weights allow), balance, update.
// STATUS_INVALID: too many rows; STATUS_EXHAUSTED: memory is out, and the learner is then good for
// nothing but learner_free.
CHECKED enum status learner_step(struct learner *learner, const struct minibatch *batch,
                                 struct learner_report *ret_report, struct error *err);

// One step of the auxiliary classifiers that the tasks' label policies ask (late.h, late_heads_of):
// the batch's labels and weights are theirs, [heads][capacity], weight 0 = not in its sample.
// Nothing else of the model changes. STATUS_INVALID: more than batch_rows rows.
CHECKED enum status learner_learn_late(struct learner *learner, const struct minibatch *batch,
                                       struct error *err);

// Whether a step's own forward pass gives predictions: not where rows may be drawn to stand in for
// unknown domains.
bool learner_step_predicts(const struct learner *learner);
// logits[task * rows + row] of the last step's batch, by the model as it stood before the step,
// with rows made for new ids: what learner_predict would have given after that, to the bit (but for
// an id that its rule admits in the middle of the batch: before, it reads the default row).
// Only where learner_step_predicts.
const float *learner_step_logits(const struct learner *learner);

// A table's rows, and what has become of its ids since the model began; saved, not kept where no
// rule and no bound on memory holds.
struct learner_table_life {
    bool ruled;
    size_t rows, row_bytes;           // with optimiser's state, index and marks
    int64_t rows_max;                 // 0 = no bound of its own
    uint64_t admitted;                // rows made
    uint64_t unadmitted;              // sightings of ids without a row that made none
    uint64_t aged, unused, displaced; // rows that left: by age, by use, for room
};
struct learner_table_life learner_table_life(const struct learner *learner, size_t table);

// Rows are given as model_table_width values each. What changed since the last
// learner_changes_clear, in a fixed order (tables, then slots in order of first touch). Tensors:
// those stepped.
CHECKED enum status learner_each_changed_row(struct learner *learner,
                                             enum status (*each)(void *self, size_t table,
                                                                 uint64_t id, const float *values,
                                                                 struct error *err),
                                             void *self, struct error *err);
// Ids whose rows left since then and that have none now, with values NULL: tables in order, first
// gone first, an id that left twice twice.
CHECKED enum status learner_each_gone(struct learner *learner,
                                      enum status (*each)(void *self, size_t table, uint64_t id,
                                                          const float *values, struct error *err),
                                      void *self, struct error *err);
// All rows whose hash_mix(id) >> (64 - bits) == slice, tables in order, rows in order of slots.
CHECKED enum status
learner_each_row_in_slice(struct learner *learner, uint32_t slice, uint32_t bits,
                          enum status (*each)(void *self, size_t table, uint64_t id,
                                              const float *values, struct error *err),
                          void *self, struct error *err);
// Takes every tensor and row for changed: somebody has written into them. STATUS_EXHAUSTED.
CHECKED enum status learner_changed_all(struct learner *learner, struct error *err);
bool learner_tensor_changed(const struct learner *learner, size_t tensor);
void learner_changes_clear(struct learner *learner);

// A new domain takes over `unknown`'s parameters (copied) the first time it is seen; nothing
// happens for one that has them already. STATUS_INVALID beyond domains_max; no effect without
// domains.
CHECKED enum status learner_domain_add(struct learner *learner, uint32_t domain, struct error *err);

// Everything: tensors, rows, optimiser state, balancer state, counters, pending change marks. Equal
// states give equal bytes.
CHECKED enum status learner_save(const struct learner *learner, const struct sink *sink,
                                 struct error *err);
CHECKED enum status learner_load(struct learner *learner, const struct source *source,
                                 struct error *err); // STATUS_CORRUPT, STATUS_CHANGED (other spec)
// The same in parts, so that learning goes on while it is copied. learner_cut takes a cut: what is
// small goes into the sink at once; the rows, all of them (`whole`) or those that changed since the
// last cut, follow by learner_cut_copy, as they were at the cut, whatever has been learnt since.
// Until all are copied no further cut is taken.
CHECKED enum status learner_cut(struct learner *learner, bool whole, const struct sink *sink,
                                struct error *err);
size_t learner_cut_bytes(const struct learner *learner);  // that the rows of a cut now would take
bool learner_cut_complete(const struct learner *learner); // a cut now would be whole in any case
// Appends blocks of about rows_max rows in all, numbered with the cut's `number`; *ret_done: no
// more are left. Each block carries its own checksum.
CHECKED enum status learner_cut_copy(struct learner *learner, uint64_t number, size_t rows_max,
                                     struct buffer *into, bool *ret_done, struct error *err);
// Loads: the sink's bytes; then the blocks of a whole cut and of all cuts that followed, in order
// of their numbers, in one or several files; then the end, after which rows count as unchanged.
// Workers read and place blocks side by side. STATUS_CORRUPT, STATUS_CHANGED.
CHECKED enum status learner_restore(struct learner *learner, const struct source *source,
                                    struct error *err);
CHECKED enum status learner_restore_blocks(struct learner *learner, struct disk_file *file,
                                           uint64_t length, struct error *err);
CHECKED enum status learner_restore_end(struct learner *learner, struct error *err);
// After a failed load the learner is good for nothing but learner_free or another load.
uint64_t learner_fingerprint(const struct learner *learner); // of all saved state but change marks

#endif
