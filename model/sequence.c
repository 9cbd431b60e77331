// Sequences of a lane: their places, items and columns, and the sums of their gradients.
#include "model/build.h"
#include "model/vector.h"

#include <string.h>

#define SEQUENCE_POSITION_MAX (SEQUENCE_POSITIONS - 1)

size_t sequence_width(const struct model_spec *spec, size_t field) {
    const struct model_field *of = &spec->fields[field];
    if (of->length == 0)
        return of->dimension;
    if (spec->settings.sequences == MODEL_SEQUENCES_NONE)
        return 0;
    bool all = spec->settings.sequences == MODEL_SEQUENCES_TRANSFORMER &&
               spec->settings.sequence_readout == MODEL_READOUT_ALL;
    return all ? ((size_t)of->length + 1) * of->dimension : of->dimension;
}

uint32_t sequence_position(bool timed, uint32_t age_s, size_t newer) {
    if (!timed)
        return newer + 1 < SEQUENCE_POSITION_MAX ? (uint32_t)newer + 1 : SEQUENCE_POSITION_MAX;
    // Whole numbers and powers of two: the same buckets on any machine.
    int exponent;
    double fraction = frexp(1 + (double)age_s, &exponent); // of [.5, 1)
    uint32_t bucket = 2 * (uint32_t)(exponent - 1) + (fraction >= 0.70710678118654752);
    return bucket + 1 < SEQUENCE_POSITION_MAX ? bucket + 1 : SEQUENCE_POSITION_MAX;
}

static bool tensor_of(const struct model_spec *spec, size_t dimension, size_t i,
                      struct sequence_tensor *ret_tensor) {
    switch (spec->settings.sequences) {
    case MODEL_SEQUENCES_ATTENTION:
        return attention_tensor(spec, dimension, i, ret_tensor);
    case MODEL_SEQUENCES_TRANSFORMER:
        return transformer_tensor(spec, dimension, i, ret_tensor);
    default:
        return false;
    }
}

bool sequences_lay_out(struct model *model) {
    const struct model_spec *spec = &model->spec;
    struct sequences *all = &model->sequences;
    all->items = arena_get(&model->run, spec->field_count + 1, sizeof *all->items);
    if (!all->items)
        return false;
    for (size_t f = spec->categorical_count; f < spec->field_count; f++) {
        const struct model_field *field = &spec->fields[f];
        if (field->length == 0 || spec->settings.sequences == MODEL_SEQUENCES_NONE)
            continue;
        struct sequence *sequence = &all->items[all->count++];
        *sequence = (struct sequence){
            .field = f,
            .list = f - spec->categorical_count,
            .target = spec->settings.sequences >= MODEL_SEQUENCES_ATTENTION ? field->target - 1
                                                                            : NETWORK_NONE,
            .dimension = field->dimension,
            .places = (size_t)field->length + 1,
            .column = model->field_offset[f],
            .width = sequence_width(spec, f),
            .before = all->places,
            .before_items = all->elements,
        };
        all->places += sequence->places;
        all->elements += sequence->places * sequence->dimension;
    }
    return true;
}

void sequences_build(struct model *model) {
    struct sequences *all = &model->sequences;
    struct sequence_tensor tensor;
    all->offset = model->weight_elements;
    for (size_t s = 0; s < all->count; s++) {
        struct sequence *sequence = &all->items[s];
        sequence->tensor = model->tensor_count;
        sequence->tensors = 0;
        while (tensor_of(&model->spec, sequence->dimension, sequence->tensors, &tensor)) {
            build_tensor(model, tensor.rows, tensor.columns, NETWORK_NONE, "sequence.%zu.%s", s,
                         tensor.name);
            sequence->tensors++;
        }
    }
    all->weights = model->weight_elements - all->offset;
}

void sequences_fill(struct model *model) {
    for (size_t s = 0; s < model->sequences.count; s++) {
        const struct sequence *sequence = &model->sequences.items[s];
        for (size_t i = 0; i < sequence->tensors; i++) {
            struct sequence_tensor tensor;
            REQUIRE(tensor_of(&model->spec, sequence->dimension, i, &tensor));
            network_fill_tensor(model, sequence->tensor + i, tensor.deviation, (real)tensor.value);
        }
    }
}

