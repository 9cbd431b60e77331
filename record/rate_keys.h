// The keys of streaming rates: from a row's ids and domain, the same in trainer and scorer.
#ifndef FRESHET_RECORD_RATE_KEYS_H
#define FRESHET_RECORD_RATE_KEYS_H

#include "record/spec.h"

struct rate_key {
    size_t *columns; // [count] among the categorical ones, or RATE_KEY_DOMAIN
    size_t count;
    uint32_t tasks; // mask
    size_t task_count;
};
#define RATE_KEY_DOMAIN SIZE_MAX

struct rate_keys {
    struct rate_key *rates; // [count]
    size_t count;
    size_t columns; // numbers that all rates give: two a rate and task
};

// From a checked spec; lives in the arena. Fails only for want of memory.
CHECKED enum status rate_keys_of(const struct spec *spec, struct arena *arena,
                                 struct rate_keys *ret_keys, struct error *err);
// ids: [categorical] little-endian uint64, may be unaligned. Never 1 (RATES_TOTAL); 0 when a part
// is missing: an id of 0, or no domain.
uint64_t rate_key_of(const struct rate_key *key, const unsigned char *ids, const char *domain,
                     size_t domain_length);
// Place of a task among the rate's own.
size_t rate_key_task(const struct rate_key *key, size_t task);

#endif
