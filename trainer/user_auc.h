// AUC within users, weighted by their labels: does the model order what one user is shown?
//
// How it works: the newest `entries_max` labels of a task are kept in a ring, chained by user. Each
// new label is compared with those of its user that are still there (at most USER_AUC_PAIRS of
// them), and the user's share of pairs in the right order (ties half) takes its old one's place in
// the sums. Users whose labels have all left the ring keep their last share in the sums and count
// anew when they return. As long as nothing left the ring, and no user has more labels than are
// compared, the value is the exact mean over users with both classes, weighted by their labels. All
// additions happen in the order of the calls: equal streams give equal bits.
#ifndef FRESHET_TRAINER_USER_AUC_H
#define FRESHET_TRAINER_USER_AUC_H

#include "base/memory.h"
#include "base/wire.h"

#define USER_AUC_PAIRS 256 // labels of a user that a new one is compared with

struct user_auc;

struct user_auc_measures {
    double auc;     // NaN without a user of both classes
    double error;   // standard error, from the spread between users; NaN with fewer than 2
    uint64_t users; // of both classes, counted anew when they return
    double labels;  // of those users
};

CHECKED enum status user_auc_new(size_t entries_max, struct user_auc **ret_auc, struct error *err);
void user_auc_free(struct user_auc *auc); // NULL is fine
// User 0 (unknown) does not count. logit finite.
void user_auc_add(struct user_auc *auc, uint64_t user, float logit, bool positive);
struct user_auc_measures user_auc_measure(const struct user_auc *auc);
void user_auc_save(const struct user_auc *auc, struct buffer *into);
// Into a new one of the same size. STATUS_CORRUPT, STATUS_CHANGED.
CHECKED enum status user_auc_load(struct user_auc *auc, struct wire *in, struct error *err);

#endif
