/* reply: see reply.h. */
#include "http/reply.h"

#include <endian.h>
#include <string.h>

#define PUT(at, literal) put_bytes((at), "" literal "", sizeof(literal) - 1)

static char *put_bytes(char *at, const void *bytes, size_t length)
{
    memcpy(at, bytes, length);
    return at + length;
}

/* Four digits less the first `skip`, without a branch that hangs on the number; writes four bytes whatever it puts. */
static char *put_digits(char *at, uint32_t number, unsigned skip)
{
    uint32_t hundreds = number / 100 | number % 100 << 16;
    uint32_t tens = hundreds * 103 >> 10 & 0x000f000f; /* of both at once: a tenth, exact below 179 */
    uint32_t digits = tens | (hundreds - tens * 10) << 8 | 0x30303030;
    digits = htole32(digits >> 8 * skip);
    memcpy(at, &digits, sizeof digits);
    return at + 4 - skip;
}

static char *put_number(char *at, uint32_t number)
{
    if (number < 10000)
        return put_digits(at, number, (unsigned)(number < 1000) + (number < 100) + (number < 10));
    return put_digits(put_number(at, number / 10000), number % 10000, 0);
}

/* i…e */
static char *put_integer(char *at, uint32_t number)
{
    *at++ = 'i';
    at = put_number(at, number);
    *at++ = 'e';
    return at;
}

/* length:bytes */
static char *put_string(char *at, const void *bytes, size_t length)
{
    at = put_number(at, (uint32_t)length);
    *at++ = ':';
    return length > 0 ? put_bytes(at, bytes, length) : at;
}

/* A text, cut between two characters of UTF-8 where it is too long. */
static char *put_text(char *at, const char *text)
{
    size_t length = strnlen(text, REPLY_TEXT_MAX + 1);
    if (length > REPLY_TEXT_MAX) {
        length = REPLY_TEXT_MAX;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
            length--;
    }
    return put_string(at, text, length);
}

static const char *status_name(unsigned status)
{
    static const struct {
        unsigned status;
        const char *name;
    } names[] = {
        {200, "OK"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {414, "URI Too Long"},
        {431, "Request Header Fields Too Large"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].status == status)
            return names[i].name;
    }
    return "Bad Request";
}

static char *put_connection(char *at, const struct reply_head *head)
{
    if (head->closes)
        at = PUT(at, "Connection: close\r\n");
    else if (head->is_http10)
        at = PUT(at, "Connection: keep-alive\r\n");
    return PUT(at, "\r\n");
}

static char *put_status_line(char *at, unsigned status)
{
    const char *name = status_name(status);
    at = PUT(at, "HTTP/1.1 ");
    at = put_number(at, status);
    *at++ = ' ';
    at = put_bytes(at, name, strlen(name));
    at = PUT(at, "\r\n");
    return status == 405 ? PUT(at, "Allow: GET, HEAD\r\n") : at;
}

/* A reply that is being written. */
struct draft {
    char *length; /* three digits, to be filled in */
    char *body;
};

/* Writes the head. */
static struct draft begin(char *to, const struct reply_head *head, unsigned status)
{
    struct draft draft;
    char *at = status == 200 ? PUT(to, "HTTP/1.1 200 OK\r\n") : put_status_line(to, status);
    at = PUT(at, "Content-Type: text/plain\r\nContent-Length: ");
    draft.length = at;
    at = PUT(at, "000\r\n");
    draft.body = put_connection(at, head);
    return draft;
}

/* The body ends at `end`: sets its length. Returns that of the whole. */
static size_t finish(const char *to, const struct draft *draft, char *end, const struct reply_head *head)
{
    size_t body_length = (size_t)(end - draft->body);
    size_t head_length = (size_t)(draft->body - to);
    char digits[12];
    size_t count = (size_t)(put_number(digits, (uint32_t)body_length) - digits);
    if (count != 3) {
        char *behind = draft->length + 3;
        memmove(draft->length + count, behind, (size_t)(end - behind));
        head_length += count - 3;
    }
    (void)put_bytes(draft->length, digits, count);
    return head_length + (head->no_body ? 0 : body_length);
}

