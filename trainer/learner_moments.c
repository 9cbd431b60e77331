// Moving moments of numeric inputs and of embedded columns, brought forward after a step.
//
// A batch's mean and variance are merged exactly while few rows were seen, then with a fixed
// weight: with a = b / (n + b), the mean moves by a times the difference, and n stops at its
// horizon. Inputs that are learnt from again, because their label changed, count once.
#include "trainer/learner_inside.h"

struct moments {
    double rows, sum, squares; // squares of the distance to `origin`
    double origin;             // the mean before: keeps the sums well conditioned
};

static void moments_add(struct moments *moments, double value) {
    double distance = value - moments->origin;
    moments->rows += 1;
    moments->sum += distance;
    moments->squares += distance * distance;
}

// Chan, Golub and LeVeque 1983, eq. 2.1, as weights; values: [mean; variance; rows][columns].
static void moments_merge(const struct moments *moments, real *values, size_t columns,
                          size_t column) {
    if (!(moments->rows > 0))
        return;
    double mean = moments->sum / moments->rows;
    double variance = moments->squares / moments->rows - mean * mean;
    double rows = (double)values[2 * columns + column];
    double weight = moments->rows / (rows + moments->rows);
    double before = (double)values[columns + column];
    values[column] = (real)(moments->origin + weight * mean);
    values[columns + column] =
        (real)((1 - weight) * before + weight * (variance > 0 ? variance : 0) +
               weight * (1 - weight) * mean * mean);
    rows += moments->rows;
    values[2 * columns + column] = (real)(rows < NETWORK_MOMENT_ROWS ? rows : NETWORK_MOMENT_ROWS);
}

static void move_number(const struct learner *learner, size_t i) {
    const struct minibatch *batch = learner->batch;
    size_t count = learner->model->spec.numeric_count;
    real *values = learner->model->tensors[learner->model->numeric_moments].data;
    struct moments moments = {.origin = (double)values[i]};
    for (size_t r = 0; r < batch->rows; r++) {
        double number = (double)batch->numbers[i * batch->capacity + r];
        if (isfinite(number) && !batch->repeats[r])
            moments_add(&moments, copysign(log1p(fabs(number)), number));
    }
    moments_merge(&moments, values, count, i);
}

static void move_column(const struct learner *learner, size_t tensor, size_t domain,
                        size_t column) {
    const struct model *model = learner->model;
    real *values = model->tensors[tensor].data;
    struct moments moments = {.origin = (double)values[column]};
    for (size_t i = 0; i < learner->lane_count; i++)
        for (size_t s = 0; s < learner->lane[i].segment_count; s++) {
            const struct segment *segment = &learner->lane[i].segments[s];
            if (domain != NETWORK_NONE && segment->domain != domain)
                continue;
            for (size_t p = segment->first; p < segment->first + segment->rows; p++)
                if (!learner->batch->repeats[learner->act.order[p]])
                    moments_add(&moments, (double)learner->act.raw[p * model->embedded + column]);
        }
    moments_merge(&moments, values, model->embedded, column);
}

size_t learner_moment_items(const struct learner *learner) {
    size_t columns = learner->act.raw ? learner->model->embedded : 0;
    return learner->model->spec.numeric_count + columns;
}

void learner_moments_move(struct learner *learner, size_t item) {
    const struct model *model = learner->model;
    if (item < model->spec.numeric_count) {
        move_number(learner, item);
        return;
    }
    size_t column = item - model->spec.numeric_count;
    move_column(learner, model->norm_moments, NETWORK_NONE, column);
    for (size_t p = 0; model->norm_domain_moments != NETWORK_NONE && p < model->domain_count; p++)
        move_column(learner, model->norm_domain_moments + p, p, column);
}
