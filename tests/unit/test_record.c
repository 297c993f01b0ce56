/* record: a delta says what session, user and torrent are after the announce. */
#include "middleware/record.h"

#include "chain_fixture.h"

static struct tracker_fixture fixture;
static struct test_announce test;

static void set_up(void)
{
    fixture_open(&fixture, "{}");
}

static void tear_down(void)
{
    fixture_close(&fixture);
}

TestSuite(record, .init = set_up, .fini = tear_down, .timeout = 60);

static struct delta run(void)
{
    struct delta delta = {.seq = 0}, next;
    fixture_run(&fixture, &test);
    while (fixture_delta(&fixture, &next))
        delta = next;
    return delta;
}

static struct delta say(int user, int peer, enum announce_event event, uint64_t uploaded, uint64_t left)
{
    fixture_fill(&test, user, 3, peer, event, uploaded, 7, left);
    test.announce.key = 99;
    return run();
}

Test(record, delta_names_who_what_and_when)
{
    struct delta delta = say(1, 1, EVENT_STARTED, 5, 10);
    cr_expect_eq(delta.user_id, 1);
    cr_expect_arr_eq(delta.user, "passkey-1\0\0\0\0\0\0\0", 16);
    cr_expect_arr_eq(delta.info_hash, test.announce.info_hash, INFO_HASH_BYTES);
    cr_expect_arr_eq(delta.peer_id, test.announce.peer_id, PEER_ID_BYTES);
    cr_expect_eq(delta.event, EVENT_STARTED);
    cr_expect_eq(delta.time_ms, START_MS);
    cr_expect_eq(delta.left, 10);
    cr_expect_eq(delta.source.port, 6001);
    cr_expect(address_same_ip(&delta.source, &test.announce.source));
    cr_expect_eq(delta.passkey_length, 0);
}

Test(record, delta_holds_the_session_as_it_is_now)
{
    struct delta delta = say(1, 1, EVENT_STARTED, 5, 10);
    cr_expect_eq(delta.session.uploaded, 5);
    cr_expect_eq(delta.session.downloaded, 7);
    cr_expect_eq(delta.session.left, 10);
    cr_expect_eq(delta.session.key, 99);
    cr_expect_eq(delta.session.last_announce_ms, START_MS);
    cr_expect_eq(delta.session.address4.port, 6001);
    cr_expect_eq(delta.session.address6.family, 0);
    cr_expect(delta.active);
}

Test(record, delta_counts_the_users_sessions_and_the_swarm)
{
    say(2, 5, EVENT_STARTED, 0, 0);
    say(1, 1, EVENT_STARTED, 0, 100);
    struct delta delta = say(1, 2, EVENT_STARTED, 0, 30);
    cr_expect_eq(delta.user_active, 2);
    cr_expect_eq(delta.user_seeding, 0);
    cr_expect_eq(delta.user_left, 30, "the smallest");
    cr_expect_eq(delta.seeders, 1);
    cr_expect_eq(delta.leechers, 2);
    delta = say(1, 1, EVENT_COMPLETED, 0, 0);
    cr_expect_eq(delta.user_seeding, 1);
    cr_expect_eq(delta.user_left, 0);
    cr_expect_eq(delta.seeders, 2);
}

Test(record, left_of_a_user_without_sessions_is_the_last_one_said)
{
    say(1, 1, EVENT_STARTED, 0, 100);
    struct delta delta = say(1, 1, EVENT_STOPPED, 0, 40);
    cr_expect_eq(delta.user_active, 0);
    cr_expect_eq(delta.user_left, 40);
    cr_expect_not(delta.active);
    cr_expect_eq(delta.source.port, 6001, "where it came from is told all the same");
}

Test(record, user_that_hides_its_address_is_marked)
{
    const struct user_facts facts = {.id = 1,
                                     .passkey = "passkey-1",
                                     .enabled = true,
                                     .can_leech = true,
                                     .hide_address = true,
                                     .upload_percent = 100,
                                     .download_percent = 100};
    cr_assert_eq(users_put(fixture.context.users, &facts), 0);
    cr_expect(say(1, 1, EVENT_STARTED, 0, 0).flags & DELTA_HIDE_ADDRESS);
    cr_expect_not(say(2, 2, EVENT_STARTED, 0, 0).flags & DELTA_HIDE_ADDRESS);
}

Test(record, left_that_no_client_knows_is_told_as_it_was_said)
{
    struct delta delta = say(1, 1, EVENT_STARTED, 0, COUNTER_MAX);
    cr_expect_eq(delta.left, COUNTER_MAX);
    cr_expect_eq(delta.session.left, COUNTER_MAX);
    cr_expect_eq(delta.user_left, COUNTER_MAX);
}

Test(record, deltas_are_counted)
{
    say(1, 1, EVENT_STARTED, 0, 0);
    say(2, 2, EVENT_STARTED, 0, 0);
    cr_expect_eq(fixture.counters.deltas_made, 2);
}
