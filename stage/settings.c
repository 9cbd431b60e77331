// The runner's table of options.
#include <stddef.h>

#include "stage/runner.h"

static const char *const orders[] = {"arrival", "event_time", NULL};

#define FIELD(name) offsetof(struct runner_settings, name)
#define DAY_MS 86400000.0

static const struct option options[] = {
    {.key = "commit_interval",
     .type = OPTION_DURATION,
     .offset = FIELD(commit_interval_ms),
     .default_text = "50ms",
     .minimum = 0,
     .maximum = 60000,
     .help = "How often outputs and journal become durable and visible; ten times that while there "
             "are no outputs. Longer commits cost less; readers see results later."},
    {.key = "checkpoint_interval",
     .type = OPTION_DURATION,
     .offset = FIELD(checkpoint_interval_ms),
     .default_text = "60s",
     .minimum = 1,
     .maximum = DAY_MS,
     .help =
         "How often the state is saved. After a crash at most this much of the stream is folded "
         "again."},
    {.key = "checkpoints_kept",
     .type = OPTION_INT,
     .offset = FIELD(checkpoints_kept),
     .default_text = "2",
     .minimum = 1,
     .maximum = 1000,
     .help =
         "How many generations of checkpoints stay on disk. A corrupt one is passed over for the "
         "one before, so keep at least two."},
    {.key = "tick_interval",
     .type = OPTION_DURATION,
     .offset = FIELD(tick_interval_ms),
     .default_text = "1s",
     .minimum = 0,
     .maximum = DAY_MS,
     .help = "How often the stage is told the time, for what it does by the clock. 0 turns ticks "
             "off."},
    {.key = "idle_timeout",
     .type = OPTION_DURATION,
     .offset = FIELD(idle_timeout_ms),
     .default_text = "0s",
     .minimum = 0,
     .maximum = DAY_MS,
     .help =
         "An input silent for this long no longer holds the others back. 0 waits for ever, which "
         "is what a backfill wants."},
    {.key = "batch_records",
     .type = OPTION_INT,
     .offset = FIELD(batch_records),
     .default_text = "4096",
     .minimum = 1,
     .maximum = 1048576,
     .help = "Most records folded in one step; the bound of each input's queue."},
    {.key = "order",
     .type = OPTION_CHOICE,
     .offset = FIELD(order),
     .default_text = "arrival",
     .choices = orders,
     .help = "The order of records: as they arrive, or merged over all inputs by event time, which "
             "makes any two backfills equal."},
    {.key = "stop_timeout",
     .type = OPTION_DURATION,
     .offset = FIELD(stop_timeout_ms),
     .default_text = "30s",
     .minimum = 100,
     .maximum = DAY_MS,
     .help = "Bound on a graceful stop: how long the last commit is tried again while servers are "
             "unavailable."},
};

const struct option_table runner_options = {
    .title = "Runner",
    .help = "How a stage's task steps through its inputs, commits and saves its state.",
    .struct_bytes = sizeof(struct runner_settings),
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
};
