/* Tests of the parameters of announce and scrape. */
#include "http/query.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH "info_hash=aaaaaaaaaaaaaaaaaaaa"
#define REQUIRED HASH "&peer_id=-XX0000-bbbbbbbbbbbb&port=6881&uploaded=1&downloaded=2&left=3"

static struct announce announce;
static struct route route;

/* Reads a query that lies in memory of exactly its size. */
static const char *read_bytes(const char *path, const char *query, size_t length)
{
    char *copy = malloc(length > 0 ? length : 1);
    cr_assert_not_null(copy);
    memcpy(copy, query, length);
    memset(&announce, 0x55, sizeof announce);
    announce.source = (struct address){.family = 4, .ip = {192, 0, 2, 1}};
    route_parse_path(&route, path, strlen(path), false);
    const char *fault = query_read_announce(&announce, &route, copy, length);
    free(copy);
    return fault;
}

static const char *read_query(const char *query)
{
    return read_bytes("/announce/key", query, strlen(query));
}

static void good(const char *more)
{
    char query[512];
    (void)snprintf(query, sizeof query, "%s%s", REQUIRED, more);
    const char *fault = read_query(query);
    cr_expect_null(fault, "%s: %s", more, fault);
}

static void fault_is(const char *query, const char *expected)
{
    const char *fault = read_query(query);
    cr_assert_not_null(fault, "%s", query);
    cr_expect_str_eq(fault, expected, "%s: %s", query, fault);
}

/* Replaces the value of one parameter among the required ones, and expects that fault. */
static void value_is_fault(const char *name, const char *value, const char *expected)
{
    char query[512] = "";
    static const char *required[][2] = {{"info_hash", "aaaaaaaaaaaaaaaaaaaa"},
                                        {"peer_id", "bbbbbbbbbbbbbbbbbbbb"},
                                        {"port", "1"},
                                        {"uploaded", "1"},
                                        {"downloaded", "1"},
                                        {"left", "1"}};
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        if (strcmp(required[i][0], name) != 0)
            (void)snprintf(query + strlen(query), sizeof query - strlen(query), "%s=%s&", required[i][0],
                           required[i][1]);
    }
    if (value != NULL)
        (void)snprintf(query + strlen(query), sizeof query - strlen(query), "%s=%s", name, value);
    fault_is(query, expected);
}

Test(http_query, whole_announce_is_read)
{
    cr_expect_null(
        read_query("info_hash=%00%01%fF%20%2b+~bcdefghijklmn&peer_id=-qB4630-%ff0123456789A&port=51413&uploaded=0&"
                   "downloaded=9223372036854775807&left=00017&key=1A2b&event=started&numwant=80&compact=1&"
                   "no_peer_id=1&supportcrypto=1&redundant=0&corrupt=0&trackerid=%20x"));
    cr_expect_eq(memcmp(announce.info_hash, "\0\1\xff\x20++~bcdefghijklmn", 20), 0);
    cr_expect_eq(memcmp(announce.peer_id,
                        "-qB4630-\xff"
                        "0123456789A",
                        20),
                 0);
    cr_expect_eq(announce.source.port, 51413);
    cr_expect_eq(announce.uploaded, 0);
    cr_expect_eq(announce.downloaded, COUNTER_MAX);
    cr_expect_eq(announce.left, 17);
    cr_expect_eq(announce.key, 0x1a2b);
    cr_expect_eq(announce.event, EVENT_STARTED);
    cr_expect_eq(announce.numwant, 80);
    cr_expect(announce.compact);
    cr_expect(announce.no_peer_id);
    cr_expect_eq(announce.claimed.family, 0);
    cr_expect_eq(announce.passkey_length, 3);
    cr_expect_eq(memcmp(announce.passkey, "key", 3), 0);
}

Test(http_query, what_is_left_out_has_its_default)
{
    good("");
    cr_expect_eq(announce.key, 0);
    cr_expect_eq(announce.event, EVENT_NONE);
    cr_expect_eq(announce.numwant, NUMWANT_DEFAULT);
    cr_expect(announce.compact);
    cr_expect_not(announce.no_peer_id);
    cr_expect_eq(announce.claimed.family, 0);
}

