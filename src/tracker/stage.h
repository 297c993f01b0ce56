/*
 * stage: the shape of the middleware chain. The chain is the table of stages in
 * middleware/stages.c, in the order in which they run. The first look at a batch of announces as a
 * whole, so that what they fetch for many arrives together; those behind them work on swarms, which
 * the first have fetched, and look at one announce after the other. A stage passes over announces
 * whose verdict is no longer VERDICT_ACCEPTED, and knows the announce and the stores, but no other stage.
 */
#ifndef PRIVTRAK_TRACKER_STAGE_H
#define PRIVTRAK_TRACKER_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "deltas/ring.h"
#include "storage/clients.h"
#include "storage/multipliers.h"
#include "storage/torrents.h"
#include "storage/users.h"
#include "tracker/announce.h"
#include "tracker/counters.h"

/* What the stages of one worker share. Only that worker's thread uses it. */
struct context {
    const struct config *config;
    struct torrents *torrents;
    struct users *users;
    struct clients *clients;
    const struct multipliers *multipliers;
    struct ring *ring;
    struct counters *counters;
    struct source_rate *unknown_passkeys; /* of all workers; see middleware/source_rate.h */
    int64_t now_ms;
    uint64_t random; /* state of pick_random */
};

enum { BATCH_MAX = 64 };

struct batch {
    struct context *context;
    unsigned count;
    struct announce *announces[BATCH_MAX];
};

/* Slots of the ring that an announce may take at the most: its own delta, and those of sessions that give way. */
enum { DELTAS_PER_ANNOUNCE = 4 };

struct stage;

struct stage_type {
    const char *name;
    /* Makes the stage's own state, where it has any. Returns 0, or -1 out of memory. May be NULL. */
    int (*start)(struct stage *stage, const struct config *config);
    /* One of these two: over a batch, for stages that change no swarm; */
    void (*run)(struct stage *stage, struct batch *batch);
    /*
     * or of one announce. The chain takes an announce through all of these in a row before it begins the next, so
     * that a batch gives what its announces one at a time would. Refused ones do not come here; empty ones do.
     */
    void (*run_one)(struct context *context, struct announce *announce);
    void (*stop)(struct stage *stage);
};

struct stage {
    const struct stage_type *type;
    void *state;
};

/* How many peers an announce gets at the most. */
static inline uint32_t announce_wanted(const struct announce *announce, const struct config_tracker *config)
{
    uint32_t want = announce->numwant < 0 ? config->default_numwant : (uint32_t)announce->numwant;
    uint32_t most = config->max_numwant < announce->peers_max ? config->max_numwant : announce->peers_max;
    return want < most ? want : most;
}

/* Seeders have no use for seeders, nor have partial seeds (BEP 21). */
static inline bool announce_wants_seeders(const struct announce *announce)
{
    return announce->left > 0 && announce->event != EVENT_PAUSED;
}

/* Ends an announce with a failure. `reason` must outlive the reply. `retry_s` 0: retrying does not help. */
static inline void announce_refuse(struct announce *announce, enum verdict verdict, const char *reason,
                                   uint32_t retry_s)
{
    announce->verdict = (uint8_t)verdict;
    announce->failure = reason;
    announce->retry_s = retry_s;
}

#endif
