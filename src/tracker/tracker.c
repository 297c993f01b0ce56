/* tracker: the life of the workers; see tracker.h. */
#include "tracker/tracker.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "middleware/source_rate.h"
#include "tracker/worker_private.h"

enum {
    DRAIN_TURNS = 100, /* looks at whether all requests are answered, when stopping */
    DRAIN_PAUSE_US = 10000,
};

void tracker_free(struct tracker *tracker)
{
    if (tracker == NULL)
        return;
    for (unsigned i = 0; tracker->workers != NULL && i < tracker->count; i++)
        worker_free(tracker->workers[i]);
    free(tracker->workers);
    source_rate_free(tracker->unknown_passkeys);
    free(tracker);
}

struct tracker *tracker_new(const struct config *config, const struct tracker_parts *parts, struct error *error)
{
    struct tracker *tracker = calloc(1, sizeof *tracker);
    if (tracker == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    tracker->config = config;
    tracker->parts = *parts;
    tracker->count = config->tracker.workers;
    tracker->workers = calloc(tracker->count, sizeof(struct worker *));
    tracker->unknown_passkeys = source_rate_new(clock_now_ms());
    if (tracker->workers == NULL || tracker->unknown_passkeys == NULL) {
        error_set(error, "out of memory");
        tracker_free(tracker);
        return NULL;
    }
    for (unsigned i = 0; i < tracker->count; i++) {
        tracker->workers[i] = worker_new(tracker, i, error);
        if (tracker->workers[i] == NULL) {
            tracker_free(tracker);
            return NULL;
        }
    }
    return tracker;
}

unsigned tracker_workers(const struct tracker *tracker)
{
    return tracker->count;
}

struct worker *tracker_worker(struct tracker *tracker, unsigned number)
{
    return tracker->workers[number];
}

struct ring *tracker_ring(struct tracker *tracker, unsigned number)
{
    return tracker->workers[number]->context.ring;
}

void tracker_set_gate(struct tracker *tracker, tracker_gate_fn *is_closed, void *context)
{
    tracker->gate = is_closed;
    tracker->gate_context = context;
}

void tracker_set_synced(struct tracker *tracker, tracker_synced_fn *synced, void *context)
{
    tracker->synced = synced;
    tracker->synced_context = context;
}

void tracker_add_hooks(struct tracker *tracker, const struct worker_hooks *hooks)
{
    if (tracker->hook_count == HOOKS_MAX)
        abort(); /* a new frontend needs a larger table */
    tracker->hooks[tracker->hook_count++] = *hooks;
}

void tracker_post(struct tracker *tracker, unsigned to, struct mail *mail)
{
    (void)mailbox_post(&tracker->workers[to]->mailbox, mail, UINT32_MAX);
}

/* --- start and stop --- */

static void start_hooks(struct worker *worker, void *argument)
{
    int *result = argument;
    struct tracker *tracker = worker->tracker;
    for (unsigned i = 0; i < tracker->hook_count && *result == 0; i++) {
        *result = tracker->hooks[i].start(worker, tracker->hooks[i].context);
        worker->hooks_started[i] = *result == 0;
    }
}

static void drain_hooks(struct worker *worker, void *argument)
{
    (void)argument;
    struct tracker *tracker = worker->tracker;
    for (unsigned i = 0; i < tracker->hook_count; i++)
        if (worker->hooks_started[i] && tracker->hooks[i].drain != NULL)
            tracker->hooks[i].drain(worker, tracker->hooks[i].context);
    worker_flush(worker);
}

static void stop_hooks(struct worker *worker, void *argument)
{
    (void)argument;
    struct tracker *tracker = worker->tracker;
    worker_flush(worker);
    for (unsigned i = tracker->hook_count; i-- > 0;)
        if (worker->hooks_started[i])
            tracker->hooks[i].stop(worker, tracker->hooks[i].context);
}

static void leave_loop(struct worker *worker, void *argument)
{
    (void)argument;
    event_base_loopbreak(worker->base);
}

int tracker_start(struct tracker *tracker, struct error *error)
{
    for (unsigned i = 0; i < tracker->count; i++)
        if (pthread_create(&tracker->workers[i]->thread, NULL, worker_main, tracker->workers[i]) != 0) {
            /* Threads before this one idle in their loops until the process, which cannot go on, ends. */
            return error_set(error, "cannot start the thread of worker %u", i);
        }
    tracker->is_running = true;
    int results[256] = {0};
    tracker_call_all(tracker, start_hooks, results, sizeof *results);
    for (unsigned i = 0; i < tracker->count; i++)
        if (results[i] != 0)
            return error_set(error, "worker %u cannot start its frontends", i);
    return 0;
}

static bool is_idle(struct tracker *tracker)
{
    for (unsigned i = 0; i < tracker->count; i++) {
        if (__atomic_load_n(&tracker->workers[i]->mailbox.waiting, __ATOMIC_RELAXED) > 0)
            return false;
        if (__atomic_load_n(&tracker->workers[i]->held_count, __ATOMIC_RELAXED) > 0)
            return false;
        if (counter_read(&tracker->workers[i]->counters.connections) > 0)
            return false;
    }
    return true;
}

void tracker_stop(struct tracker *tracker)
{
    if (!tracker->is_running)
        return;
    char nothing[256];
    __atomic_store_n(&tracker->is_stopping, true, __ATOMIC_RELAXED);
    tracker_call_all(tracker, drain_hooks, nothing, 0);
    for (int i = 0; i < DRAIN_TURNS && !is_idle(tracker); i++)
        usleep(DRAIN_PAUSE_US);
    tracker_call_all(tracker, stop_hooks, nothing, 0);
    tracker_call_all(tracker, leave_loop, nothing, 0);
    for (unsigned i = 0; i < tracker->count; i++)
        pthread_join(tracker->workers[i]->thread, NULL);
    tracker->is_running = false;
}

/* --- reload --- */

/* Pools of another size where max_numwant grew; the old ones stay where there is no memory. */
static void resize_pools(struct worker *worker, uint32_t peers_max)
{
    if (peers_max <= worker->pool->peers_max)
        return;
    worker_flush(worker);
    struct pool *pool = pool_new(peers_max);
    if (pool == NULL) {
        log_warning("worker", "out of memory for a larger max_numwant, the old one stays number=%u", worker->number);
        return;
    }
    pool_free(worker->pool);
    worker->pool = pool;
    while (worker->spare_pools != NULL) {
        struct pool *next = worker->spare_pools->next;
        pool_free(worker->spare_pools);
        worker->spare_pools = next;
    }
}

static void reload_worker(struct worker *worker, void *argument)
{
    const struct config *config = *(const struct config *const *)argument;
    struct tracker *tracker = worker->tracker;
    worker_flush(worker);
    resize_pools(worker, config->tracker.max_numwant);
    worker->context.config = config;
    for (uint32_t i = 0; i < torrents_count(worker->context.torrents); i++)
        torrents_at(worker->context.torrents, i)->next_expiry_s = 0; /* lifetimes may be shorter now */
    for (unsigned i = 0; i < tracker->hook_count; i++)
        if (tracker->hooks[i].reload != NULL)
            tracker->hooks[i].reload(worker, tracker->hooks[i].context, config);
}

void tracker_reload(struct tracker *tracker, const struct config *config)
{
    const struct config *arguments[256];
    for (unsigned i = 0; i < tracker->count; i++)
        arguments[i] = config;
    tracker_call_all(tracker, reload_worker, arguments, sizeof *arguments);
    tracker->config = config;
}
