// Hashes, inlined from the xxhash library: XXH3 is stable since its version 0.8.0, so stored
// checksums outlive upgrades.
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash_bytes(const void *bytes, size_t length, uint64_t seed) {
    return XXH3_64bits_withSeed(bytes, length, seed);
}

uint64_t hash_chain(uint64_t checksum, const void *bytes, size_t length) {
    // The length enters through XXH64 itself; the checksum so far is its seed.
    return XXH64(bytes, length, checksum);
}

uint64_t hash_mix(uint64_t value) {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

// Each step undone in turn; the factors are the inverses of hash_mix's modulo 2^64.
uint64_t hash_unmix(uint64_t mixed) {
    mixed = (mixed ^ (mixed >> 31) ^ (mixed >> 62)) * 0x319642b2d24d8ec3u;
    mixed = (mixed ^ (mixed >> 27) ^ (mixed >> 54)) * 0x96de1b173f119089u;
    return mixed ^ (mixed >> 30) ^ (mixed >> 60);
}
