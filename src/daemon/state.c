/* state: see state.h. */
#include "daemon/state.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/background.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/snapshot_file.h"
#include "database/database.h"

enum {
    SAVE_EVERY_S = 300,
    LOOK_EVERY_S = 1, /* for the wish of a journal that fills up */
};

struct state {
    struct tracker *tracker;
    struct ledger *ledger;
    struct lists_cache *cache;
    bool is_restored; /* what is in memory is worth saving */
    const char *database_url;
    char folder[4096];
    uint64_t saved_seq;     /* the newest snapshot covers up to here */
    int64_t newest_ms;      /* newest time that restoring has seen */
    uint64_t database_seq;  /* the database has the snatches up to here */
    uint64_t restored;      /* records replayed */
    int failure;            /* of the replay: -ENOMEM */
    pthread_mutex_t saving; /* one snapshot at a time */
    pthread_mutex_t lock;   /* guards what follows */
    pthread_cond_t wake;
    pthread_t thread;
    bool is_running;
    bool must_stop;
};

struct state *state_open(const struct config *config, struct tracker *tracker, struct ledger *ledger,
                         struct lists_cache *cache, struct error *error)
{
    struct state *state = calloc(1, sizeof *state);
    if (state == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    state->tracker = tracker;
    state->ledger = ledger;
    state->cache = cache;
    state->database_url = config->database.url;
    if (snprintf(state->folder, sizeof state->folder, "%s/snapshot", config->tracker.state_dir) >=
        (int)sizeof state->folder) {
        error_set(error, "tracker.state_dir: the path is too long");
        free(state);
        return NULL;
    }
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&state->saving, NULL);
    pthread_mutex_init(&state->lock, NULL);
    pthread_cond_init(&state->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    return state;
}

void state_free(struct state *state)
{
    if (state == NULL)
        return;
    pthread_cond_destroy(&state->wake);
    pthread_mutex_destroy(&state->lock);
    pthread_mutex_destroy(&state->saving);
    free(state);
}

/* --- restoring --- */

static int load_block(void *context, const uint8_t *data, size_t size)
{
    return tracker_load(context, data, size);
}

static int load_file(struct state *state, uint64_t seq, int64_t *made_at_ms, uint64_t *sessions, struct error *error)
{
    struct tracker_loading *loading = tracker_load_begin(state->tracker);
    if (loading == NULL)
        return error_set(error, "out of memory");
    int result = snapshot_file_read(state->folder, seq, load_block, loading, made_at_ms, sessions, error);
    if (tracker_load_end(loading) != 0)
        return error_set(error, "out of memory");
    return result;
}

/* The newest snapshot that can be read; `*seq` 0 where there is none at all. */
static int load_snapshot(struct state *state, uint64_t *seq, struct error *error)
{
    uint64_t seqs[SNAPSHOTS_KEPT];
    size_t count = snapshot_file_list(state->folder, seqs, SNAPSHOTS_KEPT);
    *seq = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t made_at_ms = 0;
        uint64_t sessions = 0;
        if (load_file(state, seqs[i], &made_at_ms, &sessions, error) == 0) {
            log_info("state", "snapshot loaded sessions=%" PRIu64 " covers=%" PRIu64, sessions, seqs[i]);
            state->newest_ms = made_at_ms;
            *seq = seqs[i];
            return 0;
        }
        /* What it brought before the damage is overwritten by the older one and the journal behind that. */
        log_error("state", "snapshot not readable: %s", error->text);
    }
    return count == 0 ? 0 : -1;
}

static void replay(void *context, const struct delta *delta)
{
    struct state *state = context;
    bool counts_snatch = delta->seq > state->database_seq;
    int result = tracker_restore(state->tracker, delta, counts_snatch);
    if (result != 0)
        state->failure = result;
    if (delta->time_ms > state->newest_ms)
        state->newest_ms = delta->time_ms;
    state->restored++;
}

/* The journal may go up to what the oldest kept snapshot covers: should the newest be damaged, that one still serves. */
static void release_journal(struct state *state)
{
    uint64_t seqs[SNAPSHOTS_KEPT];
    snapshot_file_trim(state->folder);
    size_t count = snapshot_file_list(state->folder, seqs, SNAPSHOTS_KEPT);
    if (count > 0)
        ledger_covered(state->ledger, seqs[count - 1]);
    /* Announces are refused, so that no newer snapshot will come: then the newest has to do. */
    if (count > 0 && ledger_is_full(state->ledger) && ledger_wants_snapshot(state->ledger))
        ledger_covered(state->ledger, seqs[0]);
}

