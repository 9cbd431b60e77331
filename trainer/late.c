// The weights of label policies, and their classifiers.
#include "trainer/late.h"

#include <math.h>
#include <string.h>

#include "model/relation.h"

#define START 2.9444389791664403 // log-odds of .95

struct late_weights late_weights_of(uint32_t labels, double f, double delayed, double sure) {
    double half = (delayed < f ? delayed : f) / 2;
    switch (labels) {
    case MODEL_LABELS_FNW:
        return (struct late_weights){1 + f, (1 - f) * (1 + f)};
    case MODEL_LABELS_ES_DFM:
        return (struct late_weights){1 + delayed, (1 + delayed) * sure};
    case MODEL_LABELS_DEFER:
        return (struct late_weights){f > 0 ? f / (f - half) : 1,
                                     1 - f + half > 0 ? (1 - f) / (1 - f + half) : 1};
    default:
        return (struct late_weights){1, 1};
    }
}

size_t late_heads_of(const uint32_t *labels, size_t tasks, struct late_head *ret_heads) {
    size_t count = 0;
    for (size_t k = 0; k < tasks; k++) {
        if (labels[k] == MODEL_LABELS_ES_DFM || labels[k] == MODEL_LABELS_DEFER)
            ret_heads[count++] = (struct late_head){k, LATE_DELAYED};
        if (labels[k] == MODEL_LABELS_ES_DFM)
            ret_heads[count++] = (struct late_head){k, LATE_REAL};
    }
    return count;
}

enum status late_init(struct late *late, const struct model *model, size_t lanes,
                      double accumulator_init, struct error *err) {
    *late = (struct late){.lanes = lanes, .inputs = model->tower_input + 2};
    late->count = late_heads_of(model->spec.labels, model->spec.task_count, late->heads);
    if (late->count == 0)
        return STATUS_OK;
    size_t elements = late->count * late->inputs;
    late->weights = memory_new(elements, sizeof *late->weights);
    late->accumulators = memory_new(elements, sizeof *late->accumulators);
    late->sums = memory_new(lanes * (elements + late->count), sizeof *late->sums);
    if (!late->weights || !late->accumulators || !late->sums)
        return error_no_memory(err, elements * sizeof(double), "auxiliary classifiers");
    for (size_t i = 0; i < elements; i++)
        late->accumulators[i] = accumulator_init;
    for (size_t h = 0; h < late->count; h++)
        late->weights[(h + 1) * late->inputs - 1] =
            late->heads[h].kind == LATE_DELAYED ? -START : START;
    return STATUS_OK;
}

void late_deinit(struct late *late) {
    memory_free(late->weights);
    memory_free(late->accumulators);
    memory_free(late->sums);
    *late = (struct late){0};
}

// What a classifier reads: the tower's inputs, and the two numbers behind them.
struct reading {
    const real *inputs; // [tower_input]
    double logit;
};

static struct reading reading_of(const struct model *model, const struct activations *act,
                                 size_t task, size_t position) {
    size_t plane = model->mix_plane[task];
    double logit =
        (double)act->values[model->logit_plane][position * model->spec.task_count + task];
    logit = logit < LATE_LOGIT_MAX ? logit : LATE_LOGIT_MAX;
    return (struct reading){act->values[plane] + position * model->planes[plane].columns,
                            logit > -LATE_LOGIT_MAX ? logit : -LATE_LOGIT_MAX};
}

static double logit_of(const struct late *late, size_t head, const struct reading *reading) {
    const double *weights = late->weights + head * late->inputs;
    size_t inputs = late->inputs - 2;
    double sum = weights[inputs] * reading->logit + weights[inputs + 1];
    for (size_t j = 0; j < inputs; j++)
        sum += weights[j] * (double)reading->inputs[j];
    return sum;
}

double late_logit(const struct late *late, const struct model *model, const struct activations *act,
                  size_t head, size_t position) {
    struct reading reading = reading_of(model, act, late->heads[head].task, position);
    return logit_of(late, head, &reading);
}

static double sigmoid(double z) {
    return 1 / (1 + exp(-z));
}

void late_weigh(const struct late *late, const struct model *model, const struct activations *act,
                size_t task, size_t position, const real *logits, double *label, double *weight) {
    uint32_t labels = model->spec.labels[task];
    if (labels == MODEL_LABELS_WAIT || labels == MODEL_LABELS_FNC)
        return;
    double found[2] = {0, 1}; // by enum late_kind
    for (size_t h = 0; h < late->count; h++)
        if (late->heads[h].task == task)
            found[late->heads[h].kind] = sigmoid(late_logit(late, model, act, h, position));
    struct late_weights by = late_weights_of(labels, relation_probability(model, task, logits),
                                             found[LATE_DELAYED], found[LATE_REAL]);
    double positive = by.positive * *label, sum = positive + by.negative * (1 - *label);
    *label = sum > 0 ? positive / sum : *label;
    *weight *= sum;
}

void late_sum(struct late *late, const struct model *model, const struct activations *act,
              const struct lane *lane, size_t at, const struct minibatch *batch) {
    size_t inputs = late->inputs - 2;
    double *sums = late->sums + at * late->count * (late->inputs + 1);
    memset(sums, 0, late->count * (late->inputs + 1) * sizeof *sums);
    for (size_t p = lane->first; p < lane->first + lane->rows; p++) {
        size_t row = act->order[p];
        for (size_t h = 0; h < late->count; h++) {
            double weight = (double)batch->weights[h * batch->capacity + row];
            struct reading reading = reading_of(model, act, late->heads[h].task, p);
            double logit = weight > 0 ? logit_of(late, h, &reading) : 0;
            if (!(weight > 0) || !isfinite(logit))
                continue;
            double slope =
                weight * (sigmoid(logit) - (double)batch->labels[h * batch->capacity + row]);
            double *sum = sums + h * (late->inputs + 1);
            for (size_t j = 0; j < inputs; j++)
                sum[j] += slope * (double)reading.inputs[j];
            sum[inputs] += slope * reading.logit;
            sum[inputs + 1] += slope;
            sum[inputs + 2] += weight;
        }
    }
}

void late_step(struct late *late, size_t lanes, double rate) {
    size_t stride = late->inputs + 1;
    for (size_t h = 0; h < late->count; h++) {
        double *total = late->sums + h * stride; // the first lane's
        for (size_t lane = 1; lane < lanes; lane++)
            for (size_t j = 0; j < stride; j++)
                total[j] += late->sums[(lane * late->count + h) * stride + j];
        for (size_t j = 0; j < late->inputs && total[late->inputs] > 0; j++) {
            double slope = total[j] / total[late->inputs];
            double *accumulator = &late->accumulators[h * late->inputs + j];
            *accumulator += slope * slope;
            if (*accumulator > 0)
                late->weights[h * late->inputs + j] -= rate * slope / sqrt(*accumulator);
        }
    }
}
