// The model's inside, shared by model/ and the learner: tensors and their traits, planes, layers.
//
// A network is a list of layers between planes. A plane holds one value a row and column: the
// input, a layer's outputs (several experts side by side), mixtures, logits. A layer is one matrix
// product from columns of one plane to columns of another; it belongs to one task or is shared by
// all. The forward pass runs the layers in order, a backward pass in reverse order, for one task or
// for all at once; a pass has slopes (derivatives of the loss) of its own for shared planes, while
// planes of a task have one.
//
//   input [embedded fields | numeric value, missing flag | domain embedding] -> experts' first
//   layers and gates in one product -> experts' further layers -> mixtures by the gates (under PLE
//   this repeats, level by level, with experts of each task's own) -> towers -> logits; beside it
//   the auxiliary network from the input to the logits, and the wide part. Sequences are columns of
//   the input with a computation of their own before it (model/sequence.h).
//
// Under PEPNet (Chang et al., KDD 2023) gate units stand between planes: the input's columns are
// scaled by a gate from the domain's embedding, what each layer of a tower reads by one from the
// embeddings of chosen fields. Gates read the rest of the input as well, but send no slope to it.
//
// Under a star layer (Sheng et al. 2021) the weight of domain p is W_p times W, element by element,
// kept fused (models that share nothing are star layers whose W stays 1); rows lie grouped by
// domain, and each group takes one product.
//
// What rows are multiplied by is kept packed (model/product.h), per domain under a star layer, and
// renewed when weights have changed ("settled").
#ifndef FRESHET_MODEL_NETWORK_H
#define FRESHET_MODEL_NETWORK_H

#include "base/hash.h"
#include "model/model.h"
#include "model/sequence.h"
#include "model/table.h"

#define NETWORK_NONE SIZE_MAX
#define NETWORK_EXPERTS_MAX 65536    // of one gate, for draws
#define NETWORK_DOMAIN_DIMENSION 8   // of the domain embedding, read by the auxiliary network
#define NETWORK_NUMBER_LIMIT 5.0     // numeric inputs are clipped to +- this many deviations
#define NETWORK_NUMBER_FLOOR 1e-4    // added to their variance
#define NETWORK_NORM_FLOOR 1e-6      // added to the variance of embedded columns
#define NETWORK_NORM_SHRINK 256.0    // rows that the shared moments count for in a domain's
#define NETWORK_MOMENT_ROWS 100000.0 // moving moments weigh about this many rows

enum tensor_role {
    TENSOR_WEIGHT,      // stepped by gradients
    TENSOR_MOMENTS,     // moving statistics: mean; variance; rows seen
    TENSOR_DEFAULT_ROW, // slot 0 of a table, stepped as a row
};
struct tensor_traits {
    enum tensor_role role;
    size_t task;           // whose loss alone it serves; NETWORK_NONE = shared by tasks
    size_t tower;          // of a tower, whose; NETWORK_NONE = read by all
    size_t shared_columns; // leading columns that are shared; gates of tasks lie behind
    size_t domain;         // NETWORK_NONE = of no domain
    size_t star;           // first of the domains' own tensors; NETWORK_NONE = no star layer
    bool frozen;           // never steps: 1s and 0s under domains' own tensors that share nothing
    bool additive; // the domain's part is added (biases, beta), else a factor (weights, gamma)
    size_t offset; // of a weight in the learner's arrays, in elements
    bool fuses;    // a star layer's tensor, whose parts are multiplied or added up
    real **fused;  // [domains][elements]: of those that are not packed
};
struct plane {
    size_t columns;
    size_t task; // whose slopes; NETWORK_NONE = shared, one slope a pass
    size_t relu; // leading columns that went through max(0, .)
};
struct layer {
    size_t in_plane, in_offset, in;
    size_t out_plane, out_offset, out;
    size_t weight, weight_offset;           // [in][columns of the tensor]
    size_t bias, bias_offset, bias_columns; // bias NETWORK_NONE = none
    size_t relu;                            // leading output columns
    size_t task;                            // whose gradient; NETWORK_NONE = shared
    size_t tower;                           // whose tower; NETWORK_NONE = read by all
    size_t stopped;                         // leading inputs that no slope goes to
    size_t unit; // 1 + the gate unit that makes what it reads, its own layer just before it
    bool single; // one output, a logit: taken as dot products, not packed
    real **packed, **turned; // [domains; 1 without a star layer]: the weight as a right operand,
                             // forward and backward; turned: NULL unless the model is trained
};
// Experts side by side in a plane, as a mixture reads them.
struct mixture_part {
    size_t plane, offset, experts;
    bool first; // no earlier mixture reads them: their slopes begin here
};
// out = sum over experts of gate * expert; the gate is the softmax of columns of a plane.
struct mixture {
    size_t after; // layers [0, after) come before it
    size_t gate_plane, gate_offset, gates;
    size_t part, parts; // of the model's parts, in the order of the gate's columns
    size_t out_plane, width;
    size_t tower; // that alone reads it; NETWORK_NONE = all do
};
// Chang et al., KDD 2023, eq. 2: out = 2 sigmoid(z) * in, the gate from a plane of logits z. Behind
// what is gated, out may hold copies of fields as they are in the input.
struct gate_unit {
    size_t in_plane, columns;
    size_t gate_plane; // z, then the gate
    size_t out_plane;
    const size_t *fields; // [field_count] copied; of a unit on the input
    size_t field_count;
};

