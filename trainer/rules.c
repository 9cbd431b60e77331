// The options of a table's rule, and which table it is for.
#include "trainer/rules.h"

#include <math.h>
#include <string.h>

#define YEARS_MS (20.0 * 365 * 86400000)
#define FIELD(name) offsetof(struct table_rule, name)

static const char *const optimisers[] = {"default", "row_adagrad", "adagrad", "adam", "ftrl", NULL};
static const char *const wide_optimisers[] = {"default", "ftrl", NULL};

static const struct option options[] = {
    {.key = "feature",
     .type = OPTION_TEXT,
     .offset = FIELD(feature),
     .default_text = "",
     .help = "A categorical or multi-valued feature: the rule is that of its vocabulary's table. "
             "Empty: of all tables that no other rule names."},
    {.key = "admit",
     .type = OPTION_INT,
     .offset = FIELD(admit),
     .default_text = "1",
     .minimum = 1,
     .maximum = TABLE_RULE_ADMIT_MAX,
     .help = "An id gets a row at this sighting in training; before, it reads and teaches the "
             "table's default row."},
    {.key = "admit_counters",
     .type = OPTION_INT,
     .offset = FIELD(admit_counters),
     .default_text = "65536",
     .minimum = 64,
     .maximum = TABLE_RULE_COUNTERS_MAX,
     .help = "Width of the sketch that counts sightings, which takes four bytes of each; about as "
             "many ids without a row as should be told apart."},
    {.key = "admit_share",
     .type = OPTION_REAL,
     .offset = FIELD(admit_share),
     .default_text = "1",
     .minimum = 0,
     .maximum = 1,
     .help = "Probability that a sighting admits: 0.03 gives a row to every id about its 33rd "
             "time, without counting. Drawn from the seed, the id and the step."},
    {.key = "expire_after",
     .type = OPTION_DURATION,
     .offset = FIELD(expire_after_ms),
     .default_text = "0ms",
     .minimum = 0,
     .maximum = YEARS_MS,
     .help = "A row leaves when it has not been learnt from for this long, in event time; 0 = "
             "never. At least a second, and no less than the longest window of a task."},
    {.key = "expire_uses",
     .type = OPTION_REAL,
     .offset = FIELD(expire_uses),
     .default_text = "0",
     .minimum = 0,
     .maximum = 1000,
     .help = "A row leaves when its uses, the minibatches that had it, halved every `half_life`, "
             "are fewer; 0 = never."},
    {.key = "half_life",
     .type = OPTION_DURATION,
     .offset = FIELD(half_life_ms),
     .default_text = "7d",
     .minimum = 1000,
     .maximum = YEARS_MS,
     .help = "Event time in which a use comes to count half, for `expire_uses` and `rows_max`."},
    {.key = "rows_max",
     .type = OPTION_INT,
     .offset = FIELD(rows_max),
     .default_text = "0",
     .minimum = 0,
     .maximum = 4000000000.0,
     .help = "Rows that the table may have after a step: beyond, the least used leave, a sixteenth "
             "more than must; 0 = no bound."},
    {.key = "optimiser",
     .type = OPTION_CHOICE,
     .offset = FIELD(optimiser),
     .default_text = "default",
     .choices = optimisers,
     .help = "Optimiser of the table's rows, `default` = `trainer.learner.row_optimiser`."},
    {.key = "learning_rate",
     .type = OPTION_REAL,
     .offset = FIELD(learning_rate),
     .default_text = "off",
     .minimum = 0,
     .maximum = INFINITY,
     .help = "Its learning rate; FTRL's alpha. `off` = `trainer.learner.row_learning_rate`."},
    {.key = "wide_optimiser",
     .type = OPTION_CHOICE,
     .offset = FIELD(wide_optimiser),
     .default_text = "default",
     .choices = wide_optimisers,
     .help = "Optimiser of the wide weights beside the table's rows: like the rows', or "
             "FTRL-Proximal, which with `ftrl_l1` keeps weights at 0 that are not worth having."},
    {.key = "wide_learning_rate",
     .type = OPTION_REAL,
     .offset = FIELD(wide_learning_rate),
     .default_text = "off",
     .minimum = 0,
     .maximum = INFINITY,
     .help = "Their learning rate; FTRL's alpha. `off` = `trainer.learner.wide_learning_rate`."},
    {.key = "ftrl_beta",
     .type = OPTION_REAL,
     .offset = FIELD(ftrl.beta),
     .default_text = "1",
     .minimum = 0,
     .maximum = 1000,
     .help = "FTRL: the larger, the smaller the first steps."},
    {.key = "ftrl_l1",
     .type = OPTION_REAL,
     .offset = FIELD(ftrl.l1),
     .default_text = "0",
     .minimum = 0,
     .maximum = 1000,
     .help = "FTRL: weights whose summed gradients stay within this are 0."},
    {.key = "ftrl_l2",
     .type = OPTION_REAL,
     .offset = FIELD(ftrl.l2),
     .default_text = "0",
     .minimum = 0,
     .maximum = 1000,
     .help = "FTRL: pulls weights to 0."},
};
const struct option_table table_rule_options = {
    .title = "Tables",
    .help = "Rules for the rows of single tables: which ids get one, and when rows leave. Part of "
            "the model's identity.",
    .struct_bytes = sizeof(struct table_rule),
    .options = options,
    .count = sizeof options / sizeof options[0],
};

