// The learner's state as bytes, in one walk that both saves and loads. The whole of it:
//
//   magic, identity of shape and settings (threads aside)
//   step, labelled shares, domains known, the balancer's state, steps of tensors
//   tensors without default rows, state of the dense optimiser and of auxiliary classifiers
//   each table with a rule: what the rule counts
//   each table: slots, values and state of the default row, then by slot id, values, state of each
//   row, or 0 for a hole
//   marks of changes: tensors; each table's slots in order of first touch, ids that left
//   checksum of all before
//
// And the head of a cut (learner_cut.c), whose rows follow in blocks:
//
//   another magic, identity; then as above up to what rules count
//   each table: slots; marks of changes as above; checksum of all before
//
// Numbers are as in memory, little-endian; equal states give equal bytes, because rows keep their
// slots.
#include "trainer/learner_inside.h"

#include <string.h>

#include "base/hash.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the saved form is little-endian");

static const uint64_t magic = 0x32306e7261656c66;      // "flearn02"
static const uint64_t head_magic = 0x3130646165686c66; // "flhead01"

// One direction of the walk. Exactly one of sink and source is set, or neither: then only the
// checksum is taken.
struct walk {
    const struct sink *sink;
    const struct source *source;
    uint64_t checksum;
    struct error *err;
    enum status status; // first failure; later steps do nothing
};

static void pass(struct walk *walk, void *bytes, size_t length) {
    if (walk->status != STATUS_OK || length == 0)
        return;
    if (walk->source)
        walk->status = source_get(walk->source, bytes, length, walk->err);
    else if (walk->sink)
        walk->status = sink_put(walk->sink, bytes, length, walk->err);
    if (walk->status == STATUS_OK)
        walk->checksum = hash_chain(walk->checksum, bytes, length);
}

static uint64_t pass_number(struct walk *walk, uint64_t number) {
    pass(walk, &number, sizeof number);
    return number;
}

static void fail(struct walk *walk, enum status status, const char *reason) {
    if (walk->status == STATUS_OK)
        walk->status = error_set(walk->err, status, "could not load the learner: %s", reason);
}

static uint64_t identity_add(uint64_t identity, uint64_t number) {
    return hash_chain(identity, &number, sizeof number);
}

// Options that change nothing unless another calls for them: states saved before there were such
// are read as ever.
static bool is_conditional(const char *key) {
    return strncmp(key, "gate_", 5) == 0 || strncmp(key, "schedule", 8) == 0 ||
           strncmp(key, "sequence", 8) == 0 || strcmp(key, "learning_rate_floor") == 0;
}

// Every option of a table by its key and value, but for what never changes a result.
static uint64_t identity_options(uint64_t identity, const struct option_table *table,
                                 const void *settings) {
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->options[i];
        const unsigned char *at = (const unsigned char *)settings + option->offset;
        const struct option_ints *ints = (const void *)at;
        if (strcmp(option->key, "threads") == 0 || strcmp(option->key, "memory_max") == 0 ||
            is_conditional(option->key) || option->type == OPTION_SECTIONS)
            continue; // bounds, rules, gates, sequences and schedules count where there are any
        identity = hash_chain(identity, option->key, strlen(option->key));
        switch (option->type) {
        case OPTION_INT:
        case OPTION_DURATION:
            identity = hash_chain(identity, at, sizeof(int64_t));
            break;
        case OPTION_REAL:
            identity = hash_chain(identity, at, sizeof(double));
            break;
        case OPTION_CHOICE:
            identity = hash_chain(identity, at, sizeof(int));
            break;
        case OPTION_BOOL:
            identity = hash_chain(identity, at, sizeof(bool));
            break;
        case OPTION_INTS:
            identity = hash_chain(identity, ints->items, ints->count * sizeof *ints->items);
            break;
        default: // names of tasks and features: the learner goes by their index
            break;
        }
    }
    return identity;
}

