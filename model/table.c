// The table of rows: blocks, the index over them, insertion and removal.
//
// The index is probed linearly, by tags of a byte, and kept at most seven eighths full; a removal
// shifts the entries behind it back (Knuth, TAOCP 3, 6.4 R), so no tombstones gather.
#include "model/table.h"

#include <string.h>

#include "base/hash.h"

#define INDEX_CAPACITY_MIN 64u
#define PREFETCH_AHEAD 12
enum { TOGETHER_BYTES = 2 << 20 }; // a huge page: values of blocks that are allocated together

static enum status blocks_reserve(struct table *table, size_t needed, struct error *err) {
    if (needed <= table->block_capacity)
        return STATUS_OK;
    size_t capacity = table->block_capacity ? 2 * table->block_capacity : 8;
    capacity = capacity > needed ? capacity : needed;
    struct table_block *blocks =
        memory_resize(table->blocks, table->block_capacity, capacity, sizeof *blocks);
    if (!blocks)
        return error_no_memory(err, capacity * sizeof *blocks, "blocks of an embedding table");
    table->blocks = blocks;
    table->block_capacity = capacity;
    return STATUS_OK;
}

// Adds a block; many together once the table is larger than that, so that their rows lie in huge
// pages: looking up their addresses otherwise costs as much as the rows themselves.
static enum status block_add(struct table *table, struct error *err) {
    size_t together = TOGETHER_BYTES / (TABLE_BLOCK_ROWS * table->width * sizeof(real)) + 1;
    together = table->block_count < together ? 1 : together;
    enum status status = blocks_reserve(table, table->block_count + together, err);
    if (status != STATUS_OK)
        return status;
    size_t rows = together * TABLE_BLOCK_ROWS, state_width = table->state_width;
    struct table_block block = {
        .first = true,
        .ids = memory_new(rows, sizeof *block.ids),
        .values = memory_new(rows * table->width, sizeof *block.values),
        .state = memory_new(rows * (state_width ? state_width : 1), sizeof *block.state),
    };
    if (!block.ids || !block.values || !block.state) {
        memory_free(block.ids);
        memory_free(block.values);
        memory_free(block.state);
        return error_no_memory(err, rows * table->width * sizeof(real),
                               "rows of an embedding table");
    }
    for (size_t i = 0; i < rows * state_width; i++)
        block.state[i] = table->state_fill;
    for (size_t i = 0; i < together; i++, block.first = false) {
        table->blocks[table->block_count++] = block;
        block.ids += TABLE_BLOCK_ROWS;
        block.values += TABLE_BLOCK_ROWS * table->width;
        block.state += TABLE_BLOCK_ROWS * state_width;
    }
    return STATUS_OK;
}

// An empty index instead of the one there is, if any.
static enum status index_make(struct table *table, size_t capacity, struct error *err) {
    uint32_t *index = memory_new(capacity, sizeof *index);
    uint8_t *tags = memory_new(capacity, sizeof *tags);
    if (!index || !tags) {
        memory_free(index);
        memory_free(tags);
        return error_no_memory(err, capacity * (sizeof *index + sizeof *tags), "a table's index");
    }
    memory_free(table->index);
    memory_free(table->tags);
    table->index = index;
    table->tags = tags;
    table->index_capacity = capacity;
    return STATUS_OK;
}

static bool index_too_full(size_t rows, size_t capacity) {
    return 8 * rows > 7 * capacity;
}

enum status table_init(struct table *table, size_t width, size_t state_width, real state_fill,
                       struct error *err) {
    *table = (struct table){.width = width, .state_width = state_width, .state_fill = state_fill};
    enum status status = index_make(table, INDEX_CAPACITY_MIN, err);
    if (status == STATUS_OK)
        status = block_add(table, err);
    if (status == STATUS_OK)
        table->slots = table->hole = 1;
    return status;
}

