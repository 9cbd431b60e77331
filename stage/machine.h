// The runner's inside: what its files share. Private to stage/.
//
//   slots.c     a queue per input: records read but not yet folded, bounded by pausing the reader
//   merge.c     takes the next step's records out of the queues, in order
//   fold.c      gives a step to the stage, with what the records imply (ends, silence)
//   outputs.c   numbers, checksums and appends what a fold emits
//   state.c     the runner's own part of a checkpoint
//   recover.c   writer, checkpoint, journal, refolding
//   begin.c     where a task without a past begins
//   adopt.c     another state in place of the task's own: a new lineage
//   report.c    metrics and log lines
//   saving.c    a checkpoint on its way to the disk while steps go on
//   runner.c    the loop: poll, step, commit, checkpoint
//
// One thread owns a runner and everything below.
#ifndef FRESHET_STAGE_MACHINE_H
#define FRESHET_STAGE_MACHINE_H

#include "stage/checkpoint.h"
#include "stage/journal.h"
#include "stage/runner.h"

#define SLOT_QUEUE_BYTES_MAX ((size_t)32 << 20)
// Steps' worth of records queued before a slot is paused. Kafka's client drops what it has fetched
// when a partition is paused and fetches it again later, so pausing is to be rare.
#define SLOT_QUEUE_BATCHES_MAX 16
#define PENDING_BYTES_MAX ((size_t)32 << 20) // outputs and journal records of one commit
#define PENDING_STEPS_MAX 8192

// Bytes of the records of one slot that came with one poll.
struct slot_chunk {
    size_t left; // records not yet folded
    size_t bytes;
    unsigned char data[];
};

struct slot_entry {
    struct log_record record; // key and value lie in the chunk
    int64_t order_ms;         // running maximum of event time within the partition
    struct slot_chunk *chunk;
};

struct slot {
    // Follows from the journal alone; in the checkpoint.
    uint64_t identity;         // of the topic
    int64_t next_offset;       // after the last record folded
    int64_t order_ms;          // running maximum over the records folded
    int64_t next_sequence;     // of a producer that numbers its records; -1 = none met yet
    bool silent;               // as the stage was told
    bool ended;                // last record folded was an end_of_stream
    uint64_t records;          // folded by the stage
    uint64_t ends;             // end_of_stream records
    struct journal_range last; // newest journalled range; count 0 = none
    // Of this process.
    struct slot_entry *ring; // [capacity], a power of two
    size_t head, count, capacity;
    size_t bytes;      // of the queued records
    int64_t queued_ms; // running maximum at the queue's end
    int64_t bound;     // bounded runs: reading ends before this offset; -1 = no bound
    bool bound_passed; // a record at or after the bound was seen
    bool paused;
    uint64_t counted; // of `records`, in the metric
    bool verified;    // `last` needs no reading again
    int64_t heard_us; // monotonic clock when records last came or were folded
};

// Records taken for one step, in the order of folding.
struct step_set {
    struct log_record *records;
    struct slot_chunk **chunks;
    size_t count, capacity;
    struct journal_range *ranges; // [input_count], ascending slots, those with records
    size_t range_count;
    struct journal_range *by_slot; // [input_count]
};

struct stage_outputs {
    const struct stage_output *topics;
    size_t count;
    int64_t **sequences;       // [count][partition_count]: next number; in the checkpoint
    struct log_writer *writer; // NULL while refolding: outputs are discarded
    struct metric **emitted;   // [count]
    uint64_t step_records;     // of the step under way
    uint64_t step_checksum;
    size_t pending_bytes; // appended since the last commit
};

struct report {
    struct metric **records; // [input_count]
    struct metric **lag;     // [input_count]
    struct metric *steps, *commits, *checkpoints, *refolded, *recoveries, *lag_seconds, *unbalanced;
    struct metric *checkpoint_timestamp;
    struct metric_histogram *commit_seconds, *checkpoint_seconds, *checkpoint_pause;
    int64_t *offsets;  // [input_count]: for the group's offsets
    int64_t gauges_us; // when the gauges were set
    int64_t line_us;   // when the last status line was written
    uint64_t line_records;
};

