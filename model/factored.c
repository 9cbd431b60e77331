// The first layer of a lane whose fields repeat their ids.
//
// x W is the sum over fields of e_f W_f, where e_f is the embedding of the field's id: a product
// that is the same for all rows with that id. So for a factor (a field with far fewer
// ids than rows) it is taken once an id, and rows pick theirs up. Backward, a row's slopes enter
// only by their sum over the rows of an id: s_i = sum of dz, then de_i = s_i W_f' and dW_f += e_i'
// s_i. Work runs panel by panel of output columns, so that what is picked up stays in the cache.
#include "model/network.h"
#include "model/product.h"

#include <string.h>

struct first { // the layer that reads the input
    const struct layer *layer;
    size_t in_columns, out_columns;
};

static struct first first_of(const struct model *model) {
    const struct layer *layer = &model->layers[0];
    return (struct first){layer, model->columns, model->planes[layer->out_plane].columns};
}

static size_t panel_columns(const struct layer *layer, size_t column) {
    return layer->out - column < PRODUCT_PANEL ? layer->out - column : PRODUCT_PANEL;
}

// Input columns between factors: [*begin, *end) from `at` on; false when there are no more.
static bool span_next(const struct model *model, const struct factor *factors, size_t count,
                      size_t *at, size_t *begin, size_t *end) {
    while (*at <= count) {
        size_t i = (*at)++, before = i > 0 ? factors[i - 1].field : 0;
        *begin = i > 0 ? model->field_offset[before] + model->spec.fields[before].dimension : 0;
        *end = i < count ? model->field_offset[factors[i].field] : model->features;
        if (*begin < *end)
            return true;
    }
    return false;
}

size_t network_scratch(const struct model *model, size_t rows) {
    size_t sequences = sequences_scratch(model) + 1, most = factor_ids_most(rows);
    if (!model->factorable)
        return sequences;
    size_t factored = (most * (model->spec.categorical_count + 1) + rows + 1) * PRODUCT_PANEL;
    return factored > sequences ? factored : sequences;
}

void factored_forward(const struct model *model, const struct activations *act,
                      const struct lane *lane, real *scratch) {
    struct first first = first_of(model);
    const struct factor *factors = activations_factors(act, model, lane);
    size_t fields = model->spec.categorical_count, base = activations_ids(model, lane);
    const real *in = act->values[0] + lane->first * first.in_columns;
    real *out = act->values[first.layer->out_plane] + lane->first * first.out_columns;
    bool add = false;
    for (size_t at = 0, begin, end;
         span_next(model, factors, lane->factor_count, &at, &begin, &end); add = true)
        product_rows_part(in + begin, first.in_columns, lane->rows, first.layer->packed[0],
                          first.layer->in, begin, end - begin, first.layer->out, add, out,
                          first.out_columns);
    for (size_t j = 0; j < first.layer->out; j += PRODUCT_PANEL) {
        size_t columns = panel_columns(first.layer, j);
        for (size_t i = 0; i < lane->factor_count; i++)
            product_rows_part(act->ids.values + (base + factors[i].first) * model->id_stride,
                              model->id_stride, factors[i].count,
                              first.layer->packed[0] + j * first.layer->in, first.layer->in,
                              model->field_offset[factors[i].field],
                              model->spec.fields[factors[i].field].dimension, columns, false,
                              scratch + factors[i].first * PRODUCT_PANEL, PRODUCT_PANEL);
        for (size_t p = 0; p < lane->rows; p++) {
            real sum[PRODUCT_PANEL], *row = out + p * first.out_columns + j;
            product_pick(scratch, PRODUCT_PANEL, act->ids.index + (lane->first + p) * fields,
                         lane->factor_count, sum);
            for (size_t c = 0; c < columns; c++)
                row[c] = add ? row[c] + sum[c] : sum[c];
        }
    }
}

// Packs a panel of the lane's slopes, [lane rows][PRODUCT_PANEL].
static void slab_pack(const struct model *model, const struct activations *act,
                      const struct lane *lane, size_t pass, size_t column, real *slab) {
    struct first first = first_of(model);
    const real *slopes = activations_slope(act, model, pass, first.layer->out_plane) +
                         lane->first * first.out_columns;
    product_pack(slopes + column, NULL, first.out_columns, 0, lane->rows, lane->rows,
                 panel_columns(first.layer, column), slab);
}

