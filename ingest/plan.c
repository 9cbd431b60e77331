// Binds paths to a schema's graph.
//
// Binding descends schema and paths together: at each type it holds the set of wants that got this
// far and how many segments they have used. Unions and, for list wants, arrays use no segment.
#include "ingest/plan.h"

#include <string.h>

#include "ingest/plan_node.h"

struct binder {
    struct plan *plan;
    size_t nodes;
    const struct path *each; // while binding the outer record, else NULL
    struct error *err;
    enum status status;
};

// The wants that reached a type: wants[i] with `depth` segments used.
struct reach {
    uint32_t *wants;
    size_t count;
    size_t depth;
    bool each;   // the path of `each` got here too
    bool listed; // inside an array
};

static void *binder_get(struct binder *binder, size_t count, size_t size) {
    void *block = arena_get(&binder->plan->arena, count > 0 ? count : 1, size);
    if (block == NULL && binder->status == STATUS_OK)
        binder->status = error_no_memory(binder->err, count * size, "a plan");
    return block;
}

static const struct plan_node *bind(struct binder *binder, const struct schema_type *type,
                                    const struct reach *reach);

static bool segment_is(const struct path_segment *segment, const char *name) {
    return name != NULL && strncmp(segment->text, name, segment->length) == 0 &&
           name[segment->length] == '\0';
}

// The part of `reach` whose next segment is `segment` (or, where NULL, the field `name`).
static struct reach reach_below(struct binder *binder, const struct reach *reach, const char *name,
                                const struct path_segment *segment) {
    struct reach below = {.depth = reach->depth + 1, .listed = reach->listed};
    below.wants = binder_get(binder, reach->count, sizeof(*below.wants));
    for (size_t i = 0; below.wants != NULL && i < reach->count; i++) {
        const struct path *path = &binder->plan->wants[reach->wants[i]].path;
        if (path->count <= reach->depth)
            continue;
        const struct path_segment *next = &path->segments[reach->depth];
        bool same = segment == NULL ? segment_is(next, name)
                                    : next->length == segment->length &&
                                          memcmp(next->text, segment->text, next->length) == 0;
        if (same)
            below.wants[below.count++] = reach->wants[i];
    }
    below.each = reach->each && name != NULL && reach->depth < binder->each->count &&
                 segment_is(&binder->each->segments[reach->depth], name);
    return below;
}

static void record_bind(struct binder *binder, struct plan_node *node, const struct reach *reach) {
    const struct schema_type *type = node->type;
    bool wanted = false;
    node->steps = binder_get(binder, type->count, sizeof(*node->steps));
    for (size_t i = 0; binder->status == STATUS_OK && i < type->count; i++) {
        const struct schema_type *field = type->fields[i].type;
        struct reach below = reach_below(binder, reach, type->fields[i].name, NULL);
        const struct plan_node *child = bind(binder, field, &below);
        struct plan_step *last = node->step_count > 0 ? &node->steps[node->step_count - 1] : NULL;
        bool constant = child == NULL && field->encoded_bytes >= 0;
        wanted |= child != NULL;
        if (constant && field->encoded_bytes == 0)
            continue;
        if (constant && last != NULL && last->node == NULL && last->skip == NULL &&
            last->bytes <= INT64_MAX - field->encoded_bytes)
            last->bytes += field->encoded_bytes;
        else
            node->steps[node->step_count++] =
                (struct plan_step){.node = child,
                                   .skip = constant ? NULL : field,
                                   .bytes = constant ? field->encoded_bytes : 0};
    }
    if (!wanted)
        node->steps = NULL;
}

static void map_bind(struct binder *binder, struct plan_node *node, const struct reach *reach) {
    node->entries = binder_get(binder, reach->count, sizeof(*node->entries));
    for (size_t i = 0; binder->status == STATUS_OK && i < reach->count; i++) {
        const struct path *path = &binder->plan->wants[reach->wants[i]].path;
        if (path->count <= reach->depth)
            continue;
        const struct path_segment *key = &path->segments[reach->depth];
        bool known = false;
        for (size_t j = 0; j < node->entry_count; j++)
            known |= key->length == node->entries[j].key->length &&
                     memcmp(key->text, node->entries[j].key->text, key->length) == 0;
        if (known)
            continue;
        struct reach below = reach_below(binder, reach, NULL, key);
        const struct plan_node *child = bind(binder, node->type->items, &below);
        if (child != NULL)
            node->entries[node->entry_count++] = (struct plan_entry){.key = key, .node = child};
    }
}

