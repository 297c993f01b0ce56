/* UDP: BEP 15 and BEP 41, as clients and strangers send them. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/harness.h"

TestSuite(udp, .fini = harness_finish);

enum { QUIET_MS = 300 };

static const double QUIET = QUIET_MS / 1000.0;

/* An announce packet without options, ready to have some appended. */
static size_t bare(struct udp_client *client, const struct daemon *daemon, unsigned char packet[static 2048])
{
    struct ask ask = {.passkey = daemon->owner, .torrent = "udp", .peer = "a", .left = 5, .route = ""};
    return udp_announce_packet(client, &ask, packet);
}

static void exchange(struct udp_client *client, const unsigned char *packet, size_t length, struct told *told)
{
    unsigned char reply[2048];
    ssize_t got = udp_exchange(client, packet, length, reply, sizeof reply, 5);
    cr_assert(got >= 8, "no reply");
    cr_assert_eq(memcmp(reply + 4, packet + 12, 4), 0, "another transaction's reply");
    told_from_udp(reply, (size_t)got, client->family, told);
}

static size_t add_option(unsigned char *packet, size_t length, const char *text, size_t size)
{
    packet[length] = 2;
    packet[length + 1] = (unsigned char)size;
    memcpy(packet + length + 2, text, size);
    return length + 2 + size;
}

Test(udp, url_data_takes_every_form)
{
    static const char *const routes[] = {
        "/announce/%s",          "/%s/announce", "/announce?passkey=%s", "/%s", "/announce?x=1&passkey=%s&y=2",
        "/%s/announce?nonsense", "/?passkey=%s", "/announce/%s/"};
    struct daemon daemon;
    struct told told;
    struct udp_client client;
    daemon_start(&daemon, &(struct daemon_options){0});
    for (int family = 4; family <= 6; family += 2) {
        if (family == 6 && !have_ipv6())
            continue;
        udp_open(&client, &daemon, family == 6 ? "::1" : NULL);
        udp_connect(&client);
        for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
            struct ask ask = {.passkey = daemon.owner, .torrent = "udp", .peer = "a", .left = 5, .route = routes[i]};
            udp_announce_on(&client, &ask, &told);
            cr_assert_str_eq(told.failure, "", "%s: %s", routes[i], told.failure);
            cr_assert_eq(told.incomplete, 1);
            cr_assert(told.interval >= 1800 && told.interval <= 2100);
        }
        udp_close(&client);
    }
    daemon_stop(&daemon);
}

Test(udp, url_data_may_be_split_and_stand_among_other_options)
{
    struct daemon daemon;
    struct told told;
    struct udp_client client;
    unsigned char packet[2048];
    daemon_start(&daemon, &(struct daemon_options){0});
    udp_open(&client, &daemon, NULL);
    udp_connect(&client);

    size_t length = add_option(packet, bare(&client, &daemon, packet), "/announce?pass", 14);
    packet[length++] = 1;    /* NOP */
    packet[length++] = 0x7f; /* unknown, of 3 bytes */
    packet[length++] = 3;
    length += 3;
    length = add_option(packet, length, "key=", 4);
    length = add_option(packet, length, daemon.owner, strlen(daemon.owner));
    packet[length++] = 0; /* end of options; what follows is no option */
    memset(packet + length, 0x02, 7);
    exchange(&client, packet, length + 7, &told);
    cr_assert_str_eq(told.failure, "");

    length = bare(&client, &daemon, packet);
    packet[length++] = 2;
    packet[length++] = 200;
    memcpy(packet + length, "/announce", 9);
    exchange(&client, packet, length + 9, &told);
    cr_assert_not_null(strstr(told.failure, "bad option"), "%s", told.failure);
    length = bare(&client, &daemon, packet);
    packet[length++] = 2;
    exchange(&client, packet, length, &told);
    cr_assert_not_null(strstr(told.failure, "bad option"), "%s", told.failure);
    udp_close(&client);
    daemon_stop(&daemon);
}

Test(udp, client_without_url_data_is_told_of_http)
{
    struct daemon daemon;
    struct told told;
    struct udp_client client;
    unsigned char packet[2048];
    daemon_start(&daemon, &(struct daemon_options){0});
    udp_open(&client, &daemon, NULL);
    udp_connect(&client);
    size_t length = bare(&client, &daemon, packet);
    for (size_t more = 0; more <= 2; more += 2) { /* 98 bytes, or 100 as aria2 sends */
        packet[length] = packet[length + 1] = 0;
        exchange(&client, packet, length + more, &told);
        cr_assert_not_null(strstr(told.failure, "passkey missing"), "%s", told.failure);
        cr_assert_not_null(strcasestr(told.failure, "http"), "%s", told.failure);
    }
    udp_close(&client);
    daemon_stop(&daemon);
}

