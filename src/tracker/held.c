/*
 * held: with `durability: strict` a reply waits until the journal has its delta on disk. The batch's pool is put
 * aside whole, and answered when the ledger says that the worker's ring is synced so far.
 */
#include <unistd.h>

#include "tracker/worker_private.h"

static uint64_t synced(const struct worker *worker)
{
    return worker->tracker->synced(worker->tracker->synced_context, worker->number);
}

bool held_must_wait(const struct worker *worker)
{
    return worker->tracker->synced != NULL && worker->context.config->deltas.durability == DURABILITY_STRICT &&
           synced(worker) < ring_published(worker->context.ring);
}

bool held_is_full(const struct worker *worker)
{
    return worker->held_count >= HELD_POOLS_MAX;
}

void held_add(struct worker *worker, struct pool *pool)
{
    pool->waits_for = ring_published(worker->context.ring);
    pool->next = NULL;
    if (worker->held_last != NULL)
        worker->held_last->next = pool;
    else
        worker->held_first = pool;
    worker->held_last = pool;
    __atomic_store_n(&worker->held_count, worker->held_count + 1, __ATOMIC_SEQ_CST);
    /* A sync that ended just now may have found nobody waiting. */
    held_release(worker);
}

void held_release(struct worker *worker)
{
    while (worker->held_first != NULL && worker->held_first->waits_for <= synced(worker)) {
        struct pool *pool = worker->held_first;
        worker->held_first = pool->next;
        if (worker->held_first == NULL)
            worker->held_last = NULL;
        __atomic_store_n(&worker->held_count, worker->held_count - 1, __ATOMIC_SEQ_CST);
        pool_answer(worker, pool);
    }
}

void tracker_release_held(struct tracker *tracker)
{
    for (unsigned i = 0; i < tracker->count; i++) {
        struct worker *worker = tracker->workers[i];
        if (__atomic_load_n(&worker->held_count, __ATOMIC_SEQ_CST) == 0)
            continue;
        uint64_t one = 1;
        ssize_t written = write(worker->mailbox.wake_fd, &one, sizeof one);
        (void)written; /* fails only where the counter is full, and then the worker is woken anyway */
    }
}
