// What domains change in a network, against central differences: star layers with auxiliary network
// and normalisation in every combination, models of domains' own, PEPNet's gates.
#include "tests/trainer/differences.h"

// Weights of gates on inputs that no slope goes to become 0: then differences see what slopes see.
static void gates_blind(struct model *model) {
    for (size_t l = 0; l < model->layer_count; l++) {
        const struct model_tensor *weight = &model->tensors[model->layers[l].weight];
        memset(weight->data, 0, model->layers[l].stopped * weight->columns * sizeof(real));
    }
}

// With gates that read everything, all behind them; with blind gates, everything.
static void check_gates(const struct model_spec *spec) {
    for (int blind = 0; blind < 2; blind++) {
        struct bench bench;
        bench_init(&bench, spec);
        bench.gates_stop = !blind;
        if (blind)
            gates_blind(bench.model);
        for (size_t k = 0; k < FIXTURE_TASKS; k++)
            check_pass(&bench, k, k);
        check_pass(&bench, 0, FIXTURE_TASKS);
        bench_deinit(&bench);
    }
}

static void domains_agree_with_differences(void **state) {
    (void)state;
    struct model_spec separate = fixture_spec();
    separate.settings.domains = MODEL_DOMAINS_SEPARATE;
    separate.settings.norm = MODEL_NORM_MOVING;
    check_spec(&separate);
    for (unsigned bits = 0; bits < 16; bits++) {
        struct model_spec spec = fixture_spec();
        spec.settings.domains = MODEL_DOMAINS_STAR;
        spec.settings.star_towers = bits & 1;
        spec.settings.star_trunk = bits & 2;
        spec.settings.auxiliary = bits & 4;
        spec.settings.norm = bits & 8 ? MODEL_NORM_MOVING : MODEL_NORM_NONE;
        spec.settings.wide = bits == 15;
        spec.settings.sharing = bits % 3 == 0   ? MODEL_SHARED_BOTTOM
                                : bits % 3 == 1 ? MODEL_OMOE
                                                : MODEL_MMOE;
        check_spec(&spec);
    }
}

static void gates_agree_with_differences(void **state) {
    (void)state;
    static const char *fields[] = {"user", "author", "tags"};
    for (size_t i = 0; i < 4; i++) {
        struct model_spec spec = fixture_spec();
        spec.settings.sharing = (int)i; // all of them
        spec.settings.levels = 2;
        spec.settings.domains = MODEL_DOMAINS_PEPNET;
        spec.settings.gate_units = 3;
        spec.settings.gate_fields = (struct option_texts){fields, i};
        spec.settings.norm = i % 2 ? MODEL_NORM_MOVING : MODEL_NORM_NONE;
        spec.settings.tower_layers.count = i == 2 ? 0 : 1;
        if (i == 3) {
            spec.settings.relation = MODEL_ESMM;
            spec.given[1] = 1;
            spec.given[2] = 2;
        }
        check_gates(&spec);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domains_agree_with_differences),
        cmocka_unit_test(gates_agree_with_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
