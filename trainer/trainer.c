// The trainer's life, ticks and versions, accounts and gauges.
#include "trainer/state.h"

#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "trainer/shape.h"
#include "trainer/versions.h"

enum { WHOLE_ROWS_MAX = 4 << 20 };

static const char *const record_reasons[RECORD_DROPS] = {
    "undecodable", "other-spec", "repeated", "nothing-settled", "invalid-label", "not-finite"};
static const char *const prediction_reasons[PREDICTION_DROPS] = {"unmeasured", "left-out",
                                                                 "invalid-label", "not-finite"};
static const char *const final_reasons[FINAL_DROPS] = {"no-prediction", "repeated", "invalid-label",
                                                       "not-finite"};

static enum status queue_init(struct trainer *trainer, struct error *err) {
    struct predict_queue *queue = &trainer->queue;
    // Rows shared with the minibatch may be as many as that holds.
    size_t predicted = (size_t)trainer->setup.settings->predict_rows;
    size_t learnt = (size_t)trainer->setup.settings->learner.batch_rows;
    size_t rows = predicted > learnt ? predicted : learnt;
    enum status status = minibatch_init(&queue->batch, &trainer->shape, rows, err);
    if (status != STATUS_OK)
        return status;
    queue->slots = memory_new(rows, sizeof *queue->slots);
    queue->impressions = memory_new(rows, sizeof *queue->impressions);
    queue->final_masks = memory_new(rows, sizeof *queue->final_masks);
    queue->logits = memory_new(rows * trainer->shape.task_count, sizeof *queue->logits);
    if (queue->slots == NULL || queue->impressions == NULL || queue->final_masks == NULL ||
        queue->logits == NULL)
        return error_no_memory(err, rows * sizeof(uint64_t), "the queue of predictions");
    return STATUS_OK;
}

static enum status learner_begin(struct trainer *trainer, struct error *err) {
    double weights[SPEC_TASKS_MAX];
    for (size_t task = 0; task < trainer->shape.task_count; task++)
        weights[task] = spec_task_at(trainer->setup.spec, task)->weight;
    return learner_new(&trainer->shape, &trainer->setup.settings->learner, weights, trainer->target,
                       &trainer->learner, err);
}

enum status trainer_begin(struct trainer *trainer, struct error *err) {
    const struct trainer_settings *settings = trainer->setup.settings;
    struct measure_settings measured = {
        .evaluate = {.tasks = trainer->shape.task_count,
                     .domains = (size_t)settings->measure_domains,
                     .window_ms = settings->measure_window_ms,
                     .windows = (size_t)settings->measure_windows},
        .popularity = settings->popularity,
        .drift = settings->drift,
        .user_labels = (size_t)settings->measure_user_labels,
    };
    trainer->popularity_column = trainer_popularity_column(settings, trainer->setup.spec);
    trainer->lineage = trainer->setup.lineage;
    trainer->chain.count = 0;
    trainer->counts = (struct trainer_counts){0};
    trainer->skips = (struct skips){0};
    trainer->watermark_ms = STAGE_TIME_NONE;
    trainer->accepted_ms = STAGE_TIME_NONE;
    trainer->batch_accepted_ms = STAGE_TIME_NONE;
    trainer->batch_first_ms = 0;
    trainer->now_ms = STAGE_TIME_NONE;
    trainer->publish_ms = 0;
    trainer->version_ms = STAGE_TIME_NONE;
    trainer->last_report = (struct learner_report){0};
    trainer->slots = memory_new(trainer->setup.inputs, sizeof *trainer->slots);
    if (trainer->slots == NULL)
        return error_no_memory(err, trainer->setup.inputs, "the trainer's inputs");
    enum status status =
        domains_new((size_t)trainer->shape.settings.domains_max, &trainer->domains, err);
    if (status == STATUS_OK)
        status = counting_new(trainer->setup.spec,
                              (size_t)settings->pending_max * trainer->shape.task_count,
                              &trainer->counting, err);
    if (status == STATUS_OK)
        status = pending_new(trainer->shape.task_count, counting_columns(trainer->counting),
                             (size_t)settings->pending_max, &trainer->pending, err);
    if (status == STATUS_OK) {
        trainer->rates = memory_new(counting_columns(trainer->counting) + 1, sizeof(float));
        if (trainer->rates == NULL)
            status = error_no_memory(err, sizeof(float), "rates");
    }
    if (status == STATUS_OK)
        status = queue_init(trainer, err);
    if (status == STATUS_OK)
        status = minibatch_init(&trainer->batch, &trainer->shape,
                                (size_t)settings->learner.batch_rows, err);
    if (status == STATUS_OK && settings->shuffle_rows > 0)
        status = shuffle_new((size_t)settings->shuffle_rows, counting_columns(trainer->counting),
                             (uint64_t)trainer->shape.settings.seed, &trainer->shuffle, err);
    if (status == STATUS_OK)
        status = train_late_begin(trainer, err);
    if (status == STATUS_OK)
        status = measure_new(&measured, &trainer->measure, err);
    if (status == STATUS_OK)
        status = gate_new(&settings->gate, trainer->setup.spec, &trainer->gate, err);
    if (status == STATUS_OK)
        status = learner_begin(trainer, err);
    return status;
}

