/* The datagrams of BEP 15 and BEP 41, byte for byte. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "udp_packets.h"

#define KEY "00112233445566778899aabbccddeeff"

static struct announce announce;

/* Reads from memory of just that size, so that a sanitizer sees a byte read too many. */
static const char *read_packet(const struct packet *packet)
{
    uint8_t *exact = malloc(packet->length);
    cr_assert_not_null(exact);
    memcpy(exact, packet->bytes, packet->length);
    memset(&announce, 0xa5, sizeof announce);
    const char *failure = packet_read_announce(&announce, exact, packet->length);
    free(exact);
    return failure;
}

static void expect_passkey(const struct packet *packet, const char *passkey)
{
    const char *failure = read_packet(packet);
    cr_assert_null(failure, "%s", failure);
    cr_assert_eq(announce.passkey_length, strlen(passkey));
    cr_assert_arr_eq(announce.passkey, passkey, strlen(passkey));
}

static void expect_failure(const struct packet *packet, const char *start)
{
    const char *failure = read_packet(packet);
    cr_assert_not_null(failure, "should be: %s", start);
    cr_assert_eq(strncmp(failure, start, strlen(start)), 0, "%s, should be: %s", failure, start);
}

Test(udp_packet, announce_fields_stand_where_bep_15_says)
{
    struct packet packet = packet_of_announce(7, 8, 0x11, "/" KEY "/announce");
    packet_set_u64(&packet, 56, 1);
    packet_set_u64(&packet, 64, 2);
    packet_set_u64(&packet, 72, COUNTER_MAX);
    packet_set_u32(&packet, 80, 2);
    packet_set_u32(&packet, 84, 0x01020304);
    packet_set_u32(&packet, 88, 0xdeadbeef);
    packet_set_u32(&packet, 92, 200);
    expect_passkey(&packet, KEY);

    cr_assert_eq(announce.info_hash[0], 0x11);
    cr_assert_eq(announce.info_hash[19], 0x11);
    cr_assert_arr_eq(announce.peer_id, "-qB4630-abcdefghijkl", PEER_ID_BYTES);
    cr_assert_eq(announce.downloaded, 1);
    cr_assert_eq(announce.left, 2);
    cr_assert_eq(announce.uploaded, COUNTER_MAX);
    cr_assert_eq(announce.event, EVENT_STARTED);
    cr_assert_eq(announce.key, 0xdeadbeef);
    cr_assert_eq(announce.numwant, 200);
    cr_assert_eq(announce.source.port, 51413);
    cr_assert_eq(announce.claimed.family, 0);
    cr_assert_eq(announce.protocol, PROTOCOL_UDP);
    cr_assert(announce.compact);
}

Test(udp_packet, unknown_events_count_as_none)
{
    const uint32_t said[] = {0, 1, 2, 3, 4, 5, 255, 256, 0x01000002, UINT32_MAX};
    const uint8_t taken[] = {EVENT_NONE, EVENT_COMPLETED, EVENT_STARTED, EVENT_STOPPED, EVENT_NONE,
                             EVENT_NONE, EVENT_NONE,      EVENT_NONE,    EVENT_NONE,    EVENT_NONE};
    for (size_t i = 0; i < sizeof taken; i++) {
        struct packet packet = packet_of_announce(7, 8, 1, "/" KEY "/announce");
        packet_set_u32(&packet, 80, said[i]);
        expect_passkey(&packet, KEY);
        cr_assert_eq(announce.event, taken[i], "%u", said[i]);
    }
}

Test(udp_packet, negative_numwant_is_the_default)
{
    const int32_t said[] = {-1, INT32_MIN, 0, 1, INT32_MAX};
    const int32_t taken[] = {NUMWANT_DEFAULT, NUMWANT_DEFAULT, 0, 1, INT32_MAX};
    for (size_t i = 0; i < 5; i++) {
        struct packet packet = packet_of_announce(7, 8, 1, "/" KEY "/announce");
        packet_set_u32(&packet, 92, (uint32_t)said[i]);
        expect_passkey(&packet, KEY);
        cr_assert_eq(announce.numwant, taken[i]);
    }
}

