// Events, topics and the lives of tasks; see world.h. Wired as cli/task.c wires them, with the
// simulated clock and every fold's own machine.
#include "tests/simulator/world.h"

#include <stdarg.h>
#include <string.h>

#include "ingest/ingest.h"
#include "publisher/publisher.h"
#include "record/control.h"
#include "trainer/trainer.h"

enum { TOPICS = 3 };
struct feed {
    struct log_reader *reader;
    struct log_writer *writer;
    struct process producer;
    struct log *log;
};

static const char *const topics[TOPICS] = {"impressions", "clicks", "conversions"};

void world_violate(struct world *world, const char *format, ...) {
    if (world->violated)
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(world->error.message, sizeof world->error.message, format, arguments);
    va_end(arguments);
    world->violated = true;
}

static void must(enum status status, const struct error *err) {
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "simulator: %s\n", err->message);
    REQUIRE(status == STATUS_OK);
}

// ---- time

static struct sim_clock *clock_of(const struct clock *clock) {
    return (struct sim_clock *)(uintptr_t)clock;
}
static int64_t wall_ms(const struct clock *clock) {
    const struct sim_clock *sim = clock_of(clock);
    return (sim->now_us + sim->wall_offset_us) / 1000;
}
static int64_t monotonic_us(const struct clock *clock) {
    return clock_of(clock)->now_us;
}
static void sleep_ms(const struct clock *clock, int64_t ms) {
    clock_of(clock)->now_us += ms > 0 ? ms * 1000 : 0;
}

// ---- events

struct log *world_source(const struct settings *settings, uint64_t seed) {
    struct error err;
    struct log *log = NULL;
    struct simulate_settings simulate = settings->simulate;
    struct simulate_account account;
    simulate.seed = (int64_t)seed;
    simulate.finish = true;
    must(log_open_memory(&log, &err), &err);
    must(simulate_run(log, &simulate, NULL, NULL, NULL, &account, &err), &err);
    return log;
}

// NULL when the running process died in it.
static struct log *files_open(void) {
    struct error err;
    struct log *log = NULL;
    const struct log_files_options options = {
        .directory = "/sim/0/log", .segment_bytes = 20000, .fsync = true};
    enum status status = log_open_files(&options, &log, &err);
    if (!sim_process->dead)
        must(status, &err);
    return log;
}

static void feed_open(struct world *world) {
    struct error err;
    struct feed *feed = memory_new(1, sizeof *feed);
    REQUIRE(feed);
    sim_process = &feed->producer;
    struct log_position positions[TOPICS * PARTITIONS];
    for (size_t t = 0; t < TOPICS; t++)
        for (int32_t p = 0; p < PARTITIONS; p++)
            positions[t * PARTITIONS + (size_t)p] = (struct log_position){topics[t], p, 0};
    must(log_reader_open(world->source, positions, TOPICS * PARTITIONS, &feed->reader, &err), &err);
    feed->log = world->kind == WORLD_FILES ? files_open() : world->log;
    for (size_t t = 0; t < TOPICS; t++)
        must(log_topic_ensure(feed->log, topics[t], PARTITIONS, &err), &err);
    must(log_topic_ensure(feed->log, world->settings.ingest.examples, PARTITIONS, &err), &err);
    must(log_topic_ensure(feed->log, world->settings.ingest.dead_letter, PARTITIONS, &err), &err);
    must(log_topic_ensure(feed->log, world->settings.trainer.weights, 1, &err), &err);
    must(log_topic_ensure(feed->log, world->settings.control, 1, &err), &err);
    must(log_writer_open(feed->log, "", topics, TOPICS, &feed->writer, &err), &err);
    world->feed = feed;
}

void world_feed_again(struct world *world) {
    struct feed *feed = world->feed;
    struct error err;
    feed->producer.dead = true;
    sim_process = &feed->producer;
    log_writer_close(feed->writer);
    log_close(feed->log);
    feed->producer.dead = false;
    feed->log = files_open();
    must(log_writer_open(feed->log, "", topics, TOPICS, &feed->writer, &err), &err);
}

static void feed_close(struct world *world) {
    struct feed *feed = world->feed;
    log_reader_close(feed->reader);
    log_writer_close(feed->writer);
    if (feed->log != world->log)
        log_close(feed->log);
    memory_free(feed);
}

bool world_feed(struct world *world, size_t most) {
    struct feed *feed = world->feed;
    struct log_batch batch;
    struct error err;
    sim_process = &feed->producer;
    enum status status = log_reader_poll(feed->reader, most, 0, &batch, &err);
    if (status == STATUS_TIMEOUT)
        return false;
    must(status, &err);
    for (size_t i = 0; i < batch.count; i++)
        must(log_writer_append(feed->writer, batch.records[i].slot / PARTITIONS,
                               (int32_t)(batch.records[i].slot % PARTITIONS), &batch.records[i],
                               &err),
             &err);
    if (world->log)
        log_memory_gaps(world->log, false);
    must(log_writer_commit(feed->writer, NULL, 0, &err), &err);
    if (world->log)
        log_memory_gaps(world->log, world->gaps);
    return true;
}

