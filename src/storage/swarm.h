/*
 * swarm: the sessions of a torrent. One record serves accounts and peers: counters'
 * baseline, state, peer id; beside it the IPv4 endpoint, packed as replies want it.
 *
 * Slots are ordered seeders, leechers, tombstones, so that the peers to hand out are
 * runs of packed endpoints. A slot number holds until the next call that adds, moves or removes a
 * session of that torrent. Up to 64 sessions live in one chunk and are found by
 * scanning the user numbers; larger swarms have a directory of chunks and an index.
 */
#ifndef PRIVTRAK_STORAGE_SWARM_H
#define PRIVTRAK_STORAGE_SWARM_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/address.h"
#include "storage/index.h"
#include "storage/peer_ids.h"
#include "storage/torrents.h"

#define SLOT_NONE UINT32_MAX

enum { SWARM_SMALL_SLOTS = 64 }; /* up to these a swarm is one chunk, quick to look through */

enum session_flags {
    SESSION_STOPPED = 1 << 0, /* it left by `stopped` */
    SESSION_HAS4 = 1 << 1,    /* in the swarm with an IPv4 endpoint */
    SESSION_HAS6 = 1 << 2,
    SESSION_BEGAN_LEECHING = 1 << 3, /* first seen with left > 0: may make a snatch */
    SESSION_SNATCHED = 1 << 4,       /* it made the user's snatch */
    SESSION_GIVEN_PEER = 1 << 5,     /* got at least one peer since it came into the swarm */
    SESSION_UNLISTED = 1 << 6,       /* not to be handed out: port denied, no right to leech */
    SESSION_PARTIAL = 1 << 7,        /* event=paused: a partial seed, wants no seeders */
};

/* `left` of this and above is kept as this: clients that do not know yet say 2^63 - 1. */
#define SESSION_LEFT_MAX ((UINT64_C(1) << 48) - 1)

struct session {
    uint64_t uploaded; /* the baseline: the counters last accepted */
    uint64_t downloaded;
    uint8_t left[6];    /* session_left */
    uint8_t last_ms[5]; /* last accepted announce: session_last_ms */
    uint32_t key;
    uint16_t port; /* as last said; kept in tombstones */
    uint8_t flags; /* enum session_flags */
    struct packed_peer_id peer_id;
} __attribute__((packed));
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers of 5 and 6 bytes are the lower ones of a word");

enum swarm_place { PLACE_SEEDER, PLACE_LEECHER, PLACE_TOMBSTONE };

static inline uint32_t swarm_active(const struct torrent *torrent)
{
    return torrent->seeders + torrent->leechers;
}

static inline uint32_t swarm_total(const struct torrent *torrent)
{
    return torrent->seeders + torrent->leechers + torrent->tombstones;
}

static inline enum swarm_place swarm_place(const struct torrent *torrent, uint32_t slot)
{
    if (slot < torrent->seeders)
        return PLACE_SEEDER;
    return slot < swarm_active(torrent) ? PLACE_LEECHER : PLACE_TOMBSTONE;
}

/*
 * A chunk holds up to `capacity` slots as three arrays in a row, so that scanning users and copying endpoints touch
 * few cache lines:
 *   uint32_t user[capacity]; uint8_t endpoint4[capacity][6]; struct session session[capacity];
 * Slot n of a large swarm is in chunk n / 64. Where in memory that is stands here for speed; only storage makes use of it.
 */
struct swarm_large {
    struct chunk **chunks;
    uint32_t chunk_count;
    uint32_t directory;    /* room in `chunks` */
    uint8_t tail_capacity; /* slots of the last chunk; the others have SWARM_SMALL_SLOTS */
    struct index index;    /* slots by the hash of their users */
};

static inline struct chunk *swarm_chunk(const struct torrent *torrent, uint32_t slot)
{
    return torrent->flags & TORRENT_IS_LARGE ? torrent_large(torrent)->chunks[slot / SWARM_SMALL_SLOTS]
                                             : torrent_chunk(torrent);
}

static inline unsigned swarm_chunk_capacity(const struct torrent *torrent, uint32_t slot)
{
    if (!(torrent->flags & TORRENT_IS_LARGE))
        return torrent->capacity;
    const struct swarm_large *large = torrent_large(torrent);
    return slot / SWARM_SMALL_SLOTS + 1 == large->chunk_count ? large->tail_capacity : SWARM_SMALL_SLOTS;
}

