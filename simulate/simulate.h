// The simulator: impressions, clicks and conversions with a known truth, at a chosen rate of event
// time, with chosen dirt. The same settings give the same records, byte for byte.
//
// Users and items are drawn by Zipf's law, domains by unequal shares; clicks and conversions come
// with the probabilities of truth.h after exponential delays. Records go out in the order of the
// time they would have been received; that is also their timestamp. Schemas:
// schemas/impression.avsc (with categorical.group, category, hour and numeric.quality), click.avsc,
// conversion.avsc (kind `buy`).
//
// Dirt: each kind is a share of all impressions (or of clicks) and comes on top of the clean
// stream, so that what ingest must count is known exactly.
#ifndef FRESHET_SIMULATE_SIMULATE_H
#define FRESHET_SIMULATE_SIMULATE_H

#include <stdatomic.h>

#include "config/option.h"
#include "log/log.h"

struct simulate_settings {
    const char *impressions, *clicks, *conversions; // topics
    int64_t partitions;
    bool finish;   // mark the topics as ended
    int64_t count; // impressions
    int64_t seed;
    int64_t start_ms; // event time of the beginning
    double rate;      // impressions a second of event time
    int64_t users, items, domains, groups, categories;
    double user_zipf, item_zipf, domain_zipf; // exponents
    double correlation, spread, click_bias, conversion_bias;
    bool conversion_given_click;                 // only clicked impressions convert
    int64_t click_delay_ms, conversion_delay_ms; // means
    int64_t drift_period_ms;
    int64_t poison_after_ms, poison_for_ms; // clicks turned into their opposite; for 0 = none
    double duplicates;                      // share of impressions and of clicks that come twice
    double late; // share of impressions with one more click, received `late_by` after its time
    int64_t late_by_ms;
    double orphans;        // share of impressions with a click on one that never was
    double undecodable;    // share with a truncated copy
    double invalid_number; // share with a copy whose quality is NaN
    double far_future;     // share with a copy ten years ahead
};
extern const struct option_table simulate_options;

struct simulate_account {
    uint64_t impressions, clicks, conversions; // clean ones, written
    uint64_t duplicate_impressions, duplicate_clicks;
    uint64_t late, orphans, undecodable, invalid_number, far_future;
    double click_rate, conversion_rate; // the latter over its sample space
    // AUC of the true probabilities: what no model can be expected to beat. NaN without both
    // labels.
    double click_auc, conversion_auc;
};

// Runs to the end. progress (may be NULL) is called now and then. STATUS_STOPPED when *stop (may be
// NULL) was set: the account then tells what was written and committed; STATUS_EXHAUSTED when
// memory is out (16 bytes an impression are kept for the truth's AUC); and errors of the log.
CHECKED enum status
simulate_run(struct log *log, const struct simulate_settings *settings,
             void (*progress)(void *self, const struct simulate_account *account), void *self,
             const atomic_bool *stop, struct simulate_account *ret_account, struct error *err);

#endif
