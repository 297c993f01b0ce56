/* worker: see worker.h. Everything here runs on the worker's own thread, but for worker_new and worker_free. */
#include "tracker/worker.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "tracker/identity.h"
#include "tracker/worker_private.h"

enum {
    TICK_MS = 20,
    WALK_BUDGET_MIN = 512,   /* torrents or slots looked at in a tick by expiry */
    WALK_BUDGET_MAX = 20000, /* some 100 µs */
    WALK_TICKS = 1000,       /* ticks that a walk over a middling store takes: 20 s */
    CENSUS_BUDGET = 4096,
    POOLS_AT_START = 3,
    RING_RECORDS = 32768, /* a worker's deltas while the ledger waits for the disk: 0.1 s of the highest rate */
    OVERLOAD_RETRY_S = 60,
};

/* --- what frontends ask for --- */

struct event_base *worker_base(struct worker *worker)
{
    return worker->base;
}

unsigned worker_number(const struct worker *worker)
{
    return worker->number;
}

unsigned worker_total(const struct worker *worker)
{
    return worker->tracker->count;
}

const struct config *worker_config(const struct worker *worker)
{
    return worker->context.config;
}

void worker_set_frontend(struct worker *worker, enum frontend frontend, void *state)
{
    worker->frontends[frontend] = state;
}

void *worker_frontend(struct worker *worker, enum frontend frontend)
{
    return worker->frontends[frontend];
}

struct counters *worker_counters(struct worker *worker)
{
    return &worker->counters;
}

int64_t worker_now_ms(const struct worker *worker)
{
    return worker->context.now_ms;
}

int64_t worker_tick(struct worker *worker)
{
    worker->context.now_ms = clock_now_ms();
    return worker->context.now_ms;
}

bool worker_stopping(const struct worker *worker)
{
    return __atomic_load_n(&worker->tracker->is_stopping, __ATOMIC_RELAXED);
}

bool worker_post(struct worker *from, unsigned to, struct mail *mail)
{
    return mailbox_post(&from->tracker->workers[to]->mailbox, mail, MAIL_LIMIT);
}

/* --- the batch --- */

static bool is_overloaded(struct worker *worker, unsigned count)
{
    struct tracker *tracker = worker->tracker;
    return ring_room(worker->context.ring) < (size_t)count * DELTAS_PER_ANNOUNCE || held_is_full(worker) ||
           (tracker->gate != NULL && tracker->gate(tracker->gate_context));
}

/* Puts a fresh pool in the place of the full one, which the caller will answer and give back. */
static struct pool *change_pool(struct worker *worker)
{
    struct pool *full = worker->pool;
    struct pool *fresh = worker->spare_pools;
    if (fresh != NULL)
        worker->spare_pools = fresh->next;
    else
        fresh = pool_new(full->peers_max);
    if (fresh == NULL) { /* deep in replies that begin new batches, and no memory: nothing can go on */
        log_error("worker", "out of memory number=%u", worker->number);
        abort();
    }
    fresh->count = 0;
    worker->pool = fresh;
    return full;
}

/* The pool of the last batch is the next one's where nothing came meanwhile: its memory is in the cache still. */
static void give_back_pool(struct worker *worker, struct pool *pool)
{
    if (pool->peers_max != worker->pool->peers_max) { /* of before a reload */
        pool_free(pool);
        return;
    }
    if (worker->pool->count == 0) {
        struct pool *unused = worker->pool;
        worker->pool = pool;
        pool->count = 0;
        pool = unused;
    }
    pool->next = worker->spare_pools;
    worker->spare_pools = pool;
}

void pool_answer(struct worker *worker, struct pool *pool)
{
    for (unsigned i = 0; i < pool->count; i++)
        pool->submitted[i]->origin->reply(worker, pool->submitted[i]);
    give_back_pool(worker, pool);
}

