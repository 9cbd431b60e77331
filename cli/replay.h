// A replay beside a deployment: its names, and how it becomes the deployment itself.
#ifndef FRESHET_CLI_REPLAY_H
#define FRESHET_CLI_REPLAY_H

#include "cli/settings.h"

// Makes of a deployment's settings those of a replay beside it: tasks and topics with `.LABEL`
// behind their names, canonical order, no versions on the way, `listen` for the monitor. False when
// memory is out.
bool replay_settings(struct settings *settings, const char *label, const char *listen,
                     struct arena *arena);

// Makes the replay's state that of the deployment `live`, as a new lineage of it; neither may be
// running. What the replay's trainer has still to learn of the examples there are is learnt first.
// Done again from the beginning when it was interrupted; until then daemons of `live` refuse to
// start.
CHECKED enum status handover_run(const struct settings *live, const struct settings *replay,
                                 struct error *err);
// STATUS_CHANGED while a handover to the deployment has begun and not ended.
CHECKED enum status handover_check(const struct settings *live, struct error *err);

#endif
