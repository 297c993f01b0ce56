/*
 * What the UDP frontend's own work costs, without sockets: nanoseconds an announce for
 * reading it, for checking its connection id, and for writing the reply's header.
 *
 *     bench_udp_parse [ROUNDS]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../unit/udp_packets.h"
#include "base/clock.h"
#include "udp/connection_id.h"

enum { BATCH = 64, LIFETIME_S = 120 };

static struct packet packets[BATCH];
static struct address addresses[BATCH];
static struct announce announces[BATCH];
static uint8_t replies[BATCH][PACKET_REPLY_MAX];
static struct connection_key key = {{1, 2, 3}};
static const int64_t now_s = 1763885000;
static uint64_t sink; /* keeps the compiler from leaving work out */

static void check_ids(void)
{
    for (unsigned i = 0; i < BATCH; i++)
        sink += connection_id_check(&key, &addresses[i], packet_connection_id(packets[i].bytes), now_s, LIFETIME_S);
}

static void parse(void)
{
    for (unsigned i = 0; i < BATCH; i++)
        sink += packet_read_announce(&announces[i], packets[i].bytes, packets[i].length) == NULL;
}

static void encode(void)
{
    for (unsigned i = 0; i < BATCH; i++) {
        packet_write_announce(replies[i], packet_transaction(packets[i].bytes), &announces[i]);
        sink += replies[i][8];
    }
}

static void all(void)
{
    check_ids();
    parse();
    encode();
}

static double measure(void (*work)(void), unsigned rounds)
{
    int64_t best = INT64_MAX;
    for (unsigned attempt = 0; attempt < 5; attempt++) {
        int64_t start = clock_monotonic_ns();
        for (unsigned i = 0; i < rounds; i++)
            work();
        int64_t took = clock_monotonic_ns() - start;
        if (took < best)
            best = took;
    }
    return (double)best / rounds / BATCH;
}

static void fill(const char *ip, const char *url)
{
    for (unsigned i = 0; i < BATCH; i++) {
        if (!address_parse_ip(&addresses[i], ip, strlen(ip)))
            abort();
        addresses[i].ip[3] = (uint8_t)i;
        uint64_t id = connection_id_make(&key, &addresses[i], now_s);
        packets[i] = packet_of_announce(id, i, (uint8_t)i, url);
    }
}

int main(int count, char **arguments)
{
    static const char *const urls[] = {"/00112233445566778899aabbccddeeff/announce",
                                       "/announce/00112233445566778899aabbccddeeff",
                                       "/announce?passkey=00112233445566778899aabbccddeeff"};
    unsigned rounds = count > 1 ? (unsigned)strtonum(arguments[1], 1, 10000000, NULL) : 20000;
    printf("ns an announce, best of 5:  id check  parse  encode  all\n");
    for (unsigned i = 0; i < 6; i++) {
        fill(i < 3 ? "192.0.2.7" : "2001:db8::7", urls[i % 3]);
        printf("%-50s %s  %5.1f  %5.1f  %5.1f  %5.1f\n", urls[i % 3], i < 3 ? "IPv4" : "IPv6",
               measure(check_ids, rounds), measure(parse, rounds), measure(encode, rounds), measure(all, rounds));
    }
    return sink == 0;
}
