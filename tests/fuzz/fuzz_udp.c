/*
 * Fuzzes the reader of announces over UDP. The input is what follows the first 98 bytes
 * of the packet: the options of BEP 41. Whatever comes, the passkey is the one that the parser
 * of HTTP's routes finds in the pieces of URL data put together, or there is a failure.
 */
#include <stdlib.h>
#include <string.h>

#include "tracker/route.h"
#include "udp/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct text {
    size_t length;
    char bytes[PACKET_REQUEST_MAX];
};

/* Plainly, byte by byte. Returns false for an option that is cut off. */
static bool join_url_data(struct text *url, const uint8_t *data, size_t size)
{
    url->length = 0;
    for (size_t at = 0; at < size && data[at] != 0;) {
        uint8_t option = data[at++];
        if (option == 1)
            continue;
        if (at == size)
            return false;
        size_t end = at + 1 + data[at];
        for (at++; at < end; at++) {
            if (at == size)
                return false;
            if (option == 2)
                url->bytes[url->length++] = (char)data[at];
        }
    }
    return true;
}

/* What the route parser alone makes of it. */
static bool find_passkey(struct route *route, const struct text *url)
{
    const char *end = url->bytes + url->length;
    const char *question = memchr(url->bytes, '?', url->length);
    route_parse_path(route, url->bytes, question != NULL ? (size_t)(question - url->bytes) : url->length, true);
    if (route->bad_escape || route->action == ROUTE_NONE)
        return false;
    const char *query = question != NULL ? question + 1 : end;
    struct query_pair pair;
    while (query_next(&query, end, &pair)) {
        if (query_name_is(&pair, "passkey"))
            route_take_query_passkey(route, pair.value, pair.value_length);
    }
    return route->passkey_state == ROUTE_PASSKEY_GOOD;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > PACKET_REQUEST_MAX - PACKET_ANNOUNCE_BYTES)
        return 0;
    uint8_t *packet = calloc(1, PACKET_ANNOUNCE_BYTES + size);
    if (packet == NULL)
        return 0;
    if (size > 0)
        memcpy(packet + PACKET_ANNOUNCE_BYTES, data, size);
    struct announce announce;
    const char *failure = packet_read_announce(&announce, packet, PACKET_ANNOUNCE_BYTES + size);
    free(packet);

    struct text url;
    struct route route;
    bool is_whole = join_url_data(&url, data, size);
    bool is_good = is_whole && find_passkey(&route, &url);
    if (is_good != (failure == NULL) || is_whole == (failure != NULL && strcmp(failure, "bad option") == 0))
        abort();
    if (is_good && (announce.passkey_length != route.passkey_length ||
                    memcmp(announce.passkey, route.passkey, route.passkey_length) != 0))
        abort();

    const char *fault = NULL;
    uint32_t count = packet_scrape_count(PACKET_HEAD_BYTES + size, PACKET_SCRAPE_MAX, &fault);
    if ((count == 0) != (fault != NULL) || count > PACKET_SCRAPE_MAX || (count > 0 && count * INFO_HASH_BYTES != size))
        abort();
    return 0;
}
