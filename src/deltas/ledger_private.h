/* ledger_private: what the ledger's own files share. Nobody else includes it. */
#ifndef PRIVTRAK_DELTAS_LEDGER_PRIVATE_H
#define PRIVTRAK_DELTAS_LEDGER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "deltas/journal.h"
#include "deltas/ledger.h"
#include "deltas/runner.h"
#include "deltas/thread.h"
#include "tracker/counters.h"

enum { LEDGER_SINKS_MAX = 16 };

/* The part of the configuration that a reload may change. */
struct ledger_options {
    bool strict;
    uint32_t sync_interval_ms;
    uint64_t max_bytes;
};

struct ledger {
    /* Set before the threads start. */
    struct journal *journal;
    struct ring *const *rings;
    size_t ring_count;
    struct runner *runners[LEDGER_SINKS_MAX];
    size_t runner_count;
    uint64_t opened_seq; /* the last one before this process */
    void (*synced_hook)(void *context);
    void *synced_context;
    struct thread thread;
    bool started;
    bool stuck; /* a thread could not be joined: nothing that it may use is freed */

    /* The ledger's thread. One counter a ring: records taken out of it, of those written, of those under way to the disk. */
    uint64_t *taken;
    uint64_t *written;
    uint64_t *syncing;
    bool strict;
    bool urgent;
    bool stopping;
    int64_t sync_interval_ns;
    int64_t sync_begun_ns;
    int64_t busy_ns;
    int64_t pause_ns;
    int64_t stop_deadline_ns; /* set before `stop` */

    /* Read by any thread. */
    _Atomic uint64_t *synced;
    _Atomic uint64_t last_seq;
    _Atomic uint64_t covered;
    struct latency sync_latency;

    /* Under the mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t poked;    /* for the ledger's thread */
    pthread_cond_t progress; /* something was synced, or taken by a sink */
    bool poke;
    bool stop;
    bool ended;       /* nobody is to wait for a sync any more */
    unsigned waiters; /* threads that wait for a sync */
    uint64_t skip_to;
    struct ledger_options options;
    bool new_options;
    uint64_t max_bytes;
};

void *ledger_main(void *argument);

/* The highest seq that no sink needs any more. */
uint64_t ledger_taken_by_all(const struct ledger *ledger);

/* Lets the segments go that neither a sink nor a restart needs. The ledger's thread, or after it has ended. */
void ledger_trim(struct ledger *ledger);

#endif