Test(http_query, names_are_read_without_case_and_escapes_and_unknown_ones_ignored)
{
    cr_expect_null(read_query("&&INFO_HASH=aaaaaaaaaaaaaaaaaaaa&%50eer_id=bbbbbbbbbbbbbbbbbbbb&Port=1&uPLOADED=2&"
                              "downloade%64=3&left=4&ip=%zz&unknown=%&%=1&info%5fhashes=x&=&left2=x"));
    cr_expect_eq(announce.source.port, 1);
    cr_expect_eq(announce.downloaded, 3);
}

Test(http_query, first_of_a_repeated_parameter_counts_but_a_second_info_hash_is_a_fault)
{
    good("&left=99&left=x&port=%");
    cr_expect_eq(announce.left, 3);
    fault_is(REQUIRED "&" HASH, "info_hash given twice");
}

Test(http_query, missing_required_parameter_is_named)
{
    value_is_fault("info_hash", NULL, "info_hash missing");
    value_is_fault("peer_id", NULL, "peer_id missing");
    value_is_fault("port", NULL, "port missing");
    value_is_fault("uploaded", NULL, "uploaded missing");
    value_is_fault("downloaded", NULL, "downloaded missing");
    value_is_fault("left", NULL, "left missing");
    fault_is("", "info_hash missing");
}

Test(http_query, bad_values_are_named)
{
    static const char *counters[] = {"uploaded", "downloaded", "left"};
    static const char *not_counts[] = {"",
                                       "-1",
                                       "+1",
                                       "1.5",
                                       "0x1",
                                       "1 ",
                                       "%201",
                                       "9223372036854775808",
                                       "18446744073709551616",
                                       "99999999999999999999999999999999999999999",
                                       "one"};
    for (size_t i = 0; i < 3; i++) {
        char expected[128];
        (void)snprintf(expected, sizeof expected, "%s is not a whole number from 0 to 9223372036854775807",
                       counters[i]);
        for (size_t j = 0; j < sizeof not_counts / sizeof not_counts[0]; j++)
            value_is_fault(counters[i], not_counts[j], expected);
    }
    static const char *not_ports[] = {"", "-1", "65536", "99999999999999999999", "http"};
    for (size_t i = 0; i < sizeof not_ports / sizeof not_ports[0]; i++)
        value_is_fault("port", not_ports[i], "port is not a whole number from 0 to 65535");
    value_is_fault("info_hash", "", "info_hash is not 20 bytes long");
    value_is_fault("info_hash", "aaaaaaaaaaaaaaaaaaa", "info_hash is not 20 bytes long");
    value_is_fault("info_hash", "aaaaaaaaaaaaaaaaaaaaa", "info_hash is not 20 bytes long");
    value_is_fault("info_hash", "0123456789012345678901234567890123456789", "info_hash is not 20 bytes long");
    value_is_fault("peer_id", "short", "peer_id is not 20 bytes long");
    fault_is(REQUIRED "&numwant=many", "numwant is not a whole number");
    fault_is(REQUIRED "&numwant=-", "numwant is not a whole number");
    fault_is(REQUIRED "&numwant=1.0", "numwant is not a whole number");
    fault_is(REQUIRED "&corrupt=-1", "corrupt is not a whole number from 0 to 9223372036854775807");
}

Test(http_query, bad_escape_in_a_known_parameter_is_named)
{
    static const char *known[] = {"info_hash", "peer_id", "port", "uploaded", "downloaded", "left"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char expected[64];
        (void)snprintf(expected, sizeof expected, "%s has a bad %% escape", known[i]);
        value_is_fault(known[i], "%4", expected);
        value_is_fault(known[i], "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%zz", expected);
    }
    static const char *optional[] = {"event",     "compact", "no_peer_id", "numwant", "key",
                                     "trackerid", "corrupt", "ipv4",       "ipv6"};
    for (size_t i = 0; i < sizeof optional / sizeof optional[0]; i++) {
        char query[256];
        char expected[64];
        (void)snprintf(query, sizeof query, REQUIRED "&%s=1%%", optional[i]);
        (void)snprintf(expected, sizeof expected, "%s has a bad %% escape", optional[i]);
        fault_is(query, expected);
    }
}

