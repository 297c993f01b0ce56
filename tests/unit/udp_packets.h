/* udp_packets: builds the requests of BEP 15 for the tests of the UDP frontend. */
#ifndef PRIVTRAK_TESTS_UDP_PACKETS_H
#define PRIVTRAK_TESTS_UDP_PACKETS_H

#include <string.h>

#include "udp/packet.h"

struct packet {
    size_t length;
    uint8_t bytes[4096];
};

static inline void packet_set_u64(struct packet *packet, size_t offset, uint64_t value)
{
    packet_put_u32(packet->bytes + offset, (uint32_t)(value >> 32));
    packet_put_u32(packet->bytes + offset + 4, (uint32_t)value);
}

static inline void packet_set_u32(struct packet *packet, size_t offset, uint32_t value)
{
    packet_put_u32(packet->bytes + offset, value);
}

static inline void packet_append(struct packet *packet, const void *bytes, size_t length)
{
    memcpy(packet->bytes + packet->length, bytes, length);
    packet->length += length;
}

static inline void packet_append_option(struct packet *packet, uint8_t option, const void *data, size_t length)
{
    uint8_t head[2] = {option, (uint8_t)length};
    packet_append(packet, head, sizeof head);
    packet_append(packet, data, length);
}

static inline struct packet packet_of(uint64_t id, uint32_t action, uint32_t transaction)
{
    struct packet packet = {.length = PACKET_HEAD_BYTES};
    packet_set_u64(&packet, 0, id);
    packet_set_u32(&packet, 8, action);
    packet_set_u32(&packet, 12, transaction);
    return packet;
}

/* An announce as libtorrent sends it: info hash of `hash` bytes, port 51413, everything asked by default. */
static inline struct packet packet_of_announce(uint64_t id, uint32_t transaction, uint8_t hash, const char *url)
{
    struct packet packet = packet_of(id, PACKET_ANNOUNCE, transaction);
    packet.length = PACKET_ANNOUNCE_BYTES;
    memset(packet.bytes + 16, hash, INFO_HASH_BYTES);
    memcpy(packet.bytes + 36, "-qB4630-abcdefghijkl", PEER_ID_BYTES);
    packet_set_u32(&packet, 92, UINT32_MAX);
    packet.bytes[96] = 51413 >> 8;
    packet.bytes[97] = 51413 & 0xff;
    if (url != NULL)
        packet_append_option(&packet, 2, url, strlen(url));
    return packet;
}

#endif
