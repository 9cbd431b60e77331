// The weights log's records on the wire: the Avro record of schemas/weights.avsc, a union of the
// kinds.
#include "record/weights.h"

#include "base/wire.h"

static const char *const kind_names[] = {"open", "rows", "tensor", "tombstones", "slice", "commit"};

void weights_encode(const struct weights *weights, struct buffer *into) {
    wire_put_fixed64(into, weights->lineage);
    wire_put_fixed64(into, weights->version);
    wire_put_long(into, weights->kind); // the union's branch
    switch (weights->kind) {
    case WEIGHTS_OPEN:
        wire_put_long(into, weights->watermark_ms);
        wire_put_long(into, weights->accepted_ms);
        wire_put_bytes(into, weights->spec, weights->spec_length);
        wire_put_bytes(into, weights->measures, weights->measures_length);
        break;
    case WEIGHTS_ROWS:
        wire_put_long(into, weights->table);
        wire_put_long(into, weights->dimension);
        buffer_append_byte(into, weights->whole ? 1 : 0);
        wire_put_bytes(into, weights->ids, (size_t)weights->count * sizeof(uint64_t));
        wire_put_bytes(into, weights->values,
                       (size_t)weights->count * weights->dimension * sizeof(float));
        break;
    case WEIGHTS_TENSOR:
        wire_put_bytes(into, weights->name, weights->name_length);
        wire_put_long(into, weights->rows);
        wire_put_long(into, weights->columns);
        wire_put_long(into, weights->first_row);
        wire_put_long(into, weights->rows_total ? weights->rows_total : weights->rows);
        wire_put_bytes(into, weights->data,
                       (size_t)weights->rows * weights->columns * sizeof(float));
        break;
    case WEIGHTS_TOMBSTONES:
        wire_put_long(into, weights->table);
        wire_put_bytes(into, weights->ids, (size_t)weights->count * sizeof(uint64_t));
        break;
    case WEIGHTS_SLICE:
        wire_put_long(into, weights->slice);
        wire_put_long(into, weights->slice_bits);
        break;
    default:
        REQUIRE(weights->kind == WEIGHTS_COMMIT);
    }
}

static uint32_t get_count(struct wire *in) {
    int64_t value = wire_get_long(in);
    if (value < 0 || value > UINT32_MAX) {
        in->bad = true;
        return 0;
    }
    return (uint32_t)value;
}

// Bytes that must be items x size long.
static const unsigned char *get_array(struct wire *in, uint64_t items, size_t size) {
    size_t length;
    const unsigned char *bytes = wire_get_bytes(in, &length);
    // Divided rather than multiplied: the counts come from outside.
    if (length % size != 0 || length / size != items)
        in->bad = true;
    return bytes;
}

static void get_ids(struct wire *in, struct weights *weights) {
    size_t length;
    weights->ids = wire_get_bytes(in, &length);
    if (length % sizeof(uint64_t) != 0 || length / sizeof(uint64_t) > UINT32_MAX)
        in->bad = true;
    weights->count = (uint32_t)(length / sizeof(uint64_t));
}

static void get_body(struct wire *in, struct weights *weights) {
    switch (weights->kind) {
    case WEIGHTS_OPEN:
        weights->watermark_ms = wire_get_long(in);
        weights->accepted_ms = wire_get_long(in);
        weights->spec = (const char *)wire_get_bytes(in, &weights->spec_length);
        weights->measures = (const char *)wire_get_bytes(in, &weights->measures_length);
        break;
    case WEIGHTS_ROWS:
        weights->table = get_count(in);
        weights->dimension = get_count(in);
        weights->whole = wire_get_bool(in);
        get_ids(in, weights);
        weights->values =
            get_array(in, (uint64_t)weights->count * weights->dimension, sizeof(float));
        break;
    case WEIGHTS_TENSOR:
        weights->name = (const char *)wire_get_bytes(in, &weights->name_length);
        weights->rows = get_count(in);
        weights->columns = get_count(in);
        weights->first_row = get_count(in);
        weights->rows_total = get_count(in);
        if ((uint64_t)weights->first_row + weights->rows > weights->rows_total)
            in->bad = true;
        weights->data = get_array(in, (uint64_t)weights->rows * weights->columns, sizeof(float));
        break;
    case WEIGHTS_TOMBSTONES:
        weights->table = get_count(in);
        get_ids(in, weights);
        break;
    case WEIGHTS_SLICE:
        weights->slice = get_count(in);
        weights->slice_bits = get_count(in);
        if (weights->slice_bits > 31 || weights->slice >> weights->slice_bits)
            in->bad = true;
        break;
    default:
        break;
    }
}

enum status weights_decode(const void *bytes, size_t length, struct weights *ret_weights,
                           struct error *err) {
    struct wire in = wire_over(bytes, length);
    struct weights weights = {.lineage = wire_get_fixed64(&in), .version = wire_get_fixed64(&in)};
    int64_t kind = wire_get_long(&in);
    if (in.bad || kind < WEIGHTS_OPEN || kind > WEIGHTS_COMMIT)
        return error_set(err, STATUS_INVALID,
                         "could not read a weights record of %zu bytes: its head is malformed",
                         length);
    weights.kind = (int)kind;
    get_body(&in, &weights);
    if (in.bad || in.at != in.end)
        return error_set(err, STATUS_INVALID,
                         "could not read a weights record of %zu bytes: its body (%s) is %s",
                         length, kind_names[kind],
                         in.bad ? "malformed" : "followed by other bytes");
    *ret_weights = weights;
    return STATUS_OK;
}