struct model {
    struct arena run; // all but tables and big arrays
    struct model_spec spec;
    struct model_tensor *tensors;
    struct tensor_traits *traits;
    size_t tensor_count, tensor_capacity;
    bool trained;           // keeps what backward passes need
    bool factorable;        // the first layer is the input's only reader, the same for all rows
    size_t id_stride;       // of factorable models: the widest categorical field
    real **field_turned;    // [fields] of factorable, trained models: the first layer's rows of a
                            // field as a right operand backward
    size_t weight_elements; // over all TENSOR_WEIGHT
    struct table *tables;
    size_t domain_count;                // 1 without domains
    size_t *field_offset;               // [fields + 1] column in the input
    size_t *gate_fields;                // [settings.gate_fields] their fields
    size_t *table_dimension;            // [tables] row values without the wide part
    bool related;                       // ESMM: predictions are products
    uint32_t feeds[MODEL_TASKS_MAX];    // of a tower: the tasks whose losses go through it, as bits
    size_t wide;                        // weights behind a row: tasks, or 0
    size_t embedded, features, columns; // of the input: embedded; + numeric; + domain embedding
    struct plane *planes;
    size_t plane_count;
    struct layer *layers;
    size_t layer_count;
    struct mixture *mixtures;
    struct mixture_part *parts;
    size_t mixture_count, part_count;
    struct gate_unit *units; // PEPNet: EPNet's, then PPNet's
    size_t unit_count;
    size_t trunk_input; // the plane that the trunk reads: the input, or what EPNet made of it
    size_t trunk_begin; // layers [0, trunk_begin) are EPNet's gate
    size_t trunk_end;   // layers [trunk_begin, trunk_end) are the trunk's, PPNet's hidden one first
    size_t personal;    // PPNet: the plane of its gates' hidden units; NETWORK_NONE = none
    size_t *tower_begin; // [tasks + 1]
    size_t
        auxiliary_end;  // layers [tower_begin[tasks], auxiliary_end): hidden ones, then one a task
    size_t *mix_plane;  // [tasks] what the tower of a task reads
    size_t tower_input; // columns of these planes
    size_t *mix_of;     // [tasks] the mixture that fills it; NETWORK_NONE = none
    size_t logit_plane;
    struct sequences sequences;
    size_t numeric_moments, norm_gamma, norm_beta, norm_moments, norm_domain_moments;
    size_t domain_embedding; // first of the domains'
    size_t default_row;      // first of the tables'
    real *numeric_scale;     // [numeric] 1 / deviation
    real *norm_scale;        // [domains][4][embedded]: scale, shift, mean, 1 / deviation
    bool *settled;           // [domains + 1]: network_shared
};
enum { NORM_SCALE, NORM_SHIFT, NORM_MEAN, NORM_INVERSE, NORM_PARTS };

