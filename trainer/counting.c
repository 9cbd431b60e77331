// A heap of labels by (time they count from, arrival), beside the rates.
#include "trainer/counting.h"

#include <stdlib.h>
#include <string.h>

#include "record/rate_keys.h"

struct waiting {
    int64_t from_ms; // counts for reads as of this time or later
    uint64_t arrival;
    uint32_t task;
    float label, weight;
};
struct counting {
    const struct spec *spec;
    struct arena run; // the keys'
    struct rate_keys keys;
    struct rates *rates;
    size_t labels_max;
    // A binary heap; the keys of each rate lie beside.
    struct waiting *heap; // [capacity]
    uint64_t *heap_keys;  // [capacity][rates]
    size_t count, capacity;
    uint64_t arrivals, dropped;
};

// `ahead`: rows come and go as the trainer's own rates say.
static enum status rates_make(const struct counting *counting, bool ahead, struct rates **ret_rates,
                              struct error *err) {
    struct rates_settings settings[SPEC_RATES_MAX];
    for (size_t r = 0; r < counting->keys.count; r++) {
        const struct spec_rate *rate = spec_rate_at(counting->spec, r);
        settings[r] = (struct rates_settings){.tasks = counting->keys.rates[r].task_count,
                                              .half_life_ms = rate->half_life_ms,
                                              .prior = rate->prior,
                                              .admit = ahead ? 1 : rate->admit,
                                              .expire = ahead ? 0 : rate->expire,
                                              .rows_max = rate->rows_max};
    }
    return rates_new(settings, counting->keys.count, ret_rates, err);
}

enum status counting_new(const struct spec *spec, size_t labels_max, struct counting **ret_counting,
                         struct error *err) {
    struct counting *counting = memory_new(1, sizeof *counting);
    if (!counting)
        return error_no_memory(err, sizeof *counting, "rates");
    counting->spec = spec;
    counting->labels_max = labels_max;
    arena_init(&counting->run, 4096);
    enum status status = rate_keys_of(spec, &counting->run, &counting->keys, err);
    if (status == STATUS_OK)
        status = rates_make(counting, false, &counting->rates, err);
    if (status == STATUS_OK)
        *ret_counting = counting;
    else
        counting_free(counting);
    return status;
}

void counting_free(struct counting *counting) {
    if (!counting)
        return;
    rates_free(counting->rates);
    arena_deinit(&counting->run);
    memory_free(counting->heap);
    memory_free(counting->heap_keys);
    memory_free(counting);
}

size_t counting_columns(const struct counting *counting) {
    return counting->keys.columns;
}

struct rates *counting_rates(struct counting *counting) {
    return counting->rates;
}

size_t counting_waiting(const struct counting *counting) {
    return counting->count;
}

uint64_t counting_dropped(const struct counting *counting) {
    return counting->dropped;
}

// ---- the heap -----------------------------------------------------------------------------------

static bool earlier(const struct waiting *a, const struct waiting *b) {
    return a->from_ms != b->from_ms ? a->from_ms < b->from_ms : a->arrival < b->arrival;
}

static uint64_t *keys_at(const struct counting *counting, size_t i) {
    return counting->heap_keys + i * counting->keys.count;
}

static void swap(struct counting *counting, size_t a, size_t b) {
    struct waiting kept = counting->heap[a];
    counting->heap[a] = counting->heap[b];
    counting->heap[b] = kept;
    for (size_t r = 0; r < counting->keys.count; r++) {
        uint64_t key = keys_at(counting, a)[r];
        keys_at(counting, a)[r] = keys_at(counting, b)[r];
        keys_at(counting, b)[r] = key;
    }
}

static enum status heap_reserve(struct counting *counting, size_t count, struct error *err) {
    if (count <= counting->capacity)
        return STATUS_OK;
    size_t old = counting->capacity, capacity = old ? 2 * old : 256, rates = counting->keys.count;
    while (capacity < count)
        capacity *= 2;
    struct waiting *heap = memory_resize(counting->heap, old, capacity, sizeof *heap);
    if (heap)
        counting->heap = heap;
    uint64_t *keys =
        memory_resize(counting->heap_keys, old * rates, capacity * rates, sizeof *keys);
    if (keys)
        counting->heap_keys = keys;
    if (!heap || !keys)
        return error_no_memory(err, capacity * (sizeof *heap + rates * sizeof *keys), "labels");
    counting->capacity = capacity;
    return STATUS_OK;
}

