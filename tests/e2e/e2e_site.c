/* The site's side: it writes to the tables, and the tracker follows; what it does to the database holds up nobody. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "harness/harness.h"

TestSuite(site, .fini = harness_finish);

/* Announces until the failure is `failure` (a part of it; "" for none), for at most 5 s. */
static void becomes(const struct daemon *daemon, const struct ask *ask, const char *failure, struct told *told)
{
    double end = now_s() + 5;
    do {
        http_announce(daemon, ask, told);
        if (failure[0] == '\0' ? told->failure[0] == '\0' : strcasestr(told->failure, failure) != NULL)
            return;
        sleep_s(0.05);
    } while (now_s() < end);
    cr_assert_fail("the failure stays \"%s\" instead of \"%s\"", told->failure, failure);
}

/* Announces for the owner until that many peers come, for at most 5 s. */
static void sees_peers(const struct daemon *daemon, size_t count)
{
    struct ask ask = {.passkey = daemon->owner, .torrent = "site", .peer = "owner", .left = 5, .port = 7777};
    struct told told;
    double end = now_s() + 5;
    do {
        http_announce(daemon, &ask, &told);
        cr_assert_str_eq(told.failure, "");
        if (told.peer_count == count)
            return;
        sleep_s(0.05);
    } while (now_s() < end);
    cr_assert_fail("%zu peers, not %zu", told.peer_count, count);
}

Test(site, peers_of_a_disabled_user_are_given_to_nobody)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = passkey_of("alice"), .torrent = "site", .peer = "a", .left = 5};
    database_run(&daemon, "INSERT INTO users (name, passkey) VALUES ('alice', '%s')", ask.passkey);
    becomes(&daemon, &ask, "", &told);
    sees_peers(&daemon, 1);
    database_run(&daemon, "UPDATE users SET enabled = 0 WHERE name = 'alice'");
    sees_peers(&daemon, 0);
    database_run(&daemon, "UPDATE users SET enabled = 1 WHERE name = 'alice'");
    becomes(&daemon, &ask, "", &told);
    sees_peers(&daemon, 1);
    daemon_stop(&daemon);
}

Test(site, changes_of_users_are_followed)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = passkey_of("alice"), .torrent = "site", .peer = "a", .left = 5};
    becomes(&daemon, &ask, "passkey", &told);
    database_run(&daemon, "INSERT INTO users (name, passkey) VALUES ('alice', '%s')", ask.passkey);
    becomes(&daemon, &ask, "", &told);
    database_run(&daemon, "UPDATE users SET enabled = 0 WHERE name = 'alice'");
    becomes(&daemon, &ask, "disabled", &told);
    database_run(&daemon, "UPDATE users SET enabled = 1 WHERE name = 'alice'");
    becomes(&daemon, &ask, "", &told);
    const char *old = ask.passkey;
    ask.passkey = passkey_of("alice's new one");
    database_run(&daemon, "UPDATE users SET passkey = '%s' WHERE name = 'alice'", ask.passkey);
    becomes(&daemon, &ask, "", &told);
    struct ask stale = ask;
    stale.passkey = old;
    becomes(&daemon, &stale, "passkey", &told);
    database_run(&daemon, "DELETE FROM users WHERE name = 'alice'");
    becomes(&daemon, &ask, "passkey", &told);
    daemon_stop(&daemon);
}

Test(site, account_follows_a_changed_passkey)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = add_user(&daemon, "alice"), .torrent = "site", .peer = "a", .left = 5};
    http_announce(&daemon, &ask, &told);
    ask.up = 100;
    http_announce(&daemon, &ask, &told);
    database_expect(&daemon, 100, "SELECT uploaded FROM users WHERE name = 'alice'");
    ask.passkey = passkey_of("alice's new one");
    database_run(&daemon, "UPDATE users SET passkey = '%s' WHERE name = 'alice'", ask.passkey);
    ask.up = 150;
    becomes(&daemon, &ask, "", &told);
    database_expect(&daemon, 150, "SELECT uploaded FROM users WHERE name = 'alice'");
    daemon_stop(&daemon);
}

