// Rows gather by table in two buffers, which leave as one record when they are full.
#include "trainer/versions.h"

#include <string.h>

#include "base/wire.h"
#include "record/weights.h"

enum { ROWS_BYTES_MAX = 256 * 1024 }; // of one ROWS record's values

// Kafka takes records of up to a megabyte by default: a tensor goes out in pieces of half of that.
enum { TENSOR_RECORD_FLOATS = 128 * 1024 };

struct emission {
    const struct versions_head *head;
    struct stage_outputs *outputs;
    const struct model *model;
    const struct rates *rates, *ahead;
    struct buffer encoded;
    struct buffer ids, values; // rows waiting, of one table; or a tensor's values
    uint32_t table, count;
    bool whole;
    bool gone; // the rows waiting are tombstones
    uint64_t rows;
};

static enum status record_emit(struct emission *emission, struct weights *weights,
                               struct error *err) {
    weights->lineage = emission->head->lineage;
    weights->version = emission->head->version;
    buffer_reset(&emission->encoded);
    weights_encode(weights, &emission->encoded);
    if (emission->encoded.failed || emission->ids.failed || emission->values.failed)
        return error_no_memory(err, emission->encoded.length, "a weights record");
    struct log_record record = {
        .timestamp_ms = emission->head->timestamp_ms,
        .sequence = LOG_NO_SEQUENCE,
        .value = emission->encoded.data,
        .value_length = emission->encoded.length,
    };
    return stage_emit(emission->outputs, 0, 0, &record, err);
}

static enum status open_emit(struct emission *emission, struct error *err) {
    const struct versions_head *head = emission->head;
    struct weights open = {
        .kind = WEIGHTS_OPEN,
        .watermark_ms = head->watermark_ms,
        .accepted_ms = head->accepted_ms,
        .spec = (const char *)head->spec->data,
        .spec_length = head->spec->length,
        .measures = (const char *)head->measures->data,
        .measures_length = head->measures->length,
    };
    return record_emit(emission, &open, err);
}

// Of a table of the model, or of a rate behind them.
static size_t width_of(const struct emission *emission, size_t table) {
    return table < WEIGHTS_RATES_FIRST ? model_table_width(emission->model, table)
                                       : rates_width(emission->rates, table - WEIGHTS_RATES_FIRST);
}

static enum status rows_emit(struct emission *emission, struct error *err) {
    if (emission->count == 0)
        return STATUS_OK;
    struct weights rows = {
        .kind = emission->gone ? WEIGHTS_TOMBSTONES : WEIGHTS_ROWS,
        .table = emission->table,
        .dimension = emission->gone ? 0 : (uint32_t)width_of(emission, emission->table),
        .count = emission->count,
        .ids = emission->ids.data,
        .values = emission->values.data,
        .whole = emission->whole,
    };
    enum status status = record_emit(emission, &rows, err);
    buffer_reset(&emission->ids);
    buffer_reset(&emission->values);
    emission->count = 0;
    return status;
}

// A callback of the learner and the rates: one row to send; values NULL = it is gone.
static enum status row_add(void *self, size_t table, uint64_t id, const float *values,
                           struct error *err) {
    struct emission *emission = self;
    size_t width = values ? width_of(emission, table) : 0;
    if (table != emission->table || emission->gone != (values == NULL) ||
        emission->ids.length >= ROWS_BYTES_MAX ||
        emission->values.length + width * sizeof(float) > ROWS_BYTES_MAX) {
        enum status status = rows_emit(emission, err);
        if (status != STATUS_OK)
            return status;
    }
    emission->table = (uint32_t)table;
    emission->gone = values == NULL;
    wire_put_fixed64(&emission->ids, id);
    for (size_t i = 0; i < width; i++)
        wire_put_float(&emission->values, values[i]);
    emission->count++;
    emission->rows++;
    return STATUS_OK;
}

static enum status rate_row_add(void *self, size_t rate, uint64_t key, const float *values,
                                struct error *err) {
    struct emission *emission = self;
    float ahead[2 + 2 * MODEL_TASKS_MAX];
    if (rates_row_get(emission->ahead, rate, key, ahead))
        values = ahead;
    return row_add(self, WEIGHTS_RATES_FIRST + rate, key, values, err);
}

