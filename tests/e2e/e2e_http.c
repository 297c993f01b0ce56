/* HTTP as clients, proxies and strangers speak it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "harness/harness.h"

TestSuite(http, .fini = harness_finish);

/* A good announce's query after the passkey, but for what a test appends. */
#define HASH "%01%02%03%04%05%06%07%08%09%0a%0b%0c%0d%0e%0f%10%11%12%13%14"
#define GOOD "info_hash=" HASH "&peer_id=-PT0001-abcdefghijkl&port=6881&uploaded=0&downloaded=0&left=9"

/* Sends `GET target` and reads the bencoded reply. */
static void get(const struct daemon *daemon, struct told *told, const char *target)
{
    struct http_reply reply;
    char request[16384];
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: t\r\n\r\n", target);
    cr_assert(length > 0 && (size_t)length < sizeof request);
    http_raw(daemon, &reply, request, (size_t)length);
    cr_assert_eq(reply.status, 200, "status %d for %s", reply.status, target);
    told_from_bencode(reply.body, reply.length, told);
}

static void expect_failure(const struct daemon *daemon, const char *target, const char *named)
{
    struct told told;
    get(daemon, &told, target);
    cr_assert(told.failure[0] != '\0', "%s is taken", target);
    cr_assert_not_null(strcasestr(told.failure, named), "%s: \"%s\" does not name %s", target, told.failure, named);
}

static void expect_status(const struct daemon *daemon, int status, const char *request)
{
    struct http_reply reply;
    http_raw(daemon, &reply, request, strlen(request));
    cr_assert_eq(reply.status, status, "status %d instead of %d for %.60s", reply.status, status, request);
}

Test(http, passkey_comes_in_three_places_and_the_path_wins)
{
    static const char *const good[] = {"/%s/announce?" GOOD,
                                       "/announce/%s?" GOOD,
                                       "/announce?passkey=%s&" GOOD,
                                       "/announce?" GOOD "&passkey=%s",
                                       "/%s/announce/?" GOOD,
                                       "/announce/%s/?" GOOD,
                                       "/announce/?" GOOD "&PassKey=%s",
                                       "http://tracker.example:6969/%s/announce?" GOOD,
                                       "/announce/%s?passkey=nobody&" GOOD,
                                       "/announce?" GOOD "&passkey=%s&passkey=nobody"};
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char target[1024];
        const char *hole = strstr(good[i], "%s");
        (void)snprintf(target, sizeof target, "%.*s%s%s", (int)(hole - good[i]), good[i], daemon.owner, hole + 2);
        get(&daemon, &told, target);
        cr_assert_str_eq(told.failure, "", "%s: %s", target, told.failure);
        cr_assert_eq(told.incomplete, 1);
        cr_assert(told.has_peers);
        cr_assert(told.interval >= 1800 && told.interval <= 2100);
    }
    daemon_stop(&daemon);
}

Test(http, bad_passkeys_are_failures_that_say_which)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){0});
    expect_failure(&daemon, "/announce?" GOOD, "passkey");
    expect_failure(&daemon, "/announce?passkey=&" GOOD, "passkey");
    expect_failure(&daemon, "/announce/0123456789abcdef0123456789abcdef?" GOOD, "passkey");
    expect_failure(&daemon, "/announce/not.a.passkey?" GOOD, "passkey");
    expect_failure(&daemon, "/announce?passkey=white%20space&" GOOD, "passkey");
    expect_failure(&daemon, "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/announce?" GOOD,
                   "passkey");
    expect_failure(&daemon, "/scrape?info_hash=" HASH, "passkey");
    daemon_stop(&daemon);
}

