/* udp_packet: see udp_packet.h. */
#include "bench/udp_packet.h"

#include <endian.h>

enum { OPTION_URL_DATA = 2 };

static uint8_t *append_u64(uint8_t *at, uint64_t value)
{
    value = htobe64(value);
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static uint8_t *append_u32(uint8_t *at, uint32_t value)
{
    value = htonl(value);
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static uint8_t *append_bytes(uint8_t *at, const void *bytes, size_t length)
{
    memcpy(at, bytes, length);
    return at + length;
}

size_t udp_write_head(uint8_t *packet, uint64_t connection_id, uint32_t action, uint32_t transaction)
{
    memcpy(packet, &connection_id, sizeof connection_id);
    append_u32(packet + 8, action);
    append_u32(packet + 12, transaction);
    return 16;
}

/* A path and query as they stand in the tracker's URL behind host and port. */
static uint8_t *append_url_data(uint8_t *at, const struct passkey *passkey, enum passkey_form form)
{
    static const char query[] = "/announce?passkey=", path[] = "/announce/", last[] = "/announce";
    uint8_t *length = at + 1;
    *at = OPTION_URL_DATA;
    at += 2;
    if (form == FORM_PATH) {
        *at++ = '/';
        at = append_bytes(at, passkey->text, passkey->length);
        at = append_bytes(at, last, sizeof last - 1);
    } else {
        at = form == FORM_ANNOUNCE_PATH ? append_bytes(at, path, sizeof path - 1)
                                        : append_bytes(at, query, sizeof query - 1);
        at = append_bytes(at, passkey->text, passkey->length);
    }
    *length = (uint8_t)(at - length - 1);
    return at;
}

size_t udp_write_announce(uint8_t *packet, const struct udp_announce_facts *facts)
{
    const struct peer_announce *announce = facts->announce;
    uint8_t *at = packet + udp_write_head(packet, facts->connection_id, ACTION_ANNOUNCE, facts->transaction);
    at = append_bytes(at, announce->info_hash, INFO_HASH_BYTES);
    at = append_bytes(at, announce->peer_id, PEER_ID_BYTES);
    at = append_u64(at, announce->downloaded);
    at = append_u64(at, announce->left);
    at = append_u64(at, announce->uploaded);
    at = append_u32(at, announce->event);
    at = append_u32(at, 0); /* the address is the packet's own */
    at = append_u32(at, announce->key);
    at = append_u32(at, (uint32_t)facts->numwant);
    *at++ = (uint8_t)(announce->port >> 8);
    *at++ = (uint8_t)announce->port;
    at = append_url_data(at, &announce->passkey, facts->form);
    return (size_t)(at - packet);
}
