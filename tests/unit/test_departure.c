/* departure: the silent leave the swarm, and come back within the lifetime of their tombstone (section 6, rule 7). */
#include "middleware/departure.h"

#include "chain_fixture.h"
#include "storage/seed_marks.h"

enum { TORRENT = 3, LIFETIME = 4200, TOMBSTONE_LIFETIME = 10000, LARGE = 500 };

static struct tracker_fixture fixture;
static struct test_announce test;

static void set_up(void)
{
    fixture_open(&fixture, "tracker: {peer_lifetime: 4200s, tombstone_lifetime: 10000s}\n"
                           "middleware: {limits: {sessions_per_torrent: 50}}\n");
}

static void tear_down(void)
{
    fixture_close(&fixture);
}

TestSuite(departure, .init = set_up, .fini = tear_down, .timeout = 60);

static const struct announce *say(int user, int peer, enum announce_event event, uint64_t uploaded, uint64_t left)
{
    fixture_fill(&test, user, TORRENT, peer, event, uploaded, 0, left);
    fixture_run(&fixture, &test);
    cr_assert_eq(test.announce.verdict, VERDICT_ACCEPTED);
    return &test.announce;
}

static struct torrent *the_torrent(void)
{
    fixture_fill(&test, 1, TORRENT, 1, EVENT_NONE, 0, 0, 0);
    return torrents_find(fixture.context.torrents, test.announce.info_hash);
}

static void walk(uint32_t budget, int ticks)
{
    struct departure_walk walk = {.torrent = 0};
    users_read_begin();
    for (int i = 0; i < ticks; i++)
        departure_walk(&fixture.context, &walk, budget);
    users_read_end();
    ring_publish(fixture.context.ring);
}

static void wait_s(int64_t seconds)
{
    fixture_drop_deltas(&fixture);
    fixture_pass_time(&fixture, seconds);
}

Test(departure, session_stays_for_its_lifetime)
{
    say(1, 1, EVENT_STARTED, 0, 10);
    wait_s(LIFETIME);
    walk(100, 1);
    cr_expect_eq(the_torrent()->leechers, 1);
}

Test(departure, silent_session_leaves_with_an_expired_delta)
{
    say(1, 1, EVENT_STARTED, 100, 10);
    wait_s(LIFETIME + 1);
    walk(100, 1);
    struct delta delta = {.seq = 0};
    cr_assert(fixture_delta(&fixture, &delta));
    cr_expect_eq(delta.event, EVENT_EXPIRED);
    cr_expect_not(delta.active);
    cr_expect_eq(delta.source.family, 0);
    cr_expect_eq(delta.left, 10);
    cr_expect_eq(delta.session.uploaded, 100);
    cr_expect_eq(delta.leechers, 0);
    cr_expect_eq(delta.user_active, 0);
    cr_expect_not(fixture_delta(&fixture, &delta), "one delta only");
    cr_expect_eq(the_torrent()->tombstones, 1);
}

Test(departure, another_announce_finds_the_silent_gone)
{
    say(1, 1, EVENT_STARTED, 0, 0);
    wait_s(LIFETIME + 1);
    const struct announce *announce = say(2, 2, EVENT_STARTED, 0, 10);
    cr_expect_eq(announce->complete, 0);
    cr_expect_eq(announce->peer4_count, 0);
}

Test(departure, session_that_returns_is_credited_from_its_baseline)
{
    say(1, 1, EVENT_STARTED, 100, 10);
    wait_s(LIFETIME + 1);
    walk(100, 1);
    wait_s(TOMBSTONE_LIFETIME - LIFETIME - 1);
    walk(100, 1);
    const struct announce *announce = say(1, 1, EVENT_NONE, 400, 10);
    cr_expect_eq(announce->incomplete, 1);
    struct delta delta = {.seq = 0};
    cr_assert(fixture_delta(&fixture, &delta));
    cr_expect_eq(delta.credited_uploaded, 300);
    cr_expect_eq(delta.leech_time_s, 0, "the gap after expiry does not count");
}

Test(departure, tombstone_past_its_lifetime_is_forgotten)
{
    say(1, 1, EVENT_STARTED, 100, 10);
    say(1, 1, EVENT_STOPPED, 100, 10);
    wait_s(TOMBSTONE_LIFETIME + 1);
    walk(100, 1);
    cr_expect_eq(swarm_total(the_torrent()), 0);
    say(1, 1, EVENT_NONE, 400, 10);
    struct delta delta = {.seq = 0};
    cr_assert(fixture_delta(&fixture, &delta));
    cr_expect(delta.flags & DELTA_FIRST);
    cr_expect_eq(delta.credited_uploaded, 0);
}

