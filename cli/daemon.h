// A daemon: any set of tasks in one process, each on a thread of its own under the runner.
//
// The main thread opens what tasks share (log, metrics, monitor), starts them, waits for a signal
// or for all to finish, and prints each task's conservation account at the end. SIGTERM and SIGINT
// ask for a graceful stop: every task commits and takes a checkpoint. A second signal ends the
// process at once, which is safe: the next start recovers. One task's failure stops the others
// gracefully. SIGHUP reads the configuration again and takes over what may change while running; a
// change of anything else is refused whole. systemd is told by its notify protocol when all tasks
// read live, and its watchdog is fed while none has failed.
#ifndef FRESHET_CLI_DAEMON_H
#define FRESHET_CLI_DAEMON_H

#include "cli/command.h"

struct replay_plan;

enum { DAEMON_INGEST = 1, DAEMON_TRAINER = 2, DAEMON_PUBLISHER = 4 };

struct daemon_options {
    const char *config;   // the file, read again on SIGHUP
    unsigned stages;      // DAEMON_ bits
    int32_t ingest_first; // ingest tasks [first, first + count); count 0 = one a partition
    int32_t ingest_count;
    bool finish;                    // read to the ends seen at start, close all windows, then end
    int64_t threads;                // > 0: workers of the trainer instead of the setting
    const char *report;             // file for the final table as JSON lines, or NULL
    const struct replay_plan *plan; // what ingest reads, in a replay; NULL: all there is
};

// Runs until done or stopped; prints what went wrong. Returns an exit_code.
int daemon_run(const struct settings *settings, const struct daemon_options *options);

#endif
