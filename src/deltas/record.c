#include "deltas/record.h"

#include <string.h>

/* What the three bytes at a record's beginning say about the rest. */
enum shape {
    HAS_UPLOADED = 1 << 0,
    HAS_DOWNLOADED = 1 << 1,
    HAS_CREDITED = 1 << 2,
    HAS_QUARANTINED = 1 << 3,
    HAS_LEFT = 1 << 4,
    HAS_SEED_TIME = 1 << 5,
    HAS_LEECH_TIME = 1 << 6,
    HAS_FLAGS = 1 << 7,
    SOURCE_SHIFT = 8, /* two bits: enum source_kind */
    HAS_ADDRESS4 = 1 << 10,
    HAS_ADDRESS6 = 1 << 11,
    HAS_SESSION_LEFT = 1 << 12,
    HAS_LAST_ANNOUNCE = 1 << 13,
    HAS_KEY = 1 << 14,
    IS_ACTIVE = 1 << 15,
    HAS_USER_LEFT = 1 << 16,
    HAS_PASSKEY = 1 << 17,
    EVENT_SHIFT = 18, /* three bits */
    SHAPE_LIMIT = 1 << 21,
};

enum source_kind { SOURCE_NONE, SOURCE_IS_ADDRESS4, SOURCE_IS_ADDRESS6, SOURCE_OWN };

static uint8_t *put_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

/* The difference as wrapping arithmetic, small magnitudes of either sign first. */
static uint64_t zigzag(int64_t value, int64_t base)
{
    uint64_t difference = (uint64_t)value - (uint64_t)base;
    return difference << 1 ^ (0 - (difference >> 63));
}

static int64_t unzigzag(uint64_t coded, int64_t base)
{
    uint64_t difference = coded >> 1 ^ (0 - (coded & 1));
    return (int64_t)((uint64_t)base + difference);
}

static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

static size_t ip_bytes(uint8_t family)
{
    return family == 4 ? 4 : 16;
}

static uint8_t *put_endpoint(uint8_t *at, const struct address *address)
{
    at = put_bytes(at, address->ip, ip_bytes(address->family));
    *at++ = (uint8_t)(address->port >> 8);
    *at++ = (uint8_t)address->port;
    return at;
}

static bool same_endpoint(const struct address *a, const struct address *b)
{
    return a->family == b->family && a->port == b->port && memcmp(a->ip, b->ip, ip_bytes(a->family)) == 0;
}

static enum source_kind source_kind(const struct delta *delta)
{
    if (delta->source.family != 4 && delta->source.family != 6)
        return SOURCE_NONE;
    if (delta->source.family == 4 && same_endpoint(&delta->source, &delta->session.address4))
        return SOURCE_IS_ADDRESS4;
    if (delta->source.family == 6 && same_endpoint(&delta->source, &delta->session.address6))
        return SOURCE_IS_ADDRESS6;
    return SOURCE_OWN;
}

static uint32_t shape_of(const struct delta *delta)
{
    const struct delta_session *session = &delta->session;
    uint32_t shape = (uint32_t)source_kind(delta) << SOURCE_SHIFT | (delta->event & 7u) << EVENT_SHIFT;
    if (delta->uploaded != 0)
        shape |= HAS_UPLOADED;
    if (delta->downloaded != 0)
        shape |= HAS_DOWNLOADED;
    if (delta->credited_uploaded != delta->uploaded || delta->credited_downloaded != delta->downloaded)
        shape |= HAS_CREDITED;
    if (delta->quarantined != 0)
        shape |= HAS_QUARANTINED;
    if (delta->left != 0)
        shape |= HAS_LEFT;
    if (delta->seed_time_s != 0)
        shape |= HAS_SEED_TIME;
    if (delta->leech_time_s != 0)
        shape |= HAS_LEECH_TIME;
    if (delta->flags != 0)
        shape |= HAS_FLAGS;
    if (session->address4.family == 4)
        shape |= HAS_ADDRESS4;
    if (session->address6.family == 6)
        shape |= HAS_ADDRESS6;
    if (session->left != delta->left)
        shape |= HAS_SESSION_LEFT;
    if (session->last_announce_ms != delta->time_ms)
        shape |= HAS_LAST_ANNOUNCE;
    if (session->key != 0)
        shape |= HAS_KEY;
    if (delta->active)
        shape |= IS_ACTIVE;
    if (delta->user_left != delta->left)
        shape |= HAS_USER_LEFT;
    if (delta->passkey_length != 0)
        shape |= HAS_PASSKEY;
    return shape;
}

