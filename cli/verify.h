// Whether a scorer, reading Redis, gives what the trainer itself would.
#ifndef FRESHET_CLI_VERIFY_H
#define FRESHET_CLI_VERIFY_H

#include "cli/settings.h"

// Scores the newest `count` examples by the scorer and by the model in the trainer's newest
// checkpoint, and prints {"rows", "version", "largest_difference"} of the probabilities as JSON.
// The trainer has stopped and all it published has arrived, or the difference is that of two
// versions.
CHECKED enum status verify_scores(const struct settings *settings, struct freshet_scorer *scorer,
                                  int64_t count, FILE *stream, struct error *err);

#endif