Test(http_query, encoded_digits_are_digits)
{
    good("&numwant=%31%32&key=%61b");
    cr_expect_eq(announce.numwant, 12);
    cr_expect_eq(announce.key, 0xab);
}

Test(http_query, port_zero_is_taken)
{
    cr_expect_null(read_query(HASH "&peer_id=bbbbbbbbbbbbbbbbbbbb&port=0&uploaded=0&downloaded=0&left=0"));
    cr_expect_eq(announce.source.port, 0);
}

Test(http_query, events_are_known_by_their_exact_name)
{
    static const struct {
        const char *name;
        enum announce_event event;
    } cases[] = {{"started", EVENT_STARTED}, {"completed", EVENT_COMPLETED}, {"stopped", EVENT_STOPPED},
                 {"paused", EVENT_PAUSED},   {"st%61rted", EVENT_STARTED},   {"", EVENT_NONE},
                 {"Started", EVENT_NONE},    {"expired", EVENT_NONE},        {"startedstartedstarted", EVENT_NONE},
                 {"none", EVENT_NONE},       {"empty", EVENT_NONE}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char more[64];
        (void)snprintf(more, sizeof more, "&event=%s", cases[i].name);
        good(more);
        cr_expect_eq(announce.event, cases[i].event, "%s", cases[i].name);
    }
}

Test(http_query, numwant_is_as_said_or_the_default_or_the_largest)
{
    static const struct {
        const char *text;
        int32_t numwant;
    } cases[] = {{"0", 0},
                 {"1", 1},
                 {"200", 200},
                 {"", NUMWANT_DEFAULT},
                 {"-1", NUMWANT_DEFAULT},
                 {"-0", NUMWANT_DEFAULT},
                 {"-99999999999999999999", NUMWANT_DEFAULT},
                 {"2147483647", INT32_MAX},
                 {"2147483648", INT32_MAX},
                 {"99999999999999999999999", INT32_MAX}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char more[64];
        (void)snprintf(more, sizeof more, "&numwant=%s", cases[i].text);
        good(more);
        cr_expect_eq(announce.numwant, cases[i].numwant, "%s", cases[i].text);
    }
}

Test(http_query, only_compact_0_wants_a_list)
{
    static const struct {
        const char *text;
        bool compact;
    } cases[] = {{"0", false}, {"%30", false}, {"1", true}, {"", true}, {"00", true}, {"no", true}, {"2", true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char more[64];
        (void)snprintf(more, sizeof more, "&compact=%s", cases[i].text);
        good(more);
        cr_expect_eq(announce.compact, cases[i].compact, "%s", cases[i].text);
    }
    good("&no_peer_id=0");
    cr_expect_not(announce.no_peer_id);
}

static uint32_t key_of(const char *value)
{
    char more[256];
    (void)snprintf(more, sizeof more, "&key=%s", value);
    good(more);
    return announce.key;
}

Test(http_query, key_is_a_number_where_it_is_hex_and_else_a_hash_of_its_bytes)
{
    cr_expect_eq(key_of(""), 0);
    cr_expect_eq(key_of("0"), 0);
    cr_expect_eq(key_of("1a2b3c4d"), 0x1a2b3c4d);
    cr_expect_eq(key_of("00001A2B"), key_of("1a2b"), "padding does not count");
    cr_expect_eq(key_of("FFFFFFFF"), 0xffffffff);
    cr_expect_neq(key_of("123456789"), 0x23456789);
    cr_expect_neq(key_of("%00%01%02%03%04%05%06%07"), 0);
    cr_expect_neq(key_of("%00%01%02%03%04%05%06%07"), key_of("%00%01%02%03%04%05%06%08"), "bytes behind a zero count");
    cr_expect_eq(key_of("xyz"), key_of("%78yz"));
    char huge[101];
    memset(huge, 'k', sizeof huge - 1);
    huge[100] = '\0';
    uint32_t key = key_of(huge);
    huge[99] = 'j';
    cr_expect_neq(key_of(huge), key);
}

Test(http_query, address_of_the_other_family_is_a_claim)
{
    good("&ipv6=2001:db8::1&ipv4=192.0.2.9");
    cr_expect_eq(announce.claimed.family, 6);
    cr_expect_eq(announce.claimed.port, 6881);
    cr_expect_eq(announce.claimed.ip[15], 1);
    good("&ipv6=%5b2001%3adb8%3a%3a1%5d%3a1234");
    cr_expect_eq(announce.claimed.family, 6);
    cr_expect_eq(announce.claimed.port, 6881);
    static const char *nothing[] = {
        "&ipv4=192.0.2.9",      "&ipv6=",         "&ipv6=192.0.2.9", "&ipv6=::ffff:192.0.2.9",
        "&ipv6=fe80::1%25eth0", "&ipv6=nonsense", "&ip=2001:db8::1"};
    for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++) {
        good(nothing[i]);
        cr_expect_eq(announce.claimed.family, 0, "%s", nothing[i]);
        cr_expect_eq(announce.source.ip[3], 1, "%s", nothing[i]);
    }
}

