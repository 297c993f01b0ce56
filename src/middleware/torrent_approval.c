/*
 * torrent_approval: finds the torrent. In `open` mode a known user's new torrent
 * registers itself; in `registered` mode it is refused, with a short wait, for it may
 * have been uploaded to the site a moment ago. Deleted ones are told the reason.
 */
#include "middleware/stages.h"
#include "storage/swarm.h"
#include "tracker/tracker.h"

enum {
    UNKNOWN_TORRENT_RETRY_S = 60, /* BEP 31 counts minutes */
    NEW_TORRENTS_RETRY_S = 3600,
    DELETED_COUNTS_FOR_S = 86400, /* section 6, rule 11 */
};

static const char deleted_reason[] = "this torrent was deleted";

static void register_torrent(struct context *context, struct announce *announce)
{
    const struct config_middleware *config = &context->config->middleware;
    if (config->torrent_mode == TORRENTS_REGISTERED) {
        announce_refuse(announce, VERDICT_REFUSED, "this torrent is not registered here", UNKNOWN_TORRENT_RETRY_S);
        return;
    }
    if (announce->event == EVENT_STOPPED) {
        announce->verdict = VERDICT_EMPTY; /* nothing to stop, and no reason to register it */
        return;
    }
    const struct rate *limit = &config->new_torrents_per_user;
    if (!users_count_new_torrent(context->users, announce->user->index, limit->count, limit->per_s,
                                 context->now_ms / 1000)) {
        announce_refuse(announce, VERDICT_REFUSED, "too many new torrents from your account", NEW_TORRENTS_RETRY_S);
        return;
    }
    announce->torrent = torrents_add(context->torrents, announce->info_hash);
    if (announce->torrent == NULL)
        announce_refuse(announce, VERDICT_OVERLOAD, "the tracker is out of memory", 60);
}

/* For a day those who were in the swarm are counted before they are told; then nobody is. */
static void approve_deleted(struct context *context, struct announce *announce)
{
    const struct torrent_extra *extra = torrent_extra(announce->torrent);
    const char *reason = extra != NULL && extra->reason != NULL ? extra->reason : deleted_reason;
    int64_t deleted_at_s = extra != NULL ? extra->deleted_at_s : 0;
    if (context->now_ms / 1000 - deleted_at_s < DELETED_COUNTS_FOR_S) {
        announce->ends_with_failure = true;
        announce->failure = reason;
    } else {
        announce_refuse(announce, VERDICT_REFUSED, reason, 0);
    }
}

static void approve_one(struct context *context, struct announce *announce)
{
    announce->torrent = torrents_find_hashed(context->torrents, announce->hash, announce->torrent, announce->info_hash);
    if (announce->torrent == NULL) /* an earlier one of the batch may have registered it */
        announce->torrent = torrents_find(context->torrents, announce->info_hash);
    if (announce->torrent == NULL)
        register_torrent(context, announce);
    else if (announce->torrent->state == TORRENT_DELETED)
        approve_deleted(context, announce);
    if (announce->verdict == VERDICT_ACCEPTED)
        swarm_prefetch_body(announce->torrent);
}

static void torrent_approval_run(struct stage *stage, struct batch *batch)
{
    (void)stage;
    struct context *context = batch->context;
    /* First the index's line, then the record, then the sessions, so that 64 misses overlap. */
    for (unsigned i = 0; i < batch->count; i++) {
        struct announce *announce = batch->announces[i];
        announce->hash = torrents_hash(context->torrents, announce->info_hash);
        torrents_prefetch_bucket(context->torrents, announce->hash);
    }
    for (unsigned i = 0; i < batch->count; i++)
        batch->announces[i]->torrent = torrents_guess(context->torrents, batch->announces[i]->hash);
    for (unsigned i = 0; i < batch->count; i++)
        if (batch->announces[i]->verdict == VERDICT_ACCEPTED)
            approve_one(context, batch->announces[i]);
}

const struct stage_type stage_torrent_approval = {
    .name = "torrent_approval",
    .run = torrent_approval_run,
};
