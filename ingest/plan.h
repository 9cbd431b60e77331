// The plan: mapped paths resolved against one writer schema, and the walk over a record's bytes
// that picks up their values and skips all else.
//
// plan_new binds the paths to the schema's graph once and tells, for each, which forms of value it
// can give there. plan_walk then reads a record straight through: every length, count, index and
// branch is checked, work is bounded by the record's bytes (zero-sized items are passed in one
// step), and depth by the plan. Values borrow from the record's bytes.
#ifndef FRESHET_INGEST_PLAN_H
#define FRESHET_INGEST_PLAN_H

#include "base/wire.h"
#include "ingest/paths.h"
#include "ingest/schema.h"

#define PLAN_NODES_MAX 65536
#define PLAN_SKIP_DEPTH_MAX 256 // recursion of a recursive schema's values
#define PLAN_ITEMS_MAX 65536    // events of one record

enum plan_form {
    PLAN_ABSENT = 1,  // the bytes hold no such path
    PLAN_NULL = 2,    // null
    PLAN_BOOLEAN = 4, // whole is 0 or 1
    PLAN_WHOLE = 8,   // int, long
    PLAN_REAL = 16,   // float, double
    PLAN_TEXT = 32,   // string, bytes, fixed, an enum's symbol
    PLAN_OTHER = 64,  // a record, array or map where a single value is wanted
};
struct plan_value {
    enum plan_form form;
    enum schema_logical logical;
    union {
        int64_t whole;
        double real;
        size_t length; // of text
    };
    const unsigned char *text;
};

struct plan_want {
    struct path path;
    bool list; // every value along the path, through arrays; else the one value
};
struct plan; // immutable once made

// Binds wants[count] (borrowed, the schema too) to the schema. `each`: path of the array whose
// items are the events, or NULL; wants whose path is not outer are then bound within its items.
// STATUS_INVALID: `each` is no array there, or too large.
CHECKED enum status plan_new(const struct schema *schema, const struct path *each,
                             const struct plan_want *wants, size_t count, struct plan **ret_plan,
                             struct error *err);
void plan_free(struct plan *plan);                      // NULL is fine
unsigned plan_forms(const struct plan *plan, size_t i); // union of enum plan_form; PLAN_ABSENT
                                                        // alone: the schema does not have the path
// What is available where path resolution ended, for messages: "`user` (a record) has id, name".
void plan_explain(const struct schema *schema, const struct path *each, const struct path *path,
                  struct buffer *into);

struct plan_sink {
    struct plan_value *values; // [count], set to PLAN_ABSENT before each walk of their part
    // Each value of a list want, in order. May be NULL when there is none.
    void (*listed)(void *self, size_t want, const struct plan_value *value);
    // Before the values of the record (outer) or of an item are set: forget lists of that part.
    void (*begin)(void *self, bool outer);
    // An event's values are complete; false ends the walk (its error is the sink's affair).
    bool (*event)(void *self);
    void *self;
};
// One record. False when its bytes are truncated, malformed, or more than the schema says; events
// before the fault have then been given already only if the fault lies behind them in the items.
bool plan_walk(const struct plan *plan, const void *bytes, size_t length,
               const struct plan_sink *sink);
// Only the first event's single values, stopping as soon as all are found; no calls.
bool plan_peek(const struct plan *plan, const void *bytes, size_t length,
               struct plan_value *values);

#endif
