/* Accounts: what is announced, over either protocol and family, against what then stands in the database. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "harness/harness.h"

TestSuite(accounts, .fini = harness_finish);

#define OF_USER "user_id = (SELECT id FROM users WHERE passkey = '%s')"
#define OF_TORRENT "torrent_id = (SELECT id FROM torrents WHERE info_hash = '%s')"
#define ACCOUNT(columns) "SELECT " columns " FROM user_torrents WHERE " OF_USER " AND " OF_TORRENT

/* Announces and requires a reply without failure. */
static void say(announce_fn *announce, const struct daemon *daemon, const struct ask *ask)
{
    struct told told;
    announce(daemon, ask, &told);
    cr_assert_str_eq(told.failure, "");
}

static void expect_account(const struct daemon *daemon, const char *passkey, const char *torrent, int64_t up,
                           int64_t down)
{
    database_expect(daemon, up, ACCOUNT("uploaded"), passkey, info_hash_hex(torrent));
    database_expect(daemon, down, ACCOUNT("downloaded"), passkey, info_hash_hex(torrent));
}

/* ------------------------------------------------------------ vectors */

/* Reads the ndjson sink's lines for one torrent into [[user, event, up, down], …], leaving out those without bytes. */
static json_t *deltas_of(const struct daemon *daemon, const char *info_hash, const char *passkey_a)
{
    static char text[1 << 18];
    char path[HARNESS_PATH_BYTES + 32];
    (void)snprintf(path, sizeof path, "%s/state/deltas.ndjson", daemon->directory);
    (void)read_file(path, text, sizeof text);
    json_t *deltas = json_array();
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        const char *hash, *event, *user;
        json_int_t up, down;
        json_t *record = json_loads(line, 0, NULL);
        cr_assert_not_null(record, "no JSON: %s", line);
        cr_assert_eq(json_unpack(record, "{s:s, s:s, s:s, s:I, s:I}", "info_hash", &hash, "event", &event, "user",
                                 &user, "uploaded", &up, "downloaded", &down),
                     0, "%s", line);
        if (strcmp(hash, info_hash) == 0 && (up != 0 || down != 0))
            json_array_append_new(deltas,
                                  json_pack("[s, s, I, I]", strcmp(user, passkey_a) == 0 ? "A" : "B", event, up, down));
        json_decref(record);
    }
    return deltas;
}

static void run_vector(const struct daemon *daemon, announce_fn *announce, const char *torrent, const json_t *vector)
{
    const char *passkey_a = passkey_of("A");
    int64_t sums[2][2] = {{0}};
    size_t i;
    json_t *item;
    json_array_foreach (json_object_get(vector, "announces"), i, item) {
        const char *user, *event;
        json_int_t up, down;
        cr_assert_eq(json_unpack(item, "[s, s, I, I]", &user, &event, &up, &down), 0);
        struct ask ask = {.passkey = passkey_of(user),
                          .torrent = torrent,
                          .peer = user,
                          .left = 10000,
                          .event = strcmp(event, "none") == 0 ? NULL : event,
                          .up = (uint64_t)up,
                          .down = (uint64_t)down};
        say(announce, daemon, &ask);
    }
    const json_t *expected = json_object_get(vector, "deltas");
    json_array_foreach (expected, i, item) {
        const char *user, *event;
        json_int_t up, down;
        cr_assert_eq(json_unpack(item, "[s, s, I, I]", &user, &event, &up, &down), 0);
        sums[*user == 'B'][0] += up;
        sums[*user == 'B'][1] += down;
    }
    expect_account(daemon, passkey_a, torrent, sums[0][0], sums[0][1]);
    if (database_int(daemon, "SELECT count(*) FROM user_torrents WHERE " OF_USER " AND " OF_TORRENT, passkey_of("B"),
                     info_hash_hex(torrent)) > 0)
        expect_account(daemon, passkey_of("B"), torrent, sums[1][0], sums[1][1]);

    json_t *deltas = NULL;
    for (double end = now_s() + 10; now_s() < end; sleep_s(0.05)) {
        json_decref(deltas);
        deltas = deltas_of(daemon, info_hash_hex(torrent), passkey_a);
        if (json_equal(deltas, expected))
            break;
    }
    char *got = json_dumps(deltas, 0);
    cr_assert(json_equal(deltas, expected), "%s gives the deltas %s", torrent, got);
    free(got);
    json_decref(deltas);
}

