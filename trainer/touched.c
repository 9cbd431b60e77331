// Collects the rows a minibatch touches and sums their gradients.
#include "trainer/touched.h"

#include <string.h>

#include "model/vector.h"

void touched_deinit(struct touched *touched) {
    for (size_t i = 0; i < TOUCHED_ROOMS; i++)
        memory_free(touched->rooms[i].block);
    *touched = (struct touched){.table = touched->table};
}

// Room for `needed` elements; capacities grow by at least an eighth, so that growing ends soon and
// marks of a large table leave little unused.
static bool room_get(struct room *room, size_t needed, size_t size) {
    if (needed <= room->capacity)
        return true;
    size_t grown = room->capacity + room->capacity / 8 + 256;
    grown = grown > needed ? grown : needed;
    void *moved = memory_resize(room->block, room->capacity, grown, size);
    if (!moved)
        return false;
    room->block = moved;
    room->capacity = grown;
    return true;
}

enum status touched_reserve(struct touched *touched, size_t rows, size_t changes,
                            struct error *err) {
    size_t told = touched->change_count + changes < rows ? touched->change_count + changes : rows;
    if (!room_get(&touched->rooms[TOUCHED_MARK], rows, sizeof *touched->mark) ||
        !room_get(&touched->rooms[TOUCHED_CHANGED], rows, sizeof *touched->changed) ||
        !room_get(&touched->rooms[TOUCHED_CHANGES], told, sizeof *touched->changes))
        return error_no_memory(err, rows * sizeof *touched->changes, "marks of embedding rows");
    touched->mark = touched->rooms[TOUCHED_MARK].block;
    touched->changed = touched->rooms[TOUCHED_CHANGED].block;
    touched->changes = touched->rooms[TOUCHED_CHANGES].block;
    return STATUS_OK;
}

static size_t occurrences_count(const struct touched *touched, const struct model *model,
                                const struct minibatch *batch) {
    size_t count = 0;
    for (size_t f = 0; f < model->spec.field_count; f++) {
        if (model->spec.fields[f].table != touched->table)
            continue;
        count += batch->rows; // an empty list counts as one
        if (model->spec.fields[f].multi) {
            size_t list = f - model->spec.categorical_count;
            count += batch->list_begin[list * (batch->capacity + 1) + batch->rows];
        }
    }
    return count;
}

