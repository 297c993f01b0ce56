/* peers: who is in the answer of an announce, through the whole chain (section 5 of the specification). */
#include "chain_fixture.h"

enum { TORRENT = 3, INTERVAL = 1800 };

static struct tracker_fixture fixture;
static struct test_announce test;

static void set_up(void)
{
    fixture_open(&fixture, "tracker: {default_numwant: 5, max_numwant: 20}\n"
                           "middleware: {limits: {sessions_per_torrent: 40}}\n");
}

static void tear_down(void)
{
    fixture_close(&fixture);
}

TestSuite(peers, .init = set_up, .fini = tear_down, .timeout = 60);

static void fill(int user, int peer, enum announce_event event, uint64_t left)
{
    fixture_fill(&test, user, TORRENT, peer, event, 0, 0, left);
}

static const struct announce *run(void)
{
    fixture_run(&fixture, &test);
    cr_assert_eq(test.announce.verdict, VERDICT_ACCEPTED);
    fixture_drop_deltas(&fixture);
    return &test.announce;
}

static const struct announce *say(int user, int peer, enum announce_event event, uint64_t left)
{
    fill(user, peer, event, left);
    return run();
}

/* The last byte of the address of the peer in that place: its number. */
static int peer_at(const struct announce *announce, int place)
{
    return announce->peers4[place * ENDPOINT4_BYTES + 3];
}

Test(peers, endpoint_is_address_and_port_in_network_order)
{
    say(1, 1, EVENT_STARTED, 0);
    const struct announce *announce = say(2, 2, EVENT_STARTED, 10);
    const uint8_t wanted[] = {10, 0, 0, 1, 6001 >> 8, 6001 & 255};
    cr_assert_eq(announce->peer4_count, 1);
    cr_expect_arr_eq(announce->peers4, wanted, sizeof wanted);
}

Test(peers, own_session_is_no_peer)
{
    say(1, 1, EVENT_STARTED, 10);
    fixture_pass_time(&fixture, INTERVAL);
    cr_expect_eq(say(1, 1, EVENT_NONE, 10)->peer4_count, 0);
}

Test(peers, own_other_sessions_are_no_peers_and_a_warning_says_so)
{
    say(1, 1, EVENT_STARTED, 0);
    const struct announce *announce = say(1, 2, EVENT_STARTED, 10);
    cr_expect_eq(announce->peer4_count, 0);
    cr_expect_not_null(announce->warning);
}

Test(peers, no_warning_where_others_are_there_or_nobody)
{
    cr_expect_null(say(1, 1, EVENT_STARTED, 0)->warning, "alone");
    say(2, 3, EVENT_STARTED, 0);
    cr_expect_null(say(1, 2, EVENT_STARTED, 10)->warning, "somebody else is there");
}

Test(peers_shown, own_other_sessions_are_peers_where_the_operator_wants_it, .timeout = 60)
{
    fixture_open(&fixture, "middleware: {limits: {hide_user_from_self: false}}\n");
    say(1, 1, EVENT_STARTED, 0);
    const struct announce *announce = say(1, 2, EVENT_STARTED, 10);
    cr_expect_eq(announce->peer4_count, 1);
    cr_expect_null(announce->warning);
    tear_down();
}

Test(peers, seeder_gets_leechers_only)
{
    say(1, 1, EVENT_STARTED, 0);
    say(2, 2, EVENT_STARTED, 10);
    const struct announce *announce = say(3, 3, EVENT_STARTED, 0);
    cr_assert_eq(announce->peer4_count, 1);
    cr_expect_eq(peer_at(announce, 0), 2);
}

Test(peers, leecher_gets_seeders_first)
{
    say(2, 2, EVENT_STARTED, 10);
    say(1, 1, EVENT_STARTED, 0);
    const struct announce *announce = say(3, 3, EVENT_STARTED, 10);
    cr_assert_eq(announce->peer4_count, 2);
    cr_expect_eq(peer_at(announce, 0), 1);
}

static const struct announce *ask_for(int32_t numwant)
{
    for (int i = 1; i <= 30; i++)
        say(2, i, EVENT_STARTED, 0);
    fill(1, 40, EVENT_STARTED, 10);
    test.announce.numwant = numwant;
    return run();
}

Test(peers, numwant_is_heeded)
{
    cr_expect_eq(ask_for(7)->peer4_count, 7);
}

Test(peers, numwant_zero_gets_none)
{
    cr_expect_eq(ask_for(0)->peer4_count, 0);
}

Test(peers, absent_numwant_means_the_default)
{
    cr_expect_eq(ask_for(NUMWANT_DEFAULT)->peer4_count, 5);
}

Test(peers, large_numwant_is_cut_to_the_most)
{
    cr_expect_eq(ask_for(INT32_MAX)->peer4_count, 20);
}

Test(peers, room_for_peers_is_never_passed)
{
    for (int i = 1; i <= 30; i++)
        say(2, i, EVENT_STARTED, 0);
    fill(1, 40, EVENT_STARTED, 10);
    test.announce.numwant = 20;
    test.announce.peers_max = 3;
    cr_expect_eq(run()->peer4_count, 3);
}