Test(http, malformed_announces_name_the_parameter)
{
    static const struct {
        const char *query, *named;
    } cases[] = {
        {"peer_id=-PT0001-abcdefghijkl&port=1&uploaded=0&downloaded=0&left=0", "info_hash"},
        {"info_hash=" HASH "&port=1&uploaded=0&downloaded=0&left=0", "peer_id"},
        {"info_hash=" HASH "&peer_id=-PT0001-abcdefghijkl&uploaded=0&downloaded=0&left=0", "port"},
        {"info_hash=" HASH "&peer_id=-PT0001-abcdefghijkl&port=1&downloaded=0&left=0", "uploaded"},
        {"info_hash=" HASH "&peer_id=-PT0001-abcdefghijkl&port=1&uploaded=0&left=0", "downloaded"},
        {"info_hash=" HASH "&peer_id=-PT0001-abcdefghijkl&port=1&uploaded=0&downloaded=0", "left"},
        {"info_hash=abc&peer_id=-PT0001-abcdefghijkl&port=1&uploaded=0&downloaded=0&left=0", "info_hash"},
        {"info_hash=" HASH "00&peer_id=-PT0001-abcdefghijkl&port=1&uploaded=0&downloaded=0&left=0", "info_hash"},
        {"info_hash=" HASH "&info_hash=" HASH "&peer_id=-PT0001-abcdefghijkl&port=1&uploaded=0&downloaded=0&left=0",
         "info_hash"},
        {"info_hash=%zz&peer_id=-PT0001-abcdefghijkl&port=1&uploaded=0&downloaded=0&left=0", "info_hash"},
        {"info_hash=" HASH "&peer_id=short&port=1&uploaded=0&downloaded=0&left=0", "peer_id"},
        {"info_hash=" HASH "&peer_id=-PT0001-abcdefghijkl&port=65536&uploaded=0&downloaded=0&left=0", "port"},
        {"info_hash=" HASH "&peer_id=-PT0001-abcdefghijkl&port=-1&uploaded=0&downloaded=0&left=0", "port"},
        {"info_hash=" HASH "&peer_id=-PT0001-abcdefghijkl&port=&uploaded=0&downloaded=0&left=0", "port"},
        {"info_hash=" HASH "&peer_id=-PT0001-abcdefghijkl&port=1&uploaded=-5&downloaded=0&left=0", "uploaded"},
        {"info_hash=" HASH "&peer_id=-PT0001-abcdefghijkl&port=1&uploaded=9223372036854775808&downloaded=0&left=0",
         "uploaded"},
        {"info_hash=" HASH "&peer_id=-PT0001-abcdefghijkl&port=1&uploaded=0&downloaded=1e3&left=0", "downloaded"},
        {"info_hash=" HASH "&peer_id=-PT0001-abcdefghijkl&port=1&uploaded=0&downloaded=+1&left=0", "downloaded"},
        {"info_hash=" HASH "&peer_id=-PT0001-abcdefghijkl&port=1&uploaded=0&downloaded=0&left=", "left"},
        {"info_hash=" HASH "&peer_id=-PT0001-abcdefghijkl&port=1&uploaded=0&downloaded=0&left=99999999999999999999",
         "left"},
        {GOOD "&numwant=many", "numwant"},
        {GOOD "&event=%4", "event"},
    };
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){0});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char target[1024];
        (void)snprintf(target, sizeof target, "/announce/%s?%s", daemon.owner, cases[i].query);
        expect_failure(&daemon, target, cases[i].named);
    }
    cr_assert_eq(database_int(&daemon, "SELECT count(*) FROM torrents"), 0, "a malformed announce stores nothing");
    daemon_stop(&daemon);
}

Test(http, odd_but_good_announces_are_taken)
{
    static const char *const cases[] = {
        GOOD "&event=started",
        GOOD "&event=",
        GOOD "&event=nonsense",
        GOOD "&EVENT=completed",
        GOOD "&numwant=",
        GOOD "&numwant=-1",
        GOOD "&numwant=0",
        GOOD "&compact=1",
        GOOD "&compact=",
        GOOD "&no_peer_id=1",
        GOOD "&ip=0.0.0.0",
        GOOD "&ip=nonsense",
        GOOD "&key=%00%01%ff%80zzzz",
        GOOD "&key=ABCDEF12",
        GOOD "&trackerid=x",
        GOOD "&corrupt=0",
        GOOD "&supportcrypto=1&redundant=0",
        GOOD "&&",
        "&" GOOD,
        GOOD "&unknown=%zz",
        GOOD "&port=70000",
        "%69nfo_hash=" HASH "&PEER_ID=-PT0001-abcdefghijkl&port=6881&uploaded=0&downloaded=0&left=9",
        "info_hash=" HASH "&peer_id=-PT0001-abcdefghijkl&port=0&uploaded=0&downloaded=0&left=9",
        "info_hash=" HASH "&peer_id=-PT0001-abcdefghijkl&port=6881&uploaded=00&downloaded=0&left=9223372036854775807",
        "info_hash=++++++++++%2b%2b%2b%2b%2b%2b%2b%2b%2b%2b&peer_id=-PT0001-abcdefghijkl&port=6881&uploaded=0&downloaded=0&left=9"};
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char target[1024];
        (void)snprintf(target, sizeof target, "/announce/%s?%s", daemon.owner, cases[i]);
        get(&daemon, &told, target);
        cr_assert_str_eq(told.failure, "", "%s: %s", cases[i], told.failure);
    }
    database_expect(&daemon, 1,
                    "SELECT count(*) FROM torrents WHERE info_hash = '2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b'");
    daemon_stop(&daemon);
}

