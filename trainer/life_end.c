// When rows leave: their age and uses, and who makes room for others.
#include "trainer/life.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

enum { LOOKS = 16, KEY_HALVES = 1 << 16 };

// A row's life, as it lies behind the optimiser's state: whole seconds as bits, then a number.
struct row_life {
    uint32_t used_s; // 0 = not known
    real uses;       // at least 1 once it has been used
};

static struct row_life row_get(const struct life *life, const struct table *table, uint32_t slot) {
    const real *at = table_state(table, slot) + life->at;
    struct row_life row = {.uses = at[1]};
    memcpy(&row.used_s, at, sizeof row.used_s);
    if (!(row.uses >= (real)1))
        row = (struct row_life){0}; // no step has used it
    return row;
}

static void row_put(const struct life *life, const struct table *table, uint32_t slot,
                    struct row_life row) {
    real *at = table_state(table, slot) + life->at;
    at[0] = 0;
    memcpy(at, &row.used_s, sizeof row.used_s);
    at[1] = row.uses;
}

void life_begin(const struct life *life, const struct table *table, uint32_t slot) {
    if (life->expires)
        row_put(life, table, slot, (struct row_life){0});
}

uint32_t life_seconds(int64_t time_ms) {
    int64_t seconds = time_ms / 1000;
    return seconds <= 0 ? 0 : seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
}

static uint32_t age_of(struct row_life row, uint32_t now_s) {
    return now_s > row.used_s ? now_s - row.used_s : 0;
}

static double uses_of(const struct life *life, struct row_life row, uint32_t now_s) {
    return (double)row.uses *
           exp2(-(double)age_of(row, now_s) * 1000 / (double)life->rule.half_life_ms);
}

void life_use(const struct life *life, const struct table *table, uint32_t slot, uint32_t now_s) {
    if (!life->expires || slot == TABLE_DEFAULT_SLOT)
        return;
    struct row_life row = row_get(life, table, slot);
    row.uses = (real)(1 + uses_of(life, row, now_s));
    row.used_s = now_s > row.used_s ? now_s : row.used_s;
    row_put(life, table, slot, row);
}

enum status life_gone_add(struct life *life, uint64_t id, struct error *err) {
    if (life->gone_count == life->gone_capacity) {
        size_t capacity = life->gone_capacity ? 2 * life->gone_capacity : 256;
        uint64_t *gone = memory_resize(life->gone, life->gone_capacity, capacity, sizeof *gone);
        if (!gone)
            return error_no_memory(err, capacity * sizeof *gone, "ids of rows that left");
        life->gone = gone;
        life->gone_capacity = capacity;
    }
    life->gone[life->gone_count++] = id;
    return STATUS_OK;
}

void life_gone_clear(struct life *life) {
    life->gone_count = 0;
}

static enum status row_end(struct life *life, struct table *table, struct table_cut *cut,
                           uint32_t slot, enum life_end why, struct error *err) {
    uint64_t id = table_id(table, slot);
    enum status status = life_gone_add(life, id, err);
    if (status != STATUS_OK)
        return status;
    table_cut_change(cut, table, slot);
    table_remove(table, id);
    life->ended[why]++;
    return STATUS_OK;
}

// ---- by age and uses

// Event time between two looks, in seconds; 0 = nobody looks.
static uint32_t period_of(const struct life *life) {
    int64_t least = INT64_MAX;
    if (life->rule.expire_after_ms > 0)
        least = life->rule.expire_after_ms;
    if (life->rule.expire_uses > 0 && life->rule.half_life_ms < least)
        least = life->rule.half_life_ms;
    if (least == INT64_MAX)
        return 0;
    uint32_t period = life_seconds(least / LOOKS);
    return period ? period : 1;
}