struct runner {
    struct runner_setup setup;
    const struct clock *clock;
    bool positioned;    // the stage keeps its own position
    struct slot *slots; // [setup.input_count]
    struct stage_outputs outputs;
    struct step_set set;
    // Follows from the journal alone; in the checkpoint.
    int64_t tick_ms; // clock of the last tick, or STAGE_TIME_NONE
    bool finished;
    uint64_t recorded_config; // identity under which the newest journal records were written
    char *recorded_build;
    // Of this process.
    struct disk_file *lock;
    struct log_reader *reader;
    struct log_writer *writer;
    bool broken; // state in memory is not trusted: recover before the next step
    bool fenced;
    int64_t journal_end; // behind our newest record known to be committed; -1 = no writer was open
    int64_t taken_ms;    // clock of our newest record that takes the task up
    bool dirty;          // positioned: folded since the last commit
    bool touched;        // the stage's state is no longer freshly made
    bool bounds_known;
    bool doubt; // the servers were away: what was read there before is to be looked at again
    struct buffer journal; // records since the last commit, one after another
    size_t *journal_ends;  // [journal_capacity]: where each ends in `journal`
    size_t journal_count, journal_capacity;
    struct arena scratch; // of one journal record
    int64_t commit_us, checkpoint_us;
    int64_t
        checkpoint_place; // of the journal, where the newest durable checkpoint stands; -1 = none
    struct checkpoint_writer *saving; // under way, or NULL
    bool saving_cut_done;             // all of its bytes have been handed over
    int64_t saving_place, saving_us;  // where and when it was cut
    const atomic_bool *stop;          // while runner_run is under way
    struct runner_status status;
    struct report report;
};

// slots.c
// Copies a polled batch into the queues and pauses what runs ahead.
CHECKED enum status slots_push(struct runner *runner, const struct log_batch *batch,
                               struct error *err);
// Pauses slots whose queue is over its bound, resumes those that have come down to half of it.
// `needed` is NULL, or records each slot must hold whatever its bound: [input_count].
CHECKED enum status slots_pace(struct runner *runner, const uint64_t *needed, struct error *err);
void slots_clear(struct runner *runner); // drops all that is queued
void slots_deinit(struct runner *runner);
void slot_pop(struct slot *slot); // the head, which stays alive until its chunk is released
void chunk_release(struct slot_chunk *chunk);
const struct slot_entry *slot_head(const struct slot *slot); // NULL when empty
const struct slot_entry *slot_at(const struct slot *slot, size_t index);
// The bounded run has read all it may of this slot.
bool slot_reached(struct runner *runner, uint32_t slot);

// Whether the input stands aside (runner_setup).
static inline bool slot_is_aside(const struct runner *runner, uint32_t index) {
    return index + runner->setup.inputs_aside >= runner->setup.input_count;
}

// merge.c
// The next step's records: an ordered prefix of what is queued, at most batch_records.
CHECKED enum status merge_take(struct runner *runner, struct error *err);
// Would merge_take find anything?
bool merge_ready(struct runner *runner);
// Exactly the records of these ranges, in the order that merge_take gave them: all are queued.
// STATUS_CHANGED when the records are not those that the journal names.
CHECKED enum status merge_retake(struct runner *runner, const struct journal_record *step,
                                 struct error *err);
CHECKED enum status step_set_init(struct runner *runner, struct error *err);
void step_set_release(struct step_set *set); // after the fold: the records' bytes go
void step_set_deinit(struct step_set *set);
uint64_t record_checksum(uint64_t checksum, const struct log_record *record);

// fold.c: each gives one journalled input to the stage. Outputs and their checksum are in
// runner->outputs afterwards.
CHECKED enum status fold_set(struct runner *runner, struct error *err);
CHECKED enum status fold_tick(struct runner *runner, int64_t now_ms, struct error *err);
CHECKED enum status fold_idle(struct runner *runner, uint32_t slot, bool idle, struct error *err);
CHECKED enum status fold_finish(struct runner *runner, struct error *err);

// outputs.c
CHECKED enum status outputs_init(struct stage_outputs *outputs, const struct runner_setup *setup,
                                 struct error *err);