static void run_vectors(announce_fn *announce)
{
    struct daemon daemon;
    json_error_t error;
    json_t *file = json_load_file("tests/data/accounting-vectors.json", 0, &error);
    cr_assert_not_null(file, "%s", error.text);
    daemon_start(&daemon,
                 &(struct daemon_options){
                     .deltas = "flush_interval: 1s\nsinks: [{type: database}, {type: ndjson, path: deltas.ndjson}]"});
    add_user(&daemon, "A");
    add_user(&daemon, "B");
    size_t i;
    json_t *vector;
    json_array_foreach (json_object_get(file, "vectors"), i, vector) {
        char torrent[32];
        (void)snprintf(torrent, sizeof torrent, "vector %zu", i);
        run_vector(&daemon, announce, torrent, vector);
    }
    cr_assert(i >= 4, "only %zu vectors", i);
    json_decref(file);
    daemon_stop(&daemon);
}

Test(accounts, vectors_over_http)
{
    run_vectors(http_announce);
}

Test(accounts, vectors_over_udp)
{
    run_vectors(udp_announce);
}

/* ---------------------------------------------------------- the rules */

static void started_counters_are_a_baseline(announce_fn *announce)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner,
                      .torrent = "one",
                      .peer = "a",
                      .left = 5000,
                      .event = "started",
                      .up = 700,
                      .down = 300};
    say(announce, &daemon, &ask);
    ask.event = NULL;
    say(announce, &daemon, &ask);
    ask.up = 1700;
    ask.down = 400;
    say(announce, &daemon, &ask);
    expect_account(&daemon, daemon.owner, "one", 1000, 100);
    database_expect(&daemon, 1000, "SELECT uploaded FROM users WHERE passkey = '%s'", daemon.owner);
    database_expect(&daemon, 1000, "SELECT raw_uploaded FROM users WHERE passkey = '%s'", daemon.owner);
    daemon_stop(&daemon);
}

Test(accounts, started_counters_are_a_baseline_over_http)
{
    started_counters_are_a_baseline(http_announce);
}

Test(accounts, started_counters_are_a_baseline_over_udp)
{
    started_counters_are_a_baseline(udp_announce);
}

Test(accounts, late_copy_changes_nothing_and_credits_nothing_twice)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "late", .peer = "a", .left = 5000};
    static const uint64_t counters[] = {1000, 2000, 1500, 2500};
    for (size_t i = 0; i < 4; i++) {
        ask.up = counters[i];
        say(i % 2 == 0 ? http_announce : udp_announce, &daemon, &ask);
    }
    expect_account(&daemon, daemon.owner, "late", 1500, 0);
    daemon_stop(&daemon);
}

Test(accounts, restart_of_a_client_begins_a_new_baseline)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "again", .peer = "a", .left = 5000, .event = "started"};
    say(http_announce, &daemon, &ask);
    ask.event = "stopped";
    ask.up = 2000;
    say(http_announce, &daemon, &ask);
    ask.event = "started";
    ask.up = 0;
    say(udp_announce, &daemon, &ask);
    ask.event = NULL;
    ask.up = 300;
    say(udp_announce, &daemon, &ask);
    expect_account(&daemon, daemon.owner, "again", 2300, 0);
    daemon_stop(&daemon);
}

Test(accounts, announce_overtaken_by_its_stop_is_counted_but_does_not_rejoin)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "overtaken", .peer = "a", .left = 5000};
    say(http_announce, &daemon, &ask);
    ask.event = "stopped";
    ask.up = 1000;
    http_announce(&daemon, &ask, &told);
    cr_assert_eq(told.incomplete, 0);
    cr_assert_eq(told.peer_count, 0u);
    ask.event = NULL;
    ask.up = 1200;
    http_announce(&daemon, &ask, &told);
    cr_assert_str_eq(told.failure, "");
    cr_assert_eq(told.incomplete, 0);
    expect_account(&daemon, daemon.owner, "overtaken", 1200, 0);
    ask.event = "started";
    http_announce(&daemon, &ask, &told);
    cr_assert_eq(told.incomplete, 1);
    daemon_stop(&daemon);
}

