#include "deltas/runner.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/background_thread.h"
#include "base/clock.h"
#include "base/log.h"
#include "deltas/thread.h"

static const int64_t ms_ns = 1000 * 1000;
static const int64_t watch_ns = INT64_C(1000000000);

/* Once the tracker stops, a sink that fails this often in a row is left with what it has. */
enum { TRIES_AT_THE_END = 3 };

struct runner {
    struct runner_settings settings; /* options: the thread's copy */
    char name[32];
    struct thread thread;
    bool started;
    bool joined;

    /* The thread's own. */
    struct journal_reader *reader;
    struct delta *batch;
    size_t batch_capacity;
    uint64_t sink_seq; /* as the sink said, or took */
    bool position_known;
    bool went_back; /* the sink said less than it had said or taken before */
    int64_t pending_since_ns;
    uint32_t pause_ms;
    unsigned failures; /* in a row */

    _Atomic uint64_t position;
    _Atomic bool placed; /* its position was compared with where the journal begins and ends */
    _Atomic uint64_t delivered;
    _Atomic uint64_t parked;
    _Atomic int64_t oldest_ms; /* clock time of the oldest record that waits; 0: none */

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t synced;
    uint64_t wake_at; /* the thread sleeps until synced is at least this */
    uint64_t flush_to;
    uint64_t finish_at;
    bool finish;
    bool stop;
    bool new_options;
    struct runner_options options;
    char last_error[256];
    struct background_thread background;
    bool is_running; /* the thread lives */
    bool has_waited; /* since it was watched last */

    /* The watching thread's own. */
    int64_t watch_at_ns;
};

