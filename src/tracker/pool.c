/* pool: memory for one batch of announces and their peers. */
#include <stdlib.h>

#include "tracker/worker_private.h"

static size_t stride(uint32_t peers_max, size_t endpoint_bytes)
{
    /* The peers stage copies whole endpoints only; a multiple of 64 keeps neighbours off one cache line. */
    return (ANNOUNCE_HEADROOM + peers_max * endpoint_bytes + 63) & ~(size_t)63;
}

void pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    free(pool->buffer4);
    free(pool->buffer6);
    free(pool->entries);
    free(pool);
}

struct pool *pool_new(uint32_t peers_max)
{
    struct pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return NULL;
    size_t stride4 = stride(peers_max, ENDPOINT4_BYTES), stride6 = stride(peers_max, ENDPOINT6_BYTES);
    pool->peers_max = peers_max;
    pool->buffer4 = malloc(BATCH_MAX * stride4);
    pool->buffer6 = malloc(BATCH_MAX * stride6);
    pool->entries = malloc(BATCH_MAX * (size_t)peers_max * sizeof *pool->entries);
    if (pool->buffer4 == NULL || pool->buffer6 == NULL || pool->entries == NULL) {
        pool_free(pool);
        return NULL;
    }
    for (unsigned i = 0; i < BATCH_MAX; i++) {
        pool->announces[i].peers_max = peers_max;
        pool->announces[i].peers4 = pool->buffer4 + i * stride4 + ANNOUNCE_HEADROOM;
        pool->announces[i].peers6 = pool->buffer6 + i * stride6 + ANNOUNCE_HEADROOM;
        pool->announces[i].entries = pool->entries + (size_t)i * peers_max;
    }
    return pool;
}
