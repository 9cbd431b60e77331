// Makes tensors, planes and layers from the spec. The list of tensors, in order:
//
//   epnet..., ppnet...   PEPNet's gates: build_gates.c
//   trunk...             experts and gates: build_trunk.c
//   tower.K.L.weight/bias task K; the last layer has one output, whose bias is the task's intercept
//   auxiliary.L.weight/bias, auxiliary.task.K.weight
//   sequence.S.*          of the S-th sequence: sequence_attention.c, sequence_transformer.c
//   norm.gamma, norm.beta, norm.moments, numeric.moments, default.T
//   NAME.domain.P         a domain's own part of any of them; domain.P.embedding
#include "model/build.h"
#include "model/product.h"

#include <string.h>

static size_t tensor_add(struct model *model, const char *name, size_t rows, size_t columns,
                         struct tensor_traits traits) {
    size_t at = model->tensor_count;
    if (at < model->tensor_capacity) {
        model->tensors[at] = (struct model_tensor){
            .name = arena_copy_string(&model->run, name, strlen(name)),
            .rows = rows,
            .columns = columns,
            .data =
                traits.role == TENSOR_DEFAULT_ROW ? NULL : memory_new(rows * columns, sizeof(real)),
        };
        traits.offset = model->weight_elements;
        if (traits.role == TENSOR_WEIGHT)
            model->weight_elements += (rows * columns + 15) / 16 * 16;
        model->traits[at] = traits;
    }
    model->tensor_count++;
    return at;
}

static size_t weight_add(struct model *model, const char *name, size_t rows, size_t columns,
                         size_t tower) {
    size_t task = network_owner(model, tower);
    return tensor_add(model, name, rows, columns,
                      (struct tensor_traits){.role = TENSOR_WEIGHT,
                                             .task = task,
                                             .tower = tower,
                                             .shared_columns = task == NETWORK_NONE ? columns : 0,
                                             .domain = NETWORK_NONE,
                                             .star = NETWORK_NONE});
}

// Each domain's own tensor beside tensor `shared`; returns the first.
static size_t domains_add(struct model *model, size_t shared) {
    size_t first = model->tensor_count;
    for (size_t p = 0; p < model->domain_count; p++) {
        if (shared >= model->tensor_capacity) { // counting only
            model->tensor_count++;
            continue;
        }
        char name[128];
        struct model_tensor like = model->tensors[shared];
        struct tensor_traits traits = model->traits[shared];
        traits.domain = p;
        int length = snprintf(name, sizeof name, "%s.domain.%zu", like.name ? like.name : "", p);
        REQUIRE(length > 0 && (size_t)length < sizeof name);
        tensor_add(model, name, like.rows, like.columns, traits);
    }
    return first;
}

void build_star(struct model *model, size_t tensor, bool additive) {
    size_t first = domains_add(model, tensor);
    if (tensor < model->tensor_capacity) {
        model->traits[tensor].star = first;
        model->traits[tensor].additive = additive;
        model->traits[tensor].frozen = model->spec.settings.domains == MODEL_DOMAINS_SEPARATE;
    }
}

size_t build_plane(struct model *model, size_t columns, size_t tower, size_t relu) {
    if (model->planes)
        model->planes[model->plane_count] =
            (struct plane){.columns = columns, .task = network_owner(model, tower), .relu = relu};
    return model->plane_count++;
}

void build_layer(struct model *model, struct layer layer) {
    layer.task = network_owner(model, layer.tower);
    if (model->layers)
        model->layers[model->layer_count] = layer;
    model->layer_count++;
}

static bool is_read(const struct model *model, size_t plane) {
    for (size_t i = 0; i < model->part_count; i++)
        if (model->parts[i].plane == plane)
            return true;
    return false;
}