Test(accounts, both_protocols_and_families_are_one_session)
{
    if (!have_ipv6())
        cr_skip_test("this machine has no IPv6");
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "dual", .peer = "a", .left = 5000, .event = "started"};
    announce_fn *const protocols[] = {http_announce, udp_announce};
    static const char *const addresses[] = {"127.0.0.1", "::1"};
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 4; i++) {
            ask.from = addresses[i % 2];
            protocols[i / 2](&daemon, &ask, &told);
            cr_assert_str_eq(told.failure, "");
            cr_assert_eq(told.incomplete, 1);
        }
        ask.event = NULL;
        ask.up += 1000;
        ask.down += 10;
    }
    expect_account(&daemon, daemon.owner, "dual", 1000, 10);
    database_expect(&daemon, 1, "SELECT count(*) FROM sessions");
    database_expect(
        &daemon, 1,
        "SELECT count(*) FROM sessions WHERE ip4 = '127.0.0.1' AND port4 = 6881 AND ip6 = '::1' AND port6 = 6881");
    daemon_stop(&daemon);
}

Test(accounts, one_client_under_two_peer_ids_is_credited_once)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask one = {.passkey = daemon.owner, .torrent = "twin", .peer = "one", .left = 5000, .key = 0xcafe1234};
    struct ask two = one;
    two.peer = "two";
    say(http_announce, &daemon, &one);
    say(udp_announce, &daemon, &two);
    one.up = two.up = 1000;
    say(http_announce, &daemon, &one);
    udp_announce(&daemon, &two, &told);
    cr_assert_eq(told.incomplete, 2, "each stays a session of its own");
    one.up = two.up = 1500;
    say(udp_announce, &daemon, &two);
    say(http_announce, &daemon, &one);
    expect_account(&daemon, daemon.owner, "twin", 1500, 0);
    daemon_stop(&daemon);
}

Test(accounts, two_clients_of_a_user_are_both_credited)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask one = {.passkey = daemon.owner, .torrent = "pair", .peer = "one", .left = 5000, .key = 1};
    struct ask two = {.passkey = daemon.owner, .torrent = "pair", .peer = "two", .left = 5000, .key = 2, .port = 6882};
    say(http_announce, &daemon, &one);
    say(http_announce, &daemon, &two);
    one.up = two.up = 1000;
    say(http_announce, &daemon, &one);
    say(http_announce, &daemon, &two);
    expect_account(&daemon, daemon.owner, "pair", 2000, 0);
    daemon_stop(&daemon);
}

Test(accounts, stopped_from_an_unknown_session_stores_nothing)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask known = {.passkey = daemon.owner, .torrent = "first", .peer = "a", .left = 1};
    struct ask ask = {
        .passkey = daemon.owner, .torrent = "first", .peer = "b", .left = 5, .up = 900, .event = "stopped"};
    say(http_announce, &daemon, &known);
    http_announce(&daemon, &ask, &told);
    cr_assert_str_eq(told.failure, "");
    cr_assert_eq(told.peer_count, 0u);
    udp_announce(&daemon, &ask, &told);
    cr_assert_str_eq(told.failure, "");
    known.up = 10;
    say(http_announce, &daemon, &known);
    expect_account(&daemon, daemon.owner, "first", 10, 0);
    cr_assert_eq(database_int(&daemon, "SELECT count(*) FROM sessions"), 1);
    daemon_stop(&daemon);
}

static void snatch_is_counted_once(announce_fn *announce)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "snatch", .peer = "a", .left = 100, .event = "started"};
    say(announce, &daemon, &ask);
    ask.left = 0;
    ask.down = 100;
    ask.event = "completed";
    say(announce, &daemon, &ask);
    say(announce, &daemon, &ask);
    struct ask second = {.passkey = daemon.owner, .torrent = "snatch", .peer = "b", .left = 100, .port = 7000};
    say(announce, &daemon, &second);
    second.left = 0;
    say(announce, &daemon, &second);
    struct ask complete = {
        .passkey = add_user(&daemon, "seeder"), .torrent = "snatch", .peer = "c", .event = "completed"};
    announce(&daemon, &complete, &told);
    cr_assert_eq(told.complete, 3);
    http_announce(&daemon, &complete, &told);
    cr_assert_eq(told.downloaded, 1);
    database_expect(&daemon, 1, "SELECT snatches FROM torrents WHERE info_hash = '%s'", info_hash_hex("snatch"));
    database_expect(&daemon, 1, "SELECT count(*) FROM user_torrents WHERE snatched_at > 0");
    daemon_stop(&daemon);
}

