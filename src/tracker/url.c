/* url: see url.h. */
#include "tracker/url.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The value of each hex digit, with a bit that tells it from what is none. */
enum { IS_HEX = 0x10 };
static const uint8_t hex_values[256] = {
    ['0'] = 0x10, ['1'] = 0x11, ['2'] = 0x12, ['3'] = 0x13, ['4'] = 0x14, ['5'] = 0x15, ['6'] = 0x16, ['7'] = 0x17,
    ['8'] = 0x18, ['9'] = 0x19, ['a'] = 0x1a, ['b'] = 0x1b, ['c'] = 0x1c, ['d'] = 0x1d, ['e'] = 0x1e, ['f'] = 0x1f,
    ['A'] = 0x1a, ['B'] = 0x1b, ['C'] = 0x1c, ['D'] = 0x1d, ['E'] = 0x1e, ['F'] = 0x1f,
};

/* The byte that the escape at `text` stands for, or -1 where it is none. */
static int escape_value(const char *text, const char *end)
{
    if (end - text < 3)
        return -1;
    unsigned high = hex_values[(uint8_t)text[1]];
    unsigned low = hex_values[(uint8_t)text[2]];
    return (high & low & IS_HEX) != 0 ? (int)((high & 15) << 4 | (low & 15)) : -1;
}

#ifdef __SSE2__
enum { CHUNK = 16, WINDOW = 4 * CHUNK };

static __m128i load_chunk(const void *at)
{
    return _mm_loadu_si128((const __m128i *)at);
}

static uint32_t bits_of(__m128i chunk)
{
    return (uint32_t)_mm_movemask_epi8(chunk);
}

/* What 16 characters are as hex digits. Returns which of them are some, as bits. */
static uint32_t hex_chunk(__m128i *values, const char *at)
{
    __m128i chunk = load_chunk(at);
    __m128i digits = _mm_sub_epi8(chunk, _mm_set1_epi8('0'));
    __m128i letters = _mm_sub_epi8(_mm_or_si128(chunk, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    __m128i are_digits = _mm_cmpeq_epi8(digits, _mm_min_epu8(digits, _mm_set1_epi8(9)));
    __m128i are_letters = _mm_cmpeq_epi8(letters, _mm_min_epu8(letters, _mm_set1_epi8(5)));
    letters = _mm_add_epi8(letters, _mm_set1_epi8(10));
    *values = _mm_or_si128(_mm_and_si128(are_digits, digits), _mm_and_si128(are_letters, letters));
    return bits_of(_mm_or_si128(are_digits, are_letters));
}

/*
 * As query_decode, of WINDOW bytes at most. Nobody could predict which bytes of an info hash are escaped: whatever begins
 * at each place is decoded, as an escape or as itself, and what begins within an escape is then left out.
 */
static int decode_window(uint8_t *bytes, size_t size, const char *text, size_t length)
{
    char padded[WINDOW + CHUNK] = {0}; /* a zero is no digit */
    uint8_t decoded[WINDOW];
    uint64_t escapes = 0, digits = 0;
    memcpy(padded, text, length);
    for (size_t at = 0; at < length; at += CHUNK) {
        __m128i high, low, chunk = load_chunk(padded + at);
        uint32_t both = hex_chunk(&high, padded + at + 1) & hex_chunk(&low, padded + at + 2);
        __m128i is_escape = _mm_cmpeq_epi8(chunk, _mm_set1_epi8('%'));
        __m128i escaped = _mm_or_si128(_mm_slli_epi16(high, 4), low);
        chunk = _mm_or_si128(_mm_and_si128(is_escape, escaped), _mm_andnot_si128(is_escape, chunk));
        _mm_storeu_si128((__m128i *)(void *)(decoded + at), chunk);
        escapes |= (uint64_t)bits_of(is_escape) << at;
        digits |= (uint64_t)both << at;
    }
    if ((escapes & ~digits) != 0)
        return -1;
    uint64_t left = ~(escapes << 1 | escapes << 2) & UINT64_MAX >> (WINDOW - length);
    size_t count = 0;
    for (; left != 0 && count < size; left &= left - 1)
        bytes[count++] = decoded[__builtin_ctzll(left)];
    return left == 0 ? (int)count : -2;
}
#endif

int query_decode(uint8_t *bytes, size_t size, const char *text, size_t length)
{
    if (length <= size && memchr(text, '%', length) == NULL) {
        memcpy(bytes, text, length);
        return (int)length;
    }
#ifdef __SSE2__
    if (length <= WINDOW)
        return decode_window(bytes, size, text, length);
#endif
    const char *end = text + length;
    size_t count = 0;
    while (text < end) {
        int value = (uint8_t)*text++;
        if (value == '%') {
            value = escape_value(text - 1, end);
            if (value < 0)
                return -1;
            text += 2;
        }
        if (count < size)
            bytes[count] = (uint8_t)value;
        count++; /* past the size too: a bad escape behind it is still to be found */
    }
    return count <= size ? (int)count : -2;
}

bool query_next(const char **cursor, const char *end, struct query_pair *pair)
{
    const char *at = *cursor;
    while (at < end && *at == '&')
        at++;
    if (at >= end) {
        *cursor = end;
        return false;
    }
    pair->name = at;
    while (at < end && *at != '=' && *at != '&')
        at++;
    pair->name_length = (size_t)(at - pair->name);
    if (at < end && *at == '=')
        at++;
    pair->value = at;
    const char *separator = memchr(at, '&', (size_t)(end - at));
    at = separator != NULL ? separator : end;
    pair->value_length = (size_t)(at - pair->value);
    *cursor = at;
    return true;
}

bool query_name_is(const struct query_pair *pair, const char *word)
{
    const char *at = pair->name;
    const char *end = at + pair->name_length;
    for (; at < end; at++, word++) {
        int value = (uint8_t)*at;
        if (value == '%') {
            value = escape_value(at, end);
            at += 2;
        }
        if (value >= 'A' && value <= 'Z')
            value += 'a' - 'A';
        if (*word == '\0' || value != (uint8_t)*word)
            return false;
    }
    return *word == '\0';
}
