/* ledger_control: opening, stopping, and what other threads ask of the ledger. */
#include "deltas/ledger_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "deltas/sink.h"

static const int64_t ms_ns = 1000 * 1000;

enum { PAUSE_MIN_MS = 100, PAUSE_MAX_MS = 30000 };
enum { REPLAY_RECORDS = 512 };
enum { INTERRUPT_GRACE_MS = 500 }; /* a sink that was interrupted has this long to end */

static void poke(struct ledger *ledger)
{
    ledger->poke = true;
    pthread_cond_signal(&ledger->poked);
}

static void on_disk(void *context)
{
    struct ledger *ledger = context;
    pthread_mutex_lock(&ledger->mutex);
    poke(ledger);
    pthread_mutex_unlock(&ledger->mutex);
}

static void on_moved(void *context)
{
    struct ledger *ledger = context;
    pthread_mutex_lock(&ledger->mutex);
    pthread_cond_broadcast(&ledger->progress);
    pthread_mutex_unlock(&ledger->mutex);
}

static void on_ahead(void *context, uint64_t seq)
{
    struct ledger *ledger = context;
    pthread_mutex_lock(&ledger->mutex);
    if (seq > ledger->skip_to)
        ledger->skip_to = seq;
    poke(ledger);
    pthread_mutex_unlock(&ledger->mutex);
}

static struct runner_options runner_options(const struct config *config)
{
    return (struct runner_options){
        .batch_size = config->deltas.batch_size,
        .flush_interval_ms = config->deltas.flush_interval_s * 1000,
        .include_address = config->deltas.include_address,
    };
}

static struct ledger_options ledger_options(const struct config *config)
{
    return (struct ledger_options){
        .strict = config->deltas.durability == DURABILITY_STRICT,
        .sync_interval_ms = config->deltas.sync_interval_ms,
        .max_bytes = config->deltas.journal_max_bytes,
    };
}

static const struct sink_type *find_type(const char *name)
{
    for (const struct sink_type *const *type = sink_types; *type != NULL; type++)
        if (strcmp((*type)->name, name) == 0)
            return *type;
    return NULL;
}

/* "webhook", and "webhook-2" for the second of its kind. */
static void name_sink(const struct config *config, size_t number, char *name, size_t size)
{
    unsigned same = 1;
    for (size_t i = 0; i < number; i++)
        same += strcmp(config->deltas.sinks[i].type, config->deltas.sinks[number].type) == 0;
    if (same == 1)
        (void)snprintf(name, size, "%s", config->deltas.sinks[number].type);
    else
        (void)snprintf(name, size, "%s-%u", config->deltas.sinks[number].type, same);
}

static int open_sink(struct ledger *ledger, const struct config *config, size_t number, struct error *error)
{
    const struct config_sink *sink = &config->deltas.sinks[number];
    char name[32];
    name_sink(config, number, name, sizeof(name));
    const struct sink_type *type = find_type(sink->type);
    if (type == NULL)
        return error_set(error, "there is no sink of the type %s", sink->type);
    struct sink_settings settings = {
        .config = config,
        .sink = sink,
        .name = name,
        .instance = journal_instance(ledger->journal),
    };
    struct runner_settings runner = {
        .type = type,
        .sink = type->open(&settings, error),
        .name = name,
        .journal = ledger->journal,
        .options = runner_options(config),
        .pause_min_ms = PAUSE_MIN_MS,
        .pause_max_ms = PAUSE_MAX_MS,
        .moved = on_moved,
        .ahead = on_ahead,
        .context = ledger,
    };
    if (runner.sink == NULL)
        return error_prefix(error, name);
    ledger->runners[ledger->runner_count] = runner_new(&runner, error);
    if (ledger->runners[ledger->runner_count] == NULL) {
        type->close(runner.sink);
        return -1;
    }
    ledger->runner_count++;
    return 0;
}