size_t build_mixture(struct model *model, struct mixture mixture, const struct mixture_part *parts,
                     size_t count) {
    mixture.after = model->layer_count;
    mixture.part = model->part_count;
    size_t end = model->part_count;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].experts == 0)
            continue;
        if (model->parts) {
            model->parts[end] = parts[i];
            model->parts[end].first = !is_read(model, parts[i].plane);
        }
        end++;
    }
    model->part_count = end;
    mixture.parts = end - mixture.part;
    if (model->mixtures)
        model->mixtures[model->mixture_count] = mixture;
    return model->mixture_count++;
}

size_t build_tensor(struct model *model, size_t rows, size_t columns, size_t tower,
                    const char *format, ...) {
    char name[128];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    REQUIRE(length > 0 && (size_t)length < sizeof name);
    return weight_add(model, name, rows, columns, tower);
}

void build_domain_embedding(struct model *model) {
    for (size_t p = 0; p < model->domain_count; p++) {
        size_t at = build_tensor(model, 1, NETWORK_DOMAIN_DIMENSION, NETWORK_NONE,
                                 "domain.%zu.embedding", p);
        if (p == 0)
            model->domain_embedding = at;
        if (at < model->tensor_capacity)
            model->traits[at].domain = p;
    }
}

// PPNet's gate on what layer l of a tower reads: 1 + the unit, and the plane that it makes; 0
// without.
static size_t build_tower_gate(struct model *model, size_t task, size_t l, size_t *plane,
                               size_t columns) {
    char prefix[64];
    if (model->personal == NETWORK_NONE)
        return 0;
    int length = snprintf(prefix, sizeof prefix, "tower.%zu.gate.%zu", task, l);
    REQUIRE(length > 0 && (size_t)length < sizeof prefix);
    struct gate_unit unit = {
        .in_plane = *plane, .columns = columns, .out_plane = build_plane(model, columns, task, 0)};
    *plane = unit.out_plane;
    return build_unit(model, prefix, unit, model->personal,
                      l * (size_t)model->spec.settings.gate_units, task);
}

static void build_tower(struct model *model, size_t task) {
    const struct model_settings *settings = &model->spec.settings;
    bool star = settings->domains == MODEL_DOMAINS_SEPARATE ||
                (settings->domains == MODEL_DOMAINS_STAR && settings->star_towers);
    size_t plane = model->mix_plane[task], in = model->tower_input;
    for (size_t l = 0; l <= settings->tower_layers.count; l++) {
        bool last = l == settings->tower_layers.count;
        size_t unit = build_tower_gate(model, task, l, &plane, in);
        size_t out = last ? 1 : (size_t)settings->tower_layers.items[l];
        size_t out_plane = last ? model->logit_plane : build_plane(model, out, task, out);
        size_t weight = build_tensor(model, in, out, task, "tower.%zu.%zu.weight", task, l);
        size_t bias = build_tensor(model, 1, out, task, "tower.%zu.%zu.bias", task, l);
        build_layer(model, (struct layer){.in_plane = plane,
                                          .in = in,
                                          .out_plane = out_plane,
                                          .out_offset = last ? task : 0,
                                          .out = out,
                                          .weight = weight,
                                          .bias = bias,
                                          .bias_columns = out,
                                          .relu = last ? 0 : out,
                                          .tower = task,
                                          .unit = unit});
        if (star) {
            build_star(model, weight, false);
            build_star(model, bias, true);
        }
        plane = out_plane;
        in = out;
    }
}

