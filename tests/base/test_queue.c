// The bounded queue between threads, the clocks, and streams that pass through.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/queue.h"
#include "base/stream.h"

enum { FOREVER = -1 };

static struct queue *queue_of(size_t capacity) {
    struct queue *queue = NULL;
    struct error err;
    assert_int_equal(queue_new(capacity, &queue, &err), STATUS_OK);
    return queue;
}

static void a_queue_needs_room_and_memory(void **state) {
    (void)state;
    struct queue *queue = NULL;
    struct error err = {0};
    assert_int_equal(queue_new(0, &queue, &err), STATUS_INVALID);
    for (uint64_t n = 1; n <= 2; n++) {
        memory_fail_after(n);
        enum status status = queue_new(4, &queue, &err);
        memory_fail_after(0);
        assert_int_equal(status, STATUS_EXHAUSTED);
    }
    assert_int_equal(queue_new(SIZE_MAX / 4, &queue, &err), STATUS_EXHAUSTED);
    assert_null(queue);
    queue_free(NULL);
}

static void items_leave_in_the_order_they_came(void **state) {
    (void)state;
    struct queue *queue = queue_of(3);
    int items[10];
    void *item = NULL;
    for (int round = 0; round < 5; round++) { // the ring wraps
        for (int i = 0; i < 3; i++)
            assert_int_equal(queue_put(queue, &items[round + i], 0), STATUS_OK);
        assert_int_equal(queue_length(queue), 3);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(queue_take(queue, &item, 0), STATUS_OK);
            assert_ptr_equal(item, &items[round + i]);
        }
        if (round == 2) {
            assert_int_equal(queue_put(queue, NULL, 0), STATUS_OK); // shifts the ring by one
            assert_int_equal(queue_take(queue, &item, 0), STATUS_OK);
            assert_null(item);
        }
    }
    queue_free(queue);
}

static void waiting_ends_in_time(void **state) {
    (void)state;
    struct queue *queue = queue_of(1);
    int one;
    void *item = &one;
    int64_t begin = clock_system.monotonic_us(&clock_system);
    assert_int_equal(queue_take(queue, &item, 30), STATUS_TIMEOUT);
    assert_ptr_equal(item, &one); // written on success only
    assert_int_equal(queue_put(queue, &one, 30), STATUS_OK);
    assert_int_equal(queue_put(queue, &one, 30), STATUS_TIMEOUT);
    assert_int_equal(queue_put(queue, &one, 0), STATUS_TIMEOUT);
    int64_t took_ms = (clock_system.monotonic_us(&clock_system) - begin) / 1000;
    assert_true(took_ms >= 58 && took_ms < 10000);
    assert_int_equal(queue_length(queue), 1);
    queue_free(queue);
}

static void a_closed_queue_takes_nothing_more_but_gives_what_it_has(void **state) {
    (void)state;
    struct queue *queue = queue_of(2);
    int one;
    void *item = NULL;
    assert_int_equal(queue_put(queue, &one, 0), STATUS_OK);
    queue_close(queue);
    queue_close(queue); // twice is fine
    assert_int_equal(queue_put(queue, &one, FOREVER), STATUS_END);
    assert_int_equal(queue_take(queue, &item, FOREVER), STATUS_OK);
    assert_ptr_equal(item, &one);
    assert_int_equal(queue_take(queue, &item, FOREVER), STATUS_END);
    queue_free(queue);
}

struct waiter {
    struct queue *queue;
    enum status status;
    bool puts;
};

static void *wait_forever(void *self) {
    struct waiter *waiter = self;
    void *item;
    waiter->status = waiter->puts ? queue_put(waiter->queue, waiter, FOREVER)
                                  : queue_take(waiter->queue, &item, FOREVER);
    return NULL;
}

static void closing_wakes_all_who_wait(void **state) {
    (void)state;
    struct queue *empty = queue_of(1), *full = queue_of(1);
    assert_int_equal(queue_put(full, full, 0), STATUS_OK);
    struct waiter waiters[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        waiters[i] = (struct waiter){i < 2 ? empty : full, STATUS_OK, i >= 2};
        assert_int_equal(pthread_create(&threads[i], NULL, wait_forever, &waiters[i]), 0);
    }
    clock_system.sleep_ms(&clock_system, 20); // most are waiting by now; the rest meet it closed
    queue_close(empty);
    queue_close(full);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(waiters[i].status, STATUS_END);
    }
    queue_free(empty);
    queue_free(full);
}

enum { WORKERS = 3, ITEMS = 5000 };

struct traffic {
    struct queue *queue;
    _Atomic uint64_t *sum;
    uint64_t numbers[ITEMS];
    _Atomic uint64_t failures;
};

