// The options of section `model`, and the checks that a table of options cannot express.
#include "model/spec.h"

#include <math.h>
#include <string.h>

#include "model/minibatch.h"

#define FIELD(name) offsetof(struct model_settings, name)

enum { SEQUENCE_LENGTH_MAX = 1024, SEQUENCE_HIDDEN_MAX = 1024, HEADS_MAX = 64 };
enum {
    WIDTH_MAX = 65536,
    EXPERTS_MAX = 256,
    LEVELS_MAX = 8,
    DOMAINS_MAX = 4096,
    LAYERS_MAX = 16,
    GATE_FIELDS_MAX = 32
};

static const char *const sharings[] = {"shared_bottom", "omoe", "mmoe", "ple", NULL};
static const char *const relations[] = {"independent", "esmm", NULL};
static const char *const domains[] = {"none", "star", "pepnet", "separate", NULL};
static const char *const norms[] = {"none", "moving", NULL};
static const char *const sequences[] = {"none", "mean", "attention", "transformer", NULL};
static const char *const readouts[] = {"target", "mean", "all", NULL};

static const struct option options[] = {
    {.key = "sharing",
     .type = OPTION_CHOICE,
     .offset = FIELD(sharing),
     .default_text = "mmoe",
     .choices = sharings,
     .help = "How tasks share the trunk: one network for all (shared_bottom), experts under one "
             "gate (omoe), experts under a gate a task (mmoe; Ma et al., KDD 2018), or levels of "
             "shared and own experts (ple; Tang et al., RecSys 2020; one level is CGC)."},
    {.key = "experts",
     .type = OPTION_INT,
     .offset = FIELD(experts),
     .default_text = "4",
     .minimum = 1,
     .maximum = EXPERTS_MAX,
     .help = "Experts of omoe and mmoe; the shared ones of a level of ple."},
    {.key = "task_experts",
     .type = OPTION_INT,
     .offset = FIELD(task_experts),
     .default_text = "2",
     .maximum = EXPERTS_MAX,
     .help = "Under `sharing: ple`: experts of each task's own in a level."},
    {.key = "levels",
     .type = OPTION_INT,
     .offset = FIELD(levels),
     .default_text = "1",
     .minimum = 1,
     .maximum = LEVELS_MAX,
     .help = "Under `sharing: ple`: levels of experts, each of `expert_layers`."},
    {.key = "expert_dropout",
     .type = OPTION_REAL,
     .offset = FIELD(expert_dropout),
     .default_text = "0",
     .minimum = 0,
     .maximum = 0.9,
     .help = "Share of experts that training hides from a gate, row by row, so that gates do not "
             "settle on one expert; 0.1 is usual (Zhao et al., RecSys 2019), 0 is off."},
    {.key = "relation",
     .type = OPTION_CHOICE,
     .offset = FIELD(relation),
     .default_text = "independent",
     .choices = relations,
     .help =
         "How tasks relate: each predicts its label on its own, or, where a task's `given` names "
         "another, the product of both is predicted over all impressions (ESMM; Ma et al., "
         "SIGIR 2018: pCTCVR = pCTR pCVR). What is measured and served for the task is then "
         "the product."},
    {.key = "expert_layers",
     .type = OPTION_INTS,
     .offset = FIELD(expert_layers),
     .default_text = "128, 64",
     .minimum = 1,
     .maximum = WIDTH_MAX,
     .help = "Widths of an expert's layers, or of the shared bottom's."},
    {.key = "tower_layers",
     .type = OPTION_INTS,
     .offset = FIELD(tower_layers),
     .default_text = "32",
     .minimum = 1,
     .maximum = WIDTH_MAX,
     .help = "Hidden widths of each task's tower; an empty list puts the logit on the trunk."},
    {.key = "domains",
     .type = OPTION_CHOICE,
     .offset = FIELD(domains),
     .default_text = "none",
     .choices = domains,
     .help = "How domains adapt: not at all; by star layers, whose weights are a shared matrix "
             "times one of the domain (STAR; Sheng et al., 2021); by gates on the inputs and the "
             "towers (PEPNet; Chang et al., KDD 2023); or by a model a domain, rows included "
             "(separate)."},
    {.key = "domains_max",
     .type = OPTION_INT,
     .offset = FIELD(domains_max),
     .default_text = "32",
     .minimum = 1,
     .maximum = DOMAINS_MAX,
     .help = "Domains with parameters of their own, first seen first; later ones are served as "
             "`unknown`."},
    {.key = "star_towers",
     .type = OPTION_BOOL,
     .offset = FIELD(star_towers),
     .default_text = "true",
     .help = "Under `domains: star`: the towers' layers are star layers."},
    {.key = "star_trunk",
     .type = OPTION_BOOL,
     .offset = FIELD(star_trunk),
     .default_text = "false",
     .help = "Under `domains: star`: the trunk's layers, its gates included, are star layers. "
             "Memory and publishing grow with the number of domains."},
    {.key = "auxiliary",
     .type = OPTION_BOOL,
     .offset = FIELD(auxiliary),
     .default_text = "true",
     .help = "Under `domains: star`: a small network on the domain's embedding and the features "
             "adds to each logit."},
    {.key = "auxiliary_layers",
     .type = OPTION_INTS,
     .offset = FIELD(auxiliary_layers),
     .default_text = "32",
     .minimum = 1,
     .maximum = WIDTH_MAX,
     .help = "Hidden widths of the auxiliary network."},
    {.key = "gate_fields",
     .type = OPTION_TEXTS,
     .offset = FIELD(gate_fields),
     .help = "Under `domains: pepnet`: features, mostly the ids of user, item and author, whose "
             "embeddings gate every layer of the towers (PPNet). Without any only the inputs are "
             "gated, by the domain (EPNet)."},
    {.key = "gate_units",
     .type = OPTION_INT,
     .offset = FIELD(gate_units),
     .default_text = "16",
     .minimum = 1,
     .maximum = WIDTH_MAX,
     .help = "Under `domains: pepnet`: hidden units of a gate."},
    {.key = "norm",
     .type = OPTION_CHOICE,
     .offset = FIELD(norm),
     .default_text = "none",
     .choices = norms,
     .help = "Normalisation of the embedded input, partitioned by domain: none, or by moving "
             "moments from before the minibatch."},
    {.key = "wide",
     .type = OPTION_BOOL,
     .offset = FIELD(wide),
     .default_text = "true",
     .help = "A linear part beside the network: one weight an id and task."},
    {.key = "sequences",
     .type = OPTION_CHOICE,
     .offset = FIELD(sequences),
     .default_text = "mean",
     .choices = sequences,
     .help = "What is made of behaviour sequences (features of kind `sequence`): nothing, the mean "
             "of their items, a sum of their items weighted by attention to the target (DIN; Zhou "
             "et al., KDD 2018), or a Transformer over items and target (BST; Chen et al., 2019). "
             "The target is the first categorical feature of the sequence's vocabulary."},
    {.key = "sequence_heads",
     .type = OPTION_INT,
     .offset = FIELD(sequence_heads),
     .default_text = "4",
     .minimum = 1,
     .maximum = HEADS_MAX,
     .help = "Under `sequences: transformer`: heads of the attention; they divide the dimension."},
    {.key = "sequence_hidden",
     .type = OPTION_INT,
     .offset = FIELD(sequence_hidden),
     .default_text = "32",
     .minimum = 1,
     .maximum = SEQUENCE_HIDDEN_MAX,
     .help = "Hidden width of the attention unit, or of the Transformer's feed-forward network."},
    {.key = "sequence_readout",
     .type = OPTION_CHOICE,
     .offset = FIELD(sequence_readout),
     .default_text = "target",
     .choices = readouts,
     .help = "What the Transformer gives: its output at the target, the mean of all outputs, or "
             "all of them side by side, as the paper has it (newest item first; places without an "
             "item are 0)."},
    {.key = "unknown_share",
     .type = OPTION_REAL,
     .offset = FIELD(unknown_share),
     .default_text = "0.05",
     .minimum = 0,
     .maximum = 1,
     .help = "Share of rows that train as domain `unknown`, which serves domains not seen yet and "
             "is what new ones start from."},
    {.key = "embedding_init",
     .type = OPTION_REAL,
     .offset = FIELD(embedding_init),
     .default_text = "0.01",
     .minimum = 0,
     .maximum = 10,
     .help = "Standard deviation of the noise that sets a new row apart from its table's default "
             "row."},
    {.key = "seed",
     .type = OPTION_INT,
     .offset = FIELD(seed),
     .default_text = "1",
     .help = "Seed of initial weights and rows."},
};

