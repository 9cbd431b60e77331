// What an example is made of: features, tasks, domain. The part of the configuration that ingest,
// trainer and scorer share, its option tables, its fingerprint and its JSON form (in the weights
// log and in Redis's manifest, so that any scorer can build the inputs from events).
#ifndef FRESHET_RECORD_SPEC_H
#define FRESHET_RECORD_SPEC_H

#include "base/memory.h"
#include "config/option.h"

enum spec_feature_kind {
    SPEC_CATEGORICAL, // one id
    SPEC_MULTI,       // a list of ids, mean-pooled
    SPEC_NUMERIC,     // one float
    SPEC_SEQUENCE,    // a list of ids, oldest first, with their ages
    SPEC_KINDS
};
extern const char *const spec_kind_names[]; // [SPEC_KINDS], then NULL

// How a task's labels reach training (docs/models.md, late conversions).
enum spec_labels {
    SPEC_WAIT,   // once, when the window has closed
    SPEC_FNW,    // at once as a negative, again as a positive; importance-weighted
    SPEC_FNC,    // the same, unweighted; what is served is corrected
    SPEC_ES_DFM, // after a short wait, late positives again; importance-weighted
    SPEC_DEFER,  // the same, and all others again when the window closes
    SPEC_LABELS
};

#define SPEC_FEATURES_MAX 512
#define SPEC_TASKS_MAX 32 // bits of a mask
#define SPEC_RATES_MAX 64
#define SPEC_SEQUENCE_MAX 1024    // items
#define SPEC_RATE_DOMAIN "domain" // in a rate's key

struct spec_feature {
    const char *name;
    const char *path;       // in the impression's schema; default: the name
    int kind;               // enum spec_feature_kind
    int64_t dimension;      // embedding width; 0 for numeric
    const char *vocabulary; // features of one vocabulary share ids and table; default: the name
    int64_t length_max;     // multi, sequence: ids beyond are dropped (counted)
    const char *times;      // sequence: path of the items' times; "" = they have none
};
struct spec_task {
    const char *name;
    const char
        *input;       // ingest input that brings its positives; "" where the impression is labelled
    const char *path; // label in the impression (join: none) or a value in the event; "" = presence
    const char *when_path;   // the event counts for this task only if this path ...
    const char *when_equals; // ... holds this value (text form); both "" = always
    const char *given; // sample space: "" = all impressions, or a task whose positives define it
    int64_t window_ms; // after the impression; the label is final when it closes
    int labels;        // enum spec_labels
    int64_t label_wait_ms; // es_dfm, defer: after the impression, shorter than the window
    double weight;         // fixed task weight in the loss, >= 0
};
// How training gets along with fewer negatives: impressions without any positive are left out by
// the hash of their join key.
enum spec_correct {
    SPEC_CORRECT_WEIGHTS,  // those kept weigh 1 / (1 - drop) in losses, measures and rates
    SPEC_CORRECT_LOG_ODDS, // losses do not weigh; predictions move by log(1 - drop). One task only
};
struct spec_sampling {
    double drop; // share left out; 0 = none
    int correct; // enum spec_correct
};
// A streaming rate (model/rates.h): how often a task's positives come, by a key.
struct spec_rate {
    struct option_texts by;    // categorical features, or "domain": together the key
    struct option_texts tasks; // empty = all
    int64_t half_life_ms;      // 0 = never decays
    double prior;
    int64_t admit;
    double expire;
    int64_t rows_max;
};
struct spec {
    struct option_sections features; // struct spec_feature
    struct option_sections tasks;    // struct spec_task
    struct option_sections rates;    // struct spec_rate
    int64_t rates_lag_ms;            // rates are read as of so long before the impression
    struct spec_sampling sampling;
    const char *domain_path; // "" = one domain
    const char *user_path;   // who is asked: bootstrap unit and per-user measures; "" = none
};
extern const struct option_table
    spec_options; // keys: features, tasks, sampling, domain, user, rates

// Cross-checks that a table cannot express: unique names, `given` exists and has no cycle,
// dimensions agree within a vocabulary, rates name features and tasks that there are, label
// policies have the waits that they need.
// STATUS_INVALID naming the key. Fills in what is empty by default: a feature's path and vocabulary
// are its name.
CHECKED enum status spec_check(struct spec *spec, struct error *err);
const struct spec_feature *spec_feature_at(const struct spec *spec, size_t i);
const struct spec_rate *spec_rate_at(const struct spec *spec, size_t i);
const struct spec_task *spec_task_at(const struct spec *spec, size_t i);
extern const char *const spec_labels_names[SPEC_LABELS + 1]; // NULL behind the last
// Number of features of a kind, in configuration order: the column order within an example.
size_t spec_kind_count(const struct spec *spec, enum spec_feature_kind kind);
// Changes when examples of one spec cannot be read by the other (names, kinds, order, vocabularies,
// tasks); not with paths, windows, label policies, weights or rates.
uint64_t spec_fingerprint(const struct spec *spec);
// The id of a categorical value: XXH3 of its canonical text, seeded by the vocabulary's name.
// Integers are canonical in decimal, text as UTF-8 bytes, enums by symbol, booleans "true"/"false".
// Never 0: 0 is "missing".
uint64_t spec_id(const char *vocabulary, const char *text, size_t length);
CHECKED enum status spec_to_json(const struct spec *spec, struct buffer *into, struct error *err);
CHECKED enum status spec_from_json(const char *text, size_t length, struct arena *arena,
                                   struct spec *ret_spec, struct error *err);

#endif