void trainer_end(struct trainer *trainer) {
    struct predict_queue *queue = &trainer->queue;
    learner_free(trainer->learner);
    measure_free(trainer->measure);
    train_late_end(trainer);
    gate_free(trainer->gate);
    minibatch_deinit(&trainer->batch, &trainer->shape);
    minibatch_deinit(&queue->batch, &trainer->shape);
    memory_free(queue->slots);
    memory_free(queue->impressions);
    memory_free(queue->final_masks);
    memory_free(queue->logits);
    shuffle_free(trainer->shuffle);
    pending_free(trainer->pending);
    counting_free(trainer->counting);
    memory_free(trainer->rates);
    domains_free(trainer->domains);
    memory_free(trainer->slots);
    trainer->learner = NULL;
    trainer->measure = NULL;
    trainer->gate = NULL;
    trainer->batch = (struct minibatch){0};
    *queue = (struct predict_queue){0};
    trainer->shuffle = NULL;
    trainer->pending = NULL;
    trainer->counting = NULL;
    trainer->rates = NULL;
    trainer->domains = NULL;
    trainer->slots = NULL;
}

static enum status trainer_warm(struct trainer *trainer, struct error *err) {
    return trainer->setup.warm ? trainer->setup.warm(trainer->setup.warm_self, trainer, err)
                               : STATUS_OK;
}

enum status trainer_new(const struct trainer_setup *setup, struct trainer **ret_trainer,
                        struct error *err) {
    struct trainer *trainer = memory_new(1, sizeof *trainer);
    if (trainer == NULL)
        return error_no_memory(err, sizeof *trainer, "the trainer");
    trainer->setup = *setup;
    arena_init(&trainer->run, 4096);
    enum status status =
        trainer_settings_check(setup->settings, setup->spec, &trainer->target, err);
    if (status == STATUS_OK)
        status = shape_of_spec(setup->spec, setup->model, &trainer->run, &trainer->shape, err);
    if (status == STATUS_OK) {
        trainer->example_shape = example_shape_of(setup->spec);
        status = trainer_begin(trainer, err);
    }
    if (status == STATUS_OK)
        status = trainer_warm(trainer, err);
    if (status != STATUS_OK) {
        trainer_free(trainer);
        return status;
    }
    *ret_trainer = trainer;
    return STATUS_OK;
}

void trainer_free(struct trainer *trainer) {
    if (trainer == NULL)
        return;
    trainer_end(trainer);
    arena_deinit(&trainer->run);
    memory_free(trainer);
}

