/*
 * record: makes the delta of a session: what the account gained, and what session,
 * user and torrent are now. Shared by the deltas stage and by departure.
 */
#ifndef PRIVTRAK_MIDDLEWARE_RECORD_H
#define PRIVTRAK_MIDDLEWARE_RECORD_H

#include "deltas/delta.h"
#include "storage/swarm.h"
#include "tracker/stage.h"

/* The user's sessions in a swarm, taken together. */
struct user_presence {
    uint32_t seeding;
    uint32_t active;
    uint64_t left; /* the smallest of those in the swarm; COUNTER_MAX where there are none */
};
struct user_presence user_presence(const struct torrent *torrent, uint32_t user);

/* What a delta is made of. */
struct record {
    const struct user *user;
    const struct torrent *torrent;
    const struct session *session;
    uint32_t slot; /* the session's */
    bool in_swarm;
    uint8_t event;          /* enum announce_event */
    const uint8_t *peer_id; /* of 20 bytes */
    const struct credit *credit;
    const struct address *source;  /* NULL: none (expired) */
    uint64_t left;                 /* as the client said it */
    struct user_presence presence; /* of the user in the swarm, this session included */
};

/* Pushes a delta into the ring, which must have room. */
void record_delta(struct context *context, const struct record *record);

#endif
