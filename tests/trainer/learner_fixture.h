// Small models and batches for tests of the learner, in either number type.
#ifndef FRESHET_TESTS_TRAINER_LEARNER_FIXTURE_H
#define FRESHET_TESTS_TRAINER_LEARNER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/rng.h"
#include "trainer/learner.h"
#include "trainer/life.h"

enum { FIXTURE_TASKS = 3, FIXTURE_ROWS = 24 };

static const struct model_field fixture_fields[] = {
    {.name = "user", .table = 0, .dimension = 4},
    {.name = "author", .table = 1, .dimension = 3},
    {.name = "friend", .table = 0, .dimension = 4},
    {.name = "tags", .table = 2, .dimension = 3, .multi = true},
};
// The same with two sequences, the second shorter than the lists that come.
static const struct model_field fixture_sequence_fields[] = {
    {.name = "user", .table = 0, .dimension = 4},
    {.name = "author", .table = 1, .dimension = 3},
    {.name = "friend", .table = 0, .dimension = 4},
    {.name = "tags", .table = 2, .dimension = 3, .multi = true},
    {.name = "met",
     .table = 0,
     .dimension = 4,
     .multi = true,
     .length = 3,
     .target = 1,
     .timed = true},
    {.name = "read", .table = 1, .dimension = 3, .multi = true, .length = 2, .target = 2},
};
static int64_t fixture_experts[] = {6, 5};
static int64_t fixture_tower[] = {4};
static int64_t fixture_auxiliary[] = {5, 3};

static inline struct model_spec fixture_spec(void) {
    return (struct model_spec){
        .fields = fixture_fields,
        .field_count = 4,
        .categorical_count = 3,
        .numeric_count = 2,
        .task_count = FIXTURE_TASKS,
        .table_count = 3,
        .settings = {.sharing = MODEL_MMOE,
                     .experts = 3,
                     .task_experts = 2,
                     .levels = 1,
                     .expert_layers = {fixture_experts, 2},
                     .tower_layers = {fixture_tower, 1},
                     .domains = MODEL_DOMAINS_NONE,
                     .domains_max = 3,
                     .star_towers = true,
                     .auxiliary_layers = {fixture_auxiliary, 2},
                     .wide = true,
                     .unknown_share = 0,
                     .embedding_init = 0.3,
                     .seed = 7},
    };
}

static inline struct model_spec fixture_spec_sequences(enum model_sequences sequences) {
    struct model_spec spec = fixture_spec();
    spec.fields = fixture_sequence_fields;
    spec.field_count = 6;
    spec.settings.sequences = sequences;
    spec.settings.sequence_heads = 1;
    spec.settings.sequence_hidden = 5;
    return spec;
}

// All that the model can do at once.
static inline struct model_spec fixture_spec_whole(void) {
    struct model_spec spec = fixture_spec();
    spec.settings.domains = MODEL_DOMAINS_STAR;
    spec.settings.star_trunk = true;
    spec.settings.auxiliary = true;
    spec.settings.norm = MODEL_NORM_MOVING;
    spec.settings.unknown_share = 0.2;
    return spec;
}

// PEPNet's gates by user and tags, with normalisation.
static inline struct model_spec fixture_spec_gated(void) {
    static const char *fields[] = {"user", "tags"};
    struct model_spec spec = fixture_spec();
    spec.settings.domains = MODEL_DOMAINS_PEPNET;
    spec.settings.gate_fields = (struct option_texts){fields, 2};
    spec.settings.gate_units = 3;
    spec.settings.norm = MODEL_NORM_MOVING;
    spec.settings.unknown_share = 0.2;
    return spec;
}

static inline struct learner_settings fixture_settings(void) {
    return (struct learner_settings){
        .batch_rows = FIXTURE_ROWS,
        .lanes = 3,
        .threads = 1,
        .optimiser = LEARNER_ADAGRAD,
        .learning_rate = 0.05,
        .accumulator_init = 1e-8,
        .row_optimiser = LEARNER_ROW_ADAGRAD,
        .row_learning_rate = 0.1,
        .wide_learning_rate = 0.1,
        .gradient_clip = INFINITY,
        .balance = LEARNER_BALANCE_FIXED,
        .strategy = LEARNER_STRATEGY_C,
        .target_task = "click",
        .relax = 0.7,
        .beta = 0.9,
        .balance_limit = INFINITY,
        .caution = 0.5,
        .temperature = 2,
        .balance_window = 3,
        .balance_rate = 0.025,
        .balance_decay = 0.001,
    };
}

