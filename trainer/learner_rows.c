// Touched rows after the backward passes: sums, the balanced step.
#include "trainer/learner_inside.h"

#include <string.h>

#include "model/vector.h"
#include "trainer/optimise.h"
#include "trainer/schedule.h"

enum { STEP_AHEAD = 8 }; // rows lie anywhere in memory

void learner_rows_sum(struct learner *learner, struct row_piece *piece) {
    const struct touched *touched = &learner->touched[piece->table];
    touched_sum(touched, learner->model, &learner->act, learner->active_passes, piece->first,
                piece->count);
}

VECTOR_CLONES
static void combine(const struct learner *learner, const struct touched *touched, size_t row,
                    size_t dimension, real *restrict out) {
    const double *factors =
        learner->factors + learner_table_block(learner, touched->table) * learner->tasks;
    memset(out, 0, dimension * sizeof *out);
    for (size_t pass = 0; pass < learner->passes; pass++) {
        if (!learner->active_passes[pass])
            continue;
        const real *restrict sum = touched_gradient(touched, row, pass, dimension);
        real factor = learner->passes > 1 ? (real)factors[pass] : (real)1;
        for (size_t c = 0; c < dimension; c++)
            out[c] += factor * sum[c];
    }
    const real *wide = touched_gradient(touched, row, learner->passes, dimension);
    for (size_t k = 0; k < learner->model->wide; k++)
        out[dimension + k] = wide[k];
}

// How a table's rows step now. FTRL's weights follow from its sums and its rate, so a falling rate
// would take back what it has learnt: it keeps its own, and falls by its sums.
static struct row_optimiser scheduled(const struct learner *learner, size_t table) {
    struct row_optimiser of = learner->row_optimisers[table];
    if (of.optimiser == LEARNER_ROW_FTRL)
        return of;
    of.rate = schedule_rate(&learner->settings, of.rate, learner->step);
    if (!of.wide_ftrl)
        of.wide_rate = schedule_rate(&learner->settings, of.wide_rate, learner->step);
    return of;
}

void learner_rows_step(struct learner *learner, struct row_piece *piece, size_t worker) {
    const struct touched *touched = &learner->touched[piece->table];
    const struct table *table = &learner->model->tables[piece->table];
    size_t dimension = learner->model->table_dimension[piece->table];
    real *gradient = learner->workers[worker].row;
    struct row_optimiser of = scheduled(learner, piece->table);
    piece->skipped = 0;
    for (size_t u = piece->first; u < piece->first + piece->count; u++) {
        if (u + STEP_AHEAD < piece->first + piece->count) {
            table_prefetch(table, touched->slots[u + STEP_AHEAD]);
            __builtin_prefetch(table_state(table, touched->slots[u + STEP_AHEAD]), 1);
        }
        combine(learner, touched, u, dimension, gradient);
        double square = vector_dot(gradient, gradient, table->width);
        if (!(square < LEARNER_SQUARE_MAX))
            piece->skipped++;
        if (!(square < LEARNER_SQUARE_MAX) || !(square > 0))
            continue;
        double clip = learner->settings.gradient_clip;
        double scale = sqrt(square) > clip ? clip / sqrt(square) : 1;
        uint32_t slot = touched->slots[u];
        optimise_row(&of, table_values(table, slot), table_state(table, slot), gradient, dimension,
                     learner->model->wide, scale);
    }
}
