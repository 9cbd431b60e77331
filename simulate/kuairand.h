// Loads KuaiRand (Gao et al., CIKM 2022) into the three logs of events, in event-time order.
//
// A row of the log becomes an impression in the form of schemas/kuairand_impression.avsc at
// `time_ms`, with the features of its user and video joined in (null where their files lack them),
// and feedback:
//
//   is_click    a click 1 to 10 s later: the data has no click time, so that the delay is drawn by
//   a
//               hash of the impression's id
//   long_view   a conversion of kind `long_view` at time_ms + play_time_ms, when it was seen to be
//   one is_like     a conversion of kind `like` half-way through what was played
//
// An impression's id is USER-VIDEO-TIME, so that the data's own duplicates stay duplicates (with
// `unique_ids` the row's number stands behind it, and they do not). Counts
// that have no natural categories are bucketed in half octaves.
#ifndef FRESHET_SIMULATE_KUAIRAND_H
#define FRESHET_SIMULATE_KUAIRAND_H

#include <stdatomic.h>

#include "config/option.h"
#include "log/log.h"

struct kuairand_settings {
    const char
        *directory; // holds log_standard*, user_features*, video_features_basic*: .csv or .csv.gz
    const char *impressions, *clicks, *conversions; // topics
    int64_t partitions;
    int64_t rows_max; // 0 = all
    bool unique_ids;  // repeated rows get ids of their own
    bool finish;      // mark the topics as ended
};
extern const struct option_table kuairand_options;

struct kuairand_account {
    uint64_t rows_read;
    uint64_t users, videos; // with features
    uint64_t rows_without_user, rows_without_video;
    uint64_t impressions, clicks, long_views, likes; // written
    uint64_t events; // of impressions, clicks and conversions, to be written in all
};

// Loads everything; progress (may be NULL) is called now and then with the account so far.
// STATUS_NOT_FOUND: a file is missing, named; STATUS_INVALID: file, line and column; STATUS_STOPPED
// when *stop (may be NULL) was set, with what was committed by then; and errors of the log.
CHECKED enum status
kuairand_load(struct log *log, const struct kuairand_settings *settings,
              void (*progress)(void *self, const struct kuairand_account *account), void *self,
              const atomic_bool *stop, struct kuairand_account *ret_account, struct error *err);

#endif
