// The model's shape: fields, tables, tasks, sharing, domains. Plain data, made by the trainer from
// the configuration or by the scorer from a manifest; model/ itself reads neither.
#ifndef FRESHET_MODEL_SPEC_H
#define FRESHET_MODEL_SPEC_H

#include "base/status.h"
#include "config/option.h"

enum model_sharing { MODEL_SHARED_BOTTOM, MODEL_OMOE, MODEL_MMOE, MODEL_PLE };
enum model_relation { MODEL_INDEPENDENT, MODEL_ESMM };
enum model_domains {
    MODEL_DOMAINS_NONE,
    MODEL_DOMAINS_STAR,
    MODEL_DOMAINS_PEPNET,
    MODEL_DOMAINS_SEPARATE
};
enum model_norm { MODEL_NORM_NONE, MODEL_NORM_MOVING };
// How a task's late labels reach training (docs/models.md): what its loss weighs, and whether
// predictions are corrected.
enum model_labels {
    MODEL_LABELS_WAIT,
    MODEL_LABELS_FNW,
    MODEL_LABELS_FNC,
    MODEL_LABELS_ES_DFM,
    MODEL_LABELS_DEFER,
    MODEL_LABELS
};
extern const char *const model_labels_names[MODEL_LABELS];
enum model_sequences { // what becomes of behaviour sequences: model/sequence.h
    MODEL_SEQUENCES_NONE,
    MODEL_SEQUENCES_MEAN,
    MODEL_SEQUENCES_ATTENTION,
    MODEL_SEQUENCES_TRANSFORMER
};
enum model_readout { MODEL_READOUT_TARGET, MODEL_READOUT_MEAN, MODEL_READOUT_ALL };

// Settings of the network, owned by model/ (section `model` of the configuration).
struct model_settings {
    int sharing;                      // enum model_sharing
    int64_t experts;                  // OMoE, MMoE; PLE: shared ones a level
    int64_t task_experts;             // PLE: own ones a task and level; 0 = none
    int64_t levels;                   // PLE; 1 is CGC
    double expert_dropout;            // share of (row, gate, expert) that training leaves out
    int relation;                     // enum model_relation
    struct option_ints expert_layers; // widths, e.g. [128, 64]; the shared bottom's layers as well
    struct option_ints tower_layers;  // hidden widths of each task's tower, e.g. [32]
    int domains;                      // enum model_domains
    int64_t domains_max; // domains beyond are served as `unknown`; parameters are kept for all
    bool star_towers, star_trunk;        // which layers are star layers under STAR
    bool auxiliary;                      // STAR's auxiliary network
    struct option_ints auxiliary_layers; // its hidden widths
    struct option_texts
        gate_fields;         // PEPNet: whose embeddings PPNet's gates read; none = EPNet alone
    int64_t gate_units;      // PEPNet: hidden units of a gate
    int norm;                // partitioned normalisation of the embedded input
    bool wide;               // a linear part: one weight an id and task
    int sequences;           // enum model_sequences
    int64_t sequence_heads;  // of the Transformer's attention
    int64_t sequence_hidden; // width of the attention unit or the feed-forward network
    int sequence_readout;    // enum model_readout: what the Transformer gives
    double unknown_share;    // of rows trained as domain `unknown`
    double embedding_init;   // standard deviation of a new row's values
    int64_t seed;
};
extern const struct option_table model_options;

#define MODEL_TASKS_MAX 32

struct model_field {
    const char *name;
    uint32_t table; // fields of one vocabulary share a table
    uint32_t dimension;
    bool multi; // a list, pooled, or a sequence
    // Of a sequence; 0 and false elsewhere.
    uint32_t length; // newest items that are read
    uint32_t target; // 1 + the categorical field that its items are compared to; 0 = none
    bool timed;      // items have ages; else their positions count
};
struct model_spec {
    const struct model_field *fields; // categorical ones first, then multi-valued, then sequences
    size_t field_count, categorical_count;
    size_t numeric_count;
    size_t task_count, table_count;
    uint32_t given[MODEL_TASKS_MAX];  // 1 + the task whose positives a task is defined on; 0 = all
    uint32_t labels[MODEL_TASKS_MAX]; // enum model_labels
    double shift[MODEL_TASKS_MAX]; // added to what the tower gives, in log-odds (sampled negatives)
    struct model_settings settings;
};
// Index of a field by its name; field_count = none.
size_t model_field_find(const struct model_spec *spec, const char *name);
// STATUS_INVALID naming what does not fit: no field or task, fields out of order, a table of two
// dimensions, experts without layers, bounds of widths, ESMM without a task that is given another,
// FNC under ESMM, a gate on a field that there is none of, attention or a Transformer without a
// sequence, or with one that has no target.
CHECKED enum status model_spec_check(const struct model_spec *spec, struct error *err);

#endif
