// The example on the wire: the Avro record of schemas/example.avsc, columns packed into bytes
// fields.
#include "record/example.h"

#include <string.h>

#include "base/wire.h"

struct example_shape example_shape_of(const struct spec *spec) {
    return (struct example_shape){.fingerprint = spec_fingerprint(spec),
                                  .categorical = spec_kind_count(spec, SPEC_CATEGORICAL),
                                  .numeric = spec_kind_count(spec, SPEC_NUMERIC),
                                  .multi = spec_kind_count(spec, SPEC_MULTI),
                                  .sequences = spec_kind_count(spec, SPEC_SEQUENCE),
                                  .tasks = spec->tasks.count};
}

void example_encode(const struct example_shape *shape, const struct example *example,
                    struct buffer *into) {
    wire_put_fixed64(into, shape->fingerprint);
    wire_put_long(into, (int64_t)example->kind);
    wire_put_fixed64(into, example->impression);
    wire_put_fixed64(into, example->user);
    wire_put_long(into, example->event_time_ms);
    wire_put_long(into, example->accepted_ms);
    wire_put_bytes(into, example->domain, example->domain_length);
    wire_put_long(into, (int64_t)example->mask);
    wire_put_bytes(into, example->ids, shape->categorical * sizeof(uint64_t));
    wire_put_bytes(into, example->numbers, shape->numeric * sizeof(float));
    wire_put_bytes(into, example->lists, example->lists_length);
    // A record that settles no task carries neither labels nor weights.
    size_t settled = example->mask ? shape->tasks * sizeof(float) : 0;
    wire_put_bytes(into, example->labels, settled);
    wire_put_bytes(into, example->weights, example->weights ? settled : 0);
}

// One list a multi-valued feature or sequence: a count and that many ids (and ages), and nothing
// behind the last.
static bool lists_fit(const unsigned char *lists, size_t length,
                      const struct example_shape *shape) {
    for (size_t i = 0; i < shape->multi + shape->sequences; i++) {
        size_t bytes = i < shape->multi ? sizeof(uint64_t) : EXAMPLE_ITEM_BYTES;
        uint32_t count;
        if (length < sizeof count)
            return false;
        memcpy(&count, lists, sizeof count);
        lists += sizeof count;
        length -= sizeof count;
        if (length / bytes < count)
            return false;
        lists += count * bytes;
        length -= count * bytes;
    }
    return length == 0;
}

static const char *mistake(const struct example_shape *shape, const struct wire *in,
                           const struct example *example, const size_t *lengths) {
    const size_t settled = example->mask ? shape->tasks * sizeof(float) : 0;
    if (in->bad)
        return "it is truncated or malformed";
    if (in->at != in->end)
        return "bytes follow its end";
    if (example->kind == 0 || example->kind > EXAMPLE_KINDS)
        return "its kind is none";
    if (shape->tasks < 32 && example->mask >> shape->tasks)
        return "its mask names tasks that there are not";
    if (lengths[0] != shape->categorical * sizeof(uint64_t))
        return "ids have another length";
    if (lengths[1] != shape->numeric * sizeof(float))
        return "numbers have another length";
    if (lengths[2] != settled)
        return "labels have another length";
    if (lengths[3] != settled && lengths[3] != 0)
        return "weights have another length";
    return NULL;
}

enum status example_decode(const struct example_shape *shape, const void *bytes, size_t length,
                           struct example *ret_example, struct error *err) {
    struct wire in = wire_over(bytes, length);
    uint64_t fingerprint = wire_get_fixed64(&in);
    if (!in.bad && fingerprint != shape->fingerprint)
        return error_set(err, STATUS_CHANGED,
                         "could not read an example: it is of another set of features or tasks "
                         "(fingerprint %016llx, expected %016llx)",
                         (unsigned long long)fingerprint, (unsigned long long)shape->fingerprint);
    struct example example = {0};
    size_t lengths[4];
    int64_t kind = wire_get_long(&in);
    example.kind = kind > 0 && kind <= EXAMPLE_KINDS ? (uint32_t)kind : 0;
    example.impression = wire_get_fixed64(&in);
    example.user = wire_get_fixed64(&in);
    example.event_time_ms = wire_get_long(&in);
    example.accepted_ms = wire_get_long(&in);
    example.domain = (const char *)wire_get_bytes(&in, &example.domain_length);
    int64_t mask = wire_get_long(&in);
    if (mask < 0 || mask > UINT32_MAX)
        in.bad = true;
    example.mask = (uint32_t)mask;
    example.ids = wire_get_bytes(&in, &lengths[0]);
    example.numbers = wire_get_bytes(&in, &lengths[1]);
    example.lists = wire_get_bytes(&in, &example.lists_length);
    example.labels = wire_get_bytes(&in, &lengths[2]);
    example.weights = wire_get_bytes(&in, &lengths[3]);
    if (lengths[3] == 0)
        example.weights = NULL;
    const char *reason = mistake(shape, &in, &example, lengths);
    if (!reason && !lists_fit(example.lists, example.lists_length, shape))
        reason = "its lists are malformed";
    if (reason)
        return error_set(err, STATUS_INVALID, "could not read an example of %zu bytes: %s", length,
                         reason);
    *ret_example = example;
    return STATUS_OK;
}