Test(peers, stopped_gets_none)
{
    say(2, 2, EVENT_STARTED, 0);
    say(1, 1, EVENT_STARTED, 10);
    cr_expect_eq(say(1, 1, EVENT_STOPPED, 10)->peer4_count, 0);
}

Test(peers, stopped_peer_is_given_to_nobody)
{
    say(2, 2, EVENT_STARTED, 0);
    say(2, 2, EVENT_STOPPED, 0);
    const struct announce *announce = say(1, 1, EVENT_STARTED, 10);
    cr_expect_eq(announce->peer4_count, 0);
    cr_expect_eq(announce->complete, 0);
}

/* A session of both families, over HTTP or UDP. */
static void say_over(int family, enum protocol protocol, int user, int peer, uint64_t left)
{
    fill(user, peer, EVENT_NONE, left);
    test.announce.source.family = (uint8_t)family;
    test.announce.source.ip[15] = family == 6 ? (uint8_t)peer : 0;
    test.announce.protocol = (uint8_t)protocol;
    run();
}

Test(peers, http_gives_both_families_once_the_session_has_shown_both)
{
    say_over(4, PROTOCOL_UDP, 2, 2, 0);
    say_over(6, PROTOCOL_UDP, 3, 3, 0);
    say_over(4, PROTOCOL_HTTP, 1, 1, 10);
    cr_expect_eq(test.announce.peer4_count, 1);
    cr_expect_eq(test.announce.peer6_count, 0);
    say_over(6, PROTOCOL_HTTP, 1, 1, 10);
    cr_expect_eq(test.announce.peer4_count, 1);
    cr_expect_eq(test.announce.peer6_count, 1);
}

Test(peers, udp_gives_the_family_of_its_socket)
{
    say_over(4, PROTOCOL_UDP, 2, 2, 0);
    say_over(6, PROTOCOL_UDP, 3, 3, 0);
    say_over(4, PROTOCOL_UDP, 1, 1, 10);
    say_over(6, PROTOCOL_UDP, 1, 1, 10);
    cr_expect_eq(test.announce.peer4_count, 0);
    cr_expect_eq(test.announce.peer6_count, 1);
}

Test(peers, session_of_both_families_is_counted_once)
{
    say_over(4, PROTOCOL_UDP, 1, 1, 10);
    say_over(6, PROTOCOL_HTTP, 1, 1, 10);
    say_over(4, PROTOCOL_HTTP, 1, 1, 10);
    cr_expect_eq(test.announce.complete, 0);
    cr_expect_eq(test.announce.incomplete, 1);
}

Test(peers, new_address_of_the_same_family_takes_the_place_of_the_old)
{
    say(1, 1, EVENT_STARTED, 0);
    fixture_pass_time(&fixture, INTERVAL);
    fill(1, 1, EVENT_NONE, 0);
    test.announce.source.ip[3] = 77;
    run();
    const struct announce *announce = say(2, 2, EVENT_STARTED, 10);
    cr_assert_eq(announce->peer4_count, 1);
    cr_expect_eq(peer_at(announce, 0), 77);
}

static void claim(int last_byte, uint16_t port)
{
    fill(1, 1, EVENT_NONE, 0);
    test.announce.source.port = port;
    test.announce.claimed = (struct address){.family = 6, .ip = {10, 0, 0, 1, [15] = (uint8_t)last_byte}, .port = port};
    run();
}

static struct address endpoint6_of_first(void)
{
    say_over(6, PROTOCOL_HTTP, 2, 2, 10);
    struct address address = {.family = 0};
    if (test.announce.peer6_count == 1) {
        address.family = 6;
        address.ip[15] = test.announce.peers6[15];
        address.port = (uint16_t)(test.announce.peers6[16] << 8 | test.announce.peers6[17]);
    }
    return address;
}

Test(peers, claimed_address_that_was_never_shown_is_not_believed)
{
    say(1, 1, EVENT_STARTED, 0);
    claim(9, 6001);
    cr_expect_eq(endpoint6_of_first().family, 0);
}

Test(peers, claimed_address_that_was_shown_gets_the_new_port)
{
    say_over(6, PROTOCOL_HTTP, 1, 1, 0);
    claim(1, 7777);
    struct address address = endpoint6_of_first();
    cr_expect_eq(address.family, 6);
    cr_expect_eq(address.ip[15], 1);
    cr_expect_eq(address.port, 7777);
}

Test(peers, entries_carry_peer_ids)
{
    say(2, 2, EVENT_STARTED, 0);
    fill(1, 1, EVENT_STARTED, 10);
    test.announce.compact = false;
    const struct announce *announce = run();
    cr_assert_eq(announce->peer4_count, 1);
    cr_expect_arr_eq(announce->entries[0].peer_id, "-TT0001-000002000002", PEER_ID_BYTES);
    cr_expect_eq(announce->entries[0].address.port, 6002);
}