// Rows that are ahead and that the rates themselves do not have yet: for slices.
static enum status new_row_add(void *self, size_t rate, uint64_t key, const float *values,
                               struct error *err) {
    struct emission *emission = self;
    float own[2 + 2 * MODEL_TASKS_MAX];
    return rates_row_get(emission->rates, rate, key, own)
               ? STATUS_OK
               : row_add(self, WEIGHTS_RATES_FIRST + rate, key, values, err);
}

static enum status tensor_rows_emit(struct emission *emission, const struct model_tensor *tensor,
                                    size_t first, size_t rows, struct error *err) {
    buffer_reset(&emission->values);
    for (size_t k = first * tensor->columns; k < (first + rows) * tensor->columns; k++)
        wire_put_float(&emission->values, (float)tensor->data[k]);
    struct weights weights = {
        .kind = WEIGHTS_TENSOR,
        .name = tensor->name,
        .name_length = strlen(tensor->name),
        .rows = (uint32_t)rows,
        .columns = (uint32_t)tensor->columns,
        .first_row = (uint32_t)first,
        .rows_total = (uint32_t)tensor->rows,
        .data = emission->values.data,
    };
    return record_emit(emission, &weights, err);
}

static enum status tensors_emit(struct emission *emission, struct error *err) {
    for (size_t i = 0; i < model_tensor_count(emission->model); i++) {
        const struct model_tensor *tensor = model_tensor_at(emission->model, i);
        size_t most = TENSOR_RECORD_FLOATS / (tensor->columns ? tensor->columns : 1);
        size_t piece = most > 0 ? most : 1;
        for (size_t row = 0; row < tensor->rows; row += piece) {
            size_t rows = tensor->rows - row < piece ? tensor->rows - row : piece;
            enum status status = tensor_rows_emit(emission, tensor, row, rows, err);
            if (status != STATUS_OK)
                return status;
        }
    }
    buffer_reset(&emission->values);
    return STATUS_OK;
}

static enum status slice_emit(struct emission *emission, struct learner *learner,
                              struct error *err) {
    const struct versions_head *head = emission->head;
    uint32_t slice_count = UINT32_C(1) << head->slice_bits;
    struct weights slice = {
        .kind = WEIGHTS_SLICE,
        .slice = (uint32_t)((head->version - 1) % slice_count),
        .slice_bits = head->slice_bits,
    };
    enum status status = record_emit(emission, &slice, err);
    emission->whole = true;
    if (status == STATUS_OK)
        status = learner_each_row_in_slice(learner, slice.slice, head->slice_bits, row_add,
                                           emission, err);
    if (status == STATUS_OK)
        status = rates_each_in_slice(emission->rates, slice.slice, head->slice_bits, rate_row_add,
                                     emission, err);
    if (status == STATUS_OK)
        status = rates_each_in_slice(emission->ahead, slice.slice, head->slice_bits, new_row_add,
                                     emission, err);
    return status == STATUS_OK ? rows_emit(emission, err) : status;
}

enum status versions_emit(struct learner *learner, struct rates *rates, const struct rates *ahead,
                          const struct versions_head *head, struct stage_outputs *outputs,
                          uint64_t *ret_rows, struct error *err) {
    struct emission emission = {.head = head,
                                .outputs = outputs,
                                .model = learner_model(learner),
                                .rates = rates,
                                .ahead = ahead};
    buffer_init(&emission.encoded);
    buffer_init(&emission.ids);
    buffer_init(&emission.values);
    enum status status = open_emit(&emission, err);
    if (status == STATUS_OK)
        status = learner_each_changed_row(learner, row_add, &emission, err);
    if (status == STATUS_OK)
        status = learner_each_gone(learner, row_add, &emission, err);
    if (status == STATUS_OK)
        status = rates_each_changed(rates, rate_row_add, &emission, err);
    if (status == STATUS_OK)
        status = rows_emit(&emission, err);
    if (status == STATUS_OK)
        status = tensors_emit(&emission, err);
    if (status == STATUS_OK)
        status = slice_emit(&emission, learner, err);
    if (status == STATUS_OK) {
        struct weights commit = {.kind = WEIGHTS_COMMIT};
        status = record_emit(&emission, &commit, err);
    }
    if (status == STATUS_OK) {
        learner_changes_clear(learner);
        rates_changes_clear(rates);
        *ret_rows = emission.rows;
    }
    buffer_deinit(&emission.encoded);
    buffer_deinit(&emission.ids);
    buffer_deinit(&emission.values);
    return status;
}