static uint8_t *put_amounts(uint8_t *at, const struct delta *delta, uint32_t shape)
{
    if (shape & HAS_UPLOADED)
        at = put_varint(at, delta->uploaded);
    if (shape & HAS_DOWNLOADED)
        at = put_varint(at, delta->downloaded);
    if (shape & HAS_CREDITED) {
        at = put_varint(at, delta->credited_uploaded);
        at = put_varint(at, delta->credited_downloaded);
    }
    if (shape & HAS_QUARANTINED)
        at = put_varint(at, delta->quarantined);
    if (shape & HAS_LEFT)
        at = put_varint(at, delta->left);
    if (shape & HAS_SEED_TIME)
        at = put_varint(at, delta->seed_time_s);
    if (shape & HAS_LEECH_TIME)
        at = put_varint(at, delta->leech_time_s);
    return at;
}

static uint8_t *put_session(uint8_t *at, const struct delta *delta, uint32_t shape)
{
    const struct delta_session *session = &delta->session;
    if (shape & HAS_ADDRESS4)
        at = put_endpoint(at, &session->address4);
    if (shape & HAS_ADDRESS6)
        at = put_endpoint(at, &session->address6);
    if ((shape >> SOURCE_SHIFT & 3) == SOURCE_OWN) {
        *at++ = delta->source.family;
        at = put_endpoint(at, &delta->source);
    }
    at = put_varint(at, session->uploaded);
    at = put_varint(at, session->downloaded);
    if (shape & HAS_SESSION_LEFT)
        at = put_varint(at, session->left);
    if (shape & HAS_LAST_ANNOUNCE)
        at = put_varint(at, zigzag(session->last_announce_ms, delta->time_ms));
    if (shape & HAS_KEY) {
        for (int shift = 0; shift < 32; shift += 8)
            *at++ = (uint8_t)(session->key >> shift);
    }
    return put_varint(at, session->flags);
}

uint8_t *record_encode(uint8_t *at, const struct delta *delta, int64_t frame_ms)
{
    uint32_t shape = shape_of(delta);
    *at++ = (uint8_t)shape;
    *at++ = (uint8_t)(shape >> 8);
    *at++ = (uint8_t)(shape >> 16);
    if (shape & HAS_FLAGS)
        at = put_varint(at, delta->flags);
    at = put_varint(at, zigzag(delta->time_ms, frame_ms));
    at = put_varint(at, (uint64_t)delta->user_id);
    at = put_varint(at, (uint64_t)delta->torrent_id);
    at = put_bytes(at, delta->user, sizeof(delta->user));
    at = put_bytes(at, delta->info_hash, sizeof(delta->info_hash));
    at = put_bytes(at, delta->peer_id, sizeof(delta->peer_id));
    at = put_amounts(at, delta, shape);
    at = put_session(at, delta, shape);
    at = put_varint(at, delta->user_seeding);
    at = put_varint(at, delta->user_active);
    if (shape & HAS_USER_LEFT)
        at = put_varint(at, delta->user_left);
    at = put_varint(at, delta->seeders);
    at = put_varint(at, delta->leechers);
    if (shape & HAS_PASSKEY) {
        *at++ = delta->passkey_length;
        at = put_bytes(at, delta->passkey, delta->passkey_length);
    }
    return at;
}

/* What is left to read. Once `bad`, all reads give zeros and read nothing. */
struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

static uint64_t take_varint(struct cursor *cursor, uint64_t max)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && cursor->at < cursor->end; shift += 7) {
        uint8_t byte = *cursor->at++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte & 0x80)
            continue;
        if (value <= max)
            return value;
        break;
    }
    cursor->bad = true;
    cursor->at = cursor->end;
    return 0;
}

static void take_bytes(struct cursor *cursor, void *bytes, size_t size)
{
    if ((size_t)(cursor->end - cursor->at) < size) {
        cursor->bad = true;
        cursor->at = cursor->end;
        return;
    }
    memcpy(bytes, cursor->at, size);
    cursor->at += size;
}

static void take_endpoint(struct cursor *cursor, struct address *address, uint8_t family)
{
    uint8_t port[2] = {0};
    address->family = family;
    take_bytes(cursor, address->ip, ip_bytes(family));
    take_bytes(cursor, port, sizeof(port));
    address->port = (uint16_t)(port[0] << 8 | port[1]);
}

static void take_amounts(struct cursor *cursor, struct delta *delta, uint32_t shape)
{
    if (shape & HAS_UPLOADED)
        delta->uploaded = take_varint(cursor, UINT64_MAX);
    if (shape & HAS_DOWNLOADED)
        delta->downloaded = take_varint(cursor, UINT64_MAX);
    delta->credited_uploaded = delta->uploaded;
    delta->credited_downloaded = delta->downloaded;
    if (shape & HAS_CREDITED) {
        delta->credited_uploaded = take_varint(cursor, UINT64_MAX);
        delta->credited_downloaded = take_varint(cursor, UINT64_MAX);
    }
    if (shape & HAS_QUARANTINED)
        delta->quarantined = take_varint(cursor, UINT64_MAX);
    if (shape & HAS_LEFT)
        delta->left = take_varint(cursor, UINT64_MAX);
    if (shape & HAS_SEED_TIME)
        delta->seed_time_s = (uint32_t)take_varint(cursor, UINT32_MAX);
    if (shape & HAS_LEECH_TIME)
        delta->leech_time_s = (uint32_t)take_varint(cursor, UINT32_MAX);
}