Test(http, raw_info_hash_bytes_are_taken)
{
    struct daemon daemon;
    struct http_reply reply;
    struct told told;
    char request[1024];
    daemon_start(&daemon, &(struct daemon_options){0});
    static const char hash[] = "\x81\x92\xa3\xb4\xc5\xd6\xe7\xf8\x89\x9a\xab\xbc\xcd\xde\xef\xf0\x01\x12\x03\x14";
    int length = snprintf(
        request, sizeof request,
        "GET /announce/%s?info_hash=%s&peer_id=-PT0001-abcdefghijkl&port=1&uploaded=0&downloaded=0&left=9 HTTP/1.1\r\n"
        "Host: t\r\n\r\n",
        daemon.owner, hash);
    http_raw(&daemon, &reply, request, (size_t)length);
    cr_assert_eq(reply.status, 200);
    told_from_bencode(reply.body, reply.length, &told);
    cr_assert_str_eq(told.failure, "");
    daemon_stop(&daemon);
}

Test(http, only_get_and_head_and_known_paths)
{
    struct daemon daemon;
    struct http_reply reply;
    daemon_start(&daemon, &(struct daemon_options){0});
    expect_status(&daemon, 405, "POST /announce HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    expect_status(&daemon, 405, "DELETE /announce HTTP/1.1\r\nHost: t\r\n\r\n");
    expect_status(&daemon, 404, "GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    expect_status(&daemon, 404, "GET /elsewhere HTTP/1.1\r\nHost: t\r\n\r\n");
    expect_status(&daemon, 404, "GET /a/b/announce HTTP/1.1\r\nHost: t\r\n\r\n");
    expect_status(&daemon, 404, "GET /announcer?x=1 HTTP/1.1\r\nHost: t\r\n\r\n");
    expect_status(&daemon, 400, "GET /announce/%zz HTTP/1.1\r\nHost: t\r\n\r\n");
    http_rawf(&daemon, &reply, "HEAD /announce/%s?%s HTTP/1.1\r\nHost: t\r\n\r\n", daemon.owner, GOOD);
    cr_assert_eq(reply.status, 200);
    sleep_s(1.5);
    cr_assert_eq(database_int(&daemon, "SELECT count(*) FROM torrents"), 0, "HEAD changes nothing");
    daemon_stop(&daemon);
}

Test(http, malformed_requests_get_an_answer_at_once)
{
    static const char *const requests[] = {"nonsense\r\n\r\n",
                                           "GET\r\n\r\n",
                                           "GET /announce\r\n\r\n",
                                           "GET /announce HTTP/3.7\r\n\r\n",
                                           "GET /announce FTP/1.1\r\n\r\n",
                                           "GET announce HTTP/1.1\r\n\r\n",
                                           "GET /announce HTTP/1.1\r\nno colon here\r\n\r\n",
                                           "GET /announce HTTP/1.1\r\n: empty\r\n\r\n",
                                           "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
                                           "GET /announce HTTP/1.1\r\nContent-Length: -4\r\n\r\n",
                                           "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /announce HTTP/1.1\r\n\r\n"};
    struct daemon daemon;
    struct http_reply reply;
    daemon_start(&daemon, &(struct daemon_options){0});
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        double start = now_s();
        http_raw(&daemon, &reply, requests[i], strlen(requests[i]));
        cr_assert(reply.status >= 400 && reply.status < 506, "status %d for request %zu", reply.status, i);
        cr_assert(now_s() - start < 2, "request %zu waited", i);
    }
    daemon_stop(&daemon);
}

Test(http, keeps_alive_and_answers_pipelined_requests_in_order)
{
    enum { PIPELINED = 20 };
    struct daemon daemon;
    struct http_connection connection;
    struct http_reply reply;
    struct told told;
    char query[1024], request[4096];
    daemon_start(&daemon, &(struct daemon_options){0});
    http_open(&connection, &daemon, NULL);
    for (unsigned i = 0; i < PIPELINED; i++) {
        /* Torrents of both workers take turns; the ports tell the replies apart. */
        char torrent[16];
        (void)snprintf(torrent, sizeof torrent, "t%u", i);
        struct ask ask = {.passkey = daemon.owner, .torrent = torrent, .peer = "a", .left = i % 3};
        ask_query(&ask, query, sizeof query);
        int length =
            snprintf(request, sizeof request, "GET /announce/%s?%s HTTP/1.1\r\nHost: t\r\n\r\n", daemon.owner, query);
        http_send(&connection, request, (size_t)length);
    }
    for (unsigned i = 0; i < PIPELINED; i++) {
        cr_assert(http_receive(&connection, &reply, false), "reply %u does not come", i);
        told_from_bencode(reply.body, reply.length, &told);
        cr_assert_eq(told.complete, i % 3 == 0, "reply %u is another's", i);
    }
    cr_assert(!http_closes(&connection, 0.2), "the connection is kept");
    http_close(&connection);
    daemon_stop(&daemon);
}

Test(http, speaks_http_1_0_bare_lines_and_bytes_that_trickle)
{
    struct daemon daemon;
    struct http_reply reply;
    struct http_connection connection;
    char query[1024], request[2048];
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "old", .peer = "a"};
    ask_query(&ask, query, sizeof query);
    http_rawf(&daemon, &reply, "GET /announce/%s?%s HTTP/1.0\r\n\r\n", daemon.owner, query);
    cr_assert(reply.status == 200 && reply.closed);
    http_rawf(&daemon, &reply, "GET /announce/%s?%s HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", daemon.owner, query);
    cr_assert(reply.status == 200 && !reply.closed);
    http_rawf(&daemon, &reply, "GET /announce/%s?%s HTTP/1.1\nhost: t\n\n", daemon.owner, query);
    cr_assert(reply.status == 200 && !reply.closed);
    http_rawf(&daemon, &reply, "GET /announce/%s?%s HTTP/1.1\r\nCONNECTION: Close\r\n\r\n", daemon.owner, query);
    cr_assert(reply.status == 200 && reply.closed);

    int length =
        snprintf(request, sizeof request, "GET /announce/%s?%s HTTP/1.1\r\nHost: t\r\n\r\n", daemon.owner, query);
    http_open(&connection, &daemon, NULL);
    for (int i = 0; i < length; i++) {
        http_send(&connection, request + i, 1);
        if (i % 50 == 0)
            sleep_s(0.01);
    }
    cr_assert(http_receive(&connection, &reply, false));
    cr_assert_eq(reply.status, 200);
    http_close(&connection);
    daemon_stop(&daemon);
}

