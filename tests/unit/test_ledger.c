/* The ledger with rings, journal and sinks that fail in every way that they may. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "delta_maker.h"
#include "deltas/ledger.h"
#include "deltas/sink.h"

/* A sink in memory that outlives its ledger, as a database does. */
struct sink {
    int unused;
};

static struct far_end {
    pthread_mutex_t mutex;
    uint64_t *taken; /* seqs in order */
    size_t count;
    size_t capacity;
    uint64_t position;
    uint64_t parked[16];
    size_t parked_count;
    size_t largest_batch;
    unsigned deliveries;
    uint64_t bad[4]; /* seqs that it rejects */
    size_t bad_count;
    unsigned lose_answers; /* so many batches are taken, but answered with RETRY */
    unsigned refuse;       /* so many batches are not taken */
    bool dead;             /* everything is RETRY */
    bool hangs;            /* deliver blocks until it is interrupted */
    bool waits_for_turn;   /* deliver does nothing until its thread stands where other threads do */
    int first_policy;      /* where it stood when deliver was called first */
    int last_policy;
    bool interrupted;
    pthread_cond_t freed;
} far_end = {.mutex = PTHREAD_MUTEX_INITIALIZER, .freed = PTHREAD_COND_INITIALIZER};

static struct sink the_sink;

static struct sink *fake_open(const struct sink_settings *settings, struct error *error)
{
    (void)settings;
    (void)error;
    return &the_sink;
}

static enum sink_result fake_position(struct sink *sink, uint64_t *seq, struct error *error)
{
    (void)sink;
    pthread_mutex_lock(&far_end.mutex);
    bool dead = far_end.dead;
    *seq = far_end.position;
    pthread_mutex_unlock(&far_end.mutex);
    if (dead)
        error_set(error, "it is dead");
    return dead ? SINK_RETRY : SINK_TAKEN;
}

static bool is_bad(uint64_t seq)
{
    for (size_t i = 0; i < far_end.bad_count; i++)
        if (far_end.bad[i] == seq)
            return true;
    return false;
}

static void wait_for_turn(void)
{
    if (far_end.deliveries == 1)
        far_end.first_policy = sched_getscheduler(0);
    for (int i = 0; i < 1000 && sched_getscheduler(0) == SCHED_IDLE; i++)
        usleep(10 * 1000);
    far_end.last_policy = sched_getscheduler(0);
}

static enum sink_result take_locked(const struct delta *deltas, size_t count, struct error *error)
{
    far_end.deliveries++;
    if (far_end.waits_for_turn)
        wait_for_turn();
    while (far_end.hangs && !far_end.interrupted)
        pthread_cond_wait(&far_end.freed, &far_end.mutex);
    if (far_end.dead || far_end.hangs || far_end.refuse > 0) {
        far_end.refuse -= far_end.refuse > 0;
        error_set(error, "not now");
        return SINK_RETRY;
    }
    for (size_t i = 0; i < count; i++)
        if (is_bad(deltas[i].seq)) {
            error_set(error, "a bad row");
            return SINK_REJECTED;
        }
    for (size_t i = 0; i < count; i++) {
        if (deltas[i].seq <= far_end.position)
            continue;
        if (far_end.count == far_end.capacity) {
            far_end.capacity = far_end.capacity == 0 ? 1024 : 2 * far_end.capacity;
            far_end.taken = realloc(far_end.taken, far_end.capacity * sizeof(*far_end.taken));
        }
        far_end.taken[far_end.count++] = deltas[i].seq;
    }
    far_end.position = deltas[count - 1].seq;
    far_end.largest_batch = count > far_end.largest_batch ? count : far_end.largest_batch;
    if (far_end.lose_answers > 0) {
        far_end.lose_answers--;
        error_set(error, "the answer was lost");
        return SINK_RETRY;
    }
    return SINK_TAKEN;
}

static enum sink_result fake_deliver(struct sink *sink, const struct delta *deltas, size_t count, struct error *error)
{
    (void)sink;
    pthread_mutex_lock(&far_end.mutex);
    enum sink_result result = take_locked(deltas, count, error);
    pthread_mutex_unlock(&far_end.mutex);
    return result;
}

static enum sink_result fake_park(struct sink *sink, const struct delta *delta, const char *reason, struct error *error)
{
    (void)sink;
    (void)reason;
    (void)error;
    pthread_mutex_lock(&far_end.mutex);
    far_end.parked[far_end.parked_count++] = delta->seq;
    far_end.position = delta->seq;
    pthread_mutex_unlock(&far_end.mutex);
    return SINK_TAKEN;
}

