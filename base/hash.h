// Hashes (XXH3 and XXH64 of the xxhash library) and the mixing function of embedding ids.
#ifndef FRESHET_BASE_HASH_H
#define FRESHET_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *bytes, size_t length, uint64_t seed); // XXH3-64
// Running checksum: start from 0, feed pieces in order. checksum(c, a+b) differs from
// checksum(checksum(c, a), b): boundaries are part of what is checked.
uint64_t hash_chain(uint64_t checksum, const void *bytes, size_t length);
// Bijective mix of 64 bits (splitmix64's finaliser, Steele et al. 2014): spreads ids over buckets.
uint64_t hash_mix(uint64_t value);
uint64_t hash_unmix(uint64_t mixed); // the value that hash_mix made it of

#endif