void outputs_reset(struct stage_outputs *outputs); // as a task without a past
void outputs_deinit(struct stage_outputs *outputs);
void outputs_begin(struct stage_outputs *outputs); // of a step
CHECKED enum status outputs_end_of_stream(struct stage_outputs *outputs, int64_t timestamp_ms,
                                          struct error *err);

// state.c
void state_reset(struct runner *runner); // the runner's own, as a task without a past
CHECKED enum status state_save(struct runner *runner, struct checkpoint_writer *writer,
                               struct error *err);
CHECKED enum status state_load(struct runner *runner, struct checkpoint_reader *reader,
                               struct error *err);
// The slots of another checkpoint, of this task or another, in place of its own; what was emitted
// and the last tick stay.
CHECKED enum status state_adopt(struct runner *runner, struct checkpoint_reader *reader,
                                struct error *err);
CHECKED enum status state_identity(struct runner *runner, uint64_t config_hash, const char *build,
                                   struct error *err);

// recover.c
CHECKED enum status recover(struct runner *runner, struct error *err);
CHECKED enum status recover_writer(struct runner *runner, struct error *err); // opens it
// STATUS_CHANGED unless the journal is a new task's: none of it has been trimmed.
CHECKED enum status newness_check(struct runner *runner, struct error *err);

// begin.c
// Of a slot without a past, by the setup.
CHECKED enum status begin_offset(struct runner *runner, size_t index, int64_t *ret_offset,
                                 struct error *err);
// Puts the slots there and commits the first record.
CHECKED enum status genesis_write(struct runner *runner, struct error *err);
// A genesis record of where the slots stand, into the next commit.
CHECKED enum status genesis_add(struct runner *runner, struct error *err);
CHECKED enum status bounds_capture(struct runner *runner, struct error *err);

// open.c: all but what recovery brings.
CHECKED enum status runner_make(const struct runner_setup *setup, struct runner **ret_runner,
                                struct error *err);

// verify.c
// Reads the newest journalled range of each slot again, where it is still retained and has not been
// read since; STATUS_CHANGED when it is not what was folded.
CHECKED enum status verify_ranges(struct runner *runner, struct error *err);
// After the servers were away: both, for every slot. The log may have been cut or made anew.
CHECKED enum status verify_again(struct runner *runner, struct error *err);
CHECKED enum status verify_identities(struct runner *runner, struct error *err);

// saving.c
// Begins a checkpoint when one is due, or brings the one under way a little further.
CHECKED enum status saving_turn(struct runner *runner, struct error *err);
// A durable checkpoint of the state as it is now, commits included.
CHECKED enum status saving_whole(struct runner *runner, struct error *err);
bool saving_hurries(const struct runner *runner); // there are bytes to hand over: do not wait long
// Brings the newest copy from elsewhere into the directory; false when there is none, or not to be
// had, which is said in the log.
bool saving_restore(struct runner *runner, struct error *err);
void saving_drop(struct runner *runner); // whatever is under way is not to be

// runner.c
// Encodes a journal record for the next commit, with the outputs of the step and the clock.
CHECKED enum status journal_add(struct runner *runner, struct journal_record *record,
                                struct error *err);

CHECKED enum status runner_commit_now(struct runner *runner, struct error *err);

// account.c
// Checks every account of the stage: an error line and a metric for each that does not balance, and
// STATUS_CORRUPT when the setup is strict.
CHECKED enum status accounts_check(struct runner *runner, struct error *err);
void accounts_export(struct runner *runner); // drops, as metrics
void accounts_print(struct runner *runner);

// report.c
CHECKED enum status report_init(struct runner *runner, struct error *err);
void report_deinit(struct report *report);
void report_periodic(struct runner *runner);
int64_t runner_lag_records(struct runner *runner, uint32_t slot); // -1 = not known
int64_t runner_lag_ms(struct runner *runner);                     // -1 = not known
void metric_count(struct metric *metric, double amount);          // NULL is fine
// A checkpoint holds all that was committed age_us ago.
void report_checkpoint(struct runner *runner, int64_t age_us);

#endif
