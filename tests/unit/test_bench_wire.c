/* Tests of what the generators write, and of how they read answers. */
#include "bench/http_reply.h"
#include "bench/http_request.h"
#include "bench/udp_packet.h"

#include <criterion/criterion.h>
#include <string.h>

static const char tail[] = " HTTP/1.1\r\n\r\n";

static struct peer_announce said = {
    .info_hash = {0, 'A', 'z', '5', '-', '%', 255},
    .peer_id = "-qB4630-0123456789ab",
    .uploaded = 18446744073709551615U,
    .downloaded = 0,
    .left = 1234567890123,
    .key = 0xabc,
    .port = 6881,
    .event = EVENT_STARTED,
    .passkey = {.length = 3, .text = "key"},
};

static void expect_request(const struct http_request_facts *facts, bool scrape, const char *expected)
{
    char text[HTTP_REQUEST_MAX];
    size_t length = scrape ? http_write_scrape(text, facts) : http_write_announce(text, facts);
    text[length] = '\0';
    cr_expect_str_eq(text, expected);
}

#define REST                                                                                                \
    "info_hash=%00Az5-%25%ff%00%00%00%00%00%00%00%00%00%00%00%00%00&peer_id=-qB4630-0123456789ab&port=6881" \
    "&uploaded=18446744073709551615&downloaded=0&left=1234567890123&key=00000ABC"

Test(bench_http_request, announce_has_the_three_forms)
{
    struct http_request_facts facts = {
        .announce = &said, .numwant = 30, .form = FORM_QUERY, .tail = tail, .tail_length = sizeof tail - 1};
    expect_request(&facts, false,
                   "GET /announce?passkey=key&" REST
                   "&event=started&numwant=30&compact=1&no_peer_id=1 HTTP/1.1\r\n\r\n");
    facts.form = FORM_PATH;
    facts.numwant = -1;
    said.event = EVENT_NONE;
    expect_request(&facts, false, "GET /key/announce?" REST "&compact=1&no_peer_id=1 HTTP/1.1\r\n\r\n");
    facts.form = FORM_ANNOUNCE_PATH;
    said.event = EVENT_STOPPED;
    expect_request(&facts, false, "GET /announce/key?" REST "&event=stopped&compact=1&no_peer_id=1 HTTP/1.1\r\n\r\n");
}

Test(bench_http_request, scrape_holds_all_hashes)
{
    uint8_t hashes[2][INFO_HASH_BYTES];
    memset(hashes[0], 'a', INFO_HASH_BYTES);
    memset(hashes[1], 'b', INFO_HASH_BYTES);
    struct http_request_facts facts = {.announce = &said,
                                       .form = FORM_QUERY,
                                       .tail = tail,
                                       .tail_length = sizeof tail - 1,
                                       .hashes = hashes,
                                       .hash_count = 2};
    expect_request(&facts, true,
                   "GET /scrape?passkey=key&info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash="
                   "bbbbbbbbbbbbbbbbbbbb HTTP/1.1\r\n\r\n");
}

Test(bench_udp_packet, announce_is_laid_out_as_bep_15_and_41_say)
{
    uint8_t packet[UDP_PACKET_MAX];
    uint64_t id;
    memcpy(&id, "12345678", sizeof id);
    struct udp_announce_facts facts = {
        .connection_id = id, .transaction = 0x01020304, .announce = &said, .numwant = -1, .form = FORM_QUERY};
    size_t length = udp_write_announce(packet, &facts);
    cr_assert_eq(length, 98 + 2 + 21);
    cr_expect_eq(memcmp(packet, "12345678\0\0\0\1\1\2\3\4", 16), 0);
    cr_expect_eq(memcmp(packet + 16, said.info_hash, 20), 0);
    cr_expect_eq(memcmp(packet + 36, said.peer_id, 20), 0);
    cr_expect_eq(memcmp(packet + 56, "\0\0\0\0\0\0\0\0", 8), 0, "downloaded");
    cr_expect_eq(memcmp(packet + 64, "\0\0\1\x1f\x71\xfb\x04\xcb", 8), 0, "left");
    cr_expect_eq(memcmp(packet + 72, "\xff\xff\xff\xff\xff\xff\xff\xff", 8), 0, "uploaded");
    cr_expect_eq(memcmp(packet + 80, "\0\0\0\2\0\0\0\0\0\0\x0a\xbc\xff\xff\xff\xff\x1a\xe1", 18), 0);
    cr_expect_eq(memcmp(packet + 98, "\2\x15/announce?passkey=key", 23), 0);
}