static void build_auxiliary(struct model *model) {
    const struct model_settings *settings = &model->spec.settings;
    if (settings->domains != MODEL_DOMAINS_STAR || !settings->auxiliary)
        return;
    size_t plane = 0, in = model->columns;
    for (size_t l = 0; l < settings->auxiliary_layers.count; l++) {
        size_t out = (size_t)settings->auxiliary_layers.items[l];
        size_t out_plane = build_plane(model, out, NETWORK_NONE, out);
        size_t weight = build_tensor(model, in, out, NETWORK_NONE, "auxiliary.%zu.weight", l);
        size_t bias = build_tensor(model, 1, out, NETWORK_NONE, "auxiliary.%zu.bias", l);
        build_layer(model, (struct layer){.in_plane = plane,
                                          .in = in,
                                          .out_plane = out_plane,
                                          .out = out,
                                          .weight = weight,
                                          .bias = bias,
                                          .bias_columns = out,
                                          .relu = out,
                                          .tower = NETWORK_NONE});
        plane = out_plane;
        in = out;
    }
    for (size_t k = 0; k < model->spec.task_count; k++)
        build_layer(model, (struct layer){.in_plane = plane,
                                          .in = in,
                                          .out_plane = model->logit_plane,
                                          .out_offset = k,
                                          .out = 1,
                                          .weight = build_tensor(model, in, 1, k,
                                                                 "auxiliary.task.%zu.weight", k),
                                          .bias = NETWORK_NONE,
                                          .tower = k});
    build_domain_embedding(model);
}

static size_t moments_add(struct model *model, const char *name, size_t columns) {
    return tensor_add(model, name, 3, columns,
                      (struct tensor_traits){.role = TENSOR_MOMENTS,
                                             .task = NETWORK_NONE,
                                             .tower = NETWORK_NONE,
                                             .domain = NETWORK_NONE,
                                             .star = NETWORK_NONE});
}

static void build_statistics(struct model *model) {
    bool partitioned = model->spec.settings.domains == MODEL_DOMAINS_STAR ||
                       model->spec.settings.domains == MODEL_DOMAINS_SEPARATE;
    if (model->spec.settings.norm == MODEL_NORM_MOVING && model->embedded) {
        model->norm_gamma = weight_add(model, "norm.gamma", 1, model->embedded, NETWORK_NONE);
        model->norm_beta = weight_add(model, "norm.beta", 1, model->embedded, NETWORK_NONE);
        model->norm_moments = moments_add(model, "norm.moments", model->embedded);
        if (partitioned) {
            build_star(model, model->norm_gamma, false);
            build_star(model, model->norm_beta, true);
            model->norm_domain_moments = domains_add(model, model->norm_moments);
        }
    }
    if (model->spec.numeric_count)
        model->numeric_moments = moments_add(model, "numeric.moments", model->spec.numeric_count);
    model->default_row = model->tensor_count;
    for (size_t t = 0; t < model->spec.table_count; t++) {
        char name[32];
        int length = snprintf(name, sizeof name, "default.%zu", t);
        REQUIRE(length > 0);
        tensor_add(model, name, 1, model->table_dimension[t] + model->wide,
                   (struct tensor_traits){.role = TENSOR_DEFAULT_ROW,
                                          .task = NETWORK_NONE,
                                          .tower = NETWORK_NONE,
                                          .domain = NETWORK_NONE,
                                          .star = NETWORK_NONE});
    }
}

static void build_all(struct model *model) {
    model->plane_count = model->layer_count = model->tensor_count = model->weight_elements = 0;
    model->mixture_count = model->part_count = model->unit_count = 0;
    build_plane(model, model->columns, NETWORK_NONE, 0);
    model->logit_plane = build_plane(model, model->spec.task_count, NETWORK_NONE, 0);
    if (model->planes && !model->related)
        model->planes[model->logit_plane].task = 0; // each pass has slopes of one column alone
    build_gates(model);
    build_trunk(model);
    for (size_t k = 0; k < model->spec.task_count; k++) {
        model->tower_begin[k] = model->layer_count;
        build_tower(model, k);
    }
    model->tower_begin[model->spec.task_count] = model->layer_count;
    build_auxiliary(model);
    model->auxiliary_end = model->layer_count;
    sequences_build(model);
    build_statistics(model);
}

