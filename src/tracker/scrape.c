/*
 * scrape: visits the workers that own the hashes, one after the other, and comes back.
 */
#include <stdlib.h>

#include "tracker/identity.h"
#include "tracker/worker_private.h"

struct scrape_mail {
    struct mail mail; /* first: it is cast from it */
    unsigned from;
    struct scrape *scrape;
};

static void look_up_own(struct worker *worker, struct scrape *scrape)
{
    for (uint32_t i = 0; i < scrape->count; i++) {
        const uint8_t *info_hash = scrape->info_hashes[i];
        if (torrent_owner(info_hash, worker->tracker->count) != worker->number)
            continue;
        const struct torrent *torrent = torrents_find(worker->context.torrents, info_hash);
        if (torrent == NULL || torrent->state == TORRENT_DELETED)
            continue;
        scrape->results[i] = (struct scrape_result){
            .known = true,
            .complete = torrent->seeders,
            .incomplete = torrent->leechers,
            .snatches = torrent->snatches,
        };
    }
}

/* The first owner behind `after` that has a hash to look up, `home` passed over; the number of workers where there is none. */
static unsigned next_owner(const struct tracker *tracker, const struct scrape *scrape, unsigned after, unsigned home)
{
    unsigned next = tracker->count;
    for (uint32_t i = 0; i < scrape->count; i++) {
        unsigned owner = torrent_owner(scrape->info_hashes[i], tracker->count);
        if (owner != home && owner >= after && owner < next)
            next = owner;
    }
    return next;
}

static void come_home(struct worker *worker, struct mail *mail)
{
    struct scrape *scrape = ((struct scrape_mail *)mail)->scrape;
    free(mail);
    scrape->reply(worker, scrape);
}

static void visit(struct worker *worker, struct mail *mail)
{
    struct scrape_mail *message = (struct scrape_mail *)mail;
    worker_flush(worker);
    look_up_own(worker, message->scrape);
    unsigned next = next_owner(worker->tracker, message->scrape, worker->number + 1, message->from);
    if (next == worker->tracker->count) {
        message->mail.deliver = come_home;
        next = message->from;
    }
    tracker_post(worker->tracker, next, &message->mail);
}

static void refuse(struct worker *worker, struct scrape *scrape, enum verdict verdict, const char *reason,
                   uint32_t retry_s)
{
    scrape->verdict = (uint8_t)verdict;
    scrape->failure = reason;
    scrape->retry_s = retry_s;
    scrape->reply(worker, scrape);
}

/* NULL where the passkey opens the door, else the reason why not. */
static const char *refusal(struct worker *worker, const struct scrape *scrape)
{
    if (scrape->passkey_length == 0 || worker->context.config->middleware.users == USERS_ANY)
        return NULL;
    users_read_begin();
    const struct user *user = users_find(worker->context.users, scrape->passkey, scrape->passkey_length);
    const char *reason = NULL;
    if (user == NULL)
        reason = source_rate_allows(worker->context.unknown_passkeys, &scrape->source,
                                    &worker->context.config->middleware.identify_rate_limit, worker->context.now_ms)
                     ? identity_unknown_passkey
                     : identity_too_many_unknown;
    else if (!(user->flags & USER_ENABLED))
        reason = identity_disabled;
    users_read_end();
    return reason;
}

void worker_scrape(struct worker *worker, struct scrape *scrape)
{
    const char *reason = refusal(worker, scrape);
    if (reason != NULL) {
        refuse(worker, scrape, VERDICT_REFUSED, reason, 0);
        return;
    }
    worker_flush(worker);
    scrape->verdict = VERDICT_ACCEPTED;
    look_up_own(worker, scrape);
    unsigned next = next_owner(worker->tracker, scrape, 0, worker->number);
    if (next == worker->tracker->count) {
        scrape->reply(worker, scrape);
        return;
    }
    struct scrape_mail *message = malloc(sizeof *message);
    if (message != NULL) {
        *message = (struct scrape_mail){.mail.deliver = visit, .from = worker->number, .scrape = scrape};
        if (worker_post(worker, next, &message->mail))
            return;
        free(message);
    }
    refuse(worker, scrape, VERDICT_OVERLOAD, "the tracker is busy, try again later", 60);
}
