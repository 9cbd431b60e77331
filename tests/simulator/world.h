// A world of one seed: its events, its logs, the pipeline's tasks with their machines and lives.
#ifndef FRESHET_TESTS_SIMULATOR_WORLD_H
#define FRESHET_TESTS_SIMULATOR_WORLD_H

#include "base/clock.h"
#include "cli/settings.h"
#include "log/memory.h"
#include "stage/runner.h"
#include "tests/simulator/sim.h"

enum { PARTITIONS = 2, INGESTS = PARTITIONS, TRAINER = INGESTS, PUBLISHER, ACTORS };

// A clock whose wall may jump while its monotonic side only grows.
struct sim_clock {
    struct clock clock;
    int64_t now_us, wall_offset_us;
};

// One instance of a task: a process that has opened it, or has yet to.
struct life {
    struct process *process; // in the world's arena, as is ...
    const char *directory;   // ... this: older instances keep theirs
    struct log *log;         // its own handle of file logs; else the world's
    bool contested;          // an older instance went on when it began, and may have won
    void *state;
    struct runner *runner; // NULL = not open
};
struct actor {
    int kind; // of the enumeration above: an ingest's partition, TRAINER, PUBLISHER
    char name[64];
    struct life life, zombie; // zombie: an older instance that goes on, or runner NULL
    struct stage_input inputs[INGEST_INPUTS_MAX];
    struct stage_output outputs[2];
    struct trainer_settings trainer;
    struct runner_settings runner;
    int machines;    // used so far
    uint64_t asleep; // turns
    uint64_t deaths;
    bool ended;
};

enum world_kind {
    WORLD_EVENT_TIME, // memory logs; every run of the same events must end alike
    WORLD_ARRIVAL,    // memory logs; a run equals the replay of its own journal
    WORLD_FILES,      // logs of files on one machine's disk, event time
    WORLD_KINDS
};

enum { WORLD_LINEAGE = 77 };

struct world {
    uint64_t seed;
    enum world_kind kind;
    struct settings settings; // borrowed texts
    struct sim_clock clock;
    struct log *log;
    struct log *source; // all events, from which the producer takes
    struct feed *feed;
    struct actor actors[ACTORS];
    bool damaged; // a bit of a checkpoint was flipped
    bool gaps;    // transactions take offsets, though not in the inputs: dead letters name those
    bool checkpoints; // none: journals are never trimmed, so a directory may be lost
    struct arena names;
    struct error error; // of the violation
    bool violated;
};

// Marks the run as failed; the first reason stays.
void world_violate(struct world *world, const char *format, ...) PRINTF_LIKE(2, 3);

// `source` holds the events (world_source). Topics are made, nothing is running.
void world_init(struct world *world, uint64_t seed, enum world_kind kind,
                const struct settings *settings, struct log *source);
void world_deinit(struct world *world);
// The events of a seed in a log of their own.
struct log *world_source(const struct settings *settings, uint64_t seed);

// A record on the control log: that version is pinned, 0 = none is. The log is up.
void world_command(struct world *world, uint64_t version);
// Moves some events from the source to the topics; false when none is left.
bool world_feed(struct world *world, size_t most);
// The producer dies with its machine and comes back.
void world_feed_again(struct world *world);

// A life that has yet to begin, on this machine, in "/sim/MACHINE/NAME".
struct life world_life(struct world *world, int machine, const char *name);
// NULL when the process died opening it.
struct log *world_log_of(struct world *world, struct life *life);

// Brings a task to life on its machine. False: not now (a server is down), or it has died opening;
// any other refusal is a violation.
bool actor_start(struct world *world, struct actor *actor);
// One turn of the runner. Deaths and the end are noted in the actor.
void actor_step(struct world *world, struct actor *actor);
// Ends a life without another effect.
void life_end(const struct actor *actor, struct life *life);
const struct stage_operations *actor_operations(const struct actor *actor);

#endif