static void fake_interrupt(struct sink *sink)
{
    (void)sink;
    pthread_mutex_lock(&far_end.mutex);
    far_end.interrupted = true;
    pthread_cond_broadcast(&far_end.freed);
    pthread_mutex_unlock(&far_end.mutex);
}

static void fake_close(struct sink *sink)
{
    (void)sink;
}

static struct sink_type fake_type = {
    .name = "fake",
    .open = fake_open,
    .position = fake_position,
    .deliver = fake_deliver,
    .park = fake_park,
    .interrupt = fake_interrupt,
    .close = fake_close,
};

/* In the place of the built-in ones. */
const struct sink_type *const sink_types[] = {&fake_type, NULL};

static struct config_sink sink_settings_ = {.type = (char *)"fake", .path = (char *)"", .url = (char *)""};

static struct fixture {
    struct config config;
    struct ledger *ledger;
    struct ring *rings[2];
    struct error error;
    uint64_t random;
} fix;

static void begin(void)
{
    fix.random = 88172645463325252ull;
    fix.config.tracker.state_dir = maker_folder();
    fix.config.deltas = (struct config_deltas){
        .batch_size = 64,
        .flush_interval_s = 1,
        .sync_interval_ms = 5,
        .journal_max_bytes = 64 << 20,
        .sinks = &sink_settings_,
        .sink_count = 1,
        .include_address = true,
    };
}

static void open_ledger(void)
{
    fix.ledger = ledger_open(&fix.config, &fix.error);
    cr_assert_not_null(fix.ledger, "%s", fix.error.text);
    for (int i = 0; i < 2; i++)
        fix.rings[i] = ring_new(4096);
}

static void start_ledger(void)
{
    open_ledger();
    cr_assert_eq(ledger_start(fix.ledger, fix.rings, 2, &fix.error), 0, "%s", fix.error.text);
}

static void stop_ledger(int64_t timeout_ms)
{
    ledger_stop(fix.ledger, timeout_ms);
    ledger_free(fix.ledger);
    fix.ledger = NULL;
    for (int i = 0; i < 2; i++)
        ring_free(fix.rings[i]);
}

static void end(void)
{
    maker_remove(fix.config.tracker.state_dir);
    free(far_end.taken);
}

/* Publishes `count` deltas in one ring, waiting for room. */
static void push(int ring, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        while (ring_room(fix.rings[ring]) == 0) {
            ring_publish(fix.rings[ring]);
            usleep(100);
        }
        *ring_next(fix.rings[ring]) = maker_typical(&fix.random, clock_now_ms());
        ring_commit(fix.rings[ring]);
    }
    ring_publish(fix.rings[ring]);
}

static void expect_all_in_order(uint64_t first, size_t count)
{
    cr_assert_eq(far_end.count, count, "%zu records, not %zu", far_end.count, count);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(far_end.taken[i], first + i, "record %zu has seq %lu", i, far_end.taken[i]);
}

TestSuite(ledger, .init = begin, .fini = end, .timeout = 60);

Test(ledger, what_workers_publish_reaches_the_sink_in_order)
{
    start_ledger();
    for (int i = 0; i < 50; i++) {
        push(0, 100);
        push(1, 30);
    }
    cr_assert(ledger_flush(fix.ledger, 10000));
    expect_all_in_order(1, 6500);
    cr_assert_leq(far_end.largest_batch, 64);
    stop_ledger(5000);
}

Test(ledger, a_small_batch_leaves_after_the_flush_interval)
{
    start_ledger();
    push(0, 3);
    usleep(500 * 1000);
    pthread_mutex_lock(&far_end.mutex);
    size_t early = far_end.count;
    pthread_mutex_unlock(&far_end.mutex);
    usleep(800 * 1000);
    pthread_mutex_lock(&far_end.mutex);
    size_t late = far_end.count;
    pthread_mutex_unlock(&far_end.mutex);
    stop_ledger(5000);
    cr_assert_eq(early, 0);
    cr_assert_eq(late, 3);
}

Test(ledger, a_full_batch_leaves_at_once)
{
    start_ledger();
    push(0, 64);
    for (int i = 0; i < 300; i++) {
        pthread_mutex_lock(&far_end.mutex);
        size_t count = far_end.count;
        pthread_mutex_unlock(&far_end.mutex);
        if (count == 64)
            break;
        usleep(1000);
    }
    expect_all_in_order(1, 64);
    stop_ledger(5000);
}

