/*
 * tracker: all workers together, and what other threads (main, registry, admin)
 * may ask of them. Functions may be called by any thread that is no worker,
 * unless they say otherwise.
 */
#ifndef PRIVTRAK_TRACKER_TRACKER_H
#define PRIVTRAK_TRACKER_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "config/config.h"
#include "deltas/ring.h"
#include "storage/clients.h"
#include "storage/multipliers.h"
#include "storage/users.h"
#include "tracker/counters.h"
#include "tracker/worker.h"

enum torrent_state { TORRENT_APPROVED, TORRENT_PENDING, TORRENT_DELETED };

/* What the registry knows of a torrent: a row of the table `torrents`. */
struct torrent_facts {
    int64_t id;
    uint8_t info_hash[INFO_HASH_BYTES];
    enum torrent_state state;
    const char *reason; /* of the deletion or the wait; NULL or "": none */
    uint32_t upload_percent;
    uint32_t download_percent;
    uint32_t snatches;
};

struct tracker;

/* What the stages need besides the worker's own stores. All outlive the tracker. */
struct tracker_parts {
    struct users *users;
    struct clients *clients;
    const struct multipliers *multipliers; /* read with relaxed atomics */
};

/*
 * Makes config->tracker.workers workers, not yet running, each with an
 * event_base and a delta ring. Returns NULL with a reason.
 */
struct tracker *tracker_new(const struct config *config, const struct tracker_parts *parts, struct error *error);

unsigned tracker_workers(const struct tracker *tracker);
struct worker *tracker_worker(struct tracker *tracker, unsigned number);
struct ring *tracker_ring(struct tracker *tracker, unsigned number);

/*
 * Sets a question that is asked once a batch: where it answers true (the journal is full),
 * announces are refused before they change anything. Before tracker_start.
 */
typedef bool tracker_gate_fn(void *context);
void tracker_set_gate(struct tracker *tracker, tracker_gate_fn *is_closed, void *context);

/*
 * Brings back what a delta says of its session: baseline, place, endpoints. Before tracker_start, in the order of
 * the journal, after the registry has loaded. Applying one twice changes nothing. `counts_snatch`: the database has
 * not got this one yet, so its snatch is not in the torrent's number. Sessions of users that are gone are passed over.
 * Returns 0 or -ENOMEM.
 */
int tracker_restore(struct tracker *tracker, const struct delta *delta, bool counts_snatch);

/*
 * For lists that are older than the sessions that come back: a session of a user that is not in them is kept, as one of a user
 * whose row is gone, until the registry knows better. Before tracker_load_begin and tracker_restore.
 */
void tracker_keep_strangers(struct tracker *tracker);

/*
 * Writes all sessions as blocks, each a slice of a worker's time, through `write` (which returns 0, or negative to
 * stop). `*sessions`: how many. By any thread that is registered as a reader of the users, also after tracker_stop.
 * Returns 0, -ENOMEM, or what `write` returned.
 */
typedef int tracker_block_fn(void *context, const uint8_t *data, size_t size);
int tracker_save(struct tracker *tracker, tracker_block_fn *write, void *context, uint64_t *sessions);

/*
 * Brings sessions back, block by block, in the order in which they were written; before tracker_start, after the registry
 * has loaded. Threads of its own fill the swarms. tracker_load returns 0, -ENOMEM, or -EBADMSG where the block is damaged, of which
 * the first part is then there. All is there when tracker_load_end returns: 0 or -ENOMEM.
 */
struct tracker_loading;
struct tracker_loading *tracker_load_begin(struct tracker *tracker); /* NULL out of memory */
int tracker_load(struct tracker_loading *loading, const uint8_t *data, size_t size);
int tracker_load_end(struct tracker_loading *loading);

/*
 * Sets who knows how many records of a worker's ring are on disk: for `durability: strict`, under which replies wait for
 * it. Before tracker_start. tracker_release_held is to be called, by any thread, after each sync.
 */
typedef uint64_t tracker_synced_fn(void *context, unsigned worker);
void tracker_set_synced(struct tracker *tracker, tracker_synced_fn *synced, void *context);
void tracker_release_held(struct tracker *tracker);

