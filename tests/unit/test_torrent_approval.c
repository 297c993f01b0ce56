/* torrent_approval: unknown, pending and deleted torrents (section 6, rule 11). */
#include "chain_fixture.h"

enum { TORRENT = 3, INTERVAL = 1800, DAY = 86400 };

static struct tracker_fixture fixture;
static struct test_announce test;

static void set_up(void)
{
    fixture_open(&fixture, "middleware: {limits: {new_torrents_per_user: 2/h}}\n");
}

static void tear_down(void)
{
    fixture_close(&fixture);
}

TestSuite(torrent_approval, .init = set_up, .fini = tear_down, .timeout = 60);

static const struct announce *say_on(int torrent, int user, enum announce_event event, uint64_t uploaded)
{
    fixture_fill(&test, user, torrent, user, event, uploaded, 0, 10);
    fixture_run(&fixture, &test);
    return &test.announce;
}

static const struct announce *say(int user, enum announce_event event, uint64_t uploaded)
{
    return say_on(TORRENT, user, event, uploaded);
}

static struct torrent *the_torrent(void)
{
    fixture_fill(&test, 1, TORRENT, 1, EVENT_NONE, 0, 0, 10);
    return torrents_find(fixture.context.torrents, test.announce.info_hash);
}

static struct delta last_delta(void)
{
    struct delta delta = {.seq = 0}, next;
    while (fixture_delta(&fixture, &next))
        delta = next;
    return delta;
}

/* Users 1 and 2 are in the swarm; then it is deleted or has to wait. */
static void make_swarm(enum torrent_state state, const char *reason)
{
    say(1, EVENT_STARTED, 0);
    say(2, EVENT_STARTED, 0);
    struct torrent *torrent = the_torrent();
    torrent->state = (uint8_t)state;
    struct torrent_extra *extra = torrent_make_extra(torrent);
    extra->reason = reason == NULL ? NULL : strdup(reason);
    extra->deleted_at_s = fixture.context.now_ms / 1000;
    fixture_drop_deltas(&fixture);
}

Test(torrent_approval, new_torrent_of_a_known_user_registers_itself)
{
    cr_expect_eq(say(1, EVENT_STARTED, 0)->verdict, VERDICT_ACCEPTED);
    cr_expect(last_delta().flags & DELTA_REGISTERS_TORRENT);
    cr_expect_not_null(the_torrent());
}

Test(torrent_approval, torrent_with_an_id_is_not_registered_again)
{
    say(1, EVENT_STARTED, 0);
    the_torrent()->id = 9;
    say(2, EVENT_STARTED, 0);
    struct delta delta = last_delta();
    cr_expect_eq(delta.torrent_id, 9);
    cr_expect_not(delta.flags & DELTA_REGISTERS_TORRENT);
}

Test(torrent_approval, unknown_user_registers_no_torrent)
{
    cr_expect_eq(say(FIXTURE_USERS + 1, EVENT_STARTED, 0)->verdict, VERDICT_REFUSED);
    cr_expect_null(the_torrent());
}

Test(torrent_approval, stopped_registers_no_torrent)
{
    cr_expect_eq(say(1, EVENT_STOPPED, 0)->verdict, VERDICT_EMPTY);
    cr_expect_null(the_torrent());
}

Test(torrent_approval, too_many_new_torrents_of_one_user_are_refused_for_a_while)
{
    say_on(1, 1, EVENT_STARTED, 0);
    say_on(2, 1, EVENT_STARTED, 0);
    cr_expect_eq(say_on(4, 1, EVENT_STARTED, 0)->verdict, VERDICT_REFUSED);
    cr_expect_gt(test.announce.retry_s, 0);
    cr_expect_eq(say_on(4, 2, EVENT_STARTED, 0)->verdict, VERDICT_ACCEPTED, "another user may");
    fixture_pass_time(&fixture, 3600);
    cr_expect_eq(say_on(5, 1, EVENT_STARTED, 0)->verdict, VERDICT_ACCEPTED);
}

Test(torrent_approval_registered, unknown_torrent_is_refused_with_a_short_wait, .timeout = 60)
{
    fixture_open(&fixture, "middleware: {torrent_approval: {mode: registered}}\n");
    cr_expect_eq(say(1, EVENT_STARTED, 0)->verdict, VERDICT_REFUSED);
    cr_expect_eq(test.announce.retry_s, 60);
    cr_expect_null(the_torrent());
    tear_down();
}

Test(torrent_approval, pending_torrent_is_counted_with_a_warning_and_no_peers)
{
    make_swarm(TORRENT_PENDING, "a moderator will look at it");
    fixture_pass_time(&fixture, INTERVAL);
    const struct announce *announce = say(1, EVENT_NONE, 500);
    cr_expect_eq(announce->verdict, VERDICT_ACCEPTED);
    cr_expect_str_eq(announce->warning, "a moderator will look at it");
    cr_expect_eq(announce->peer4_count, 0);
    cr_expect_eq(last_delta().credited_uploaded, 500);
}

Test(torrent_approval, pending_torrent_takes_new_sessions)
{
    make_swarm(TORRENT_PENDING, NULL);
    const struct announce *announce = say(3, EVENT_STARTED, 500);
    cr_expect_eq(announce->verdict, VERDICT_ACCEPTED);
    cr_expect_not_null(announce->warning);
    cr_expect_eq(announce->incomplete, 3);
}

Test(torrent_approval, deleted_torrent_counts_a_known_session_and_tells_the_reason)
{
    make_swarm(TORRENT_DELETED, "a duplicate");
    fixture_pass_time(&fixture, INTERVAL);
    const struct announce *announce = say(1, EVENT_NONE, 500);
    cr_expect_str_eq(announce->failure, "a duplicate");
    cr_expect_eq(announce->verdict, VERDICT_REFUSED);
    struct delta delta = last_delta();
    cr_expect_eq(delta.credited_uploaded, 500);
    cr_expect_not(delta.active);
    cr_expect_eq(the_torrent()->leechers, 1, "it left the swarm");
}

Test(torrent_approval, deleted_torrent_counts_every_announce_of_a_known_session_for_a_day)
{
    make_swarm(TORRENT_DELETED, NULL);
    fixture_pass_time(&fixture, INTERVAL);
    say(1, EVENT_NONE, 500);
    fixture_pass_time(&fixture, DAY - INTERVAL - 1);
    last_delta();
    cr_expect_not_null(say(1, EVENT_STARTED, 700)->failure);
    struct delta delta = last_delta();
    cr_expect_eq(delta.credited_uploaded, 200);
    cr_expect_not(delta.active);
}

Test(torrent_approval, deleted_torrent_counts_nothing_after_a_day)
{
    make_swarm(TORRENT_DELETED, "a duplicate");
    fixture_pass_time(&fixture, DAY);
    const struct announce *announce = say(1, EVENT_NONE, 500);
    cr_expect_eq(announce->verdict, VERDICT_REFUSED);
    cr_expect_str_eq(announce->failure, "a duplicate");
    cr_expect_eq(last_delta().time_ms, 0);
}

Test(torrent_approval, deleted_torrent_refuses_new_sessions)
{
    make_swarm(TORRENT_DELETED, "a duplicate");
    const struct announce *announce = say(3, EVENT_STARTED, 0);
    cr_expect_eq(announce->verdict, VERDICT_REFUSED);
    cr_expect_str_eq(announce->failure, "a duplicate");
    cr_expect_eq(last_delta().time_ms, 0);
    cr_expect_eq(swarm_total(the_torrent()), 2);
}
