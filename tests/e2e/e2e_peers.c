/* Which peers a client gets, and how sessions are counted. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "harness/harness.h"

TestSuite(peers, .fini = harness_finish);

/* One user as a whole swarm: its sessions may be handed to itself. */
static const char everybody[] =
    "identify: {rate_limit: 100000/s}\nlimits: {hide_user_from_self: false, sessions_per_torrent: 60000}";

static void say(const struct daemon *daemon, const struct ask *ask)
{
    struct told told;
    http_announce(daemon, ask, &told);
    cr_assert_str_eq(told.failure, "");
}

/* `count` sessions from 127.1.0.1 on; the swarm is `torrent`. */
static void fill(const struct daemon *daemon, const char *torrent, unsigned first, unsigned count, uint64_t left)
{
    struct http_connection connection;
    struct told told;
    http_open(&connection, daemon, NULL);
    for (unsigned i = first; i < first + count; i++) {
        char peer[16], address[32];
        (void)snprintf(peer, sizeof peer, "%06u", i);
        (void)snprintf(address, sizeof address, "10.1.%u.%u", i / 250, 1 + i % 250);
        struct ask ask = {.passkey = daemon->owner,
                          .torrent = torrent,
                          .peer = peer,
                          .left = left,
                          .forwarded = address,
                          .numwant = "0"};
        http_announce_on(&connection, &ask, &told);
        cr_assert_str_eq(told.failure, "");
    }
    http_close(&connection);
}

static void no_duplicates(const struct told *told)
{
    for (size_t i = 0; i < told->peer_count; i++)
        for (size_t j = 0; j < i; j++)
            cr_assert(strcmp(told->peers[i].ip, told->peers[j].ip) != 0 || told->peers[i].port != told->peers[j].port,
                      "%s twice", told->peers[i].ip);
}

/* Those of fill's second hundred and beyond are leechers here. */
static size_t count_from(const struct told *told, unsigned first, unsigned count)
{
    size_t found = 0;
    for (unsigned i = first; i < first + count; i++) {
        char address[32];
        (void)snprintf(address, sizeof address, "10.1.%u.%u", i / 250, 1 + i % 250);
        found += told_peer(told, address, 6881);
    }
    return found;
}

Test(peers, leecher_gets_seeders_first_and_a_quarter_leechers)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){.middleware = everybody});
    fill(&daemon, "mixed", 0, 100, 0);
    fill(&daemon, "mixed", 100, 100, 5);
    announce_fn *const protocols[] = {http_announce, udp_announce};
    for (size_t i = 0; i < 2; i++) {
        struct ask ask = {.passkey = daemon.owner, .torrent = "mixed", .peer = "asking", .left = 5, .numwant = "40"};
        protocols[i](&daemon, &ask, &told);
        cr_assert_eq(told.peer_count, 40u);
        cr_assert_eq(told.complete, 100);
        cr_assert_eq(told.incomplete, 101);
        no_duplicates(&told);
        size_t seeders = count_from(&told, 0, 100), leechers = count_from(&told, 100, 100);
        cr_assert_eq(seeders + leechers, 40u);
        cr_assert(leechers >= 10 && seeders >= 20, "%zu seeders and %zu leechers", seeders, leechers);
        ask.numwant = "4";
        protocols[i](&daemon, &ask, &told);
        cr_assert_eq(told.peer_count, 4u);
        cr_assert(count_from(&told, 100, 100) >= 1);
        ask.numwant = "1";
        protocols[i](&daemon, &ask, &told);
        cr_assert_eq(told.peer_count, 1u);
    }
    daemon_stop(&daemon);
}

Test(peers, seeder_gets_leechers_only)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){.middleware = everybody});
    fill(&daemon, "mixed", 0, 30, 0);
    fill(&daemon, "mixed", 100, 5, 5);
    struct ask ask = {.passkey = daemon.owner, .torrent = "mixed", .peer = "asking"};
    http_announce(&daemon, &ask, &told);
    cr_assert_eq(told.peer_count, 5u);
    cr_assert_eq(count_from(&told, 100, 5), 5u);
    ask = (struct ask){.passkey = daemon.owner, .torrent = "mixed", .peer = "paused", .left = 7, .event = "paused"};
    http_announce(&daemon, &ask, &told);
    cr_assert_eq(count_from(&told, 0, 30), 0u, "a partial seed gets leechers only");
    daemon_stop(&daemon);
}