static void heap_rise(struct counting *counting, size_t at) {
    while (at > 0 && earlier(&counting->heap[at], &counting->heap[(at - 1) / 2])) {
        swap(counting, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static void heap_take(struct counting *counting) {
    swap(counting, 0, --counting->count);
    for (size_t at = 0;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < counting->count; child++)
            if (earlier(&counting->heap[child], &counting->heap[least]))
                least = child;
        if (least == at)
            return;
        swap(counting, at, least);
        at = least;
    }
}

// ---- reading and labelling ----------------------------------------------------------------------

// A time before or after any calendar stays there.
static int64_t time_add(int64_t time_ms, int64_t add_ms) {
    int64_t sum;
    if (__builtin_add_overflow(time_ms, add_ms, &sum))
        return add_ms > 0 ? INT64_MAX : INT64_MIN;
    return sum;
}

enum status counting_catch_up(struct counting *counting, int64_t now_ms, struct error *err) {
    enum status status = STATUS_OK;
    while (counting->count > 0 && counting->heap[0].from_ms <= now_ms && status == STATUS_OK) {
        const struct waiting *label = &counting->heap[0];
        for (size_t r = 0; r < counting->keys.count && status == STATUS_OK; r++) {
            const struct rate_key *key = &counting->keys.rates[r];
            if (key->tasks >> label->task & 1)
                status = rates_label(counting->rates, r, keys_at(counting, 0)[r],
                                     rate_key_task(key, label->task), label->from_ms,
                                     (double)label->label, (double)label->weight, err);
        }
        heap_take(counting);
    }
    return status;
}

void counting_peek(const struct counting *counting, const struct example *example, float *columns) {
    int64_t now_ms = time_add(example->event_time_ms, -counting->spec->rates_lag_ms);
    for (size_t r = 0; r < counting->keys.count; r++) {
        const struct rate_key *key = &counting->keys.rates[r];
        uint64_t id = rate_key_of(key, example->ids, example->domain, example->domain_length);
        rates_read(counting->rates, r, id, now_ms, columns);
        columns += 2 * key->task_count;
    }
}

enum status counting_read(struct counting *counting, const struct example *example, float *columns,
                          struct error *err) {
    int64_t now_ms = time_add(example->event_time_ms, -counting->spec->rates_lag_ms);
    enum status status = counting_catch_up(counting, now_ms, err);
    counting_peek(counting, example, columns);
    return status;
}

enum status counting_label(struct counting *counting, const struct example *example, size_t task,
                           int64_t event_time_ms, double label, double weight, struct error *err) {
    if (counting->keys.count == 0)
        return STATUS_OK;
    if (counting->count >= counting->labels_max) {
        counting->dropped++;
        return STATUS_OK;
    }
    enum status status = heap_reserve(counting, counting->count + 1, err);
    if (status != STATUS_OK)
        return status;
    size_t at = counting->count++;
    counting->heap[at] = (struct waiting){
        .from_ms = time_add(event_time_ms, spec_task_at(counting->spec, task)->window_ms),
        .arrival = counting->arrivals++,
        .task = (uint32_t)task,
        .label = (float)label,
        .weight = (float)weight};
    for (size_t r = 0; r < counting->keys.count; r++)
        keys_at(counting, at)[r] = rate_key_of(&counting->keys.rates[r], example->ids,
                                               example->domain, example->domain_length);
    heap_rise(counting, at);
    return STATUS_OK;
}

// ---- publishing ---------------------------------------------------------------------------------

// Makes the row of a key what it is in the trainer's rates; false = it has none and gets none yet.
static enum status ahead_begin(struct counting *counting, struct rates *ahead, size_t r,
                               uint64_t key, bool *ret_there, struct error *err) {
    float values[2 + 2 * SPEC_TASKS_MAX];
    *ret_there = key != 0 && (rates_row_get(ahead, r, key, values) ||
                              spec_rate_at(counting->spec, r)->admit == 1 || key == RATES_TOTAL);
    if (key == 0 || rates_row_get(ahead, r, key, values))
        return STATUS_OK;
    if (rates_row_get(counting->rates, r, key, values)) {
        *ret_there = true;
        enum status status = rates_row_put(ahead, r, key, values, err);
        if (status != STATUS_OK)
            return status;
    }
    return *ret_there ? rates_touch(counting->rates, r, key, err) : STATUS_OK;
}

static enum status ahead_label(struct counting *counting, struct rates *ahead, size_t at,
                               struct error *err) {
    const struct waiting *label = &counting->heap[at];
    enum status status = STATUS_OK;
    for (size_t r = 0; r < counting->keys.count && status == STATUS_OK; r++) {
        const struct rate_key *rate = &counting->keys.rates[r];
        uint64_t key = keys_at(counting, at)[r];
        bool there, total;
        if ((rate->tasks >> label->task & 1) == 0 || key == 0)
            continue;
        status = ahead_begin(counting, ahead, r, RATES_TOTAL, &total, err);
        if (status == STATUS_OK)
            status = ahead_begin(counting, ahead, r, key, &there, err);
        if (status == STATUS_OK)
            status =
                rates_label(ahead, r, there ? key : RATES_TOTAL, rate_key_task(rate, label->task),
                            label->from_ms, (double)label->label, (double)label->weight, err);
    }
    return status;
}

struct turn {
    int64_t from_ms;
    uint64_t arrival;
    size_t at;
};

static int turn_compare(const void *left, const void *right) {
    const struct turn *a = left, *b = right;
    if (a->from_ms != b->from_ms)
        return a->from_ms < b->from_ms ? -1 : 1;
    return a->arrival < b->arrival ? -1 : a->arrival > b->arrival;
}

enum status counting_ahead(struct counting *counting, int64_t now_ms, struct rates **ret_ahead,
                           struct error *err) {
    struct turn *turns = memory_new(counting->count + 1, sizeof *turns);
    struct rates *ahead = NULL;
    size_t count = 0;
    if (!turns)
        return error_no_memory(err, counting->count * sizeof *turns, "labels of rates");
    for (size_t i = 0; i < counting->count; i++)
        if (counting->heap[i].from_ms <= now_ms)
            turns[count++] = (struct turn){counting->heap[i].from_ms, counting->heap[i].arrival, i};
    qsort(turns, count, sizeof *turns, turn_compare);
    enum status status = rates_make(counting, true, &ahead, err);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = ahead_label(counting, ahead, turns[i].at, err);
    memory_free(turns);
    if (status == STATUS_OK)
        *ret_ahead = ahead;
    else
        rates_free(ahead);
    return status;
}

// ---- saving -------------------------------------------------------------------------------------

void counting_save(const struct counting *counting, struct buffer *into) {
    rates_save(counting->rates, into);
    wire_put_long(into, (int64_t)counting->arrivals);
    wire_put_long(into, (int64_t)counting->dropped);
    wire_put_long(into, (int64_t)counting->count);
    for (size_t i = 0; i < counting->count; i++) {
        const struct waiting *label = &counting->heap[i];
        wire_put_long(into, label->from_ms);
        wire_put_long(into, (int64_t)label->arrival);
        wire_put_long(into, label->task);
        wire_put_float(into, label->label);
        wire_put_float(into, label->weight);
        for (size_t r = 0; r < counting->keys.count; r++)
            wire_put_fixed64(into, keys_at(counting, i)[r]);
    }
}

// The heap's order is saved as it is, so that it goes on as it would have.
enum status counting_load(struct counting *counting, struct wire *in, struct error *err) {
    REQUIRE(counting->count == 0);
    enum status status = rates_load(counting->rates, in, err);
    counting->arrivals = (uint64_t)wire_get_long(in);
    counting->dropped = (uint64_t)wire_get_long(in);
    int64_t count = wire_get_long(in);
    for (int64_t i = 0; i < count && !in->bad && status == STATUS_OK; i++) {
        status = heap_reserve(counting, counting->count + 1, err);
        if (status != STATUS_OK)
            return status;
        size_t at = counting->count++;
        struct waiting *label = &counting->heap[at];
        label->from_ms = wire_get_long(in);
        label->arrival = (uint64_t)wire_get_long(in);
        int64_t task = wire_get_long(in);
        in->bad |= task < 0 || (size_t)task >= counting->spec->tasks.count;
        label->task = (uint32_t)task;
        label->label = wire_get_float(in);
        label->weight = wire_get_float(in);
        for (size_t r = 0; r < counting->keys.count; r++)
            keys_at(counting, at)[r] = wire_get_fixed64(in);
    }
    if (status == STATUS_OK && (in->bad || count < 0))
        return error_set(err, STATUS_CORRUPT, "could not read the labels of rates: malformed");
    return status;
}
