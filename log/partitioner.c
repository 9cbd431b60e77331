// The three hashes that common producers place keys by.
#include "log/partitioner.h"

#include "base/status.h"

const char *const partitioner_names[PARTITIONER_COUNT] = {"murmur2 (Java)", "crc32 (librdkafka)",
                                                          "fnv1a (Sarama)"};

uint32_t partitioner_murmur2(const void *key, size_t length) {
    const uint32_t m = 0x5bd1e995;
    const unsigned char *at = key;
    uint32_t hash = UINT32_C(0x9747b28c) ^ (uint32_t)length;
    size_t left = length;
    for (; left >= 4; left -= 4, at += 4) {
        uint32_t k =
            (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        k *= m;
        k ^= k >> 24;
        k *= m;
        hash = hash * m ^ k;
    }
    if (left > 2)
        hash ^= (uint32_t)at[2] << 16;
    if (left > 1)
        hash ^= (uint32_t)at[1] << 8;
    if (left > 0) {
        hash ^= at[0];
        hash *= m;
    }
    hash ^= hash >> 13;
    hash *= m;
    return hash ^ hash >> 15;
}

// CRC-32 of IEEE 802.3, bit by bit: keys are short and this is no hot path.
static uint32_t crc32_of(const unsigned char *at, size_t length) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < length; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (UINT32_C(0xedb88320) & (0 - (crc & 1)));
    }
    return ~crc;
}

static uint32_t fnv1a_of(const unsigned char *at, size_t length) {
    uint32_t hash = UINT32_C(0x811c9dc5);
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ at[i]) * UINT32_C(0x01000193);
    return hash;
}

int32_t partitioner_place(enum partitioner partitioner, const void *key, size_t length,
                          int32_t partitions) {
    REQUIRE(partitions > 0);
    uint32_t count = (uint32_t)partitions;
    if (partitioner == PARTITIONER_MURMUR2)
        return (int32_t)((partitioner_murmur2(key, length) & 0x7fffffff) % count);
    if (partitioner == PARTITIONER_CRC32)
        return (int32_t)(crc32_of(key, length) % count);
    // Sarama takes the signed remainder and then its absolute value.
    int64_t hash = fnv1a_of(key, length);
    int64_t place = (hash > INT32_MAX ? hash - (INT64_C(1) << 32) : hash) % partitions;
    return (int32_t)(place < 0 ? -place : place);
}
