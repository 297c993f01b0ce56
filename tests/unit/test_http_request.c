/* Tests of the HTTP request parser, each case also cut at every byte. */
#include "http/request.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct request_rules plain = {.max_bytes = 256};

/* Parses what is in memory of exactly that size, so that a sanitizer sees any look behind its end. */
static enum request_state parse_exactly(struct request *request, const char *text, size_t length,
                                        const struct request_rules *rules)
{
    char *copy = malloc(length > 0 ? length : 1);
    cr_assert_not_null(copy);
    memcpy(copy, text, length);
    enum request_state state = request_parse(request, copy, length, rules);
    free(copy);
    return state;
}

static bool is_same(const struct request *a, const struct request *b)
{
    return a->length == b->length && a->path_at == b->path_at && a->path_length == b->path_length &&
           a->query_at == b->query_at && a->query_length == b->query_length && a->method == b->method &&
           a->is_http10 == b->is_http10 && a->says_close == b->says_close && a->says_keep_alive == b->says_keep_alive &&
           a->has_body == b->has_body && address_same_ip(&a->forwarded, &b->forwarded);
}

/* Parses it whole, in two pieces cut at every byte, and byte for byte: all must give the same. */
static enum request_state parse_all_ways(struct request *request, const char *text, size_t length,
                                         const struct request_rules *rules)
{
    request_begin(request);
    enum request_state whole = parse_exactly(request, text, length, rules);
    for (size_t cut = 0; cut <= length; cut++) {
        struct request pieces;
        request_begin(&pieces);
        enum request_state state = parse_exactly(&pieces, text, cut, rules);
        if (state == REQUEST_INCOMPLETE)
            state = parse_exactly(&pieces, text, length, rules);
        cr_expect_eq(state, whole, "cut at %zu of: %.40s", cut, text);
        if (whole == REQUEST_COMPLETE)
            cr_expect(is_same(&pieces, request), "cut at %zu of: %.40s", cut, text);
        if (whole == REQUEST_BAD)
            cr_expect_eq(pieces.status, request->status, "cut at %zu of: %.40s", cut, text);
    }
    struct request bytes;
    request_begin(&bytes);
    enum request_state state = REQUEST_INCOMPLETE;
    for (size_t at = 1; at <= length && state == REQUEST_INCOMPLETE; at++)
        state = parse_exactly(&bytes, text, at, rules);
    cr_expect_eq(state, whole, "byte for byte: %.40s", text);
    return whole;
}

/* Puts a text into the middle of bytes, without its end. */
static void overwrite(char *to, const char *text)
{
    while (*text != '\0')
        *to++ = *text++;
}

static struct request complete(const char *text)
{
    struct request request;
    cr_expect_eq(parse_all_ways(&request, text, strlen(text), &plain), REQUEST_COMPLETE, "%s", text);
    return request;
}

static void bad(const char *text, uint16_t status)
{
    struct request request;
    cr_expect_eq(parse_all_ways(&request, text, strlen(text), &plain), REQUEST_BAD, "%s", text);
    cr_expect_eq(request.status, status, "%d for %s", request.status, text);
}

static void has_target(const char *text, const char *path, const char *query)
{
    struct request request = complete(text);
    cr_expect_eq(request.path_length, strlen(path), "%s", text);
    cr_expect_eq(memcmp(text + request.path_at, path, strlen(path)), 0, "%s", text);
    cr_expect_eq(request.query_length, strlen(query), "%s", text);
    cr_expect_eq(memcmp(text + request.query_at, query, strlen(query)), 0, "%s", text);
}

Test(http_request, target_is_split_at_its_question_mark)
{
    has_target("GET /a?b=c HTTP/1.1\r\n\r\n", "/a", "b=c");
    has_target("GET /a HTTP/1.1\r\n\r\n", "/a", "");
    has_target("GET /a? HTTP/1.1\r\n\r\n", "/a", "");
    has_target("GET /a?b?c HTTP/1.1\r\n\r\n", "/a", "b?c");
    has_target("GET /? HTTP/1.1\r\nHost: [::1]\r\n\r\n", "/", "");
}

Test(http_request, absolute_target_is_taken)
{
    has_target("GET http://tracker.example:80/a?b HTTP/1.1\r\n\r\n", "/a", "b");
    has_target("GET HTTPS://[2001:db8::1]/a HTTP/1.1\r\n\r\n", "/a", "");
    has_target("GET http://x HTTP/1.1\r\n\r\n", "", "");
    has_target("GET http://x?y HTTP/1.1\r\n\r\n", "", "y");
}

Test(http_request, raw_bytes_of_an_info_hash_are_taken)
{
    has_target("GET /a?info_hash=\x01\x1f\x7f\x80\xff\" HTTP/1.1\r\n\r\n", "/a", "info_hash=\x01\x1f\x7f\x80\xff\"");
}

