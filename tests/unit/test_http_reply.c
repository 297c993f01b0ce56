/* Tests of the HTTP replies, byte for byte. */
#include "http/reply.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static char buffer[REPLY_BUFFER_BYTES];
static const struct reply_head stays = {0};

/* What was written into `buffer`. */
static void reply_is(size_t written, const char *expected, size_t length)
{
    cr_expect_eq(written, length, "%zu bytes: %.*s", written, (int)written, buffer);
    cr_expect(written == length && memcmp(buffer, expected, length) == 0, "%.*s", (int)written, buffer);
}

/* A success with that body, and `more` behind the length among its headers. */
static void body_is(size_t written, const char *more, const char *body, size_t length)
{
    static char expected[REPLY_BUFFER_BYTES];
    int head = snprintf(expected, sizeof expected,
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%s\r\n", length, more);
    memcpy(expected + head, body, length);
    reply_is(written, expected, (size_t)head + length);
}

#define BODY_IS(reply, literal) body_is((reply), "", "" literal, sizeof(literal) - 1)
#define REPLY_IS(reply, literal) reply_is((reply), "" literal, sizeof(literal) - 1)

static uint8_t peers4[2 * ENDPOINT4_BYTES] = {192, 0, 2, 1, 0x1a, 0xe1, 192, 0, 2, 2, 0, 1};
static uint8_t peers6[ENDPOINT6_BYTES] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1, 0x1a, 0xe1};

static struct announce accepted(void)
{
    return (struct announce){
        .compact = true,
        .source = {.family = 4, .ip = {192, 0, 2, 9}, .port = 6881},
        .complete = 12,
        .incomplete = 3,
        .snatches = 4567,
        .interval_s = 1812,
        .min_interval_s = 900,
        .has_ipv4 = true,
        .peers4 = peers4,
        .peer4_count = 2,
    };
}

Test(http_reply, announce_holds_packed_peers)
{
    struct announce announce = accepted();
    BODY_IS(reply_announce(buffer, &stays, &announce),
            ""
            "d8:completei12e10:downloadedi4567e11:external ip4:\xc0\x00\x02\x09"
            "10:incompletei3e8:intervali1812e"
            "12:min intervali900e5:peers12:\xc0\x00\x02\x01\x1a\xe1\xc0\x00\x02\x02\x00\x01"
            "e");
}

Test(http_reply, announce_of_both_families_holds_both_lists_and_a_warning_last)
{
    struct announce announce = accepted();
    announce.source = (struct address){.family = 6, .ip = {0x20, 0x01, 0x0d, 0xb8, [15] = 9}};
    announce.min_interval_s = 0;
    announce.has_ipv6 = true;
    announce.peers6 = peers6;
    announce.peer6_count = 1;
    announce.warning = "careful";
    BODY_IS(reply_announce(buffer, &stays, &announce),
            ""
            "d8:completei12e10:downloadedi4567e11:external ip16:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09"
            "10:incompletei3e8:intervali1812e5:peers12:\xc0\x00\x02\x01\x1a\xe1\xc0\x00\x02\x02\x00\x01"
            "6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1"
            "15:warning message7:carefule");
}

Test(http_reply, peers_are_there_even_without_ipv4)
{
    struct announce announce = accepted();
    announce.has_ipv4 = false;
    announce.has_ipv6 = true;
    announce.peers4 = NULL;
    announce.peer4_count = 0;
    announce.verdict = VERDICT_EMPTY;
    BODY_IS(reply_announce(buffer, &stays, &announce),
            ""
            "d8:completei12e10:downloadedi4567e11:external ip4:\xc0\x00\x02\x09"
            "10:incompletei3e8:intervali1812e"
            "12:min intervali900e5:peers0:6:peers60:e");
}

Test(http_reply, list_of_dictionaries_holds_both_families)
{
    static struct peer_entry entries[2] = {
        {.address = {.family = 4, .ip = {192, 0, 2, 1}, .port = 6881}, .peer_id = "-XX0000-aaaaaaaaaaa\xff"},
        {.address = {.family = 6, .ip = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}, .port = 1},
         .peer_id = "-XX0000-bbbbbbbbbbbb"},
    };
    struct announce announce = accepted();
    announce.compact = false;
    announce.has_ipv6 = true;
    announce.entries = entries;
    announce.peer4_count = 1;
    announce.peer6_count = 1;
    BODY_IS(reply_announce(buffer, &stays, &announce),
            ""
            "d8:completei12e10:downloadedi4567e11:external ip4:\xc0\x00\x02\x09"
            "10:incompletei3e8:intervali1812e"
            "12:min intervali900e5:peersl"
            "d2:ip9:192.0.2.17:peer id20:-XX0000-aaaaaaaaaaa\xff"
            "4:porti6881ee"
            "d2:ip11:2001:db8::17:peer id20:-XX0000-bbbbbbbbbbbb4:porti1eeee");
    announce.no_peer_id = true;
    BODY_IS(reply_announce(buffer, &stays, &announce),
            ""
            "d8:completei12e10:downloadedi4567e11:external ip4:\xc0\x00\x02\x09"
            "10:incompletei3e8:intervali1812e"
            "12:min intervali900e5:peersld2:ip9:192.0.2.14:porti6881eed2:ip11:2001:db8::14:porti1eeee");
}

