/* route: see route.h. Pure functions over slices; any thread may call them. */
#include "tracker/route.h"

#include <string.h>

/* One more than the value of each hex digit, so that what is none is 0. */
static const uint8_t hex_values[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* A path is at most three segments long, one more than any that is known. */
enum { SEGMENTS_KEPT = 3 };

struct segment {
    const char *text;
    size_t length;
};

/* The byte that the escape at `text` stands for, or -1 where it is none. */
static int escape_value(const char *text, const char *end)
{
    if (end - text < 3)
        return -1;
    int high = hex_values[(uint8_t)text[1]];
    int low = hex_values[(uint8_t)text[2]];
    if (high == 0 || low == 0)
        return -1;
    return (high - 1) << 4 | (low - 1);
}

int query_decode(uint8_t *bytes, size_t size, const char *text, size_t length)
{
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

bool route_passkey_is_well_formed(const char *text, size_t length)
{
    if (length < 1 || length > PASSKEY_MAX)
        return false;
    unsigned strangers = 0; /* counted without branches: this is done for each announce */
    for (size_t i = 0; i < length; i++) {
        unsigned c = (uint8_t)text[i];
        unsigned is_letter = (c | 0x20) - 'a' < 26, is_digit = c - '0' < 10;
        strangers += !(is_letter | is_digit | (c == '-') | (c == '_'));
    }
    return strangers == 0;
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

static enum route_action segment_action(const struct segment *segment)
{
    uint8_t word[8];
    int length = query_decode(word, sizeof word, segment->text, segment->length);
    if (length == 8 && memcmp(word, "announce", 8) == 0)
        return ROUTE_ANNOUNCE;
    if (length == 6 && memcmp(word, "scrape", 6) == 0)
        return ROUTE_SCRAPE;
    return ROUTE_NONE;
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
