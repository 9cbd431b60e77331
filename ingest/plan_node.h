// The nodes of a plan: private to plan.c, which makes them, and plan_walk.c, which follows them.
#ifndef FRESHET_INGEST_PLAN_NODE_H
#define FRESHET_INGEST_PLAN_NODE_H

#include "ingest/plan.h"

struct plan_node;
struct plan_step {                  // of a record, in the order of its fields
    const struct plan_node *node;   // wanted, or NULL
    const struct schema_type *skip; // not wanted, of varying size, or NULL
    int64_t bytes;                  // neither: so many bytes are passed over
};
struct plan_entry { // of a map
    const struct path_segment *key;
    const struct plan_node *node;
};
struct plan_node {
    const struct schema_type *type;
    uint32_t *slots; // wants whose path ends here
    size_t slot_count;
    bool each; // the array of events: its place is noted and its items are walked later
    struct plan_step *steps;
    size_t step_count;
    const struct plan_node **branches; // of a union, [type->count], NULL = not wanted
    struct plan_entry *entries;
    size_t entry_count;
    const struct plan_node *items; // of an array, for list wants
};

struct plan {
    struct arena arena;
    const struct plan_want *wants;
    size_t count;
    size_t outer_singles; // single wants of the record, of an item: what plan_peek looks for
    size_t item_singles;
    unsigned *forms;               // [count]
    const struct plan_node *outer; // NULL: nothing wanted there
    const struct plan_node *item;  // with `each`
    const struct schema_type *root;
    const struct schema_type *item_type; // with `each`, else NULL
};

#endif
