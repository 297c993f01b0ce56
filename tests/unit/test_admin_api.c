/* The operator's API, called without sockets over a real database. */
#include "test_admin.h"

TestSuite(admin_api, .init = site_open, .fini = site_close);

/* Users. */

Test(admin_api, user_is_made_with_a_passkey_of_its_own)
{
    json_t *user = ask(METHOD_POST, "/api/v1/users", "{\"name\":\"mia\"}", 201);
    cr_assert_str_eq(text(user, "name"), "mia");
    cr_assert_eq(strlen(text(user, "passkey")), 32);
    cr_assert(json_is_true(json_object_get(user, "enabled")));
    cr_assert(json_is_true(json_object_get(user, "can_leech")));
    cr_assert(json_is_false(json_object_get(user, "hide_address")));
    cr_assert_eq(number(user, "upload_percent"), 100);
    cr_assert_eq(json_object_size(user), 15);
    cr_assert_eq(fake.refreshes, 1);
    json_decref(user);
}

Test(admin_api, user_names_need_not_be_unique_but_passkeys_do)
{
    ask_only(METHOD_POST, "/api/v1/users", "{\"name\":\"mia\",\"passkey\":\"a-1_Z\"}", 201);
    ask_only(METHOD_POST, "/api/v1/users", "{\"name\":\"mia\"}", 201);
    ask_only(METHOD_POST, "/api/v1/users", "{\"name\":\"mia\",\"passkey\":\"a-1_Z\"}", 409);
}

Test(admin_api, user_is_shown_changed_and_removed)
{
    json_t *user = ask(METHOD_POST, "/api/v1/users", "{}", 201);
    char path[64];
    (void)snprintf(path, sizeof path, "/api/v1/users/%lld", (long long)number(user, "id"));
    json_decref(user);
    user = ask(METHOD_PATCH, path, "{\"enabled\":false,\"upload_percent\":250,\"name\":\"Zoë\"}", 200);
    cr_assert(json_is_false(json_object_get(user, "enabled")));
    json_decref(user);
    user = ask(METHOD_GET, path, NULL, 200);
    cr_assert_eq(number(user, "upload_percent"), 250);
    cr_assert_str_eq(text(user, "name"), "Zoë");
    json_decref(user);
    json_t *answer = ask(METHOD_DELETE, path, NULL, 204);
    cr_assert_null(answer);
    ask_only(METHOD_GET, path, NULL, 404);
    ask_only(METHOD_PATCH, path, "{\"enabled\":true}", 404);
    ask_only(METHOD_PATCH, path, "{}", 404);
    ask_only(METHOD_DELETE, path, NULL, 404);
}

Test(admin_api, new_passkey_takes_the_old_ones_place)
{
    json_t *user = ask(METHOD_POST, "/api/v1/users", "{\"passkey\":\"old\"}", 201);
    char path[64];
    (void)snprintf(path, sizeof path, "/api/v1/users/%lld/passkey", (long long)number(user, "id"));
    json_decref(user);
    user = ask(METHOD_POST, path, NULL, 200);
    cr_assert_str_neq(text(user, "passkey"), "old");
    json_decref(user);
    ask_only(METHOD_POST, "/api/v1/users/999999/passkey", NULL, 404);
}

Test(admin_api, users_are_listed_in_pages_to_the_last)
{
    for (int i = 0; i < 5; i++)
        ask_only(METHOD_POST, "/api/v1/users", "{\"name\":\"n\"}", 201);
    json_t *page = ask(METHOD_GET, "/api/v1/users?limit=3", NULL, 200);
    cr_assert_eq(json_array_size(json_object_get(page, "users")), 3);
    char target[64];
    (void)snprintf(target, sizeof target, "/api/v1/users?limit=2&after=%lld", (long long)number(page, "next"));
    json_decref(page);
    page = ask(METHOD_GET, target, NULL, 200);
    cr_assert_eq(json_array_size(json_object_get(page, "users")), 2);
    cr_assert(json_is_null(json_object_get(page, "next")), "a full last page has nothing behind it");
    json_decref(page);
}

