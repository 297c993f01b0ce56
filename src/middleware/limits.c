/*
 * limits: who has to leave before the announce is looked at: sessions of its swarm whose
 * time is up, and the user's stalest session where the new one would be too many. Also finds the
 * announce's own session and looks at the user's others, and says whether it may be handed out.
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

static bool is_staler(const struct torrent *torrent, uint32_t slot, uint32_t than)
{
    return session_last_ms(swarm_session(torrent, slot)) < session_last_ms(swarm_session(torrent, than));
}

static void look_at_other(const struct context *context, struct announce *announce, uint32_t slot)
{
    struct others *others = &announce->others;
    const struct torrent *torrent = announce->torrent;
    const struct session *session = swarm_session(torrent, slot);
    others->count++;
    others->has_snatched |= (session->flags & SESSION_SNATCHED) != 0;
    others->has_twin |= accounting_is_twin(session, announce, context->now_ms);
    enum swarm_place place = swarm_place(torrent, slot);
    if (place != PLACE_TOMBSTONE) {
        uint64_t left = session_left(session);
        others->active++;
        others->seeding += place == PLACE_SEEDER;
        others->left = left < others->left ? left : others->left;
    } else if (others->oldest == SLOT_NONE || is_staler(torrent, slot, others->oldest)) {
        others->oldest = slot;
    }
}

/* Finds the announce's own session, and tells what there is of the user's others. */
static void find_sessions(const struct context *context, struct announce *announce)
{
    const struct peer_ids *peer_ids = torrents_peer_ids(context->torrents);
    struct peer_id_key key;
    peer_ids_key(peer_ids, announce->peer_id, &key);
    announce->slot = SLOT_NONE;
    announce->session = NULL;
    announce->others = (struct others){.left = COUNTER_MAX, .oldest = SLOT_NONE};
    struct swarm_walk walk;
    uint32_t slot = swarm_first_of_user(announce->torrent, announce->user->index, &walk);
    for (; slot != SLOT_NONE; slot = swarm_next_of_user(&walk)) {
        struct session *session = swarm_session(announce->torrent, slot);
        if (announce->session == NULL && peer_ids_match(peer_ids, &key, &session->peer_id)) {
            announce->slot = slot;
            announce->session = session;
        } else {
            look_at_other(context, announce, slot);
        }
    }
}

static bool would_join(struct context *context, const struct announce *announce)
{
    if (announce->ends_with_failure || announce->event == EVENT_STOPPED)
        return false;
    if (announce->session == NULL)
        return true;
    bool in_swarm = swarm_place(announce->torrent, announce->slot) != PLACE_TOMBSTONE;
    return accounting_joins(announce->session, in_swarm, announce, context->now_ms);
}

/* The user's session in the swarm that was silent longest. There is one. */
static uint32_t stalest_of(const struct torrent *torrent, uint32_t user)
{
    struct swarm_walk walk;
    uint32_t stalest = SLOT_NONE;
    uint32_t slot = swarm_first_of_user(torrent, user, &walk);
    for (; slot != SLOT_NONE; slot = swarm_next_of_user(&walk))
        if (swarm_place(torrent, slot) != PLACE_TOMBSTONE &&
            (stalest == SLOT_NONE || is_staler(torrent, slot, stalest)))
            stalest = slot;
    return stalest;
}

/*
 * Makes room for one more session of the user, whose own is not in the swarm, by at most as many departures as the
 * ring has room kept for.
 */
static void make_room(struct context *context, struct announce *announce)
{
    uint32_t most = context->config->middleware.sessions_per_torrent;
    for (int i = 0; i < DELTAS_PER_ANNOUNCE - 1 && announce->others.active >= most; i++) {
        departure_expire(context, announce->torrent, stalest_of(announce->torrent, announce->user->index));
        find_sessions(context, announce);
    }
}

static void limits_run(struct context *context, struct announce *announce)
{
    if (announce->verdict != VERDICT_ACCEPTED)
        return;
    const struct config_middleware *config = &context->config->middleware;
    announce->is_unlisted =
        is_denied(config, announce->source.port) || (announce->left > 0 && !(announce->user->flags & USER_CAN_LEECH));
    expire_silent(context, announce->torrent);
    find_sessions(context, announce);
    if (announce->others.active >= config->sessions_per_torrent && would_join(context, announce))
        make_room(context, announce);
}

const struct stage_type stage_limits = {
    .name = "limits",
    .run_one = limits_run,
};