// Changes whenever saved state of one learner means nothing to another.
static uint64_t identity_of(const struct learner *learner) {
    const struct model *model = learner->model;
    uint64_t identity = identity_options(0, &model_options, &model->spec.settings);
    identity = identity_options(identity, &learner_options, &learner->settings);
    identity = identity_add(identity, learner->target);
    identity = identity_add(identity, sizeof(real));
    identity =
        hash_chain(identity, learner->task_weights, learner->tasks * sizeof *learner->task_weights);
    for (size_t k = 0; k < learner->tasks; k++)
        if (model->spec.labels[k] != MODEL_LABELS_WAIT)
            identity = identity_add(identity_add(identity, k), model->spec.labels[k]);
    for (size_t t = 0; t < model->tensor_count; t++) {
        const struct model_tensor *tensor = &model->tensors[t];
        identity = hash_chain(identity, tensor->name, strlen(tensor->name));
        identity = identity_add(identity, tensor->rows);
        identity = identity_add(identity, tensor->columns);
    }
    for (size_t f = 0; f < model->spec.field_count; f++) {
        identity = identity_add(identity, model->spec.fields[f].table);
        identity = identity_add(identity, model->field_offset[f]);
        identity = identity_add(identity, model->spec.fields[f].multi);
        if (model->spec.fields[f].length == 0)
            continue;
        identity = identity_add(identity, model->spec.fields[f].length);
        identity = identity_add(identity, model->spec.fields[f].target);
        identity = identity_add(identity, model->spec.fields[f].timed);
    }
    if (model->unit_count > 0)
        identity = identity_add(identity, (uint64_t)model->spec.settings.gate_units);
    for (size_t i = 0; i < model->spec.settings.gate_fields.count; i++)
        identity = identity_add(identity, model->gate_fields[i]);
    if (model->sequences.count > 0) {
        const struct model_settings *settings = &model->spec.settings;
        const int64_t numbers[] = {settings->sequences, settings->sequence_heads,
                                   settings->sequence_hidden, settings->sequence_readout};
        identity = hash_chain(identity, numbers, sizeof numbers);
    }
    if (learner->settings.schedule != LEARNER_SCHEDULE_CONSTANT) {
        const struct learner_settings *settings = &learner->settings;
        const double numbers[] = {(double)settings->schedule, (double)settings->schedule_steps,
                                  settings->schedule_decay, settings->learning_rate_floor};
        identity = hash_chain(identity, numbers, sizeof numbers);
    }
    if (learner->settings.memory_max > 0)
        identity = identity_add(identity, (uint64_t)learner->settings.memory_max);
    for (size_t t = 0; t < model->spec.table_count; t++) {
        if (!learner->lives[t].ruled)
            continue;
        identity = identity_add(identity, t);
        identity = identity_options(identity, &table_rule_options, &learner->lives[t].rule);
    }
    return identity;
}

static void pass_bools(struct walk *walk, bool *flags, size_t count) {
    for (size_t i = 0; i < count; i++) {
        unsigned char byte = flags[i];
        pass(walk, &byte, 1);
        if (byte > 1)
            fail(walk, STATUS_CORRUPT, "a flag is neither 0 nor 1");
        flags[i] = byte == 1;
    }
}

// Nothing for tables without a rule.
static void pass_life(struct walk *walk, struct life *life) {
    if (!life->ruled)
        return;
    life->admitted = pass_number(walk, life->admitted);
    life->unadmitted = pass_number(walk, life->unadmitted);
    life->counted = pass_number(walk, life->counted);
    for (size_t why = 0; why < LIFE_ENDS; why++)
        life->ended[why] = pass_number(walk, life->ended[why]);
    life->looked = pass_number(walk, life->looked);
    if (life->counters)
        pass(walk, life->counters, LIFE_SKETCH_ROWS * (size_t)life->rule.admit_counters);
}

