/*
 * json: a delta as one JSON object, for the sinks that write text. It is written
 * by hand, not through a tree of values: a sink that catches up does a hundred
 * thousand of these a second.
 */
#include <string.h>

#include "base/hex.h"
#include "deltas/delta.h"

#define PUT_LITERAL(at, literal) put_bytes((at), (literal), sizeof(literal) - 1)

static char *put_bytes(char *at, const char *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

static char *put_number(char *at, uint64_t number)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[sizeof(digits) - ++count] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    return put_bytes(at, digits + sizeof(digits) - count, count);
}

static char *put_signed(char *at, int64_t number)
{
    if (number >= 0)
        return put_number(at, (uint64_t)number);
    *at++ = '-';
    return put_number(at, 0 - (uint64_t)number);
}

static char *put_hex(char *at, const uint8_t *bytes, size_t size)
{
    hex_encode(at, bytes, size);
    return at + 2 * size;
}

/* `text` is printable ASCII, so that only these two need an escape. */
static char *put_escaped(char *at, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            *at++ = '\\';
        *at++ = *text;
    }
    return at;
}

static char *put_who(char *at, const struct delta *delta)
{
    at = PUT_LITERAL(at, "{\"seq\":");
    at = put_number(at, delta->seq);
    at = PUT_LITERAL(at, ",\"time\":");
    at = put_signed(at, delta->time_ms / 1000);
    at = PUT_LITERAL(at, ",\"user\":\"");
    at = put_hex(at, delta->user, sizeof(delta->user));
    at = PUT_LITERAL(at, "\",\"user_id\":");
    at = put_signed(at, delta->user_id);
    at = PUT_LITERAL(at, ",\"info_hash\":\"");
    at = put_hex(at, delta->info_hash, sizeof(delta->info_hash));
    at = PUT_LITERAL(at, "\",\"torrent_id\":");
    return put_signed(at, delta->torrent_id);
}

static char *put_amounts(char *at, const struct delta *delta)
{
    const char *event = delta_event_name(delta->event);
    at = PUT_LITERAL(at, ",\"event\":\"");
    at = put_bytes(at, event, strlen(event));
    at = PUT_LITERAL(at, "\",\"uploaded\":");
    at = put_number(at, delta->uploaded);
    at = PUT_LITERAL(at, ",\"downloaded\":");
    at = put_number(at, delta->downloaded);
    at = PUT_LITERAL(at, ",\"credited_uploaded\":");
    at = put_number(at, delta->credited_uploaded);
    at = PUT_LITERAL(at, ",\"credited_downloaded\":");
    at = put_number(at, delta->credited_downloaded);
    at = PUT_LITERAL(at, ",\"quarantined\":");
    at = put_number(at, delta->quarantined);
    at = PUT_LITERAL(at, ",\"left\":");
    at = put_number(at, delta->left);
    at = PUT_LITERAL(at, ",\"seed_time\":");
    at = put_number(at, delta->seed_time_s);
    at = PUT_LITERAL(at, ",\"leech_time\":");
    at = put_number(at, delta->leech_time_s);
    if (delta->flags & DELTA_SNATCHED)
        return PUT_LITERAL(at, ",\"snatched\":true");
    return PUT_LITERAL(at, ",\"snatched\":false");
}

static char *put_peer(char *at, const struct delta *delta)
{
    at = PUT_LITERAL(at, ",\"peer_id\":\"");
    at = put_hex(at, delta->peer_id, sizeof(delta->peer_id));
    *at++ = '"';
    if (delta->source.family == 0)
        return at;
    char ip[ADDRESS_TEXT_BYTES];
    address_format_ip(&delta->source, ip);
    at = PUT_LITERAL(at, ",\"ip\":\"");
    at = put_bytes(at, ip, strlen(ip));
    at = PUT_LITERAL(at, "\",\"port\":");
    return put_number(at, delta->source.port);
}

/* Writes at most DELTA_JSON_BYTES; returns the length without the NUL. */
static size_t put_object(char *text, const struct delta *delta, bool with_peer)
{
    char client[DELTA_CLIENT_BYTES];
    delta_client(client, delta->peer_id);
    char *at = put_who(text, delta);
    at = put_amounts(at, delta);
    if (with_peer)
        at = put_peer(at, delta);
    at = PUT_LITERAL(at, ",\"client\":\"");
    at = put_escaped(at, client);
    at = PUT_LITERAL(at, "\"}");
    *at = '\0';
    return (size_t)(at - text);
}

size_t delta_json(const struct delta *delta, bool include_address, char *buffer, size_t size)
{
    bool with_peer = include_address && !(delta->flags & DELTA_HIDE_ADDRESS);
    if (size >= DELTA_JSON_BYTES)
        return put_object(buffer, delta, with_peer);
    char text[DELTA_JSON_BYTES];
    size_t length = put_object(text, delta, with_peer);
    if (length >= size)
        return 0;
    memcpy(buffer, text, length + 1);
    return length;
}
