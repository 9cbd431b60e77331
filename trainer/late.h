// Late conversions: what a label policy makes of a row's loss, and the auxiliary classifiers it
// asks.
//
// Under a policy that does not wait, training sees labels that are not final yet, and some
// impressions twice. The loss  -w+ y log f - w- (1 - y) log(1 - f),  with weights that no gradient
// goes through, has the expected gradient of the final labels' again:
//   fnw     w+ = 1 + f            w- = (1 - f)(1 + f)            Ktena et al., RecSys 2019, eq. 8
//   es_dfm  w+ = 1 + d            w- = (1 + d) r                 Yang et al., AAAI 2021, eq. 12
//   defer   w+ = f / (f - d / 2)  w- = (1 - f) / (1 - f + d / 2) Gu et al., KDD 2021, eq. 13
// f is the model's own probability, d = P(positive, and later than the wait), r = P(negative, of
// those that were not positive by the wait). d never exceeds f, so f - d / 2 >= f / 2: it is held
// to that, which bounds defer's weights by 2 and 1.
//
// d and r come from classifiers, one each a task: logistic regressions over what the task's tower
// reads and its logit, with Adagrad, in double. They learn from final labels and send nothing back
// into the network.
#ifndef FRESHET_TRAINER_LATE_H
#define FRESHET_TRAINER_LATE_H

#include "model/network.h"

#define LATE_HEADS_MAX (2 * MODEL_TASKS_MAX)
#define LATE_LOGIT_MAX 10.0 // what a classifier reads of the tower's logit is cut to +- this

struct late_weights {
    double positive, negative;
};
// labels: enum model_labels. f, delayed (d) and sure (r) in [0, 1]; those that the policy has no
// use for are not looked at. 1 and 1 under wait and fnc.
struct late_weights late_weights_of(uint32_t labels, double f, double delayed, double sure);

enum late_kind { LATE_DELAYED, LATE_REAL };
struct late_head {
    size_t task;
    enum late_kind kind;
};
// The classifiers that tasks' policies ask, in order of tasks; at most LATE_HEADS_MAX.
size_t late_heads_of(const uint32_t *labels, size_t tasks, struct late_head *ret_heads);

struct late {
    struct late_head heads[LATE_HEADS_MAX];
    size_t count, inputs; // inputs: of the tower, its logit, 1
    size_t lanes;
    double *weights;      // [count][inputs]
    double *accumulators; // [count][inputs]
    double *sums;         // [lanes][count][inputs + 1]: gradient, then weight of rows
};
// Nothing is allocated where there are no classifiers. They begin at d = .05, r = .95: near the
// plain loss.
CHECKED enum status late_init(struct late *late, const struct model *model, size_t lanes,
                              double accumulator_init, struct error *err);
void late_deinit(struct late *late);
// A classifier's log-odds at a position of the activations.
double late_logit(const struct late *late, const struct model *model, const struct activations *act,
                  size_t head, size_t position);
// A row's label and weight under its policy, in place: w+ y + w- (1 - y), and the share of the
// first term. logits: of the row, as the towers gave them.
void late_weigh(const struct late *late, const struct model *model, const struct activations *act,
                size_t task, size_t position, const real *logits, double *label, double *weight);
// Sums of a lane's gradients; labels and weights [count][capacity] by row. Then a step with the
// sums of all lanes, added up in order.
void late_sum(struct late *late, const struct model *model, const struct activations *act,
              const struct lane *lane, size_t at, const struct minibatch *batch);
void late_step(struct late *late, size_t lanes, double rate);

#endif