const char *const model_labels_names[MODEL_LABELS] = {"wait", "fnw", "fnc", "es_dfm", "defer"};

const struct option_table model_options = {
    .title = "Model",
    .help =
        "The network: how tasks share, how domains adapt, widths. Part of the model's identity.",
    .struct_bytes = sizeof(struct model_settings),
    .options = options,
    .count = sizeof options / sizeof options[0],
};

size_t model_field_find(const struct model_spec *spec, const char *name) {
    size_t f = 0;
    while (f < spec->field_count &&
           (!spec->fields[f].name || strcmp(spec->fields[f].name, name) != 0))
        f++;
    return f;
}

static enum status check_layers(const char *key, const struct option_ints *layers, size_t least,
                                struct error *err) {
    if (layers->count < least || layers->count > LAYERS_MAX)
        return error_set(err, STATUS_INVALID,
                         "key `model.%s`: expected %zu to %d layers, found %zu", key, least,
                         LAYERS_MAX, layers->count);
    for (size_t i = 0; i < layers->count; i++)
        if (layers->items[i] < 1 || layers->items[i] > WIDTH_MAX)
            return error_set(err, STATUS_INVALID,
                             "key `model.%s`: expected widths of 1 to %d, found %lld", key,
                             WIDTH_MAX, (long long)layers->items[i]);
    return STATUS_OK;
}