/* How far the database is: what is behind it is not yet in the torrents' numbers that were loaded from it. */
static uint64_t database_position(const struct state *state)
{
    struct error error;
    uint64_t seq = 0;
    if (lists_cache_was_used(state->cache, &seq))
        return seq;
    struct database *database = database_open(state->database_url, &error);
    if (database == NULL || database_applied(database, ledger_instance(state->ledger), &seq, &error) != DATABASE_OK)
        log_warning("state", "some snatches may be shown twice until the next start: %s", error.text);
    database_close(database);
    return seq;
}

int state_restore(struct state *state, struct error *error)
{
    int64_t begin_ns = clock_monotonic_ns();
    uint64_t seq;
    if (load_snapshot(state, &seq, error) != 0)
        return error_prefix(error, "no snapshot can be read, restore one from a backup");
    state->saved_seq = seq;
    state->database_seq = database_position(state);
    if (ledger_replay(state->ledger, seq, replay, state, error) != 0)
        return -1;
    if (state->failure != 0)
        return error_set(error, "out of memory for the sessions of the journal");
    clock_advance_to_ms(state->newest_ms);
    release_journal(state);
    state->is_restored = true;
    log_info("state", "restored replayed=%" PRIu64 " took_ms=%" PRId64, state->restored,
             (clock_monotonic_ns() - begin_ns) / 1000000);
    return 0;
}

/* --- saving --- */

static int write_block(void *context, const uint8_t *data, size_t size)
{
    return block_file_add(context, data, size);
}

static int save(struct state *state, uint64_t seq, struct error *error)
{
    int64_t begin_ns = clock_monotonic_ns();
    struct block_file *file = snapshot_file_begin(state->folder, seq, clock_now_ms(), error);
    if (file == NULL)
        return -1;
    uint64_t sessions;
    int result = tracker_save(state->tracker, write_block, file, &sessions);
    if (result != 0) {
        block_file_cancel(file);
        return error_set(error, "cannot write a snapshot: %s", strerror(-result));
    }
    if (block_file_finish(file, sessions, error) != 0)
        return -1;
    state->saved_seq = seq;
    release_journal(state);
    log_info("state", "snapshot saved sessions=%" PRIu64 " covers=%" PRIu64 " took_ms=%" PRId64, sessions, seq,
             (clock_monotonic_ns() - begin_ns) / 1000000);
    return 0;
}

int state_save(struct state *state, uint64_t *seq, struct error *error)
{
    pthread_mutex_lock(&state->saving);
    *seq = ledger_barrier(state->ledger);
    int result = save(state, *seq, error);
    pthread_mutex_unlock(&state->saving);
    return result;
}

void state_save_last(struct state *state)
{
    struct error error;
    uint64_t seq = ledger_last_seq(state->ledger);
    if (!state->is_restored)
        return;
    lists_cache_save(state->cache, seq);
    if (seq != 0 && save(state, seq, &error) != 0)
        log_error("state", "%s; the journal is replayed at the next start", error.text);
}

/* Waits a second, or until it is to stop; false then. */
static bool pause_is_over(struct state *state)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LOOK_EVERY_S;
    pthread_mutex_lock(&state->lock);
    while (!state->must_stop && pthread_cond_timedwait(&state->wake, &state->lock, &until) == 0) {
        /* woken for nothing */
    }
    bool goes_on = !state->must_stop;
    pthread_mutex_unlock(&state->lock);
    return goes_on;
}

static void *run(void *argument)
{
    struct state *state = argument;
    pthread_setname_np(pthread_self(), "snapshot");
    background_give_way();
    int64_t next_ns = clock_monotonic_ns() + SAVE_EVERY_S * INT64_C(1000000000);
    users_thread_register();
    while (pause_is_over(state)) {
        lists_cache_keep_up(state->cache, ledger_last_seq(state->ledger));
        if (clock_monotonic_ns() < next_ns && !ledger_wants_snapshot(state->ledger))
            continue;
        next_ns = clock_monotonic_ns() + SAVE_EVERY_S * INT64_C(1000000000);
        uint64_t seq;
        struct error error;
        if (ledger_last_seq(state->ledger) == state->saved_seq) {
            pthread_mutex_lock(&state->saving);
            release_journal(state);
            pthread_mutex_unlock(&state->saving);
        } else if (state_save(state, &seq, &error) != 0) {
            log_error("state", "%s", error.text);
        }
    }
    users_thread_unregister();
    return NULL;
}

int state_start(struct state *state, struct error *error)
{
    if (pthread_create(&state->thread, NULL, run, state) != 0)
        return error_set(error, "cannot start the thread snapshot");
    state->is_running = true;
    return 0;
}

void state_stop(struct state *state)
{
    if (!state->is_running)
        return;
    pthread_mutex_lock(&state->lock);
    state->must_stop = true;
    pthread_cond_signal(&state->wake);
    pthread_mutex_unlock(&state->lock);
    pthread_join(state->thread, NULL);
    state->is_running = false;
}
