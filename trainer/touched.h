// The rows of one table that a minibatch touches: each once, with the places where it occurs.
//
// Made and collected by one thread a table, in the order fields, lanes, then rows (an id of a
// factor counts at its first one), so that neither threads nor the index decide which row is new
// first. Unseen ids get their row here, if the table's rule admits them; else they count as the
// default row. Gradients of a row are summed over its occurrences in that order.
#ifndef FRESHET_TRAINER_TOUCHED_H
#define FRESHET_TRAINER_TOUCHED_H

#include "model/network.h"
#include "trainer/life.h"

#define TOUCHED_ID UINT32_MAX
#define TOUCHED_ITEM (UINT32_MAX - 1)
struct occurrence {
    uint32_t position; // of the activations, or of their ids, or of their sequences' items
    uint32_t column;   // of the input plane; TOUCHED_ID: all rows of an id of a lane; TOUCHED_ITEM:
                       // an item of a sequence, `position` is its first element
    real share;        // 1, or 1 / length in a mean-pooled list
};
struct room { // a growing array
    void *block;
    size_t capacity;
};
enum {
    TOUCHED_SLOTS,
    TOUCHED_BEGIN,
    TOUCHED_UNIQUE,
    TOUCHED_FOUND,
    TOUCHED_SORTED,
    TOUCHED_GRADIENTS,
    TOUCHED_MARK,
    TOUCHED_CHANGED,
    TOUCHED_CHANGES,
    TOUCHED_ROOMS
};
struct touched {
    size_t table;
    size_t count;                   // rows touched
    uint32_t *slots;                // [count] in order of first occurrence
    uint32_t *begin;                // [count + 1] into occurrences
    struct occurrence *occurrences; // row by row
    real *gradients; // [count][stride]: a gradient a pass, then one number a task (wide)
    size_t stride, passes;
    struct occurrence *found; // in the order of the batch
    uint32_t *unique;         // [found] place in `slots`
    uint32_t *mark; // [slots of the table] 1 + place in `slots` while a batch is collected, else 0
    // Changes to be told to publishers.
    bool *changed;     // [slots of the table]
    uint32_t *changes; // [change_count] slots in order of first touch
    size_t change_count;
    struct room rooms[TOUCHED_ROOMS]; // what the arrays above lie in
};
void touched_deinit(struct touched *touched);

// What to collect from: slots as looked up, 0 where an id has no row; written where rows are made.
struct touched_source {
    const struct minibatch *batch;
    uint32_t *slots; // [categorical][stride]
    size_t stride;
    uint32_t **list_slots;     // [multi]
    const uint32_t *positions; // [batch rows]
    const uint32_t *domains;   // [batch rows] as trained
    struct activations *act;   // its ids' slots are written where rows are made
    const struct lane *lanes;
    size_t lane_count;
    struct life *life;     // the table's rule
    struct table_cut *cut; // told of holes that are filled
    uint64_t step;         // number of the learner's step
};
// Makes room, and the rows of ids that have none and get one. STATUS_EXHAUSTED.
CHECKED enum status touched_make_rows(struct touched *touched, struct model *model,
                                      const struct touched_source *source, size_t passes,
                                      struct error *err);
// Collects the rows, which count as changed from now on. They were made; while this runs, others
// may read them, and the source.
void touched_collect(struct touched *touched, struct model *model,
                     const struct touched_source *source);
// Sums gradients of rows [first, first + count) from the input's slopes of the active passes.
void touched_sum(const struct touched *touched, const struct model *model,
                 const struct activations *act, const bool *active_passes, size_t first,
                 size_t count);
static inline real *touched_gradient(const struct touched *touched, size_t row, size_t pass,
                                     size_t dimension) {
    return touched->gradients + row * touched->stride + pass * dimension;
}
// Makes room for marks of `rows` slots, `changes` of which may change before the next call.
// STATUS_EXHAUSTED.
CHECKED enum status touched_reserve(struct touched *touched, size_t rows, size_t changes,
                                    struct error *err);
void touched_change(struct touched *touched, uint32_t slot); // the room was made
void touched_changes_clear(struct touched *touched);

#endif
