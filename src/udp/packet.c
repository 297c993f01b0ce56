/* packet: see packet.h. */
#include "udp/packet.h"

#include "tracker/route.h"

/* Where the fields of an announce stand (BEP 15). The IP at 84 is ignored: anyone could write another's there. */
enum {
    AT_INFO_HASH = 16,
    AT_PEER_ID = 36,
    AT_DOWNLOADED = 56,
    AT_LEFT = 64,
    AT_UPLOADED = 72,
    AT_EVENT = 80,
    AT_KEY = 88,
    AT_NUMWANT = 92,
    AT_PORT = 96,
};

/* BEP 41. */
enum option { OPTION_END = 0, OPTION_NOP = 1, OPTION_URL_DATA = 2 };

/* URL data: a slice of the packet as long as one option holds all of it, else the pieces joined. */
struct url_data {
    const uint8_t *text;
    size_t length;
    uint8_t joined[PACKET_REQUEST_MAX];
};

static bool url_data_append(struct url_data *url, const uint8_t *piece, size_t length)
{
    if (url->length == 0) {
        url->text = piece;
        url->length = length;
        return true;
    }
    if (url->length + length > sizeof url->joined)
        return false;
    if (url->text != url->joined) {
        memcpy(url->joined, url->text, url->length);
        url->text = url->joined;
    }
    memcpy(url->joined + url->length, piece, length);
    url->length += length;
    return true;
}

/* Returns false for an option that is cut off. */
static bool read_options(struct url_data *url, const uint8_t *cursor, const uint8_t *end)
{
    url->text = cursor;
    url->length = 0;
    while (cursor < end) {
        uint8_t option = *cursor++;
        if (option == OPTION_END)
            return true;
        if (option == OPTION_NOP)
            continue;
        if (cursor == end)
            return false;
        size_t length = *cursor++;
        if (length > (size_t)(end - cursor))
            return false;
        if (option == OPTION_URL_DATA && !url_data_append(url, cursor, length))
            return false;
        cursor += length;
    }
    return true;
}

static void take_passkey_from_query(struct route *route, const char *query, const char *end)
{
    struct query_pair pair;
    while (route->passkey_state == ROUTE_PASSKEY_MISSING && query_next(&query, end, &pair)) {
        if (query_name_is(&pair, "passkey"))
            route_take_query_passkey(route, pair.value, pair.value_length);
    }
}

/*
 * The three plain forms that nearly all clients send, at a fifth of the parser's cost. What is not
 * clearly one of them is left to the parser, so a passkey means the same over HTTP and UDP.
 */
static bool take_plain_passkey(struct announce *announce, const char *url, size_t length)
{
    static const char path[] = "/announce/", query[] = "/announce?passkey=", word[] = "/announce";
    enum { PATH = sizeof path - 1, QUERY = sizeof query - 1, WORD = sizeof word - 1 };
    const char *passkey;
    if (length > QUERY && memcmp(url, query, QUERY) == 0) {
        passkey = url + QUERY;
        length -= QUERY;
    } else if (length > PATH && memcmp(url, path, PATH) == 0) {
        passkey = url + PATH;
        length -= PATH;
    } else if (length > WORD + 1 && url[0] == '/' && memcmp(url + length - WORD, word, WORD) == 0) {
        passkey = url + 1;
        length -= WORD + 1;
    } else {
        return false;
    }
    /* "announce" and "scrape" may be meant as such. */
    if (length == 8 || length == 6 || !route_passkey_is_well_formed(passkey, length))
        return false;
    announce->passkey_length = (uint8_t)length;
    memcpy(announce->passkey, passkey, length);
    return true;
}

static const char *read_passkey(struct announce *announce, const char *url, size_t length)
{
    struct route route;
    const char *question = memchr(url, '?', length);
    size_t path_length = question != NULL ? (size_t)(question - url) : length;
    route_parse_path(&route, url, path_length, true);
    if (route.bad_escape)
        return "bad escape in the path of the announce URL";
    if (route.action == ROUTE_NONE)
        return "unknown path in the announce URL";
    if (question != NULL)
        take_passkey_from_query(&route, question + 1, url + length);

    switch (route.passkey_state) {
    case ROUTE_PASSKEY_GOOD:
        announce->passkey_length = route.passkey_length;
        memcpy(announce->passkey, route.passkey, sizeof route.passkey);
        return NULL;
    case ROUTE_PASSKEY_MALFORMED:
        return "passkey malformed: 1 to 64 of A-Z a-z 0-9 - _";
    default:
        return "passkey missing: your client sends none over UDP, use the HTTP announce URL";
    }
}