static bool finite_from_0(double value) {
    return value >= 0 && isfinite(value);
}

static enum status check_rule(const struct table_rule *rule, const struct model_spec *spec,
                              size_t at, struct error *err) {
    const struct {
        bool good;
        const char *key, *expected;
    } checks[] = {
        {rule->admit >= 1 && rule->admit <= TABLE_RULE_ADMIT_MAX, "admit", "1 to 200"},
        {rule->admit_share > 0 && rule->admit_share <= 1, "admit_share", "more than 0, up to 1"},
        {rule->admit_counters >= 1 && rule->admit_counters <= TABLE_RULE_COUNTERS_MAX,
         "admit_counters", "64 to 67108864"},
        {rule->expire_after_ms == 0 || rule->expire_after_ms >= 1000, "expire_after",
         "1s or more, or 0ms for never"},
        {finite_from_0(rule->expire_uses), "expire_uses", "a finite number of 0 or more"},
        {rule->half_life_ms >= 1000, "half_life", "1s or more"},
        {rule->rows_max >= 0 && rule->rows_max < UINT32_MAX, "rows_max", "0 to 4000000000"},
        {rule->learning_rate >= 0, "learning_rate", "0 or more, or `off`"},
        {rule->wide_learning_rate >= 0, "wide_learning_rate", "0 or more, or `off`"},
        {finite_from_0(rule->ftrl.beta), "ftrl_beta", "a finite number of 0 or more"},
        {finite_from_0(rule->ftrl.l1), "ftrl_l1", "a finite number of 0 or more"},
        {finite_from_0(rule->ftrl.l2), "ftrl_l2", "a finite number of 0 or more"},
        {rule->wide_optimiser == TABLE_WIDE_DEFAULT || spec->settings.wide, "wide_optimiser",
         "`default` where `model.wide` is false: there are no wide weights"},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (!checks[i].good)
            return error_set(err, STATUS_INVALID,
                             "key `trainer.learner.tables[%zu].%s`: expected %s", at, checks[i].key,
                             checks[i].expected);
    return STATUS_OK;
}

// The table of the feature that a rule names.
static enum status table_find_by(const struct model_spec *spec, const struct table_rule *rule,
                                 size_t at, size_t *ret_table, struct error *err) {
    for (size_t f = 0; f < spec->field_count; f++) {
        if (spec->fields[f].name && strcmp(spec->fields[f].name, rule->feature) == 0) {
            *ret_table = spec->fields[f].table;
            return STATUS_OK;
        }
    }
    return error_set(err, STATUS_INVALID,
                     "key `trainer.learner.tables[%zu].feature`: `%s` is none of the categorical "
                     "and multi-valued `data.features`",
                     at, rule->feature);
}

enum status rules_assign(const struct option_sections *rules, const struct model_spec *spec,
                         const struct table_rule **ret_of, struct error *err) {
    const struct table_rule *items = rules->items, *rest = NULL;
    for (size_t t = 0; t < spec->table_count; t++)
        ret_of[t] = NULL;
    for (size_t i = 0; i < rules->count; i++) {
        size_t table = 0;
        enum status status = check_rule(&items[i], spec, i, err);
        bool named = items[i].feature[0] != '\0';
        if (status == STATUS_OK && named)
            status = table_find_by(spec, &items[i], i, &table, err);
        if (status != STATUS_OK)
            return status;
        const struct table_rule **of = named ? &ret_of[table] : &rest;
        if (*of && named)
            return error_set(err, STATUS_INVALID,
                             "key `trainer.learner.tables[%zu].feature`: the table of `%s` has a "
                             "rule already: features of one vocabulary share it",
                             i, items[i].feature);
        if (*of)
            return error_set(err, STATUS_INVALID,
                             "key `trainer.learner.tables[%zu]`: two rules without a feature", i);
        *of = &items[i];
    }
    for (size_t t = 0; t < spec->table_count; t++)
        ret_of[t] = ret_of[t] ? ret_of[t] : rest;
    return STATUS_OK;
}