Test(ledger, stop_takes_what_is_left_in_the_rings)
{
    start_ledger();
    push(0, 1000);
    push(1, 1000);
    stop_ledger(5000);
    expect_all_in_order(1, 2000);
}

Test(ledger, numbers_go_on_after_a_restart)
{
    start_ledger();
    push(0, 10);
    stop_ledger(5000);
    start_ledger();
    cr_assert_eq(ledger_last_seq(fix.ledger), 10);
    push(0, 10);
    stop_ledger(5000);
    expect_all_in_order(1, 20);
}

Test(ledger, a_sink_that_is_down_gets_all_when_it_is_back_after_a_restart)
{
    far_end.dead = true;
    start_ledger();
    push(0, 500);
    stop_ledger(1000);
    cr_assert_eq(far_end.count, 0);
    far_end.dead = false;
    start_ledger();
    push(0, 500);
    cr_assert(ledger_flush(fix.ledger, 10000));
    stop_ledger(5000);
    expect_all_in_order(1, 1000);
}

/* How long after the start the ledger begins with a ring that is more than half full, while the sink cannot tell where it stands. */
static int64_t begins_after_ms(void)
{
    open_ledger();
    push(0, 3000);
    int64_t began_ms = clock_monotonic_ns() / 1000000;
    cr_assert_eq(ledger_start(fix.ledger, fix.rings, 2, &fix.error), 0, "%s", fix.error.text);
    while (ring_room(fix.rings[0]) < 2000)
        usleep(1000);
    int64_t took_ms = clock_monotonic_ns() / 1000000 - began_ms;
    stop_ledger(1000);
    return took_ms;
}

Test(ledger, full_rings_do_not_wait_for_a_sink_that_is_away)
{
    far_end.dead = true;
    int64_t least_ms =
        INT64_MAX; /* a busy machine may be slow at times, the wait for the sink is half a second always */
    for (int i = 0; i < 5 && least_ms >= 400; i++) {
        int64_t took_ms = begins_after_ms();
        least_ms = took_ms < least_ms ? took_ms : least_ms;
    }
    cr_assert_lt(least_ms, 400, "at best after %ld ms", least_ms);
}

/* Piles up records that a sink which is down cannot take, lets it go, and returns the largest batch that it got. */
static size_t largest_batch_after_an_outage(void)
{
    far_end.dead = true;
    start_ledger();
    push(0, 1000);
    stop_ledger(1000);
    far_end.dead = false;
    start_ledger();
    cr_assert(ledger_flush(fix.ledger, 10000));
    stop_ledger(5000);
    expect_all_in_order(1, 1000);
    return far_end.largest_batch;
}

Test(ledger, a_sink_catches_up_by_larger_batches_where_it_likes_that)
{
    fake_type.catch_up_size = 300;
    cr_expect_eq(largest_batch_after_an_outage(), 300);
}

Test(ledger, a_sink_that_does_not_never_gets_more_than_batch_size)
{
    cr_expect_eq(largest_batch_after_an_outage(), 64);
}

Test(ledger, a_lost_acknowledgement_doubles_nothing)
{
    far_end.lose_answers = 3;
    start_ledger();
    push(0, 640);
    cr_assert(ledger_flush(fix.ledger, 10000));
    stop_ledger(5000);
    expect_all_in_order(1, 640);
}

Test(ledger, a_refused_batch_is_tried_again)
{
    far_end.refuse = 3;
    start_ledger();
    push(0, 200);
    cr_assert(ledger_flush(fix.ledger, 10000));
    stop_ledger(5000);
    expect_all_in_order(1, 200);
}

Test(ledger, bad_rows_are_parked_and_the_rest_delivered_in_order)
{
    far_end.bad[0] = 1;
    far_end.bad[1] = 77;
    far_end.bad[2] = 78;
    far_end.bad[3] = 200;
    far_end.bad_count = 4;
    start_ledger();
    push(0, 200);
    cr_assert(ledger_flush(fix.ledger, 10000));
    struct ledger_status status;
    ledger_status(fix.ledger, &status);
    stop_ledger(5000);
    cr_assert_eq(status.sinks[0].parked, 4);
    cr_assert_eq(far_end.parked_count, 4);
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(far_end.parked[i], far_end.bad[i]);
    cr_assert_eq(far_end.count, 196);
    for (size_t i = 1; i < far_end.count; i++)
        cr_assert_gt(far_end.taken[i], far_end.taken[i - 1]);
}