void table_deinit(struct table *table) {
    for (size_t i = 0; i < table->block_count; i++) {
        if (!table->blocks[i].first)
            continue;
        memory_free(table->blocks[i].ids);
        memory_free(table->blocks[i].values);
        memory_free(table->blocks[i].state);
    }
    memory_free(table->blocks);
    memory_free(table->index);
    memory_free(table->tags);
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
    memset(table->tags, 0, table->index_capacity * sizeof *table->tags);
    table->slots = table->hole = 1;
    table->holes = 0;
}

size_t table_rows(const struct table *table) {
    return (size_t)table->slots - 1 - table->holes;
}

static inline uint8_t tag_of(uint64_t hash) {
    return (uint8_t)(hash >> 56 | 0x80);
}

// The entry of an id, or the free one where it would go.
static size_t index_find(const struct table *table, uint64_t id) {
    uint64_t hash = hash_mix(id);
    size_t mask = table->index_capacity - 1, at = (size_t)hash & mask;
    uint8_t tag = tag_of(hash);
    while (table->tags[at] != 0 &&
           !(table->tags[at] == tag && table_id(table, table->index[at]) == id))
        at = (at + 1) & mask;
    return at;
}

static inline uint32_t index_slot(const struct table *table, size_t at) {
    return table->tags[at] ? table->index[at] : TABLE_DEFAULT_SLOT;
}

uint32_t table_find(const struct table *table, uint64_t id) {
    return id == 0 ? TABLE_DEFAULT_SLOT : index_slot(table, index_find(table, id));
}

// A slot that is the id's, if it has one, but for one in a hundred: no row is looked at.
static uint32_t index_guess(const struct table *table, uint64_t id) {
    uint64_t hash = hash_mix(id);
    size_t mask = table->index_capacity - 1, at = (size_t)hash & mask;
    while (table->tags[at] != 0 && table->tags[at] != tag_of(hash))
        at = (at + 1) & mask;
    return index_slot(table, at);
}

void table_find_many(const struct table *table, const uint64_t *ids, size_t count,
                     uint32_t *ret_slots) {
    size_t mask = table->index_capacity - 1;
    for (size_t i = 0; i < count + 2 * PREFETCH_AHEAD; i++) {
        if (i < count) {
            size_t at = (size_t)hash_mix(ids[i]) & mask;
            __builtin_prefetch(&table->tags[at]);
            __builtin_prefetch(&table->index[at]);
        }
        if (i >= PREFETCH_AHEAD && i - PREFETCH_AHEAD < count) {
            size_t near = i - PREFETCH_AHEAD;
            uint32_t slot = index_guess(table, ids[near]);
            ret_slots[near] = slot;
            __builtin_prefetch(
                &table->blocks[slot / TABLE_BLOCK_ROWS].ids[slot % TABLE_BLOCK_ROWS]);
            __builtin_prefetch(table_values(table, slot));
        }
        if (i >= 2 * PREFETCH_AHEAD) {
            size_t now = i - 2 * PREFETCH_AHEAD;
            if (ids[now] == 0 || table_id(table, ret_slots[now]) != ids[now])
                ret_slots[now] = table_find(table, ids[now]);
        }
    }
}

static void index_set(struct table *table, size_t at, uint64_t id, uint32_t slot) {
    table->tags[at] = tag_of(hash_mix(id));
    table->index[at] = slot;
}

static void index_put(struct table *table, uint64_t id, uint32_t slot) {
    size_t mask = table->index_capacity - 1;
    size_t at = (size_t)hash_mix(id) & mask;
    while (table->tags[at] != 0)
        at = (at + 1) & mask;
    index_set(table, at, id, slot);
}

static enum status index_grow(struct table *table, struct error *err) {
    enum status status = index_make(table, 2 * table->index_capacity, err);
    for (uint32_t slot = 1; slot < table->slots && status == STATUS_OK; slot++)
        if (table_id(table, slot) != 0)
            index_put(table, table_id(table, slot), slot);
    return status;
}

uint32_t table_next(struct table *table) {
    if (table->holes == 0)
        return table->slots;
    while (table_id(table, table->hole) != 0)
        table->hole++;
    return table->hole;
}

