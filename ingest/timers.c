#include "ingest/timers.h"

#include <string.h>

struct timers_late {
    struct timer timer;
    int64_t deadline_ms;
    uint32_t lane;
};

int64_t timers_deadline(int64_t time_ms, int64_t delay_ms) {
    return time_ms > INT64_MAX - 1 - delay_ms ? INT64_MAX - 1 : time_ms + delay_ms;
}

void timers_init(struct timers *timers, const int64_t *delays_ms, size_t lanes) {
    REQUIRE(lanes > 0 && lanes <= TIMERS_LANES_MAX);
    memset(timers, 0, sizeof(*timers));
    for (size_t i = 0; i < lanes; i++) {
        REQUIRE(delays_ms[i] >= 0 && (i == 0 || delays_ms[i] >= delays_ms[i - 1]));
        timers->delays_ms[i] = delays_ms[i];
    }
    timers->lanes = lanes;
    timers->next_ms = INT64_MAX;
}

void timers_deinit(struct timers *timers) {
    memory_free(timers->queue);
    memory_free(timers->heap);
    timers->queue = NULL;
    timers->heap = NULL;
}

static struct timer *queue_at(const struct timers *timers, uint64_t index) {
    return &timers->queue[index & (timers->capacity - 1)];
}

static bool late_before(const struct timers_late *a, const struct timers_late *b) {
    if (a->deadline_ms != b->deadline_ms) {
        return a->deadline_ms < b->deadline_ms;
    }
    return a->timer.number != b->timer.number ? a->timer.number < b->timer.number
                                              : a->lane < b->lane;
}

static enum status queue_grow(struct timers *timers, struct error *err) {
    uint64_t capacity = timers->capacity == 0 ? 1024 : timers->capacity * 2;
    struct timer *queue = memory_new(capacity, sizeof(*queue));
    if (queue == NULL) {
        return error_no_memory(err, capacity * sizeof(*queue), "the queue of timers");
    }
    for (uint64_t i = timers->head; i < timers->tail; i++) {
        queue[i & (capacity - 1)] = *queue_at(timers, i);
    }
    memory_free(timers->queue);
    timers->queue = queue;
    timers->capacity = capacity;
    return STATUS_OK;
}

static enum status heap_reserve(struct timers *timers, size_t more, struct error *err) {
    if (timers->heap_count + more <= timers->heap_capacity) {
        return STATUS_OK;
    }
    size_t capacity = timers->heap_capacity == 0 ? 256 : timers->heap_capacity * 2;
    struct timers_late *heap =
        memory_resize(timers->heap, timers->heap_capacity, capacity, sizeof(*heap));
    if (heap == NULL) {
        return error_no_memory(err, capacity * sizeof(*heap), "timers out of order");
    }
    timers->heap = heap;
    timers->heap_capacity = capacity;
    return STATUS_OK;
}

static void heap_put(struct timers *timers, const struct timers_late *late) {
    size_t at = timers->heap_count++;
    while (at > 0 && late_before(late, &timers->heap[(at - 1) / 2])) {
        timers->heap[at] = timers->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    timers->heap[at] = *late;
}

static void heap_drop_first(struct timers *timers) {
    struct timers_late last = timers->heap[--timers->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= timers->heap_count) {
            break;
        }
        if (child + 1 < timers->heap_count &&
            late_before(&timers->heap[child + 1], &timers->heap[child])) {
            child++;
        }
        if (!late_before(&timers->heap[child], &last)) {
            break;
        }
        timers->heap[at] = timers->heap[child];
        at = child;
    }
    timers->heap[at] = last;
}

enum status timers_add(struct timers *timers, const struct timer *timer, struct error *err) {
    enum status status = STATUS_OK;
    bool in_order = true;
    if (timers->tail > timers->head) {
        const struct timer *newest = queue_at(timers, timers->tail - 1);
        in_order = timer->time_ms > newest->time_ms ||
                   (timer->time_ms == newest->time_ms && timer->number > newest->number);
    }
    if (in_order) {
        if (timers->tail - timers->head == timers->capacity) {
            status = queue_grow(timers, err);
        }
        if (status == STATUS_OK) {
            *queue_at(timers, timers->tail++) = *timer;
        }
    } else {
        status = heap_reserve(timers, timers->lanes, err);
        for (uint32_t lane = 0; status == STATUS_OK && lane < timers->lanes; lane++) {
            heap_put(timers, &(struct timers_late){.timer = *timer,
                                                   .lane = lane,
                                                   .deadline_ms = timers_deadline(
                                                       timer->time_ms, timers->delays_ms[lane])});
        }
    }
    if (status == STATUS_OK) {
        int64_t first = timers_deadline(timer->time_ms, timers->delays_ms[0]);
        timers->next_ms = first < timers->next_ms ? first : timers->next_ms;
    }
    return status;
}

// The lane whose next queued item is due first, or `lanes` when all have passed everything.
static size_t queue_first_lane(const struct timers *timers, struct timers_late *ret_first) {
    size_t best = timers->lanes;
    for (size_t lane = 0; lane < timers->lanes; lane++) {
        if (timers->cursors[lane] == timers->tail) {
            continue;
        }
        const struct timer *timer = queue_at(timers, timers->cursors[lane]);
        struct timers_late late = {.timer = *timer,
                                   .lane = (uint32_t)lane,
                                   .deadline_ms =
                                       timers_deadline(timer->time_ms, timers->delays_ms[lane])};
        if (best == timers->lanes || late_before(&late, ret_first)) {
            best = lane;
            *ret_first = late;
        }
    }
    return best;
}

static void queue_pass(struct timers *timers, size_t lane) {
    timers->cursors[lane]++;
    // Delays ascend, so the last lane is the last to pass any item.
    timers->head = timers->cursors[timers->lanes - 1];
}

bool timers_take(struct timers *timers, int64_t before_ms, struct timer *ret_timer,
                 size_t *ret_lane, int64_t *ret_deadline_ms) {
    if (timers->next_ms >= before_ms) {
        return false;
    }
    struct timers_late first = {0};
    size_t lane = queue_first_lane(timers, &first);
    bool from_heap =
        timers->heap_count > 0 && (lane == timers->lanes || late_before(&timers->heap[0], &first));
    if (from_heap) {
        first = timers->heap[0];
    } else if (lane == timers->lanes) {
        timers->next_ms = INT64_MAX;
        return false;
    }
    timers->next_ms = first.deadline_ms;
    if (first.deadline_ms >= before_ms) {
        return false;
    }
    if (from_heap) {
        heap_drop_first(timers);
    } else {
        queue_pass(timers, lane);
    }
    *ret_timer = first.timer;
    *ret_lane = first.lane;
    *ret_deadline_ms = first.deadline_ms;
    return true;
}

void timers_skip(struct timers *timers, int64_t before_ms) {
    struct timer timer;
    size_t lane;
    int64_t deadline_ms;
    while (timers_take(timers, before_ms, &timer, &lane, &deadline_ms)) {
    }
}

size_t timers_bytes(const struct timers *timers) {
    return timers->capacity * sizeof(struct timer) +
           timers->heap_capacity * sizeof(struct timers_late);
}