static void take_addresses(struct cursor *cursor, struct delta *delta, uint32_t shape)
{
    struct delta_session *session = &delta->session;
    if (shape & HAS_ADDRESS4)
        take_endpoint(cursor, &session->address4, 4);
    if (shape & HAS_ADDRESS6)
        take_endpoint(cursor, &session->address6, 6);
    switch ((enum source_kind)(shape >> SOURCE_SHIFT & 3)) {
    case SOURCE_NONE:
        break;
    case SOURCE_IS_ADDRESS4:
        delta->source = session->address4;
        break;
    case SOURCE_IS_ADDRESS6:
        delta->source = session->address6;
        break;
    case SOURCE_OWN: {
        uint8_t family = 0;
        take_bytes(cursor, &family, 1);
        if (family != 4 && family != 6) {
            cursor->bad = true;
            return;
        }
        take_endpoint(cursor, &delta->source, family);
    }
    }
}

static void take_session(struct cursor *cursor, struct delta *delta, uint32_t shape)
{
    struct delta_session *session = &delta->session;
    session->uploaded = take_varint(cursor, UINT64_MAX);
    session->downloaded = take_varint(cursor, UINT64_MAX);
    session->left = shape & HAS_SESSION_LEFT ? take_varint(cursor, UINT64_MAX) : delta->left;
    session->last_announce_ms = delta->time_ms;
    if (shape & HAS_LAST_ANNOUNCE)
        session->last_announce_ms = unzigzag(take_varint(cursor, UINT64_MAX), delta->time_ms);
    if (shape & HAS_KEY) {
        uint8_t key[4] = {0};
        take_bytes(cursor, key, sizeof(key));
        session->key = (uint32_t)key[3] << 24 | (uint32_t)key[2] << 16 | (uint32_t)key[1] << 8 | key[0];
    }
    session->flags = (uint16_t)take_varint(cursor, UINT16_MAX);
}

static void take_passkey(struct cursor *cursor, struct delta *delta)
{
    uint8_t length = 0;
    take_bytes(cursor, &length, 1);
    if (length == 0 || length > PASSKEY_MAX) {
        cursor->bad = true;
        return;
    }
    delta->passkey_length = length;
    take_bytes(cursor, delta->passkey, length);
}

size_t record_decode(struct delta *delta, const uint8_t *bytes, size_t size, int64_t frame_ms)
{
    struct cursor cursor = {.at = bytes, .end = bytes + size};
    uint8_t head[3] = {0};
    take_bytes(&cursor, head, sizeof(head));
    uint32_t shape = head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16;
    if (cursor.bad || shape >= SHAPE_LIMIT || shape >> EVENT_SHIFT > EVENT_EXPIRED)
        return 0;

    memset(delta, 0, sizeof(*delta));
    delta->event = (uint8_t)(shape >> EVENT_SHIFT);
    delta->active = (shape & IS_ACTIVE) != 0;
    if (shape & HAS_FLAGS)
        delta->flags = (uint16_t)take_varint(&cursor, UINT16_MAX);
    delta->time_ms = unzigzag(take_varint(&cursor, UINT64_MAX), frame_ms);
    delta->user_id = (int64_t)take_varint(&cursor, UINT64_MAX);
    delta->torrent_id = (int64_t)take_varint(&cursor, UINT64_MAX);
    take_bytes(&cursor, delta->user, sizeof(delta->user));
    take_bytes(&cursor, delta->info_hash, sizeof(delta->info_hash));
    take_bytes(&cursor, delta->peer_id, sizeof(delta->peer_id));
    take_amounts(&cursor, delta, shape);
    take_addresses(&cursor, delta, shape);
    take_session(&cursor, delta, shape);
    delta->user_seeding = (uint16_t)take_varint(&cursor, UINT16_MAX);
    delta->user_active = (uint16_t)take_varint(&cursor, UINT16_MAX);
    delta->user_left = shape & HAS_USER_LEFT ? take_varint(&cursor, UINT64_MAX) : delta->left;
    delta->seeders = (uint32_t)take_varint(&cursor, UINT32_MAX);
    delta->leechers = (uint32_t)take_varint(&cursor, UINT32_MAX);
    if (shape & HAS_PASSKEY)
        take_passkey(&cursor, delta);
    return cursor.bad ? 0 : (size_t)(cursor.at - bytes);
}
