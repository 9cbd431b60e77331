// Rules of tables: which ids are admitted, by count and by chance; which rows leave, by age, by use
// and for room; the bound on memory; optimisers of single tables; what is refused.
#include "tests/trainer/learner_fixture.h"

#include "trainer/learner_inside.h"

#define OK(call) assert_int_equal((call), STATUS_OK)

static struct table_rule rule_of(const char *feature) {
    return (struct table_rule){.feature = feature,
                               .admit = 1,
                               .admit_share = 1,
                               .admit_counters = 4096,
                               .half_life_ms = 604800000,
                               .learning_rate = INFINITY,
                               .wide_learning_rate = INFINITY};
}

static struct life *lives_of(struct table_rule *rules, size_t count) {
    struct model_spec spec = fixture_spec();
    struct option_sections sections = {rules, count};
    struct life *lives = NULL;
    struct error err;
    OK(lives_new(&sections, false, &spec, &lives, &err));
    return lives;
}

static void a_count_admits_at_its_sighting_and_never_late(void **state) {
    (void)state;
    struct table_rule rule = rule_of("user");
    rule.admit = 4;
    rule.admit_counters = 256; // less than there are ids: some come early
    struct life *lives = lives_of(&rule, 1);
    assert_true(lives[0].ruled);
    assert_false(lives[1].ruled);
    size_t early = 0;
    for (uint64_t id = 1; id <= 100; id++) {
        size_t sightings = 1;
        while (!life_admits(&lives[0], id, 1, 0, 0))
            sightings++;
        assert_true(sightings <= 4);
        early += sightings < 4;
    }
    assert_true(early < 20);
    assert_int_equal(lives[0].admitted, 100);
    assert_true(life_admits(&lives[0], 5000, 4, 0, 0)); // several sightings at once
    lives_free(lives, 3);
}

static void old_sightings_fade(void **state) {
    (void)state;
    struct table_rule rule = rule_of("user");
    rule.admit = 2;
    rule.admit_counters = 64;
    struct life *lives = lives_of(&rule, 1);
    assert_false(life_admits(&lives[0], 1, 1, 0, 0));
    for (uint64_t i = 0; i < 130; i++) // one other id fills the count until it is halved
        (void)life_admits(&lives[0], 2, 1, 0, 0);
    assert_false(life_admits(&lives[0], 1, 1, 0, 0));
    assert_true(life_admits(&lives[0], 1, 1, 0, 0));
    lives_free(lives, 3);
}

static void chance_admits_its_share_and_always_the_same_ids(void **state) {
    (void)state;
    struct table_rule rule = rule_of("");
    rule.admit_share = .1;
    struct life *lives = lives_of(&rule, 1), *again = lives_of(&rule, 1);
    uint64_t many = 0;
    for (uint64_t id = 1; id <= 20000; id++) {
        bool admitted = life_admits(&lives[0], id, 1, id / 7, id % 7);
        assert_int_equal(admitted, life_admits(&again[0], id, 1, id / 7, id % 7));
        many += life_admits(&lives[1], id, 10, id, 0);
    }
    // Five standard deviations: .1 and 1 - .9^10 of 20,000.
    assert_true(fabs((double)again[0].admitted - 2000) < 5 * sqrt(20000 * .1 * .9));
    double share = 1 - pow(.9, 10);
    assert_true(fabs((double)many - 20000 * share) < 5 * sqrt(20000 * share * (1 - share)));
    lives_free(lives, 3);
    lives_free(again, 3);
}

// A batch whose rows all have user 0 and friend 0, but for `count` rows of user `id`.
static void batch_of(struct minibatch *batch, const struct model_spec *spec, uint64_t id,
                     size_t count) {
    fixture_batch(batch, spec, 5, 1);
    for (size_t r = 0; r < FIXTURE_ROWS; r++) {
        batch->ids[r] = r < count ? id : 0;
        batch->ids[2 * batch->capacity + r] = 0;
    }
}

