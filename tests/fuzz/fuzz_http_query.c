/*
 * Fuzzes the parameters of announce and scrape: whatever is taken for good has
 * to be within what the stages and the database rely on.
 */
#include <stdlib.h>
#include <string.h>

#include "http/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_announce(const char *query, size_t length, bool from_ipv6)
{
    static struct announce announce;
    struct route route;
    memset(&announce, 0x55, sizeof announce);
    announce.source = (struct address){.family = from_ipv6 ? 6 : 4};
    route_parse_path(&route, "/announce", 9, false);
    if (query_read_announce(&announce, &route, query, length) != NULL)
        return;
    if (announce.uploaded > COUNTER_MAX || announce.downloaded > COUNTER_MAX || announce.left > COUNTER_MAX ||
        announce.numwant < NUMWANT_DEFAULT || announce.event > EVENT_PAUSED ||
        !route_passkey_is_well_formed(announce.passkey, announce.passkey_length))
        abort();
    if (announce.claimed.family != 0 && announce.claimed.family == announce.source.family)
        abort();
}

static void read_scrape(const char *query, size_t length)
{
    enum { MAX = 4 };
    uint8_t hashes[MAX][INFO_HASH_BYTES];
    uint32_t count = 0;
    struct route route;
    route_parse_path(&route, "/key/scrape", 11, false);
    if (query_read_scrape(hashes, &count, MAX, &route, query, length) != NULL)
        return;
    if (count < 1 || count > MAX)
        abort();
    for (uint32_t i = 1; i < count; i++) {
        if (memcmp(hashes[i - 1], hashes[i], INFO_HASH_BYTES) >= 0)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *query = (const char *)data;
    read_announce(query, size, false);
    read_announce(query, size, true);
    read_scrape(query, size);
    return 0;
}
