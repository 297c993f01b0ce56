/*
 * source_rate: see source_rate.h. Of each address one number is kept: when its bucket of tokens will be full again. So
 * a bucket is one word, and workers share the table without a lock.
 */
#include "middleware/source_rate.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <xxhash.h>

enum {
    SETS = 4096,
    WAYS = 4,
    TIME_BITS = 48, /* of a word, in µs: nine years of running; above it bits of the address's hash */
};

#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)

struct source_rate {
    uint64_t seed;
    int64_t base_ms;
    _Atomic uint64_t sets[SETS][WAYS]; /* 0: unused */
};

struct source_rate *source_rate_new(int64_t now_ms)
{
    struct source_rate *rate = calloc(1, sizeof *rate);
    if (rate == NULL)
        return NULL;
    arc4random_buf(&rate->seed, sizeof rate->seed);
    rate->base_ms = now_ms - 1;
    return rate;
}

void source_rate_free(struct source_rate *rate)
{
    free(rate);
}

static uint64_t key_of(const struct source_rate *rate, const struct address *source)
{
    size_t length = source->family == 4 ? 4 : 8; /* IPv6: the /64 is one customer */
    return XXH3_64bits_withSeed(source->ip, length, rate->seed + source->family);
}

/* The address's bucket, or that of the set which is or was full the earliest. */
static _Atomic uint64_t *bucket_of(struct source_rate *rate, uint64_t key, uint64_t *word)
{
    _Atomic uint64_t *set = rate->sets[key % SETS], *earliest = &set[0];
    *word = atomic_load_explicit(earliest, memory_order_relaxed);
    for (int i = 0; i < WAYS; i++) {
        uint64_t found = atomic_load_explicit(&set[i], memory_order_relaxed);
        bool is_its = found != 0 && (found ^ key) >> TIME_BITS == 0;
        if (is_its || (found & TIME_MASK) < (*word & TIME_MASK)) {
            earliest = &set[i];
            *word = found;
        }
        if (is_its)
            break;
    }
    return earliest;
}

bool source_rate_allows(struct source_rate *rate, const struct address *source, const struct rate *limit,
                        int64_t now_ms)
{
    uint64_t key = key_of(rate, source);
    uint64_t now_us = now_ms > rate->base_ms ? (uint64_t)(now_ms - rate->base_ms) * 1000 : 1;
    uint64_t whole_us = (uint64_t)limit->per_s * 1000000, one_us = whole_us / limit->count;
    for (;;) {
        uint64_t word;
        _Atomic uint64_t *bucket = bucket_of(rate, key, &word);
        bool is_its = word != 0 && (word ^ key) >> TIME_BITS == 0;
        uint64_t full_us = is_its && (word & TIME_MASK) > now_us ? word & TIME_MASK : now_us;
        full_us += one_us;
        if (full_us - now_us > whole_us)
            return false;
        uint64_t changed = (key & ~TIME_MASK) | (full_us & TIME_MASK);
        if (atomic_compare_exchange_weak_explicit(bucket, &word, changed, memory_order_relaxed, memory_order_relaxed))
            return true;
    }
}
