// Sampling of negatives (data.sampling): an impression without any positive is left out, or stays
// and weighs more.
//
// Which ones is decided by the hash of the join key, before anything is known of the labels. An
// impression that would be left out is not scored until its first positive comes; then it is like
// any other. At each close the tasks that are decided go out with weight 1 where a positive is
// known by then, with 1 / (1 - drop) where none is and the impression stays, and not at all
// otherwise. So each label's weight is one over the probability, given all that was known, that it
// goes out: sums over what goes out are right on average for every task (Horvitz and Thompson
// 1952).
#include "base/hash.h"
#include "ingest/join_state.h"

static const uint64_t sample_stream = 0x73616d706c65; // apart from the table's use of the hash

static bool any_positive(const struct join *join, uint32_t labelled, const float *values) {
    for (size_t task = 0; task < join->task_count; task++)
        if ((labelled >> task & 1) != 0 && values[task] > 0)
            return true;
    return false;
}

enum join_sample join_sample_of(const struct join *join, const struct key_entry *entry,
                                uint32_t labelled, const float *values) {
    double drop = join->setup.spec->sampling.drop;
    if (!(drop > 0))
        return JOIN_SAMPLE_PLAIN;
    if (any_positive(join, labelled, values))
        return JOIN_SAMPLE_PLAIN;
    uint64_t draw = hash_mix(entry->hash[1] ^ sample_stream) >> 11; // 53 bits
    return (double)draw * 0x1p-53 < drop ? JOIN_SAMPLE_OUT : JOIN_SAMPLE_HEAVY;
}

enum status join_score_late(struct join *join, const struct key_entry *entry, uint32_t labelled,
                            int64_t instant_ms, struct error *err) {
    bool was_out = join_sample_of(join, entry, labelled, entry->values) == JOIN_SAMPLE_OUT;
    bool is_out = join_sample_of(join, entry, entry->labelled, entry->values) == JOIN_SAMPLE_OUT;
    return was_out && !is_out ? join_emit_close(join, entry, EXAMPLE_SCORE, 0, instant_ms, err)
                              : STATUS_OK;
}

enum status join_sample_check(const struct join_setup *setup, struct error *err) {
    if (!(setup->spec->sampling.drop > 0))
        return STATUS_OK;
    for (size_t i = 0; i < setup->settings->inputs.count; i++)
        if (ingest_input_at(setup->settings, i)->key.count == 0)
            return error_set(
                err, STATUS_INVALID,
                "key `data.sampling.drop`: negatives are chosen by their join key, and "
                "ingest.inputs[%zu].key is empty",
                i);
    return STATUS_OK;
}