static bool inputs_lay_out(struct model *model) {
    const struct model_spec *spec = &model->spec;
    model->field_offset = arena_get(&model->run, spec->field_count + 1, sizeof(size_t));
    model->table_dimension = arena_get(&model->run, spec->table_count + 1, sizeof(size_t));
    model->gate_fields =
        arena_get(&model->run, spec->settings.gate_fields.count + 1, sizeof(size_t));
    if (!model->field_offset || !model->table_dimension || !model->gate_fields)
        return false;
    for (size_t i = 0; i < spec->settings.gate_fields.count; i++)
        model->gate_fields[i] = model_field_find(spec, spec->settings.gate_fields.items[i]);
    for (size_t f = 0; f < spec->field_count; f++) {
        model->field_offset[f] = model->embedded;
        model->embedded += sequence_width(spec, f);
        model->field_offset[f + 1] = model->embedded;
        model->table_dimension[spec->fields[f].table] = spec->fields[f].dimension;
    }
    bool star = spec->settings.domains == MODEL_DOMAINS_STAR;
    bool embedded = spec->settings.domains == MODEL_DOMAINS_PEPNET ||
                    (star && spec->settings.auxiliary); // domains have embeddings
    model->related = spec->settings.relation == MODEL_ESMM;
    for (size_t k = 0; k < spec->task_count; k++)
        for (size_t tower = k; tower != NETWORK_NONE; tower = network_given(model, tower))
            model->feeds[tower] |= UINT32_C(1) << k;
    model->wide = spec->settings.wide ? spec->task_count : 0;
    model->domain_count =
        spec->settings.domains != MODEL_DOMAINS_NONE ? (size_t)spec->settings.domains_max + 1 : 1;
    model->features = model->embedded + 2 * spec->numeric_count;
    model->columns = model->features + (embedded ? NETWORK_DOMAIN_DIMENSION : 0);
    return true;
}

static bool packed_get(struct model *model, size_t domains, size_t elements, real ***ret_packed) {
    real **packed = arena_get(&model->run, domains, sizeof *packed);
    bool made = packed != NULL;
    for (size_t p = 0; made && p < domains; p++) {
        packed[p] = memory_new(elements, sizeof **packed);
        made = packed[p] != NULL;
    }
    *ret_packed = packed; // half-made ones are freed with the model
    return made;
}

static bool layers_pack(struct model *model) {
    bool made = true;
    for (size_t l = 0; l < model->layer_count && made; l++) {
        struct layer *layer = &model->layers[l];
        layer->single = layer->out == 1 && layer->out_plane == model->logit_plane;
        if (layer->single)
            continue;
        size_t domains = model->traits[layer->weight].fuses ? model->domain_count : 1;
        made = packed_get(model, domains, product_packed(layer->in, layer->out), &layer->packed);
        if (made && model->trained)
            made =
                packed_get(model, domains, product_packed(layer->out, layer->in - layer->stopped),
                           &layer->turned);
    }
    return made;
}

// Whether first products may be taken once an id: nobody else reads the input, and what the first
// layer makes of a field's values is the same for all rows. Related tasks' slopes of the wide part
// lie in several passes, which ids do not gather.
static bool factorable(const struct model *model) {
    size_t readers = 0;
    for (size_t l = 0; l < model->layer_count; l++)
        readers += model->layers[l].in_plane == 0;
    return model->spec.categorical_count > 0 && !model->related && !model->unit_count &&
           readers == 1 && model->layers[0].in_plane == 0 &&
           model->layers[0].task == NETWORK_NONE && !model->layers[0].single &&
           !model->traits[model->layers[0].weight].fuses && model->norm_gamma == NETWORK_NONE;
}

