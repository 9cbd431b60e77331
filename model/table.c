// The table of rows: blocks, the index over them, insertion and removal.
//
// The index is probed linearly and kept at most two thirds full; a removal shifts the entries
// behind it back (Knuth, TAOCP 3, 6.4 R), so no tombstones gather.
#include "model/table.h"

#include <string.h>

#include "base/hash.h"

#define INDEX_CAPACITY_MIN 64u
#define PREFETCH_AHEAD 12

static enum status block_add(struct table *table, struct error *err) {
    if (table->block_count == table->block_capacity) {
        size_t capacity = table->block_capacity ? 2 * table->block_capacity : 8;
        struct table_block *blocks =
            memory_resize(table->blocks, table->block_capacity, capacity, sizeof *blocks);
        if (!blocks)
            return error_no_memory(err, capacity * sizeof *blocks, "blocks of an embedding table");
        table->blocks = blocks;
        table->block_capacity = capacity;
    }
    struct table_block block = {
        .ids = memory_new(TABLE_BLOCK_ROWS, sizeof *block.ids),
        .values = memory_new(TABLE_BLOCK_ROWS * table->width, sizeof *block.values),
        .state = memory_new(TABLE_BLOCK_ROWS * (table->state_width ? table->state_width : 1),
                            sizeof *block.state),
    };
    if (!block.ids || !block.values || !block.state) {
        memory_free(block.ids);
        memory_free(block.values);
        memory_free(block.state);
        return error_no_memory(err, TABLE_BLOCK_ROWS * table->width * sizeof(real),
                               "rows of an embedding table");
    }
    for (size_t i = 0; i < TABLE_BLOCK_ROWS * table->state_width; i++)
        block.state[i] = table->state_fill;
    table->blocks[table->block_count++] = block;
    return STATUS_OK;
}

enum status table_init(struct table *table, size_t width, size_t state_width, real state_fill,
                       struct error *err) {
    *table = (struct table){.width = width, .state_width = state_width, .state_fill = state_fill};
    table->index = memory_new(INDEX_CAPACITY_MIN, sizeof *table->index);
    if (!table->index)
        return error_no_memory(err, INDEX_CAPACITY_MIN * sizeof *table->index, "a table's index");
    table->index_capacity = INDEX_CAPACITY_MIN;
    enum status status = block_add(table, err);
    if (status == STATUS_OK)
        table->slots = 1;
    return status;
}

void table_deinit(struct table *table) {
    for (size_t i = 0; i < table->block_count; i++) {
        memory_free(table->blocks[i].ids);
        memory_free(table->blocks[i].values);
        memory_free(table->blocks[i].state);
    }
    memory_free(table->blocks);
    memory_free(table->index);
    *table = (struct table){0};
}

static void row_clear(struct table *table, uint32_t slot) {
    memset(table_values(table, slot), 0, table->width * sizeof(real));
    real *state = table_state(table, slot);
    for (size_t i = 0; i < table->state_width; i++)
        state[i] = table->state_fill;
}

void table_reset(struct table *table) {
    for (uint32_t slot = 1; slot < table->slots; slot++) {
        table->blocks[slot / TABLE_BLOCK_ROWS].ids[slot % TABLE_BLOCK_ROWS] = 0;
        row_clear(table, slot);
    }
    memset(table->index, 0, table->index_capacity * sizeof *table->index);
    table->slots = 1;
    table->holes = 0;
}

size_t table_rows(const struct table *table) {
    return (size_t)table->slots - 1 - table->holes;
}

uint32_t table_find(const struct table *table, uint64_t id) {
    if (id == 0)
        return TABLE_DEFAULT_SLOT;
    size_t mask = table->index_capacity - 1;
    for (size_t at = (size_t)hash_mix(id) & mask;; at = (at + 1) & mask) {
        const struct table_entry *entry = &table->index[at];
        if (entry->slot == 0)
            return TABLE_DEFAULT_SLOT;
        if (entry->id == id)
            return entry->slot;
    }
}

void table_find_many(const struct table *table, const uint64_t *ids, size_t count,
                     uint32_t *ret_slots) {
    size_t mask = table->index_capacity - 1;
    for (size_t i = 0; i < count + PREFETCH_AHEAD; i++) {
        if (i < count)
            __builtin_prefetch(&table->index[(size_t)hash_mix(ids[i]) & mask]);
        if (i >= PREFETCH_AHEAD) {
            uint32_t slot = table_find(table, ids[i - PREFETCH_AHEAD]);
            ret_slots[i - PREFETCH_AHEAD] = slot;
            __builtin_prefetch(table_values(table, slot));
        }
    }
}

static void index_put(struct table *table, uint64_t id, uint32_t slot) {
    size_t mask = table->index_capacity - 1;
    size_t at = (size_t)hash_mix(id) & mask;
    while (table->index[at].slot != 0)
        at = (at + 1) & mask;
    table->index[at] = (struct table_entry){id, slot};
}