// Rules that touch every table.
static inline struct option_sections fixture_tables(void) {
    static struct table_rule rules[] = {
        {.feature = "author",
         .admit = 3,
         .admit_share = 1,
         .admit_counters = 64,
         .expire_after_ms = 180000,
         .half_life_ms = 600000,
         .optimiser = TABLE_ADAM,
         .learning_rate = .01,
         .wide_optimiser = TABLE_WIDE_FTRL,
         .wide_learning_rate = INFINITY,
         .ftrl = {1, .05, .01}},
        {.feature = "",
         .admit = 2,
         .admit_share = .5,
         .admit_counters = 64,
         .expire_uses = .9,
         .half_life_ms = 300000,
         .rows_max = 6,
         .learning_rate = INFINITY,
         .wide_optimiser = TABLE_WIDE_FTRL,
         .wide_learning_rate = .2,
         .ftrl = {1, .02, 0}},
    };
    return (struct option_sections){rules, 2};
}

static const double fixture_weights[FIXTURE_TASKS] = {1, 0.5, 2};

// Rows with missing ids and numbers, empty lists, and tasks that are not settled everywhere.
static inline void fixture_batch(struct minibatch *batch, const struct model_spec *spec,
                                 uint64_t seed, uint32_t domains) {
    struct error err;
    struct rng rng;
    rng_init(&rng, seed);
    minibatch_reset(batch);
    for (size_t r = 0; r < FIXTURE_ROWS; r++) {
        for (size_t f = 0; f < spec->categorical_count; f++)
            batch->ids[f * batch->capacity + r] =
                rng_below(&rng, f == 1 ? 4 : 12); // field 1 repeats its ids
        for (size_t l = 0; l < spec->field_count - spec->categorical_count; l++) {
            uint64_t ids[4];
            uint32_t ages[4] = {0};
            size_t count = (size_t)rng_below(&rng, 4);
            for (size_t i = 0; i < count; i++)
                ids[i] = rng_below(&rng, 9);
            for (size_t i = 0; i < count && spec->fields[spec->categorical_count + l].timed; i++)
                ages[i] = (uint32_t)rng_below(&rng, 40);
            assert_int_equal(minibatch_list_append(batch, l, ids, ages, count, &err), STATUS_OK);
        }
        for (size_t i = 0; i < spec->numeric_count; i++)
            batch->numbers[i * batch->capacity + r] =
                rng_below(&rng, 5) == 0 ? NAN : (float)(5 * rng_normal(&rng));
        batch->domains[r] = (uint32_t)rng_below(&rng, domains);
        for (size_t k = 0; k < spec->task_count; k++) {
            batch->labels[k * batch->capacity + r] = rng_below(&rng, 3) == 0;
            batch->weights[k * batch->capacity + r] =
                k > 0 && rng_below(&rng, 4) == 0 ? 0 : (float)(0.5 + rng_uniform(&rng));
        }
        batch->rows++;
    }
}

static inline struct learner *fixture_learner(const struct model_spec *spec,
                                              const struct learner_settings *settings) {
    struct error err;
    struct learner *learner = NULL;
    enum status status = learner_new(spec, settings, fixture_weights, 0, &learner, &err);
    if (status != STATUS_OK)
        print_message("%s\n", err.message);
    assert_int_equal(status, STATUS_OK);
    return learner;
}

// Steps of batches seeded from `first`, which is the minute of event time as well.
static inline void fixture_learn(struct learner *learner, uint64_t first, size_t steps,
                                 uint32_t domains) {
    const struct model_spec *spec = model_spec_of(learner_model(learner));
    struct minibatch batch;
    struct learner_report report;
    struct error err;
    assert_int_equal(minibatch_init(&batch, spec, FIXTURE_ROWS, &err), STATUS_OK);
    for (size_t i = 0; i < steps; i++) {
        fixture_batch(&batch, spec, first + i, domains);
        batch.time_ms = (int64_t)(first + i) * 60000;
        assert_int_equal(learner_step(learner, &batch, &report, &err), STATUS_OK);
    }
    minibatch_deinit(&batch, spec);
}

#endif