static const char *read_counters(struct announce *announce, const uint8_t *bytes)
{
    announce->downloaded = packet_u64(bytes + AT_DOWNLOADED);
    announce->left = packet_u64(bytes + AT_LEFT);
    announce->uploaded = packet_u64(bytes + AT_UPLOADED);
    if ((announce->downloaded | announce->left | announce->uploaded) <= COUNTER_MAX)
        return NULL;
    if (announce->uploaded > COUNTER_MAX)
        return "bad uploaded: above 9223372036854775807";
    if (announce->downloaded > COUNTER_MAX)
        return "bad downloaded: above 9223372036854775807";
    return "bad left: above 9223372036854775807";
}

const char *packet_read_announce(struct announce *announce, const uint8_t *bytes, size_t length)
{
    memcpy(announce->info_hash, bytes + AT_INFO_HASH, INFO_HASH_BYTES);
    memcpy(announce->peer_id, bytes + AT_PEER_ID, PEER_ID_BYTES);
    uint32_t event = packet_u32(bytes + AT_EVENT);
    announce->event = (uint8_t)(event <= EVENT_STOPPED ? event : EVENT_NONE);
    announce->key = packet_u32(bytes + AT_KEY);
    int32_t numwant = (int32_t)packet_u32(bytes + AT_NUMWANT);
    announce->numwant = numwant < 0 ? NUMWANT_DEFAULT : numwant;
    announce->source.port = (uint16_t)(bytes[AT_PORT] << 8 | bytes[AT_PORT + 1]);
    announce->claimed.family = 0;
    announce->protocol = PROTOCOL_UDP;
    announce->compact = true;
    announce->no_peer_id = true;

    const char *failure = read_counters(announce, bytes);
    if (failure != NULL)
        return failure;

    struct url_data url;
    if (!read_options(&url, bytes + PACKET_ANNOUNCE_BYTES, bytes + length))
        return "bad option";
    if (take_plain_passkey(announce, (const char *)url.text, url.length))
        return NULL;
    return read_passkey(announce, (const char *)url.text, url.length);
}

uint32_t packet_scrape_count(size_t length, uint32_t max, const char **failure)
{
    size_t hashes = length - PACKET_HEAD_BYTES;
    if (hashes % INFO_HASH_BYTES != 0)
        *failure = "bad info_hash: the scrape's length is no multiple of 20";
    else if (hashes == 0)
        *failure = "info_hash missing";
    else if (hashes / INFO_HASH_BYTES > max)
        *failure = "too many info_hash";
    else
        return (uint32_t)(hashes / INFO_HASH_BYTES);
    return 0;
}

size_t packet_write_connect(uint8_t *bytes, uint32_t transaction, uint64_t connection_id)
{
    packet_put_u32(bytes, PACKET_CONNECT);
    packet_put_u32(bytes + 4, transaction);
    packet_put_u32(bytes + 8, (uint32_t)(connection_id >> 32));
    packet_put_u32(bytes + 12, (uint32_t)connection_id);
    return PACKET_CONNECT_REPLY_BYTES;
}

size_t packet_write_scrape(uint8_t *bytes, uint32_t transaction, const struct scrape_result *results, uint32_t count)
{
    packet_put_u32(bytes, PACKET_SCRAPE);
    packet_put_u32(bytes + 4, transaction);
    uint8_t *entry = bytes + PACKET_SCRAPE_REPLY_BYTES;
    for (uint32_t i = 0; i < count; i++, entry += PACKET_SCRAPE_ENTRY_BYTES) {
        struct scrape_result none = {0};
        const struct scrape_result *result = results[i].known ? &results[i] : &none;
        packet_put_u32(entry, result->complete);
        packet_put_u32(entry + 4, result->snatches);
        packet_put_u32(entry + 8, result->incomplete);
    }
    return (size_t)(entry - bytes);
}

size_t packet_write_error(uint8_t *bytes, uint32_t transaction, const char *text)
{
    size_t length = strnlen(text, PACKET_REPLY_MAX - PACKET_ERROR_REPLY_BYTES);
    packet_put_u32(bytes, PACKET_ERROR);
    packet_put_u32(bytes + 4, transaction);
    memcpy(bytes + PACKET_ERROR_REPLY_BYTES, text, length);
    return PACKET_ERROR_REPLY_BYTES + length;
}