static bool fields_pack(struct model *model) {
    for (size_t f = 0; f < model->spec.categorical_count; f++)
        if (model->spec.fields[f].dimension > model->id_stride)
            model->id_stride = model->spec.fields[f].dimension;
    if (!model->trained)
        return true;
    model->field_turned =
        arena_get(&model->run, model->spec.field_count, sizeof *model->field_turned);
    bool made = model->field_turned != NULL;
    for (size_t f = 0; made && f < model->spec.field_count; f++) {
        size_t elements = product_packed(model->layers[0].out, network_field_width(model, f));
        model->field_turned[f] = memory_new(elements, sizeof(real));
        made = model->field_turned[f] != NULL;
    }
    return made;
}

static bool derived_get(struct model *model) {
    bool made = true;
    for (size_t i = 0; i < model->tensor_count; i++) {
        struct tensor_traits *traits = &model->traits[i];
        made = made && model->tensors[i].name &&
               (model->tensors[i].data || traits->role == TENSOR_DEFAULT_ROW);
        traits->fuses = traits->star != NETWORK_NONE && traits->domain == NETWORK_NONE &&
                        i != model->norm_gamma && i != model->norm_beta;
        if (!traits->fuses || !(traits->additive || model->tensors[i].columns == 1))
            continue;
        traits->fused = arena_get(&model->run, model->domain_count, sizeof *traits->fused);
        for (size_t p = 0; traits->fused && p < model->domain_count; p++) {
            traits->fused[p] =
                memory_new(model->tensors[i].rows * model->tensors[i].columns, sizeof(real));
            made = made && traits->fused[p];
        }
        made = made && traits->fused;
    }
    model->settled = arena_get(&model->run, model->domain_count + 1, sizeof *model->settled);
    model->numeric_scale = arena_get(&model->run, model->spec.numeric_count + 1, sizeof(real));
    if (model->norm_gamma != NETWORK_NONE)
        model->norm_scale =
            memory_new(model->domain_count * NORM_PARTS * model->embedded, sizeof(real));
    made = layers_pack(model) && made;
    model->factorable = factorable(model);
    if (model->factorable)
        made = fields_pack(model) && made;
    return made && model->settled && model->numeric_scale &&
           (model->norm_gamma == NETWORK_NONE || model->norm_scale);
}

// Room for all that build_all has counted.
static bool lists_get(struct model *model) {
    struct arena *run = &model->run;
    model->planes = arena_get(run, model->plane_count, sizeof *model->planes);
    model->layers = arena_get(run, model->layer_count, sizeof *model->layers);
    model->mixtures = arena_get(run, model->mixture_count + 1, sizeof *model->mixtures);
    model->parts = arena_get(run, model->part_count + 1, sizeof *model->parts);
    model->units = arena_get(run, model->unit_count + 1, sizeof *model->units);
    model->tensors = arena_get(run, model->tensor_count, sizeof *model->tensors);
    model->traits = arena_get(run, model->tensor_count, sizeof *model->traits);
    return model->planes && model->layers && model->mixtures && model->parts && model->units &&
           model->tensors && model->traits;
}

enum status network_build(struct model *model, struct error *err) {
    size_t tasks = model->spec.task_count;
    model->numeric_moments = model->norm_gamma = model->norm_beta = NETWORK_NONE;
    model->norm_moments = model->norm_domain_moments = model->domain_embedding = NETWORK_NONE;
    model->tower_begin = arena_get(&model->run, tasks + 1, sizeof(size_t));
    model->mix_plane = arena_get(&model->run, tasks, sizeof(size_t));
    model->mix_of = arena_get(&model->run, tasks, sizeof(size_t));
    if (!inputs_lay_out(model) || !sequences_lay_out(model) || !model->tower_begin ||
        !model->mix_plane || !model->mix_of)
        return error_no_memory(err, tasks * sizeof(size_t), "a model");
    build_all(model); // counts
    if (!lists_get(model))
        return error_no_memory(err, model->tensor_count * sizeof *model->tensors, "a model");
    model->tensor_capacity = model->tensor_count;
    build_all(model);
    if (!derived_get(model))
        return error_no_memory(err, model->weight_elements * sizeof(real), "a model's tensors");
    return STATUS_OK;
}
