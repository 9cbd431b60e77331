// The whole fold under the runner, on our own schemas, memory logs and the RocksDB store: planted
// crashes at every commit, trim and write to disk leave outputs, accounts and state as an
// uninterrupted run does.
#include "decode_fixture.h"

#include "base/hash.h"
#include "base/logger.h"
#include "base/rng.h"
#include "ingest/dead_letter.h"
#include "ingest/ingest.h"
#include "log/memory.h"

#define START INT64_C(1700000000000)
#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) != STATUS_OK)                                                                   \
            fail_msg("%s: %s", #call, err.message);                                                \
    } while (0)

static const char yaml[] =
    "data:\n"
    "  features:\n"
    "    - {name: user_id}\n"
    "    - {name: item_id}\n"
    "    - {name: age, path: numeric.age, kind: numeric}\n"
    "  tasks:\n"
    "    - {name: click, input: clicks, window: 1s}\n"
    "    - {name: buy, input: conversions, when_path: kind, when_equals: buy, path: value, "
    "given: click, window: 5s}\n"
    "    - {name: like, input: conversions, when_path: kind, when_equals: like, window: 2s}\n"
    "  domain: domain\n"
    "  user: user_id\n"
    "ingest:\n"
    "  lateness: 100ms\n"
    "  early_wait: 500ms\n"
    "  inputs:\n"
    "    - {name: impressions, topic: i, role: impression, schema: schemas/impression.avsc, "
    "time: event_time, key: [impression_id]}\n"
    "    - {name: clicks, topic: c, role: feedback, schema: schemas/click.avsc, "
    "time: event_time, key: [impression_id]}\n"
    "    - {name: conversions, topic: v, role: feedback, schema: schemas/conversion.avsc, "
    "time: event_time, key: [impression_id]}\n";

enum { IMPRESSIONS, CLICKS, CONVERSIONS, INPUTS };
static const char *const topics[INPUTS] = {"i", "c", "v"};

struct world {
    struct arena arena;
    struct decode_root root;
    struct log *log;
    struct clock_fake clock;
    struct rng rng; // of how a run goes
    char directory[64];
    bool spilled; // RocksDB was used
    struct stage_input inputs[INPUTS];
    struct stage_output outputs[INGEST_OUTPUTS];
};

struct outcome {
    struct account accounts[INPUTS];
    uint64_t fingerprint, outputs, examples, letters, crashes;
};

// --- The data.

static void put_event(struct buffer *out, size_t input, uint64_t id, int64_t time, uint64_t draw) {
    char text[32];
    buffer_reset(out);
    (void)snprintf(text, sizeof(text), "imp-%llu", (unsigned long long)id);
    wire_put_string(out, text);
    wire_put_long(out, time);
    if (input == IMPRESSIONS) {
        wire_put_string(out, draw % 2 == 0 ? "ann" : "bob");
        wire_put_string(out, "item");
        wire_put_string(out, "home");
        wire_put_long(out, 0); // no further categories
        wire_put_long(out, 1);
        wire_put_string(out, "age");
        wire_put_double(out, (double)(draw % 90));
        wire_put_long(out, 0);
    } else if (input == CONVERSIONS) {
        static const char *const kinds[] = {"buy", "like", "share"};
        wire_put_string(out, kinds[draw % 3]);
        wire_put_double(out, 1.5);
    }
    assert_false(out->failed);
}

static void put_record(struct log_writer *writer, size_t input, const struct buffer *bytes,
                       int64_t time, int64_t sequence) {
    struct error err;
    const struct log_record record = {.timestamp_ms = time,
                                      .sequence = sequence,
                                      .end_of_stream = bytes == NULL,
                                      .value = bytes == NULL ? NULL : bytes->data,
                                      .value_length = bytes == NULL ? 0 : bytes->length};
    OK(log_writer_append(writer, input, 0, &record, &err));
}

