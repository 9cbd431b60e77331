// Which fields of a lane repeat their ids, and the slots of all its ids.
#include "model/network.h"

#include <string.h>

#include "base/hash.h"

enum status id_set_init(struct id_set *set, size_t rows_max, struct error *err) {
    *set = (struct id_set){.capacity = 16};
    while (set->capacity < 2 * rows_max)
        set->capacity *= 2;
    set->ids = memory_new(set->capacity, sizeof *set->ids);
    set->numbers = memory_new(set->capacity, sizeof *set->numbers);
    set->stamps = memory_new(set->capacity, sizeof *set->stamps);
    if (set->ids && set->numbers && set->stamps)
        return STATUS_OK;
    id_set_deinit(set);
    return error_no_memory(err, set->capacity * sizeof *set->ids, "a set of ids");
}

void id_set_deinit(struct id_set *set) {
    memory_free(set->ids);
    memory_free(set->numbers);
    memory_free(set->stamps);
    *set = (struct id_set){0};
}

static void id_set_clear(struct id_set *set) {
    if (++set->stamp == 0) {
        memset(set->stamps, 0, set->capacity * sizeof *set->stamps);
        set->stamp = 1;
    }
}

// The number of an id, which is `next` when it is new.
static uint32_t id_set_number(struct id_set *set, uint64_t id, uint32_t next) {
    size_t mask = set->capacity - 1;
    size_t at = (size_t)hash_mix(id) & mask;
    while (set->stamps[at] == set->stamp && set->ids[at] != id)
        at = (at + 1) & mask;
    if (set->stamps[at] != set->stamp) {
        set->stamps[at] = set->stamp;
        set->ids[at] = id;
        set->numbers[at] = next;
    }
    return set->numbers[at];
}

// Numbers the ids of a field; false once there are too many for a factor.
static bool factor_number(const struct model *model, const uint64_t *ids, struct activations *act,
                          const struct lane *lane, struct id_set *set, struct factor *factor) {
    size_t fields = model->spec.categorical_count, base = activations_ids(model, lane);
    uint32_t *begin = act->ids.begin + base + factor->first;
    uint32_t *index = act->ids.index + lane->first * fields + lane->factor_count;
    id_set_clear(set);
    for (size_t p = 0; p < lane->rows; p++) {
        uint32_t id = id_set_number(set, ids[act->order[lane->first + p]], factor->count);
        if (id == factor->count) {
            if (factor->count == factor_ids_most(lane->rows))
                return false;
            begin[factor->count++] = 0;
        }
        begin[id]++; // counts, until the members are placed
        index[p * fields] = factor->first + id;
    }
    return true;
}

// Brings the rows of each id together, in order, and finds its slot.
static void factor_place(const struct model *model, const uint64_t *ids, struct activations *act,
                         const struct lane *lane, const struct factor *factor) {
    size_t fields = model->spec.categorical_count, base = activations_ids(model, lane);
    const struct table *table = &model->tables[model->spec.fields[factor->field].table];
    uint32_t *begin = act->ids.begin + base + factor->first, at = 0;
    uint32_t *members = activations_members(act, model, lane, lane->factor_count);
    const uint32_t *index = act->ids.index + lane->first * fields + lane->factor_count;
    for (size_t id = 0; id < factor->count; id++) {
        uint32_t rows = begin[id];
        begin[id] = at;
        at += rows;
    }
    for (size_t p = 0; p < lane->rows; p++)
        members[begin[index[p * fields] - factor->first]++] = (uint32_t)p;
    for (size_t id = factor->count; id-- > 0;)
        begin[id] = id > 0 ? begin[id - 1] : 0;
    for (size_t id = 0; id < factor->count; id++)
        act->ids.slots[base + factor->first + id] =
            table_find(table, ids[act->order[lane->first + members[begin[id]]]]);
}

// Each row's own slot of its domain.
static void rows_find(const struct model *model, size_t field, const uint64_t *ids,
                      size_t first_row, const struct activations *act, const struct lane *lane,
                      uint32_t *slots) {
    size_t table = model->spec.fields[field].table;
    for (size_t s = 0; s < lane->segment_count; s++) {
        const struct segment *segment = &lane->segments[s];
        for (size_t p = segment->first; p < segment->first + segment->rows; p++) {
            size_t row = act->order[p];
            slots[row - first_row] = network_row_find(model, table, ids[row], segment->domain);
        }
    }
}

void inputs_look_up(const struct model *model, const struct minibatch *batch, size_t first_row,
                    struct activations *act, struct lane *lane, struct id_set *set, uint32_t *slots,
                    size_t stride) {
    lane->factor_count = lane->id_count = 0;
    for (size_t f = 0; f < model->spec.categorical_count; f++) {
        const uint64_t *ids = batch->ids + f * batch->capacity;
        struct factor factor = {.field = (uint32_t)f, .first = (uint32_t)lane->id_count};
        if (model->factorable && factor_number(model, ids, act, lane, set, &factor)) {
            factor_place(model, ids, act, lane, &factor);
            activations_factors(act, model, lane)[lane->factor_count++] = factor;
            lane->id_count += factor.count;
        } else if (model->spec.settings.domains == MODEL_DOMAINS_SEPARATE) {
            rows_find(model, f, ids, first_row, act, lane, slots + f * stride);
        } else {
            table_find_many(&model->tables[model->spec.fields[f].table], ids + first_row,
                            lane->rows, slots + f * stride);
        }
    }
}
