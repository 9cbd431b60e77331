// What the simulated machine's parts share: whose code runs now, and when it dies.
//
// The simulator runs the whole pipeline in one process, one thread at a time: the product's own
// stages, runner and logs, linked to a disk (sim_disk.c), a Redis (sim_redis.c) and a clock that
// live in memory. Every effect that another process could see, a write, a rename, a Redis command,
// passes sim_gate() first; there a process dies when its hour has come. What follows in a dead
// process has no effect: its memory is merely given back.
#ifndef FRESHET_TESTS_SIMULATOR_SIM_H
#define FRESHET_TESTS_SIMULATOR_SIM_H

#include "base/rng.h"
#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

// What dies as one.
struct process {
    int machine;      // whose disk it uses
    bool dead;        // no effect any more
    uint64_t dies_at; // effects left until it dies there; 0 = not planned
    bool torn;        // the write it dies in is half done
};
extern struct process *sim_process; // whose code runs now; never NULL
extern struct rng sim_rng;          // of all that is random in a run
extern uint64_t sim_effects;        // effects so far

enum sim_gate { GATE_PASS, GATE_TORN, GATE_DEAD };
// Counts an effect of the running process and tells whether it may happen.
enum sim_gate sim_gate(void);
bool sim_chance(double probability);

// strands.c: threads of the product. Each of this process, or of all (NULL), runs until it rests.
void sim_strands_run(const struct process *process);
void sim_strand_rest(void); // called by sim_gate: a strand may let others run here

// sim_disk.c: paths that begin with "/sim/" lie on simulated disks, "/sim/N/" on machine N's. All
// others are the real system's, to be read only.
void sim_disk_init(void); // empty disks
// The machine loses its power: of what was written since the last sync, some is kept, some lost,
// some torn; of changes of folders, those since the last sync are undone from some point on.
void sim_disk_power_loss(int machine);
// Everything below `directory` as another machine would have it from a copy.
void sim_disk_copy_tree(const char *from, const char *to);
void sim_disk_remove_tree(const char *directory);
// Removes what lies in this folder of checkpoints but the oldest whole generation.
void sim_disk_keep_first(const char *directory);
size_t sim_disk_generations(const char *directory); // whole ones in a folder of checkpoints
// Flips one bit of one file whose path contains `part`; false when there is none.
bool sim_disk_flip_bit(const char *part);

// sim_redis.c: one server.
struct sim_redis;
void sim_redis_init(void); // empty, up
void sim_redis_up(bool up);
void sim_redis_lose_connections(void);
void sim_redis_flush(void);
void sim_redis_remember(void); // a point that it may fall back to
bool sim_redis_rewind(void);   // to such a point; false when there is none
// The n-th command from now loses its connection, before or after it took effect.
void sim_redis_cut(uint64_t n, bool applied);
// Value of a string key or a hash's field, or NULL.
const unsigned char *sim_redis_value(const char *key, const void *field, size_t field_length,
                                     size_t *ret_length);
// Calls `each` for every field of every hash whose key contains `part`.
void sim_redis_each_field(const char *part,
                          void (*each)(void *self, const char *key, const unsigned char *field,
                                       size_t field_length, const unsigned char *value,
                                       size_t value_length),
                          void *self);

#endif