void worker_flush(struct worker *worker)
{
    if (worker->pool->count == 0)
        return;
    struct pool *pool = change_pool(worker);
    if (is_overloaded(worker, pool->count)) {
        LOG_LIMITED(LOG_LEVEL_WARNING, "worker", "overload: announces are refused number=%u", worker->number);
        for (unsigned i = 0; i < pool->count; i++)
            announce_refuse(pool->submitted[i], VERDICT_OVERLOAD, "the tracker is busy, try again later",
                            OVERLOAD_RETRY_S);
    } else {
        chain_run(worker->chain, pool->submitted, pool->count);
        if (held_must_wait(worker)) {
            held_add(worker, pool);
            return;
        }
    }
    pool_answer(worker, pool);
}

struct announce *worker_announce(struct worker *worker)
{
    if (worker->pool->count == BATCH_MAX)
        worker_flush(worker);
    struct announce *announce = &worker->pool->announces[worker->pool->count];
    memset((char *)announce + ANNOUNCE_FOUND_OFFSET, 0, ANNOUNCE_BUFFERS_OFFSET - ANNOUNCE_FOUND_OFFSET);
    return announce;
}

void worker_discard(struct worker *worker, struct announce *announce)
{
    (void)worker; /* the place is only taken by worker_submit */
    (void)announce;
}

static void on_flush(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct worker *worker = argument;
    worker->flush_is_due = false;
    worker_flush(worker);
}

void worker_submit(struct worker *worker, struct announce *announce)
{
    unsigned owner = torrent_owner(announce->info_hash, worker->tracker->count);
    if (owner != worker->number) {
        remote_submit(worker, announce, owner);
        return;
    }
    struct pool *pool = worker->pool;
    pool->submitted[pool->count++] = announce;
    if (!worker->flush_is_due) {
        /* Behind the events that this turn has ready: it runs when they have filled the batch. */
        worker->flush_is_due = true;
        event_active(worker->flush_event, EV_TIMEOUT, 0);
    }
}

/* --- turns --- */

static void on_mail(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct worker *worker = argument;
    worker_tick(worker);
    held_release(worker);
    struct mail *mail = mailbox_take(&worker->mailbox);
    while (mail != NULL) {
        struct mail *next = mail->next; /* delivering frees it or sends it on */
        mail->deliver(worker, mail);
        mail = next;
    }
}

static void show_gauges(struct worker *worker)
{
    struct counters *counters = &worker->counters;
    const struct torrent_totals *totals = torrents_totals(worker->context.torrents);
    counter_set(&counters->swarms, totals->swarms);
    counter_set(&counters->seeders, totals->seeders);
    counter_set(&counters->leechers, totals->leechers);
    counter_set(&counters->sessions, totals->seeders + totals->leechers);
    counter_set(&counters->tombstones, totals->tombstones);
    counter_set(&counters->memory_torrents, torrents_memory(worker->context.torrents));
    counter_set(&counters->memory_sessions, torrents_session_memory(worker->context.torrents));
}

static uint32_t walk_budget(const struct worker *worker)
{
    const struct torrent_totals *totals = torrents_totals(worker->context.torrents);
    uint64_t all = torrents_count(worker->context.torrents) + totals->seeders + totals->leechers + totals->tombstones;
    uint64_t budget = all / WALK_TICKS;
    if (budget < WALK_BUDGET_MIN)
        return WALK_BUDGET_MIN;
    return budget < WALK_BUDGET_MAX ? (uint32_t)budget : WALK_BUDGET_MAX;
}

static void on_tick(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct worker *worker = argument;
    worker_tick(worker);
    int64_t begin = clock_monotonic_ns();
    users_read_begin();
    departure_walk(&worker->context, &worker->departures, walk_budget(worker));
    users_read_end();
    ring_publish(worker->context.ring);
    census_walk(&worker->census, worker->context.torrents, CENSUS_BUDGET);
    show_gauges(worker);
    counter_add(&worker->counters.gc_ns, (uint64_t)(clock_monotonic_ns() - begin));
}

/* --- life --- */

