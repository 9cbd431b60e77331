// A backward pass of a lane: slopes of every plane, from the logits to the embedded input.
//
// For one task or for several at once. Slopes are derivatives of the summed loss of the rows; the
// scale of dense gradients is applied where they are formed (gradient.c), that of rows is 1.
#include "model/network.h"
#include "model/product.h"
#include "model/vector.h"

#include <string.h>

struct backward {
    const struct model *model;
    struct activations *act;
    const struct lane *lane;
    size_t pass;
    real *scratch;  // network_scratch
    uint32_t tasks; // whose losses the pass is of, as bits
};

// Whether a tower's slopes are of this pass at all.
static bool runs(const struct backward *back, size_t tower) {
    return tower == NETWORK_NONE || (back->model->feeds[tower] & back->tasks) != 0;
}

static void layer_rows(const struct backward *back, const struct layer *layer, size_t first,
                       size_t rows, size_t domain, bool accumulate) {
    const struct model *model = back->model;
    size_t in_columns = model->planes[layer->in_plane].columns;
    size_t out_columns = model->planes[layer->out_plane].columns;
    real *in = activations_slope(back->act, model, back->pass, layer->in_plane) +
               first * in_columns + layer->in_offset + layer->stopped;
    const real *out = activations_slope(back->act, model, back->pass, layer->out_plane) +
                      first * out_columns + layer->out_offset;
    if (layer->single) {
        vector_rows_outer(out, out_columns, rows, network_weight(model, layer->weight, domain),
                          layer->in, accumulate, in, in_columns);
        return;
    }
    size_t at = model->traits[layer->weight].fuses ? domain : 0;
    product_rows(out, out_columns, rows, layer->turned[at], layer->out, layer->in - layer->stopped,
                 accumulate, in, in_columns);
}

// Slopes of a layer's input from those of its output.
static void layer_back(const struct backward *back, const struct layer *layer, bool accumulate) {
    if (!back->model->traits[layer->weight].fuses) {
        layer_rows(back, layer, back->lane->first, back->lane->rows, 0, accumulate);
        return;
    }
    for (size_t s = 0; s < back->lane->segment_count; s++) {
        const struct segment *segment = &back->lane->segments[s];
        layer_rows(back, layer, segment->first, segment->rows, segment->domain, accumulate);
    }
}

static void plane_mask(const struct backward *back, size_t plane) {
    const struct plane *shape = &back->model->planes[plane];
    size_t offset = back->lane->first * shape->columns;
    vector_mask(activations_slope(back->act, back->model, back->pass, plane) + offset,
                shape->columns, back->act->values[plane] + offset, shape->columns, back->lane->rows,
                shape->relu);
}

static void plane_clear(const struct backward *back, size_t plane, size_t column, size_t count) {
    size_t columns = back->model->planes[plane].columns;
    real *slope = activations_slope(back->act, back->model, back->pass, plane);
    for (size_t p = back->lane->first; p < back->lane->first + back->lane->rows; p++)
        memset(slope + p * columns + column, 0, count * sizeof *slope);
}

// A layer behind a gate unit, the unit and its own layer, which comes before.
static void gated_back(const struct backward *back, size_t l, bool accumulate, bool begun) {
    const struct gate_unit *unit = &back->model->units[back->model->layers[l].unit - 1];
    layer_back(back, &back->model->layers[l], false);
    gate_backward(back->model, back->act, back->lane, back->pass, unit, accumulate);
    layer_back(back, &back->model->layers[l - 1], begun);
}

