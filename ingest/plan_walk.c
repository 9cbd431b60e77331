// Walks a record's bytes by a plan.
//
// The reader of base/wire.h never passes the record's end and stays bad after a fault, so that
// loops need to look at `bad` once a turn. Varying-sized items take at least a byte each, so a
// count beyond the bytes left is a fault; items of constant size are passed over by one
// multiplication.
#include <string.h>

#include "ingest/plan_node.h"

struct walker {
    const struct plan *plan;
    const struct plan_sink *sink;
    struct plan_value *values;
    const unsigned char *each_at; // where the array of events begins, or NULL
    bool peeking;
    size_t looked_for; // singles not found yet, when peeking
};

// The next block of an array or map: its number of items, 0 at the end; *ret_bytes is the block's
// size where the writer gave it, else -1.
static int64_t block_next(struct wire *in, int64_t *ret_bytes) {
    int64_t count = wire_get_long(in);
    *ret_bytes = -1;
    if (count >= 0)
        return in->bad ? 0 : count;
    int64_t bytes = wire_get_long(in);
    if (count == INT64_MIN || bytes < 0 || bytes > in->end - in->at)
        in->bad = true;
    *ret_bytes = bytes;
    return in->bad ? 0 : -count;
}

static void bytes_skip(struct wire *in, int64_t bytes) {
    if (bytes < 0 || bytes > in->end - in->at)
        in->bad = true;
    else
        wire_skip(in, (size_t)bytes);
}

static void type_skip(struct wire *in, const struct schema_type *type, int depth);

static void text_skip(struct wire *in) {
    size_t length;
    (void)wire_get_bytes(in, &length);
}

static void items_skip(struct wire *in, const struct schema_type *type, int depth) {
    bool map = type->kind == SCHEMA_MAP;
    int64_t constant = map ? SCHEMA_SIZE_VARIES : type->items->encoded_bytes;
    int64_t bytes;
    int64_t count;
    while ((count = block_next(in, &bytes)) > 0) {
        if (bytes >= 0) {
            bytes_skip(in, bytes);
        } else if (constant == 0) {
            continue;
        } else if (count > in->end - in->at) {
            in->bad = true;
        } else if (constant > 0) {
            bytes_skip(in, count > INT64_MAX / constant ? INT64_MAX : count * constant);
        } else {
            for (int64_t i = 0; i < count && !in->bad; i++) {
                if (map)
                    text_skip(in);
                type_skip(in, type->items, depth);
            }
        }
    }
}

static const struct schema_type *branch_next(struct wire *in, const struct schema_type *type,
                                             size_t *ret_index) {
    int64_t index = wire_get_long(in);
    if (in->bad || index < 0 || (uint64_t)index >= type->count) {
        in->bad = true;
        return NULL;
    }
    *ret_index = (size_t)index;
    return type->branches[index];
}

static void type_skip(struct wire *in, const struct schema_type *type, int depth) {
    size_t index;
    if (type->encoded_bytes >= 0) {
        bytes_skip(in, type->encoded_bytes);
        return;
    }
    if (depth == 0) {
        in->bad = true;
        return;
    }
    switch (type->kind) {
    case SCHEMA_INT:
        (void)wire_get_int(in);
        return;
    case SCHEMA_LONG:
        (void)wire_get_long(in);
        return;
    case SCHEMA_ENUM:
        index = (size_t)wire_get_int(in);
        in->bad |= index >= type->count;
        return;
    case SCHEMA_ARRAY:
    case SCHEMA_MAP:
        items_skip(in, type, depth - 1);
        return;
    case SCHEMA_UNION:
        type = branch_next(in, type, &index);
        if (type != NULL)
            type_skip(in, type, depth - 1);
        return;
    case SCHEMA_RECORD:
        for (size_t i = 0; i < type->step_count && !in->bad; i++) {
            if (type->steps[i].type == NULL)
                bytes_skip(in, type->steps[i].bytes);
            else
                type_skip(in, type->steps[i].type, depth - 1);
        }
        return;
    default:
        text_skip(in);
    }
}

