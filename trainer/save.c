// The trainer's state in a checkpoint: section "trainer" (all but the learner and the gate), "gate"
// where one is set, and the learner's (chain.h).
#include "base/hash.h"
#include "stage/checkpoint.h"
#include "trainer/rows.h"
#include "trainer/state.h"

enum { COUNTS = sizeof(struct trainer_counts) / sizeof(uint64_t) };
_Static_assert(sizeof(struct trainer_counts) == COUNTS * sizeof(uint64_t), "an array of counters");

// A shared queue's features are saved with the minibatch; the final labels that have come are its
// own.
static void queue_save(const struct trainer *trainer, struct buffer *into) {
    const struct predict_queue *queue = &trainer->queue;
    const struct minibatch *batch = &queue->batch;
    buffer_append_byte(into, queue->shared ? 1 : 0);
    if (queue->shared)
        wire_put_long(into, (int64_t)batch->rows);
    else
        rows_save(batch, &trainer->shape, into);
    for (size_t row = 0; row < batch->rows; row++) {
        wire_put_long(into, queue->slots[row]);
        wire_put_fixed64(into, queue->impressions[row]);
        wire_put_long(into, queue->final_masks[row]);
        for (size_t task = 0; queue->shared && task < trainer->shape.task_count; task++) {
            bool final = queue->final_masks[row] >> task & 1;
            wire_put_float(into, final ? batch->labels[task * batch->capacity + row] : 0);
            wire_put_float(into, final ? batch->weights[task * batch->capacity + row] : 0);
        }
    }
}

void save_state(const struct trainer *trainer, struct buffer *into) {
    const uint64_t *counts = (const uint64_t *)&trainer->counts;
    wire_put_fixed64(into, trainer->example_shape.fingerprint);
    wire_put_fixed64(into, trainer->lineage);
    for (size_t i = 0; i < COUNTS; i++)
        wire_put_long(into, (int64_t)counts[i]);
    wire_put_long(into, trainer->watermark_ms);
    wire_put_long(into, trainer->accepted_ms);
    wire_put_long(into, trainer->batch_accepted_ms);
    wire_put_long(into, trainer->batch_first_ms);
    wire_put_long(into, trainer->now_ms);
    wire_put_long(into, trainer->publish_ms);
    wire_put_long(into, trainer->version_ms);
    wire_put_long(into, (int64_t)trainer->setup.inputs);
    for (size_t i = 0; i < trainer->setup.inputs; i++) {
        wire_put_long(into, trainer->slots[i].newest_ms);
        buffer_append_byte(into, trainer->slots[i].seen ? 1 : 0);
        buffer_append_byte(into, trainer->slots[i].idle ? 1 : 0);
    }
    domains_save(trainer->domains, into);
    pending_save(trainer->pending, into);
    counting_save(trainer->counting, into);
    queue_save(trainer, into);
    rows_save(&trainer->batch, &trainer->shape, into);
    train_late_save(trainer, into);
    measure_save(trainer->measure, into);
    if (trainer->shuffle != NULL)
        shuffle_save(trainer->shuffle, into);
}

void save_gate(const struct trainer *trainer, struct buffer *into) {
    if (gate_is_set(trainer->gate))
        gate_save(trainer->gate, into);
}

// What is empty has no section.
static enum status section_write(struct checkpoint_writer *writer, const char *name,
                                 const struct buffer *saved, struct error *err) {
    struct sink sink;
    if (saved->failed)
        return error_no_memory(err, saved->length, "the trainer's checkpoint");
    if (saved->length == 0)
        return STATUS_OK;
    enum status status = checkpoint_section(writer, name, &sink, err);
    return status == STATUS_OK ? sink_put(&sink, saved->data, saved->length, err) : status;
}