Test(ledger, stop_is_in_time_with_a_sink_that_hangs)
{
    far_end.hangs = true;
    start_ledger();
    push(0, 100);
    usleep(300 * 1000);
    int64_t start = clock_monotonic_ns();
    stop_ledger(1000);
    int64_t took_ms = (clock_monotonic_ns() - start) / 1000000;
    cr_assert_lt(took_ms, 2500, "%ld ms", took_ms);
    cr_assert(far_end.interrupted);
}

Test(ledger, a_dead_sink_does_not_use_up_the_time_to_stop)
{
    far_end.dead = true;
    start_ledger();
    push(0, 100);
    usleep(300 * 1000);
    int64_t start = clock_monotonic_ns();
    stop_ledger(8000);
    cr_assert_lt((clock_monotonic_ns() - start) / 1000000, 2000);
}

Test(ledger, a_sink_that_gets_no_core_comes_forward)
{
    far_end.waits_for_turn = true;
    start_ledger();
    push(0, 100);
    cr_assert(ledger_flush(fix.ledger, 20000));
    stop_ledger(5000);
    expect_all_in_order(1, 100);
    if (far_end.first_policy != SCHED_IDLE)
        cr_skip_test("no right to come forward again");
    cr_assert_eq(far_end.last_policy, SCHED_OTHER);
}

Test(ledger, barrier_waits_for_the_disk)
{
    fix.config.deltas.sync_interval_ms = 60000;
    start_ledger();
    push(0, 5);
    cr_assert_geq(ledger_barrier(fix.ledger), 5);
    push(0, 5);
    push(1, 7);
    uint64_t seq = ledger_barrier(fix.ledger);
    cr_assert_geq(seq, 17);
    cr_assert_eq(ledger_synced(fix.ledger, 0), 10);
    cr_assert_eq(ledger_synced(fix.ledger, 1), 7);
    stop_ledger(5000);
}

static void count_sync(void *context)
{
    atomic_fetch_add((_Atomic int *)context, 1);
}

Test(ledger, strict_durability_syncs_soon)
{
    _Atomic int syncs = 0;
    fix.config.deltas.sync_interval_ms = 60000;
    fix.config.deltas.durability = DURABILITY_STRICT;
    open_ledger();
    ledger_on_sync(fix.ledger, count_sync, &syncs);
    cr_assert_eq(ledger_start(fix.ledger, fix.rings, 2, &fix.error), 0);
    for (int i = 1; i <= 20; i++) {
        push(0, 1);
        for (int wait = 0; wait < 10000 && ledger_synced(fix.ledger, 0) < (uint64_t)i; wait++)
            usleep(100);
        cr_assert_eq(ledger_synced(fix.ledger, 0), (uint64_t)i);
    }
    cr_assert_geq(atomic_load(&syncs), 20);
    stop_ledger(5000);
}

static void count_replayed(void *context, const struct delta *delta)
{
    uint64_t *last = context;
    cr_assert_eq(delta->seq, *last + 1);
    *last = delta->seq;
}

Test(ledger, replay_gives_every_record_behind_the_snapshot)
{
    start_ledger();
    push(0, 3000);
    stop_ledger(5000);
    open_ledger();
    uint64_t last = 1234;
    cr_assert_eq(ledger_replay(fix.ledger, 1234, count_replayed, &last, &fix.error), 0, "%s", fix.error.text);
    cr_assert_eq(last, 3000);
    stop_ledger(100);
}

Test(ledger, replay_refuses_a_gap_behind_the_snapshot)
{
    fix.config.deltas.journal_max_bytes = 1 << 20;
    start_ledger();
    for (int i = 0; i < 20; i++) {
        push(0, 200);
        cr_assert(ledger_flush(fix.ledger, 10000));
        ledger_covered(fix.ledger, (uint64_t)(i + 1) * 200);
    }
    stop_ledger(5000);
    open_ledger();
    uint64_t last = 0;
    cr_assert_eq(ledger_replay(fix.ledger, 0, count_replayed, &last, &fix.error), -1);
    cr_assert_neq(strstr(fix.error.text, "missing"), NULL, "%s", fix.error.text);
    stop_ledger(100);
}

Test(ledger, a_sink_that_is_ahead_moves_the_numbers_behind_itself)
{
    far_end.position = 5000;
    start_ledger();
    push(0, 10);
    cr_assert(ledger_flush(fix.ledger, 10000));
    stop_ledger(5000);
    expect_all_in_order(5001, 10);
    far_end.count = 0;
    start_ledger();
    push(0, 10);
    stop_ledger(5000);
    expect_all_in_order(5011, 10);
}

