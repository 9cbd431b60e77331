// Admission by a table's rule. life_end.c has how rows leave.
#include "trainer/life.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"

static const uint64_t admission_stream = 0x61646d69; // apart from other draws of the seed

// What a table without a rule lives by where a bound on memory takes rows from it.
static const struct table_rule plain_rule = {.admit = 1,
                                             .admit_share = 1,
                                             .half_life_ms = 7 * 86400000LL,
                                             .learning_rate = INFINITY,
                                             .wide_learning_rate = INFINITY,
                                             .ftrl = {.beta = 1}};

static enum status give(struct life *life, const struct table_rule *rule, struct error *err) {
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

enum status lives_new(const struct option_sections *rules, bool bounded,
                      const struct model_spec *spec, struct life **ret_lives, struct error *err) {
    size_t tables = spec->table_count;
    struct life *lives = memory_new(tables + 1, sizeof *lives);
    const struct table_rule **of = memory_new(tables + 1, sizeof *of);
    enum status status = lives && of
                             ? rules_assign(rules, spec, of, err)
                             : error_no_memory(err, tables * sizeof *lives, "the rules of tables");
    for (size_t t = 0; t < tables && status == STATUS_OK; t++) {
        lives[t].seed = hash_mix(hash_mix((uint64_t)spec->settings.seed ^ admission_stream) + t);
        if (of[t] || bounded)
            status = give(&lives[t], of[t] ? of[t] : &plain_rule, err);
        lives[t].expires |= bounded;
    }
    memory_free(of);
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
