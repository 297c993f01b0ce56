/*
 * chain_load: one worker's stores and chain without a worker, filled with sessions that announce again and again. What the
 * announcers say is computed from a few bytes each, so that the load stays out of the caches' way.
 *
 * One thread only, which must be registered as a reader of the users. The table of users is shared.
 */
#ifndef PRIVTRAK_BENCH_CHAIN_LOAD_H
#define PRIVTRAK_BENCH_CHAIN_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/random.h"
#include "tracker/chain.h"

enum { CHAIN_LOAD_PEERS_MAX = 100 };

/* Of one worker. */
struct chain_load_settings {
    uint64_t torrents; /* each has a session */
    uint64_t sessions;
    uint64_t users; /* of all workers: passkeys 0 … users - 1 of chain_load_add_users */
    uint64_t numwant;
    uint64_t seed;
    uint64_t worker; /* its number: workers have other torrents each */
};

/* What was spent, in CPU time of the chain alone. */
struct chain_load_spent {
    int64_t ns;
    int64_t slowest_ns; /* of all runs of at most BATCH_MAX announces */
    uint64_t announces;
    uint64_t peers;
};

struct chain_load;

/* Makes `count` users. Returns 0, or -1 out of memory. */
int chain_load_add_users(struct users *users, uint64_t count);

/* Both are borrowed, and shared by all workers. Returns NULL out of memory. */
struct chain_load *chain_load_new(const struct chain_load_settings *settings, const struct config *config,
                                  struct users *users);
void chain_load_free(struct chain_load *load);

/* Every session announces once, 64 a batch. */
void chain_load_fill(struct chain_load *load, struct chain_load_spent *spent);

/* Half an hour passes: nobody is too early. */
void chain_load_pass_time(struct chain_load *load);

/*
 * `announces` (rounded up to BATCH_MAX) of sessions chosen at random, `batch` at a time. BATCH_MAX of them are written
 * and read in advance, so that the clock is read as rarely for small batches as for large ones.
 */
void chain_load_announce(struct chain_load *load, uint64_t announces, unsigned batch, struct chain_load_spent *spent);

struct chain *chain_load_chain(struct chain_load *load);
const struct torrents *chain_load_torrents(const struct chain_load *load);

#endif