static enum status slot_add(struct table *table, struct error *err) {
    if (table->slots == UINT32_MAX)
        return error_set(err, STATUS_EXHAUSTED, "could not add a row: the table is full");
    enum status status = STATUS_OK;
    if (table->slots == table->block_count * TABLE_BLOCK_ROWS)
        status = block_add(table, err);
    if (status == STATUS_OK)
        table->slots++;
    return status;
}

// Puts an id (not 0) without a row into a hole, or into the slot behind all others.
static enum status row_put(struct table *table, uint64_t id, uint32_t slot, struct error *err) {
    enum status status = STATUS_OK;
    if (index_too_full(table_rows(table) + 1, table->index_capacity))
        status = index_grow(table, err);
    if (status == STATUS_OK && slot == table->slots)
        status = slot_add(table, err);
    else if (status == STATUS_OK)
        table->holes--;
    if (status != STATUS_OK)
        return status;
    table->blocks[slot / TABLE_BLOCK_ROWS].ids[slot % TABLE_BLOCK_ROWS] = id;
    index_put(table, id, slot);
    return STATUS_OK;
}

enum status table_insert(struct table *table, uint64_t id, uint32_t *ret_slot, struct error *err) {
    REQUIRE(id != 0);
    uint32_t slot = table_next(table);
    enum status status = row_put(table, id, slot, err);
    if (status == STATUS_OK)
        *ret_slot = slot;
    return status;
}

enum status table_append(struct table *table, uint64_t id, uint32_t *ret_slot, struct error *err) {
    uint32_t slot = table->slots;
    enum status status = id != 0 ? row_put(table, id, slot, err) : slot_add(table, err);
    if (status != STATUS_OK)
        return status;
    table->holes += id == 0;
    *ret_slot = slot;
    return STATUS_OK;
}

static void index_remove(struct table *table, size_t hole) {
    size_t mask = table->index_capacity - 1;
    for (size_t at = (hole + 1) & mask; table->tags[at] != 0; at = (at + 1) & mask) {
        size_t home = (size_t)hash_mix(table_id(table, table->index[at])) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            table->index[hole] = table->index[at];
            table->tags[hole] = table->tags[at];
            hole = at;
        }
    }
    table->tags[hole] = 0;
}

bool table_remove(struct table *table, uint64_t id) {
    uint32_t slot = table_find(table, id);
    if (slot == TABLE_DEFAULT_SLOT)
        return false;
    index_remove(table, index_find(table, id));
    table->blocks[slot / TABLE_BLOCK_ROWS].ids[slot % TABLE_BLOCK_ROWS] = 0;
    row_clear(table, slot);
    table->holes++;
    table->hole = slot < table->hole ? slot : table->hole;
    return true;
}

enum status table_restore(struct table *table, uint32_t slots, struct error *err) {
    enum status status = STATUS_OK;
    size_t capacity = table->index_capacity;
    table_reset(table);
    while (index_too_full(slots, capacity))
        capacity *= 2;
    if (capacity > table->index_capacity)
        status = index_make(table, capacity, err);
    while (status == STATUS_OK && table->block_count * TABLE_BLOCK_ROWS < slots)
        status = block_add(table, err);
    if (status == STATUS_OK)
        table->slots = slots;
    return status;
}

enum status table_restored(struct table *table, struct error *err) {
    size_t mask = table->index_capacity - 1;
    for (uint32_t slot = 1; slot < table->slots; slot++) {
        if (slot + PREFETCH_AHEAD < table->slots) {
            size_t ahead = (size_t)hash_mix(table_id(table, slot + PREFETCH_AHEAD)) & mask;
            __builtin_prefetch(&table->tags[ahead], 1);
            __builtin_prefetch(&table->index[ahead], 1);
        }
        uint64_t id = table_id(table, slot);
        if (id == 0) {
            table->holes++;
            continue;
        }
        size_t at = index_find(table, id);
        if (table->tags[at] != 0)
            return error_set(err, STATUS_CORRUPT, "could not load a table: a row's id comes twice");
        index_set(table, at, id, slot);
    }
    return STATUS_OK;
}
