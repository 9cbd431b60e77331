// A bounded first-in first-out queue of pointers between threads.
#ifndef FRESHET_BASE_QUEUE_H
#define FRESHET_BASE_QUEUE_H

#include "base/status.h"
#include <stdint.h>

struct queue; // any number of writers and readers

CHECKED enum status queue_new(size_t capacity, struct queue **ret_queue, struct error *err);
void queue_free(struct queue *queue); // items left inside are the caller's
// Waits up to timeout_ms (-1 = for ever) for room. STATUS_TIMEOUT, or STATUS_END once closed.
CHECKED enum status queue_put(struct queue *queue, void *item, int64_t timeout_ms);
// Waits for an item. STATUS_TIMEOUT, or STATUS_END when closed and empty.
CHECKED enum status queue_take(struct queue *queue, void **ret_item, int64_t timeout_ms);
void queue_close(struct queue *queue); // no more puts; wakes all
size_t queue_length(struct queue *queue);

#endif
