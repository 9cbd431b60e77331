// Sequences, by each way of reading them, against central differences: their own tensors, and the
// rows of all tables. What lies behind the input is double_gradients.c's.
#include "tests/trainer/differences.h"

static void sequences_agree_with_differences(void **state) {
    (void)state;
    for (int kind = MODEL_SEQUENCES_NONE; kind <= MODEL_SEQUENCES_ATTENTION; kind++) {
        struct model_spec spec = fixture_spec_sequences((enum model_sequences)kind);
        check_tensors_of(&spec, "sequence.");
    }
}

static void transformers_agree_with_differences(void **state) {
    (void)state;
    for (int readout = MODEL_READOUT_TARGET; readout <= MODEL_READOUT_ALL; readout++) {
        struct model_field fields[6];
        memcpy(fields, fixture_sequence_fields, sizeof fields);
        fields[1].dimension = fields[5].dimension = 4; // several heads
        struct model_spec spec = fixture_spec_sequences(MODEL_SEQUENCES_TRANSFORMER);
        spec.fields = fields;
        spec.settings.sequence_readout = readout;
        spec.settings.sequence_heads = 2;
        if (readout == MODEL_READOUT_ALL) {
            spec.settings.norm = MODEL_NORM_MOVING;
            spec.settings.domains = MODEL_DOMAINS_STAR;
            spec.settings.auxiliary = true;
        }
        check_tensors_of(&spec, "sequence.");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_agree_with_differences),
        cmocka_unit_test(transformers_agree_with_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
