/* held: with `durability: strict` nobody is answered before the disk has what the answer tells. */
#include <unistd.h>

#include "workers_fixture.h"

static struct tracker_fixture fixture; /* for its users and clients */
static struct test_announce test;
static struct config *config;
static struct tracker *tracker;
static uint64_t on_disk[2]; /* records of each worker's ring */
static uint64_t asked;
static uint64_t answered;
static uint8_t verdict; /* of the latest answer */

static uint64_t synced(void *context, unsigned number)
{
    (void)context;
    return on_disk[number];
}

static void open_tracker(const char *yaml)
{
    fixture_open(&fixture, "{}");
    tracker = workers_open(&fixture, yaml, &config);
    tracker_set_synced(tracker, synced, NULL);
}

static void set_up(void)
{
    open_tracker("{tracker: {workers: 2}, deltas: {durability: strict}}\n");
}

static void tear_down(void)
{
    workers_close(tracker, config, &fixture);
}

TestSuite(held, .init = set_up, .fini = tear_down, .timeout = 60);

static void take_answer(struct worker *worker, struct announce *announce)
{
    (void)worker;
    cr_expect_eq(announce->origin_tag, ++answered, "answer %llu comes as number %llu",
                 (unsigned long long)announce->origin_tag, (unsigned long long)answered);
    verdict = announce->verdict;
}

static const struct announce_origin origin = {.reply = take_answer};

/* Announces to worker `to`, whoever owns the torrent, and lets that batch run. */
static void ask(unsigned to, int torrent, enum announce_event event)
{
    fixture_fill(&test, 1 + torrent % FIXTURE_USERS, torrent, 1, event, 0, 0, 10);
    workers_submit(tracker, to, &test, &origin, ++asked);
}

static unsigned owner_of(int torrent)
{
    return workers_owner(tracker, torrent);
}

/* The disk gets all that worker `number` has published but for the last `but` records. */
static void sync_ring(unsigned number, uint64_t but)
{
    on_disk[number] = ring_published(tracker_ring(tracker, number)) - but;
    tracker_release_held(tracker);
    workers_turn(tracker);
}

Test(held, answer_waits_for_the_disk)
{
    ask(owner_of(3), 3, EVENT_STARTED);
    workers_turn(tracker);
    cr_expect_eq(answered, 0);
    sync_ring(owner_of(3), 0);
    cr_expect_eq(answered, 1);
    cr_expect_eq(verdict, VERDICT_ACCEPTED);
}

Test(held, answers_come_in_their_order_as_far_as_the_disk_is)
{
    for (int i = 0; i < 3; i++)
        ask(owner_of(3), 3 + 26 * 2 * i, EVENT_STARTED);
    sync_ring(owner_of(3), 1);
    cr_expect_eq(answered, 2);
    sync_ring(owner_of(3), 0);
    cr_expect_eq(answered, 3);
}

Test(held, another_workers_disk_is_not_waited_for)
{
    unsigned owner = owner_of(3);
    on_disk[owner] = UINT64_MAX;
    ask(owner, 3, EVENT_STARTED);
    cr_expect_eq(answered, 1);
}

Test(held, answer_for_another_worker_goes_home_when_the_owners_disk_has_it)
{
    unsigned owner = owner_of(3);
    ask(1 - owner, 3, EVENT_STARTED);
    sync_ring(1 - owner, 0);
    cr_expect_eq(answered, 0);
    sync_ring(owner, 0);
    cr_expect_eq(answered, 1);
    cr_expect_eq(verdict, VERDICT_ACCEPTED);
}

Test(held, announce_without_a_delta_is_answered_at_once_when_none_waits)
{
    ask(owner_of(3), 3, EVENT_STOPPED); /* of an unknown session */
    cr_expect_eq(answered, 1);
    cr_expect_eq(verdict, VERDICT_EMPTY);
}

