// Final labels as rows for the auxiliary classifiers of label policies (late.h): whether a positive
// came after it had been learnt as a negative, and whether a negative was one.
#include "trainer/rows.h"
#include "trainer/state.h"

bool train_late_wants(const struct trainer *trainer, const struct example *example) {
    return (example->kind & EXAMPLE_FINAL) != 0 && (example->mask & trainer->late.tasks) != 0;
}

enum status train_late_begin(struct trainer *trainer, struct error *err) {
    struct late_rows *late = &trainer->late;
    struct late_head heads[LATE_HEADS_MAX];
    late->shape = trainer->shape;
    late->shape.task_count = late_heads_of(trainer->shape.labels, trainer->shape.task_count, heads);
    late->tasks = 0;
    for (size_t h = 0; h < late->shape.task_count; h++)
        late->tasks |= UINT32_C(1) << heads[h].task;
    if (late->tasks == 0)
        return STATUS_OK;
    return minibatch_init(&late->batch, &late->shape,
                          (size_t)trainer->setup.settings->learner.batch_rows, err);
}

void train_late_end(struct trainer *trainer) {
    if (trainer->late.tasks != 0)
        minibatch_deinit(&trainer->late.batch, &trainer->late.shape);
    trainer->late = (struct late_rows){0};
}

enum status train_late_learn(struct trainer *trainer, struct error *err) {
    struct minibatch *batch = &trainer->late.batch;
    if (batch->rows == 0)
        return STATUS_OK;
    enum status status = learner_learn_late(trainer->learner, batch, err);
    minibatch_reset(batch);
    return status;
}

// One classifier's label of a row; false where the row is not of its sample.
static bool head_label(const struct late_head *head, bool positive, bool late, float *ret_label) {
    if (head->kind == LATE_REAL && positive && !late)
        return false; // it never was an observed negative
    *ret_label = head->kind == LATE_REAL ? !positive : late;
    return true;
}

enum status train_late_take(struct trainer *trainer, const struct example *example, uint32_t domain,
                            const float *rates, struct error *err) {
    struct minibatch *batch = &trainer->late.batch;
    struct late_head heads[LATE_HEADS_MAX];
    size_t row = batch->rows;
    uint64_t replaced = 0; // other copies of the row have been counted
    enum status status = rows_append(batch, &trainer->late.shape, example, rates,
                                     counting_columns(trainer->counting), domain, &replaced, err);
    if (status != STATUS_OK)
        return status;
    late_heads_of(trainer->shape.labels, trainer->shape.task_count, heads);
    for (size_t h = 0; h < trainer->late.shape.task_count; h++) {
        float label, weight, of_head;
        if ((example->mask >> heads[h].task & 1) == 0 ||
            !train_label(example, heads[h].task, &label, &weight) ||
            !head_label(&heads[h], label > 0, (example->kind & EXAMPLE_LATE) != 0, &of_head))
            continue;
        batch->labels[h * batch->capacity + row] = of_head;
        batch->weights[h * batch->capacity + row] = weight;
    }
    return batch->rows == batch->capacity ? train_late_learn(trainer, err) : STATUS_OK;
}

void train_late_save(const struct trainer *trainer, struct buffer *into) {
    if (trainer->late.tasks != 0)
        rows_save(&trainer->late.batch, &trainer->late.shape, into);
}

enum status train_late_load(struct trainer *trainer, struct wire *in, struct error *err) {
    return trainer->late.tasks != 0 ? rows_load(&trainer->late.batch, &trainer->late.shape, in, err)
                                    : STATUS_OK;
}