Test(departure, large_swarm_is_walked_in_slices)
{
    for (int i = 0; i < LARGE; i++) {
        say(1 + i % 8, i, EVENT_STARTED, 0, i % 2 ? 10 : 0);
        fixture_drop_deltas(&fixture);
        if (i == LARGE / 2)
            wait_s(100);
    }
    uint32_t stay = the_torrent()->seeders + the_torrent()->leechers;
    wait_s(LIFETIME - 50);
    walk(64, 100);
    uint32_t left = swarm_active(the_torrent());
    cr_expect_lt(left, stay);
    uint32_t old = 0;
    for (uint32_t slot = 0; slot < left; slot++)
        old += fixture.context.now_ms - session_last_ms(swarm_session(the_torrent(), slot)) > LIFETIME * 1000;
    cr_expect_eq(old, 0, "%u silent sessions stayed", old);
}

Test(departure, full_ring_keeps_the_silent_until_there_is_room)
{
    say(1, 1, EVENT_STARTED, 0, 10);
    wait_s(LIFETIME + 1);
    struct ring *roomy = fixture.context.ring;
    fixture.context.ring = ring_new(DELTAS_PER_ANNOUNCE * BATCH_MAX);
    walk(100, 3);
    cr_expect_eq(the_torrent()->leechers, 1);
    ring_free(fixture.context.ring);
    fixture.context.ring = roomy;
    walk(100, 1);
    cr_expect_eq(the_torrent()->leechers, 0);
}

/* --- users who are refused --- */

static void set_enabled(int user, bool enabled)
{
    char passkey[32];
    snprintf(passkey, sizeof passkey, "passkey-%d", user);
    const struct user_facts facts = {.id = user,
                                     .passkey = passkey,
                                     .enabled = enabled,
                                     .can_leech = true,
                                     .upload_percent = 100,
                                     .download_percent = 100};
    cr_assert_eq(users_put(fixture.context.users, &facts), 0);
}

static uint32_t listed_of_user(int user)
{
    users_read_begin();
    uint32_t index = users_find_id(fixture.context.users, user)->index;
    users_read_end();
    uint32_t listed = 0;
    for (uint32_t slot = 0; slot < swarm_active(the_torrent()); slot++)
        listed += swarm_user(the_torrent(), slot) == index && session_is_listed(swarm_session(the_torrent(), slot));
    return listed;
}

static unsigned peers_seen_by(int user, int peer)
{
    wait_s(1000); /* not too early to get any */
    return say(user, peer, EVENT_NONE, 0, 10)->peer4_count;
}

Test(departure, peers_of_a_disabled_user_are_handed_out_no_more)
{
    say(1, 1, EVENT_STARTED, 0, 0);
    say(2, 2, EVENT_STARTED, 0, 0);
    cr_assert_eq(peers_seen_by(3, 3), 2);
    set_enabled(1, false);
    walk(100, 1);
    cr_expect_eq(peers_seen_by(3, 3), 1);
    cr_expect_eq(the_torrent()->seeders, 2, "it stays what it was otherwise");
    set_enabled(1, true);
    walk(100, 1);
    cr_expect_eq(peers_seen_by(3, 3), 1, "until it announces");
    say(1, 1, EVENT_NONE, 0, 0);
    cr_expect_eq(peers_seen_by(3, 3), 2);
}

Test(departure, peers_of_a_removed_user_are_handed_out_no_more)
{
    say(1, 1, EVENT_STARTED, 0, 0);
    users_remove(fixture.context.users, 1);
    walk(100, 1);
    cr_expect_eq(peers_seen_by(3, 3), 0);
}

Test(departure, a_refused_users_session_is_counted_on_as_if_nothing_had_been)
{
    say(1, 1, EVENT_STARTED, 100, 0);
    set_enabled(1, false);
    walk(100, 1);
    set_enabled(1, true);
    wait_s(600);
    const struct announce *announce = say(1, 1, EVENT_NONE, 400, 0);
    cr_expect_eq(announce->credit.seed_time_s, 600);
    struct delta delta = {.seq = 0};
    cr_assert(fixture_delta(&fixture, &delta));
    cr_expect_eq(delta.credited_uploaded, 300);
}

Test(departure, all_sessions_of_a_refused_user_are_found_in_a_large_swarm)
{
    for (int i = 0; i < LARGE; i++) {
        say(1 + i % 8, i, EVENT_STARTED, 0, i % 2 ? 10 : 0);
        fixture_drop_deltas(&fixture);
    }
    cr_assert_gt(listed_of_user(2), 20);
    set_enabled(2, false);
    walk(1, 2);
    cr_expect_eq(listed_of_user(2), 0);
    cr_expect_gt(listed_of_user(3), 20);
}

