// What the trainer does with a record: predict, measure, learn.
#include <math.h>
#include <string.h>

#include "trainer/rows.h"
#include "trainer/state.h"

static float float_of(const unsigned char *floats, size_t i) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 4; k++)
        bits |= (uint32_t)floats[4 * i + k] << (8 * k);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

bool train_label(const struct example *example, size_t task, float *ret_label, float *ret_weight) {
    float label = float_of(example->labels, task);
    float weight = example->weights == NULL ? 1 : float_of(example->weights, task);
    if (!(label >= 0 && label <= 1) || !(weight >= 0) || !isfinite(weight))
        return false;
    *ret_label = label;
    *ret_weight = weight;
    return true;
}

static enum status measure(struct trainer *trainer, const struct pending_entry *entry, size_t task,
                           float logit, float label, float weight, struct error *err) {
    struct trainer_counts *counts = &trainer->counts;
    if (!isfinite(logit)) {
        counts->predictions_dropped[PREDICTION_NOT_FINITE]++;
        counts->finals_dropped[FINAL_NOT_FINITE]++;
        return STATUS_OK;
    }
    struct measure_label measured = {.task = task,
                                     .domain = entry->domain,
                                     .bucket = (enum evaluate_bucket)entry->bucket,
                                     .user = entry->user,
                                     .event_time_ms = entry->event_time_ms,
                                     .logit = logit,
                                     .label = label,
                                     .weight = weight};
    enum status status = measure_add(trainer->measure, &measured, err);
    if (status == STATUS_OK)
        status = gate_add(trainer->gate, task, logit, label, weight, err);
    if (status != STATUS_OK)
        return status;
    counts->measured++;
    counts->finals_used++;
    if (trainer->setup.measured != NULL) {
        struct trainer_measured told = {.slot = entry->slot,
                                        .impression = entry->impression,
                                        .user = entry->user,
                                        .event_time_ms = entry->event_time_ms,
                                        .task = task,
                                        .logit = logit,
                                        .label = label,
                                        .weight = weight};
        trainer->setup.measured(trainer->setup.measured_self, &told);
    }
    return STATUS_OK;
}

// Keeps a queued row's logits ([tasks][rows]), measures the final labels that wait for them, and
// lets go of an entry that waits for no other.
static enum status predicted_take(struct trainer *trainer, const float *predicted, size_t row,
                                  struct error *err) {
    struct predict_queue *queue = &trainer->queue;
    struct pending_entry *entry =
        pending_find(trainer->pending, queue->slots[row], queue->impressions[row]);
    REQUIRE(entry != NULL && entry->queued == row);
    float *logits = pending_logits(trainer->pending, entry);
    size_t rows = queue->batch.rows, capacity = queue->batch.capacity;
    for (size_t task = 0; task < trainer->shape.task_count; task++)
        logits[task] = predicted[task * rows + row];
    if (trainer->setup.predicted != NULL)
        trainer->setup.predicted(trainer->setup.predicted_self, entry->slot, entry->impression,
                                 logits);
    enum status status = STATUS_OK;
    for (size_t task = 0; task < trainer->shape.task_count && status == STATUS_OK; task++) {
        if ((queue->final_masks[row] >> task & 1) == 0)
            continue;
        trainer->counts.finals_waiting--;
        status =
            measure(trainer, entry, task, logits[task], queue->batch.labels[task * capacity + row],
                    queue->batch.weights[task * capacity + row], err);
    }
    entry->queued = PENDING_NOT_QUEUED;
    if (entry->waiting == 0)
        pending_remove(trainer->pending, entry);
    return status;
}

// All queued rows have been predicted: logits [tasks][rows].
static enum status predicted_take_all(struct trainer *trainer, const float *logits,
                                      struct error *err) {
    struct predict_queue *queue = &trainer->queue;
    enum status status = STATUS_OK;
    for (size_t row = 0; row < queue->batch.rows && status == STATUS_OK; row++)
        status = predicted_take(trainer, logits, row, err);
    trainer->counts.records_used += trainer->counts.scores_waiting;
    trainer->counts.scores_waiting = 0;
    minibatch_reset(&queue->batch);
    queue->shared = false;
    return status;
}