struct ledger *ledger_open(const struct config *config, struct error *error)
{
    struct ledger *ledger = calloc(1, sizeof(*ledger));
    if (ledger == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&ledger->mutex, NULL);
    thread_condition_init(&ledger->poked);
    thread_condition_init(&ledger->progress);
    ledger->options = ledger_options(config);
    ledger->max_bytes = ledger->options.max_bytes;
    struct journal_settings settings = {
        .state_dir = config->tracker.state_dir,
        .max_bytes = config->deltas.journal_max_bytes,
    };
    ledger->journal = journal_open(&settings, error);
    if (ledger->journal == NULL)
        goto fail;
    if (config->deltas.sink_count > LEDGER_SINKS_MAX) {
        error_set(error, "found %zu sinks, allowed %d", config->deltas.sink_count, LEDGER_SINKS_MAX);
        goto fail;
    }
    for (size_t i = 0; i < config->deltas.sink_count; i++)
        if (open_sink(ledger, config, i, error) != 0)
            goto fail;
    ledger->opened_seq = journal_last_seq(ledger->journal);
    atomic_store(&ledger->last_seq, ledger->opened_seq);
    return ledger;
fail:
    ledger_free(ledger);
    return NULL;
}

int ledger_replay(struct ledger *ledger, uint64_t after_seq, ledger_replay_fn *replay, void *context,
                  struct error *error)
{
    uint64_t last = journal_last_seq(ledger->journal);
    uint64_t begins_after = journal_begins_after(ledger->journal);
    if (after_seq < begins_after)
        return error_set(error,
                         "the journal begins behind record %" PRIu64 ", but is needed from %" PRIu64
                         " on: those between are missing",
                         begins_after, after_seq + 1);
    struct journal_reader *reader = journal_reader_new(ledger->journal, error);
    struct delta *deltas = calloc(REPLAY_RECORDS, sizeof(*deltas));
    int result = reader == NULL || deltas == NULL ? error_set(error, "out of memory") : 0;
    size_t count = 1;
    if (result == 0)
        journal_reader_seek(reader, after_seq);
    while (result == 0 && count > 0) {
        result = journal_reader_read(reader, deltas, REPLAY_RECORDS, last, &count, error);
        for (size_t i = 0; result == 0 && i < count; i++)
            replay(context, &deltas[i]);
    }
    journal_reader_free(reader);
    free(deltas);
    if (after_seq > last) {
        log_warning("ledger",
                    "the snapshot goes up to record %" PRIu64 ", the journal only up to %" PRIu64
                    "; numbers go on behind both",
                    after_seq, last);
        journal_skip_to(ledger->journal, after_seq);
        ledger->opened_seq = after_seq;
        atomic_store(&ledger->last_seq, after_seq);
    }
    return result;
}

const char *ledger_instance(const struct ledger *ledger)
{
    return journal_instance(ledger->journal);
}

uint64_t ledger_last_seq(const struct ledger *ledger)
{
    return atomic_load_explicit(&ledger->last_seq, memory_order_acquire);
}

static int start_threads(struct ledger *ledger, struct error *error)
{
    if (journal_start(ledger->journal, on_disk, ledger, error) != 0)
        return -1;
    for (size_t i = 0; i < ledger->runner_count; i++)
        if (runner_start(ledger->runners[i], error) != 0)
            return -1;
    if (thread_start(&ledger->thread, "ledger", ledger_main, ledger, error) != 0)
        return -1;
    ledger->started = true;
    return 0;
}

int ledger_start(struct ledger *ledger, struct ring *const *rings, size_t ring_count, struct error *error)
{
    ledger->rings = rings;
    ledger->ring_count = ring_count;
    ledger->taken = calloc(ring_count, sizeof(*ledger->taken));
    ledger->written = calloc(ring_count, sizeof(*ledger->written));
    ledger->syncing = calloc(ring_count, sizeof(*ledger->syncing));
    ledger->synced = calloc(ring_count, sizeof(*ledger->synced));
    if (ledger->taken == NULL || ledger->written == NULL || ledger->syncing == NULL || ledger->synced == NULL)
        return error_set(error, "out of memory");
    return start_threads(ledger, error);
}

bool ledger_is_full(const struct ledger *ledger)
{
    return journal_is_full(ledger->journal);
}