Test(peers, numwant_is_heeded_within_its_limits)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){.middleware = everybody});
    fill(&daemon, "large", 0, 150, 5);
    static const struct {
        const char *numwant;
        size_t expected;
    } cases[] = {{NULL, 50}, {"-1", 50}, {"", 50}, {"0", 0}, {"7", 7}, {"100", 100}, {"200", 100}, {"99999999", 100}};
    announce_fn *const protocols[] = {http_announce, udp_announce};
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < sizeof cases / sizeof *cases; j++) {
            if (i == 1 && cases[j].numwant != NULL && *cases[j].numwant == '\0')
                continue;
            struct ask ask = {
                .passkey = daemon.owner, .torrent = "large", .peer = "asking", .left = 5, .numwant = cases[j].numwant};
            protocols[i](&daemon, &ask, &told);
            cr_assert_eq(told.peer_count, cases[j].expected, "numwant %s gives %zu peers",
                         cases[j].numwant != NULL ? cases[j].numwant : "absent", told.peer_count);
            no_duplicates(&told);
        }
    daemon_stop(&daemon);
}

Test(peers, every_peer_is_handed_out_about_equally_often)
{
    enum { SWARM = 400, ASKS = 300 };
    struct daemon daemon;
    struct told told;
    struct http_connection connection;
    static unsigned seen[SWARM];
    daemon_start(&daemon, &(struct daemon_options){.middleware = everybody});
    fill(&daemon, "large", 0, SWARM, 5);
    http_open(&connection, &daemon, NULL);
    for (int i = 0; i < ASKS; i++) {
        struct ask ask = {.passkey = daemon.owner, .torrent = "large", .peer = "asking", .left = 5};
        http_announce_on(&connection, &ask, &told);
        cr_assert_eq(told.peer_count, 50u);
        for (unsigned j = 0; j < SWARM; j++)
            seen[j] += count_from(&told, j, 1) != 0;
    }
    http_close(&connection);
    /* 37.5 on average; a fair choice leaves these bounds less than once in a million runs. */
    for (unsigned j = 0; j < SWARM; j++)
        cr_assert(seen[j] >= 6 && seen[j] <= 80, "peer %u was handed out %u times", j, seen[j]);
    daemon_stop(&daemon);
}

Test(peers, nobody_meets_his_own_sessions_and_is_told_so)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask one = {.passkey = daemon.owner, .torrent = "alone", .peer = "one"};
    struct ask two = {.passkey = daemon.owner, .torrent = "alone", .peer = "two", .left = 5, .port = 7000};
    http_announce(&daemon, &one, &told);
    cr_assert_eq(told.complete, 1);
    cr_assert_eq(told.incomplete, 0);
    cr_assert_str_eq(told.warning, "");
    http_announce(&daemon, &two, &told);
    cr_assert_eq(told.peer_count, 0u);
    cr_assert_str_neq(told.warning, "");
    struct ask other = {
        .passkey = add_user(&daemon, "alice"), .torrent = "alone", .peer = "three", .left = 5, .port = 7001};
    http_announce(&daemon, &other, &told);
    cr_assert_eq(told.peer_count, 2u);
    http_announce(&daemon, &two, &told);
    cr_assert_eq(told.peer_count, 1u);
    cr_assert(told_peer(&told, "127.0.0.1", 7001));
    cr_assert_str_eq(told.warning, "");
    daemon_stop(&daemon);
}

