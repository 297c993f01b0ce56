/*
 * ring: see the header. What the two sides write lies on cache lines of their
 * own, and each keeps a copy of the other's index that it only renews when the
 * copy says full (or empty): so a push costs the lines of its record, and the
 * indices move between the cores about once a batch.
 */
#include "deltas/ring.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CACHE_LINE = 64, HUGE_PAGE = 2 << 20 };

/* What a producer fills of nearly every record: all but the passkey. */
enum { TOUCHED_BYTES = offsetof(struct delta, passkey) };

/* The padding keeps the two sides' lines apart. NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct ring {
    /* Read by both, never written after ring_new. */
    struct delta *records;
    uint64_t mask;

    /* Written by the producer. The consumer looks at `published` a few hundred times a second only. */
    alignas(CACHE_LINE) _Atomic uint64_t published;
    uint64_t committed;
    uint64_t released_seen;

    /* Written by the consumer. */
    alignas(CACHE_LINE) _Atomic uint64_t released;
    uint64_t published_seen;
    uint64_t taken;
};

static size_t round_up_to_power(size_t value)
{
    size_t power = 1;
    while (power < value)
        power <<= 1;
    return power;
}

struct ring *ring_new(size_t capacity)
{
    if (capacity == 0 || capacity > SIZE_MAX / (2 * sizeof(struct delta)))
        return NULL;
    capacity = round_up_to_power(capacity);
    size_t bytes = capacity * sizeof(struct delta);
    size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : CACHE_LINE;

    struct ring *ring = aligned_alloc(CACHE_LINE, sizeof(*ring));
    if (ring == NULL)
        return NULL;
    memset(ring, 0, sizeof(*ring));
    ring->mask = capacity - 1;
    ring->records = aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (ring->records == NULL) {
        free(ring);
        return NULL;
    }
    if (alignment == HUGE_PAGE)
        (void)madvise(ring->records, bytes, MADV_HUGEPAGE); /* only a hint: fewer TLB misses on the way around */
    /* Fields that a producer never sets in its first round (the passkey's rest) are to be defined bytes all the same. */
    memset(ring->records, 0, bytes);
    return ring;
}

void ring_free(struct ring *ring)
{
    if (ring == NULL)
        return;
    free(ring->records);
    free(ring);
}

size_t ring_room(struct ring *ring)
{
    uint64_t capacity = ring->mask + 1;
    uint64_t room = capacity - (ring->committed - ring->released_seen);
    /* As long as the copy promises half of the ring, the consumer's line is left alone. */
    if (room >= capacity / 2)
        return (size_t)room;
    ring->released_seen = atomic_load_explicit(&ring->released, memory_order_acquire);
    return (size_t)(capacity - (ring->committed - ring->released_seen));
}

struct delta *ring_next(struct ring *ring)
{
    /* The consumer has read the next record's lines since we wrote them: ask for them back while this one is filled. */
    const char *ahead = (const char *)&ring->records[(ring->committed + 1) & ring->mask];
#pragma GCC unroll 8
    for (size_t offset = 0; offset < TOUCHED_BYTES; offset += CACHE_LINE)
        __builtin_prefetch(ahead + offset, 1);
    return &ring->records[ring->committed & ring->mask];
}

void ring_commit(struct ring *ring)
{
    ring->committed++;
}

void ring_publish(struct ring *ring)
{
    if (atomic_load_explicit(&ring->published, memory_order_relaxed) != ring->committed)
        atomic_store_explicit(&ring->published, ring->committed, memory_order_release);
}

uint64_t ring_published(const struct ring *ring)
{
    return atomic_load_explicit(&ring->published, memory_order_acquire);
}

struct delta *ring_peek(struct ring *ring, size_t max, size_t *count)
{
    uint64_t waiting = ring->published_seen - ring->taken;
    if (waiting < max) {
        ring->published_seen = atomic_load_explicit(&ring->published, memory_order_acquire);
        waiting = ring->published_seen - ring->taken;
    }
    uint64_t start = ring->taken & ring->mask;
    uint64_t in_a_row = ring->mask + 1 - start;
    uint64_t number = waiting < in_a_row ? waiting : in_a_row;
    *count = number < max ? (size_t)number : max;
    return &ring->records[start];
}

void ring_release(struct ring *ring, size_t count)
{
    ring->taken += count;
    atomic_store_explicit(&ring->released, ring->taken, memory_order_release);
}
