/*
 * ledger: the thread that takes deltas from the workers' rings, numbers them,
 * writes them into the journal and syncs it, and the sinks' threads behind it.
 * The journal is the truth: a sink is only given records that are synced.
 */
#ifndef PRIVTRAK_DELTAS_LEDGER_H
#define PRIVTRAK_DELTAS_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "config/config.h"
#include "deltas/ring.h"

struct ledger;

/*
 * Opens (or makes) the journal under state_dir/journal and the sinks. Nothing
 * runs yet: ledger_replay may be called, then ledger_start. NULL with a reason.
 */
struct ledger *ledger_open(const struct config *config, struct error *error);

/*
 * Gives every record behind `after_seq` in the journal, in order, to `replay`,
 * for rebuilding the sessions. Before ledger_start only. Returns 0, or -1 with a reason
 * (a damaged frame in the middle, a gap behind after_seq).
 */
typedef void ledger_replay_fn(void *context, const struct delta *delta);
int ledger_replay(struct ledger *ledger, uint64_t after_seq, ledger_replay_fn *replay, void *context,
                  struct error *error);

/* 32 hex digits that name this tracker's journal, also towards the sinks. */
const char *ledger_instance(const struct ledger *ledger);

/* The last seq that was given out; 0: none yet. */
uint64_t ledger_last_seq(const struct ledger *ledger);

/* Starts the threads over these rings (one a worker). */
int ledger_start(struct ledger *ledger, struct ring *const *rings, size_t ring_count, struct error *error);

/* Any thread, one relaxed load: the journal is over its bound (or its disk full), announces are to be refused before they change anything. */
bool ledger_is_full(const struct ledger *ledger);

/* Any thread: how many records of that ring (counted as ring_published does) are on disk. For durability: strict. */
uint64_t ledger_synced(const struct ledger *ledger, size_t ring);
/* Called from the ledger thread after each sync, to wake workers that hold replies back. Set before ledger_start. */
void ledger_on_sync(struct ledger *ledger, void (*synced)(void *context), void *context);

/* Any thread: the journal is half full and a new snapshot would let some of it go. */
bool ledger_wants_snapshot(struct ledger *ledger);

/*
 * A snapshot covers all records up to and with `seq`: segments that every sink is past, too, may go.
 */
void ledger_covered(struct ledger *ledger, uint64_t seq);

/*
 * Any thread but the ledger's: waits until all that was published in the rings when it was called is on
 * disk and has its number; returns the last number. For snapshots and flush.
 */
uint64_t ledger_barrier(struct ledger *ledger);

/* Waits until every sink has taken all that was published when it was called, at most `timeout_ms`. Returns false where it ran out. */
bool ledger_flush(struct ledger *ledger, int64_t timeout_ms);

/* New flush_interval, batch_size, sync_interval, include_address, max_size after a reload. */
void ledger_reload(struct ledger *ledger, const struct config *config);

/*
 * Takes what is left in the rings (the workers have ended), syncs, gives the sinks until `timeout_ms` from now
 * to take the rest, interrupts them, and joins all threads. What a sink has not taken stays in the journal.
 */
void ledger_stop(struct ledger *ledger, int64_t timeout_ms);
void ledger_free(struct ledger *ledger);

struct ledger_sink_status {
    const char *name;
    uint64_t delivered; /* records taken since the start of this process */
    uint64_t position;  /* last seq taken */
    uint64_t pending;
    double oldest_pending_age_s; /* 0 where nothing is pending */
    uint64_t parked;
    char last_error[256]; /* "" : none since the last success */
};

struct ledger_status {
    uint64_t last_seq;
    uint64_t synced_seq;
    uint64_t covered_seq;
    uint64_t journal_bytes;
    uint64_t journal_max_bytes;
    bool full;
    uint64_t sync_count;
    uint64_t sync_sum_ns;
    uint64_t sync_buckets[21]; /* as struct latency: from 10 µs, doubling */
    size_t sink_count;
    struct ledger_sink_status sinks[16];
};
void ledger_status(struct ledger *ledger, struct ledger_status *status);

#endif
