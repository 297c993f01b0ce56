/*
 * ledger: the thread "ledger". It looks into the rings every few milliseconds, so
 * that no worker ever makes a system call to wake it, and sleeps longer while nothing comes.
 */
#include "deltas/ledger_private.h"

#include <inttypes.h>
#include <string.h>

#include "base/background.h"
#include "base/clock.h"
#include "base/log.h"

static const int64_t us_ns = 1000;
static const int64_t ms_ns = 1000 * 1000;

/* Records taken at most in one round, so that writing and syncing are never far away. */
enum { ROUND_RECORDS = 16384, SLICE_RECORDS = 256 };

/* Where the sinks are not told of soon, numbering begins without them. */
enum { PLACING_MS = 500 };

static bool is_too_late(const struct ledger *ledger, int64_t now_ns)
{
    return ledger->stopping && now_ns > ledger->stop_deadline_ns;
}

static void sleep_until(struct ledger *ledger, int64_t deadline_ns)
{
    thread_wait_until(&ledger->poked, &ledger->mutex, deadline_ns);
}

/* Takes what waits in the rings, a slice of each in turn. Returns how many records. */
static size_t drain(struct ledger *ledger)
{
    size_t total = 0;
    size_t idle = 0;
    for (size_t i = 0; idle < ledger->ring_count && total < ROUND_RECORDS; i = (i + 1) % ledger->ring_count) {
        size_t room = journal_room(ledger->journal);
        if (room == 0)
            break;
        size_t count = 0;
        const struct delta *deltas = ring_peek(ledger->rings[i], room < SLICE_RECORDS ? room : SLICE_RECORDS, &count);
        if (count == 0) {
            idle++;
            continue;
        }
        idle = 0;
        journal_append(ledger->journal, deltas, count);
        ring_release(ledger->rings[i], count);
        ledger->taken[i] += count;
        total += count;
    }
    if (total > 0)
        atomic_store_explicit(&ledger->last_seq, journal_last_seq(ledger->journal), memory_order_release);
    return total;
}

static void write_out(struct ledger *ledger, int64_t now_ns)
{
    if (journal_write(ledger->journal, now_ns))
        memcpy(ledger->written, ledger->taken, ledger->ring_count * sizeof(*ledger->taken));
}

static void begin_sync(struct ledger *ledger, int64_t now_ns)
{
    bool due = ledger->strict || ledger->urgent || ledger->stopping ||
               now_ns - ledger->sync_begun_ns >= ledger->sync_interval_ns;
    if (!due || !journal_sync_begin(ledger->journal))
        return;
    ledger->sync_begun_ns = now_ns;
    memcpy(ledger->syncing, ledger->written, ledger->ring_count * sizeof(*ledger->written));
}

static void publish(struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->ring_count; i++)
        atomic_store_explicit(&ledger->synced[i], ledger->syncing[i], memory_order_release);
    uint64_t synced_seq = journal_synced_seq(ledger->journal);
    if (ledger->synced_hook != NULL)
        ledger->synced_hook(ledger->synced_context);
    for (size_t i = 0; i < ledger->runner_count; i++)
        runner_wake(ledger->runners[i], synced_seq);
    pthread_mutex_lock(&ledger->mutex);
    pthread_cond_broadcast(&ledger->progress);
    pthread_mutex_unlock(&ledger->mutex);
}

static void end_sync(struct ledger *ledger, int64_t now_ns)
{
    struct journal_sync_result result;
    if (!journal_sync_ended(ledger->journal, &result, now_ns) || !result.ok)
        return;
    latency_add(&ledger->sync_latency, (int64_t)result.took_ns, 1);
    publish(ledger);
}

uint64_t ledger_taken_by_all(const struct ledger *ledger)
{
    uint64_t low = journal_synced_seq(ledger->journal);
    for (size_t i = 0; i < ledger->runner_count; i++) {
        uint64_t position = runner_position(ledger->runners[i]);
        low = position < low ? position : low;
    }
    return low;
}

void ledger_trim(struct ledger *ledger)
{
    uint64_t taken = ledger_taken_by_all(ledger);
    uint64_t covered = atomic_load_explicit(&ledger->covered, memory_order_relaxed);
    journal_trim(ledger->journal, taken < covered ? taken : covered);
}