// What lies behind the rows of a table: `width` numbers of an optimiser, which begin at `fill`.
struct table_state_shape {
    size_t width;
    real fill;
};
// model_new with optimiser state behind rows, shapes[tables].
CHECKED enum status network_new(const struct model_spec *spec,
                                const struct table_state_shape *shapes, struct model **ret_model,
                                struct error *err);
// The parts of network_new.
CHECKED enum status network_build(struct model *model,
                                  struct error *err); // tensors, planes, layers
void network_fill(struct model *model);               // initial weights
// Normal with this deviation, drawn by the tensor's name; 0: all are `value`.
void network_fill_tensor(struct model *model, size_t tensor, double deviation, real value);

// A row's values when it is new: the default row, plus noise that depends on seed, table and id
// alone.
void network_row_init(const struct model *model, size_t table, uint64_t id, real *values);

// Derived values of a domain, and those that all domains share (under an index of their own):
// brought up to date at once, or item by item by several threads, each once and then
// network_settled. network_settle of a domain settles the shared ones as well. `network_unsettle`
// after tensors changed.
static inline size_t network_shared(const struct model *model) {
    return model->domain_count;
}
void network_settle(struct model *model, size_t domain);
size_t network_settle_items(const struct model *model);
void network_settle_item(struct model *model, size_t domain, size_t item);
static inline void network_settled(struct model *model, size_t domain) {
    model->settled[domain] = true;
}
void network_unsettle(struct model *model);
static inline size_t network_field_width(const struct model *model, size_t field) {
    return model->field_offset[field + 1] - model->field_offset[field];
}
static inline size_t network_domain(const struct model *model, uint32_t domain) {
    return domain < model->domain_count ? domain : MINIBATCH_DOMAIN_UNKNOWN;
}
// A bias or the weight of a single layer, for a domain: fused under a star layer.
static inline const real *network_weight(const struct model *model, size_t tensor, size_t domain) {
    return model->traits[tensor].fused ? model->traits[tensor].fused[domain]
                                       : model->tensors[tensor].data;
}
static inline const real *network_norm(const struct model *model, size_t domain, size_t part) {
    return model->norm_scale + (domain * NORM_PARTS + part) * model->embedded;
}

// The id under which a domain keeps the row of a feature's id: its own where domains share nothing.
// Domain `unknown` has the feature's ids themselves.
static inline uint64_t network_row_id(const struct model *model, uint64_t id, size_t domain) {
    if (model->spec.settings.domains != MODEL_DOMAINS_SEPARATE || id == 0 || domain == 0)
        return id;
    uint64_t own = hash_mix(id + domain * UINT64_C(0x9e3779b97f4a7c15));
    return own ? own : 1;
}
// The slot that such an id reads: its own row's, else that of `unknown`, else the default row's.
uint32_t network_row_find(const struct model *model, size_t table, uint64_t id, size_t domain);

// The task that a task's prediction is multiplied by; NETWORK_NONE = none.
static inline size_t network_given(const struct model *model, size_t task) {
    return model->related && model->spec.given[task] ? model->spec.given[task] - 1 : NETWORK_NONE;
}
// Whose tensors and planes a tower's are: the task's, or shared where other losses reach them.
static inline size_t network_owner(const struct model *model, size_t tower) {
    return tower == NETWORK_NONE || model->feeds[tower] != UINT32_C(1) << tower ? NETWORK_NONE
                                                                                : tower;
}

// Whether a task's loss reaches what a tower owns.
static inline bool network_feeds(const struct model *model, size_t tower, size_t task) {
    return tower == NETWORK_NONE || (model->feeds[tower] >> task & 1) != 0;
}