struct runner *runner_new(const struct runner_settings *settings, struct error *error)
{
    struct runner *runner = calloc(1, sizeof(*runner));
    if (runner == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    runner->settings = *settings;
    runner->options = settings->options;
    runner->new_options = true;
    runner->reader = journal_reader_new(settings->journal, error);
    if (runner->reader == NULL) {
        free(runner);
        return NULL;
    }
    strlcpy(runner->name, settings->name, sizeof(runner->name));
    runner->settings.name = runner->name;
    runner->synced = journal_synced_seq(settings->journal);
    pthread_mutex_init(&runner->mutex, NULL);
    thread_condition_init(&runner->changed);
    return runner;
}

void runner_free(struct runner *runner)
{
    if (runner == NULL || (runner->started && !runner->joined))
        return;
    if (runner->settings.sink != NULL)
        runner->settings.type->close(runner->settings.sink);
    journal_reader_free(runner->reader);
    free(runner->batch);
    pthread_mutex_destroy(&runner->mutex);
    pthread_cond_destroy(&runner->changed);
    free(runner);
}

uint64_t runner_position(const struct runner *runner)
{
    return atomic_load_explicit(&runner->position, memory_order_acquire);
}

bool runner_is_placed(const struct runner *runner)
{
    return atomic_load_explicit(&runner->placed, memory_order_acquire);
}

static void wait_until(struct runner *runner, int64_t deadline_ns)
{
    runner->has_waited = true;
    thread_wait_until(&runner->changed, &runner->mutex, deadline_ns);
    runner->has_waited = true;
}

static bool stopped(struct runner *runner)
{
    pthread_mutex_lock(&runner->mutex);
    bool stop = runner->stop;
    pthread_mutex_unlock(&runner->mutex);
    return stop;
}

static void note_failure(struct runner *runner, const char *what, const struct error *error)
{
    pthread_mutex_lock(&runner->mutex);
    strlcpy(runner->last_error, error->text, sizeof(runner->last_error));
    pthread_mutex_unlock(&runner->mutex);
    if (runner->failures++ == 0)
        log_error("deltas", "sink=%s: %s: %s; trying again until it can", runner->name, what, error->text);
}

static void note_success(struct runner *runner)
{
    if (runner->failures == 0)
        return;
    log_info("deltas", "sink=%s: takes deltas again, after %u failed tries", runner->name, runner->failures);
    runner->failures = 0;
    runner->pause_ms = 0;
    pthread_mutex_lock(&runner->mutex);
    runner->last_error[0] = '\0';
    pthread_mutex_unlock(&runner->mutex);
}

/* Waits before the next try, between half and the whole of a pause that doubles. False: no further try is to be made. */
static bool pause_before_retry(struct runner *runner)
{
    uint32_t pause = runner->pause_ms == 0 ? runner->settings.pause_min_ms : 2 * runner->pause_ms;
    runner->pause_ms = pause < runner->settings.pause_max_ms ? pause : runner->settings.pause_max_ms;
    uint32_t half = runner->pause_ms / 2;
    int64_t deadline = clock_monotonic_ns() + ((int64_t)half + arc4random_uniform(half + 1)) * ms_ns;

    pthread_mutex_lock(&runner->mutex);
    bool was_finishing = runner->finish;
    while (!runner->stop && runner->finish == was_finishing && clock_monotonic_ns() < deadline)
        wait_until(runner, deadline);
    bool go_on = !runner->stop && !(runner->finish && runner->failures >= TRIES_AT_THE_END);
    /* One that failed before the end was announced gets one more try at once. */
    if (runner->finish && !was_finishing && !runner->stop) {
        runner->failures = TRIES_AT_THE_END - 1;
        runner->pause_ms = 0;
        go_on = true;
    }
    pthread_mutex_unlock(&runner->mutex);
    return go_on;
}

static void set_position(struct runner *runner, uint64_t seq)
{
    runner->sink_seq = seq;
    if (seq == runner_position(runner))
        return;
    atomic_store_explicit(&runner->position, seq, memory_order_release);
    runner->settings.moved(runner->settings.context);
}

/* Says, once, where the sink stands to what the journal holds. */
static void compare(struct runner *runner)
{
    uint64_t begins_after = journal_begins_after(runner->settings.journal);
    uint64_t synced = journal_synced_seq(runner->settings.journal);
    if (runner->sink_seq > synced) {
        runner->settings.ahead(runner->settings.context, runner->sink_seq);
    } else if (runner->sink_seq == 0 && begins_after > 0) {
        log_warning("deltas",
                    "sink=%s: is new, and begins with record %" PRIu64 ", the oldest that the journal still has",
                    runner->name, begins_after + 1);
    } else if (runner->sink_seq < begins_after) {
        log_error("deltas",
                  "sink=%s: has taken records up to %" PRIu64 ", but the journal begins with %" PRIu64
                  ": those between are missing in it (was it restored from a backup?); going on with what there is",
                  runner->name, runner->sink_seq, begins_after + 1);
    }
    atomic_store_explicit(&runner->placed, true, memory_order_release);
}

/* Asks the sink where it stands. False: it cannot tell, and no further try is to be made. */
static bool learn_position(struct runner *runner)
{
    while (!runner->position_known) {
        struct error error = {""};
        uint64_t seq = 0;
        if (runner->settings.type->position(runner->settings.sink, &seq, &error) == SINK_TAKEN) {
            bool first = !runner_is_placed(runner);
            runner->position_known = true;
            runner->went_back = !first && seq < runner->sink_seq;
            set_position(runner, seq);
            if (first || runner->went_back)
                compare(runner);
            return true;
        }
        note_failure(runner, "cannot tell what it has taken", &error);
        if (atomic_load_explicit(&runner->oldest_ms, memory_order_relaxed) == 0)
            atomic_store_explicit(&runner->oldest_ms, clock_now_ms(), memory_order_relaxed);
        if (!pause_before_retry(runner))
            return false;
    }
    return true;
}

/* Records up to `seq` are done with; the first `count` of a batch, where that is known. */
static void advance(struct runner *runner, uint64_t seq, size_t count)
{
    atomic_fetch_add_explicit(&runner->delivered, count, memory_order_relaxed);
    set_position(runner, seq);
}

static bool set_aside(struct runner *runner, const struct delta *delta, const char *reason)
{
    for (;;) {
        struct error error = {""};
        if (runner->settings.type->park(runner->settings.sink, delta, reason, &error) == SINK_TAKEN) {
            LOG_LIMITED(LOG_LEVEL_ERROR, "deltas", "sink=%s seq=%" PRIu64 ": parked, it cannot be taken: %s",
                        runner->name, delta->seq, reason);
            atomic_fetch_add_explicit(&runner->parked, 1, memory_order_relaxed);
            note_success(runner);
            advance(runner, delta->seq, 0);
            return true;
        }
        note_failure(runner, "cannot park a record", &error);
        if (!pause_before_retry(runner))
            return false;
        runner->position_known = false;
        if (!learn_position(runner) || runner->went_back)
            return false;
        if (runner->sink_seq >= delta->seq)
            return true;
    }
}

/* Hands over what is behind the sink's position. SINK_RETRY: given up, the tracker stops or the sink went back. */
static enum sink_result hand_over(struct runner *runner, const struct delta *deltas, size_t count, struct error *reason)
{
    for (;;) {
        while (count > 0 && deltas->seq <= runner->sink_seq) {
            deltas++;
            count--;
        }
        if (count == 0)
            return SINK_TAKEN;
        if (stopped(runner))
            return SINK_RETRY;
        reason->text[0] = '\0';
        enum sink_result result = runner->settings.type->deliver(runner->settings.sink, deltas, count, reason);
        if (result == SINK_TAKEN) {
            note_success(runner);
            advance(runner, deltas[count - 1].seq, count);
            return SINK_TAKEN;
        }
        if (result == SINK_REJECTED)
            return SINK_REJECTED;
        note_failure(runner, "cannot take deltas", reason);
        if (!pause_before_retry(runner))
            return SINK_RETRY;
        /* It may have taken them, and only the answer was lost. */
        runner->position_known = false;
        if (!learn_position(runner) || runner->went_back)
            return SINK_RETRY;
    }
}

/* Delivers all of it, in order, whatever it takes. False: the tracker stops, or the sink went back. */
static bool deliver(struct runner *runner, const struct delta *deltas, size_t count)
{
    struct error reason;
    switch (hand_over(runner, deltas, count, &reason)) {
    case SINK_TAKEN:
        return true;
    case SINK_RETRY:
        return false;
    case SINK_REJECTED:
        break;
    }
    /* A retry may have shown that some of it was taken already. */
    while (count > 1 && deltas->seq <= runner->sink_seq) {
        deltas++;
        count--;
    }
    if (count == 1)
        return set_aside(runner, deltas, reason.text);
    size_t half = count / 2;
    return deliver(runner, deltas, half) && deliver(runner, deltas + half, count - half);
}

/* How many records the next batch may hold: more than usual where many wait and the sink likes that. */
static size_t batch_limit(const struct runner *runner, uint64_t limit)
{
    size_t usual = runner->settings.options.batch_size;
    size_t most = runner->settings.type->catch_up_size;
    uint64_t read = journal_reader_seq(runner->reader);
    uint64_t waiting = limit > read ? limit - read : 0;
    if (most <= usual || waiting <= usual)
        return usual;
    return waiting < most ? (size_t)waiting : most;
}

static bool grow_batch(struct runner *runner, size_t wanted)
{
    if (wanted <= runner->batch_capacity)
        return true;
    /* Only the pages that a batch really fills are ever touched. */
    struct delta *batch = reallocarray(runner->batch, wanted, sizeof(*batch));
    if (batch == NULL)
        return false;
    runner->batch = batch;
    runner->batch_capacity = wanted;
    return true;
}

static void take_options(struct runner *runner)
{
    pthread_mutex_lock(&runner->mutex);
    bool changed = runner->new_options;
    runner->new_options = false;
    runner->settings.options = runner->options;
    pthread_mutex_unlock(&runner->mutex);
    if (changed && runner->settings.type->set_include_address != NULL)
        runner->settings.type->set_include_address(runner->settings.sink, runner->settings.options.include_address);
}

enum turn { TURN_DELIVER, TURN_END };

/* Sleeps until a batch is due, and says in `*limit` up to where it may go. */
static enum turn wait_for_batch(struct runner *runner, uint64_t *limit)
{
    pthread_mutex_lock(&runner->mutex);
    enum turn turn = TURN_END;
    while (!runner->stop) {
        uint64_t read = journal_reader_seq(runner->reader);
        uint64_t waiting = runner->synced > read ? runner->synced - read : 0;
        int64_t now = clock_monotonic_ns();
        if (waiting == 0) {
            if (runner->finish && runner->finish_at <= read)
                break;
            atomic_store_explicit(&runner->oldest_ms, 0, memory_order_relaxed);
            runner->pending_since_ns = 0;
            runner->wake_at = read + 1;
            wait_until(runner, INT64_MAX);
            continue;
        }
        if (runner->pending_since_ns == 0) {
            runner->pending_since_ns = now;
            atomic_store_explicit(&runner->oldest_ms, clock_now_ms(), memory_order_relaxed);
        }
        int64_t due = runner->pending_since_ns + (int64_t)runner->options.flush_interval_ms * ms_ns;
        if (waiting >= runner->options.batch_size || now >= due || runner->flush_to > read || runner->finish) {
            *limit = runner->synced;
            turn = TURN_DELIVER;
            break;
        }
        runner->wake_at = read + runner->options.batch_size;
        wait_until(runner, due);
    }
    runner->wake_at = UINT64_MAX;
    pthread_mutex_unlock(&runner->mutex);
    return turn;
}

/* One batch. False: the runner is to end. */
static bool run_batch(struct runner *runner, uint64_t limit)
{
    struct error error = {""};
    size_t count = 0;
    int64_t read_ns = clock_monotonic_ns();
    take_options(runner);
    size_t most = batch_limit(runner, limit);
    if (!grow_batch(runner, most)) {
        error_set(&error, "out of memory for a batch");
    } else if (journal_reader_read(runner->reader, runner->batch, most, limit, &count, &error) == 0) {
        runner->pending_since_ns = read_ns;
        if (count == 0) {
            /* Only numbers that were passed over: nothing for the sink to take, but it is past them. */
            set_position(runner, journal_reader_seq(runner->reader));
            return true;
        }
        atomic_store_explicit(&runner->oldest_ms, runner->batch[0].time_ms, memory_order_relaxed);
        if (deliver(runner, runner->batch, count))
            return true;
        if (!runner->went_back)
            return false;
        /* Another far end answers now, or a backup of it: what it lacks is read again. */
        runner->went_back = false;
        journal_reader_seek(runner->reader, runner->sink_seq);
        return true;
    }
    note_failure(runner, "the journal cannot be read", &error);
    if (!pause_before_retry(runner))
        return false;
    journal_reader_seek(runner->reader, runner->sink_seq);
    return true;
}

static void set_running(struct runner *runner, bool is_running)
{
    struct background_thread background;
    if (is_running)
        background_thread_begin(&background);
    pthread_mutex_lock(&runner->mutex);
    if (is_running)
        runner->background = background;
    runner->is_running = is_running;
    pthread_mutex_unlock(&runner->mutex);
}

static void *runner_main(void *argument)
{
    struct runner *runner = argument;
    set_running(runner, true);
    take_options(runner);
    if (learn_position(runner)) {
        uint64_t limit = 0;
        journal_reader_seek(runner->reader, runner->sink_seq);
        while (wait_for_batch(runner, &limit) == TURN_DELIVER && run_batch(runner, limit))
            ;
    }
    set_running(runner, false);
    return NULL;
}

int runner_start(struct runner *runner, struct error *error)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "sink-%s", runner->name);
    if (thread_start(&runner->thread, name, runner_main, runner, error) != 0)
        return -1;
    runner->started = true;
    return 0;
}

