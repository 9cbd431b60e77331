// A binary heap.
#include "simulate/schedule.h"

#include "base/memory.h"

void schedule_init(struct schedule *schedule) {
    *schedule = (struct schedule){0};
}

void schedule_deinit(struct schedule *schedule) {
    memory_free(schedule->items);
}

static bool before(const struct scheduled *a, const struct scheduled *b) {
    return a->received_ms != b->received_ms ? a->received_ms < b->received_ms : a->order < b->order;
}

enum status schedule_add(struct schedule *schedule, struct scheduled item, struct error *err) {
    if (schedule->count == schedule->capacity) {
        size_t capacity = schedule->capacity > 0 ? 2 * schedule->capacity : 1024;
        void *items = memory_resize(schedule->items, schedule->capacity, capacity, sizeof(item));
        if (items == NULL)
            return error_no_memory(err, capacity * sizeof(item), "feedback");
        schedule->items = items;
        schedule->capacity = capacity;
    }
    item.order = schedule->added++;
    size_t at = schedule->count++;
    while (at > 0 && before(&item, &schedule->items[(at - 1) / 2])) {
        schedule->items[at] = schedule->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    schedule->items[at] = item;
    return STATUS_OK;
}

bool schedule_take(struct schedule *schedule, int64_t until_ms, struct scheduled *ret_item) {
    if (schedule->count == 0 || schedule->items[0].received_ms > until_ms)
        return false;
    *ret_item = schedule->items[0];
    struct scheduled last = schedule->items[--schedule->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= schedule->count)
            break;
        if (child + 1 < schedule->count &&
            before(&schedule->items[child + 1], &schedule->items[child]))
            child++;
        if (!before(&schedule->items[child], &last))
            break;
        schedule->items[at] = schedule->items[child];
        at = child;
    }
    schedule->items[at] = last;
    return true;
}
