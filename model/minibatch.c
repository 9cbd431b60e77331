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
    batch->list_ages = memory_new(multi + 1, sizeof *batch->list_ages);
    batch->list_capacity = memory_new(multi + 1, sizeof *batch->list_capacity);
    batch->numbers = memory_new(spec->numeric_count * capacity + 1, sizeof *batch->numbers);
    batch->domains = memory_new(capacity + 1, sizeof *batch->domains);
    batch->labels = memory_new(spec->task_count * capacity + 1, sizeof *batch->labels);
    batch->weights = memory_new(spec->task_count * capacity + 1, sizeof *batch->weights);
    batch->repeats = memory_new(capacity + 1, sizeof *batch->repeats);
    if (batch->repeats && batch->ids && batch->list_begin && batch->list_ids && batch->list_ages &&
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
    if (batch->list_ages)
        for (size_t f = 0; f < spec->field_count - spec->categorical_count; f++)
            memory_free(batch->list_ages[f]);
    memory_free(batch->ids);
    memory_free(batch->list_begin);
    memory_free(batch->list_ids);
    memory_free(batch->list_ages);
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

enum status minibatch_list_reserve(struct minibatch *batch, size_t f, size_t count,
                                   struct error *err) {
    REQUIRE(batch->rows < batch->capacity);
    uint32_t *begin = &batch->list_begin[f * (batch->capacity + 1) + batch->rows];
    size_t needed = (size_t)begin[0] + count, had = batch->list_capacity[f];
    if (needed > UINT32_MAX)
        return error_set(err, STATUS_EXHAUSTED, "could not add a row: its lists hold too many ids");
    if (needed > had) {
        size_t capacity = had ? had : 256;
        while (capacity < needed)
            capacity *= 2;
        uint64_t *ids = memory_resize(batch->list_ids[f], had, capacity, sizeof *ids);
        if (ids)
            batch->list_ids[f] = ids;
        uint32_t *ages = memory_resize(batch->list_ages[f], had, capacity, sizeof *ages);
        if (ages)
            batch->list_ages[f] = ages;
        if (!ids || !ages)
            return error_no_memory(err, capacity * sizeof *ids, "a minibatch's lists");
        batch->list_capacity[f] = capacity;
    }
    begin[1] = (uint32_t)needed;
    return STATUS_OK;
}

enum status minibatch_list_append(struct minibatch *batch, size_t f, const uint64_t *ids,
                                  const uint32_t *ages, size_t count, struct error *err) {
    enum status status = minibatch_list_reserve(batch, f, count, err);
    if (status != STATUS_OK || count == 0)
        return status;
    size_t begin = batch->list_begin[f * (batch->capacity + 1) + batch->rows];
    memcpy(batch->list_ids[f] + begin, ids, count * sizeof *ids);
    if (ages)
        memcpy(batch->list_ages[f] + begin, ages, count * sizeof *ages);
    else
        memset(batch->list_ages[f] + begin, 0, count * sizeof *ages);
    return STATUS_OK;
}
