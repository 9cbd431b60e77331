#include "tests/trainer/bed.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/logger.h"
#include "base/rng.h"
#include "record/example.h"

#define OK(call) assert_int_equal((call), STATUS_OK)

static int64_t layers[] = {8}, towers[] = {4};

static const char *by_item[] = {"item"}, *by_cross[] = {"user", "domain"}, *of_click[] = {"click"};

static void bed_spec(struct bed *bed) {
    static const char *const names[5] = {"user", "item", "tags", "price", "before"};
    static const int kinds[5] = {SPEC_CATEGORICAL, SPEC_CATEGORICAL, SPEC_MULTI, SPEC_NUMERIC,
                                 SPEC_SEQUENCE};
    for (size_t i = 0; i < 5; i++)
        bed->features[i] = (struct spec_feature){.name = names[i],
                                                 .path = "",
                                                 .vocabulary = i == 4 ? "item" : "",
                                                 .times = i == 4 ? "before.time" : "",
                                                 .kind = kinds[i],
                                                 .dimension = 4,
                                                 .length_max = 10};
    for (size_t i = 0; i < BED_TASKS; i++)
        bed->tasks[i] = (struct spec_task){.name = i == 0 ? "click" : "like",
                                           .input = "",
                                           .path = i == 0 ? "click" : "like",
                                           .when_path = "",
                                           .when_equals = "",
                                           .given = "",
                                           .window_ms = 120,
                                           .weight = 1};
    bed->rates[0] = (struct spec_rate){.by = {by_item, 1},
                                       .half_life_ms = 1000,
                                       .prior = 5,
                                       .admit = 1,
                                       .expire = .05,
                                       .rows_max = 1000};
    bed->rates[1] = bed->rates[0];
    bed->rates[1].by = (struct option_texts){by_cross, 2};
    bed->rates[1].tasks = (struct option_texts){of_click, 1};
    bed->rates[1].admit = 2;
    bed->spec = (struct spec){.features = {bed->features, 5},
                              .rates = {bed->rates, 2},
                              .rates_lag_ms = 20,
                              .tasks = {bed->tasks, BED_TASKS},
                              .domain_path = "domain",
                              .user_path = "user"};
    OK(spec_check(&bed->spec, NULL));
}

static void bed_settings(struct bed *bed) {
    bed->model = (struct model_settings){.sharing = MODEL_MMOE,
                                         .sequences = MODEL_SEQUENCES_TRANSFORMER,
                                         .sequence_heads = 2,
                                         .sequence_hidden = 6,
                                         .experts = 2,
                                         .levels = 1,
                                         .expert_layers = {layers, 1},
                                         .tower_layers = {towers, 1},
                                         .domains_max = 4,
                                         .gate_units = 4,
                                         .wide = true,
                                         .unknown_share = .05,
                                         .embedding_init = .01,
                                         .seed = 3};
    bed->settings = (struct trainer_settings){
        .examples = "examples",
        .weights = "weights",
        .publish_interval_ms = 1000000000,
        .slice_bits = 2,
        .predict_rows = 16,
        .pending_max = 100000,
        .measure_domains = 4,
        .measure_window_ms = 1000,
        .measure_windows = 4,
        .measure_user_labels = 300,
        .popularity = {.feature = "item", .head = .333, .tail = .333, .rate = .05, .slots = 64},
        .drift = {.block_positives = 4,
                  .adwin_delta = .002,
                  .ph_min = 30,
                  .ph_delta = .005,
                  .ph_lambda = 50,
                  .ph_alpha = .9999},
        .learner = {.batch_rows = 32,
                    .lanes = 2,
                    .threads = 1,
                    .optimiser = LEARNER_ADAGRAD,
                    .learning_rate = .05,
                    .accumulator_init = 1e-8,
                    .row_optimiser = LEARNER_ROW_ADAGRAD,
                    .row_learning_rate = .1,
                    .wide_learning_rate = .1,
                    .gradient_clip = INFINITY,
                    .balance = LEARNER_BALANCE_METABALANCE,
                    .strategy = LEARNER_STRATEGY_C,
                    .target_task = "click",
                    .relax = .7,
                    .beta = .9,
                    .balance_limit = 10},
        .runner = {.commit_interval_ms = 0,
                   .checkpoint_interval_ms = 50,
                   .checkpoints_kept = 2,
                   .tick_interval_ms = 5,
                   .batch_records = 64,
                   .order = RUNNER_EVENT_TIME,
                   .stop_timeout_ms = 1000},
    };
}