static enum status trainer_reset(void *state, struct error *err) {
    struct trainer *trainer = state;
    trainer_end(trainer);
    enum status status = trainer_begin(trainer, err);
    return status == STATUS_OK ? trainer_warm(trainer, err) : status;
}

// The minimum over inputs that are not idle of the newest record timestamp; while one of them has
// said nothing, or all are idle, it stands still.
static void watermark_move(struct trainer *trainer) {
    int64_t least = STAGE_TIME_END;
    for (size_t i = 0; i < trainer->setup.inputs; i++) {
        const struct trainer_slot *slot = &trainer->slots[i];
        if (slot->idle)
            continue;
        if (!slot->seen)
            return;
        least = slot->newest_ms < least ? slot->newest_ms : least;
    }
    if (least != STAGE_TIME_END && least > trainer->watermark_ms)
        trainer->watermark_ms = least;
}

static enum status trainer_fold(void *state, const struct log_record *records, size_t count,
                                struct stage_outputs *outputs, struct error *err) {
    struct trainer *trainer = state;
    (void)outputs;
    for (size_t i = 0; i < count; i++) {
        REQUIRE(records[i].slot < trainer->setup.inputs);
        enum status status = train_fold(trainer, &records[i], err);
        if (status != STATUS_OK)
            return status;
        watermark_move(trainer);
    }
    return STATUS_OK;
}

// A lineage's first version is whole, so that readers can change over to it at once; beyond some
// millions of rows it comes in slices like the others.
static uint32_t slice_bits(const struct trainer *trainer) {
    size_t rows = 0;
    const struct model *model = learner_model(trainer->learner);
    for (size_t table = 0; table < trainer->shape.table_count; table++)
        rows += model_table_rows(model, table);
    return trainer->counts.version == 0 && rows <= WHOLE_ROWS_MAX
               ? 0
               : (uint32_t)trainer->setup.settings->slice_bits;
}

static enum status trainer_publish(struct trainer *trainer, struct stage_outputs *outputs,
                                   struct error *err) {
    struct trainer_counts *counts = &trainer->counts;
    struct buffer spec, measures;
    buffer_init(&spec);
    buffer_init(&measures);
    // Rows that wait in the queue go on waiting: a tick of the clock must not cut a block of
    // predictions, whose last bits depend on the rows that are computed together.
    enum status status = trainer_describe(trainer, &spec, err);
    if (status == STATUS_OK)
        status = describe_measures(trainer, &measures, err);
    if (status == STATUS_OK && (spec.failed || measures.failed))
        status = error_no_memory(err, spec.length + measures.length, "a version's description");
    struct versions_head head = {
        .lineage = trainer->lineage,
        .version = counts->version + 1,
        .watermark_ms = trainer->watermark_ms,
        .accepted_ms = trainer->accepted_ms,
        .timestamp_ms = trainer->now_ms != STAGE_TIME_NONE         ? trainer->now_ms
                        : trainer->watermark_ms != STAGE_TIME_NONE ? trainer->watermark_ms
                                                                   : 0,
        .spec = &spec,
        .measures = &measures,
        .slice_bits = slice_bits(trainer),
    };
    struct rates *ahead = NULL;
    uint64_t rows;
    if (status == STATUS_OK)
        status = counting_ahead(trainer->counting, trainer->watermark_ms, &ahead, err);
    if (status == STATUS_OK)
        status = versions_emit(trainer->learner, counting_rates(trainer->counting), ahead, &head,
                               outputs, &rows, err);
    rates_free(ahead);
    if (status == STATUS_OK) {
        trainer->version_waits = true;
        counts->version++;
        counts->version_steps = counts->steps;
        counts->version_records = counts->records;
        trainer->version_ms = trainer->watermark_ms;
    }
    buffer_deinit(&spec);
    buffer_deinit(&measures);
    return status;
}

// Publishers wait for a version; nobody waits for a commit without one.
static bool trainer_wants_commit(void *state) {
    const struct trainer *trainer = state;
    return trainer->version_waits;
}

