// The trainer as its newest checkpoint holds it, for commands that look at a model.
#ifndef FRESHET_CLI_SAVED_TRAINER_H
#define FRESHET_CLI_SAVED_TRAINER_H

#include "cli/settings.h"
#include "trainer/trainer.h"

// Rates are as published: with all labels whose windows have closed. partitions: of the examples.
// STATUS_NOT_FOUND when there is no checkpoint; STATUS_CHANGED when it is one of another
// configuration.
CHECKED enum status saved_trainer_load(const struct settings *settings, size_t partitions,
                                       struct trainer **ret_trainer, struct error *err);

#endif