static void an_id_reads_and_teaches_the_default_row_until_it_is_admitted(void **state) {
    (void)state;
    struct error err;
    struct model_spec spec = fixture_spec();
    struct learner_settings settings = fixture_settings();
    struct table_rule rule = rule_of("friend"); // of users as well: they share the table
    rule.admit = 3;
    settings.tables = (struct option_sections){&rule, 1};
    struct learner *learner = fixture_learner(&spec, &settings);
    const struct model *model = learner_model(learner);
    struct minibatch batch, missing;
    struct learner_report report;
    float logits[FIXTURE_TASKS * FIXTURE_ROWS], without[FIXTURE_TASKS * FIXTURE_ROWS], row[16];
    OK(minibatch_init(&batch, &spec, FIXTURE_ROWS, &err));
    OK(minibatch_init(&missing, &spec, FIXTURE_ROWS, &err));
    batch_of(&batch, &spec, 42, 2);
    batch_of(&missing, &spec, 42, 0);
    OK(learner_step(learner, &batch, &report, &err));
    assert_false(model_row_get(model, 0, 42, row));
    assert_int_equal(learner_table_life(learner, 0).unadmitted, 2);
    OK(learner_predict(learner, &batch, logits, &err));
    OK(learner_predict(learner, &missing, without, &err));
    assert_memory_equal(logits, without, sizeof logits);
    OK(learner_step(learner, &batch, &report, &err)); // its first row is the third sighting
    assert_true(model_row_get(model, 0, 42, row));
    assert_int_equal(learner_table_life(learner, 0).admitted, 1);
    assert_int_equal(model_table_rows(model, 0), 1);
    assert_true(model_table_rows(model, 1) > 0); // other tables have no rule
    assert_int_equal(learner_table_life(learner, 1).admitted, 0);
    OK(learner_predict(learner, &batch, logits, &err));
    OK(learner_predict(learner, &missing, without, &err));
    assert_memory_not_equal(logits, without, sizeof logits);
    minibatch_deinit(&batch, &spec);
    minibatch_deinit(&missing, &spec);
    learner_free(learner);
}

// ---- leaving

struct gone {
    uint64_t ids[64];
    size_t count;
};
static enum status gone_note(void *self, size_t table, uint64_t id, const float *values,
                             struct error *err) {
    struct gone *gone = self;
    (void)err;
    assert_int_equal(table, 0);
    assert_null(values);
    gone->ids[gone->count++] = id;
    return STATUS_OK;
}
static struct gone gone_of(struct learner *learner) {
    struct gone gone = {.count = 0};
    struct error err;
    OK(learner_each_gone(learner, gone_note, &gone, &err));
    return gone;
}

// A step at a second of event time on a batch of this user alone.
static void use(struct learner *learner, struct minibatch *batch, uint64_t id, int64_t second) {
    struct learner_report report;
    struct error err;
    batch_of(batch, model_spec_of(learner_model(learner)), id, 1);
    batch->time_ms = second * 1000;
    OK(learner_step(learner, batch, &report, &err));
}

static bool has(struct learner *learner, uint64_t id) {
    float row[16];
    return model_row_get(learner_model(learner), 0, id, row);
}

static struct learner *ruled(struct table_rule rule, struct minibatch *batch) {
    struct model_spec spec = fixture_spec();
    struct learner_settings settings = fixture_settings();
    struct error err;
    settings.tables = (struct option_sections){&rule, 1};
    OK(minibatch_init(batch, &spec, FIXTURE_ROWS, &err));
    return fixture_learner(&spec, &settings);
}

static void finish(struct learner *learner, struct minibatch *batch) {
    minibatch_deinit(batch, model_spec_of(learner_model(learner)));
    learner_free(learner);
}