Test(accounts, snatch_is_counted_once_over_http)
{
    snatch_is_counted_once(http_announce);
}

Test(accounts, snatch_is_counted_once_over_udp)
{
    snatch_is_counted_once(udp_announce);
}

Test(accounts, snatch_may_first_show_in_stopped)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "rtorrent", .peer = "a", .left = 100, .event = "started"};
    say(http_announce, &daemon, &ask);
    ask = (struct ask){.passkey = daemon.owner, .torrent = "rtorrent", .peer = "a", .down = 100, .event = "stopped"};
    say(http_announce, &daemon, &ask);
    database_expect(&daemon, 1, "SELECT snatches FROM torrents");
    daemon_stop(&daemon);
}

Test(accounts, more_than_the_highest_rate_is_quarantined)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){.middleware =
                                                       "identify: {rate_limit: 100000/s}\nprivtrak: {max_rate: 1KiB}"});
    struct ask ask = {.passkey = daemon.owner, .torrent = "fast", .peer = "a", .left = 100};
    say(http_announce, &daemon, &ask);
    sleep_s(1.5);
    ask.up = 1048576;
    say(http_announce, &daemon, &ask);
    const char *hash = info_hash_hex("fast");
    database_expect(&daemon, 1048576, ACCOUNT("raw_uploaded"), daemon.owner, hash);
    int64_t credited = database_int(&daemon, ACCOUNT("uploaded"), daemon.owner, hash);
    cr_assert(credited >= 1500 && credited < 6000, "%" PRId64 " bytes are credited", credited);
    cr_assert_eq(database_int(&daemon, "SELECT quarantined FROM users WHERE passkey = '%s'", daemon.owner),
                 1048576 - credited);
    daemon_stop(&daemon);
}

Test(accounts, percentages_are_the_best_of_user_and_torrent)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){0});
    const char *alice = add_user(&daemon, "alice");
    database_run(&daemon, "UPDATE users SET upload_percent = 150 WHERE passkey = '%s'", alice);
    database_run(
        &daemon,
        "INSERT INTO torrents (info_hash, name, upload_percent, download_percent) VALUES ('%s', 'free', 200, 0)",
        info_hash_hex("free"));
    add_user(&daemon, "later"); /* what was written before it is known as well */
    for (int i = 0; i < 2; i++) {
        const char *torrent = i == 0 ? "free" : "paid";
        struct ask ask = {.passkey = alice, .torrent = torrent, .peer = "a", .left = 100};
        say(http_announce, &daemon, &ask);
        ask.up = 1001;
        ask.down = 501;
        say(http_announce, &daemon, &ask);
    }
    expect_account(&daemon, alice, "free", 2002, 0);
    expect_account(&daemon, alice, "paid", 1501, 501);
    database_expect(&daemon, 2002, "SELECT raw_uploaded FROM users WHERE passkey = '%s'", alice);
    database_expect(&daemon, 3503, "SELECT uploaded FROM users WHERE passkey = '%s'", alice);
    database_expect(&daemon, 501, "SELECT downloaded FROM users WHERE passkey = '%s'", alice);
    daemon_stop(&daemon);
}

