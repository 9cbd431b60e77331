// The trainer's state, shared by trainer.c (life, ticks, accounts), train.c and train_late.c
// (records), save.c and gauges.c.
// Private to them.
#ifndef FRESHET_TRAINER_STATE_H
#define FRESHET_TRAINER_STATE_H

#include "record/example.h"
#include "trainer/chain.h"
#include "trainer/counting.h"
#include "trainer/late.h"
#include "trainer/pending.h"
#include "trainer/shuffle.h"
#include "trainer/skips.h"
#include "trainer/trainer.h"

// Why records were dropped; the names stand in trainer.c.
enum record_drop {
    RECORD_UNDECODABLE,
    RECORD_OTHER_SPEC,
    RECORD_REPEATED,        // SCORE of an impression whose prediction is kept already
    RECORD_NOTHING_SETTLED, // LEARN with no task in its mask
    RECORD_INVALID_LABEL,   // LEARN without a usable label
    RECORD_NOT_FINITE,      // the learner met NaN or infinity
    RECORD_DROPS
};
enum prediction_drop {
    PREDICTION_UNMEASURED,    // given up at the bound
    PREDICTION_LEFT_OUT,      // the task has no label for this impression
    PREDICTION_INVALID_LABEL, // the final label is not a number in [0, 1]
    PREDICTION_NOT_FINITE,    // NaN or infinite itself
    PREDICTION_DROPS
};
enum final_drop {
    FINAL_NO_PREDICTION, // none was kept, or it was given up
    FINAL_REPEATED,      // this impression and task is measured already
    FINAL_INVALID_LABEL,
    FINAL_NOT_FINITE, // its prediction is
    FINAL_DROPS
};

// Everything that is counted; all of 64 bits, so that saving walks it as one array.
struct trainer_counts {
    uint64_t records, records_used, records_dropped[RECORD_DROPS];
    uint64_t predictions, predictions_waiting /* for final labels */, measured,
        predictions_dropped[PREDICTION_DROPS];
    uint64_t finals, finals_used, finals_dropped[FINAL_DROPS];
    uint64_t finals_waiting;  // for their prediction
    uint64_t scores_waiting;  // queued rows whose record brings no LEARN
    uint64_t values_replaced; // infinite numbers taken as missing
    uint64_t steps, rows_learnt;
    uint64_t version, version_steps, version_records; // last emitted, and where it stood
};

struct trainer_slot {
    int64_t newest_ms; // newest record timestamp
    bool seen, idle;
};

// Rows that wait for their prediction. The minibatch's labels and weights hold final labels that
// came before it, for the tasks in final_masks.
struct predict_queue {
    struct minibatch batch;
    uint32_t *slots;       // [capacity]
    uint64_t *impressions; // [capacity]
    uint32_t *final_masks; // [capacity]
    float *logits;         // [tasks][rows]: scratch
    // The rows are those of the trainer's minibatch, index by index, and their features stand only
    // there. The step's own forward pass will predict them.
    bool shared;
};

// Final labels that wait for a step of the auxiliary classifiers.
struct late_rows {
    struct model_spec shape; // the model's, with a label for each classifier
    uint32_t tasks;          // that have one; 0: nothing is allocated
    struct minibatch batch;
};

struct trainer {
    struct trainer_setup setup;
    struct arena run; // the shape's
    struct model_spec shape;
    struct example_shape example_shape;
    size_t target;
    // State
    uint64_t lineage;
    struct trainer_counts counts;
    struct skips skips;
    struct trainer_slot *slots; // [setup.inputs]
    int64_t watermark_ms;       // never goes back
    int64_t accepted_ms;        // newest of what was learnt; STAGE_TIME_NONE = nothing
    int64_t batch_accepted_ms;  // newest of the minibatch
    int64_t batch_first_ms;     // record timestamp of its first row
    int64_t now_ms;             // last tick, or STAGE_TIME_NONE
    int64_t publish_ms;         // next version is due
    int64_t version_ms;         // watermark of the last version: rates are published up to it
    struct domains *domains;
    struct pending *pending;
    struct counting *counting;
    struct predict_queue queue;
    struct minibatch batch;
    struct shuffle *shuffle; // NULL: rows are learnt as they come
    struct late_rows late;
    struct measure *measure;
    struct gate *gate;
    size_t popularity_column; // of an example's ids, or TRAINER_NO_COLUMN
    struct learner *learner;
    struct chain chain; // files of its rows in the newest checkpoint
    float *rates;       // scratch: of the record at hand
    // Not state: derived, for people
    struct learner_report last_report;
    struct error last_drop;
    bool gauges_due;
    uint64_t alarms_told; // drift alarms that stand in the log
    uint32_t gate_told;   // mask of tasks that the log says hold versions back
    bool version_waits;   // one has been emitted since the last commit
};

// train.c
CHECKED enum status train_fold(struct trainer *trainer, const struct log_record *record,
                               struct error *err);
CHECKED enum status train_predict(struct trainer *trainer, struct error *err); // all that is queued
// Learns from all rows of the shuffle buffer; a minibatch may be left that is not full.
CHECKED enum status train_drain(struct trainer *trainer, struct error *err);
// Predicts what is queued, then learns from the minibatch, if it has rows.
CHECKED enum status train_learn(struct trainer *trainer, struct error *err);

// A task's label and weight; false when they are not numbers that can be learnt or measured.
bool train_label(const struct example *example, size_t task, float *ret_label, float *ret_weight);

// train_late.c
CHECKED enum status train_late_begin(struct trainer *trainer, struct error *err);
void train_late_end(struct trainer *trainer);
bool train_late_wants(const struct trainer *trainer, const struct example *example);
// A final label that train_late_wants. Learns when there is a minibatch of them.
CHECKED enum status train_late_take(struct trainer *trainer, const struct example *example,
                                    uint32_t domain, const float *rates, struct error *err);
CHECKED enum status train_late_learn(struct trainer *trainer, struct error *err); // what waits
void train_late_save(const struct trainer *trainer, struct buffer *into);
CHECKED enum status train_late_load(struct trainer *trainer, struct wire *in, struct error *err);

// trainer.c: everything under "State", as new; and given back.
CHECKED enum status trainer_begin(struct trainer *trainer, struct error *err);
void trainer_end(struct trainer *trainer);

// describe.c: the measures as JSON, with the gate's verdict on them where there is one.
CHECKED enum status describe_measures(struct trainer *trainer, struct buffer *into,
                                      struct error *err);

// gauges.c: the stage's `committing`, which ends the waiting of a version as well.
enum status gauges_committing(void *state, struct error *err);

// save.c
void save_state(const struct trainer *trainer, struct buffer *into); // all but learner and gate
void save_gate(const struct trainer *trainer, struct buffer *into);  // nothing where none is set
CHECKED enum status save_write(struct trainer *trainer, struct checkpoint_writer *writer,
                               struct error *err);
CHECKED enum status save_more(struct trainer *trainer, struct checkpoint_writer *writer,
                              bool *ret_done, struct error *err);
CHECKED enum status save_read(struct trainer *trainer, struct checkpoint_reader *reader,
                              struct error *err);

#endif