static void pass_dense(struct walk *walk, struct learner *learner) {
    const struct model *model = learner->model;
    learner->step = pass_number(walk, learner->step);
    pass(walk, learner->labelled_share, learner->tasks * sizeof *learner->labelled_share);
    pass_bools(walk, learner->share_known, learner->tasks);
    pass_bools(walk, learner->domain_known, model->domain_count);
    pass(walk, learner->balance_state,
         learner_balance_state_count(learner) * sizeof *learner->balance_state);
    pass(walk, learner->steps, model->tensor_count * sizeof *learner->steps);
    for (size_t t = 0; t < model->tensor_count; t++) {
        const struct model_tensor *tensor = &model->tensors[t];
        if (model->traits[t].role != TENSOR_DEFAULT_ROW)
            pass(walk, tensor->data, tensor->rows * tensor->columns * sizeof *tensor->data);
    }
    size_t states = learner->settings.optimiser == LEARNER_ADAM ? 2 : 1;
    pass(walk, learner->state, states * model->weight_elements * sizeof *learner->state);
    size_t late = learner->late.count * learner->late.inputs;
    pass(walk, learner->late.weights, late * sizeof *learner->late.weights);
    pass(walk, learner->late.accumulators, late * sizeof *learner->late.accumulators);
    for (size_t t = 0; t < model->spec.table_count; t++)
        pass_life(walk, &learner->lives[t]);
}

static void pass_row(struct walk *walk, const struct table *table, uint32_t slot) {
    pass(walk, table_values(table, slot), table->width * sizeof(real));
    pass(walk, table_state(table, slot), table->state_width * sizeof(real));
}

static void load_rows(struct walk *walk, struct learner *learner, size_t t, uint64_t slots) {
    struct table *table = &learner->model->tables[t];
    table_reset(table);
    pass_row(walk, table, TABLE_DEFAULT_SLOT);
    for (uint64_t i = 0; i < slots && walk->status == STATUS_OK; i++) {
        uint64_t id = pass_number(walk, 0);
        uint32_t slot;
        if (walk->status == STATUS_OK && table_find(table, id) != TABLE_DEFAULT_SLOT)
            fail(walk, STATUS_CORRUPT, "a row's id comes twice");
        if (walk->status == STATUS_OK)
            walk->status = table_append(table, id, &slot, walk->err);
        if (walk->status == STATUS_OK && id != 0)
            pass_row(walk, table, slot);
    }
}

static void pass_rows(struct walk *walk, struct learner *learner, size_t t) {
    const struct table *table = &learner->model->tables[t];
    uint64_t slots = pass_number(walk, (uint64_t)table->slots - 1);
    if (walk->source) {
        load_rows(walk, learner, t, slots);
        return;
    }
    pass_row(walk, table, TABLE_DEFAULT_SLOT);
    for (uint32_t slot = 1; slot < table->slots; slot++) {
        pass_number(walk, table_id(table, slot));
        if (table_id(table, slot) != 0)
            pass_row(walk, table, slot);
    }
}

// Ids whose rows left, untold.
static void pass_gone(struct walk *walk, struct life *life) {
    if (!life->expires)
        return;
    uint64_t count = pass_number(walk, life->gone_count);
    if (walk->source)
        life_gone_clear(life);
    for (uint64_t i = 0; i < count && walk->status == STATUS_OK; i++) {
        uint64_t id = pass_number(walk, walk->source ? 0 : life->gone[i]);
        if (walk->source && walk->status == STATUS_OK)
            walk->status = life_gone_add(life, id, walk->err);
    }
}

// Marks of changes, as slots; and what left. Rows of a cut come after its marks: the number of
// slots alone is known.
static void pass_marks(struct walk *walk, struct learner *learner, size_t t, uint32_t slots) {
    struct touched *touched = &learner->touched[t];
    uint64_t count = pass_number(walk, touched->change_count);
    pass_gone(walk, &learner->lives[t]);
    if (!walk->source) {
        pass(walk, touched->changes, touched->change_count * sizeof *touched->changes);
        return;
    }
    touched_changes_clear(touched);
    if (count > slots)
        fail(walk, STATUS_CORRUPT, "more rows changed than there are");
    if (walk->status == STATUS_OK)
        walk->status = touched_reserve(touched, slots, slots, walk->err);
    if (walk->status != STATUS_OK)
        return;
    pass(walk, touched->changes, (size_t)count * sizeof *touched->changes);
    for (size_t i = 0; i < count && walk->status == STATUS_OK; i++) {
        if (touched->changes[i] >= slots)
            fail(walk, STATUS_CORRUPT, "a changed row does not exist");
        else
            touched_change(touched, touched->changes[i]); // into the place that it stands at
    }
}