static void a_row_leaves_at_its_age_and_may_come_back(void **state) {
    (void)state;
    struct minibatch batch;
    struct table_rule rule = rule_of("user");
    rule.expire_after_ms = 160000;
    struct learner *learner = ruled(rule, &batch);
    use(learner, &batch, 1, 1700000000);
    use(learner, &batch, 2, 1700000100);
    use(learner, &batch, 2, 1700000155);
    assert_true(has(learner, 1));
    use(learner, &batch, 2, 1700000170); // a sixteenth of the age late, at most
    assert_false(has(learner, 1));
    assert_int_equal(learner_table_life(learner, 0).aged, 1);
    struct gone gone = gone_of(learner);
    assert_int_equal(gone.count, 1);
    assert_int_equal(gone.ids[0], 1);
    use(learner, &batch, 1, 1700000175); // before publishers were told: nothing to tell
    assert_true(has(learner, 1));
    assert_int_equal(gone_of(learner).count, 0);
    use(learner, &batch, 3, 1700000900);
    assert_int_equal(gone_of(learner).count, 3); // id 1 twice: it left twice
    learner_changes_clear(learner);
    assert_int_equal(gone_of(learner).count, 0);
    use(learner, &batch, 3, 1600000000); // time going back ends nobody's life
    assert_true(has(learner, 3));
    finish(learner, &batch);
}

static void rows_begin_their_life_when_the_time_is_known(void **state) {
    (void)state;
    struct minibatch batch;
    struct table_rule rule = rule_of("user");
    rule.expire_after_ms = 16000;
    struct learner *learner = ruled(rule, &batch);
    use(learner, &batch, 1, 0);
    use(learner, &batch, 2, 1700000000);
    assert_true(has(learner, 1));
    use(learner, &batch, 2, 1700000015);
    assert_true(has(learner, 1));
    use(learner, &batch, 2, 1700000017);
    assert_false(has(learner, 1));
    finish(learner, &batch);
}

static void a_row_leaves_when_its_uses_have_faded(void **state) {
    (void)state;
    struct minibatch batch;
    struct table_rule rule = rule_of("user");
    rule.expire_uses = .4;
    rule.half_life_ms = 100000;
    struct learner *learner = ruled(rule, &batch);
    use(learner, &batch, 1, 1700000000);
    for (int64_t i = 0; i < 4; i++)
        use(learner, &batch, 2, 1700000000);
    use(learner, &batch, 3, 1700000120); // .44 and 1.7 uses
    assert_true(has(learner, 1));
    use(learner, &batch, 3, 1700000150); // .35 and 1.4
    assert_false(has(learner, 1));
    assert_true(has(learner, 2));
    use(learner, &batch, 3, 1700000350); // .35
    assert_false(has(learner, 2));
    assert_int_equal(learner_table_life(learner, 0).unused, 2);
    finish(learner, &batch);
}

// Against an independent account of uses: the rows left are those used most.
static void the_least_used_rows_make_room(void **state) {
    (void)state;
    enum { IDS = 200, MOST = 48 };
    struct minibatch batch;
    struct table_rule rule = rule_of("user");
    rule.rows_max = MOST;
    rule.half_life_ms = 50000;
    struct learner *learner = ruled(rule, &batch);
    double uses[IDS + 1] = {0};
    bool there[IDS + 1] = {false};
    for (int64_t step = 0; step < 1500; step++) {
        double draw = rng_uniform_at(9, (uint64_t)step, 0, 0);
        uint64_t id = 1 + (uint64_t)(IDS * draw * draw * .999); // low ids come more often
        for (size_t i = 1; i <= IDS; i++)
            uses[i] *= exp2(-1.0 / 50);
        uses[id] = there[id] ? uses[id] + 1 : 1;
        there[id] = true;
        use(learner, &batch, id, 1700000000 + step);
        size_t rows = 0;
        for (size_t i = 1; i <= IDS; i++)
            rows += there[i];
        size_t leave = rows > MOST ? rows - (MOST - MOST / 16) : 0;
        for (; leave > 0; leave--) {
            size_t least = 0;
            for (size_t i = 1; i <= IDS; i++)
                if (there[i] && (least == 0 || uses[i] < uses[least]))
                    least = i;
            there[least] = false;
        }
        for (size_t i = 1; i <= IDS; i++)
            assert_int_equal(has(learner, i), there[i]);
    }
    assert_true(model_table_rows(learner_model(learner), 0) <= MOST);
    assert_true(learner_table_life(learner, 0).displaced > 100);
    finish(learner, &batch);
}