// From now on the queue has its rows' features itself, and they are predicted on their own.
static enum status unshare(struct trainer *trainer, struct error *err) {
    struct predict_queue *queue = &trainer->queue;
    if (!queue->shared)
        return STATUS_OK;
    size_t rows = queue->batch.rows;
    queue->shared = false;
    queue->batch.rows = 0;
    return rows_copy(&queue->batch, &trainer->batch, &trainer->shape, rows, err);
}

enum status train_predict(struct trainer *trainer, struct error *err) {
    struct predict_queue *queue = &trainer->queue;
    if (queue->batch.rows == 0)
        return STATUS_OK;
    enum status status = unshare(trainer, err);
    if (status == STATUS_OK)
        status = learner_predict(trainer->learner, &queue->batch, queue->logits, err);
    return status == STATUS_OK ? predicted_take_all(trainer, queue->logits, err) : status;
}

enum status train_learn(struct trainer *trainer, struct error *err) {
    struct trainer_counts *counts = &trainer->counts;
    uint64_t rows = trainer->batch.rows;
    if (rows == 0)
        return STATUS_OK;
    bool shared = trainer->queue.shared;
    trainer->batch.time_ms = trainer->watermark_ms;
    enum status status = train_late_learn(trainer, err);
    if (status == STATUS_OK && !shared)
        status = train_predict(trainer, err);
    if (status == STATUS_OK)
        status = learner_step(trainer->learner, &trainer->batch, &trainer->last_report, err);
    if (status == STATUS_OK && shared)
        status = predicted_take_all(trainer, learner_step_logits(trainer->learner), err);
    if (status != STATUS_OK)
        return status;
    uint64_t skipped = trainer->last_report.skipped_rows;
    REQUIRE(skipped <= rows);
    counts->steps++;
    counts->rows_learnt += rows - skipped;
    counts->records_used += rows - skipped;
    counts->records_dropped[RECORD_NOT_FINITE] += skipped;
    if (trainer->batch_accepted_ms > trainer->accepted_ms)
        trainer->accepted_ms = trainer->batch_accepted_ms;
    trainer->batch_accepted_ms = STAGE_TIME_NONE;
    minibatch_reset(&trainer->batch);
    return STATUS_OK;
}

static uint32_t bits_of(uint32_t mask) {
    uint32_t count = 0;
    for (; mask != 0; mask &= mask - 1)
        count++;
    return count;
}

static uint32_t all_tasks(const struct trainer *trainer) {
    return (uint32_t)((UINT64_C(1) << trainer->shape.task_count) - 1);
}

// The popularity of what is shown, counted once an impression.
static uint32_t bucket_see(struct trainer *trainer, const struct example *example) {
    uint64_t id = 0;
    if (trainer->popularity_column == TRAINER_NO_COLUMN)
        return EVALUATE_ANY;
    memcpy(&id, example->ids + trainer->popularity_column * sizeof id, sizeof id);
    return measure_see(trainer->measure, id);
}

// Queues the row, with an entry that waits for all final labels. A shared row's features will stand
// in the minibatch alone.
static enum status score_take(struct trainer *trainer, uint32_t slot, const struct example *example,
                              uint32_t domain, struct error *err) {
    struct predict_queue *queue = &trainer->queue;
    size_t row = queue->batch.rows;
    if (pending_full(trainer->pending)) {
        struct pending_entry *oldest = pending_oldest(trainer->pending);
        // The bound is above the queue's length and queued entries are the newest.
        REQUIRE(oldest->queued == PENDING_NOT_QUEUED);
        trainer->counts.predictions_dropped[PREDICTION_UNMEASURED] += bits_of(oldest->waiting);
        trainer->counts.predictions_waiting -= bits_of(oldest->waiting);
        pending_remove(trainer->pending, oldest);
    }
    struct pending_entry entry = {.impression = example->impression,
                                  .user = example->user,
                                  .event_time_ms = example->event_time_ms,
                                  .slot = slot,
                                  .domain = domain,
                                  .waiting = all_tasks(trainer),
                                  .bucket = bucket_see(trainer, example),
                                  .queued = (uint32_t)row};
    size_t rates = counting_columns(trainer->counting);
    enum status status = pending_add(trainer->pending, &entry, err);
    if (status == STATUS_OK && rates > 0)
        status = counting_read(trainer->counting, example, trainer->rates, err);
    if (queue->shared)
        queue->batch.rows++;
    else if (status == STATUS_OK)
        status = rows_append(&queue->batch, &trainer->shape, example, trainer->rates, rates, domain,
                             &trainer->counts.values_replaced, err);
    if (status != STATUS_OK)
        return status;
    if (rates > 0)
        memcpy(pending_rates(trainer->pending,
                             pending_find(trainer->pending, slot, example->impression)),
               trainer->rates, rates * sizeof(float));
    queue->slots[row] = slot;
    queue->impressions[row] = example->impression;
    queue->final_masks[row] = 0;
    trainer->counts.predictions += trainer->shape.task_count;
    trainer->counts.predictions_waiting += trainer->shape.task_count;
    if ((example->kind & EXAMPLE_LEARN) == 0)
        trainer->counts.scores_waiting++;
    return STATUS_OK;
}