void runner_wake(struct runner *runner, uint64_t synced_seq)
{
    pthread_mutex_lock(&runner->mutex);
    runner->synced = synced_seq;
    if (synced_seq >= runner->wake_at)
        pthread_cond_signal(&runner->changed);
    pthread_mutex_unlock(&runner->mutex);
}

void runner_watch(struct runner *runner, int64_t now_ns)
{
    if (now_ns < runner->watch_at_ns)
        return;
    runner->watch_at_ns = now_ns + watch_ns;
    pthread_mutex_lock(&runner->mutex);
    if (runner->is_running)
        background_thread_watch(&runner->background, !runner->has_waited, now_ns);
    runner->has_waited = false;
    pthread_mutex_unlock(&runner->mutex);
}

void runner_flush(struct runner *runner, uint64_t seq)
{
    pthread_mutex_lock(&runner->mutex);
    if (seq > runner->flush_to)
        runner->flush_to = seq;
    pthread_cond_signal(&runner->changed);
    pthread_mutex_unlock(&runner->mutex);
}

void runner_set_options(struct runner *runner, const struct runner_options *options)
{
    pthread_mutex_lock(&runner->mutex);
    runner->options = *options;
    runner->new_options = true;
    pthread_cond_signal(&runner->changed);
    pthread_mutex_unlock(&runner->mutex);
}

