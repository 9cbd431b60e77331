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

// Bytes of the mixed id that stand in a field.
static size_t rest_bytes(unsigned bucket_bits) {
    return (64 - bucket_bits + 7) / 8;
}

size_t redis_layout_field(unsigned char field[REDIS_LAYOUT_FIELD_MAX], uint32_t table, uint64_t id,
                          unsigned bucket_bits) {
    uint64_t rest = hash_mix(id) & (UINT64_MAX >> bucket_bits);
    size_t length = 0;
    REQUIRE(table < UINT32_C(1) << 21);
    for (; table >= 128; table >>= 7)
        field[length++] = (unsigned char)(table & 127) | 128;
    field[length++] = (unsigned char)table;
    for (size_t i = 0; i < rest_bytes(bucket_bits); i++)
        field[length++] = (unsigned char)(rest >> (8 * i) & 0xff);
    return length;
}

bool redis_layout_field_read(const void *field, size_t length, uint32_t bucket,
                             unsigned bucket_bits, uint32_t *ret_table, uint64_t *ret_id) {
    const unsigned char *bytes = field;
    size_t rest = rest_bytes(bucket_bits);
    if (length <= rest || length - rest > 3)
        return false;
    uint32_t table = 0;
    for (size_t i = 0; i < length - rest; i++)
        table |= (uint32_t)(bytes[i] & 127) << (7 * i);
    uint64_t mixed = 0;
    for (size_t i = 0; i < rest; i++)
        mixed |= (uint64_t)bytes[length - rest + i] << (8 * i);
    *ret_table = table;
    *ret_id = hash_unmix((uint64_t)bucket << (64 - bucket_bits) | mixed);
    return true;
}
