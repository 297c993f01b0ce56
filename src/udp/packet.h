/*
 * packet: the datagrams of BEP 15 and the options of BEP 41. Reading and writing
 * only: no socket, no clock, no state.
 */
#ifndef PRIVTRAK_UDP_PACKET_H
#define PRIVTRAK_UDP_PACKET_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tracker/announce.h"

/* BEP 15. */
#define PACKET_MAGIC UINT64_C(0x41727101980)

enum packet_action { PACKET_CONNECT = 0, PACKET_ANNOUNCE = 1, PACKET_SCRAPE = 2, PACKET_ERROR = 3 };

enum {
    PACKET_HEAD_BYTES = 16,     /* connection id, action, transaction id: the least of any request */
    PACKET_ANNOUNCE_BYTES = 98, /* an announce without options */
    PACKET_OWNER_OFFSET = 16,   /* where an announce and a scrape have their (first) info hash */
    PACKET_REQUEST_MAX = 2048,  /* longer ones get silence */

    PACKET_REPLY_MAX = 1452, /* fits a link of 1,500 bytes whatever the headers below are */
    PACKET_CONNECT_REPLY_BYTES = 16,
    PACKET_ANNOUNCE_REPLY_BYTES = 20, /* without peers */
    PACKET_SCRAPE_REPLY_BYTES = 8,    /* without torrents */
    PACKET_SCRAPE_ENTRY_BYTES = 12,
    PACKET_ERROR_REPLY_BYTES = 8, /* without text */

    PACKET_PEERS4_MAX = (PACKET_REPLY_MAX - PACKET_ANNOUNCE_REPLY_BYTES) / ENDPOINT4_BYTES, /* 238 */
    PACKET_PEERS6_MAX = (PACKET_REPLY_MAX - PACKET_ANNOUNCE_REPLY_BYTES) / ENDPOINT6_BYTES, /* 79 */
    PACKET_SCRAPE_MAX = 74,                                                                 /* BEP 15 */
};

_Static_assert((int)PACKET_ANNOUNCE_REPLY_BYTES <= (int)ANNOUNCE_HEADROOM, "the header stands before the peers");

static inline uint32_t packet_u32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return be32toh(value);
}

static inline uint64_t packet_u64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return be64toh(value);
}

static inline void packet_put_u32(uint8_t *bytes, uint32_t value)
{
    value = htobe32(value);
    memcpy(bytes, &value, sizeof value);
}

static inline uint64_t packet_connection_id(const uint8_t *bytes)
{
    return packet_u64(bytes);
}

static inline uint32_t packet_action(const uint8_t *bytes)
{
    return packet_u32(bytes + 8);
}

static inline uint32_t packet_transaction(const uint8_t *bytes)
{
    return packet_u32(bytes + 12);
}

/*
 * Reads an announce of at least PACKET_ANNOUNCE_BYTES into group 1 of `announce`,
 * all but origin and the source's IP. numwant stays as said, NUMWANT_DEFAULT
 * where it is negative. Returns NULL, or a static text that says what is wrong.
 */
const char *packet_read_announce(struct announce *announce, const uint8_t *bytes, size_t length);

/*
 * How many info hashes a scrape of at least PACKET_HEAD_BYTES holds. Where it has
 * none, more than `max` or a broken length, *failure says so and 0 is returned.
 */
uint32_t packet_scrape_count(size_t length, uint32_t max, const char **failure);

/* Writers return the size of what they wrote. */
size_t packet_write_connect(uint8_t *bytes, uint32_t transaction, uint64_t connection_id);

/* Writes the PACKET_ANNOUNCE_REPLY_BYTES that stand before the peers. */
static inline void packet_write_announce(uint8_t *bytes, uint32_t transaction, const struct announce *announce)
{
    packet_put_u32(bytes, PACKET_ANNOUNCE);
    packet_put_u32(bytes + 4, transaction);
    packet_put_u32(bytes + 8, announce->interval_s);
    packet_put_u32(bytes + 12, announce->incomplete);
    packet_put_u32(bytes + 16, announce->complete);
}

/* At most PACKET_SCRAPE_MAX results. */
size_t packet_write_scrape(uint8_t *bytes, uint32_t transaction, const struct scrape_result *results, uint32_t count);

/* Cuts the text off at PACKET_REPLY_MAX. */
size_t packet_write_error(uint8_t *bytes, uint32_t transaction, const char *text);

#endif