static enum status index_grow(struct table *table, struct error *err) {
    size_t capacity = 2 * table->index_capacity;
    struct table_entry *index = memory_new(capacity, sizeof *index);
    if (!index)
        return error_no_memory(err, capacity * sizeof *index, "a table's index");
    memory_free(table->index);
    table->index = index;
    table->index_capacity = capacity;
    for (uint32_t slot = 1; slot < table->slots; slot++)
        if (table_id(table, slot) != 0)
            index_put(table, table_id(table, slot), slot);
    return STATUS_OK;
}

enum status table_insert(struct table *table, uint64_t id, uint32_t *ret_slot, struct error *err) {
    REQUIRE(id != 0);
    if (table->slots == UINT32_MAX)
        return error_set(err, STATUS_EXHAUSTED, "could not add a row: the table is full");
    enum status status = STATUS_OK;
    if (3 * (table_rows(table) + 1) > 2 * table->index_capacity)
        status = index_grow(table, err);
    if (status == STATUS_OK && table->slots == table->block_count * TABLE_BLOCK_ROWS)
        status = block_add(table, err);
    if (status != STATUS_OK)
        return status;
    uint32_t slot = table->slots++;
    table->blocks[slot / TABLE_BLOCK_ROWS].ids[slot % TABLE_BLOCK_ROWS] = id;
    index_put(table, id, slot);
    *ret_slot = slot;
    return STATUS_OK;
}

static struct table_entry *index_find(struct table *table, uint64_t id) {
    size_t mask = table->index_capacity - 1;
    size_t at = (size_t)hash_mix(id) & mask;
    while (table->index[at].slot != 0 && table->index[at].id != id)
        at = (at + 1) & mask;
    return &table->index[at];
}

static void index_remove(struct table *table, struct table_entry *entry) {
    size_t mask = table->index_capacity - 1;
    size_t hole = (size_t)(entry - table->index);
    for (size_t at = (hole + 1) & mask; table->index[at].slot != 0; at = (at + 1) & mask) {
        size_t home = (size_t)hash_mix(table->index[at].id) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            table->index[hole] = table->index[at];
            hole = at;
        }
    }
    table->index[hole] = (struct table_entry){0, 0};
}

// Moves the rows behind holes down, in order.
static void holes_close(struct table *table) {
    uint32_t to = 1;
    for (uint32_t from = 1; from < table->slots; from++) {
        uint64_t id = table_id(table, from);
        if (id == 0)
            continue;
        if (to != from) {
            memcpy(table_values(table, to), table_values(table, from), table->width * sizeof(real));
            memcpy(table_state(table, to), table_state(table, from),
                   table->state_width * sizeof(real));
            table->blocks[to / TABLE_BLOCK_ROWS].ids[to % TABLE_BLOCK_ROWS] = id;
            index_find(table, id)->slot = to;
        }
        to++;
    }
    for (uint32_t slot = to; slot < table->slots; slot++) {
        table->blocks[slot / TABLE_BLOCK_ROWS].ids[slot % TABLE_BLOCK_ROWS] = 0;
        row_clear(table, slot);
    }
    table->slots = to;
    table->holes = 0;
}

bool table_remove(struct table *table, uint64_t id) {
    uint32_t slot = table_find(table, id);
    if (slot == TABLE_DEFAULT_SLOT)
        return false;
    index_remove(table, index_find(table, id));
    table->blocks[slot / TABLE_BLOCK_ROWS].ids[slot % TABLE_BLOCK_ROWS] = 0;
    row_clear(table, slot);
    table->holes++;
    if (2 * table->holes > table->slots)
        holes_close(table);
    return true;
}

enum status table_restore(struct table *table, uint32_t slots, struct error *err) {
    enum status status = STATUS_OK;
    size_t capacity = table->index_capacity;
    table_reset(table);
    while (3 * (size_t)slots > 2 * capacity)
        capacity *= 2;
    if (capacity > table->index_capacity) {
        struct table_entry *index = memory_new(capacity, sizeof *index);
        if (!index)
            return error_no_memory(err, capacity * sizeof *index, "a table's index");
        memory_free(table->index);
        table->index = index;
        table->index_capacity = capacity;
    }
    while (status == STATUS_OK && table->block_count * TABLE_BLOCK_ROWS < slots)
        status = block_add(table, err);
    if (status == STATUS_OK)
        table->slots = slots;
    return status;
}

enum status table_restored(struct table *table, struct error *err) {
    size_t mask = table->index_capacity - 1;
    for (uint32_t slot = 1; slot < table->slots; slot++) {
        if (slot + PREFETCH_AHEAD < table->slots)
            __builtin_prefetch(
                &table->index[(size_t)hash_mix(table_id(table, slot + PREFETCH_AHEAD)) & mask], 1);
        uint64_t id = table_id(table, slot);
        if (id == 0) {
            table->holes++;
            continue;
        }
        struct table_entry *entry = index_find(table, id);
        if (entry->slot != 0)
            return error_set(err, STATUS_CORRUPT, "could not load a table: a row's id comes twice");
        *entry = (struct table_entry){id, slot};
    }
    return STATUS_OK;
}