Test(admin_api, users_are_found_by_name_and_by_passkey)
{
    ask_only(METHOD_POST, "/api/v1/users", "{\"name\":\"anna lena\",\"passkey\":\"kkk\"}", 201);
    ask_only(METHOD_POST, "/api/v1/users", "{\"name\":\"otto\",\"passkey\":\"lll\"}", 201);
    json_t *found = ask(METHOD_GET, "/api/v1/users?search=NNA%20L", NULL, 200);
    cr_assert_eq(json_array_size(json_object_get(found, "users")), 1);
    json_decref(found);
    found = ask(METHOD_GET, "/api/v1/users?search=lll", NULL, 200);
    cr_assert_str_eq(text(json_array_get(json_object_get(found, "users"), 0), "name"), "otto");
    json_decref(found);
}

Test(admin_api, bad_fields_are_refused_by_name)
{
    static const struct {
        const char *body;
        const char *name;
    } cases[] = {
        {"{\"nick\":\"x\"}", "nick"},
        {"{\"name\":7}", "name"},
        {"{\"name\":\"a\\nb\"}", "name"},
        {"{\"name\":\"a\\u0085b\"}", "name"},
        {"{\"passkey\":\"\"}", "passkey"},
        {"{\"passkey\":\"sp ace\"}", "passkey"},
        {"{\"passkey\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", "passkey"},
        {"{\"enabled\":1}", "enabled"},
        {"{\"can_leech\":\"true\"}", "can_leech"},
        {"{\"upload_percent\":-1}", "upload_percent"},
        {"{\"upload_percent\":1.0}", "upload_percent"},
        {"{\"upload_percent\":1000001}", "upload_percent"},
        {"{\"upload_percent\":null}", "upload_percent"},
        {"{\"upload_percent\":\"100\"}", "upload_percent"},
        {"{\"uploaded\":1}", "uploaded"},
        {"{\"id\":1}", "id"},
        {"{\"enabled\":true,\"enabled\":false}", "enabled"},
        {"{\"upload_percent\":99999999999999999999}", ""},
        {"[]", "object"},
        {"7", "object"},
        {"null", "object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ask_refused(METHOD_POST, "/api/v1/users", cases[i].body, 422, cases[i].name);
    cr_assert_eq(fake.refreshes, 0);
}

Test(admin_api, what_is_no_json_is_400)
{
    static const char *const bodies[] = {"{", "", "{\"name\":}", "{} x", "\xff", "{\"name\":\"\xc3\"}"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        ask_only(METHOD_POST, "/api/v1/users", bodies[i], 400);
}

Test(admin_api, bad_parameters_are_refused_by_name)
{
    ask_refused(METHOD_GET, "/api/v1/users?limit=0", NULL, 422, "limit");
    ask_refused(METHOD_GET, "/api/v1/users?limit=1001", NULL, 422, "limit");
    ask_refused(METHOD_GET, "/api/v1/users?limit=+1", NULL, 422, "limit");
    ask_refused(METHOD_GET, "/api/v1/users?limit=1&limit=1", NULL, 422, "limit");
    ask_refused(METHOD_GET, "/api/v1/users?after=x", NULL, 422, "after");
    ask_refused(METHOD_GET, "/api/v1/users?after=9223372036854775808", NULL, 422, "after");
    ask_refused(METHOD_GET, "/api/v1/users?search=%zz", NULL, 422, "search");
    ask_refused(METHOD_GET, "/api/v1/users?search=%00", NULL, 422, "search");
    ask_refused(METHOD_GET, "/api/v1/users?search=%ff", NULL, 422, "search");
    ask_refused(METHOD_GET, "/api/v1/users?page=1", NULL, 422, "page");
}

Test(admin_api, an_id_that_is_none_is_nobody)
{
    static const char *const ids[] = {"0", "x", "-1", "1x", "+1", "9223372036854775808", "%31%00", "1%2f", " "};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/api/v1/users/%s", ids[i]);
        ask_only(METHOD_GET, path, NULL, 404);
    }
}

/* Torrents. */

Test(admin_api, torrent_is_made_and_shown)
{
    json_t *torrent = ask(METHOD_POST, "/api/v1/torrents",
                          "{\"info_hash\":\"" HASH_A "\",\"name\":\"disc\",\"size\":1234567890123}", 201);
    cr_assert_str_eq(text(torrent, "info_hash"), HASH_A);
    cr_assert_str_eq(text(torrent, "state"), "approved");
    cr_assert_eq(number(torrent, "size"), 1234567890123);
    cr_assert_eq(json_object_size(torrent), 13);
    json_decref(torrent);
    ask_only(METHOD_POST, "/api/v1/torrents", "{\"info_hash\":\"" HASH_A "\"}", 409);
    ask_only(METHOD_GET, "/api/v1/torrents/" HASH_A, NULL, 200);
    ask_only(METHOD_GET, "/api/v1/torrents/" HASH_B, NULL, 404);
    ask_only(METHOD_GET, "/api/v1/torrents/xyz", NULL, 404);
}

Test(admin_api, torrent_without_a_hash_is_refused)
{
    ask_refused(METHOD_POST, "/api/v1/torrents", "{\"name\":\"disc\"}", 422, "info_hash");
    ask_refused(METHOD_POST, "/api/v1/torrents", "{\"info_hash\":\"00\"}", 422, "info_hash");
    ask_refused(METHOD_POST, "/api/v1/torrents", "{\"info_hash\":\"" HASH_A "\",\"size\":-1}", 422, "size");
    ask_refused(METHOD_POST, "/api/v1/torrents", "{\"info_hash\":\"" HASH_A "\",\"state\":\"gone\"}", 422, "state");
    ask_refused(METHOD_PATCH, "/api/v1/torrents/" HASH_A, "{\"info_hash\":\"" HASH_B "\"}", 422, "info_hash");
}

Test(admin_api, live_counts_come_from_the_swarm)
{
    fake.view = (struct torrent_view){.known = true, .seeders = 4, .leechers = 7, .snatches = 2};
    ask_only(METHOD_POST, "/api/v1/torrents", "{\"info_hash\":\"" HASH_A "\"}", 201);
    json_t *torrent = ask(METHOD_GET, "/api/v1/torrents/" HASH_A, NULL, 200);
    cr_assert_eq(number(torrent, "seeders"), 4);
    cr_assert_eq(number(torrent, "leechers"), 7);
    cr_assert_eq(number(torrent, "snatches"), 2);
    json_decref(torrent);
}

Test(admin_api, deleted_torrent_is_still_shown_with_its_reason)
{
    ask_only(METHOD_POST, "/api/v1/torrents", "{\"info_hash\":\"" HASH_A "\"}", 201);
    ask_only(METHOD_POST, "/api/v1/torrents", "{\"info_hash\":\"" HASH_B "\"}", 201);
    ask_only(METHOD_DELETE, "/api/v1/torrents/" HASH_A, "{\"reason\":\"a dupe of \\u201cdisc\\u201d\"}", 204);
    ask_only(METHOD_DELETE, "/api/v1/torrents/" HASH_B "?reason=bad%20rip", NULL, 204);
    json_t *torrent = ask(METHOD_GET, "/api/v1/torrents/" HASH_A, NULL, 200);
    cr_assert_str_eq(text(torrent, "state"), "deleted");
    cr_assert_str_eq(text(torrent, "reason"), "a dupe of “disc”");
    json_decref(torrent);
    torrent = ask(METHOD_GET, "/api/v1/torrents/" HASH_B, NULL, 200);
    cr_assert_str_eq(text(torrent, "reason"), "bad rip");
    json_decref(torrent);
    torrent = ask(METHOD_PATCH, "/api/v1/torrents/" HASH_B, "{\"state\":\"approved\"}", 200);
    cr_assert_str_eq(text(torrent, "state"), "approved");
    cr_assert_str_eq(text(torrent, "reason"), "", "the reason was the deletion's");
    json_decref(torrent);
    ask_refused(METHOD_DELETE, "/api/v1/torrents/" HASH_B, "{\"why\":\"x\"}", 422, "why");
    ask_only(METHOD_DELETE, "/api/v1/torrents/1111111111111111111111111111111111111111", NULL, 404);
}

Test(admin_api, torrents_are_listed_and_found)
{
    ask_only(METHOD_POST, "/api/v1/torrents", "{\"info_hash\":\"" HASH_A "\",\"name\":\"first disc\"}", 201);
    ask_only(METHOD_POST, "/api/v1/torrents", "{\"info_hash\":\"" HASH_B "\",\"name\":\"second\"}", 201);
    json_t *list = ask(METHOD_GET, "/api/v1/torrents", NULL, 200);
    cr_assert_eq(json_array_size(json_object_get(list, "torrents")), 2);
    json_decref(list);
    list = ask(METHOD_GET, "/api/v1/torrents?search=" HASH_B, NULL, 200);
    cr_assert_eq(json_array_size(json_object_get(list, "torrents")), 1);
    cr_assert_str_eq(text(json_array_get(json_object_get(list, "torrents"), 0), "name"), "second");
    json_decref(list);
}

/* Peers. */

static struct peer_view peers[3];

static void make_peers(bool hide_address)
{
    struct user_facts facts = {.id = 7,
                               .passkey = "pk",
                               .enabled = true,
                               .can_leech = true,
                               .hide_address = hide_address,
                               .upload_percent = 100,
                               .download_percent = 100};
    cr_assert_eq(users_put(site.backend.parts.users, &facts), 0);
    users_read_begin();
    uint32_t index = users_find(site.backend.parts.users, "pk", 2)->index;
    users_read_end();
    for (size_t i = 0; i < 3; i++) {
        peers[i] = (struct peer_view){.user_index = index,
                                      .user_id = 7,
                                      .uploaded = 10 + i,
                                      .left = i,
                                      .last_announce_ms = 1763885000123,
                                      .seeding = i == 0};
        memcpy(peers[i].peer_id, "-qB4630-\0\1\2\3\4\5\6\7\10\11\12\13", PEER_ID_BYTES);
        cr_assert(address_parse(&peers[i].address4, "192.0.2.7:51413", 15));
    }
    fake.view = (struct torrent_view){.known = true, .id = 3, .peers = peers, .peer_count = 3};
}

Test(admin_api, peers_are_listed_in_pages)
{
    make_peers(false);
    json_t *list = ask(METHOD_GET, "/api/v1/torrents/" HASH_A "/peers?limit=2", NULL, 200);
    cr_assert_eq(json_array_size(json_object_get(list, "peers")), 2);
    cr_assert_eq(number(list, "next"), 2);
    const json_t *peer = json_array_get(json_object_get(list, "peers"), 0);
    cr_assert_eq(number(peer, "user_id"), 7);
    cr_assert_eq(number(peer, "torrent_id"), 3);
    cr_assert_str_eq(text(peer, "client"), "-qB4630-");
    cr_assert_str_eq(text(peer, "peer_id"), "2d7142343633302d000102030405060708090a0b");
    cr_assert_str_eq(text(peer, "ip4"), "192.0.2.7");
    cr_assert_eq(number(peer, "port4"), 51413);
    cr_assert(json_is_null(json_object_get(peer, "ip6")));
    cr_assert_eq(number(peer, "last_announce"), 1763885000);
    json_decref(list);
    list = ask(METHOD_GET, "/api/v1/torrents/" HASH_A "/peers?limit=2&after=2", NULL, 200);
    cr_assert_eq(json_array_size(json_object_get(list, "peers")), 1);
    cr_assert(json_is_null(json_object_get(list, "next")));
    json_decref(list);
    list = ask(METHOD_GET, "/api/v1/torrents/" HASH_A "/peers?after=50", NULL, 200);
    cr_assert_eq(json_array_size(json_object_get(list, "peers")), 0);
    json_decref(list);
}

Test(admin_api, hidden_addresses_are_not_shown)
{
    make_peers(true);
    json_t *list = ask(METHOD_GET, "/api/v1/torrents/" HASH_A "/peers", NULL, 200);
    const json_t *peer = json_array_get(json_object_get(list, "peers"), 0);
    cr_assert(json_is_null(json_object_get(peer, "ip4")));
    cr_assert(json_is_null(json_object_get(peer, "port4")));
    json_decref(list);
}

Test(admin_api, peers_of_an_unknown_torrent_are_404)
{
    ask_only(METHOD_GET, "/api/v1/torrents/" HASH_A "/peers", NULL, 404);
}

/* Clients and multipliers. */

Test(admin_api, client_rules_are_made_changed_and_removed)
{
    ask_only(METHOD_PUT, "/api/v1/clients/-qB46", "{\"allowed\":true}", 201);
    ask_only(METHOD_PUT, "/api/v1/clients/-qB46", "{\"allowed\":false}", 200);
    ask_only(METHOD_PUT, "/api/v1/clients/M%2F7", "{\"allowed\":true}", 201);
    json_t *client = ask(METHOD_GET, "/api/v1/clients/M%2f7", NULL, 200);
    cr_assert_str_eq(text(client, "prefix"), "M/7");
    json_decref(client);
    json_t *list = ask(METHOD_GET, "/api/v1/clients?limit=1", NULL, 200);
    cr_assert_str_eq(text(json_array_get(json_object_get(list, "clients"), 0), "prefix"), "-qB46");
    cr_assert(json_is_false(json_object_get(json_array_get(json_object_get(list, "clients"), 0), "allowed")));
    cr_assert_str_eq(text(list, "next"), "-qB46");
    json_decref(list);
    ask_only(METHOD_DELETE, "/api/v1/clients/-qB46", NULL, 204);
    ask_only(METHOD_DELETE, "/api/v1/clients/-qB46", NULL, 404);
    ask_only(METHOD_GET, "/api/v1/clients/-qB46", NULL, 404);
    cr_assert_eq(fake.refreshes, 4);
}

Test(admin_api, bad_client_rules_are_refused)
{
    ask_refused(METHOD_PUT, "/api/v1/clients/-qB46", "{}", 422, "allowed");
    ask_refused(METHOD_PUT, "/api/v1/clients/-qB46", "{\"allowed\":1}", 422, "allowed");
    ask_refused(METHOD_PUT, "/api/v1/clients/%c3%a4", "{\"allowed\":true}", 422, "prefix");
    ask_refused(METHOD_PUT, "/api/v1/clients/aaaaaaaaaaaaaaaaaaaaa", "{\"allowed\":true}", 422, "prefix");
}

Test(admin_api, multipliers_are_100_until_changed_and_keep_what_is_not_named)
{
    json_t *answer = ask(METHOD_GET, "/api/v1/multipliers", NULL, 200);
    cr_assert_eq(number(answer, "upload_percent"), 100);
    cr_assert(json_is_null(json_object_get(answer, "until")));
    json_decref(answer);
    ask_only(METHOD_PATCH, "/api/v1/multipliers", "{\"upload_percent\":200,\"until\":4102444800}", 200);
    answer = ask(METHOD_PATCH, "/api/v1/multipliers", "{\"download_percent\":0}", 200);
    cr_assert_eq(number(answer, "upload_percent"), 200);
    cr_assert_eq(number(answer, "download_percent"), 0);
    cr_assert_eq(number(answer, "until"), 4102444800);
    json_decref(answer);
    answer = ask(METHOD_PATCH, "/api/v1/multipliers", "{\"until\":null}", 200);
    cr_assert(json_is_null(json_object_get(answer, "until")));
    json_decref(answer);
    ask_refused(METHOD_PATCH, "/api/v1/multipliers", "{\"until\":0}", 422, "until");
    ask_refused(METHOD_PATCH, "/api/v1/multipliers", "{\"until\":\"soon\"}", 422, "until");
}

Test(admin_api, multipliers_whose_time_is_over_are_100_again)
{
    ask_only(METHOD_PATCH, "/api/v1/multipliers", "{\"upload_percent\":200,\"until\":1}", 200);
    json_t *answer = ask(METHOD_PATCH, "/api/v1/multipliers", "{\"download_percent\":50}", 200);
    cr_assert_eq(number(answer, "upload_percent"), 100);
    cr_assert_eq(number(answer, "download_percent"), 50);
    cr_assert(json_is_null(json_object_get(answer, "until")));
    json_decref(answer);
}

/* Deltas, stats and control. */

Test(admin_api, delta_status_tells_journal_and_sinks)
{
    fake.ledger = (struct ledger_status){.last_seq = 9, .journal_bytes = 4096, .sink_count = 1};
    fake.ledger.sinks[0] = (struct ledger_sink_status){
        .name = "database", .delivered = 5, .pending = 4, .oldest_pending_age_s = 1.5, .last_error = "locked"};
    json_t *answer = ask(METHOD_GET, "/api/v1/deltas/status", NULL, 200);
    const json_t *sink = json_array_get(json_object_get(answer, "sinks"), 0);
    cr_assert_eq(number(json_object_get(answer, "journal"), "bytes"), 4096);
    cr_assert_str_eq(text(sink, "name"), "database");
    cr_assert_eq(number(sink, "delivered"), 5);
    cr_assert_eq(number(sink, "pending"), 4);
    cr_assert_float_eq(json_real_value(json_object_get(sink, "oldest_pending_age")), 1.5, 1e-9);
    cr_assert_str_eq(text(sink, "last_error"), "locked");
    json_decref(answer);
    answer = ask(METHOD_GET, "/api/v1/deltas/parked", NULL, 200);
    cr_assert_eq(json_array_size(json_object_get(answer, "parked")), 0);
    json_decref(answer);
}

Test(admin_api, stats_hold_what_the_dashboard_shows)
{
    fake.counters.requests[PROTOCOL_UDP][FAMILY6][ACTION_ANNOUNCE][RESULT_OK] = 42;
    fake.counters.seeders = 2;
    fake.counters.leechers = 3;
    latency_add(&fake.counters.latency[PROTOCOL_UDP], 15000, 99);
    latency_add(&fake.counters.latency[PROTOCOL_UDP], 3000000, 1);
    fake.view = (struct torrent_view){.known = true, .seeders = 2};
    json_t *answer = ask(METHOD_GET, "/api/v1/stats", NULL, 200);
    const json_t *results =
        json_object_get(json_object_get(json_object_get(json_object_get(answer, "requests"), "udp"), "6"), "announce");
    cr_assert_eq(number(results, "ok"), 42);
    cr_assert_eq(number(answer, "peers"), 5);
    const json_t *latency = json_object_get(answer, "latency_udp");
    cr_assert_float_eq(json_real_value(json_object_get(latency, "p50")), 20e-6, 1e-9);
    cr_assert_float_eq(json_real_value(json_object_get(latency, "p99")), 20e-6, 1e-9);
    cr_assert_float_eq(json_real_value(json_object_get(latency, "p999")), 5.12e-3, 1e-9);
    cr_assert_eq(json_array_size(json_object_get(answer, "top")), 1);
    cr_assert_eq(number(json_object_get(answer, "lists"), "last_look"), 1763885000);
    json_decref(answer);
    ask_only(METHOD_GET, "/api/v1/stats", NULL, 200);
    cr_assert_eq(fake.top_lookups, 1, "the swarms are not looked through at every poll");
}

static int refuse_reload(void *context, struct error *error)
{
    (void)context;
    return error_set(error, "tracker.yaml:3: http.keepalive: found maybe, allowed true or false");
}

static int take_reload(void *context, struct error *error)
{
    (void)error;
    (*(int *)context)++;
    return 0;
}

Test(admin_api, refused_configuration_is_told)
{
    site.backend.parts.reload = refuse_reload;
    ask_refused(METHOD_POST, "/api/v1/reload", NULL, 422, "http.keepalive");
}

Test(admin_api, reload_flush_and_snapshot_tell_what_they_did)
{
    int reloads = 0;
    site.backend.parts.context = &reloads;
    site.backend.parts.reload = take_reload;
    json_t *answer = ask(METHOD_POST, "/api/v1/reload", NULL, 200);
    cr_assert(json_is_true(json_object_get(answer, "reloaded")));
    cr_assert_eq(reloads, 1);
    json_decref(answer);
    answer = ask(METHOD_POST, "/api/v1/flush", NULL, 200);
    cr_assert(json_is_true(json_object_get(answer, "flushed")));
    json_decref(answer);
    fake.flush_fails = true;
    answer = ask(METHOD_POST, "/api/v1/flush", NULL, 200);
    cr_assert(json_is_false(json_object_get(answer, "flushed")));
    json_decref(answer);
    ask_only(METHOD_POST, "/api/v1/snapshot", NULL, 503);
}

Test(admin_api, shutdown_is_not_to_be_had_over_tcp)
{
    ask_only(METHOD_POST, "/api/v1/shutdown", NULL, 404);
}

/* What holds for all routes. */

Test(admin_api, without_the_token_nothing_of_the_api_is_told)
{
    static const char *const tokens[] = {NULL, "", "x", "0123456789abcdef0123456789abcdef0",
                                         "0123456789abcdef0123456789abcdeF"};
    static const char *const paths[] = {"/api/v1/users", "/api/v1/nothing", "/api/v1/users/1"};
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        for (size_t j = 0; j < sizeof paths / sizeof paths[0]; j++) {
            struct call call = {.backend = &site.backend, .bearer = tokens[i], .path = paths[j]};
            call_run(&call);
            cr_assert_eq(call.status, 401);
            call_clear(&call);
        }
    }
}

Test(admin_api, the_unix_socket_needs_no_token)
{
    struct call call = {.backend = &site.backend, .is_local = true, .path = "/api/v1/users"};
    call_run(&call);
    cr_assert_eq(call.status, 200);
    call_clear(&call);
}

Test(admin_api, metrics_need_the_token_only_where_it_says_so)
{
    struct call call = {.backend = &site.backend, .path = "/metrics"};
    call_run(&call);
    cr_assert_eq(call.status, 200);
    cr_assert(strncmp(call.text, "# HELP privtrak_requests_total ", 31) == 0);
    call_clear(&call);
    atomic_store(&site.backend.metrics_need_token, true);
    call = (struct call){.backend = &site.backend, .path = "/metrics"};
    call_run(&call);
    cr_assert_eq(call.status, 401);
    call_clear(&call);
}

Test(admin_api, another_method_is_405_with_those_that_are_allowed)
{
    struct call call = {
        .backend = &site.backend, .method = METHOD_PUT, .bearer = TEST_TOKEN, .path = "/api/v1/users/1"};
    call_run(&call);
    cr_assert_eq(call.status, 405);
    cr_assert_eq(call.allowed, 1U << METHOD_GET | 1U << METHOD_PATCH | 1U << METHOD_DELETE);
    call_clear(&call);
}

Test(admin_api, another_path_is_404)
{
    static const char *const paths[] = {"/api/v1",
                                        "/api/v1/",
                                        "/api/v1/users/",
                                        "/api/v1/users/1/",
                                        "/api/v1/usersx",
                                        "/api/v2/users",
                                        "//",
                                        "/api/v1/users/1/passkey/x",
                                        "/favicon.ico",
                                        "x"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        ask_only(METHOD_GET, paths[i], NULL, 404);
}

Test(admin_api, a_body_over_64_kib_is_413)
{
    char *body = malloc(CALL_BODY_MAX + 2);
    memset(body, ' ', CALL_BODY_MAX + 1);
    body[CALL_BODY_MAX + 1] = '\0';
    ask_only(METHOD_POST, "/api/v1/users", body, 413);
    body[0] = '{';
    body[1] = '}';
    body[CALL_BODY_MAX] = '\0';
    ask_only(METHOD_POST, "/api/v1/users", body, 201);
    free(body);
}

Test(admin_api, a_change_that_is_not_in_force_is_told)
{
    fake.refresh_fails = true;
    ask_refused(METHOD_POST, "/api/v1/users", "{\"name\":\"mia\"}", 503, "on fire");
}

Test(admin_api, a_database_that_is_down_is_503)
{
    struct error error = {""};
    database_close(site.backend.database);
    site.backend.database = database_open("sqlite:/nonexistent/place/privtrak.db", &error);
    cr_assert(site.backend.database != NULL);
    ask_only(METHOD_GET, "/api/v1/users", NULL, 503);
    ask_only(METHOD_POST, "/api/v1/users", "{}", 503);
    ask_only(METHOD_GET, "/api/v1/torrents", NULL, 503);
    ask_only(METHOD_DELETE, "/api/v1/clients/-qB", NULL, 503);
    ask_only(METHOD_PATCH, "/api/v1/multipliers", "{}", 503);
    ask_only(METHOD_GET, "/api/v1/deltas/parked", NULL, 503);
    ask_only(METHOD_GET, "/api/v1/stats", NULL, 200);
}

Test(admin_api, a_tracker_that_stops_refuses_its_api)
{
    atomic_store(&site.backend.is_draining, true);
    ask_refused(METHOD_GET, "/api/v1/stats", NULL, 503, "stopping");
    ask_refused(METHOD_POST, "/api/v1/users", "{}", 503, "stopping");
}

/* Health. */

static int readiness(void)
{
    struct call call = {.backend = &site.backend, .path = "/readyz"};
    call_run(&call);
    int status = call.status;
    call_clear(&call);
    return status;
}

Test(admin_api, ready_while_the_sinks_keep_up)
{
    fake.ledger.sink_count = 1;
    fake.ledger.sinks[0] = (struct ledger_sink_status){.name = "database", .oldest_pending_age_s = 3};
    cr_assert_eq(readiness(), 200);
    fake.ledger.sinks[0].oldest_pending_age_s = 61;
    cr_assert_eq(readiness(), 503);
}

Test(admin_api, not_ready_with_a_full_journal_or_while_stopping)
{
    fake.ledger.full = true;
    cr_assert_eq(readiness(), 503);
    fake.ledger.full = false;
    atomic_store(&site.backend.is_draining, true);
    cr_assert_eq(readiness(), 503);
    struct call call = {.backend = &site.backend, .path = "/healthz"};
    call_run(&call);
    cr_assert_eq(call.status, 200, "it runs all the same");
    call_clear(&call);
}
