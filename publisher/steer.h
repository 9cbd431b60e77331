// Which version goes out: the gate's verdicts, which versions carry, and the operator's pins, which
// the control log carries.
//
// Both are records that every publisher reads alike, so all regions come to the same answer, a
// restart keeps it and a replay repeats it. A version is decided on at its OPEN, before any row of
// it is written:
//
//   pinned      the pinned version goes out and stays; versions before it go in on the way, those
//               behind it are held
//   not pinned  a version that passed the gate goes out; one that did not is held until a later one
//               passes, which brings all that was held
//
// Held versions are read over, not kept: when they are wanted after all the log is read again from
// where they begin (STEER_AGAIN). Whoever steers decides by offsets alone: `limit` is the OPEN of
// the newest version that may go in.
//
// What it never does: speak to Redis.
#ifndef FRESHET_PUBLISHER_STEER_H
#define FRESHET_PUBLISHER_STEER_H

#include "log/log.h"
#include "record/control.h"
#include "record/weights.h"

enum { STEER_REASON_MAX = 256 };

struct steer {
    // From the control log.
    bool pinned;
    uint64_t lineage, version; // the pin's
    int64_t control_next;      // behind the newest record folded
    uint64_t read, undecodable;
    // From the weights log.
    int64_t limit; // INT64_MIN = none yet
    uint64_t held; // versions read over since the newest one that went in
};

// As without a past: nothing is pinned, no version is known.
void steer_init(struct steer *steer);
// Folds one control record. STATUS_INVALID: it cannot be read, which is counted and changes
// nothing.
CHECKED enum status steer_command(struct steer *steer, const struct log_record *record,
                                  struct control *ret_control /* borrows */, struct error *err);
// Folds the control log from its beginning to its present end; what was folded before is forgotten.
// `limit` stays where the pin did.
CHECKED enum status steer_load(struct steer *steer, struct log *log, const char *topic,
                               struct error *err);

enum steer_way {
    STEER_OUT,     // write it, and bring it out once it is whole
    STEER_THROUGH, // write it: a later one, which goes out, stands on it
    STEER_HOLD,    // read over it
    STEER_AGAIN // wanted, but versions before it were read over: begin again at the first of them
};
// For a version whose OPEN stands at `offset`. `passed`: what its measures say (steer_passed).
enum steer_way steer_open(struct steer *steer, const struct weights *open, int64_t offset,
                          bool passed);
// The gate's verdict in a version's measures: {"gate":{"verdict":"hold","reason":".."}} does not
// pass, all else does. reason: STEER_REASON_MAX bytes, "" where it passes; may be NULL.
bool steer_passed(const char *measures, size_t length, char *reason);

#endif