void world_command(struct world *world, uint64_t version) {
    struct error err;
    struct log_writer *writer = NULL;
    struct control control = {.kind = version ? CONTROL_PIN : CONTROL_UNPIN,
                              .lineage = WORLD_LINEAGE,
                              .version = version};
    const char *const outputs[] = {world->settings.control};
    struct buffer bytes;
    buffer_init(&bytes);
    control_encode(&control, &bytes);
    struct log_record record = {
        .value = bytes.data, .value_length = bytes.length, .sequence = LOG_NO_SEQUENCE};
    sim_process = &world->feed->producer;
    must(log_writer_open(world->feed->log, "", outputs, 1, &writer, &err), &err);
    must(log_writer_append(writer, 0, 0, &record, &err), &err);
    must(log_writer_commit(writer, NULL, 0, &err), &err);
    log_writer_close(writer);
    buffer_deinit(&bytes);
}

// ---- the world

// How a run goes is drawn apart from what it runs on.
static void runner_draw(struct runner_settings *settings, enum world_kind kind, bool checkpoints) {
    settings->batch_records = 1 + (int64_t)rng_below(&sim_rng, 60);
    settings->commit_interval_ms = (int64_t)rng_below(&sim_rng, 200);
    settings->checkpoint_interval_ms =
        checkpoints ? 100 + (int64_t)rng_below(&sim_rng, 3000) : INT64_C(1) << 40;
    settings->checkpoints_kept = 2 + (int64_t)rng_below(&sim_rng, 20);
    settings->tick_interval_ms = 20 + (int64_t)rng_below(&sim_rng, 200);
    settings->order = kind == WORLD_ARRIVAL ? RUNNER_ARRIVAL : RUNNER_EVENT_TIME;
    settings->idle_timeout_ms =
        kind == WORLD_ARRIVAL && sim_chance(.3) ? 200 + (int64_t)rng_below(&sim_rng, 2000) : 0;
}

struct life world_life(struct world *world, int machine, const char *name) {
    char path[128];
    int length = snprintf(path, sizeof path, "/sim/%d/%s", machine, name);
    struct life life = {.process = arena_get(&world->names, 1, sizeof *life.process),
                        .directory = arena_copy_string(&world->names, path, (size_t)length)};
    REQUIRE(life.process && life.directory);
    life.process->machine = machine;
    return life;
}

static void actor_init(struct world *world, int kind) {
    struct actor *actor = &world->actors[kind];
    const struct settings *settings = &world->settings;
    actor->kind = kind;
    if (kind < INGESTS) {
        snprintf(actor->name, sizeof actor->name, "sim.ingest-%d", kind);
        actor->runner = settings->ingest.runner;
        ingest_task_inputs(&settings->ingest, kind, actor->inputs);
        ingest_task_outputs(&settings->ingest, kind, actor->outputs);
    } else if (kind == TRAINER) {
        snprintf(actor->name, sizeof actor->name, "sim.trainer");
        actor->runner = settings->trainer.runner;
        for (int32_t p = 0; p < PARTITIONS; p++)
            actor->inputs[p] = (struct stage_input){settings->trainer.examples, p};
        actor->outputs[0] = (struct stage_output){settings->trainer.weights, 0, 1};
    } else {
        snprintf(actor->name, sizeof actor->name, "sim.publisher");
        actor->runner = settings->publisher.runner;
        actor->inputs[0] = (struct stage_input){settings->trainer.weights, 0};
        actor->inputs[1] = (struct stage_input){settings->control, 0};
    }
    runner_draw(&actor->runner, world->kind, world->checkpoints);
    if (kind == PUBLISHER)
        actor->runner.order = RUNNER_ARRIVAL;
    actor->trainer = settings->trainer;
    actor->life = world_life(world, world->kind == WORLD_FILES ? 0 : kind + 1, actor->name);
    actor->machines = 1;
}

void world_init(struct world *world, uint64_t seed, enum world_kind kind,
                const struct settings *settings, struct log *source) {
    struct error err;
    *world = (struct world){.seed = seed, .kind = kind, .settings = *settings, .source = source};
    world->clock = (struct sim_clock){
        .clock = {.wall_ms = wall_ms, .monotonic_us = monotonic_us, .sleep_ms = sleep_ms},
        .now_us = INT64_C(1700000000) * 1000000};
    world->checkpoints = sim_chance(.7);
    arena_init(&world->names, 1024);
    sim_disk_init();
    sim_redis_init();
    if (kind != WORLD_FILES) {
        must(log_open_memory(&world->log, &err), &err);
        world->gaps = sim_chance(.5);
    }
    feed_open(world);
    for (int kind_of = 0; kind_of < ACTORS; kind_of++)
        actor_init(world, kind_of);
}

void world_deinit(struct world *world) {
    for (int i = 0; i < ACTORS; i++) {
        life_end(&world->actors[i], &world->actors[i].zombie);
        life_end(&world->actors[i], &world->actors[i].life);
    }
    feed_close(world);
    log_close(world->log);
    arena_deinit(&world->names);
}

