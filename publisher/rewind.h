// Taking Redis back, so that the weights log read again brings an earlier version in.
//
// The manifest goes first: no reader begins to read what is neither the one version nor the other;
// those that follow in memory go on with what they have. Then each group's place is set back. Every
// step compares and sets, and a publisher that died in between finds that it has still to be done.
#ifndef FRESHET_PUBLISHER_REWIND_H
#define FRESHET_PUBLISHER_REWIND_H

#include "publisher/catalogue.h"
#include "publisher/state.h"

// Where the pin asks for another version than Redis has: looks it up in the log, goes back where
// Redis is beyond it, and sets the limit of publisher->steer. A version that the log does not hold,
// or not far enough back, is said in the log, and all stays as it is. The publisher is connected.
CHECKED enum status rewind_to_pin(struct publisher *publisher, struct error *err);

#endif
