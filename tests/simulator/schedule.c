// The scheduler and the faults; see schedule.h.
#include "tests/simulator/schedule.h"

#include <string.h>

#include "tests/simulator/checks.h"

enum { TURNS_MAX = 100000 };

const char *const fault_names[FAULTS] = {"die-in-step",  "kill",      "power-loss", "commit",
                                         "log-down",     "redis-cut", "redis-down", "redis-flush",
                                         "redis-rewind", "zombie",    "clock-jump", "sleep",
                                         "directory",    "bit-flip",  "pin"};

struct schedule {
    struct world *world;
    uint64_t *counts;
    uint64_t log_down, redis_down; // turns left
};

static void die(struct actor *actor) {
    life_end(actor, &actor->life);
    actor->deaths++;
    actor->ended = false;
    actor->asleep = rng_below(&sim_rng, 10);
}

// Everything on a machine dies; what was not synced is lost in part.
static void power_loss(struct world *world, int machine) {
    for (int i = 0; i < ACTORS; i++)
        if (world->actors[i].life.runner && world->actors[i].life.process->machine == machine)
            die(&world->actors[i]);
    sim_disk_power_loss(machine);
    if (world->kind == WORLD_FILES)
        world_feed_again(world);
}

// A newer instance is to start on another machine, with a copy of the directory, or without where
// the journal is all there.
static void move(struct world *world, struct actor *actor, bool copy) {
    const char *before = actor->life.directory;
    actor->life = world_life(world, 100 * (actor->kind + 1) + actor->machines++, actor->name);
    if (copy)
        sim_disk_copy_tree(before, actor->life.directory);
    actor->ended = false;
}

static bool begin_zombie(struct world *world, struct actor *actor) {
    if (world->kind == WORLD_FILES || actor->zombie.runner || !actor->life.runner)
        return false;
    actor->zombie = actor->life;
    actor->zombie.process->dies_at = 0;
    move(world, actor, true);
    // It starts at once: a copy grows old while the older instance takes checkpoints and lets the
    // journal before them go. One that dies on the way leaves no race behind.
    if (!actor_start(world, actor))
        life_end(actor, &actor->zombie);
    return true;
}

static void step_zombie(struct world *world, struct actor *actor) {
    struct error err = {0};
    struct life *zombie = &actor->zombie;
    sim_process = zombie->process;
    enum status status = runner_step(zombie->runner, 0, &err);
    if (status != STATUS_OK && status != STATUS_UNAVAILABLE && status != STATUS_FENCED &&
        status != STATUS_END && status != STATUS_TIMEOUT)
        world_violate(world, "an older instance of %s stopped: %s: %s", actor->name,
                      status_name(status), err.message);
    if (status == STATUS_FENCED || status == STATUS_END || sim_chance(.03))
        life_end(actor, zombie);
}

// Once a run, and only where a generation before the damaged one is whole.
static bool flip(struct schedule *schedule, struct actor *actor) {
    char folder[160];
    snprintf(folder, sizeof folder, "%s/checkpoints", actor->life.directory);
    if (schedule->world->damaged || sim_disk_generations(folder) < 2)
        return false;
    if (actor->life.runner)
        die(actor);
    snprintf(folder, sizeof folder, "%s/checkpoints/", actor->life.directory);
    schedule->world->damaged = sim_disk_flip_bit(folder);
    return schedule->world->damaged;
}

static bool strike(struct schedule *schedule, struct actor *actor, enum fault fault) {
    struct world *world = schedule->world;
    bool alive = actor->life.runner != NULL;
    switch (fault) {
    case FAULT_DIE_IN_STEP:
        actor->life.process->dies_at = 1 + rng_below(&sim_rng, 25);
        actor->life.process->torn = sim_chance(.5);
        return true;
    case FAULT_KILL:
        if (alive)
            die(actor);
        return alive;
    case FAULT_POWER:
        power_loss(world, actor->life.process->machine);
        return true;
    case FAULT_COMMIT:
        if (world->kind == WORLD_FILES || !alive || actor->ended || actor->kind == PUBLISHER)
            return false;
        log_memory_fault_plant(
            world->log, 1, sim_chance(.5) ? LOG_MEMORY_UNAVAILABLE : LOG_MEMORY_UNAVAILABLE_AFTER);
        actor_step(world, actor);
        log_memory_fault_plant(world->log, 0, LOG_MEMORY_UNAVAILABLE);
        if (actor->life.runner && sim_chance(.5))
            die(actor);
        return true;
    case FAULT_LOG_DOWN:
        if (world->kind == WORLD_FILES)
            return false;
        schedule->log_down = 1 + rng_below(&sim_rng, 15);
        log_memory_unavailable(world->log, true);
        return true;
    case FAULT_REDIS_CUT:
        sim_redis_cut(1 + rng_below(&sim_rng, 40), sim_chance(.5));
        return true;
    case FAULT_REDIS_DOWN:
        schedule->redis_down = 1 + rng_below(&sim_rng, 15);
        sim_redis_up(false);
        return true;
    case FAULT_REDIS_FLUSH:
        sim_redis_flush();
        return true;
    case FAULT_REDIS_REWIND:
        return sim_redis_rewind();
    case FAULT_ZOMBIE:
        return begin_zombie(world, actor);
    case FAULT_CLOCK:
        world->clock.wall_offset_us += ((int64_t)rng_below(&sim_rng, 7200) - 3600) * 1000000;
        return true;
    case FAULT_SLEEP:
        actor->asleep = rng_below(&sim_rng, 60);
        return true;
    case FAULT_DIRECTORY:
        if (world->checkpoints || world->kind == WORLD_FILES)
            return false;
        if (alive)
            die(actor);
        move(world, actor, false);
        return true;
    case FAULT_PIN:
        if (world->kind == WORLD_FILES || schedule->log_down > 0)
            return false;
        world_command(world, rng_below(&sim_rng, 12));
        return true;
    default:
        return flip(schedule, actor);
    }
}

