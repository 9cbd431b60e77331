// Rules for the rows of single tables, `trainer.learner.tables`: the life of rows (trainer/life.h)
// and how they step (trainer/optimise.h).
#ifndef FRESHET_TRAINER_RULES_H
#define FRESHET_TRAINER_RULES_H

#include "config/option.h"
#include "model/spec.h"

enum { TABLE_RULE_ADMIT_MAX = 200, TABLE_RULE_COUNTERS_MAX = 1 << 26 };
enum table_optimiser { // TABLE_DEFAULT: the learner's
    TABLE_DEFAULT,
    TABLE_ROW_ADAGRAD,
    TABLE_ADAGRAD,
    TABLE_ADAM,
    TABLE_FTRL
};
enum table_wide_optimiser { TABLE_WIDE_DEFAULT, TABLE_WIDE_FTRL };

// FTRL-Proximal's constants (McMahan et al., KDD 2013, alg. 1); its alpha is the learning rate.
struct ftrl_settings {
    double beta, l1, l2;
};
struct table_rule {
    const char *feature; // whose table; "" = all tables that no other rule names
    int64_t admit;       // sightings of an id before it has a row
    double admit_share;  // probability that a sighting admits
    int64_t admit_counters;
    int64_t expire_after_ms;   // 0 = never
    double expire_uses;        // 0 = never
    int64_t half_life_ms;      // of uses
    int64_t rows_max;          // 0 = no bound
    int optimiser;             // enum table_optimiser
    double learning_rate;      // infinite = the learner's
    int wide_optimiser;        // enum table_wide_optimiser
    double wide_learning_rate; // infinite = the learner's
    struct ftrl_settings ftrl;
};
extern const struct option_table table_rule_options;

// ret_of[spec->table_count]: each table's rule, borrowed, or NULL. STATUS_INVALID naming the rule:
// a feature that no table serves, two rules for one table, a value out of range.
CHECKED enum status rules_assign(const struct option_sections *rules, const struct model_spec *spec,
                                 const struct table_rule **ret_of, struct error *err);

#endif