bool sequence_rows_init(struct sequence_rows *rows, const struct model *model, size_t rows_max,
                        size_t passes) {
    const struct sequences *all = &model->sequences;
    *rows = (struct sequence_rows){0};
    if (all->count == 0)
        return true;
    if (all->elements > UINT32_MAX / rows_max) // occurrences name elements in 32 bits
        return false;
    rows->items = memory_new(rows_max * all->elements, sizeof *rows->items);
    rows->position = memory_new(rows_max * all->places, sizeof *rows->position);
    rows->counts = memory_new(rows_max * all->count, sizeof *rows->counts);
    rows->slopes = memory_new(passes + 1, sizeof *rows->slopes);
    bool made = rows->items && rows->position && rows->counts && rows->slopes;
    for (size_t pass = 0; made && pass < passes; pass++) {
        rows->slopes[pass] = memory_new(rows_max * all->elements, sizeof(real));
        made = rows->slopes[pass] != NULL;
    }
    return made;
}

void sequence_rows_deinit(struct sequence_rows *rows, size_t passes) {
    for (size_t pass = 0; rows->slopes && pass < passes; pass++)
        memory_free(rows->slopes[pass]);
    memory_free(rows->items);
    memory_free(rows->slopes);
    memory_free(rows->position);
    memory_free(rows->counts);
}

static struct sequence_row row_of(const struct model *model, const struct sequence *sequence,
                                  const struct activations *act, size_t position, real *gradients) {
    const struct model_settings *settings = &model->spec.settings;
    size_t s = (size_t)(sequence - model->sequences.items);
    struct sequence_row row = {
        .dimension = sequence->dimension,
        .places = sequence->places,
        .count = act->sequences.counts[s * act->rows_max + position],
        .heads = (size_t)settings->sequence_heads,
        .hidden = (size_t)settings->sequence_hidden,
        .readout = settings->sequence_readout,
        .items = act->sequences.items + sequence_at(sequence, act->rows_max, position, 0),
        .positions = act->sequences.position + sequence->before * act->rows_max +
                     position * sequence->places,
    };
    for (size_t i = 0; i < sequence->tensors; i++) {
        row.weights[i] = model->tensors[sequence->tensor + i].data;
        if (gradients)
            row.gradients[i] =
                gradients + model->traits[sequence->tensor + i].offset - model->sequences.offset;
    }
    return row;
}

size_t sequences_scratch(const struct model *model) {
    size_t most = 0;
    for (size_t s = 0; s < model->sequences.count; s++) {
        const struct sequence_row row = {
            .dimension = model->sequences.items[s].dimension,
            .places = model->sequences.items[s].places,
            .count = model->sequences.items[s].places,
            .heads = (size_t)model->spec.settings.sequence_heads,
            .hidden = (size_t)model->spec.settings.sequence_hidden,
            .readout = model->spec.settings.sequence_readout,
        };
        size_t size = 0;
        if (model->spec.settings.sequences == MODEL_SEQUENCES_ATTENTION)
            size = attention_scratch(&row);
        else if (model->spec.settings.sequences == MODEL_SEQUENCES_TRANSFORMER)
            size = transformer_scratch(&row);
        most = size > most ? size : most;
    }
    return most;
}

// Copies a row's target and newest items, with what stands at their places.
static void row_gather(const struct model *model, const struct minibatch *batch,
                       uint32_t *const *list_slots, struct activations *act,
                       const struct sequence *sequence, size_t position, size_t domain) {
    const struct model_field *field = &model->spec.fields[sequence->field];
    const struct table *table = &model->tables[field->table];
    size_t row = act->order[position], bytes = sequence->dimension * sizeof(real);
    size_t s = (size_t)(sequence - model->sequences.items), list = sequence->list;
    const uint32_t *begin = batch->list_begin + list * (batch->capacity + 1) + row;
    size_t length = begin[1] - begin[0], first = begin[0];
    if (length > field->length) {
        first += length - field->length;
        length = field->length;
    }
    real *items = act->sequences.items + sequence_at(sequence, act->rows_max, position, 0);
    uint32_t *positions =
        act->sequences.position + sequence->before * act->rows_max + position * sequence->places;
    positions[0] = 0;
    if (sequence->target == NETWORK_NONE) {
        memset(items, 0, bytes);
    } else {
        uint64_t id = batch->ids[sequence->target * batch->capacity + row];
        uint32_t slot = network_row_find(model, field->table, id, domain);
        memcpy(items, table_values(table, slot), bytes);
    }
    for (size_t i = 0; i < length; i++) {
        uint32_t slot = list_slots ? list_slots[list][first + i]
                                   : network_row_find(model, field->table,
                                                      batch->list_ids[list][first + i], domain);
        memcpy(items + (i + 1) * sequence->dimension, table_values(table, slot), bytes);
        positions[i + 1] = sequence_position(
            field->timed, field->timed ? batch->list_ages[list][first + i] : 0, length - 1 - i);
    }
    act->sequences.counts[s * act->rows_max + position] = (uint32_t)length + 1;
}