// Rows of one domain, contiguous.
struct segment {
    size_t first, rows; // positions
    size_t domain;
};
// A lane: positions [first, first + rows) of the activations.
struct lane {
    size_t first, rows;
    struct segment *segments; // room for min(lane rows, domains)
    size_t segment_count;
    size_t factor_count;      // fields whose first product is taken once an id
    size_t id_count;          // of those fields
    real *sequence_gradients; // [passes][weights of sequences]; the learner's
};
// A field of a lane that repeats its ids: numbers [first, first + count) of the lane's ids.
struct factor {
    uint32_t field, first, count;
};
// The distinct ids of lanes' factors. A lane's begin at activations_ids(), in any array of ids.
struct ids {
    struct factor *factors; // [rows_max][categorical]: a lane's behind its first row's place
    uint32_t *slots;        // [ids]
    uint32_t *begin;        // [ids] first of its rows in `members`
    uint32_t *members;      // [rows_max][categorical]: factor by factor lane rows, id by id
    uint32_t *index;        // [rows_max][categorical]: the number of a position's id, by factor
    real *values;           // [ids][id_stride]
    real **slopes;          // [passes] -> [ids][id_stride]
    real *wide;             // [ids][tasks] slopes of the logits
};
// Values and slopes of up to rows_max rows. Position p holds batch row order[p].
struct activations {
    size_t rows_max, passes; // passes 0: prediction only
    real **values;           // [planes] -> [rows_max][columns]
    real **slopes;           // [passes][planes]; planes of a task: pass 0 only
    real *raw;               // [rows_max][embedded] before normalisation; NULL without
    real **raw_slopes;       // [passes] -> [rows_max][embedded]; with normalisation
    uint32_t *order;         // [rows_max]
    // Experts hidden from gates, drawn from (seed, step, row, gate): 0 when predicting.
    double expert_dropout;
    uint64_t dropout_step;
    struct ids ids; // of factorable models
    struct sequence_rows sequences;
};
CHECKED enum status activations_init(struct activations *act, const struct model *model,
                                     size_t rows_max, size_t passes, struct error *err);
void activations_deinit(struct activations *act, const struct model *model);
static inline real *activations_slope(const struct activations *act, const struct model *model,
                                      size_t pass, size_t plane) {
    size_t at = model->planes[plane].task == NETWORK_NONE ? pass : 0;
    return act->slopes[at * model->plane_count + plane];
}

// Ids that a factor has at most, among so many rows: beyond, what rows pick up costs more than is
// saved (measured at 16 dimensions: the two cross between .6 and .8 of the rows).
static inline size_t factor_ids_most(size_t rows) {
    return rows * 5 / 8;
}
static inline size_t activations_ids(const struct model *model, const struct lane *lane) {
    return lane->first * model->spec.categorical_count * 5 / 8;
}
static inline struct factor *activations_factors(const struct activations *act,
                                                 const struct model *model,
                                                 const struct lane *lane) {
    return act->ids.factors + lane->first * model->spec.categorical_count;
}
static inline uint32_t *activations_members(const struct activations *act,
                                            const struct model *model, const struct lane *lane,
                                            size_t factor) {
    return act->ids.members + lane->first * model->spec.categorical_count + factor * lane->rows;
}
static inline size_t activations_id_rows(const struct activations *act, const struct lane *lane,
                                         const struct factor *factor, size_t base, size_t id) {
    const uint32_t *begin = act->ids.begin + base + factor->first;
    return (id + 1 < factor->count ? begin[id + 1] : lane->rows) - begin[id];
}