// accumulate: another task of this pass has put slopes on the tower's input before; begun: another
// tower has run in this pass at all.
static void tower_back(const struct backward *back, size_t task, bool accumulate, bool begun) {
    const struct model *model = back->model;
    size_t begin = model->tower_begin[task];
    for (size_t l = model->tower_begin[task + 1]; l-- > begin;) {
        if (model->layers[l].unit) {
            size_t plane = model->units[model->layers[l].unit - 1].in_plane;
            gated_back(back, l, l - 1 == begin && accumulate, begun);
            l--;
            if (l > begin)
                plane_mask(back, plane);
            continue;
        }
        layer_back(back, &model->layers[l], l == begin && accumulate);
        if (l > begin)
            plane_mask(back, model->layers[l].in_plane);
    }
}

static void auxiliary_back(const struct backward *back) {
    const struct model *model = back->model;
    size_t begin = model->tower_begin[model->spec.task_count];
    if (begin == model->auxiliary_end)
        return;
    size_t hidden_end = model->auxiliary_end - model->spec.task_count;
    bool accumulate = false;
    for (size_t k = 0; k < model->spec.task_count; k++) {
        if (!runs(back, k))
            continue;
        layer_back(back, &model->layers[hidden_end + k], accumulate);
        accumulate = true;
    }
    for (size_t l = hidden_end; l-- > begin;) {
        plane_mask(back, model->layers[l].out_plane);
        layer_back(back, &model->layers[l], false);
    }
}

// dz_i = g_i (dg_i - sum_j g_j dg_j), in place of dg.
static void softmax_back(const real *gate, real *slope, size_t count) {
    real sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += gate[i] * slope[i];
    for (size_t i = 0; i < count; i++)
        slope[i] = gate[i] * (slope[i] - sum);
}

// Experts and gates begin with slopes of 0: mixtures add to them, and not all do so in each pass.
static void mixtures_clear(const struct backward *back) {
    const struct model *model = back->model;
    for (size_t i = 0; i < model->mixture_count; i++) {
        const struct mixture *mixture = &model->mixtures[i];
        if (runs(back, model->planes[mixture->gate_plane].task))
            plane_clear(back, mixture->gate_plane, mixture->gate_offset, mixture->gates);
        for (size_t p = mixture->part; p < mixture->part + mixture->parts; p++) {
            const struct mixture_part *part = &model->parts[p];
            if (part->first && runs(back, model->planes[part->plane].task))
                plane_clear(back, part->plane, part->offset, part->experts * mixture->width);
        }
    }
}

static void mix_back(const struct backward *back, const struct mixture *mixture) {
    const struct model *model = back->model;
    size_t first = back->lane->first, rows = back->lane->rows;
    size_t columns = model->planes[mixture->gate_plane].columns, gate = 0;
    size_t offset = first * columns + mixture->gate_offset;
    const real *gates = back->act->values[mixture->gate_plane] + offset;
    real *slopes = activations_slope(back->act, model, back->pass, mixture->gate_plane) + offset;
    for (size_t p = mixture->part; p < mixture->part + mixture->parts; p++) {
        const struct mixture_part *part = &model->parts[p];
        size_t part_columns = model->planes[part->plane].columns;
        size_t at = first * part_columns + part->offset;
        vector_unmix(back->act->values[part->plane] + at, part_columns, gates + gate, columns,
                     part->experts, mixture->width, rows,
                     activations_slope(back->act, model, back->pass, mixture->out_plane) +
                         first * mixture->width,
                     mixture->width,
                     activations_slope(back->act, model, back->pass, part->plane) + at,
                     part_columns, slopes + gate, columns);
        gate += part->experts;
    }
    for (size_t r = 0; r < rows; r++)
        softmax_back(gates + r * columns, slopes + r * columns, mixture->gates);
}