// Impressions every 20 ms or so with feedback, disorder within the lateness, duplicates, orphans,
// torn bytes.
static void world_fill(struct world *w, size_t count) {
    struct error err;
    struct log_writer *writer = NULL;
    struct buffer bytes;
    struct rng rng;
    int64_t now = START;
    int64_t sequences[INPUTS] = {0};
    buffer_init(&bytes);
    rng_init(&rng, 5);
    OK(log_writer_open(w->log, "", topics, INPUTS, &writer, &err));
    for (size_t i = 0; i < count; i++) {
        size_t input = rng_below(&rng, 2) == 0 ? IMPRESSIONS : 1 + rng_below(&rng, 2);
        uint64_t recent = i > 40 ? i - 40 : 0;
        uint64_t id = input == IMPRESSIONS && rng_below(&rng, 8) > 0
                          ? i
                          : recent + rng_below(&rng, i - recent + 3);
        now += (int64_t)rng_below(&rng, 40);
        int64_t time = now - (int64_t)rng_below(&rng, 90);
        put_event(&bytes, input, id, time, rng_next(&rng) >> 8);
        if (rng_below(&rng, 25) == 0)
            bytes.length = 1 + rng_below(&rng, bytes.length - 1);
        put_record(writer, input, &bytes, now, sequences[input]++);
    }
    for (size_t input = 0; input < INPUTS; input++)
        put_record(writer, input, NULL, now, sequences[input]);
    OK(log_writer_commit(writer, NULL, 0, &err));
    log_writer_close(writer);
    buffer_deinit(&bytes);
}

static void world_init(struct world *w, uint64_t seed) {
    struct error err;
    memset(w, 0, sizeof(*w));
    arena_init(&w->arena, 4096);
    OK(decode_root_parse("test.yaml", yaml, &w->arena, &w->root, &err));
    OK(ingest_settings_check(&w->root.ingest, &err));
    w->root.ingest.store_memory_bytes = 1 << 20;
    w->root.ingest.young_age_ms = 300; // so that RocksDB has its share
    rng_init(&w->rng, seed);
    clock_fake_init(&w->clock, START);
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(w->directory, sizeof(w->directory), "%s/freshet-ingest-XXXXXX", base);
    assert_non_null(mkdtemp(w->directory));
    OK(log_open_memory(&w->log, &err));
    for (size_t i = 0; i < INPUTS; i++)
        OK(log_topic_ensure(w->log, topics[i], 1, &err));
    OK(log_topic_ensure(w->log, w->root.ingest.examples, 1, &err));
    OK(log_topic_ensure(w->log, w->root.ingest.dead_letter, 1, &err));
    ingest_task_inputs(&w->root.ingest, 0, w->inputs);
    ingest_task_outputs(&w->root.ingest, 0, w->outputs);
    world_fill(w, 400);
}

static void world_deinit(struct world *w) {
    struct error err;
    log_close(w->log);
    arena_deinit(&w->arena);
    OK(disk_remove_tree(w->directory, &err));
}

// --- A run.