/* --- marks of seed time --- */

static bool has_mark(int user)
{
    struct seed_marks *marks = torrents_seed_marks(fixture.context.torrents);
    users_read_begin();
    uint32_t index = users_find_id(fixture.context.users, user)->index;
    users_read_end();
    return seed_marks_find(marks, torrent_number(the_torrent()), index) != NULL;
}

/* Two seeding sessions of user 1: the second is covered until `seconds` from now, and out. */
static void cover(int64_t seconds)
{
    say(1, 1, EVENT_STARTED, 0, 0);
    say(1, 2, EVENT_STARTED, 100, 0);
    wait_s(seconds);
    cr_assert_eq(say(1, 2, EVENT_NONE, 100, 0)->credit.seed_time_s, seconds);
    say(1, 2, EVENT_STOPPED, 100, 0);
    cr_assert(has_mark(1));
}

/* A late `stopped` counts no time, and so leaves the mark. */
static void leave_a_mark_with_two_tombstones(void)
{
    say(1, 1, EVENT_STARTED, 100, 0);
    say(1, 2, EVENT_STARTED, 100, 0);
    wait_s(30);
    say(1, 1, EVENT_NONE, 200, 0);
    say(1, 2, EVENT_NONE, 200, 0);
    say(1, 1, EVENT_STOPPED, 100, 0);
    say(1, 2, EVENT_STOPPED, 100, 0);
    cr_assert_eq(the_torrent()->tombstones, 2);
    cr_assert(has_mark(1));
}

Test(departure, mark_goes_with_the_tombstones_that_it_was_for)
{
    leave_a_mark_with_two_tombstones();
    wait_s(TOMBSTONE_LIFETIME + 1);
    walk(1, 1);
    cr_expect_eq(swarm_total(the_torrent()), 1);
    cr_expect_not(has_mark(1), "one session needs none");
}

Test(departure, mark_stays_while_two_sessions_need_it)
{
    leave_a_mark_with_two_tombstones();
    for (int i = 0; i <= 4; i++) {
        say(1, 3, EVENT_NONE, 0, 0);
        say(1, 4, EVENT_NONE, 0, 0);
        wait_s(TOMBSTONE_LIFETIME / 5);
        cr_assert_eq(say(1, 3, EVENT_NONE, 0, 0)->credit.seed_time_s, TOMBSTONE_LIFETIME / 5);
    }
    wait_s(1);
    walk(100, 1);
    cr_assert_eq(swarm_total(the_torrent()), 2, "the tombstones are forgotten");
    cr_expect_eq(say(1, 4, EVENT_NONE, 0, 0)->credit.seed_time_s, 1);
    cr_expect_eq(say(1, 3, EVENT_NONE, 0, 0)->credit.seed_time_s, 0);
}

/* A gap that counts may be longer than a tombstone's life: what its mark covers is not counted again. */
#define SHORT_TOMBSTONES                                           \
    "tracker: {peer_lifetime: 4200s, tombstone_lifetime: 4200s}\n" \
    "middleware: {privtrak: {seed_time_gap: 9000s}, limits: {sessions_per_torrent: 50}}\n"

static void open_with_short_tombstones(void)
{
    tear_down();
    fixture_open(&fixture, SHORT_TOMBSTONES);
}

Test(departure, mark_outlives_a_tombstone_that_lives_shorter_than_a_gap)
{
    open_with_short_tombstones();
    for (int i = 0; i < 2 * SWARM_SMALL_SLOTS; i++) /* so many that an announce expires nobody */
        say(2 + i % 7, 10 + i, EVENT_STARTED, 0, 10);
    cover(100);
    wait_s(LIFETIME + 1);
    walk(1, 1);
    cr_assert_eq(the_torrent()->tombstones, 0);
    cr_assert_eq(the_torrent()->seeders, 1, "not looked at yet");
    cr_expect_eq(say(1, 1, EVENT_NONE, 0, 0)->credit.seed_time_s, LIFETIME + 1);
    cr_expect_not(has_mark(1), "alone, and counted");
}

Test(departure, mark_that_is_kept_goes_with_the_last_tombstone)
{
    open_with_short_tombstones();
    leave_a_mark_with_two_tombstones();
    wait_s(LIFETIME + 1);
    walk(1, 1);
    cr_expect_eq(swarm_total(the_torrent()), 1);
    cr_expect(has_mark(1));
    walk(100, 1);
    cr_expect_eq(swarm_total(the_torrent()), 0);
    cr_expect_not(has_mark(1));
}
