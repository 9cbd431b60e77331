#include "tests/stage/toy.h"

#include "base/disk.h"
#include "base/hash.h"
#include "base/logger.h"
#include "stage/checkpoint.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define OK(call) assert_int_equal((call), STATUS_OK)

// --- The stage.

static void toy_chain(struct toy *toy, uint64_t what, int64_t value, const void *bytes,
                      size_t length) {
    uint64_t head[2] = {what, (uint64_t)value};
    toy->values.chain = hash_chain(toy->values.chain, head, sizeof(head));
    toy->values.chain = hash_chain(toy->values.chain, bytes, length);
}

static enum status toy_emit(struct toy *toy, struct stage_outputs *outputs, int64_t time_ms,
                            struct error *err) {
    uint64_t value[2] = {toy->values.chain, toy->odd ? ++toy->odd_counter : 0};
    struct log_record record = {.timestamp_ms = time_ms,
                                .key = value,
                                .key_length = 8,
                                .value = value,
                                .value_length = sizeof(value)};
    return stage_emit(outputs, 0, (int32_t)(toy->values.chain % TOY_OUTPUT_PARTITIONS), &record,
                      err);
}

static void toy_see(struct toy *toy, const struct log_record *record) {
    if (!toy->seen)
        return;
    assert_true(toy->seen_count < toy->seen_capacity);
    toy->seen[toy->seen_count++] = (uint64_t)record->slot << 32 | (uint64_t)record->offset;
}

static enum status toy_fold(void *state, const struct log_record *records, size_t count,
                            struct stage_outputs *outputs, struct error *err) {
    struct toy *toy = state;
    enum status status = STATUS_OK;
    toy->folds++;
    if (toy->fail_fold)
        return error_set(err, STATUS_INVALID, "the toy was told to fail");
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        const struct log_record *record = &records[i];
        assert_false(record->end_of_stream);
        toy->values.read++;
        toy->values.per_slot[record->slot]++;
        toy_see(toy, record);
        if (record->value_length % 5 == 4) {
            toy->values.dropped++;
            continue;
        }
        toy->values.used++;
        if (record->timestamp_ms > toy->values.watermark_ms)
            toy->values.watermark_ms = record->timestamp_ms;
        toy_chain(toy, record->slot, record->sequence, record->value, record->value_length);
        if (toy->values.chain % 3 != 0)
            status = toy_emit(toy, outputs, record->timestamp_ms, err);
    }
    return status;
}

static enum status toy_tick(void *state, int64_t now_ms, struct stage_outputs *outputs,
                            struct error *err) {
    struct toy *toy = state;
    if (!toy->ticks_matter)
        return STATUS_OK;
    toy->values.ticks++;
    toy_chain(toy, 1001, now_ms, "tick", 4);
    return toy_emit(toy, outputs, now_ms, err);
}

static enum status toy_idle(void *state, uint32_t slot, bool idle, struct stage_outputs *outputs,
                            struct error *err) {
    struct toy *toy = state;
    toy->values.idles++;
    toy_chain(toy, 1002, slot, &idle, sizeof(idle));
    return toy_emit(toy, outputs, 1, err);
}

static enum status toy_finish(void *state, struct stage_outputs *outputs, struct error *err) {
    struct toy *toy = state;
    toy->values.finishes++;
    toy_chain(toy, 1003, 0, "finish", 6);
    return toy_emit(toy, outputs, 2, err);
}

static enum status toy_reset(void *state, struct error *err) {
    (void)err;
    ((struct toy *)state)->values = (struct toy_values){.watermark_ms = STAGE_TIME_NONE};
    return STATUS_OK;
}

static enum status toy_save(void *state, struct checkpoint_writer *writer, struct error *err) {
    struct toy *toy = state;
    struct sink sink;
    enum status status = checkpoint_section(writer, "toy", &sink, err);
    if (status == STATUS_OK)
        status = sink_put(&sink, &toy->values, sizeof(toy->values), err);
    return status;
}

static enum status toy_load(void *state, struct checkpoint_reader *reader, struct error *err) {
    struct toy *toy = state;
    struct source source;
    uint64_t length = 0;
    enum status status = checkpoint_open_section(reader, "toy", &source, &length, err);
    if (status == STATUS_OK)
        status = source_get(&source, &toy->values, sizeof(toy->values), err);
    return status;
}

static uint64_t toy_fingerprint(void *state) {
    struct toy *toy = state;
    return hash_bytes(&toy->values, sizeof(toy->values), 0);
}

static size_t toy_accounts(void *state, struct account *accounts, size_t max) {
    struct toy *toy = state;
    assert_true(max >= 1);
    accounts[0] = (struct account){.input = "toy",
                                   .read = toy->values.read + toy->unbalanced,
                                   .used = toy->values.used,
                                   .reason_count = 1,
                                   .reasons = {"fours"},
                                   .dropped = {toy->values.dropped}};
    return 1;
}