Test(http, takes_any_number_of_headers_within_the_limit)
{
    struct daemon daemon;
    struct http_reply reply;
    static char headers[32768];
    char query[1024];
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "headers", .peer = "a"};
    ask_query(&ask, query, sizeof query);
    for (size_t i = 0, length = 0; i < 300; i++)
        length += (size_t)snprintf(headers + length, sizeof headers - length, "X-Header-%zu: v\r\n", i);
    http_rawf(&daemon, &reply, "GET /announce/%s?%s HTTP/1.1\r\n%s\r\n", daemon.owner, query, headers);
    cr_assert_eq(reply.status, 200);

    memset(headers, 'a', 9000);
    headers[9000] = '\0';
    http_rawf(&daemon, &reply, "GET /announce/%s?%s HTTP/1.1\r\nX-Long: %s\r\n\r\n", daemon.owner, query, headers);
    cr_assert_eq(reply.status, 431);
    cr_assert(reply.closed);
    http_rawf(&daemon, &reply, "GET /announce/%s?%s&x=%s HTTP/1.1\r\n\r\n", daemon.owner, query, headers);
    cr_assert_eq(reply.status, 414);
    cr_assert(reply.closed);
    daemon_stop(&daemon);
}

Test(http, request_with_a_body_is_answered_and_closed)
{
    struct daemon daemon;
    struct http_reply reply;
    char query[1024];
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "body", .peer = "a"};
    ask_query(&ask, query, sizeof query);
    http_rawf(&daemon, &reply, "GET /announce/%s?%s HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", daemon.owner, query);
    cr_assert_eq(reply.status, 200);
    cr_assert(reply.closed);
    daemon_stop(&daemon);
}

