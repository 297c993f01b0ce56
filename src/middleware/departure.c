/* departure: see departure.h. */
#include "middleware/departure.h"

#include "middleware/record.h"
#include "storage/seed_marks.h"

enum {
    ROOM_KEPT = DELTAS_PER_ANNOUNCE * BATCH_MAX, /* of the ring, for the announces that come meanwhile */
};

static uint32_t base_seconds(int64_t unix_ms)
{
    return (uint32_t)((unix_ms - TIME_BASE_MS) / 1000);
}

static uint32_t lifetime_s(const struct context *context, bool in_swarm)
{
    const struct config_tracker *config = &context->config->tracker;
    return in_swarm ? config->peer_lifetime_s : config->tombstone_lifetime_s;
}

void departure_expire(struct context *context, struct torrent *torrent, uint32_t slot)
{
    uint32_t user = swarm_user(torrent, slot);
    slot = swarm_move(context->torrents, torrent, slot, PLACE_TOMBSTONE);
    const struct session *session = swarm_session(torrent, slot);
    departure_note(context, torrent, session, false);
    struct credit nothing = {.flags = 0};
    uint8_t peer_id[PEER_ID_BYTES];
    swarm_unpack_peer_id(context->torrents, session, peer_id);
    const struct record record = {.user = users_at(context->users, user),
                                  .torrent = torrent,
                                  .session = session,
                                  .slot = slot,
                                  .event = EVENT_EXPIRED,
                                  .peer_id = peer_id,
                                  .credit = &nothing,
                                  .left = session_left(session),
                                  .presence = user_presence(torrent, user)};
    record_delta(context, &record);
    if (record.presence.active == 0)
        seed_marks_drop(torrents_seed_marks(context->torrents), torrent_number(torrent), user);
}

bool departure_is_due(const struct context *context, const struct torrent *torrent)
{
    return torrent->next_expiry_s <= base_seconds(context->now_ms);
}

void departure_note(const struct context *context, struct torrent *torrent, const struct session *session,
                    bool in_swarm)
{
    uint32_t due_s = (uint32_t)(session_last_since_base(session) / 1000) + lifetime_s(context, in_swarm) + 1;
    if (due_s < torrent->next_expiry_s)
        torrent->next_expiry_s = due_s;
}

/* The user's sessions in the swarm, tombstones included; 2 where there are more. */
static int sessions_up_to_two(const struct torrent *torrent, uint32_t user)
{
    struct swarm_walk walk;
    if (swarm_first_of_user(torrent, user, &walk) == SLOT_NONE)
        return 0;
    return swarm_next_of_user(&walk) == SLOT_NONE ? 1 : 2;
}

/*
 * Forgets a tombstone, and the user's seed mark where no two sessions are left that it could be for. Where marks are
 * kept longer, the one session left may still need it.
 */
static void forget(struct context *context, struct torrent *torrent, uint32_t slot)
{
    uint32_t user = swarm_user(torrent, slot);
    swarm_remove(context->torrents, torrent, slot);
    int least = departure_keeps_marks(context->config) ? 1 : 2;
    if (sessions_up_to_two(torrent, user) < least)
        seed_marks_drop(torrents_seed_marks(context->torrents), torrent_number(torrent), user);
}

/* Handles one slot; returns false where the ring has no room for its delta. */
static bool sweep_slot(struct context *context, struct torrent *torrent, uint32_t slot)
{
    const struct session *session = swarm_session(torrent, slot);
    bool in_swarm = swarm_place(torrent, slot) != PLACE_TOMBSTONE;
    int64_t age_ms = context->now_ms - session_last_ms(session);
    if (age_ms <= (int64_t)lifetime_s(context, in_swarm) * 1000) {
        departure_note(context, torrent, session, in_swarm);
        return true;
    }
    if (!in_swarm) {
        forget(context, torrent, slot);
        return true;
    }
    if (ring_room(context->ring) <= ROOM_KEPT) {
        torrent->next_expiry_s = base_seconds(context->now_ms);
        return false;
    }
    departure_expire(context, torrent, slot);
    return true;
}

uint32_t departure_sweep(struct context *context, struct torrent *torrent, uint32_t from, uint32_t budget)
{
    uint32_t total = swarm_total(torrent);
    if (from >= total) {
        from = total;
        torrent->next_expiry_s = UINT32_MAX; /* built up again from what stays */
    }
    /* Downwards: a session that leaves changes place with one that was looked at already. */
    while (from > 0 && budget > 0) {
        if (!sweep_slot(context, torrent, from - 1))
            return 0;
        from--;
        budget--;
    }
    if (from > 0 || total > SWARM_SMALL_SLOTS)
        torrent->next_expiry_s =
            base_seconds(context->now_ms); /* slots may change between slices: look again next time */
    return from;
}

static void unlist_refused(struct context *context, struct torrent *torrent)
{
    for (uint32_t slot = 0; slot < swarm_active(torrent); slot++)
        if (users_is_refused(context->users, swarm_user(torrent, slot)))
            swarm_list_session(torrent, slot, false);
}

static void unlist_walk(struct context *context, struct departure_walk *walk, uint32_t budget)
{
    uint32_t count = torrents_count(context->torrents);
    uint32_t refusals = users_refusals(context->users);
    if (refusals != walk->refusals) {
        walk->refusals = refusals;
        walk->unlist_count = count;
    }
    for (uint32_t spent = 0; walk->unlist_count > 0 && spent < budget; walk->unlist_count--) {
        if (walk->unlist_at >= count)
            walk->unlist_at = 0;
        struct torrent *torrent = torrents_at(context->torrents, walk->unlist_at++);
        unlist_refused(context, torrent);
        spent += 1 + swarm_active(torrent) / 16; /* users stand in a row, 16 to a cache line */
    }
}

static void expiry_walk(struct context *context, struct departure_walk *walk, uint32_t budget)
{
    uint32_t count = torrents_count(context->torrents);
    for (uint32_t seen = 0; budget > 0 && seen < count; budget--) {
        if (walk->torrent >= count)
            *walk = (struct departure_walk){.torrent = 0};
        struct torrent *torrent = torrents_at(context->torrents, walk->torrent);
        uint32_t total = swarm_total(torrent);
        if (walk->slot == 0)
            swarm_tidy(context->torrents, torrent);
        if (total > 0 && (walk->slot > 0 || departure_is_due(context, torrent))) {
            uint32_t slice = budget < total ? budget : total;
            walk->slot = departure_sweep(context, torrent, walk->slot > 0 ? walk->slot : UINT32_MAX, slice);
            budget -= slice - (slice == budget);
        }
        if (walk->slot == 0) {
            walk->torrent++;
            seen++;
        }
    }
}

void departure_walk(struct context *context, struct departure_walk *walk, uint32_t budget)
{
    expiry_walk(context, walk, budget);
    unlist_walk(context, walk, budget);
}
