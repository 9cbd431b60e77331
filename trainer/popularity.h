// How often an id comes, estimated from the stream in fixed memory: the bucket (head, torso, tail)
// that a prediction is measured under.
//
// How it works (Yi et al., RecSys 2019, algorithm 2): B[h] is a moving average of how many
// impressions lie between two of an id's, A[h] when it came last; its share is 1 / B. Two arrays
// with hashes of their own, of which the greater B counts: a collision makes an id look more
// frequent, never less. Buckets are by share of impressions: the most frequent ids that together
// made up the first `head` of all impressions so far are the head, those that made up the last
// `tail` the tail; an id that was never seen is of the tail. So no threshold needs tuning to the
// stream. An impression is put into its bucket before it is counted: nothing looks ahead.
#ifndef FRESHET_TRAINER_POPULARITY_H
#define FRESHET_TRAINER_POPULARITY_H

#include "base/memory.h"
#include "base/wire.h"
#include "config/option.h"
#include "trainer/evaluate.h"

struct popularity_settings {
    const char *feature; // categorical; "" = no buckets
    double head, tail;   // shares of impressions
    double rate;         // of the moving average
    int64_t slots;       // of each array
};
extern const struct option_table popularity_options;

struct popularity;

CHECKED enum status popularity_new(const struct popularity_settings *settings,
                                   struct popularity **ret_popularity, struct error *err);
void popularity_free(struct popularity *popularity); // NULL is fine
// The bucket of an id by what came before, and counts it. Id 0 (missing) is EVALUATE_ANY.
enum evaluate_bucket popularity_see(struct popularity *popularity, uint64_t id);
// Estimated share of impressions; 0 = never seen.
double popularity_share(const struct popularity *popularity, uint64_t id);
void popularity_save(const struct popularity *popularity, struct buffer *into);
// Into a new one of the same settings. STATUS_CORRUPT, STATUS_CHANGED (another number of slots).
CHECKED enum status popularity_load(struct popularity *popularity, struct wire *in,
                                    struct error *err);

#endif
