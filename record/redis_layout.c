// Keys and placement; see redis_layout.h.
#include "record/redis_layout.h"

#include <string.h>

#include "base/hash.h"
#include "base/status.h"

uint32_t redis_layout_bucket(uint64_t id, unsigned bucket_bits) {
    return (uint32_t)(hash_mix(id) >> (64 - bucket_bits));
}

uint32_t redis_layout_group(uint32_t bucket, unsigned bucket_bits) {
    return bucket >> (bucket_bits - REDIS_LAYOUT_GROUP_BITS);
}

static size_t finish(int length) {
    REQUIRE(length > 0 && length < REDIS_LAYOUT_KEY_MAX);
    return (size_t)length;
}

size_t redis_layout_manifest_key(char *key, const char *name) {
    return finish(snprintf(key, REDIS_LAYOUT_KEY_MAX, "%s:{m}:manifest", name));
}

size_t redis_layout_manifest_state_key(char *key, const char *name) {
    return finish(snprintf(key, REDIS_LAYOUT_KEY_MAX, "%s:{m}:state", name));
}

size_t redis_layout_tensors_key(char *key, const char *name, uint64_t lineage, uint64_t version) {
    return finish(snprintf(key, REDIS_LAYOUT_KEY_MAX, "%s:{m}:t:%016llx:%llu", name,
                           (unsigned long long)lineage, (unsigned long long)version));
}

size_t redis_layout_deltas_key(char *key, const char *name) {
    return finish(snprintf(key, REDIS_LAYOUT_KEY_MAX, "%s:{m}:deltas", name));
}

size_t redis_layout_state_key(char *key, const char *name, uint32_t group) {
    return finish(snprintf(key, REDIS_LAYOUT_KEY_MAX, "%s:{%u}:state", name, group));
}

size_t redis_layout_bucket_key(char *key, const char *name, uint32_t group, uint32_t bucket) {
    return finish(snprintf(key, REDIS_LAYOUT_KEY_MAX, "%s:{%u}:b:%u", name, group, bucket));
}

size_t redis_layout_channel(char *key, const char *name) {
    return finish(snprintf(key, REDIS_LAYOUT_KEY_MAX, "%s:versions", name));
}

void redis_layout_field(unsigned char field[REDIS_LAYOUT_FIELD_BYTES], uint32_t table,
                        uint64_t id) {
    field[0] = (unsigned char)(table & 0xff);
    field[1] = (unsigned char)(table >> 8 & 0xff);
    for (int i = 0; i < 8; i++)
        field[2 + i] = (unsigned char)(id >> (8 * i) & 0xff);
}

void redis_layout_field_read(const unsigned char *field, uint32_t *ret_table, uint64_t *ret_id) {
    *ret_table = (uint32_t)field[0] | (uint32_t)field[1] << 8;
    uint64_t id = 0;
    for (int i = 0; i < 8; i++)
        id |= (uint64_t)field[2 + i] << (8 * i);
    *ret_id = id;
}
