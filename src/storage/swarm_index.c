/*
 * swarm_index: finds the sessions of a user in a large swarm. Chains through `next`,
 * one a bucket; the number of buckets follows the number of sessions by linear
 * hashing, so that each insert splits at most one chain and nothing is ever rehashed whole.
 */
#include "storage/swarm_layout.h"

static uint32_t *word_at(const struct paged *paged, uint32_t number)
{
    return paged_at(paged, number, sizeof(uint32_t));
}

static uint32_t mix(uint32_t user)
{
    user *= UINT32_C(0x9e3779b1);
    return user ^ user >> 15;
}

static uint32_t bucket_of(const struct swarm_large *large, uint32_t user)
{
    uint32_t hash = mix(user);
    uint32_t mask = UINT32_MAX >> __builtin_clz(large->buckets); /* the smallest 2^k - 1 that holds `buckets` */
    uint32_t bucket = hash & mask;
    return bucket < large->buckets ? bucket : bucket & mask >> 1;
}

/* Adds one bucket and gives it its share of the chain that it splits. */
static int split(struct torrent *torrent)
{
    struct swarm_large *large = torrent->body.large;
    if (paged_reserve(&large->heads, large->buckets + 1, sizeof(uint32_t)) != 0)
        return -1;
    uint32_t fresh = large->buckets++;
    *word_at(&large->heads, fresh) = 0;
    uint32_t mask = UINT32_MAX >> __builtin_clz(fresh);
    uint32_t *link = word_at(&large->heads, fresh & mask >> 1);
    while (*link != 0) {
        uint32_t slot = *link - 1;
        uint32_t *next = word_at(&large->next, slot);
        if (bucket_of(large, swarm_user(torrent, slot)) == fresh) {
            *link = *next;
            *next = *word_at(&large->heads, fresh);
            *word_at(&large->heads, fresh) = slot + 1;
        } else {
            link = next;
        }
    }
    return 0;
}

static void link_slot(struct torrent *torrent, uint32_t slot)
{
    struct swarm_large *large = torrent->body.large;
    uint32_t *head = word_at(&large->heads, bucket_of(large, swarm_user(torrent, slot)));
    *word_at(&large->next, slot) = *head;
    *head = slot + 1;
}

int swarm_index_add(struct torrent *torrent, uint32_t slot)
{
    struct swarm_large *large = torrent->body.large;
    if (paged_reserve(&large->next, slot + 1, sizeof(uint32_t)) != 0)
        return -1;
    if (slot >= large->buckets && split(torrent) != 0)
        return -1;
    link_slot(torrent, slot);
    return 0;
}

void swarm_index_remove(struct torrent *torrent, uint32_t slot)
{
    struct swarm_large *large = torrent->body.large;
    uint32_t *link = word_at(&large->heads, bucket_of(large, swarm_user(torrent, slot)));
    while (*link != slot + 1)
        link = word_at(&large->next, *link - 1);
    *link = *word_at(&large->next, slot);
}

uint32_t swarm_index_next(const struct torrent *torrent, uint32_t user, uint32_t after)
{
    const struct swarm_large *large = torrent->body.large;
    uint32_t link = after == SLOT_NONE ? *word_at(&large->heads, bucket_of(large, user)) : *word_at(&large->next, after);
    while (link != 0 && swarm_user(torrent, link - 1) != user)
        link = *word_at(&large->next, link - 1);
    return link == 0 ? SLOT_NONE : link - 1;
}

uint32_t swarm_index_in_bucket(const struct torrent *torrent, uint32_t bucket, uint32_t after)
{
    const struct swarm_large *large = torrent->body.large;
    uint32_t link = after == SLOT_NONE ? *word_at(&large->heads, bucket) : *word_at(&large->next, after);
    return link == 0 ? SLOT_NONE : link - 1;
}

int swarm_index_build(struct torrent *torrent)
{
    struct swarm_large *large = torrent->body.large;
    uint32_t total = swarm_total(torrent);
    if (paged_reserve(&large->heads, CHUNK_SLOTS, sizeof(uint32_t)) != 0 ||
        paged_reserve(&large->next, total, sizeof(uint32_t)) != 0)
        return -1;
    large->buckets = CHUNK_SLOTS;
    for (uint32_t slot = 0; slot < total; slot++)
        link_slot(torrent, slot);
    return 0;
}

void swarm_index_clear(struct swarm_large *large)
{
    paged_clear(&large->heads);
    paged_clear(&large->next);
}

uint32_t swarm_index_first_in_chain(const struct torrent *torrent, uint32_t user)
{
    const struct swarm_large *large = torrent->body.large;
    uint32_t link = *word_at(&large->heads, bucket_of(large, user));
    if (link == 0)
        return SLOT_NONE;
    __builtin_prefetch(word_at(&large->next, link - 1));
    return link - 1;
}

void swarm_index_prefetch(const struct torrent *torrent, uint32_t user)
{
    const struct swarm_large *large = torrent->body.large;
    __builtin_prefetch(word_at(&large->heads, bucket_of(large, user)));
}