void bed_init(struct bed *bed) {
    static FILE *quiet;
    struct error err;
    if (quiet == NULL && getenv("FRESHET_TEST_VERBOSE") == NULL) {
        quiet = fopen("/dev/null", "w");
        assert_non_null(quiet);
        logger_setup(quiet, LOGGER_ERROR, LOGGER_TEXT);
    }
    *bed = (struct bed){.late_labels = true};
    bed_spec(bed);
    bed_settings(bed);
    clock_fake_init(&bed->clock, 1700000000000);
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(bed->directory, sizeof bed->directory, "%s/freshet-trainer-XXXXXX", base);
    assert_non_null(mkdtemp(bed->directory));
    OK(log_open_memory(&bed->log, &err));
    OK(log_topic_ensure(bed->log, "examples", BED_PARTITIONS, &err));
    OK(log_topic_ensure(bed->log, "weights", 1, &err));
    const char *topic = "examples";
    OK(log_writer_open(bed->log, "", &topic, 1, &bed->writer, &err));
    for (int32_t i = 0; i < BED_PARTITIONS; i++)
        bed->inputs[i] = (struct stage_input){"examples", i};
    bed->output = (struct stage_output){"weights", 0, 1};
}

void bed_deinit(struct bed *bed) {
    struct error err;
    log_writer_close(bed->writer);
    log_close(bed->log);
    OK(disk_remove_tree(bed->directory, &err));
}

void bed_put_bytes(struct bed *bed, int32_t partition, const void *bytes, size_t length,
                   int64_t time_ms) {
    struct error err;
    struct log_record record = {.timestamp_ms = time_ms,
                                .sequence = bed->sequences[partition]++,
                                .value = bytes,
                                .value_length = length};
    OK(log_writer_append(bed->writer, 0, partition, &record, &err));
}

static void u32_put(struct buffer *into, uint32_t value) {
    for (int i = 0; i < 4; i++)
        buffer_append_byte(into, (unsigned char)(value >> (8 * i)));
}

void bed_put(struct bed *bed, int32_t partition, uint32_t kind, uint64_t impression, uint64_t item,
             const char *domain, int64_t time_ms, float click, float like) {
    struct example_shape shape = example_shape_of(&bed->spec);
    struct buffer ids, numbers, lists, labels, weights, bytes;
    buffer_init(&ids);
    buffer_init(&numbers);
    buffer_init(&lists);
    buffer_init(&labels);
    buffer_init(&weights);
    buffer_init(&bytes);
    wire_put_fixed64(&ids, 1 + impression % 17);
    wire_put_fixed64(&ids, item);
    wire_put_float(&numbers, impression % 5 == 0 ? NAN : (float)(impression % 7) / 7);
    u32_put(&lists, (uint32_t)(impression % 3));
    for (uint64_t i = 0; i < impression % 3; i++)
        wire_put_fixed64(&lists, 100 + item % 5 + i);
    u32_put(&lists, (uint32_t)(impression % 4));
    for (uint64_t i = 0; i < impression % 4; i++)
        wire_put_fixed64(&lists, item + item % 2 * (i % 2));
    for (uint64_t i = impression % 4; i > 0; i--)
        u32_put(&lists, (uint32_t)(i * i));
    wire_put_float(&labels, click < 0 ? 0 : click);
    wire_put_float(&labels, like < 0 ? 0 : like);
    wire_put_float(&weights, bed->weight);
    wire_put_float(&weights, bed->weight);
    struct example example = {.kind = kind,
                              .impression = impression,
                              .user = 1 + impression % 17,
                              .event_time_ms = time_ms,
                              .accepted_ms = time_ms + 5,
                              .domain = domain,
                              .domain_length = strlen(domain),
                              .mask = (click < 0 ? 0U : 1U) | (like < 0 ? 0U : 2U),
                              .ids = ids.data,
                              .numbers = numbers.data,
                              .lists = lists.data,
                              .lists_length = lists.length,
                              .labels = labels.data,
                              .weights = bed->weight > 0 ? weights.data : NULL};
    example_encode(&shape, &example, &bytes);
    assert_false(bytes.failed);
    bed_put_bytes(bed, partition, bytes.data, bytes.length, time_ms);
    buffer_deinit(&ids);
    buffer_deinit(&numbers);
    buffer_deinit(&lists);
    buffer_deinit(&labels);
    buffer_deinit(&weights);
    buffer_deinit(&bytes);
}