/* Starts the threads. Frontends must have been attached to each worker. */
int tracker_start(struct tracker *tracker, struct error *error);

/*
 * Called on a worker's thread when it begins and ends, in the order of
 * registration: frontends make their events and take them down here.
 */
struct worker_hooks {
    int (*start)(struct worker *worker, void *context); /* 0, or -1 */
    void (*reload)(struct worker *worker, void *context, const struct config *config);
    void (*drain)(struct worker *worker, void *context); /* take no new requests; may be called once */
    void (*stop)(struct worker *worker, void *context);  /* free all */
    void *context;
};
void tracker_add_hooks(struct tracker *tracker, const struct worker_hooks *hooks);

/* Puts a new configuration in force on every worker, and returns when all have it. The old one may then be freed. */
void tracker_reload(struct tracker *tracker, const struct config *config);

/* Answers what is in hand, then ends all workers and joins them; deltas are in the rings. */
void tracker_stop(struct tracker *tracker);
void tracker_free(struct tracker *tracker);

/*
 * Posts mail to a worker, from any thread. Never refuses: for rare messages of
 * the registry and the operator.
 */
void tracker_post(struct tracker *tracker, unsigned to, struct mail *mail);

/*
 * Makes the torrents known to their owners or changes them there. Before
 * tracker_start at once, afterwards by mail, and the call returns when all
 * owners have taken it, so that it is in force for the next announce.
 * `facts` and its strings are the caller's. Returns 0 or -ENOMEM.
 */
int tracker_put_torrents(struct tracker *tracker, const struct torrent_facts *facts, size_t count);

/* The rows of these torrents are gone: as deleted, without a reason. */
int tracker_remove_torrents(struct tracker *tracker, const uint8_t (*info_hashes)[INFO_HASH_BYTES], size_t count);

/*
 * For a complete look at the table: torrents with an id that no tracker_put_torrents has
 * touched since tracker_mark_torrents are as removed by tracker_sweep_torrents.
 */
void tracker_mark_torrents(struct tracker *tracker);
void tracker_sweep_torrents(struct tracker *tracker);

/*
 * Tells every torrent that has a row, one after another, on the thread of its owner (no waiting there); after each slice of a
 * worker's time `between` is called, on the caller's thread. Both return 0, or negative to stop. Returns 0 or what they
 * returned. Also after tracker_stop. A torrent whose row is gone is told as deleted.
 */
typedef int tracker_torrent_fn(void *context, const struct torrent_facts *facts);
typedef int tracker_between_fn(void *context);
int tracker_list_torrents(struct tracker *tracker, tracker_torrent_fn *each, tracker_between_fn *between,
                          void *context);

/* One session as the operator sees it. */
struct peer_view {
    uint32_t user_index;
    int64_t user_id;
    uint8_t peer_id[PEER_ID_BYTES];
    struct address address4;
    struct address address6;
    uint64_t uploaded;
    uint64_t downloaded;
    uint64_t left;
    int64_t last_announce_ms;
    bool seeding;
};

struct torrent_view {
    bool known;
    uint8_t info_hash[INFO_HASH_BYTES];
    int64_t id;
    enum torrent_state state;
    uint32_t seeders;
    uint32_t leechers;
    uint32_t snatches;
    uint32_t tombstones;
    struct peer_view *peers; /* malloc'd; the caller frees it; at most `max_peers` */
    size_t peer_count;
};

/* Asks the owner for one torrent and up to max_peers of its peers, and waits for the answer. 0 or -ENOMEM. */
int tracker_view_torrent(struct tracker *tracker, const uint8_t *info_hash, size_t max_peers,
                         struct torrent_view *view);

/* The `max` largest swarms, largest first (peers are not filled in). Returns how many. */
size_t tracker_top_torrents(struct tracker *tracker, struct torrent_view *views, size_t max);

/* The counters of all workers added up. */
void tracker_counters(struct tracker *tracker, struct counters *sum);

#endif
