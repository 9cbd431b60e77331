// Threads that the product starts, made to take turns: one runs at a time, and who is next follows
// from the seed.
//
// The linker sends pthread_create, pthread_cond_wait and pthread_join here (--wrap). A strand runs
// while the simulator's own thread stands still, until it waits for a condition, ends, or, by
// chance, is about to have an effect (sim_gate). It belongs to the process that started it.
#include <pthread.h>

#include "base/memory.h"
#include "tests/simulator/sim.h"

struct strand {
    pthread_t thread;
    struct process *process;
    void *(*body)(void *);
    void *argument;
    bool ended;
    struct strand *next; // newer ones first
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t passed;
    struct strand *turn; // who runs; NULL = the simulator's own thread
    struct strand *first;
} baton = {.lock = PTHREAD_MUTEX_INITIALIZER, .passed = PTHREAD_COND_INITIALIZER};
static _Thread_local struct strand *self; // NULL = the simulator's own thread

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument);
int __real_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __real_pthread_join(pthread_t thread, void **ret_value);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_join(pthread_t thread, void **ret_value);

static void baton_pass(struct strand *to) {
    pthread_mutex_lock(&baton.lock);
    baton.turn = to;
    pthread_cond_broadcast(&baton.passed);
    while (baton.turn != self)
        __real_pthread_cond_wait(&baton.passed, &baton.lock);
    pthread_mutex_unlock(&baton.lock);
}

static void *strand_main(void *argument) {
    self = argument;
    pthread_mutex_lock(&baton.lock);
    while (baton.turn != self)
        __real_pthread_cond_wait(&baton.passed, &baton.lock);
    pthread_mutex_unlock(&baton.lock);
    void *value = self->body(self->argument);
    pthread_mutex_lock(&baton.lock);
    self->ended = true;
    baton.turn = NULL;
    pthread_cond_broadcast(&baton.passed);
    pthread_mutex_unlock(&baton.lock);
    return value;
}

static void strand_run(struct strand *strand) {
    struct process *running = sim_process;
    if (strand->ended)
        return;
    sim_process = strand->process;
    baton_pass(strand);
    sim_process = running;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument) {
    struct strand *strand = memory_new(1, sizeof *strand);
    REQUIRE(strand && !self);
    *strand = (struct strand){
        .process = sim_process, .body = body, .argument = argument, .next = baton.first};
    int code = __real_pthread_create(&strand->thread, attributes, strand_main, strand);
    REQUIRE(code == 0);
    baton.first = strand;
    *thread = strand->thread;
    return 0;
}

// Callers look again at what they wait for, so it does no harm that nobody may have signalled.
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex) {
    (void)condition;
    pthread_mutex_unlock(mutex);
    if (self)
        baton_pass(NULL);
    else
        sim_strands_run(sim_process);
    pthread_mutex_lock(mutex);
    return 0;
}

int __wrap_pthread_join(pthread_t thread, void **ret_value) {
    struct strand **link = &baton.first;
    while (!pthread_equal((*link)->thread, thread))
        link = &(*link)->next;
    struct strand *strand = *link;
    while (!strand->ended)
        strand_run(strand);
    *link = strand->next;
    memory_free(strand);
    return __real_pthread_join(thread, ret_value);
}

void sim_strands_run(const struct process *process) {
    for (struct strand *strand = baton.first; strand; strand = strand->next)
        if (!process || strand->process == process)
            strand_run(strand);
}

void sim_strand_rest(void) {
    if (self && sim_chance(.3))
        baton_pass(NULL);
}
