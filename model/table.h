// An embedding table: id -> slot -> row, growing, without collisions.
//
// An open-addressing index maps an id to a slot. Slots lie in blocks that never move, and a row
// keeps its slot, so a pointer to a row lives as long as the row. Slot 0 is the default row: id 0
// and ids that have no row read it. Removed rows leave holes; a new row takes the lowest hole, or
// else the next slot. So slots depend on the history of insertions and removals alone, and nothing
// is ever walked in the order of the index. A table never gives memory back.
//
// Reading is safe from many threads while nobody inserts or removes.
#ifndef FRESHET_MODEL_TABLE_H
#define FRESHET_MODEL_TABLE_H

#include "base/memory.h"
#include "model/real.h"

#define TABLE_BLOCK_ROWS 1024
#define TABLE_DEFAULT_SLOT 0u

struct table_block {
    bool first;    // of the blocks that were allocated together, whose arrays begin here
    uint64_t *ids; // [TABLE_BLOCK_ROWS]; 0 = hole (or the default row)
    real *values;  // [TABLE_BLOCK_ROWS][width]
    real *state;   // [TABLE_BLOCK_ROWS][state_width], the optimiser's
};
struct table {
    size_t width, state_width;
    real state_fill; // what the state of a new row starts with
    uint32_t slots;  // taken, holes and the default row included
    uint32_t holes;
    uint32_t hole; // no hole lies below
    struct table_block *blocks;
    size_t block_count, block_capacity;
    // The index: 5 bytes an entry, since an id is told from others by its row. A tag is part of the
    // id's hash, 0 = free; most entries of other ids are passed over without a look at their row.
    uint8_t *tags;   // [index_capacity], a power of two
    uint32_t *index; // [index_capacity] slots
    size_t index_capacity;
};
// Makes the default row, zero. STATUS_EXHAUSTED.
CHECKED enum status table_init(struct table *table, size_t width, size_t state_width,
                               real state_fill, struct error *err);
void table_deinit(struct table *table);
void table_reset(struct table *table); // all rows but the default go, whose values stay

// The slot of an id, TABLE_DEFAULT_SLOT when it has none.
uint32_t table_find(const struct table *table, uint64_t id);
// The slots of many ids, with the memory latency hidden.
void table_find_many(const struct table *table, const uint64_t *ids, size_t count,
                     uint32_t *ret_slots);
// A new row of zeroes for an id (not 0) that has none, at table_next.
CHECKED enum status table_insert(struct table *table, uint64_t id, uint32_t *ret_slot,
                                 struct error *err);
// The slot that the next row will take: the lowest hole, or table->slots.
uint32_t table_next(struct table *table);
// The same behind all others, whatever holes there are; id 0 makes a hole. For loading in order.
CHECKED enum status table_append(struct table *table, uint64_t id, uint32_t *ret_slot,
                                 struct error *err);
bool table_remove(struct table *table, uint64_t id); // false when it has no row

// Makes room for rows that come by slot, as saved (table_record_put of table_cut.h): all rows but
// the default go, slots [1, slots) become holes. STATUS_EXHAUSTED.
CHECKED enum status table_restore(struct table *table, uint32_t slots, struct error *err);
// Then builds the index over them. STATUS_CORRUPT when an id comes twice.
CHECKED enum status table_restored(struct table *table, struct error *err);

size_t table_rows(const struct table *table); // without the default row
static inline uint64_t table_id(const struct table *table, uint32_t slot) {
    return table->blocks[slot / TABLE_BLOCK_ROWS].ids[slot % TABLE_BLOCK_ROWS];
}
static inline real *table_values(const struct table *table, uint32_t slot) {
    return table->blocks[slot / TABLE_BLOCK_ROWS].values +
           (size_t)(slot % TABLE_BLOCK_ROWS) * table->width;
}
static inline real *table_state(const struct table *table, uint32_t slot) {
    return table->blocks[slot / TABLE_BLOCK_ROWS].state +
           (size_t)(slot % TABLE_BLOCK_ROWS) * table->state_width;
}
// Asks for a row's values before they are needed.
static inline void table_prefetch(const struct table *table, uint32_t slot) {
    const char *values = (const char *)table_values(table, slot);
    for (size_t at = 0; at < table->width * sizeof(real); at += 64)
        __builtin_prefetch(values + at, 1);
}

#endif
