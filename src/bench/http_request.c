/* http_request: see http_request.h. */
#include "bench/http_request.h"

#include <string.h>

static char *put_bytes(char *at, const void *bytes, size_t length)
{
    memcpy(at, bytes, length);
    return at + length;
}

#define PUT_TEXT(at, text) put_bytes((at), (text), sizeof(text) - 1)

static char *put_number(char *at, uint64_t value)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

/*
 * As clients do: letters and digits as they are, all else as %xx. Without a branch, which nobody could predict: what
 * a plain byte writes too much is written over.
 */
static char *put_escaped(char *at, const uint8_t *bytes, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        uint8_t c = bytes[i];
        uint8_t letter = c | 0x20;
        bool is_plain = (letter >= 'a') & (letter <= 'z');
        is_plain |= (c >= '0') & (c <= '9');
        is_plain |= c == '-';
        at[0] = is_plain ? (char)c : '%';
        at[1] = digits[c >> 4];
        at[2] = digits[c & 15];
        at += is_plain ? 1 : 3;
    }
    return at;
}

static char *put_key(char *at, uint32_t key)
{
    static const char digits[] = "0123456789ABCDEF";
    for (int shift = 28; shift >= 0; shift -= 4)
        *at++ = digits[key >> shift & 15];
    return at;
}

/* Path and the start of the query, up to where the next parameter's name may stand. */
static char *put_route(char *at, const char *action, size_t action_length, const struct http_request_facts *facts)
{
    const struct passkey *passkey = &facts->announce->passkey;
    at = PUT_TEXT(at, "GET /");
    if (facts->form == FORM_PATH) {
        at = put_bytes(at, passkey->text, passkey->length);
        *at++ = '/';
    }
    at = put_bytes(at, action, action_length);
    if (facts->form == FORM_ANNOUNCE_PATH) {
        *at++ = '/';
        at = put_bytes(at, passkey->text, passkey->length);
    }
    *at++ = '?';
    if (facts->form == FORM_QUERY) {
        at = PUT_TEXT(at, "passkey=");
        at = put_bytes(at, passkey->text, passkey->length);
        *at++ = '&';
    }
    return at;
}

static char *put_event(char *at, uint8_t event)
{
    switch (event) {
    case EVENT_STARTED:
        return PUT_TEXT(at, "&event=started");
    case EVENT_COMPLETED:
        return PUT_TEXT(at, "&event=completed");
    case EVENT_STOPPED:
        return PUT_TEXT(at, "&event=stopped");
    default:
        return at;
    }
}

size_t http_write_announce(char *text, const struct http_request_facts *facts)
{
    const struct peer_announce *announce = facts->announce;
    char *at = put_route(text, "announce", 8, facts);
    at = PUT_TEXT(at, "info_hash=");
    at = put_escaped(at, announce->info_hash, INFO_HASH_BYTES);
    at = PUT_TEXT(at, "&peer_id=");
    at = put_escaped(at, announce->peer_id, PEER_ID_BYTES);
    at = PUT_TEXT(at, "&port=");
    at = put_number(at, announce->port);
    at = PUT_TEXT(at, "&uploaded=");
    at = put_number(at, announce->uploaded);
    at = PUT_TEXT(at, "&downloaded=");
    at = put_number(at, announce->downloaded);
    at = PUT_TEXT(at, "&left=");
    at = put_number(at, announce->left);
    at = PUT_TEXT(at, "&key=");
    at = put_key(at, announce->key);
    at = put_event(at, announce->event);
    if (facts->numwant >= 0) {
        at = PUT_TEXT(at, "&numwant=");
        at = put_number(at, (uint64_t)facts->numwant);
    }
    at = PUT_TEXT(at, "&compact=1&no_peer_id=1");
    at = put_bytes(at, facts->tail, facts->tail_length);
    return (size_t)(at - text);
}

size_t http_write_scrape(char *text, const struct http_request_facts *facts)
{
    char *at = put_route(text, "scrape", 6, facts);
    for (uint32_t i = 0; i < facts->hash_count; i++) {
        at = i == 0 ? PUT_TEXT(at, "info_hash=") : PUT_TEXT(at, "&info_hash=");
        at = put_escaped(at, facts->hashes[i], INFO_HASH_BYTES);
    }
    at = put_bytes(at, facts->tail, facts->tail_length);
    return (size_t)(at - text);
}
