// The publisher as a stage: the weights log in, a model in Redis out.
//
// It keeps no journal and no checkpoint: each group of rows in Redis carries its own place in the
// log (group.h), changed together with the rows by compare-and-set. start_offset reads those
// places; fold queues commands; committing sends them, checks every reply and, once all groups hold
// a whole version, flips the manifest to it. Any mismatch or loss of connection is
// STATUS_UNAVAILABLE: the runner backs off, and everything begins again from what Redis says. So a
// Redis that is new, emptied, failed over or rewound is filled again from the log, and an older
// publisher that wakes up changes nothing.
//
// Which version goes out is decided by steer.h: the gate's verdicts in the weights log, and pins in
// the control log. Where an earlier version is asked for, Redis is taken back (rewind.h) and the
// log read again.
#ifndef FRESHET_PUBLISHER_PUBLISHER_H
#define FRESHET_PUBLISHER_PUBLISHER_H

#include "base/metrics.h"
#include "publisher/settings.h"
#include "stage/runner.h"

struct publisher_setup {
    const struct publisher_settings *settings; // borrowed
    const char *name;                          // prefix of all keys
    const char *weights;                       // topic; input 0
    const char *control;                       // topic, input 1 and aside; NULL = none
    size_t row_floats_max;     // of the widest row to come, warned of at the start; 0 = not known
    struct log *log;           // that holds it
    struct metrics *metrics;   // may be NULL
    const struct clock *clock; // for freshness only
};
struct publisher; // the state of publisher_operations

CHECKED enum status publisher_new(const struct publisher_setup *setup,
                                  struct publisher **ret_publisher, struct error *err);
void publisher_free(struct publisher *publisher); // NULL is fine
extern const struct stage_operations publisher_operations;

// Connects and looks at the server. STATUS_UNAVAILABLE; STATUS_INVALID: it refuses us, or may evict
// rows (the stage itself only warns of that, in the log).
CHECKED enum status publisher_check(const struct publisher_settings *settings, struct error *err);

#endif