struct log *world_log_of(struct world *world, struct life *life) {
    if (world->kind != WORLD_FILES)
        return world->log;
    if (!life->log)
        life->log = files_open();
    return life->log;
}

// ---- lives

static enum status state_make(struct world *world, struct actor *actor, struct life *life,
                              struct error *err) {
    const struct settings *settings = &world->settings;
    if (actor->kind < INGESTS) {
        struct ingest_task *state = NULL;
        const struct ingest_task_setup setup = {.settings = &settings->ingest,
                                                .spec = &settings->data,
                                                .partition = actor->kind,
                                                .clock = &world->clock.clock};
        enum status status = ingest_task_new(&setup, &state, err);
        life->state = state;
        return status;
    }
    if (actor->kind == TRAINER) {
        struct trainer *state = NULL;
        const struct trainer_setup setup = {.spec = &settings->data,
                                            .model = &settings->model,
                                            .settings = &actor->trainer,
                                            .lineage = WORLD_LINEAGE,
                                            .inputs = PARTITIONS};
        enum status status = trainer_new(&setup, &state, err);
        life->state = state;
        return status;
    }
    struct publisher *state = NULL;
    const struct publisher_setup setup = {.settings = &settings->publisher,
                                          .name = settings->name,
                                          .weights = settings->trainer.weights,
                                          .control = settings->control,
                                          .log = world_log_of(world, life),
                                          .clock = &world->clock.clock};
    enum status status = publisher_new(&setup, &state, err);
    life->state = state;
    return status;
}

const struct stage_operations *actor_operations(const struct actor *actor) {
    return actor->kind < INGESTS    ? &ingest_operations
           : actor->kind == TRAINER ? &trainer_operations
                                    : &publisher_operations;
}

void life_end(const struct actor *actor, struct life *life) {
    struct process *running = sim_process;
    if (!life->process)
        return;
    life->process->dead = true; // whatever the destructors try
    sim_process = life->process;
    runner_close(life->runner);
    if (actor->kind < INGESTS)
        ingest_task_free(life->state);
    else if (actor->kind == TRAINER)
        trainer_free(life->state);
    else
        publisher_free(life->state);
    log_close(life->log);
    life->runner = NULL;
    life->state = NULL;
    life->log = NULL;
    sim_process = running;
}

static void actor_died(struct actor *actor) {
    life_end(actor, &actor->life);
    actor->deaths++;
    actor->ended = false;
}

bool actor_start(struct world *world, struct actor *actor) {
    struct life *life = &actor->life;
    struct error err = {0};
    life->process->dead = false;
    sim_process = life->process;
    life->contested = actor->zombie.runner != NULL;
    if (!world_log_of(world, life)) {
        actor_died(actor);
        return false;
    }
    must(state_make(world, actor, life, &err), &err);
    const struct runner_setup setup = {.task = actor->name,
                                       .directory = life->directory,
                                       .operations = actor_operations(actor),
                                       .state = life->state,
                                       .log = world_log_of(world, life),
                                       .inputs = actor->inputs,
                                       .input_count = actor->kind < INGESTS    ? TOPICS
                                                      : actor->kind == TRAINER ? PARTITIONS
                                                                               : 2,
                                       .inputs_aside = actor->kind == PUBLISHER ? 1 : 0,
                                       .start = RUNNER_START_OLDEST,
                                       .outputs = actor->outputs,
                                       .output_count = actor->kind < INGESTS    ? INGEST_OUTPUTS
                                                       : actor->kind == TRAINER ? 1
                                                                                : 0,
                                       .settings = actor->runner,
                                       .config_hash = 1,
                                       .build = "simulator",
                                       .accounts_strict = true,
                                       .clock = &world->clock.clock};
    enum status status = runner_open(&setup, &life->runner, &err);
    if (status == STATUS_OK)
        return true;
    life->runner = NULL;
    bool lost = status == STATUS_FENCED && life->contested;
    if (!life->process->dead && status != STATUS_UNAVAILABLE && !lost)
        world_violate(world, "%s could not be opened: %s", actor->name, err.message);
    actor_died(actor);
    return false;
}

void actor_step(struct world *world, struct actor *actor) {
    struct error err = {0};
    sim_process = actor->life.process;
    enum status status = world->checkpoints && sim_chance(.02)
                             ? runner_checkpoint(actor->life.runner, &err)
                             : runner_step(actor->life.runner, 0, &err);
    if (actor->life.process->dead) {
        actor_died(actor);
        return;
    }
    // Two instances that begin while the log is down: the newer may lose before it has said
    // anything.
    if (status == STATUS_FENCED && actor->life.contested)
        actor_died(actor);
    else if (status == STATUS_END)
        actor->ended = true;
    else if (status != STATUS_OK && status != STATUS_TIMEOUT && status != STATUS_UNAVAILABLE)
        world_violate(world, "%s stopped: %s: %s", actor->name, status_name(status), err.message);
}
