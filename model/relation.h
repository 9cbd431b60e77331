// How tasks relate: each on its own, or, under ESMM (Ma et al., SIGIR 2018), a task that is `given`
// another is the product of both, over all impressions: pCTCVR = pCTR pCVR. Chains may be longer.
//
// A tower's logit then stands for its own factor (pCVR); what is predicted, measured and served for
// the task is the product, as log-odds. There is no loss of the factor alone.
#ifndef FRESHET_MODEL_RELATION_H
#define FRESHET_MODEL_RELATION_H

#include "model/network.h"

// From the towers' logits of one row to what is predicted, in place.
void relation_predict(const struct model *model, real *logits /* [tasks] */);
// Log loss of a task's label (of its chain as a whole) under the towers' logits; adds factor times
// its derivatives to slopes.
double relation_loss(const struct model *model, size_t task, const real *logits /* [tasks] */,
                     double label, double factor, real *slopes /* [tasks] */);

#endif