static void mean_forward(const struct sequence_row *row, real *out) {
    memset(out, 0, row->dimension * sizeof *out);
    real share = (real)1 / (real)(row->count > 1 ? row->count - 1 : 1);
    for (size_t i = 1; i < row->count; i++)
        for (size_t c = 0; c < row->dimension; c++)
            out[c] += share * row->items[i * row->dimension + c];
}

static void mean_backward(const struct sequence_row *row, const real *d_out, real *d_items) {
    real share = (real)1 / (real)(row->count > 1 ? row->count - 1 : 1);
    memset(d_items, 0, row->dimension * sizeof *d_items);
    for (size_t i = 1; i < row->count; i++)
        for (size_t c = 0; c < row->dimension; c++)
            d_items[i * row->dimension + c] = share * d_out[c];
}

void sequences_forward(const struct model *model, const struct minibatch *batch,
                       uint32_t *const *list_slots, struct activations *act,
                       const struct lane *lane, real *scratch) {
    for (size_t s = 0; s < model->sequences.count; s++) {
        const struct sequence *sequence = &model->sequences.items[s];
        const struct segment *of = lane->segments; // the position's
        for (size_t p = lane->first; p < lane->first + lane->rows; p++) {
            while (p >= of->first + of->rows)
                of++;
            row_gather(model, batch, list_slots, act, sequence, p, of->domain);
            struct sequence_row row = row_of(model, sequence, act, p, NULL);
            real *out = act->values[0] + p * model->columns + sequence->column;
            if (model->spec.settings.sequences == MODEL_SEQUENCES_MEAN)
                mean_forward(&row, out);
            else if (model->spec.settings.sequences == MODEL_SEQUENCES_ATTENTION)
                attention_forward(&row, out, scratch);
            else
                transformer_forward(&row, out, scratch);
        }
    }
}

void sequences_backward(const struct model *model, struct activations *act, const struct lane *lane,
                        size_t pass, real *scratch) {
    real *gradients = lane->sequence_gradients + pass * model->sequences.weights;
    const real *slopes = act->raw ? act->raw_slopes[pass] : activations_slope(act, model, pass, 0);
    size_t columns = act->raw ? model->embedded : model->columns;
    if (model->sequences.weights)
        memset(gradients, 0, model->sequences.weights * sizeof *gradients);
    for (size_t s = 0; s < model->sequences.count; s++) {
        const struct sequence *sequence = &model->sequences.items[s];
        for (size_t p = lane->first; p < lane->first + lane->rows; p++) {
            struct sequence_row row = row_of(model, sequence, act, p, gradients);
            const real *d_out = slopes + p * columns + sequence->column;
            real *d_items =
                act->sequences.slopes[pass] + sequence_at(sequence, act->rows_max, p, 0);
            if (row.count == SEQUENCE_DROPPED)
                memset(d_items, 0, sequence->places * sequence->dimension * sizeof *d_items);
            else if (model->spec.settings.sequences == MODEL_SEQUENCES_MEAN)
                mean_backward(&row, d_out, d_items);
            else if (model->spec.settings.sequences == MODEL_SEQUENCES_ATTENTION)
                attention_backward(&row, d_out, d_items, scratch);
            else
                transformer_backward(&row, d_out, d_items, scratch);
        }
    }
}

void sequences_sum(const struct model *model, const struct lane *lanes, size_t lane_count,
                   size_t pass, real alpha, real *gradients) {
    size_t count = model->sequences.weights;
    real *sums = gradients + model->sequences.offset;
    memcpy(sums, lanes[0].sequence_gradients + pass * count, count * sizeof *sums);
    for (size_t l = 1; l < lane_count; l++)
        vector_add(sums, lanes[l].sequence_gradients + pass * count, count);
    for (size_t i = 0; i < count; i++)
        sums[i] *= alpha;
}