Test(http_request, bare_line_feeds_and_one_empty_line_before_are_taken)
{
    has_target("GET /a HTTP/1.1\nHost: x\n\n", "/a", "");
    has_target("\r\nGET /a HTTP/1.1\r\n\r\n", "/a", "");
    has_target("\nGET /a HTTP/1.1\r\n\n", "/a", "");
}

Test(http_request, length_ends_before_what_follows)
{
    static const char text[] = "GET /a HTTP/1.1\r\nA: b\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
    struct request request;
    request_begin(&request);
    cr_expect_eq(request_parse(&request, text, sizeof text - 1, &plain), REQUEST_COMPLETE);
    cr_expect_eq(request.length, strstr(text, "GET /b") - text);
}

Test(http_request, methods_are_told_apart_by_their_exact_name)
{
    cr_expect_eq(complete("GET / HTTP/1.1\r\n\r\n").method, METHOD_GET);
    cr_expect_eq(complete("HEAD / HTTP/1.1\r\n\r\n").method, METHOD_HEAD);
    static const char *others[] = {"get / HTTP/1.1\r\n\r\n", "POST / HTTP/1.1\r\n\r\n", "GETS / HTTP/1.1\r\n\r\n",
                                   "OPTIONS * HTTP/1.1\r\n\r\n", "CONNECT host:1 HTTP/1.1\r\n\r\n"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_expect_eq(complete(others[i]).method, METHOD_OTHER, "%s", others[i]);
}

Test(http_request, malformed_request_line_is_bad_at_its_end)
{
    static const char *lines[] = {
        "GARBAGE\r\n",
        "GET\r\n",
        "GET \r\n",
        "GET /a\r\n",
        "GET /a \r\n",
        "GET  /a HTTP/1.1\r\n",
        "GET /a  HTTP/1.1\r\n",
        "GET /a b HTTP/1.1\r\n",
        "GET /a HTTP/1.1 \r\n",
        "GET /a http/1.1\r\n",
        "GET /a HTTP/1\r\n",
        "GET /a HTTP/1.\r\n",
        "GET /a HTTP/11\r\n",
        "GET /a HTTP/1.11\r\n",
        "GET /a XTTP/1.1\r\n",
        "GET a HTTP/1.1\r\n",
        "GET * HTTP/1.1\r\n",
        "GET ftp://x/a HTTP/1.1\r\n",
        "GET http:///a HTTP/1.1\r\n",
        "G\tET /a HTTP/1.1\r\n",
        "(GET) /a HTTP/1.1\r\n",
        "GET /a\rHTTP/1.1\r\n",
        "GET /a HTTP/1.1\r\r\n",
        " GET /a HTTP/1.1\r\n",
        "\r\n\r\n",
        "\n\n",
        "\r\n\n",
        "PROXY UNKNOWN\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        bad(lines[i], 400);
}

Test(http_request, first_byte_of_no_method_is_bad_before_the_line_ends)
{
    bad("\x16", 400);
    bad("\x80", 400);
    bad("\rG", 400);
    bad("{", 400);
    struct request request;
    request_begin(&request);
    cr_expect_eq(request_parse(&request, "\0", 1, &plain), REQUEST_BAD);
}

Test(http_request, other_major_version_is_refused_by_number)
{
    bad("GET / HTTP/2.0\r\n", 505);
    bad("PRI * HTTP/2.0\r\n", 505);
    bad("GET / HTTP/0.9\r\n", 505);
    cr_expect_not(complete("GET / HTTP/1.9\r\n\r\n").is_http10);
    cr_expect(complete("GET / HTTP/1.0\r\n\r\n").is_http10);
}

Test(http_request, malformed_header_is_bad)
{
    static const char *headers[] = {
        "Name\r\n",
        ": value\r\n",
        "Name : value\r\n",
        "Na me: value\r\n",
        " folded\r\n",
        "A: b\r\n\tfolded\r\n",
        "A: b\rc\r\n",
        "N\xe4me: value\r\n",
        "Content-Length: \r\n",
        "Content-Length: 1x\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 1, 1\r\n",
        "A: b\r\r\n",
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "GET / HTTP/1.1\r\n%s", headers[i]);
        bad(text, 400);
    }
}

Test(http_request, zero_byte_is_bad_wherever_it_stands)
{
    static const char good[] = "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n";
    for (size_t at = 0; at < sizeof good - 1; at++) {
        char text[sizeof good];
        memcpy(text, good, sizeof good);
        text[at] = '\0';
        struct request request;
        if (text[at + 1] == '\n' || good[at] == '\n')
            continue; /* part of a line's end */
        cr_expect_eq(parse_all_ways(&request, text, sizeof good - 1, &plain), REQUEST_BAD, "%zu", at);
    }
}

Test(http_request, keep_alive_follows_version_and_connection)
{
    static const struct {
        const char *text;
        bool keeps;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nCONNECTION:CLOSE\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nConnection: TE ,\t close , x\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nConnection: closed\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: x\r\nConnection: keep-alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nConnection: ,, ,\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nConnections: close\r\n\r\n", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct request request = complete(cases[i].text);
        cr_expect_eq(request_keeps_alive(&request), cases[i].keeps, "%s", cases[i].text);
    }
}

Test(http_request, body_is_announced_by_length_or_transfer_encoding)
{
    cr_expect_not(complete("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n").has_body);
    cr_expect_not(complete("GET / HTTP/1.1\r\nContent-Length: 000\r\n\r\n").has_body);
    static const char *bodies[] = {
        "Content-Length: 1\r\n",
        "content-length: 99999999999999999999999\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 0\r\n",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "GET / HTTP/1.1\r\n%s\r\n", bodies[i]);
        struct request request = complete(text);
        cr_expect(request.has_body, "%s", bodies[i]);
        cr_expect_not(request_keeps_alive(&request), "%s", bodies[i]);
    }
}

