// The join: impressions, and the feedback that comes for them, become examples in event time.
//
// A fold over events in the order given: after each event the watermark moves on, and every window
// that it passes closes, in the order of (deadline, impression number), before the next event is
// looked at. So nothing depends on where a batch ends, on slots, or on what lies in memory and what
// on disk.
//
// Watermark. It promises that events before it have been seen. With order `event_time` it is the
// newest event time so far, less `lateness` (the canonical merge lets nothing earlier follow but
// disorder within an input); with order `arrival` it is the minimum, over the inputs that are
// neither idle nor ended, of each one's newest event time, less `lateness`. It never goes back, and
// stands still while all inputs are idle. A deadline has passed when the watermark lies beyond it.
//
// Rules, each with its counter (event.h) and its test in tests/ingest/test_join.c:
//   impression  its key is open, or remembered and the impression not later than the windows of the
//   one
//               remembered: EVENT_DUPLICATE. All its windows have closed: EVENT_LATE. Otherwise it
//               gets the next number, a SCORE record goes out, and feedback that waits for its key
//               is applied in the order it came.
//   feedback    for each task it counts for: the task has a label: EVENT_DUPLICATE. Later than the
//               window, or the window has closed: EVENT_LATE. Earlier than the impression by more
//               than `lateness` (clocks differ): EVENT_ORPHAN. Otherwise the label is set. Feedback
//               that sets any label counts; where none, the first of these reasons that occurred
//               counts. No impression under its key: it waits until the watermark is `early_wait`
//               past its own time, and is then EVENT_ORPHAN.
//   close       a task's label leaves when its window has passed, or, where the task is defined on
//               another's positives (`given`), when both windows have: a click that comes after the
//               conversion still makes it count. Tasks that close at one instant leave in one
//               record, LEARN and FINAL, labels 1 or the event's value, 0 without feedback. A task
//               whose `given` is not positive, or whose label should have come along and did not,
//               is left out of the mask; its feedback is EVENT_WITHOUT_CLICK. With the last window
//               the features go, a record marked LAST goes out (mask 0 when it settles nothing),
//               and the key is remembered for the longest window more, so that what comes late is
//               told from orphans.
//   early       label policies but `wait` (spec.h) send a task's LEARN record before its window has
//               closed (join_early.c), and again when a positive comes later or, under `defer`,
//               when the window closes (REPEAT). The close then brings what is left of LEARN, and
//               FINAL: apart for positives that came late (LATE), so that one close may take four
//               records.
//   sampling    with data.sampling.drop an impression without any positive goes out weighted, or
//   not
//               at all: EVENT_SAMPLED (join_sample.c).
//   full        `store_full: expire`: while state is above its bound, what came first goes early:
//               EVENT_EXPIRED. `stop`: STATUS_EXHAUSTED, after the store was given the chance to
//               spill.
//   join: none  one record, SCORE | LEARN | FINAL, at once, with the labels that came along. Keys,
//   where
//               configured, find duplicates for the longest window.
//   finish      all windows close in order, waiting feedback becomes orphans.
//
// Accounts. An impression is in flight until its last window closes, then used. Feedback is in
// flight while it waits, and while all tasks it counts for depend on `given`; it is used once it
// has counted.
//
// The join knows no Avro, no log, no clock.
#ifndef FRESHET_INGEST_JOIN_H
#define FRESHET_INGEST_JOIN_H

#include "ingest/event.h"
#include "ingest/settings.h"
#include "ingest/store.h"
#include "stage/stage.h"

struct join;

struct join_setup {
    const struct ingest_settings *settings; // borrowed, checked; runner.order names the watermark
    const struct spec *spec;                // borrowed, checked
    struct store *store;                    // borrowed; NULL with join: none
    // Takes an example; timestamps never go back. The example is valid within the call.
    enum status (*emit)(void *self, const struct example *example, int64_t timestamp_ms,
                        struct error *err);
    void *self;
};

// STATUS_INVALID: a task names an input that is not there, or an impression input; a label policy
// that cannot be.
CHECKED enum status join_new(const struct join_setup *setup, struct join **ret_join,
                             struct error *err);
void join_free(struct join *join); // NULL is fine; the store stays the caller's

// Errors are emit's and the store's, or STATUS_EXHAUSTED: state does not fit (`store_full: stop`).
CHECKED enum status join_event(struct join *join, const struct event *event, struct error *err);
// Counts events that never became one: read and dropped.
void join_count_dropped(struct join *join, uint32_t input, enum event_drop reason, uint64_t count);
CHECKED enum status join_idle(struct join *join, uint32_t input, bool idle, struct error *err);
// Closes everything as if time had ended. The watermark stays, so that a stream that is taken up
// again later is judged as before, and remembered keys stay remembered.
CHECKED enum status join_finish(struct join *join, struct error *err);

int64_t join_watermark_ms(const struct join *join); // or STAGE_TIME_NONE
size_t join_accounts(const struct join *join, struct account *accounts, size_t max);
// Memory of keys, timers and the store, its fixed part included, against
// settings->store_memory_bytes.
size_t join_memory_bytes(const struct join *join);
// Three quarters of the memory are taken, and the store would give a good part back at a
// checkpoint.
bool join_wants_checkpoint(const struct join *join);
uint64_t join_open_impressions(const struct join *join);

// The store is saved and loaded by the caller, beside this.
CHECKED enum status join_save(const struct join *join, const struct sink *sink, struct error *err);
CHECKED enum status join_load(struct join *join, const struct source *source, struct error *err);
// Of everything that later results depend on; equal for equal states, however they are laid out.
CHECKED enum status join_fingerprint(struct join *join, uint64_t *ret_fingerprint,
                                     struct error *err);

#endif