Test(site, deleted_torrent_tells_the_reason_and_still_counts)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "trumped", .peer = "a", .left = 5};
    struct ask fresh = {
        .passkey = add_user(&daemon, "alice"), .torrent = "trumped", .peer = "b", .left = 5, .port = 7000};
    http_announce(&daemon, &ask, &told);
    database_expect(&daemon, 1, "SELECT count(*) FROM torrents");
    database_run(&daemon, "UPDATE torrents SET state = 'deleted', reason = 'Trumped by a better one'");
    becomes(&daemon, &fresh, "Trumped by a better one", &told);
    ask.up = 777;
    http_announce(&daemon, &ask, &told);
    cr_assert_not_null(strstr(told.failure, "Trumped by a better one"), "%s", told.failure);
    database_expect(&daemon, 777, "SELECT uploaded FROM user_torrents WHERE user_id = 1");
    database_expect(&daemon, 0, "SELECT count(*) FROM sessions");
    daemon_stop(&daemon);
}

Test(site, pending_torrent_gets_no_peers_with_a_warning)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask seeder = {.passkey = daemon.owner, .torrent = "pending", .peer = "s", .from = "127.0.0.2"};
    struct ask ask = {.passkey = passkey_of("alice"), .torrent = "pending", .peer = "a", .left = 5};
    http_announce(&daemon, &seeder, &told);
    database_expect(&daemon, 1, "SELECT count(*) FROM torrents");
    database_run(&daemon, "UPDATE torrents SET state = 'pending'");
    add_user(&daemon, "alice");
    http_announce(&daemon, &ask, &told);
    cr_assert_str_eq(told.failure, "");
    cr_assert_str_neq(told.warning, "");
    cr_assert_eq(told.peer_count, 0u);
    ask.up = 5;
    http_announce(&daemon, &ask, &told);
    database_expect(&daemon, 5, "SELECT sum(uploaded) FROM user_torrents");
    database_run(&daemon, "UPDATE torrents SET state = 'approved'");
    for (double end = now_s() + 5; now_s() < end && told.peer_count == 0; sleep_s(0.05))
        http_announce(&daemon, &ask, &told);
    cr_assert(told_peer(&told, "127.0.0.2", 6881));
    cr_assert_str_eq(told.warning, "");
    daemon_stop(&daemon);
}

Test(site, registered_mode_knows_only_the_sites_torrents)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){
                              .middleware = "identify: {rate_limit: 100000/s}\ntorrent_approval: {mode: registered}"});
    struct ask ask = {.passkey = daemon.owner, .torrent = "listed", .peer = "a", .left = 5};
    becomes(&daemon, &ask, "torrent", &told);
    udp_announce(&daemon, &ask, &told);
    cr_assert_not_null(strcasestr(told.failure, "torrent"));
    database_run(&daemon, "INSERT INTO torrents (info_hash, name) VALUES ('%s', 'listed')", info_hash_hex("listed"));
    becomes(&daemon, &ask, "", &told);
    database_run(&daemon, "DELETE FROM torrents");
    ask.peer = "b";
    becomes(&daemon, &ask, "torrent", &told);
    daemon_stop(&daemon);
}

Test(site, open_mode_registers_a_users_torrents_up_to_its_limit)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){
                              .middleware = "identify: {rate_limit: 100000/s}\nlimits: {new_torrents_per_user: 3/d}"});
    static const char *const torrents[] = {"n1", "n2", "n3", "n4"};
    for (int i = 0; i < 4; i++) {
        struct ask ask = {.passkey = daemon.owner, .torrent = torrents[i], .peer = "a", .left = 5};
        http_announce(&daemon, &ask, &told);
        cr_assert((told.failure[0] != '\0') == (i == 3), "%s: %s", torrents[i], told.failure);
    }
    database_expect(&daemon, 3, "SELECT count(*) FROM torrents WHERE state = 'approved'");
    daemon_stop(&daemon);
}