static void *put_all(void *self) {
    struct traffic *traffic = self;
    for (uint64_t i = 0; i < ITEMS; i++) {
        traffic->numbers[i] = i + 1;
        if (queue_put(traffic->queue, &traffic->numbers[i], FOREVER) != STATUS_OK)
            traffic->failures++;
    }
    return NULL;
}

static void *take_all(void *self) {
    struct traffic *traffic = self;
    void *item;
    while (queue_take(traffic->queue, &item, FOREVER) == STATUS_OK)
        *traffic->sum += *(uint64_t *)item;
    return NULL;
}

static void many_threads_lose_and_double_nothing(void **state) {
    (void)state;
    static struct traffic traffic[WORKERS];
    _Atomic uint64_t sum = 0;
    struct queue *queue = queue_of(7);
    pthread_t writers[WORKERS], readers[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        traffic[i].queue = queue;
        traffic[i].sum = &sum;
        assert_int_equal(pthread_create(&writers[i], NULL, put_all, &traffic[i]), 0);
        assert_int_equal(pthread_create(&readers[i], NULL, take_all, &traffic[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_join(writers[i], NULL), 0);
    queue_close(queue);
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
        assert_int_equal(traffic[i].failures, 0);
    }
    assert_int_equal(sum, (uint64_t)WORKERS * ITEMS * (ITEMS + 1) / 2);
    queue_free(queue);
}

static void a_fake_clock_moves_only_when_told(void **state) {
    (void)state;
    struct clock_fake fake;
    clock_fake_init(&fake, 1700000000123);
    const struct clock *clock = &fake.clock;
    assert_int_equal(clock->wall_ms(clock), 1700000000123);
    assert_int_equal(clock->monotonic_us(clock), 1700000000123000);
    clock_fake_advance(&fake, 10);
    clock->sleep_ms(clock, 5);
    clock->sleep_ms(clock, -5);
    assert_int_equal(clock->wall_ms(clock), 1700000000138);
}

static void the_system_clock_goes_forward_and_sleeps(void **state) {
    (void)state;
    int64_t before = clock_system.monotonic_us(&clock_system);
    clock_system.sleep_ms(&clock_system, 0);
    clock_system.sleep_ms(&clock_system, 3);
    assert_true(clock_system.monotonic_us(&clock_system) - before >= 3000);
    assert_true(clock_system.wall_ms(&clock_system) > 1700000000000);
}

struct tape {
    unsigned char bytes[16];
    size_t length, at, calls;
};

static enum status tape_write(void *self, const void *bytes, size_t length, struct error *err) {
    struct tape *tape = self;
    tape->calls++;
    if (length > sizeof tape->bytes - tape->length)
        return error_set(err, STATUS_EXHAUSTED, "could not write: the tape is full");
    memcpy(tape->bytes + tape->length, bytes, length);
    tape->length += length;
    return STATUS_OK;
}

static enum status tape_read(void *self, void *bytes, size_t length, struct error *err) {
    struct tape *tape = self;
    tape->calls++;
    if (length > tape->length - tape->at)
        return error_set(err, STATUS_CORRUPT, "could not read: the tape has ended");
    memcpy(bytes, tape->bytes + tape->at, length);
    tape->at += length;
    return STATUS_OK;
}

static void streams_pass_bytes_and_errors_on(void **state) {
    (void)state;
    struct tape tape = {.length = 0};
    struct sink sink = {tape_write, &tape};
    struct source source = {tape_read, &tape};
    struct error err = {0};
    char back[16] = "";
    assert_int_equal(sink_put(&sink, "weights", 7, &err), STATUS_OK);
    assert_int_equal(sink_put(&sink, NULL, 0, &err), STATUS_OK);
    assert_int_equal(source_get(&source, back, 7, &err), STATUS_OK);
    assert_int_equal(source_get(&source, NULL, 0, &err), STATUS_OK);
    assert_string_equal(back, "weights");
    assert_int_equal(tape.calls, 2); // a length of 0 touches neither
    assert_int_equal(source_get(&source, back, 1, &err), STATUS_CORRUPT);
    assert_int_equal(sink_put(&sink, back, 16, &err), STATUS_EXHAUSTED);
    assert_string_equal(err.message, "could not write: the tape is full");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_needs_room_and_memory),
        cmocka_unit_test(items_leave_in_the_order_they_came),
        cmocka_unit_test(waiting_ends_in_time),
        cmocka_unit_test(a_closed_queue_takes_nothing_more_but_gives_what_it_has),
        cmocka_unit_test(closing_wakes_all_who_wait),
        cmocka_unit_test(many_threads_lose_and_double_nothing),
        cmocka_unit_test(a_fake_clock_moves_only_when_told),
        cmocka_unit_test(the_system_clock_goes_forward_and_sleeps),
        cmocka_unit_test(streams_pass_bytes_and_errors_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
