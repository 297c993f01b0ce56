/* random: see random.h. */
#include "bench/random.h"

#include <math.h>
#include <stdlib.h>

void random_init(struct random *random, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++)
        random->state[i] = random_mix(seed + i * UINT64_C(0x9e3779b97f4a7c15));
}

static uint64_t rotate(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

uint64_t random_next(struct random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

struct alias_cell {
    float keep;     /* the probability to stay with this cell's own number */
    uint32_t other; /* else this one */
};

struct alias {
    size_t count;
    struct alias_cell cells[];
};

/*
 * Vose's method: cells that are too light are filled up from those that are too
 * heavy. `scaled` holds each weight in units of the mean, `stack` light ones from the
 * left and heavy ones from the right.
 */
static void alias_fill(struct alias *alias, double *scaled, uint32_t *stack)
{
    size_t light = 0, heavy = alias->count;
    for (size_t i = 0; i < alias->count; i++) {
        if (scaled[i] < 1)
            stack[light++] = (uint32_t)i;
        else
            stack[--heavy] = (uint32_t)i;
    }
    while (light > 0 && heavy < alias->count) {
        uint32_t small = stack[--light];
        uint32_t large = stack[heavy];
        alias->cells[small] = (struct alias_cell){.keep = (float)scaled[small], .other = large};
        scaled[large] -= 1 - scaled[small];
        if (scaled[large] < 1) {
            heavy++;
            stack[light++] = large;
        }
    }
    /* What is left is 1 but for rounding. */
    while (light > 0) {
        uint32_t i = stack[--light];
        alias->cells[i] = (struct alias_cell){.keep = 1, .other = i};
    }
    for (; heavy < alias->count; heavy++)
        alias->cells[stack[heavy]] = (struct alias_cell){.keep = 1, .other = stack[heavy]};
}

struct alias *alias_new(const double *weights, size_t count)
{
    struct alias *alias = malloc(sizeof *alias + count * sizeof alias->cells[0]);
    double *scaled = malloc(count * sizeof *scaled);
    uint32_t *stack = malloc(count * sizeof *stack);
    if (alias != NULL && scaled != NULL && stack != NULL) {
        double sum = 0;
        for (size_t i = 0; i < count; i++)
            sum += weights[i];
        for (size_t i = 0; i < count; i++)
            scaled[i] = weights[i] * (double)count / sum;
        alias->count = count;
        alias_fill(alias, scaled, stack);
    } else {
        free(alias);
        alias = NULL;
    }
    free(scaled);
    free(stack);
    return alias;
}

void alias_free(struct alias *alias)
{
    free(alias);
}

uint32_t alias_pick(const struct alias *alias, struct random *random)
{
    uint32_t i = (uint32_t)random_below(random, alias->count);
    return random_unit(random) < (double)alias->cells[i].keep ? i : alias->cells[i].other;
}

double popularity_weight(size_t i, size_t torrents, size_t peers)
{
    return (double)torrents / (double)peers + exp(6.5 - 500.0 * (double)i / (double)torrents);
}

struct alias *popularity_new(size_t torrents, size_t peers)
{
    double *weights = malloc(torrents * sizeof *weights);
    if (weights == NULL)
        return NULL;
    for (size_t i = 0; i < torrents; i++)
        weights[i] = popularity_weight(i, torrents, peers);
    struct alias *alias = alias_new(weights, torrents);
    free(weights);
    return alias;
}
