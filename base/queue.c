// A ring of pointers under one mutex, with a condition for room and one for items.
//
// Every field is guarded by `mutex`; `capacity` and `ring` never change after queue_new. Waiting
// goes by the monotonic clock, so that a stepped wall clock neither hangs nor hurries a stage.
#include "base/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "base/memory.h"

struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t has_room;
    pthread_cond_t has_item;
    void **ring; // [capacity]
    size_t capacity;
    size_t first;
    size_t length;
    bool closed;
};

static bool condition_init(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return false;
    }
    bool made = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(condition, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    return made;
}

enum status queue_new(size_t capacity, struct queue **ret_queue, struct error *err) {
    if (capacity == 0) {
        return error_set(err, STATUS_INVALID, "could not make a queue: its capacity is 0");
    }
    enum status status = STATUS_EXHAUSTED;
    struct queue *queue = memory_new(1, sizeof *queue);
    void **ring = memory_new(capacity, sizeof *ring);
    if (!queue || !ring) {
        status = error_no_memory(err, capacity * sizeof *ring, "a queue");
        goto done;
    }
    queue->ring = ring;
    queue->capacity = capacity;
    bool has_mutex = pthread_mutex_init(&queue->mutex, NULL) == 0;
    bool has_room = has_mutex && condition_init(&queue->has_room);
    bool has_item = has_room && condition_init(&queue->has_item);
    if (!has_item) {
        if (has_room) {
            pthread_cond_destroy(&queue->has_room);
        }
        if (has_mutex) {
            pthread_mutex_destroy(&queue->mutex);
        }
        status = error_set(err, STATUS_EXHAUSTED, "could not make a queue: no more locks");
        goto done;
    }
    *ret_queue = queue;
    return STATUS_OK;
done:
    memory_free(ring);
    memory_free(queue);
    return status;
}

void queue_free(struct queue *queue) {
    if (queue) {
        pthread_cond_destroy(&queue->has_item);
        pthread_cond_destroy(&queue->has_room);
        pthread_mutex_destroy(&queue->mutex);
        memory_free(queue->ring);
        memory_free(queue);
    }
}

static struct timespec deadline_after(int64_t timeout_ms) {
    struct timespec deadline = {0};
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += (time_t)(timeout_ms / 1000);
    deadline.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000;
    }
    return deadline;
}

// One wait, with the mutex held; false once the deadline has passed.
static bool wait_for(struct queue *queue, pthread_cond_t *condition, int64_t timeout_ms,
                     const struct timespec *deadline) {
    if (timeout_ms < 0) {
        return pthread_cond_wait(condition, &queue->mutex) == 0;
    }
    return timeout_ms > 0 &&
           pthread_cond_timedwait(condition, &queue->mutex, deadline) != ETIMEDOUT;
}

enum status queue_put(struct queue *queue, void *item, int64_t timeout_ms) {
    struct timespec deadline = timeout_ms > 0 ? deadline_after(timeout_ms) : (struct timespec){0};
    bool in_time = true;
    enum status status = STATUS_OK;
    pthread_mutex_lock(&queue->mutex);
    while (!queue->closed && queue->length == queue->capacity && in_time) {
        in_time = wait_for(queue, &queue->has_room, timeout_ms, &deadline);
    }
    if (queue->closed) {
        status = STATUS_END;
    } else if (queue->length == queue->capacity) {
        status = STATUS_TIMEOUT;
    } else {
        queue->ring[(queue->first + queue->length) % queue->capacity] = item;
        queue->length++;
        pthread_cond_signal(&queue->has_item);
    }
    pthread_mutex_unlock(&queue->mutex);
    return status;
}

enum status queue_take(struct queue *queue, void **ret_item, int64_t timeout_ms) {
    struct timespec deadline = timeout_ms > 0 ? deadline_after(timeout_ms) : (struct timespec){0};
    bool in_time = true;
    enum status status = STATUS_OK;
    pthread_mutex_lock(&queue->mutex);
    while (!queue->closed && queue->length == 0 && in_time) {
        in_time = wait_for(queue, &queue->has_item, timeout_ms, &deadline);
    }
    if (queue->length > 0) {
        *ret_item = queue->ring[queue->first];
        queue->first = (queue->first + 1) % queue->capacity;
        queue->length--;
        pthread_cond_signal(&queue->has_room);
    } else {
        status = queue->closed ? STATUS_END : STATUS_TIMEOUT;
    }
    pthread_mutex_unlock(&queue->mutex);
    return status;
}

void queue_close(struct queue *queue) {
    pthread_mutex_lock(&queue->mutex);
    queue->closed = true;
    pthread_cond_broadcast(&queue->has_room);
    pthread_cond_broadcast(&queue->has_item);
    pthread_mutex_unlock(&queue->mutex);
}

size_t queue_length(struct queue *queue) {
    pthread_mutex_lock(&queue->mutex);
    size_t length = queue->length;
    pthread_mutex_unlock(&queue->mutex);
    return length;
}