Test(http_query, passkey_faults_come_first_and_are_named)
{
    static const char query[] = "left=x";
    cr_expect_str_eq(read_bytes("/announce", query, strlen(query)), "passkey missing");
    cr_expect(strncmp(read_bytes("/announce/k~y", query, strlen(query)), "passkey malformed", 17) == 0);
    cr_expect(strncmp(read_bytes("/announce", "passkey=%4", 10), "passkey malformed", 17) == 0);
    static const char with[] = REQUIRED "&PassKey=abc&passkey=def";
    cr_expect_null(read_bytes("/announce", with, strlen(with)));
    cr_expect_eq(memcmp(announce.passkey, "abc", 3), 0);
    cr_expect_null(read_bytes("/path/announce", with, strlen(with)));
    cr_expect_eq(memcmp(announce.passkey, "path", 4), 0);
}

Test(http_query, query_cut_at_every_byte_never_reads_behind_its_end)
{
    static const char query[] =
        REQUIRED "&event=started&key=%00%ffabc&numwant=-1&compact=0&ipv6=%5b::1%5d&passkey=x%20";
    for (size_t cut = 0; cut < sizeof query; cut++)
        (void)read_bytes("/announce/key", query, cut);
}

/* --- scrape --- */

enum { MAX = 3 };
static uint8_t hashes[MAX][INFO_HASH_BYTES];
static uint32_t hash_count;

static const char *read_scrape(const char *query)
{
    route_parse_path(&route, "/key/scrape", 11, false);
    hash_count = 0;
    return query_read_scrape(hashes, &hash_count, MAX, &route, query, strlen(query));
}

Test(http_query_scrape, hashes_are_sorted_and_told_once)
{
    cr_expect_null(read_scrape(
        "info_hash=bbbbbbbbbbbbbbbbbbbb&x=y&INFO_HASH=aaaaaaaaaaaaaaaaaaa%61&info_hash=bbbbbbbbbbbbbbbbbbbb"));
    cr_expect_eq(hash_count, 2);
    cr_expect_eq(hashes[0][0], 'a');
    cr_expect_eq(hashes[1][0], 'b');
}

Test(http_query_scrape, faults_are_told)
{
    cr_expect_str_eq(read_scrape(""), "info_hash missing: there is no scrape of all torrents");
    cr_expect_str_eq(read_scrape(HASH "&" HASH "&" HASH "&" HASH), "too many info_hash in one scrape");
    cr_expect_str_eq(read_scrape(HASH "&info_hash=short"), "info_hash is not 20 bytes long");
    cr_expect_str_eq(read_scrape("info_hash=%zz"), "info_hash has a bad % escape");
    route_parse_path(&route, "/scrape", 7, false);
    cr_expect_str_eq(query_read_scrape(hashes, &hash_count, MAX, &route, HASH, strlen(HASH)), "passkey missing");
}
