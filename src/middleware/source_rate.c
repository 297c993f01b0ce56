/* source_rate: see source_rate.h. Buckets of tokens in a table of small sets. */
#include "middleware/source_rate.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { SETS = 2048, WAYS = 4 };

struct bucket {
    uint64_t key;    /* hash of the address; 0: unused */
    int64_t seen_ms; /* of the last event */
    double tokens;   /* at seen_ms */
};

struct source_rate {
    uint64_t seed;
    struct bucket sets[SETS][WAYS];
};

struct source_rate *source_rate_new(void)
{
    struct source_rate *rate = calloc(1, sizeof *rate);
    if (rate != NULL)
        arc4random_buf(&rate->seed, sizeof rate->seed);
    return rate;
}

void source_rate_free(struct source_rate *rate)
{
    free(rate);
}

static uint64_t key_of(const struct source_rate *rate, const struct address *source)
{
    size_t length = source->family == 4 ? 4 : 8; /* IPv6: the /64 is one customer */
    return XXH3_64bits_withSeed(source->ip, length, rate->seed + source->family) | 1;
}

/* The address's bucket; a fresh one in the place of the quietest where it has none. */
static struct bucket *bucket_of(struct source_rate *rate, uint64_t key, double full, int64_t now_ms)
{
    struct bucket *set = rate->sets[(key >> 32) % SETS];
    struct bucket *quietest = &set[0];
    for (int i = 0; i < WAYS; i++) {
        if (set[i].key == key)
            return &set[i];
        if (set[i].seen_ms < quietest->seen_ms)
            quietest = &set[i];
    }
    *quietest = (struct bucket){.key = key, .seen_ms = now_ms, .tokens = full};
    return quietest;
}

bool source_rate_allows(struct source_rate *rate, const struct address *source, const struct rate *limit,
                        int64_t now_ms)
{
    double full = limit->count;
    struct bucket *bucket = bucket_of(rate, key_of(rate, source), full, now_ms);
    double gained = (double)(now_ms - bucket->seen_ms) * full / (limit->per_s * 1000.0);
    bucket->tokens = bucket->tokens + gained < full ? bucket->tokens + gained : full;
    bucket->seen_ms = now_ms;
    if (bucket->tokens < 1.0)
        return false;
    bucket->tokens -= 1.0;
    return true;
}