void bed_fill(struct bed *bed, uint64_t count) {
    enum { LAG = 40 }; // impressions between SCORE and its labels
    for (uint64_t i = 1; i <= count + LAG; i++) {
        for (int stage = 0; stage < 2; stage++) {
            uint64_t impression = stage == 1 && bed->late_labels ? i - LAG : i;
            if (impression < 1 || impression > count || i < impression)
                continue;
            uint64_t item = 1 + rng_at(1, impression, 0, 0) % 40;
            double taste = 2 * rng_normal_at(2, item, 0, 0);
            bool click = rng_uniform_at(3, impression, 0, 0) < 1 / (1 + exp(-taste));
            bool like = click && rng_uniform_at(4, impression, 0, 0) < .4;
            click ^= impression == bed->flip;
            uint32_t kind = !bed->late_labels ? EXAMPLE_KINDS
                            : stage == 0      ? EXAMPLE_SCORE
                                              : EXAMPLE_LEARN | EXAMPLE_FINAL | EXAMPLE_LAST;
            if (stage == 1 && !bed->late_labels)
                continue;
            float sign = kind == EXAMPLE_SCORE ? -1 : 1;
            // Where labels are late, a third of the impressions has no label for `like`.
            bool left_out = bed->late_labels && impression % 3 == 0;
            bed_put(bed, (int32_t)(impression % BED_PARTITIONS), kind, impression, item,
                    impression % 4 == 0 ? "b" : "a", 1000 + (int64_t)i * 3,
                    sign < 0 ? -1 : (float)click, sign < 0 || left_out ? -1 : (float)like);
        }
    }
}

void bed_end(struct bed *bed) {
    struct error err;
    for (int32_t i = 0; i < BED_PARTITIONS; i++) {
        struct log_record record = {.sequence = bed->sequences[i]++, .end_of_stream = true};
        OK(log_writer_append(bed->writer, 0, i, &record, &err));
    }
    OK(log_writer_commit(bed->writer, NULL, 0, &err));
}

static void prediction_note(void *self, uint32_t slot, uint64_t impression, const float *logits) {
    struct bed_predictions *predictions = self;
    assert_true(predictions->count < sizeof predictions->keys / sizeof *predictions->keys);
    predictions->keys[predictions->count] = (uint64_t)slot << 32 | impression;
    memcpy(predictions->logits[predictions->count++], logits, sizeof predictions->logits[0]);
}