Test(http_request, expect_and_unknown_headers_are_passed_over)
{
    struct request request = complete("GET / HTTP/1.1\r\nExpect: 100-continue\r\nX-Empty:\r\nX: \x80\xff\r\n\r\n");
    cr_expect(request_keeps_alive(&request));
}

Test(http_request, any_number_of_headers_fits_within_the_limit)
{
    char text[4096] = "GET / HTTP/1.1\r\n";
    for (int i = 0; i < 500; i++)
        (void)strlcat(text, "A:b\r\n", sizeof text);
    (void)strlcat(text, "\r\n", sizeof text);
    struct request_rules rules = {.max_bytes = (uint32_t)strlen(text)};
    struct request request;
    cr_expect_eq(parse_all_ways(&request, text, strlen(text), &rules), REQUEST_COMPLETE);
    rules.max_bytes--;
    cr_expect_eq(parse_all_ways(&request, text, strlen(text), &rules), REQUEST_BAD);
    cr_expect_eq(request.status, 431);
}

Test(http_request, too_long_a_request_line_gets_414_and_headers_431)
{
    char text[600];
    memset(text, 'x', sizeof text);
    overwrite(text, "GET /");
    struct request request;
    cr_expect_eq(parse_all_ways(&request, text, sizeof text, &plain), REQUEST_BAD);
    cr_expect_eq(request.status, 414);
    text[255] = '\n'; /* the line's end is the last byte that fits */
    overwrite(text + 246, " HTTP/1.1");
    cr_expect_eq(parse_all_ways(&request, text, sizeof text, &plain), REQUEST_BAD);
    cr_expect_eq(request.status, 431);
    overwrite(text, "GET / HTTP/1.1\r\nA: ");
    cr_expect_eq(parse_all_ways(&request, text, sizeof text, &plain), REQUEST_BAD);
    cr_expect_eq(request.status, 431);
}

Test(http_request, limit_made_smaller_in_the_middle_is_no_fault)
{
    struct request_rules rules = {.max_bytes = 256};
    struct request request;
    request_begin(&request);
    static const char text[] = "GET /a?0123456789012345678901234567890123456789 HTTP/1.1\r\nA: b\r\n\r\n";
    cr_expect_eq(request_parse(&request, text, 40, &rules), REQUEST_INCOMPLETE);
    rules.max_bytes = 16;
    cr_expect_eq(request_parse(&request, text, sizeof text - 1, &rules), REQUEST_BAD);
    cr_expect_eq(request.status, 414);
}

Test(http_request, forwarded_header_is_read_where_it_is_to_be_believed)
{
    static const struct network trusted = {.address = {.family = 4, .ip = {10}}, .prefix = 8};
    const struct request_rules rules = {.max_bytes = 256,
                                        .real_ip_header = "X-Real",
                                        .real_ip_header_length = 6,
                                        .trusted = &trusted,
                                        .trusted_count = 1};
    static const char text[] = "GET / HTTP/1.1\r\nx-REAL: 192.0.2.1\r\nX-Real: 192.0.2.2, 10.0.0.1\r\nX-Real:\r\n\r\n";
    struct request request;
    cr_expect_eq(parse_all_ways(&request, text, sizeof text - 1, &rules), REQUEST_COMPLETE);
    cr_expect_eq(request.forwarded.family, 4);
    cr_expect_eq(request.forwarded.ip[3], 2);
    cr_expect_eq(parse_all_ways(&request, text, sizeof text - 1, &plain), REQUEST_COMPLETE);
    cr_expect_eq(request.forwarded.family, 0);
}