static int64_t toy_watermark(void *state) {
    return ((struct toy *)state)->values.watermark_ms;
}

static bool toy_wants_commit(void *state) {
    return ((struct toy *)state)->hurried;
}

const struct stage_operations toy_operations = {
    .name = "toy",
    .reset = toy_reset,
    .fold = toy_fold,
    .tick = toy_tick,
    .idle = toy_idle,
    .finish = toy_finish,
    .wants_commit = toy_wants_commit,
    .save = toy_save,
    .load = toy_load,
    .fingerprint = toy_fingerprint,
    .accounts = toy_accounts,
    .watermark_ms = toy_watermark,
};

// --- The world.

uint64_t test_seed(void) {
    const char *text = getenv("FRESHET_TEST_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : 1;
    print_message("seed %" PRIu64 " (FRESHET_TEST_SEED)\n", seed);
    return seed;
}

void world_append(struct world *world, const char *topic, int32_t partition, int64_t time_ms,
                  int64_t sequence, const char *text) {
    struct error err;
    struct log_writer *writer;
    const struct log_record record = {.timestamp_ms = time_ms,
                                      .sequence = sequence,
                                      .end_of_stream = text == NULL,
                                      .value = text,
                                      .value_length = text ? strlen(text) : 0};
    OK(log_writer_open(world->log, "", &topic, 1, &writer, &err));
    OK(log_writer_append(writer, 0, partition, &record, &err));
    OK(log_writer_commit(writer, NULL, 0, &err));
    log_writer_close(writer);
}

void world_end(struct world *world, const char *topic, int32_t partition, int64_t sequence) {
    world_append(world, topic, partition, 0, sequence, NULL);
}

// Records of all input partitions by one producer, committed now and then.
static void world_fill(struct world *world, size_t records, bool ends, char first) {
    const char *const topics[] = {world->names[0], world->names[1]};
    static const struct {
        size_t topic;
        int32_t partition;
    } where[] = {{0, 0}, {0, 1}, {1, 0}};
    struct error err;
    struct log_writer *writer;
    struct rng rng;
    int64_t sequences[3] = {0}, times[3] = {0};
    rng_init(&rng, world->seed);
    if (world->backend == LOG_MEMORY)
        log_memory_gaps(world->log, world->seed % 2 == 0);
    OK(log_writer_open(world->log, "", topics, 2, &writer, &err));
    for (size_t i = 0; i < records * 3; i++) {
        char text[32];
        size_t at = rng_below(&rng, 3);
        times[at] += (int64_t)rng_below(&rng, 60) - 25;
        memset(text, first + (int)rng_below(&rng, 26), sizeof(text));
        struct log_record record = {.timestamp_ms = 1000 + times[at],
                                    .sequence = sequences[at]++,
                                    .key = text,
                                    .key_length = rng_below(&rng, 4),
                                    .value = text,
                                    .value_length = rng_below(&rng, sizeof(text))};
        OK(log_writer_append(writer, where[at].topic, where[at].partition, &record, &err));
        if (rng_below(&rng, 8) == 0)
            OK(log_writer_commit(writer, NULL, 0, &err));
    }
    for (size_t at = 0; ends && at < 3; at++) {
        struct log_record record = {.sequence = sequences[at]++, .end_of_stream = true};
        OK(log_writer_append(writer, where[at].topic, where[at].partition, &record, &err));
    }
    OK(log_writer_commit(writer, NULL, 0, &err));
    log_writer_close(writer);
    if (world->backend == LOG_MEMORY)
        log_memory_gaps(world->log, world->seed % 4 == 0);
}

static void world_directory(struct world *world) {
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(world->directory, sizeof(world->directory), "%s/freshet-stage-XXXXXX", base);
    assert_non_null(mkdtemp(world->directory));
    snprintf(world->task, sizeof(world->task), "%s/task", world->directory);
    snprintf(world->log_files, sizeof(world->log_files), "%s/log", world->directory);
}

static void world_log_open(struct world *world) {
    struct error err;
    const struct log_files_options options = {
        .directory = world->log_files, .segment_bytes = 4096, .fsync = true};
    const struct log_kafka_options kafka = {.brokers = world->brokers,
                                            .replication_factor = 1,
                                            .timeout_ms = 20000,
                                            .client_id = "test"};
    if (world->backend == LOG_FILES)
        OK(log_open_files(&options, &world->log, &err));
    else if (world->backend == LOG_KAFKA)
        OK(log_open_kafka(&kafka, &world->log, &err));
    else
        OK(log_open_memory(&world->log, &err));
    world->setup.log = world->log;
}

static void world_make(struct world *world, size_t records, bool ends, char first);

void world_init(struct world *world, uint64_t seed, size_t records, bool ends) {
    *world = (struct world){.seed = seed, .backend = LOG_MEMORY};
    world_make(world, records, ends, 'a');
}

void world_init_letters(struct world *world, uint64_t seed, size_t records, bool ends, char first) {
    *world = (struct world){.seed = seed, .backend = LOG_MEMORY};
    world_make(world, records, ends, first);
}

void world_init_files(struct world *world, uint64_t seed, size_t records, bool ends) {
    *world = (struct world){.seed = seed, .backend = LOG_FILES};
    world_make(world, records, ends, 'a');
}

void world_init_kafka(struct world *world, const char *brokers, uint64_t seed, size_t records,
                      bool ends) {
    *world = (struct world){.seed = seed, .backend = LOG_KAFKA, .brokers = brokers};
    world_make(world, records, ends, 'a');
}

// A broker outlives its tests, so names there are taken once.
static void world_name(struct world *world) {
    static const char *const names[] = {"left", "right", "out"};
    static unsigned worlds;
    char suffix[40] = "";
    if (world->backend == LOG_KAFKA)
        snprintf(suffix, sizeof(suffix), "-%ld-%u", (long)getpid(), ++worlds);
    for (size_t i = 0; i < 3; i++)
        snprintf(world->names[i], sizeof(world->names[i]), "%s%s", names[i], suffix);
    snprintf(world->task_name, sizeof(world->task_name), "test.toy%s", suffix);
}

static void world_quiet(void) {
    static FILE *quiet;
    if (quiet || getenv("FRESHET_TEST_VERBOSE"))
        return;
    quiet = fopen("/dev/null", "w");
    assert_non_null(quiet);
    logger_setup(quiet, LOGGER_ERROR, LOGGER_TEXT);
}

static void world_make(struct world *world, size_t records, bool ends, char first) {
    struct error err;
    world_quiet();
    world_name(world);
    rng_init(&world->rng, world->seed ^ 0x5eed);
    clock_fake_init(&world->clock, 1700000000000);
    world_directory(world);
    world_log_open(world);
    OK(log_topic_ensure(world->log, world->names[0], 2, &err));
    OK(log_topic_ensure(world->log, world->names[1], 1, &err));
    OK(log_topic_ensure(world->log, world->names[2], TOY_OUTPUT_PARTITIONS, &err));
    world_fill(world, records, ends, first);
    world->inputs[0] = (struct stage_input){world->names[0], 0};
    world->inputs[1] = (struct stage_input){world->names[1], 0};
    world->inputs[2] = (struct stage_input){world->names[0], 1};
    world->input_count = 3;
    world->output = (struct stage_output){world->names[2], 0, TOY_OUTPUT_PARTITIONS};
    world->setup = (struct runner_setup){.task = world->task_name,
                                         .directory = world->task,
                                         .operations = &toy_operations,
                                         .log = world->log,
                                         .inputs = world->inputs,
                                         .input_count = world->input_count,
                                         .outputs = &world->output,
                                         .output_count = 1,
                                         .config_hash = 7,
                                         .build = "test",
                                         .accounts_strict = true,
                                         .clock = &world->clock.clock,
                                         .settings = {.commit_interval_ms = 20,
                                                      .checkpoint_interval_ms = 100,
                                                      .checkpoints_kept = 2,
                                                      .tick_interval_ms = 10,
                                                      .batch_records = 16,
                                                      .order = RUNNER_EVENT_TIME,
                                                      .stop_timeout_ms = 1000}};
}

void world_deinit(struct world *world) {
    struct error err;
    log_close(world->log);
    OK(disk_remove_tree(world->directory, &err));
}

void world_forget_checkpoints(struct world *world) {
    struct error err;
    OK(disk_remove_tree(world->task, &err));
}

void world_shuffle(struct world *world) {
    struct runner_settings *settings = &world->setup.settings;
    settings->batch_records = 1 + (int64_t)rng_below(&world->rng, 40);
    settings->commit_interval_ms = (int64_t)rng_below(&world->rng, 60);
    settings->checkpoint_interval_ms = 20 + (int64_t)rng_below(&world->rng, 200);
    settings->checkpoints_kept = 1 + (int64_t)rng_below(&world->rng, 3);
    settings->tick_interval_ms = (int64_t)rng_below(&world->rng, 40);
}

static void partition_hash(struct world *world, int32_t partition, uint64_t *hash,
                           uint64_t *count) {
    struct error err;
    struct log_reader *reader;
    struct log_batch batch;
    const struct log_position position = {world->names[2], partition, 0};
    int64_t expected = 0;
    OK(log_reader_open(world->log, &position, 1, &reader, &err));
    int64_t begin = 0, end = 0, at = 0;
    OK(log_topic_bounds(world->log, position.topic, partition, &begin, &end, &err));
    while (at < end) {
        enum status status = log_reader_poll(reader, 100, 1000, &batch, &err);
        OK(log_reader_position(reader, 0, &at, &err));
        if (status == STATUS_TIMEOUT)
            continue;
        OK(status);
        for (size_t i = 0; i < batch.count; i++) {
            const struct log_record *record = &batch.records[i];
            assert_int_equal(record->sequence, expected++);
            int64_t head[3] = {record->sequence, record->timestamp_ms, record->end_of_stream};
            *hash = hash_chain(*hash, head, sizeof(head));
            *hash = hash_chain(*hash, record->key, record->key_length);
            *hash = hash_chain(*hash, record->value, record->value_length);
            ++*count;
        }
    }
    log_reader_close(reader);
}

void world_outputs(struct world *world, uint64_t *ret_hash, uint64_t *ret_count) {
    *ret_hash = *ret_count = 0;
    for (int32_t p = 0; p < TOY_OUTPUT_PARTITIONS; p++)
        partition_hash(world, p, ret_hash, ret_count);
}

struct runner *world_open(struct world *world, struct toy *toy) {
    struct error err = {0};
    struct runner *runner = NULL;
    world->setup.state = toy;
    toy_reset(toy, &err);
    if (runner_open(&world->setup, &runner, &err) != STATUS_OK)
        fail_msg("could not open: %s", err.message);
    return runner;
}

void steps_until(struct world *world, struct runner *runner, enum status status, size_t most) {
    struct error err = {0};
    for (size_t i = 0; i < most; i++) {
        enum status got = runner_step(runner, 0, &err);
        if (got == status)
            return;
        if (got != STATUS_OK)
            fail_msg("%s instead of %s: %s", status_name(got), status_name(status), err.message);
        clock_fake_advance(&world->clock, 1);
    }
    fail_msg("%s did not come within %zu steps", status_name(status), most);
}

// One life of the task: until the end (true) or a planted fault (false).
static bool world_live(struct world *world, struct toy *toy, struct outcome *outcome) {
    struct error err = {0};
    struct runner *runner = NULL;
    enum status status = runner_open(&world->setup, &runner, &err);
    uint64_t left = world->life_steps ? 1 + rng_below(&world->rng, world->life_steps) : UINT64_MAX;
    while ((status == STATUS_OK || status == STATUS_UNAVAILABLE) && left-- > 0) {
        if (++outcome->steps > 100000)
            fail_msg("seed %" PRIu64 ": no end in sight", world->seed);
        clock_fake_advance(&world->clock, (int64_t)rng_below(&world->rng, 25));
        if (rng_below(&world->rng, 50) == 0)
            status = runner_checkpoint(runner, &err);
        else
            status = runner_step(runner, world->backend == LOG_KAFKA ? 50 : 0, &err);
        if (status == STATUS_END && rng_below(&world->rng, 2) == 0)
            status = runner_checkpoint(runner, &err); // and then it ends once more
    }
    outcome->values = toy->values;
    runner_close(runner);
    if (status == STATUS_OK || status == STATUS_UNAVAILABLE)
        return false; // died by itself
    if (status != STATUS_END && status != STATUS_IO && status != STATUS_EXHAUSTED)
        fail_msg("seed %" PRIu64 ": %s: %s", world->seed, status_name(status), err.message);
    return status == STATUS_END;
}

void world_run(struct world *world, bool ticks_matter, struct outcome *ret_outcome) {
    struct outcome outcome = {0};
    struct error err;
    while (true) {
        struct toy toy = {.ticks_matter = ticks_matter};
        world->setup.state = &toy;
        toy_reset(&toy, &err);
        bool end = world_live(world, &toy, &outcome);
        disk_fault_plant(DISK_FAULT_CRASH, 0);
        memory_fail_after(0);
        if (end)
            break;
        if (world->backend == LOG_FILES) { // as a process that died would
            log_close(world->log);
            world_log_open(world);
        }
        if (world->loses_directory)
            OK(disk_remove_tree(world->task, &err));
        outcome.crashes++;
        if (outcome.crashes > 50)
            fail_msg("seed %" PRIu64 ": it never recovers", world->seed);
    }
    world_outputs(world, &outcome.outputs, &outcome.output_records);
    *ret_outcome = outcome;
}

void outcome_assert_equal(const struct outcome *a, const struct outcome *b) {
    assert_int_equal(a->values.read, b->values.read);
    assert_int_equal(a->values.idles, b->values.idles);
    assert_int_equal(a->values.finishes, b->values.finishes);
    assert_int_equal(a->values.chain, b->values.chain);
    assert_memory_equal(&a->values, &b->values, sizeof(a->values));
    assert_int_equal(a->output_records, b->output_records);
    assert_int_equal(a->outputs, b->outputs);
}