Test(http, slow_and_idle_connections_are_closed)
{
    struct daemon daemon;
    struct http_connection slow, idle;
    struct http_reply reply;
    daemon_start(&daemon, &(struct daemon_options){.http = "read_timeout: 1s\nidle_timeout: 2s"});
    http_open(&slow, &daemon, NULL);
    http_open(&idle, &daemon, NULL);
    http_send(&slow, "GET /announce", 13);
    double start = now_s();
    (void)http_receive(&slow, &reply, false);
    cr_assert(http_closes(&slow, 4));
    cr_assert(now_s() - start < 3.5, "a slow request held for %.1f s", now_s() - start);
    cr_assert(http_closes(&idle, 5));
    cr_assert(now_s() - start > 1.5 && now_s() - start < 5, "idle for %.1f s", now_s() - start);
    http_close(&slow);
    http_close(&idle);
    daemon_stop(&daemon);
}

Test(http, further_connections_are_closed_at_once)
{
    struct daemon daemon;
    struct http_connection connections[4];
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){.workers = 1, .http = "max_connections: 3"});
    struct ask ask = {.passkey = daemon.owner, .torrent = "full", .peer = "a"};
    for (int i = 0; i < 3; i++) {
        http_open(&connections[i], &daemon, NULL);
        http_announce_on(&connections[i], &ask, &told);
    }
    http_open(&connections[3], &daemon, NULL);
    cr_assert(http_closes(&connections[3], 2));
    http_close(&connections[3]);
    http_close(&connections[0]);
    sleep_s(0.2);
    http_announce(&daemon, &ask, &told);
    cr_assert_str_eq(told.failure, "");
    daemon_stop(&daemon);
}

/* ------------------------------------------------------------ scrapes */

Test(http, scrape_tells_of_each_known_torrent)
{
    static const char *const torrents[] = {"one", "two", "unknown"};
    struct daemon daemon;
    struct told told;
    struct scraped scraped[3];
    char failure[256], target[1024];
    daemon_start(&daemon, &(struct daemon_options){.tracker = "min_announce_interval: 0s\nmax_scrape: 3"});
    struct ask ask = {.passkey = daemon.owner, .torrent = "one", .peer = "a"};
    http_announce(&daemon, &ask, &told);
    ask = (struct ask){.passkey = daemon.owner, .torrent = "two", .peer = "a", .left = 4};
    http_announce(&daemon, &ask, &told);
    ask.left = 0;
    ask.event = "completed";
    http_announce(&daemon, &ask, &told);
    http_scrape(&daemon, daemon.owner, torrents, 3, scraped, failure);
    cr_assert_str_eq(failure, "");
    cr_assert(scraped[0].known && scraped[0].complete == 1 && scraped[0].downloaded == 0 && scraped[0].incomplete == 0);
    cr_assert(scraped[1].known && scraped[1].complete == 1 && scraped[1].downloaded == 1 && scraped[1].incomplete == 0);
    cr_assert(!scraped[2].known);

    (void)snprintf(target, sizeof target, "/scrape/%s", daemon.owner);
    expect_failure(&daemon, target, "info_hash");
    (void)snprintf(target, sizeof target, "/%s/scrape?info_hash=abc", daemon.owner);
    expect_failure(&daemon, target, "info_hash");
    (void)snprintf(target, sizeof target, "/scrape?passkey=%s&info_hash=%s&info_hash=%s&info_hash=%s&info_hash=%s",
                   daemon.owner, HASH, HASH, HASH, HASH);
    expect_failure(&daemon, target, "too many");
    daemon_stop(&daemon);
}

/* ---------------------------------------------------- behind a proxy */

static void seen_as(const struct daemon *daemon, const char *headers, const char *address)
{
    struct http_reply reply;
    struct told told;
    char query[1024];
    struct ask ask = {.passkey = daemon->owner, .torrent = "proxied", .peer = "a"};
    ask_query(&ask, query, sizeof query);
    http_rawf(daemon, &reply, "GET /announce/%s?%s HTTP/1.1\r\nHost: t\r\n%s\r\n", daemon->owner, query, headers);
    cr_assert_eq(reply.status, 200, "status %d for %s", reply.status, headers);
    told_from_bencode(reply.body, reply.length, &told);
    cr_assert_str_eq(told.failure, "");
    cr_assert_str_eq(told.external_ip, address, "%s: seen as %s", headers, told.external_ip);
}