static enum status check_relation(const struct model_spec *spec, struct error *err) {
    bool related = false;
    for (size_t k = 0; k < spec->task_count; k++) {
        size_t at = k, hops = 0;
        for (; spec->given[at] != 0; hops++) {
            if (spec->given[at] > spec->task_count || hops == spec->task_count)
                return error_set(err, STATUS_INVALID,
                                 "task %zu: the tasks that it is given lead nowhere or in a circle",
                                 k);
            at = spec->given[at] - 1;
        }
        related = related || hops > 0;
    }
    if (spec->settings.relation < MODEL_INDEPENDENT || spec->settings.relation > MODEL_ESMM)
        return error_set(err, STATUS_INVALID, "key `model.relation`: no such relation");
    if (spec->settings.relation == MODEL_ESMM && !related)
        return error_set(err, STATUS_INVALID,
                         "key `model.relation`: esmm needs a task whose `given` names its click "
                         "task, found none in `data.tasks`");
    return STATUS_OK;
}

static enum status check_labels(const struct model_spec *spec, struct error *err) {
    for (size_t k = 0; k < spec->task_count; k++) {
        if (!isfinite(spec->shift[k]))
            return error_set(err, STATUS_INVALID, "task %zu: a shift that is not finite", k);
        if (spec->labels[k] >= MODEL_LABELS)
            return error_set(err, STATUS_INVALID, "task %zu: no such label policy", k);
        if (spec->labels[k] == MODEL_LABELS_FNC && spec->settings.relation == MODEL_ESMM)
            return error_set(err, STATUS_INVALID,
                             "key `model.relation`: esmm does not go with `data.tasks[%zu].labels: "
                             "fnc`, whose correction is not that of a product; use fnw",
                             k);
    }
    return STATUS_OK;
}

// A sequence's place, length and target, and what the way of reading it wants.
static enum status check_sequence(const struct model_spec *spec, size_t f, struct error *err) {
    const struct model_settings *settings = &spec->settings;
    const struct model_field *field = &spec->fields[f];
    const char *name = field->name ? field->name : "";
    if (!field->multi || field->length > SEQUENCE_LENGTH_MAX)
        return error_set(err, STATUS_INVALID,
                         "field `%s`: expected a sequence of 1 to %d items, found %u", name,
                         SEQUENCE_LENGTH_MAX, field->length);
    if (field->target > spec->categorical_count ||
        (field->target && spec->fields[field->target - 1].table != field->table))
        return error_set(err, STATUS_INVALID,
                         "field `%s`: its target is no categorical field of its table", name);
    if (settings->sequences >= MODEL_SEQUENCES_ATTENTION && !field->target)
        return error_set(err, STATUS_INVALID,
                         "key `model.sequences`: %s compares the items of `%s` to a target; give a "
                         "categorical feature the same `vocabulary`",
                         sequences[settings->sequences], name);
    if (settings->sequences == MODEL_SEQUENCES_TRANSFORMER &&
        field->dimension % (size_t)settings->sequence_heads)
        return error_set(err, STATUS_INVALID,
                         "key `model.sequence_heads`: %lld heads do not divide the %u dimensions "
                         "of `%s`",
                         (long long)settings->sequence_heads, field->dimension, name);
    return STATUS_OK;
}

