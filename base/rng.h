// Random numbers as a parameter: xoshiro256** streams and a counter-based generator.
//
// Sources: Blackman and Vigna, "Scrambled linear pseudorandom number generators" (2018), seeded by
// splitmix64. rng_at is a pure function of (seed, a, b, c): what dropout and initial rows use, so
// that neither threads nor order change a draw.
#ifndef FRESHET_BASE_RNG_H
#define FRESHET_BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t s[4];
};
void rng_init(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
double rng_uniform(struct rng *rng);                 // [0, 1), 53 bits
uint64_t rng_below(struct rng *rng, uint64_t bound); // [0, bound), unbiased; bound > 0
double rng_normal(struct rng *rng);                  // N(0, 1)
double rng_exponential(struct rng *rng);             // mean 1

uint64_t rng_at(uint64_t seed, uint64_t a, uint64_t b, uint64_t c);
double rng_uniform_at(uint64_t seed, uint64_t a, uint64_t b, uint64_t c);
double rng_normal_at(uint64_t seed, uint64_t a, uint64_t b, uint64_t c);

#endif
