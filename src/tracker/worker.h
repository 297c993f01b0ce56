/*
 * worker: a thread with an event_base that owns the swarms of its share of the
 * torrents. This header is what a frontend needs of it. All functions are to be
 * called on the worker's own thread, unless they say otherwise.
 */
#ifndef PRIVTRAK_TRACKER_WORKER_H
#define PRIVTRAK_TRACKER_WORKER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "tracker/announce.h"
#include "tracker/counters.h"

struct worker;
struct mail;

enum frontend { FRONTEND_HTTP, FRONTEND_UDP, FRONTEND_COUNT };

struct event_base *worker_base(struct worker *worker);
unsigned worker_number(const struct worker *worker);
unsigned worker_total(const struct worker *worker);

/* The configuration in force; changes only between turns of the event loop. */
const struct config *worker_config(const struct worker *worker);

/* Where a frontend keeps its own state for this worker. */
void worker_set_frontend(struct worker *worker, enum frontend frontend, void *state);
void *worker_frontend(struct worker *worker, enum frontend frontend);

/* Counters of this worker alone, read by the metrics; see counters.h. */
struct counters *worker_counters(struct worker *worker);

/* The coarse clock: Unix milliseconds (clock.h), taken once a batch or turn. */
int64_t worker_now_ms(const struct worker *worker);
/* Takes the clock again; a frontend calls it once when it begins to read a batch. */
int64_t worker_tick(struct worker *worker);

/*
 * The worker number that owns a torrent: the first four bytes of the info hash,
 * big endian, modulo the number of workers. The kernel's UDP steering computes
 * the same (a reuseport filter over the datagram's bytes 16 to 19).
 */
static inline unsigned torrent_owner(const uint8_t *info_hash, unsigned workers)
{
    uint32_t head =
        (uint32_t)info_hash[0] << 24 | (uint32_t)info_hash[1] << 16 | (uint32_t)info_hash[2] << 8 | info_hash[3];
    return head % workers;
}

/*
 * Gives the next free announce of the worker's batch, groups 2 and 3 cleared,
 * group 1 undefined (the frontend fills all of it). It must be handed back by
 * worker_submit or worker_discard before the next call. Runs the batch first
 * where it is full, so replies of earlier announces may be called from inside.
 */
struct announce *worker_announce(struct worker *worker);

/* The announce was malformed, or is answered already: forget it. */
void worker_discard(struct worker *worker, struct announce *announce);

/*
 * Hands over a filled announce. It joins the batch of the worker that owns its
 * torrent: this one's own, or, by mail, another's. origin->reply is called
 * on this worker, later: from worker_flush, from a worker_announce that finds
 * the batch full, or when the other worker has answered. Never from inside
 * worker_submit itself, but for an announce whose owner's mailbox is full: that
 * is answered at once with VERDICT_OVERLOAD.
 */
void worker_submit(struct worker *worker, struct announce *announce);

/*
 * Runs the batch as far as it is filled and calls the replies. UDP calls it at
 * the end of each received batch. HTTP need not: the first worker_submit of a turn
 * arranges that the batch runs when the turn's other events are done.
 */
void worker_flush(struct worker *worker);

/*
 * Looks up all info hashes of a scrape, on whichever workers own them, then
 * calls scrape->reply on this worker: at once, from inside, where this worker
 * owns them all. Does not touch the batch, which is run first, so that a scrape
 * sees all announces that came before it.
 */
void worker_scrape(struct worker *worker, struct scrape *scrape);

/*
 * Mail: work for another worker. The sender allocates, by malloc, an object that
 * begins with a `struct mail`; `deliver` is called on the receiving worker's thread
 * with the mail and has to free it or send it on. What a worker that has ended
 * did not deliver is freed.
 */
struct mail {
    struct mail *next;
    void (*deliver)(struct worker *worker, struct mail *mail);
};

/*
 * Posts mail to the worker with that number; from any worker's thread. Returns
 * false, and the mail stays the caller's, where too much is waiting there.
 * The receiver is woken once for all that arrived since it last looked.
 */
bool worker_post(struct worker *from, unsigned to, struct mail *mail);

/*
 * True while the tracker stops: frontends answer what is in hand, and take
 * nothing new. Frontends are told through their own stop functions as well.
 */
bool worker_stopping(const struct worker *worker);

#endif
