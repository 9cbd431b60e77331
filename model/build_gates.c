// PEPNet (Chang et al., KDD 2023): gate units of two layers, 2 sigmoid(W2 relu(W1 x + b1) + b2).
//
//   epnet.0.weight/bias, epnet.1.weight/bias   x = [inputs, stopped; domain embedding]: gates the
//                                              inputs
//   ppnet.weight/bias             x = [inputs as gated, stopped; embeddings of `gate_fields`]:
//   hidden
//                                 units of the gates of all tasks, side by side layer by layer
//   tower.K.gate.L.weight/bias    gates what layer L of task K's tower reads; built with the tower
//
// "Stopped" (the paper's crossed circle): the gate reads them, its slope does not reach them.
#include "model/build.h"

size_t build_unit(struct model *model, const char *prefix, struct gate_unit unit,
                  size_t hidden_plane, size_t hidden_offset, size_t tower) {
    size_t in = (size_t)model->spec.settings.gate_units;
    unit.gate_plane = build_plane(model, unit.columns, tower, 0);
    size_t weight = build_tensor(model, in, unit.columns, tower, "%s.weight", prefix);
    size_t bias = build_tensor(model, 1, unit.columns, tower, "%s.bias", prefix);
    build_layer(model, (struct layer){.in_plane = hidden_plane,
                                      .in_offset = hidden_offset,
                                      .in = in,
                                      .out_plane = unit.gate_plane,
                                      .out = unit.columns,
                                      .weight = weight,
                                      .bias = bias,
                                      .bias_columns = unit.columns,
                                      .tower = tower});
    if (model->units)
        model->units[model->unit_count] = unit;
    return ++model->unit_count;
}

// A relu layer whose leading inputs are stopped; returns its plane.
static size_t build_hidden(struct model *model, const char *prefix, size_t plane, size_t in,
                           size_t out) {
    size_t out_plane = build_plane(model, out, NETWORK_NONE, out);
    size_t weight = build_tensor(model, in, out, NETWORK_NONE, "%s.weight", prefix);
    size_t bias = build_tensor(model, 1, out, NETWORK_NONE, "%s.bias", prefix);
    build_layer(model, (struct layer){.in_plane = plane,
                                      .in = in,
                                      .out_plane = out_plane,
                                      .out = out,
                                      .weight = weight,
                                      .bias = bias,
                                      .bias_columns = out,
                                      .relu = out,
                                      .stopped = model->features,
                                      .tower = NETWORK_NONE});
    return out_plane;
}

void build_gates(struct model *model) {
    const struct model_settings *settings = &model->spec.settings;
    model->trunk_input = model->trunk_begin = 0;
    model->personal = NETWORK_NONE;
    if (settings->domains != MODEL_DOMAINS_PEPNET)
        return;
    size_t width = (size_t)settings->gate_units, prior = 0;
    struct gate_unit unit = {.columns = model->features,
                             .fields = model->gate_fields,
                             .field_count = settings->gate_fields.count};
    for (size_t i = 0; i < unit.field_count; i++)
        prior += model->spec.fields[unit.fields[i]].dimension;
    build_domain_embedding(model);
    size_t hidden = build_hidden(model, "epnet.0", 0, model->columns, width);
    unit.out_plane = model->trunk_input =
        build_plane(model, model->features + prior, NETWORK_NONE, 0);
    (void)build_unit(model, "epnet.1", unit, hidden, 0, NETWORK_NONE);
    model->trunk_begin = model->layer_count;
    if (prior > 0)
        model->personal = build_hidden(model, "ppnet", model->trunk_input, model->features + prior,
                                       (settings->tower_layers.count + 1) * width);
}
