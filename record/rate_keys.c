// Names into columns once; ids into one hash a row.
#include "record/rate_keys.h"

#include <string.h>

#include "base/hash.h"

static size_t column_of(const struct spec *spec, const char *name) {
    size_t column = 0;
    for (size_t i = 0; i < spec->features.count; i++) {
        const struct spec_feature *feature = spec_feature_at(spec, i);
        if (feature->kind != SPEC_CATEGORICAL)
            continue;
        if (strcmp(feature->name, name) == 0)
            return column;
        column++;
    }
    return RATE_KEY_DOMAIN;
}

static uint32_t tasks_of(const struct spec *spec, const struct spec_rate *rate) {
    uint32_t mask = 0;
    for (size_t task = 0; task < spec->tasks.count; task++) {
        bool named = rate->tasks.count == 0;
        for (size_t k = 0; k < rate->tasks.count; k++)
            named |= strcmp(rate->tasks.items[k], spec_task_at(spec, task)->name) == 0;
        mask |= named ? UINT32_C(1) << task : 0;
    }
    return mask;
}

enum status rate_keys_of(const struct spec *spec, struct arena *arena, struct rate_keys *ret_keys,
                         struct error *err) {
    struct rate_keys keys = {.count = spec->rates.count};
    keys.rates = arena_get(arena, keys.count + 1, sizeof *keys.rates);
    for (size_t r = 0; keys.rates && r < keys.count; r++) {
        const struct spec_rate *rate = spec_rate_at(spec, r);
        struct rate_key *key = &keys.rates[r];
        key->count = rate->by.count;
        key->columns = arena_get(arena, key->count, sizeof *key->columns);
        if (!key->columns)
            return error_no_memory(err, key->count * sizeof *key->columns, "keys of rates");
        for (size_t k = 0; k < key->count; k++)
            key->columns[k] = column_of(spec, rate->by.items[k]);
        key->tasks = tasks_of(spec, rate);
        for (uint32_t mask = key->tasks; mask; mask &= mask - 1)
            key->task_count++;
        keys.columns += 2 * key->task_count;
    }
    if (!keys.rates)
        return error_no_memory(err, keys.count * sizeof *keys.rates, "keys of rates");
    *ret_keys = keys;
    return STATUS_OK;
}

uint64_t rate_key_of(const struct rate_key *key, const unsigned char *ids, const char *domain,
                     size_t domain_length) {
    uint64_t hash = 0;
    for (size_t k = 0; k < key->count; k++) {
        uint64_t part = 0;
        if (key->columns[k] != RATE_KEY_DOMAIN)
            memcpy(&part, ids + key->columns[k] * sizeof part, sizeof part);
        else if (domain_length > 0)
            part = hash_bytes(domain, domain_length, 0);
        if (part == 0)
            return 0;
        hash = hash_chain(hash, &part, sizeof part);
    }
    return hash > 1 ? hash : 2;
}

size_t rate_key_task(const struct rate_key *key, size_t task) {
    size_t place = 0;
    for (size_t t = 0; t < task; t++)
        place += key->tasks >> t & 1;
    return place;
}
