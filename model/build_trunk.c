// The trunk: shared bottom, OMoE, MMoE (Ma et al., KDD 2018) and PLE (Tang et al., RecSys 2020),
// all made of groups of experts and of mixtures of them.
//
//   trunk.L.weight, trunk.L.bias    one group for all; MMoE's gates lie behind the experts
//   trunk.level.V.shared.L.*, trunk.level.V.task.K.L.*    PLE's groups
//
// A group's first layer is one product: its experts side by side, then its gates. Under PLE the
// experts of a task on the last level are its own, like its tower; those of earlier levels reach
// every task by the shared mixture. A level's shared group has a gate over all experts but on the
// last.
#include "model/build.h"

#include <string.h>

struct group {
    char name[64];           // of its tensors
    size_t plane, in;        // what it reads
    size_t experts;          // may be 0
    size_t gates;            // columns
    size_t tower;            // whose the group is; NETWORK_NONE = shared
    bool gates_owned;        // of a shared group, nevertheless a task's own
    struct mixture_part out; // made
    size_t gate_plane;       // made; gates lie behind the first layer's experts
};

static void stars_add(struct model *model, size_t weight, size_t bias) {
    const struct model_settings *settings = &model->spec.settings;
    if (settings->domains != MODEL_DOMAINS_SEPARATE &&
        !(settings->domains == MODEL_DOMAINS_STAR && settings->star_trunk))
        return;
    build_star(model, weight, false);
    build_star(model, bias, true);
}

// Gates have no bias of their own: it would only move all rows alike towards one expert.
static void build_first(struct model *model, struct group *group, size_t width) {
    size_t experts = group->experts * width, out = experts + group->gates;
    group->gate_plane = build_plane(model, out, group->tower, experts);
    size_t weight = build_tensor(model, group->in, out, group->tower, "%s.0.weight", group->name);
    if (group->gates_owned && weight < model->tensor_capacity)
        model->traits[weight].shared_columns = experts;
    // A group of gates alone keeps a bias of one column that nothing reads.
    size_t bias =
        build_tensor(model, 1, experts ? experts : 1, group->tower, "%s.0.bias", group->name);
    build_layer(model, (struct layer){.in_plane = group->plane,
                                      .in = group->in,
                                      .out_plane = group->gate_plane,
                                      .out = out,
                                      .weight = weight,
                                      .bias = bias,
                                      .bias_columns = experts,
                                      .relu = experts,
                                      .tower = group->tower});
    stars_add(model, weight, bias);
    group->out = (struct mixture_part){.plane = group->gate_plane, .experts = group->experts};
}

static void build_further(struct model *model, struct group *group, size_t l, size_t in,
                          size_t out) {
    size_t n = group->experts, in_plane = group->out.plane;
    size_t plane = build_plane(model, n * out, group->tower, n * out);
    size_t weight = build_tensor(model, n * in, out, group->tower, "%s.%zu.weight", group->name, l);
    size_t bias = build_tensor(model, n, out, group->tower, "%s.%zu.bias", group->name, l);
    for (size_t e = 0; e < n; e++)
        build_layer(model, (struct layer){.in_plane = in_plane,
                                          .in_offset = e * in,
                                          .in = in,
                                          .out_plane = plane,
                                          .out_offset = e * out,
                                          .out = out,
                                          .weight = weight,
                                          .weight_offset = e * in * out,
                                          .bias = bias,
                                          .bias_offset = e * out,
                                          .bias_columns = out,
                                          .relu = out,
                                          .tower = group->tower});
    stars_add(model, weight, bias);
    group->out.plane = plane;
}

static void build_group(struct model *model, struct group *group) {
    const struct option_ints *layers = &model->spec.settings.expert_layers;
    build_first(model, group, (size_t)layers->items[0]);
    for (size_t l = 1; l < layers->count && group->experts; l++)
        build_further(model, group, l, (size_t)layers->items[l - 1], (size_t)layers->items[l]);
}

static size_t width_of(const struct model *model) {
    const struct option_ints *layers = &model->spec.settings.expert_layers;
    return (size_t)layers->items[layers->count - 1];
}

// Columns before the group's gates.
static size_t gates_begin(const struct model *model, const struct group *group) {
    return group->experts * (size_t)model->spec.settings.expert_layers.items[0];
}