static enum status rooms_get(struct touched *touched, const struct model *model,
                             const struct minibatch *batch, size_t passes, struct error *err) {
    size_t count = occurrences_count(touched, model, batch);
    size_t rows = model->tables[touched->table].slots + count; // were all of them new
    touched->passes = passes;
    touched->stride = passes * model->table_dimension[touched->table] + model->wide;
    const struct {
        struct room *room;
        size_t needed, size;
    } wanted[] = {
        {&touched->rooms[TOUCHED_SLOTS], count + 1, sizeof *touched->slots},
        {&touched->rooms[TOUCHED_BEGIN], count + 1, sizeof *touched->begin},
        {&touched->rooms[TOUCHED_UNIQUE], count, sizeof *touched->unique},
        {&touched->rooms[TOUCHED_FOUND], count, sizeof *touched->found},
        {&touched->rooms[TOUCHED_SORTED], count, sizeof *touched->occurrences},
        {&touched->rooms[TOUCHED_GRADIENTS], count * touched->stride, sizeof *touched->gradients},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (!room_get(wanted[i].room, wanted[i].needed, wanted[i].size))
            return error_no_memory(err, wanted[i].needed * wanted[i].size,
                                   "the gradients of embedding rows");
    touched->slots = touched->rooms[TOUCHED_SLOTS].block;
    touched->begin = touched->rooms[TOUCHED_BEGIN].block;
    touched->unique = touched->rooms[TOUCHED_UNIQUE].block;
    touched->found = touched->rooms[TOUCHED_FOUND].block;
    touched->occurrences = touched->rooms[TOUCHED_SORTED].block;
    touched->gradients = touched->rooms[TOUCHED_GRADIENTS].block;
    return touched_reserve(touched, rows, count, err);
}

enum { MARK_AHEAD = 12 }; // marks lie anywhere

struct collecting {
    struct touched *touched;
    struct model *model;
    const struct touched_source *source;
    bool making;  // rows of ids that have none; else occurrences are noted
    size_t count; // of occurrences so far
    struct error *err;
};

// The row of an id that had none when it was looked up: made by an earlier occurrence, or now, or
// not yet. Inputs that are learnt from again were sighted before. Where domains have rows of their
// own, one begins as that of `unknown` stands.
static enum status row_make(struct collecting *job, uint64_t id, size_t domain, size_t sightings,
                            uint32_t *slot) {
    struct table *table = &job->model->tables[job->touched->table];
    uint64_t own = network_row_id(job->model, id, domain);
    uint32_t from = own != id ? table_find(table, id) : TABLE_DEFAULT_SLOT;
    *slot = table_find(table, own);
    struct life *life = job->source->life;
    if (*slot != TABLE_DEFAULT_SLOT ||
        (life->ruled && !life_admits(life, own, sightings, job->source->step, job->count)))
        return STATUS_OK;
    if (table_next(table) < table->slots)
        table_cut_change(job->source->cut, table, table_next(table));
    enum status status = table_insert(table, own, slot, job->err);
    if (status != STATUS_OK)
        return status;
    if (from == TABLE_DEFAULT_SLOT)
        network_row_init(job->model, job->touched->table, id, table_values(table, *slot));
    else
        memcpy(table_values(table, *slot), table_values(table, from), table->width * sizeof(real));
    life_begin(life, table, *slot);
    return STATUS_OK;
}

// Whether an occurrence's slot, as found, is not that of its own row.
static bool row_lacks(const struct collecting *job, uint64_t id, uint32_t slot) {
    return id != 0 && (slot == TABLE_DEFAULT_SLOT ||
                       job->model->spec.settings.domains == MODEL_DOMAINS_SEPARATE);
}

// One occurrence of `slot`; counts per row gather in begin[].
static void occur(struct collecting *job, uint32_t slot, size_t position, size_t column,
                  real share) {
    struct touched *touched = job->touched;
    if (job->making) {
        job->count++;
        return;
    }
    uint32_t *mark = &touched->mark[slot];
    if (*mark == 0) {
        touched->slots[touched->count] = slot;
        touched->begin[touched->count] = 0;
        *mark = (uint32_t)++touched->count;
    }
    touched->begin[*mark - 1]++;
    touched->unique[job->count] = *mark - 1;
    touched->found[job->count++] = (struct occurrence){
        .position = (uint32_t)position, .column = (uint32_t)column, .share = share};
}

static enum status collect_rows(struct collecting *job, const struct touched_source *source,
                                size_t f, const struct lane *lane) {
    const uint64_t *ids = source->batch->ids + f * source->batch->capacity;
    uint32_t *slots = source->slots + f * source->stride;
    for (size_t row = lane->first; row < lane->first + lane->rows; row++) {
        if (!job->making && row + MARK_AHEAD < lane->first + lane->rows)
            __builtin_prefetch(&job->touched->mark[slots[row + MARK_AHEAD]], 1);
        if (job->making && row_lacks(job, ids[row], slots[row])) {
            enum status status = row_make(job, ids[row], source->domains[row],
                                          !source->batch->repeats[row], &slots[row]);
            if (status != STATUS_OK)
                return status;
        }
        occur(job, slots[row], source->positions[row], job->model->field_offset[f], (real)1);
    }
    return STATUS_OK;
}

static enum status collect_ids(struct collecting *job, const struct touched_source *source,
                               size_t f, const struct lane *lane, size_t i) {
    const struct activations *act = source->act;
    const struct factor *factor = &activations_factors(act, job->model, lane)[i];
    const uint64_t *ids = source->batch->ids + f * source->batch->capacity;
    const uint32_t *members = activations_members(act, job->model, lane, i);
    size_t base = activations_ids(job->model, lane), at = base + factor->first;
    for (size_t id = 0; id < factor->count; id++, at++) {
        uint64_t named = ids[act->order[lane->first + members[act->ids.begin[at]]]];
        uint32_t *slot = &act->ids.slots[at];
        if (job->making && *slot == TABLE_DEFAULT_SLOT && named != 0) {
            size_t rows = activations_id_rows(act, lane, factor, base, id), sightings = 0;
            for (size_t m = 0; m < rows; m++) {
                uint32_t row = act->order[lane->first + members[act->ids.begin[at] + m]];
                sightings += !source->batch->repeats[row];
            }
            enum status status = row_make(job, named, MINIBATCH_DOMAIN_UNKNOWN, sightings, slot);
            if (status != STATUS_OK)
                return status;
        }
        occur(job, *slot, at, TOUCHED_ID, (real)1);
    }
    return STATUS_OK;
}

static enum status collect_field(struct collecting *job, const struct touched_source *source,
                                 size_t f) {
    enum status status = STATUS_OK;
    for (size_t l = 0; l < source->lane_count && status == STATUS_OK; l++) {
        const struct lane *lane = &source->lanes[l];
        size_t i = 0;
        while (i < lane->factor_count &&
               activations_factors(source->act, job->model, lane)[i].field != f)
            i++;
        status = i < lane->factor_count ? collect_ids(job, source, f, lane, i)
                                        : collect_rows(job, source, f, lane);
    }
    return status;
}

static enum status collect_list(struct collecting *job, const struct touched_source *source,
                                size_t f) {
    const struct minibatch *batch = source->batch;
    size_t list = f - job->model->spec.categorical_count, column = job->model->field_offset[f];
    const uint32_t *begin = batch->list_begin + list * (batch->capacity + 1);
    uint32_t *slots = source->list_slots[list];
    for (size_t row = 0; row < batch->rows; row++) {
        size_t length = begin[row + 1] - begin[row];
        if (length == 0)
            occur(job, TABLE_DEFAULT_SLOT, source->positions[row], column, (real)1);
        for (size_t i = begin[row]; i < begin[row + 1]; i++) {
            uint64_t id = batch->list_ids[list][i];
            if (job->making && row_lacks(job, id, slots[i])) {
                enum status status =
                    row_make(job, id, source->domains[row], !batch->repeats[row], &slots[i]);
                if (status != STATUS_OK)
                    return status;
            }
            occur(job, slots[i], source->positions[row], column, (real)1 / (real)length);
        }
    }
    return STATUS_OK;
}

// The places of a sequence, which no wide weight reads.
static enum status collect_sequence(struct collecting *job, const struct touched_source *source,
                                    const struct sequence *sequence) {
    const struct minibatch *batch = source->batch;
    size_t list = sequence->list, most = sequence->places - 1, rows_max = source->act->rows_max;
    const uint32_t *begin = batch->list_begin + list * (batch->capacity + 1);
    uint32_t *slots = source->list_slots[list];
    for (size_t row = 0; row < batch->rows; row++) {
        size_t position = source->positions[row], end = begin[row + 1], first = begin[row];
        first = end - first > most ? end - most : first;
        if (sequence->target != NETWORK_NONE) {
            // Made by its own field, if at all, before this.
            uint64_t id = batch->ids[sequence->target * batch->capacity + row];
            uint32_t slot = job->making ? TABLE_DEFAULT_SLOT
                                        : network_row_find(job->model, job->touched->table, id,
                                                           source->domains[row]);
            occur(job, slot, sequence_at(sequence, rows_max, position, 0), TOUCHED_ITEM, (real)1);
        }
        for (size_t i = first; i < end; i++) {
            uint64_t id = batch->list_ids[list][i];
            if (job->making && row_lacks(job, id, slots[i])) {
                enum status status =
                    row_make(job, id, source->domains[row], !batch->repeats[row], &slots[i]);
                if (status != STATUS_OK)
                    return status;
            }
            occur(job, slots[i], sequence_at(sequence, rows_max, position, 1 + i - first),
                  TOUCHED_ITEM, (real)1);
        }
    }
    return STATUS_OK;
}

// Brings the occurrences of each row together, in the order found.
static void occurrences_sort(struct touched *touched, size_t count) {
    uint32_t at = 0;
    for (size_t u = 0; u <= touched->count; u++) {
        uint32_t length = u < touched->count ? touched->begin[u] : 0;
        touched->begin[u] = at;
        at += length;
    }
    for (size_t i = 0; i < count; i++)
        touched->occurrences[touched->begin[touched->unique[i]]++] = touched->found[i];
    for (size_t u = touched->count; u > 0; u--)
        touched->begin[u] = touched->begin[u - 1];
    touched->begin[0] = 0;
}

static enum status collect_fields(struct collecting *job) {
    const struct model_spec *spec = &job->model->spec;
    enum status status = STATUS_OK;
    for (size_t f = 0; f < spec->field_count && status == STATUS_OK; f++)
        if (spec->fields[f].table == job->touched->table && spec->fields[f].length == 0)
            status = spec->fields[f].multi ? collect_list(job, job->source, f)
                                           : collect_field(job, job->source, f);
    const struct sequences *sequences = &job->model->sequences;
    for (size_t s = 0; s < sequences->count && status == STATUS_OK; s++)
        if (spec->fields[sequences->items[s].field].table == job->touched->table)
            status = collect_sequence(job, job->source, &sequences->items[s]);
    return status;
}

enum status touched_make_rows(struct touched *touched, struct model *model,
                              const struct touched_source *source, size_t passes,
                              struct error *err) {
    enum status status = rooms_get(touched, model, source->batch, passes, err);
    struct collecting job = {
        .touched = touched, .model = model, .source = source, .making = true, .err = err};
    return status == STATUS_OK ? collect_fields(&job) : status;
}

void touched_collect(struct touched *touched, struct model *model,
                     const struct touched_source *source) {
    struct collecting job = {.touched = touched, .model = model, .source = source};
    touched->count = 0;
    REQUIRE(collect_fields(&job) == STATUS_OK); // which only making rows could fail
    for (size_t u = 0; u < touched->count; u++)
        touched->mark[touched->slots[u]] = 0;
    for (size_t u = 0; u < touched->count; u++) {
        if (u + MARK_AHEAD < touched->count)
            __builtin_prefetch(&touched->changed[touched->slots[u + MARK_AHEAD]], 1);
        touched_change(touched, touched->slots[u]);
    }
    occurrences_sort(touched, job.count);
}

enum { SUM_AHEAD = 8 }; // slopes of a row's occurrences lie anywhere

// Where slopes of one pass lie.
struct slopes {
    const real *input;
    size_t columns;
    const real *ids;
    size_t id_stride;
    const real *items;
};

static inline const real *slope_at(const struct occurrence *place, const struct slopes *of) {
    if (place->column == TOUCHED_ITEM)
        return of->items + place->position;
    return place->column == TOUCHED_ID ? of->ids + place->position * of->id_stride
                                       : of->input + place->position * of->columns + place->column;
}

VECTOR_CLONES
static void sum_rows(const struct touched *touched, const struct model *model,
                     const struct slopes *slopes, size_t pass, size_t first, size_t count) {
    size_t dimension = model->table_dimension[touched->table];
    for (size_t u = first; u < first + count; u++) {
        real *restrict sum = touched->gradients + u * touched->stride + pass * dimension;
        memset(sum, 0, dimension * sizeof *sum);
        for (uint32_t i = touched->begin[u]; i < touched->begin[u + 1]; i++) {
            const struct occurrence *place = &touched->occurrences[i];
            if (i + SUM_AHEAD < touched->begin[touched->count])
                __builtin_prefetch(slope_at(place + SUM_AHEAD, slopes));
            const real *restrict slope = slope_at(place, slopes);
            for (size_t c = 0; c < dimension; c++)
                sum[c] += place->share * slope[c];
        }
    }
}

static void sum_wide(const struct touched *touched, const struct model *model,
                     const struct activations *act, size_t pass, size_t first, size_t count,
                     bool begun) {
    size_t tasks = model->spec.task_count;
    const real *rows = activations_slope(act, model, pass, model->logit_plane);
    for (size_t u = first; u < first + count; u++) {
        real *sum = touched->gradients + (u + 1) * touched->stride - tasks;
        if (!begun)
            memset(sum, 0, tasks * sizeof *sum);
        for (uint32_t i = touched->begin[u]; i < touched->begin[u + 1]; i++) {
            struct occurrence place = touched->occurrences[i];
            if (place.column == TOUCHED_ITEM)
                continue;
            const real *slopes = place.column == TOUCHED_ID ? act->ids.wide : rows;
            for (size_t k = 0; k < tasks; k++)
                sum[k] += place.share * slopes[place.position * tasks + k];
        }
    }
}

void touched_sum(const struct touched *touched, const struct model *model,
                 const struct activations *act, const bool *active_passes, size_t first,
                 size_t count) {
    for (size_t pass = 0; pass < touched->passes; pass++) {
        if (!active_passes[pass])
            continue;
        const struct slopes slopes = {
            .input = act->raw ? act->raw_slopes[pass] : activations_slope(act, model, pass, 0),
            .columns = act->raw ? model->embedded : model->columns,
            .ids = act->ids.slopes ? act->ids.slopes[pass] : NULL,
            .id_stride = model->id_stride,
            .items = act->sequences.slopes ? act->sequences.slopes[pass] : NULL,
        };
        sum_rows(touched, model, &slopes, pass, first, count);
    }
    // Logits have slopes a pass where tasks are related; else one plane holds those of all.
    size_t passes = model->related ? touched->passes : 1;
    bool begun = false;
    for (size_t pass = 0; model->wide && pass < passes; pass++) {
        if (passes > 1 && !active_passes[pass])
            continue;
        sum_wide(touched, model, act, pass, first, count, begun);
        begun = true;
    }
}

void touched_change(struct touched *touched, uint32_t slot) {
    if (touched->changed[slot])
        return;
    touched->changed[slot] = true;
    touched->changes[touched->change_count++] = slot;
}

void touched_changes_clear(struct touched *touched) {
    for (size_t i = 0; i < touched->change_count; i++)
        touched->changed[touched->changes[i]] = false;
    touched->change_count = 0;
}