Test(udp_packet, counters_above_the_limit_are_named)
{
    const struct {
        size_t offset;
        const char *failure;
    } cases[] = {{72, "bad uploaded"}, {56, "bad downloaded"}, {64, "bad left"}};
    for (size_t i = 0; i < 3; i++) {
        struct packet packet = packet_of_announce(7, 8, 1, "/" KEY "/announce");
        packet_set_u64(&packet, cases[i].offset, COUNTER_MAX + 1);
        expect_failure(&packet, cases[i].failure);
        packet_set_u64(&packet, cases[i].offset, UINT64_MAX);
        expect_failure(&packet, cases[i].failure);
    }
}

Test(udp_packet, passkey_is_taken_from_every_form_of_url)
{
    static const char *const urls[] = {
        "/" KEY "/announce",
        "/announce/" KEY,
        "/announce?passkey=" KEY,
        "/" KEY,
        "/" KEY "/announce/",
        "/announce/" KEY "?x=1",
        "/?passkey=" KEY,
        "?passkey=" KEY,
        "/" KEY "/",
        "/announce?a&b=&passkey=" KEY "&passkey=other",
        "/" KEY "/announce?passkey=other",
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct packet packet = packet_of_announce(7, 8, 1, urls[i]);
        expect_passkey(&packet, KEY);
    }
}