/* A sink has taken higher numbers than were given out: the journal is older than it. */
static void skip_ahead(struct ledger *ledger, uint64_t seq)
{
    uint64_t last = journal_last_seq(ledger->journal);
    if (seq <= last && last <= ledger->opened_seq)
        return;
    log_warning("ledger",
                "a sink has taken records up to %" PRIu64 ", the journal ends with %" PRIu64
                " (was state_dir restored from a backup?); numbers go on behind both",
                seq, ledger->opened_seq);
    if (last > ledger->opened_seq)
        log_error("ledger",
                  "%" PRIu64 " records since the start carry numbers that this sink takes for old: it passes over them",
                  (seq < last ? seq : last) - ledger->opened_seq);
    journal_skip_to(ledger->journal, seq);
    atomic_store_explicit(&ledger->last_seq, journal_last_seq(ledger->journal), memory_order_release);
}

/* Takes over what other threads asked for. */
static void take_requests(struct ledger *ledger)
{
    pthread_mutex_lock(&ledger->mutex);
    uint64_t skip_to = ledger->skip_to;
    ledger->skip_to = 0;
    ledger->urgent = ledger->waiters > 0;
    ledger->stopping = ledger->stop;
    ledger->strict = ledger->options.strict;
    ledger->sync_interval_ns = ledger->options.sync_interval_ms * ms_ns;
    uint64_t max_bytes = ledger->options.max_bytes;
    bool new_options = ledger->new_options;
    ledger->new_options = false;
    pthread_mutex_unlock(&ledger->mutex);
    if (skip_to != 0)
        skip_ahead(ledger, skip_to);
    if (new_options)
        journal_set_max(ledger->journal, max_bytes);
}

/* How long nothing need be done: short while records come, growing while none do. */
static int64_t next_pause(struct ledger *ledger, size_t drained)
{
    int64_t least = ledger->strict ? 200 * us_ns : 2 * ms_ns;
    int64_t most = ledger->strict ? 2 * ms_ns : 20 * ms_ns;
    if (drained >= ROUND_RECORDS)
        return 0;
    if (drained > 0 || ledger->pause_ns == 0)
        ledger->pause_ns = least;
    else
        ledger->pause_ns = ledger->pause_ns * 5 / 4 < most ? ledger->pause_ns * 5 / 4 : most;
    return ledger->pause_ns;
}

/* One round. Returns how many records it took. */
static size_t run_round(struct ledger *ledger, int64_t now_ns)
{
    take_requests(ledger);
    end_sync(ledger, now_ns);
    size_t drained = drain(ledger);
    if (drained > 0) {
        ledger->busy_ns = now_ns;
    } else if (ledger->stopping || now_ns - ledger->busy_ns > 1000 * ms_ns) {
        journal_mark(ledger->journal);
        ledger->busy_ns = now_ns;
    }
    if (ledger->stopping)
        journal_hurry(ledger->journal, now_ns);
    write_out(ledger, now_ns);
    begin_sync(ledger, now_ns);
    ledger_trim(ledger);
    for (size_t i = 0; i < ledger->runner_count; i++)
        runner_watch(ledger->runners[i], now_ns);
    return drained;
}

static bool are_all_placed(const struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->runner_count; i++)
        if (!runner_is_placed(ledger->runners[i]))
            return false;
    return true;
}

static bool is_a_ring_half_full(const struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->ring_count; i++)
        if (ring_is_half_full(ledger->rings[i]))
            return true;
    return false;
}

/*
 * Gives the sinks a moment to tell where they stand, before numbers are given that they might take for old. It ends
 * before a worker has to refuse announces: workers do not wait for a database that is away.
 */
static void wait_for_placing(struct ledger *ledger)
{
    int64_t deadline = clock_monotonic_ns() + PLACING_MS * ms_ns;
    pthread_mutex_lock(&ledger->mutex);
    while (!are_all_placed(ledger) && !is_a_ring_half_full(ledger) && !ledger->stop && clock_monotonic_ns() < deadline)
        sleep_until(ledger, clock_monotonic_ns() + 2 * ms_ns);
    pthread_mutex_unlock(&ledger->mutex);
}

void *ledger_main(void *argument)
{
    struct ledger *ledger = argument;
    background_short_turns();
    wait_for_placing(ledger);
    for (;;) {
        int64_t now = clock_monotonic_ns();
        size_t drained = run_round(ledger, now);
        if (ledger->stopping && drained == 0 && !journal_is_behind(ledger->journal))
            break;
        if (is_too_late(ledger, now)) {
            log_error("ledger", "the disk does not take what is left of the deltas; the next announces bring it back");
            break;
        }
        int64_t pause = next_pause(ledger, drained);
        pthread_mutex_lock(&ledger->mutex);
        /* A poke between the round and here must not be slept over. */
        if (pause > 0 && !ledger->poke)
            sleep_until(ledger, clock_monotonic_ns() + pause);
        ledger->poke = false;
        pthread_mutex_unlock(&ledger->mutex);
    }
    return NULL;
}
