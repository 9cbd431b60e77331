// The journal record's codec: schemas/journal.avsc, written and read by hand field by field.
#include "stage/journal.h"

#include "base/wire.h"

static const char *const kind_names[JOURNAL_KINDS] = {"genesis", "start", "batch",
                                                      "tick",    "idle",  "finish"};

const char *journal_kind_name(enum journal_kind kind) {
    return kind_names[kind];
}

static bool has_identity(enum journal_kind kind) {
    return kind == JOURNAL_GENESIS || kind == JOURNAL_START;
}

static void identity_encode(const struct journal_record *record, struct buffer *into) {
    wire_put_fixed64(into, record->config_hash);
    wire_put_string(into, record->build);
    if (record->input_count > 0)
        wire_put_long(into, (int64_t)record->input_count);
    for (size_t i = 0; i < record->input_count; i++) {
        const struct journal_input *input = &record->inputs[i];
        wire_put_string(into, input->topic);
        wire_put_long(into, input->partition);
        wire_put_fixed64(into, input->identity);
        wire_put_long(into, input->offset);
    }
    wire_put_long(into, 0);
}

void journal_encode(const struct journal_record *record, struct buffer *into) {
    wire_put_long(into, record->kind);
    wire_put_long(into, record->order);
    wire_put_long(into, record->clock_ms);
    if (record->range_count > 0)
        wire_put_long(into, (int64_t)record->range_count);
    for (size_t i = 0; i < record->range_count; i++) {
        const struct journal_range *range = &record->ranges[i];
        wire_put_long(into, range->slot);
        wire_put_long(into, range->first);
        wire_put_long(into, range->last - range->first);
        wire_put_long(into, (int64_t)range->count);
        wire_put_fixed64(into, range->checksum);
    }
    wire_put_long(into, 0);
    wire_put_long(into, record->kind == JOURNAL_IDLE);
    if (record->kind == JOURNAL_IDLE) {
        wire_put_long(into, record->idle_slot);
        buffer_append_byte(into, record->idle);
    }
    wire_put_long(into, (int64_t)record->outputs);
    wire_put_fixed64(into, record->outputs_checksum);
    wire_put_long(into, has_identity(record->kind));
    if (has_identity(record->kind))
        identity_encode(record, into);
}

// The number of items of an array that we wrote: one block and the closing 0, or only that. An item
// takes at least `least` bytes, so that a wrong count cannot ask for more memory than the input
// has.
static size_t array_count(struct wire *in, size_t least) {
    int64_t count = wire_get_long(in);
    if (count < 0 || (uint64_t)count > (uint64_t)(in->end - in->at) / least)
        in->bad = true;
    return in->bad ? 0 : (size_t)count;
}

// The branch of a union of null and something.
static bool present(struct wire *in) {
    int64_t branch = wire_get_long(in);
    if (branch != 0 && branch != 1)
        in->bad = true;
    return branch == 1;
}

static enum status ranges_decode(struct wire *in, struct arena *arena,
                                 struct journal_record *record, struct error *err) {
    size_t count = array_count(in, 12);
    struct journal_range *ranges = arena_get(arena, count + 1, sizeof(*ranges));
    if (!ranges)
        return error_no_memory(err, count * sizeof(*ranges), "a journal record");
    for (size_t i = 0; i < count; i++) {
        struct journal_range *range = &ranges[i];
        int32_t slot = wire_get_int(in);
        range->slot = (uint32_t)slot;
        range->first = wire_get_long(in);
        int64_t span = wire_get_long(in);
        range->count = (uint64_t)wire_get_long(in);
        range->checksum = wire_get_fixed64(in);
        if (slot < 0 || range->first < 0 || span < 0 || span > INT64_MAX - range->first ||
            range->count == 0 || range->count - 1 > (uint64_t)span)
            in->bad = true;
        range->last = in->bad ? 0 : range->first + span;
        if (i > 0 && range->slot <= ranges[i - 1].slot)
            in->bad = true;
    }
    if (count > 0 && wire_get_long(in) != 0)
        in->bad = true;
    record->ranges = ranges;
    record->range_count = count;
    return STATUS_OK;
}

static enum status text_decode(struct wire *in, struct arena *arena, const char **ret_text,
                               struct error *err) {
    size_t length = 0;
    const unsigned char *bytes = wire_get_bytes(in, &length);
    char *text = arena_copy_string(arena, bytes ? (const char *)bytes : "", bytes ? length : 0);
    if (!text)
        return error_no_memory(err, length, "a journal record");
    *ret_text = text;
    return STATUS_OK;
}

static enum status identity_decode(struct wire *in, struct arena *arena,
                                   struct journal_record *record, struct error *err) {
    record->config_hash = wire_get_fixed64(in);
    enum status status = text_decode(in, arena, &record->build, err);
    size_t count = array_count(in, 11);
    struct journal_input *inputs = arena_get(arena, count + 1, sizeof(*inputs));
    if (status == STATUS_OK && !inputs)
        status = error_no_memory(err, count * sizeof(*inputs), "a journal record");
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        status = text_decode(in, arena, &inputs[i].topic, err);
        inputs[i].partition = wire_get_int(in);
        inputs[i].identity = wire_get_fixed64(in);
        inputs[i].offset = wire_get_long(in);
    }
    if (count > 0 && wire_get_long(in) != 0)
        in->bad = true;
    record->inputs = inputs;
    record->input_count = count;
    return status;
}

enum status journal_decode(const void *bytes, size_t length, struct arena *arena,
                           struct journal_record *ret_record, struct error *err) {
    struct wire in = wire_over(bytes, length);
    struct journal_record record = {0};
    int64_t kind = wire_get_long(&in);
    int64_t order = wire_get_long(&in);
    if (kind < 0 || kind >= JOURNAL_KINDS || order < 0 || order > 1)
        in.bad = true;
    record.kind = in.bad ? JOURNAL_GENESIS : (enum journal_kind)kind;
    record.order = in.bad ? 0 : (int)order;
    record.clock_ms = wire_get_long(&in);
    enum status status = ranges_decode(&in, arena, &record, err);
    bool idle = present(&in);
    if (idle) {
        int32_t slot = wire_get_int(&in);
        record.idle_slot = (uint32_t)slot;
        record.idle = wire_get_bool(&in);
        if (slot < 0)
            in.bad = true;
    }
    record.outputs = (uint64_t)wire_get_long(&in);
    record.outputs_checksum = wire_get_fixed64(&in);
    bool identity = present(&in);
    if (idle != (record.kind == JOURNAL_IDLE) || identity != has_identity(record.kind) ||
        (record.range_count > 0) != (record.kind == JOURNAL_BATCH))
        in.bad = true;
    if (status == STATUS_OK && identity)
        status = identity_decode(&in, arena, &record, err);
    if (status != STATUS_OK)
        return status;
    if (in.bad || in.at != in.end)
        return error_set(err, STATUS_CORRUPT, "could not read a journal record of %zu bytes",
                         length);
    *ret_record = record;
    return STATUS_OK;
}