// The trunk's layers and mixtures in reverse order.
static void trunk_back(const struct backward *back, bool input_begun) {
    const struct model *model = back->model;
    size_t mixture = model->mixture_count, input = model->trunk_input;
    mixtures_clear(back);
    for (size_t l = model->trunk_end;; l--) {
        for (; mixture > 0 && model->mixtures[mixture - 1].after == l; mixture--)
            if (runs(back, model->mixtures[mixture - 1].tower))
                mix_back(back, &model->mixtures[mixture - 1]);
        if (l == model->trunk_begin)
            return;
        const struct layer *layer = &model->layers[l - 1];
        if (!runs(back, layer->tower))
            continue;
        if (layer->out_offset + layer->out == model->planes[layer->out_plane].columns)
            plane_mask(back, layer->out_plane); // before the last of a plane's layers, met first
        if (l == 1 && back->lane->factor_count)
            factored_backward(model, back->act, back->lane, back->pass, back->scratch);
        else
            layer_back(back, layer, layer->in_plane == input && input_begun && !layer->stopped);
        input_begun = input_begun || layer->in_plane == input;
    }
}

// EPNet: from the trunk's input to the input.
static void input_gate_back(const struct backward *back) {
    const struct model *model = back->model;
    if (model->unit_count == 0)
        return;
    gate_backward(model, back->act, back->lane, back->pass, &model->units[0], false);
    for (size_t l = model->trunk_begin; l-- > 0;) {
        plane_mask(back, model->layers[l].out_plane);
        layer_back(back, &model->layers[l], false);
    }
}

static void norm_back(const struct backward *back) {
    const struct model *model = back->model;
    if (!back->act->raw)
        return;
    const real *slope = activations_slope(back->act, model, back->pass, 0);
    real *raw = back->act->raw_slopes[back->pass];
    for (size_t s = 0; s < back->lane->segment_count; s++) {
        const struct segment *segment = &back->lane->segments[s];
        const real *scale = network_norm(model, segment->domain, NORM_SCALE);
        for (size_t p = segment->first; p < segment->first + segment->rows; p++)
            vector_multiply(raw + p * model->embedded, slope + p * model->columns, scale,
                            model->embedded);
    }
}

void network_backward(const struct model *model, struct activations *act, const struct lane *lane,
                      size_t pass, size_t task, size_t task_end, const bool *active,
                      real *scratch) {
    struct backward back = {model, act, lane, pass, scratch, 0};
    for (size_t k = task; k < task_end; k++)
        back.tasks |= active[k] ? UINT32_C(1) << k : 0;
    for (size_t k = 0; k < model->spec.task_count; k++) {
        bool begun = false, same = false; // another tower has run; it put slopes on what this reads
        for (size_t j = 0; j < k; j++) {
            begun = begun || runs(&back, j);
            same = same || (runs(&back, j) && model->mix_plane[j] == model->mix_plane[k]);
        }
        if (runs(&back, k))
            tower_back(&back, k, same, begun);
    }
    auxiliary_back(&back);
    trunk_back(&back, model->auxiliary_end > model->tower_begin[model->spec.task_count]);
    input_gate_back(&back);
    norm_back(&back);
    sequences_backward(model, act, lane, pass, scratch);
}

void network_drop_row(const struct model *model, struct activations *act, const struct lane *lane,
                      size_t position) {
    for (size_t plane = 0; plane < model->plane_count; plane++)
        memset(act->values[plane] + position * model->planes[plane].columns, 0,
               model->planes[plane].columns * sizeof(real));
    if (act->raw)
        memset(act->raw + position * model->embedded, 0, model->embedded * sizeof(real));
    for (size_t s = 0; s < model->sequences.count; s++)
        act->sequences.counts[s * act->rows_max + position] = SEQUENCE_DROPPED;
    if (lane->factor_count == 0)
        return;
    // An id's values are zeroed where they are what made its rows unusable: 0 times them is NaN.
    const uint32_t *index = act->ids.index + position * model->spec.categorical_count;
    for (size_t i = 0; i < lane->factor_count; i++) {
        real *values =
            act->ids.values + (activations_ids(model, lane) + index[i]) * model->id_stride;
        for (size_t c = 0; c < model->id_stride; c++)
            values[c] = isfinite(values[c]) ? values[c] : 0;
    }
}
