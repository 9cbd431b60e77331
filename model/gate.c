// Gate units between planes (Chang et al., KDD 2023, eq. 2), forward and backward.
#include "model/network.h"
#include "model/vector.h"

#include <string.h>

struct rows_of { // a unit's planes at a lane's first row
    const real *in;
    real *gate, *out;
    size_t in_columns, out_columns;
};

static struct rows_of values_of(const struct model *model, const struct activations *act,
                                const struct lane *lane, const struct gate_unit *unit) {
    size_t in_columns = model->planes[unit->in_plane].columns;
    size_t out_columns = model->planes[unit->out_plane].columns;
    return (struct rows_of){.in = act->values[unit->in_plane] + lane->first * in_columns,
                            .gate = act->values[unit->gate_plane] + lane->first * unit->columns,
                            .out = act->values[unit->out_plane] + lane->first * out_columns,
                            .in_columns = in_columns,
                            .out_columns = out_columns};
}

void gate_forward(const struct model *model, const struct activations *act, const struct lane *lane,
                  const struct gate_unit *unit) {
    struct rows_of at = values_of(model, act, lane, unit);
    for (size_t r = 0; r < lane->rows; r++) {
        const real *in = at.in + r * at.in_columns;
        real *gate = at.gate + r * unit->columns, *out = at.out + r * at.out_columns;
        for (size_t c = 0; c < unit->columns; c++) {
            gate[c] = (real)2 / ((real)1 + real_exp(-gate[c]));
            out[c] = gate[c] * in[c];
        }
        out += unit->columns;
        for (size_t i = 0; i < unit->field_count; i++) {
            size_t field = unit->fields[i], dimension = model->spec.fields[field].dimension;
            memcpy(out, in + model->field_offset[field], dimension * sizeof *out);
            out += dimension;
        }
    }
}

// One row: dz = in d_out dg/dz with dg/dz = g (1 - g / 2), d_in = g d_out.
VECTOR_CLONES
static void row_back(const real *restrict in, const real *restrict gate,
                     const real *restrict out_slope, size_t count, bool accumulate,
                     real *restrict gate_slope, real *restrict in_slope) {
    for (size_t c = 0; c < count; c++) {
        real slope = gate[c] * out_slope[c];
        gate_slope[c] = in[c] * slope * ((real)1 - gate[c] / (real)2);
        in_slope[c] = accumulate ? in_slope[c] + slope : slope;
    }
}

void gate_backward(const struct model *model, const struct activations *act,
                   const struct lane *lane, size_t pass, const struct gate_unit *unit,
                   bool accumulate) {
    struct rows_of at = values_of(model, act, lane, unit);
    const real *out_slopes =
        activations_slope(act, model, pass, unit->out_plane) + lane->first * at.out_columns;
    real *in_slopes =
        activations_slope(act, model, pass, unit->in_plane) + lane->first * at.in_columns;
    real *gate_slopes =
        activations_slope(act, model, pass, unit->gate_plane) + lane->first * unit->columns;
    for (size_t r = 0; r < lane->rows; r++) {
        const real *out_slope = out_slopes + r * at.out_columns;
        real *in_slope = in_slopes + r * at.in_columns;
        row_back(at.in + r * at.in_columns, at.gate + r * unit->columns, out_slope, unit->columns,
                 accumulate, gate_slopes + r * unit->columns, in_slope);
        out_slope += unit->columns;
        for (size_t i = 0; i < unit->field_count; i++) {
            size_t field = unit->fields[i], dimension = model->spec.fields[field].dimension;
            vector_add(in_slope + model->field_offset[field], out_slope, dimension);
            out_slope += dimension;
        }
    }
}
