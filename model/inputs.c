// From a batch's columns to the input plane: order by domain, look-ups, pooling, numbers, the wide
// part, normalisation. Reads moments, never moves them.
#include "model/network.h"
#include "model/vector.h"

#include <string.h>

enum { GATHER_AHEAD = 2 };

void inputs_order(const struct model *model, const uint32_t *domains, size_t first_row,
                  struct activations *act, struct lane *lane, size_t *counts) {
    lane->segment_count = 0;
    if (model->domain_count == 1) {
        for (size_t i = 0; i < lane->rows; i++)
            act->order[lane->first + i] = (uint32_t)(first_row + i);
        lane->segments[lane->segment_count++] =
            (struct segment){.first = lane->first, .rows = lane->rows};
        return;
    }
    memset(counts, 0, (model->domain_count + 1) * sizeof *counts);
    for (size_t i = 0; i < lane->rows; i++)
        counts[network_domain(model, domains[first_row + i]) + 1]++;
    for (size_t p = 0; p < model->domain_count; p++) {
        if (counts[p + 1])
            lane->segments[lane->segment_count++] = (struct segment){
                .first = lane->first + counts[p], .rows = counts[p + 1], .domain = p};
        counts[p + 1] += counts[p];
    }
    for (size_t i = 0; i < lane->rows; i++) {
        size_t domain = network_domain(model, domains[first_row + i]);
        act->order[lane->first + counts[domain]++] = (uint32_t)(first_row + i);
    }
}

static void wide_add(const struct model *model, const real *row, size_t dimension, real share,
                     real *logits) {
    for (size_t k = 0; k < model->wide; k++)
        logits[k] += share * row[dimension + k];
}

static void pool_list(const struct model *model, const struct minibatch *batch,
                      const struct resolved *resolved, size_t list, size_t row, size_t domain,
                      real *input, real *logits) {
    size_t f = model->spec.categorical_count + list;
    const struct model_field *field = &model->spec.fields[f];
    const struct table *table = &model->tables[field->table];
    size_t dimension = field->dimension;
    const uint32_t *begin = batch->list_begin + list * (batch->capacity + 1) + row;
    size_t length = begin[1] - begin[0];
    memset(input, 0, dimension * sizeof *input);
    real share = (real)1 / (real)(length ? length : 1);
    for (size_t i = 0; i < (length ? length : 1); i++) {
        uint32_t slot = TABLE_DEFAULT_SLOT; // what an empty list reads
        if (length)
            slot = resolved->list_slots
                       ? resolved->list_slots[list][begin[0] + i]
                       : network_row_find(model, field->table, batch->list_ids[list][begin[0] + i],
                                          domain);
        const real *values = table_values(table, slot);
        for (size_t c = 0; c < dimension; c++)
            input[c] += share * values[c];
        wide_add(model, values, dimension, share, logits);
    }
}

// sign(x) log(1 + |x|), by moving moments, clipped; a missing number is 0 beside its flag.
static void gather_number(const struct model *model, float number, size_t i, real *input) {
    bool missing = isnan(number);
    double value = 0;
    if (!missing) {
        const real *moments = model->tensors[model->numeric_moments].data;
        double log_value = copysign(log1p(fabs((double)number)), (double)number);
        value = (log_value - (double)moments[i]) * (double)model->numeric_scale[i];
        value = value > NETWORK_NUMBER_LIMIT    ? NETWORK_NUMBER_LIMIT
                : value < -NETWORK_NUMBER_LIMIT ? -NETWORK_NUMBER_LIMIT
                                                : value;
    }
    input[0] = (real)value;
    input[1] = missing ? (real)1 : (real)0;
}

struct gathering {
    const struct model *model;
    const struct minibatch *batch;
    const struct resolved *resolved;
    struct activations *act;
    const struct lane *lane;
    const struct factor *factors;
    size_t id_base;
};

// Rows of a table lie anywhere in memory: those of a row a little ahead are asked for.
static void gather_ahead(const struct gathering *job, size_t row) {
    const struct model_spec *spec = &job->model->spec;
    const struct resolved *resolved = job->resolved;
    for (size_t f = 0, i = 0; f < spec->categorical_count; f++) {
        if (i < job->lane->factor_count && job->factors[i].field == f)
            i++;
        else
            table_prefetch(&job->model->tables[spec->fields[f].table],
                           resolved->slots[f * resolved->stride + row - resolved->first]);
    }
}

