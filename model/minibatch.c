// The columns of a minibatch: allocation and lists.
#include "model/minibatch.h"

#include <string.h>

#include "base/memory.h"

enum status minibatch_init(struct minibatch *batch, const struct model_spec *spec, size_t capacity,
                           struct error *err) {
    size_t multi = spec->field_count - spec->categorical_count;
    *batch = (struct minibatch){.capacity = capacity};
    batch->ids = memory_new(spec->categorical_count * capacity + 1, sizeof *batch->ids);
    batch->list_begin = memory_new(multi * (capacity + 1) + 1, sizeof *batch->list_begin);
    batch->list_ids = memory_new(multi + 1, sizeof *batch->list_ids);
    batch->list_capacity = memory_new(multi + 1, sizeof *batch->list_capacity);
    batch->numbers = memory_new(spec->numeric_count * capacity + 1, sizeof *batch->numbers);
    batch->domains = memory_new(capacity + 1, sizeof *batch->domains);
    batch->labels = memory_new(spec->task_count * capacity + 1, sizeof *batch->labels);
    batch->weights = memory_new(spec->task_count * capacity + 1, sizeof *batch->weights);
    batch->repeats = memory_new(capacity + 1, sizeof *batch->repeats);
    if (batch->repeats && batch->ids && batch->list_begin && batch->list_ids &&
        batch->list_capacity && batch->numbers && batch->domains && batch->labels && batch->weights)
        return STATUS_OK;
    minibatch_deinit(batch, spec);
    return error_no_memory(err, capacity * (spec->field_count + 1) * sizeof(uint64_t),
                           "a minibatch");
}

void minibatch_deinit(struct minibatch *batch, const struct model_spec *spec) {
    if (batch->list_ids)
        for (size_t f = 0; f < spec->field_count - spec->categorical_count; f++)
            memory_free(batch->list_ids[f]);
    memory_free(batch->ids);
    memory_free(batch->list_begin);
    memory_free(batch->list_ids);
    memory_free(batch->list_capacity);
    memory_free(batch->numbers);
    memory_free(batch->domains);
    memory_free(batch->labels);
    memory_free(batch->weights);
    memory_free(batch->repeats);
    *batch = (struct minibatch){0};
}

void minibatch_reset(struct minibatch *batch) {
    batch->rows = 0;
}

enum status minibatch_list_append(struct minibatch *batch, size_t f, const uint64_t *ids,
                                  size_t count, struct error *err) {
    REQUIRE(batch->rows < batch->capacity);
    uint32_t *begin = &batch->list_begin[f * (batch->capacity + 1) + batch->rows];
    size_t needed = (size_t)begin[0] + count;
    if (needed > UINT32_MAX)
        return error_set(err, STATUS_EXHAUSTED, "could not add a row: its lists hold too many ids");
    if (needed > batch->list_capacity[f]) {
        size_t capacity = batch->list_capacity[f] ? batch->list_capacity[f] : 256;
        while (capacity < needed)
            capacity *= 2;
        uint64_t *grown =
            memory_resize(batch->list_ids[f], batch->list_capacity[f], capacity, sizeof *grown);
        if (!grown)
            return error_no_memory(err, capacity * sizeof *grown, "a minibatch's lists");
        batch->list_ids[f] = grown;
        batch->list_capacity[f] = capacity;
    }
    if (count)
        memcpy(batch->list_ids[f] + begin[0], ids, count * sizeof *ids);
    begin[1] = (uint32_t)needed;
    return STATUS_OK;
}