/* The session in a slot; valid as long as the slot number is. */
static inline struct session *swarm_session(const struct torrent *torrent, uint32_t slot)
{
    uint8_t *chunk = (uint8_t *)swarm_chunk(torrent, slot);
    size_t before = (sizeof(uint32_t) + ENDPOINT4_BYTES) * swarm_chunk_capacity(torrent, slot);
    return (struct session *)(void *)(chunk + before) + slot % SWARM_SMALL_SLOTS;
}

static inline uint32_t swarm_user(const struct torrent *torrent, uint32_t slot)
{
    return ((const uint32_t *)(const void *)swarm_chunk(torrent, slot))[slot % SWARM_SMALL_SLOTS];
}

/* Its packed IPv4 endpoint; zero where it has none to hand out. */
static inline uint8_t *swarm_endpoint4(const struct torrent *torrent, uint32_t slot)
{
    uint8_t *chunk = (uint8_t *)swarm_chunk(torrent, slot);
    return chunk + sizeof(uint32_t) * swarm_chunk_capacity(torrent, slot) + slot % SWARM_SMALL_SLOTS * ENDPOINT4_BYTES;
}

static inline bool session_is_listed(const struct session *session)
{
    return !(session->flags & SESSION_UNLISTED);
}

/* Numbers of 6 and 5 bytes in a session are read and written by words of 8, as a processor likes it. */
enum { SESSION_LAST_WORD = offsetof(struct session, last_ms) - 3 };

static inline uint64_t session_word(const struct session *session, size_t at)
{
    uint64_t word;
    memcpy(&word, (const uint8_t *)session + at, sizeof word);
    return word;
}

static inline void session_set_word(struct session *session, size_t at, uint64_t word)
{
    memcpy((uint8_t *)session + at, &word, sizeof word);
}

/* Milliseconds from TIME_BASE_MS to its last accepted announce, and the same since 1970. */
static inline uint64_t session_last_since_base(const struct session *session)
{
    return session_word(session, SESSION_LAST_WORD) >> 24;
}

static inline int64_t session_last_ms(const struct session *session)
{
    return (int64_t)session_last_since_base(session) + TIME_BASE_MS;
}

static inline void session_set_last_ms(struct session *session, int64_t unix_ms)
{
    uint64_t ms = unix_ms < TIME_BASE_MS ? 0 : (uint64_t)(unix_ms - TIME_BASE_MS);
    uint64_t before = session_word(session, SESSION_LAST_WORD) & 0xffffff;
    session_set_word(session, SESSION_LAST_WORD, before | ms << 24);
}

/* SESSION_LEFT_MAX is told as COUNTER_MAX again. */
static inline uint64_t session_left(const struct session *session)
{
    uint64_t left = session_word(session, offsetof(struct session, left)) & SESSION_LEFT_MAX;
    return left == SESSION_LEFT_MAX ? COUNTER_MAX : left;
}

static inline void session_set_left(struct session *session, uint64_t left)
{
    uint64_t behind = session_word(session, offsetof(struct session, left)) & ~SESSION_LEFT_MAX;
    session_set_word(session, offsetof(struct session, left),
                     behind | (left < SESSION_LEFT_MAX ? left : SESSION_LEFT_MAX));
}

/*
 * Fetches what finding a user's session will touch, in steps over a batch, so that the misses of many overlap: each
 * step reads what the one before has fetched.
 */
void swarm_prefetch_body(const struct torrent *torrent);
void swarm_prefetch_segment(const struct torrent *torrent, uint32_t user);
void swarm_prefetch_line(const struct torrent *torrent, uint32_t user);
/* From here on with the slot of a session that may be the user's; SLOT_NONE: it has none there. */
uint32_t swarm_guess_slot(const struct torrent *torrent, uint32_t user);
void swarm_prefetch_session(const struct torrent *torrent, uint32_t slot);

/* The place that says where a slot's chunk is, for others who will look there. */
static inline void swarm_prefetch_chunk(const struct torrent *torrent, uint32_t slot)
{
    if (torrent->flags & TORRENT_IS_LARGE)
        __builtin_prefetch(&torrent_large(torrent)->chunks[slot / SWARM_SMALL_SLOTS]);
}

