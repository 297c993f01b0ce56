/*
 * udp_frontend_fixture: the UDP frontend over real sockets, with workers that do what the test says, and a client of
 * each family. For the test programs of the frontend, which include it once.
 */
#ifndef PRIVTRAK_TESTS_UDP_FRONTEND_FIXTURE_H
#define PRIVTRAK_TESTS_UDP_FRONTEND_FIXTURE_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#include "udp/frontend.h"
#include "udp_fake_worker.h"
#include "udp_packets.h"

#define KEY "00112233445566778899aabbccddeeff"
#define URL "/" KEY "/announce"

enum { REPLY_MAX = 4096 };

static char folder[64];
static struct address addresses[2]; /* 0.0.0.0 and [::], then as bound */
static struct config config;
static struct udp_listeners *listeners;
static struct tracker *tracker;
static struct worker *worker; /* the first */
static int client[FAMILY_COUNT];

struct reply {
    ssize_t length; /* -1: none came */
    struct sockaddr_storage from;
    uint8_t bytes[REPLY_MAX];
};

static inline void start(unsigned workers)
{
    struct error error = {""};
    (void)snprintf(folder, sizeof folder, "/tmp/privtrak-test-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    addresses[FAMILY4].family = 4;
    addresses[FAMILY6].family = 6;
    config.tracker.state_dir = folder;
    config.tracker.default_numwant = 50;
    config.tracker.max_scrape = 74;
    config.udp.listen = (struct listen_list){.addresses = addresses, .count = 2};
    config.udp.connection_lifetime_s = 120;
    config.udp.scrape = true;
    listeners = udp_listen(&config, workers, &error);
    cr_assert_not_null(listeners, "%s", error.text);
    tracker = fake_tracker(&config, workers);
    worker = &tracker->workers[0];
    udp_add_to(tracker, listeners);
    fake_tracker_start(tracker);
    for (int family = FAMILY4; family <= FAMILY6; family++) {
        addresses[family] = udp_listener_address(listeners, (size_t)family);
        client[family] = socket(family == FAMILY4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        cr_assert_geq(client[family], 0);
        int size = 4 << 20;
        (void)setsockopt(client[family], SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
    addresses[FAMILY4].ip[0] = 127;
    addresses[FAMILY4].ip[3] = 1;
    addresses[FAMILY6].ip[15] = 1;
}

static inline void start_one(void)
{
    start(1);
}

static inline void end(void)
{
    (void)close(client[FAMILY4]);
    (void)close(client[FAMILY6]);
    fake_tracker_free(tracker);
    udp_close(listeners);
    char path[96];
    (void)snprintf(path, sizeof path, "%s/udp.key", folder);
    (void)unlink(path);
    (void)rmdir(folder);
}

static inline void send_to(int family, const struct address *to, const struct packet *packet)
{
    struct sockaddr_storage name;
    socklen_t length = address_to_sockaddr(to, &name);
    ssize_t sent = sendto(client[family], packet->bytes, packet->length, 0, (struct sockaddr *)&name, length);
    cr_assert_eq(sent, (ssize_t)packet->length, "%s", strerror(errno));
}

static inline void send_packet(int family, const struct packet *packet)
{
    send_to(family, &addresses[family], packet);
}

static inline void turn_all(void)
{
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < tracker->worker_count; i++)
            fake_turn(&tracker->workers[i]);
    }
}

static inline struct reply receive(int family)
{
    struct reply reply;
    socklen_t length = sizeof reply.from;
    reply.length = recvfrom(client[family], reply.bytes, sizeof reply.bytes, MSG_DONTWAIT,
                            (struct sockaddr *)&reply.from, &length);
    return reply;
}

static inline struct reply ask(int family, const struct packet *packet)
{
    send_packet(family, packet);
    turn_all();
    struct reply reply = receive(family);
    cr_assert_eq(receive(family).length, -1, "a second reply");
    return reply;
}

static inline uint64_t new_id(int family)
{
    struct packet packet = packet_of(PACKET_MAGIC, PACKET_CONNECT, 77);
    struct reply reply = ask(family, &packet);
    cr_assert_eq(reply.length, 16);
    cr_assert_eq(packet_u32(reply.bytes), PACKET_CONNECT);
    cr_assert_eq(packet_u32(reply.bytes + 4), 77);
    return packet_u64(reply.bytes + 8);
}

static inline void expect_error(const struct reply *reply, uint32_t transaction, const char *text)
{
    cr_assert_gt(reply->length, 8);
    cr_assert_eq(packet_u32(reply->bytes), PACKET_ERROR);
    cr_assert_eq(packet_u32(reply->bytes + 4), transaction);
    cr_assert_geq((size_t)reply->length - 8, strlen(text));
    cr_assert_eq(memcmp(reply->bytes + 8, text, strlen(text)), 0, "%.*s", (int)reply->length - 8, reply->bytes + 8);
}

static inline void expect_peers(const struct reply *reply, int family, uint32_t transaction, unsigned count)
{
    const struct announce answer = {.interval_s = 1800, .incomplete = 2, .complete = 3};
    uint8_t expected[PACKET_REPLY_MAX];
    size_t size = family == FAMILY4 ? 6 : 18;
    packet_write_announce(expected, transaction, &answer);
    for (unsigned i = 0; i < count; i++)
        memset(expected + PACKET_ANNOUNCE_REPLY_BYTES + i * size, (int)i, size);
    cr_assert_eq(reply->length, (ssize_t)(20 + count * size), "%zd bytes", reply->length);
    cr_assert_arr_eq(reply->bytes, expected, 20 + count * size);
}

static inline uint64_t counted(int family, enum request_action action, enum request_result result)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < tracker->worker_count; i++)
        sum += tracker->workers[i].counters.requests[PROTOCOL_UDP][family][action][result];
    return sum;
}

#endif
