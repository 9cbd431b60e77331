// The Redis layout: keys, field names and placement, shared by the publisher and by every reader.
// docs/redis-layout.md is the contract in prose; a golden test pins the bytes.
#ifndef FRESHET_RECORD_REDIS_LAYOUT_H
#define FRESHET_RECORD_REDIS_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REDIS_LAYOUT = 2,            // the manifest's `layout`
    REDIS_LAYOUT_GROUP_BITS = 4, // 16 groups of rows, one hash tag each
    REDIS_LAYOUT_FIELD_MAX = 11, // bytes: 3 of the table, 8 of the id
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

// A row's field within its bucket: the table (at most 2^21 - 1) as a varint, then the bits of
// hash_mix(id) that the bucket does not say, little-endian in as few bytes as hold them; the mix
// being a bijection, they and the bucket give the id back. Returns the field's length.
size_t redis_layout_field(unsigned char field[REDIS_LAYOUT_FIELD_MAX], uint32_t table, uint64_t id,
                          unsigned bucket_bits);
// False: the field is no row (the bucket's version, say).
bool redis_layout_field_read(const void *field, size_t length, uint32_t bucket,
                             unsigned bucket_bits, uint32_t *ret_table, uint64_t *ret_id);

#endif