static enum status look_at(struct life *life, struct table *table, struct table_cut *cut,
                           uint32_t slot, uint32_t now_s, struct error *err) {
    struct row_life row = row_get(life, table, slot);
    if (row.used_s == 0) {
        table_cut_change(cut, table, slot);
        life_use(life, table, slot, now_s);
        return STATUS_OK;
    }
    if (life->rule.expire_after_ms > 0 &&
        (int64_t)age_of(row, now_s) * 1000 >= life->rule.expire_after_ms)
        return row_end(life, table, cut, slot, LIFE_AGE, err);
    if (uses_of(life, row, now_s) < life->rule.expire_uses)
        return row_end(life, table, cut, slot, LIFE_USES, err);
    return STATUS_OK;
}

// ---- by room

// Orders rows by their uses as of now: the larger, the more. Logarithms, as uses may underflow.
static uint32_t key_of(const struct life *life, const struct table *table, uint32_t slot,
                       uint32_t now_s) {
    struct row_life row = row_get(life, table, slot);
    double worth = row.used_s == 0 ? 0
                                   : log2((double)row.uses) - (double)age_of(row, now_s) * 1000 /
                                                                  (double)life->rule.half_life_ms;
    float narrow = (float)worth;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    return bits >> 31 ? ~bits : bits | UINT32_C(1) << 31;
}

// The half of a key, of the rows whose upper half is `upper` (all where it is KEY_HALVES), at which
// rows of `*weight` are reached; lowers *weight by those before.
static uint32_t half_find(const struct life_room *rooms, size_t count, uint32_t now_s,
                          uint32_t upper, uint64_t *weight, uint64_t *weights) {
    memset(weights, 0, KEY_HALVES * sizeof *weights);
    for (size_t i = 0; i < count; i++) {
        for (uint32_t slot = 1; slot < rooms[i].table->slots; slot++) {
            if (table_id(rooms[i].table, slot) == 0)
                continue;
            uint32_t key = key_of(rooms[i].life, rooms[i].table, slot, now_s);
            if (upper == KEY_HALVES)
                weights[key >> 16] += rooms[i].weight;
            else if (key >> 16 == upper)
                weights[key & (KEY_HALVES - 1)] += rooms[i].weight;
        }
    }
    uint32_t half = 0;
    for (; weights[half] < *weight; half++)
        *weight -= weights[half];
    return half;
}

enum status life_make_room(const struct life_room *rooms, size_t count, uint32_t now_s,
                           uint64_t weight, struct error *err) {
    uint64_t *weights = memory_new(KEY_HALVES, sizeof *weights);
    if (!weights)
        return error_no_memory(err, KEY_HALVES * sizeof *weights, "making room for rows");
    uint32_t upper = half_find(rooms, count, now_s, KEY_HALVES, &weight, weights);
    uint32_t last = upper << 16 | half_find(rooms, count, now_s, upper, &weight, weights);
    memory_free(weights);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count; i++) {
        const struct life_room *room = &rooms[i];
        for (uint32_t slot = 1; slot < room->table->slots && status == STATUS_OK; slot++) {
            if (table_id(room->table, slot) == 0)
                continue;
            uint32_t key = key_of(room->life, room->table, slot, now_s);
            if (key > last || (key == last && weight == 0))
                continue;
            if (key == last)
                weight -= weight < room->weight ? weight : room->weight;
            status = row_end(room->life, room->table, room->cut, slot, LIFE_ROOM, err);
        }
    }
    return status;
}

enum status life_look(struct life *life, struct table *table, struct table_cut *cut, uint32_t now_s,
                      struct error *err) {
    if (!life->expires)
        return STATUS_OK;
    uint32_t period = period_of(life);
    enum status status = STATUS_OK;
    if (period > 0 && now_s / period > life->looked) {
        life->looked = now_s / period;
        for (uint32_t slot = 1; slot < table->slots && status == STATUS_OK; slot++)
            if (table_id(table, slot) != 0)
                status = look_at(life, table, cut, slot, now_s, err);
    }
    size_t rows = table_rows(table), most = (size_t)life->rule.rows_max;
    if (status == STATUS_OK && most > 0 && rows > most)
        status = life_make_room(&(struct life_room){life, table, cut, 1}, 1, now_s,
                                rows - (most - most / LIFE_SPARE), err);
    return status;
}
