/* udp: a client for BEP 15 with BEP 41 URL data. See harness.h. */
#include "harness.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void put16(unsigned char *at, uint16_t number)
{
    number = htobe16(number);
    memcpy(at, &number, sizeof number);
}

static void put32(unsigned char *at, uint32_t number)
{
    number = htobe32(number);
    memcpy(at, &number, sizeof number);
}

static void put64(unsigned char *at, uint64_t number)
{
    number = htobe64(number);
    memcpy(at, &number, sizeof number);
}

static uint32_t get32(const unsigned char *at)
{
    uint32_t number;
    memcpy(&number, at, sizeof number);
    return be32toh(number);
}

void udp_open(struct udp_client *client, const struct daemon *daemon, const char *from)
{
    struct sockaddr_in source4 = {.sin_family = AF_INET},
                       to4 = {.sin_family = AF_INET, .sin_port = htons(daemon->port)};
    struct sockaddr_in6 source6 = {.sin6_family = AF_INET6},
                        to6 = {.sin6_family = AF_INET6, .sin6_port = htons(daemon->port)};
    if (from == NULL)
        from = "127.0.0.1";
    *client = (struct udp_client){.family = strchr(from, ':') != NULL ? 6 : 4, .transaction = (uint32_t)getpid() << 8};
    client->fd = socket(client->family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert(client->fd >= 0);
    int connected;
    if (client->family == 6) {
        cr_assert_eq(inet_pton(AF_INET6, from, &source6.sin6_addr), 1);
        to6.sin6_addr = in6addr_loopback;
        cr_assert_eq(bind(client->fd, (struct sockaddr *)&source6, sizeof source6), 0, "cannot be %s", from);
        connected = connect(client->fd, (struct sockaddr *)&to6, sizeof to6);
    } else {
        cr_assert_eq(inet_pton(AF_INET, from, &source4.sin_addr), 1);
        to4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        cr_assert_eq(bind(client->fd, (struct sockaddr *)&source4, sizeof source4), 0, "cannot be %s", from);
        connected = connect(client->fd, (struct sockaddr *)&to4, sizeof to4);
    }
    cr_assert_eq(connected, 0, "%s", strerror(errno));
}

void udp_reconnect(struct udp_client *client, const struct daemon *daemon, const char *to)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(daemon->port)};
    cr_assert_eq(inet_pton(AF_INET, to, &address.sin_addr), 1);
    cr_assert_eq(connect(client->fd, (struct sockaddr *)&address, sizeof address), 0, "%s", strerror(errno));
}

void udp_close(struct udp_client *client)
{
    close(client->fd);
    client->fd = -1;
}

ssize_t udp_exchange(struct udp_client *client, const void *packet, size_t length, unsigned char *reply, size_t size,
                     double seconds)
{
    struct pollfd wait = {.fd = client->fd, .events = POLLIN};
    cr_assert_eq(send(client->fd, packet, length, 0), (ssize_t)length);
    if (poll(&wait, 1, (int)(seconds * 1000)) <= 0)
        return -1;
    return recv(client->fd, reply, size, 0);
}

void udp_connect(struct udp_client *client)
{
    unsigned char packet[16] = {0}, reply[64];
    put64(packet, 0x41727101980ULL);
    put32(packet + 12, ++client->transaction);
    ssize_t length = udp_exchange(client, packet, sizeof packet, reply, sizeof reply, 5);
    cr_assert_eq(length, 16, "a connect is answered with %zd bytes", length);
    cr_assert_eq(get32(reply), 0u);
    cr_assert_eq(get32(reply + 4), client->transaction);
    memcpy(&client->connection_id, reply + 8, 8);
}

static uint32_t event_number(const char *event)
{
    static const char *const names[] = {"none", "completed", "started", "stopped", "paused"};
    for (uint32_t i = 0; event != NULL && i < 5; i++)
        if (strcmp(event, names[i]) == 0)
            return i;
    return 0;
}

size_t udp_announce_packet(struct udp_client *client, const struct ask *ask, unsigned char packet[static 2048])
{
    memset(packet, 0, 98);
    memcpy(packet, &client->connection_id, 8);
    put32(packet + 8, 1);
    put32(packet + 12, ++client->transaction);
    info_hash_of(ask->torrent, packet + 16);
    peer_id_of(ask->peer, packet + 36);
    put64(packet + 56, ask->down);
    put64(packet + 64, ask->left);
    put64(packet + 72, ask->up);
    put32(packet + 80, event_number(ask->event));
    put32(packet + 88, ask->key);
    put32(packet + 92, ask->numwant != NULL ? (uint32_t)atoi(ask->numwant) : UINT32_MAX);
    put16(packet + 96, ask->port != 0 ? ask->port : 6881);
    char url[256];
    const char *format = ask->route != NULL ? ask->route : "/announce/%s";
    const char *hole = strstr(format, "%s");
    if (hole != NULL)
        (void)snprintf(url, sizeof url, "%.*s%s%s", (int)(hole - format), format, ask->passkey, hole + 2);
    else
        (void)snprintf(url, sizeof url, "%s", format);
    size_t length = strlen(url);
    cr_assert(length < 256);
    if (length == 0)
        return 98;
    packet[98] = 2;
    packet[99] = (unsigned char)length;
    memcpy(packet + 100, url, length);
    return 100 + length;
}

void told_from_udp(const unsigned char *reply, size_t length, int family, struct told *told)
{
    size_t size = family == 6 ? 18 : 6;
    *told = (struct told){.answered = true, .min_interval = -1, .downloaded = -1, .retry_in = -1};
    cr_assert(length >= 8, "%zu bytes", length);
    cr_assert(length <= 1452, "a reply of %zu bytes does not fit everywhere", length);
    if (get32(reply) == 3) {
        cr_assert(length > 8 && length - 8 < sizeof told->failure);
        memcpy(told->failure, reply + 8, length - 8);
        return;
    }
    cr_assert_eq(get32(reply), 1u, "action %u", get32(reply));
    cr_assert(length >= 20 && (length - 20) % size == 0, "a reply of %zu bytes", length);
    told->interval = get32(reply + 8);
    told->incomplete = get32(reply + 12);
    told->complete = get32(reply + 16);
    told->has_peers = true;
    for (size_t at = 20; at < length; at += size) {
        struct told_peer *peer = &told->peers[told->peer_count++];
        inet_ntop(family == 6 ? AF_INET6 : AF_INET, reply + at, peer->ip, sizeof peer->ip);
        peer->port = (uint16_t)(reply[at + size - 2] << 8 | reply[at + size - 1]);
        told->peer6_count += family == 6;
    }
}

void udp_announce_on(struct udp_client *client, const struct ask *ask, struct told *told)
{
    unsigned char packet[2048], reply[2048];
    size_t length = udp_announce_packet(client, ask, packet);
    ssize_t got = udp_exchange(client, packet, length, reply, sizeof reply, 5);
    cr_assert(got >= 8, "no reply to an announce");
    cr_assert_eq(get32(reply + 4), client->transaction, "a reply to another transaction");
    told_from_udp(reply, (size_t)got, client->family, told);
}

void udp_announce(const struct daemon *daemon, const struct ask *ask, struct told *told)
{
    struct udp_client client;
    udp_open(&client, daemon, ask->from);
    udp_connect(&client);
    udp_announce_on(&client, ask, told);
    udp_close(&client);
}
