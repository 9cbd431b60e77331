// The runner: the one loop under every stage.
//
//   step     poll a batch -> order it -> fold -> note its origin in a journal record
//   commit   every commit interval: outputs and journal records of the steps since the last, at
//   once checkpoint  at a commit's boundary; names its place in the journal recovery  newest valid
//   checkpoint, then the journal's steps folded again from the same offsets with
//             outputs discarded and compared by checksum, then live
//
// Order of records within a step. `arrival`: by slot, then offset. `event_time`: the canonical
// order (running maximum of event time within a partition, slot, offset) over all inputs, where a
// record is delivered only once every input that has neither ended nor been given up as idle has
// one waiting. Either way the order follows from the ranges in the journal record alone.
//
// An end_of_stream record is read and journalled but not folded: its slot is then idle to the
// stage. When every slot has ended (or, bounded, has reached the end seen at open), finish() is
// folded and an end_of_stream record goes to every output partition of the task; the next step
// returns STATUS_END. Records that come later, to a task started again, undo that and are folded as
// any others.
//
// After any failed step the state in memory is not trusted: the next step recovers from the log
// first. STATUS_FENCED is final.
#ifndef FRESHET_STAGE_RUNNER_H
#define FRESHET_STAGE_RUNNER_H

#include <stdatomic.h>

#include "config/option.h"
#include "stage/stage.h"

enum runner_order { RUNNER_ARRIVAL, RUNNER_EVENT_TIME };

struct runner_settings {
    int64_t commit_interval_ms;
    int64_t checkpoint_interval_ms;
    int64_t checkpoints_kept;
    int64_t tick_interval_ms;
    int64_t idle_timeout_ms; // 0 = an input is never given up on
    int64_t batch_records;   // most records a step
    int order;               // enum runner_order
    int64_t stop_timeout_ms; // bound on a graceful stop
};
extern const struct option_table runner_options;

enum runner_start { RUNNER_START_OLDEST, RUNNER_START_NEWEST };

// The part of an input that a replay reads: offsets [first, end).
struct runner_stretch {
    int64_t first, end;
};

// How far a task is, over all inputs; written by its thread about once a second.
struct runner_progress {
    atomic_llong next;    // sum of the offsets after the last records folded
    atomic_llong ends;    // sum of where reading ends: a bound, or the end of what is there
    atomic_llong records; // folded by this process, refolded ones included
};

struct runner_setup {
    const char *task;      // unique in the deployment: "NAME.ingest-3", "NAME.trainer"
    const char *directory; // of this task: checkpoints, lock
    const char *copy;      // a folder elsewhere that gets a copy of each checkpoint, or NULL
    const struct stage_operations *operations;
    void *state;     // freshly made
    struct log *log; // of inputs, outputs and journal
    const struct stage_input *inputs;
    size_t input_count;
    // So many of them, the last ones, stand aside: commands, say, that may come at any time or
    // never. Their records are folded before all others that are there, and neither order nor the
    // task's end waits for them.
    size_t inputs_aside;
    enum runner_start start; // where a task without a past begins
    const struct stage_output *outputs;
    size_t output_count;
    struct runner_settings settings;
    uint64_t config_hash; // identity: refused with a pending journal tail when it differs
    const char *build;    // identity: version, compiler, BLAS library and kernel
    bool bounded;         // stop reading at the ends seen at start, then finish
    const struct runner_stretch *stretch; // [input_count]: bounded to these parts; NULL: the whole
    bool halts; // bounded: ends at the bounds without finishing, so that it may go on some day
    bool accounts_strict; // tests: an account that does not balance is STATUS_CORRUPT
    const struct clock *clock;
    struct metrics *metrics; // may be NULL
    // Set by runner_run after each turn: whether the task has recovered and reaches its servers.
    // May be NULL; may be read by any thread.
    atomic_bool *live;
    struct runner_progress *progress; // may be NULL
};

struct runner;

// Opens the writer (fencing an older instance), recovers, and stands ready to step. What `setup`
// points to must outlive the runner. While servers are unavailable it succeeds with a warning in
// the log, and runner_step goes on trying. Errors name the task. STATUS_CHANGED: inputs, identity
// or retention do not let the past be continued exactly; STATUS_CORRUPT: folding the journal again
// gave other outputs; STATUS_FENCED: another process holds the task's directory.
CHECKED enum status runner_open(const struct runner_setup *setup, struct runner **ret_runner,
                                struct error *err);
// One turn: poll (waiting up to timeout_ms), fold, commit or checkpoint when due. STATUS_END once
// the task has finished (all inputs ended and finish() committed). STATUS_UNAVAILABLE: step again
// later.
CHECKED enum status runner_step(struct runner *runner, int64_t timeout_ms, struct error *err);
// Steps until STATUS_END (returned as STATUS_OK), *stop (then commits, checkpoints, STATUS_STOPPED)
// or an error. STATUS_UNAVAILABLE inside is retried with backoff and said in the log.
CHECKED enum status runner_run(struct runner *runner, const atomic_bool *stop, struct error *err);
CHECKED enum status runner_commit(struct runner *runner, struct error *err);     // now
CHECKED enum status runner_checkpoint(struct runner *runner, struct error *err); // commits first
// A task that begins again as another lineage, from a state that is not where its journal ends.
struct runner_adoption {
    struct checkpoint_reader *from; // its own or another task's, with as many inputs
    // [input_count]: where its own inputs are to be read from; NULL: where `from` stands.
    const int64_t *offsets;
    // Told of the state once it is loaded, to make of it what the new lineage begins with; may be
    // NULL.
    enum status (*change)(void *self, void *state, struct error *err);
    void *self;
};
// Of a task that is not running and was stopped in an orderly way, or is new. What it has emitted
// stays; numbers of outputs go on. The new lineage counts once this has returned, or from a moment
// before; after a crash it is to be done again. STATUS_CHANGED: steps since the newest checkpoint
// are pending, or its inputs do not hold the offsets; STATUS_FENCED: it is running.
CHECKED enum status runner_adopt(const struct runner_setup *setup,
                                 const struct runner_adoption *adoption, struct error *err);
void runner_close(struct runner *runner); // no commit, no checkpoint: as a crash would leave it

struct runner_status {
    uint64_t steps, commits, checkpoints, records;
    uint64_t refolded_steps;     // by the last recovery
    int64_t checkpoint_pause_us; // longest time that a turn of the loop spent on a checkpoint
    uint64_t recoveries;         // after the one of runner_open
    uint64_t queued_records;     // read, not yet folded
    int64_t lag_records;         // over all inputs; -1 = not known now
    int64_t lag_ms;              // clock minus watermark, or -1
    bool finished;
};
void runner_status(struct runner *runner, struct runner_status *ret_status); // owner thread only

#endif
