// Activations, and prediction of a block of rows with them.
#include "model/network.h"
#include "model/relation.h"

static bool planes_get(real **planes, const struct model *model, size_t rows, size_t pass) {
    bool made = true;
    for (size_t i = 0; i < model->plane_count; i++) {
        if (pass > 0 && model->planes[i].task != NETWORK_NONE)
            continue;
        planes[i] = memory_new(rows * model->planes[i].columns, sizeof(real));
        made = made && planes[i];
    }
    return made;
}

static bool ids_init(struct ids *ids, const struct model *model, size_t rows, size_t passes) {
    size_t fields = model->spec.categorical_count, count = rows * fields * 5 / 8 + 1;
    ids->factors = memory_new(rows * fields, sizeof *ids->factors);
    ids->slots = memory_new(count, sizeof *ids->slots);
    ids->begin = memory_new(count, sizeof *ids->begin);
    ids->members = memory_new(rows * fields, sizeof *ids->members);
    ids->index = memory_new(rows * fields, sizeof *ids->index);
    ids->values = memory_new(count * model->id_stride, sizeof *ids->values);
    ids->slopes = memory_new(passes + 1, sizeof *ids->slopes);
    ids->wide = memory_new(count * model->spec.task_count, sizeof *ids->wide);
    bool made = ids->factors && ids->slots && ids->begin && ids->members && ids->index &&
                ids->values && ids->slopes && ids->wide;
    for (size_t pass = 0; made && pass < passes; pass++) {
        ids->slopes[pass] = memory_new(count * model->id_stride, sizeof(real));
        made = ids->slopes[pass] != NULL;
    }
    return made;
}

static void ids_deinit(struct ids *ids, size_t passes) {
    for (size_t pass = 0; ids->slopes && pass < passes; pass++)
        memory_free(ids->slopes[pass]);
    memory_free(ids->factors);
    memory_free(ids->slots);
    memory_free(ids->begin);
    memory_free(ids->members);
    memory_free(ids->index);
    memory_free(ids->values);
    memory_free(ids->slopes);
    memory_free(ids->wide);
}

enum status activations_init(struct activations *act, const struct model *model, size_t rows_max,
                             size_t passes, struct error *err) {
    *act = (struct activations){.rows_max = rows_max, .passes = passes};
    bool norm = model->norm_gamma != NETWORK_NONE;
    act->order = memory_new(rows_max, sizeof *act->order);
    act->values = memory_new(model->plane_count, sizeof *act->values);
    act->slopes = memory_new(passes * model->plane_count + 1, sizeof *act->slopes);
    act->raw_slopes = memory_new(passes + 1, sizeof *act->raw_slopes);
    bool made = act->order && act->values && act->slopes && act->raw_slopes &&
                planes_get(act->values, model, rows_max, 0);
    if (made && norm) {
        act->raw = memory_new(rows_max * model->embedded, sizeof *act->raw);
        made = act->raw != NULL;
    }
    if (made && model->factorable)
        made = ids_init(&act->ids, model, rows_max, passes);
    made = made && sequence_rows_init(&act->sequences, model, rows_max, passes);
    for (size_t pass = 0; made && pass < passes; pass++) {
        made = planes_get(act->slopes + pass * model->plane_count, model, rows_max, pass);
        if (made && norm) {
            act->raw_slopes[pass] = memory_new(rows_max * model->embedded, sizeof(real));
            made = act->raw_slopes[pass] != NULL;
        }
    }
    if (made)
        return STATUS_OK;
    activations_deinit(act, model);
    return error_no_memory(err, rows_max * model->columns * sizeof(real), "activations");
}

void activations_deinit(struct activations *act, const struct model *model) {
    for (size_t i = 0; act->values && i < model->plane_count; i++)
        memory_free(act->values[i]);
    for (size_t i = 0; act->slopes && i < act->passes * model->plane_count; i++)
        memory_free(act->slopes[i]);
    for (size_t pass = 0; act->raw_slopes && pass < act->passes; pass++)
        memory_free(act->raw_slopes[pass]);
    ids_deinit(&act->ids, act->passes);
    sequence_rows_deinit(&act->sequences, act->passes);
    memory_free(act->values);
    memory_free(act->slopes);
    memory_free(act->raw);
    memory_free(act->raw_slopes);
    memory_free(act->order);
    *act = (struct activations){0};
}

struct model_scratch {
    const struct model *model;
    struct activations act;
    struct segment *segments;
    size_t *counts;
    uint32_t *slots; // [categorical][rows_max]
    struct id_set set;
    real *network; // network_scratch
};

enum status model_scratch_new(const struct model *model, size_t rows_max,
                              struct model_scratch **ret_scratch, struct error *err) {
    struct model_scratch *scratch = memory_new(1, sizeof *scratch);
    if (!scratch)
        return error_no_memory(err, sizeof *scratch, "scratch for prediction");
    scratch->model = model;
    enum status status = activations_init(&scratch->act, model, rows_max, 0, err);
    if (status == STATUS_OK) {
        size_t segments = model->domain_count < rows_max ? model->domain_count : rows_max;
        scratch->segments = memory_new(segments + 1, sizeof *scratch->segments);
        scratch->counts = memory_new(model->domain_count + 1, sizeof *scratch->counts);
        scratch->slots =
            memory_new(model->spec.categorical_count * rows_max + 1, sizeof *scratch->slots);
        scratch->network = memory_new(network_scratch(model, rows_max), sizeof(real));
        status = id_set_init(&scratch->set, rows_max, err);
        if (!scratch->network || !scratch->segments || !scratch->counts || !scratch->slots)
            status =
                error_no_memory(err, rows_max * sizeof *scratch->slots, "scratch for prediction");
    }
    if (status == STATUS_OK)
        *ret_scratch = scratch;
    else
        model_scratch_free(scratch);
    return status;
}

void model_scratch_free(struct model_scratch *scratch) {
    if (!scratch)
        return;
    activations_deinit(&scratch->act, scratch->model);
    memory_free(scratch->segments);
    memory_free(scratch->counts);
    memory_free(scratch->slots);
    memory_free(scratch->network);
    id_set_deinit(&scratch->set);
    memory_free(scratch);
}

void model_predict(const struct model *model, struct model_scratch *scratch,
                   const struct minibatch *batch, size_t first, size_t rows, real *logits) {
    REQUIRE(rows <= scratch->act.rows_max && first + rows <= batch->rows);
    if (rows == 0)
        return;
    struct lane lane = {.rows = rows, .segments = scratch->segments};
    inputs_order(model, batch->domains, first, &scratch->act, &lane, scratch->counts);
    inputs_look_up(model, batch, first, &scratch->act, &lane, &scratch->set, scratch->slots, rows);
    struct resolved resolved = {.slots = scratch->slots, .stride = rows, .first = first};
    inputs_gather(model, batch, &resolved, &scratch->act, &lane, scratch->network);
    network_forward(model, &scratch->act, &lane, scratch->network);
    size_t tasks = model->spec.task_count;
    real *values = scratch->act.values[model->logit_plane];
    for (size_t p = 0; p < rows; p++) {
        relation_predict(model, values + p * tasks);
        for (size_t k = 0; k < tasks; k++)
            logits[k * rows + scratch->act.order[p] - first] = values[p * tasks + k];
    }
}
