/*
 * swarm_load: many sessions into a swarm at once, as a snapshot brings them: the swarm gets room for all of them,
 * and each goes straight to its place.
 */
#ifndef PRIVTRAK_STORAGE_SWARM_LOAD_H
#define PRIVTRAK_STORAGE_SWARM_LOAD_H

#include "storage/swarm.h"

/* A session as a snapshot tells it. */
struct saved_session {
    uint64_t uploaded;
    uint64_t downloaded;
    uint64_t left;         /* as clients say it */
    uint64_t last_ms : 40; /* since TIME_BASE_MS */
    uint32_t key;
    uint32_t user; /* its index; USER_NONE: of nobody that is known, to be passed over */
    uint16_t port;
    uint8_t flags; /* enum session_flags */
    bool active;   /* in the swarm */
    uint8_t peer_id[PEER_ID_BYTES];
    uint8_t ip4[4];
    uint8_t ip6[16];
};

/* Where a session that comes back stands. */
static inline enum swarm_place saved_place(bool active, uint64_t left)
{
    if (!active)
        return PLACE_TOMBSTONE;
    return left == 0 ? PLACE_SEEDER : PLACE_LEECHER;
}

/*
 * Puts sessions into a swarm. One that is there already becomes what it is said to be, so that
 * the same may come twice. Returns 0 or -ENOMEM.
 */
int swarm_load(struct torrents *torrents, struct torrent *torrent, const struct saved_session *sessions,
               uint32_t count);

/* The flags of a session that do not follow from its place and endpoints, which it has already. */
void swarm_restore_flags(struct torrent *torrent, uint32_t slot, uint16_t saved);

#endif