size_t reply_headers_only(char to[static REPLY_BUFFER_BYTES], const struct reply_head *head)
{
    char *at = PUT(to, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n");
    return (size_t)(put_connection(at, head) - to);
}

size_t reply_status(char to[static REPLY_BUFFER_BYTES], const struct reply_head *head, unsigned status)
{
    const char *name = status_name(status);
    struct draft draft = begin(to, head, status);
    char *at = put_bytes(draft.body, name, strlen(name));
    *at++ = '\n';
    return finish(to, &draft, at, head);
}

size_t reply_failure(char to[static REPLY_BUFFER_BYTES], const struct reply_head *head, const char *reason,
                     uint32_t retry_s)
{
    struct draft draft = begin(to, head, 200);
    char *at = PUT(draft.body, "d14:failure reason");
    at = put_text(at, reason);
    if (retry_s > 0) {
        at = PUT(at, "8:interval");
        at = put_integer(at, retry_s);
        at = PUT(at, "8:retry in"); /* BEP 31, in minutes */
        at = put_integer(at, retry_s / 60 + (retry_s % 60 > 0));
    }
    *at++ = 'e';
    return finish(to, &draft, at, head);
}

/* One list of dictionaries, both families in it. */
static char *put_entries(char *at, const struct announce *announce)
{
    size_t count = (size_t)announce->peer4_count + announce->peer6_count;
    if (count > REPLY_PEERS_MAX)
        count = REPLY_PEERS_MAX;
    at = PUT(at, "5:peersl");
    for (size_t i = 0; i < count; i++) {
        const struct peer_entry *entry = &announce->entries[i];
        char ip[ADDRESS_TEXT_BYTES];
        (void)address_format_ip(&entry->address, ip);
        at = PUT(at, "d2:ip");
        at = put_string(at, ip, strlen(ip));
        if (!announce->no_peer_id) {
            at = PUT(at, "7:peer id");
            at = put_string(at, entry->peer_id, PEER_ID_BYTES);
        }
        at = PUT(at, "4:port");
        at = put_integer(at, entry->address.port);
        *at++ = 'e';
    }
    *at++ = 'e';
    return at;
}

static size_t packed_bytes(uint16_t count, size_t endpoint_bytes)
{
    return (count < REPLY_PEERS_MAX ? count : REPLY_PEERS_MAX) * endpoint_bytes;
}

/* `peers` is always there, for clients fail without it. */
static char *put_peers(char *at, const struct announce *announce)
{
    if (!announce->compact)
        return put_entries(at, announce);
    at = PUT(at, "5:peers");
    at = put_string(at, announce->peers4, packed_bytes(announce->peer4_count, ENDPOINT4_BYTES));
    if (announce->has_ipv6) {
        at = PUT(at, "6:peers6");
        at = put_string(at, announce->peers6, packed_bytes(announce->peer6_count, ENDPOINT6_BYTES));
    }
    return at;
}

/* Keys in the order of their bytes: one client throws where they are not. */
static size_t answer(char *to, const struct reply_head *head, const struct announce *announce)
{
    struct draft draft = begin(to, head, 200);
    char *at = PUT(draft.body, "d8:complete");
    at = put_integer(at, announce->complete);
    at = PUT(at, "10:downloaded");
    at = put_integer(at, announce->snatches);
    at = PUT(at, "11:external ip"); /* BEP 24 */
    at = put_string(at, announce->source.ip, announce->source.family == 6 ? 16 : 4);
    at = PUT(at, "10:incomplete");
    at = put_integer(at, announce->incomplete);
    at = PUT(at, "8:interval");
    at = put_integer(at, announce->interval_s);
    if (announce->min_interval_s > 0) {
        at = PUT(at, "12:min interval");
        at = put_integer(at, announce->min_interval_s);
    }
    at = put_peers(at, announce);
    if (announce->warning != NULL) {
        at = PUT(at, "15:warning message");
        at = put_text(at, announce->warning);
    }
    *at++ = 'e';
    return finish(to, &draft, at, head);
}

size_t reply_announce(char to[static REPLY_BUFFER_BYTES], const struct reply_head *head,
                      const struct announce *announce)
{
    if (announce->verdict == VERDICT_ACCEPTED || announce->verdict == VERDICT_EMPTY)
        return answer(to, head, announce);
    return reply_failure(to, head, announce->failure != NULL ? announce->failure : "refused", announce->retry_s);
}

size_t reply_scrape(char to[static REPLY_BUFFER_BYTES], const struct reply_head *head, const struct scrape *scrape)
{
    if (scrape->verdict != VERDICT_ACCEPTED)
        return reply_failure(to, head, scrape->failure != NULL ? scrape->failure : "refused", scrape->retry_s);
    struct draft draft = begin(to, head, 200);
    char *at = PUT(draft.body, "d5:filesd");
    for (uint32_t i = 0; i < scrape->count && i < SCRAPE_MAX; i++) {
        const struct scrape_result *result = &scrape->results[i];
        if (!result->known)
            continue;
        at = PUT(at, "20:");
        at = put_bytes(at, scrape->info_hashes[i], INFO_HASH_BYTES);
        at = PUT(at, "d8:complete");
        at = put_integer(at, result->complete);
        at = PUT(at, "10:downloaded");
        at = put_integer(at, result->snatches);
        at = PUT(at, "10:incomplete");
        at = put_integer(at, result->incomplete);
        *at++ = 'e';
    }
    at = PUT(at, "ee");
    return finish(to, &draft, at, head);
}