// Many ids a step: rows, weights and state stay within the bound, and the rows used most stay.
static void a_bound_on_memory_holds_after_every_step(void **state) {
    (void)state;
    struct model_spec spec = fixture_spec();
    struct learner_settings settings = fixture_settings();
    struct minibatch batch;
    struct learner_report report;
    struct error err;
    uint64_t prints[2];
    for (int64_t threads = 1; threads <= 2; threads++) {
        settings.threads = threads;
        settings.memory_max = INT64_C(1) << 40;
        struct learner *learner = fixture_learner(&spec, &settings);
        size_t fixed = learner_fixed_bytes(learner), most = 60000;
        learner_free(learner);
        settings.memory_max = (int64_t)(fixed + most);
        learner = fixture_learner(&spec, &settings);
        OK(minibatch_init(&batch, &spec, FIXTURE_ROWS, &err));
        for (uint64_t step = 0; step < 60; step++) {
            fixture_batch(&batch, &spec, step, 1);
            batch.time_ms = INT64_C(1700000000000) + (int64_t)step * 3600000;
            for (size_t i = 1; i < FIXTURE_ROWS; i++) // users but the first come once
                batch.ids[i] = 1000 + step * FIXTURE_ROWS + i;
            batch.ids[0] = 7;
            OK(learner_step(learner, &batch, &report, &err));
            size_t bytes = 0;
            for (size_t t = 0; t < spec.table_count; t++) {
                struct learner_table_life life = learner_table_life(learner, t);
                bytes += life.rows * life.row_bytes;
            }
            assert_true(bytes <= most);
            assert_true(step < 40 || bytes > most / 2);
            assert_true(has(learner, 7));
        }
        assert_true(learner_table_life(learner, 0).displaced > 100);
        assert_int_equal(model_table_rows(learner_model(learner), 1), 3); // few, and often used
        prints[threads - 1] = learner_fingerprint(learner);
        finish(learner, &batch);
    }
    assert_true(prints[0] == prints[1]);
}

static void a_bound_below_the_fixed_part_is_refused(void **state) {
    (void)state;
    struct model_spec spec = fixture_spec();
    struct learner_settings settings = fixture_settings();
    struct learner *learner = NULL;
    struct error err;
    settings.memory_max = 1000;
    assert_int_equal(learner_new(&spec, &settings, fixture_weights, 0, &learner, &err),
                     STATUS_INVALID);
    assert_non_null(strstr(err.message, "memory_max`: 1000 bytes, but the model takes"));
}

// Wide weights by FTRL with a strong L1 stay at 0, those of other tables do not.
static void ftrl_keeps_wide_weights_of_its_table_at_zero(void **state) {
    (void)state;
    struct model_spec spec = fixture_spec();
    struct learner_settings settings = fixture_settings();
    struct table_rule rule = rule_of("user");
    rule.wide_optimiser = TABLE_WIDE_FTRL;
    rule.ftrl = (struct ftrl_settings){1, 1000, 0};
    settings.tables = (struct option_sections){&rule, 1};
    struct learner *learner = fixture_learner(&spec, &settings);
    fixture_learn(learner, 1, 10, 1);
    size_t zeroes[2] = {0}, others[2] = {0}, moved = 0;
    for (size_t table = 0; table < 2; table++) {
        size_t width = model_table_width(learner_model(learner), table);
        for (uint64_t id = 1; id < 12; id++) {
            float row[16];
            if (!model_row_get(learner_model(learner), table, id, row))
                continue;
            for (size_t k = width - FIXTURE_TASKS; k < width; k++)
                *(row[k] < 0 || row[k] > 0 ? &others[table] : &zeroes[table]) += 1;
            moved += row[0] < 0 || row[0] > 0;
        }
    }
    assert_true(zeroes[0] > 20 && others[0] == 0);
    assert_true(others[1] > 5);
    assert_true(moved > 10); // embeddings step as ever
    learner_free(learner);
}