// A factor's values are gathered once an id; a row takes its wide weights only.
static void gather_categorical(const struct gathering *job, size_t position, real *input,
                               real *logits) {
    const struct model *model = job->model;
    const struct model_spec *spec = &model->spec;
    const struct resolved *resolved = job->resolved;
    size_t row = job->act->order[position];
    for (size_t f = 0, i = 0; f < spec->categorical_count; f++) {
        size_t dimension = spec->fields[f].dimension;
        const struct table *table = &model->tables[spec->fields[f].table];
        if (i < job->lane->factor_count && job->factors[i].field == f) {
            size_t id = job->act->ids.index[position * spec->categorical_count + i++];
            if (model->wide)
                wide_add(model, table_values(table, job->act->ids.slots[job->id_base + id]),
                         dimension, (real)1, logits);
            continue;
        }
        const real *values =
            table_values(table, resolved->slots[f * resolved->stride + row - resolved->first]);
        memcpy(input + model->field_offset[f], values, dimension * sizeof *input);
        wide_add(model, values, dimension, (real)1, logits);
    }
}

static void gather_ids(const struct gathering *job) {
    const struct model *model = job->model;
    for (size_t i = 0; i < job->lane->factor_count; i++) {
        const struct model_field *field = &model->spec.fields[job->factors[i].field];
        for (size_t id = job->factors[i].first; id < job->factors[i].first + job->factors[i].count;
             id++)
            memcpy(
                job->act->ids.values + (job->id_base + id) * model->id_stride,
                table_values(&model->tables[field->table], job->act->ids.slots[job->id_base + id]),
                field->dimension * sizeof(real));
    }
}

static void gather_row(const struct gathering *job, size_t position, size_t domain) {
    const struct model *model = job->model;
    const struct minibatch *batch = job->batch;
    const struct resolved *resolved = job->resolved;
    const struct model_spec *spec = &model->spec;
    size_t row = job->act->order[position];
    real *input = job->act->values[0] + position * model->columns;
    real *logits = job->act->values[model->logit_plane] + position * spec->task_count;
    gather_categorical(job, position, input, logits);
    for (size_t list = 0; list < spec->field_count - spec->categorical_count &&
                          spec->fields[spec->categorical_count + list].length == 0;
         list++)
        pool_list(model, batch, resolved, list, row, domain,
                  input + model->field_offset[spec->categorical_count + list], logits);
    for (size_t i = 0; i < spec->numeric_count; i++)
        gather_number(model, batch->numbers[i * batch->capacity + row], i,
                      input + model->embedded + 2 * i);
}

void inputs_gather(const struct model *model, const struct minibatch *batch,
                   const struct resolved *resolved, struct activations *act,
                   const struct lane *lane, real *scratch) {
    size_t tasks = model->spec.task_count;
    memset(act->values[model->logit_plane] + lane->first * tasks, 0,
           lane->rows * tasks * sizeof(real));
    struct gathering job = {model, batch, resolved, act, lane, NULL, 0};
    if (lane->factor_count) {
        job.factors = activations_factors(act, model, lane);
        job.id_base = activations_ids(model, lane);
        gather_ids(&job);
    }
    const struct segment *of = lane->segments; // the position's
    for (size_t p = lane->first; p < lane->first + lane->rows; p++) {
        if (p + GATHER_AHEAD < lane->first + lane->rows)
            gather_ahead(&job, act->order[p + GATHER_AHEAD]);
        while (p >= of->first + of->rows)
            of++;
        gather_row(&job, p, of->domain);
    }
    sequences_forward(model, batch, resolved->list_slots, act, lane, scratch);
    for (size_t s = 0; s < lane->segment_count; s++) {
        struct segment segment = lane->segments[s];
        real *input = act->values[0] + segment.first * model->columns;
        if (act->raw) {
            for (size_t r = 0; r < segment.rows; r++)
                memcpy(act->raw + (segment.first + r) * model->embedded, input + r * model->columns,
                       model->embedded * sizeof *input);
            vector_scale_shift(input, model->columns, segment.rows, model->embedded,
                               network_norm(model, segment.domain, NORM_SCALE),
                               network_norm(model, segment.domain, NORM_SHIFT));
        }
        if (model->domain_embedding == NETWORK_NONE)
            continue;
        const real *embedding = model->tensors[model->domain_embedding + segment.domain].data;
        for (size_t r = 0; r < segment.rows; r++)
            memcpy(input + r * model->columns + model->features, embedding,
                   NETWORK_DOMAIN_DIMENSION * sizeof *input);
    }
}