Test(ledger, numbers_go_on_behind_a_snapshot_that_is_ahead_of_the_journal)
{
    open_ledger();
    uint64_t last = 0;
    cr_assert_eq(ledger_replay(fix.ledger, 900, count_replayed, &last, &fix.error), 0);
    cr_assert_eq(ledger_start(fix.ledger, fix.rings, 2, &fix.error), 0);
    push(0, 1);
    stop_ledger(5000);
    expect_all_in_order(901, 1);
}

Test(ledger, a_sink_that_goes_back_gets_what_it_lacks_again)
{
    start_ledger();
    push(0, 100);
    cr_assert(ledger_flush(fix.ledger, 10000));
    pthread_mutex_lock(&far_end.mutex);
    far_end.position = 40;
    far_end.count = 40;
    far_end.refuse = 1;
    pthread_mutex_unlock(&far_end.mutex);
    push(0, 10);
    cr_assert(ledger_flush(fix.ledger, 10000));
    stop_ledger(5000);
    expect_all_in_order(1, 110);
}

Test(ledger, a_full_journal_refuses_and_recovers_by_itself)
{
    fix.config.deltas.journal_max_bytes = 1 << 20;
    far_end.dead = true;
    start_ledger();
    for (int i = 0; i < 3000 && !ledger_is_full(fix.ledger); i++) {
        push(0, 20);
        usleep(2000);
    }
    cr_assert(ledger_is_full(fix.ledger));
    struct ledger_status status;
    ledger_status(fix.ledger, &status);
    cr_assert_leq(status.journal_bytes, (uint64_t)(1 << 20) + (64 << 10));
    /* The sink holds it all: a snapshot would not help. */
    cr_assert(!ledger_wants_snapshot(fix.ledger));

    pthread_mutex_lock(&far_end.mutex);
    far_end.dead = false;
    pthread_mutex_unlock(&far_end.mutex);
    cr_assert(ledger_flush(fix.ledger, 40000));
    cr_assert(ledger_wants_snapshot(fix.ledger));
    ledger_covered(fix.ledger, ledger_last_seq(fix.ledger));
    for (int i = 0; i < 500 && ledger_is_full(fix.ledger); i++)
        usleep(1000);
    cr_assert(!ledger_is_full(fix.ledger));
    uint64_t last = ledger_last_seq(fix.ledger);
    stop_ledger(5000);
    expect_all_in_order(1, last);
}

/* No file may grow over this: to the journal a full disk. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
}

Test(ledger, a_full_disk_refuses_and_recovers_by_itself)
{
    signal(SIGXFSZ, SIG_IGN);
    start_ledger();
    push(0, 100);
    ledger_barrier(fix.ledger);
    limit_files(40000);
    for (int i = 0; i < 1000 && !ledger_is_full(fix.ledger); i++) {
        push(0, 20);
        usleep(3000);
    }
    cr_assert(ledger_is_full(fix.ledger));
    push(1, 500);
    usleep(100 * 1000);
    limit_files(RLIM_INFINITY);
    for (int i = 0; i < 8000 && ledger_is_full(fix.ledger); i++)
        usleep(1000);
    cr_assert(!ledger_is_full(fix.ledger));
    uint64_t seq = ledger_barrier(fix.ledger);
    stop_ledger(5000);
    expect_all_in_order(1, seq);
}

Test(ledger, stop_is_in_time_with_a_disk_that_is_full)
{
    signal(SIGXFSZ, SIG_IGN);
    start_ledger();
    push(0, 100);
    ledger_barrier(fix.ledger);
    limit_files(1000);
    push(0, 1000);
    usleep(100 * 1000);
    int64_t start = clock_monotonic_ns();
    stop_ledger(2000);
    cr_assert_lt((clock_monotonic_ns() - start) / 1000000, 3000);
    limit_files(RLIM_INFINITY);
    start_ledger();
    push(0, 10);
    uint64_t seq = ledger_barrier(fix.ledger);
    stop_ledger(5000);
    expect_all_in_order(1, seq);
}

Test(ledger, reload_changes_the_batch_size)
{
    start_ledger();
    struct config next = fix.config;
    next.deltas.batch_size = 5;
    ledger_reload(fix.ledger, &next);
    usleep(50 * 1000);
    push(0, 100);
    cr_assert(ledger_flush(fix.ledger, 10000));
    stop_ledger(5000);
    cr_assert_eq(far_end.largest_batch, 5);
    expect_all_in_order(1, 100);
}