/* The sync that ends while a batch is put aside finds nobody waiting, and wakes nobody. */
static uint64_t synced_meanwhile(void *context, unsigned number)
{
    uint64_t *calls = context;
    return (*calls)++ == 0 ? 0 : ring_published(tracker_ring(tracker, number));
}

Test(held, sync_that_ends_meanwhile_is_not_missed)
{
    uint64_t calls = 0;
    tracker_set_synced(tracker, synced_meanwhile, &calls);
    ask(owner_of(3), 3, EVENT_STARTED);
    cr_expect_gt(calls, 1);
    cr_expect_eq(answered, 1);
}

Test(held, too_many_refuse_what_comes_and_change_nothing)
{
    unsigned owner = owner_of(3);
    struct worker *worker = tracker->workers[owner];
    for (int i = 0; i < HELD_POOLS_MAX; i++)
        ask(owner, 3, i % 2 == 0 ? EVENT_STARTED : EVENT_STOPPED);
    cr_expect_eq(answered, 0);
    cr_expect_eq(worker->held_count, HELD_POOLS_MAX);
    uint64_t published = ring_published(tracker_ring(tracker, owner));
    asked = 0; /* this one is answered before those that wait */
    ask(owner, 3, EVENT_STARTED);
    cr_expect_eq(answered, 1);
    cr_expect_eq(verdict, VERDICT_OVERLOAD);
    cr_expect_eq(ring_published(tracker_ring(tracker, owner)), published);
    answered = 0;
    sync_ring(owner, 0);
    cr_expect_eq(answered, HELD_POOLS_MAX);
    cr_expect_eq(worker->held_count, 0);
    asked = answered;
    ask(owner, 3, EVENT_NONE);
    sync_ring(owner, 0);
    cr_expect_eq(verdict, VERDICT_ACCEPTED);
}

/* Nobody was told, and nothing leaks, which LeakSanitizer sees. */
Test(held, what_never_got_to_the_disk_is_not_answered_at_the_end)
{
    ask(owner_of(3), 3, EVENT_STARTED);
    ask(1 - owner_of(3), 3, EVENT_NONE);
    cr_expect_eq(answered, 0);
}

Test(held, relaxed_durability_waits_for_nothing, .init = NULL)
{
    open_tracker("{tracker: {workers: 2}, deltas: {durability: relaxed}}\n");
    ask(owner_of(3), 3, EVENT_STARTED);
    cr_expect_eq(answered, 1);
}

/* --- from the ledger's thread, with the workers' own threads --- */

static _Atomic uint64_t told;

static void count_answer(struct worker *worker, struct announce *announce)
{
    (void)worker;
    (void)announce;
    told++;
}

static const struct announce_origin counting_origin = {.reply = count_answer};

static void ask_and_flush(struct worker *worker, void *argument)
{
    (void)argument;
    struct announce *announce = worker_announce(worker);
    memcpy(announce, &test.announce, ANNOUNCE_FOUND_OFFSET);
    announce->origin = &counting_origin;
    worker_submit(worker, announce);
    worker_flush(worker);
}

static uint64_t synced_by_another_thread(void *context, unsigned number)
{
    (void)context;
    return __atomic_load_n(&on_disk[number], __ATOMIC_SEQ_CST);
}

Test(held, sync_wakes_the_worker)
{
    unsigned owner = owner_of(3);
    struct error error;
    tracker_set_synced(tracker, synced_by_another_thread, NULL);
    fixture_fill(&test, 1, 3, 1, EVENT_STARTED, 0, 0, 10);
    cr_assert_eq(tracker_start(tracker, &error), 0, "%s", error.text);
    tracker_call(tracker, owner, ask_and_flush, NULL);
    cr_expect_eq(told, 0);
    __atomic_store_n(&on_disk[owner], 1, __ATOMIC_SEQ_CST);
    tracker_release_held(tracker);
    for (int i = 0; i < 10000 && told == 0; i++)
        usleep(1000);
    cr_expect_eq(told, 1);
    tracker_stop(tracker);
}
