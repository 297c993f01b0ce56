/*
 * Fuzzes the route parser: the input is a target or URL data, split at its first
 * question mark. Whatever comes, a passkey that is called good is well formed.
 */
#include "tracker/route.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_query(struct route *route, const char *cursor, const char *end)
{
    struct query_pair pair;
    while (query_next(&cursor, end, &pair)) {
        uint8_t bytes[64];
        int decoded = query_decode(bytes, sizeof bytes, pair.value, pair.value_length);
        if (decoded > (int)sizeof bytes || decoded < -2)
            abort();
        if (query_name_is(&pair, "passkey"))
            route_take_query_passkey(route, pair.value, pair.value_length);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *mark = size > 0 ? memchr(text, '?', size) : NULL;
    size_t path_length = mark != NULL ? (size_t)(mark - text) : size;
    for (int lone = 0; lone < 2; lone++) {
        struct route route;
        route_parse_path(&route, text, path_length, lone != 0);
        if (mark != NULL)
            walk_query(&route, mark + 1, text + size);
        if (route.passkey_state == ROUTE_PASSKEY_GOOD &&
            !route_passkey_is_well_formed(route.passkey, route.passkey_length))
            abort();
    }
    return 0;
}