static void pass_checksum(struct walk *walk) {
    uint64_t checksum = walk->checksum;
    if (pass_number(walk, checksum) != checksum)
        fail(walk, STATUS_CORRUPT, "the checksum does not agree");
}

static void pass_beginning(struct walk *walk, struct learner *learner, uint64_t begins) {
    if (pass_number(walk, begins) != begins)
        fail(walk, STATUS_CORRUPT, "these are not a learner's bytes");
    uint64_t identity = identity_of(learner);
    if (pass_number(walk, identity) != identity)
        fail(walk, STATUS_CHANGED, "it was saved with another model or other settings");
    if (walk->status == STATUS_OK)
        pass_dense(walk, learner);
}

static void walk_state(struct walk *walk, struct learner *learner, bool with_changes) {
    pass_beginning(walk, learner, magic);
    if (walk->status != STATUS_OK)
        return;
    for (size_t t = 0; t < learner->model->spec.table_count; t++)
        pass_rows(walk, learner, t);
    if (!with_changes)
        return;
    pass_bools(walk, learner->tensor_changed, learner->model->tensor_count);
    for (size_t t = 0; t < learner->model->spec.table_count; t++)
        pass_marks(walk, learner, t, learner->model->tables[t].slots);
    pass_checksum(walk);
}

static void walk_head(struct walk *walk, struct learner *learner) {
    pass_beginning(walk, learner, head_magic);
    for (size_t t = 0; t < learner->model->spec.table_count; t++)
        pass(walk, &learner->cuts[t].slots, sizeof learner->cuts[t].slots);
    pass_bools(walk, learner->tensor_changed, learner->model->tensor_count);
    for (size_t t = 0; t < learner->model->spec.table_count; t++)
        pass_marks(walk, learner, t, learner->cuts[t].slots);
    pass_checksum(walk);
}

// The walk writes into the learner when it loads, never otherwise.
static struct learner *unconst(const struct learner *learner) {
    union {
        const struct learner *from;
        struct learner *to;
    } both = {.from = learner};
    return both.to;
}

enum status learner_head_save(const struct learner *learner, const struct sink *sink,
                              struct error *err) {
    struct walk walk = {.sink = sink, .err = err};
    walk_head(&walk, unconst(learner));
    return walk.status;
}

enum status learner_head_load(struct learner *learner, const struct source *source,
                              struct error *err) {
    struct walk walk = {.source = source, .err = err};
    walk_head(&walk, learner);
    return walk.status;
}

enum status learner_save(const struct learner *learner, const struct sink *sink,
                         struct error *err) {
    struct walk walk = {.sink = sink, .err = err};
    walk_state(&walk, unconst(learner), true);
    return walk.status;
}

enum status learner_load(struct learner *learner, const struct source *source, struct error *err) {
    struct walk walk = {.source = source, .err = err};
    walk_state(&walk, learner, true);
    for (size_t t = 0; t < learner->model->spec.table_count; t++) {
        table_cut_reset(&learner->cuts[t], true);
        if (walk.status == STATUS_OK)
            walk.status = table_cut_reserve(&learner->cuts[t], &learner->model->tables[t], err);
    }
    if (walk.status == STATUS_OK)
        network_unsettle(learner->model);
    return walk.status;
}

uint64_t learner_fingerprint(const struct learner *learner) {
    struct walk walk = {.err = NULL};
    walk_state(&walk, unconst(learner), false);
    return walk.checksum;
}