Test(peers, stopped_gets_none_and_is_handed_out_no_more)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask alice = {
        .passkey = add_user(&daemon, "alice"), .torrent = "leave", .peer = "a", .left = 5, .from = "127.0.0.2"};
    struct ask ask = {.passkey = daemon.owner, .torrent = "leave", .peer = "b", .left = 5};
    say(&daemon, &alice);
    http_announce(&daemon, &ask, &told);
    cr_assert(told_peer(&told, "127.0.0.2", 6881));
    ask.event = "stopped";
    http_announce(&daemon, &ask, &told);
    cr_assert_eq(told.peer_count, 0u);
    cr_assert_eq(told.incomplete, 1);
    alice.event = "stopped";
    say(&daemon, &alice);
    ask.event = "started";
    http_announce(&daemon, &ask, &told);
    cr_assert_eq(told.peer_count, 0u);
    cr_assert_eq(told.incomplete, 1);
    daemon_stop(&daemon);
}

Test(peers, change_between_seeder_and_leecher_moves_the_session)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "check", .peer = "a"};
    for (int i = 0; i < 4; i++) {
        ask.left = i % 2 == 0 ? 0 : 5;
        http_announce(&daemon, &ask, &told);
        cr_assert_eq(told.complete, i % 2 == 0);
        cr_assert_eq(told.incomplete, i % 2 == 1);
        udp_announce(&daemon, &ask, &told);
        cr_assert_eq(told.complete, i % 2 == 0);
        cr_assert_eq(told.incomplete, i % 2 == 1);
    }
    daemon_stop(&daemon);
}

Test(peers, denied_port_is_counted_and_served_but_not_handed_out)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){
                              .middleware = "identify: {rate_limit: 100000/s}\nlimits: {ports_denied: [0, 25]}"});
    const char *alice = add_user(&daemon, "alice");
    struct ask denied = {.passkey = daemon.owner, .torrent = "ports", .peer = "a", .port = 25, .left = 5};
    struct ask ask = {.passkey = alice, .torrent = "ports", .peer = "b", .left = 5, .from = "127.0.0.2"};
    say(&daemon, &denied);
    http_announce(&daemon, &ask, &told);
    cr_assert_eq(told.peer_count, 0u);
    cr_assert_eq(told.incomplete, 2);
    http_announce(&daemon, &denied, &told);
    cr_assert(told_peer(&told, "127.0.0.2", 6881));
    daemon_stop(&daemon);
}

Test(peers, families_are_not_mixed_up)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    const char *alice = add_user(&daemon, "alice"), *bob = add_user(&daemon, "bob");
    struct ask v4 = {
        .passkey = daemon.owner, .torrent = "families", .peer = "four", .left = 5, .forwarded = "192.0.2.4"};
    struct ask v6 = {.passkey = alice, .torrent = "families", .peer = "six", .left = 5, .forwarded = "2001:db8::6"};
    say(&daemon, &v4);
    http_announce(&daemon, &v6, &told);
    cr_assert(told.has_peers, "peers stands in every reply");
    cr_assert(told.has_peers6);
    cr_assert_eq(told.peer_count, 0u);
    cr_assert_str_eq(told.external_ip, "2001:db8::6");
    http_announce(&daemon, &v4, &told);
    cr_assert(told.has_peers && !told.has_peers6);
    cr_assert_eq(told.peer_count, 0u);
    cr_assert_str_eq(told.external_ip, "192.0.2.4");

    struct ask both = {
        .passkey = bob, .torrent = "families", .peer = "both", .left = 5, .forwarded = "192.0.2.46", .port = 4646};
    http_announce(&daemon, &both, &told);
    cr_assert_eq(told.peer_count, 1u);
    both.forwarded = "2001:db8::46";
    http_announce(&daemon, &both, &told);
    cr_assert_eq(told.peer_count, 2u);
    cr_assert_eq(told.peer6_count, 1u);
    cr_assert_eq(told.incomplete, 3);
    cr_assert(told_peer(&told, "192.0.2.4", 6881) && told_peer(&told, "2001:db8::6", 6881));
    http_announce(&daemon, &v6, &told);
    cr_assert_eq(told.peer_count, 1u);
    cr_assert(told_peer(&told, "2001:db8::46", 4646));
    both.numwant = "1";
    http_announce(&daemon, &both, &told);
    cr_assert_eq(told.peer_count, 1u, "numwant is for both lists together");
    daemon_stop(&daemon);
}

