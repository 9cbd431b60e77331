// The trainer: folds examples into a model, and versions of the model into the weights log.
//
// Input: all partitions of the examples, one slot each. Output 0: the weights log, partition 0.
//
// How it works. A record with SCORE is queued; queued rows are predicted together, by the model as
// it stands: when the queue is full, and right before the next step of the learner. Since the model
// changes at no other time, this is the same as predicting each row at once, and depends neither on
// batches nor on ticks. Where labels come at once, each record bringing its row to the queue and to
// the minibatch, the step's own forward pass predicts: one record, one forward pass. (An id never
// seen before is then read from the row just made for it, not from the default row.) The prediction
// is kept until the labels are FINAL and
// measured against them, each impression x task once. A record with LEARN becomes a row of the
// learner's minibatch, which is learnt from when it is full or spans `batch_event_time`. A record
// with several bits is predicted, then measured, then learnt from: nothing is ever measured by a
// model that has learnt of it. At every publish interval of the journalled clock a version is
// emitted. Where a task's label policy does not wait (record/spec.h), LEARN records come before the
// label is final and again: the loss is weighted (late.h), repeats are left out of statistics, and
// what is measured stays the first prediction against the final label. Its auxiliary classifiers
// learn from FINAL records. With `shuffle_rows` a LEARN record waits in the shuffle buffer before
// it becomes a row.
//
// Accounts. `examples` (records): used once predicted (SCORE alone), learnt from (LEARN) or applied
// (FINAL, LAST alone); in flight while a row of theirs waits in the queue, the shuffle buffer or
// the minibatch. `predictions` (impression x task): used once measured, in flight until final.
// `finals` (labels): used once measured, in flight while their prediction is queued.
//
// What it never does: depend on threads, on time other than ticks, or on where a batch ends.
#ifndef FRESHET_TRAINER_TRAINER_H
#define FRESHET_TRAINER_TRAINER_H

#include "base/metrics.h"
#include "trainer/counting.h"
#include "trainer/report.h"
#include "trainer/settings.h"
#include "trainer/skips.h"

struct trainer;

// A prediction that met its final label.
struct trainer_measured {
    uint32_t slot;
    uint64_t impression, user; // user: spec_id, 0 = unknown
    int64_t event_time_ms;
    size_t task;
    float logit, label, weight;
};

struct trainer_setup {
    const struct spec *spec; // checked; borrowed for the trainer's life, as are ...
    const struct model_settings *model;
    const struct trainer_settings *settings; // ... these two
    uint64_t lineage;                        // of a model begun anew; a loaded one keeps its own
    size_t inputs;                           // partitions of the examples
    struct metrics *metrics;                 // may be NULL
    // Gives a model that begins anew what it starts from (not one that is loaded). May be NULL.
    enum status (*warm)(void *self, struct trainer *trainer, struct error *err);
    void *warm_self;
    // Told of every prediction when it is made, in order; logits [tasks]. May be NULL.
    void (*predicted)(void *self, uint32_t slot, uint64_t impression, const float *logits);
    void *predicted_self;
    // Told of every measurement when it is made, in order. May be NULL.
    void (*measured)(void *self, const struct trainer_measured *measured);
    void *measured_self;
};

// STATUS_INVALID naming the key of a setting that does not fit.
CHECKED enum status trainer_new(const struct trainer_setup *setup, struct trainer **ret_trainer,
                                struct error *err);
void trainer_free(struct trainer *trainer);              // NULL is fine
extern const struct stage_operations trainer_operations; // the state is a struct trainer

struct trainer_status {
    uint64_t version; // last emitted, 0 = none
    uint64_t steps, rows_learnt;
    size_t domains;        // known ones
    const char *last_drop; // why the last undecodable record was, "" = none; borrowed
};
void trainer_status(const struct trainer *trainer, struct trainer_status *ret_status);
// The model's index of a domain; MINIBATCH_DOMAIN_UNKNOWN for one that it has not met.
uint32_t trainer_domain(const struct trainer *trainer, const char *text, size_t length);
// Gives a domain its index, as its first example would.
CHECKED enum status trainer_domain_add(struct trainer *trainer, const char *text, size_t length,
                                       struct error *err);
// Makes of a loaded state the beginning of another lineage: its next version is the first, comes
// with the next tick and is whole.
void trainer_lineage_begin(struct trainer *trainer, uint64_t lineage);
// Records of impressions in this stretch are counted as `skipped` and dropped from now on.
CHECKED enum status trainer_skip(struct trainer *trainer, const struct skip *skip,
                                 struct error *err);
// The watermark of the trainer that a checkpoint holds.
CHECKED enum status trainer_stands(struct checkpoint_reader *reader, int64_t *ret_watermark_ms,
                                   struct error *err);
struct counting *trainer_counting(struct trainer *trainer);
struct learner *trainer_learner(struct trainer *trainer);
// Predicts what is queued and learns from what waits for a full minibatch; for a stream's end where
// no runner says so.
CHECKED enum status trainer_flush(struct trainer *trainer, struct error *err);
// Appends {"model": "the shape's text", "spec": {...}, "domains": [...]}.
CHECKED enum status trainer_describe(const struct trainer *trainer, struct buffer *into,
                                     struct error *err);
struct report trainer_report(struct trainer *trainer); // borrows; for report_print

#endif
