// Balancing: how tasks' gradients on shared blocks combine. One table of methods.
//
// A method turns what is known of one minibatch (scalar products of the tasks' gradients, their
// losses) into a coefficient a task; the step taken is the sum of coefficient times gradient. A
// block is a shared tensor, or the touched rows of an embedding table; tensors of one task and the
// wide part are towers and never balanced. Methods that work block by block (MetaBalance) see one
// block's products, the others those of all blocks together.
//
// Coefficients keep to one convention, the sum: equal treatment of n tasks is 1 each. Methods whose
// papers work with means (CAGrad, MGDA, IMTL-G, FAMO) are multiplied by the number of tasks.
//
//   metabalance  He et al., WWW 2022: auxiliary norms are brought towards the target task's
//   pcgrad       Yu et al., NeurIPS 2020: projects away what conflicts, in random order
//   cagrad       Liu et al., NeurIPS 2021: the worst task's gain within a ball about the mean
//   mgda         Sener and Koltun, NeurIPS 2018: the shortest gradient of the convex hull
//   imtl_g       Liu et al., ICLR 2021: equal projections on the tasks' directions
//   uncertainty  Kendall et al., CVPR 2018: e^-s L + s / 2, s learnt
//   dwa          Liu et al., CVPR 2019: softmax of how slowly losses fall, over windows of steps
//   famo         Liu et al., NeurIPS 2023: log losses fall alike; looks at the minibatch again
//
// A task without labels in the minibatch, or whose gradient is not finite, is not present: it has
// no part in a decision, and its state stands still.
#ifndef FRESHET_TRAINER_BALANCE_H
#define FRESHET_TRAINER_BALANCE_H

#include "trainer/learner.h"

// One minibatch, as a method sees it.
struct balance_view {
    size_t tasks, target; // target: MetaBalance
    bool present[MODEL_TASKS_MAX];
    const double *products;       // [tasks][tasks] of gradients; see `products` below
    double loss[MODEL_TASKS_MAX]; // mean over labelled rows, times the task's weight
    uint64_t seed, step;          // what random draws depend on
};
enum balance_products {
    BALANCE_PRODUCTS_NONE,   // reads losses only
    BALANCE_PRODUCTS_TARGET, // squares, and each task's product with the target's
    BALANCE_PRODUCTS_ALL,
};
struct balance_method {
    enum balance_products products;
    bool by_block;     // one decision a block, else one for all blocks
    size_t state_size; // numbers a task and decision that are saved; all begin at 0
    // Coefficients [tasks] of the tasks present, 1 for others. state: [tasks][state_size].
    void (*weigh)(const struct learner_settings *settings, const struct balance_view *view,
                  double *state, double *ret_coefficients);
    // The same minibatch's losses once the step is taken. NULL where there is no need.
    void (*after)(const struct learner_settings *settings, const struct balance_view *view,
                  const double *losses, double *state);
};
const struct balance_method *balance_method(int balance); // enum learner_balance
// The settings' method. All coefficients are finite; where it has no answer (no task present) they
// are 1.
void balance_weigh(const struct learner_settings *settings, const struct balance_view *view,
                   double *state, double *ret_coefficients);

// The methods' parts, one file a family; called through the table.
void metabalance_weigh(const struct learner_settings *settings, const struct balance_view *view,
                       double *state, double *ret_coefficients);
void pcgrad_weigh(const struct learner_settings *settings, const struct balance_view *view,
                  double *state, double *ret_coefficients);
void cagrad_weigh(const struct learner_settings *settings, const struct balance_view *view,
                  double *state, double *ret_coefficients);
void mgda_weigh(const struct learner_settings *settings, const struct balance_view *view,
                double *state, double *ret_coefficients);
void imtl_g_weigh(const struct learner_settings *settings, const struct balance_view *view,
                  double *state, double *ret_coefficients);
void uncertainty_weigh(const struct learner_settings *settings, const struct balance_view *view,
                       double *state, double *ret_coefficients);
void dwa_weigh(const struct learner_settings *settings, const struct balance_view *view,
               double *state, double *ret_coefficients);
void famo_weigh(const struct learner_settings *settings, const struct balance_view *view,
                double *state, double *ret_coefficients);
void famo_after(const struct learner_settings *settings, const struct balance_view *view,
                const double *losses, double *state);

enum { METABALANCE_MEAN, METABALANCE_COUNT, METABALANCE_STATE };
enum { DWA_SUM, DWA_COUNT, DWA_LAST, DWA_BEFORE, DWA_STEPS, DWA_STATE };

#endif