void trainer_lineage_begin(struct trainer *trainer, uint64_t lineage) {
    trainer->lineage = lineage;
    trainer->counts.version = 0;
    trainer->counts.version_steps = trainer->counts.version_records = UINT64_MAX;
    trainer->publish_ms = 0;
    trainer->version_ms = STAGE_TIME_NONE;
    trainer->chain.count = 0; // the next checkpoint is whole
    learner_changes_clear(trainer->learner);
    rates_changes_clear(counting_rates(trainer->counting));
}

enum status trainer_skip(struct trainer *trainer, const struct skip *skip, struct error *err) {
    return skips_add(&trainer->skips, skip->from_ms, skip->to_ms, err);
}

static enum status trainer_tick(void *state, int64_t now_ms, struct stage_outputs *outputs,
                                struct error *err) {
    struct trainer *trainer = state;
    int64_t interval = trainer->setup.settings->publish_interval_ms;
    trainer->gauges_due = true;
    if (trainer->now_ms == STAGE_TIME_NONE)
        trainer->publish_ms = now_ms + interval;
    trainer->now_ms = now_ms;
    if (now_ms < trainer->publish_ms || trainer->counts.steps == trainer->counts.version_steps)
        return STATUS_OK;
    trainer->publish_ms = now_ms + interval;
    return trainer_publish(trainer, outputs, err);
}

static enum status trainer_idle(void *state, uint32_t slot, bool idle,
                                struct stage_outputs *outputs, struct error *err) {
    struct trainer *trainer = state;
    (void)outputs;
    (void)err;
    REQUIRE(slot < trainer->setup.inputs);
    trainer->slots[slot].idle = idle;
    watermark_move(trainer);
    return STATUS_OK;
}

enum status trainer_flush(struct trainer *trainer, struct error *err) {
    enum status status = train_drain(trainer, err);
    if (status == STATUS_OK)
        status = train_late_learn(trainer, err);
    if (status != STATUS_OK)
        return status;
    return trainer->batch.rows > 0 ? train_learn(trainer, err) : train_predict(trainer, err);
}

static enum status trainer_finish(void *state, struct stage_outputs *outputs, struct error *err) {
    struct trainer *trainer = state;
    enum status status = trainer_flush(trainer, err);
    trainer->gauges_due = true;
    // The last rows may have been learnt only now, after a version that counted their records.
    if (status == STATUS_OK && trainer->counts.version > 0 &&
        trainer->counts.records == trainer->counts.version_records &&
        trainer->counts.steps == trainer->counts.version_steps &&
        // Inputs that ended may have let the watermark move on, and rates with it.
        (trainer->version_ms == trainer->watermark_ms || counting_columns(trainer->counting) == 0))
        return STATUS_OK;
    return status == STATUS_OK ? trainer_publish(trainer, outputs, err) : status;
}

static struct account account_of(const char *input, uint64_t read, uint64_t used,
                                 uint64_t in_flight, const char *const *reasons,
                                 const uint64_t *dropped, size_t reason_count) {
    struct account account = {.input = input,
                              .read = read,
                              .used = used,
                              .in_flight = in_flight,
                              .reason_count = reason_count};
    for (size_t i = 0; i < reason_count; i++) {
        account.reasons[i] = reasons[i];
        account.dropped[i] = dropped[i];
    }
    return account;
}