Test(udp, bad_passkeys_are_errors)
{
    static const char *const routes[] = {"/announce/0123456789abcdef0123456789abcdef", "/announce/not.good",
                                         "/announce?passkey=a%20b"};
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    for (size_t i = 0; i < 3; i++) {
        struct ask ask = {.torrent = "udp", .peer = "a", .left = 5, .route = routes[i]};
        udp_announce(&daemon, &ask, &told);
        cr_assert_not_null(strcasestr(told.failure, "passkey"), "%s: %s", routes[i], told.failure);
    }
    sleep_s(1.2);
    cr_assert_eq(database_int(&daemon, "SELECT count(*) FROM torrents"), 0);
    daemon_stop(&daemon);
}

Test(udp, counters_beyond_the_limit_are_errors_that_name_them)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "udp", .peer = "a", .left = 5, .up = (uint64_t)INT64_MAX + 1};
    udp_announce(&daemon, &ask, &told);
    cr_assert_not_null(strstr(told.failure, "uploaded"), "%s", told.failure);
    ask.up = 0;
    ask.down = UINT64_MAX;
    udp_announce(&daemon, &ask, &told);
    cr_assert_not_null(strstr(told.failure, "downloaded"), "%s", told.failure);
    ask.down = 0;
    ask.left = UINT64_MAX;
    udp_announce(&daemon, &ask, &told);
    cr_assert_not_null(strstr(told.failure, "left"), "%s", told.failure);
    daemon_stop(&daemon);
}

Test(udp, connection_id_belongs_to_an_address_but_no_port)
{
    struct daemon daemon;
    struct told told;
    struct udp_client first, nat, stranger;
    unsigned char packet[2048], reply[2048];
    daemon_start(&daemon, &(struct daemon_options){0});
    struct ask ask = {.passkey = daemon.owner, .torrent = "udp", .peer = "a", .left = 5};
    udp_open(&first, &daemon, NULL);
    udp_open(&nat, &daemon, NULL);
    udp_open(&stranger, &daemon, "127.0.0.2");
    udp_connect(&first);
    nat.connection_id = stranger.connection_id = first.connection_id;
    udp_announce_on(&nat, &ask, &told);
    cr_assert_str_eq(told.failure, "");

    for (int i = 0; i < 2; i++) {
        struct udp_client *client = i == 0 ? &stranger : &first;
        if (i == 1)
            first.connection_id ^= (uint64_t)1 << 40;
        size_t length = udp_announce_packet(client, &ask, packet);
        ssize_t got = udp_exchange(client, packet, length, reply, sizeof reply, QUIET);
        cr_assert(got < 0 || (got <= (ssize_t)length && reply[3] == 3), "a bad connection id gets %zd bytes", got);
    }
    udp_close(&first);
    udp_close(&nat);
    udp_close(&stranger);
    daemon_stop(&daemon);
}

Test(udp, what_is_no_request_gets_silence_or_less_than_it_sent)
{
    struct daemon daemon;
    struct told told;
    struct udp_client client;
    static unsigned char packet[4096], reply[4096];
    daemon_start(&daemon, &(struct daemon_options){0});
    udp_open(&client, &daemon, NULL);
    udp_connect(&client);
    size_t length = bare(&client, &daemon, packet);
    static const size_t cuts[] = {0, 1, 8, 12, 15, 16, 50, 97};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
        cr_assert(udp_exchange(&client, packet, cuts[i], reply, sizeof reply, QUIET) < 0, "%zu bytes are answered",
                  cuts[i]);
    memset(packet + length, 0, sizeof packet - length);
    cr_assert(udp_exchange(&client, packet, 2049, reply, sizeof reply, QUIET) < 0, "2,049 bytes are answered");

    memset(packet, 0, 16);
    packet[5] = 1; /* a bad magic */
    ssize_t got = udp_exchange(&client, packet, 16, reply, sizeof reply, QUIET);
    cr_assert(got < 0 || (got <= 16 && reply[3] == 3), "a bad magic gets %zd bytes", got);
    length = bare(&client, &daemon, packet);
    packet[11] = 77; /* an unknown action */
    got = udp_exchange(&client, packet, length, reply, sizeof reply, QUIET);
    cr_assert(got < 0 || (got <= (ssize_t)length && reply[3] == 3), "an unknown action gets %zd bytes", got);

    struct ask ask = {.passkey = daemon.owner, .torrent = "udp", .peer = "a", .left = 5};
    udp_announce_on(&client, &ask, &told);
    cr_assert_str_eq(told.failure, "", "it goes on as before");
    udp_close(&client);
    daemon_stop(&daemon);
}

