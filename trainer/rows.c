// Moves rows between records, minibatches and saved state.
#include "trainer/rows.h"

#include <math.h>
#include <string.h>

static uint64_t little_endian(const unsigned char *bytes, size_t length) {
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static float float_at(const unsigned char *floats, size_t i) {
    uint32_t bits = (uint32_t)little_endian(floats + 4 * i, 4);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static enum status lists_append(struct minibatch *batch, const struct model_spec *spec,
                                const struct example *example, struct error *err) {
    const unsigned char *at = example->lists;
    size_t left = example->lists_length;
    for (size_t f = 0; f < spec->field_count - spec->categorical_count; f++) {
        bool sequence = spec->fields[spec->categorical_count + f].length > 0;
        size_t bytes = sequence ? EXAMPLE_ITEM_BYTES : 8;
        REQUIRE(left >= 4);
        size_t count = (size_t)little_endian(at, 4);
        REQUIRE((left - 4) / bytes >= count);
        enum status status = minibatch_list_reserve(batch, f, count, err);
        if (status != STATUS_OK)
            return status;
        size_t begin = batch->list_begin[f * (batch->capacity + 1) + batch->rows];
        for (size_t i = 0; i < count; i++) {
            batch->list_ids[f][begin + i] = little_endian(at + 4 + 8 * i, 8);
            batch->list_ages[f][begin + i] =
                sequence ? (uint32_t)little_endian(at + 4 + 8 * count + 4 * i, 4) : 0;
        }
        at += 4 + bytes * count;
        left -= 4 + bytes * count;
    }
    return STATUS_OK;
}

enum status rows_append(struct minibatch *batch, const struct model_spec *spec,
                        const struct example *example, const float *rates, size_t rate_count,
                        uint32_t domain, uint64_t *replaced, struct error *err) {
    REQUIRE(batch->rows < batch->capacity);
    enum status status = lists_append(batch, spec, example, err);
    if (status != STATUS_OK)
        return status;
    size_t row = batch->rows, capacity = batch->capacity;
    for (size_t f = 0; f < spec->categorical_count; f++)
        batch->ids[f * capacity + row] = little_endian(example->ids + 8 * f, 8);
    size_t own = spec->numeric_count - rate_count; // the example's
    for (size_t f = 0; f < spec->numeric_count; f++) {
        float value = f < own ? float_at(example->numbers, f) : rates ? rates[f - own] : NAN;
        *replaced += isinf(value) ? 1 : 0;
        batch->numbers[f * capacity + row] = isinf(value) ? NAN : value;
    }
    for (size_t task = 0; task < spec->task_count; task++) {
        batch->labels[task * capacity + row] = 0;
        batch->weights[task * capacity + row] = 0;
    }
    batch->domains[row] = domain;
    batch->repeats[row] = false;
    batch->rows++;
    return STATUS_OK;
}

enum status rows_copy(struct minibatch *into, const struct minibatch *from,
                      const struct model_spec *spec, size_t rows, struct error *err) {
    REQUIRE(into->rows == 0 && rows <= into->capacity && rows <= from->rows);
    for (size_t f = 0; f < spec->field_count - spec->categorical_count; f++) {
        const uint32_t *begin = &from->list_begin[f * (from->capacity + 1)];
        enum status status =
            minibatch_list_append(into, f, from->list_ids[f], from->list_ages[f], begin[rows], err);
        if (status != STATUS_OK)
            return status;
        memcpy(&into->list_begin[f * (into->capacity + 1)], begin, (rows + 1) * sizeof *begin);
    }
    for (size_t f = 0; f < spec->categorical_count; f++)
        memcpy(into->ids + f * into->capacity, from->ids + f * from->capacity,
               rows * sizeof *into->ids);
    for (size_t f = 0; f < spec->numeric_count; f++)
        memcpy(into->numbers + f * into->capacity, from->numbers + f * from->capacity,
               rows * sizeof *into->numbers);
    memcpy(into->domains, from->domains, rows * sizeof *into->domains);
    memcpy(into->repeats, from->repeats, rows * sizeof *into->repeats);
    into->rows = rows;
    return STATUS_OK;
}

void rows_save(const struct minibatch *batch, const struct model_spec *spec, struct buffer *into) {
    size_t capacity = batch->capacity;
    wire_put_long(into, (int64_t)batch->rows);
    for (size_t row = 0; row < batch->rows; row++) {
        wire_put_long(into, batch->domains[row]);
        buffer_append_byte(into, batch->repeats[row] ? 1 : 0);
        for (size_t f = 0; f < spec->categorical_count; f++)
            wire_put_fixed64(into, batch->ids[f * capacity + row]);
        for (size_t f = 0; f < spec->numeric_count; f++)
            wire_put_float(into, batch->numbers[f * capacity + row]);
        for (size_t f = 0; f < spec->field_count - spec->categorical_count; f++) {
            const uint32_t *begin = &batch->list_begin[f * (capacity + 1) + row];
            wire_put_long(into, begin[1] - begin[0]);
            bool sequence = spec->fields[spec->categorical_count + f].length > 0;
            for (uint32_t i = begin[0]; i < begin[1]; i++)
                wire_put_fixed64(into, batch->list_ids[f][i]);
            for (uint32_t i = begin[0]; sequence && i < begin[1]; i++)
                wire_put_long(into, batch->list_ages[f][i]);
        }
        for (size_t task = 0; task < spec->task_count; task++) {
            wire_put_float(into, batch->labels[task * capacity + row]);
            wire_put_float(into, batch->weights[task * capacity + row]);
        }
    }
}

static enum status row_load(struct minibatch *batch, const struct model_spec *spec, struct wire *in,
                            struct error *err) {
    size_t row = batch->rows, capacity = batch->capacity;
    batch->domains[row] = (uint32_t)wire_get_long(in);
    batch->repeats[row] = wire_get_bool(in);
    for (size_t f = 0; f < spec->categorical_count; f++)
        batch->ids[f * capacity + row] = wire_get_fixed64(in);
    for (size_t f = 0; f < spec->numeric_count; f++)
        batch->numbers[f * capacity + row] = wire_get_float(in);
    for (size_t f = 0; f < spec->field_count - spec->categorical_count; f++) {
        int64_t count = wire_get_long(in);
        if (in->bad || count < 0 || (size_t)count > (size_t)(in->end - in->at) / 8) {
            in->bad = true;
            return STATUS_OK;
        }
        enum status status = minibatch_list_reserve(batch, f, (size_t)count, err);
        if (status != STATUS_OK)
            return status;
        size_t begin = batch->list_begin[f * (capacity + 1) + row];
        bool sequence = spec->fields[spec->categorical_count + f].length > 0;
        for (size_t i = 0; i < (size_t)count; i++)
            batch->list_ids[f][begin + i] = wire_get_fixed64(in);
        for (size_t i = 0; i < (size_t)count; i++)
            batch->list_ages[f][begin + i] = sequence ? (uint32_t)wire_get_long(in) : 0;
    }
    for (size_t task = 0; task < spec->task_count; task++) {
        batch->labels[task * capacity + row] = wire_get_float(in);
        batch->weights[task * capacity + row] = wire_get_float(in);
    }
    batch->rows++;
    return STATUS_OK;
}

enum status rows_load(struct minibatch *batch, const struct model_spec *spec, struct wire *in,
                      struct error *err) {
    REQUIRE(batch->rows == 0);
    int64_t rows = wire_get_long(in);
    if (!in->bad && (rows < 0 || (size_t)rows > batch->capacity))
        in->bad = true;
    for (int64_t i = 0; i < rows && !in->bad; i++) {
        enum status status = row_load(batch, spec, in, err);
        if (status != STATUS_OK)
            return status;
    }
    if (in->bad)
        return error_set(err, STATUS_CORRUPT, "could not read queued rows: malformed");
    return STATUS_OK;
}
