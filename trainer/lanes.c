// A pool of threads around one counter of items a worker.
//
// A run raises `generation`; workers wake (after a short spin, since runs of one step follow
// closely), take items until none is left, and report. Each worker begins with a stretch of items
// of its own, the same in every run of so many, so that it finds in its cache what it left there;
// then it takes what others have not begun. Who took which item is never visible in a result.
#include "trainer/lanes.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/memory.h"

enum { SPINS = 4000 };

struct stretch {
    atomic_size_t next; // item
    size_t end;
    char apart[112]; // no two workers' counters on one cache line
};
struct lanes {
    size_t threads;
    struct stretch *stretches; // [threads]
    pthread_t *workers;        // [threads - 1]
    size_t started;
    pthread_mutex_t mutex;
    pthread_cond_t begin, end;
    atomic_uint_fast64_t generation; // of runs; written by the caller, under the mutex
    atomic_bool stop;                // likewise
    atomic_size_t busy;              // workers that have not finished this run
    void (*work)(void *self, size_t item, size_t worker); // written by the caller before a run
    void *self;                                           // likewise
};
struct worker {
    struct lanes *lanes;
    size_t index;
};

static inline void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void take_items(struct lanes *lanes, size_t worker) {
    for (size_t i = 0; i < lanes->threads; i++) {
        struct stretch *stretch = &lanes->stretches[(worker + i) % lanes->threads];
        for (;;) {
            size_t item = atomic_fetch_add_explicit(&stretch->next, 1, memory_order_relaxed);
            if (item >= stretch->end)
                break;
            lanes->work(lanes->self, item, worker);
        }
    }
}

static void wait_for_run(struct lanes *lanes, uint64_t seen) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&lanes->generation, memory_order_acquire) != seen)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&lanes->mutex);
    while (atomic_load(&lanes->generation) == seen)
        pthread_cond_wait(&lanes->begin, &lanes->mutex);
    pthread_mutex_unlock(&lanes->mutex);
}

static void *worker_main(void *argument) {
    struct worker worker = *(struct worker *)argument;
    memory_free(argument);
    struct lanes *lanes = worker.lanes;
    for (uint64_t seen = 0;; seen++) {
        wait_for_run(lanes, seen);
        if (atomic_load(&lanes->stop))
            return NULL;
        take_items(lanes, worker.index);
        if (atomic_fetch_sub_explicit(&lanes->busy, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&lanes->mutex);
            pthread_cond_signal(&lanes->end);
            pthread_mutex_unlock(&lanes->mutex);
        }
    }
}

static enum status worker_start(struct lanes *lanes, struct error *err) {
    struct worker *worker = memory_new(1, sizeof *worker);
    if (!worker)
        return error_no_memory(err, sizeof *worker, "a worker thread");
    *worker = (struct worker){lanes, lanes->started + 1};
    if (pthread_create(&lanes->workers[lanes->started], NULL, worker_main, worker) != 0) {
        memory_free(worker);
        return error_set(err, STATUS_EXHAUSTED, "could not start a worker thread");
    }
    lanes->started++;
    return STATUS_OK;
}

enum status lanes_new(size_t threads, struct lanes **ret_lanes, struct error *err) {
    REQUIRE(threads >= 1);
    struct lanes *lanes = memory_new(1, sizeof *lanes);
    if (!lanes)
        return error_no_memory(err, sizeof *lanes, "worker threads");
    lanes->threads = threads;
    pthread_mutex_init(&lanes->mutex, NULL);
    pthread_cond_init(&lanes->begin, NULL);
    pthread_cond_init(&lanes->end, NULL);
    enum status status = STATUS_OK;
    lanes->workers = memory_new(threads, sizeof *lanes->workers);
    lanes->stretches = memory_new(threads, sizeof *lanes->stretches);
    if (!lanes->workers || !lanes->stretches)
        status = error_no_memory(err, threads * sizeof *lanes->workers, "worker threads");
    while (status == STATUS_OK && lanes->started + 1 < threads)
        status = worker_start(lanes, err);
    if (status == STATUS_OK)
        *ret_lanes = lanes;
    else
        lanes_free(lanes);
    return status;
}

static void run_begin(struct lanes *lanes) {
    pthread_mutex_lock(&lanes->mutex);
    atomic_fetch_add_explicit(&lanes->generation, 1, memory_order_release);
    pthread_cond_broadcast(&lanes->begin);
    pthread_mutex_unlock(&lanes->mutex);
}

void lanes_free(struct lanes *lanes) {
    if (!lanes)
        return;
    atomic_store(&lanes->stop, true);
    run_begin(lanes);
    for (size_t i = 0; i < lanes->started; i++)
        pthread_join(lanes->workers[i], NULL);
    pthread_cond_destroy(&lanes->begin);
    pthread_cond_destroy(&lanes->end);
    pthread_mutex_destroy(&lanes->mutex);
    memory_free(lanes->workers);
    memory_free(lanes->stretches);
    memory_free(lanes);
}

size_t lanes_threads(const struct lanes *lanes) {
    return lanes->threads;
}

static void wait_for_workers(struct lanes *lanes) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&lanes->busy, memory_order_acquire) == 0)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&lanes->mutex);
    while (atomic_load_explicit(&lanes->busy, memory_order_acquire) != 0)
        pthread_cond_wait(&lanes->end, &lanes->mutex);
    pthread_mutex_unlock(&lanes->mutex);
}

void lanes_run(struct lanes *lanes, size_t count,
               void (*work)(void *self, size_t item, size_t worker), void *self) {
    if (lanes->threads == 1 || count <= 1) {
        for (size_t item = 0; item < count; item++)
            work(self, item, 0);
        return;
    }
    for (size_t i = 0; i < lanes->threads; i++) {
        atomic_store_explicit(&lanes->stretches[i].next, i * count / lanes->threads,
                              memory_order_relaxed);
        lanes->stretches[i].end = (i + 1) * count / lanes->threads;
    }
    lanes->work = work;
    lanes->self = self;
    atomic_store(&lanes->busy, lanes->started);
    run_begin(lanes);
    take_items(lanes, 0);
    wait_for_workers(lanes);
}
