// Slopes of a model against central differences, in double.
#ifndef FRESHET_TESTS_TRAINER_DIFFERENCES_H
#define FRESHET_TESTS_TRAINER_DIFFERENCES_H

#include "tests/trainer/learner_fixture.h"
#include "trainer/touched.h"

struct bench { // a model with one batch on it, in two lanes
    struct model *model;
    struct minibatch batch;
    struct activations act;
    struct lane lanes[2];
    struct segment segments[2][4];
    struct touched touched[3];
    uint32_t slots[3 * FIXTURE_ROWS], list_slots[3][4 * FIXTURE_ROWS], positions[FIXTURE_ROWS];
    uint32_t *lists[3];
    bool active[FIXTURE_TASKS];
    const char *only; // tensors whose names begin so are checked; "" = all
    real *gradients, *scratch, *network, *sequence_gradients;
    bool gates_stop; // PEPNet: what differences through stopped inputs would move is left out
};

void bench_init(struct bench *bench, const struct model_spec *spec);
void bench_deinit(struct bench *bench);
// One backward pass, of task k, or of all for k = FIXTURE_TASKS.
void check_pass(struct bench *bench, size_t pass, size_t k);
// A pass of each task and one of all; of tensors those whose names begin with `only`, and then the
// first task's pass stands for the others'.
void check_tensors_of(const struct model_spec *spec, const char *only);
void check_spec(const struct model_spec *spec);

#endif