static void faults_pass(struct schedule *schedule) {
    if (schedule->log_down > 0 && --schedule->log_down == 0)
        log_memory_unavailable(schedule->world->log, false);
    if (schedule->redis_down > 0 && --schedule->redis_down == 0)
        sim_redis_up(true);
}

static bool all_ended(const struct world *world) {
    for (int i = 0; i < ACTORS; i++)
        if (!world->actors[i].ended || world->actors[i].zombie.runner)
            return false;
    return true;
}

static void turn(struct schedule *schedule, bool *fed) {
    struct world *world = schedule->world;
    struct actor *actor = &world->actors[rng_below(&sim_rng, ACTORS)];
    world->clock.now_us += (int64_t)rng_below(&sim_rng, 60000);
    if (!*fed && schedule->log_down == 0 && sim_chance(.3))
        *fed = !world_feed(world, 1 + (size_t)rng_below(&sim_rng, 60));
    if (actor->zombie.runner)
        step_zombie(world, actor);
    if (sim_chance(.7))
        sim_strands_run(NULL);
    for (int i = 0; i < ACTORS; i++) // one may have died there
        if (world->actors[i].life.runner && world->actors[i].life.process->dead)
            die(&world->actors[i]);
    if (actor->asleep > 0) {
        actor->asleep--;
        return;
    }
    if (actor->ended && sim_chance(.98))
        return; // now and then one that has ended is started again
    if (actor->ended)
        life_end(actor, &actor->life);
    actor->ended = false;
    if (!actor->life.runner && !actor_start(world, actor))
        return;
    actor_step(world, actor);
    if (actor->kind == PUBLISHER) {
        check_manifest(world, schedule->log_down == 0 && sim_chance(.05));
        if (sim_chance(.05))
            sim_redis_remember();
    }
}

// The last stretch has no faults, so that everything can come to its end; a publisher that had
// ended looks once more at what Redis holds.
static void finish(struct schedule *schedule) {
    struct world *world = schedule->world;
    schedule->log_down = schedule->log_down > 0;
    schedule->redis_down = schedule->redis_down > 0;
    faults_pass(schedule);
    sim_redis_cut(0, false);
    world_command(world, 0);
    for (int i = 0; i < ACTORS; i++) {
        world->actors[i].asleep = 0;
        world->actors[i].life.process->dies_at = 0;
        life_end(&world->actors[i], &world->actors[i].zombie);
    }
    if (world->actors[PUBLISHER].life.runner)
        die(&world->actors[PUBLISHER]);
    world->actors[PUBLISHER].ended = false;
    world->actors[PUBLISHER].asleep = 0;
}

void schedule_run(struct world *world, double rate, uint64_t *counts) {
    uint64_t own[FAULTS] = {0};
    struct schedule schedule = {.world = world, .counts = own};
    bool fed = false, calm = false;
    uint64_t troubled = 100 + rng_below(&sim_rng, 2000); // turns with faults
    for (uint64_t turns = 0; !world->violated; turns++) {
        if (all_ended(world) && fed) {
            if (calm)
                break;
            finish(&schedule);
            calm = true;
        }
        if (turns > TURNS_MAX)
            world_violate(world, "no end in sight after %d turns", TURNS_MAX);
        if (!calm && turns < troubled && sim_chance(rate)) {
            enum fault fault = (enum fault)rng_below(&sim_rng, FAULTS);
            own[fault] += strike(&schedule, &world->actors[rng_below(&sim_rng, ACTORS)], fault);
        }
        faults_pass(&schedule);
        turn(&schedule, &fed);
    }
    for (size_t i = 0; i < FAULTS; i++)
        counts[i] += own[i];
}