Test(http, address_comes_from_a_trusted_proxy)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){.http = "trusted_proxies: [127.0.0.1, 10.0.0.0/8]"});
    seen_as(&daemon, "", "127.0.0.1");
    seen_as(&daemon, "X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1");
    seen_as(&daemon, "x-forwarded-for: 192.0.2.9, 192.0.2.1\r\n", "192.0.2.1");
    seen_as(&daemon, "X-Forwarded-For: 192.0.2.9, 192.0.2.1, 10.2.3.4\r\n", "192.0.2.1");
    seen_as(&daemon, "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.1.1.1\r\n", "192.0.2.1");
    seen_as(&daemon, "X-Forwarded-For: 192.0.2.1:4711\r\n", "192.0.2.1");
    seen_as(&daemon, "X-Forwarded-For: [2001:db8::1]:4711\r\n", "2001:db8::1");
    seen_as(&daemon, "X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1");
    seen_as(&daemon, "X-Forwarded-For: ::ffff:192.0.2.5\r\n", "192.0.2.5");
    seen_as(&daemon, "X-Forwarded-For: 192.0.2.1, ,\r\n", "192.0.2.1");
    seen_as(&daemon, "X-Forwarded-For: 192.0.2.1, unknown\r\n", "127.0.0.1");
    seen_as(&daemon, "X-Forwarded-For: 10.9.9.9\r\n", "127.0.0.1");
    daemon_stop(&daemon);
}

Test(http, address_from_a_stranger_is_not_believed)
{
    struct daemon daemon;
    daemon_start(&daemon, &(struct daemon_options){.http = "trusted_proxies: [10.0.0.0/8]\nreal_ip_header: X-Real-IP"});
    seen_as(&daemon, "X-Real-IP: 192.0.2.1\r\n", "127.0.0.1");
    daemon_stop(&daemon);
}

static void through_proxy_protocol(const struct daemon *daemon, const char *header, size_t length, const char *address)
{
    struct http_connection connection;
    struct told told;
    struct ask ask = {.passkey = daemon->owner, .torrent = "proxied", .peer = "a"};
    http_open(&connection, daemon, NULL);
    http_send(&connection, header, length);
    for (int i = 0; i < 2; i++) {
        http_announce_on(&connection, &ask, &told);
        cr_assert_str_eq(told.failure, "");
        cr_assert_str_eq(told.external_ip, address, "seen as %s", told.external_ip);
    }
    http_close(&connection);
}

Test(http, proxy_protocol_tells_the_address)
{
    static const char v2[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x08\x12\x34\x01\xbb";
    static const char v2_six[] = "\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x27"
                                 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
                                 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x08"
                                 "\x12\x34\x01\xbb"
                                 "\x04\0\0";
    static const char v2_local[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    static const char *const v1[][2] = {{"PROXY TCP4 192.0.2.7 192.0.2.8 4660 443\r\n", "192.0.2.7"},
                                        {"PROXY TCP6 2001:db8::7 2001:db8::8 4660 443\r\n", "2001:db8::7"},
                                        {"PROXY UNKNOWN\r\n", "127.0.0.1"}};
    struct daemon daemon;
    struct http_reply reply;
    daemon_start(&daemon, &(struct daemon_options){.http = "trusted_proxies: [127.0.0.0/8]\nproxy_protocol: true"});
    for (size_t i = 0; i < 3; i++)
        through_proxy_protocol(&daemon, v1[i][0], strlen(v1[i][0]), v1[i][1]);
    through_proxy_protocol(&daemon, v2, sizeof v2 - 1, "192.0.2.7");
    through_proxy_protocol(&daemon, v2_six, sizeof v2_six - 1, "2001:db8::7");
    through_proxy_protocol(&daemon, v2_local, sizeof v2_local - 1, "127.0.0.1");
    http_rawf(&daemon, &reply, "GET /announce HTTP/1.1\r\nHost: t\r\n\r\n");
    cr_assert(reply.status == 400 && reply.closed, "a trusted proxy has to send the header");
    daemon_stop(&daemon);
}
