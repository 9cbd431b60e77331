// Pairs, filters and orders the items of a sequence.
#include "ingest/history.h"

#include <string.h>

void history_init(struct history *history) {
    *history = (struct history){0};
}

void history_deinit(struct history *history) {
    memory_free(history->items);
    *history = (struct history){0};
}

void history_reset(struct history *history) {
    history->ids = history->times = 0;
    history->drop = EVENT_USED;
    history->failed = false;
}

// Room for an item at `at`; items made new are null.
static bool room_get(struct history *history, size_t at) {
    if (at < history->capacity)
        return true;
    size_t capacity = history->capacity ? 2 * history->capacity : 64;
    struct history_item *grown =
        memory_resize(history->items, history->capacity, capacity, sizeof *grown);
    if (grown == NULL) {
        history->failed = true;
        return false;
    }
    history->items = grown;
    history->capacity = capacity;
    return true;
}

void history_add_id(struct history *history, uint64_t id) {
    size_t at = history->ids++ % HISTORY_ITEMS_MAX;
    if (room_get(history, at))
        history->items[at].id = id;
}

void history_add_time(struct history *history, bool known, int64_t time_ms) {
    size_t at = history->times++ % HISTORY_ITEMS_MAX;
    if (room_get(history, at))
        history->items[at].time_ms = known ? time_ms : INT64_MIN;
}

// Insertion keeps equal times in the order they came; sequences are short, and mostly in order.
static bool sort(struct history_item *items, size_t count) {
    bool moved = false;
    for (size_t i = 1; i < count; i++) {
        struct history_item item = items[i];
        size_t at = i;
        for (; at > 0 && items[at - 1].time_ms > item.time_ms; at--)
            items[at] = items[at - 1];
        items[at] = item;
        moved |= at < i;
    }
    return moved;
}

// Puts the newest HISTORY_ITEMS_MAX at the front, in the order they came; returns how many there
// are.
static size_t unroll(struct history *history, struct decoder_counts *counts) {
    if (history->ids <= HISTORY_ITEMS_MAX)
        return history->ids;
    size_t first = history->ids % HISTORY_ITEMS_MAX;
    counts->values_cut += history->ids - HISTORY_ITEMS_MAX;
    for (size_t half = 0; half < 3; half++) { // a rotation is three reversals
        size_t low = half == 1 ? first : 0;
        size_t high = half == 0 ? first : HISTORY_ITEMS_MAX;
        for (; low + 1 < high; low++, high--) {
            struct history_item item = history->items[low];
            history->items[low] = history->items[high - 1];
            history->items[high - 1] = item;
        }
    }
    return HISTORY_ITEMS_MAX;
}

static void put_little(struct buffer *into, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        buffer_append_byte(into, (unsigned char)(value >> (8 * i)));
}

static uint32_t age_of(const struct history_item *item, int64_t impression_ms) {
    int64_t age_s = (impression_ms - item->time_ms) / 1000;
    return age_s < UINT32_MAX ? (uint32_t)age_s : UINT32_MAX;
}

enum event_drop history_finish(struct history *history, const struct spec_feature *feature,
                               int64_t impression_ms, struct decoder_counts *counts,
                               struct buffer *into) {
    bool timed = feature->times[0] != '\0';
    if (history->failed) {
        into->failed = true;
        return EVENT_USED;
    }
    if (history->drop != EVENT_USED)
        return history->drop;
    if (timed && history->times != history->ids)
        return EVENT_MISSING_FIELD;
    size_t came = unroll(history, counts), count = 0;
    for (size_t i = 0; i < came; i++) {
        struct history_item item = history->items[i];
        bool null = item.id == 0 || (timed && item.time_ms == INT64_MIN);
        bool future = !null && timed && item.time_ms > impression_ms;
        counts->items_null += null;
        counts->items_future += future;
        if (!null && !future)
            history->items[count++] = item;
    }
    if (timed && sort(history->items, count))
        counts->sequences_sorted++;
    size_t most = (size_t)feature->length_max, first = count > most ? count - most : 0;
    counts->values_cut += first;
    put_little(into, count - first, 4);
    for (size_t i = first; i < count; i++)
        put_little(into, history->items[i].id, 8);
    for (size_t i = first; i < count; i++)
        put_little(into, timed ? age_of(&history->items[i], impression_ms) : 0, 4);
    return EVENT_USED;
}
