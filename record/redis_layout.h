// The Redis layout: keys, field names and placement, shared by the publisher and by every reader.
// docs/redis-layout.md is the contract in prose; a golden test pins the bytes.
#ifndef FRESHET_RECORD_REDIS_LAYOUT_H
#define FRESHET_RECORD_REDIS_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

enum {
    REDIS_LAYOUT = 1,            // the manifest's `layout`
    REDIS_LAYOUT_GROUP_BITS = 4, // 16 groups of rows, one hash tag each
    REDIS_LAYOUT_FIELD_BYTES = 10,
    REDIS_LAYOUT_KEY_MAX = 256,
};

// Bucket of a row: the first bucket_bits bits of hash_mix(id); bucket_bits >= GROUP_BITS.
uint32_t redis_layout_bucket(uint64_t id, unsigned bucket_bits);
// Group of a bucket: the first GROUP_BITS bits of the same hash.
uint32_t redis_layout_group(uint32_t bucket, unsigned bucket_bits);

// Each writes a NUL-terminated key and returns its length; name at most 128 bytes.
size_t redis_layout_manifest_key(char *key, const char *name);       // NAME:{m}:manifest
size_t redis_layout_manifest_state_key(char *key, const char *name); // NAME:{m}:state
size_t redis_layout_tensors_key(char *key, const char *name, uint64_t lineage,
                                uint64_t version);           // NAME:{m}:t:LINEAGE:VERSION
size_t redis_layout_deltas_key(char *key, const char *name); // NAME:{m}:deltas
size_t redis_layout_state_key(char *key, const char *name, uint32_t group); // NAME:{GROUP}:state
size_t redis_layout_bucket_key(char *key, const char *name, uint32_t group,
                               uint32_t bucket);          // NAME:{GROUP}:b:BUCKET
size_t redis_layout_channel(char *key, const char *name); // NAME:versions

// A row's field within its bucket: table as 2 bytes, id as 8 bytes, both little-endian.
void redis_layout_field(unsigned char field[REDIS_LAYOUT_FIELD_BYTES], uint32_t table, uint64_t id);
void redis_layout_field_read(const unsigned char *field, uint32_t *ret_table, uint64_t *ret_id);

#endif