Test(site, clients_are_approved_by_their_prefix)
{
    struct daemon daemon;
    struct told told;
    daemon_start(
        &daemon,
        &(struct daemon_options){
            .middleware = "identify: {rate_limit: 100000/s}\nclient_approval: {mode: allow, prefixes: [-qB46]}"});
    struct ask good = {.passkey = daemon.owner, .torrent = "clients", .peer = "-qB4630-abcdefghijkl", .left = 5};
    struct ask bad = {
        .passkey = daemon.owner, .torrent = "clients", .peer = "-XL0012-abcdefghijkl", .left = 5, .port = 7000};
    http_announce(&daemon, &good, &told);
    cr_assert_str_eq(told.failure, "");
    http_announce(&daemon, &bad, &told);
    cr_assert_not_null(strcasestr(told.failure, "client"), "%s", told.failure);
    database_run(
        &daemon,
        "INSERT INTO clients (prefix, name, allowed) VALUES ('-XL00', 'Example', 1), ('-qB4630', 'Faulty', 0)");
    becomes(&daemon, &bad, "", &told);
    becomes(&daemon, &good, "client", &told);
    daemon_stop(&daemon);
}

Test(site, unknown_passkeys_are_limited_by_address_and_known_ones_are_not)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){.workers = 4, .middleware = "identify: {rate_limit: 5/m}"});
    char first[256], last[256];
    struct ask ask = {.passkey = passkey_of("nobody"), .torrent = "limit", .peer = "a", .left = 5};
    for (int i = 0; i < 6; i++) {
        char torrent[16];
        (void)snprintf(torrent, sizeof torrent, "limit %d", i); /* other workers': the limit is one for all */
        ask.torrent = torrent;
        http_announce(&daemon, &ask, &told);
        cr_assert_str_neq(told.failure, "");
        (void)snprintf(i == 0 ? first : last, sizeof first, "%s", told.failure);
    }
    ask.torrent = "limit";
    cr_assert_str_neq(first, last, "beyond the limit another failure is told");
    ask.from = "127.0.0.99";
    http_announce(&daemon, &ask, &told);
    cr_assert_str_eq(told.failure, first, "another address has its own limit");
    ask.from = NULL;
    ask.passkey = daemon.owner;
    http_announce(&daemon, &ask, &told);
    cr_assert_str_eq(told.failure, "");
    daemon_stop(&daemon);
}

