// How tasks relate: each on its own, or, under ESMM (Ma et al., SIGIR 2018), a task that is `given`
// another is the product of both, over all impressions: pCTCVR = pCTR pCVR. Chains may be longer.
//
// A tower's logit then stands for its own factor (pCVR); what is predicted, measured and served for
// the task is the product, as log-odds. There is no loss of the factor alone.
#ifndef FRESHET_MODEL_RELATION_H
#define FRESHET_MODEL_RELATION_H

#include "model/network.h"

// From the towers' logits of one row to what is predicted, in place: products under ESMM; under FNC
// (Ktena et al., RecSys 2019) p = b / (1 - b), because the tower learns the share b of a stream in
// which every positive also came as a negative, and RELATION_CORRECTED_MOST at most; then the
// shift of a task whose negatives were sampled (He et al., ADKDD 2014, section 6.3).
#define RELATION_CORRECTED_MOST .999
void relation_predict(const struct model *model, real *logits /* [tasks] */);
// The probability of a task's label under the towers' logits; of the whole chain under ESMM.
double relation_probability(const struct model *model, size_t task,
                            const real *logits /* [tasks] */);
// Log loss of a task's label (of its chain as a whole) under the towers' logits; adds factor times
// its derivatives to slopes.
double relation_loss(const struct model *model, size_t task, const real *logits /* [tasks] */,
                     double label, double factor, real *slopes /* [tasks] */);

#endif