static size_t gate_one(struct model *model, const struct group *group, size_t offset, size_t gates,
                       const struct mixture_part *parts, size_t count, size_t tower) {
    return build_mixture(
        model,
        (struct mixture){.gate_plane = group->gate_plane,
                         .gate_offset = gates_begin(model, group) + offset,
                         .gates = gates,
                         .width = width_of(model),
                         .out_plane = build_plane(model, width_of(model), tower, 0),
                         .tower = tower},
        parts, count);
}

static size_t out_of(const struct model *model, size_t mixture) {
    return mixture < model->mixture_count && model->mixtures ? model->mixtures[mixture].out_plane
                                                             : 0;
}

static void build_one_group(struct model *model) {
    const struct model_settings *settings = &model->spec.settings;
    size_t tasks = model->spec.task_count;
    size_t n = settings->sharing == MODEL_SHARED_BOTTOM ? 1 : (size_t)settings->experts;
    size_t gates = settings->sharing == MODEL_MMOE ? tasks : settings->sharing == MODEL_OMOE;
    struct group group = {.name = "trunk",
                          .plane = model->trunk_input,
                          .in = model->features,
                          .experts = n,
                          .gates = gates * n,
                          .tower = NETWORK_NONE,
                          .gates_owned = settings->sharing == MODEL_MMOE};
    build_group(model, &group);
    for (size_t k = 0; k < tasks; k++) {
        model->mix_of[k] = NETWORK_NONE;
        model->mix_plane[k] = group.out.plane;
    }
    for (size_t g = 0; g < gates; g++) {
        size_t task = settings->sharing == MODEL_MMOE ? g : NETWORK_NONE;
        size_t mixture = gate_one(model, &group, g * n, n, &group.out, 1, task);
        for (size_t k = 0; k < tasks; k++) {
            if (task != NETWORK_NONE && k != task)
                continue;
            model->mix_of[k] = mixture;
            model->mix_plane[k] = out_of(model, mixture);
        }
    }
}

// One level: reads planes[tasks + 1] (each task's, then the shared one), leaves its mixtures there.
static void build_level(struct model *model, size_t level, size_t in, size_t *planes) {
    const struct model_settings *settings = &model->spec.settings;
    size_t tasks = model->spec.task_count, left = (size_t)settings->levels - level - 1;
    size_t own = (size_t)settings->task_experts, shared = (size_t)settings->experts;
    struct group groups[MODEL_TASKS_MAX + 1];
    struct mixture_part parts[MODEL_TASKS_MAX + 1];
    for (size_t g = 0; g <= tasks; g++) {
        bool of_task = g < tasks;
        groups[g] = (struct group){.plane = planes[g],
                                   .in = in,
                                   .experts = of_task ? own : shared,
                                   .gates = of_task    ? own + shared
                                            : left > 0 ? tasks * own + shared
                                                       : 0,
                                   .tower = of_task && left == 0 ? g : NETWORK_NONE,
                                   .gates_owned = of_task && left == 1};
        int length = of_task ? snprintf(groups[g].name, sizeof groups[g].name,
                                        "trunk.level.%zu.task.%zu", level, g)
                             : snprintf(groups[g].name, sizeof groups[g].name,
                                        "trunk.level.%zu.shared", level);
        REQUIRE(length > 0 && (size_t)length < sizeof groups[g].name);
        build_group(model, &groups[g]);
        parts[g] = groups[g].out;
    }
    for (size_t k = 0; k < tasks; k++) {
        const struct mixture_part both[2] = {parts[k], parts[tasks]};
        model->mix_of[k] =
            gate_one(model, &groups[k], 0, own + shared, both, 2, left <= 1 ? k : NETWORK_NONE);
        planes[k] = out_of(model, model->mix_of[k]);
    }
    if (left > 0)
        planes[tasks] = out_of(model, gate_one(model, &groups[tasks], 0, tasks * own + shared,
                                               parts, tasks + 1, NETWORK_NONE));
}

void build_trunk(struct model *model) {
    const struct model_settings *settings = &model->spec.settings;
    model->tower_input = width_of(model);
    if (settings->sharing != MODEL_PLE) {
        build_one_group(model);
    } else {
        size_t planes[MODEL_TASKS_MAX + 1], in = model->features;
        for (size_t g = 0; g <= model->spec.task_count; g++)
            planes[g] = model->trunk_input;
        for (size_t level = 0; level < (size_t)settings->levels; level++) {
            build_level(model, level, in, planes);
            in = width_of(model);
        }
        memcpy(model->mix_plane, planes, model->spec.task_count * sizeof *planes);
    }
    model->trunk_end = model->layer_count;
}
