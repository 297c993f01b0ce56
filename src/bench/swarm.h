/*
 * swarm: the model of users, torrents and clients that the generators speak for.
 * All of it follows from the seed. What can be computed (passkeys, info hashes,
 * peer ids) is not stored, so that a swarm of millions stays out of the caches' way.
 *
 * The world is read-only once made and shared by all threads; each thread has
 * peers of its own, of users that no other thread has.
 */
#ifndef PRIVTRAK_BENCH_SWARM_H
#define PRIVTRAK_BENCH_SWARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "bench/random.h"
#include "tracker/announce.h"

struct passkey {
    uint8_t length;
    char text[PASSKEY_MAX];
};

struct world_settings {
    uint64_t seed;
    uint64_t peer_seed; /* which clients they are: two runs at once may have users and torrents in common */
    uint32_t users;
    uint32_t torrents;
    uint64_t peers;       /* of all threads */
    double seeders;       /* the percentage that the swarm stays near */
    const char *passkeys; /* a file with one a line, or NULL: made from the seed */
};

struct world {
    struct world_settings settings;
    struct passkey *passkeys; /* NULL: computed */
    struct alias *popularity;
    /* Chances at a peer's turn, chosen so that the share of seeders stays where it is. */
    double stop;
    double complete; /* of leechers */
    double restart_seeding;
};

/* Returns 0 or -1 with a reason. With a file of passkeys, settings.users becomes their number. */
int world_init(struct world *world, const struct world_settings *settings, struct error *error);
void world_clear(struct world *world);

void world_passkey(const struct world *world, uint32_t user, struct passkey *passkey);
void world_info_hash(const struct world *world, uint32_t torrent, uint8_t info_hash[static INFO_HASH_BYTES]);
uint64_t world_torrent_bytes(const struct world *world, uint32_t torrent);

enum peer_state { PEER_NEW, PEER_ACTIVE, PEER_STOPPED };

enum peer_flags {
    PEER_PENDING = 1 << 0,   /* its announce was made, and no success came for it yet: it is said again unchanged */
    PEER_UNCERTAIN = 1 << 1, /* nobody knows whether the pending announce was taken */
    PEER_RESENT = 1 << 2,    /* copies of its announces may still be on their way */
    PEER_DUAL = 1 << 3,      /* it announces over both families */
    PEER_KEEPS_KEY = 1 << 4, /* as rTorrent does over restarts, which never says completed either */
};

/* A client in a swarm. Which of them it is hangs on `identity`, not on its place in memory. */
struct peer {
    uint64_t uploaded;
    uint64_t downloaded;
    uint64_t left;
    uint32_t user;
    uint32_t torrent;
    uint32_t identity;
    uint16_t generation; /* one more at each restart with a new peer id */
    uint8_t state;       /* enum peer_state, as of the last announce that was answered */
    uint8_t event;       /* enum announce_event of the pending announce */
    uint8_t flags;
    uint8_t in_flight; /* requests that wait for an answer */
};

/* Makes `peer` new. `identity` is unique among all threads' peers, `user` its user. */
void peer_init(const struct world *world, struct peer *peer, uint32_t identity, uint32_t user, bool dual,
               struct random *random);

/* The peer's turn: decides what it announces next, and makes that pending. */
void peer_advance(const struct world *world, struct peer *peer, struct random *random);

/* Its pending announce was answered with a success. */
void peer_settle(struct peer *peer);

/* What an announce says, ready to be encoded. */
struct peer_announce {
    uint8_t info_hash[INFO_HASH_BYTES];
    uint8_t peer_id[PEER_ID_BYTES];
    uint64_t uploaded;
    uint64_t downloaded;
    uint64_t left;
    uint32_t key;
    uint16_t port;
    uint8_t event; /* enum announce_event */
    struct passkey passkey;
};

/*
 * Says what `peer` announces; as a `late` copy an older announce, with lower counters, that something newer has
 * overtaken.
 */
void peer_describe(const struct world *world, const struct peer *peer, bool late, struct peer_announce *announce);

/* Whether there is a lower counter that a late copy could hold. */
bool peer_can_be_late(const struct peer *peer);

#endif
