/*
 * peers: carries out what privtrak decided about the session's place in the swarm, keeps its endpoints, and
 * picks the peers that the client gets (section 5 of the specification).
 */
#include "middleware/departure.h"
#include "middleware/stages.h"
#include "storage/pick.h"

static const char only_yourself[] = "only your own other sessions are in this swarm, and you do not get those";

/*
 * ipv4= or ipv6= names the peer's other address. It is believed only where an earlier announce showed that
 * address, and then only freshens its port.
 */
static void take_claimed(struct announce *announce)
{
    if (announce->claimed.family == 0 || announce->claimed.family == announce->source.family)
        return;
    struct address known = swarm_endpoint(announce->torrent, announce->slot, announce->claimed.family);
    if (address_same_ip(&known, &announce->claimed)) {
        known.port = announce->source.port;
        (void)swarm_set_endpoint(announce->torrent, announce->slot, &known); /* it is there: cannot fail */
    }
}

/* Moves the session to its place and keeps its endpoint. */
static void settle(struct context *context, struct announce *announce)
{
    struct torrent *torrent = announce->torrent;
    if (swarm_place(torrent, announce->slot) != announce->place) {
        announce->slot = swarm_move(context->torrents, torrent, announce->slot, announce->place);
        announce->session = swarm_session(torrent, announce->slot);
    }
    struct session *session = announce->session;
    bool in_swarm = announce->place != PLACE_TOMBSTONE;
    if (in_swarm && !announce->is_late) {
        session->flags = (uint8_t)(announce->event == EVENT_PAUSED ? session->flags | SESSION_PARTIAL
                                                                   : session->flags & ~SESSION_PARTIAL);
        if (session_is_listed(session) == announce->is_unlisted)
            swarm_list_session(torrent, announce->slot, !announce->is_unlisted);
    }
    if (in_swarm && announce->takes_endpoint) {
        /* Out of memory for the list of IPv6: the account is kept, the peer is just not handed out yet. */
        (void)swarm_set_endpoint(torrent, announce->slot, &announce->source);
        take_claimed(announce);
    }
    departure_note(context, torrent, session, in_swarm);
}

static void hide_slots(const struct context *context, const struct announce *announce, struct pick *pick)
{
    pick->hidden[0] = announce->slot;
    pick->hidden_count = 1;
    pick->hides_user = false;
    if (!context->config->middleware.hide_user_from_self || announce->others.active == 0)
        return;
    struct swarm_walk walk;
    uint32_t slot = swarm_first_of_user(announce->torrent, announce->user->index, &walk);
    for (; slot != SLOT_NONE && !pick->hides_user; slot = swarm_next_of_user(&walk)) {
        if (slot == announce->slot || swarm_place(announce->torrent, slot) == PLACE_TOMBSTONE)
            continue;
        if (pick->hidden_count < PICK_HIDDEN_MAX)
            pick->hidden[pick->hidden_count++] = slot;
        else
            pick->hides_user = true;
    }
    pick->hidden_user = announce->user->index;
}

static void pick_for(struct context *context, struct announce *announce)
{
    bool over_http = announce->protocol == PROTOCOL_HTTP;
    struct pick pick; /* set field by field: its list of hidden slots is long and mostly not used */
    pick.torrents = context->torrents;
    pick.torrent = announce->torrent;
    pick.want = announce_wanted(announce, &context->config->tracker);
    pick.wants_seeders = announce_wants_seeders(announce);
    pick.wants4 = over_http ? announce->has_ipv4 : announce->source.family == 4;
    pick.wants6 = over_http ? announce->has_ipv6 : announce->source.family == 6;
    pick.dice = announce->dice;
    pick.peers4 = announce->peers4;
    pick.peers6 = announce->peers6;
    pick.entries = announce->compact ? NULL : announce->entries;
    hide_slots(context, announce, &pick);
    pick_peers(&pick);
    announce->peer4_count = (uint16_t)pick.count4;
    announce->peer6_count = (uint16_t)pick.count6;
    if (pick.count4 + pick.count6 > 0)
        announce->session->flags |= SESSION_GIVEN_PEER;
    else if (pick.hidden_count > 1 && pick.want > 0 && swarm_active(announce->torrent) == announce->others.active + 1)
        announce->warning = only_yourself;
}

static void peers_run(struct context *context, struct announce *announce)
{
    if (announce->verdict != VERDICT_ACCEPTED)
        return;
    settle(context, announce);
    uint8_t flags = announce->session->flags;
    bool has_left = announce->place == PLACE_TOMBSTONE;
    announce->has_ipv4 = flags & SESSION_HAS4 || (has_left && announce->source.family == 4);
    announce->has_ipv6 = flags & SESSION_HAS6 || (has_left && announce->source.family == 6);
    if (!has_left && !announce->wants_no_peers)
        pick_for(context, announce);
}

const struct stage_type stage_peers = {
    .name = "peers",
    .run_one = peers_run,
};
