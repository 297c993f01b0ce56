/*
 * limits: who has to leave before the announce is looked at: sessions of its swarm whose
 * time is up, and the user's stalest session where the new one would be too many. Also finds the
 * announce's own session, and says whether it may be handed out to others.
 */
#include "middleware/accounting.h"
#include "middleware/departure.h"
#include "middleware/stages.h"

static bool is_denied(const struct config_middleware *config, uint16_t port)
{
    for (size_t i = 0; i < config->port_denied_count; i++)
        if (config->ports_denied[i] == port)
            return true;
    return false;
}

/* The silent leave at once where the swarm is small enough to look through; the walk finds those of large ones. */
static void expire_silent(struct context *context, struct torrent *torrent)
{
    uint32_t total = swarm_total(torrent);
    if (total <= SWARM_SMALL_SLOTS && departure_is_due(context, torrent))
        (void)departure_sweep(context, torrent, total, total);
}

static uint32_t stalest_of(const struct torrent *torrent, uint32_t user, uint32_t *active)
{
    uint32_t stalest = SLOT_NONE;
    *active = 0;
    struct swarm_walk walk;
    uint32_t slot = swarm_first_of_user(torrent, user, &walk);
    for (; slot != SLOT_NONE; slot = swarm_next_of_user(&walk)) {
        if (swarm_place(torrent, slot) == PLACE_TOMBSTONE)
            continue;
        ++*active;
        if (stalest == SLOT_NONE || swarm_session(torrent, slot)->last_ms < swarm_session(torrent, stalest)->last_ms)
            stalest = slot;
    }
    return stalest;
}

static bool would_join(struct context *context, const struct announce *announce)
{
    if (announce->ends_with_failure || announce->event == EVENT_STOPPED)
        return false;
    if (announce->slot == SLOT_NONE)
        return true;
    bool in_swarm = swarm_place(announce->torrent, announce->slot) != PLACE_TOMBSTONE;
    return accounting_joins(swarm_session(announce->torrent, announce->slot), in_swarm, announce, context->now_ms);
}

/* Makes room for one more session of the user, by at most as many departures as the ring has room kept for. */
static void make_room(struct context *context, struct announce *announce)
{
    uint32_t most = context->config->middleware.sessions_per_torrent;
    bool somebody_left = false;
    for (int i = 0; i < DELTAS_PER_ANNOUNCE - 1; i++) {
        uint32_t active;
        uint32_t stalest = stalest_of(announce->torrent, announce->user->index, &active);
        if (active < most)
            break;
        departure_expire(context, announce->torrent, stalest);
        somebody_left = true;
    }
    if (somebody_left)
        announce->slot = swarm_find(context->torrents, announce->torrent, announce->user->index, announce->peer_id);
}

static void limit_one(struct context *context, struct announce *announce)
{
    const struct config_middleware *config = &context->config->middleware;
    announce->is_unlisted = is_denied(config, announce->source.port) ||
                            (announce->left > 0 && !(announce->user->flags & USER_CAN_LEECH));
    expire_silent(context, announce->torrent);
    announce->slot = swarm_find(context->torrents, announce->torrent, announce->user->index, announce->peer_id);
    if (would_join(context, announce))
        make_room(context, announce);
}

static void limits_run(struct stage *stage, struct batch *batch)
{
    (void)stage;
    for (unsigned i = 0; i < batch->count; i++)
        if (batch->announces[i]->verdict == VERDICT_ACCEPTED)
            limit_one(batch->context, batch->announces[i]);
}

const struct stage_type stage_limits = {
    .name = "limits",
    .works_on_swarms = true,
    .run = limits_run,
};