static struct ingest_task *task_open(struct world *w) {
    struct error err;
    struct ingest_task *task = NULL;
    const struct ingest_task_setup setup = {.settings = &w->root.ingest,
                                            .spec = &w->root.data,
                                            .partition = 0,
                                            .directory = w->directory,
                                            .clock = &w->clock.clock};
    if (ingest_task_new(&setup, &task, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return task;
}

// One life of the task: until the end (true) or a planted fault (false).
static bool task_live(struct world *w, struct ingest_task *task) {
    struct error err = {0};
    struct runner *runner = NULL;
    char store[80];
    (void)snprintf(store, sizeof(store), "%s/store", w->directory);
    const struct runner_setup setup = {
        .task = "test.ingest-0",
        .directory = w->directory,
        .operations = &ingest_operations,
        .state = task,
        .log = w->log,
        .inputs = w->inputs,
        .input_count = INPUTS,
        .outputs = w->outputs,
        .output_count = INGEST_OUTPUTS,
        .settings = {.commit_interval_ms = 20,
                     .checkpoint_interval_ms = 100,
                     .checkpoints_kept = 2,
                     .tick_interval_ms = 1000,
                     .batch_records = 1 + (int64_t)rng_below(&w->rng, 60),
                     .order = RUNNER_EVENT_TIME,
                     .stop_timeout_ms = 1000},
        .config_hash = 7,
        .build = "test",
        .accounts_strict = true,
        .clock = &w->clock.clock};
    enum status status = runner_open(&setup, &runner, &err);
    for (size_t i = 0; (status == STATUS_OK || status == STATUS_UNAVAILABLE) && i < 100000; i++) {
        clock_fake_advance(&w->clock, (int64_t)rng_below(&w->rng, 25));
        status = runner_step(runner, 0, &err);
        // The fake clock runs ahead of the thread that writes checkpoints: now and then it waits.
        if (status == STATUS_OK && i % 8 == 7)
            status = runner_checkpoint(runner, &err);
        w->spilled = w->spilled || disk_exists(store);
    }
    runner_close(runner);
    if (status != STATUS_END && status != STATUS_IO && status != STATUS_EXHAUSTED)
        fail_msg("%s: %s", status_name(status), err.message);
    return status == STATUS_END;
}

static void outputs_read(struct world *w, const char *topic, uint64_t *hash, uint64_t *count) {
    struct error err;
    struct log_reader *reader;
    struct log_batch batch;
    const struct log_position position = {topic, 0, 0};
    OK(log_reader_open(w->log, &position, 1, &reader, &err));
    while (log_reader_poll(reader, 100, 0, &batch, &err) == STATUS_OK) {
        for (size_t i = 0; i < batch.count; i++) {
            const struct log_record *record = &batch.records[i];
            *hash = hash_chain(*hash, &record->timestamp_ms, sizeof(record->timestamp_ms));
            *hash = hash_chain(*hash, record->value, record->value_length);
            *count += record->end_of_stream ? 0 : 1;
        }
    }
    log_reader_close(reader);
}

static void world_run(struct world *w, struct outcome *ret_outcome) {
    struct outcome outcome;
    memset(&outcome, 0, sizeof(outcome));
    bool end = false;
    while (!end) {
        struct ingest_task *task = task_open(w);
        end = task_live(w, task);
        disk_fault_plant(DISK_FAULT_CRASH, 0);
        outcome.crashes += end ? 0 : 1;
        assert_in_range(outcome.crashes, 0, 50);
        outcome.fingerprint = ingest_operations.fingerprint(task);
        assert_int_equal(ingest_operations.accounts(task, outcome.accounts, INPUTS), INPUTS);
        ingest_task_free(task);
    }
    outputs_read(w, w->root.ingest.examples, &outcome.outputs, &outcome.examples);
    outputs_read(w, w->root.ingest.dead_letter, &outcome.outputs, &outcome.letters);
    *ret_outcome = outcome;
}

static void outcome_expect(const struct outcome *a, const struct outcome *b) {
    assert_int_equal(a->examples, b->examples);
    assert_int_equal(a->letters, b->letters);
    assert_true(a->outputs == b->outputs);
    assert_true(a->fingerprint == b->fingerprint);
    for (size_t i = 0; i < INPUTS; i++) {
        assert_int_equal(a->accounts[i].read, b->accounts[i].read);
        assert_int_equal(a->accounts[i].used, b->accounts[i].used);
        assert_int_equal(a->accounts[i].in_flight, 0);
        assert_memory_equal(a->accounts[i].dropped, b->accounts[i].dropped,
                            sizeof(a->accounts[i].dropped));
    }
}

static void reference_run(struct outcome *ret_outcome) {
    struct world w;
    world_init(&w, 1);
    world_run(&w, ret_outcome);
    assert_int_equal(ret_outcome->crashes, 0);
    assert_true(w.spilled);
    world_deinit(&w);
}

// --- Tests.

static uint64_t dropped(const struct account *account, enum event_drop why) {
    return account->dropped[why - 1];
}

static void every_record_is_accounted_for(void **state) {
    (void)state;
    struct outcome outcome;
    reference_run(&outcome);
    uint64_t read = 0;
    uint64_t torn = 0;
    for (size_t i = 0; i < INPUTS; i++) {
        const struct account *account = &outcome.accounts[i];
        assert_true(account_balances(account));
        read += account->read;
        for (int why = EVENT_USED + 1; why < EVENT_DROPS; why++)
            torn += event_drop_is_letter((enum event_drop)why)
                        ? dropped(account, (enum event_drop)why)
                        : 0;
    }
    assert_int_equal(read, 400);
    assert_int_equal(outcome.letters, torn);
    assert_true(torn > 5);
    assert_true(outcome.examples > 3 * outcome.accounts[IMPRESSIONS].used);
    assert_true(dropped(&outcome.accounts[IMPRESSIONS], EVENT_DUPLICATE) > 0);
    assert_true(dropped(&outcome.accounts[CLICKS], EVENT_ORPHAN) > 0);
    assert_true(dropped(&outcome.accounts[CLICKS], EVENT_DUPLICATE) > 0);
    assert_true(dropped(&outcome.accounts[CONVERSIONS], EVENT_WITHOUT_CLICK) > 0);
    assert_true(dropped(&outcome.accounts[CONVERSIONS], EVENT_NOT_WANTED) > 0);
}

static void batches_do_not_matter(void **state) {
    (void)state;
    struct outcome reference;
    reference_run(&reference);
    for (uint64_t seed = 2; seed < 6; seed++) {
        struct world w;
        struct outcome outcome;
        world_init(&w, seed);
        world_run(&w, &outcome);
        outcome_expect(&outcome, &reference);
        world_deinit(&w);
    }
}

static void a_crash_at_any_commit_changes_nothing(void **state) {
    (void)state;
    struct outcome reference;
    reference_run(&reference);
    for (int fault = LOG_MEMORY_CRASH_BEFORE; fault <= LOG_MEMORY_UNAVAILABLE_AFTER; fault++) {
        bool met = true;
        for (uint64_t n = 1; met; n++) {
            struct world w;
            struct outcome outcome;
            world_init(&w, 10 + (uint64_t)fault);
            uint64_t before = log_memory_mutations(w.log);
            log_memory_fault_plant(w.log, n, (enum log_memory_fault)fault);
            world_run(&w, &outcome);
            outcome_expect(&outcome, &reference);
            met = log_memory_mutations(w.log) - before > n;
            world_deinit(&w);
        }
    }
}

static void a_crash_at_any_write_to_disk_changes_nothing(void **state) {
    (void)state;
    struct outcome reference;
    uint64_t crashes = 0;
    reference_run(&reference);
    for (int fault = DISK_FAULT_FULL; fault <= DISK_FAULT_CRASH_TORN; fault++) {
        bool met = true;
        for (uint64_t n = 1 + (uint64_t)fault; met; n += 7) {
            struct world w;
            struct outcome outcome;
            world_init(&w, 20);
            disk_fault_plant((enum disk_fault)fault, n);
            world_run(&w, &outcome);
            outcome_expect(&outcome, &reference);
            met = outcome.crashes > 0;
            crashes += outcome.crashes;
            world_deinit(&w);
        }
    }
    assert_true(crashes > 20);
}

static void a_dead_letter_holds_the_bytes_and_where_they_came_from(void **state) {
    (void)state;
    struct world w;
    struct outcome outcome;
    struct error err;
    struct log_reader *reader;
    struct log_batch batch;
    struct dead_letter letter;
    world_init(&w, 1);
    world_run(&w, &outcome);
    const struct log_position position = {w.root.ingest.dead_letter, 0, 0};
    OK(log_reader_open(w.log, &position, 1, &reader, &err));
    OK(log_reader_poll(reader, 1, 0, &batch, &err));
    OK(dead_letter_decode(batch.records[0].value, batch.records[0].value_length, &letter, &err));
    const struct log_position origin = {letter.topic[0] == 'i'   ? "i"
                                        : letter.topic[0] == 'c' ? "c"
                                                                 : "v",
                                        0, letter.offset};
    struct log_reader *origin_reader;
    struct log_batch origin_batch;
    OK(log_reader_open(w.log, &origin, 1, &origin_reader, &err));
    OK(log_reader_poll(origin_reader, 1, 0, &origin_batch, &err));
    assert_int_equal(letter.value_length, origin_batch.records[0].value_length);
    assert_memory_equal(letter.value, origin_batch.records[0].value, letter.value_length);
    assert_true(letter.reason_length > 0 && letter.message_length > 0);
    log_reader_close(origin_reader);
    log_reader_close(reader);
    world_deinit(&w);
}

int main(void) {
    FILE *quiet = fopen("/dev/null", "w");
    assert_non_null(quiet);
    logger_setup(quiet, LOGGER_ERROR, LOGGER_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_is_accounted_for),
        cmocka_unit_test(batches_do_not_matter),
        cmocka_unit_test(a_crash_at_any_commit_changes_nothing),
        cmocka_unit_test(a_crash_at_any_write_to_disk_changes_nothing),
        cmocka_unit_test(a_dead_letter_holds_the_bytes_and_where_they_came_from),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    (void)fclose(quiet);
    return failures;
}