static enum status check_sequences(const struct model_spec *spec, struct error *err) {
    const struct model_settings *settings = &spec->settings;
    if (settings->sequences < MODEL_SEQUENCES_NONE ||
        settings->sequences > MODEL_SEQUENCES_TRANSFORMER ||
        settings->sequence_readout < MODEL_READOUT_TARGET ||
        settings->sequence_readout > MODEL_READOUT_ALL)
        return error_set(err, STATUS_INVALID, "key `model.sequences`: no such way of reading");
    bool attends = settings->sequences >= MODEL_SEQUENCES_ATTENTION, found = false;
    if (attends && settings->domains == MODEL_DOMAINS_SEPARATE)
        return error_set(err, STATUS_INVALID,
                         "key `model.sequences`: the weights of %s are shared, and `domains: "
                         "separate` shares none; take `mean` or `none`",
                         sequences[settings->sequences]);
    if (attends &&
        (settings->sequence_heads < 1 || settings->sequence_heads > HEADS_MAX ||
         settings->sequence_hidden < 1 || settings->sequence_hidden > SEQUENCE_HIDDEN_MAX))
        return error_set(err, STATUS_INVALID,
                         "keys `model.sequence_heads`, `model.sequence_hidden`: out of range");
    for (size_t f = 0; f < spec->field_count; f++) {
        if (found && !spec->fields[f].length)
            return error_set(err, STATUS_INVALID,
                             "field `%s`: sequences come after the other fields",
                             spec->fields[f].name ? spec->fields[f].name : "");
        if (!spec->fields[f].length)
            continue;
        found = true;
        enum status status = check_sequence(spec, f, err);
        if (status != STATUS_OK)
            return status;
    }
    if (attends && !found)
        return error_set(err, STATUS_INVALID,
                         "key `model.sequences`: %s needs a feature of kind `sequence`, found none "
                         "in `data.features`",
                         sequences[settings->sequences]);
    return STATUS_OK;
}

static enum status check_settings(const struct model_settings *settings, struct error *err) {
    if (settings->sharing < MODEL_SHARED_BOTTOM || settings->sharing > MODEL_PLE)
        return error_set(err, STATUS_INVALID, "key `model.sharing`: no such way of sharing");
    if (settings->sharing != MODEL_SHARED_BOTTOM &&
        (settings->experts < 1 || settings->experts > EXPERTS_MAX))
        return error_set(err, STATUS_INVALID, "key `model.experts`: expected 1 to %d, found %lld",
                         EXPERTS_MAX, (long long)settings->experts);
    if (settings->sharing == MODEL_PLE &&
        (settings->task_experts < 0 || settings->task_experts > EXPERTS_MAX))
        return error_set(err, STATUS_INVALID,
                         "key `model.task_experts`: expected 0 to %d, found %lld", EXPERTS_MAX,
                         (long long)settings->task_experts);
    if (settings->sharing == MODEL_PLE && (settings->levels < 1 || settings->levels > LEVELS_MAX))
        return error_set(err, STATUS_INVALID, "key `model.levels`: expected 1 to %d, found %lld",
                         LEVELS_MAX, (long long)settings->levels);
    if (!(settings->expert_dropout >= 0 && settings->expert_dropout <= 0.9))
        return error_set(err, STATUS_INVALID, "key `model.expert_dropout`: expected 0 to 0.9");
    if (settings->domains < MODEL_DOMAINS_NONE || settings->domains > MODEL_DOMAINS_SEPARATE)
        return error_set(err, STATUS_INVALID, "key `model.domains`: no such way to adapt");
    if (settings->domains != MODEL_DOMAINS_NONE &&
        (settings->domains_max < 1 || settings->domains_max > DOMAINS_MAX))
        return error_set(err, STATUS_INVALID,
                         "key `model.domains_max`: expected 1 to %d, found %lld", DOMAINS_MAX,
                         (long long)settings->domains_max);
    if (!(settings->unknown_share >= 0 && settings->unknown_share <= 1))
        return error_set(err, STATUS_INVALID, "key `model.unknown_share`: expected 0 to 1");
    if (!(settings->embedding_init >= 0 && settings->embedding_init <= 10))
        return error_set(err, STATUS_INVALID, "key `model.embedding_init`: expected 0 to 10");
    enum status status = check_layers("expert_layers", &settings->expert_layers, 1, err);
    if (status == STATUS_OK)
        status = check_layers("tower_layers", &settings->tower_layers, 0, err);
    if (status == STATUS_OK && settings->domains == MODEL_DOMAINS_STAR && settings->auxiliary)
        status = check_layers("auxiliary_layers", &settings->auxiliary_layers, 1, err);
    return status;
}