// Reads a value of a type without parts.
static struct plan_value value_get(struct wire *in, const struct schema_type *type) {
    struct plan_value value = {.form = PLAN_TEXT, .logical = type->logical};
    int32_t index;
    switch (type->kind) {
    case SCHEMA_NULL:
        value.form = PLAN_NULL;
        break;
    case SCHEMA_BOOLEAN:
        value.form = PLAN_BOOLEAN;
        value.whole = wire_get_bool(in);
        break;
    case SCHEMA_INT:
        value.form = PLAN_WHOLE;
        value.whole = wire_get_int(in);
        break;
    case SCHEMA_LONG:
        value.form = PLAN_WHOLE;
        value.whole = wire_get_long(in);
        break;
    case SCHEMA_FLOAT:
        value.form = PLAN_REAL;
        value.real = (double)wire_get_float(in);
        break;
    case SCHEMA_DOUBLE:
        value.form = PLAN_REAL;
        value.real = wire_get_double(in);
        break;
    case SCHEMA_ENUM:
        index = wire_get_int(in);
        if (in->bad || index < 0 || (size_t)index >= type->count) {
            in->bad = true;
            break;
        }
        value.text = (const unsigned char *)type->symbols[index].text;
        value.length = type->symbols[index].length;
        break;
    case SCHEMA_FIXED:
        value.text = in->at;
        value.length = (size_t)type->size;
        bytes_skip(in, type->size);
        break;
    default:
        value.text = wire_get_bytes(in, &value.length);
    }
    return value;
}

static void value_store(struct walker *walker, const struct plan_node *node,
                        const struct plan_value *value) {
    for (size_t i = 0; i < node->slot_count; i++) {
        uint32_t slot = node->slots[i];
        if (walker->plan->wants[slot].list) {
            if (!walker->peeking)
                walker->sink->listed(walker->sink->self, slot, value);
            continue;
        }
        walker->looked_for -= walker->values[slot].form == PLAN_ABSENT && walker->looked_for > 0;
        walker->values[slot] = *value;
    }
}

// Peeking has found all that there is to find: what is left of the record is not read.
static bool walk_over(const struct walker *walker) {
    return walker->peeking && walker->looked_for == 0 &&
           (walker->plan->item_type == NULL || walker->each_at != NULL);
}

static void node_walk(struct walker *walker, const struct plan_node *node, struct wire *in);

static void map_walk(struct walker *walker, const struct plan_node *node, struct wire *in) {
    int64_t bytes;
    int64_t count;
    size_t guess = 0; // writers mostly keep the order of their keys
    while (!walk_over(walker) && (count = block_next(in, &bytes)) > 0) {
        for (int64_t i = 0; i < count && !in->bad && !walk_over(walker); i++) {
            size_t length;
            const unsigned char *key = wire_get_bytes(in, &length);
            const struct plan_node *found = NULL;
            for (size_t j = 0; !in->bad && j < node->entry_count; j++) {
                const struct plan_entry *entry = &node->entries[guess];
                guess = guess + 1 < node->entry_count ? guess + 1 : 0;
                if (entry->key->length == length && memcmp(entry->key->text, key, length) == 0) {
                    found = entry->node;
                    break;
                }
            }
            if (found != NULL)
                node_walk(walker, found, in);
            else
                type_skip(in, node->type->items, PLAN_SKIP_DEPTH_MAX);
        }
    }
}

static void array_walk(struct walker *walker, const struct plan_node *node, struct wire *in) {
    int64_t bytes;
    int64_t count;
    while (!walk_over(walker) && (count = block_next(in, &bytes)) > 0) {
        if (node->type->items->encoded_bytes == 0)
            continue; // nothing can be in them
        for (int64_t i = 0; i < count && !in->bad && !walk_over(walker); i++)
            node_walk(walker, node->items, in);
    }
}

static void union_walk(struct walker *walker, const struct plan_node *node, struct wire *in) {
    size_t index = 0;
    const struct schema_type *branch = branch_next(in, node->type, &index);
    if (branch == NULL)
        return;
    if (node->branches != NULL && node->branches[index] != NULL)
        node_walk(walker, node->branches[index], in);
    else
        type_skip(in, branch, PLAN_SKIP_DEPTH_MAX);
}

