/*
 * deltas: sends what the announce changed on its way to the ledger: into the worker's ring, which the chain's
 * caller has checked for room.
 */
#include "middleware/record.h"
#include "middleware/stages.h"

/* The user in the swarm: the others, and the session where it now is. */
static struct user_presence presence_after(const struct announce *announce)
{
    const struct others *others = &announce->others;
    struct user_presence presence = {.seeding = others->seeding, .active = others->active, .left = others->left};
    if (announce->place == PLACE_TOMBSTONE)
        return presence;
    uint64_t left = session_left(announce->session);
    presence.active++;
    presence.seeding += announce->place == PLACE_SEEDER;
    presence.left = left < presence.left ? left : presence.left;
    return presence;
}

static void record_announce(struct context *context, const struct announce *announce)
{
    const struct record record = {.user = announce->user,
                                  .torrent = announce->torrent,
                                  .session = announce->session,
                                  .slot = announce->slot,
                                  .in_swarm = announce->place != PLACE_TOMBSTONE,
                                  .event = announce->event,
                                  .peer_id = announce->peer_id,
                                  .credit = &announce->credit,
                                  .source = &announce->source,
                                  .left = announce->left,
                                  .presence = presence_after(announce)};
    record_delta(context, &record);
}

static void deltas_run(struct context *context, struct announce *announce)
{
    if (announce->verdict != VERDICT_ACCEPTED)
        return;
    if (announce->changes_session)
        record_announce(context, announce);
    if (announce->ends_with_failure) /* counted; now it is told */
        announce_refuse(announce, VERDICT_REFUSED, announce->failure, 0);
}

const struct stage_type stage_deltas = {
    .name = "deltas",
    .run_one = deltas_run,
};