Test(bench_udp_packet, longest_passkey_fits_in_every_form)
{
    uint8_t packet[UDP_PACKET_MAX];
    said.passkey.length = PASSKEY_MAX;
    memset(said.passkey.text, 'k', PASSKEY_MAX);
    for (int form = FORM_QUERY; form < FORM_MIXED; form++) {
        struct udp_announce_facts facts = {.announce = &said, .form = (enum passkey_form)form};
        size_t length = udp_write_announce(packet, &facts);
        cr_expect_leq(length, UDP_PACKET_MAX);
        cr_expect_eq(packet[99], length - 100);
    }
}

static enum http_result parse(struct http_reply *reply, const char *text, bool ended)
{
    return http_reply_parse(reply, text, strlen(text), ended);
}

Test(bench_http_reply, whole_answer_is_found_in_a_row_of_answers)
{
    struct http_reply reply;
    const char *text = "HTTP/1.1 200 OK\r\ncontent-LENGTH:  5\r\nX: y\r\n\r\nhelloHTTP/1.1 404 Not";
    cr_assert_eq(parse(&reply, text, false), HTTP_WHOLE);
    cr_expect_eq(reply.status, 200);
    cr_expect_not(reply.closes);
    cr_expect_eq(reply.body_length, 5);
    cr_expect_eq(memcmp(reply.body, "hello", 5), 0);
    cr_expect_eq(memcmp(text + reply.length, "HTTP/1.1 404", 12), 0);
}

Test(bench_http_reply, every_shorter_piece_is_partial)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    struct http_reply reply;
    for (size_t length = 0; length + 1 < sizeof text; length++) {
        cr_expect_eq(http_reply_parse(&reply, text, length, false), HTTP_PARTIAL, "%zu bytes", length);
        cr_expect_eq(http_reply_parse(&reply, text, length, true), HTTP_BROKEN, "%zu bytes", length);
    }
}

Test(bench_http_reply, closing_is_seen)
{
    struct http_reply reply;
    cr_expect_eq(parse(&reply, "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n", false), HTTP_WHOLE);
    cr_expect(reply.closes);
    cr_expect_eq(parse(&reply, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false), HTTP_WHOLE);
    cr_expect(reply.closes);
    cr_expect_eq(parse(&reply, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", false),
                 HTTP_WHOLE);
    cr_expect_not(reply.closes);
}

Test(bench_http_reply, answer_without_a_length_ends_with_the_connection)
{
    struct http_reply reply;
    cr_expect_eq(parse(&reply, "HTTP/1.1 200 OK\r\n\r\nbody", false), HTTP_PARTIAL);
    cr_expect_eq(parse(&reply, "HTTP/1.1 200 OK\r\n\r\nbody", true), HTTP_WHOLE);
    cr_expect_eq(reply.body_length, 4);
}

Test(bench_http_reply, what_is_no_answer_is_broken)
{
    static const char *const bad[] = {
        "FTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    };
    struct http_reply reply;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(parse(&reply, bad[i], false), HTTP_BROKEN, "%s", bad[i]);
}

static int parse_body(struct tracker_reply *reply, const char *body)
{
    return tracker_reply_parse(reply, body, strlen(body));
}

Test(bench_tracker_reply, peers_of_both_families_are_counted)
{
    struct tracker_reply reply;
    cr_expect_eq(parse_body(&reply,
                            "d8:completei1e11:external ip4:abcd8:intervali1800e5:peers12:abcdefghijkl6:peers618:"
                            "abcdefghijklmnopqre"),
                 0);
    cr_expect_null(reply.failure);
    cr_expect_eq(reply.peers, 3);
}

Test(bench_tracker_reply, peers_in_a_list_are_counted)
{
    struct tracker_reply reply;
    cr_expect_eq(parse_body(&reply, "d5:peersld2:ip9:127.0.0.14:porti1eed2:ip9:127.0.0.14:porti2eeee"), 0);
    cr_expect_eq(reply.peers, 2);
}

Test(bench_tracker_reply, failure_is_told)
{
    struct tracker_reply reply;
    cr_expect_eq(parse_body(&reply, "d14:failure reason15:unknown passkeye"), 0);
    cr_assert_not_null(reply.failure);
    cr_expect_eq(reply.failure_length, 15);
}

Test(bench_tracker_reply, broken_bencode_is_refused)
{
    static const char *const bad[] = {
        "",
        "d",
        "e",
        "le",
        "i1e",
        "d5:peers",
        "d5:peers12:abce",
        "d5:peersi1",
        "d5:peersle",
        "d5:peers0:ee",
        "d5:peers0:",
        "d99999999999999:xe",
        "d-1:xe",
        "d1:xlllllllllllllllllllleeeeeeeeeeeeeeeeeeeee",
        "d1:x",
        "d:0:e",
        "di1ei2ee",
    };
    struct tracker_reply reply;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_lt(parse_body(&reply, bad[i]), 0, "'%s'", bad[i]);
}
