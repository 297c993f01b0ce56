/* Restart: what is known after a stop, and after a kill, without asking the clients again. */
#include <criterion/criterion.h>

#include "harness/harness.h"

TestSuite(restart, .fini = harness_finish);

static void say(announce_fn *announce, const struct daemon *daemon, const struct ask *ask)
{
    struct told told;
    announce(daemon, ask, &told);
    cr_assert_str_eq(told.failure, "");
}

Test(restart, keeps_baselines_and_loses_no_credit)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "kept", .peer = "a", .left = 100, .up = 1000};
    say(http_announce, &daemon, &ask);
    ask.up = 1500;
    say(udp_announce, &daemon, &ask);
    daemon_terminate(&daemon);
    cr_assert_eq(database_int(&daemon, "SELECT uploaded FROM user_torrents"), 500, "a stop delivers everything");
    daemon_launch(&daemon);
    ask.up = 1700;
    say(http_announce, &daemon, &ask);
    database_expect(&daemon, 700, "SELECT uploaded FROM user_torrents");
    daemon_stop(&daemon);
}

Test(restart, keeps_peers)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    const char *alice = add_user(&daemon, "alice");
    struct ask seeder = {.passkey = daemon.owner, .torrent = "kept", .peer = "s", .from = "127.0.0.2"};
    struct ask ask = {.passkey = alice, .torrent = "kept", .peer = "a", .left = 100};
    say(http_announce, &daemon, &seeder);
    daemon_terminate(&daemon);
    daemon_launch(&daemon);
    http_announce(&daemon, &ask, &told);
    cr_assert_str_eq(told.failure, "");
    cr_assert(told_peer(&told, "127.0.0.2", 6881));
    cr_assert_eq(told.complete, 1);
    daemon_stop(&daemon);
}

Test(restart, after_a_kill_credit_is_neither_lost_nor_doubled)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "killed", .peer = "a", .left = 100, .up = 1000};
    say(http_announce, &daemon, &ask);
    for (int kills = 1; kills <= 3; kills++) {
        ask.up += 500;
        say(kills % 2 == 0 ? http_announce : udp_announce, &daemon, &ask);
        sleep_s(0.3 * kills);
        daemon_kill(&daemon);
        daemon_launch(&daemon);
        say(http_announce, &daemon, &ask);
        database_expect(&daemon, 500 * kills, "SELECT uploaded FROM user_torrents");
    }
    daemon_stop(&daemon);
}

Test(restart, works_with_another_number_of_workers)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){.workers = 3});
    struct ask ask = {.passkey = daemon.owner, .peer = "a", .left = 100, .up = 100};
    static const char *const torrents[] = {"t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"};
    for (int i = 0; i < 8; i++) {
        ask.torrent = torrents[i];
        say(http_announce, &daemon, &ask);
    }
    daemon_terminate(&daemon);
    daemon_configure(&daemon, &(struct daemon_options){.workers = 1});
    daemon_launch(&daemon);
    ask.up = 150;
    for (int i = 0; i < 8; i++) {
        ask.torrent = torrents[i];
        say(udp_announce, &daemon, &ask);
    }
    database_expect(&daemon, 400, "SELECT sum(uploaded) FROM user_torrents");
    daemon_stop(&daemon);
}

Test(restart, breaks_no_udp_connection)
{
    struct daemon daemon;
    struct udp_client client;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "udp", .peer = "a", .left = 100};
    udp_open(&client, &daemon, NULL);
    udp_connect(&client);
    daemon_terminate(&daemon);
    daemon_launch(&daemon);
    udp_announce_on(&client, &ask, &told);
    cr_assert_str_eq(told.failure, "");
    udp_close(&client);
    daemon_stop(&daemon);
}

Test(restart, logs_the_owners_urls_once)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){0});
    cr_assert(daemon_logs(&daemon, "/announce?passkey=", 0));
    cr_assert(daemon_logs(&daemon, "udp://", 0));
    cr_assert_eq(database_int(&daemon, "SELECT count(*) FROM users"), 1);
    daemon_terminate(&daemon);
    daemon_launch(&daemon);
    cr_assert_not(daemon_logs(&daemon, daemon.owner, 0), "a passkey is logged whole");
    cr_assert_eq(database_int(&daemon, "SELECT count(*) FROM users WHERE name = 'owner'"), 1);
    daemon_stop(&daemon);
}
