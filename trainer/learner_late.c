// Learning of the auxiliary classifiers (late.h): a forward pass as for a prediction, which leaves
// the model alone, and a step of theirs.
#include "trainer/learner_inside.h"

static void late_work(void *self, size_t item, size_t worker) {
    struct learner *learner = self;
    const struct model *model = learner->model;
    const struct minibatch *batch = learner->batch;
    struct learner_worker *mine = &learner->workers[worker];
    struct lane *lane = &learner->lane[item];
    size_t stride = (size_t)learner->settings.batch_rows;
    struct resolved resolved = {.slots = learner->slots, .stride = stride};
    inputs_order(model, batch->domains, lane->first, &learner->act, lane, mine->counts);
    inputs_look_up(model, batch, lane->first, &learner->act, lane, &mine->set,
                   learner->slots + lane->first, stride);
    inputs_gather(model, batch, &resolved, &learner->act, lane, mine->network);
    network_forward(model, &learner->act, lane, mine->network);
    late_sum(&learner->late, model, &learner->act, lane, item, batch);
}

enum status learner_learn_late(struct learner *learner, const struct minibatch *batch,
                               struct error *err) {
    if (batch->rows > (size_t)learner->settings.batch_rows)
        return error_set(err, STATUS_INVALID,
                         "could not learn from final labels: %zu rows, more than batch_rows %lld",
                         batch->rows, (long long)learner->settings.batch_rows);
    if (batch->rows == 0 || learner->late.count == 0)
        return STATUS_OK;
    learner->batch = batch;
    learner->act.expert_dropout = 0;
    learner_settle_batch(learner);
    learner_lanes_cut(learner);
    lanes_run(learner->lanes, learner->lane_count, late_work, learner);
    late_step(&learner->late, learner->lane_count, learner->settings.late_learning_rate);
    learner->batch = NULL;
    return STATUS_OK;
}