// One final label meets its prediction, or the row that will be predicted.
static enum status label_take(struct trainer *trainer, struct pending_entry *entry,
                              const struct example *example, size_t task, struct error *err) {
    struct trainer_counts *counts = &trainer->counts;
    counts->finals++;
    if (entry == NULL || (entry->waiting >> task & 1) == 0) {
        counts->finals_dropped[entry == NULL ? FINAL_NO_PREDICTION : FINAL_REPEATED]++;
        return STATUS_OK;
    }
    entry->waiting &= ~(UINT32_C(1) << task);
    counts->predictions_waiting--;
    float label, weight;
    if (!train_label(example, task, &label, &weight)) {
        counts->finals_dropped[FINAL_INVALID_LABEL]++;
        counts->predictions_dropped[PREDICTION_INVALID_LABEL]++;
        return STATUS_OK;
    }
    enum status status =
        counting_label(trainer->counting, example, task, entry->event_time_ms, label, weight, err);
    if (status != STATUS_OK)
        return status;
    if (entry->queued == PENDING_NOT_QUEUED)
        return measure(trainer, entry, task, pending_logits(trainer->pending, entry)[task], label,
                       weight, err);
    struct minibatch *batch = &trainer->queue.batch;
    batch->labels[task * batch->capacity + entry->queued] = label;
    batch->weights[task * batch->capacity + entry->queued] = weight;
    trainer->queue.final_masks[entry->queued] |= UINT32_C(1) << task;
    counts->finals_waiting++;
    return STATUS_OK;
}

static enum status final_take(struct trainer *trainer, uint32_t slot, const struct example *example,
                              uint32_t mask, struct error *err) {
    struct pending_entry *entry = pending_find(trainer->pending, slot, example->impression);
    enum status status = STATUS_OK;
    for (size_t task = 0; task < trainer->shape.task_count && status == STATUS_OK; task++)
        if (mask >> task & 1)
            status = label_take(trainer, entry, example, task, err);
    if (entry != NULL && (example->kind & EXAMPLE_LAST) != 0) {
        trainer->counts.predictions_dropped[PREDICTION_LEFT_OUT] += bits_of(entry->waiting);
        trainer->counts.predictions_waiting -= bits_of(entry->waiting);
        entry->waiting = 0;
    }
    if (entry != NULL && entry->waiting == 0 && entry->queued == PENDING_NOT_QUEUED)
        pending_remove(trainer->pending, entry);
    return status;
}

// The labels of a LEARN record that can be learnt from.
struct learnable {
    uint32_t tasks; // mask
    float labels[SPEC_TASKS_MAX], weights[SPEC_TASKS_MAX];
};

static struct learnable learnable_of(const struct trainer *trainer, const struct example *example,
                                     uint32_t mask) {
    struct learnable learnable;
    const struct spec_sampling *sampling = &trainer->setup.spec->sampling;
    // Weights of sampled negatives: where predictions are shifted instead, they are for measures.
    bool unweighted = sampling->drop > 0 && sampling->correct == SPEC_CORRECT_LOG_ODDS;
    learnable.tasks = 0;
    for (size_t task = 0; task < trainer->shape.task_count; task++) {
        if ((mask >> task & 1) == 0 ||
            !train_label(example, task, &learnable.labels[task], &learnable.weights[task]))
            continue;
        learnable.tasks |= UINT32_C(1) << task;
        learnable.weights[task] = unweighted ? 1 : learnable.weights[task];
    }
    return learnable;
}

