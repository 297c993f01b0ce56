/*
 * fetch: brings into the cache what the stages that work on swarms will touch for an accepted announce, in
 * steps: each reads what the one before has asked for, so there should be some time between them. They change nothing,
 * and other announces may change the swarm meanwhile.
 */
#ifndef PRIVTRAK_TRACKER_FETCH_H
#define PRIVTRAK_TRACKER_FETCH_H

#include "storage/pick.h"
#include "tracker/stage.h"

/* Also throws the dice that say which peers will be handed out. */
static inline void fetch_segment(struct pick_plan *plan, struct context *context, struct announce *announce)
{
    announce->dice = pick_random(&context->random);
    swarm_prefetch_segment(announce->torrent, announce->user->index);
    pick_make_plan(announce->torrent, announce->dice, announce_wanted(announce, &context->config->tracker),
                   announce_wants_seeders(announce), plan);
    pick_prefetch_chunks(announce->torrent, plan);
}

static inline void fetch_line(const struct announce *announce)
{
    swarm_prefetch_line(announce->torrent, announce->user->index);
}

static inline void fetch_slot(const struct pick_plan *plan, struct announce *announce)
{
    announce->slot = swarm_guess_slot(announce->torrent, announce->user->index);
    pick_prefetch_endpoints(announce->torrent, plan);
}

static inline void fetch_session(const struct announce *announce)
{
    swarm_prefetch_session(announce->torrent, announce->slot);
}

#endif
