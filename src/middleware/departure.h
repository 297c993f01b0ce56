/*
 * departure: sessions that leave without saying so: silent for too long, or the
 * stalest of too many of one user. They become tombstones and an `expired` delta is made.
 * And sessions of users who were refused since, which no reply is to name.
 */
#ifndef PRIVTRAK_MIDDLEWARE_DEPARTURE_H
#define PRIVTRAK_MIDDLEWARE_DEPARTURE_H

#include "storage/swarm.h"
#include "tracker/stage.h"

/* Takes the session in `slot` out of the swarm. The ring must have room for one delta. */
void departure_expire(struct context *context, struct torrent *torrent, uint32_t slot);

/*
 * Expires the sessions of one torrent whose time is up, and forgets tombstones past theirs, as
 * far as the ring has room. Looks at slots [0, from) downwards, at most `budget`; returns where it
 * stopped: 0 when through, else the next call's `from`. Begin with swarm_total.
 */
uint32_t departure_sweep(struct context *context, struct torrent *torrent, uint32_t from, uint32_t budget);

/* True where some session of the torrent may have to go by now. */
bool departure_is_due(const struct context *context, const struct torrent *torrent);

/*
 * Marks of seed time end with the tombstones that they are for, which nearly always live longer than a gap that is
 * counted. Where they are configured not to, marks are kept and looked for at each announce.
 */
static inline bool departure_keeps_marks(const struct config *config)
{
    return config->tracker.tombstone_lifetime_s < config->middleware.seed_time_gap_s;
}

/* A session was added or its time set: the torrent's next expiry is no later than that. */
void departure_note(const struct context *context, struct torrent *torrent, const struct session *session,
                    bool in_swarm);

/* A walk over all torrents, a slice a tick; zero-initialised at start. */
struct departure_walk {
    uint32_t torrent;
    uint32_t slot;         /* within it, where a large swarm was left in the middle; 0: begin it */
    uint32_t refusals;     /* of users_refusals, taken notice of */
    uint32_t unlist_at;    /* the next torrent to be gone through for them */
    uint32_t unlist_count; /* how many still are */
};

/*
 * Does about `budget` units of work (a torrent or a slot each). An RCU read section must be open. Beside expiry, the
 * sessions of users who may no longer announce are not handed out any more; nothing else about them changes, and
 * they expire in their time. An announce, where the user may again, lists them anew.
 */
void departure_walk(struct context *context, struct departure_walk *walk, uint32_t budget);

#endif
