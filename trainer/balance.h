// MetaBalance (He et al., WWW 2022): scales the gradients of auxiliary tasks on shared blocks.
//
// A block is a shared tensor, or the touched rows of an embedding table. For each block and task a
// moving average m of the gradient's norm, corrected for its start by its own count of updates:
// m <- beta m + (1 - beta) |G|. An auxiliary gradient is multiplied by r m_target / m_aux + 1 - r
// and added to the target's. A task without labels in a minibatch is left out: its averages stand
// still.
#ifndef FRESHET_TRAINER_BALANCE_H
#define FRESHET_TRAINER_BALANCE_H

#include "trainer/learner.h"

struct balance_average {
    double mean;
    uint64_t count;
};
struct balance_rule {
    int strategy; // enum learner_strategy
    double relax, beta, limit;
};
// One block: norms of the tasks present (others are not read) into their averages, then factors
// [tasks] of the gradients: 1 for the target, for tasks absent, and where the target has no history
// or a task's average is 0.
void balance_block(const struct balance_rule *rule, struct balance_average *averages /* [tasks] */,
                   const double *norms, const bool *present, size_t tasks, size_t target,
                   double *ret_factors);

#endif