static size_t scrape_packet(struct udp_client *client, unsigned char packet[static 2048], const char *const *torrents,
                            size_t count)
{
    memset(packet, 0, 16);
    memcpy(packet, &client->connection_id, 8);
    packet[11] = 2;
    packet[15] = 99;
    for (size_t i = 0; i < count; i++)
        info_hash_of(torrents[i], packet + 16 + 20 * i);
    return 16 + 20 * count;
}

static uint32_t number_at(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

Test(udp, scrape_tells_of_torrents_in_order)
{
    static const char *const torrents[] = {"s0", "unknown", "s1", "s2"};
    struct daemon daemon;
    struct told told;
    struct udp_client client;
    unsigned char packet[2048], reply[2048];
    daemon_start(&daemon, &(struct daemon_options){.tracker = "min_announce_interval: 0s\nmax_scrape: 4"});
    udp_open(&client, &daemon, NULL);
    udp_connect(&client);
    for (int i = 0; i < 4; i++) {
        struct ask ask = {.passkey = daemon.owner, .torrent = torrents[i], .peer = "a", .left = i == 2 ? 0 : 5};
        if (i != 1)
            udp_announce_on(&client, &ask, &told);
    }
    size_t length = scrape_packet(&client, packet, torrents, 4);
    ssize_t got = udp_exchange(&client, packet, length, reply, sizeof reply, 5);
    cr_assert_eq(got, 8 + 4 * 12, "%zd bytes", got);
    cr_assert(number_at(reply) == 2 && reply[7] == 99);
    for (size_t i = 0; i < 4; i++) {
        const unsigned char *entry = reply + 8 + 12 * i;
        cr_assert_eq(number_at(entry), (uint32_t)(i == 2), "seeders of %zu", i);
        cr_assert_eq(number_at(entry + 4), 0u);
        cr_assert_eq(number_at(entry + 8), (uint32_t)(i == 0 || i == 3), "leechers of %zu", i);
    }
    static const size_t bad[] = {16, 16 + 19, 16 + 21, 16 + 20 * 5};
    for (size_t i = 0; i < 4; i++) {
        memset(packet + length, 1, 100);
        got = udp_exchange(&client, packet, bad[i], reply, sizeof reply, 5);
        cr_assert(got > 8 && reply[3] == 3, "a scrape of %zu bytes gets %zd", bad[i], got);
    }
    udp_close(&client);
    daemon_stop(&daemon);
}

Test(udp, scrape_may_be_switched_off)
{
    static const char *const torrents[] = {"s0"};
    struct daemon daemon;
    struct udp_client client;
    unsigned char packet[2048], reply[2048];
    daemon_start(&daemon, &(struct daemon_options){.udp = "scrape: false"});
    udp_open(&client, &daemon, NULL);
    udp_connect(&client);
    size_t length = scrape_packet(&client, packet, torrents, 1);
    ssize_t got = udp_exchange(&client, packet, length, reply, sizeof reply, 5);
    cr_assert(got > 8 && reply[3] == 3);
    udp_close(&client);
    daemon_stop(&daemon);
}

Test(udp, reply_leaves_from_the_address_that_was_asked)
{
    struct daemon daemon;
    struct told told;
    daemon_start(&daemon, &(struct daemon_options){.every_address = true});
    /* A connected socket takes no reply from elsewhere; the harness asks 127.0.0.1 from 127.0.0.5. */
    struct ask ask = {.passkey = daemon.owner, .torrent = "udp", .peer = "a", .left = 5, .from = "127.0.0.5"};
    udp_announce(&daemon, &ask, &told);
    cr_assert_str_eq(told.failure, "");
    struct udp_client client;
    udp_open(&client, &daemon, "127.0.0.5");
    udp_reconnect(&client, &daemon, "127.0.0.77");
    udp_connect(&client);
    udp_announce_on(&client, &ask, &told);
    cr_assert_str_eq(told.failure, "");
    udp_close(&client);
    daemon_stop(&daemon);
}
