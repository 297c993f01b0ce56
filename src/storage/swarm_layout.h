/* swarm_layout: the inside of torrents and swarms, beyond what swarm.h shows of it. Private to storage. */
#ifndef PRIVTRAK_STORAGE_SWARM_LAYOUT_H
#define PRIVTRAK_STORAGE_SWARM_LAYOUT_H

#include "storage/index.h"
#include "storage/memory.h"
#include "storage/paged.h"
#include "storage/seed_marks.h"
#include "storage/swarm.h"

enum {
    CHUNK_SLOTS = SWARM_SMALL_SLOTS, /* of a full chunk; slot n of a large swarm is in chunk n / 64 */
    SLOT_BYTES = 4 + ENDPOINT4_BYTES + sizeof(struct session),
    LARGE_SHRINKS_AT = 32, /* slots at which a large swarm becomes a single chunk again */
};

/* Slots of the chunk sizes there are; the last is CHUNK_SLOTS. */
extern const uint8_t chunk_capacities[];
extern const unsigned chunk_classes;

/* One IPv6 endpoint in a swarm's list of them. */
struct entry6 {
    uint8_t endpoint[ENDPOINT6_BYTES];
    uint32_t slot;
} __attribute__((packed));

struct swarm6 {
    struct paged entries; /* struct entry6: seeders, then leechers */
    struct paged places;  /* uint32_t a slot: its entry's number; meaningful where SESSION_HAS6 is set */
    uint32_t seeders;
    uint32_t leechers;
};

/* Records of torrents in a row, at a multiple of its size, so that a record finds its region by its address. */
enum { TORRENT_REGION_BYTES = 2 << 20, TORRENTS_PER_REGION = TORRENT_REGION_BYTES / sizeof(struct torrent) - 1 };
struct torrent_region {
    uint32_t first; /* the number of the first record */
    struct torrent records[TORRENTS_PER_REGION];
};
_Static_assert(sizeof(struct torrent) == 64, "a torrent is one cache line");
_Static_assert(sizeof(struct torrent_region) == TORRENT_REGION_BYTES, "a region is a huge page");

struct torrents {
    struct index index;          /* numbers by torrents_hash */
    struct memory *index_memory; /* of this index and those of large swarms */
    struct torrent_region **regions;
    uint32_t region_count;
    uint32_t count;
    uint64_t seed;
    struct memory *memory;
    struct peer_ids *peer_ids;
    struct seed_marks *marks;
    struct torrent_totals totals;
};

static inline struct torrent *torrent_at(const struct torrents *torrents, uint32_t number)
{
    return &torrents->regions[number / TORRENTS_PER_REGION]->records[number % TORRENTS_PER_REGION];
}

/* The arrays of a chunk. */
static inline uint32_t *chunk_users(struct chunk *chunk)
{
    return (uint32_t *)(void *)chunk;
}

static inline uint8_t *chunk_endpoints(struct chunk *chunk, unsigned capacity)
{
    return (uint8_t *)chunk + 4 * (size_t)capacity;
}

static inline struct session *chunk_sessions(struct chunk *chunk, unsigned capacity)
{
    return (struct session *)((uint8_t *)chunk + (4 + ENDPOINT4_BYTES) * (size_t)capacity);
}

/* swarm_index.c: the user index of large swarms. */
int swarm_index_build(struct torrents *torrents, struct torrent *torrent);
int swarm_index_add(struct torrent *torrent, uint32_t user, uint32_t slot);
void swarm_index_remove(struct torrent *torrent, uint32_t slot);
void swarm_index_swap(struct torrent *torrent, uint32_t a, uint32_t b);      /* before the slots' users change places */
void swarm_index_shift(struct torrent *torrent, uint32_t from, uint32_t to); /* before the session moves */

static inline uint64_t swarm_user_hash(uint32_t user)
{
    uint64_t hash = (user + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
    return (hash ^ hash >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
}

/* swarm6.c: the IPv6 endpoints. `slot` is always the session's slot at the time of the call. */
int swarm6_reserve(struct swarm6 *swarm6, uint32_t slots); /* every slot has a place, so that swaps cannot fail */
int swarm6_put(struct torrent *torrent, uint32_t slot, const uint8_t *ip, uint16_t port, bool seeder);
void swarm6_take(struct torrent *torrent, uint32_t slot);
void swarm6_move(struct torrent *torrent, uint32_t slot, bool to_seeders);
void swarm6_swapped(struct torrent *torrent, uint32_t a, uint32_t b);
void swarm6_shifted(struct torrent *torrent, uint32_t from, uint32_t to); /* of one that has an endpoint */
void swarm6_free(struct swarm6 *swarm6);

/* swarm_room.c: room for so many more slots, 0 or -1 out of memory; gives back what the slots do not need; gives back all. */
int swarm_grow(struct torrents *torrents, struct torrent *torrent, uint32_t more);
void swarm_shrink(struct torrents *torrents, struct torrent *torrent);
void swarm_clear(struct torrents *torrents, struct torrent *torrent);

#endif
