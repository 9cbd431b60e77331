// xoshiro256** and the counter-based draws; owns no state but the caller's.
//
// Sources: Blackman and Vigna (2018), fig. 1 (the generator); Steele, Lea and Flood (2014)
// (splitmix64, the seeding and the counter's mix); Box and Muller (1958) (normals).
#include "base/rng.h"

#include <math.h>

#include "base/hash.h"
#include "base/status.h"

#define GOLDEN_GAMMA 0x9e3779b97f4a7c15u
#define TWO_PI 6.283185307179586476925286766559

static uint64_t rotate_left(uint64_t value, int bits) {
    return (value << bits) | (value >> (64 - bits));
}

void rng_init(struct rng *rng, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        seed += GOLDEN_GAMMA;
        rng->s[i] = hash_mix(seed);
    }
}

uint64_t rng_next(struct rng *rng) {
    uint64_t *s = rng->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

static double uniform_of(uint64_t bits) {
    return (double)(bits >> 11) * 0x1p-53;
}

// (0, 1]: the logarithm stays finite.
static double uniform_above_zero_of(uint64_t bits) {
    return (double)((bits >> 11) + 1) * 0x1p-53;
}

static double normal_of(uint64_t radius_bits, uint64_t angle_bits) {
    double radius = sqrt(-2.0 * log(uniform_above_zero_of(radius_bits)));
    return radius * cos(TWO_PI * uniform_of(angle_bits));
}

double rng_uniform(struct rng *rng) {
    return uniform_of(rng_next(rng));
}

uint64_t rng_below(struct rng *rng, uint64_t bound) {
    REQUIRE(bound > 0);
    // 2^64 mod bound draws are refused, so that the rest divides evenly.
    uint64_t refused = (UINT64_MAX - bound + 1) % bound;
    uint64_t draw;
    do {
        draw = rng_next(rng);
    } while (draw < refused);
    return draw % bound;
}

double rng_normal(struct rng *rng) {
    uint64_t radius_bits = rng_next(rng);
    return normal_of(radius_bits, rng_next(rng));
}

double rng_exponential(struct rng *rng) {
    return -log(uniform_above_zero_of(rng_next(rng)));
}

uint64_t rng_at(uint64_t seed, uint64_t a, uint64_t b, uint64_t c) {
    uint64_t state = hash_mix(seed + GOLDEN_GAMMA);
    state = hash_mix((state ^ a) + GOLDEN_GAMMA);
    state = hash_mix((state ^ b) + GOLDEN_GAMMA);
    return hash_mix((state ^ c) + GOLDEN_GAMMA);
}

double rng_uniform_at(uint64_t seed, uint64_t a, uint64_t b, uint64_t c) {
    return uniform_of(rng_at(seed, a, b, c));
}

double rng_normal_at(uint64_t seed, uint64_t a, uint64_t b, uint64_t c) {
    uint64_t radius_bits = rng_at(seed, a, b, c);
    return normal_of(radius_bits, hash_mix(radius_bits + GOLDEN_GAMMA));
}
