/*
 * swarm_index: finds the sessions of a user in a large swarm. Chains through `links`,
 * one a bucket; the number of buckets follows the number of sessions by linear
 * hashing, so that each insert splits at most one chain and nothing is ever rehashed whole.
 */
#include "storage/swarm_layout.h"

static uint32_t *head_at(const struct swarm_large *large, uint32_t bucket)
{
    return paged_at(&large->heads, bucket, sizeof(uint32_t));
}

static struct swarm_link *link_at(const struct swarm_large *large, uint32_t slot)
{
    return paged_at(&large->links, slot, sizeof(struct swarm_link));
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
static int split(struct swarm_large *large)
{
    if (paged_reserve(&large->heads, large->buckets + 1, sizeof(uint32_t)) != 0)
        return -1;
    uint32_t fresh = large->buckets++;
    uint32_t *fresh_head = head_at(large, fresh);
    *fresh_head = 0;
    uint32_t mask = UINT32_MAX >> __builtin_clz(fresh);
    uint32_t *place = head_at(large, fresh & mask >> 1);
    while (*place != 0) {
        uint32_t number = *place;
        struct swarm_link *link = link_at(large, number - 1);
        if (bucket_of(large, link->user) == fresh) {
            *place = link->next;
            link->next = *fresh_head;
            *fresh_head = number;
        } else {
            place = &link->next;
        }
    }
    return 0;
}

static void link_slot(struct torrent *torrent, uint32_t slot)
{
    struct swarm_large *large = torrent->body.large;
    uint32_t user = swarm_user(torrent, slot);
    uint32_t *head = head_at(large, bucket_of(large, user));
    *link_at(large, slot) = (struct swarm_link){.next = *head, .user = user};
    *head = slot + 1;
}

int swarm_index_add(struct torrent *torrent, uint32_t slot)
{
    struct swarm_large *large = torrent->body.large;
    if (paged_reserve(&large->links, slot + 1, sizeof(struct swarm_link)) != 0)
        return -1;
    if (slot >= large->buckets && split(large) != 0)
        return -1;
    link_slot(torrent, slot);
    return 0;
}

void swarm_index_remove(struct torrent *torrent, uint32_t slot)
{
    struct swarm_large *large = torrent->body.large;
    uint32_t *place = head_at(large, bucket_of(large, swarm_user(torrent, slot)));
    while (*place != slot + 1)
        place = &link_at(large, *place - 1)->next;
    *place = link_at(large, slot)->next;
}

uint32_t swarm_index_next(const struct torrent *torrent, uint32_t user, uint32_t after)
{
    const struct swarm_large *large = torrent->body.large;
    uint32_t number = after == SLOT_NONE ? *head_at(large, bucket_of(large, user)) : link_at(large, after)->next;
    while (number != 0) {
        const struct swarm_link *link = link_at(large, number - 1);
        if (link->user == user)
            return number - 1;
        number = link->next;
    }
    return SLOT_NONE;
}

uint32_t swarm_index_in_bucket(const struct torrent *torrent, uint32_t bucket, uint32_t after)
{
    const struct swarm_large *large = torrent->body.large;
    uint32_t number = after == SLOT_NONE ? *head_at(large, bucket) : link_at(large, after)->next;
    return number == 0 ? SLOT_NONE : number - 1;
}

int swarm_index_build(struct torrent *torrent)
{
    struct swarm_large *large = torrent->body.large;
    uint32_t total = swarm_total(torrent);
    if (paged_reserve(&large->heads, CHUNK_SLOTS, sizeof(uint32_t)) != 0 ||
        paged_reserve(&large->links, total, sizeof(struct swarm_link)) != 0)
        return -1;
    large->buckets = CHUNK_SLOTS;
    for (uint32_t slot = 0; slot < total; slot++)
        link_slot(torrent, slot);
    return 0;
}

void swarm_index_clear(struct swarm_large *large)
{
    paged_clear(&large->heads);
    paged_clear(&large->links);
}

uint32_t swarm_index_first_in_chain(const struct torrent *torrent, uint32_t user)
{
    const struct swarm_large *large = torrent->body.large;
    uint32_t number = *head_at(large, bucket_of(large, user));
    if (number == 0)
        return SLOT_NONE;
    __builtin_prefetch(link_at(large, number - 1));
    return number - 1;
}

void swarm_index_prefetch(const struct torrent *torrent, uint32_t user)
{
    const struct swarm_large *large = torrent->body.large;
    __builtin_prefetch(head_at(large, bucket_of(large, user)));
}
