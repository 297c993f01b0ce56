/* route: see route.h. Pure functions over slices; any thread may call them. */
#include "tracker/route.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* A path is at most three segments long, one more than any that is known. */
enum { SEGMENTS_KEPT = 3 };

struct segment {
    const char *text;
    size_t length;
};

static bool is_passkey_character(uint8_t c)
{
    unsigned letter = (c | 0x20U) - 'a', digit = c - (unsigned)'0';
    return letter < 26 || digit < 10 || c == '-' || c == '_';
}

#ifdef __SSE2__
/* Whether 16 characters belong to a passkey. This is done for each announce, so it is worth doing many at once. */
static bool are_passkey_characters(const char *text)
{
    const __m128i zero = _mm_setzero_si128();
    __m128i c = _mm_loadu_si128((const __m128i *)(const void *)text);
    __m128i letter = _mm_sub_epi8(_mm_or_si128(c, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    __m128i digit = _mm_sub_epi8(c, _mm_set1_epi8('0'));
    /* Saturating: what is left of a number up to the limit is 0. */
    __m128i is_letter = _mm_cmpeq_epi8(_mm_subs_epu8(letter, _mm_set1_epi8(25)), zero);
    __m128i is_digit = _mm_cmpeq_epi8(_mm_subs_epu8(digit, _mm_set1_epi8(9)), zero);
    __m128i is_sign = _mm_or_si128(_mm_cmpeq_epi8(c, _mm_set1_epi8('-')), _mm_cmpeq_epi8(c, _mm_set1_epi8('_')));
    return _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(is_letter, is_digit), is_sign)) == 0xffff;
}
#endif

bool route_passkey_is_well_formed(const char *text, size_t length)
{
    if (length < 1 || length > PASSKEY_MAX)
        return false;
    size_t i = 0;
#ifdef __SSE2__
    for (; i + 16 <= length; i += 16)
        if (!are_passkey_characters(text + i))
            return false;
#endif
    while (i < length && is_passkey_character((uint8_t)text[i]))
        i++;
    return i == length;
}

/* Takes a still encoded passkey. Returns false for a bad escape. */
static bool take_passkey(struct route *route, const char *text, size_t length)
{
    route->passkey_state = ROUTE_PASSKEY_MALFORMED;
    int decoded = query_decode((uint8_t *)route->passkey, sizeof route->passkey, text, length);
    if (decoded >= 0 && route_passkey_is_well_formed(route->passkey, (size_t)decoded)) {
        route->passkey_state = ROUTE_PASSKEY_GOOD;
        route->passkey_length = (uint8_t)decoded;
    }
    return decoded != -1;
}

void route_take_query_passkey(struct route *route, const char *value, size_t length)
{
    if (route->passkey_state == ROUTE_PASSKEY_MISSING)
        (void)take_passkey(route, value, length);
}

static enum route_action word_action(const char *word, size_t length)
{
    if (length == 8 && memcmp(word, "announce", 8) == 0)
        return ROUTE_ANNOUNCE;
    if (length == 6 && memcmp(word, "scrape", 6) == 0)
        return ROUTE_SCRAPE;
    return ROUTE_NONE;
}

static enum route_action segment_action(const struct segment *segment)
{
    if (memchr(segment->text, '%', segment->length) == NULL)
        return word_action(segment->text, segment->length);
    uint8_t word[8];
    int length = query_decode(word, sizeof word, segment->text, segment->length);
    return length > 0 ? word_action((const char *)word, (size_t)length) : ROUTE_NONE;
}

static bool has_bad_escape(const char *path, size_t length)
{
    uint8_t nothing[1];
    return memchr(path, '%', length) != NULL && query_decode(nothing, 0, path, length) == -1;
}

/*
 * Splits what follows the first slash, less one last slash. Returns how many
 * segments there are, SEGMENTS_KEPT for that many or more; empty ones count.
 */
static size_t split_path(struct segment *segments, const char *text, size_t length)
{
    const char *end = text + length;
    if (length > 0 && end[-1] == '/')
        end--;
    size_t count = 0;
    while (count < SEGMENTS_KEPT) {
        const char *slash = memchr(text, '/', (size_t)(end - text));
        const char *stop = slash != NULL ? slash : end;
        segments[count++] = (struct segment){text, (size_t)(stop - text)};
        if (slash == NULL)
            break;
        text = slash + 1;
    }
    return count;
}

static void route_one_segment(struct route *route, const struct segment *only, bool lone_passkey)
{
    route->action = segment_action(only);
    if (route->action != ROUTE_NONE || !lone_passkey)
        return;
    route->action = ROUTE_ANNOUNCE;
    if (only->length > 0)
        (void)take_passkey(route, only->text, only->length);
}

/* The passkey stands first or last; where both segments are words, the last one is the action. */
static void route_two_segments(struct route *route, const struct segment segments[static 2])
{
    const struct segment *passkey = &segments[0];
    route->action = segment_action(&segments[1]);
    if (route->action == ROUTE_NONE) {
        passkey = &segments[1];
        route->action = segment_action(&segments[0]);
    }
    if (route->action == ROUTE_NONE)
        return;
    if (passkey->length == 0)
        route->action = ROUTE_NONE;
    else
        (void)take_passkey(route, passkey->text, passkey->length);
}

void route_parse_path(struct route *route, const char *path, size_t length, bool lone_passkey)
{
    route->action = ROUTE_NONE;
    route->passkey_state = ROUTE_PASSKEY_MISSING;
    route->passkey_length = 0;
    route->bad_escape = has_bad_escape(path, length);
    if (route->bad_escape)
        return;
    if (length == 0) {
        route->action = lone_passkey ? ROUTE_ANNOUNCE : ROUTE_NONE;
        return;
    }
    if (path[0] != '/')
        return;
    struct segment segments[SEGMENTS_KEPT];
    size_t count = split_path(segments, path + 1, length - 1);
    if (count == 1)
        route_one_segment(route, &segments[0], lone_passkey);
    else if (count == 2)
        route_two_segments(route, segments);
}
