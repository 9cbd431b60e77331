// Settings of model and learner that cannot work, each refused by name.
#include "tests/trainer/learner_fixture.h"

static void refused(const struct model_spec *spec, const struct learner_settings *settings,
                    size_t target, const char *reason) {
    struct error err;
    struct learner *learner = NULL;
    assert_int_equal(learner_new(spec, settings, fixture_weights, target, &learner, &err),
                     STATUS_INVALID);
    if (!strstr(err.message, reason))
        print_message("expected `%s` in: %s\n", reason, err.message);
    assert_non_null(strstr(err.message, reason));
}

static void settings_that_cannot_work_are_refused_by_name(void **state) {
    (void)state;
    struct model_spec spec = fixture_spec();
    struct learner_settings settings = fixture_settings();
    settings.lanes = 5;
    refused(&spec, &settings, 0, "lanes`: 5 does not divide batch_rows 24");
    settings = fixture_settings();
    settings.balance = LEARNER_BALANCE_METABALANCE;
    settings.target_task = "";
    refused(&spec, &settings, 0, "target_task");
    settings.target_task = "like";
    refused(&spec, &settings, 3, "target_task");
    spec.task_count = 1;
    for (int balance = LEARNER_BALANCE_METABALANCE; balance < LEARNER_BALANCES; balance++) {
        settings.balance = balance;
        refused(&spec, &settings, 0, "two tasks");
    }
    spec = fixture_spec();
    settings = fixture_settings();
    settings.balance = LEARNER_BALANCE_CAGRAD;
    settings.caution = 1;
    refused(&spec, &settings, 0, "caution");
    settings.balance = LEARNER_BALANCE_DWA;
    settings.temperature = 0;
    refused(&spec, &settings, 0, "temperature");
    settings.balance = LEARNER_BALANCE_FAMO;
    settings.balance_rate = NAN;
    refused(&spec, &settings, 0, "balance_rate");
    settings = fixture_settings();
    spec = fixture_spec();
    spec.categorical_count = 4;
    refused(&spec, &settings, 0, "tags");
    spec = fixture_spec();
    struct model_field fields[4];
    memcpy(fields, fixture_fields, sizeof fields);
    fields[2].dimension = 5;
    spec.fields = fields;
    refused(&spec, &settings, 0, "friend");
    spec = fixture_spec();
    spec.settings.sequences = MODEL_SEQUENCES_TRANSFORMER;
    spec.settings.sequence_heads = spec.settings.sequence_hidden = 1;
    refused(&spec, &settings, 0, "transformer needs a feature of kind `sequence`");
    spec.settings.sequences = MODEL_SEQUENCES_ATTENTION;
    refused(&spec, &settings, 0, "attention needs a feature of kind `sequence`");
    spec = fixture_spec_sequences(MODEL_SEQUENCES_TRANSFORMER);
    spec.settings.sequence_heads = 2;
    refused(&spec, &settings, 0, "2 heads do not divide the 3 dimensions of `read`");
    struct model_field targetless[6];
    memcpy(targetless, fixture_sequence_fields, sizeof targetless);
    targetless[4].target = 0;
    spec = fixture_spec_sequences(MODEL_SEQUENCES_ATTENTION);
    spec.fields = targetless;
    refused(&spec, &settings, 0, "compares the items of `met` to a target");
    spec.settings.domains = MODEL_DOMAINS_SEPARATE;
    refused(&spec, &settings, 0, "shares none");
    spec.settings.domains = MODEL_DOMAINS_NONE;
    targetless[4].target = 2;
    refused(&spec, &settings, 0, "no categorical field of its table");
    spec = fixture_spec();
    spec.settings.expert_layers.count = 0;
    refused(&spec, &settings, 0, "expert_layers");
    spec = fixture_spec();
    spec.settings.sharing = MODEL_PLE;
    spec.settings.levels = 9;
    refused(&spec, &settings, 0, "levels");
    spec.settings.levels = 1;
    spec.settings.relation = MODEL_ESMM;
    refused(&spec, &settings, 0, "click task");
    spec.given[1] = 3;
    spec.given[2] = 2;
    refused(&spec, &settings, 0, "circle");
    spec.given[1] = 9;
    refused(&spec, &settings, 0, "lead nowhere");
    spec = fixture_spec();
    spec.settings.expert_dropout = 1;
    refused(&spec, &settings, 0, "expert_dropout");
    static const char *no_field[] = {"author", "weather"}, *twice[] = {"author", "author"};
    spec = fixture_spec_gated();
    spec.settings.gate_fields = (struct option_texts){no_field, 2};
    refused(&spec, &settings, 0, "`weather`");
    spec.settings.gate_fields = (struct option_texts){twice, 2};
    refused(&spec, &settings, 0, "twice");
    spec = fixture_spec_gated();
    spec.settings.gate_units = 0;
    refused(&spec, &settings, 0, "gate_units");
    spec = fixture_spec_gated();
    spec.settings.domains = MODEL_DOMAINS_STAR;
    refused(&spec, &settings, 0, "domains: pepnet");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_that_cannot_work_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