void runner_finish(struct runner *runner, uint64_t seq)
{
    pthread_mutex_lock(&runner->mutex);
    runner->finish = true;
    runner->finish_at = seq;
    if (runner->is_running)
        background_thread_come_forward(&runner->background);
    pthread_cond_signal(&runner->changed);
    pthread_mutex_unlock(&runner->mutex);
}

void runner_interrupt(struct runner *runner)
{
    pthread_mutex_lock(&runner->mutex);
    runner->stop = true;
    pthread_cond_signal(&runner->changed);
    pthread_mutex_unlock(&runner->mutex);
    if (runner->settings.type->interrupt != NULL)
        runner->settings.type->interrupt(runner->settings.sink);
}

bool runner_join(struct runner *runner, int64_t deadline_ns)
{
    if (!runner->started || runner->joined)
        return true;
    runner->joined = thread_join(&runner->thread, deadline_ns);
    return runner->joined;
}

void runner_status(struct runner *runner, struct ledger_sink_status *status)
{
    uint64_t position = runner_position(runner);
    uint64_t synced = journal_synced_seq(runner->settings.journal);
    uint64_t begins_after = journal_begins_after(runner->settings.journal);
    uint64_t taken = position > begins_after ? position : begins_after;
    int64_t oldest = atomic_load_explicit(&runner->oldest_ms, memory_order_relaxed);
    int64_t age_ms = clock_now_ms() - oldest;
    *status = (struct ledger_sink_status){
        .name = runner->name,
        .delivered = atomic_load_explicit(&runner->delivered, memory_order_relaxed),
        .position = position,
        .pending = synced > taken ? synced - taken : 0,
        .parked = atomic_load_explicit(&runner->parked, memory_order_relaxed),
    };
    if (status->pending > 0 && oldest != 0 && age_ms > 0)
        status->oldest_pending_age_s = (double)age_ms / 1000;
    pthread_mutex_lock(&runner->mutex);
    strlcpy(status->last_error, runner->last_error, sizeof(status->last_error));
    pthread_mutex_unlock(&runner->mutex);
}
