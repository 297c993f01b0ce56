/* limits: too early, too many sessions, ports and rights: counted all the same (section 6, rules 11 and 12). */
#include "chain_fixture.h"

enum { TORRENT = 3, MIN_INTERVAL = 900, INTERVAL = 1800 };

static struct tracker_fixture fixture;
static struct test_announce test;

static void set_up(void)
{
    fixture_open(&fixture, "middleware: {limits: {sessions_per_torrent: 2, ports_denied: [0, 6881]}}\n");
}

static void tear_down(void)
{
    fixture_close(&fixture);
}

TestSuite(limits, .init = set_up, .fini = tear_down, .timeout = 60);

static void fill(int user, int peer, enum announce_event event, uint64_t uploaded, uint64_t left)
{
    fixture_fill(&test, user, TORRENT, peer, event, uploaded, 0, left);
}

static const struct announce *say(int user, int peer, enum announce_event event, uint64_t uploaded, uint64_t left)
{
    fill(user, peer, event, uploaded, left);
    fixture_run(&fixture, &test);
    cr_assert_eq(test.announce.verdict, VERDICT_ACCEPTED);
    return &test.announce;
}

static void wait_s(int64_t seconds)
{
    fixture_pass_time(&fixture, seconds);
}

/* A seeder, and user 1's leecher that got it. */
static void make_pair(void)
{
    say(2, 2, EVENT_STARTED, 0, 0);
    cr_assert_eq(say(1, 1, EVENT_STARTED, 0, 10)->peer4_count, 1);
    fixture_drop_deltas(&fixture);
}

Test(limits, too_early_announce_is_counted_and_gets_no_peers)
{
    make_pair();
    wait_s(MIN_INTERVAL - 1);
    const struct announce *announce = say(1, 1, EVENT_NONE, 500, 10);
    cr_expect_eq(announce->peer4_count, 0);
    cr_expect_null(announce->failure);
    cr_expect_geq(announce->interval_s, INTERVAL);
    struct delta delta = {.seq = 0};
    cr_assert(fixture_delta(&fixture, &delta));
    cr_expect_eq(delta.credited_uploaded, 500);
}

Test(limits, announce_at_the_least_interval_gets_peers)
{
    make_pair();
    wait_s(MIN_INTERVAL);
    cr_expect_eq(say(1, 1, EVENT_NONE, 500, 10)->peer4_count, 1);
}

Test(limits, completed_is_never_too_early)
{
    say(2, 2, EVENT_STARTED, 0, 10);
    cr_assert_eq(say(1, 1, EVENT_STARTED, 0, 10)->peer4_count, 1);
    cr_expect_eq(say(1, 1, EVENT_COMPLETED, 0, 0)->peer4_count, 1);
}

Test(limits, first_announce_from_another_family_is_not_too_early)
{
    make_pair();
    fill(2, 2, EVENT_NONE, 0, 0);
    test.announce.source.family = 6;
    fixture_run(&fixture, &test);
    fill(1, 1, EVENT_NONE, 0, 10);
    test.announce.source.family = 6;
    fixture_run(&fixture, &test);
    cr_expect_eq(test.announce.peer6_count, 1);
}

Test(limits, session_without_a_peer_so_far_is_not_too_early)
{
    cr_assert_eq(say(1, 1, EVENT_STARTED, 0, 10)->peer4_count, 0);
    say(2, 2, EVENT_STARTED, 0, 0);
    wait_s(120);
    cr_expect_eq(say(1, 1, EVENT_NONE, 0, 10)->peer4_count, 1);
}

Test(limits, session_that_came_back_is_not_too_early)
{
    make_pair();
    say(1, 1, EVENT_STOPPED, 0, 10);
    cr_expect_eq(say(1, 1, EVENT_STARTED, 0, 10)->peer4_count, 1);
}

Test(limits, stalest_session_gives_way_to_a_new_one)
{
    say(1, 1, EVENT_STARTED, 0, 10);
    wait_s(10);
    say(1, 2, EVENT_STARTED, 0, 10);
    wait_s(10);
    fixture_drop_deltas(&fixture);
    cr_expect_eq(say(1, 3, EVENT_STARTED, 0, 10)->incomplete, 2);
    struct delta delta = {.seq = 0};
    cr_assert(fixture_delta(&fixture, &delta));
    cr_expect_eq(delta.event, EVENT_EXPIRED);
    cr_expect_arr_eq(delta.peer_id + 14, "000001", 6);
    cr_assert(fixture_delta(&fixture, &delta));
    cr_expect_eq(delta.event, EVENT_STARTED);
    cr_expect_eq(delta.user_active, 2);
}