static enum status learn_take(struct trainer *trainer, int64_t now_ms,
                              const struct example *example, uint32_t domain, const float *rates,
                              const struct learnable *learnable, struct error *err) {
    struct minibatch *batch = &trainer->batch;
    size_t row = batch->rows;
    uint64_t replaced = 0, *counted = &replaced;
    if (trainer->queue.shared)
        counted = &trainer->counts.values_replaced; // no other copy of the row has counted them
    enum status status = rows_append(batch, &trainer->shape, example, rates,
                                     counting_columns(trainer->counting), domain, counted, err);
    if (status != STATUS_OK)
        return status;
    batch->repeats[row] = (example->kind & EXAMPLE_REPEAT) != 0;
    if (row == 0)
        trainer->batch_first_ms = now_ms;
    for (size_t task = 0; task < trainer->shape.task_count; task++) {
        if (learnable->tasks >> task & 1) {
            batch->labels[task * batch->capacity + row] = learnable->labels[task];
            batch->weights[task * batch->capacity + row] = learnable->weights[task];
        }
    }
    if (example->accepted_ms > trainer->batch_accepted_ms)
        trainer->batch_accepted_ms = example->accepted_ms;
    return STATUS_OK;
}

// A row drawn from the shuffle buffer, as if its record came now.
static enum status row_draw(struct trainer *trainer, int64_t now_ms, struct error *err) {
    struct shuffle_row row = shuffle_draw(trainer->shuffle);
    struct example example;
    enum status status =
        example_decode(&trainer->example_shape, row.bytes, row.length, &example, NULL);
    REQUIRE(status == STATUS_OK); // it was decoded when it came
    struct learnable learnable = learnable_of(trainer, &example, example.mask & all_tasks(trainer));
    return learn_take(trainer, now_ms, &example, row.domain, row.rates, &learnable, err);
}

// A row to be learnt: into the minibatch, or into the shuffle buffer, which gives another.
static enum status row_take(struct trainer *trainer, const struct log_record *record,
                            const struct example *example, uint32_t domain, const float *rates,
                            const struct learnable *learnable, struct error *err) {
    if (trainer->shuffle == NULL)
        return learn_take(trainer, record->timestamp_ms, example, domain, rates, learnable, err);
    struct shuffle_row row = {record->value, record->value_length, domain, rates};
    enum status status = STATUS_OK;
    if (shuffle_full(trainer->shuffle))
        status = row_draw(trainer, record->timestamp_ms, err);
    return status == STATUS_OK ? shuffle_put(trainer->shuffle, &row, err) : status;
}

enum status train_drain(struct trainer *trainer, struct error *err) {
    enum status status = STATUS_OK;
    while (status == STATUS_OK && trainer->shuffle != NULL && shuffle_rows(trainer->shuffle) > 0) {
        status = row_draw(trainer, trainer->batch_first_ms, err);
        if (status == STATUS_OK && trainer->batch.rows == trainer->batch.capacity)
            status = train_learn(trainer, err);
    }
    return status;
}

// The rates that the impression was predicted with, before its entry may go; NULL = not known.
static const float *rates_of(struct trainer *trainer, uint32_t slot,
                             const struct example *example) {
    size_t rates = counting_columns(trainer->counting);
    if (rates == 0 || ((example->kind & EXAMPLE_LEARN) == 0 && !train_late_wants(trainer, example)))
        return NULL;
    const struct pending_entry *entry = pending_find(trainer->pending, slot, example->impression);
    if (entry == NULL)
        return NULL;
    memcpy(trainer->rates, pending_rates(trainer->pending, entry), rates * sizeof(float));
    return trainer->rates;
}

static bool queue_full(const struct trainer *trainer) {
    return trainer->queue.batch.rows >= (size_t)trainer->setup.settings->predict_rows;
}