// Slots of a batch's ids: slots[f * stride + row - first]; lists likewise, aligned to list_ids, or
// NULL: then they are looked up.
struct resolved {
    const uint32_t *slots;
    size_t stride, first;
    uint32_t *const *list_slots;
};
// A set of ids for counting distinct ones; of one thread.
struct id_set {
    uint64_t *ids;
    uint32_t *numbers, *stamps; // stamps: of the count that an entry is of
    size_t capacity;
    uint32_t stamp;
};
CHECKED enum status id_set_init(struct id_set *set, size_t rows_max, struct error *err);
void id_set_deinit(struct id_set *set);
// Finds the lane's slots: of each row in slots[f * stride + row - first_row], or of each distinct
// id where a field repeats its ids (a factor; order and segments are known). What becomes a factor
// depends on the model and the lane's ids alone.
void inputs_look_up(const struct model *model, const struct minibatch *batch, size_t first_row,
                    struct activations *act, struct lane *lane, struct id_set *set, uint32_t *slots,
                    size_t stride);
// Groups rows [first_row, +lane->rows) by domain into lane->segments and act->order. `domains`
// is indexed by batch row; counts is scratch of domain_count + 1.
void inputs_order(const struct model *model, const uint32_t *domains, size_t first_row,
                  struct activations *act, struct lane *lane, size_t *counts);
// scratch, here and below: network_scratch(model, lane rows) elements of the thread.
// Fills the input plane, and the logits with the wide part.
void inputs_gather(const struct model *model, const struct minibatch *batch,
                   const struct resolved *resolved, struct activations *act,
                   const struct lane *lane, real *scratch);
size_t network_scratch(const struct model *model, size_t rows);
void network_forward(const struct model *model, struct activations *act, const struct lane *lane,
                     real *scratch);
// Slopes of all planes from those of the logits, for the tasks [task, task_end) that are active.
void network_backward(const struct model *model, struct activations *act, const struct lane *lane,
                      size_t pass, size_t task, size_t task_end, const bool *active, real *scratch);
// The first layer of a lane with factors (Freshet's own: exact algebra, fewer products): products
// are taken once an id and gathered by row; backward, slopes are summed by id before the product.
void factored_forward(const struct model *model, const struct activations *act,
                      const struct lane *lane, real *scratch);
void factored_backward(const struct model *model, const struct activations *act,
                       const struct lane *lane, size_t pass, real *scratch);
// Adds alpha * the gradient of columns [column, + columns) to weight[in][weight_columns].
void factored_gradient(const struct model *model, const struct activations *act,
                       const struct lane *lane, size_t pass, size_t column, size_t columns,
                       real alpha, real *weight, size_t weight_columns, real *scratch);
void factored_wide(const struct model *model, const struct activations *act,
                   const struct lane *lane); // slopes of wide weights, by id
void gate_forward(const struct model *model, const struct activations *act, const struct lane *lane,
                  const struct gate_unit *unit);
// Slopes of the gate's logits, of what is gated (accumulate: added) and of copied fields.
void gate_backward(const struct model *model, const struct activations *act,
                   const struct lane *lane, size_t pass, const struct gate_unit *unit,
                   bool accumulate);
// Makes a row as if it had never been: zero in every plane that gradients are formed from.
void network_drop_row(const struct model *model, struct activations *act, const struct lane *lane,
                      size_t position);

// Gradients of weights, cut into pieces that can be taken in any order by any thread.
enum piece_kind { PIECE_LAYER, PIECE_STAR, PIECE_NORM, PIECE_DOMAIN_EMBEDDING, PIECE_SEQUENCES };
struct piece {
    enum piece_kind kind;
    size_t layer;
    size_t column, columns; // of the layer's outputs
    size_t task;            // NETWORK_NONE = shared: one gradient a pass
    size_t tower;           // NETWORK_NONE = every pass has one
};
size_t gradient_pieces(const struct model *model, struct piece *ret_pieces /* NULL: count only */);
// Elements that one gradient_take needs, lanes of so many rows.
size_t gradient_scratch(const struct model *model, size_t lane_rows);
// gradient = alpha * sum over the lanes' rows, into the tensors' places in `gradients`. Tensors of
// domains without rows are left as they are.
void gradient_take(const struct model *model, const struct activations *act,
                   const struct piece *piece, size_t pass, const struct lane *lanes,
                   size_t lane_count, real alpha, real *gradients, real *scratch);

#endif