Test(http_reply, failure_holds_when_to_retry_only_where_that_helps)
{
    struct announce announce = {.verdict = VERDICT_REFUSED, .failure = "unknown passkey"};
    BODY_IS(reply_announce(buffer, &stays, &announce), "d14:failure reason15:unknown passkeye");
    announce.verdict = VERDICT_OVERLOAD;
    announce.failure = "busy";
    announce.retry_s = 61;
    BODY_IS(reply_announce(buffer, &stays, &announce), "d14:failure reason4:busy8:intervali61e8:retry ini2ee");
    BODY_IS(reply_failure(buffer, &stays, "x", 60), "d14:failure reason1:x8:intervali60e8:retry ini1ee");
}

Test(http_reply, long_text_is_cut_between_characters)
{
    static char reason[2 * REPLY_TEXT_MAX + 1];
    for (size_t i = 0; i < sizeof reason - 1; i++)
        reason[i] = i % 2 == 0 ? '\xc3' : '\xa4';
    reason[0] = 'x'; /* one byte, and all others out of step */
    memmove(reason + 1, reason + 2, sizeof reason - 2);
    size_t length = reply_failure(buffer, &stays, reason, 0);
    const char *body = strstr(buffer, "\r\n\r\n") + 4;
    cr_expect(strncmp(body, "d14:failure reason1023:x\xc3\xa4", 26) == 0, "%.40s", body);
    cr_expect_eq(buffer[length - 1], 'e');
    cr_expect_eq(memcmp(buffer + length - 3, "\xc3\xa4", 2), 0);
}

Test(http_reply, connection_is_told_where_it_is_not_the_versions_default)
{
    static const struct reply_head closes = {.closes = true};
    static const struct reply_head closes_http10 = {.closes = true, .is_http10 = true};
    static const struct reply_head stays_http10 = {.is_http10 = true};
    body_is(reply_failure(buffer, &closes, "x", 0), "Connection: close\r\n", "d14:failure reason1:xe", 22);
    body_is(reply_failure(buffer, &closes_http10, "x", 0), "Connection: close\r\n", "d14:failure reason1:xe", 22);
    body_is(reply_failure(buffer, &stays_http10, "x", 0), "Connection: keep-alive\r\n", "d14:failure reason1:xe", 22);
}

Test(http_reply, head_has_no_body)
{
    static const struct reply_head head = {.no_body = true, .closes = true};
    REPLY_IS(reply_status(buffer, &head, 404),
             "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 10\r\nConnection: close\r\n\r\n");
    REPLY_IS(reply_headers_only(buffer, &head),
             "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n");
}

Test(http_reply, status_has_its_name)
{
    REPLY_IS(reply_status(buffer, &stays, 405), "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\nContent-Type: "
                                                "text/plain\r\nContent-Length: 19\r\n\r\nMethod Not Allowed\n");
    REPLY_IS(reply_status(buffer, &stays, 431),
             "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: "
             "text/plain\r\nContent-Length: 32\r\n\r\nRequest Header Fields Too Large\n");
    REPLY_IS(reply_status(buffer, &stays, 400),
             "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nBad Request\n");
}

Test(http_reply, scrape_leaves_out_what_is_unknown)
{
    static uint8_t hashes[3][INFO_HASH_BYTES] = {"aaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbb",
                                                 "cccccccccccccccccccc"};
    static struct scrape_result results[3] = {{true, 1, 2, 3}, {.known = false}, {true, 4, 5, 6}};
    struct scrape scrape = {.count = 3, .info_hashes = hashes, .results = results};
    BODY_IS(reply_scrape(buffer, &stays, &scrape),
            "d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1e10:downloadedi3e10:incompletei2ee"
            "20:ccccccccccccccccccccd8:completei4e10:downloadedi6e10:incompletei5eeee");
    scrape.count = 0;
    BODY_IS(reply_scrape(buffer, &stays, &scrape), "d5:filesdee");
    scrape.verdict = VERDICT_REFUSED;
    scrape.failure = "unknown passkey";
    BODY_IS(reply_scrape(buffer, &stays, &scrape), "d14:failure reason15:unknown passkeye");
}

Test(http_reply, largest_replies_fit_the_buffer)
{
    static char exact[REPLY_BUFFER_BYTES];
    static struct peer_entry entries[REPLY_PEERS_MAX];
    for (size_t i = 0; i < REPLY_PEERS_MAX; i++) {
        entries[i].address = (struct address){.family = 6, .port = UINT16_MAX};
        memset(entries[i].address.ip, 0xee, 16);
        memset(entries[i].peer_id, 'p', PEER_ID_BYTES);
    }
    struct announce announce = accepted();
    announce.compact = false;
    announce.entries = entries;
    announce.peer4_count = 500;
    announce.peer6_count = 500;
    static char text[2 * REPLY_TEXT_MAX];
    memset(text, 'w', sizeof text - 1);
    announce.warning = text;
    size_t length = reply_announce(exact, &stays, &announce);
    cr_expect_gt(length, 80000);
    cr_expect_leq(length, sizeof exact);

    static uint8_t hashes[SCRAPE_MAX][INFO_HASH_BYTES];
    static struct scrape_result results[SCRAPE_MAX];
    for (size_t i = 0; i < SCRAPE_MAX; i++)
        results[i] = (struct scrape_result){true, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    struct scrape scrape = {.count = SCRAPE_MAX, .info_hashes = hashes, .results = results};
    length = reply_scrape(exact, &stays, &scrape);
    cr_expect_gt(length, 80000);
    cr_expect_leq(length, sizeof exact);
}