Test(limits, session_that_gave_way_is_credited_from_its_baseline)
{
    say(1, 1, EVENT_STARTED, 100, 10);
    wait_s(10);
    say(1, 2, EVENT_STARTED, 0, 10);
    say(1, 3, EVENT_STARTED, 0, 10);
    wait_s(INTERVAL);
    fixture_drop_deltas(&fixture);
    cr_expect_eq(say(1, 1, EVENT_NONE, 400, 10)->incomplete, 2);
    struct delta delta = {.seq = 0};
    cr_assert(fixture_delta(&fixture, &delta));
    cr_expect_eq(delta.event, EVENT_EXPIRED);
    cr_assert(fixture_delta(&fixture, &delta));
    cr_expect_eq(delta.credited_uploaded, 300);
}

Test(limits, sessions_of_other_users_do_not_give_way)
{
    say(2, 1, EVENT_STARTED, 0, 10);
    say(3, 2, EVENT_STARTED, 0, 10);
    say(1, 3, EVENT_STARTED, 0, 10);
    cr_expect_eq(say(1, 4, EVENT_STARTED, 0, 10)->incomplete, 4);
}

Test(limits, known_session_makes_nobody_give_way)
{
    say(1, 1, EVENT_STARTED, 0, 10);
    say(1, 2, EVENT_STARTED, 0, 10);
    wait_s(INTERVAL);
    cr_expect_eq(say(1, 1, EVENT_NONE, 0, 10)->incomplete, 2);
    cr_expect_eq(say(1, 2, EVENT_NONE, 0, 10)->incomplete, 2);
}

Test(limits, stopped_of_an_unknown_session_makes_nobody_give_way)
{
    say(1, 1, EVENT_STARTED, 0, 10);
    say(1, 2, EVENT_STARTED, 0, 10);
    fill(1, 3, EVENT_STOPPED, 0, 10);
    fixture_run(&fixture, &test);
    cr_expect_eq(test.announce.verdict, VERDICT_EMPTY);
    cr_expect_eq(say(3, 5, EVENT_STARTED, 0, 10)->incomplete, 3);
}

Test(limits, client_on_a_denied_port_is_served_and_handed_out_to_nobody)
{
    say(2, 2, EVENT_STARTED, 0, 0);
    fill(1, 1, EVENT_STARTED, 0, 10);
    test.announce.source.port = 6881;
    fixture_run(&fixture, &test);
    cr_expect_eq(test.announce.peer4_count, 1);
    cr_expect_eq(test.announce.incomplete, 1);
    cr_expect_eq(say(3, 3, EVENT_STARTED, 0, 10)->peer4_count, 1, "the seeder only");
}

static void forbid_leeching(int user)
{
    fixture_add_user(fixture.context.users, user, false);
}

Test(limits, leecher_without_the_right_is_counted_and_warned_and_gets_no_peers)
{
    make_pair();
    forbid_leeching(1);
    wait_s(INTERVAL);
    const struct announce *announce = say(1, 1, EVENT_NONE, 500, 10);
    cr_expect_eq(announce->peer4_count, 0);
    cr_expect_not_null(announce->warning);
    struct delta delta = {.seq = 0};
    cr_assert(fixture_delta(&fixture, &delta));
    cr_expect_eq(delta.credited_uploaded, 500);
}

Test(limits, leecher_without_the_right_is_handed_out_to_nobody)
{
    forbid_leeching(1);
    say(1, 1, EVENT_STARTED, 0, 10);
    const struct announce *announce = say(2, 2, EVENT_STARTED, 0, 10);
    cr_expect_eq(announce->peer4_count, 0);
    cr_expect_eq(announce->incomplete, 2);
}

Test(limits, seeder_without_the_right_to_leech_is_served)
{
    forbid_leeching(1);
    say(2, 2, EVENT_STARTED, 0, 10);
    const struct announce *announce = say(1, 1, EVENT_STARTED, 0, 0);
    cr_expect_eq(announce->peer4_count, 1);
    cr_expect_null(announce->warning);
}