static void refused(struct table_rule *rules, size_t count, const char *reason) {
    struct model_spec spec = fixture_spec();
    struct learner_settings settings = fixture_settings();
    struct learner *learner = NULL;
    struct error err;
    settings.tables = (struct option_sections){rules, count};
    assert_int_equal(learner_new(&spec, &settings, fixture_weights, 0, &learner, &err),
                     STATUS_INVALID);
    if (!strstr(err.message, reason))
        fail_msg("expected `%s` in: %s", reason, err.message);
}

static void rules_that_do_not_fit_are_refused_by_name(void **state) {
    (void)state;
    struct table_rule rules[2] = {rule_of("user"), rule_of("colour")};
    refused(rules, 2, "tables[1].feature`: `colour` is none");
    rules[1] = rule_of("friend");
    refused(rules, 2, "tables[1].feature`: the table of `friend` has a rule already");
    rules[0] = rules[1] = rule_of("");
    refused(rules, 2, "two rules without a feature");
    rules[0].admit = 0;
    refused(rules, 1, "tables[0].admit`");
    rules[0] = rule_of("user");
    rules[0].admit_share = 0;
    refused(rules, 1, "tables[0].admit_share`");
    rules[0] = rule_of("user");
    rules[0].expire_after_ms = 20;
    refused(rules, 1, "tables[0].expire_after`: expected 1s or more");
    rules[0] = rule_of("user");
    rules[0].half_life_ms = 0;
    refused(rules, 1, "tables[0].half_life`");
    rules[0] = rule_of("user");
    rules[0].ftrl.l1 = -1;
    refused(rules, 1, "tables[0].ftrl_l1`");
}

static void ftrl_for_wide_weights_wants_a_wide_part(void **state) {
    (void)state;
    struct model_spec spec = fixture_spec();
    struct table_rule rule = rule_of("user");
    struct option_sections sections = {&rule, 1};
    struct life *lives = NULL;
    struct error err;
    rule.wide_optimiser = TABLE_WIDE_FTRL;
    spec.settings.wide = false;
    assert_int_equal(lives_new(&sections, false, &spec, &lives, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "wide_optimiser`: expected `default` where `model.wide`"));
}

static void another_rule_is_another_model(void **state) {
    (void)state;
    struct model_spec spec = fixture_spec();
    struct learner_settings settings = fixture_settings();
    struct table_rule rule = rule_of("user");
    uint64_t prints[3];
    for (size_t i = 0; i < 3; i++) {
        rule.admit = 1 + (int64_t)i;
        settings.tables = (struct option_sections){&rule, i > 0};
        struct learner *learner = fixture_learner(&spec, &settings);
        prints[i] = learner_fingerprint(learner);
        learner_free(learner);
    }
    assert_true(prints[0] != prints[1] && prints[1] != prints[2]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_count_admits_at_its_sighting_and_never_late),
        cmocka_unit_test(old_sightings_fade),
        cmocka_unit_test(chance_admits_its_share_and_always_the_same_ids),
        cmocka_unit_test(an_id_reads_and_teaches_the_default_row_until_it_is_admitted),
        cmocka_unit_test(a_row_leaves_at_its_age_and_may_come_back),
        cmocka_unit_test(rows_begin_their_life_when_the_time_is_known),
        cmocka_unit_test(a_row_leaves_when_its_uses_have_faded),
        cmocka_unit_test(the_least_used_rows_make_room),
        cmocka_unit_test(a_bound_on_memory_holds_after_every_step),
        cmocka_unit_test(a_bound_below_the_fixed_part_is_refused),
        cmocka_unit_test(ftrl_keeps_wide_weights_of_its_table_at_zero),
        cmocka_unit_test(rules_that_do_not_fit_are_refused_by_name),
        cmocka_unit_test(ftrl_for_wide_weights_wants_a_wide_part),
        cmocka_unit_test(another_rule_is_another_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