Test(site, locked_database_never_makes_an_announce_wait)
{
    struct daemon daemon;
    struct told told;
    sqlite3 *database;
    char path[HARNESS_PATH_BYTES + 32];
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "locked", .peer = "a", .left = 5};
    http_announce(&daemon, &ask, &told);
    database_expect(&daemon, 1, "SELECT count(*) FROM user_torrents");
    (void)snprintf(path, sizeof path, "%s/state/privtrak.db", daemon.directory);
    cr_assert_eq(sqlite3_open(path, &database), SQLITE_OK);
    sqlite3_busy_timeout(database, 5000);
    cr_assert_eq(sqlite3_exec(database, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK, "%s",
                 sqlite3_errmsg(database));
    double longest = 0;
    for (double end = now_s() + 5; now_s() < end; sleep_s(0.01)) {
        ask.up++;
        double start = now_s();
        (ask.up % 2 == 0 ? http_announce : udp_announce)(&daemon, &ask, &told);
        cr_assert_str_eq(told.failure, "");
        if (now_s() - start > longest)
            longest = now_s() - start;
    }
    cr_assert(longest < 0.5, "an announce took %.3f s", longest);
    cr_assert_eq(sqlite3_exec(database, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
    database_expect(&daemon, (int64_t)ask.up, "SELECT uploaded FROM user_torrents");
    daemon_stop(&daemon);
}

Test(site, sql_on_a_large_scale_is_seen_whole)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    database_run(&daemon, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
                          "INSERT INTO users (name, passkey) SELECT 'user' || i, printf('%%032d', i) FROM n");
    static const int numbers[] = {1, 7777, 20000};
    for (size_t i = 0; i < 3; i++) {
        char passkey[40];
        (void)snprintf(passkey, sizeof passkey, "%032d", numbers[i]);
        wait_for_passkey(&daemon, passkey, true);
        struct ask ask = {.passkey = passkey, .torrent = "many", .peer = "a", .left = 5, .port = (uint16_t)(7000 + i)};
        http_announce(&daemon, &ask, &told);
        cr_assert_str_eq(told.failure, "");
    }
    daemon_stop(&daemon);
}

/* ------------------------------------------------------------ the tools */

Test(site, ctl_shows_and_changes_what_is_there)
{
    static char output[65536];
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "ctl", .peer = "a", .left = 5};
    http_announce(&daemon, &ask, &told);
    cr_assert_eq(run_program(&daemon, output, sizeof output, "privtrakctl", "-c", "tracker.yaml", "stats", NULL), 0,
                 "%s", output);
    cr_assert_eq(
        run_program(&daemon, output, sizeof output, "privtrakctl", "-c", "tracker.yaml", "--json", "stats", NULL), 0);
    cr_assert_eq(output[0], '{');
    cr_assert_eq(run_program(&daemon, output, sizeof output, "privtrakctl", "-c", "tracker.yaml", "user", "list", NULL),
                 0);
    cr_assert_not_null(strstr(output, "owner"));
    cr_assert_eq(run_program(&daemon, output, sizeof output, "privtrakctl", "-c", "tracker.yaml", "peers",
                             info_hash_hex("ctl"), NULL),
                 0);
    cr_assert_not_null(strstr(output, "127.0.0.1"));
    cr_assert_eq(run_program(&daemon, output, sizeof output, "privtrakctl", "-c", "tracker.yaml", "flush", NULL), 0);
    cr_assert_eq(database_int(&daemon, "SELECT count(*) FROM user_torrents"), 1, "flush returns when all is delivered");
    cr_assert_neq(run_program(&daemon, output, sizeof output, "privtrakctl", "-c", "tracker.yaml", "nonsense", NULL),
                  0);
    cr_assert_eq(run_program(&daemon, output, sizeof output, "privtrakctl", "-c", "tracker.yaml", "shutdown", NULL), 0,
                 "%s", output);
    daemon_wait(&daemon);
    daemon_forget(&daemon);
}

static void load_and_verify(const char *protocol, const char *requests, const char *families)
{
    static char output[65536];
    struct daemon daemon;
    char target[32], target6[32], database[HARNESS_PATH_BYTES + 64], ledger[HARNESS_PATH_BYTES + 32];
    daemon_start(&daemon, &(struct daemon_options){
                              .middleware = "identify: {users: any}\n"
                                            "limits: {sessions_per_torrent: 1000, new_torrents_per_user: 100000/d}"});
    (void)snprintf(target, sizeof target, "127.0.0.1:%u", daemon.port);
    (void)snprintf(target6, sizeof target6, "[::1]:%u", daemon.port);
    (void)snprintf(database, sizeof database, "sqlite:%s/state/privtrak.db", daemon.directory);
    (void)snprintf(ledger, sizeof ledger, "%s/ledger.csv", daemon.directory);
    int status = run_program(&daemon, output, sizeof output, "privtrak-bench", protocol, "--target", target,
                             "--target6", target6, "--families", families, "--users", "200", "--torrents", "300",
                             "--peers", "2000", "--requests", requests, "--seed", "7", "--ledger", ledger, NULL);
    cr_assert_eq(status, 0, "privtrak-bench ends with %d: %s", status, output);
    daemon_terminate(&daemon);
    status = run_program(&daemon, output, sizeof output, "privtrak-bench", "verify", "--ledger", ledger, "--database",
                         database, NULL);
    cr_assert_eq(status, 0, "verify ends with %d: %s", status, output);
    cr_assert(database_int(&daemon, "SELECT sum(uploaded) FROM users") > 0);
    daemon_forget(&daemon);
}

Test(site, generated_udp_load_is_accounted_to_the_byte)
{
    load_and_verify("udp", "40000", have_ipv6() ? "both" : "4");
}

Test(site, generated_http_load_is_accounted_to_the_byte)
{
    load_and_verify("http", "20000", have_ipv6() ? "both" : "4");
}