static unsigned form_of(enum schema_kind kind) {
    switch (kind) {
    case SCHEMA_NULL:
        return PLAN_NULL;
    case SCHEMA_BOOLEAN:
        return PLAN_BOOLEAN;
    case SCHEMA_INT:
    case SCHEMA_LONG:
        return PLAN_WHOLE;
    case SCHEMA_FLOAT:
    case SCHEMA_DOUBLE:
        return PLAN_REAL;
    case SCHEMA_BYTES:
    case SCHEMA_STRING:
    case SCHEMA_FIXED:
    case SCHEMA_ENUM:
        return PLAN_TEXT;
    default:
        return PLAN_OTHER;
    }
}

// Wants whose path ends at this type become its slots. A list want passes an array; a single one
// inside an array has no one value.
static void ends_bind(struct binder *binder, struct plan_node *node, const struct reach *reach) {
    struct plan *plan = binder->plan;
    enum schema_kind kind = node->type->kind;
    node->slots = binder_get(binder, reach->count, sizeof(*node->slots));
    for (size_t i = 0; binder->status == STATUS_OK && i < reach->count; i++) {
        const struct plan_want *want = &plan->wants[reach->wants[i]];
        if (want->path.count != reach->depth || kind == SCHEMA_UNION ||
            (kind == SCHEMA_ARRAY && want->list))
            continue;
        bool single_in_list = reach->listed && !want->list;
        plan->forms[reach->wants[i]] |= single_in_list ? (unsigned)PLAN_OTHER : form_of(kind);
        if (!single_in_list)
            node->slots[node->slot_count++] = reach->wants[i];
    }
}

static void union_bind(struct binder *binder, struct plan_node *node, const struct reach *reach) {
    bool wanted = false;
    node->branches = binder_get(binder, node->type->count, sizeof(*node->branches));
    for (size_t i = 0; binder->status == STATUS_OK && i < node->type->count; i++) {
        node->branches[i] = bind(binder, node->type->branches[i], reach);
        wanted |= node->branches[i] != NULL;
    }
    if (!wanted)
        node->branches = NULL;
}

static const struct plan_node *bind(struct binder *binder, const struct schema_type *type,
                                    const struct reach *reach) {
    if (binder->status != STATUS_OK || (reach->count == 0 && !reach->each))
        return NULL;
    if (++binder->nodes > PLAN_NODES_MAX) {
        binder->status =
            error_set(binder->err, STATUS_INVALID,
                      "the mapped paths reach more than %d places of the schema", PLAN_NODES_MAX);
        return NULL;
    }
    struct plan_node *node = binder_get(binder, 1, sizeof(*node));
    if (node == NULL)
        return NULL;
    node->type = type;
    ends_bind(binder, node, reach);
    if (type->kind == SCHEMA_RECORD) {
        record_bind(binder, node, reach);
    } else if (type->kind == SCHEMA_MAP) {
        map_bind(binder, node, reach);
    } else if (type->kind == SCHEMA_UNION) {
        union_bind(binder, node, reach);
    } else if (type->kind == SCHEMA_ARRAY) {
        if (reach->each && reach->depth == binder->each->count) {
            node->each = true;
            binder->plan->item_type = type->items;
        }
        struct reach inside = *reach;
        inside.listed = true;
        inside.each = false;
        node->items = bind(binder, type->items, &inside);
    }
    bool wanted = node->slot_count > 0 || node->each || node->steps != NULL ||
                  node->branches != NULL || node->entry_count > 0 || node->items != NULL;
    return wanted ? node : NULL;
}

// Binds the wants of the record (outer) or of an item.
static const struct plan_node *part_bind(struct binder *binder, const struct schema_type *type,
                                         bool outer, bool divided) {
    const struct plan *plan = binder->plan;
    struct reach reach = {.each = binder->each != NULL};
    reach.wants = binder_get(binder, plan->count, sizeof(*reach.wants));
    for (size_t i = 0; reach.wants != NULL && i < plan->count; i++)
        if (!divided || plan->wants[i].path.outer == outer)
            reach.wants[reach.count++] = (uint32_t)i;
    return bind(binder, type, &reach);
}