/* The session of that user with that peer id, tombstones included; SLOT_NONE: unknown. */
uint32_t swarm_find(const struct torrents *torrents, const struct torrent *torrent, uint32_t user,
                    const uint8_t *peer_id);

/* The user's sessions in turn, tombstones included, in no order; SLOT_NONE ends. Slots must not change meanwhile. */
struct swarm_walk {
    const struct torrent *torrent;
    uint32_t user;
    uint64_t slots; /* small swarms: the slots that are still to come, as bits */
    struct index_walk index;
};
uint32_t swarm_first_of_user(const struct torrent *torrent, uint32_t user, struct swarm_walk *walk);
uint32_t swarm_next_in_index(struct swarm_walk *walk);

static inline uint32_t swarm_next_of_user(struct swarm_walk *walk)
{
    if (walk->torrent->flags & TORRENT_IS_LARGE)
        return swarm_next_in_index(walk);
    if (walk->slots == 0)
        return SLOT_NONE;
    uint32_t slot = (uint32_t)__builtin_ctzll(walk->slots);
    walk->slots &= walk->slots - 1;
    return slot;
}

/* A new session, as a tombstone with everything zero but the peer id. SLOT_NONE out of memory, and nothing changed. */
uint32_t swarm_add(struct torrents *torrents, struct torrent *torrent, uint32_t user, const uint8_t *peer_id);

/* The same straight at its place. It has no endpoint yet. */
uint32_t swarm_add_at(struct torrents *torrents, struct torrent *torrent, uint32_t user, const uint8_t *peer_id,
                      enum swarm_place place);

/*
 * Moves a session to another place and returns its new slot; other sessions change
 * slots. Leaving the swarm drops its endpoints and GIVEN_PEER.
 */
uint32_t swarm_move(struct torrents *torrents, struct torrent *torrent, uint32_t slot, enum swarm_place place);

/* Forgets a tombstone. */
void swarm_remove(struct torrents *torrents, struct torrent *torrent, uint32_t slot);

/* Moves its memory where that lets the kernel have more back. To be called for each torrent now and then. */
void swarm_tidy(struct torrents *torrents, struct torrent *torrent);

/* Sets the endpoint of the address's family. The session must be in the swarm. Returns 0, or -1 out of memory. */
int swarm_set_endpoint(struct torrent *torrent, uint32_t slot, const struct address *address);

/* The session's endpoint of that family, with its port; family 0 where there is none. */
struct address swarm_endpoint(const struct torrent *torrent, uint32_t slot, int family);

/* Says whether the session is to be handed out to others, whatever its endpoints. */
void swarm_list_session(struct torrent *torrent, uint32_t slot, bool listed);

void swarm_unpack_peer_id(const struct torrents *torrents, const struct session *session, uint8_t *peer_id);

/* How many endpoints of that family are in the swarm, seeders' and leechers'. */
uint32_t swarm_endpoints(const struct torrent *torrent, int family, bool seeders);

/*
 * All sessions in parts that no move of slots changes: a small swarm is one bucket, a large one has the segments of
 * its index, of some hundred sessions. New buckets only appear at the end, and take their sessions from earlier ones.
 */
uint32_t swarm_buckets(const struct torrent *torrent);
void swarm_walk_bucket(const struct torrent *torrent, uint32_t bucket, void (*visit)(void *context, uint32_t slot),
                       void *context);

/* --- for pick.c --- */

/* How many packed IPv4 endpoints stand in a row from that of `slot` on, its chunk's unused ones included. */
static inline uint32_t swarm_endpoint_run(const struct torrent *torrent, uint32_t slot)
{
    return swarm_chunk_capacity(torrent, slot) - slot % SWARM_SMALL_SLOTS;
}

/* The IPv6 endpoint with that number in the list of IPv6 (seeders first, then leechers), and whose slot it is. */
const uint8_t *swarm_endpoint6(const struct torrent *torrent, uint32_t number, uint32_t *slot);

/* The other way round: the number of a session that has an IPv6 endpoint. */
uint32_t swarm_number6(const struct torrent *torrent, uint32_t slot);

#endif