uint64_t ledger_synced(const struct ledger *ledger, size_t ring)
{
    return atomic_load_explicit(&ledger->synced[ring], memory_order_acquire);
}

void ledger_on_sync(struct ledger *ledger, void (*synced)(void *context), void *context)
{
    ledger->synced_hook = synced;
    ledger->synced_context = context;
}

bool ledger_wants_snapshot(struct ledger *ledger)
{
    pthread_mutex_lock(&ledger->mutex);
    uint64_t half = ledger->max_bytes / 2;
    pthread_mutex_unlock(&ledger->mutex);
    uint64_t taken = ledger_taken_by_all(ledger);
    /* Full below its bound: the disk has no room. */
    bool needs_room = journal_bytes(ledger->journal) >= half || journal_is_full(ledger->journal);
    return needs_room && atomic_load(&ledger->covered) < taken && journal_may_trim(ledger->journal, taken);
}

void ledger_covered(struct ledger *ledger, uint64_t seq)
{
    uint64_t covered = atomic_load_explicit(&ledger->covered, memory_order_relaxed);
    while (seq > covered && !atomic_compare_exchange_weak(&ledger->covered, &covered, seq))
        ;
}

static void wait_progress(struct ledger *ledger, int64_t deadline_ns)
{
    thread_wait_until(&ledger->progress, &ledger->mutex, deadline_ns);
}

static bool rings_synced(const struct ledger *ledger, const uint64_t *targets)
{
    for (size_t i = 0; i < ledger->ring_count; i++)
        if (ledger_synced(ledger, i) < targets[i])
            return false;
    return true;
}

/* Until all that is published now is on disk, or the time is up (INT64_MAX: never). Returns whether it is. */
static bool wait_for_sync(struct ledger *ledger, int64_t deadline_ns)
{
    if (!ledger->started)
        return true;
    uint64_t *targets = calloc(ledger->ring_count + 1, sizeof(*targets));
    if (targets == NULL)
        return false;
    for (size_t i = 0; i < ledger->ring_count; i++)
        targets[i] = ring_published(ledger->rings[i]);
    pthread_mutex_lock(&ledger->mutex);
    ledger->waiters++;
    poke(ledger);
    bool done;
    while (!(done = rings_synced(ledger, targets)) && !ledger->ended && clock_monotonic_ns() < deadline_ns)
        wait_progress(ledger, deadline_ns);
    ledger->waiters--;
    pthread_mutex_unlock(&ledger->mutex);
    free(targets);
    return done;
}

uint64_t ledger_barrier(struct ledger *ledger)
{
    wait_for_sync(ledger, INT64_MAX);
    return ledger->started ? journal_synced_seq(ledger->journal) : ledger_last_seq(ledger);
}

static bool sinks_have(const struct ledger *ledger, uint64_t seq)
{
    for (size_t i = 0; i < ledger->runner_count; i++)
        if (runner_position(ledger->runners[i]) < seq)
            return false;
    return true;
}

bool ledger_flush(struct ledger *ledger, int64_t timeout_ms)
{
    int64_t deadline = clock_monotonic_ns() + timeout_ms * ms_ns;
    if (!wait_for_sync(ledger, deadline))
        return false;
    uint64_t seq = journal_synced_seq(ledger->journal);
    for (size_t i = 0; i < ledger->runner_count; i++)
        runner_flush(ledger->runners[i], seq);
    pthread_mutex_lock(&ledger->mutex);
    bool done;
    while (!(done = sinks_have(ledger, seq)) && !ledger->ended && clock_monotonic_ns() < deadline)
        wait_progress(ledger, deadline);
    pthread_mutex_unlock(&ledger->mutex);
    return done;
}

void ledger_reload(struct ledger *ledger, const struct config *config)
{
    struct runner_options options = runner_options(config);
    pthread_mutex_lock(&ledger->mutex);
    ledger->options = ledger_options(config);
    ledger->max_bytes = ledger->options.max_bytes;
    ledger->new_options = true;
    poke(ledger);
    pthread_mutex_unlock(&ledger->mutex);
    for (size_t i = 0; i < ledger->runner_count; i++)
        runner_set_options(ledger->runners[i], &options);
}

