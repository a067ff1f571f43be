/* SPDX-License-Identifier: GPL-2.0 */
/* Random numbers that a seed replays. */
#ifndef GUEST_RNG_H
#define GUEST_RNG_H

#include <stdint.h>

struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *rng)
{
	uint64_t z = rng->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* 0 … @n - 1. */
static inline uint64_t rng_below(struct rng *rng, uint64_t n)
{
	return rng_next(rng) % n;
}

/* A seed's stream number @stream: processes and rounds each take one of their own. */
static inline struct rng rng_stream(uint64_t seed, uint64_t stream)
{
	struct rng rng = { seed ^ stream * 0xd1342543de82ef95ull };

	rng_next(&rng);
	return rng;
}

#endif
