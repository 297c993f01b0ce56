/*
 * names: see names.h. Nearly all clients write names plainly, and so the first 16 bytes of a pair mostly hold its name,
 * and often its value too: one look at them all together is enough.
 */
#include "http/names.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { CHUNK = 16, LONGEST_NAME = 10 };

static const char names[PARAMETER_COUNT][CHUNK] = {
    [PARAMETER_INFO_HASH] = "info_hash",
    [PARAMETER_PEER_ID] = "peer_id",
    [PARAMETER_PORT] = "port",
    [PARAMETER_UPLOADED] = "uploaded",
    [PARAMETER_DOWNLOADED] = "downloaded",
    [PARAMETER_LEFT] = "left",
    [PARAMETER_EVENT] = "event",
    [PARAMETER_COMPACT] = "compact",
    [PARAMETER_NO_PEER_ID] = "no_peer_id",
    [PARAMETER_NUMWANT] = "numwant",
    [PARAMETER_KEY] = "key",
    [PARAMETER_TRACKERID] = "trackerid",
    [PARAMETER_CORRUPT] = "corrupt",
    [PARAMETER_IPV4] = "ipv4",
    [PARAMETER_IPV6] = "ipv6",
    [PARAMETER_PASSKEY] = "passkey",
};

#define BIT(word) (1U << PARAMETER_##word)

/* Which parameters have a name of that length, and which begin with the letter that has these last five bits. */
static const uint32_t by_length[LONGEST_NAME + 1] = {
    [3] = BIT(KEY),
    [4] = BIT(PORT) | BIT(LEFT) | BIT(IPV4) | BIT(IPV6),
    [5] = BIT(EVENT),
    [7] = BIT(PEER_ID) | BIT(COMPACT) | BIT(NUMWANT) | BIT(CORRUPT) | BIT(PASSKEY),
    [8] = BIT(UPLOADED),
    [9] = BIT(INFO_HASH) | BIT(TRACKERID),
    [10] = BIT(DOWNLOADED) | BIT(NO_PEER_ID),
};
static const uint32_t by_initial[32] = {
    ['c' & 31] = BIT(COMPACT) | BIT(CORRUPT),
    ['d' & 31] = BIT(DOWNLOADED),
    ['e' & 31] = BIT(EVENT),
    ['i' & 31] = BIT(INFO_HASH) | BIT(IPV4) | BIT(IPV6),
    ['k' & 31] = BIT(KEY),
    ['l' & 31] = BIT(LEFT),
    ['n' & 31] = BIT(NO_PEER_ID) | BIT(NUMWANT),
    ['p' & 31] = BIT(PEER_ID) | BIT(PORT) | BIT(PASSKEY),
    ['t' & 31] = BIT(TRACKERID),
    ['u' & 31] = BIT(UPLOADED),
};

#ifdef __SSE2__
static __m128i load_chunk(const char *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

/* Where two chunks are the same, as bits. */
static uint32_t compare(__m128i a, __m128i b)
{
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(a, b));
}

/* Which of these parameters has the name that the chunk begins with. */
static enum parameter_number find_plain_name(__m128i chunk, unsigned length, uint32_t alike)
{
    uint32_t within_name = (1U << length) - 1;
    for (; alike != 0; alike &= alike - 1) {
        unsigned number = (unsigned)__builtin_ctz(alike);
        if ((~compare(chunk, load_chunk(names[number])) & within_name) == 0)
            return number;
    }
    return PARAMETER_COUNT;
}

static const char *find_ampersand(const char *at, const char *end)
{
    for (; end - at >= CHUNK; at += CHUNK) {
        uint32_t ampersands = compare(load_chunk(at), _mm_set1_epi8('&'));
        if (ampersands != 0)
            return at + __builtin_ctz(ampersands);
    }
    while (at < end && *at != '&')
        at++;
    return at;
}

/* The first 16 bytes of a pair; what stands behind the query is zeros. */
static __m128i first_chunk(const char *at, const char *end)
{
    if (end - at >= CHUNK)
        return load_chunk(at);
    char padded[CHUNK] = {0};
    memcpy(padded, at, (size_t)(end - at));
    return load_chunk(padded);
}

static const char *find_value_end(const char *at, const char *end, __m128i chunk)
{
    uint32_t ampersands = compare(chunk, _mm_set1_epi8('&')); /* none within the name */
    if (ampersands != 0)
        return at + __builtin_ctz(ampersands);
    return end - at > CHUNK ? find_ampersand(at + CHUNK, end) : end;
}

/* PARAMETER_COUNT: the next pair is not as nearly all are, and nothing is done. */
static enum parameter_number next_plain(const char **cursor, const char *end, struct query_pair *pair)
{
    const char *at = *cursor;
    if (end - at < 2)
        return PARAMETER_COUNT;
    at += *at == '&';
    __m128i chunk = first_chunk(at, end);
    unsigned length = (unsigned)__builtin_ctz(compare(chunk, _mm_set1_epi8('=')) | 1U << CHUNK);
    if (length > LONGEST_NAME)
        return PARAMETER_COUNT;
    enum parameter_number number = find_plain_name(chunk, length, by_length[length] & by_initial[*at & 31]);
    if (number == PARAMETER_COUNT)
        return PARAMETER_COUNT;
    const char *stop = find_value_end(at, end, chunk);
    const char *value = at + length + 1;
    *pair = (struct query_pair){at, length, value, (size_t)(stop - value)};
    *cursor = stop;
    return number;
}
#endif

/* The same of any pair, letter case and escapes aside. */
static __attribute__((noinline)) enum parameter_number next_of_any(const char **cursor, const char *end,
                                                                   struct query_pair *pair)
{
    while (query_next(cursor, end, pair)) {
        uint32_t alike = (1U << PARAMETER_COUNT) - 1;
        if (memchr(pair->name, '%', pair->name_length) == NULL)
            alike = pair->name_length <= LONGEST_NAME ? by_length[pair->name_length] & by_initial[*pair->name & 31] : 0;
        for (; alike != 0; alike &= alike - 1) {
            unsigned number = (unsigned)__builtin_ctz(alike);
            if (query_name_is(pair, names[number]))
                return number;
        }
    }
    return PARAMETER_COUNT;
}

enum parameter_number names_next(const char **cursor, const char *end, struct query_pair *pair)
{
#ifdef __SSE2__
    enum parameter_number plain = next_plain(cursor, end, pair);
    if (plain != PARAMETER_COUNT)
        return plain;
#endif
    return next_of_any(cursor, end, pair);
}