static void record_walk(struct walker *walker, const struct plan_node *node, struct wire *in) {
    for (size_t i = 0; i < node->step_count && !in->bad && !walk_over(walker); i++) {
        const struct plan_step *step = &node->steps[i];
        if (step->node != NULL)
            node_walk(walker, step->node, in);
        else if (step->skip != NULL)
            type_skip(in, step->skip, PLAN_SKIP_DEPTH_MAX);
        else
            bytes_skip(in, step->bytes);
    }
}

static void node_walk(struct walker *walker, const struct plan_node *node, struct wire *in) {
    const struct schema_type *type = node->type;
    struct plan_value other = {.form = PLAN_OTHER};
    if (type->kind < SCHEMA_ARRAY) {
        struct plan_value value = value_get(in, type);
        if (!in->bad)
            value_store(walker, node, &value);
        return;
    }
    if (node->slot_count > 0)
        value_store(walker, node, &other);
    if (node->each)
        walker->each_at = in->at;
    if (type->kind == SCHEMA_UNION)
        union_walk(walker, node, in);
    else if (type->kind == SCHEMA_ARRAY && node->items != NULL)
        array_walk(walker, node, in);
    else if (type->kind == SCHEMA_MAP && node->entry_count > 0)
        map_walk(walker, node, in);
    else if (type->kind == SCHEMA_RECORD && node->steps != NULL)
        record_walk(walker, node, in);
    else
        type_skip(in, type, PLAN_SKIP_DEPTH_MAX);
}

// Sets the values of the record (outer) or of an item to absent, and its lists to empty.
static void part_begin(struct walker *walker, bool outer) {
    const struct plan *plan = walker->plan;
    for (size_t i = 0; i < plan->count; i++)
        if (plan->item_type == NULL || plan->wants[i].path.outer == outer)
            walker->values[i] = (struct plan_value){.form = PLAN_ABSENT};
    if (!walker->peeking)
        walker->sink->begin(walker->sink->self, outer);
}

static void part_walk(struct walker *walker, const struct plan_node *node,
                      const struct schema_type *type, struct wire *in) {
    if (node != NULL)
        node_walk(walker, node, in);
    else
        type_skip(in, type, PLAN_SKIP_DEPTH_MAX);
}

static bool events_walk(struct walker *walker, struct wire *in) {
    const struct plan *plan = walker->plan;
    int64_t events = 0;
    int64_t bytes;
    int64_t count;
    while ((count = block_next(in, &bytes)) > 0) {
        for (int64_t i = 0; i < count && !in->bad; i++) {
            if (++events > PLAN_ITEMS_MAX)
                return false;
            part_begin(walker, false);
            walker->looked_for = plan->item_singles;
            part_walk(walker, plan->item, plan->item_type, in);
            if (walker->peeking && !in->bad)
                return true;
            if (!in->bad && !walker->sink->event(walker->sink->self))
                return true;
        }
    }
    return !in->bad;
}

bool plan_walk(const struct plan *plan, const void *bytes, size_t length,
               const struct plan_sink *sink) {
    struct walker walker = {.plan = plan, .sink = sink, .values = sink->values};
    struct wire in = wire_over(bytes, length);
    part_begin(&walker, true);
    part_walk(&walker, plan->outer, plan->root, &in);
    if (in.bad || in.at != in.end)
        return false;
    if (plan->item_type == NULL) {
        (void)sink->event(sink->self);
        return true;
    }
    if (walker.each_at == NULL)
        return true; // the array is null here: no events
    in.at = walker.each_at;
    return events_walk(&walker, &in);
}

bool plan_peek(const struct plan *plan, const void *bytes, size_t length,
               struct plan_value *values) {
    struct walker walker = {
        .plan = plan, .values = values, .peeking = true, .looked_for = plan->outer_singles};
    struct wire in = wire_over(bytes, length);
    part_begin(&walker, true);
    part_walk(&walker, plan->outer, plan->root, &in);
    if (in.bad)
        return false;
    if (plan->item_type == NULL)
        return true;
    if (walker.each_at == NULL)
        return false;
    if (plan->item_singles == 0)
        return true;
    in.at = walker.each_at;
    return events_walk(&walker, &in);
}
