// A consistent cut of a table's rows, copied bit by bit while the table goes on changing.
//
// Two bits a row: `changed` since the last cut, and `waiting`: in the cut, not copied yet. A cut
// makes the first the second, in no time whatever the table's size. From then on rows are copied a
// few at a time; whoever is about to change a row, to remove one, or to fill a hole says so first
// (table_cut_change), and if it is still waiting it is copied then, as it was at the cut.
//
// A row is copied as the record {id, 8 bytes; slot, 4; values; state}, numbers as in memory; a hole
// has id 0. One thread a table.
#ifndef FRESHET_MODEL_TABLE_CUT_H
#define FRESHET_MODEL_TABLE_CUT_H

#include "model/table.h"

struct table_cut {
    uint64_t *changed, *waiting; // bits by slot, [words]
    size_t words;
    uint32_t slots;      // of the table at the cut
    size_t next;         // word that copying goes on from
    size_t left;         // rows waiting
    bool complete;       // every row counts as changed
    struct buffer early; // records of rows that changed before their turn
};
void table_cut_init(struct table_cut *cut); // every row counts as changed
void table_cut_deinit(struct table_cut *cut);
void table_cut_reset(struct table_cut *cut, bool complete); // nothing waits; all or no row changed

// Room for the table's slots. STATUS_EXHAUSTED.
CHECKED enum status table_cut_reserve(struct table_cut *cut, const struct table *table,
                                      struct error *err);
// A slot of the table is about to change, or is new. There is room.
void table_cut_change(struct table_cut *cut, const struct table *table, uint32_t slot);
size_t table_cut_changed(const struct table_cut *cut, const struct table *table); // rows
// The cut: of all rows, or of those that changed since the last. None is under way. There is room.
void table_cut_begin(struct table_cut *cut, const struct table *table, bool whole);
size_t table_cut_left(const struct table_cut *cut); // rows that wait, early ones included
// Appends up to rows_max records of the cut, early ones first; returns how many. Whether memory
// sufficed, into->failed tells.
size_t table_cut_copy(struct table_cut *cut, const struct table *table, size_t rows_max,
                      struct buffer *into);

static inline size_t table_record_bytes(const struct table *table) {
    return sizeof(uint64_t) + sizeof(uint32_t) + (table->width + table->state_width) * sizeof(real);
}
// Puts a record's row at its slot, which lies below table->slots; the index is not touched. False
// for a slot beyond. Threads may put different rows at once.
bool table_record_put(struct table *table, const unsigned char *record);

#endif