Test(udp_packet, faulty_urls_are_told_apart)
{
    static const char *const cases[][2] = {
        {"", "passkey missing"},
        {"/", "passkey missing"},
        {"/announce", "passkey missing"},
        {"/announce?key=1", "passkey missing"},
        {"/announce?passkey=", "passkey malformed"},
        {"/announce?passkey=a.b", "passkey malformed"},
        {"/" KEY KEY "1/announce", "passkey malformed"},
        {"/a/b/c", "unknown path"},
        {"/%zz/announce", "bad escape"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct packet packet = packet_of_announce(7, 8, 1, cases[i][0]);
        expect_failure(&packet, cases[i][1]);
    }
}

Test(udp_packet, clients_without_url_data_are_told_of_the_http_url)
{
    /* Transmission and rTorrent send 98 bytes, aria2 two zero bytes more. */
    for (size_t zeros = 0; zeros <= 2; zeros++) {
        struct packet packet = packet_of_announce(7, 8, 1, NULL);
        packet_append(&packet, "\0\0", zeros);
        expect_failure(&packet, "passkey missing");
        cr_assert_not_null(strstr(read_packet(&packet), "HTTP"));
    }
}

Test(udp_packet, url_data_split_in_two_anywhere_is_joined)
{
    static const char url[] = "/announce?passkey=" KEY;
    size_t length = strlen(url);
    for (size_t split = 0; split <= length; split++) {
        struct packet packet = packet_of_announce(7, 8, 1, NULL);
        packet_append_option(&packet, 2, url, split);
        packet_append_option(&packet, 2, url + split, length - split);
        expect_passkey(&packet, KEY);
    }
}

Test(udp_packet, url_data_split_in_pieces_of_any_size_among_other_options_is_joined)
{
    static const char url[] = "/" KEY "/announce";
    size_t length = strlen(url);
    for (size_t piece = 1; piece <= length; piece++) {
        struct packet packet = packet_of_announce(7, 8, 1, NULL);
        for (size_t at = 0; at < length; at += piece) {
            packet_append(&packet, "\1", 1);
            packet_append_option(&packet, 200, "\0\2\377", 3);
            packet_append_option(&packet, 2, url + at, length - at < piece ? length - at : piece);
            packet_append_option(&packet, 3, "", 0);
        }
        packet_append(&packet, "\0", 1);
        expect_passkey(&packet, KEY);
    }
}

Test(udp_packet, what_follows_the_end_option_is_not_read)
{
    struct packet packet = packet_of_announce(7, 8, 1, "/" KEY);
    packet_append(&packet, "\0\2\377x", 4);
    expect_passkey(&packet, KEY);
}

Test(udp_packet, an_option_cut_off_anywhere_is_bad)
{
    struct packet packet = packet_of_announce(7, 8, 1, "/" KEY "/announce");
    size_t whole = packet.length;
    for (packet.length = PACKET_ANNOUNCE_BYTES + 1; packet.length < whole; packet.length++)
        expect_failure(&packet, "bad option");

    packet = packet_of_announce(7, 8, 1, "/" KEY "/announce");
    packet_append(&packet, "\7", 1);
    expect_failure(&packet, "bad option");
    packet_append(&packet, "\1", 1);
    expect_failure(&packet, "bad option");
    packet_append(&packet, "x", 1);
    expect_passkey(&packet, KEY);
}

Test(udp_packet, the_largest_packet_may_be_all_url_data)
{
    struct packet packet = packet_of_announce(7, 8, 1, "/announce?passkey=" KEY "&x=");
    static const char filler[255] = "filler";
    while (packet.length + 2 < PACKET_REQUEST_MAX) {
        size_t room = PACKET_REQUEST_MAX - packet.length - 2;
        packet_append_option(&packet, 2, filler, room < 255 ? room : 255);
    }
    cr_assert_eq(packet.length, PACKET_REQUEST_MAX);
    expect_passkey(&packet, KEY);
}

Test(udp_packet, scrape_of_a_good_length_is_counted)
{
    const char *failure = NULL;
    for (uint32_t count = 1; count <= 74; count++)
        cr_assert_eq(packet_scrape_count(16 + 20 * count, 74, &failure), count);
    cr_assert_null(failure);
}

Test(udp_packet, scrape_of_a_bad_length_is_told)
{
    static const struct {
        size_t length;
        const char *failure;
    } cases[] = {{16, "info_hash missing"},
                 {17, "bad info_hash"},
                 {35, "bad info_hash"},
                 {37, "bad info_hash"},
                 {16 + 20 * 6, "too many"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *failure = NULL;
        cr_assert_eq(packet_scrape_count(cases[i].length, 5, &failure), 0);
        cr_assert_not_null(failure);
        cr_assert_eq(strncmp(failure, cases[i].failure, strlen(cases[i].failure)), 0, "%s", failure);
    }
}

Test(udp_packet, connect_reply_is_as_bep_15_has_it)
{
    static const uint8_t expected[] = {0, 0, 0, 0, 0xa, 0xb, 0xc, 0xd, 1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t bytes[PACKET_REPLY_MAX];
    cr_assert_eq(packet_write_connect(bytes, 0x0a0b0c0d, 0x0102030405060708), sizeof expected);
    cr_assert_arr_eq(bytes, expected, sizeof expected);
}

Test(udp_packet, announce_reply_is_as_bep_15_has_it)
{
    static const uint8_t expected[] = {0, 0, 0, 1, 0xa, 0xb, 0xc, 0xd, 0, 0, 7, 8, 0, 0, 0, 2, 0, 0, 0, 3};
    struct announce answer = {.interval_s = 1800, .incomplete = 2, .complete = 3};
    uint8_t bytes[PACKET_ANNOUNCE_REPLY_BYTES];
    packet_write_announce(bytes, 0x0a0b0c0d, &answer);
    cr_assert_arr_eq(bytes, expected, sizeof expected);
}

Test(udp_packet, scrape_reply_has_zeros_for_what_is_unknown)
{
    static const uint8_t expected[] = {0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 3,
                                       0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    struct scrape_result results[] = {{.known = true, .complete = 1, .incomplete = 2, .snatches = 3},
                                      {.known = false, .complete = 9}};
    uint8_t bytes[PACKET_REPLY_MAX];
    cr_assert_eq(packet_write_scrape(bytes, 9, results, 2), sizeof expected);
    cr_assert_arr_eq(bytes, expected, sizeof expected);
}

Test(udp_packet, error_text_is_cut_off_at_the_largest_reply)
{
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    uint8_t bytes[PACKET_REPLY_MAX];
    cr_assert_eq(packet_write_error(bytes, 9, text), PACKET_REPLY_MAX);
    cr_assert_eq(packet_write_error(bytes, 9, "no"), 10);
    cr_assert_arr_eq(bytes, "\0\0\0\3\0\0\0\11no", 10);
}