/* The rest of the rings goes to disk; a disk that does not take it gets half of the time. */
static void stop_thread(struct ledger *ledger, int64_t timeout_ms)
{
    if (!ledger->started)
        return;
    int64_t now = clock_monotonic_ns();
    pthread_mutex_lock(&ledger->mutex);
    ledger->stop_deadline_ns = now + timeout_ms / 2 * ms_ns;
    ledger->stop = true;
    poke(ledger);
    pthread_mutex_unlock(&ledger->mutex);
    if (!thread_join(&ledger->thread, now + (timeout_ms / 2 + INTERRUPT_GRACE_MS) * ms_ns)) {
        log_error("ledger", "the disk does not answer; going on without it");
        ledger->stuck = true;
    }
    ledger->started = false;
}

static void stop_runners(struct ledger *ledger, int64_t deadline_ns)
{
    uint64_t seq = journal_synced_seq(ledger->journal);
    for (size_t i = 0; i < ledger->runner_count; i++)
        runner_finish(ledger->runners[i], seq);
    for (size_t i = 0; i < ledger->runner_count; i++)
        runner_join(ledger->runners[i], deadline_ns);
    for (size_t i = 0; i < ledger->runner_count; i++)
        if (!runner_join(ledger->runners[i], 0))
            runner_interrupt(ledger->runners[i]);
    int64_t grace = clock_monotonic_ns() + INTERRUPT_GRACE_MS * ms_ns;
    for (size_t i = 0; i < ledger->runner_count; i++) {
        struct ledger_sink_status status;
        runner_status(ledger->runners[i], &status);
        if (!runner_join(ledger->runners[i], grace)) {
            log_error("ledger", "sink=%s: does not end; leaving it", status.name);
            ledger->stuck = true;
        } else if (status.pending > 0) {
            log_warning("ledger", "sink=%s: %" PRIu64 " records stay in the journal for it", status.name,
                        status.pending);
        }
    }
}

void ledger_stop(struct ledger *ledger, int64_t timeout_ms)
{
    int64_t deadline = clock_monotonic_ns() + timeout_ms * ms_ns;
    bool ran = ledger->started;
    stop_thread(ledger, timeout_ms);
    pthread_mutex_lock(&ledger->mutex);
    ledger->ended = true;
    pthread_cond_broadcast(&ledger->progress);
    pthread_mutex_unlock(&ledger->mutex);
    stop_runners(ledger, deadline);
    if (ran && !ledger->stuck)
        ledger_trim(ledger);
}

void ledger_free(struct ledger *ledger)
{
    if (ledger == NULL || ledger->stuck)
        return; /* what a thread that does not end may still use is left to the end of the process */
    for (size_t i = 0; i < ledger->runner_count; i++)
        runner_free(ledger->runners[i]);
    journal_close(ledger->journal);
    pthread_mutex_destroy(&ledger->mutex);
    pthread_cond_destroy(&ledger->poked);
    pthread_cond_destroy(&ledger->progress);
    free(ledger->taken);
    free(ledger->written);
    free(ledger->syncing);
    free(ledger->synced);
    free(ledger);
}

void ledger_status(struct ledger *ledger, struct ledger_status *status)
{
    *status = (struct ledger_status){
        .last_seq = ledger_last_seq(ledger),
        .synced_seq = journal_synced_seq(ledger->journal),
        .covered_seq = atomic_load_explicit(&ledger->covered, memory_order_relaxed),
        .journal_bytes = journal_bytes(ledger->journal),
        .full = ledger_is_full(ledger),
        .sync_sum_ns = counter_read(&ledger->sync_latency.sum_ns),
        .sink_count = ledger->runner_count,
    };
    pthread_mutex_lock(&ledger->mutex);
    status->journal_max_bytes = ledger->max_bytes;
    pthread_mutex_unlock(&ledger->mutex);
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        status->sync_buckets[i] = counter_read(&ledger->sync_latency.buckets[i]);
        status->sync_count += status->sync_buckets[i];
    }
    for (size_t i = 0; i < ledger->runner_count; i++)
        runner_status(ledger->runners[i], &status->sinks[i]);
}
