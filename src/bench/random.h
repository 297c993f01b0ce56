/*
 * random: numbers that follow from a seed, and picking by weight in constant
 * time (Vose's alias method).
 */
#ifndef PRIVTRAK_BENCH_RANDOM_H
#define PRIVTRAK_BENCH_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Mixes a number so well that consecutive ones look independent (splitmix64's finisher). */
static inline uint64_t random_mix(uint64_t value)
{
    value += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

/* A stream of numbers (xoshiro256**). One thread's own. */
struct random {
    uint64_t state[4];
};

void random_init(struct random *random, uint64_t seed);
uint64_t random_next(struct random *random);

__extension__ typedef unsigned __int128 random_product;

/* 0 to limit - 1, each about equally likely; `limit` at least 1. */
static inline uint64_t random_below(struct random *random, uint64_t limit)
{
    return (uint64_t)((random_product)random_next(random) * limit >> 64);
}

/* 0 up to, but not, 1. */
static inline double random_unit(struct random *random)
{
    return (double)(random_next(random) >> 11) * 0x1p-53;
}

/* Picks i with a probability of weights[i] / their sum. Read-only once made: threads may share it. */
struct alias;

/* `count` from 1 to UINT32_MAX, weights finite and not negative, one at least above 0. NULL out of memory. */
struct alias *alias_new(const double *weights, size_t count);
void alias_free(struct alias *alias);
uint32_t alias_pick(const struct alias *alias, struct random *random);

/*
 * How popular torrent number i of `torrents` is among `peers`: a few are in
 * everybody's hands, and most have a peer or two: N/P + e^(6.5 - 500 i/N).
 */
double popularity_weight(size_t i, size_t torrents, size_t peers);

/* The same as an alias table over all torrents. NULL out of memory. */
struct alias *popularity_new(size_t torrents, size_t peers);

#endif
