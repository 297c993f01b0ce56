/*
 * remote: an announce whose torrent belongs to another worker travels there by mail, runs in that worker's batch
 * and comes back with its answer. (Over HTTP alone: the kernel cannot see the info hash in a TCP stream.) The mail is made once and
 * kept by the worker that sends it.
 */
#include <stdlib.h>
#include <string.h>

#include "tracker/worker_private.h"

enum { SPARE_MAX = 1024 };

static size_t peers_room(uint32_t peers_max)
{
    size_t endpoints = (size_t)peers_max * ENDPOINT6_BYTES;
    size_t entries = (size_t)peers_max * sizeof(struct peer_entry);
    return endpoints > entries ? endpoints : entries;
}

static struct announce_mail *take_mail(struct worker *worker)
{
    uint32_t peers_max = worker->pool->peers_max;
    if (worker->mail_peers_max != peers_max) { /* after a reload the kept ones are of the wrong size */
        remote_free_spares(worker);
        worker->mail_peers_max = peers_max;
    }
    struct announce_mail *mail = worker->spare_mail;
    if (mail != NULL) {
        worker->spare_mail = (struct announce_mail *)mail->mail.next;
        worker->spare_mail_count--;
        return mail;
    }
    /* IPv4 and IPv6 endpoints together are at most peers_max, so one area of the larger kind holds both. */
    mail = malloc(sizeof *mail + 2 * ANNOUNCE_HEADROOM + peers_room(peers_max));
    if (mail != NULL)
        mail->peers_bytes = peers_room(peers_max);
    return mail;
}

static void keep_mail(struct worker *worker, struct announce_mail *mail)
{
    if (worker->spare_mail_count >= SPARE_MAX || mail->peers_bytes != peers_room(worker->mail_peers_max)) {
        free(mail);
        return;
    }
    mail->mail.next = worker->spare_mail != NULL ? &worker->spare_mail->mail : NULL;
    worker->spare_mail = mail;
    worker->spare_mail_count++;
}

void remote_free_spares(struct worker *worker)
{
    while (worker->spare_mail != NULL) {
        struct announce_mail *mail = worker->spare_mail;
        worker->spare_mail = (struct announce_mail *)mail->mail.next;
        free(mail);
    }
    worker->spare_mail_count = 0;
}

/* Back home: the answer goes to the frontend that asked. */
static void come_home(struct worker *worker, struct mail *mail)
{
    struct announce_mail *message = (struct announce_mail *)mail;
    message->announce.origin->reply(worker, &message->announce);
    keep_mail(worker, message);
}

/* At the owner: the batch has run; the answer is packed up and sent home. */
static void pack_answer(struct worker *worker, struct announce *announce)
{
    struct announce_mail *message = announce->origin_data;
    struct announce *home = &message->announce;
    memcpy((char *)home + ANNOUNCE_FOUND_OFFSET, (const char *)announce + ANNOUNCE_FOUND_OFFSET,
           ANNOUNCE_BUFFERS_OFFSET - ANNOUNCE_FOUND_OFFSET);
    size_t count = (size_t)announce->peer4_count + announce->peer6_count;
    if (!announce->compact) {
        home->entries = (struct peer_entry *)(void *)message->peers;
        memcpy(message->peers, announce->entries, count * sizeof *announce->entries);
    } else {
        home->peers4 = message->peers + ANNOUNCE_HEADROOM;
        memcpy(home->peers4, announce->peers4, (size_t)announce->peer4_count * ENDPOINT4_BYTES);
        home->peers6 = home->peers4 + (size_t)announce->peer4_count * ENDPOINT4_BYTES + ANNOUNCE_HEADROOM;
        memcpy(home->peers6, announce->peers6, (size_t)announce->peer6_count * ENDPOINT6_BYTES);
    }
    message->mail.deliver = come_home;
    tracker_post(worker->tracker, message->from, &message->mail); /* never refused: there are no more than were sent */
}

static const struct announce_origin remote_origin = {.reply = pack_answer};

void remote_free_unanswered(struct pool *pool)
{
    for (unsigned i = 0; i < pool->count; i++)
        if (pool->submitted[i]->origin == &remote_origin)
            free(pool->submitted[i]->origin_data);
}

static void arrive(struct worker *worker, struct mail *mail)
{
    struct announce_mail *message = (struct announce_mail *)mail;
    struct announce *announce = worker_announce(worker);
    memcpy(announce, &message->announce, ANNOUNCE_FOUND_OFFSET);
    announce->origin = &remote_origin;
    announce->origin_data = message;
    worker_submit(worker, announce);
}

void remote_submit(struct worker *worker, struct announce *announce, unsigned owner)
{
    struct announce_mail *message = take_mail(worker);
    if (message != NULL) {
        message->mail.deliver = arrive;
        message->from = worker->number;
        memcpy(&message->announce, announce, ANNOUNCE_FOUND_OFFSET);
        if (worker_post(worker, owner, &message->mail)) {
            counter_add(&worker->counters.mailed, 1);
            return;
        }
        keep_mail(worker, message);
    }
    announce_refuse(announce, VERDICT_OVERLOAD, "the tracker is busy, try again later", 60);
    announce->origin->reply(worker, announce);
}
