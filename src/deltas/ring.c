/*
 * ring: see the header. What the two sides write lies on cache lines of their
 * own, and each keeps a copy of the other's index that it only renews now and then: so a push costs the
 * lines of its record, and the indices move between the cores about once a batch.
 *
 * Records stand in chunks, and the chunk that came back last is the next one to be filled: as long as the
 * consumer keeps up, the same few chunks go around and stay in the caches, however large the ring is.
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

enum { CHUNK_BITS = 6, RING_MAX = 1 << 26 };

/* The padding keeps the two sides' lines apart. NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct ring {
    /* Read by both, never written after ring_new. Records are numbered 0, 1, … from the first; chunks too. */
    struct delta *records;
    uint64_t capacity;   /* records */
    unsigned chunk_bits; /* a chunk has 1 << chunk_bits records */
    uint64_t
        places_mask;  /* of `places`; there is a chunk more than the capacity takes: the first may be half released */
    uint32_t *places; /* where chunk n stands, at n & places_mask: written before its first record is published */

    /* Written by the producer. The consumer looks at `published` a few hundred times a second only. */
    alignas(CACHE_LINE) _Atomic uint64_t published;
    uint64_t committed;
    uint64_t released_seen;
    uint64_t begun;     /* chunks */
    uint64_t reclaimed; /* of them, those whose places are in `unused` again */
    uint32_t *unused;   /* a stack of places */
    uint32_t unused_count;

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

static struct delta *records_new(size_t count)
{
    size_t bytes = count * sizeof(struct delta);
    size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : CACHE_LINE;
    struct delta *records = aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (records == NULL)
        return NULL;
    if (alignment == HUGE_PAGE)
        (void)madvise(records, bytes, MADV_HUGEPAGE); /* only a hint: fewer TLB misses */
    /* Fields that a producer never sets in its first round (the passkey's rest) are to be defined bytes all the same. */
    memset(records, 0, bytes);
    return records;
}

struct ring *ring_new(size_t capacity)
{
    if (capacity == 0 || capacity > RING_MAX)
        return NULL;
    struct ring *ring = aligned_alloc(CACHE_LINE, sizeof(*ring));
    if (ring == NULL)
        return NULL;
    memset(ring, 0, sizeof(*ring));
    ring->capacity = round_up_to_power(capacity);
    while (ring->chunk_bits < CHUNK_BITS && UINT64_C(2) << ring->chunk_bits <= ring->capacity)
        ring->chunk_bits++;
    uint32_t chunks = (uint32_t)(ring->capacity >> ring->chunk_bits) + 1;
    ring->places_mask = round_up_to_power(chunks) - 1;
    ring->records = records_new((size_t)chunks << ring->chunk_bits);
    ring->places = calloc(ring->places_mask + 1, sizeof *ring->places);
    ring->unused = calloc(chunks, sizeof *ring->unused);
    if (ring->records == NULL || ring->places == NULL || ring->unused == NULL) {
        ring_free(ring);
        return NULL;
    }
    while (chunks > 0)
        ring->unused[ring->unused_count++] = --chunks;
    return ring;
}

void ring_free(struct ring *ring)
{
    if (ring == NULL)
        return;
    free(ring->records);
    free(ring->places);
    free(ring->unused);
    free(ring);
}

static uint64_t in_chunk(const struct ring *ring, uint64_t number)
{
    return number & ((UINT64_C(1) << ring->chunk_bits) - 1);
}

/* The record with that number, in a chunk that has its place. */
static struct delta *record_at(const struct ring *ring, uint64_t number)
{
    uint64_t place = ring->places[number >> ring->chunk_bits & ring->places_mask];
    return &ring->records[place << ring->chunk_bits | in_chunk(ring, number)];
}

size_t ring_room(struct ring *ring)
{
    uint64_t room = ring->capacity - (ring->committed - ring->released_seen);
    /* As long as the copy promises half of the ring, the consumer's line is left alone. */
    if (room >= ring->capacity / 2)
        return (size_t)room;
    ring->released_seen = atomic_load_explicit(&ring->released, memory_order_acquire);
    return (size_t)(ring->capacity - (ring->committed - ring->released_seen));
}

/* Takes back the chunks that the consumer has gone through, and gives the next chunk the place that came back last. */
static void begin_chunk(struct ring *ring)
{
    ring->released_seen = atomic_load_explicit(&ring->released, memory_order_acquire);
    for (; ring->reclaimed < ring->released_seen >> ring->chunk_bits; ring->reclaimed++)
        ring->unused[ring->unused_count++] = ring->places[ring->reclaimed & ring->places_mask];
    ring->places[ring->begun++ & ring->places_mask] = ring->unused[--ring->unused_count];
}

struct delta *ring_next(struct ring *ring)
{
    if (ring->committed >> ring->chunk_bits == ring->begun)
        begin_chunk(ring);
    struct delta *record = record_at(ring, ring->committed);
    /* The consumer has read the next record's lines since we wrote them: ask for them back while this one is filled. */
    const char *ahead = (const char *)(record + 1);
#pragma GCC unroll 8
    for (size_t offset = 0; offset < TOUCHED_BYTES; offset += CACHE_LINE)
        __builtin_prefetch(ahead + offset, 1);
    return record;
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

bool ring_is_half_full(const struct ring *ring)
{
    uint64_t released = atomic_load_explicit(&ring->released, memory_order_relaxed);
    return ring_published(ring) - released >= ring->capacity / 2;
}

struct delta *ring_peek(struct ring *ring, size_t max, size_t *count)
{
    uint64_t waiting = ring->published_seen - ring->taken;
    if (waiting < max) {
        ring->published_seen = atomic_load_explicit(&ring->published, memory_order_acquire);
        waiting = ring->published_seen - ring->taken;
    }
    uint64_t in_a_row = (UINT64_C(1) << ring->chunk_bits) - in_chunk(ring, ring->taken);
    uint64_t number = waiting < in_a_row ? waiting : in_a_row;
    *count = number < max ? (size_t)number : max;
    return *count == 0 ? NULL : record_at(ring, ring->taken); /* the next chunk may not have its place yet */
}

void ring_release(struct ring *ring, size_t count)
{
    ring->taken += count;
    atomic_store_explicit(&ring->released, ring->taken, memory_order_release);
}
