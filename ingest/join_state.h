// The join's state, shared by the join_*.c files. Private to them.
#ifndef FRESHET_INGEST_JOIN_STATE_H
#define FRESHET_INGEST_JOIN_STATE_H

#include "ingest/join.h"
#include "ingest/keys.h"
#include "ingest/timers.h"

struct join_task {
    bool direct;        // its label comes along with the impression
    bool valued;        // by a field that may be absent; otherwise absence is a negative
    int32_t given;      // task whose positives define it, or -1
    int64_t window_ms;  // feedback counts until then
    int64_t decided_ms; // the label is final then: the longest window along `given`
    bool early;         // learnt from before that, `wait_ms` after the impression at the earliest
    bool again;         // early, and once more when final, but for positives that came late
    int64_t wait_ms;
};

struct join_input {
    int64_t newest_ms; // event time, or STAGE_TIME_NONE
    bool idle;
    uint64_t read, used, in_flight;
    uint64_t dropped[EVENT_DROPS];
};

struct join {
    struct join_setup setup;
    struct example_shape shape;
    struct join_task tasks[SPEC_TASKS_MAX];
    size_t task_count;
    uint32_t all_tasks;                    // mask
    uint32_t early_tasks;                  // mask
    uint32_t again_tasks;                  // mask
    uint32_t lane_tasks[TIMERS_LANES_MAX]; // tasks decided in each lane
    uint32_t lane_early[TIMERS_LANES_MAX]; // tasks whose wait has passed
    size_t lanes;                          // in the last one the key is forgotten
    int64_t longest_ms;                    // window
    struct join_input inputs[INGEST_INPUTS_MAX];
    size_t input_count;
    bool keyed; // join: window, or keys configured

    struct keys keys;
    struct timers closing;  // of impressions: one lane a distinct window, and one to forget
    struct timers waiting;  // of feedback without an impression
    struct timers arrivals; // store_full: expire only; everything in order of arrival
    bool expires;
    uint64_t payload_bytes; // of open impressions, wherever they lie
    uint64_t open_count;

    int64_t watermark_ms;
    bool finishing;        // all windows close, no key is forgotten
    int64_t emitted_ms;    // timestamp of the newest record that went out
    uint64_t next_number;  // of impressions
    uint64_t next_arrival; // of impressions and feedback, from 1

    struct buffer packed;  // one payload
    unsigned char *labels; // [tasks] float32 little-endian
    float *heavy;          // [tasks] weights of negatives that stay, where others are left out
};

#define ARRIVAL_FEEDBACK 0x80000000u // in an arrival timer's slot: a feedback cell, not an entry

// join_save.c
// Timers as they follow from the entries and the watermark.
CHECKED enum status join_rebuild_timers(struct join *join, struct error *err);

// join_early.c
// Sends what can be learnt of an open impression before its windows close: tasks whose wait has
// passed and whose sample space is known, and positives of those that were learnt as negatives.
// `tasks`: those looked at; `set`: those whose label has just been set.
CHECKED enum status join_learn_early(struct join *join, struct key_entry *entry, uint32_t tasks,
                                     uint32_t set, int64_t instant_ms, struct error *err);

// join_sample.c
enum join_sample {
    JOIN_SAMPLE_PLAIN, // weighs 1
    JOIN_SAMPLE_HEAVY, // no positive so far; stands for those left out as well
    JOIN_SAMPLE_OUT,   // no positive so far; left out
};
// Of an impression with these labels.
enum join_sample join_sample_of(const struct join *join, const struct key_entry *entry,
                                uint32_t labelled, const float *values);
// Scores an impression that was left out while it had the labels `labelled` and now is not.
CHECKED enum status join_score_late(struct join *join, const struct key_entry *entry,
                                    uint32_t labelled, int64_t instant_ms, struct error *err);
CHECKED enum status join_sample_check(const struct join_setup *setup, struct error *err);

// join_new.c
void join_drop(struct join *join, uint32_t input, enum event_drop reason); // from in flight

// join_close.c
bool join_task_positive(const struct join *join, uint32_t labelled, const float *values,
                        size_t task); // its label, and those of all tasks it is defined on
// Fires everything due, then expires what is above the bound.
CHECKED enum status join_settle(struct join *join, struct error *err);
CHECKED enum status join_emit(struct join *join, const struct example *example, int64_t instant_ms,
                              struct error *err);
// Labels of `tasks` into join->labels; returns those that are settled, the rest being left out.
uint32_t join_settle_labels(struct join *join, uint32_t tasks, uint32_t labelled,
                            const float *values);
CHECKED enum status join_emit_close(struct join *join, const struct key_entry *entry, uint32_t kind,
                                    uint32_t mask, int64_t instant_ms, struct error *err);
CHECKED enum status join_payload(struct join *join, const struct key_entry *entry,
                                 struct example *ret_columns, struct error *err);

#endif
