/*
 * torrents: the torrents that one worker owns, each with its registry data and
 * its swarm. One thread only; nothing in it is ever touched by another.
 */
#ifndef PRIVTRAK_STORAGE_TORRENTS_H
#define PRIVTRAK_STORAGE_TORRENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tracker/announce.h"

struct torrents;
struct swarm_large;
struct swarm6;
struct chunk;
struct seed_marks;
struct peer_ids;

enum torrent_flags {
    TORRENT_IS_LARGE = 1 << 0,   /* torrent_large is meant, not torrent_chunk */
    TORRENT_MARK = 1 << 1,       /* touched since the last complete look at the table (its parity) */
    TORRENT_WAS_DELETED = 1 << 2 /* the database had a row and has none any more, or its state is deleted */
};

/* Rare things of a torrent, made when the first is needed. */
struct torrent_extra {
    struct swarm6 *swarm6; /* endpoints of IPv6; NULL: none */
    char *reason;          /* of the deletion or the wait; NULL: none */
    int64_t deleted_at_s;  /* when the tracker saw the deletion */
    uint32_t upload_percent;
    uint32_t download_percent;
};

/*
 * A torrent's slots are numbered 0, 1, …: first the seeders, then the leechers, then the
 * tombstones (sessions that left). swarm.h works on them. Who writes what: the
 * registry's mail the id, percentages, state and reason; swarm.c the counts and the
 * body; the privtrak stage the snatches. One cache line: addresses have 48 bits in user space.
 */
struct torrent {
    uint8_t info_hash[INFO_HASH_BYTES];
    uint32_t snatches;
    int64_t id; /* the database's; 0: not known yet */
    uint32_t seeders;
    uint32_t leechers;
    uint32_t tombstones;
    uint32_t next_expiry_s;      /* no session's time is up before (seconds since TIME_BASE_MS) */
    uint64_t body_address : 48;  /* torrent_chunk or torrent_large */
    uint64_t extra_address : 48; /* torrent_extra */
    uint8_t state;               /* enum torrent_state */
    uint8_t flags;
    uint8_t capacity; /* slots that the small body has room for */
    uint8_t holes4;   /* slots in the swarm without an IPv4 endpoint to hand out; TORRENT_MANY_HOLES: uncounted */
} __attribute__((packed, aligned(64)));

#define ADDRESS_MASK ((UINT64_C(1) << 48) - 1)

enum { TORRENT_MANY_HOLES = UINT8_MAX }; /* stays so until the swarm is empty */

/* Up to SWARM_SMALL_SLOTS sessions; NULL: no slot yet. Not for TORRENT_IS_LARGE. */
static inline struct chunk *torrent_chunk(const struct torrent *torrent)
{
    return (struct chunk *)(uintptr_t)torrent->body_address;
}

/* For TORRENT_IS_LARGE only. */
static inline struct swarm_large *torrent_large(const struct torrent *torrent)
{
    return (struct swarm_large *)(uintptr_t)torrent->body_address;
}

/* NULL: nothing rare. */
static inline struct torrent_extra *torrent_extra(const struct torrent *torrent)
{
    return (struct torrent_extra *)(uintptr_t)torrent->extra_address;
}

/* Times in sessions and torrents count from 2020-01-01, so that they fit 40 and 32 bits. */
#define TIME_BASE_MS INT64_C(1577836800000)

/* All swarms of the store taken together. */
struct torrent_totals {
    uint64_t swarms; /* torrents with somebody in them */
    uint64_t seeders;
    uint64_t leechers;
    uint64_t tombstones;
};

struct torrents *torrents_new(void);
void torrents_free(struct torrents *torrents);

/* The torrent with that info hash; NULL: not known. */
struct torrent *torrents_find(struct torrents *torrents, const uint8_t *info_hash);

/*
 * The same in three steps over a batch, so that the misses of many overlap: hash, and fetch the index's line;
 * guess, and fetch the guessed record; look at it. A guess of NULL is certain as long as no torrent is added.
 */
uint64_t torrents_hash(const struct torrents *torrents, const uint8_t *info_hash);
void torrents_prefetch_bucket(const struct torrents *torrents, uint64_t hash);
struct torrent *torrents_guess(struct torrents *torrents, uint64_t hash);
struct torrent *torrents_find_hashed(struct torrents *torrents, uint64_t hash, struct torrent *guess,
                                     const uint8_t *info_hash);

/* Makes it known: approved, no id, 100 %. It must not be known yet. NULL out of memory. */
struct torrent *torrents_add(struct torrents *torrents, const uint8_t *info_hash);

/* By number, 0 to torrents_count - 1, in the order of their coming; for walks. */
struct torrent *torrents_at(struct torrents *torrents, uint32_t number);
uint32_t torrents_count(const struct torrents *torrents);
uint32_t torrent_number(const struct torrent *torrent);

uint32_t torrent_upload_percent(const struct torrent *torrent);
uint32_t torrent_download_percent(const struct torrent *torrent);

const struct torrent_totals *torrents_totals(const struct torrents *torrents);

/* The rare part, made where there is none. NULL out of memory. */
struct torrent_extra *torrent_make_extra(struct torrent *torrent);

/* The names of clients that peer ids are packed with. */
struct peer_ids *torrents_peer_ids(struct torrents *torrents);

/* The marks of users with several sessions in a swarm; see seed_marks.h. */
struct seed_marks *torrents_seed_marks(struct torrents *torrents);

/* Bytes in use: of torrents and their index; of sessions. For any thread. */
size_t torrents_memory(const struct torrents *torrents);
size_t torrents_session_memory(const struct torrents *torrents);

#endif
