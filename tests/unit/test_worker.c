/* worker: announces reach the worker that owns their torrent and come back; what the registry says is in force at once. */
#include "workers_fixture.h"

static struct tracker_fixture fixture; /* for its users and clients */
static struct test_announce test;
static struct config *config;
static struct tracker *tracker;
static int answers;
static struct announce answer;
static uint8_t first_peer[ENDPOINT4_BYTES];

static void set_up(void)
{
    fixture_open(&fixture, "{}");
    const char *yaml = "tracker: {workers: 3}\n";
    tracker = workers_open(&fixture, yaml, &config);
}

static void tear_down(void)
{
    workers_close(tracker, config, &fixture);
}

TestSuite(worker, .init = set_up, .fini = tear_down, .timeout = 60);

static void take_answer(struct worker *worker, struct announce *announce)
{
    (void)worker;
    answers++;
    answer = *announce;
    if (announce->peer4_count > 0)
        memcpy(first_peer, announce->peers4, sizeof first_peer);
}

static const struct announce_origin origin = {.reply = take_answer};

/* Sent to worker `to`, whoever owns the torrent. */
static void submit(unsigned to, int user, int torrent, int peer, enum announce_event event)
{
    fixture_fill(&test, user, torrent, peer, event, 0, 0, 10);
    workers_submit(tracker, to, &test, &origin, 0);
}

static unsigned owner_of(int torrent)
{
    return workers_owner(tracker, torrent);
}

Test(worker, announce_is_answered_by_its_owner)
{
    submit(owner_of(3), 1, 3, 1, EVENT_STARTED);
    cr_expect_eq(answers, 1);
    cr_expect_eq(answer.verdict, VERDICT_ACCEPTED);
    cr_expect_eq(answer.incomplete, 1);
}

Test(worker, announce_at_another_worker_comes_back_with_its_peers)
{
    unsigned owner = owner_of(3);
    submit(owner, 2, 3, 2, EVENT_STARTED);
    submit((owner + 1) % 3, 1, 3, 1, EVENT_STARTED);
    cr_expect_eq(answers, 2);
    cr_expect_eq(answer.incomplete, 2);
    const uint8_t wanted[] = {10, 0, 0, 2, 6002 >> 8, 6002 & 255};
    cr_assert_eq(answer.peer4_count, 1);
    cr_expect_arr_eq(first_peer, wanted, sizeof wanted);
    cr_expect_eq(worker_counters(tracker_worker(tracker, (owner + 1) % 3))->mailed, 1);
    cr_expect_eq(worker_counters(tracker_worker(tracker, owner))->mailed, 0);
}

Test(worker, deltas_are_in_the_owners_ring)
{
    unsigned owner = owner_of(3);
    submit((owner + 2) % 3, 1, 3, 1, EVENT_STARTED);
    for (unsigned number = 0; number < 3; number++) {
        size_t count;
        ring_peek(tracker_ring(tracker, number), 10, &count);
        cr_expect_eq(count, number == owner ? 1u : 0u);
    }
}

static bool is_closed(void *context)
{
    (void)context;
    return true;
}

Test(worker, closed_gate_refuses_as_overload_and_changes_nothing)
{
    tracker_set_gate(tracker, is_closed, NULL);
    submit(owner_of(3), 1, 3, 1, EVENT_STARTED);
    cr_expect_eq(answer.verdict, VERDICT_OVERLOAD);
    cr_expect_gt(answer.retry_s, 0);
    cr_expect_eq(torrents_count(tracker_worker(tracker, owner_of(3))->context.torrents), 0);
}

Test(worker, full_ring_refuses_as_overload_and_changes_nothing)
{
    unsigned owner = owner_of(3);
    struct worker *worker = tracker_worker(tracker, owner);
    struct ring *ring = tracker_ring(tracker, owner);
    size_t pushed = 0;
    for (; ring_room(ring) >= DELTAS_PER_ANNOUNCE; pushed++) {
        *ring_next(ring) = (struct delta){.seq = 0};
        ring_commit(ring);
    }
    ring_publish(ring);
    uint64_t published = ring_published(ring);
    submit(owner, 1, 3, 1, EVENT_STARTED);
    cr_expect_eq(answer.verdict, VERDICT_OVERLOAD);
    cr_expect_gt(answer.retry_s, 0);
    cr_expect_eq(torrents_count(worker->context.torrents), 0);
    cr_expect_eq(ring_published(ring), published);
    ring_release(ring, 1); /* the ledger has taken one, and that is the room that one announce needs */
    submit(owner, 1, 3, 1, EVENT_STARTED);
    cr_expect_eq(answer.verdict, VERDICT_ACCEPTED);
    cr_expect_eq(ring_published(ring), published + 1);
}

