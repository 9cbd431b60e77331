// The learner: a model with its optimisers, lanes and balancer. Takes minibatches, knows no records.
//
// A minibatch is cut into a fixed number of lanes, part of the model's identity; worker threads take
// lanes; every reduction runs over fixed blocks in a fixed order. So results never depend on the number
// of threads. Prediction is cut into blocks of `lane_rows` rows the same way.
#ifndef FRESHET_TRAINER_LEARNER_H
#define FRESHET_TRAINER_LEARNER_H

#include "model/model.h"

enum learner_balance { LEARNER_BALANCE_FIXED, LEARNER_BALANCE_METABALANCE };
enum learner_strategy { LEARNER_STRATEGY_A, LEARNER_STRATEGY_B, LEARNER_STRATEGY_C };
enum learner_optimiser { LEARNER_ADAGRAD, LEARNER_ADAM };
enum learner_row_optimiser { LEARNER_ROW_ADAGRAD /* one accumulator a row */,
                             LEARNER_ROW_ADAGRAD_FULL, LEARNER_ROW_ADAM };

struct learner_settings {
    int64_t batch_rows;       // minibatch size B
    int64_t lanes;            // divides batch_rows
    int64_t threads;          // workers; never changes a result
    int optimiser;            // dense
    double learning_rate;
    double accumulator_init;
    int row_optimiser;
    double row_learning_rate;
    double gradient_clip;     // on the norm of a row's or tensor's gradient; 0 = off
    int balance;
    int strategy;             // MetaBalance
    const char *target_task;  // MetaBalance; required there
    double relax;             // MetaBalance's r
    double beta;              // MetaBalance's beta
    double balance_limit;     // ||G'_aux|| <= limit * m_target
};
extern const struct option_table learner_options;

struct learner;

CHECKED enum status learner_new(const struct model_spec *spec,
                                const struct learner_settings *settings,
                                const double *task_weights /* [tasks] */, size_t target_task,
                                struct learner **ret_learner, struct error *err);
void learner_free(struct learner *learner);
struct model *learner_model(struct learner *learner);

// logits[task * batch->rows + row], by the model as it stands. Threads share the blocks.
CHECKED enum status learner_predict(struct learner *learner, const struct minibatch *batch,
                                    float *logits, struct error *err);

struct learner_report {
    double loss[32];        // mean weighted loss a task over its labelled rows, 0 without any
    uint64_t labelled[32];
    double norm[32];        // of the shared gradients, a task
    double cosine[32];      // to the target's
    double applied[32];     // mean factor that balancing applied
    uint64_t skipped_rows;  // rows dropped for a NaN or infinite loss or gradient
};
// One step on all rows of the batch: forward, K backward passes, balance, update. event_time_ms decays
// accumulators where set.
CHECKED enum status learner_step(struct learner *learner, const struct minibatch *batch,
                                 struct learner_report *ret_report, struct error *err);

// What changed since the last learner_changes_clear, in a fixed order (tables, then slots in order of
// first touch). Tensors: those stepped.
CHECKED enum status learner_each_changed_row(
    struct learner *learner,
    enum status (*each)(void *self, size_t table, uint64_t id, const float *values, struct error *err),
    void *self, struct error *err);
// All rows whose hash_mix(id) >> (64 - bits) == slice, tables in order, rows in order of insertion.
CHECKED enum status learner_each_row_in_slice(
    struct learner *learner, uint32_t slice, uint32_t bits,
    enum status (*each)(void *self, size_t table, uint64_t id, const float *values, struct error *err),
    void *self, struct error *err);
bool learner_tensor_changed(const struct learner *learner, size_t tensor);
void learner_changes_clear(struct learner *learner);

// A new domain takes over `unknown`'s parameters (copied) the first time it is seen.
CHECKED enum status learner_domain_add(struct learner *learner, uint32_t domain, struct error *err);

// Everything: tensors, rows, optimiser state, balancer state, counters, pending change marks. Equal
// states give equal bytes.
CHECKED enum status learner_save(const struct learner *learner, const struct sink *sink,
                                 struct error *err);
CHECKED enum status learner_load(struct learner *learner, const struct source *source,
                                 struct error *err); // STATUS_CORRUPT, STATUS_CHANGED (other spec)
uint64_t learner_fingerprint(const struct learner *learner); // of tensors, rows and optimiser state

#endif