enum status save_write(struct trainer *trainer, struct checkpoint_writer *writer,
                       struct error *err) {
    struct buffer saved;
    buffer_init(&saved);
    save_state(trainer, &saved);
    enum status status = section_write(writer, "trainer", &saved, err);
    buffer_reset(&saved);
    save_gate(trainer, &saved);
    if (status == STATUS_OK)
        status = section_write(writer, "gate", &saved, err);
    if (status == STATUS_OK)
        status = skips_save(&trainer->skips, writer, err);
    if (status == STATUS_OK)
        status = chain_save(&trainer->chain, trainer->learner, writer, err);
    buffer_deinit(&saved);
    return status;
}

enum status save_more(struct trainer *trainer, struct checkpoint_writer *writer, bool *ret_done,
                      struct error *err) {
    return chain_copy(&trainer->chain, trainer->learner, writer, ret_done, err);
}

static enum status queue_load(struct trainer *trainer, struct wire *in, struct error *err) {
    struct predict_queue *queue = &trainer->queue;
    struct minibatch *batch = &queue->batch;
    enum status status = STATUS_OK;
    queue->shared = wire_get_bool(in);
    if (queue->shared) {
        int64_t rows = wire_get_long(in);
        in->bad |= rows < 1 || (size_t)rows > batch->capacity;
        batch->rows = in->bad ? 0 : (size_t)rows;
    } else {
        status = rows_load(batch, &trainer->shape, in, err);
    }
    for (size_t row = 0; status == STATUS_OK && row < batch->rows; row++) {
        queue->slots[row] = (uint32_t)wire_get_long(in);
        queue->impressions[row] = wire_get_fixed64(in);
        queue->final_masks[row] = (uint32_t)wire_get_long(in);
        const struct pending_entry *entry =
            pending_find(trainer->pending, queue->slots[row], queue->impressions[row]);
        if (in->bad || entry == NULL || entry->queued != row)
            return error_set(err, STATUS_CORRUPT,
                             "could not read the queue of predictions: row %zu has no entry", row);
        for (size_t task = 0; queue->shared && task < trainer->shape.task_count; task++) {
            batch->labels[task * batch->capacity + row] = wire_get_float(in);
            batch->weights[task * batch->capacity + row] = wire_get_float(in);
        }
    }
    return status;
}

// What stands before the domains.
static enum status head_load(struct trainer *trainer, struct wire *in, struct error *err) {
    uint64_t *counts = (uint64_t *)&trainer->counts;
    uint64_t fingerprint = wire_get_fixed64(in);
    if (!in->bad && fingerprint != trainer->example_shape.fingerprint)
        return error_set(err, STATUS_CHANGED,
                         "could not read the trainer's state: it was saved with other features or "
                         "tasks");
    trainer->lineage = wire_get_fixed64(in);
    for (size_t i = 0; i < COUNTS; i++)
        counts[i] = (uint64_t)wire_get_long(in);
    trainer->watermark_ms = wire_get_long(in);
    trainer->accepted_ms = wire_get_long(in);
    trainer->batch_accepted_ms = wire_get_long(in);
    trainer->batch_first_ms = wire_get_long(in);
    trainer->now_ms = wire_get_long(in);
    trainer->publish_ms = wire_get_long(in);
    trainer->version_ms = wire_get_long(in);
    int64_t inputs = wire_get_long(in);
    if (!in->bad && inputs != (int64_t)trainer->setup.inputs)
        return error_set(err, STATUS_CHANGED,
                         "could not read the trainer's state: it was saved with %lld partitions of "
                         "examples, there are %zu",
                         (long long)inputs, trainer->setup.inputs);
    for (size_t i = 0; i < trainer->setup.inputs; i++) {
        trainer->slots[i].newest_ms = wire_get_long(in);
        trainer->slots[i].seen = wire_get_bool(in);
        trainer->slots[i].idle = wire_get_bool(in);
    }
    return STATUS_OK;
}

