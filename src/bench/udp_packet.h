/* udp_packet: writes the packets of BEP 15 with the passkey as URL data (BEP 41). */
#ifndef PRIVTRAK_BENCH_UDP_PACKET_H
#define PRIVTRAK_BENCH_UDP_PACKET_H

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bench/load.h"

/* As the eight bytes stand in a packet: 0x41727101980. */
#define UDP_PROTOCOL_ID htobe64(UINT64_C(0x41727101980))

enum { UDP_PACKET_MAX = 256 };

struct udp_announce_facts {
    uint64_t connection_id; /* as it came */
    uint32_t transaction;
    const struct peer_announce *announce;
    int32_t numwant;
    enum passkey_form form;
};

/* Both return the bytes written into `packet`, which has room for UDP_PACKET_MAX. */
size_t udp_write_head(uint8_t *packet, uint64_t connection_id, uint32_t action, uint32_t transaction);
size_t udp_write_announce(uint8_t *packet, const struct udp_announce_facts *facts);

static inline uint32_t udp_read_u32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return ntohl(value);
}

#endif
