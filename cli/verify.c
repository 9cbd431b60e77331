// Both sides score the same examples; see verify.h.
#include "cli/verify.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cli/newest.h"
#include "cli/saved_trainer.h"
#include "trainer/domains.h"
#include "trainer/rows.h"
#include "trainer/trainer.h"

enum { BLOCK_ROWS = 256 };

struct verifying {
    struct freshet_scorer *scorer;
    struct freshet_row *row;
    struct trainer *trainer;
    struct example_shape shape;
    struct minibatch batch; // rows not yet compared
    float *scored;          // [BLOCK_ROWS][tasks] by the scorer
    float *logits;          // [tasks][rows] by the trainer
    float *rates;
    size_t tasks;
    int64_t rows;
    double largest;
    uint64_t version;
};

static enum status compare(struct verifying *verifying, struct error *err) {
    size_t rows = verifying->batch.rows;
    enum status status = learner_predict(trainer_learner(verifying->trainer), &verifying->batch,
                                         verifying->logits, err);
    for (size_t i = 0; status == STATUS_OK && i < rows; i++) {
        for (size_t k = 0; k < verifying->tasks; k++) {
            double trained = 1 / (1 + exp(-(double)verifying->logits[k * rows + i]));
            double difference = fabs(trained - (double)verifying->scored[i * verifying->tasks + k]);
            // A NaN on either side is a difference too.
            if (!(difference <= verifying->largest))
                verifying->largest = difference;
        }
    }
    minibatch_reset(&verifying->batch);
    return status;
}

static enum status take_example(void *self, int32_t partition, const struct log_record *record,
                                struct error *err) {
    struct verifying *verifying = self;
    struct example example;
    char reason[512];
    uint64_t replaced = 0;
    (void)partition;
    enum status status =
        example_decode(&verifying->shape, record->value, record->value_length, &example, err);
    if (status != STATUS_OK || !(example.kind & (EXAMPLE_SCORE | EXAMPLE_LEARN)))
        return status;
    uint32_t domain = trainer_domain(verifying->trainer, example.domain, example.domain_length);
    struct counting *counting = trainer_counting(verifying->trainer);
    counting_peek(counting, &example, verifying->rates);
    status = rows_append(
        &verifying->batch, model_spec_of(learner_model(trainer_learner(verifying->trainer))),
        &example, verifying->rates, counting_columns(counting), domain, &replaced, err);
    if (status != STATUS_OK)
        return status;
    int64_t time_ms = example.event_time_ms;
    float *scored = verifying->scored + (verifying->batch.rows - 1) * verifying->tasks;
    if (freshet_row_set_columns(verifying->row, example.ids, example.numbers, example.lists,
                                example.domain, example.domain_length) != FRESHET_SCORER_OK ||
        freshet_row_set_time(verifying->row, time_ms) != FRESHET_SCORER_OK ||
        freshet_scorer_score(verifying->scorer, &verifying->row, 1, scored, &verifying->version,
                             reason, sizeof reason) != FRESHET_SCORER_OK)
        return error_set(err, STATUS_INVALID, "could not score an example: %s", reason);
    verifying->rows++;
    return verifying->batch.rows == BLOCK_ROWS ? compare(verifying, err) : STATUS_OK;
}

enum status verify_scores(const struct settings *settings, struct freshet_scorer *scorer,
                          int64_t count, FILE *stream, struct error *err) {
    struct verifying verifying = {.scorer = scorer,
                                  .shape = example_shape_of(&settings->data),
                                  .tasks = settings->data.tasks.count};
    struct log *log = NULL;
    int32_t partitions = 0;
    enum status status = log_open(&settings->log, &log, err);
    if (status == STATUS_OK)
        status = log_topic_partitions(log, settings->trainer.examples, &partitions, err);
    if (status == STATUS_OK)
        status = saved_trainer_load(settings, (size_t)partitions, &verifying.trainer, err);
    const struct model_spec *shape =
        status == STATUS_OK ? model_spec_of(learner_model(trainer_learner(verifying.trainer)))
                            : NULL;
    if (status == STATUS_OK)
        status = minibatch_init(&verifying.batch, shape, BLOCK_ROWS, err);
    verifying.row = freshet_row_new(scorer);
    verifying.scored = memory_new(BLOCK_ROWS * verifying.tasks, sizeof(float));
    verifying.logits = memory_new(BLOCK_ROWS * verifying.tasks, sizeof(float));
    verifying.rates = memory_new(shape ? shape->numeric_count + 1 : 1, sizeof(float));
    if (status == STATUS_OK &&
        (!verifying.row || !verifying.rates || !verifying.scored || !verifying.logits))
        status = error_no_memory(err, BLOCK_ROWS * verifying.tasks * sizeof(float), "verifying");
    if (status == STATUS_OK)
        status =
            newest_records(log, settings->trainer.examples, count, take_example, &verifying, err);
    if (status == STATUS_OK && verifying.batch.rows > 0)
        status = compare(&verifying, err);
    if (status == STATUS_OK &&
        fprintf(stream,
                "{\"rows\": %" PRId64 ", \"version\": %" PRIu64 ", \"largest_difference\": %.3g}\n",
                verifying.rows, verifying.version, verifying.largest) < 0)
        status = error_set(err, STATUS_IO, "could not write to standard output");
    freshet_row_free(verifying.row);
    memory_free(verifying.scored);
    memory_free(verifying.logits);
    memory_free(verifying.rates);
    if (shape)
        minibatch_deinit(&verifying.batch, shape);
    trainer_free(verifying.trainer);
    log_close(log);
    return status;
}
