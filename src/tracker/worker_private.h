/* worker_private: what a worker is made of, for the files of the tracker room alone. */
#ifndef PRIVTRAK_TRACKER_WORKER_PRIVATE_H
#define PRIVTRAK_TRACKER_WORKER_PRIVATE_H

#include <pthread.h>

#include "middleware/departure.h"
#include "middleware/source_rate.h"
#include "tracker/census.h"
#include "tracker/chain.h"
#include "tracker/mailbox.h"
#include "tracker/tracker.h"

enum {
    MAIL_LIMIT = 16384, /* pieces that may wait at a worker before announces are refused */
    HOOKS_MAX = 4,
    HELD_POOLS_MAX = 1024, /* batches that may wait for the disk (durability: strict) before announces are refused */
};

/* Announces of one batch with room for their peers. Several, because a reply may already begin the next batch. */
struct pool {
    struct pool *next;
    uint64_t waits_for; /* where it is held: records of the ring that must be on disk first */
    unsigned count;
    struct announce *submitted[BATCH_MAX];
    struct announce announces[BATCH_MAX];
    uint8_t *buffer4; /* for each announce ANNOUNCE_HEADROOM and max_numwant endpoints */
    uint8_t *buffer6;
    struct peer_entry *entries;
    uint32_t peers_max;
};

/* An announce on its way to the worker that owns its torrent, and back with the answer. */
struct announce_mail {
    struct mail mail; /* first: it is cast from it */
    unsigned from;
    struct announce announce;
    size_t peers_bytes; /* room in `peers` behind the headroom */
    uint8_t peers[];    /* ANNOUNCE_HEADROOM + peers_bytes */
};

struct worker {
    unsigned number;
    struct tracker *tracker;
    pthread_t thread;
    struct event_base *base;
    struct mailbox mailbox;
    struct event *mail_event;
    struct event *flush_event;
    struct event *tick_event;
    struct context context;
    struct counters counters;
    struct chain *chain;
    struct pool *pool; /* the batch that is being filled */
    struct pool *spare_pools;
    struct pool *held_first; /* batches that wait for the disk, oldest first */
    struct pool *held_last;
    uint32_t held_count; /* written by the worker, read by the ledger's thread */
    bool flush_is_due;   /* the flush event is active */
    struct announce_mail *spare_mail;
    unsigned spare_mail_count;
    uint32_t mail_peers_max;
    struct departure_walk departures;
    struct census census;
    void *frontends[FRONTEND_COUNT];
    bool hooks_started[HOOKS_MAX];
    struct retired_reason *retired_reasons;
    int64_t last_retired_ms; /* monotonic */
};

/* A torrent's reason that was replaced, but may still be told. */
struct retired_reason {
    struct retired_reason *next;
    char *text;
};

struct tracker {
    const struct config *config;
    struct tracker_parts parts;
    unsigned count;
    struct worker **workers;
    struct source_rate *unknown_passkeys;
    struct worker_hooks hooks[HOOKS_MAX];
    unsigned hook_count;
    bool is_running;
    bool is_stopping;     /* atomic */
    bool keeps_strangers; /* restore.c */
    uint8_t mark;         /* parity of the complete looks at the table of torrents */
    tracker_gate_fn *gate;
    void *gate_context;
    tracker_synced_fn *synced;
    void *synced_context;
};

/* worker.c */
struct worker *worker_new(struct tracker *tracker, unsigned number, struct error *error);
void worker_free(struct worker *worker);
void *worker_main(void *worker);

/* Calls the replies of a batch that has run, and gives its pool back. */
void pool_answer(struct worker *worker, struct pool *pool);

/* held.c: batches whose replies wait for the disk. */
bool held_must_wait(const struct worker *worker);
bool held_is_full(const struct worker *worker);
void held_add(struct worker *worker, struct pool *pool);
void held_release(struct worker *worker);

/* pool.c */
struct pool *pool_new(uint32_t peers_max);
void pool_free(struct pool *pool);

/* remote.c: announces that belong to another worker's torrents. */
void remote_submit(struct worker *worker, struct announce *announce, unsigned owner);
void remote_free_spares(struct worker *worker);
/* Frees the mail behind those announces of a pool that will never be answered. */
void remote_free_unanswered(struct pool *pool);

/*
 * restore.c: the index of a user, by its row, or by its passkey where `id` is 0, who is then made where unknown. USER_NONE:
 * it has none. Before the workers start, by one thread.
 */
uint32_t restore_user(const struct tracker *tracker, int64_t id, const char *passkey, size_t length);

/* registry_mail.c: frees the reasons that were replaced. */
void reasons_free(struct worker *worker);

/* call.c: runs a function on a worker's thread, from a thread that is no worker, and waits for its end. */
typedef void worker_call_fn(struct worker *worker, void *argument);
void tracker_call(struct tracker *tracker, unsigned number, worker_call_fn *function, void *argument);
/* The same on all workers at once; `arguments` has `size` bytes for each. */
void tracker_call_all(struct tracker *tracker, worker_call_fn *function, void *arguments, size_t size);

#endif
