// Every layer, loss and input against central differences, by each way of sharing; domains and
// sequences are double_domains.c's and double_sequences.c's.
#include "tests/trainer/differences.h"

static void sharings_agree_with_differences(void **state) {
    (void)state;
    const int sharings[] = {MODEL_SHARED_BOTTOM, MODEL_OMOE, MODEL_MMOE};
    for (size_t i = 0; i < 3; i++) {
        struct model_spec spec = fixture_spec();
        spec.settings.sharing = sharings[i];
        check_spec(&spec);
        spec.settings.expert_layers.count = 1; // gates and mixtures on one plane
        spec.settings.tower_layers.count = 0;
        spec.settings.wide = false;
        check_spec(&spec);
    }
}

static void levels_of_experts_agree_with_differences(void **state) {
    (void)state;
    for (int64_t levels = 1; levels <= 3; levels++) {
        struct model_spec spec = fixture_spec();
        spec.settings.sharing = MODEL_PLE;
        spec.settings.experts = 2;
        spec.settings.levels = levels;
        check_spec(&spec);
        spec.settings.task_experts = 0;
        spec.settings.expert_layers.count = 1;
        check_spec(&spec);
        spec.settings.task_experts = 1;
        spec.settings.tower_layers.count = 0;
        spec.settings.domains = MODEL_DOMAINS_STAR;
        spec.settings.star_trunk = true;
        spec.settings.auxiliary = levels == 2;
        spec.settings.norm = MODEL_NORM_MOVING;
        check_spec(&spec);
    }
}

// A hidden expert has no slope; the others share what is left.
static void hidden_experts_agree_with_differences(void **state) {
    (void)state;
    const int sharings[] = {MODEL_OMOE, MODEL_MMOE, MODEL_PLE};
    for (size_t i = 0; i < 3; i++) {
        struct model_spec spec = fixture_spec();
        spec.settings.sharing = sharings[i];
        spec.settings.expert_dropout = 0.4;
        check_spec(&spec);
    }
}

// Two tasks given the first, and a chain of three.
static void products_of_tasks_agree_with_differences(void **state) {
    (void)state;
    const int sharings[] = {MODEL_SHARED_BOTTOM, MODEL_OMOE, MODEL_MMOE, MODEL_PLE};
    for (size_t i = 0; i < 4; i++) {
        struct model_spec spec = fixture_spec();
        spec.settings.sharing = sharings[i];
        spec.settings.relation = MODEL_ESMM;
        spec.settings.levels = 2;
        spec.given[1] = 1;
        spec.given[2] = i < 2 ? 1 : 2;
        if (i >= 2) {
            spec.settings.domains = MODEL_DOMAINS_STAR;
            spec.settings.star_trunk = i == 3;
            spec.settings.auxiliary = true;
        }
        check_spec(&spec);
    }
}

static void normalisation_without_domains_agrees_with_differences(void **state) {
    (void)state;
    struct model_spec spec = fixture_spec();
    spec.settings.norm = MODEL_NORM_MOVING;
    check_spec(&spec);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sharings_agree_with_differences),
        cmocka_unit_test(levels_of_experts_agree_with_differences),
        cmocka_unit_test(hidden_experts_agree_with_differences),
        cmocka_unit_test(products_of_tasks_agree_with_differences),
        cmocka_unit_test(normalisation_without_domains_agrees_with_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
