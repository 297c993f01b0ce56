/* url: see url.h. */
#include "tracker/url.h"

#include <limits.h>
#include <string.h>

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

/*
 * Decodes what fits and is not within two bytes of the end, and moves `text` on. Nobody could predict which bytes of
 * an info hash are escaped: each is taken both as an escape and as itself, so that no branch hangs on it.
 * Returns how many, -1 for a bad escape.
 */
static int decode_most(uint8_t *bytes, size_t size, const char **text, const char *end)
{
    const char *at = *text;
    unsigned faults = 0;
    size_t count = 0;
    while (end - at >= 3 && count < size) {
        unsigned plain = (uint8_t)at[0];
        unsigned high = hex_values[(uint8_t)at[1]];
        unsigned low = hex_values[(uint8_t)at[2]];
        unsigned escaped = plain == '%' ? UINT_MAX : 0;
        faults |= escaped & ~(high & low);
        bytes[count++] = (uint8_t)((escaped & (high << 4 | (low & 15))) | (~escaped & plain));
        at += 1 + (escaped & 2);
    }
    *text = at;
    return (faults & IS_HEX) == 0 ? (int)count : -1;
}

int query_decode(uint8_t *bytes, size_t size, const char *text, size_t length)
{
    if (length <= size && memchr(text, '%', length) == NULL) {
        memcpy(bytes, text, length);
        return (int)length;
    }
    const char *end = text + length;
    int decoded = decode_most(bytes, size, &text, end);
    if (decoded < 0)
        return -1;
    size_t count = (size_t)decoded;
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
