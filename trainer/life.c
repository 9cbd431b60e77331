// Rules of tables, and admission by them. life_end.c has how rows leave.
#include "trainer/life.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"

#define YEARS_MS (20.0 * 365 * 86400000)
#define FIELD(name) offsetof(struct life_rule, name)

static const uint64_t admission_stream = 0x61646d69; // apart from other draws of the seed
enum { ADMIT_MAX = 200, COUNTERS_MAX = 1 << 26 };

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
     .maximum = ADMIT_MAX,
     .help = "An id gets a row at this sighting in training; before, it reads and teaches the "
             "table's default row."},
    {.key = "admit_counters",
     .type = OPTION_INT,
     .offset = FIELD(admit_counters),
     .default_text = "65536",
     .minimum = 64,
     .maximum = COUNTERS_MAX,
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
};
const struct option_table life_options = {
    .title = "Tables",
    .help = "Rules for the rows of single tables: which ids get one, and when rows leave. Part of "
            "the model's identity.",
    .struct_bytes = sizeof(struct life_rule),
    .options = options,
    .count = sizeof options / sizeof options[0],
};

static enum status check_rule(const struct life_rule *rule, size_t at, struct error *err) {
    bool seconds = rule->expire_after_ms == 0 || rule->expire_after_ms >= 1000;
    const char *key = !(rule->admit >= 1 && rule->admit <= ADMIT_MAX)      ? "admit"
                      : !(rule->admit_share > 0 && rule->admit_share <= 1) ? "admit_share"
                      : !(rule->admit_counters >= 1 && rule->admit_counters <= COUNTERS_MAX)
                          ? "admit_counters"
                      : !seconds                                              ? "expire_after"
                      : !(rule->expire_uses >= 0 && rule->expire_uses < 1e6)  ? "expire_uses"
                      : !(rule->half_life_ms >= 1000)                         ? "half_life"
                      : !(rule->rows_max >= 0 && rule->rows_max < UINT32_MAX) ? "rows_max"
                                                                              : NULL;
    if (key)
        return error_set(err, STATUS_INVALID, "key `trainer.learner.tables[%zu].%s`: out of range",
                         at, key);
    return STATUS_OK;
}

// The table of the feature that a rule names.
static enum status table_find_by(const struct model_spec *spec, const struct life_rule *rule,
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

static enum status give(struct life *life, const struct life_rule *rule, size_t at,
                        struct error *err) {
    if (life->ruled)
        return error_set(err, STATUS_INVALID,
                         "key `trainer.learner.tables[%zu].feature`: the table of `%s` has a rule "
                         "already: features of one vocabulary share it",
                         at, rule->feature);
    life->ruled = true;
    life->rule = *rule;
    life->rule.feature = NULL;
    life->expires = rule->expire_after_ms > 0 || rule->expire_uses > 0 || rule->rows_max > 0;
    if (rule->admit == 1)
        return STATUS_OK;
    life->counters = memory_new((size_t)rule->admit_counters, LIFE_SKETCH_ROWS);
    return life->counters ? STATUS_OK
                          : error_no_memory(err, (size_t)rule->admit_counters * LIFE_SKETCH_ROWS,
                                            "the counters of admission");
}

static enum status give_all(struct life *lives, const struct option_sections *rules,
                            const struct model_spec *spec, struct error *err) {
    const struct life_rule *items = rules->items, *rest = NULL;
    size_t rest_at = 0;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < rules->count && status == STATUS_OK; i++) {
        size_t table = 0;
        status = check_rule(&items[i], i, err);
        if (status == STATUS_OK && items[i].feature[0]) {
            status = table_find_by(spec, &items[i], i, &table, err);
            if (status == STATUS_OK)
                status = give(&lives[table], &items[i], i, err);
            continue;
        }
        if (status == STATUS_OK && rest)
            status = error_set(err, STATUS_INVALID,
                               "key `trainer.learner.tables[%zu]`: two rules without a feature", i);
        rest = &items[i];
        rest_at = i;
    }
    for (size_t t = 0; rest && t < spec->table_count && status == STATUS_OK; t++)
        if (!lives[t].ruled)
            status = give(&lives[t], rest, rest_at, err);
    return status;
}

enum status lives_new(const struct option_sections *rules, const struct model_spec *spec,
                      struct life **ret_lives, struct error *err) {
    size_t tables = spec->table_count;
    struct life *lives = memory_new(tables + 1, sizeof *lives);
    if (!lives)
        return error_no_memory(err, tables * sizeof *lives, "the rules of tables");
    for (size_t t = 0; t < tables; t++)
        lives[t].seed = hash_mix(hash_mix((uint64_t)spec->settings.seed ^ admission_stream) + t);
    enum status status = give_all(lives, rules, spec, err);
    if (status == STATUS_OK)
        *ret_lives = lives;
    else
        lives_free(lives, tables);
    return status;
}

void lives_free(struct life *lives, size_t count) {
    for (size_t t = 0; lives && t < count; t++) {
        memory_free(lives[t].counters);
        memory_free(lives[t].gone);
    }
    memory_free(lives);
}

static unsigned char *counter_of(const struct life *life, uint64_t id, size_t row) {
    size_t width = (size_t)life->rule.admit_counters;
    return &life->counters[row * width + hash_mix(hash_mix(id) + life->seed + row) % width];
}

static void counters_fade(struct life *life, size_t sightings) {
    size_t width = (size_t)life->rule.admit_counters;
    life->counted += sightings;
    if (life->counted < 2 * width)
        return;
    for (size_t i = 0; i < LIFE_SKETCH_ROWS * width; i++)
        life->counters[i] /= 2;
    life->counted = 0;
}

// Sightings of the id with these, as far as the sketch tells.
static size_t count_of(struct life *life, uint64_t id, size_t sightings) {
    unsigned char *counters[LIFE_SKETCH_ROWS], least = UINT8_MAX;
    counters_fade(life, sightings);
    for (size_t row = 0; row < LIFE_SKETCH_ROWS; row++) {
        counters[row] = counter_of(life, id, row);
        least = *counters[row] < least ? *counters[row] : least;
    }
    size_t count = least + sightings < UINT8_MAX ? least + sightings : UINT8_MAX;
    for (size_t row = 0; row < LIFE_SKETCH_ROWS; row++)
        if (*counters[row] < count)
            *counters[row] = (unsigned char)count;
    return count;
}

bool life_admits(struct life *life, uint64_t id, size_t sightings, uint64_t step,
                 uint64_t occurrence) {
    bool admitted = !life->counters || count_of(life, id, sightings) >= (size_t)life->rule.admit;
    if (admitted && life->rule.admit_share < 1) {
        double share = -expm1((double)sightings * log1p(-life->rule.admit_share));
        admitted = rng_uniform_at(life->seed, id, step, occurrence) < share;
    }
    life->admitted += admitted;
    life->unadmitted += admitted ? 0 : sightings;
    return admitted;
}
