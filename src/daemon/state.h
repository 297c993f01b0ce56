/*
 * state: what the tracker remembers over a restart: the last snapshot, and the journal behind
 * it, and a cache of the database's lists. Snapshots are taken every few minutes, at a graceful stop, and when the operator asks.
 */
#ifndef PRIVTRAK_DAEMON_STATE_H
#define PRIVTRAK_DAEMON_STATE_H

#include <stdint.h>

#include "base/error.h"
#include "config/config.h"
#include "daemon/lists_cache.h"
#include "deltas/ledger.h"
#include "tracker/tracker.h"

struct state;

/* NULL with a reason. All arguments outlive the state. */
struct state *state_open(const struct config *config, struct tracker *tracker, struct ledger *ledger,
                         struct lists_cache *cache, struct error *error);

/* Loads the newest good snapshot, and replays the journal behind it. Before any thread is started. Returns 0, or -1 with a reason. */
int state_restore(struct state *state, struct error *error);

/* Starts the thread `snapshot`, which saves every few minutes where something changed, and the lists soon after they have. */
int state_start(struct state *state, struct error *error);

/* Any thread but the workers': takes a snapshot now and returns when it is on disk. `*seq`: it covers all up to this. 0, or -1 with a reason. */
int state_save(struct state *state, uint64_t *seq, struct error *error);

/* Ends the thread. */
void state_stop(struct state *state);

/* The snapshot of a graceful stop: workers and ledger have ended. */
void state_save_last(struct state *state);

void state_free(struct state *state);

#endif