static enum status check_gates(const struct model_spec *spec, struct error *err) {
    const struct option_texts *names = &spec->settings.gate_fields;
    if (spec->settings.domains != MODEL_DOMAINS_PEPNET) {
        if (names->count > 0)
            return error_set(
                err, STATUS_INVALID,
                "key `model.gate_fields`: only `domains: pepnet` has gates; set it, or "
                "leave the list out");
        return STATUS_OK;
    }
    if (spec->settings.gate_units < 1 || spec->settings.gate_units > WIDTH_MAX)
        return error_set(err, STATUS_INVALID,
                         "key `model.gate_units`: expected 1 to %d, found %lld", WIDTH_MAX,
                         (long long)spec->settings.gate_units);
    if (names->count > GATE_FIELDS_MAX)
        return error_set(err, STATUS_INVALID,
                         "key `model.gate_fields`: expected at most %d features, found %zu",
                         GATE_FIELDS_MAX, names->count);
    for (size_t i = 0; i < names->count; i++) {
        size_t field = model_field_find(spec, names->items[i]);
        if (field == spec->field_count || spec->fields[field].length > 0)
            return error_set(err, STATUS_INVALID,
                             "key `model.gate_fields`: `%s` is no categorical or multi-valued "
                             "feature of `data.features`",
                             names->items[i]);
        for (size_t j = 0; j < i; j++)
            if (strcmp(names->items[i], names->items[j]) == 0)
                return error_set(err, STATUS_INVALID,
                                 "key `model.gate_fields`: `%s` is given twice", names->items[i]);
    }
    return STATUS_OK;
}

static enum status check_field(const struct model_spec *spec, size_t f, struct error *err) {
    const struct model_field *field = &spec->fields[f];
    const char *name = field->name ? field->name : "";
    if (field->multi != (f >= spec->categorical_count))
        return error_set(err, STATUS_INVALID,
                         "field `%s`: multi-valued fields come after the categorical ones", name);
    if (field->dimension < 1 || field->dimension > 4096)
        return error_set(err, STATUS_INVALID,
                         "field `%s`: expected a dimension of 1 to 4096, found %u", name,
                         field->dimension);
    if (field->table >= spec->table_count)
        return error_set(err, STATUS_INVALID, "field `%s`: table %u of %zu does not exist", name,
                         field->table, spec->table_count);
    for (size_t g = 0; g < f; g++)
        if (spec->fields[g].table == field->table && spec->fields[g].dimension != field->dimension)
            return error_set(err, STATUS_INVALID,
                             "field `%s`: dimension %u, but field `%s` of the same table has %u",
                             name, field->dimension,
                             spec->fields[g].name ? spec->fields[g].name : "",
                             spec->fields[g].dimension);
    return STATUS_OK;
}

enum status model_spec_check(const struct model_spec *spec, struct error *err) {
    if (spec->task_count < 1 || spec->task_count > MODEL_TASKS_MAX)
        return error_set(err, STATUS_INVALID, "the model: expected 1 to %d tasks, found %zu",
                         MODEL_TASKS_MAX, spec->task_count);
    if (spec->field_count + spec->numeric_count == 0)
        return error_set(err, STATUS_INVALID, "the model: expected a feature, found none");
    if (spec->categorical_count > spec->field_count)
        return error_set(err, STATUS_INVALID, "the model: more categorical fields than fields");
    for (size_t f = 0; f < spec->field_count; f++) {
        enum status status = check_field(spec, f, err);
        if (status != STATUS_OK)
            return status;
    }
    for (size_t t = 0; t < spec->table_count; t++) {
        size_t f = 0;
        while (f < spec->field_count && spec->fields[f].table != t)
            f++;
        if (f == spec->field_count)
            return error_set(err, STATUS_INVALID, "the model: table %zu has no field", t);
    }
    enum status status = check_relation(spec, err);
    if (status == STATUS_OK)
        status = check_labels(spec, err);
    if (status == STATUS_OK)
        status = check_sequences(spec, err);
    if (status == STATUS_OK)
        status = check_settings(&spec->settings, err);
    return status == STATUS_OK ? check_gates(spec, err) : status;
}