// The shuffle buffer is there when it was in use; it begins empty when it was not.
static enum status rows_waiting_load(struct trainer *trainer, struct wire *in, struct error *err) {
    if (trainer->shuffle != NULL)
        return shuffle_load(trainer->shuffle, in, err);
    return error_set(
        err, STATUS_CHANGED,
        "could not read the trainer's state: it was saved with `trainer.shuffle_rows`; "
        "set it again, or let the trainer finish first");
}

static enum status state_load(struct trainer *trainer, struct wire *in, struct error *err) {
    enum status status = head_load(trainer, in, err);
    if (status == STATUS_OK)
        status = domains_load(trainer->domains, in, err);
    if (status == STATUS_OK)
        status = pending_load(trainer->pending, in, err);
    if (status == STATUS_OK)
        status = counting_load(trainer->counting, in, err);
    if (status == STATUS_OK)
        status = queue_load(trainer, in, err);
    if (status == STATUS_OK)
        status = rows_load(&trainer->batch, &trainer->shape, in, err);
    if (status == STATUS_OK)
        status = train_late_load(trainer, in, err);
    if (status == STATUS_OK)
        status = measure_load(trainer->measure, in, err);
    if (status == STATUS_OK && in->at != in->end)
        status = rows_waiting_load(trainer, in, err);
    bool odd = trainer->queue.shared && trainer->queue.batch.rows != trainer->batch.rows;
    if (status == STATUS_OK && (in->bad || in->at != in->end || odd))
        status = error_set(err, STATUS_CORRUPT, "could not read the trainer's state: malformed");
    return status;
}

// A section's bytes, into the buffer. STATUS_NOT_FOUND: there is none.
static enum status section_read(struct checkpoint_reader *reader, const char *name,
                                struct buffer *saved, struct wire *ret_in, struct error *err) {
    struct source source;
    uint64_t length;
    enum status status = checkpoint_open_section(reader, name, &source, &length, err);
    if (status != STATUS_OK)
        return status;
    void *bytes = buffer_reserve(saved, (size_t)length);
    status = bytes == NULL ? error_no_memory(err, (size_t)length, "the trainer's checkpoint")
                           : source_get(&source, bytes, (size_t)length, err);
    *ret_in = wire_over(saved->data, (size_t)length);
    return status;
}

enum status trainer_stands(struct checkpoint_reader *reader, int64_t *ret_watermark_ms,
                           struct error *err) {
    struct buffer saved;
    struct wire in;
    buffer_init(&saved);
    enum status status = section_read(reader, "trainer", &saved, &in, err);
    if (status == STATUS_OK) {
        for (size_t i = 0; i < 2; i++)
            (void)wire_get_fixed64(&in);
        for (size_t i = 0; i < COUNTS; i++)
            (void)wire_get_long(&in);
        *ret_watermark_ms = wire_get_long(&in);
        if (in.bad)
            status =
                error_set(err, STATUS_CORRUPT, "could not read the trainer's state: malformed");
    }
    buffer_deinit(&saved);
    return status;
}

enum status save_read(struct trainer *trainer, struct checkpoint_reader *reader,
                      struct error *err) {
    struct buffer saved;
    struct wire in;
    buffer_init(&saved);
    enum status status = section_read(reader, "trainer", &saved, &in, err);
    if (status == STATUS_OK)
        status = state_load(trainer, &in, err);
    if (status == STATUS_OK && gate_is_set(trainer->gate)) {
        status = section_read(reader, "gate", &saved, &in, err);
        if (status == STATUS_OK)
            status = gate_load(trainer->gate, &in, err);
        else if (status == STATUS_NOT_FOUND)
            status = STATUS_OK; // saved before there was one
    }
    buffer_deinit(&saved);
    if (status == STATUS_OK)
        status = skips_load(&trainer->skips, reader, err);
    return status == STATUS_OK ? chain_load(&trainer->chain, trainer->learner, reader, err)
                               : status;
}