Test(accounts, seed_time_is_the_union_over_a_users_sessions)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask one = {.passkey = daemon.owner, .torrent = "seed", .peer = "a"};
    struct ask two = {.passkey = daemon.owner, .torrent = "seed", .peer = "b", .port = 7000};
    double start = now_s();
    say(http_announce, &daemon, &one);
    say(http_announce, &daemon, &two);
    sleep_s(2.2);
    say(http_announce, &daemon, &one);
    say(http_announce, &daemon, &two);
    sleep_s(1.2);
    say(http_announce, &daemon, &two);
    one.event = two.event = "stopped";
    say(http_announce, &daemon, &one);
    say(http_announce, &daemon, &two);
    int64_t lasted = (int64_t)(now_s() - start);
    const char *hash = info_hash_hex("seed");
    database_expect(&daemon, 0, ACCOUNT("active"), daemon.owner, hash);
    int64_t seconds = database_int(&daemon, ACCOUNT("seed_time"), daemon.owner, hash);
    cr_assert(seconds >= lasted - 1 && seconds <= lasted + 1, "%" PRId64 " s of %" PRId64 " s", seconds, lasted);
    cr_assert_eq(database_int(&daemon, ACCOUNT("leech_time"), daemon.owner, hash), 0);
    daemon_stop(&daemon);
}

Test(accounts, no_right_to_leech_gets_no_peers_but_is_counted)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    const char *poor = add_user(&daemon, "poor");
    struct ask seeder = {.passkey = daemon.owner, .torrent = "rights", .peer = "s", .from = "127.0.0.2"};
    say(http_announce, &daemon, &seeder);
    database_run(&daemon, "UPDATE users SET can_leech = 0 WHERE passkey = '%s'", poor);
    add_user(&daemon, "later");
    struct ask ask = {.passkey = poor, .torrent = "rights", .peer = "a", .left = 100};
    http_announce(&daemon, &ask, &told);
    cr_assert_str_eq(told.failure, "");
    cr_assert_str_neq(told.warning, "");
    cr_assert_eq(told.peer_count, 0u);
    ask.up = 50;
    ask.down = 60;
    say(udp_announce, &daemon, &ask);
    expect_account(&daemon, poor, "rights", 50, 60);
    daemon_stop(&daemon);
}

Test(accounts, early_announce_is_counted_but_gets_no_peers)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){.tracker = "announce_interval: 30m"});
    const char *alice = add_user(&daemon, "alice");
    struct ask seeder = {.passkey = daemon.owner, .torrent = "early", .peer = "s", .from = "127.0.0.2"};
    struct ask ask = {.passkey = alice, .torrent = "early", .peer = "a", .left = 100};
    http_announce(&daemon, &ask, &told);
    cr_assert_eq(told.peer_count, 0u);
    cr_assert_eq(told.min_interval, 900);
    say(http_announce, &daemon, &seeder);
    /* Has not been given a peer yet: not too early. */
    ask.up = 10;
    http_announce(&daemon, &ask, &told);
    cr_assert(told_peer(&told, "127.0.0.2", 6881));
    ask.up = 20;
    http_announce(&daemon, &ask, &told);
    cr_assert_str_eq(told.failure, "");
    cr_assert_eq(told.peer_count, 0u);
    cr_assert(told.interval >= 1800 && told.interval <= 2100, "interval %" PRId64, told.interval);
    if (have_ipv6()) {
        ask.from = "::1";
        http_announce(&daemon, &ask, &told);
        cr_assert(told.peer_count > 0, "the first announce of a family is not too early");
    }
    expect_account(&daemon, alice, "early", 20, 0);
    daemon_stop(&daemon);
}

Test(accounts, stalest_session_gives_way_beyond_the_limit)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    static const char *const peers[] = {"a", "b", "c", "d"};
    struct ask ask = {.passkey = daemon.owner, .torrent = "many", .left = 100};
    for (uint16_t i = 0; i < 4; i++) {
        ask.peer = peers[i];
        ask.port = (uint16_t)(7000 + i);
        http_announce(&daemon, &ask, &told);
        cr_assert_str_eq(told.failure, "");
        cr_assert_eq(told.incomplete, i < 3 ? i + 1 : 3);
        sleep_s(0.02);
    }
    /* Its account goes on from its tombstone. */
    ask.peer = "a";
    ask.port = 7000;
    ask.up = 77;
    say(http_announce, &daemon, &ask);
    expect_account(&daemon, daemon.owner, "many", 77, 0);
    database_expect(&daemon, 3, ACCOUNT("active"), daemon.owner, info_hash_hex("many"));
    daemon_stop(&daemon);
}