enum status plan_new(const struct schema *schema, const struct path *each,
                     const struct plan_want *wants, size_t count, struct plan **ret_plan,
                     struct error *err) {
    struct plan *plan = memory_new(1, sizeof(*plan));
    if (plan == NULL)
        return error_no_memory(err, sizeof(*plan), "a plan");
    arena_init(&plan->arena, 16384);
    struct binder binder = {.plan = plan, .each = each, .err = err};
    plan->wants = wants;
    plan->count = count;
    plan->root = schema->root;
    plan->forms = binder_get(&binder, count, sizeof(*plan->forms));
    if (plan->forms != NULL)
        plan->outer = part_bind(&binder, schema->root, true, each != NULL);
    if (each != NULL && binder.status == STATUS_OK && plan->item_type == NULL)
        binder.status =
            error_set(err, STATUS_INVALID, "`%s` is not an array of the schema", each->text);
    if (each != NULL && binder.status == STATUS_OK) {
        binder.each = NULL;
        plan->item = part_bind(&binder, plan->item_type, false, true);
    }
    for (size_t i = 0; binder.status == STATUS_OK && i < count; i++) {
        if (plan->forms[i] == 0)
            plan->forms[i] = PLAN_ABSENT;
        else if (!wants[i].list && (plan->forms[i] & ~(unsigned)PLAN_OTHER) != 0)
            *(each == NULL || wants[i].path.outer ? &plan->outer_singles : &plan->item_singles) +=
                1;
    }
    if (binder.status != STATUS_OK) {
        plan_free(plan);
        return binder.status;
    }
    *ret_plan = plan;
    return STATUS_OK;
}

void plan_free(struct plan *plan) {
    if (plan == NULL)
        return;
    arena_deinit(&plan->arena);
    memory_free(plan);
}

unsigned plan_forms(const struct plan *plan, size_t i) {
    REQUIRE(i < plan->count);
    return plan->forms[i];
}

// The first type, unions passed, that the path's first segments lead to; *ret_used tells how many.
static const struct schema_type *path_follow(const struct schema_type *type,
                                             const struct path *path, size_t *ret_used) {
    size_t used = 0;
    for (;;) {
        const struct schema_type *next = NULL;
        if (type->kind == SCHEMA_UNION) {
            for (size_t i = 0; next == NULL && i < type->count; i++)
                if (type->branches[i]->kind != SCHEMA_NULL)
                    next = type->branches[i];
        } else if (type->kind == SCHEMA_ARRAY) {
            next = type->items;
        } else if (used < path->count && type->kind == SCHEMA_MAP) {
            next = type->items;
            used++;
        } else if (used < path->count && type->kind == SCHEMA_RECORD) {
            for (size_t i = 0; next == NULL && i < type->count; i++)
                if (segment_is(&path->segments[used], type->fields[i].name))
                    next = type->fields[i].type;
            used += next != NULL;
        }
        if (next == NULL)
            break;
        type = next;
    }
    *ret_used = used;
    return type;
}

void plan_explain(const struct schema *schema, const struct path *each, const struct path *path,
                  struct buffer *into) {
    const struct schema_type *type = schema->root;
    size_t used;
    if (each != NULL && !path->outer)
        type = path_follow(type, each, &used);
    type = path_follow(type, path, &used);
    buffer_append_text(into, "`");
    for (size_t i = 0; i < used; i++)
        buffer_append_text(into, "%s%.*s", i > 0 ? "." : "", (int)path->segments[i].length,
                           path->segments[i].text);
    buffer_append_text(into, "` (%s) has %s", schema_kind_names[type->kind],
                       type->kind == SCHEMA_RECORD && type->count > 0 ? "" : "no fields");
    for (size_t i = 0; type->kind == SCHEMA_RECORD && i < type->count && i < 40; i++)
        buffer_append_text(into, "%s%s", i > 0 ? ", " : "", type->fields[i].name);
}