static int make_stores(struct worker *worker)
{
    struct context *context = &worker->context;
    uint32_t peers_max = context->config->tracker.max_numwant;
    context->torrents = torrents_new();
    context->ring = ring_new(RING_RECORDS);
    worker->chain = context->torrents == NULL || context->ring == NULL ? NULL : chain_new(context);
    worker->pool = pool_new(peers_max);
    for (int i = 0; i < POOLS_AT_START && worker->pool != NULL; i++) {
        struct pool *pool = pool_new(peers_max);
        if (pool == NULL)
            return -1;
        pool->next = worker->spare_pools;
        worker->spare_pools = pool;
    }
    return worker->chain == NULL || worker->pool == NULL ? -1 : 0;
}

static int make_events(struct worker *worker)
{
    struct event_config *config = event_config_new();
    if (config != NULL) {
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK); /* one thread; others only post mail */
        worker->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    if (worker->base == NULL || mailbox_init(&worker->mailbox) != 0)
        return -1;
    worker->flush_event = event_new(worker->base, -1, 0, on_flush, worker);
    worker->mail_event = event_new(worker->base, worker->mailbox.wake_fd, EV_READ | EV_PERSIST, on_mail, worker);
    worker->tick_event = event_new(worker->base, -1, EV_PERSIST, on_tick, worker);
    const struct timeval tick = {.tv_usec = TICK_MS * 1000};
    if (worker->flush_event == NULL || worker->mail_event == NULL || worker->tick_event == NULL ||
        event_add(worker->mail_event, NULL) != 0 || event_add(worker->tick_event, &tick) != 0)
        return -1;
    return 0;
}

struct worker *worker_new(struct tracker *tracker, unsigned number, struct error *error)
{
    struct worker *worker = aligned_alloc(64, (sizeof *worker + 63) & ~(size_t)63);
    if (worker == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    memset(worker, 0, sizeof *worker);
    worker->mailbox.wake_fd = -1;
    worker->number = number;
    worker->tracker = tracker;
    worker->context = (struct context){
        .config = tracker->config,
        .users = tracker->parts.users,
        .clients = tracker->parts.clients,
        .multipliers = tracker->parts.multipliers,
        .counters = &worker->counters,
        .unknown_passkeys = tracker->unknown_passkeys,
        .now_ms = clock_now_ms(),
    };
    arc4random_buf(&worker->context.random, sizeof worker->context.random);
    worker->context.random |= 1;
    if (make_stores(worker) != 0 || make_events(worker) != 0) {
        error_set(error, "worker %u: out of memory or file descriptors", number);
        worker_free(worker);
        return NULL;
    }
    return worker;
}

static void free_events(struct worker *worker)
{
    struct event *events[] = {worker->flush_event, worker->mail_event, worker->tick_event};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i] != NULL)
            event_free(events[i]);
    mailbox_clear(&worker->mailbox);
    if (worker->base != NULL)
        event_base_free(worker->base);
}

void worker_free(struct worker *worker)
{
    if (worker == NULL)
        return;
    free_events(worker);
    remote_free_spares(worker);
    if (worker->pool != NULL)
        remote_free_unanswered(worker->pool);
    pool_free(worker->pool);
    while (worker->held_first != NULL) { /* the disk never took them: nobody was told that it did */
        struct pool *next = worker->held_first->next;
        remote_free_unanswered(worker->held_first);
        pool_free(worker->held_first);
        worker->held_first = next;
    }
    while (worker->spare_pools != NULL) {
        struct pool *next = worker->spare_pools->next;
        pool_free(worker->spare_pools);
        worker->spare_pools = next;
    }
    reasons_free(worker);
    chain_free(worker->chain);
    ring_free(worker->context.ring);
    torrents_free(worker->context.torrents);
    free(worker);
}

void *worker_main(void *argument)
{
    struct worker *worker = argument;
    char name[16];
    snprintf(name, sizeof name, "worker-%u", worker->number);
    pthread_setname_np(pthread_self(), name);
    users_thread_register();
    event_base_loop(worker->base, EVLOOP_NO_EXIT_ON_EMPTY);
    users_thread_unregister();
    return NULL;
}