Test(accounts, silent_session_expires_and_returns_to_its_baseline)
{
    struct daemon daemon;
    struct told told;
    daemon_start(
        &daemon,
        &(struct daemon_options){
            .tracker = "announce_interval: 2s\nmin_announce_interval: 0s\nannounce_jitter: 0s\npeer_lifetime: 3s",
            .deltas = "flush_interval: 1s\nsinks: [{type: database}, {type: ndjson, path: deltas.ndjson}]"});
    struct ask ask = {.passkey = daemon.owner, .torrent = "silent", .peer = "a", .left = 100, .up = 1000};
    say(http_announce, &daemon, &ask);
    database_expect(&daemon, 1, "SELECT count(*) FROM sessions");
    database_expect(&daemon, 0, "SELECT count(*) FROM sessions");
    database_expect(&daemon, 0, ACCOUNT("active"), daemon.owner, info_hash_hex("silent"));
    ask.up = 1300;
    http_announce(&daemon, &ask, &told);
    cr_assert_eq(told.incomplete, 1);
    expect_account(&daemon, daemon.owner, "silent", 300, 0);
    char text[65536], path[HARNESS_PATH_BYTES + 32];
    (void)snprintf(path, sizeof path, "%s/state/deltas.ndjson", daemon.directory);
    cr_assert(read_file(path, text, sizeof text));
    cr_assert_not_null(strstr(text, "\"expired\""));
    daemon_stop(&daemon);
}

Test(accounts, users_any_makes_an_account_for_an_unknown_passkey)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){.middleware = "identify: {users: any}"});
    struct ask ask = {.passkey = "fresh-passkey_1", .torrent = "any", .peer = "a", .left = 100};
    say(udp_announce, &daemon, &ask);
    ask.up = 123;
    say(http_announce, &daemon, &ask);
    expect_account(&daemon, "fresh-passkey_1", "any", 123, 0);
    daemon_stop(&daemon);
}

Test(accounts, deltas_hold_what_is_promised_and_hide_addresses)
{
    struct daemon daemon;
    daemon_start(&daemon,
                 &(struct daemon_options){
                     .deltas = "flush_interval: 1s\nsinks: [{type: database}, {type: ndjson, path: deltas.ndjson}]"});
    const char *shy = add_user(&daemon, "shy");
    database_run(&daemon, "UPDATE users SET hide_address = 1 WHERE passkey = '%s'", shy);
    add_user(&daemon, "later");
    struct ask open = {
        .passkey = daemon.owner, .torrent = "delta", .peer = "open", .left = 100, .from = "127.0.0.7", .port = 7007};
    struct ask hidden = {.passkey = shy, .torrent = "delta", .peer = "hidden", .left = 100, .from = "127.0.0.8"};
    say(http_announce, &daemon, &open);
    say(http_announce, &daemon, &hidden);
    database_expect(&daemon, 2, "SELECT count(*) FROM user_torrents");
    char text[65536], path[HARNESS_PATH_BYTES + 32];
    (void)snprintf(path, sizeof path, "%s/state/deltas.ndjson", daemon.directory);
    for (double end = now_s() + 10;
         now_s() < end && (!read_file(path, text, sizeof text) || strstr(text, shy) == NULL);)
        sleep_s(0.05);
    cr_assert_not_null(strstr(text, "127.0.0.7"));
    cr_assert_null(strstr(text, "127.0.0.8"));
    json_t *first = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
    static const char *const names[] = {"seq",
                                        "time",
                                        "user",
                                        "user_id",
                                        "info_hash",
                                        "torrent_id",
                                        "event",
                                        "uploaded",
                                        "downloaded",
                                        "credited_uploaded",
                                        "credited_downloaded",
                                        "quarantined",
                                        "left",
                                        "seed_time",
                                        "leech_time",
                                        "snatched",
                                        "peer_id",
                                        "ip",
                                        "port",
                                        "client"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_assert_not_null(json_object_get(first, names[i]), "no %s", names[i]);
    cr_assert_eq(json_object_size(first), sizeof names / sizeof *names);
    cr_assert_eq(json_integer_value(json_object_get(first, "port")), 7007);
    json_decref(first);
    daemon_stop(&daemon);
}