Test(peers, list_of_dictionaries_holds_both_families_and_peer_ids)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){.middleware = everybody});
    const char *alice = add_user(&daemon, "alice");
    static const char *const addresses[] = {"192.0.2.46", "2001:db8::46"};
    for (int i = 0; i < 2; i++) {
        struct ask listed = {.passkey = daemon.owner,
                             .torrent = "list",
                             .peer = i == 0 ? "four" : "sixx",
                             .left = 5,
                             .forwarded = addresses[i]};
        say(&daemon, &listed);
    }
    struct ask ask = {.passkey = alice, .torrent = "list", .peer = "b", .left = 5, .forwarded = "192.0.2.1"};
    say(&daemon, &ask);
    ask.forwarded = "2001:db8::1";
    ask.more = "&compact=0";
    http_announce(&daemon, &ask, &told);
    cr_assert(told.peers_are_list && !told.has_peers6);
    cr_assert_eq(told.peer_count, 2u);
    cr_assert(told_peer(&told, "192.0.2.46", 6881) && told_peer(&told, "2001:db8::46", 6881));
    for (size_t i = 0; i < told.peer_count; i++)
        cr_assert(told.peers[i].has_peer_id &&
                  memcmp(told.peers[i].peer_id,
                         strchr(told.peers[i].ip, ':') != NULL ? "-PT0001-sixx........" : "-PT0001-four........",
                         20) == 0);
    ask.more = "&compact=0&no_peer_id=1";
    http_announce(&daemon, &ask, &told);
    cr_assert(told.peers_are_list && told.peer_count > 0 && !told.peers[0].has_peer_id);
    ask.more = "&compact=2";
    http_announce(&daemon, &ask, &told);
    cr_assert(!told.peers_are_list, "only 0 means the list");
    daemon_stop(&daemon);
}

Test(peers, address_that_a_client_claims_counts_only_where_proven)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    const char *alice = add_user(&daemon, "alice");
    struct ask liar = {.passkey = daemon.owner,
                       .torrent = "claim",
                       .peer = "a",
                       .left = 5,
                       .forwarded = "192.0.2.4",
                       .more = "&ipv6=2001:db8::bad&ip=203.0.113.9"};
    struct ask ask = {.passkey = alice, .torrent = "claim", .peer = "b", .left = 5, .forwarded = "192.0.2.1"};
    say(&daemon, &liar);
    say(&daemon, &ask);
    ask.forwarded = "2001:db8::1";
    http_announce(&daemon, &ask, &told);
    cr_assert_eq(told.peer_count, 1u);
    cr_assert(told_peer(&told, "192.0.2.4", 6881));
    daemon_stop(&daemon);
}

Test(peers, udp_reply_over_ipv6_holds_eighteen_byte_peers_and_fits)
{
    if (!have_ipv6())
        cr_skip_test("this machine has no IPv6");
    struct daemon daemon;
    struct told told;
    struct http_connection connection;
    daemon_start(&daemon, &(struct daemon_options){.middleware = everybody,
                                                   .tracker = "min_announce_interval: 0s\nmax_numwant: 1000"});
    http_open(&connection, &daemon, NULL);
    for (unsigned i = 0; i < 300; i++) {
        char peer[16], address[32];
        (void)snprintf(peer, sizeof peer, "%06u", i);
        (void)snprintf(address, sizeof address, "2001:db8::%x", i + 1);
        struct ask ask = {.passkey = daemon.owner, .torrent = "six", .peer = peer, .left = 5, .forwarded = address};
        http_announce_on(&connection, &ask, &told);
    }
    http_close(&connection);
    fill(&daemon, "six", 1000, 300, 5);
    struct ask ask = {
        .passkey = daemon.owner, .torrent = "six", .peer = "asking", .left = 5, .numwant = "1000", .from = "::1"};
    udp_announce(&daemon, &ask, &told);
    cr_assert(told.peer_count >= 70 && told.peer6_count == told.peer_count, "%zu peers", told.peer_count);
    no_duplicates(&told);
    ask.from = "127.0.0.1";
    udp_announce(&daemon, &ask, &told);
    cr_assert(told.peer_count >= 200 && told.peer6_count == 0, "%zu peers", told.peer_count);
    no_duplicates(&told);
    daemon_stop(&daemon);
}