// Decides whether the queue and the minibatch go on sharing their rows, which they do while every
// record brings one to both: the step's own forward pass then predicts them.
static enum status share_decide(struct trainer *trainer, bool scores, bool learns,
                                struct error *err) {
    struct predict_queue *queue = &trainer->queue;
    if (scores && learns) {
        if (queue->batch.rows == 0 && trainer->batch.rows == 0)
            queue->shared = trainer->shuffle == NULL && learner_step_predicts(trainer->learner);
        return STATUS_OK;
    }
    if (!queue->shared || !(scores || learns))
        return STATUS_OK;
    enum status status = unshare(trainer, err);
    return status == STATUS_OK && queue_full(trainer) ? train_predict(trainer, err) : status;
}

static enum status domain_of(struct trainer *trainer, const struct example *example,
                             uint32_t *ret_domain, struct error *err) {
    bool added;
    enum status status = domains_index(trainer->domains, example->domain, example->domain_length,
                                       ret_domain, &added, err);
    return status == STATUS_OK && added ? learner_domain_add(trainer->learner, *ret_domain, err)
                                        : status;
}

static enum status example_take(struct trainer *trainer, const struct log_record *record,
                                const struct example *example, struct error *err) {
    struct trainer_counts *counts = &trainer->counts;
    bool scores = (example->kind & EXAMPLE_SCORE) != 0;
    bool learns = (example->kind & EXAMPLE_LEARN) != 0;
    if (scores && pending_find(trainer->pending, record->slot, example->impression) != NULL) {
        counts->records_dropped[RECORD_REPEATED]++;
        return STATUS_OK;
    }
    uint32_t domain, mask = example->mask & all_tasks(trainer);
    struct learnable learnable = {0};
    if (learns)
        learnable = learnable_of(trainer, example, mask);
    enum status status = domain_of(trainer, example, &domain, err);
    if (status == STATUS_OK)
        status = share_decide(trainer, scores, learnable.tasks != 0, err);
    if (status == STATUS_OK && scores)
        status = score_take(trainer, record->slot, example, domain, err);
    const float *rates = status == STATUS_OK ? rates_of(trainer, record->slot, example) : NULL;
    if (status == STATUS_OK && (example->kind & (EXAMPLE_FINAL | EXAMPLE_LAST)) != 0)
        status = final_take(trainer, record->slot, example,
                            (example->kind & EXAMPLE_FINAL) != 0 ? mask : 0, err);
    if (status == STATUS_OK && train_late_wants(trainer, example))
        status = train_late_take(trainer, example, domain, rates, err);
    if (status == STATUS_OK && learnable.tasks != 0)
        status = row_take(trainer, record, example, domain, rates, &learnable, err);
    else if (status == STATUS_OK && learns)
        counts->records_dropped[mask == 0 ? RECORD_NOTHING_SETTLED : RECORD_INVALID_LABEL]++;
    if (status == STATUS_OK && !learns && !scores)
        counts->records_used++;
    if (status == STATUS_OK && !trainer->queue.shared && queue_full(trainer))
        status = train_predict(trainer, err);
    if (status == STATUS_OK && trainer->batch.rows == trainer->batch.capacity)
        status = train_learn(trainer, err);
    return status;
}

enum status train_fold(struct trainer *trainer, const struct log_record *record,
                       struct error *err) {
    struct trainer_counts *counts = &trainer->counts;
    struct trainer_slot *slot = &trainer->slots[record->slot];
    counts->records++;
    if (!slot->seen || record->timestamp_ms > slot->newest_ms)
        slot->newest_ms = record->timestamp_ms;
    slot->seen = true;
    int64_t span = trainer->setup.settings->batch_event_ms;
    if (span > 0 && trainer->batch.rows > 0 && record->timestamp_ms > trainer->batch_first_ms &&
        (uint64_t)record->timestamp_ms - (uint64_t)trainer->batch_first_ms >= (uint64_t)span) {
        enum status status = train_learn(trainer, err);
        if (status != STATUS_OK)
            return status;
    }
    struct example example;
    enum status status = example_decode(&trainer->example_shape, record->value,
                                        record->value_length, &example, &trainer->last_drop);
    if (status != STATUS_OK) {
        counts
            ->records_dropped[status == STATUS_CHANGED ? RECORD_OTHER_SPEC : RECORD_UNDECODABLE]++;
        return STATUS_OK;
    }
    return skips_take(&trainer->skips, example.event_time_ms)
               ? STATUS_OK
               : example_take(trainer, record, &example, err);
}