// sums[count][PRODUCT_PANEL]: a factor's slopes by id.
static void slab_sum(const struct model *model, const struct activations *act,
                     const struct lane *lane, size_t factor, const real *slab, real *sums) {
    const struct factor *shape = &activations_factors(act, model, lane)[factor];
    size_t base = activations_ids(model, lane);
    const uint32_t *members = activations_members(act, model, lane, factor);
    for (size_t id = 0; id < shape->count; id++) {
        product_pick(slab, PRODUCT_PANEL, members, activations_id_rows(act, lane, shape, base, id),
                     sums + id * PRODUCT_PANEL);
        members += activations_id_rows(act, lane, shape, base, id);
    }
}

void factored_backward(const struct model *model, const struct activations *act,
                       const struct lane *lane, size_t pass, real *scratch) {
    struct first first = first_of(model);
    const struct factor *factors = activations_factors(act, model, lane);
    size_t base = activations_ids(model, lane);
    const real *out = activations_slope(act, model, pass, first.layer->out_plane) +
                      lane->first * first.out_columns;
    real *in = activations_slope(act, model, pass, 0) + lane->first * first.in_columns;
    for (size_t f = 0, i = 0; f < model->spec.field_count; f++) {
        if (i < lane->factor_count && factors[i].field == f)
            i++;
        else
            product_rows(out, first.out_columns, lane->rows, model->field_turned[f],
                         first.layer->out, network_field_width(model, f), false,
                         in + model->field_offset[f], first.in_columns);
    }
    real *slab = scratch, *sums = scratch + lane->rows * PRODUCT_PANEL;
    for (size_t j = 0; j < first.layer->out; j += PRODUCT_PANEL) {
        slab_pack(model, act, lane, pass, j, slab);
        for (size_t i = 0; i < lane->factor_count; i++) {
            slab_sum(model, act, lane, i, slab, sums);
            product_rows_part(sums, PRODUCT_PANEL, factors[i].count,
                              model->field_turned[factors[i].field], first.layer->out, j,
                              panel_columns(first.layer, j),
                              model->spec.fields[factors[i].field].dimension, j > 0,
                              act->ids.slopes[pass] + (base + factors[i].first) * model->id_stride,
                              model->id_stride);
        }
    }
}

void factored_gradient(const struct model *model, const struct activations *act,
                       const struct lane *lane, size_t pass, size_t column, size_t columns,
                       real alpha, real *weight, size_t weight_columns, real *scratch) {
    struct first first = first_of(model);
    const struct factor *factors = activations_factors(act, model, lane);
    size_t base = activations_ids(model, lane);
    const real *in = act->values[0] + lane->first * first.in_columns;
    real *slab = scratch, *sums = scratch + lane->rows * PRODUCT_PANEL;
    for (size_t j = 0; j < columns; j += PRODUCT_PANEL) {
        size_t width = columns - j < PRODUCT_PANEL ? columns - j : PRODUCT_PANEL;
        slab_pack(model, act, lane, pass, column + j, slab);
        for (size_t at = 0, begin, end;
             span_next(model, factors, lane->factor_count, &at, &begin, &end);)
            product_panel_sums(in + begin, first.in_columns, end - begin, slab, width, lane->rows,
                               alpha, true, weight + begin * weight_columns + j, weight_columns);
        for (size_t i = 0; i < lane->factor_count; i++) {
            slab_sum(model, act, lane, i, slab, sums);
            product_panel_sums(act->ids.values + (base + factors[i].first) * model->id_stride,
                               model->id_stride, model->spec.fields[factors[i].field].dimension,
                               sums, width, factors[i].count, alpha, true,
                               weight + model->field_offset[factors[i].field] * weight_columns + j,
                               weight_columns);
        }
    }
}

void factored_wide(const struct model *model, const struct activations *act,
                   const struct lane *lane) {
    if (!model->wide)
        return;
    size_t tasks = model->spec.task_count, base = activations_ids(model, lane);
    const real *slopes = activations_slope(act, model, 0, model->logit_plane) + lane->first * tasks;
    for (size_t i = 0; i < lane->factor_count; i++) {
        const struct factor *factor = &activations_factors(act, model, lane)[i];
        const uint32_t *members = activations_members(act, model, lane, i);
        for (size_t id = 0; id < factor->count; id++) {
            real *sum = act->ids.wide + (base + factor->first + id) * tasks;
            memset(sum, 0, tasks * sizeof *sum);
            for (size_t left = activations_id_rows(act, lane, factor, base, id); left > 0; left--)
                for (size_t k = 0, p = *members++; k < tasks; k++)
                    sum[k] += slopes[p * tasks + k];
        }
    }
}
