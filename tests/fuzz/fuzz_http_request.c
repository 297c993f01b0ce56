/*
 * Fuzzes the request parser: the first byte says how the rest is cut into
 * pieces. In pieces and whole it has to give the same, and what it found has to
 * lie within the request.
 */
#include "http/request.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct network trusted = {.address = {.family = 4, .ip = {10}}, .prefix = 8};
static const struct request_rules rules = {
    .max_bytes = 512,
    .real_ip_header = "X-Forwarded-For",
    .real_ip_header_length = 15,
    .trusted = &trusted,
    .trusted_count = 1,
};

static enum request_state parse_in_pieces(struct request *request, const char *text, size_t length, size_t piece)
{
    enum request_state state = REQUEST_INCOMPLETE;
    request_begin(request);
    for (size_t at = 0; at < length && state == REQUEST_INCOMPLETE;) {
        at += piece < length - at ? piece : length - at;
        state = request_parse(request, text, at, &rules);
    }
    return state;
}

static void check(const struct request *request, size_t length)
{
    if (request->length > length || request->length > rules.max_bytes)
        abort();
    if (request->method == METHOD_OTHER)
        return;
    if ((size_t)request->path_at + request->path_length > request->length ||
        (size_t)request->query_at + request->query_length > request->length)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const char *text = (const char *)data + 1;
    size_t length = size - 1;
    struct request whole;
    struct request pieces;
    enum request_state state = parse_in_pieces(&whole, text, length, length);
    if (parse_in_pieces(&pieces, text, length, (size_t)data[0] + 1) != state)
        abort();
    if (state == REQUEST_BAD && pieces.status != whole.status)
        abort();
    if (state == REQUEST_COMPLETE) {
        check(&whole, length);
        if (pieces.length != whole.length || pieces.path_at != whole.path_at ||
            request_keeps_alive(&pieces) != request_keeps_alive(&whole) ||
            !address_same_ip(&pieces.forwarded, &whole.forwarded))
            abort();
    }
    return 0;
}
