/*
 * Fuzzes what proxies say: the PROXY header in both versions, and the header
 * of real_ip_header, of which cutting it into two lines must change nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "http/forwarded.h"
#include "http/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_proxy_header(const char *data, size_t size)
{
    struct address source = {.family = 4};
    size_t used = 0;
    enum proxy_state state = proxy_parse(&source, &used, data, size, 1024);
    if (state == PROXY_COMPLETE && (used > size || used < 2 || (source.family != 4 && source.family != 6)))
        abort();
    for (size_t cut = 1; state == PROXY_COMPLETE && cut < used; cut++) {
        struct address part = source;
        size_t part_used = 0;
        if (proxy_parse(&part, &part_used, data, cut, 1024) != PROXY_INCOMPLETE)
            abort();
    }
}

static void read_forwarded(const char *text, size_t length)
{
    static const struct network trusted = {.address = {.family = 4, .ip = {10}}, .prefix = 8};
    struct address whole = {0};
    struct address lines = {0};
    const char *comma = memchr(text, ',', length);
    forwarded_fold(&whole, text, length, &trusted, 1);
    if (comma == NULL)
        return;
    forwarded_fold(&lines, text, (size_t)(comma - text), &trusted, 1);
    forwarded_fold(&lines, comma + 1, length - (size_t)(comma + 1 - text), &trusted, 1);
    if (!address_same_ip(&whole, &lines) || (whole.family != 0 && network_contains(&trusted, &whole)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    read_proxy_header((const char *)data, size);
    read_forwarded((const char *)data, size);
    return 0;
}
