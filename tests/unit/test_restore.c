/* restore: the deltas of the journal bring every session back as it was, and replaying some of them again is harmless. */
#include "storage/seed_marks.h"
#include "tracker/worker_private.h"
#include "workers_fixture.h"

enum { ROUNDS = 4000, DELTAS_MAX = 20000 };

static struct tracker_fixture fixture;
static struct test_announce test;
static struct config *config;
static struct tracker *tracker;
static struct delta deltas[DELTAS_MAX];
static size_t delta_count;

static void set_up(void)
{
    fixture_open(&fixture, "tracker: {announce_interval: 20s, min_announce_interval: 5s, announce_jitter: 1s, "
                           "peer_lifetime: 100s, tombstone_lifetime: 1000000s}\n"
                           "middleware: {limits: {sessions_per_torrent: 2}}\n");
    const char *yaml = "tracker: {workers: 3}\n";
    tracker = workers_open(&fixture, yaml, &config);
}

static void tear_down(void)
{
    workers_close(tracker, config, &fixture);
}

TestSuite(restore, .init = set_up, .fini = tear_down, .timeout = 120);

static void run(void)
{
    fixture_run(&fixture, &test);
    while (delta_count < DELTAS_MAX && fixture_delta(&fixture, &deltas[delta_count]))
        delta_count++;
}

static void say(int user, int peer, enum announce_event event, uint64_t uploaded, uint64_t left)
{
    fixture_fill(&test, user, 3, peer, event, uploaded, 0, left);
    run();
}

static void replay(size_t from)
{
    for (size_t i = from; i < delta_count; i++)
        cr_assert_eq(tracker_restore(tracker, &deltas[i], false), 0);
}

static struct torrents *owner_of(const uint8_t *info_hash)
{
    return tracker->workers[torrent_owner(info_hash, tracker->count)]->context.torrents;
}

static void expect_same_session(const struct torrent *one, uint32_t slot, const struct torrent *other, uint32_t at)
{
    const struct session *a = swarm_session(one, slot), *b = swarm_session(other, at);
    cr_assert_eq(swarm_place(one, slot), swarm_place(other, at));
    cr_assert_eq(a->uploaded, b->uploaded);
    cr_assert_eq(a->downloaded, b->downloaded);
    cr_assert_eq(session_last_ms(a), session_last_ms(b));
    cr_assert_eq(a->flags, b->flags, "flags %x and %x", a->flags, b->flags);
    if (swarm_place(one, slot) == PLACE_TOMBSTONE)
        return;
    cr_assert_eq(a->key, b->key);
    cr_assert_eq(session_left(a), session_left(b));
    for (int family = 4; family <= 6; family += 2) {
        struct address address = swarm_endpoint(one, slot, family), back = swarm_endpoint(other, at, family);
        cr_assert_eq(address.family, back.family);
        cr_assert(address.family == 0 || address_same_ip(&address, &back));
        cr_assert_eq(address.port, back.port);
    }
}

static void expect_same_store(void)
{
    struct torrents *torrents = fixture.context.torrents;
    for (uint32_t number = 0; number < torrents_count(torrents); number++) {
        const struct torrent *one = torrents_at(torrents, number);
        struct torrents *owner = owner_of(one->info_hash);
        const struct torrent *other = torrents_find(owner, one->info_hash);
        cr_assert_not_null(other);
        cr_assert_eq(swarm_total(other), swarm_total(one));
        cr_assert_eq(other->seeders, one->seeders);
        cr_assert_eq(other->leechers, one->leechers);
        for (uint32_t slot = 0; slot < swarm_total(one); slot++) {
            uint8_t peer_id[PEER_ID_BYTES];
            swarm_unpack_peer_id(torrents, swarm_session(one, slot), peer_id);
            uint32_t at = swarm_find(owner, other, swarm_user(one, slot), peer_id);
            cr_assert_neq(at, SLOT_NONE);
            expect_same_session(one, slot, other, at);
        }
    }
}

static uint64_t pick_number(uint64_t below)
{
    return (uint64_t)rand() % below;
}

