// The whole pipeline in one process, under faults drawn from a seed; see sim.h.
//
// usage: simulator [--seeds N] [--first SEED] [--seconds S] [--rate R] [--verbose]
//
// Runs seeds one after another from SEED on, N of them or for S seconds. A seed has events of its
// own, shared with its 15 neighbours, and a kind of world. Each run is checked (checks.h); the
// first violation is printed with its seed and ends the program with exit code 1; the same seed
// gives the same run again. --verbose prints the product's own log lines.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/logger.h"
#include "tests/simulator/checks.h"
#include "tests/simulator/schedule.h"

enum { NEIGHBOURS = 16 };

static struct process nobody;
struct process *sim_process = &nobody;
struct rng sim_rng;
uint64_t sim_effects;

enum sim_gate sim_gate(void) {
    sim_strand_rest();
    if (sim_process->dead)
        return GATE_DEAD;
    sim_effects++;
    if (sim_process->dies_at == 0 || --sim_process->dies_at > 0)
        return GATE_PASS;
    sim_process->dead = true;
    return sim_process->torn ? GATE_TORN : GATE_DEAD;
}

bool sim_chance(double probability) {
    return rng_uniform(&sim_rng) < probability;
}

struct options {
    uint64_t seeds, first, seconds;
    double rate;
    bool verbose;
};

static bool options_read(int count, char **texts, struct options *options) {
    for (int i = 1; i < count; i++) {
        bool value = i + 1 < count;
        if (strcmp(texts[i], "--verbose") == 0)
            options->verbose = true;
        else if (value && strcmp(texts[i], "--seeds") == 0)
            options->seeds = strtoull(texts[++i], NULL, 10);
        else if (value && strcmp(texts[i], "--first") == 0)
            options->first = strtoull(texts[++i], NULL, 10);
        else if (value && strcmp(texts[i], "--seconds") == 0)
            options->seconds = strtoull(texts[++i], NULL, 10);
        else if (value && strcmp(texts[i], "--rate") == 0)
            options->rate = strtod(texts[++i], NULL);
        else
            return false;
    }
    return true;
}

static double seconds_now(void) {
    struct timespec now;
    REQUIRE(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct simulator {
    struct settings *settings;
    size_t rules;       // of tables, where neighbours live by them
    struct log *source; // events of the neighbours
    struct outcome wanted;
    uint64_t counts[FAULTS], deaths;
};

static bool run_one(struct simulator *simulator, uint64_t seed, enum world_kind kind, double rate,
                    struct outcome *ret_outcome) {
    struct world world;
    rng_init(&sim_rng, seed);
    world_init(&world, seed, kind, simulator->settings, simulator->source);
    schedule_run(&world, rate, simulator->counts);
    for (int i = 0; i < ACTORS; i++)
        simulator->deaths += world.actors[i].deaths;
    if (!world.violated)
        check_end(&world, ret_outcome);
    if (!world.violated && rate > 0 && kind != WORLD_ARRIVAL)
        check_equal(&world, ret_outcome, &simulator->wanted);
    if (world.violated)
        printf("simulator: seed %" PRIu64 ": %s\n", seed, world.error.message);
    bool fine = !world.violated;
    world_deinit(&world);
    sim_process = &nobody;
    return fine;
}

// The neighbours' events, and what an uninterrupted run makes of them.
static bool neighbours_begin(struct simulator *simulator, uint64_t neighbours) {
    sim_process = &nobody;
    log_close(simulator->source);
    simulator->source = world_source(simulator->settings, neighbours + 1);
    simulator->settings->trainer.learner.tables.count = neighbours % 3 ? simulator->rules : 0;
    simulator->settings->trainer.shuffle_rows = neighbours % 4 == 1 ? 24 : 0;
    return run_one(simulator, ~neighbours, WORLD_EVENT_TIME, 0, &simulator->wanted);
}

int main(int argc, char **argv) {
    struct options options = {.seeds = 1000, .first = 1, .rate = .02};
    struct settings settings = {0};
    struct arena run;
    struct error err;
    if (!options_read(argc, argv, &options)) {
        fprintf(stderr, "usage: simulator [--seeds N] [--first SEED] [--seconds S] [--rate R] "
                        "[--verbose]\n");
        return 2;
    }
    FILE *lines = options.verbose ? stderr : fopen("/dev/null", "w");
    REQUIRE(lines);
    logger_setup(lines, options.verbose ? LOGGER_DEBUG : LOGGER_ERROR, LOGGER_TEXT);
    arena_init(&run, 65536);
    if (settings_load("tests/simulator/pipeline.yaml", &run, &settings, &err) != STATUS_OK) {
        fprintf(stderr, "simulator: %s\n", err.message);
        return 2;
    }
    struct simulator simulator = {.settings = &settings,
                                  .rules = settings.trainer.learner.tables.count};
    double begin = seconds_now();
    uint64_t seed = options.first, neighbours = UINT64_MAX;
    bool fine = true;
    while (fine && (options.seconds ? seconds_now() - begin < (double)options.seconds
                                    : seed < options.first + options.seeds)) {
        struct outcome outcome;
        if (seed / NEIGHBOURS != neighbours) {
            neighbours = seed / NEIGHBOURS;
            fine = neighbours_begin(&simulator, neighbours);
        }
        fine = fine && run_one(&simulator, seed, (enum world_kind)(seed % WORLD_KINDS),
                               options.rate, &outcome);
        seed++;
    }
    double took = seconds_now() - begin;
    printf("simulator: %" PRIu64 " seeds from %" PRIu64 " in %.1f s (%.0f a minute), %" PRIu64
           " deaths, faults:",
           seed - options.first, options.first, took, (double)(seed - options.first) * 60 / took,
           simulator.deaths);
    for (size_t i = 0; i < FAULTS; i++)
        printf(" %s %" PRIu64, fault_names[i], simulator.counts[i]);
    printf("\nsimulator: %s\n", fine ? "no violation" : "a violation, printed above");
    log_close(simulator.source);
    arena_deinit(&run);
    return fine ? 0 : 1;
}