Test(worker, mail_that_is_under_way_at_the_end_is_freed)
{
    struct worker *worker = tracker_worker(tracker, (owner_of(3) + 1) % 3);
    fixture_fill(&test, 1, 3, 1, EVENT_STARTED, 0, 0, 10);
    struct announce *announce = worker_announce(worker);
    memcpy(announce, &test.announce, ANNOUNCE_FOUND_OFFSET);
    announce->origin = &origin;
    worker_submit(worker, announce); /* and no turn: LeakSanitizer sees what tear_down leaves */
    cr_expect_eq(worker_counters(worker)->mailed, 1);
    cr_expect_eq(answers, 0);
}

/* --- the registry --- */

static const struct torrent *put(enum torrent_state state, const char *reason)
{
    struct torrent_facts facts = {
        .id = 9, .state = state, .reason = reason, .upload_percent = 200, .download_percent = 50, .snatches = 4};
    unsigned owner = owner_of(3);
    memcpy(facts.info_hash, test.announce.info_hash, INFO_HASH_BYTES);
    cr_assert_eq(tracker_put_torrents(tracker, &facts, 1), 0);
    return torrents_find(tracker_worker(tracker, owner)->context.torrents, facts.info_hash);
}

Test(worker, row_of_a_torrent_is_in_force)
{
    const struct torrent *torrent = put(TORRENT_PENDING, "wait");
    cr_expect_eq(torrent->id, 9);
    cr_expect_eq(torrent->state, TORRENT_PENDING);
    cr_expect_eq(torrent->snatches, 4);
    cr_expect_eq(torrent_upload_percent(torrent), 200);
    cr_expect_eq(torrent_download_percent(torrent), 50);
    cr_expect_str_eq(torrent_extra(torrent)->reason, "wait");
}

Test(worker, same_reason_again_stays_where_it_is)
{
    const char *reason = torrent_extra(put(TORRENT_PENDING, "wait"))->reason;
    cr_expect_eq(torrent_extra(put(TORRENT_PENDING, "wait"))->reason, reason);
}

Test(worker, replaced_reason_may_still_be_told_by_an_answer_on_its_way)
{
    const char *reason = torrent_extra(put(TORRENT_DELETED, "the first reason"))->reason;
    put(TORRENT_DELETED, "the second, which is another");
    const struct torrent *torrent = put(TORRENT_DELETED, NULL);
    cr_expect_str_eq(reason, "the first reason");
    cr_expect_null(torrent_extra(torrent)->reason);
}

Test(worker, removed_row_is_a_deletion_without_a_reason)
{
    const struct torrent *torrent = put(TORRENT_PENDING, "wait");
    uint8_t info_hash[1][INFO_HASH_BYTES];
    memcpy(info_hash[0], torrent->info_hash, INFO_HASH_BYTES);
    cr_assert_eq(tracker_remove_torrents(tracker, (const uint8_t(*)[INFO_HASH_BYTES])info_hash, 1), 0);
    cr_expect_eq(torrent->state, TORRENT_DELETED);
    cr_expect_null(torrent_extra(torrent)->reason);
    cr_expect_gt(torrent_extra(torrent)->deleted_at_s, 0);
}

Test(worker, sweep_removes_torrents_that_no_row_has_named)
{
    const struct torrent *torrent = put(TORRENT_APPROVED, NULL);
    tracker_mark_torrents(tracker);
    put(TORRENT_APPROVED, NULL);
    tracker_sweep_torrents(tracker);
    cr_expect_eq(torrent->state, TORRENT_APPROVED);
    tracker_mark_torrents(tracker);
    tracker_sweep_torrents(tracker);
    cr_expect_eq(torrent->state, TORRENT_DELETED);
}