static void make_history(void)
{
    static const enum announce_event events[] = {EVENT_NONE,    EVENT_NONE,      EVENT_NONE,   EVENT_STARTED,
                                                 EVENT_STOPPED, EVENT_COMPLETED, EVENT_PAUSED, EVENT_NONE};
    srand(23);
    for (int round = 0; round < ROUNDS; round++) {
        fixture_fill(&test, 1 + (int)pick_number(FIXTURE_USERS), (int)pick_number(5), (int)pick_number(4),
                     events[pick_number(8)], pick_number(100000), pick_number(100000), pick_number(2) * 100);
        test.announce.key = (uint32_t)pick_number(3);
        if (pick_number(3) == 0)
            test.announce.source.family = 6;
        run();
        fixture_pass_time(&fixture, (int64_t)pick_number(8));
    }
    cr_assert_lt(delta_count, DELTAS_MAX);
}

Test(restore, replay_brings_every_session_back_as_it_was)
{
    make_history();
    replay(0);
    expect_same_store();
}

Test(restore, replaying_the_end_again_changes_nothing)
{
    make_history();
    replay(0);
    replay(delta_count / 2);
    expect_same_store();
}

static const struct torrent *restored_torrent(void)
{
    return torrents_find(owner_of(deltas[0].info_hash), deltas[0].info_hash);
}

Test(restore, snatch_counts_only_where_the_database_has_not_got_it)
{
    say(1, 1, EVENT_STARTED, 0, 10);
    say(1, 1, EVENT_COMPLETED, 0, 0);
    cr_assert_eq(delta_count, 2);
    replay(0);
    cr_expect_eq(restored_torrent()->snatches, 0);
    cr_expect_eq(tracker_restore(tracker, &deltas[1], true), 0);
    cr_expect_eq(restored_torrent()->snatches, 1);
}

Test(restore, session_of_an_unknown_user_is_passed_over)
{
    say(1, 1, EVENT_STARTED, 0, 10);
    deltas[0].user_id = 4711;
    replay(0);
    cr_expect_null(restored_torrent());
}

Test(restore, user_that_registered_itself_comes_back_by_its_passkey)
{
    say(1, 1, EVENT_STARTED, 0, 10);
    deltas[0].user_id = 0;
    deltas[0].passkey_length = 5;
    memcpy(deltas[0].passkey, "alpha", 5);
    replay(0);
    users_read_begin();
    const struct user *user = users_find(fixture.context.users, "alpha", 5);
    cr_assert_not_null(user);
    cr_expect_eq(swarm_user(restored_torrent(), 0), user->index);
    users_read_end();
}

Test(restore, torrent_that_is_known_keeps_its_id)
{
    say(1, 1, EVENT_STARTED, 0, 10);
    struct torrent_facts facts = {.id = 9, .upload_percent = 100, .download_percent = 100};
    memcpy(facts.info_hash, deltas[0].info_hash, INFO_HASH_BYTES);
    cr_assert_eq(tracker_put_torrents(tracker, &facts, 1), 0);
    replay(0);
    cr_expect_eq(restored_torrent()->id, 9);
}

Test(restore, unlisted_session_stays_unlisted)
{
    fixture_fill(&test, 1, 3, 1, EVENT_STARTED, 0, 0, 0);
    test.announce.source.port = 0;
    run();
    replay(0);
    cr_expect(swarm_session(restored_torrent(), 0)->flags & SESSION_UNLISTED);
    cr_expect_eq(restored_torrent()->holes4, 1);
}

Test(restore, covered_time_of_two_sessions_is_not_counted_again)
{
    say(1, 1, EVENT_STARTED, 0, 0);
    say(1, 2, EVENT_STARTED, 0, 0);
    fixture_pass_time(&fixture, 20);
    say(1, 1, EVENT_NONE, 0, 0);
    replay(0);
    struct torrents *owner = owner_of(deltas[0].info_hash);
    const struct torrent *torrent = restored_torrent();
    const struct seed_mark *mark =
        seed_marks_find(torrents_seed_marks(owner), torrent_number(torrent), swarm_user(torrent, 0));
    cr_assert_not_null(mark);
    cr_expect_eq(mark->seed_s, (fixture.context.now_ms - TIME_BASE_MS) / 1000);
}