static size_t trainer_accounts(void *state, struct account *accounts, size_t max) {
    const struct trainer *trainer = state;
    const struct trainer_counts *counts = &trainer->counts;
    uint64_t shuffled = trainer->shuffle != NULL ? shuffle_rows(trainer->shuffle) : 0;
    REQUIRE(max >= 3);
    accounts[0] = account_of("examples", counts->records, counts->records_used,
                             counts->scores_waiting + trainer->batch.rows + shuffled,
                             record_reasons, counts->records_dropped, RECORD_DROPS);
    accounts[0].reasons[RECORD_DROPS] = "skipped";
    accounts[0].dropped[RECORD_DROPS] = trainer->skips.records;
    accounts[0].reason_count = RECORD_DROPS + 1;
    accounts[1] = account_of("predictions", counts->predictions, counts->measured,
                             counts->predictions_waiting + counts->finals_waiting,
                             prediction_reasons, counts->predictions_dropped, PREDICTION_DROPS);
    accounts[2] = account_of("finals", counts->finals, counts->finals_used, counts->finals_waiting,
                             final_reasons, counts->finals_dropped, FINAL_DROPS);
    return 3;
}

static enum status trainer_save(void *state, struct checkpoint_writer *writer, struct error *err) {
    return save_write(state, writer, err);
}

static enum status trainer_save_more(void *state, struct checkpoint_writer *writer, bool *ret_done,
                                     struct error *err) {
    return save_more(state, writer, ret_done, err);
}

static enum status trainer_load(void *state, struct checkpoint_reader *reader, struct error *err) {
    struct trainer *trainer = state;
    trainer_end(trainer);
    enum status status = trainer_begin(trainer, err);
    return status == STATUS_OK ? save_read(trainer, reader, err) : status;
}

static uint64_t trainer_fingerprint(void *state) {
    struct trainer *trainer = state;
    struct buffer saved;
    buffer_init(&saved);
    save_state(trainer, &saved);
    save_gate(trainer, &saved);
    REQUIRE(!saved.failed);
    uint64_t fingerprint =
        hash_bytes(saved.data, saved.length, learner_fingerprint(trainer->learner));
    buffer_deinit(&saved);
    return fingerprint;
}

static int64_t trainer_watermark(void *state) {
    return ((const struct trainer *)state)->watermark_ms;
}

const struct stage_operations trainer_operations = {
    .name = "trainer",
    .reset = trainer_reset,
    .fold = trainer_fold,
    .tick = trainer_tick,
    .idle = trainer_idle,
    .finish = trainer_finish,
    .committing = gauges_committing,
    .wants_commit = trainer_wants_commit,
    .save = trainer_save,
    .save_more = trainer_save_more,
    .load = trainer_load,
    .fingerprint = trainer_fingerprint,
    .accounts = trainer_accounts,
    .watermark_ms = trainer_watermark,
};

void trainer_status(const struct trainer *trainer, struct trainer_status *ret_status) {
    *ret_status = (struct trainer_status){
        .version = trainer->counts.version,
        .steps = trainer->counts.steps,
        .rows_learnt = trainer->counts.rows_learnt,
        .domains = domains_count(trainer->domains),
        .last_drop = trainer->last_drop.message,
    };
}

uint32_t trainer_domain(const struct trainer *trainer, const char *text, size_t length) {
    for (uint32_t i = 1; i <= domains_count(trainer->domains); i++) {
        const char *name = domains_name(trainer->domains, i);
        if (strlen(name) == length && memcmp(name, text, length) == 0)
            return i;
    }
    return MINIBATCH_DOMAIN_UNKNOWN;
}

enum status trainer_domain_add(struct trainer *trainer, const char *text, size_t length,
                               struct error *err) {
    uint32_t domain;
    bool added;
    enum status status = domains_index(trainer->domains, text, length, &domain, &added, err);
    return status == STATUS_OK && added ? learner_domain_add(trainer->learner, domain, err)
                                        : status;
}

struct counting *trainer_counting(struct trainer *trainer) {
    return trainer->counting;
}

struct learner *trainer_learner(struct trainer *trainer) {
    return trainer->learner;
}

struct report trainer_report(struct trainer *trainer) {
    return (struct report){
        .evaluate = measure_evaluate(trainer->measure),
        .measure = trainer->measure,
        .spec = trainer->setup.spec,
        .domains = trainer->domains,
        .domain_count = (size_t)trainer->setup.settings->measure_domains,
        .learner = trainer->learner,
    };
}