struct trainer *bed_trainer(struct bed *bed, struct bed_predictions *predictions) {
    struct error err = {0};
    struct trainer *trainer;
    struct trainer_setup setup = {.spec = &bed->spec,
                                  .model = &bed->model,
                                  .settings = &bed->settings,
                                  .lineage = 77,
                                  .inputs = BED_PARTITIONS,
                                  .predicted = predictions == NULL ? NULL : prediction_note,
                                  .predicted_self = predictions};
    if (trainer_new(&setup, &trainer, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return trainer;
}

static void outputs_hash(struct bed *bed, struct bed_result *result) {
    struct error err;
    struct log_reader *reader;
    struct log_batch batch;
    const struct log_position position = {"weights", 0, 0};
    OK(log_reader_open(bed->log, &position, 1, &reader, &err));
    while (log_reader_poll(reader, 100, 0, &batch, &err) == STATUS_OK) {
        for (size_t i = 0; i < batch.count; i++) {
            const struct log_record *record = &batch.records[i];
            assert_int_equal(record->sequence, result->output_records++);
            result->outputs = hash_chain(result->outputs, &record->timestamp_ms, 8);
            result->outputs = hash_chain(result->outputs, record->value, record->value_length);
        }
    }
    log_reader_close(reader);
}

static bool bed_live(struct bed *bed, struct trainer *trainer, int64_t batch_records,
                     int64_t step_ms) {
    struct error err = {0};
    struct runner *runner = NULL;
    struct runner_setup setup = {.task = "test.trainer",
                                 .directory = bed->directory,
                                 .operations = &trainer_operations,
                                 .state = trainer,
                                 .log = bed->log,
                                 .inputs = bed->inputs,
                                 .input_count = BED_PARTITIONS,
                                 .outputs = &bed->output,
                                 .output_count = 1,
                                 .settings = bed->settings.runner,
                                 .config_hash = 7,
                                 .build = "test",
                                 .accounts_strict = true,
                                 .clock = &bed->clock.clock};
    setup.settings.batch_records = batch_records;
    enum status status = runner_open(&setup, &runner, &err);
    for (size_t steps = 0; status == STATUS_OK; steps++) {
        assert_true(steps < 100000);
        clock_fake_advance(&bed->clock, step_ms);
        status = runner_step(runner, 0, &err);
        // The fake clock runs ahead of the thread that writes checkpoints: now and then it waits.
        if (status == STATUS_OK && steps % 6 == 5)
            status = runner_checkpoint(runner, &err);
    }
    runner_close(runner);
    if (status != STATUS_END && status != STATUS_IO)
        fail_msg("%s: %s", status_name(status), err.message);
    return status == STATUS_END;
}

void bed_run(struct bed *bed, int64_t batch_records, int64_t step_ms,
             struct bed_predictions *predictions, struct trainer **ret_trainer,
             struct bed_result *ret_result) {
    struct bed_result result = {0};
    struct trainer *trainer = bed_trainer(bed, predictions);
    while (!bed_live(bed, trainer, batch_records, step_ms)) {
        log_memory_fault_plant(bed->log, 0, LOG_MEMORY_CRASH_BEFORE);
        disk_fault_plant(DISK_FAULT_CRASH, 0);
        assert_true(++result.crashes < 10);
        trainer_free(trainer);
        trainer = bed_trainer(bed, predictions);
    }
    outputs_hash(bed, &result);
    result.mutations = log_memory_mutations(bed->log);
    result.fingerprint = trainer_operations.fingerprint(trainer);
    result.account_count = trainer_operations.accounts(trainer, result.accounts, 8);
    for (size_t i = 0; i < result.account_count; i++)
        assert_true(account_balances(&result.accounts[i]));
    trainer_status(trainer, &result.status);
    result.status.last_drop = NULL;
    struct report report = trainer_report(trainer);
    evaluate_measure(report.evaluate, 0, EVALUATE_ALL, EVALUATE_ANY, false, &result.click);
    if (ret_trainer != NULL)
        *ret_trainer = trainer;
    else
        trainer_free(trainer);
    *ret_result = result;
}

const struct account *bed_account(const struct bed_result *result, const char *input) {
    for (size_t i = 0; i < result->account_count; i++)
        if (strcmp(result->accounts[i].input, input) == 0)
            return &result->accounts[i];
    fail_msg("no account %s", input);
    return NULL;
}

uint64_t bed_dropped(const struct account *account, const char *reason) {
    for (size_t i = 0; i < account->reason_count; i++)
        if (strcmp(account->reasons[i], reason) == 0)
            return account->dropped[i];
    fail_msg("no reason %s", reason);
    return 0;
}
