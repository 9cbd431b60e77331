// A stage is a deterministic fold over logs: (state, batch of records) -> (state, outputs).
//
// The runner (runner.h) gives a stage all it may know: records, ticks of a journalled clock, idle
// decisions. A stage sees no clock, no random source, no network; so folding the journal again
// gives the same state and the same outputs, to the bit, whatever the batches' boundaries were when
// the stage keeps to one rule: what it does depends on the order of records and ticks, never on
// where one batch ends.
#ifndef FRESHET_STAGE_STAGE_H
#define FRESHET_STAGE_STAGE_H

#include "base/stream.h"
#include "log/log.h"

#define STAGE_TIME_NONE INT64_MIN
#define STAGE_TIME_END INT64_MAX

struct stage_input {
    const char *topic;
    int32_t partition;
};

// A topic that a task writes, and which of its partitions are the task's own.
struct stage_output {
    const char *topic;
    int32_t partition_first;
    int32_t partition_count;
};

// Where a fold puts its outputs; they become visible at the runner's next commit.
struct stage_outputs;
// `output` is an index of runner_setup.outputs, `partition` the topic's own number of one that the
// task owns. record->sequence is assigned by the runner. The record's bytes are copied. An error is
// to be returned by the fold as it is.
CHECKED enum status stage_emit(struct stage_outputs *outputs, size_t output, int32_t partition,
                               const struct log_record *record, struct error *err);

// One input's account: read == used + in_flight + sum of dropped, always.
#define ACCOUNT_REASONS_MAX 24
struct account {
    const char *input; // topic or kind of record
    uint64_t read;
    uint64_t used;
    uint64_t in_flight;
    size_t reason_count;
    const char *reasons[ACCOUNT_REASONS_MAX]; // static strings, kebab-case
    uint64_t dropped[ACCOUNT_REASONS_MAX];
};
bool account_balances(const struct account *account);

struct checkpoint_writer; // checkpoint.h
struct checkpoint_reader;

struct stage_operations {
    const char *name; // "ingest", "trainer"
    // Makes the state as new, as it was when given to runner_open. Needed where the runner recovers
    // inside a running process (a commit whose fate is unknown) and no checkpoint is there yet.
    enum status (*reset)(void *state, struct error *err);
    // Folds `count` records in the order given; end_of_stream records are not among them. A
    // returned error stops the task: bad input is not an error but a dropped record with a reason.
    enum status (*fold)(void *state, const struct log_record *records, size_t count,
                        struct stage_outputs *outputs, struct error *err);
    // Journalled inputs other than records. Any may be NULL.
    // The runner's clock, at most once a tick interval, never going back.
    enum status (*tick)(void *state, int64_t now_ms, struct stage_outputs *outputs,
                        struct error *err);
    // Input `slot` has been silent too long, or has ended (idle = true): it no longer holds the
    // watermark back; or it has spoken again (idle = false, given before its record).
    enum status (*idle)(void *state, uint32_t slot, bool idle, struct stage_outputs *outputs,
                        struct error *err);
    // All inputs have ended (end_of_stream records, or a bounded run's end): close what is open,
    // emit the rest. The runner then appends an end_of_stream record to every output partition it
    // used.
    enum status (*finish)(void *state, struct stage_outputs *outputs, struct error *err);
    // Called between batches before every commit, not journalled: may not change state that
    // matters. A stage with start_offset makes its effects durable here. STATUS_UNAVAILABLE: the
    // runner backs off, resets the stage and asks start_offset again.
    enum status (*committing)(void *state, struct error *err);
    // Non-NULL for a stage that keeps its own position where it applies (Redis): such a task has no
    // journal, no checkpoint and no outputs. First offset wanted of `slot`; -1 = as setup->start
    // says.
    enum status (*start_offset)(void *state, uint32_t slot, int64_t *ret_offset, struct error *err);
    // The record's event time for the canonical merge, clamped when absurd; NULL: its timestamp.
    // Asked once, when the record is read: may depend on the record and on settings, never on
    // folded state.
    int64_t (*event_time_ms)(void *state, const struct log_record *record);
    // Asked after a step: a commit is wanted before it is due, because others wait for what has
    // been emitted or applied. No result may depend on when commits are.
    bool (*wants_commit)(void *state);
    // Asked after each turn of a stage with start_offset: it wants to be asked that again. What was
    // folded is committed first, then the stage is reset, though nothing has failed.
    bool (*wants_positions)(void *state);
    // Asked after a commit: a checkpoint is wanted before it is due, because state in memory nears
    // its bound and a checkpoint makes room. No result may depend on whether it is taken.
    bool (*wants_checkpoint)(void *state);
    // Takes a cut of the state: sections as it is now. What is large may follow by save_more, which
    // is called between steps until *ret_done, a few milliseconds of work at most each time; it
    // gives what the state was at the cut, whatever has been folded since. A cut that is followed
    // by load or reset has been given up.
    enum status (*save)(void *state, struct checkpoint_writer *writer, struct error *err);
    enum status (*save_more)(void *state, struct checkpoint_writer *writer, bool *ret_done,
                             struct error *err); // NULL: save gives all
    // Replaces the whole state, whatever it was.
    enum status (*load)(void *state, struct checkpoint_reader *reader, struct error *err);
    // A short hash of the state that two equal states share (may be costly); for verification.
    uint64_t (*fingerprint)(void *state);
    // Fills up to `max` accounts, returns how many.
    size_t (*accounts)(void *state, struct account *accounts, size_t max);
    // Event time up to which the state is complete, for lag in event-time seconds, or
    // STAGE_TIME_NONE.
    int64_t (*watermark_ms)(void *state);
};

#endif
